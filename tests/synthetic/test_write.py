"""Files of synthetic people: what training and tracking read back is what was drawn."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgepose.cli import app
from edgepose.data.coco import read_coco
from edgepose.media.files import hidden_folder_prefix
from edgepose.media.video import read_video
from edgepose.skeleton import COCO
from edgepose.synthetic import person_picture, random_scene
from edgepose.synthetic.write import poses_of, whole_folder, write_people, write_video

SIZE = (96, 128)


def test_a_training_set_reads_back(tmp_path: Path) -> None:
    done: list[int] = []
    counts = write_people(tmp_path / "set", 8, seed=3, size=SIZE, progress=done.append)
    people = read_coco(tmp_path / "set" / "annotations.json", tmp_path / "set" / "pictures")
    assert done == list(range(1, 9)) and counts == {"pictures": 8, "people": len(people)}
    assert people.skeleton == COCO and len(people.files) == 8 and len(people) >= 8
    image, truth = person_picture((3, 0), SIZE)
    first = people[people.picture == 0]
    seen = (truth.occlusion <= 0.9) & (truth.areas > 0)
    assert len(first) == seen.sum()
    labelled = first.visible > 0
    np.testing.assert_array_equal(labelled, truth.visible[seen] > 0)
    np.testing.assert_allclose(first.keypoints[labelled], truth.keypoints[seen][labelled], atol=0.006)
    assert np.abs(people.image(0).astype(int) - image).mean() < 8  # a JPEG of it


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_people(tmp_path / name, 2, seed=seed, size=SIZE)
    a, b, c = ({p.name: p.read_bytes() for p in (tmp_path / n).rglob("*.*") if p.is_file()} for n in "abc")
    assert a == b and a != c and len(a) == 3


def test_a_video_comes_with_its_truth(tmp_path: Path) -> None:
    counts = write_video(tmp_path / "film", people=3, seconds=0.5, rate=10, seed=2, size=(160, 96), move="pan")
    lines = [json.loads(line) for line in (tmp_path / "film" / "truth.jsonl").read_text().splitlines()]
    frames = list(read_video(tmp_path / "film" / "video.mp4"))
    assert counts["frames"] == len(lines) == len(frames) == 5
    scene = random_scene(2, 3, (160, 96), move="pan")
    for i, (line, read) in enumerate(zip(lines, frames, strict=True)):
        frame = scene.frame(i / 10)
        poses = poses_of(frame)
        assert line["frame"] == i and line["time"] == pytest.approx(i / 10) == pytest.approx(read.time)
        assert (line["width"], line["height"]) == (160, 96)
        assert poses.ids is not None and [p["id"] for p in line["people"]] == poses.ids.tolist()
        for person, keypoints, visible in zip(line["people"], poses.keypoints, poses.scores, strict=True):
            written = np.array(person["keypoints"])
            np.testing.assert_allclose(written[:, :2], keypoints, atol=0.006)
            np.testing.assert_array_equal(written[:, 2], visible)
        assert np.abs(read.image.astype(int) - frame.image).mean() < 12


def test_a_folder_is_whole_or_absent(tmp_path: Path) -> None:
    def fails() -> None:
        with whole_folder(tmp_path / "out") as folder:
            (folder / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("x")
    with pytest.raises(ValueError, match="empty folder"):
        write_people(tmp_path / "full", 1, size=SIZE)
    assert (tmp_path / "full" / "precious").exists()
    with pytest.raises(ValueError, match="at least 1"):
        write_people(tmp_path / "none", 0)
    with pytest.raises(ValueError, match="no frame"):
        write_video(tmp_path / "none", 1, seconds=0)


def test_the_command(tmp_path: Path) -> None:
    pictures = tmp_path / "walls"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "red.png"), np.full((40, 60, 3), (0, 0, 255), np.uint8))
    size = ["--size", "96", "128"]
    plain, red = tmp_path / "plain", tmp_path / "red"
    run = CliRunner().invoke
    result = run(app, ["data", "synthesize", "--people", "2", "--out", str(plain), *size, "--json"])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["pictures"] == 2 and answer["data"] == f"{plain}/annotations.json:{plain}/pictures"
    arguments = ["--people", "2", "--out", str(red), *size, "--backgrounds", str(pictures)]
    assert run(app, ["data", "synthesize", *arguments]).exit_code == 0
    redness = [cv2.imread(str(f / "pictures" / "00000001.jpg")).astype(int) for f in (plain, red)]
    assert (redness[1][..., 2] - redness[1][..., 1]).mean() > (redness[0][..., 2] - redness[0][..., 1]).mean() + 20
    film = ["--video", "--people", "1", "--seconds", "0.2", "--fps", "10", "--out", str(tmp_path / "film"), *size]
    result = run(app, ["data", "synthesize", *film, "--move", "static", "--json"])
    assert result.exit_code == 0 and json.loads(result.stdout)["frames"] == 2
    for wrong in (["--seconds", "2"], ["--fps", "5"], ["--move", "pan"]):
        result = run(app, ["data", "synthesize", "--out", str(tmp_path / "no"), *wrong])
        assert result.exit_code == 2 and "--video" in result.output
    result = run(app, ["data", "synthesize", "--out", str(plain), "--people", "1"])
    assert result.exit_code == 1 and "new or an empty folder" in result.output
    assert not (tmp_path / "no").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="asks for processes as POSIX does")
def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    code = "from edgepose.media.files import hidden_folder_prefix; print(hidden_folder_prefix())"
    prefix = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    (tmp_path / f"{prefix}0123abcd" / "pictures").mkdir(parents=True)
    (tmp_path / f"{hidden_folder_prefix()}0123abcd").mkdir()  # of a living process
    write_people(tmp_path / "set", 1, seed=1, size=SIZE)
    assert {path.name for path in tmp_path.iterdir()} == {"set", f"{hidden_folder_prefix()}0123abcd"}
