"""What a frame's time is spent on: where a scene ends, when to look for people anew, how many of them to look at."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import cv2
import numpy as np

Every = int | Literal["adaptive"]  # frames from one detection to the next
# Frames between detections in adaptive mode: the fewest, the first guess, the most; and seconds that none may exceed.
SHORTEST, USUAL, QUIET, MOST_SECONDS = 2, 5, 20, 1.0
GRID = (64, 36)  # cells in which a picture is compared
STEP, MOVED = 20.0, 0.005  # gray levels that are a change, and the part of the cells outside people that is a movement

# What a budget reports: "behind" or "caught up", a sentence and facts.
BudgetReport = Callable[[Literal["behind", "caught up"], str, dict[str, Any]], None]
LONGEST = 30  # frames between two detections when time is short
SHARE = 0.2  # of the newest measurement in the running mean of a cost

_SIDE = 32  # pixels of the thumbnail's sides
_READ = 256  # rows and columns of the picture that are read at all, at most
_STANDS_OUT = 2.5  # a cut differs this many times more than the frames before it did
_FADING = 0.8  # of that memory, per frame


class Schedule:
    """Decides for every frame whether the detector runs.

    every: so many frames from one detection to the next, or "adaptive": up to 20 frames or one second while nothing
        happens, and sooner after somebody was lost or something moved where nobody is known.

    The first frame of a scene is always due.
    """

    def __init__(self, every: Every = 5) -> None:
        if every != "adaptive" and (isinstance(every, (str, bool)) or every != int(every) or every < 1):
            raise ValueError(f"detect_every is {every!r}, expected a number of frames from 1, or 'adaptive'")
        self.adaptive = every == "adaptive"
        self._every = USUAL if isinstance(every, str) else int(every)
        self.restart()

    @property
    def every(self) -> int:
        """Frames between detections, as things are now."""
        return self._every

    def restart(self) -> None:
        """A new scene."""
        self._since = math.inf
        self._time = 0.0
        self._before: np.ndarray | None = None
        self._known = np.zeros(GRID[::-1], bool)  # cells in which people were since the last detection
        if self.adaptive:
            self._every = USUAL

    def due(
        self, image: np.ndarray, time: float, boxes: np.ndarray, lost: bool, stretched: int = 1, passed: int = 1
    ) -> bool:
        """Whether to detect in this frame.

        Args:
            boxes: (N, 4) of the people known.
            lost: somebody was lost in the frame before.
            stretched: least number of frames between detections, whatever happens; for want of time.
            passed: frames of the source since the last call.
        """
        self._since += passed
        if self._since == math.inf or not self.adaptive:
            return self._since >= max(self._every, stretched)
        picture = _small(image)
        self._known |= _cells(boxes, image)
        if self._since < max(SHORTEST, stretched) and not (lost and stretched == 1):
            return False
        late = self._since >= max(self._every, stretched) or time - self._time >= MOST_SECONDS
        return late or lost or self._moved(picture)

    def detected(self, image: np.ndarray, time: float, news: bool) -> None:
        """The detector ran; `news`: it found somebody who was not known."""
        self._since, self._time = 0, time
        if self.adaptive:
            self._every = SHORTEST if news else min(math.ceil(self._every * 1.5), QUIET)
            self._before = _small(image)
            self._known[:] = False

    def _moved(self, picture: np.ndarray) -> bool:
        """Whether something changed since the last detection in cells where nobody was known in the meantime."""
        if self._before is None:
            return True
        free = ~self._known
        if not free.any():
            return False
        change = (picture - self._before)[free]
        change -= np.median(change)  # the light alone
        return bool((np.abs(change) > STEP).mean() > MOVED)


class Budget:
    """Keeps frames within their time: first fewer detections, then only some of the people in each frame.

    max_latency: seconds that no frame may take; None: any
    fps:         frames per second to reach on average; None: any
    every:       frames between detections while there is time for them
    report:      called when the limits begin or cease to cost something

    Costs are running means of what `spent` is told: the detector, one person, and all the rest.
    """

    def __init__(
        self,
        every: int = 1,
        *,
        max_latency: float | None = None,
        fps: float | None = None,
        report: BudgetReport | None = None,
    ) -> None:
        for name, value in (("max_latency", max_latency), ("fps", fps)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}, expected a positive number, or None for no limit")
        self.every = every
        self._peak = math.inf if max_latency is None else max_latency
        self._mean = math.inf if fps is None else 1 / fps
        self._detector, self._person, self._rest = 0.0, 0.0, 0.0
        self._report, self._state, self._told = report, "", -math.inf

    def restart(self) -> None:
        """Times begin anew; what things cost is still known."""
        self._told = -math.inf

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

    def tell(self, time: float, crops: int, people: int, stretched: bool = False) -> None:
        """Report a change of what the limits cost, at most once a second.

        In the frame at `time` (seconds) `crops` of `people` were looked at; `stretched`: detections are rarer by now.
        """
        if not self.limited or self._report is None or time - self._told < 1.0:
            return
        state = "too slow" if self.short() else "rotating" if crops < people else "stretched" if stretched else ""
        if state == self._state:
            return
        every = self.interval(people)
        sentences = {
            "": "there is time for everybody again",
            "stretched": f"too little time: people are searched for in every {every}th frame",
            "rotating": f"too little time: {crops} of {people} people are looked at per frame, the others guessed",
            "too slow": "too little time even for one person in a frame: the limit cannot be kept",
        }
        facts = {"detect_every": every, "looked_at": crops, "people": people}
        self._report("behind" if state else "caught up", sentences[state], facts)
        self._state, self._told = state, time


class Cuts:
    """Finds where a video was cut.

        cuts = Cuts()
        if cuts(frame.image):
            tracker.cut()

    A frame starts a new scene when its thumbnail differs enough from the last one, and far more than the frames before
    did: a fast pan changes every frame, a cut only one. Brightness does not count, so light may go on and off. A fade
    is no cut, nor is the end of a scene that lasted less than five frames. Costs about a tenth of a millisecond at
    any resolution.

    difference: smallest difference of thumbnails that is a cut: mean over pixels and colors, black to white being 1
    """

    def __init__(self, difference: float = 0.1) -> None:
        if not 0 < difference < 1:
            raise ValueError(f"difference must be between 0 and 1, got {difference!r}")
        self._difference = difference
        self._last: np.ndarray | None = None
        self._usual = 0.0

    def __call__(self, image: np.ndarray) -> bool:
        """True when the frame (H, W, 3) uint8 BGR starts a new scene; the first one does not."""
        thumbnail = _thumbnail(image)
        last, self._last = self._last, thumbnail
        if last is None:
            return False
        change = float(np.abs(thumbnail - last).mean())
        found = change > max(self._difference, _STANDS_OUT * self._usual)
        self._usual = max(change, _FADING * self._usual)
        return found


def _small(image: np.ndarray) -> np.ndarray:
    """Gray means of the cells of a picture, (36, 64) float32, from some of its pixels."""
    return cv2.cvtColor(_shrunk(image, 4 * GRID[0], 4 * GRID[1], GRID), cv2.COLOR_BGR2GRAY).astype(np.float32)


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (32, 32, 3) float32 in 0..1, each color less its mean."""
    small = _shrunk(image, _READ, _READ, (_SIDE, _SIDE)).astype(np.float32) / 255
    return np.asarray(small - small.mean(axis=(0, 1)), np.float32)


def _shrunk(image: np.ndarray, columns: int, rows: int, size: tuple[int, int]) -> np.ndarray:
    """A picture at `size` (w, h), from so many of its columns and rows at most: all of 1080p would take 2 ms."""
    sides = (min(image.shape[1], columns), min(image.shape[0], rows))
    sparse = cv2.resize(image, sides, interpolation=cv2.INTER_NEAREST)
    return cv2.resize(sparse, size, interpolation=cv2.INTER_AREA)


def _cells(boxes: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Cells that boxes touch, with one more around them."""
    mask = np.zeros(GRID[::-1], bool)
    scale = np.array([GRID[0] / image.shape[1], GRID[1] / image.shape[0]] * 2)
    for x1, y1, x2, y2 in np.clip(np.nan_to_num(boxes) * scale, -1, max(GRID) + 1):
        mask[max(0, int(y1) - 1) : max(0, int(y2) + 2), max(0, int(x1) - 1) : max(0, int(x2) + 2)] = True
    return mask


def _mean(mean: float, value: float) -> float:
    return value if mean == 0 else mean + SHARE * (value - mean)
