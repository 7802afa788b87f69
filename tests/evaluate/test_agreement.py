from __future__ import annotations

import numpy as np
import pytest

from edgepose.evaluate.agreement import agreement
from edgepose.poses import Poses
from edgepose.skeleton import BOX, COCO, Skeleton

POINT = Skeleton("point", ("tip",), oks_sigmas=(0.05,))


def tips(*xs: float) -> Poses:
    """People of one keypoint at these x, in boxes of 100 x 100: OKS of two x that are d apart is exp(-d^2 / 200)."""
    n = len(xs)
    points = np.array([[[x, 50.0]] for x in xs]).reshape(n, 1, 2)
    boxes = np.array([[x - 50, 0, x + 50, 100] for x in xs]).reshape(n, 4)
    return Poses(points, np.ones((n, 1)), boxes, np.ones(n), POINT)


def boxes(*xs: float) -> Poses:
    """Squares of side 100 whose left edges are at these x."""
    return Poses.of_boxes(np.array([[x, 0, x + 100, 100] for x in xs]).reshape(-1, 4), np.ones(len(xs)))


def test_the_same_people_agree_in_any_order() -> None:
    assert agreement([tips(0, 300), tips()], [tips(300, 0), tips()]) == 1


def test_it_is_the_mean_oks_over_people_of_all_pictures() -> None:
    # OKS of 1, e^(-100/200) and e^(-25/200): a mean over people, not over pictures.
    expected = (1 + np.exp(-0.5) + np.exp(-0.125)) / 3
    assert agreement([tips(0, 300), tips(50)], [tips(0, 310), tips(55)]) == pytest.approx(expected)


def test_who_is_lost_and_who_is_made_up_count_nothing() -> None:
    assert agreement([tips(0, 300)], [tips(0)]) == 1 / 2
    assert agreement([tips(0)], [tips(0, 300)]) == 1 / 2
    assert agreement([tips(0), tips()], [tips(), tips(0)]) == 0


def test_too_far_apart_are_two_people() -> None:
    # 11 px: OKS .546 is a pair; 12 px: .487 are one lost and one made up.
    assert agreement([tips(0)], [tips(11)]) == pytest.approx(np.exp(-121 / 200))
    assert agreement([tips(0)], [tips(12)]) == 0


def test_the_best_pair_comes_first() -> None:
    # The candidate's 6 is nearest to 7, so 0 stays alone with 13, though 0-6 and 7-13 would have matched both.
    assert agreement([tips(0, 7)], [tips(6, 13)]) == pytest.approx(np.exp(-1 / 200) / 3)


def test_the_size_is_the_references() -> None:
    small = Poses([[[0, 50]]], [[1]], [[-25, 25, 25, 75]], [1], POINT)  # a quarter of the area
    assert agreement([small], [tips(5)]) == pytest.approx(np.exp(-25 / 50))
    assert agreement([tips(5)], [small]) == pytest.approx(np.exp(-25 / 200))


def test_boxes_agree_by_their_overlap() -> None:
    assert agreement([boxes(0, 500)], [boxes(500, 25)]) == pytest.approx((1 + 75 / 125) / 2)
    assert agreement([boxes(0)], [boxes(40)]) == 0  # 60 / 140


def test_a_measurement_of_nobody_is_an_error() -> None:
    with pytest.raises(ValueError, match="nobody was found in any of 2 pictures"):
        agreement([tips(), tips()], [tips(), tips()])
    with pytest.raises(ValueError, match="any of 0 pictures"):
        agreement([], [])


def test_what_does_not_pair_up_is_refused() -> None:
    with pytest.raises(ValueError, match="got 1 and 2 pictures"):
        agreement([tips(0), tips(0)], [tips(0)])
    with pytest.raises(ValueError, match="skeleton 'point', got 'coco'"):
        agreement([tips(0)], [Poses.nobody(COCO)])
    with pytest.raises(ValueError, match="skeleton 'point', got 'box'"):
        agreement([tips(0)], [Poses.nobody(BOX)])
