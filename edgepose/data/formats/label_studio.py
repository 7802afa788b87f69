"""Label Studio's JSON: a list of tasks, each with annotations whose results are points and rectangles in percent."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from edgepose.data.columns import Row
from edgepose.data.folders import SUFFIXES
from edgepose.data.formats.layout import Box, Picture, Point, as_coco, grouped, left_out, upright
from edgepose.data.sound import whole

POINTS, BOXES = ("keypointlabels", "keypoint"), ("rectanglelabels", "rectangle")

# What else people draw on a picture.
DRAWN = ("polygonlabels", "polygon", "brushlabels", "brush", "ellipselabels", "ellipse", "bitmask", "bitmasklabels",
         "vector", "vectorlabels", "videorectangle")  # fmt: skip
PICTURES = (*SUFFIXES, ".tif", ".tiff", ".avif", ".heic")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")


def is_label_studio(content: Any) -> bool:
    """Whether JSON is a list of Label Studio's tasks."""
    first = content[0] if isinstance(content, list) and content else None
    return isinstance(first, dict) and isinstance(first.get("data"), dict)


def of_label_studio(content: Any, path: str | Path) -> Row:
    """Tasks in COCO's form.

    Of each task the first annotation that was not cancelled counts, or else its first prediction. A point belongs to
    the rectangle that is its parent or that it is related to, else to the smallest one around it.
    """
    pictures, several, empty = [], 0, 0
    others: list[str] = []
    for i, task in enumerate(content):
        where = f"{path}: task {task.get('id', i + 1) if isinstance(task, dict) else i + 1}"
        data = task.get("data") if isinstance(task, dict) else None
        name = _picture_name(data)
        if name is not None and _suffix(name) in VIDEOS:
            raise ValueError(
                f"{where} is a video ({name}): label its frames as pictures, `edgepose data frames` takes them"
            )
        if name is None:
            raise ValueError(f"{where} names no picture in `data`, expected the name or address of one")
        done = [a for a in _objects(task.get("annotations"), where, "annotations") if not a.get("was_cancelled")]
        several += len(done) > 1
        done = done or _objects(task.get("predictions"), where, "predictions")
        empty += not done
        results = _objects(done[0].get("result"), where, "result") if done else []
        pictures.append(_picture(name, results, where))
        others += [str(r.get("type"))[:40] for r in results if r.get("type") in DRAWN]
    notes = []
    if several:
        notes.append(f"{path}: of {several} tasks with several annotations the first is taken")
    if empty:
        notes.append(f"{path}: {empty} tasks have no annotation yet: their pictures count as without people")
    notes += left_out(others, path, "keypointlabels and rectanglelabels")
    return as_coco(pictures, notes)


def _picture(name: str, results: list[Row], where: str) -> Picture:
    ends = [(_key(r.get("from_id")), _key(r.get("to_id"))) for r in results if r.get("type") == "relation"]
    parents = dict(ends) | {b: a for a, b in ends}
    rectangles = {_key(r.get("id")) for r in results if r.get("type") in BOXES} - {None}
    points: list[Point] = []
    boxes: list[Box] = []
    size = (0, 0)
    for result in results:
        kind, value = result.get("type"), result.get("value")
        if kind not in POINTS + BOXES or not isinstance(value, dict):
            continue
        width, height = (whole(result.get(key)) or 0 for key in ("original_width", "original_height"))
        if not all(0 < side < 2**31 for side in (width, height)):
            raise ValueError(f"{where} states no `original_width` and `original_height`, which its percents are of")
        if result.get("image_rotation") not in (None, 0):
            raise ValueError(
                f"{where} was turned by {str(result['image_rotation'])[:20]} degrees while it was labelled, and its "
                "percents are of the turned picture: turn the picture itself, and label it so"
            )
        size = (width, height)
        x, y = _percent(value, "x", where) * width, _percent(value, "y", where) * height
        identity = _key(result.get("id"))
        if kind in POINTS:
            parent = _key(result.get("parentID")) or parents.get(identity)
            group = parent if parent in rectangles else None
            hidden = bool((result.get("meta") or {}).get("occluded")) if isinstance(result.get("meta"), dict) else False
            points.append(Point(_label(value, where), x, y, hidden, group))
        else:
            w, h = _percent(value, "width", where) * width, _percent(value, "height", where) * height
            turn = value.get("rotation")
            turn = float(turn) if isinstance(turn, (int, float)) else 0.0
            boxes.append(Box(_label(value, where), upright(x, y, w, h, turn, (x, y)), identity))
    return Picture(name, *size, grouped(points, boxes, where))


def _key(identity: Any) -> str | int | None:
    return identity if isinstance(identity, (str, int)) else None


def _picture_name(data: Any) -> str | None:
    if not isinstance(data, dict):
        return None
    texts = [data.get(key) for key in ("image", "img", "picture", "photo")] + list(data.values())
    names = [text for text in texts if isinstance(text, str) and text.strip()]
    return next((name for name in names if _suffix(name) in PICTURES), next(iter(names), None))


def _suffix(name: str) -> str:
    return PurePosixPath(urlsplit(name).path if "://" in name else name.rpartition("?d=")[2]).suffix.lower()


def _label(value: Row, where: str) -> str:
    for kind in ("keypointlabels", "rectanglelabels", "labels"):
        labels = value.get(kind)
        if isinstance(labels, list) and labels and isinstance(labels[0], str):
            return labels[0]
    raise ValueError(f"{where} has a point or rectangle without a label")


def _percent(value: Row, key: str, where: str) -> float:
    number = value.get(key)
    if not isinstance(number, (int, float)) or isinstance(number, bool) or not -1000 < number < 1000:
        raise ValueError(f"{where} has {key}={str(number)[:40]}, expected percent of the picture")
    return number / 100


def _objects(value: Any, where: str, key: str) -> list[Row]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ValueError(f"{where}: `{key}` is not a list of objects")
    return value
