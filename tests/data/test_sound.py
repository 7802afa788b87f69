"""Content in COCO's form as the tools export it: what is repaired, what is left out, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.data.check import check
from edgepose.data.detection import read_boxes
from edgepose.data.read import read
from edgepose.data.sound import extent, is_sound, sound, whole
from edgepose.evaluate.labels import read_labels
from edgepose.skeleton import COCO


def content(**changes: Any) -> dict[str, Any]:
    """One person on one picture of 100 x 100; `changes` are of the annotation, None takes a field away."""
    person = {"id": 5, "image_id": 7, "category_id": 1, "bbox": [10, 20, 30, 40], "area": 600, "iscrowd": 0}
    person |= {"keypoints": [v for i in range(17) for v in (12 + i, 22 + 2 * i, 2)]} | changes
    return {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 100, "height": 100}],
        "annotations": [{key: value for key, value in person.items() if value != "gone"}],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.names)}],
    }


def test_what_is_right_stays_and_nothing_is_said() -> None:
    given = content(segmentation=[[1, 2, 3, 4, 5, 6]])
    found = sound(given, "a.json")
    assert found["notes"] == () and found["annotations"] == given["annotations"] and found["images"] == given["images"]
    assert is_sound(found) and not is_sound(given) and not is_sound(given | {"notes": ["a file may say so"]})
    assert sound(found, "b.json") == found


# Fields of an annotation -> fields of it afterwards, and what is said.
ODD = {
    "no area": ({"area": "gone"}, {"area": 0.53 * 1200}, "1 person has no area above 0: 0.53 x the box"),
    "area null": ({"area": None}, {"area": 0.53 * 1200}, "no area above 0"),
    "area zero": ({"area": 0}, {"area": 0.53 * 1200}, "no area above 0"),
    "area negative": ({"area": -4.5}, {"area": 0.53 * 1200}, "no area above 0"),
    "area text": ({"area": "600"}, {"area": 0.53 * 1200}, "no area above 0"),
    "area NaN": ({"area": float("nan")}, {"area": 0.53 * 1200}, "no area above 0"),
    "no box": ({"bbox": "gone"}, {"bbox": None}, "1 person has no box (annotation 5)"),
    "box null": ({"bbox": None}, {"bbox": None}, "grown by 0.1 x sqrt(width x height)"),
    "box empty list": ({"bbox": []}, {"bbox": None}, "has no box"),
    "box of zeros": ({"bbox": [0, 0, 0, 0]}, {"bbox": None}, "has no box"),
    "category text": ({"category_id": "1"}, {"category_id": 1}, "1 `category_id` such as '1' are taken as whole"),
    "no category": ({"category_id": "gone"}, {"category_id": 1}, ""),
    "picture text": ({"image_id": "7"}, {"image_id": 7}, "1 `image_id` such as '7' are taken as whole numbers"),
    "picture 7.0": ({"image_id": 7.0}, {"image_id": 7}, "such as 7.0"),
    "id text": ({"id": "x5"}, {"id": 1}, "`id` of annotation number 1 is 'x5', expected a whole number"),
    "id huge": ({"id": 2**70}, {"id": 1}, "counted from 1 instead"),
    "no id": ({"id": "gone"}, {"id": 1}, ""),
    "crowd text": ({"iscrowd": "0"}, {"iscrowd": 0}, "`iscrowd` of annotation 5 is text"),
    "crowd text 1": ({"iscrowd": "1"}, {"iscrowd": 1}, "taken as the number it shows"),
    "crowd null": ({"iscrowd": None}, {"iscrowd": 0}, ""),
    "crowd true": ({"iscrowd": True}, {"iscrowd": 1}, ""),
    "outline of 3": ({"segmentation": [[1, 2, 3]]}, {"segmentation": []}, "outlines (`segmentation`) of annotation 5"),
    "outline of text": ({"segmentation": [["a"] * 6, [1] * 6]}, {"segmentation": [[1] * 6]}, "outlines"),
    "mask of another size": (
        {"segmentation": {"counts": [3, 4], "size": [5, 5]}}, {"segmentation": []}, "run lengths of their picture",
    ),
    "mask": ({"segmentation": {"counts": [3, 22], "size": [5, 5]}}, {}, ""),
    "count of keypoints": ({"num_keypoints": "17"}, {}, ""),
    "other fields": ({"attributes": {"x": [1]}, "track_id": None, "score": "?"}, {"attributes": {"x": [1]}}, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_what_tools_write_is_repaired_and_said(tmp_path: Path, case: str) -> None:
    given, expected, words = ODD[case]
    expected = {key: extent([(12, 22), (28, 54)]) if key == "bbox" else value for key, value in expected.items()}
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(content(**given)))
    found = sound(json.loads(path.read_text()), path)
    (row,) = found["annotations"]
    for key, value in expected.items():
        assert row[key] == (pytest.approx(value) if key in ("bbox", "area") else value)
    said = " ".join(found["notes"])
    assert words in said and (str(path) in said if words else not said)
    people, labels = read(path), read_labels(path)
    assert labels["annotations"][0]["area"] == pytest.approx(row["area"])
    if row["iscrowd"]:
        assert len(people) == 0 and people.crowd.tolist() == [True]
        return
    assert people.areas[0] == pytest.approx(row["area"]) and people.ids.tolist() == [row["id"]]
    (record,) = read_boxes(path, tmp_path)
    x, y, w, h = row["bbox"]
    np.testing.assert_allclose(record.boxes[0], [x, y, x + w, y + h], rtol=1e-6)
    np.testing.assert_allclose(people.boxes[0], [x, y, x + w, y + h], rtol=1e-6)


def test_the_box_of_keypoints_is_their_extent_and_a_tenth_of_its_size_more() -> None:
    assert extent([(10, 20), (26, 84)]) == pytest.approx([10 - 3.2, 20 - 3.2, 16 + 6.4, 64 + 6.4])
    side = 0.1 * (100 * 10) ** 0.5
    assert extent([(10, 20), (110, 20)]) == pytest.approx([10 - side, 20 - side, 100 + 2 * side, 2 * side]), "a line"
    assert extent([(10, 20)]) == [10, 20, 0, 0]


def test_fields_that_nobody_needs_may_be_anything() -> None:
    given = content() | {"info": None, "licenses": 5}
    given["images"][0] |= {"date_captured": 0, "license": "?", "coco_url": None, "height": "100", "crowdIndex": "x"}
    found = sound(given, "a.json")
    assert "crowdIndex" not in found["images"][0] and found["images"][0]["date_captured"] == 0
    assert "width" not in found["images"][0] or found["images"][0]["height"] == 100
    sized = sound(content() | {"images": [{"id": 7, "file_name": "a.jpg", "width": None, "height": 3}]}, "a")["images"]
    assert sized == [{"id": 7, "file_name": "a.jpg"}]


def test_who_has_neither_box_nor_keypoints_is_left_out_and_named() -> None:
    given = content(bbox=None, keypoints=None)
    found = sound(given, "a.json")
    assert found["annotations"] == [] and "neither a box nor a labelled keypoint in annotation 5" in found["notes"][0]


def test_annotations_of_unlisted_categories_are_left_out_and_counted() -> None:
    given = content()
    given["annotations"].append(given["annotations"][0] | {"id": 6, "category_id": 9})
    found = sound(given, "a.json")
    assert [row["id"] for row in found["annotations"]] == [5]
    assert found["notes"] == ("a.json: 1 annotations name category 9, `categories` has 1: they are left out",)


def test_problems_leave_out_what_they_are_about() -> None:
    problems: list[str] = []
    given = content()
    given["annotations"] += [given["annotations"][0] | {"id": 6, "keypoints": ["1"] * 51}]
    given["annotations"] += [given["annotations"][0] | {"id": 8, "bbox": ["1", 2, 3, 4]}]
    found = sound(given, "a.json", problems)
    assert [row["id"] for row in found["annotations"]] == [5] and len(problems) == 2
    assert "`keypoints` of annotation 6 is a list of 51 texts" in problems[0] and "with text" in problems[1]


def test_a_test_set_has_no_annotations() -> None:
    images = {"images": content()["images"]}
    assert sound(images, "a.json", annotated=False)["annotations"] == []
    with pytest.raises(ValueError, match="lacks `images` or `annotations`"):
        sound(images, "a.json")
    with pytest.raises(ValueError, match="lacks `images` or `annotations`"):
        sound(content() | {"annotations": None}, "a.json")


@pytest.mark.parametrize(
    ("value", "number"),
    [(6, 6), (6.0, 6), ("6", 6), (" -6 ", -6), (6.5, None), ("6.0", None), (True, None), ("", None), (None, None),
     ("9" * 40, None), (2**64, None), ([6], None), (float("nan"), None), (float("inf"), None)],
)  # fmt: skip
def test_whole_numbers(value: Any, number: int | None) -> None:
    assert whole(value) == number


ANYTHING: list[Any] = [
    None, "", "x", "1", [], {}, [None], [[1, 2]], {"a": 1}, -1, 0, 1.5, True, 2**70, 10**18, float("nan"), float("inf"),
    "../../x", "\0",
]  # fmt: skip
OF_ANNOTATIONS = ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "keypoints", "num_keypoints",
                  "segmentation", "foot_kpts", "kp_scores")  # fmt: skip
FIELDS: list[tuple[Any, ...]] = [
    *((key,) for key in ("images", "annotations", "categories", "info")),
    *((key, 0) for key in ("images", "annotations", "categories")),
    *(("images", 0, key) for key in ("id", "file_name", "width")),
    *(("annotations", 0, key) for key in OF_ANNOTATIONS),
    *(("categories", 0, key) for key in ("id", "name", "keypoints", "skeleton", "flip_idx")),
    ("annotations", 0, "keypoints", 5), ("annotations", 0, "bbox", 2), ("categories", 0, "keypoints", 3),
]  # fmt: skip


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: ".".join(map(str, field)))
def test_whatever_stands_in_a_field_every_command_says_the_same(tmp_path: Path, field: tuple[Any, ...]) -> None:
    """Training and measuring refuse the same files, with the same sentence of one line."""
    path = tmp_path / "labels.json"

    def outcome(reader: Any, *more: Any) -> str | None:
        try:
            reader(path, *more)
        except ValueError as error:
            assert "\n" not in str(error)
            return str(error)
        return None

    for value in ANYTHING:
        given = content()
        place: Any = given
        for key in field[:-1]:
            place = place[key]
        place[field[-1]] = value
        path.write_text(json.dumps(given))
        trained, measured = outcome(read), outcome(read_labels)
        detected = outcome(read_boxes, tmp_path)
        if "kp_scores" not in field and "foot_kpts" not in field:  # which only training reads, or other lists follow
            assert trained == measured or (measured is None and trained is not None and "no category" in trained), value
        assert detected in (None, trained, measured) or "no annotation is of" in detected
        assert outcome(check) is None or trained is not None
