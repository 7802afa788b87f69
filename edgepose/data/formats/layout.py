"""What the files of labelling tools have in common: points with names, boxes, and who they belong to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgepose.data.columns import Row
from edgepose.skeleton import SKELETONS

ENOUGH = 0.6  # of a built-in skeleton's names, and no others: then the labels are of that skeleton


@dataclass(frozen=True)
class Point:
    """A labelled keypoint in pixels; `group` is whatever ties it to others and to a box."""

    name: str
    x: float
    y: float
    hidden: bool = False
    group: Any = None


@dataclass(frozen=True)
class Box:
    """x, y, w, h in pixels of somebody called `label`."""

    label: str
    xywh: tuple[float, float, float, float]
    group: Any = None


@dataclass
class Someone:
    """Who is labelled: points by name (x, y, v), perhaps a box, perhaps points without names in their order."""

    label: str = ""
    points: dict[str, tuple[float, float, int]] = field(default_factory=dict)
    box: tuple[float, float, float, float] | None = None
    unnamed: list[tuple[float, float, int]] = field(default_factory=list)


@dataclass
class Picture:
    """A picture and everybody on it; width and height are 0 where the file does not say."""

    name: str
    width: int
    height: int
    people: list[Someone]


def grouped(points: Sequence[Point], boxes: Sequence[Box], where: str) -> list[Someone]:
    """Who the points of a picture belong to: those of one group together, the others to the smallest box around them,
    or, where there is none and every name is there once, to one person.

    ValueError, naming `where`, if a name is there twice and neither groups nor boxes tell whose it is.
    """
    people: dict[Any, Someone] = {}
    for i, box in enumerate(boxes):
        key = ("group", box.group) if box.group is not None else ("box", i)
        people[key] = Someone(box.label, box=box.xywh)
    for point in points:
        key = ("group", point.group) if point.group is not None else _around(point, boxes)
        someone = people.setdefault(key, Someone())
        if point.name in someone.points:
            raise ValueError(
                f"{where} has {point.name!r} twice and does not say whose each is: group the points of one person, "
                "or draw a box around each"
            )
        someone.points[point.name] = (point.x, point.y, 1 if point.hidden else 2)
    return list(people.values())


def _around(point: Point, boxes: Sequence[Box]) -> Any:
    inside = [
        (box.xywh[2] * box.xywh[3], i)
        for i, box in enumerate(boxes)
        if 0 <= point.x - box.xywh[0] <= box.xywh[2] and 0 <= point.y - box.xywh[1] <= box.xywh[3]
    ]
    if not inside:
        return ("rest",)
    i = min(inside)[1]
    return ("group", boxes[i].group) if boxes[i].group is not None else ("box", i)


def left_out(kinds: Sequence[str], path: object, expected: str) -> list[str]:
    """A sentence about shapes that are neither points nor boxes, by their kinds; none where there are none."""
    if not kinds:
        return []
    counts = ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
    return [f"{path}: shapes that are no keypoints or boxes ({counts}) are left out: expected {expected}"]


def upright(
    left: float, top: float, width: float, height: float, degrees: float, about: tuple[float, float]
) -> tuple[float, float, float, float]:
    """x, y, w, h around a box that is turned clockwise about a point."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    corners = [(left + dx - about[0], top + dy - about[1]) for dx in (0, width) for dy in (0, height)]
    xs = [about[0] + x * cosine - y * sine for x, y in corners]
    ys = [about[1] + x * sine + y * cosine for x, y in corners]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def ordered(names: Iterable[str]) -> list[str]:
    """Names of keypoints in the order of the built-in skeleton that most of them make up, else as they came.

    A built-in one is given whole: whoever was never seen with a left ear has one all the same.
    """
    own = list(dict.fromkeys(names))
    for skeleton in SKELETONS.values():
        if own and set(own) <= set(skeleton.names) and len(own) >= ENOUGH * len(skeleton):
            return list(skeleton.names)
    return own


def as_coco(
    pictures: Sequence[Picture],
    notes: Sequence[str] = (),
    names: Mapping[str, Sequence[str]] | None = None,
    limbs: Mapping[str, Sequence[Sequence[int]]] | None = None,
) -> Row:
    """Content in COCO's form, with `said` for the sentences of `notes`.

    Each label is a category. Labels that share names of keypoints have the same ones, and so do labels of boxes alone.

    names: keypoints in their order, by label, where the file states them
    limbs: pairs counted from 1, likewise
    """
    people = [someone for picture in pictures for someone in picture.people]
    labels = list(dict.fromkeys(someone.label or "person" for someone in people)) or ["person"]
    keypoints = _keypoints(people, labels, names or {})
    images: list[Row] = []
    annotations: list[Row] = []
    for picture in pictures:
        size = {"width": picture.width, "height": picture.height} if picture.width and picture.height else {}
        images.append({"id": len(images) + 1, "file_name": picture.name} | size)
        for someone in picture.people:
            label = someone.label or "person"
            row: Row = {"id": len(annotations) + 1, "image_id": len(images), "category_id": labels.index(label) + 1}
            row["keypoints"] = _listed(someone, keypoints[label])
            annotations.append(row | ({"bbox": list(someone.box)} if someone.box is not None else {}))
    categories: list[Row] = []
    for i, label in enumerate(labels):
        fields: Row = {"keypoints": list(keypoints[label])} if keypoints[label] else {}
        fields |= {"skeleton": [list(limb) for limb in limbs[label]]} if limbs and limbs.get(label) else {}
        categories.append({"id": i + 1, "name": label, **fields})
    return {"images": images, "annotations": annotations, "categories": categories, "said": list(notes)}


def _listed(someone: Someone, names: Sequence[str]) -> list[float]:
    if someone.unnamed:
        return [float(value) for point in someone.unnamed for value in point]
    missing = (0.0, 0.0, 0)
    return [value for name in names for value in someone.points.get(name, missing)] if someone.points else []


def _keypoints(
    people: Sequence[Someone], labels: Sequence[str], stated: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """The names of the keypoints of every label."""
    own = {label: dict.fromkeys(stated.get(label, ())) for label in labels}
    for someone in people:
        if (someone.label or "person") not in stated:
            own[someone.label or "person"] |= dict.fromkeys(someone.points)
    together: list[dict[str, None]] = []
    for label in labels:
        sharing = [names for names in together if names.keys() & own[label].keys()]
        merged: dict[str, None] = {}
        for names in (*sharing, own[label]):
            merged |= names
        together = [names for names in together if names not in sharing] + [merged]
    found = {}
    for label in labels:
        whole = next((names for names in together if own[label] and names.keys() >= own[label].keys()), {})
        found[label] = list(stated[label]) if label in stated else ordered(whole)
    only = [names for names in found.values() if names]
    return {label: names or (only[0] if len(only) == 1 else []) for label, names in found.items()}
