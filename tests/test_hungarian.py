"""The cheapest assignment: hand-made cases, and equal sums with scipy on whatever comes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from edgepose.hungarian import assignment


def test_the_first_come_is_not_the_best_served() -> None:
    rows, columns = assignment(np.array([[1.0, 2.0, 9.0], [1.0, 9.0, 9.0], [5.0, 5.0, 5.0]]))
    assert rows.tolist() == [0, 1, 2] and columns.tolist() == [1, 0, 2]


def test_more_rows_than_columns() -> None:
    rows, columns = assignment(np.array([[4.0], [1.0], [3.0]]))
    assert rows.tolist() == [1] and columns.tolist() == [0]


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nobody(shape: tuple[int, int]) -> None:
    rows, columns = assignment(np.zeros(shape))
    assert len(rows) == len(columns) == 0


@pytest.mark.parametrize("bad", [np.inf, np.nan, -np.inf])
def test_costs_must_be_finite(bad: float) -> None:
    with pytest.raises(ValueError, match="expected finite costs"):
        assignment(np.array([[1.0, bad]]))


@settings(deadline=None)  # the first case imports scipy
@given(
    st.one_of(
        arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.floats(-1e6, 1e6)),
        arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3).map(float)),
    )
)
def test_sums_are_scipys(costs: np.ndarray) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    rows, columns = assignment(costs)
    assert len(rows) == min(costs.shape) and (np.diff(rows) > 0).all() and len(set(columns)) == len(columns)
    expected = costs[optimize.linear_sum_assignment(costs)].sum()
    assert costs[rows, columns].sum() == pytest.approx(expected, abs=1e-9 * (1 + np.abs(costs).max()) * len(rows))
