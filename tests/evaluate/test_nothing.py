"""A measurement of nothing ends with its reason; one of a part says what was left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgepose.cli import app
from edgepose.evaluate.labels import read_labels, read_results
from edgepose.evaluate.measures import Measures, evaluated, evaluated_results
from edgepose.evaluate.run import run
from edgepose.poses import Poses
from edgepose.skeleton import COCO
from edgepose.spec import ModelSpec

pytest.importorskip("hotcoco")
SIZES = [(320, 240), (400, 300), (200, 160), (280, 280)]  # of the pictures, w, h


def labels(category: int = 1) -> dict[str, Any]:
    """One person on each of four pictures."""
    rng = np.random.default_rng(0)
    people = []
    for i, (w, h) in enumerate(SIZES, start=1):
        points = rng.uniform([0.2 * w, 0.1 * h], [0.8 * w, 0.9 * h], (17, 2))
        low, sides = points.min(axis=0), np.ptp(points, axis=0)
        person = {"id": i, "image_id": i, "category_id": category, "iscrowd": 0, "area": float(sides.prod() / 2)}
        person |= {"keypoints": [v for x, y in points.tolist() for v in (x, y, 2)], "bbox": [*low, *sides]}
        people.append(person)
    images = [{"id": i, "file_name": f"{i}.png", "width": w, "height": h} for i, (w, h) in enumerate(SIZES, start=1)]
    names = {"id": category, "name": "person", "keypoints": list(COCO.names)}
    return {"images": images, "annotations": people, "categories": [names]}


Change = Callable[[int, np.ndarray], np.ndarray]


def results(of: dict[str, Any], change: Change = lambda i, p: p) -> list[dict[str, Any]]:
    rows = []
    for person in of["annotations"]:
        points = np.array(person["keypoints"]).reshape(17, 3)
        points[:, :2] = change(person["image_id"] - 1, points[:, :2])
        row = {"image_id": person["image_id"], "category_id": 1, "keypoints": points.ravel().tolist(), "score": 0.9}
        rows.append(row)
    return rows


def written(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def outcome(tmp_path: Path, truth: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    path = written(tmp_path / "labels.json", truth)
    return evaluated_results(written(tmp_path / "results.json", rows), read_labels(path), Measures())


def other(rows: list[dict[str, Any]], **changes: Any) -> list[dict[str, Any]]:
    return [row | changes for row in rows]


def nobody(truth: dict[str, Any]) -> dict[str, Any]:
    return truth | {"annotations": [a | {"keypoints": [0] * 51} for a in truth["annotations"]]}


TWO = {"categories": [*labels()["categories"], {"id": 2, "name": "dog", "keypoints": list(COCO.names)}]}
# Labels, results, and why they measure nothing.
NOTHING: dict[str, tuple[dict[str, Any], list[dict[str, Any]], str]] = {
    "nobody labelled": (nobody(labels()), results(labels()), "nobody is labelled in .*none of its 4 people"),
    "no people": (labels() | {"annotations": []}, results(labels()), "nobody is labelled in .*it has no people"),
    "no results": (labels(), [], "has found nobody in the 4 pictures with labelled people: it has no result"),
    "no picture in common": (labels(), other(results(labels()), image_id=9), "nothing but 4 rows of .* such as 9"),
    "no labelled picture": (
        labels() | {"annotations": labels()["annotations"][:2]}, results(labels())[2:],
        "has found nobody in the 2 pictures with labelled people: its 2 results are on other pictures",
    ),
    "no category in common": (
        labels() | TWO, other(results(labels()), category_id=7), "results of category 7, the labels have 1, 2",
    ),
    "another number of keypoints": (
        labels(), [row | {"keypoints": row["keypoints"][:27]} for row in results(labels())], "9 keypoints do not fit",
    ),
    "half the size": (labels(), results(labels(), lambda _, p: p / 2), "0.50 times as wide and 0.50 times as high"),
    "far larger": (labels(), results(labels(), lambda _, p: p * 6), "all results lie outside their pictures"),
    "one size for all": (
        labels(), results(labels(), lambda i, p: p * 2000 / SIZES[i]), "lie outside their pictures",
    ),
    "fractions": (labels(), results(labels(), lambda i, p: p / SIZES[i]), "as fractions of the picture do"),
}  # fmt: skip


@pytest.mark.parametrize("case", NOTHING)
def test_a_measurement_of_nothing_is_an_error(tmp_path: Path, case: str) -> None:
    truth, rows, message = NOTHING[case]
    with pytest.raises(ValueError, match=message) as error:
        outcome(tmp_path, truth, rows)
    assert "\n" not in str(error.value)
    words = ["evaluate", "--predictions", str(tmp_path / "results.json"), "--data", str(tmp_path / "labels.json")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1 and result.stdout == "" and result.stderr == f"error: {error.value}\n"


def test_all_is_well() -> None:
    assert "notes" not in outcome_of(labels())


def outcome_of(truth: dict[str, Any]) -> dict[str, Any]:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        return outcome(Path(folder), truth, results(truth))


def test_ids_as_text_or_fractions_meet(tmp_path: Path) -> None:
    rows = [row | {"image_id": kind(row["image_id"])} for row in results(labels()) for kind in (str,)]
    assert outcome(tmp_path, labels(), rows)["AP"] == 1
    rows = [row | {"image_id": float(row["image_id"])} for row in results(labels())]
    assert outcome(tmp_path, labels(), rows)["AP"] == 1


def test_one_category_is_the_other_one(tmp_path: Path) -> None:
    figures = outcome(tmp_path, labels(5), results(labels()))
    assert figures["AP"] == 1 and "has results of category 1: taken for the labels' only one, 5" in figures["notes"][0]
    unnamed = [{k: v for k, v in row.items() if k != "category_id"} for row in results(labels())]
    assert outcome(tmp_path, labels(5), unnamed)["AP"] == 1


def test_what_matches_in_part_says_what_was_left_out(tmp_path: Path) -> None:
    rows = results(labels())
    figures = outcome(tmp_path, labels() | TWO, [*rows, *other(rows[:3], category_id=9), *other(rows[:2], image_id=70)])
    assert figures["AP"] == 1 and len(figures["notes"]) == 2
    assert "has 2 rows of pictures that the annotations lack, such as 70: they are left out" in figures["notes"][0]
    assert "has 3 results of category 9, the labels have 1, 2: they are left out" in figures["notes"][1]
    with pytest.raises(ValueError, match="has 2 rows of pictures that the annotations lack"):
        read_results([*rows, *other(rows[:2], image_id=70)], read_labels(labels()))


def test_results_near_nobody_are_figures_and_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    figures = outcome(tmp_path, labels(), results(labels(), lambda i, p: rng.uniform(0, SIZES[i], (17, 2))))
    (note,) = figures["notes"]
    assert figures["AP"] == 0 and note.endswith("results.json: no result is near anybody who is labelled")


def test_fields_that_are_not_needed_may_be_anything(tmp_path: Path) -> None:
    truth = labels() | {"info": 3, "licenses": "none"}
    for image in truth["images"]:
        image |= {"date_captured": 0, "license": {}, "flickr_url": None}
    for person in truth["annotations"]:
        person |= {"attributes": 1, "segmentation": [[1, 2, 3]], "num_keypoints": "17", "iscrowd": "0", "area": None}
    truth["categories"][0] |= {"supercategory": 7, "skeleton": "?"}
    assert outcome(tmp_path, truth, results(truth))["AP"] == 1


class Boxes:
    """Finds one person per box: its corners."""

    spec = ModelSpec("corners", "simcc", (192, 256), skeleton="coco", per_person=True)

    def __init__(self) -> None:
        self.boxes: list[np.ndarray] = []

    def __call__(self, image: np.ndarray, boxes: np.ndarray | None = None) -> Poses:
        found = np.zeros((0, 4)) if boxes is None else boxes
        self.boxes.append(found)
        points = np.repeat(found[:, None, :2], 17, axis=1)
        return Poses(points, np.ones((len(found), 17)), found, np.ones(len(found)), COCO)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for i, (w, h) in enumerate(SIZES, start=1):
        cv2.imwrite(str(tmp_path / "pictures" / f"{i}.png"), np.zeros((h, w, 3), np.uint8))
    return tmp_path / "pictures"


def test_boxes_end_at_the_picture_and_not_at_what_is_stated(pictures: Path) -> None:
    truth = labels()
    truth["images"][0] |= {"width": 240, "height": 320}  # as EXIF has it before it turns the picture
    truth["annotations"][0]["bbox"] = [10, 20, 400, 400]
    estimator = Boxes()
    run(estimator, truth, pictures)
    assert estimator.boxes[0].tolist() == [[10, 20, 319, 239]]


# Rows of a file of boxes, and what is wrong with them.
FILES: dict[str, tuple[Any, str]] = {
    "category 0": ([{"image_id": 1, "bbox": [1, 2, 30, 40], "score": 1, "category_id": 0}], "category 0 alone"),
    "other pictures": ([{"image_id": 9, "bbox": [1, 2, 30, 40], "score": 1}], "no box on any of the 4 labelled"),
    "nothing": ([], "no box on any of the 4 labelled pictures, but 0 on others"),
    "text": ([{"image_id": 1, "bbox": ["1", 2, 30, 40], "score": 1}], "expected 4 numbers"),
    "score": ([{"image_id": 1, "bbox": [1, 2, 30, 40], "score": None}], "no finite number"),
    "no list": ({"image_id": 1}, "rows without image_id, bbox or score"),
}


@pytest.mark.parametrize("case", FILES)
def test_boxes_that_fit_nothing_are_refused(case: str, pictures: Path) -> None:
    rows, message = FILES[case]
    path = written(pictures.parent / "boxes.json", rows)
    with pytest.raises(ValueError, match=message):
        run(Boxes(), labels(), pictures, path)


def test_boxes_that_fit_in_part_say_so(pictures: Path) -> None:
    box = {"bbox": [1, 2, 30, 40], "score": 1}
    rows = [box | {"image_id": "1"}, box | {"image_id": 9}, box | {"image_id": 2, "category_id": 3}]
    found = run(Boxes(), labels(), pictures, written(pictures.parent / "boxes.json", rows))
    assert len(found.results) == 1
    assert [note.split(" has ")[1] for note in found.notes] == [
        "1 boxes of other categories: they are left out", "1 boxes on other pictures: they are left out",
    ]  # fmt: skip


def test_a_model_that_finds_nobody_has_no_figures(pictures: Path) -> None:
    class Blind(Boxes):
        def __call__(self, image: np.ndarray, boxes: np.ndarray | None = None) -> Poses:
            return Poses.nobody(COCO)

    with pytest.raises(ValueError, match="blind has found nobody in the 4 pictures with labelled people"):
        evaluated("blind", Blind(), labels(), pictures, "detector")
    with pytest.raises(ValueError, match="nobody is labelled in the labels"):
        evaluated("blind", Blind(), nobody(labels()), pictures, "detector")
