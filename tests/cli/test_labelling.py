"""`edgepose data frames`, `split` and `suggest` as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edgepose.cli import app
from edgepose.media.example import example_image
from edgepose.media.images import write_image
from edgepose.media.video import Frame, VideoWriter

run = CliRunner()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    image = example_image()
    height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    path = tmp_path / "clip.mp4"
    with VideoWriter(path) as writer:
        for index in range(4):
            writer.write(
                Frame(np.ascontiguousarray(np.roll(image, 9 * index, axis=1)[:height, :width]), index / 10, index)
            )
    return path


def test_frames_and_what_is_no_video(clip: Path, tmp_path: Path) -> None:
    done = run.invoke(app, ["data", "frames", str(clip), "--count", "2", "--out", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert told["frames"] == 4 and [Path(file).is_file() for file in told["files"]] == [True, True]
    write_image(tmp_path / "one.jpg", example_image())
    refused = run.invoke(app, ["data", "frames", str(tmp_path / "one.jpg"), "--out", str(tmp_path / "out")])
    assert refused.exit_code == 2 and "is a picture: expected a video" in " ".join(refused.stderr.split())


def test_a_broken_video_does_not_stop_the_others(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(clip.read_bytes()[:60])
    done = run.invoke(app, ["data", "frames", str(tmp_path), "--count", "3", "--out", str(tmp_path / "out")])
    assert done.exit_code == 1 and "a.mp4" in done.stderr and "3 of 4 frames" in done.stdout


def test_split_writes_both_files(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": f"v{i // 4}_{i:04d}.jpg", "width": 8, "height": 8} for i in range(12)]
    content = {"images": images, "annotations": [{"id": i, "image_id": i} for i in range(12)], "categories": []}
    (tmp_path / "labels.json").write_text(json.dumps(content))
    done = run.invoke(
        app, ["data", "split", str(tmp_path / "labels.json"), "--val", "0.3", "-o", str(tmp_path / "s"), "--json"]
    )
    assert done.exit_code == 0
    assert json.loads(done.stdout)["val"] == {"images": 4, "annotations": 4}
    parts = [json.loads((tmp_path / "s" / f"{name}.json").read_text()) for name in ("train", "val")]
    assert [len(part["images"]) for part in parts] == [8, 4]
    (tmp_path / "labels.json").write_text("[]")
    refused = run.invoke(app, ["data", "split", str(tmp_path / "labels.json"), "-o", str(tmp_path / "s")])
    assert refused.exit_code == 1 and "lacks `images` or `annotations`" in refused.stderr


def test_suggest_names_and_writes_frames(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "next"
    done = run.invoke(app, ["data", "suggest", str(clip), "--count", "1", "--out", str(out), "--json"])
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert 0 <= told["disagreement"] <= 1 and told["time"] == pytest.approx(told["frame"] / 10)
    assert [file.name for file in out.iterdir()] == [f"clip_f{told['frame']:06d}_t{told['frame'] * 100:06d}ms.jpg"]
    write_image(tmp_path / "black.png", np.zeros((64, 64, 3), np.uint8))
    nobody = run.invoke(app, ["data", "suggest", str(tmp_path / "black.png")])
    assert nobody.exit_code == 1 and "found nobody in 1 frames" in nobody.stderr


def test_suggest_says_what_it_left_out_and_wrote(clip: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "one.jpg", example_image())
    done = run.invoke(app, ["data", "suggest", str(clip), "--count", "3", "--out", str(tmp_path / "next")])
    assert done.exit_code == 0 and "1 of 4 frames: the others show nobody, look the same" in done.stderr
    assert done.stdout.endswith(f"wrote 1 frames of videos to {tmp_path / 'next'}\n")
    done = run.invoke(app, ["data", "suggest", str(tmp_path / "one.jpg"), "--out", str(tmp_path / "none")])
    assert done.stdout.endswith(f"wrote nothing to {tmp_path / 'none'}; 1 of these are pictures already\n")
    assert not (tmp_path / "none").exists() and not done.stderr, "all that there is was named"
