from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgepose.codec.boxes import FORMATS, Boxes, priors
from edgepose.geometry import clip_boxes, nms
from edgepose.skeleton import COCO
from tests.goldens import algorithm_cases

STRIDES = (8, 16, 32)


def raw_outputs(arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The golden's logits and distances as the network gives them: level by level."""
    return [arrays[f"{kind}_s{s}"] for s in STRIDES for kind in ("cls", "dist")]


def test_published_decoding() -> None:
    """Before suppression in input pixels, and after it, clipped and scaled as in the published code, class by class."""
    for case in algorithm_cases("algo/rtmdet_decode"):
        if "image_shape_hw" not in case.params:
            continue
        height, width = case.params["image_shape_hw"]
        outputs, classes = raw_outputs(case.inputs), case.params["num_classes"]
        size = (outputs[0].shape[3] * 8, outputs[0].shape[2] * 8)
        for person in range(classes):
            everyone = Boxes(size, classes=classes, person=person, score=1e-9, iou=1.0, limit=10**6)
            every = clip_boxes(everyone.decode(outputs).boxes, (width, height))
            expected = case.outputs["all_boxes_network_pixels"]
            assert every.shape == expected.shape
            assert np.allclose(np.sort(every, axis=0), np.sort(expected, axis=0), atol=1e-3), case.name

            found = Boxes(size, classes=classes, person=person, iou=1.0, limit=10**6).decode(outputs)
            assert (found.person_scores > 0.05).all()
            boxes = clip_boxes(found.boxes, (width, height)) / np.tile(case.params["scale_factor_wh"], 2)
            keep = nms(boxes, found.person_scores, 0.6)
            mine = case.outputs["labels"] == person
            n = mine.sum()  # the 100 best are of all classes together
            assert np.allclose(found.person_scores[keep][:n], case.outputs["scores"][mine], atol=1e-6), case.name
            assert np.allclose(boxes[keep][:n], case.outputs["boxes"][mine], atol=1e-3), case.name


def test_published_priors() -> None:
    for case in algorithm_cases("algo/rtmdet_priors"):
        height, width = case.inputs["size_hw"].tolist()
        assert np.array_equal(priors((width, height)), case.outputs["priors"][:, :3])


def two_people(form: str) -> tuple[Boxes, list[np.ndarray], np.ndarray]:
    """A codec, outputs in which it finds two people and a duplicate of the first, and the two boxes, best first."""
    size, expected = (64, 96), np.array([[8, 16, 40, 80], [0, 0, 16, 16]], np.float32)
    boxes = {(1, 2): (expected[0], 3.0), (2, 3): (expected[0] + 1, 2.0), (1, 1): (expected[1], 1.0)}  # by cell x, y
    if form == "detections":
        rows = np.array([[*expected[1], 0.7], [*expected[0], 0.9], [0, 0, 9, 9, 0.01], [*expected[0], 0.8]])
        return Boxes(size, format=form), [rows[None], np.array([[0, 0, 0, 1]])], expected
    if form == "yolox":
        raw = np.zeros((1, len(priors(size)), 6), np.float32)
        for (x, y), (box, score) in boxes.items():
            row = raw[0, y * 8 + x]
            row[:2] = (box[:2] + box[2:]) / 2 / 8 - (x, y)
            row[2:4] = np.log((box[2:] - box[:2]) / 8)
            row[4:] = 1 / (1 + np.exp(-score)), 1
        return Boxes(size, format=form), [raw], expected
    cells = [(12, 8), (6, 4), (3, 2)]
    logits = [np.full((1, 1, *shape), -9, np.float32) for shape in cells]
    distances = [np.ones((1, 4, *shape), np.float32) for shape in cells]
    for (x, y), (box, score) in boxes.items():
        logits[0][0, 0, y, x] = score
        distances[0][0, :, y, x] = [x * 8 - box[0], y * 8 - box[1], box[2] - x * 8, box[3] - y * 8]
    if form == "rtmdet":
        return Boxes(size), [o for pair in zip(logits, distances, strict=True) for o in pair], expected
    rows = [np.concatenate(pair, axis=1).transpose(0, 2, 3, 1) for pair in zip(logits, distances, strict=True)]
    return Boxes(size, format=form), rows, expected


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_people_best_first(form: str) -> None:
    codec, outputs, expected = two_people(form)
    poses = codec.decode(outputs)
    assert np.allclose(poses.boxes, expected, atol=1e-3)
    assert poses.keypoints.shape == (2, 0, 2) and (np.diff(poses.person_scores) < 0).all()


@pytest.mark.parametrize("form", FORMATS)
def test_an_empty_picture(form: str) -> None:
    codec, outputs, _ = two_people(form)
    quiet = [np.full_like(o, -9) if "rtmdet" in form else np.zeros_like(o) for o in outputs]
    assert len(codec.decode(quiet)) == 0


def test_no_detections_at_all() -> None:
    codec = Boxes((64, 96), format="detections")
    assert len(codec.decode([np.zeros((1, 0, 5), np.float32), np.zeros((1, 0), np.int64)])) == 0
    assert len(codec.decode([np.zeros((1, 0, 5), np.float32)])) == 0


def test_only_so_many_candidates_and_people() -> None:
    rng = np.random.default_rng(0)
    every = [rng.normal(0, 1, (1, 1, 96 // s, 64 // s)).astype(np.float32) for s in STRIDES]
    small = [np.full((1, 4, *o.shape[2:]), 1, np.float32) for o in every]
    outputs = [o for pair in zip(every, small, strict=True) for o in pair]
    assert len(Boxes((64, 96), candidates=5, iou=1.0).decode(outputs)) == 15
    best = Boxes((64, 96), limit=7, iou=1.0).decode(outputs)
    logits = np.sort(np.concatenate([o.ravel() for o in every]))[::-1][:7]
    assert np.allclose(best.person_scores, 1 / (1 + np.exp(-logits)))


def test_only_so_many_detections_of_the_graph() -> None:
    rows = np.array([[[0, 0, 9, 9, 0.3 + 0.1 * i] for i in (0, 3, 1, 4, 2)]], np.float32)
    found = Boxes((64, 96), format="detections", limit=3).decode([rows])
    np.testing.assert_allclose(found.person_scores, [0.7, 0.6, 0.5], rtol=1e-6)


@pytest.mark.parametrize("form", FORMATS)
def test_a_score_at_the_threshold_is_not_above_it(form: str) -> None:
    codec, outputs, _ = two_people(form)
    scores = codec.decode(outputs).person_scores
    lowest = float(scores.min())
    assert len(replace(codec, score=lowest * 0.99).decode(outputs)) == len(scores)
    assert len(replace(codec, score=min(lowest * 1.01, 0.999)).decode(outputs)) < len(scores)


def test_targets_are_only_stated() -> None:
    targets = Boxes((64, 96)).encode(np.zeros((0, 4)), np.zeros(0))
    assert targets["boxes"].shape == (0, 4) and targets["ignore"].shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "ssd"}, "unknown box format 'ssd', expected one of"),
        ({"person": 1}, "person is class 1, expected 0 to 0"),
        ({"score": 0.0}, "score is 0.0, expected a threshold between 0 and 1"),
        ({"score": 1.0}, "score is 1.0, expected"),
        ({"skeleton": COCO}, "state the skeleton 'box' instead of 'coco'"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Boxes((64, 96), **arguments)


@pytest.mark.parametrize(
    ("form", "shapes", "message"),
    [
        ("rtmdet", [(1, 1, 12, 8)], r"strides \(8, 16, 32\) has 6 outputs, got 1"),
        ("rtmdet-nhwc", [(1, 12, 8, 5)] * 2, "has 3 outputs, got 2"),
        ("rtmdet-nhwc", [(1, 12, 8, 85)] * 3, "level 0 has 84 box numbers per cell, expected 4"),
        ("rtmdet", [(2, 1, 12, 8)] * 6, r"one picture at a time, got batches of \[2, 2, 2, 2, 2, 2\]"),
        ("yolox", [(1, 100, 6)], r"expects one output \(1, 126, 6\), got \[\(1, 100, 6\)\]"),
        ("detections", [(1, 9, 6)], r"expects \(1, N, 5\) rows of box and score, got \(1, 9, 6\)"),
    ],
)
def test_wrong_shapes(form: str, shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Boxes((64, 96), format=form).decode([np.zeros(shape, np.float32) for shape in shapes])


def test_cells_that_are_sure_of_nothing_score_zero_without_a_warning() -> None:
    """Comparisons look at every cell, also at those of a network that learnt nothing, whose logits have any size."""
    logits = [np.full((1, 1, 8 // s, 8 // s), -500, np.float32) for s in (1, 2, 4)]
    distances = [np.ones((1, 4, *o.shape[2:]), np.float32) for o in logits]
    found = Boxes((64, 64)).everywhere([o for pair in zip(logits, distances, strict=True) for o in pair])
    assert len(found) == 64 + 16 + 4 and (found.person_scores < 1e-30).all()
