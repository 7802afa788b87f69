"""In which order an epoch sees the people of its data sets. Everything follows from the generator given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Order = Callable[[np.random.Generator, int], np.ndarray]  # (generator, N rows) -> (N,) rows of an epoch


def shuffled(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Each of the rows once, in random order."""
    return rng.permutation(rows)


@dataclass(frozen=True)
class Balanced:
    """An epoch in which every data set has its share, however large it is.

    A set that is smaller than its share is gone through again and again, each time in another order; of a larger one
    an epoch sees a part. The sets are spread evenly over the epoch, so that every batch has nearly their shares.

    sets:    (P,) which data set each row belongs to (`People.sets`)
    weights: one per data set, in any unit
    """

    sets: np.ndarray
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if min(self.weights, default=0.0) <= 0:
            raise ValueError(f"weights of data sets are {list(self.weights)}, expected numbers above 0")
        if len(self.sets) and int(self.sets.max()) >= len(self.weights):
            raise ValueError(f"got {len(self.weights)} weights for {int(self.sets.max()) + 1} data sets")

    def __call__(self, rng: np.random.Generator, rows: int) -> np.ndarray:
        """(rows,) rows of an epoch, some of them several times."""
        members = [np.flatnonzero(self.sets[:rows] == number) for number in range(len(self.weights))]
        shares = np.array([w if len(m) else 0.0 for w, m in zip(self.weights, members, strict=True)])
        exact = rows * shares / shares.sum() if rows else shares
        counts = np.floor(exact).astype(int)
        counts[np.argsort(counts - exact, kind="stable")[: rows - counts.sum()]] += 1
        drawn, places = [np.empty(0, int)], [np.empty(0)]
        for member, count in zip(members, counts, strict=True):
            passes = -(-count // len(member)) if count else 0
            every = [rng.permutation(member) for _ in range(passes)]
            drawn.append(np.concatenate([np.empty(0, int), *every])[:count])
            places.append((np.arange(count) + rng.random()) / max(count, 1))
        return np.concatenate(drawn)[np.argsort(np.concatenate(places), kind="stable")]
