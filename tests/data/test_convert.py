"""Labels in the forms of other tools come back as they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgepose.cli import app
from edgepose.data.read import read
from edgepose.skeleton import Skeleton

NAMES = ["grip", "left_tip", "right_tip"]


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Two tools on a.png, of which one has a hidden and an unlabelled point, a crowd, and nothing on b/c d.png."""
    (tmp_path / "pictures" / "b").mkdir(parents=True)
    for name in ("a.png", "b/c d.png"):
        cv2.imwrite(str(tmp_path / "pictures" / name), np.zeros((100, 200, 3), np.uint8))
    tools: list[dict[str, Any]] = [
        {"id": 3, "bbox": [10, 10, 40, 60], "keypoints": [12, 20, 2, 30, 40, 1, 0, 0, 0]},
        {"id": 4, "bbox": [100, 20, 50, 70], "keypoints": [110, 30, 2, 120, 50, 2, 140, 80, 2]},
        {"id": 5, "bbox": [150, 1, 9, 9], "keypoints": [], "iscrowd": 1},
    ]
    category = {"id": 6, "name": "tool & co", "keypoints": NAMES, "skeleton": [[1, 2], [1, 3]]}
    images = [{"id": 8, "file_name": "a.png"}, {"id": 9, "file_name": "b/c d.png"}]
    people = [tool | {"image_id": 8, "category_id": 6} for tool in tools]
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"images": images, "annotations": people, "categories": [category]}))
    return path


@pytest.mark.parametrize("to", ["coco", "yolo", "cvat", "label-studio"])
def test_what_is_written_is_read_back(to: str, labels: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    out = tmp_path / {"yolo": "out", "cvat": "out.xml"}.get(to, "out.json")
    words = ["data", "convert", str(labels), str(out), "--to", to, "--images", str(pictures), "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert (facts["images"], facts["annotations"], facts["files"][0]) == (2, 3, str(out))
    before, after = read(labels, pictures), read(out, out if to == "yolo" else pictures)
    np.testing.assert_allclose(after.keypoints, before.keypoints, atol=0.01)
    assert after.codes.tolist() == before.codes.tolist() == [[2, 1, 0], [2, 2, 2]]
    assert after.skeleton.names == tuple(NAMES) and after.skeleton.flip.tolist() == [0, 2, 1]
    assert len(after.categories) == 1 and after.categories[0] == "tool & co"
    assert len(after.files) == 2 and after.held()[1] == [] and after.image(0).shape == (100, 200, 3)
    if to != "cvat":  # whose skeletons have no boxes
        np.testing.assert_allclose(after.boxes, before.boxes, atol=0.01)
    if to in ("coco", "cvat"):
        assert len(after.unlabelled) == 1
    if to == "coco":
        assert after.skeleton == Skeleton("tool & co", tuple(NAMES), ((0, 1), (0, 2)))
        assert after.crowd.tolist() == [True]
    if to == "yolo":
        assert (out / "images" / "train" / "b" / "c d.png").is_file()
        assert (out / "labels" / "train" / "b" / "c d.txt").read_text() == ""
    if to == "label-studio":
        tasks, config = json.loads(out.read_text()), (tmp_path / "out-config.xml").read_text()
        assert tasks[1]["data"]["image"] == "/data/local-files/?d=b/c%20d.png"
        assert '<Label value="left_tip"/>' in config and '<Label value="tool &amp; co"/>' in config


def test_what_cannot_be_written_is_refused(labels: Path, tmp_path: Path) -> None:
    def run(*words: str) -> Any:
        return CliRunner().invoke(app, ["data", "convert", str(labels), *words])

    result = run(str(tmp_path / "a.xml"), "--to", "cvat")
    assert result.exit_code == 1 and "no size is stated of a.png: add --images" in result.stderr
    assert not (tmp_path / "a.xml").exists()
    assert run(str(labels)).exit_code == 2 and run(str(tmp_path / "pictures"), "--to", "yolo").exit_code == 2
    assert run(str(tmp_path / "a.json"), "--served", "/x").exit_code == 2
    boxes = json.loads(labels.read_text())
    del boxes["categories"][0]["keypoints"]
    boxes["annotations"] = [{k: v for k, v in a.items() if k != "keypoints"} for a in boxes["annotations"]]
    labels.write_text(json.dumps(boxes))
    result = run(str(tmp_path / "y"), "--to", "yolo", "--images", str(tmp_path / "pictures"))
    assert result.exit_code == 1 and "labels without keypoints" in result.stderr
