"""Parts of a picture where people are looked for, or left out: a rectangle or a polygon."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

# As a caller writes it: "x,y,w,h", (x, y, w, h), "x,y x,y x,y" or [(x, y), (x, y), (x, y)].
RegionLike = "str | Sequence[float] | Sequence[Sequence[float]] | np.ndarray | Region"
EXPECTED = "expected x,y,w,h or the corners of a polygon, x,y x,y x,y, in pixels, or all of them with %"
_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)(%?)")


@dataclass(frozen=True)
class Region:
    """Corners of a polygon in pixels of the upright picture, or in percent of its sides.

    percent: 0,0 is the upper left corner then, and 100,100 the lower right one, whatever the size of the picture.
    word: how it was written, for errors.
    """

    corners: tuple[tuple[float, float], ...]
    percent: bool = False
    word: str = ""

    def pixels(self, size: tuple[int, int]) -> np.ndarray:
        """(N, 2) corners in a picture of `size` (w, h)."""
        corners = np.asarray(self.corners, np.float64)
        return corners * np.asarray(size) / 100 if self.percent else corners

    def bounds(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """x1, y1, x2, y2 of the smallest rectangle of whole pixels around it, cut to the picture.

        ValueError where nothing is left.
        """
        corners = self.pixels(size)
        x1, y1 = np.maximum(np.floor(corners.min(0)), 0).astype(int).tolist()
        x2, y2 = np.minimum(np.ceil(corners.max(0)), size).astype(int).tolist()
        if x2 <= x1 or y2 <= y1:
            raise ValueError(
                f"region {self.word} lies outside the picture, which has {size[0]} x {size[1]} pixels: expected a part "
                "of it"
            )
        return x1, y1, x2, y2

    def holds(self, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """(N,) bool: whether the centers of boxes (N, 4) lie in it, the edge included."""
        corners = self.pixels(size).astype(np.float32).reshape(-1, 1, 2)
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        found = [cv2.pointPolygonTest(corners, (float(x), float(y)), False) >= 0 for x, y in centers]
        return np.array(found, bool)


def region_of(value: Any, name: str = "region") -> Region:
    """What a caller wrote as a region; ValueError where it is none, or could be meant in two ways."""
    if isinstance(value, Region):
        return value
    if isinstance(value, str):
        points, percent = _parsed(value, name)
        word = value
    else:
        points, percent = _listed(value, name), False
        word = " ".join(",".join(f"{side:g}" for side in point) for point in points)
    if not all(np.isfinite(points).all() for points in points):
        raise ValueError(f"{name} {word!r} has a number that is not finite: {EXPECTED}")
    if len(points) == 1:
        x, y, w, h = points[0]
        if w <= 0 or h <= 0:
            raise ValueError(f"{name} {word!r} is {w:g} wide and {h:g} high: {EXPECTED}")
        points = [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
    corners = np.asarray(points, np.float32)
    if not percent and np.abs(corners).max() <= 1:
        raise ValueError(f"{name} {word!r} looks like parts of 1, which pixels are not: write percent, such as 25%")
    if cv2.contourArea(corners.reshape(-1, 1, 2)) <= 0:
        raise ValueError(f"{name} {word!r} has no area: {EXPECTED}")
    return Region(tuple((float(x), float(y)) for x, y in points), percent, word)


def regions_of(value: Any, name: str = "ignore") -> tuple[Region, ...]:
    """Of one region or a sequence of them, as words or `Region`s; numbers alone are one."""
    if value is None:
        return ()
    if isinstance(value, (str, Region)) or _is_one(value):
        return (region_of(value, name),)
    return tuple(region_of(one, name) for one in value)


def _is_one(value: Any) -> bool:
    """Whether numbers are one region, not several: x, y, w, h, or corners."""
    if any(isinstance(one, (str, Region)) for one in value):
        return False
    depth = np.ndim(value) if len({np.shape(one) for one in value}) == 1 else 3
    return depth == 1 or (depth == 2 and np.shape(value)[1] == 2)


def _parsed(text: str, name: str) -> tuple[list[tuple[float, ...]], bool]:
    """Groups of numbers, and whether they are percent."""
    groups, signs = list[tuple[float, ...]](), set[str]()
    for group in text.split():
        found = [_NUMBER.fullmatch(part) for part in group.split(",")]
        if not all(found):
            raise ValueError(f"{name} is {text!r}, {EXPECTED}")
        groups.append(tuple(float(match[1]) for match in found if match))
        signs |= {match[2] for match in found if match}
    if len(signs) > 1:
        raise ValueError(f"{name} is {text!r}, with pixels and percent mixed: {EXPECTED}")
    return _checked(groups, text, name), signs == {"%"}


def _listed(value: Any, name: str) -> list[tuple[float, ...]]:
    """Groups of numbers: one for x, y, w, h, else one per corner."""
    try:
        numbers = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}, {EXPECTED}") from None
    if numbers.ndim not in (1, 2):
        raise ValueError(f"{name} is {value!r}, {EXPECTED}")
    groups = [tuple(numbers.tolist())] if numbers.ndim == 1 else [tuple(row) for row in numbers.tolist()]
    return _checked(groups, value, name)


def _checked(groups: Sequence[tuple[float, ...]], value: Any, name: str) -> list[tuple[float, ...]]:
    sizes = {len(group) for group in groups}
    if not (len(groups) == 1 and sizes == {4}) and not (len(groups) >= 3 and sizes == {2}):
        raise ValueError(f"{name} is {value!r}, {EXPECTED}")
    return list(groups)
