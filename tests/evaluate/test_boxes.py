"""Box AP against pycocotools, and a detector over a labelled data set."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgepose.cli import app
from edgepose.evaluate.boxes import box_ap
from edgepose.evaluate.run import run
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.session import Session
from tests.runtime.small import DETECTOR, detector_model

pytest.importorskip("hotcoco")
NAMES = {"AP": 0, "AP50": 1, "AP75": 2, "APS": 3, "APM": 4, "APL": 5, "AR": 8}  # places in pycocotools' figures


def labels_of(rng: np.random.Generator, pictures: int, person: int = 1) -> dict[str, Any]:
    """Random people and dogs, crowds among them, of every size; some pictures are empty."""
    images = [{"id": 7 * i, "width": 640, "height": 480, "file_name": f"{i}.jpg"} for i in range(pictures)]
    annotations: list[dict[str, Any]] = []
    for image in images:
        for _ in range(rng.integers(0, 6)):
            box = [*rng.uniform(0, 300, 2), *np.exp(rng.uniform(2, 5.5, 2))]
            row = {"id": len(annotations), "image_id": image["id"], "area": 0.6 * box[2] * box[3], "bbox": box}
            kind = person if rng.random() < 0.8 else 18
            annotations.append(row | {"category_id": kind, "iscrowd": int(rng.random() < 0.15)})
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": person, "name": "person"}, {"id": 18, "name": "dog"}],
    }


def rows_near(rng: np.random.Generator, labels: dict[str, Any]) -> list[dict[str, Any]]:
    """Boxes around the labelled ones, with ties of scores, and some where nobody is."""
    rows = []
    for annotation in labels["annotations"]:
        for _ in range(rng.integers(0, 4)):
            size = annotation["bbox"][2:] * 2
            box = np.array(annotation["bbox"]) + rng.normal(0, 0.1 * rng.random(), 4) * size
            score = round(float(rng.random()), 1)
            rows.append({"image_id": annotation["image_id"], "category_id": 1, "bbox": box.tolist(), "score": score})
    return rows


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.filterwarnings("ignore")  # of pycocotools
def test_random_boxes_equal_pycocotools(seed: int) -> None:
    reference = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(seed)
    labels = labels_of(rng, 15)
    rows = rows_near(rng, labels)
    figures = box_ap(rows, labels)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = reference.COCO()
        truth.dataset = labels | {"annotations": [a | {"id": a["id"] + 1} for a in labels["annotations"]]}
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
        evaluation.params.catIds = [1]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert any(a["iscrowd"] for a in labels["annotations"] if a["category_id"] == 1)
    assert 0 < figures["AP"] < 1
    for name, place in NAMES.items():
        assert figures[name] == pytest.approx(evaluation.stats[place], abs=1e-6), name
    people = [a for a in labels["annotations"] if a["category_id"] == 1 and not a["iscrowd"]]
    assert (figures["images"], figures["people"]) == (15, len(people))


def test_only_people_count_whatever_their_number() -> None:
    labels = labels_of(np.random.default_rng(0), 8, person=5)
    people = [a for a in labels["annotations"] if a["category_id"] == 5 and not a["iscrowd"]]
    rows = [{"image_id": a["image_id"], "bbox": a["bbox"], "score": 0.9} for a in people]
    assert box_ap(rows, labels)["AP"] == pytest.approx(1)
    dogs = [
        {"image_id": a["image_id"], "category_id": 18, "bbox": a["bbox"], "score": 1.0} for a in labels["annotations"]
    ]
    assert box_ap(rows + dogs, labels)["AP"] == pytest.approx(1)
    with pytest.raises(ValueError, match="name the categories 18, 5, and `categories` is missing"):
        box_ap(rows, labels | {"categories": []})
    unnamed = {"images": labels["images"], "annotations": [a for a in labels["annotations"] if a["category_id"] == 5]}
    assert box_ap(rows, unnamed)["AP"] == pytest.approx(1), "without categories all are people"


def test_found_inside_a_crowd_is_no_mistake() -> None:
    labels = {
        "images": [{"id": 1, "file_name": "1.png", "width": 200, "height": 200}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 50, 50], "iscrowd": 0},  # no area: the box's
            {"id": 2, "image_id": 1, "category_id": 1, "bbox": [100, 100, 90, 90], "iscrowd": 1},
        ],
    }
    row = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 50, 50], "score": 0.5}
    inside, outside = ({"image_id": 1, "bbox": box, "score": 0.9} for box in ([120, 120, 20, 40], [50, 100, 20, 40]))
    assert box_ap([row, inside], labels)["AP"] == pytest.approx(1)
    assert box_ap([row, outside], labels)["AP"] == pytest.approx(0.5)
    figures = box_ap([row], labels)
    assert (figures["APS"], figures["APL"]) == (-1, -1) and figures["APM"] == pytest.approx(1)
    assert figures["people"] == 1


def test_nobody_found_and_some_pictures_only() -> None:
    labels = labels_of(np.random.default_rng(1), 6)
    assert box_ap([], labels)["AP"] == 0
    rows = rows_near(np.random.default_rng(2), labels)
    some = [0, 14, 28]
    kept = [row for row in rows if row["image_id"] in some]
    cut = labels | {
        "images": [i for i in labels["images"] if i["id"] in some],
        "annotations": [a for a in labels["annotations"] if a["image_id"] in some],
    }
    assert box_ap(rows, labels, image_ids=some) == box_ap(kept, cut)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"image_id": 0, "score": 1}, r"lacks \['bbox'\]"),
        ({"image_id": 0, "score": 1, "bbox": [1, 2, 3]}, "expected x, y, w, h"),
        ({"image_id": 0, "score": float("nan"), "bbox": [1, 2, 3, 4]}, "not a finite number"),
        ({"image_id": 1, "score": 1, "bbox": [1, 2, 3, 4]}, "rows of pictures that the annotations lack"),
    ],
)
def test_wrong_rows_are_named(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        box_ap([row], labels_of(np.random.default_rng(0), 2))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two pictures of 128 x 96; the small detector finds (8, 4, 24, 40) and (30, 10, 50, 44) at half that size."""
    (tmp_path / "pictures").mkdir()
    for i in (1, 2):
        cv2.imwrite(str(tmp_path / "pictures" / f"{i}.png"), np.full((96, 128, 3), 90, np.uint8))
    boxes = {1: [16, 8, 32, 72], 2: [60, 20, 40, 68]}
    people = [
        {"id": i, "image_id": i, "category_id": 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for i, box in boxes.items()
    ]
    images = [{"id": i, "file_name": f"{i}.png", "width": 128, "height": 96} for i in (1, 2)]
    labels = {"images": images, "annotations": people, "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    (tmp_path / "detector.onnx").write_bytes(detector_model(DETECTOR))
    return tmp_path


def test_a_detectors_rows_are_boxes_of_the_picture(data: Path) -> None:
    estimator = Estimator(Session(data / "detector.onnx"), min_box_score=0.05)
    outcome = run(estimator, data / "labels.json", data / "pictures")
    assert (outcome.images, outcome.people, len(outcome.results)) == (2, 6, 6)
    assert outcome.results[0].keys() == {"image_id", "category_id", "bbox", "score"}
    assert outcome.results[0]["bbox"] == pytest.approx([16, 8, 32, 72])
    json.dumps(outcome.results)  # plain numbers
    figures = box_ap(outcome.results, data / "labels.json")
    assert figures["AR"] == pytest.approx(1) and figures["AP50"] == pytest.approx((1 + 2 * 0.5) / 3, abs=0.2)


def test_the_command_measures_detectors(data: Path) -> None:
    model, labels = data / "detector.onnx", data / "labels.json"
    words = ["evaluate", "--model", model, "--data", labels, "--images", data / "pictures"]
    result = CliRunner().invoke(app, [*map(str, words), "--json", "--out", str(data / "rows.json")])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert figures["task"] == "boxes" and (figures["images"], figures["people"]) == (2, 2)
    assert {"model", "AP", "AP50", "AP75", "APM", "APL", "AR"} <= figures.keys() and figures["AR"] == 1
    rows = json.loads((data / "rows.json").read_text(encoding="utf-8"))
    assert len(rows) == 6, "boxes from a score of 0.05 on"
    shown = CliRunner().invoke(app, [*map(str, words)])
    assert shown.exit_code == 0 and f"{figures['AP']:.4f}" in shown.stdout
    for option in (["--pck", "torso"], ["--protocol", "coco"]):
        refused = CliRunner().invoke(app, [*map(str, words), *option])
        assert refused.exit_code == 1 and refused.stderr.count("\n") == 1 and "detector" in refused.stderr
