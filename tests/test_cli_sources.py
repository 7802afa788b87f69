"""No command writes over what it reads, under any name or through any link; overlays are no pictures to look at."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from edgepose.media.example import scaled_example
from edgepose.media.images import write_image
from tests.test_cli import run
from tests.test_cli_keep import make_clip
from tests.tiny import write_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny default models."""
    for name, per_person in (("default-detector", False), ("default-pose", True)):
        write_tiny_model(tmp_path / f"{name}.onnx", per_person)
    monkeypatch.setattr("edgepose.runtime.load.WEIGHTS", tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A picture, a video, labels and a checkpoint's name, and links to each under the names of outputs."""
    folder = tmp_path / "here"
    folder.mkdir()
    write_image(folder / "a.png", scaled_example((160, 96)))
    make_clip(folder / "clip.mp4", 3)
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 90, 80], "iscrowd": 0, "area": 3000}
    points = {"keypoints": [20, 20, 2] * 17, "num_keypoints": 17}
    labels = {"images": [{"id": 1, "file_name": "a.png", "width": 160, "height": 96}], "annotations": [box | points]}
    (folder / "val.json").write_text(json.dumps(labels | {"categories": [{"id": 1, "name": "person"}]}))
    return folder


def contents(folder: Path, *names: str) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names}


@pytest.mark.parametrize("link", [os.symlink, os.link])
@pytest.mark.parametrize(
    "words",
    [
        "predict {0}/a.png --out {0} --model {1}: results.jsonl -> a.png",
        "predict {0}/a.png --out {0} --format csv --model {1}: results.csv -> a.png",
        "predict {0}/a.png --out {0} --format coco --data {0}/val.json --model {1}: results.json -> val.json",
        "predict {0}/a.png --out {0} --format coco --data {0}/val.json --model {1}: results-images.json -> val.json",
        "track {0}/clip.mp4 --out {0}/x.mp4 --model {1}: x.mp4 -> clip.mp4",
        "track {0}/clip.mp4 --live --out {0} --model {1}: results.jsonl -> clip.mp4",
        "label {0} --out {0}/labels.json --model {1}: labels.json -> a.png",
        "label {0} --out {0}/labels.json --boxes {0}/val.json --model {1}: labels.json -> val.json",
        "data convert {0}/val.json {0}/out.json: out.json -> val.json",
        "data convert {0}/val.json {0}/out.json --to label-studio: out-config.xml -> val.json",
        "data single-person {0}/val.json {0}/out.json: out.json -> val.json",
        "data split {0}/val.json --out {0}: train.json -> val.json",
        "data sigmas {0}/val.json {0}/val.json --out {0}/s.json: s.json -> val.json",
        "data check {0}/val.json --images {0} --page {0}/page.html: page.html -> val.json",
        "evaluate --data {0}/val.json --images {0} --model {1} --out {0}/out.json: out.json -> val.json",
        "evaluate --data {0}/val.json --images {0} --model {1} --report {0}: tiny.json -> val.json",
        "compare {1} --data {0}/val.json --images {0} --out {0}: compare.json -> val.json",
    ],
)
def test_nothing_that_is_read_is_written_through_a_link(words: str, link: object, model: Path, folder: Path) -> None:
    line, _, pair = words.partition(": ")
    name, _, target = pair.partition(" -> ")
    link(folder / target, folder / name)  # type: ignore[operator]
    before = contents(folder, "a.png", "clip.mp4", "val.json")
    result = run(*line.format(folder, model).split())
    assert result.exit_code == 1, result.output
    assert f"{folder / name} would be replaced, and it is read" in result.stderr and result.stderr.count("\n") == 1
    assert contents(folder, *before) == before


@pytest.mark.parametrize("verb", ["predict", "track"])
@pytest.mark.parametrize("kind, place", [("openpose", "openpose/a_000000000000_keypoints.json"), ("dlc", "dlc/a.csv")])
def test_links_inside_a_folder_of_results(verb: str, kind: str, place: str, model: Path, folder: Path) -> None:
    (folder / place).parent.mkdir()
    (folder / place).symlink_to(folder / "a.png")
    before = contents(folder, "a.png")
    result = run(verb, folder / "a.png", "--out", folder, "--format", kind, "--model", model)
    assert result.exit_code == 1 and "would be replaced" in result.stderr and contents(folder, "a.png") == before


def test_frames_of_a_video_do_not_replace_it(folder: Path) -> None:
    out = folder / "frames"
    out.mkdir()
    (out / "clip_f000000_t000000ms.jpg").symlink_to(folder / "clip.mp4")
    before = contents(folder, "clip.mp4")
    result = run("data", "frames", folder / "clip.mp4", "--out", out)
    assert result.exit_code == 1 and "would be replaced" in result.stderr and contents(folder, "clip.mp4") == before


@pytest.mark.parametrize("verb", ["predict", "demo"])
def test_a_second_run_draws_no_overlay_of_an_overlay(verb: str, model: Path, weights: None, folder: Path) -> None:
    (folder / "val.json").unlink()
    words = [verb, folder, "--out", folder] + (["--overlay", "--model", model] if verb == "predict" else [])
    assert run(*words).exit_code == 0
    first = {path.name for path in folder.iterdir()}
    assert run(*words).exit_code == 0
    assert {path.name for path in folder.iterdir()} == first
    assert {name for name in first if "overlay" in name} == {"a_overlay.png", "clip_overlay.mp4"}
    rows = (folder / "results.jsonl").read_text() if verb == "predict" else (folder / "clip.jsonl").read_text()
    assert len(rows.splitlines()) == (4 if verb == "predict" else 3)


def test_a_pattern_of_the_shell_passes_over_overlays_too(model: Path, folder: Path) -> None:
    words = ["--out", folder, "--overlay", "--model", model]
    assert run("predict", folder / "a.png", *words).exit_code == 0
    result = run("predict", folder / "a.png", folder / "a_overlay.png", *words)
    assert result.exit_code == 0 and "1 overlays of an earlier run are passed over" in result.stderr
    assert {path.name for path in folder.glob("*overlay*")} == {"a_overlay.png"}


def test_an_overlay_replaces_nothing_but_an_overlay(model: Path, folder: Path) -> None:
    kept = folder / "a_overlay.png"
    write_image(kept, scaled_example((32, 32)))  # somebody's own
    before = kept.read_bytes()
    for _ in range(2):
        assert run("predict", folder / "a.png", "--out", folder, "--overlay", "--model", model).exit_code == 0
        assert kept.read_bytes() == before
    assert {path.name for path in folder.glob("*overlay*")} == {"a_overlay.png", "a_overlay-2.png"}


def test_the_demo_keeps_files_of_others(weights: None, folder: Path) -> None:
    (folder / "a.json").write_text('{"version": "5.0", "shapes": []}')  # labelme's
    write_image(folder / "example.png", scaled_example((32, 32)))
    before = contents(folder, "a.json", "example.png")
    for words in ([], [folder / "a.png"]):
        assert run("demo", *words, "--out", folder).exit_code == 0
    assert contents(folder, *before) == before
    assert json.loads((folder / "a-2.json").read_text())["source"] == str(folder / "a.png")
    assert (folder / "example-2.png").is_file()
