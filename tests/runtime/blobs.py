"""People who are white rectangles on gray: pictures, a detector and a pose network that see them, without a file."""

from __future__ import annotations

import cv2
import numpy as np

from edgepose.poses import Poses
from edgepose.runtime.estimator import Estimator
from edgepose.skeleton import BOX
from edgepose.spec import ModelSpec
from tests.runtime.small import SIMCC

SIZE = (320, 240)


def scene(*middles: tuple[float, float], size: tuple[int, int] = (24, 48), gray: int = 60) -> np.ndarray:
    """(240, 320, 3) with a person of `size` around every middle."""
    image = np.full((SIZE[1], SIZE[0], 3), gray, np.uint8)
    for x, y in middles:
        low = (round(x - size[0] / 2), round(y - size[1] / 2))
        cv2.rectangle(image, low, (low[0] + size[0] - 1, low[1] + size[1] - 1), (255, 255, 255), cv2.FILLED)
    return image


class Finder:
    """A detector: the boxes of white things, and how often it was asked. `blind` makes it find nobody."""

    def __init__(self) -> None:
        self.calls, self.blind = 0, False

    def __call__(self, image: np.ndarray) -> Poses:
        self.calls += 1
        _, _, stats, _ = cv2.connectedComponentsWithStats((image[..., 0] > 200).astype(np.uint8))
        rows = stats[1:] if not self.blind else stats[:0]
        boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in rows], np.float32).reshape(-1, 4)
        middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2 * 1.25
        boxes = np.concatenate([middle - half, middle + half], axis=1)
        n = len(boxes)
        return Poses(np.zeros((n, 0, 2)), np.zeros((n, 0)), boxes, np.full(n, 0.8), BOX)


class Shape:
    """A pose network: keypoints spread over the white thing of a crop that is nearest to its middle."""

    def __init__(self, spec: ModelSpec = SIMCC) -> None:
        self.spec = spec
        self.batches: list[int] = []

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        self.batches.append(len(batch))
        (width, height), k = self.spec.input_size, len(self.spec.keypoints)
        xs = np.full((len(batch), k, 2 * width), 0.0, np.float32)
        ys = np.full((len(batch), k, 2 * height), 0.0, np.float32)
        for i, view in enumerate(batch):
            count, _, stats, middles = cv2.connectedComponentsWithStats((view[..., 0] > 180).astype(np.uint8))
            if count == 1:
                xs[i, :, 0] = ys[i, :, 0] = 0.05
                continue
            best = 1 + np.abs(middles[1:] - [width / 2, height / 2]).sum(1).argmin()
            x, y, w, h, _ = stats[best]
            for j in range(k):
                xs[i, j, round(2 * (x + (w - 1) * (j % 3) / 2))] = 0.9
                ys[i, j, round(2 * (y + (h - 1) * (j // 3) / (k // 3)))] = 0.9
        return [xs, ys]


def estimator() -> tuple[Estimator, Finder, Shape]:
    """An estimator of white people, with its parts to look into."""
    finder, shape = Finder(), Shape()
    return Estimator(shape, finder), finder, shape
