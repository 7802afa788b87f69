"""Scene cuts: whether a frame continues the one before."""

from __future__ import annotations

import numpy as np


class Cuts:
    """cuts(image) -> True when the frame (H, W, 3) uint8 BGR starts a new scene; the first frame does not."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None

    def __call__(self, image: np.ndarray) -> bool:
        return False

    def reset(self) -> None:
        """Forget the last frame."""
        self._last = None
