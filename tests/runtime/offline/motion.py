"""People of drawn scenes without pictures: where their joints are, and recordings of that with noise."""

from __future__ import annotations

import numpy as np

from edgepose.poses import Poses
from edgepose.runtime.offline.recording import Recording
from edgepose.skeleton import COCO
from edgepose.synthetic import random_scene

SIZE = (640, 480)


def walker(seed: int, times: np.ndarray, kind: str = "walk") -> np.ndarray:
    """(T, 17, 2) where somebody's joints are, in pixels; of a camera that stands still."""
    scene = random_scene(seed, 1, SIZE, move="static", kinds=[kind])
    camera = scene.shot.camera(0.0)
    points = [camera.project(np.asarray(scene.actors[0].placed(time).posed.keypoints))[0] for time in times.tolist()]
    return np.array(points)


def somebody(points: np.ndarray, identity: int = 1, scores: np.ndarray | None = None) -> Poses:
    """One person (K, 2) of COCO's keypoints."""
    box = np.concatenate([points.min(0), points.max(0)])
    scores = np.full(len(points), 0.9) if scores is None else scores
    return Poses(points[None], scores[None], box[None], [0.8], COCO, np.array([identity]))


def recorded(
    track: np.ndarray,
    times: np.ndarray,
    scores: np.ndarray | None = None,
    missing: tuple[int, ...] | range = (),
    ids: np.ndarray | None = None,
) -> Recording:
    """A recording of one person (T, 17, 2); `scores` (T, 17), in the `missing` frames nobody, `ids` (T,)."""
    recording = Recording(COCO)
    for t, time in enumerate(times.tolist()):
        identity = 1 if ids is None else int(ids[t])
        poses = somebody(track[t], identity, None if scores is None else scores[t])
        recording.add(t, time, Poses.nobody() if t in missing else poses, size=SIZE)
    return recording
