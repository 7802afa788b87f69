"""Which layers a network can least do without in float: measured one by one, and as few of them as a check needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgepose.quantize.graph import Layer
from edgepose.quantize.static import Form
from edgepose.runtime.session import raw

VIEWS = 16  # on which layers are measured
MOST = 0.5  # share of the layers that may stay in float

Outputs = list[np.ndarray]


def stacked(batches: Sequence[np.ndarray], count: int = VIEWS) -> list[np.ndarray]:
    """The first few batches, with `count` views in all or a little more."""
    found: list[np.ndarray] = []
    for batch in batches:
        if sum(map(len, found)) >= count:
            break
        found.append(batch)
    return found


def outputs_of(model: bytes, batches: Sequence[np.ndarray], threads: int | None = None) -> list[Outputs]:
    """All outputs of a graph on each batch."""
    run = raw(model, threads)
    return [run(batch) for batch in batches]


def error(reference: Sequence[Outputs], candidate: Sequence[Outputs]) -> float:
    """Mean over the outputs of the squared difference, in shares of the output's variance."""
    shares = []
    for theirs, ours in zip(zip(*reference, strict=True), zip(*candidate, strict=True), strict=True):
        a, b = (np.concatenate([part.reshape(-1) for part in parts]).astype(np.float64) for parts in (theirs, ours))
        shares.append(float(((a - b) ** 2).mean() / max(a.var(), 1e-12)))
    return float(np.mean(shares))


def ranked(
    form: Form,
    layers: Sequence[Layer],
    reference: Sequence[Outputs],
    batches: Sequence[np.ndarray],
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Layer]:
    """The layers in the order in which they go back to float: those that give the outputs, then the worst of the rest.

    How bad one is says `error` of the graph in which it alone is in INT8, against the float32 outputs.
    """
    worst: dict[int, float] = {}
    for i, layer in enumerate(layers):
        if progress is not None:
            progress(i, len(layers))
        if layer.final:
            continue
        alone = form.int8([other for other in layers if other is not layer])
        worst[i] = error(reference, outputs_of(alone.SerializeToString(), batches, threads))
    rest = sorted(worst, key=lambda i: -worst[i])
    return [layer for layer in layers if layer.final] + [layers[i] for i in rest]


def fewest(order: Sequence[Layer], holds: Callable[[Sequence[Layer]], bool]) -> list[Layer] | None:
    """As few of the first layers of `order` as `holds` needs in float, at most `MOST` of them; None where that is not
    enough. That none is not enough is known.

    More layers in float are taken to be no worse, so that a bisection finds the number.
    """
    failed, enough = 0, max(1, int(len(order) * MOST))
    if not holds(order[:enough]):
        return None
    while enough - failed > 1:
        middle = (failed + enough) // 2
        if holds(order[:middle]):
            enough = middle
        else:
            failed = middle
    return list(order[:enough])
