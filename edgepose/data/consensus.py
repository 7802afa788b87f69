"""What several models, sizes of the box and the mirror image say of the same people: their mean, and how far apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgepose.geometry import iou
from edgepose.poses import Poses
from edgepose.runtime.estimator import Estimator

SAME = 0.5  # IoU of a box and of the box of somebody whom a whole-picture model found: the same person


@dataclass(frozen=True)
class Consensus:
    """keypoints: (N, K, 2) pixels; scores: (N, K) mean of the views'; spread: (N, K) how far the views are from the
    keypoint on average, in shares of the box's size (the square root of its area).
    """

    keypoints: np.ndarray
    scores: np.ndarray
    spread: np.ndarray


def consensus(
    estimators: Sequence[Estimator], image: np.ndarray, boxes: np.ndarray, *, flip: bool, scales: Sequence[float]
) -> Consensus:
    """The people in boxes (N, 4) of a picture, as all models see them in all views.

    A model that looks at one person at a time sees every scale of the box; one that sees the whole picture sees it
    once, and of those whom it finds the one counts whose box fits best; where none does, its scores are 0. With `flip`
    each view is seen mirrored too. A keypoint is the mean of its views, weighed by their scores.
    """
    places: list[np.ndarray] = []
    scores: list[np.ndarray] = []
    pictures = [image, np.ascontiguousarray(image[:, ::-1])] if flip else [image]
    for estimator in estimators:
        for mirrored, picture in enumerate(pictures):
            shown = mirrored_boxes(boxes, image.shape[1]) if mirrored else boxes
            for poses in seen_in_boxes(estimator, picture, shown, scales):
                own = mirrored_back(poses, image.shape[1]) if mirrored else (poses.keypoints, poses.scores)
                places.append(own[0])
                scores.append(own[1])
    return _merged(np.stack(places).astype(np.float64), np.stack(scores).astype(np.float64), boxes)


def mirrored_boxes(boxes: np.ndarray, width: int) -> np.ndarray:
    """Boxes (N, 4) as they lie in the mirror image of a picture of `width` pixels."""
    return np.stack([width - 1 - boxes[:, 2], boxes[:, 1], width - 1 - boxes[:, 0], boxes[:, 3]], axis=1)


def mirrored_back(poses: Poses, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (N, K, 2) and scores (N, K) of people in the mirror image as they are in the picture itself."""
    flip = poses.skeleton.flip
    return poses.keypoints[:, flip] * [-1, 1] + [width - 1, 0], poses.scores[:, flip]


def seen_in_boxes(
    estimator: Estimator, image: np.ndarray, boxes: np.ndarray, scales: Sequence[float] = (1.0,)
) -> list[Poses]:
    """One view after the other, with one person for each box (N, 4)."""
    if not estimator.spec.per_person:
        return [_fitted(estimator(image), boxes)]
    centers, halves = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    return [
        estimator(image, np.concatenate([centers - halves * scale, centers + halves * scale], axis=1))
        for scale in scales
    ]


def _fitted(found: Poses, boxes: np.ndarray) -> Poses:
    """Of the people found those who stand in the boxes (N, 4), best fit first and nobody twice; else scores of 0."""
    k = len(found.skeleton)
    keypoints, scores, sure = np.zeros((len(boxes), k, 2)), np.zeros((len(boxes), k)), np.zeros(len(boxes))
    fit = iou(boxes, found.boxes)  # (N, M)
    while fit.size and fit.max() >= SAME:
        row, person = np.unravel_index(fit.argmax(), fit.shape)
        keypoints[row], scores[row] = found.keypoints[person], found.scores[person]
        sure[row] = found.person_scores[person]
        fit[row], fit[:, person] = 0, 0
    return Poses(keypoints, scores, boxes, sure, found.skeleton, calibrated=found.calibrated)


def _merged(places: np.ndarray, scores: np.ndarray, boxes: np.ndarray) -> Consensus:
    """Views (V, N, K, 2) and (V, N, K) -> one."""
    weights = np.maximum(scores, 0)
    total = weights.sum(axis=0)
    weights = np.where(total > 0, weights / np.where(total > 0, total, 1), 1 / len(places))
    middle = (places * weights[..., None]).sum(axis=0)  # (N, K, 2)
    apart = (np.linalg.norm(places - middle, axis=-1) * weights).sum(axis=0)
    size = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    return Consensus(middle, scores.mean(axis=0), apart / np.maximum(size, 1)[:, None])
