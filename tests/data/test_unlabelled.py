"""Boxes of any label file meet the pictures that are to be labelled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.data.unlabelled import boxes_of, find_pictures, with_boxes
from edgepose.media.images import write_image


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "cam1").mkdir(parents=True)
    (folder / "cam2").mkdir()
    for name in ("a b.jpg", "cam1/x.jpg", "cam2/x.jpg"):
        write_image(folder / name, np.full((40, 60, 3), 90, np.uint8))
    return folder


def labels(path: Path, names: list[str], **more: Any) -> Path:
    images = [{"id": 5 + i, "file_name": name, "width": 60, "height": 40} for i, name in enumerate(names)]
    rows = [
        {"id": 20 + i, "image_id": 5 + i, "category_id": 2, "bbox": [4, 6, 20, 30], "area": 300} | more
        for i in range(len(names))
    ]
    path.write_text(json.dumps({"images": images, "annotations": rows, "categories": [{"id": 2, "name": "person"}]}))
    return path


def test_names_are_met_however_a_tool_writes_them(pictures: Path, tmp_path: Path) -> None:
    path = labels(tmp_path / "boxes.json", ["upload\\cam2\\x.JPG", "a%20b.jpg", "gone.jpg"])
    work = with_boxes(find_pictures([pictures]), path)
    assert [picture.name for picture in work.pictures] == ["cam2/x.jpg", "a b.jpg"]
    assert [picture.image["id"] for picture in work.pictures] == [5, 6]
    assert (work.lost, work.category) == (["gone.jpg"], 2)
    assert boxes_of(work.pictures[0].people or []).tolist() == [[4, 6, 24, 36]]
    with pytest.raises(ValueError, match=r"names x\.jpg, which fits 2 pictures"):
        with_boxes(find_pictures([pictures]), labels(tmp_path / "two.json", ["x.jpg"]))
    with pytest.raises(ValueError, match="none of the 1 pictures"):
        with_boxes(find_pictures([pictures]), labels(tmp_path / "none.json", ["y.jpg"]))


def test_boxes_are_repaired_and_said_as_for_training(pictures: Path, tmp_path: Path) -> None:
    """Crowds stay out, a missing area is filled, and ids that are text are taken and said."""
    path = labels(tmp_path / "boxes.json", ["cam1/x.jpg"], area=None)
    content = json.loads(path.read_text())
    content["images"][0]["id"] = content["annotations"][0]["image_id"] = "5"
    content["annotations"].append(content["annotations"][0] | {"id": 90, "iscrowd": 1})
    path.write_text(json.dumps(content))
    work = with_boxes(find_pictures([pictures]), path)
    (person,) = work.pictures[0].people or []
    assert person["id"] == 20 and person["area"] == pytest.approx(0.53 * 600)
    assert any("taken as whole numbers" in note for note in work.notes)
