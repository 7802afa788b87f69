from __future__ import annotations

import numpy as np
import pytest

from edgepose.quantize.graph import plain
from edgepose.quantize.ranges import Seen, entropy_limit, observed, ranges_of
from edgepose.runtime.session import raw
from tests.quantize.small import SIZE, small_graph

pytest.importorskip("onnx")


def batches(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 200 + i, (1 + i % 2, SIZE[1], SIZE[0], 3), dtype=np.uint8) for i in range(count)]


def test_every_float_tensor_is_seen_on_all_batches() -> None:
    model = plain(small_graph())
    views = batches(5)
    seen = observed(model, views)
    assert {"first_in", "first_out", "wide_in", "head_in", "heatmaps"} <= set(seen)
    assert "images" not in seen  # bytes
    outputs = [raw(model.SerializeToString())(batch)[0] for batch in views]
    assert seen["heatmaps"].low == min(float(each.min()) for each in outputs)
    assert seen["heatmaps"].high == max(float(each.max()) for each in outputs)
    assert seen["floats"].high == max(int(each.max()) for each in views)
    assert set(np.unique(seen["floats"].values())) <= set(range(205))


def test_inputs_of_foreign_files_are_floats_and_seen() -> None:
    model = plain(small_graph(layout="nchw"))
    batch = np.full((1, 3, SIZE[1], SIZE[0]), -2, np.float32)
    seen = observed(model, [batch, batch * -3])
    assert (seen["images"].low, seen["images"].high) == (-2, 6)


def test_numbers_that_are_not_finite_are_refused() -> None:
    batch = np.full((1, 3, SIZE[1], SIZE[0]), np.nan, np.float32)
    with pytest.raises(ValueError, match="not finite"):
        observed(plain(small_graph(layout="nchw")), [batch])


def test_methods() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, 500_000).astype(np.float32)
    tensor = {"x": Seen(-40.0, 90.0, [values, np.array([-40, 90], np.float32)])}  # two outliers
    assert ranges_of(tensor, "minmax")["x"] == (-40, 90)
    low, high = ranges_of(tensor, "percentile")["x"]
    assert -5.5 < low < -4 and 4 < high < 5.5  # one in 100,000 of a normal distribution is beyond 4.26
    low, high = ranges_of(tensor, "entropy")["x"]
    assert 2.5 < high < 12 and low == -high


def test_zero_is_always_in_the_range() -> None:
    seen = {"x": Seen(2.0, 3.0, [np.linspace(2, 3, 100, dtype=np.float32)]), "y": Seen(0, 0, [np.zeros(9, np.float32)])}
    for method in ("minmax", "percentile", "entropy"):
        ranges = ranges_of(seen, method)  # type: ignore[arg-type]
        assert ranges["x"][0] == 0 and ranges["x"][1] == pytest.approx(3, abs=0.02)
        assert ranges["y"] == (0, 0)


def test_entropy_keeps_what_is_spread_evenly() -> None:
    assert entropy_limit(np.linspace(0, 7, 100_000)) > 6.5


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown method 'median', expected one of"):
        ranges_of({}, "median")  # type: ignore[arg-type]
