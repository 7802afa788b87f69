"""How far two results of the same input are from each other: what export checks, row by row, before suppression.

After suppression the last digit would decide which of two equally good people there is to compare.
"""

from __future__ import annotations

import numpy as np

from edgepose.poses import Poses

BEST = 300  # of a whole picture's candidates: those that the first result scores best


def people_apart(ours: Poses, theirs: Poses) -> tuple[np.ndarray, np.ndarray]:
    """Distances of keypoints in pixels, differences of their scores; person i is person i."""
    apart = np.linalg.norm(ours.keypoints.astype(np.float64) - theirs.keypoints, axis=-1)
    return apart.ravel(), np.abs(ours.scores - theirs.scores).ravel()


def candidates_apart(ours: Poses, theirs: Poses) -> tuple[np.ndarray, np.ndarray]:
    """Distances of keypoints and box corners in pixels, differences of scores, of the best candidates of a picture."""
    best = np.argsort(-ours.person_scores, kind="stable")[:BEST]
    a, b = ours[best], theirs[best]
    points, others = (np.concatenate([p.keypoints, p.boxes.reshape(-1, 2, 2)], axis=1) for p in (a, b))
    apart = np.linalg.norm(points.astype(np.float64) - others, axis=-1)
    sure, other = (np.concatenate([p.scores, p.person_scores[:, None]], axis=1) for p in (a, b))
    return apart.ravel(), np.abs(sure - other).ravel()
