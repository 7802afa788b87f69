"""Which of several is quickest, without waiting long for those that clearly are not."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from statistics import median
from typing import Any, TypeVar

Key = TypeVar("Key", bound=Hashable)
Clock = Callable[[], float]
Call = Callable[[], Any]

ROUNDS = 9
# After so many rounds, who takes so many times the quickest one's time leaves; each one's best times count, since what
# else the machine does only ever adds to them.
CUTS = {2: 1.5, 4: 1.2}


def race(
    contenders: Mapping[Key, Sequence[Call]], seconds: float, clock: Clock = time.perf_counter, rounds: int = ROUNDS
) -> dict[Key, tuple[float, ...]]:
    """Median milliseconds of every job of every contender; they take turns, so that what else runs hits all alike.

    Each has the same jobs in the same order, which are called once before they count. Contenders are compared by
    `score`. It ends after `rounds`, or after the first that ends later than `seconds`.
    """
    end = clock() + seconds
    spent: dict[Key, list[list[float]]] = {key: [[] for _ in jobs] for key, jobs in contenders.items()}
    for jobs in contenders.values():
        for job in jobs:
            job()
    running = list(contenders)
    for turn in range(1, rounds + 1):
        for key in running[turn % len(running) :] + running[: turn % len(running)]:
            for job, times in zip(contenders[key], spent[key], strict=True):
                start = clock()
                job()
                times.append((clock() - start) * 1e3)
        if turn in CUTS:
            scores = {key: score([min(times) for times in spent[key]]) for key in running}
            running = [key for key in running if scores[key] <= CUTS[turn] * min(scores.values())]
        if clock() >= end:
            break
    return {key: _medians(times) for key, times in spent.items()}


def score(milliseconds: Sequence[float]) -> float:
    """Geometric mean: twice as quick counts the same for one person as for eight."""
    return math.exp(sum(math.log(max(ms, 1e-6)) for ms in milliseconds) / len(milliseconds))


def quickest(measured: Mapping[Key, Sequence[float]], usual: Key, margin: float) -> Key:
    """The contender of the least score; `usual` unless it is quicker than that by the share `margin`."""
    best = min(measured, key=lambda key: score(measured[key]))
    return best if score(measured[best]) < (1 - margin) * score(measured[usual]) else usual


def _medians(times: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(median(each) for each in times)
