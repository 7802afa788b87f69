"""Fitting what scores mean, and measuring whether it holds."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgepose
from edgepose.evaluate import calibrate
from edgepose.evaluate.calibrate import Outcomes, fitted, knots, measured
from edgepose.evaluate.coco import coco_ap
from edgepose.evaluate.labels import read_labels
from edgepose.evaluate.measures import evaluated, prepared
from edgepose.evaluate.run import Run
from edgepose.poses import Poses
from edgepose.runtime.estimator import Estimator
from edgepose.scores import MOST_KNOTS, Calibration, through
from edgepose.skeleton import BOX, COCO
from tests.evaluate.test_breakdown import person
from tests.runtime.small import BrightSpot

PICTURES = 300


def labelled(rng: np.random.Generator) -> dict[str, Any]:
    """A person in each of PICTURES pictures, without the last three keypoints; the last two pictures' cannot count."""
    people = []
    for i in range(PICTURES):
        x, y, w, h = rng.uniform(0, 100), rng.uniform(0, 100), *rng.uniform(50, 200, 2)
        row = person(i, (x, y, w, h)) | {"id": i + 1}
        points = np.array(row["keypoints"]).reshape(17, 3)
        points[14:, 2] = 0
        row |= {"keypoints": points.ravel().tolist(), "num_keypoints": 14}
        people.append(row)
    people[-1]["iscrowd"] = 1
    people[-2] |= {"keypoints": [0.0] * 51, "num_keypoints": 0}
    images = [{"id": i, "file_name": f"{i}.png", "width": 400, "height": 400} for i in range(PICTURES)]
    return {"images": images, "annotations": people, "categories": [{"id": 1, "keypoints": list(COCO.names)}]}


def found(labels: dict[str, Any], rng: np.random.Generator) -> list[dict[str, Any]]:
    """A result a picture, right with the probability score**2."""
    rows = []
    for label in labels["annotations"]:
        x, y, w, h = label["bbox"]
        points = np.array(person(0, (x, y, w, h))["keypoints"]).reshape(17, 3)
        points[:, 2] = rng.uniform(0, 1, 17)
        score = rng.uniform()
        if rng.uniform() > score**2:
            points[:, :2] += 5000
        rows.append({"image_id": label["image_id"], "category_id": 1, "keypoints": points.ravel().tolist(),
                     "score": score, "annotation_id": label["id"]})  # fmt: skip
    return rows


@given(st.lists(st.tuples(st.floats(0, 2, width=32), st.booleans()), min_size=20, max_size=200))
def test_knots_rise_are_few_and_make_a_calibration(pairs: list[tuple[float, bool]]) -> None:
    scores, right = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    if len(np.unique(scores.round(5))) < 2 or scores.max() < 1e-3:
        return
    made = knots(scores, right)
    assert made[0] == (0.0, 0.0) and 2 <= len(made) <= MOST_KNOTS
    assert Calibration(made, made).person == made


def test_fitted_probabilities_are_those_that_made_the_outcomes() -> None:
    rng = np.random.default_rng(0)
    scores = rng.uniform(0, 1, 20_000)
    made = knots(scores, rng.uniform(size=len(scores)) < scores**2)
    raw = np.linspace(0.05, 0.95, 19)
    np.testing.assert_allclose(through(made, raw), raw**2, atol=0.05)


def test_the_order_of_people_and_so_ap_is_the_same() -> None:
    rng = np.random.default_rng(1)
    labels = labelled(rng)
    rows = found(labels, rng) + found(labels, rng)
    right = rng.uniform(size=len(rows)) < 0.5
    made = knots(np.array([row["score"] for row in rows]), right)  # of noise: long steps, nearly flat lines
    scores = through(made, np.array([row["score"] for row in rows], np.float32)).astype(np.float32)
    changed = [row | {"score": float(score)} for row, score in zip(rows, scores, strict=True)]
    before = coco_ap(rows, labels)
    assert 0 < before["AP"] < 1
    assert coco_ap(changed, labels) == pytest.approx(before, abs=1e-6)


def test_reliability_and_precision() -> None:
    some = Outcomes(np.array([0.05, 0.55, 0.58, 0.95, 1.2]), np.array([0, 0, 1, 1, 1], bool), labelled=10)
    assert some.at(0.5) == (0.75, 0.3) and some.at(0.0) == (0.6, 0.3) and some.at(2.0) == (1.0, 0.0)
    assert [(low, count, right) for low, _, count, _, right in some.reliability()] == [
        (0.0, 1, 0.0), (0.5, 2, 0.5), (pytest.approx(0.9), 2, 1.0)]  # fmt: skip


def test_crowds_and_people_without_keypoints_are_neither_right_nor_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    labels = labelled(rng)
    rows = found(labels, rng)
    asked = []

    def run(estimator: Estimator, labels: Any, pictures: Any, boxes: str, **_: Any) -> Run:
        asked.append((boxes, estimator.min_score))
        return Run(rows[:-2] if boxes == "gt" else rows)

    monkeypatch.setattr(calibrate, "run", run)
    estimator = Estimator(BrightSpot(), lambda _: Poses.nobody(BOX))
    made = measured(estimator, labels, Path())
    assert asked == [("detector", 0.0), ("gt", 0.0)]
    assert len(made.people.scores) == PICTURES - 2 and made.people.labelled == PICTURES - 2
    assert len(made.keypoints.scores) == 14 * (PICTURES - 2), "the three that nobody labelled are left out"
    spec = fitted(estimator, labels, Path())
    assert spec.calibration is not None
    raw = np.linspace(0.15, 0.85, 8)
    np.testing.assert_allclose(spec.calibration.of_people(raw), raw**2, atol=0.15)
    assert estimator.spec.calibration is None, "the estimator's own is left alone"


def test_a_detector_and_too_few_people_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="rtmdet-nano is a detector: expected a model that finds keypoints"):
        fitted(edgepose.load("default-detector"), {}, Path())
    rng = np.random.default_rng(2)
    labels = labelled(rng)
    monkeypatch.setattr(calibrate, "run", lambda *_, **__: Run(found(labels, rng)[:5]))
    with pytest.raises(ValueError, match="of 5 people found are right, expected at least 20"):
        fitted(Estimator(BrightSpot(), lambda _: Poses.nobody(BOX)), labels, Path())


@pytest.mark.slow
def test_ap_of_real_pictures_is_the_same_with_and_without_calibration() -> None:
    data = Path(os.environ.get("EDGEPOSE_SHARED", ""), "data", "coco_mini")
    if not data.is_dir():
        pytest.skip("no shared data: set EDGEPOSE_SHARED")
    labels, pictures = data / "annotations" / "person_keypoints_val2017.json", data / "val2017"
    estimator = edgepose.load("default-pose")
    spec = edgepose.ModelSpec.from_json(estimator.spec.to_json())
    assert spec.calibration is not None
    without = edgepose.load("default-pose", spec=replace(spec, calibration=None))
    for boxes in ("gt", "detector"):
        figures = [
            evaluated("one", prepared(each, False), read_labels(labels, pictures=pictures), pictures, boxes)[0]
            for each in (estimator, without)
        ]
        for name in ("AP", "AP50", "AP75", "AR"):
            assert figures[0][name] == pytest.approx(figures[1][name], abs=1e-6)
