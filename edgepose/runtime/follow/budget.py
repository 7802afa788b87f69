"""How much can be looked at in the time that a frame may take."""

from __future__ import annotations

import math

LONGEST = 30  # frames between two detections when time is short
SHARE = 0.2  # of the newest measurement in the running mean of a cost


class Budget:
    """Keeps frames within their time: first fewer detections, then only some of the people in each frame.

    max_latency: seconds that no frame may take; None: any
    fps:         frames per second to reach on average; None: any
    every:       frames between detections while there is time for them

    Costs are running means of what `spent` is told: the detector, one person, and all the rest.
    """

    def __init__(self, every: int = 1, *, max_latency: float | None = None, fps: float | None = None) -> None:
        for name, value in (("max_latency", max_latency), ("fps", fps)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}, expected a positive number, or None for no limit")
        self.every = every
        self._peak = math.inf if max_latency is None else max_latency
        self._mean = math.inf if fps is None else 1 / fps
        self._detector, self._person, self._rest = 0.0, 0.0, 0.0

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return min(self._peak, self._mean) < math.inf

    def spent(self, detector: float | None, people: int, poses: float, rest: float) -> None:
        """Seconds that a frame took: `detector` (None: it did not run), `poses` for so many people, and the rest."""
        if detector is not None:
            self._detector = _mean(self._detector, detector)
        if people:
            self._person = _mean(self._person, poses / people)
        self._rest = _mean(self._rest, rest)

    def interval(self, people: int) -> int:
        """Frames from one detection to the next, with so many people to look at in each."""
        left = self._mean - self._rest - people * self._person
        if self._detector + self._rest + people * self._person > self._peak or left <= 0:
            return max(self.every, LONGEST)
        return max(self.every, min(LONGEST, math.ceil(self._detector / left)))

    def crops(self, people: int, detecting: bool) -> int:
        """How many of so many people to look at in this frame; at least one."""
        if self._person <= 0:
            return people
        peak = self._peak - self._rest - (self._detector if detecting else 0)
        mean = self._mean - self._rest - self._detector / self.interval(people)
        most = min(peak, mean) / self._person
        return people if most >= people else min(people, max(1, int(most)))

    def short(self) -> bool:
        """Whether one person in a frame is still too much."""
        return self._rest + self._person > min(self._peak, self._mean)


def _mean(mean: float, value: float) -> float:
    return value if mean == 0 else mean + SHARE * (value - mean)
