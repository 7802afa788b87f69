"""Where people came from: a short line behind everybody, in the color of the identity."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

import cv2
import numpy as np

from edgepose.media.style import PEOPLE
from edgepose.poses import Poses
from edgepose.spelling import folded

SECONDS = 1.0
MOST = 120  # points of one trail


class Trails:
    """The last second of everybody's hips, or middle where a skeleton has none; `update` once a frame, then `draw`."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._points: dict[int, deque[tuple[float, float, float]]] = {}

    def update(self, poses: Poses, time: float, guessed: np.ndarray | None = None) -> None:
        """Add the people of a frame, without those `guessed` (N,) bool, and forget what is too long ago."""
        if poses.ids is None:
            return
        hips = [i for i, name in enumerate(poses.skeleton.names) if folded(name) in ("left_hip", "right_hip")]
        middles = poses.keypoints[:, hips].mean(1) if hips else (poses.boxes[:, :2] + poses.boxes[:, 2:]) / 2
        seen = np.ones(len(poses), bool) if guessed is None else ~guessed
        for identity, (x, y) in zip(poses.ids[seen].tolist(), np.nan_to_num(middles[seen]).tolist(), strict=True):
            self._points.setdefault(identity, deque(maxlen=MOST)).append((time, x, y))
        for identity, points in list(self._points.items()):
            while points and not time - self._seconds <= points[0][0] <= time:
                points.popleft()
            if not points:
                del self._points[identity]

    def draw(self, image: np.ndarray) -> np.ndarray:
        """A copy of the picture (H, W, 3) with the trails, thinner where they are older."""
        canvas = image.copy()
        width = max(2.0, max(image.shape[:2]) / 320)
        limit = 8 * max(image.shape[:2])
        for identity, points in self._points.items():
            color = PEOPLE[identity % len(PEOPLE)]
            spots = np.clip([(x, y) for _, x, y in points], -limit, limit).round().astype(int).tolist()
            for i, (start, end) in enumerate(pairwise(spots)):
                thickness = max(1, round(width * (i + 1) / len(spots)))
                cv2.line(canvas, start, end, color, thickness, cv2.LINE_AA)
        return canvas
