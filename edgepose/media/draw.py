"""Poses drawn over a picture: the person's left side warm, the right side cool, dark rims for light backgrounds.

Bodies are colored by the names of their keypoints; anything else by its sides, or chain of limbs by chain of limbs.
"""

from __future__ import annotations

import functools
import re

import cv2
import numpy as np

from edgepose.geometry import area
from edgepose.poses import Poses
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
FEW = 12  # keypoints of somebody's own that are drawn at full thickness
RADIUS = 0.95  # of a joint, in thicknesses of a limb
_SHIFT = 4  # binary digits after the point that OpenCV draws with


def draw(
    image: np.ndarray,
    poses: Poses,
    *,
    threshold: float | None = None,
    boxes: bool | None = None,
    thickness: float | None = None,
) -> np.ndarray:
    """A copy of the picture (H, W, 3) uint8 BGR with the poses drawn over it.

    Args:
        threshold: only keypoints with a score above it are drawn, and limbs between two such keypoints. None: .5
            where scores are calibrated (`Poses.calibrated`), which hides what is guessed, else .3, which suits SimCC
            and heat-map networks, whose scores of visible keypoints lie around 0.4 to 1.
        boxes: True draws every person's box, False none; by default only people without keypoints (a detector's)
            get one. Track identities, where there are any, are always written.
        thickness: of limbs in pixels; by default it follows the size of each person, within limits set by the picture.
    """
    canvas = image.copy()
    boxed = len(poses.skeleton) == 0 if boxes is None else boxes
    limit = 8.0 * max(canvas.shape[:2])  # OpenCV's fixed-point coordinates overflow far outside
    threshold = poses.thresholds.drawn if threshold is None else threshold
    seen = (poses.scores > threshold) & np.isfinite(poses.keypoints).all(axis=-1)  # (N, K)
    points = np.clip(np.nan_to_num(poses.keypoints), -limit, limit)  # (N, K, 2)
    frames = np.clip(np.nan_to_num(poses.boxes), -limit, limit)  # (N, 4)
    colors = [PEOPLE[int(i) % len(PEOPLE)] for i in (range(len(poses)) if poses.ids is None else poses.ids)]
    for i in np.argsort(-area(frames), kind="stable"):  # the largest first, so that they hide nobody
        width = _thickness(frames[i], canvas.shape[:2]) if thickness is None else thickness
        if boxed:
            _draw_box(canvas, frames[i], colors[i], width)
        _draw_skeleton(canvas, poses.skeleton, points[i], seen[i], width)
    for i, color in enumerate(colors):  # names last, so that no limb covers them
        if poses.ids is not None:
            _draw_label(canvas, f"#{poses.ids[i]}", frames[i], color)
        elif boxed:
            _draw_label(canvas, f"{poses.person_scores[i]:.2f}", frames[i], color, fitting=True)
    return canvas


def _draw_skeleton(canvas: np.ndarray, skeleton: Skeleton, points: np.ndarray, shown: np.ndarray, width: float) -> None:
    """Rims first, then colors, so that a joint is not cut by the rim of the next limb."""
    limb_styles, dot_styles = _style(skeleton)
    limbs = [(a, b, *style) for (a, b), style in zip(skeleton.limbs, limb_styles, strict=True) if shown[a] and shown[b]]
    dots = [(i, *dot_styles[i]) for i in np.flatnonzero(shown)]
    rim = max(width * 0.5, 1.6)
    for a, b, _, factor in limbs:
        _line(canvas, points[a], points[b], RIM, (width + rim) * factor)
    for i, _, factor in dots:
        if factor * width >= 0.6:  # a face or a hand in a few pixels would be all rim
            _disc(canvas, points[i], RIM, (width * RADIUS + rim / 2) * factor)
    for a, b, color, factor in limbs:
        _line(canvas, points[a], points[b], color, width * factor)
    for i, color, factor in dots:
        _disc(canvas, points[i], color, width * RADIUS * factor)
        if factor * width >= 2.5:
            _disc(canvas, points[i], (255, 255, 255), width * RADIUS * factor * 0.5)


def _line(canvas: np.ndarray, start: np.ndarray, end: np.ndarray, color: Color, width: float) -> None:
    cv2.line(canvas, _fixed(start), _fixed(end), color, max(round(width), 1), cv2.LINE_AA, _SHIFT)


def _disc(canvas: np.ndarray, center: np.ndarray, color: Color, radius: float) -> None:
    fixed = max(round(radius * (1 << _SHIFT)), 1 << _SHIFT - 1)
    cv2.circle(canvas, _fixed(center), fixed, color, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def _fixed(point: np.ndarray) -> tuple[int, int]:
    x, y = (point * (1 << _SHIFT)).round()
    return int(x), int(y)


def _thickness(box: np.ndarray, shape: tuple[int, ...]) -> float:
    """2 % of the person's size, at least one pixel and at most 1.2 % of the picture's longer side."""
    sides = np.maximum(box[2:] - box[:2], 1.0)
    return float(np.clip(np.sqrt(sides.prod()) * 0.02, 1.0, max(max(shape) * 0.012, 1.5)))


def _draw_box(canvas: np.ndarray, box: np.ndarray, color: Color, width: float) -> None:
    low, high = _fixed(box[:2]), _fixed(box[2:])
    inner = max(width * 0.5, 1.0)
    for paint, pixels in ((RIM, inner + 2), (color, inner)):
        cv2.rectangle(canvas, low, high, paint, max(round(pixels), 1), cv2.LINE_AA, _SHIFT)


def _draw_label(canvas: np.ndarray, text: str, box: np.ndarray, color: Color, fitting: bool = False) -> None:
    """Dark text on a patch of the person's color, on top of the box and inside the picture.

    fitting: leave it out where it would be wider than the box; in a crowd, scores would hide the people.
    """
    x1, y1, x2, _ = box
    height, width = canvas.shape[:2]
    scale = float(np.clip(max(height, width) / 1600, 0.4, 2.0))
    stroke = max(round(scale * 1.5), 1)
    (text_width, text_height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, stroke)
    pad = max(round(text_height * 0.35), 2)
    if fitting and x2 - x1 < text_width + 2 * pad:
        return
    left = int(np.clip(x1, 0, max(width - text_width - 2 * pad, 0)))
    bottom = int(np.clip(y1, text_height + 2 * pad, max(height - 1, text_height + 2 * pad)))
    corner = (left + text_width + 2 * pad, bottom)
    cv2.rectangle(canvas, (left, bottom - text_height - 2 * pad), corner, color, cv2.FILLED)
    cv2.putText(canvas, text, (left + pad, bottom - pad), cv2.FONT_HERSHEY_SIMPLEX, scale, RIM, stroke, cv2.LINE_AA)


@functools.cache
def _style(skeleton: Skeleton) -> tuple[list[Style], list[Style]]:
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
    if _FACE.search(start) and _FACE.search(end):
        return HEAD, factor
    sides = {name.partition("_")[0] for name in (start, end)} & {"left", "right"}
    left = "left" in sides
    if len(sides) == 1 and _LEG.search(start) and _LEG.search(end):
        return (LEFT_LEG if left else RIGHT_LEG), factor
    if len(sides) == 1 and _ARM.search(start) and _ARM.search(end):
        return (LEFT_ARM if left else RIGHT_ARM), factor
    return TRUNK, factor
