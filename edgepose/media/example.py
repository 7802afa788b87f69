"""A photo to try things on: it is in the package, so that nothing has to be found or fetched first."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edgepose.media.images import Image, read_image

FILE = Path(__file__).resolve().parents[1] / "example.jpg"


def example_image() -> Image:
    """One person who stands at a table, seen from behind, (360, 640, 3) uint8 BGR; a new array at every call.

    A frame of `one-by-one-person-detection.mp4` (Intel sample videos, CC BY 4.0); see THIRD-PARTY.md.
    """
    return read_image(FILE)


def scaled_example(size: tuple[int, int]) -> Image:
    """The same photo at another size (w, h) -> (h, w, 3) uint8 BGR."""
    return np.asarray(cv2.resize(example_image(), size, interpolation=cv2.INTER_AREA), np.uint8)
