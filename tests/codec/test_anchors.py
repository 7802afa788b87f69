"""Anchors: which cell learns whom, what maps decode to, suppression, and the flip test."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepose.codec import codec_of
from edgepose.codec.anchors import BOX, Anchors
from edgepose.geometry import iou
from edgepose.poses import Poses
from edgepose.skeleton import COCO, CROWDPOSE, Skeleton
from edgepose.spec import ModelSpec
from tests.goldens import algorithm_cases

SIZE = (128, 96)


def logit(p: np.ndarray) -> np.ndarray:
    return np.log(p / (1 - p))


def outputs_of(codec: Anchors, targets: dict[str, np.ndarray], sure: float = 4.0) -> list[np.ndarray]:
    """Raw maps that a perfect network would give: background, and what the cells of `targets` learn."""
    size = BOX + 3 * len(codec.skeleton)
    maps = [np.zeros((len(codec.anchors[0]), size, rows, columns), np.float32) for columns, rows in codec.grids]
    for level in maps:
        level[:, 4], level[:, 5] = -12, 20
    for level, anchor, row, column, person in targets["cells"]:
        stride, box = codec.strides[level], targets["boxes"][person]
        cell = maps[level][anchor, :, row, column]
        place = (box[:2] + box[2:]) / 2 / stride - (column, row)
        cell[:2] = logit((place + 0.5) / 2)
        cell[2:4] = logit(np.sqrt((box[2:] - box[:2]) / codec.anchors[level][anchor]) / 2)
        cell[4] = sure
        points = (targets["keypoints"][person] + 0.5) / stride - (column, row)
        cell[BOX::3], cell[BOX + 1 :: 3] = ((points + 0.5) / 2).T
        cell[BOX + 2 :: 3] = np.where(targets["visible"][person] > 0, 3, -3)
    return [level.reshape(1, -1, *level.shape[2:]) for level in maps]


def mirrored(codec: Anchors, outputs: list[np.ndarray]) -> list[np.ndarray]:
    """What a perfectly even-handed network would give for the mirrored picture, written out number by number."""
    a, k = len(codec.anchors[0]), len(codec.skeleton)
    results = []
    for output in outputs:
        maps = output.reshape(a, BOX + 3 * k, *output.shape[2:])
        turned = maps[..., ::-1].copy()
        turned[:, 0] = -turned[:, 0]
        for i, j in enumerate(codec.skeleton.flip):
            source = maps[:, BOX + 3 * j : BOX + 3 * j + 3, :, ::-1]
            turned[:, BOX + 3 * i] = 1 - source[:, 0]
            turned[:, BOX + 3 * i + 1 : BOX + 3 * i + 3] = source[:, 1:]
        results.append(turned.reshape(output.shape))
    return results


def person(box: tuple[float, float, float, float], skeleton: Skeleton = COCO) -> tuple[np.ndarray, np.ndarray]:
    """A box (1, 4) and keypoints (1, K, 2) spread inside it."""
    x1, y1, x2, y2 = box
    share = np.random.default_rng(0).random((1, len(skeleton), 2))
    return np.array([box], np.float32), (share * (x2 - x1, y2 - y1) + (x1, y1)).astype(np.float32)


def encoded(codec: Anchors, *boxes: tuple[float, float, float, float]) -> dict[str, np.ndarray]:
    people = [person(box, codec.skeleton) for box in boxes]
    points = [points for _, points in people] or [np.zeros((0, len(codec.skeleton), 2))]
    keypoints = np.concatenate(points)
    return codec.encode(np.array(boxes), keypoints, np.ones(keypoints.shape[:2]))


def random_outputs(codec: Anchors, seed: int, spread: float = 2.0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    channels = len(codec.anchors[0]) * (BOX + 3 * len(codec.skeleton))
    return [(rng.standard_normal((1, channels, h, w)) * spread).astype(np.float32) for w, h in codec.grids]


@pytest.mark.parametrize("skeleton", [COCO, CROWDPOSE], ids=lambda s: s.name)
@pytest.mark.parametrize(
    "boxes",
    [
        [(20.0, 10.0, 60.0, 80.0)],
        [(0.0, 0.0, 22.0, 30.0)],  # in the corner
        [(108.0, 70.0, 128.0, 96.0)],  # in the other corner
        [(41.0, 33.0, 47.0, 40.0)],  # smaller than a cell of 8 pixels
        [(2.0, 2.0, 126.0, 94.0)],  # nearly all of the picture
        [(10.0, 10.0, 40.0, 70.0), (70.0, 15.0, 120.0, 80.0), (41.0, 33.0, 47.0, 40.0)],
        [(24.0, 24.0, 64.0, 64.0), (34.0, 4.0, 54.0, 84.0)],  # one center, one cell, two shapes
    ],
)
def test_decode_inverts_encode(skeleton: Skeleton, boxes: list[tuple[float, float, float, float]]) -> None:
    codec = Anchors(SIZE, skeleton)
    targets = encoded(codec, *boxes)
    # Where two people have the same cell and anchor the map holds but one of them: the second.
    poses = codec.decode(outputs_of(codec, targets))
    assert len(poses) == len(boxes) and poses.skeleton is skeleton
    order = iou(targets["boxes"], poses.boxes).argmax(axis=1)
    assert sorted(order) == list(range(len(boxes)))
    np.testing.assert_allclose(poses.boxes[order], targets["boxes"], atol=1e-3)
    np.testing.assert_allclose(poses.keypoints[order], targets["keypoints"], atol=1e-3)
    assert poses.person_scores == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-4)
    assert (poses.scores > 0.9).all()


def test_a_person_is_learnt_around_the_center_at_every_anchor_that_fits() -> None:
    codec = Anchors(SIZE)
    cells = encoded(codec, (20.0, 10.0, 60.0, 80.0))["cells"]  # center 40, 45
    fits = {(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)}  # 40x70 is too narrow for 176x160 and 152x376
    assert {(int(level), int(anchor)) for level, anchor, *_ in cells} == fits
    at_first = {(int(row), int(column)) for level, anchor, row, column, _ in cells if (level, anchor) == (0, 0)}
    assert at_first == {(5, 5), (5, 4), (6, 5)}  # x at the left edge of column 5, y at 5.625


def test_a_person_in_the_corner_has_no_neighbors_outside() -> None:
    codec = Anchors(SIZE)
    for box in ((0.0, 0.0, 8.0, 10.0), (120.0, 86.0, 128.0, 96.0), (0.0, 86.0, 8.0, 96.0)):
        cells = encoded(codec, box)["cells"]
        assert len(cells) > 0
        for level, _, row, column, _ in cells:
            columns, rows = codec.grids[level]
            assert 0 <= row < rows and 0 <= column < columns
    first = encoded(codec, (0.0, 0.0, 7.0, 9.0))["cells"]  # center 3.5, 4.5 in a cell of 8: right and left would do
    assert {(int(row), int(column)) for level, _, row, column, _ in first if level == 0} == {(0, 0), (1, 0)}


def test_a_person_smaller_than_a_cell_is_learnt_by_the_finest_level_alone() -> None:
    codec = Anchors(SIZE)
    cells = encoded(codec, (41.0, 33.0, 47.0, 40.0))["cells"]  # 6 x 7 about 44, 36.5: column 5.5, row 4.5625
    assert sorted(cells.tolist()) == [[0, 0, 4, 5, 0], [0, 0, 5, 5, 0]], "the smallest anchor, and the cell below"
    targets = encoded(codec, (41.0, 33.0, 47.0, 40.0), (41.0, 33.0, 47.0, 41.0))
    assert len(targets["cells"]) == 4 and set(targets["cells"][:, 4].tolist()) == {0, 1}


def test_two_people_of_one_cell_are_both_learnt() -> None:
    codec = Anchors(SIZE)
    cells = encoded(codec, (21.0, 12.0, 61.0, 82.0), (22.0, 12.0, 62.0, 82.0))["cells"]
    first, second = ({tuple(row[:4]) for row in cells.tolist() if row[4] == who} for who in (0, 1))
    assert first & second, "the same cell and anchor for both"
    apart = {who: sum(row[4] == who for row in cells.tolist()) for who in (0, 1)}
    assert apart[0] == len(first) and apart[1] == len(second)


def test_who_fits_no_anchor_is_learnt_by_none() -> None:
    codec = Anchors(SIZE)
    assert encoded(codec, (40.0, 40.0, 44.0, 46.0))["cells"].shape == (0, 5)  # 4 is less than a quarter of 19
    assert encoded(codec, (40.0, 40.0, 45.0, 47.0))["cells"][:, :2].tolist()[0] == [0, 0]
    assert encoded(codec, (40.0, 40.0, 40.0, 60.0))["cells"].shape == (0, 5), "an empty box"


def test_nobody() -> None:
    codec = Anchors(SIZE)
    targets = encoded(codec)
    shapes = {name: value.shape for name, value in targets.items()}
    assert shapes == {"cells": (0, 5), "boxes": (0, 4), "keypoints": (0, 17, 2), "visible": (0, 17), "ignore": (0, 4)}
    poses = codec.decode(outputs_of(codec, targets))
    assert len(poses) == 0 and poses.keypoints.shape == (0, 17, 2)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=8), st.integers(0, 1))
def test_targets_of_twice_the_size_are_those_one_level_on(corners: list[Any], third: int) -> None:
    """What SASD rests on: the same anchors, rows and columns, exactly."""
    boxes = np.array([(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners], np.float32)
    boxes = boxes.reshape(-1, 4) * np.array([*SIZE, *SIZE], np.float32)
    doubled = [[(w * 2**i, h * 2**i) for w, h in ((19, 27), (44, 40), (38, 94))] for i in range(4)]
    small = Anchors(SIZE, anchors=tuple(map(tuple, doubled[:3])))
    large = Anchors((2 * SIZE[0], 2 * SIZE[1]), strides=(16, 32, 64), anchors=tuple(map(tuple, doubled[1:])))
    assert np.array_equal(small.assign(boxes), large.assign(2 * boxes))


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 100), st.floats(0, 70), st.floats(6, 60), st.floats(8, 60))
def test_every_person_of_a_usual_shape_is_learnt_and_found(x: float, y: float, w: float, h: float) -> None:
    codec = Anchors(SIZE)
    box = (x, y, min(x + w, 128.0), min(y + h, 96.0))
    targets = encoded(codec, box)
    if box[2] - box[0] < 5 or box[3] - box[1] < 7 or max(w / h, h / w) > 3:
        return
    poses = codec.decode(outputs_of(codec, targets))
    assert len(poses) == 1
    np.testing.assert_allclose(poses.boxes[0], box, atol=2e-3)
    np.testing.assert_allclose(poses.keypoints, targets["keypoints"], atol=2e-3)


def test_suppression_takes_the_best_of_hundreds() -> None:
    codec = Anchors((512, 512), score=0.25)
    outputs = [np.full((1, 171, h, w), -12.0, np.float32) for w, h in codec.grids]
    rng = np.random.default_rng(0)
    maps = outputs[0].reshape(3, 57, 64, 64)
    maps[:, 5] = 20
    sides = logit(np.sqrt(np.array([[20.0, 40.0]]) / codec.anchors[0]) / 2)  # the same box from every anchor
    for row, column in (places := [(r, c) for r in (8, 24, 40, 56) for c in (8, 32, 56)]):
        near = (slice(None), slice(None), slice(row - 1, row + 2), slice(column - 1, column + 2))
        maps[near] = 0
        maps[:, 5] = 20
        maps[near][:, 2:4] = sides[..., None, None]
        maps[near][:, 4] = rng.uniform(-0.5, 0.5, (3, 3, 3))
        for i, j in np.ndindex(3, 3):
            maps[:, :2, row - 1 + i, column - 1 + j] = logit(
                np.clip((np.array([1.5 - j, 1.5 - i]) + 0.5) / 2, 0.05, 0.95)
            )
        maps[0, 4, row, column] = 5
    assert (maps[:, 4] > -1).sum() == 27 * len(places) == 324
    poses = codec.decode(outputs)
    assert len(poses) == len(places)
    np.testing.assert_allclose(poses.person_scores, 1 / (1 + np.exp(-5)), rtol=1e-5)
    expected = {(8.0 * c + 4, 8.0 * r + 4) for r, c in places}
    assert {tuple(np.round((box[:2] + box[2:]) / 2, 3)) for box in poses.boxes} == expected
    assert len(Anchors((512, 512), score=0.25, limit=2).decode(outputs)) == 2
    assert len(Anchors((512, 512), score=0.25, candidates=5).decode(outputs)) == 5
    assert len(Anchors((512, 512), score=0.5, iou=0.9999).decode(outputs)) > len(poses)
    assert len(Anchors((512, 512), score=0.999).decode(outputs)) == 0


@pytest.mark.parametrize("case", [0, 1])
def test_decode_and_suppression_are_the_published_ones(case: int) -> None:
    stored = algorithm_cases("algo/yolopose_decode_nms")[case]
    params = stored.params
    height, width = params["image_hw"]
    anchors = tuple(tuple((row[i], row[i + 1]) for i in (0, 2, 4)) for row in params["anchors_px"])
    codec = Anchors(
        (width, height), COCO, tuple(params["strides"]), anchors, params["conf_thres"], params["iou_thres"]
    )  # fmt: skip
    levels = [stored.inputs[f"raw_l{i}"] for i in range(len(anchors))]
    for picture in range(len(levels[0])):
        # (A, h, w, 57) -> (1, A * 57, h, w)
        outputs = [np.moveaxis(level[picture], -1, 1) for level in levels]
        outputs = [np.ascontiguousarray(o).reshape(1, -1, *o.shape[2:]) for o in outputs]
        every, table = codec.everywhere(outputs), stored.outputs["decoded"][picture]
        centers = (every.boxes[:, :2] + every.boxes[:, 2:]) / 2
        np.testing.assert_allclose(centers, table[:, :2], rtol=1e-5, atol=1e-3)
        np.testing.assert_allclose(every.boxes[:, 2:] - every.boxes[:, :2], table[:, 2:4], rtol=1e-4, atol=1e-3)
        points = table[:, 6:].reshape(len(table), 17, 3)
        np.testing.assert_allclose(every.keypoints + 0.5, points[..., :2], rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(every.scores, points[..., 2], rtol=1e-5, atol=1e-6)
        found, expected = codec.decode(outputs), stored.outputs[f"det_{picture}"]
        assert len(found) == len(expected)
        np.testing.assert_allclose(found.person_scores, expected[:, 4], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found.boxes, expected[:, :4], rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(
            found.keypoints + 0.5, expected[:, 6:].reshape(-1, 17, 3)[..., :2], rtol=1e-4, atol=1e-3
        )


@pytest.mark.parametrize("case", [0, 1, 2, 3])
def test_assignment_is_the_published_one(case: int) -> None:
    stored = algorithm_cases("algo/yolopose_loss")[case]
    codec, boxes, pictures = published(stored.params, stored.inputs["targets"])
    for level in range(len(codec.strides)):
        expected = sorted(map(tuple, stored.outputs[f"index_l{level}"].tolist()))
        found = []
        for picture in range(len(stored.inputs["p_l0"])):
            cells = codec.assign(boxes[pictures == picture])
            found += [(picture, int(c[1]), int(c[2]), int(c[3])) for c in cells if c[0] == level]
        assert sorted(found) == expected


def published(params: dict[str, Any], targets: np.ndarray) -> tuple[Anchors, np.ndarray, np.ndarray]:
    """The codec of a case of `yolopose_loss`, boxes (n, 4) in pixels, and the picture (n,) of each."""
    height, width = params["image_hw"]
    anchors = tuple(tuple((row[i], row[i + 1]) for i in (0, 2, 4)) for row in params["anchors_px"])
    codec = Anchors((width, height), COCO, tuple(params["strides"]), anchors)
    size = np.array([width, height], np.float64)
    centers, sides = targets[:, 2:4] * size, targets[:, 4:6] * size
    boxes = np.concatenate([centers - sides / 2, centers + sides / 2], axis=1).astype(np.float32)
    return codec, boxes, targets[:, 0].astype(int)


@pytest.mark.parametrize("skeleton", [COCO, CROWDPOSE], ids=lambda s: s.name)
def test_the_flip_test_of_a_mirrored_picture_is_that_picture(skeleton: Skeleton) -> None:
    codec = Anchors(SIZE, skeleton)
    outputs = random_outputs(codec, 0)
    merged = codec.merge_flipped(outputs, mirrored(codec, outputs))
    for ours, plain in zip(merged, outputs, strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, plain, atol=1e-3)


def test_mirrored_maps_decode_to_mirrored_people() -> None:
    codec = Anchors(SIZE)
    targets = encoded(codec, (10.0, 10.0, 40.0, 70.0), (70.0, 15.0, 120.0, 80.0))
    outputs = outputs_of(codec, targets)
    plain, turned = codec.decode(outputs), codec.decode(mirrored(codec, outputs))
    order = np.argsort(-turned.boxes[:, 0])
    kept = np.argsort(plain.boxes[:, 0])
    turned, plain = turned[order], plain[kept]
    np.testing.assert_allclose(
        turned.boxes[:, [2, 1, 0, 3]], plain.boxes * [-1, 1, -1, 1] + [128, 0, 128, 0], atol=1e-3
    )
    expected = plain.keypoints[:, COCO.flip] * [-1, 1] + [127, 0]  # pixel centers: x -> w - 1 - x
    np.testing.assert_allclose(turned.keypoints, expected, atol=1e-3)


def test_the_flip_test_averages_what_is_decoded() -> None:
    codec = Anchors(SIZE)
    a, b = random_outputs(codec, 1), random_outputs(codec, 2)
    first, second = codec.everywhere(a), codec.everywhere(mirrored(codec, b))  # the mirror of a mirror is itself
    merged = codec.everywhere(codec.merge_flipped(a, b))

    def centers_and_sides(poses: Poses) -> np.ndarray:
        low, high = poses.boxes[:, :2], poses.boxes[:, 2:]
        return np.concatenate([(low + high) / 2, high - low], axis=1)

    mean = (centers_and_sides(first) + centers_and_sides(second)) / 2
    np.testing.assert_allclose(centers_and_sides(merged), mean, rtol=1e-4, atol=1e-2)
    for name in ("keypoints", "scores", "person_scores"):
        mean = (getattr(first, name) + getattr(second, name)) / 2
        np.testing.assert_allclose(getattr(merged, name), mean, rtol=1e-4, atol=1e-3)


def test_thirty_people_of_a_large_picture_are_decoded_in_two_milliseconds() -> None:
    """With suppression, on one core: CPU time of this thread, the quickest of some calls."""
    codec = Anchors((512, 512), score=0.3)
    rng = np.random.default_rng(0)
    corners = np.array([(x, y) for y in range(8, 420, 100) for x in range(8, 440, 62)], float)[:30]
    people = np.concatenate([corners, corners + rng.uniform((30, 60), (52, 90), (30, 2))], axis=1)
    outputs = outputs_of(codec, encoded(codec, *map(tuple, people)))
    assert sum((level.reshape(3, 57, -1)[:, 4] > 0).sum() for level in outputs) > 300, (
        "what suppression has to go through"
    )
    poses, spent = codec.decode(outputs), []
    for _ in range(40):
        start = time.thread_time()
        codec.decode(outputs)
        spent.append(time.thread_time() - start)
    assert len(poses) == 30 and min(spent) <= 0.002


def test_hostile_numbers_are_no_people_and_raise_nothing() -> None:
    codec = Anchors(SIZE)
    for value in (np.nan, -np.inf, -1e30):
        outputs = [np.full((1, 171, h, w), value, np.float32) for w, h in codec.grids]
        assert len(codec.decode(outputs)) == 0
    outputs = [np.full((1, 171, h, w), 1e4, np.float32) for w, h in codec.grids]
    assert 0 < len(codec.decode(outputs)) <= codec.limit


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strides": (8, 16)}, r"strides \(8, 16\) need as many anchors for each level, got \[3, 3, 3\]"),
        ({"input_size": (100, 96)}, r"input_size \(100, 96\) is no multiple of every stride"),
        ({"score": 0.0}, "score is 0.0, expected a threshold between 0 and 1"),
    ],
)
def test_what_does_not_fit_is_said(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Anchors(**({"input_size": SIZE} | arguments))


def test_maps_of_another_shape_are_named() -> None:
    codec = Anchors(SIZE, CROWDPOSE)
    with pytest.raises(
        ValueError, match=r"Anchors of 14 keypoints expects maps \[\(1, 144, 12, 16\).*\(1, 171, 12, 16\)"
    ):
        codec.decode(random_outputs(Anchors(SIZE), 0))


def test_a_spec_from_a_file_gives_the_same_codec() -> None:
    anchors = [[[19, 27], [44, 40], [38, 94]], [[38, 54], [88, 80], [76, 188]]]
    spec = ModelSpec("mine", "anchors", (64, 64), codec_args={"strides": [8, 16], "anchors": anchors})
    assert codec_of(ModelSpec.from_json(spec.to_json())) == codec_of(spec)
    assert codec_of(spec).anchors[1][2] == (76.0, 188.0)
