"""`edgepose train` on a drawn picture: trains, validates with the deployed estimator, logs, goes on; and `export`."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
from typer.testing import CliRunner

from edgepose.cli import app
from edgepose.runtime.scene import draw_scene

pytest.importorskip("torch")
pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("data")
    image, poses = draw_scene((320, 180))
    (folder / "pictures").mkdir()
    assert cv2.imwrite(str(folder / "pictures" / "1.png"), image)
    people = []
    for i, (keypoints, (x1, y1, x2, y2)) in enumerate(zip(poses.keypoints, poses.boxes.tolist(), strict=True)):
        points = [float(v) for x, y in keypoints for v in (x, y, 2)]
        box = [x1, y1, x2 - x1, y2 - y1]
        person = {"id": i + 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": box, "area": box[2] * box[3]}
        people.append(person | {"keypoints": points, "num_keypoints": 17})
    labels = {
        "images": [{"id": 1, "file_name": "1.png", "width": 320, "height": 180}],
        "annotations": people,
        "categories": [{"id": 1, "name": "person", "keypoints": list(poses.skeleton.names)}],
    }
    (folder / "labels.json").write_text(json.dumps(labels))
    return f"{folder / 'labels.json'}:{folder / 'pictures'}"


def train(data: str, out: Path, *words: str) -> dict[str, object]:
    settings = ["epochs=1", "batch=4", "overfit=4", "input_size=64x64", "precision=fp32", "threads=1", *words]
    result = CliRunner().invoke(app, ["train", "rtmpose-t", f"data={data}", f"out={out}", "--json", *settings])
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_a_run_and_the_same_run_again(data: str, tmp_path: Path) -> None:
    last = train(data, tmp_path / "run", f"val={data}")
    assert (tmp_path / "run" / "last.safetensors").is_file()
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert len(rows) == 1 and {"epoch", "iteration", "lr", "simcc", "AP", "AR", "PCK", "seconds"} <= set(rows[0])
    assert last == {"checkpoint": str(tmp_path / "run" / "last.safetensors"), **rows[0]}
    assert train(data, tmp_path / "run", f"val={data}") == last, "a finished run has nothing left to do"


def test_other_settings_in_the_same_folder_are_refused(data: str, tmp_path: Path) -> None:
    train(data, tmp_path / "run")
    words = [f"data={data}", f"out={tmp_path / 'run'}", "epochs=2", "batch=4", "input_size=64x64"]
    result = CliRunner().invoke(app, ["train", "rtmpose-t", *words])
    assert result.exit_code == 1 and result.stderr.startswith("error: ") and "other settings" in result.stderr


@pytest.mark.parametrize(
    "word", ["epochs=1.5", "lrr=1", "epochs", "device=tpu", "tensorboard=maybe", "val=a.json", "device=cuda:99"]
)
def test_wrong_words_are_named(word: str, data: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["train", "rtmpose-t", f"data={data}", f"out={tmp_path}", word])
    assert result.exit_code == 1 and word.partition("=")[0] in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.slow
def test_what_was_trained_can_be_exported_and_used(data: str, tmp_path: Path) -> None:
    checkpoint = train(data, tmp_path / "run")["checkpoint"]
    result = CliRunner().invoke(app, ["export", str(checkpoint), "--out", str(tmp_path / "mine.onnx"), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["mean"] < 0.1
    annotations, _, pictures = data.partition(".json:")
    words = ["evaluate", "--model", str(tmp_path / "mine.onnx"), "--data", annotations + ".json", "--images", pictures]
    result = CliRunner().invoke(app, [*words, "--detector", "none", "--json"])
    assert result.exit_code == 0 and json.loads(result.stdout)["people"] == 4
