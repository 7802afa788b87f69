"""Too little time: first fewer detections, then fewer people per frame, never nobody."""

from __future__ import annotations

import pytest

from edgepose.runtime.follow.budget import LONGEST, Budget


def spend(budget: Budget, detector: float = 0.040, person: float = 0.010, rest: float = 0.002) -> Budget:
    budget.spent(detector, 4, 4 * person, rest)
    return budget


def test_without_limits_everybody_is_looked_at() -> None:
    budget = spend(Budget(every=5))
    assert not budget.limited and not budget.short()
    assert budget.interval(1000) == 5 and budget.crops(1000, True) == 1000


def test_detections_become_rarer_first() -> None:
    budget = spend(Budget(every=2, fps=20))  # 50 ms
    assert budget.interval(1) == 2 and budget.crops(1, True) == 1  # 20 + 10 + 2 fit
    assert budget.interval(4) == 5 and budget.crops(4, True) == 4  # 40 + 2 leave 8 of 40
    assert budget.interval(5) == LONGEST and budget.crops(5, False) == 4  # 50 + 2 is more than there is


def test_latency_limits_every_single_frame() -> None:
    budget = spend(Budget(every=2, max_latency=0.070))
    assert budget.crops(9, True) == 2 and budget.crops(9, False) == 6
    assert budget.interval(2) == 2 and budget.interval(3) == LONGEST


def test_somebody_is_always_looked_at() -> None:
    budget = spend(Budget(every=1, fps=1000))
    assert budget.short() and budget.crops(7, True) == 1 and budget.crops(0, True) == 0


def test_costs_follow_the_machine() -> None:
    budget = spend(Budget(fps=20))
    assert budget.crops(9, False) < 9
    for _ in range(60):
        budget.spent(0.004, 4, 0.004, 0.0002)
    assert budget.crops(9, False) == 9
    budget.spent(None, 0, 0.0, 0.0002)  # a frame without people says nothing about their cost
    assert budget.crops(9, False) == 9


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["fps", "max_latency"])
def test_wrong_limits_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is .* expected a positive number"):
        Budget(**{name: value})
