"""CVAT's own XML ("CVAT for images 1.1"): skeletons, points and boxes of every picture."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from edgepose.data.columns import Row, read_bounded
from edgepose.data.formats.layout import Box, Picture, Point, Someone, as_coco, grouped, left_out, upright

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

LARGEST = 1 << 30  # bytes


def read_cvat(path: str | Path) -> Row:
    """The content of an XML file in COCO's form.

    A `skeleton` is a person; `points` of one point each are a person by their group, or by the box around them;
    `points` of several are a person's keypoints in their order. `outside` points are not labelled, `occluded` ones are
    hidden. The order of keypoints is that of the task's labels where the file has them.
    """
    root = parsed(path)
    if root.tag != "annotations":
        hint = "Pascal VOC's form, which has no keypoints" if root.tag == "annotation" else f"<{root.tag}>"
        raise ValueError(f"{path} is {hint}: expected CVAT's <annotations>, exported as `CVAT for images 1.1`")
    if root.find("track") is not None:
        raise ValueError(
            f"{path} is CVAT's form for videos, whose frames have no names: export it as `CVAT for images 1.1` or "
            "`COCO Keypoints`"
        )
    names, limbs = _stated(root)
    pictures = []
    others: list[str] = []
    for image in root.iter("image"):
        where = f"{path}: image {image.get('name') or image.get('id')!r}"
        name = image.get("name")
        if not name:
            raise ValueError(f"{where} has no name")
        width, height = (int(_number(image.get(key, "0"), where, key)) for key in ("width", "height"))
        pictures.append(Picture(name, width, height, _people(image, where)))
        others += [shape.tag for shape in image if shape.tag not in ("skeleton", "points", "box")]
    notes = left_out(others, path, "skeletons, points and boxes")
    return as_coco(pictures, notes, names=names, limbs=limbs)


def parsed(path: str | Path) -> Element:
    """The root of an XML file, without entities and other documents, which defusedxml refuses."""
    try:
        from defusedxml.common import DefusedXmlException
        from defusedxml.ElementTree import ParseError, fromstring
    except ModuleNotFoundError:
        raise ModuleNotFoundError("XML files need defusedxml: pip install edgepose[evaluate]") from None
    try:
        root: Element = fromstring(read_bounded(path, LARGEST))
    except DefusedXmlException as error:
        raise ValueError(f"{path} has {type(error).__name__}, which no label file needs: it is not read") from None
    except (ParseError, RecursionError, UnicodeError, LookupError) as error:
        raise ValueError(f"{path} is not XML ({error}): expected CVAT's export for images 1.1") from None
    return root


def _people(image: Element, where: str) -> list[Someone]:
    people: list[Someone] = []
    points: list[Point] = []
    boxes: list[Box] = []
    for shape in image:
        label, group = shape.get("label", ""), shape.get("group_id") or None
        if shape.tag == "skeleton":
            someone = Someone(label)
            for element in shape.iter("points"):
                if element.get("outside") == "1":
                    continue
                name = element.get("label", "")
                if name in someone.points:
                    raise ValueError(f"{where} has a skeleton with {name!r} twice")
                ((x, y),) = _pairs(element, where, 1)
                someone.points[name] = (x, y, 1 if element.get("occluded") == "1" else 2)
            people.append(someone)
        elif shape.tag == "points":
            places = _pairs(shape, where)
            if len(places) > 1:
                people.append(Someone(label, unnamed=[(x, y, 2) for x, y in places]))
            else:
                points.append(Point(label, *places[0], shape.get("occluded") == "1", group))
        elif shape.tag == "box":
            left, top, right, bottom = (_number(shape.get(key), where, key) for key in ("xtl", "ytl", "xbr", "ybr"))
            sides = (left, top, right - left, bottom - top)
            turn = _number(shape.get("rotation", "0"), where, "rotation")
            boxes.append(Box(label, upright(*sides, turn, ((left + right) / 2, (top + bottom) / 2)), group))
    if people and not points:  # boxes drawn beside skeletons are theirs where just one fits
        loose = list(boxes)
        for someone in people:
            around = [box for box in loose if _holds(box, someone)]
            if len(around) == 1:
                someone.box = around[0].xywh
                loose.remove(around[0])
        return people + [Someone(box.label, box=box.xywh) for box in loose]
    return people + grouped(points, boxes, where)


def _holds(box: Box, someone: Someone) -> bool:
    x, y, w, h = box.xywh
    places = [*someone.points.values(), *someone.unnamed]
    return bool(places) and all(x - 1 <= px <= x + w + 1 and y - 1 <= py <= y + h + 1 for px, py, _ in places)


def _stated(root: Element) -> tuple[dict[str, list[str]], dict[str, list[list[int]]]]:
    """By skeleton: names of its keypoints in the order of the task's labels, and limbs counted from 1."""
    names: dict[str, list[str]] = {}
    limbs: dict[str, list[list[int]]] = {}
    labels = list(root.iter("label"))
    for label in labels:
        if label.findtext("type") != "skeleton":
            continue
        title = label.findtext("name") or ""
        own = [other.findtext("name") or "" for other in labels if other.findtext("parent") == title]
        if not own or not all(own) or len(set(own)) < len(own):
            continue
        names[title] = own
        drawing = label.find("svg")
        text = "" if drawing is None else "".join(drawing.itertext()) + "".join(map(_tag, drawing))
        nodes = {}
        for circle in re.findall(r"<circle[^>]*>", text):
            place = {key: value for key, value in re.findall(r'data-(node-id|label-name)="([^"]*)"', circle)}
            if place.get("label-name") in own and "node-id" in place:
                nodes[place["node-id"]] = own.index(place["label-name"]) + 1
        ends = re.findall(r'data-node-from="(\d+)"[^>]*data-node-to="(\d+)"', text)
        limbs[title] = [[nodes[a], nodes[b]] for a, b in ends if a in nodes and b in nodes]
    return names, limbs


def _tag(element: Element) -> str:
    return f"<{element.tag} " + " ".join(f'{key}="{value}"' for key, value in element.attrib.items()) + ">"


def _pairs(shape: Element, where: str, count: int | None = None) -> list[tuple[float, float]]:
    text = shape.get("points", "")
    found = []
    for pair in text.split(";"):
        numbers = [_number(word, where, "points") for word in pair.split(",")]
        if len(numbers) != 2:
            raise ValueError(f"{where} has points={text[:60]!r}, expected x,y;x,y ...")
        found.append((numbers[0], numbers[1]))
    if count is not None and len(found) != count:
        raise ValueError(f"{where} has {len(found)} points for {shape.get('label')!r}, expected {count}")
    return found


def _number(text: str | None, where: str, key: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where} has {key}={str(text)[:40]!r}, expected a number")
    return value
