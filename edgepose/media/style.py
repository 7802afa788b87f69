"""The colors of limbs and keypoints, and how thick each is drawn, from the keypoints' names.

Bodies are colored by the names of their keypoints; anything else by its sides, or chain of limbs by chain of limbs.
"""

from __future__ import annotations

import functools
import re

import numpy as np

from edgepose.skeleton import Skeleton
from edgepose.spelling import folded, side_of

Color = tuple[int, int, int]
Style = tuple[Color, float]

# BGR; each side bright enough for dark pictures, the rims dark enough for light ones.
RIM: Color = (32, 28, 24)
TRUNK: Color = (196, 226, 110)
HEAD: Color = (224, 232, 236)
LEFT_ARM: Color = (56, 176, 255)
LEFT_LEG: Color = (60, 110, 255)
RIGHT_ARM: Color = (255, 196, 72)
RIGHT_LEG: Color = (244, 132, 84)
PEOPLE: tuple[Color, ...] = (
    (113, 204, 46), (219, 152, 52), (60, 90, 240), (182, 89, 220), (15, 196, 241), (173, 188, 26), (128, 128, 250),
    (210, 180, 140), (80, 200, 160), (200, 120, 255),
)  # fmt: skip

_LEG = re.compile(r"hip|knee|ankle|toe|heel|back_paw")
_ARM = re.compile(r"shoulder|elbow|wrist|front_paw|hand")
_FACE = re.compile(r"nose|eye|ear|head|face")
_TRUNK = {"left_shoulder", "right_shoulder", "left_hip", "right_hip"}
_SMALL = re.compile(r"face_\d|_hand_")  # many points close together
SHADES = (LEFT_ARM, RIGHT_ARM, LEFT_LEG, RIGHT_LEG)
FACE = 0.5  # of the thickness, inside a face
FEW = 12  # keypoints of somebody's own that are drawn at full thickness


@functools.cache
def style(skeleton: Skeleton) -> tuple[list[Style], list[Style]]:
    """(color, factor on the thickness) of every limb and of every keypoint, from the keypoints' names.

    What has no shoulders and hips: by sides, where some keypoints have mirror images, else by chains of limbs.
    """
    names = skeleton.names if skeleton.built_in else tuple(folded(name) for name in skeleton.names)
    if not skeleton.built_in and not set(names) >= _TRUNK:
        return _own_style(skeleton)
    limbs = [_part(names[a], names[b]) for a, b in skeleton.limbs]
    return limbs, [_part(name, name) for name in names]


def _own_style(skeleton: Skeleton) -> tuple[list[Style], list[Style]]:
    """Thinner where there are many keypoints, larger dots where no limb joins them."""
    factor = float(np.clip(np.sqrt(FEW / max(len(skeleton), 1)), 0.3, 1.0))
    chain = _chains(skeleton)
    paired = np.flatnonzero(skeleton.flip != np.arange(len(skeleton)))
    sided = {}
    for number, i in enumerate(i for i in paired.tolist() if i < skeleton.flip[i]):
        j, late = int(skeleton.flip[i]), 2 * int(4 * number >= len(paired))  # the later half in other shades
        left, right = (j, i) if side_of(skeleton.names[i]) == "right" else (i, j)
        sided[left], sided[right] = SHADES[late], SHADES[late + 1]
    colors = [sided.get(i, TRUNK) if sided else PEOPLE[chain[i] % len(PEOPLE)] for i in range(len(skeleton))]
    degree = np.bincount(np.array(skeleton.limbs, int).reshape(-1), minlength=len(skeleton))
    limbs: list[Style] = []
    for a, b in skeleton.limbs:
        first, second = colors[a], colors[b]
        if sided:
            one = TRUNK if first != TRUNK and second != TRUNK and first != second else second
            limbs.append((first if one == TRUNK and second == TRUNK else one, factor))
        else:
            limbs.append((first if chain[a] > chain[b] else second, factor))
    return limbs, [(color, factor * (1.0 if degree[i] else 2.0)) for i, color in enumerate(colors)]


def _chains(skeleton: Skeleton) -> list[int]:
    """For each keypoint the number of its chain: limbs one after the other, up to where more than two meet.

    A keypoint that no limb reaches is a chain of its own.
    """
    near: list[list[int]] = [[] for _ in skeleton.names]
    for a, b in skeleton.limbs:
        near[a].append(b)
        near[b].append(a)
    chain = [-1] * len(near)
    count = 0
    for start in sorted(range(len(near)), key=lambda i: -len(near[i])):  # a hand's begin at the wrist
        if chain[start] >= 0:
            continue
        chain[start], count = count, count + 1
        waiting = [start]
        while waiting:
            here = waiting.pop(0)
            for other in near[here]:
                if chain[other] < 0:
                    fork = here == start or len(near[here]) > 2
                    chain[other] = count if fork else chain[here]
                    count += fork
                    waiting.append(other)
    return chain


def _part(start: str, end: str) -> tuple[Color, float]:
    """Limbs inside one side take its color, those between the sides or along the spine the trunk's."""
    if _SMALL.search(start) or _SMALL.search(end):
        factor = 0.25
    else:
        factor = 0.7 if _FACE.search(start) or _FACE.search(end) else 1.0
        factor = FACE if _FACE.search(start) and _FACE.search(end) else factor
    if _FACE.search(start) and _FACE.search(end):
        return HEAD, factor
    sides = {name.partition("_")[0] for name in (start, end)} & {"left", "right"}
    left = "left" in sides
    if len(sides) == 1 and _LEG.search(start) and _LEG.search(end):
        return (LEFT_LEG if left else RIGHT_LEG), factor
    if len(sides) == 1 and _ARM.search(start) and _ARM.search(end):
        return (LEFT_ARM if left else RIGHT_ARM), factor
    return TRUNK, factor


@functools.cache
def fine_points(skeleton: Skeleton) -> tuple[tuple[int, float], ...]:
    """(index, factor on the radius) of the points of faces and hands, those first that tell most: eyes after the rest.

    None of a skeleton that is no body: its points are all there is to see.
    """
    names = skeleton.names if skeleton.built_in else tuple(folded(name) for name in skeleton.names)
    if not set(names) >= _TRUNK:
        return ()
    fine = [i for i, name in enumerate(names) if _FACE.search(name) or _SMALL.search(name)]
    fine.sort(key=lambda i: (bool(_SMALL.search(names[i])), "eye" in names[i], i))
    return tuple((i, _part(names[i], names[i])[1]) for i in fine)
