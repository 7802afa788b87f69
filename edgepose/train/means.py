"""Means of losses over an epoch: sums weighted by images, of one process or of several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Sums = dict[str, list[float]]  # name -> [sum of value * images, images], of the batches that had such a loss


def add(sums: Sums, values: Mapping[str, float], images: int) -> None:
    """Count the losses of one more batch."""
    for name, value in values.items():
        total, count = sums.get(name, (0.0, 0))
        sums[name] = [total + value * images, count + images]


def merged(parts: Iterable[Sums]) -> Sums:
    """Sums of several processes as those of one."""
    whole: Sums = {}
    for part in parts:
        for name, (total, count) in part.items():
            before = whole.get(name, (0.0, 0))
            whole[name] = [before[0] + total, before[1] + count]
    return whole


def means(sums: Sums) -> dict[str, float]:
    """The mean of each loss."""
    return {name: total / count for name, (total, count) in sums.items()}
