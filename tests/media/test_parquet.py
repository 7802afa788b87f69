"""Parquet: the numbers of the other formats with types, in groups of rows, and whole however the run ends."""

from __future__ import annotations

import csv
import dataclasses
import json
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edgepose.cli import app
from edgepose.media.parquet import Parquet
from edgepose.media.results import Csv, Result
from edgepose.poses import Poses
from edgepose.skeleton import BOX, COCO
from tests.test_cli_keep import at_frame, make_clip
from tests.tiny import write_tiny_model


def people(count: int, seed: int = 0, tracked: bool = True) -> Poses:
    rng = np.random.default_rng(seed)
    return Poses(
        rng.random((count, 17, 2)) * 500, rng.random((count, 17)), rng.random((count, 4)) * 500, rng.random(count),
        ids=np.arange(count) + 1 if tracked else None,
    )  # fmt: skip


def results(frames: int = 4) -> list[Result]:
    """Frames of a video, the second without people, and a picture."""
    made = [
        Result("clip.mp4", i, i / 30, 640, 480, people(0 if i == 1 else 2, i), np.array([False, True])[: 2 * (i != 1)])
        for i in range(frames)
    ]
    return [*made, Result("one.jpg", 0, None, 320, 240, people(1, 9, tracked=False))]


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    clip, model = make_clip(tmp_path / "clip.mp4", 2), write_tiny_model(tmp_path / "tiny.onnx")
    result = CliRunner().invoke(app, ["predict", str(clip), "-m", str(model), "-o", str(tmp_path / "r.parquet")])
    assert result.exit_code == 1
    assert "error: pyarrow is not installed, which this needs: pip install 'edgepose[parquet]'" in result.stderr
    assert not (tmp_path / "r.parquet").exists()


def test_a_file_takes_no_other_format_and_no_overlay(tmp_path: Path) -> None:
    for words, said in ((["-f", "csv"], "expected no --format"), (["--overlay"], "name a folder in --out")):
        for verb in ("predict", "track"):
            result = CliRunner().invoke(app, [verb, "x.mp4", "-o", str(tmp_path / "r.parquet"), *words])
            assert result.exit_code == 2 and said in result.stderr


def test_the_numbers_are_those_of_csv(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    with Parquet(tmp_path / "r.parquet") as binary, Csv(tmp_path / "r.csv") as text:
        for result in results():
            binary.write(result)
            text.write(result)
    table = parquet.read_table(tmp_path / "r.parquet")
    rows = list(csv.reader((tmp_path / "r.csv").read_text().splitlines()))
    assert table.schema.names == rows[0] and table.num_rows == len(rows) - 1 == 7
    for ours, theirs in zip(table.to_pylist(), rows[1:], strict=True):
        for name, cell in zip(rows[0], theirs, strict=True):
            value = ours[name]
            if name == "source":
                assert value == cell
            else:
                assert (value is None) == (cell == "") and float(value or 0) == pytest.approx(
                    float(cell or 0), rel=1e-6
                )
    types = {name: str(table.schema.field(name).type) for name in ("time", "id", "nose_x", "guessed")}
    assert types == {"time": "double", "id": "int64", "nose_x": "float", "guessed": "bool"}
    facts = json.loads(table.schema.metadata[b"edgepose"])
    assert facts["skeleton"]["name"] == "coco" and facts["skeleton"]["names"] == list(COCO.names)


def test_angles_and_what_was_filled_have_columns(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    filled_keypoints = np.zeros((2, 17), bool)
    filled_keypoints[0, [0, 9]] = True
    offline = dataclasses.replace(
        results()[0], filled=np.array([False, True]), filled_keypoints=filled_keypoints,
        angles={"left_knee": np.array([90.126, np.nan])},
    )  # fmt: skip
    with Parquet(tmp_path / "r.parquet") as binary, Csv(tmp_path / "r.csv") as text:
        binary.write(offline)
        text.write(offline)
    table = parquet.read_table(tmp_path / "r.parquet")
    assert table.schema.names == (tmp_path / "r.csv").read_text().splitlines()[0].split(",")
    first, second = table.to_pylist()
    assert first["left_knee_angle"] == pytest.approx(90.13) and second["left_knee_angle"] is None
    assert (first["filled"], second["filled"]) == (False, True)
    assert first["filled_keypoints"] == ["nose", "left_wrist"] and second["filled_keypoints"] == []


def test_rows_are_written_in_groups_and_not_held(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    with Parquet(tmp_path / "r.parquet", rows=10) as writer:
        for i in range(33):
            writer.write(Result("clip.mp4", i, i / 30, 640, 480, people(2, i)))
            assert sum(len(result.poses) for result in writer._waiting) < 10
    file = parquet.ParquetFile(tmp_path / "r.parquet")
    assert file.num_row_groups == 7 and file.metadata.num_rows == 66
    assert file.read(["frame"])["frame"].to_pylist() == [i for i in range(33) for _ in range(2)]


def test_nobody_and_people_without_keypoints(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    with Parquet(tmp_path / "none.parquet"):
        pass
    assert parquet.read_table(tmp_path / "none.parquet").num_rows == 0
    boxes = Poses.of_boxes(np.array([[1.0, 2, 3, 4]]), np.array([0.5]))
    with Parquet(tmp_path / "boxes.parquet") as writer:
        writer.write(Result("one.jpg", 0, None, 320, 240, boxes))
        with pytest.raises(ValueError, match=f"has columns for {BOX.name}, got people of coco"):
            writer.write(results()[0])
    (row,) = parquet.read_table(tmp_path / "boxes.parquet").to_pylist()
    assert row["x2"] == 3 and row["score"] == 0.5 and row["guessed"] is False


def test_an_error_keeps_what_came_before_and_leaves_nothing_half(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    with pytest.raises(RuntimeError), Parquet(tmp_path / "r.parquet", rows=3) as writer:
        for result in results()[:3]:
            writer.write(result)
        raise RuntimeError("stop")
    assert set(parquet.read_table(tmp_path / "r.parquet")["frame"].to_pylist()) == {0, 2}
    with pytest.raises(RuntimeError), Parquet(tmp_path / "none.parquet"):
        raise RuntimeError("stop")
    assert [path.name for path in tmp_path.iterdir()] == ["r.parquet"]


def test_what_no_file_can_hold_is_written_all_the_same(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    poses = people(1)
    points = poses.keypoints.copy()
    points[0, 0] = np.nan, np.inf
    with Parquet(tmp_path / "r.parquet") as writer:
        writer.write(Result("a\udcff.jpg", 0, None, 10, 10, dataclasses.replace(poses, keypoints=points)))
    (row,) = parquet.read_table(tmp_path / "r.parquet").to_pylist()
    assert row["source"] == "a\\udcff.jpg"  # a name that is no Unicode
    assert (row["nose_x"], row["nose_y"], row["nose_score"]) == (0, 0, 0)


@pytest.mark.parametrize("verb", ["predict", "track"])
@pytest.mark.parametrize("whole", [True, False])
def test_the_command_line_keeps_it_after_ctrl_c(
    verb: str, whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    clip, model = make_clip(tmp_path / "clip.mp4", 8), write_tiny_model(tmp_path / "tiny.onnx")
    words = [verb, str(clip), "-m", str(model), "-o", str(tmp_path / "new" / "r.parquet"), "--json"]
    if not whole:
        at_frame(4, lambda: signal.raise_signal(signal.SIGINT), monkeypatch)
    done = CliRunner().invoke(app, words)
    assert done.exit_code == (0 if whole else 130), done.output
    printed = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    kept = parquet.read_table(tmp_path / "new" / "r.parquet")["frame"].to_pylist()
    assert kept == [frame["frame"] for frame in printed for _ in frame["people"]]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["r.parquet"]
