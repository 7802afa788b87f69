"""When to look for people anew, between frames in which only those known are followed."""

from __future__ import annotations

import math
from typing import Literal

import cv2
import numpy as np

# Frames between detections in adaptive mode: the fewest, the first guess, the most; and seconds that none may exceed.
SHORTEST, USUAL, QUIET, MOST_SECONDS = 2, 5, 20, 1.0
GRID = (64, 36)  # cells in which a picture is compared
Every = int | Literal["adaptive"]  # frames from one detection to the next
STEP, MOVED = 20.0, 0.005  # gray levels that are a change, and the part of the cells outside people that is a movement


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

    def due(self, image: np.ndarray, time: float, boxes: np.ndarray, lost: bool, stretched: int = 1) -> bool:
        """Whether to detect in this frame.

        Args:
            boxes: (N, 4) of the people known.
            lost: somebody was lost in the frame before.
            stretched: least number of frames between detections, whatever happens; for want of time.
        """
        self._since += 1
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


def _small(image: np.ndarray) -> np.ndarray:
    """Gray means of the cells of a picture, (36, 64) float32, from some of its pixels."""
    sides = (min(image.shape[1], 4 * GRID[0]), min(image.shape[0], 4 * GRID[1]))
    sparse = cv2.resize(image, sides, interpolation=cv2.INTER_NEAREST)
    cells = cv2.resize(sparse, GRID, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(cells, cv2.COLOR_BGR2GRAY).astype(np.float32)


def _cells(boxes: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Cells that boxes touch, with one more around them."""
    mask = np.zeros(GRID[::-1], bool)
    scale = np.array([GRID[0] / image.shape[1], GRID[1] / image.shape[0]] * 2)
    for x1, y1, x2, y2 in np.clip(np.nan_to_num(boxes) * scale, -1, max(GRID) + 1):
        mask[max(0, int(y1) - 1) : max(0, int(y2) + 2), max(0, int(x1) - 1) : max(0, int(x2) + 2)] = True
    return mask
