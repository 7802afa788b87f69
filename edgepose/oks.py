"""Object keypoint similarity (COCO, 2016): how alike two poses are, and suppression of duplicates by it."""

from __future__ import annotations

import numpy as np


def oks(
    keypoints: np.ndarray, others: np.ndarray, areas: np.ndarray, sigmas: np.ndarray, visible: np.ndarray | None = None
) -> np.ndarray:
    """Similarity of poses (N, K, 2) and (M, K, 2) -> (N, M) in [0, 1].

    `areas` is (N,) or (N, M) square pixels; `visible` (N, K) or (N, M, K) masks keypoints out of the mean, and a pair
    without any visible keypoint gets 0.
    """
    distances = ((keypoints[:, None] - others[None]) ** 2).sum(-1)  # (N, M, K)
    areas = np.broadcast_to(areas if np.ndim(areas) == 2 else np.asarray(areas)[:, None], distances.shape[:2])
    exponents = distances / (2 * sigmas) ** 2 / (areas[..., None] + np.spacing(1)) / 2
    similarity = np.exp(-exponents)
    if visible is None:
        return similarity.mean(-1) if similarity.shape[-1] else np.zeros(distances.shape[:2])
    mask = np.broadcast_to(visible if visible.ndim == 3 else visible[:, None], distances.shape) > 0
    counts = mask.sum(-1)
    return np.divide((similarity * mask).sum(-1), counts, out=np.zeros(distances.shape[:2]), where=counts > 0)


def oks_nms(
    keypoints: np.ndarray, person_scores: np.ndarray, areas: np.ndarray, sigmas: np.ndarray, threshold: float = 0.9
) -> np.ndarray:
    """Indices of the people kept, best first: a person goes when the OKS with a better kept one exceeds `threshold`.

    Areas of a pair are averaged and no keypoint is masked, as in the published top-down evaluations (`oks_nms`
    of HRNet and MMPose).
    """
    order = np.argsort(-person_scores, kind="stable")
    keypoints, areas = keypoints[order], np.asarray(areas)[order]
    similar = oks(keypoints, keypoints, (areas[:, None] + areas[None]) / 2, sigmas) > threshold
    alive = np.ones(len(order), bool)
    for i in range(len(order)):
        if alive[i]:
            alive[i + 1 :] &= ~similar[i, i + 1 :]
    return order[alive]
