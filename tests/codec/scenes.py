"""Maps as a good network would give them, for tests of everything that decodes associative embedding."""

from __future__ import annotations

import numpy as np

from edgepose.codec.associative import Associative


def people_of(count: int, keypoints: int, size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """People (N, K, 2) in input pixels: each one's keypoints around its place on a grid."""
    rng = np.random.default_rng(seed)
    columns = max(int(np.ceil(np.sqrt(count * size[0] / size[1]))), 1)
    rows = max(-(-count // columns), 1)
    cell = np.array([size[0] / columns, size[1] / rows])
    corners = np.array([[i % columns, i // columns] for i in range(count)], float).reshape(-1, 1, 2) * cell
    return corners + rng.uniform(0.15, 0.85, (count, keypoints, 2)) * cell


def maps_of(codec: Associative, keypoints: np.ndarray, spread: float = 2.0) -> list[np.ndarray]:
    """Raw outputs (1, 2K, h/4, w/4) and (1, K, h/2, w/2): the targets, and around every keypoint its person's tag."""
    visible = np.ones(keypoints.shape[:2])
    targets = codec.encode(keypoints, visible)
    tags = np.zeros_like(targets["heatmaps_4"])
    height, width = tags.shape[1:]
    y, x = np.mgrid[:height, :width]
    nearest = np.full(tags.shape, np.inf)
    for n, person in enumerate(keypoints / 4):
        for k, (u, v) in enumerate(person):
            distance = (x + 0.5 - u) ** 2 + (y + 0.5 - v) ** 2
            closer = distance < nearest[k]
            nearest[k][closer], tags[k][closer] = distance[closer], spread * n
    return [np.concatenate([targets["heatmaps_4"], tags])[None], targets["heatmaps_2"][None]]
