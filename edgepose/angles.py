"""Angles of joints and segments by name: `left_knee`, `trunk`, `left_hip:left_knee:left_ankle`.

They are angles in the picture: of a knee, say, what a camera at the side of the person sees of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edgepose.geometry import inclined, turned
from edgepose.names import meant
from edgepose.poses import Poses
from edgepose.skeleton import Skeleton
from edgepose.spelling import folded

Point = tuple[str, ...]  # names of a keypoint, or of several whose middle it is


@dataclass(frozen=True)
class Angle:
    """An angle by the points it lies between.

    points: three, of which the second is the vertex: 0 to 180 degrees, 180 stretched out; or two: of the line from
        the first to the second against the horizontal, above -180 to 180 degrees, 0 to the right and 90 up
    """

    name: str
    points: tuple[Point, ...]

    def of(self, poses: Poses, threshold: float | None = None) -> np.ndarray:
        """(N,) float32 degrees; NaN where a point is scored below `threshold` (None: as it is drawn)."""
        threshold = poses.thresholds.drawn if threshold is None else threshold
        known = np.ones(len(poses), bool)
        places = []
        for names in self.points:
            at = [poses.skeleton.names.index(name) for name in names]
            points = poses.keypoints[:, at].astype(np.float64)
            known &= ((poses.scores[:, at] >= threshold) & np.isfinite(points).all(-1)).all(-1)
            places.append(points.mean(1))
        if len(places) == 2:
            return inclined(places[1] - places[0], known)
        first, vertex, last = places
        return turned(first - vertex, last - vertex, known)


_JOINTS = {
    "knee": ("hip", "knee", "ankle"),
    "hip": ("shoulder", "hip", "knee"),
    "elbow": ("shoulder", "elbow", "wrist"),
    "shoulder": ("hip", "shoulder", "elbow"),
    "ankle": ("knee", "ankle", "big_toe"),
}
_SEGMENTS = {
    "thigh": ("hip", "knee"),
    "shank": ("knee", "ankle"),
    "foot": ("heel", "big_toe"),
    "upper_arm": ("shoulder", "elbow"),
    "forearm": ("elbow", "wrist"),
}
# The standard ones by name; a skeleton has those of which it has the keypoints.
STANDARD: dict[str, tuple[Point, ...]] = {
    **{f"{side}_{joint}": tuple((f"{side}_{part}",) for part in parts)
       for joint, parts in _JOINTS.items() for side in ("left", "right")},
    **{f"{side}_{segment}": tuple((f"{side}_{part}",) for part in parts)
       for segment, parts in _SEGMENTS.items() for side in ("left", "right")},
    "trunk": (("left_hip", "right_hip"), ("left_shoulder", "right_shoulder")),
    "shoulders": (("left_shoulder",), ("right_shoulder",)),
    "pelvis": (("left_hip",), ("right_hip",)),
}  # fmt: skip


def standard(skeleton: Skeleton) -> list[Angle]:
    """Those of STANDARD of which a skeleton has the keypoints, however it spells them."""
    own = {folded(name): name for name in skeleton.names}
    found = []
    for name, points in STANDARD.items():
        if all(part in own for point in points for part in point):
            found.append(Angle(name, tuple(tuple(own[part] for part in point) for point in points)))
    return found


def angles_of(words: str | Iterable[str], skeleton: Skeleton) -> list[Angle]:
    """What words mean for a skeleton: names of `standard`, "standard" for all of them, `a:b:c` and `a:b` of keypoints.

    One string may have several, with commas between them. Raises ValueError for a name that the skeleton lacks.
    """
    named = {angle.name: angle for angle in standard(skeleton)}
    found: dict[str, Angle] = {}
    for word in words.split(",") if isinstance(words, str) else words:
        word = word.strip()
        if word == "standard":
            if not named:
                raise ValueError(
                    f"skeleton {skeleton.name!r} has none of the standard angles: name three keypoints, such as a:b:c"
                )
            found |= named
        elif ":" in word:
            found[word] = Angle(word, _points(word, skeleton))
        elif word in named:
            found[word] = named[word]
        else:
            known = ", ".join(named) or "none"
            raise ValueError(
                f"unknown angle {word!r}{meant(word, named)}: skeleton {skeleton.name!r} has {known}; or name three "
                "keypoints, first:vertex:last, or two, start:end"
            )
    return list(found.values())


def _points(word: str, skeleton: Skeleton) -> tuple[Point, ...]:
    names = [part.strip() for part in word.split(":")]
    if len(names) not in (2, 3):
        raise ValueError(f"angle {word!r} has {len(names)} keypoints: expected first:vertex:last, or start:end")
    own = {folded(name): name for name in skeleton.names} | {name: name for name in skeleton.names}
    points = []
    for name in names:
        known = own.get(name) or own.get(folded(name))
        if known is None:
            suggestion = meant(name, skeleton.names) or f", expected names such as {skeleton.names[0]!r}"
            raise ValueError(f"angle {word!r}: skeleton {skeleton.name!r} has no keypoint {name!r}{suggestion}")
        points.append((known,))
    if len({point[0] for point in points}) < len(points):
        raise ValueError(f"angle {word!r} names a keypoint twice: expected different ones")
    return tuple(points)


def measured(poses: Poses, angles: Sequence[Angle], threshold: float | None = None) -> dict[str, np.ndarray]:
    """Name of each angle -> (N,) float32 degrees of the people."""
    return {angle.name: angle.of(poses, threshold) for angle in angles}
