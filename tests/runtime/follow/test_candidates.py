"""Boxes to look at: around the last poses, and merged with the detector's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepose.geometry import iou
from edgepose.poses import Poses
from edgepose.runtime.follow import (
    ALIKE,
    COVERED,
    FOLLOWED,
    FURTHEST,
    GROWTH,
    Candidates,
    blended,
    margins_of,
    merged,
    pose_boxes,
)


def poses_of(points: np.ndarray, scores: np.ndarray) -> Poses:
    n = len(points)
    return Poses(points, scores, np.tile([1.0, 2, 3, 4], (n, 1)), np.ones(n))


def test_only_confident_keypoints_count_and_grow_once() -> None:
    points = np.zeros((1, 17, 2))
    points[0, :9] = np.linspace([10, 20], [50, 100], 9)
    points[0, 9:] = 1000
    scores = np.array([[0.9] * 9 + [0.1] * 8])
    expected = [30 - 20 * GROWTH, 60 - 40 * GROWTH, 30 + 20 * GROWTH, 60 + 40 * GROWTH]
    assert pose_boxes(poses_of(points, scores))[0] == pytest.approx(expected)
    scores[0, 0] = 0.1  # too few: the box that the tracker expects
    assert pose_boxes(poses_of(points, scores))[0].tolist() == [1, 2, 3, 4]
    assert pose_boxes(Poses.nobody()).shape == (0, 4)


numbers = st.integers(0, 40)
box = st.tuples(numbers, numbers, st.integers(5, 30), st.integers(5, 30)).map(
    lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
)


def candidates(boxes: list[list[int]], found: bool) -> Candidates:
    n = len(boxes)
    owners = np.zeros(n, np.int64) if found else np.arange(1, n + 1)
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    return Candidates(rows, np.ones(n, np.float32), owners, np.full(n, found), rows)


@settings(deadline=None, max_examples=60)
@given(st.lists(box, max_size=6), st.lists(box, max_size=6))
def test_merging_loses_no_detection_and_doubles_nobody(found: list[list[int]], known: list[list[int]]) -> None:
    result = merged(candidates(found, True), candidates(known, False), np.full(len(known), 0.25))
    assert result.detected[: len(found)].tolist() == found and result.confirmed[: len(found)].all()
    owners = result.owners[result.owners > 0]
    assert len(set(owners.tolist())) == len(owners) <= len(known)
    rest = result.boxes[len(found) :]
    assert not (iou(rest, result.detected[: len(found)]) >= COVERED).any() and not result.confirmed[len(found) :].any()


def test_a_detection_takes_over_the_identity() -> None:
    result = merged(
        candidates([[0, 0, 10, 20]], True), candidates([[1, 1, 11, 21], [100, 0, 110, 20]], False), np.ones(2)
    )
    assert result.owners.tolist() == [1, 2] and result.boxes[0].tolist() == [0, 0, 10, 20]


@pytest.mark.parametrize(
    ("detected", "looked_at"), [([0, 0, 10, 20], [1.5, 0, 11.5, 20]), ([0, 0, 30, 20], [0, 0, 30, 20])]
)
def test_a_detection_corrects_a_known_box_and_replaces_one_unlike_it(
    detected: list[int], looked_at: list[float]
) -> None:
    expected = [2, 0, 12, 20] if looked_at[0] else [0, 0, 10, 20]
    assert (iou(np.array([detected]), np.array([expected]))[0, 0] >= ALIKE) == (looked_at[0] > 0)
    result = merged(candidates([detected, [90, 0, 99, 20]], True), candidates([expected], False), np.array([0.25]))
    assert result.boxes.tolist() == [looked_at, [90, 0, 99, 20]]
    assert result.detected.tolist() == [detected, [90, 0, 99, 20]] and result.owners.tolist() == [1, 0]


def spread(low: tuple[float, float], high: tuple[float, float], box: list[float]) -> Poses:
    """One person with keypoints from `low` to `high`."""
    return Poses(np.linspace(low, high, 17)[None], np.full((1, 17), 0.9), np.array([box]), np.ones(1))


def test_boxes_keep_the_detectors_margins_when_the_person_moves() -> None:
    detected = np.array([[8.0, 4.0, 60.0, 116.0]])
    before = spread((10, 10), (50, 110), detected[0].tolist())
    margins = margins_of(before, detected)
    assert margins[0] == pytest.approx([0.02, 0.06, 0.10, 0.06])
    assert pose_boxes(before, margins)[0] == pytest.approx(detected[0], abs=1e-4)
    after = spread((110, 10), (150, 110), (detected[0] + [100, 0, 100, 0]).tolist())  # the tracker's box moves along
    assert pose_boxes(after, margins)[0] == pytest.approx(detected[0] + [100, 0, 100, 0], abs=1e-4)


def test_half_of_a_straying_keypoint_is_followed() -> None:
    box = [0.0, 0.0, 40.0, 100.0]
    poses = spread((0, 0), (40, 100), box)
    margins = margins_of(poses, np.array([box]))
    poses.keypoints[0, 8] = [90, 50]
    assert pose_boxes(poses, margins)[0] == pytest.approx([0, 0, 40 + 50 * FOLLOWED, 100])


def test_margins_are_bounded_and_may_point_inwards() -> None:
    poses = spread((0, 0), (40, 100), [0, 0, 40, 100])
    inside = np.array([[10.0, 0.0, 40.0, 300.0]])
    assert margins_of(poses, inside)[0] == pytest.approx([-0.1, 0, 0, FURTHEST])
    unsure = Poses(poses.keypoints, poses.scores * 0.1, poses.boxes, poses.person_scores)
    assert np.isnan(margins_of(unsure, inside)).all()
    assert margins_of(Poses.nobody(), np.zeros((0, 4))).shape == (0, 4)


def test_margins_are_averaged_where_both_are_known() -> None:
    never, first, second = np.full(4, np.nan), np.array([0.1, 0.1, 0.1, 0.1]), np.array([0.2, 0.0, 0.1, 0.1])
    assert blended(never, first, 0.3).tolist() == first.tolist() == blended(first, never, 0.3).tolist()
    assert blended(first, second, 0.3) == pytest.approx(first + 0.3 * np.array([0.1, -0.1, 0, 0]))


def test_nobody_is_merged_with_nobody() -> None:
    assert len(merged(Candidates.none(), Candidates.none(), np.zeros(0)).boxes) == 0
