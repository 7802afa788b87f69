"""Large pictures looked at in overlapping tiles, for people too small to be found in the whole.

A network sees the picture shrunk to its input: somebody of 40 pixels in a 4K picture is 3 pixels high there. Each tile
fills the input by itself, so that the same person is as large as the input allows. The whole picture is looked at too,
for people larger than a tile. One view is in memory at a time; the cost is one run of the network per view, which is
rows x columns + 1.

Slicing a picture for small objects: Akyon et al., "Slicing aided hyper inference" (2022). What is ours is which of two
finds goes: somebody cut by the edge of a tile never stays beside the same person seen whole.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Literal, cast

import numpy as np

from edgepose.geometry import iou
from edgepose.oks import oks
from edgepose.poses import Poses

Grid = tuple[int, int]  # rows, columns
TilesLike = Grid | Literal["auto"] | str
OVERLAP = 0.25  # of a tile's side lies in the next one: who is not larger than that is whole in some tile
MOST_TILES = 256  # that may be asked for
# Pixels of the picture per pixel of the input that "auto" allows in a tile, and the tiles it takes at most. Of 953
# people in two pictures of 3780 x 2160 (benchmarks/small_people.py, even ids of COCO's val2017, --grid 8x14 --cell 270)
# one is found in the whole, 312 at 2 with 40 tiles, 376 at 1.5 with 66, 415 at 1.25 with 91 and 481 at 1 with 144.
SHRUNK, MOST_AUTO = 1.25, 100
EDGE = 0.02  # part of a tile's side: a box that ends so near to an inner edge may go on behind it
# On 52 montages of COCO's pictures (benchmarks/small_people.py, even ids, 2x2) 936 boxes with 491 people among them are
# left; if cut ones are treated as the others 997 with 492; if whole ones inside others go too, 882 with 482: children
# in front of adults are people.
SAME = 0.5  # IoU from which two boxes of different views are one person (within a view the codec decides)
INSIDE = 0.6  # part of a cut box inside another from which it is a part of that person
ALIKE = 0.5  # OKS from which two poses of different views are one person
ACROSS = 0.6  # IoU along the edge from which two boxes that it cuts are the halves of one person
SEEN = 0.3  # score of the keypoints that are compared


def tiles_of(value: Any) -> Grid | Literal["auto"] | None:
    """What a caller wrote as tiles: None, "auto", "RxC" or (rows, columns)."""
    if value is None or value == "auto":
        return cast(Literal["auto"] | None, value)
    found = re.fullmatch(r"(\d+)x(\d+)", value) if isinstance(value, str) else None
    sides: Any = (int(found[1]), int(found[2])) if found else value
    whole = isinstance(sides, (tuple, list)) and len(sides) == 2 and all(type(side) is int for side in sides)
    if not whole or min(sides) < 1 or sides[0] * sides[1] > MOST_TILES:
        raise ValueError(
            f"tiles are {value!r}, expected rows x columns such as 2x3, from 1x1 up to {MOST_TILES} tiles, or auto"
        )
    return (sides[0], sides[1])


def grid_for(size: tuple[int, int], input_size: tuple[int, int]) -> Grid:
    """The fewest rows and columns with which no side of a tile of a picture (w, h) has more than 1.25 input sides.

    Of very large pictures no more than 100 tiles, which are larger then.
    """
    columns, rows = (_count(side, shown) for side, shown in zip(size, input_size, strict=True))
    while rows * columns > MOST_AUTO:
        if columns >= rows:
            columns -= 1
        else:
            rows -= 1
    return rows, columns


def _count(side: int, shown: int) -> int:
    """Tiles along a side of so many pixels."""
    most = SHRUNK * shown
    return 1 if side <= most else math.ceil((side / most - OVERLAP) / (1 - OVERLAP))


def views(size: tuple[int, int], grid: Grid) -> np.ndarray:
    """The tiles of a picture (w, h), row by row, then the whole -> (T, 4) int x1, y1, x2, y2. 1x1 is the whole alone.

    Tiles are of one size but for a pixel, and cover the picture.
    """
    whole = np.array([[0, 0, *size]])
    if grid == (1, 1):
        return whole
    ys, xs = _spans(size[1], grid[0]), _spans(size[0], grid[1])
    return np.concatenate([np.array([[x1, y1, x2, y2] for y1, y2 in ys for x1, x2 in xs]), whole])


def _spans(side: int, count: int) -> list[tuple[int, int]]:
    """Starts and ends of so many overlapping parts of a side."""
    length = min(math.ceil(side / (count - (count - 1) * OVERLAP)), side)
    starts = np.linspace(0, side - length, count).round().astype(int).tolist()
    return [(start, start + length) for start in dict.fromkeys(starts)]


def look(image: np.ndarray, find: Callable[[np.ndarray], Poses], grid: Grid) -> Poses:
    """The people that `find` sees in the tiles of a picture and in the whole, each once, best first."""
    size = (image.shape[1], image.shape[0])
    parts, cuts, seen_in = list[Poses](), list[np.ndarray](), list[np.ndarray]()
    for number, view in enumerate(views(size, grid)):
        x1, y1, x2, y2 = view.tolist()
        found = find(image[y1:y2, x1:x2]).mapped(np.array([[1.0, 0, x1], [0, 1.0, y1]]))
        parts.append(found)
        cuts.append(cut_sides(found.boxes, view, size))
        seen_in.append(np.full(len(found), number))
    if len(parts) == 1:
        return parts[0]
    return merged(Poses.concatenate(parts), np.concatenate(cuts), np.concatenate(seen_in))


def cut_sides(boxes: np.ndarray, view: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(N, 4) bool: left, top, right, bottom of boxes (N, 4) that end at an edge of their view inside the picture."""
    near = (view[2:] - view[:2]) * EDGE
    reached = np.concatenate([boxes[:, :2] <= view[:2] + near, boxes[:, 2:] >= view[2:] - near], axis=1)
    inner = np.array([view[0] > 0, view[1] > 0, view[2] < size[0], view[3] < size[1]])
    return np.asarray(reached & inner)


def merged(people: Poses, cut: np.ndarray, view: np.ndarray) -> Poses:
    """People of several views, each once, best first.

    cut: (N, 4) bool, as `cut_sides` gives them.
    view: (N,) in which each was seen; within one the network's own codec says who is who.

    Who is seen whole goes before who is cut, then the higher score counts. Boxes are one person from an IoU of 0.5;
    poses from an OKS of 0.5. A cut one also goes where most of it lies in somebody kept, or where the keypoints that
    it has are theirs. What is left of two cut ones that continue each other becomes one box.
    """
    partly: np.ndarray = np.asarray(cut.any(1))
    order = np.lexsort((-people.person_scores, partly))
    people, cut, partly, view = people[order], cut[order], partly[order], view[order]
    alive = np.ones(len(people), bool)
    for i in range(len(people)):  # one row for each person kept: all pairs of thousands would take a gigabyte
        if alive[i]:
            rest = np.flatnonzero(alive & (view != view[i]))
            rest = rest[rest > i]
            alive[rest[_taken_in(people[i], people[rest], partly[rest])]] = False
    people = _joined(people[alive], cut[alive])
    return people[np.argsort(-people.person_scores, kind="stable")]


def _taken_in(kept: Poses, others: Poses, partly: np.ndarray) -> np.ndarray:
    """(N,) bool: which of `others` are the one person of `kept`, or, where they are seen `partly`, a part of them."""
    corners = np.minimum(kept.boxes[:, 2:], others.boxes[:, 2:]) - np.maximum(kept.boxes[:, :2], others.boxes[:, :2])
    inside = np.maximum(corners, 0).prod(-1) >= INSIDE * np.maximum(others.areas(), 1)
    if not len(kept.skeleton):
        return np.asarray((iou(kept.boxes, others.boxes)[0] > SAME) | (inside & partly))
    larger, sigmas = np.maximum(kept.areas()[:, None], others.areas()[None]), kept.skeleton.sigmas
    seen = others.scores >= SEEN
    same = oks(kept.keypoints, others.keypoints, larger, sigmas)[0] > ALIKE
    part = oks(kept.keypoints, others.keypoints, larger, sigmas, seen[None])[0] > ALIKE
    return np.asarray(same | (partly & np.where(seen.any(1), part, inside)))


def _joined(people: Poses, cut: np.ndarray) -> Poses:
    """Boxes that edges cut into two, as one box; poses stay as they are, since each has points of its own."""
    if len(people.skeleton) or not cut.any():
        return people
    boxes, scores, alive = people.boxes.copy(), people.person_scores.copy(), np.ones(len(people), bool)
    for axis in (0, 1):  # halves side by side, then one above the other
        for i in np.flatnonzero(cut[:, axis + 2]).tolist():
            for j in np.flatnonzero(cut[:, axis]).tolist():
                if i != j and alive[i] and alive[j] and _continues(boxes[i], boxes[j], axis):
                    boxes[i, :2], boxes[i, 2:] = np.minimum(boxes[i], boxes[j])[:2], np.maximum(boxes[i], boxes[j])[2:]
                    scores[i], alive[j] = max(scores[i], scores[j]), False
    return Poses.of_boxes(boxes[alive], scores[alive])


def _continues(first: np.ndarray, second: np.ndarray, axis: int) -> bool:
    """Whether `second` overlaps and goes on behind `first`, along `axis`, as high (or as wide) as it is."""
    if not first[axis] < second[axis] < first[axis + 2] < second[axis + 2]:
        return False
    low, high = 1 - axis, 3 - axis
    shared = min(first[high], second[high]) - max(first[low], second[low])
    whole = max(first[high], second[high]) - min(first[low], second[low])
    return bool(whole > 0 and shared / whole >= ACROSS)
