"""labelme's JSON: one file for each picture, with points and rectangles tied by `group_id`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from edgepose.data.columns import Row, load_json
from edgepose.data.formats.layout import Box, Picture, Point, Someone, as_coco, grouped, left_out

TAKEN = ("point", "points", "rectangle")
MOST = 1_000_000  # files in a folder
LARGEST = 200 << 20  # bytes of one, which may hold its picture


def is_labelme(content: Any) -> bool:
    """Whether a JSON file is labelme's."""
    return isinstance(content, dict) and "shapes" in content and ("imagePath" in content or "imageData" in content)


def read_labelme(path: str | Path) -> Row:
    """The content of a folder of such files, or of one of them, in COCO's form.

    Shapes of one `group_id` are one person: points are its keypoints, a rectangle its box. Without groups the box
    around a point says whose it is. A point whose flags say `occluded` or `hidden` is hidden.
    """
    path = Path(path)
    files = sorted(path.rglob("*.json"))[:MOST] if path.is_dir() else [path]
    pictures, strange = [], []
    others: list[str] = []
    for file in files:
        if file.stat().st_size > LARGEST:
            raise ValueError(f"{file} has more than {LARGEST} bytes: no labels of one picture do")
        content = load_json(file, kind="labelme's labels of a picture")
        if not is_labelme(content):
            strange.append(file.name)
            continue
        pictures.append(_picture(content, file, file.parent.relative_to(path) if path.is_dir() else Path()))
        others += [kind for kind in map(_kind, content["shapes"]) if kind not in TAKEN]
    notes = [f"{path}: {len(strange)} files such as {strange[0]} are not labelme's: left out"] if strange else []
    notes += left_out(others, path, "point and rectangle")
    if not pictures:
        raise ValueError(f"{path} holds no file of labelme: expected JSON with `shapes` and `imagePath`")
    return as_coco(pictures, notes)


def _picture(content: Row, file: Path, folder: Path) -> Picture:
    shapes = content["shapes"]
    if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
        raise ValueError(f"{file}: `shapes` is not a list of objects")
    points: list[Point] = []
    boxes: list[Box] = []
    people: list[Someone] = []
    for i, shape in enumerate(shapes):
        where = f"{file}: shape {i + 1}"
        kind, label, group = _kind(shape), str(shape.get("label", "")), shape.get("group_id")
        if kind not in TAKEN:
            continue
        places = _places(shape.get("points"), where)
        if kind == "rectangle":
            xs, ys = [x for x, _ in places], [y for _, y in places]
            boxes.append(Box(label, (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)), _key(group)))
        elif kind == "points" and len(places) > 1:
            people.append(Someone(label, unnamed=[(x, y, 2) for x, y in places]))
        else:
            points.append(Point(label, *places[0], _hidden(shape), _key(group)))
    name = str(content.get("imagePath") or f"{file.stem}.jpg").replace("\\", "/").rpartition("/")[2]
    sides = [content.get(key) for key in ("imageWidth", "imageHeight")]
    width, height = (side if isinstance(side, int) and side > 0 else 0 for side in sides)
    return Picture((folder / name).as_posix(), width, height, people + grouped(points, boxes, str(file)))


def _kind(shape: Row) -> str:
    return str(shape.get("shape_type") or "polygon")[:40]


def _key(group: Any) -> Any:
    return group if isinstance(group, (int, str)) else None


def _hidden(shape: Row) -> bool:
    flags = shape.get("flags")
    return isinstance(flags, dict) and any(flags.get(name) is True for name in ("occluded", "hidden"))


def _places(points: Any, where: str) -> list[tuple[float, float]]:
    if not isinstance(points, list) or not points:
        raise ValueError(f"{where} has no points, expected [[x, y], ...]")
    for point in points:
        numbers = isinstance(point, list) and len(point) == 2 and all(isinstance(v, (int, float)) for v in point)
        if not numbers or not all(map(math.isfinite, point)):
            raise ValueError(f"{where} has the point {str(point)[:60]}, expected [x, y]")
    return [(float(x), float(y)) for x, y in points]
