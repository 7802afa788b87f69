"""Ranges of the numbers in a network, seen on calibration pictures: what the 256 levels of a tensor are spread over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from edgepose.names import expected
from edgepose.runtime.session import raw

Method = Literal["minmax", "percentile", "entropy"]
METHODS: tuple[Method, ...] = get_args(Method)
Range = tuple[float, float]

SAMPLED = 4096  # numbers of a tensor that are kept for each view, besides the smallest and the largest of all
TAIL = 1e-5  # share of the numbers that "percentile" cuts off at either end
BINS = 2048  # of the histogram for "entropy"
LEVELS = 128  # of the magnitudes that 8 bits tell apart


@dataclass
class Seen:
    """Of one tensor: the smallest and the largest number, and numbers from random places."""

    low: float
    high: float
    parts: list[np.ndarray]

    def values(self) -> np.ndarray:
        """All that were kept, (N,)."""
        return np.concatenate(self.parts)


def observed(
    model: Any,
    batches: Sequence[np.ndarray],
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Seen]:
    """Every float32 tensor of a graph (onnx.ModelProto) on the batches, which go through it one by one."""
    import onnx

    shaped = onnx.shape_inference.infer_shapes(model)
    known = {value.name: value for value in shaped.graph.value_info}
    own = [value.name for value in shaped.graph.output]
    made = [name for node in shaped.graph.node for name in node.output if name in known and name not in own]
    floats = [name for name in made if known[name].type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    shaped.graph.output.extend(known[name] for name in floats)
    taken = {value.name for value in shaped.graph.input if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    run = raw(shaped.SerializeToString(), threads)
    rng = np.random.default_rng(0)
    seen: dict[str, Seen] = {}
    for done, batch in enumerate(batches):
        if progress is not None:
            progress(done, len(batches))
        outputs = dict(zip([*own, *floats], run(batch), strict=True))
        for name, values in [*outputs.items(), *((name, batch) for name in taken)]:
            _add(seen, name, values.reshape(-1), len(batch), rng)
    return seen


def _add(seen: dict[str, Seen], name: str, values: np.ndarray, views: int, rng: np.random.Generator) -> None:
    if values.dtype.kind != "f" or not values.size:
        return
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(f"the float32 model gives numbers that are not finite at {name}: it cannot be quantized")
    kept = values[rng.integers(0, values.size, min(values.size, SAMPLED * views))].astype(np.float32)
    if name not in seen:
        seen[name] = Seen(low, high, [kept])
        return
    before = seen[name]
    before.low, before.high = min(before.low, low), max(before.high, high)
    before.parts.append(kept)


def ranges_of(seen: dict[str, Seen], method: Method) -> dict[str, Range]:
    """The range of every tensor, with 0 in it.

    minmax:     all that was seen: nothing is cut off, and one outlier makes the steps coarse for all others
    percentile: without the outermost `TAIL` at either end
    entropy:    the one of those cut off by magnitude whose 8-bit histogram tells least of another story than the whole
                (Kullback-Leibler; Migacz, "8-bit inference with TensorRT", 2017)
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}{expected(method, METHODS)}")
    return {name: _range(tensor, method) for name, tensor in seen.items()}


def _range(tensor: Seen, method: Method) -> Range:
    low, high = tensor.low, tensor.high
    if method == "percentile":
        low, high = (float(value) for value in np.quantile(tensor.values(), [TAIL, 1 - TAIL]))
    elif method == "entropy":
        limit = entropy_limit(np.abs(tensor.values()))
        low, high = max(low, -limit), min(high, limit)
    return min(low, 0.0), max(high, 0.0)


def entropy_limit(magnitudes: np.ndarray) -> float:
    """The magnitude at which to cut off numbers (N,), so that a histogram of `LEVELS` bins tells most of what a fine
    one of `BINS` does.
    """
    largest = float(magnitudes.max())
    if largest == 0:
        return 0.0
    counts, edges = np.histogram(magnitudes, BINS, (0, largest))
    counts[0] = counts[1]  # exact zeros, as a ReLU leaves, are kept by any range
    best, limit = np.inf, largest
    for end in range(LEVELS, BINS + 1, LEVELS // 8):
        kept = counts[:end].astype(np.float64)
        whole = kept.copy()
        whole[-1] += counts[end:].sum()  # all that is cut off falls on the last level
        starts = np.arange(LEVELS) * end // LEVELS
        sums, filled = np.add.reduceat(kept, starts), np.add.reduceat((kept > 0).astype(np.float64), starts)
        widths = np.diff([*starts, end])
        means = np.divide(sums, filled, out=np.zeros(LEVELS), where=filled > 0)
        coarse = np.where(kept > 0, np.repeat(means, widths), 0)
        if not whole.sum() or not coarse.sum():
            continue
        p, q = whole / whole.sum(), coarse / coarse.sum()
        there = p > 0
        divergence = float((p[there] * np.log(p[there] / np.maximum(q[there], 1e-9))).sum())
        if divergence < best:
            best, limit = divergence, float(edges[end])
    return limit
