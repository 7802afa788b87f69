"""Races by a made-up clock: medians, turns, who leaves early, and who wins."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgepose.runtime.tune.race import ROUNDS, quickest, race, score


class Clock:
    """Seconds that pass when somebody works, and what was done."""

    def __init__(self) -> None:
        self.now = 0.0
        self.done: list[str] = []

    def __call__(self) -> float:
        return self.now

    def work(self, name: str, *seconds: float) -> Callable[[], None]:
        """A job that takes each of `seconds` in turn, over and over."""
        calls = iter(range(10**6))

        def run() -> None:
            self.done.append(name)
            self.now += seconds[next(calls) % len(seconds)]

        return run


def test_medians_of_turns() -> None:
    clock = Clock()
    measured = race({"a": [clock.work("a", 0.010, 0.011, 0.5)], "b": [clock.work("b", 0.012)]}, 1e9, clock)
    assert measured["a"] == pytest.approx((11,)) and measured["b"] == pytest.approx((12,)), "a hiccup counts little"
    assert clock.done.count("a") == clock.done.count("b") == ROUNDS + 1, "once before it counts"
    assert clock.done[2:6] in (["b", "a", "a", "b"], ["a", "b", "b", "a"]), "nobody is always first"


def test_who_is_clearly_slower_leaves() -> None:
    clock = Clock()
    jobs = {name: [clock.work(name, seconds)] for name, seconds in (("quick", 1), ("near", 1.25), ("far", 2))}
    measured = race(jobs, 1e9, clock)
    assert measured == {"quick": (1000,), "near": (1250,), "far": (2000,)}, "what was measured is told all the same"
    assert [clock.done.count(name) for name in jobs] == [ROUNDS + 1, 4 + 1, 2 + 1]


def test_it_ends_in_time_but_measures_everybody() -> None:
    clock = Clock()
    measured = race({name: [clock.work(name, 100)] for name in "abc"}, 10, clock)
    assert set(measured) == set("abc") and clock.done == [*"abc", *"bca"]


def test_jobs_count_alike() -> None:
    assert score((10, 40)) == pytest.approx(20)
    measured = {"usual": (10.0, 100.0), "for one": (5.0, 190.0), "for many": (12.0, 50.0)}
    assert quickest(measured, "usual", 0.03) == "for many"
    assert quickest({"usual": (10.0,), "hardly": (9.8,)}, "usual", 0.03) == "usual"
    assert quickest({"usual": (10.0,), "clearly": (9.6,)}, "usual", 0.03) == "clearly"
