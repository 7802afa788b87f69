"""Which keypoints cannot be true, whatever a network says: limbs of one person that are far too long for the others."""

from __future__ import annotations

import numpy as np

from edgepose.skeleton import Skeleton

# Lengths between joints in shares of a person's height, after Drillis and Contini (1966).
LENGTHS = {
    ("shoulder", "elbow"): 0.186,
    ("elbow", "wrist"): 0.146,
    ("shoulder", "hip"): 0.288,
    ("hip", "knee"): 0.245,
    ("knee", "ankle"): 0.246,
}
ACROSS = {"shoulder": 0.259, "hip": 0.191}
# Times what the other limbs allow. Of MoveNet's keypoints scored .35 or more on 1,118 people of COCO val2017 this takes
# out 36 of 10,308, of which 69 % are right (OKS above .5) where 90 % of all are; of PP-TinyPose's 27 of 13,240, 89 %
# where 94 % are. At 1.25 it is 136 and 320, most of them as right as others; at 2 hardly any.
LONGEST = 1.5
FEWEST = 3  # other limbs that must say how large the person is


def limbs_of(skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """The limbs whose lengths are known: pairs (L, 2) of keypoints, and (L,) shares of the height. None: L = 0."""
    index = {name: i for i, name in enumerate(skeleton.names)}
    named = [(f"{side}_{a}", f"{side}_{b}", share) for (a, b), share in LENGTHS.items() for side in ("left", "right")]
    named += [(f"left_{a}", f"right_{a}", share) for a, share in ACROSS.items()]
    found = [(index[a], index[b], share) for a, b, share in named if a in index and b in index]
    pairs = np.array([(a, b) for a, b, _ in found], np.int64).reshape(-1, 2)
    return pairs, np.array([share for _, _, share in found], np.float64)


def plausible(keypoints: np.ndarray, scores: np.ndarray, seen: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(N, K, 2), (N, K) and which are taken for seen (N, K) bool -> which of those can be true (N, K) bool.

    A picture shortens limbs and never makes them longer, but for perspective: the height that a limb speaks for is at
    most the person's. While the longest limb speaks for more than LONGEST times what the third longest does (a wrong
    elbow makes two limbs long), the end of it that is scored lower goes. Nothing is said where fewer than FEWEST other
    limbs are seen, or of other skeletons.
    """
    pairs, shares = limbs_of(skeleton)
    kept = seen.copy()
    for person in range(len(keypoints)):
        ends = keypoints[person][pairs].astype(np.float64)  # (L, 2, 2)
        heights = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=-1) / shares
        while True:
            known = np.flatnonzero(kept[person][pairs].all(-1))
            if len(known) <= FEWEST:
                break
            order = known[np.argsort(heights[known], kind="stable")]
            longest, third = order[-1], order[-3]
            if heights[longest] <= LONGEST * heights[third]:
                break
            a, b = pairs[longest]
            kept[person, a if scores[person, a] < scores[person, b] else b] = False
    return kept
