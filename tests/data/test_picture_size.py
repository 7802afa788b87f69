"""Labels of pictures of another size than the given ones are no measurement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgepose.data.check import check
from edgepose.data.detection import read_boxes
from edgepose.data.picture_size import of_another_size, refuse_pictures_of_another_size
from edgepose.data.read import read
from edgepose.skeleton import COCO
from edgepose.train.families import prepare, recipe_of


@pytest.mark.parametrize(
    ("stated", "point", "size", "other"),
    [
        ((384, 288), (300, 100), (288, 384), True),  # labelled as stored, and EXIF turns it
        ((384, 288), (200, 300), (288, 384), False),  # the stated size alone is that of the stored picture
        (None, (300, 100), (288, 384), True),
        ((144, 192), (100, 150), (288, 384), True),  # labelled on a smaller copy
        ((144, 192), (200, 300), (288, 384), False),  # the stated size alone is wrong
        ((576, 768), (200, 300), (288, 384), False),
        ((576, 768), (500, 300), (288, 384), True),  # labelled on a larger one
        ((288, 383), (200, 300), (288, 384), False),
        ((288, 384), (200, 300), (288, 384), False),
    ],
)
def test_labels_of_another_size_are_told(stated: Any, point: Any, size: tuple[int, int], other: bool) -> None:
    assert of_another_size(stated, size, np.array([[10, 10], point])) == other
    assert not of_another_size(stated, size, np.zeros((0, 2)))


def test_most_of_the_pictures_make_an_error() -> None:
    refuse_pictures_of_another_size(["a.jpg (9x9)"], 2, "x.json")
    with pytest.raises(ValueError, match=r"2 of 3 pictures .* such as a\.jpg \(9x9\)"):
        refuse_pictures_of_another_size(["a.jpg (9x9)", "b.jpg (9x9)"], 3, "x.json")


def labelled(folder: Path, size: tuple[int, int], stated: tuple[int, int], keypoints: bool = True) -> Path:
    """Four pictures of a size, all but the last with labels of somebody at the right edge of the stated one."""
    (folder / "pictures").mkdir()
    images, people = [], []
    for i in range(4):
        cv2.imwrite(str(folder / "pictures" / f"{i}.png"), np.zeros((size[1], size[0], 3), np.uint8))
        w, h = stated if i < 3 else size
        images.append({"id": i, "file_name": f"{i}.png", "width": w, "height": h})
        points = [v for j in range(17) for v in (w - 20 + j, h / 2 + j, 2)]
        person = {"id": i, "image_id": i, "category_id": 1, "bbox": [w - 24, h / 2 - 4, 24, 24]}
        people.append(person | ({"keypoints": points} if keypoints else {}))
    category = {"id": 1, "name": "person"} | ({"keypoints": list(COCO.names)} if keypoints else {})
    (folder / "a.json").write_text(json.dumps({"images": images, "annotations": people, "categories": [category]}))
    return folder / "a.json"


@pytest.mark.parametrize(("size", "stated"), [((90, 160), (160, 90)), ((80, 45), (160, 90)), ((320, 180), (160, 90))])
def test_every_command_refuses_labels_of_another_size_alike(
    tmp_path: Path, size: tuple[int, int], stated: tuple[int, int]
) -> None:
    """Turned by a tool that wrote the size it saw, shrunk since, or grown."""
    path, pictures = labelled(tmp_path, size, stated), tmp_path / "pictures"
    sentence = (
        rf"3 of 4 pictures with labelled people are not of the size that .*, such as 0\.png \({size[0]}x{size[1]}"
    )
    with pytest.raises(ValueError, match=sentence):
        read(path, pictures)
    with pytest.raises(ValueError, match=sentence):
        prepare(recipe_of("rtmpose-t"), [(path, pictures, 1)])
    report = check(path, pictures)
    assert report.harmful and [kind for kind in ("problems", "other_labels") if report.found[kind]]
    assert any("3 of 4 pictures with labelled people" in problem for problem in report.found["problems"])


def test_a_detector_refuses_them_by_its_boxes(tmp_path: Path) -> None:
    path, pictures = labelled(tmp_path, (80, 45), (160, 90), keypoints=False), tmp_path / "pictures"
    with pytest.raises(ValueError, match="3 of 4 pictures with labelled people are not of the size"):
        read_boxes(path, pictures)
    assert any("3 of 4" in problem for problem in check(path, pictures).found["problems"])


def test_a_stated_size_that_is_wrong_is_told_and_no_more(tmp_path: Path) -> None:
    """Labels of somebody in the first 160 x 90 pixels of larger pictures fit both; here they reach beyond."""
    path, pictures = labelled(tmp_path, (320, 180), (320, 180)), tmp_path / "pictures"
    content = json.loads(path.read_text())
    for image in content["images"][:2]:
        image |= {"width": 200, "height": 200}
    path.write_text(json.dumps(content))
    (note,) = read(path, pictures).notes
    entries = check(path, pictures).found["other_size"]
    assert entries == ["0.png: 320x180, stated 200x200", "1.png: 320x180, stated 200x200"]
    assert note == (
        f"{path}: pictures of another size than stated: 2 of 4 looked at ({'; '.join(entries)}): correct `width` and "
        "`height`, or take other pictures"
    )
