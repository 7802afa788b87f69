"""TRC files: what is read back, as OpenSim's readers do, is what was written."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepose.media.results import Result
from edgepose.media.tracks import track_writer
from edgepose.media.trc import Trc
from edgepose.poses import Poses
from edgepose.skeleton import COCO, Skeleton

TINY = Skeleton("tiny", ("a", "b", "c"))


def read(path: Path) -> tuple[dict[str, str], list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Header, markers, numbers and times of the frames, and points (T, K, 3), NaN where cells are empty."""
    lines = path.read_text(encoding="utf-8").split("\n")
    assert lines[0].split("\t")[:3] == ["PathFileType", "4", "(X/Y/Z)"] and lines[0].split("\t")[3] == path.name
    header = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=True))
    names = [name for name in lines[3].split("\t")[2:] if name]
    assert lines[3].startswith("Frame#\tTime\t") and lines[3].split("\t")[2::3] == [*names, ""]
    axes = [f"{axis}{i}" for i in range(1, len(names) + 1) for axis in "XYZ"]
    assert lines[4].split("\t") == ["", "", *axes] and lines[5] == "" and lines[-1] == ""
    rows = [line.split("\t") for line in lines[6:-1]]
    assert {len(row) for row in rows} <= {2 + 3 * len(names)}
    cells = np.array([[float(cell) if cell else np.nan for cell in row[2:]] for row in rows])
    frames, times = np.array([int(row[0]) for row in rows]), np.array([float(row[1]) for row in rows])
    return header, names, frames, times, cells.reshape(len(rows), len(names), 3)


def one(frame: int, points: np.ndarray, scores: np.ndarray, identity: int = 1, **more: np.ndarray) -> Result:
    poses = Poses(points[None], scores[None], [[0, 0, 9, 9]], [0.9], TINY, [identity])
    return Result("a/clip.mp4", frame, frame / 25, 640, 480, poses, **more)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.floats(1, 240))
def test_round_trip(seed: int, count: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    points, scores = rng.uniform(-50, 4000, (count, 17, 2)), rng.choice([0.1, 0.9], (count, 17))
    there = rng.random(count) < 0.7
    there[[0, -1]] = True
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x.trc"
        with Trc(Path(folder), path) as file:
            for i in range(count):
                poses = Poses(points[i : i + 1], scores[i : i + 1], [[0, 0, 9, 9]], [0.9], COCO, [4])
                file.write(Result("clip.mp4", i, i / rate, 640, 480, poses if there[i] else Poses.nobody()))
        header, names, frames, times, found = read(path)
        assert [p.name for p in Path(folder).iterdir()] == ["x.trc"] and file.written == [path]
    assert names == list(COCO.names) and header["Units"] == "px" and int(header["NumMarkers"]) == 17
    assert frames.tolist() == list(range(1, count + 1)) and int(header["NumFrames"]) == count
    assert np.abs(times - np.arange(count) / rate).max() < 1e-6
    assert float(header["DataRate"]) == pytest.approx(rate if count > 1 else 30, rel=1e-4)
    known = there[:, None] & (scores >= 0.3)
    assert (np.isfinite(found).all(-1) == known).all()
    upright = np.stack([points[..., 0], 479 - points[..., 1], 0 * points[..., 0]], axis=-1)  # Y up, from the last row
    assert np.abs(found - upright)[known].max(initial=0) < 0.002


def test_a_file_for_each_person_from_their_first_frame_to_their_last(tmp_path: Path) -> None:
    made, folder = track_writer("trc", tmp_path, threshold=0.5)
    both = Poses(np.ones((2, 3, 2)), [[0.9, 0.6, 0.4]] * 2, [[0, 0, 9, 9]] * 2, [1, 1], TINY, [1, 7])
    with made:
        for frame in range(10, 16):
            poses = both if frame == 12 else both[:1] if frame < 15 else Poses.nobody(TINY)
            made.write(Result("clip.mp4", frame, frame / 25, 640, 480, poses))
        made.write(Result("other/clip.mp4", 0, 0.0, 640, 480, both[1:]))
    assert sorted(path.name for path in folder.iterdir()) == [
        "clip-2_person7.trc", "clip_person1.trc", "clip_person7.trc"
    ]  # fmt: skip
    header, _, frames, _, points = read(folder / "clip_person1.trc")
    assert frames.tolist() == [11, 12, 13, 14, 15] and header["OrigDataStartFrame"] == "11"
    assert np.isnan(points[:, 2]).all() and points[0, 0].tolist() == [1, 478, 0]
    assert read(folder / "clip_person7.trc")[2].tolist() == [13]


def test_what_was_filled_is_listed_beside_it_and_guesses_are_left_out(tmp_path: Path) -> None:
    points, scores = np.ones((3, 2)), np.full(3, 0.9)
    with Trc(tmp_path) as file:
        file.write(one(0, points, scores, filled_keypoints=np.array([[False, False, False]])))
        file.write(one(1, points, scores, filled_keypoints=np.array([[True, False, True]])))
        file.write(one(2, points, scores, guessed=np.array([True])))
    with (tmp_path / "clip_person1_filled.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [(row["frame"], row["time"], row["keypoint"]) for row in rows] == [
        ("2", "0.040000", "a"), ("2", "0.040000", "c")
    ]  # fmt: skip
    assert np.isfinite(read(tmp_path / "clip_person1.trc")[4]).all((1, 2)).tolist() == [True, True, False]
    assert [path.name for path in file.written] == ["clip_person1.trc", "clip_person1_filled.csv"]


def test_several_people_and_one_name(tmp_path: Path) -> None:
    with Trc(tmp_path, tmp_path / "x.trc") as file:
        for identity in (1, 2):
            file.write(one(0, np.ones((3, 2)), np.ones(3), identity))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x_person1.trc", "x_person2.trc"]


def test_people_without_identities_are_refused(tmp_path: Path) -> None:
    nameless = Poses(np.ones((1, 17, 2)), np.ones((1, 17)), [[0, 0, 1, 1]], [1])
    with pytest.raises(ValueError, match="without identities"), Trc(tmp_path) as file:
        file.write(Result("clip.mp4", 0, 0.0, 640, 480, nameless))
    with pytest.raises(ValueError, match="other keypoints"), Trc(tmp_path) as file:
        file.write(one(0, np.ones((3, 2)), np.ones(3)))
        file.write(Result("a/clip.mp4", 1, 0.1, 9, 9, Poses(np.ones((1, 17, 2)), np.ones((1, 17)), [[0, 0, 1, 1]], [1],
                                                          COCO, [1])))  # fmt: skip


@pytest.mark.parametrize(("calibrated", "least"), [(True, 0.5), (False, 0.3)])
def test_keypoints_that_would_not_be_drawn_are_no_markers(calibrated: bool, least: float, tmp_path: Path) -> None:
    result = one(0, np.full((3, 2), 9.0), np.array([least - 0.01, least + 0.01, least - 0.01]))
    with Trc(tmp_path) as made:
        made.write(replace(result, poses=replace(result.poses, calibrated=calibrated)))
    *_, values = read(tmp_path / "clip_person1.trc")
    assert np.flatnonzero(np.isfinite(values[0]).all(-1)).tolist() == [1]


def test_a_file_for_nobody_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"nobody was found, so .*person.trc is not written"),
        Trc(tmp_path, tmp_path / "person.trc"),
    ):
        pass
    assert not list(tmp_path.iterdir())
    with Trc(tmp_path / "all"):
        pass
