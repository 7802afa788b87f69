"""Scene cuts: whether a frame goes on with the scene of the one before."""

from __future__ import annotations

import cv2
import numpy as np

_SIDE = 32  # pixels of the thumbnail's sides
_READ = 256  # rows and columns of the picture that are read at all, at most
_STANDS_OUT = 2.5  # a cut differs this many times more than the frames before it did
_FADING = 0.8  # of that memory, per frame


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

    def reset(self) -> None:
        """Forget the last frame."""
        self._last, self._usual = None, 0.0


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (32, 32, 3) float32 in 0..1, each color less its mean."""
    sides = (min(image.shape[1], _READ), min(image.shape[0], _READ))
    sparse = cv2.resize(image, sides, interpolation=cv2.INTER_NEAREST)  # INTER_AREA over all of 1080p takes 2 ms
    small = cv2.resize(sparse, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return np.asarray(small - small.mean(axis=(0, 1)), np.float32)
