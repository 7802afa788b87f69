"""How a training run gets on, in a line about every minute: for logs and pipes, where no bar can be drawn."""

from __future__ import annotations

from datetime import timedelta

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
