"""Boxes that are not x, y, width, height in pixels are told with what they seem to be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgepose.data.check import check
from edgepose.data.read import read
from edgepose.evaluate.labels import read_labels
from edgepose.skeleton import COCO

W, H = 300, 400
BOXES = [[100.0, 90.0, 110.0, 220.0], [130.0, 180.0, 150.0, 210.0], [160.0, 80.0, 120.0, 260.0]]


def labels(box: Callable[[list[float]], list[float]], point: Callable[[float, float], tuple[float, float]]) -> Any:
    """Three people whose keypoints fill their boxes, both written otherwise."""
    people = []
    for i, (x, y, w, h) in enumerate(BOXES, start=1):
        spread = [point(x + w * (0.1 + 0.05 * k), y + h * (0.1 + 0.047 * k)) for k in range(17)]
        keypoints = [v for xy in spread for v in (*xy, 2)]
        people.append({"id": i, "image_id": i, "category_id": 1, "bbox": box([x, y, w, h]), "keypoints": keypoints})
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": W, "height": H} for i in (1, 2, 3)],
        "annotations": people,
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.names)}],
    }


def same(x: float, y: float) -> tuple[float, float]:
    return x, y


OTHERWISE = {
    "middle": (lambda b: [b[0] + b[2] / 2, b[1] + b[3] / 2, b[2], b[3]], "would if they were middle x, middle y"),
    "fractions": (lambda b: [b[0] / W, b[1] / H, b[2] / W, b[3] / H], "if they were fractions"),
    "percent": (lambda b: [100 * b[0] / W, 100 * b[1] / H, 100 * b[2] / W, 100 * b[3] / H], "if they were percent"),
    "corners": (
        lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]],
        "would not if they were corners x1, y1, x2, y2",
    ),
}


@pytest.mark.parametrize("case", OTHERWISE)
def test_every_command_tells_what_boxes_seem_to_be(tmp_path: Path, case: str) -> None:
    box, words = OTHERWISE[case]
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(labels(box, same)))
    for reader in (read, read_labels):
        with pytest.raises(ValueError, match=words):
            reader(path)
    report = check(path)
    assert report.harmful and any(words in problem for problem in report.found["problems"])


@pytest.mark.parametrize("words", ["percent of the picture", "counted from the corner of the box"])
def test_every_command_tells_what_keypoints_seem_to_be(tmp_path: Path, words: str) -> None:
    content = labels(list, same)
    for person, (bx, by, _, _) in zip(content["annotations"], BOXES, strict=True):
        x, y = person["keypoints"][::3], person["keypoints"][1::3]
        moved = {
            "percent of the picture": ([100 * v / W for v in x], [100 * v / H for v in y]),
            "counted from the corner of the box": ([v - bx for v in x], [v - by for v in y]),
        }[words]
        person["keypoints"] = [v for xy in zip(*moved, strict=True) for v in (*xy, 2)]
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(content))
    words = f"lie outside their boxes, and would not if they were {words}"
    for reader in (read, read_labels):
        with pytest.raises(ValueError, match=words):
            reader(path)
    assert any(words in problem for problem in check(path).found["problems"])


@pytest.mark.parametrize("boxed", [True, False])
def test_all_in_percent_is_told(tmp_path: Path, boxed: bool) -> None:
    """Boxes and keypoints alike, so that they fit each other; and keypoints whose boxes are made of them."""
    content = labels(
        *(
            lambda b: [100 * b[0] / W, 100 * b[1] / H, 100 * b[2] / W, 100 * b[3] / H],
            lambda x, y: (100 * x / W, 100 * y / H),
        )
    )
    if not boxed:
        for person in content["annotations"]:
            del person["bbox"]
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(content))
    words = "all labels lie between 0 and 100 on pictures of 250 pixels and more, as percent of the picture do"
    for reader in (read, read_labels):
        with pytest.raises(ValueError, match=words):
            reader(path)
    assert any(words in problem for problem in check(path).found["problems"])
    for image in content["images"]:
        image |= {"width": 120, "height": 120}  # then they may be pixels
    path.write_text(json.dumps(content))
    assert len(read(path)) == 3


def test_right_boxes_and_what_nothing_explains_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    for point in (same, lambda x, y: (1000 - x, 3000 - y)):
        path.write_text(json.dumps(labels(list, point)))
        assert len(read(path)) == 3 and not check(path).found["problems"]


def test_an_area_of_a_fraction_is_none(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    content = labels(list, same)
    content["annotations"][0]["area"] = 0.2  # of the picture
    content["annotations"][1]["area"] = 5000.0
    content["annotations"][2]["area"] = 0.53 * 120 * 260
    path.write_text(json.dumps(content))
    found = read_labels(path)
    assert [row["area"] for row in found["annotations"]] == pytest.approx([0.53 * 110 * 220, 5000, 0.53 * 120 * 260])
    (note,) = found["notes"]
    assert "the area of annotation 1 is less than a thousandth of the box" in note


def test_keypoints_alone_may_be_fractions(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(labels(list, lambda x, y: (x / W, y / H))))
    with pytest.raises(ValueError, match=r"all keypoints lie between 0 and 1\.5, as fractions"):
        read(path)


def test_a_count_of_0_of_labelled_keypoints_is_no_count(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    content = labels(list, same)
    for row, count in zip(content["annotations"], (0, 17, -1), strict=True):
        row["num_keypoints"] = count
    path.write_text(json.dumps(content))
    assert [row.get("num_keypoints") for row in read_labels(path)["annotations"]] == [None, 17, None]
