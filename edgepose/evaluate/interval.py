"""How sure a figure is: percentile intervals of the bootstrap over pictures (Efron & Tibshirani, 1993, chapter 13)."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgepose.evaluate.matching import Matches

LEVEL = 0.95


def intervals(matches: Matches, resamples: int = 1000, *, level: float = LEVEL, seed: int = 0) -> dict[str, Any]:
    """[low, high] of every figure, over so many draws of the pictures with replacement, the same for the same seed.

    People of one picture stay together, as they depend on each other. Nobody is matched again: a draw only counts
    pictures more or less often. Draws without anybody of a size say nothing of that size; [-1, -1] where none does.
    """
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(f"expected at least 1 resample and a level between 0 and 1, got {resamples} and {level}")
    pictures = matches.people.shape[1]
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {}
    for _ in range(resamples if pictures else 0):
        weights = np.bincount(rng.integers(0, pictures, pictures), minlength=pictures)
        for name, value in matches.figures(weights).items():
            drawn.setdefault(name, []).append(value)
    ends = [50 * (1 - level), 50 * (1 + level)]
    found: dict[str, Any] = {"resamples": resamples, "level": level}
    for name in matches.figures():
        values = np.array([value for value in drawn.get(name, ()) if value != -1])
        found[name] = np.percentile(values, ends).round(6).tolist() if len(values) else [-1.0, -1.0]
    return found
