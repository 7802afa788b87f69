"""Poses drawn over a picture: the person's left side warm, the right side cool, dark rims for light backgrounds."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Literal

import cv2
import numpy as np

from edgepose.geometry import area
from edgepose.media.style import PEOPLE, RIM, Color, Style, fine_points, style
from edgepose.poses import Poses
from edgepose.skeleton import Skeleton

RADIUS = 0.95  # of a joint, in thicknesses of a limb
_SHIFT = 4  # binary digits after the point that OpenCV draws with
Coloring = Literal["sides", "person"]
Label = Literal["id", "score", "name"]


def draw(
    image: np.ndarray,
    poses: Poses,
    *,
    threshold: float | None = None,
    boxes: bool | None = None,
    thickness: float | None = None,
    radius: float | None = None,
    colors: Coloring | Sequence[Color] = "sides",
    limbs: bool | Sequence[tuple[int | str, int | str]] = True,
    labels: Label | Sequence[Label] | None = None,
    names: Mapping[int, str] | Sequence[str] | None = None,
) -> np.ndarray:
    """A copy of the picture (H, W, 3) uint8 BGR with the poses drawn over it.

    Points of a face or hand that would run into one another, on small people, are left out.

    Args:
        threshold: only keypoints with a score above it are drawn, and limbs between two such keypoints. None: .5
            where scores are calibrated (`Poses.calibrated`), which hides what is guessed, else .3, which suits SimCC
            and heat-map networks, whose scores of visible keypoints lie around 0.4 to 1.
        boxes: True draws every person's box, False none; by default only people without keypoints (a detector's)
            get one.
        thickness: of limbs in pixels; by default it follows the size of each person, within limits set by the picture.
        radius: of keypoints in pixels, 0 for none; by default it follows the thickness. Those of faces and hands are
            smaller by the same share as always.
        colors: "sides", left warm and right cool; "person", one color per person, which follows the identity; or N
            colors (blue, green, red) from 0 to 255.
        limbs: True for the skeleton's, False for points alone, or pairs of keypoints, by name or index.
        labels: what to write over each person: any of "id", "score" and "name", () for nothing. By default the name
            where `names` has one, else the identity; people without keypoints or identity get their score.
        names: {identity: name}, or N names. Accents are taken off, since OpenCV draws plain letters only.

    Raises ValueError for colors, limbs, labels or names that do not fit the poses, and for sizes or a threshold that
    are no numbers from 0 on.
    """
    for name, value in (("threshold", threshold), ("thickness", thickness), ("radius", radius)):
        if value is not None and not 0 <= value < np.inf:
            raise ValueError(f"{name} is {value}, expected a number from 0 on, or None for what suits the picture")
    canvas = image.copy()
    boxed = len(poses.skeleton) == 0 if boxes is None else boxes
    pairs = _pairs(limbs, poses.skeleton)
    painted = _colors(colors, poses)
    texts = _texts(labels, names, poses, boxed)
    limit = 8.0 * max(canvas.shape[:2])  # OpenCV's fixed-point coordinates overflow far outside
    threshold = poses.thresholds.drawn if threshold is None else threshold
    seen = (poses.scores > threshold) & np.isfinite(poses.keypoints).all(axis=-1)  # (N, K)
    points = np.clip(np.nan_to_num(poses.keypoints), -limit, limit)  # (N, K, 2)
    frames = np.clip(np.nan_to_num(poses.boxes), -limit, limit)  # (N, 4)
    for i in np.argsort(-area(frames), kind="stable"):  # the largest first, so that they hide nobody
        width = _thickness(frames[i], canvas.shape[:2]) if thickness is None else max(float(thickness), 0.5)
        dot = width * RADIUS if radius is None else min(float(radius), limit)
        if boxed:
            _draw_box(canvas, frames[i], painted[i], width)
        whole = None if colors == "sides" else painted[i]
        _draw_skeleton(canvas, poses.skeleton, pairs, points[i], seen[i], width, dot, whole)
    for i, (text, fitting) in enumerate(texts):  # names last, so that no limb covers them
        if text:
            _draw_label(canvas, text, frames[i], painted[i], fitting)
    return canvas


def _pairs(limbs: bool | Sequence[tuple[int | str, int | str]], skeleton: Skeleton) -> list[tuple[int, int]] | None:
    """Pairs of indices to join; None for the skeleton's own."""
    if isinstance(limbs, bool):
        return None if limbs else []
    return [(skeleton.index(a), skeleton.index(b)) for a, b in limbs]


def _colors(colors: Coloring | Sequence[Color], poses: Poses) -> list[Color]:
    """The color of each person's box and label, and of the skeleton too unless it is colored by sides."""
    if isinstance(colors, str):
        if colors not in ("sides", "person"):
            raise ValueError(f"unknown colors {colors!r}, expected 'sides', 'person' or a color for each person")
        return [PEOPLE[int(i) % len(PEOPLE)] for i in (range(len(poses)) if poses.ids is None else poses.ids)]
    table = [tuple(float(value) for value in color) for color in colors]
    if len(table) != len(poses) or any(len(c) != 3 or not all(0 <= v <= 255 for v in c) for c in table):
        raise ValueError(
            f"expected {len(poses)} colors, one per person, each (blue, green, red) from 0 to 255; got {colors!r}"
        )
    return [(int(b), int(g), int(r)) for b, g, r in table]


def _texts(
    labels: Label | Sequence[Label] | None, names: Mapping[int, str] | Sequence[str] | None, poses: Poses, boxed: bool
) -> list[tuple[str, bool]]:
    """What is written over each person, and whether only where it fits the box."""
    ids: list[int | None] = [None] * len(poses) if poses.ids is None else poses.ids.tolist()
    if isinstance(names, Mapping):
        if names and poses.ids is None:
            raise ValueError("names by identity are for people who were tracked: expected poses with ids, or N names")
        called = [names.get(i, "") if i is not None else "" for i in ids]
    else:
        called = [""] * len(poses) if names is None else list(names)
    if len(called) != len(poses):
        raise ValueError(f"expected {len(poses)} names, one per person, or a dict of identities, got {len(called)}")
    shown = [unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode() for name in called]
    plain = [("?" if name and not short.strip() else short) for name, short in zip(called, shown, strict=True)]
    if labels is None:
        usual = [name or ("" if i is None else f"#{i}") for name, i in zip(plain, ids, strict=True)]
        scores = poses.person_scores.tolist()
        return [
            (text, False) if text else (f"{s:.2f}" if boxed else "", True)
            for text, s in zip(usual, scores, strict=True)
        ]
    wanted = (labels,) if isinstance(labels, str) else tuple(labels)
    if strange := [label for label in wanted if label not in ("id", "score", "name")]:
        raise ValueError(f"unknown label {strange[0]!r}, expected any of 'id', 'score' and 'name'")
    texts = []
    for i, name, score in zip(ids, plain, poses.person_scores.tolist(), strict=True):
        part = {"id": "" if i is None else f"#{i}", "score": f"{score:.2f}", "name": name}
        texts.append((" ".join(filter(None, (part[label] for label in wanted))), False))
    return texts


def _draw_skeleton(
    canvas: np.ndarray,
    skeleton: Skeleton,
    pairs: list[tuple[int, int]] | None,
    points: np.ndarray,
    shown: np.ndarray,
    width: float,
    radius: float,
    whole: Color | None,
) -> None:
    """Rims first, then colors, so that a joint is not cut by the rim of the next limb.

    pairs: of keypoints to join, None for the skeleton's; whole: one color for everything
    """
    limb_styles, dot_styles = style(skeleton)
    rim = max(width * 0.5, 1.6)
    shown = _told_apart(skeleton, points, shown, (radius or width * RADIUS) + rim / 2)
    limbs = [
        (a, b, *one)
        for (a, b), one in zip(
            skeleton.limbs if pairs is None else pairs,
            limb_styles if pairs is None else _styles_of(pairs, dot_styles),
            strict=True,
        )
        if shown[a] and shown[b]
    ]
    dots = [(i, *dot_styles[i]) for i in np.flatnonzero(shown)] if radius > 0 else []
    for a, b, _, factor in limbs:
        _line(canvas, points[a], points[b], RIM, (width + rim) * factor)
    for i, _, factor in dots:
        if factor * width >= 0.6:  # a face or a hand in a few pixels would be all rim
            _disc(canvas, points[i], RIM, (radius + rim / 2) * factor)
    for a, b, color, factor in limbs:
        _line(canvas, points[a], points[b], whole or color, width * factor)
    for i, color, factor in dots:
        _disc(canvas, points[i], whole or color, radius * factor)
        if factor * radius >= 2.5 * RADIUS:
            _disc(canvas, points[i], (255, 255, 255), radius * factor * 0.5)


def _told_apart(skeleton: Skeleton, points: np.ndarray, shown: np.ndarray, radius: float) -> np.ndarray:
    """(K,) bool, `shown` without the points of faces and hands that are too close to another for both to be seen."""
    fine = [(i, factor) for i, factor in fine_points(skeleton) if shown[i]]
    places = points[[i for i, _ in fine]]  # (F, 2)
    distances = np.linalg.norm(places[:, None] - places, axis=-1)  # (F, F)
    kept = np.zeros(len(fine), bool)
    result = shown.copy()
    for row, (i, factor) in enumerate(fine):
        apart = 2.5 * radius * factor + 2  # with something of the face between them
        kept[row] = not (distances[row, kept] < apart).any()
        result[i] = kept[row]
    return result


def _styles_of(pairs: list[tuple[int, int]], dots: list[Style]) -> list[Style]:
    """Limbs of the caller's own: the color of their second end, as thin as the thinner end."""
    return [(dots[b][0], min(dots[a][1], dots[b][1])) for a, b in pairs]


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
