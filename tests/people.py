"""A picture of four people with the labels that belong to it, for tests that learn or check them."""

from __future__ import annotations

import numpy as np

from edgepose.media.draw import draw
from edgepose.poses import Poses
from edgepose.runtime.bench import noise
from edgepose.skeleton import COCO

# Somebody who faces us with hanging arms, in shares of the box: their left is on the right. (17, 2)
BODY = np.array([
    (0.50, 0.10), (0.55, 0.08), (0.45, 0.08), (0.60, 0.09), (0.40, 0.09), (0.72, 0.22), (0.28, 0.22), (0.82, 0.37),
    (0.18, 0.37), (0.88, 0.51), (0.12, 0.51), (0.62, 0.52), (0.38, 0.52), (0.64, 0.74), (0.36, 0.74), (0.65, 0.94),
    (0.35, 0.94),
])  # fmt: skip
BOXES = np.array(
    [(0.04, 0.20, 0.26, 0.95), (0.30, 0.30, 0.48, 0.85), (0.54, 0.35, 0.70, 0.80), (0.74, 0.15, 0.96, 0.95)]
)


def four_people(size: tuple[int, int] = (320, 180)) -> tuple[np.ndarray, Poses]:
    """Skeletons over soft colors, `size` (w, h) -> ((h, w, 3) uint8 BGR, who is in it); no two bodies are alike."""
    boxes = BOXES * [*size, *size]
    bodies = BODY + np.random.default_rng(0).normal(0, 0.015, (len(boxes), len(COCO), 2))
    keypoints = boxes[:, None, :2] + bodies * (boxes[:, None, 2:] - boxes[:, None, :2])
    poses = Poses(keypoints, np.ones((len(boxes), len(COCO))), boxes, np.ones(len(boxes)), COCO)
    return draw(noise(size), poses), poses
