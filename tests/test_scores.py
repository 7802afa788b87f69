"""Calibration: a map that keeps everybody's order, and what is refused; thresholds that go with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepose.poses import Poses
from edgepose.scores import CALIBRATED, MOST_KNOTS, RAW, Calibration, Knots, through
from edgepose.skeleton import COCO

GOOD: Knots = ((0.0, 0.0), (0.4, 0.5), (0.8, 0.95))
# Knots are written with a few digits, so neighbors are never nearer than these.
steps = st.lists(st.tuples(st.floats(1e-3, 0.5), st.floats(1e-3, 0.06)), min_size=1, max_size=MOST_KNOTS - 1)


def knots_of(start: float, rises: list[tuple[float, float]]) -> Knots:
    sums = np.cumsum([(start, 0.0), *rises], axis=0)
    return tuple((float(raw), float(sure)) for raw, sure in sums)


@given(st.floats(-1, 1), steps, st.lists(st.integers(-20_000, 20_000), min_size=2, unique=True))
def test_a_map_keeps_every_order(start: float, rises: list[tuple[float, float]], raw: list[int]) -> None:
    values = np.sort(np.array(raw) / 10_000)
    calibrated = through(knots_of(start, rises), values)
    assert (np.diff(calibrated) > 0).all() and calibrated.max() < 1


@given(st.floats(-1, 1), steps)
def test_a_map_goes_through_its_knots(start: float, rises: list[tuple[float, float]]) -> None:
    knots = knots_of(start, rises)
    np.testing.assert_allclose(through(knots, np.array(knots)[:, 0]), np.array(knots)[:, 1], atol=1e-12)


def test_between_and_beyond_the_knots() -> None:
    raw = np.array([[-0.4, 0.0], [0.2, 0.6], [1.8, 1e6]])
    expected = [[-0.5, 0.0], [0.25, 0.725], [0.975, 1.0]]
    np.testing.assert_allclose(through(GOOD, raw), expected, atol=1e-6)
    assert Calibration(GOOD, GOOD).of_people(np.zeros(0)).shape == (0,)


def test_people_and_keypoints_have_maps_of_their_own() -> None:
    both = Calibration(person=GOOD, keypoint=((0.0, 0.1), (1.0, 0.9)))
    assert both.of_people(np.array([0.4])) == pytest.approx(0.5)
    assert both.of_keypoints(np.array([0.5])) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([(0, 0)], "expected 2 to 16 pairs"),
        ([(i, i / 20) for i in range(17)], "expected 2 to 16 pairs"),
        ("abc", "expected 2 to 16 pairs"),
        ([(0, 0), (1,)], "expected 2 to 16 pairs"),
        ([(0, 0), (True, 0.5)], "expected 2 to 16 pairs"),
        ([(0, 0), (float("nan"), 0.5)], "expected 2 to 16 pairs"),
        ([(0, 0), (0, 0.5)], "expected both to rise"),
        ([(0, 0.5), (1, 0.5)], "expected both to rise"),
        ([(0, 0), (1, 1)], "expected probabilities from 0 to below 1"),
        ([(0, -0.1), (1, 0.5)], "expected probabilities from 0 to below 1"),
    ],
)
def test_what_is_no_map_is_refused_in_one_sentence(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"calibration of keypoint scores .*{message}") as caught:
        Calibration(GOOD, values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("values", [None, [], {"person": GOOD}, {"person": GOOD, "keypoint": GOOD, "x": 1}])
def test_an_object_has_both_maps(values: Any) -> None:
    with pytest.raises(ValueError, match="expected the knots of person and keypoint"):
        Calibration.of(values)


def test_defaults_go_with_the_scores() -> None:
    nobody = Poses.nobody()
    assert nobody.thresholds is RAW and RAW.person == 0 and RAW.drawn == 0.3
    some = Poses(np.zeros((1, 17, 2)), np.ones((1, 17)), np.zeros((1, 4)), np.ones(1), COCO, calibrated=True)
    assert some.thresholds is CALIBRATED and CALIBRATED.person == CALIBRATED.drawn == 0.5
    assert some[[0]].calibrated and some.mapped(np.eye(3)[:2]).calibrated
    assert Poses.concatenate([some, some]).calibrated and not Poses.concatenate([some, nobody]).calibrated
