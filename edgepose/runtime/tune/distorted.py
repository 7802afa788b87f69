"""Pictures to compare on where the user gives none: one photo, turned, scaled, shifted, mirrored, lit and blurred."""

from __future__ import annotations

import cv2
import numpy as np

COUNT = 32
# Where the photo shrinks, mirror images of it fill the picture: many people, small ones among them, about whom a
# network is unsure. With people who are all seen well, default-detector in bfloat16 passes (.998); by these it has
# .90, as on COCO val2017.
SCALES = (0.25, 1.2)


def distorted(image: np.ndarray, count: int = COUNT) -> list[np.ndarray]:
    """`count` pictures of the size of `image` (H, W, 3), the same ones every time; the first is the image itself."""
    return [np.array(image), *(_one(image, number) for number in range(1, count))]


def _one(image: np.ndarray, number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    height, width = image.shape[:2]
    angle, scale = rng.uniform(-15, 15), rng.uniform(*SCALES)
    shift = rng.uniform(-0.1, 0.1, 2) * (width, height)
    gain, lift, blur = rng.uniform(0.6, 1.4), rng.uniform(-30, 30), rng.uniform(0, 1.5)
    matrix = np.array(cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale), np.float64)
    matrix[:, 2] += shift
    view = image[:, ::-1] if number % 2 else image
    moved = cv2.warpAffine(np.ascontiguousarray(view), matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    if number % 3 == 0:
        moved = cv2.GaussianBlur(moved, (0, 0), 0.3 + blur)
    return np.clip(np.asarray(moved, np.float32) * gain + lift, 0, 255).astype(np.uint8)
