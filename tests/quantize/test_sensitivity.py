from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from edgepose.quantize.graph import Layer, layers_of, plain
from edgepose.quantize.ranges import observed, ranges_of
from edgepose.quantize.sensitivity import error, fewest, outputs_of, ranked, stacked
from edgepose.quantize.static import Form
from tests.quantize.small import OUTLIER, small_graph, spot


def layers(count: int) -> list[Layer]:
    return [Layer(str(i), (str(i),), False) for i in range(count)]


@pytest.mark.parametrize("needed", range(1, 11))
def test_the_fewest_layers_are_found(needed: int) -> None:
    tried: list[int] = []

    def holds(floats: Sequence[Layer]) -> bool:
        tried.append(len(floats))
        return len(floats) >= needed

    order = layers(20)
    assert fewest(order, holds) == order[:needed]
    assert len(tried) <= 5 and len(set(tried)) == len(tried)


def test_more_than_half_is_not_tried() -> None:
    tried: list[int] = []
    assert fewest(layers(20), lambda floats: bool(tried.append(len(floats)))) is None
    assert tried == [10]


def test_error_is_in_shares_of_each_outputs_variance() -> None:
    a = np.array([[0.0, 2.0]])  # variance 1
    b = np.array([[0.0, 200.0]])  # variance 10,000
    assert error([[a, b]], [[a + 0.5, b + 10]]) == pytest.approx((0.25 + 0.01) / 2)
    assert error([[a, b]], [[a, b]]) == 0


def test_views_are_taken_until_there_are_enough() -> None:
    batches = [np.zeros((3, 1)), np.zeros((2, 1)), np.zeros((4, 1))]
    assert [len(batch) for batch in stacked(batches, 4)] == [3, 2]


def test_the_layers_that_lose_most_come_right_after_those_of_the_outputs() -> None:
    pytest.importorskip("onnx")
    model = plain(small_graph(OUTLIER))
    views = [spot(i)[0][None] for i in range(8)]
    found = layers_of(model)
    form = Form(model, found, ranges_of(observed(model, views), "minmax"), 8)
    reference = outputs_of(model.SerializeToString(), views)
    order = [layer.name for layer in ranked(form, found, reference, views)]
    # One channel between `wide` and `next` is so large that the others are lost where either of them rounds it.
    assert order[0] == "head" and set(order[1:3]) == {"wide", "next"} and order[3:] == ["first"]
