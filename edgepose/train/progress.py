"""How a training run gets on, in lines: one about every minute, where no bar can be drawn, one after every epoch."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from edgepose.train.loop import Step
from edgepose.train.means import Sums, add, means

STEPS, SECONDS = 10, 30  # to the first line, whichever comes first
EVERY = 60  # seconds


class Pace:
    """Steps since the last line. now, here and below: seconds on any clock.

    first: number of the step that the run begins with.
    """

    def __init__(self, now: float, first: int) -> None:
        self._begun, self._first = now, first
        self._said: float | None = None  # when the last line was
        self._steps, self._seconds = 0, 0.0  # since then; validating and saving is no part of a step
        self._sums: Sums = {}

    def line(self, step: Step, now: float) -> str | None:
        """Mean losses and speed since the last line, and the time that is left; None where no line is due."""
        add(self._sums, step.losses, 1)
        self._steps += 1
        self._seconds += 1 / step.images_per_second
        if self._said is None:
            due = self._steps >= STEPS or (self._steps > 1 and now - self._begun >= SECONDS)
        else:
            due = now - self._said >= EVERY
        if not due:
            return None
        losses = " ".join(f"{name} {value:.4g}" for name, value in means(self._sums).items())
        speed = self._steps / self._seconds
        left = (now - self._begun) / (step.iteration - self._first) * (step.total - step.iteration)
        self._said, self._steps, self._seconds, self._sums = now, 0, 0.0, {}
        return f"{losses}  {speed:.0f} images/s  {timedelta(seconds=round(left))} left"


class Progress:
    """Lines on a run of so many epochs, given to `say`. clock: in seconds."""

    def __init__(self, epochs: int, say: Callable[[str], None], clock: Callable[[], float] = time.perf_counter) -> None:
        self._epochs, self._say, self._now = epochs, say, clock
        self._pace: Pace | None = None

    def epoch(self, step: Step) -> str:
        """The epoch of a step, of how many."""
        return f"epoch {step.epoch + 1}/{self._epochs}"

    def report(self, step: Step) -> None:
        """After every iteration; a line where one is due."""
        if self._pace is None:
            self._pace = Pace(self._now(), step.iteration)
        if line := self._pace.line(step, self._now()):
            self._say(f"iteration {step.iteration}/{step.total}  {self.epoch(step)}  {line}")

    def record(self, row: dict[str, Any]) -> None:
        """After every epoch."""
        hidden = ("iteration", "epoch", "skipped")
        facts = "  ".join(f"{key} {value}" for key, value in row.items() if key not in hidden)
        self._say(f"epoch {row['epoch']}/{self._epochs}  {facts}")
