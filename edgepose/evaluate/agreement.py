"""How far two models say the same of the same pictures: what a smaller or faster form of a model is compared by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgepose.geometry import iou
from edgepose.oks import oks
from edgepose.poses import Poses

LEAST = 0.5  # OKS, or IoU, from which two people are the same one


def agreement(reference: Sequence[Poses], candidate: Sequence[Poses]) -> float:
    """Mean OKS in [0, 1] of the candidate's people with the reference's: one Poses per picture on both sides.

    The people of a picture are matched greedily, the pair of the highest OKS first, down to `LEAST`; whoever stays
    alone, on either side, counts 0, and so somebody lost costs as much as somebody made up. Every keypoint counts
    alike, however sure, and a person's size is the area of the reference's box. Of boxes without keypoints, as
    detectors find them, it is the IoU in place of the OKS.

    Raises ValueError where nobody is in any picture on either side, for pictures that do not pair up, and for people
    of different skeletons.
    """
    if len(reference) != len(candidate):
        raise ValueError(
            f"expected the candidate's people of the same pictures, got {len(candidate)} and {len(reference)} pictures"
        )
    total, people = 0.0, 0
    for theirs, ours in zip(reference, candidate, strict=True):
        matched = _matched(_alike(theirs, ours))
        total += float(matched.sum())
        people += len(theirs) + len(ours) - len(matched)
    if not people:
        raise ValueError(
            f"nobody was found in any of {len(reference)} pictures, by the reference or by the candidate, so there is "
            "nothing to compare: give pictures with people"
        )
    return total / people


def _alike(reference: Poses, candidate: Poses) -> np.ndarray:
    """(N, M) OKS, or IoU where there are no keypoints."""
    if reference.skeleton != candidate.skeleton:
        raise ValueError(
            f"expected people of the skeleton {reference.skeleton.name!r}, got {candidate.skeleton.name!r}: compare "
            "models of the same keypoints"
        )
    if not len(reference.skeleton):
        return iou(reference.boxes, candidate.boxes)
    return oks(reference.keypoints, candidate.keypoints, reference.areas(), reference.skeleton.sigmas)


def _matched(alike: np.ndarray) -> np.ndarray:
    """The similarities of the pairs that belong together, best first; everybody is in one pair at most."""
    left = alike.astype(np.float64)
    found = []
    while left.size and left.max() >= LEAST:
        row, column = np.unravel_index(left.argmax(), left.shape)
        found.append(left[row, column])
        left[row], left[:, column] = -1, -1
    return np.array(found)
