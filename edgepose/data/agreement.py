"""Sigmas of OKS from repeated labels: how far people are apart who label the same keypoint of the same person.

COCO's sigmas are E[d^2 / s^2]^(1/2), the distance d of a label from the true place over the scale s, the square root of
the person's area, of 5,000 pictures that were labelled more than once (COCO's keypoint evaluation, 2016).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from edgepose.data.people import People, union
from edgepose.geometry import iou
from edgepose.hungarian import assignment
from edgepose.skeleton import Skeleton

FEWEST = 10  # labels of a keypoint beyond the first of each person, below which it keeps its sigma
SAME = 0.5  # IoU from which two boxes on a picture are one person's


@dataclass(frozen=True)
class Agreement:
    """The skeleton with the sigmas that were found; counts: (K,) repeated labels of each; people: labelled twice."""

    skeleton: Skeleton
    counts: tuple[int, ...]
    people: int
    fewest: int = FEWEST

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        sigmas = dict(zip(self.skeleton.names, self.skeleton.oks_sigmas, strict=True))
        counts = dict(zip(self.skeleton.names, self.counts, strict=True))
        return {"skeleton": self.skeleton.name, "sigmas": sigmas, "repeated": counts, "people": self.people}


def agreement(repeats: Sequence[People]) -> Agreement:
    """Sigmas from two or more label sets of the same pictures, in the skeleton of the first.

    The spread of a keypoint is that around the mean of its labels, without bias (n - 1), so that two labels of each
    person are enough. ValueError where nobody is labelled more than once.
    """
    skeleton = repeats[0].skeleton
    sets = [repeats[0], *(union([people], skeleton) for people in repeats[1:])]
    groups = _same_people(sets)
    spread, count = np.zeros(len(skeleton)), np.zeros(len(skeleton), int)
    for group in groups:
        rows = [(sets[number], row) for number, row in group]
        seen = np.array([people.visible[row] > 0 for people, row in rows])  # (R, K)
        points = np.array([people.keypoints[row] for people, row in rows], np.float64)  # (R, K, 2)
        area = np.mean([people.areas[row] for people, row in rows])
        n = seen.sum(axis=0)
        mean = (points * seen[..., None]).sum(axis=0) / np.maximum(n, 1)[:, None]
        squares = ((points - mean) ** 2).sum(axis=-1) * seen
        more = n > 1
        spread[more] += squares.sum(axis=0)[more] / area
        count[more] += n[more] - 1
    if not count.any():
        raise ValueError(
            f"of {len(repeats)} label files no two label the same person of a picture: expected the same names of "
            f"pictures, and boxes that overlap by {SAME} or more"
        )
    found = np.sqrt(spread / np.maximum(count, 1))
    known = (count >= FEWEST) & (found > 0)
    sigmas = np.where(known, found, skeleton.sigmas)
    measured = replace(skeleton, oks_sigmas=tuple(round(float(sigma), 5) for sigma in sigmas))
    return Agreement(measured, tuple(int(n) for n in count), len(groups))


def _same_people(sets: Sequence[People]) -> list[list[tuple[int, int]]]:
    """People labelled more than once, each as (set, row) of all its labels."""
    on_picture: list[dict[str, list[int]]] = []
    for people in sets:
        rows: dict[str, list[int]] = defaultdict(list)
        for row, picture in enumerate(people.picture):
            rows[PurePosixPath(people.files[picture][1]).name].append(row)
        on_picture.append(rows)
    groups = []
    for name, first in on_picture[0].items():
        of_first = {row: [(0, row)] for row in first}
        for number in range(1, len(sets)):
            others = on_picture[number].get(name, [])
            if not others:
                continue
            overlap = iou(sets[0].boxes[first], sets[number].boxes[others])
            for i, j in zip(*assignment(1 - overlap), strict=True):
                if overlap[i, j] >= SAME:
                    of_first[first[i]].append((number, others[j]))
        groups += [group for group in of_first.values() if len(group) > 1]
    return groups
