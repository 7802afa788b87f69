"""Where to look for people in a frame: the detector's boxes, and boxes around the last poses."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from edgepose.geometry import iou
from edgepose.poses import Poses

# The extent of a person's keypoints times this is the box of somebody for whom the detector never gave one: mean IoU
# with the labelled boxes of coco_mini train .59 at 1, .76 at 1.2, .77 at 1.25, .73 at 1.4, .64 at 1.56. The network
# then pads it as it pads a detector's box; mmdeploy and rtmlib do the same two steps.
GROWTH = 1.25
# Otherwise the box keeps the distances that the detector's boxes have to the keypoints. Boxes by growth alone drift
# from look to look: with RTMDet-nano's boxes on coco_mini train AP is .467, with boxes by growth around these poses
# .407, around those .360.
FURTHEST = 0.3  # such a distance is at most this part of the longer side of the keypoints' extent, out- or inwards
# Seconds for which the distances and the boxes themselves are remembered against new detections: the same whether the
# detector runs in every frame or now and then, so the boxes are nearly the same too. Half or double the times, or more,
# change figures on the clips by chance alone.
MARGIN_TIME, BOX_TIME = 0.4, 0.15
# Part of the keypoints in a box, the rest being where the body has moved it: all in the box follows one keypoint that
# strays to a neighbor, and none does not grow with raised arms.
FOLLOWED = 0.5
CONFIDENT = 0.3  # score of a keypoint that counts for the box; with fewer than half of them the tracker's box is taken
SAME_BOX = 0.3  # IoU from which a detection is a known person's
# From this IoU a detection only corrects the box in which a known person is expected; otherwise it replaces it.
ALIKE = 0.5
COVERED = 0.7  # IoU with a detection from which an unconfirmed known person is left out (mmdeploy's box suppression)
_OUT = np.array([-1.0, -1.0, 1.0, 1.0])  # x1, y1, x2, y2


@dataclass(frozen=True, eq=False)
class Candidates:
    """Where to look in a frame.

    boxes: (N, 4) to look at            scores: (N,) the detector's
    owners: (N,) identity, 0 for new    confirmed: (N,) whether the detector found them now
    detected: (N, 4) boxes as the detector gave them, for those confirmed
    """

    boxes: np.ndarray
    scores: np.ndarray
    owners: np.ndarray
    confirmed: np.ndarray
    detected: np.ndarray

    def __getitem__(self, rows: Any) -> Candidates:
        return Candidates(*(getattr(self, each.name)[rows] for each in fields(self)))

    @staticmethod
    def none() -> Candidates:
        """Nobody to look at."""
        return Candidates.found(Poses.nobody())

    @staticmethod
    def found(people: Poses) -> Candidates:
        """What a detector found."""
        n = len(people)
        return Candidates(people.boxes, people.person_scores, np.zeros(n, np.int64), np.ones(n, bool), people.boxes)


def pose_boxes(poses: Poses, margins: np.ndarray | None = None) -> np.ndarray:
    """(N, 4) boxes of people by their confident keypoints; the poses' own boxes where these are too few.

    margins: (N, 4) as `margins_of` gives them, NaN where they are not known.
    """
    extent = poses.keypoint_boxes(CONFIDENT)
    middle, half = (extent[:, :2] + extent[:, 2:]) / 2, (extent[:, 2:] - extent[:, :2]) / 2 * GROWTH
    boxes = np.concatenate([middle - half, middle + half], axis=1)
    if margins is not None:
        around = extent + margins * _OUT * _longer(extent)
        boxes = np.where(np.isnan(margins), boxes, FOLLOWED * around + (1 - FOLLOWED) * poses.boxes)
    return np.where(_enough(poses)[:, None], boxes, poses.boxes)


def margins_of(poses: Poses, boxes: np.ndarray) -> np.ndarray:
    """(N, 4) distances from the confident keypoints' extent to boxes (N, 4), outwards, in longer sides of the extent.

    NaN where too few keypoints are confident.
    """
    extent = poses.keypoint_boxes(CONFIDENT)
    margins = np.clip((boxes - extent) * _OUT / np.maximum(_longer(extent), 1.0), -FURTHEST, FURTHEST)
    return np.where(_enough(poses)[:, None], margins, np.nan)


def blended(margins: np.ndarray, new: np.ndarray, rate: float) -> np.ndarray:
    """Running mean of margins (4,) with new ones of weight `rate`; of NaN the other counts."""
    mean = margins + rate * (new - margins)
    return np.where(np.isnan(margins), new, np.where(np.isnan(new), margins, mean))


def merged(found: Candidates, known: Candidates, gains: np.ndarray) -> Candidates:
    """Detections and known people as one list in which nobody stands twice.

    A detection of a known person takes over the identity and moves the box towards its own, by the person's part of
    `gains` (N,), or all the way where the two have little in common; a known person without one stays, unless a
    detection covers them.
    """
    overlaps = iou(found.boxes, known.boxes)  # (F, N)
    owners, confirmed, boxes = found.owners.copy(), known.confirmed.copy(), found.boxes.copy()
    left = overlaps.copy()
    while left.size and left.max() >= SAME_BOX:
        i, j = np.unravel_index(left.argmax(), left.shape)
        owners[i], confirmed[j] = known.owners[j], True
        if overlaps[i, j] >= ALIKE:
            boxes[i] = known.boxes[j] + gains[j] * (boxes[i] - known.boxes[j])
        left[i], left[:, j] = -1, -1
    stay = ~confirmed & (overlaps.max(0, initial=0) < COVERED)
    rest = known[stay]
    return Candidates(
        np.concatenate([boxes, rest.boxes]),
        np.concatenate([found.scores, rest.scores]),
        np.concatenate([owners, rest.owners]),
        np.concatenate([found.confirmed, rest.confirmed]),
        np.concatenate([found.detected, rest.detected]),
    )


def _enough(poses: Poses) -> np.ndarray:
    """(N,) whether at least half of the keypoints are confident."""
    return np.asarray((poses.scores >= CONFIDENT).sum(1) >= (poses.scores.shape[1] + 1) // 2)


def _longer(boxes: np.ndarray) -> np.ndarray:
    """(N, 1) longer sides of boxes (N, 4)."""
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True, initial=0))
