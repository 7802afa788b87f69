"""Content in COCO's form as every command takes it: checked once, with what can be repaired repaired and said.

Exports of labelling tools are never quite COCO's. What nobody here reads may be anything; ids that are written as text
become numbers; a missing area or box is worked out; whatever else cannot be used is told in one sentence, and it is the
same sentence whether the file is checked, trained on or measured against.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from edgepose.data.boxed_otherwise import of_rows
from edgepose.data.columns import Problems, Row, rows_of, shown, tell
from edgepose.data.people import FILLED
from edgepose.skeleton import HALPE26, HALPE136, WHOLEBODY

MARGIN = 0.1  # of sqrt(w h), by which the extent of somebody's keypoints is grown on every side to make a box of it
# COCO-WholeBody's own lists, in the order of the skeleton: field, how many keypoints.
PARTS = (("keypoints", 17), ("foot_kpts", 6), ("face_kpts", 68), ("lefthand_kpts", 21), ("righthand_kpts", 21))
# Lists of so many keypoints are these skeletons', whatever a category names.
LENGTHS = {len(skeleton) for skeleton in (HALPE26, HALPE136, WHOLEBODY)}
FRACTION = 1.5  # no set of labels in pixels lies within the first pixel and a half of its pictures
LARGEST = 1e30  # more is no coordinate
CODES = {0, 1, 2}  # COCO's visibility: not labelled, hidden, seen
VISIBLE = 3  # more is no visibility, which some sets count from 0 to 3
FINITE = "has a box or keypoint that is no finite number"
# Labels of this many people or more are percent where none leaves 0 to 100 and some are beyond 50 both ways, and all
# their pictures are this many pixels wide and high.
PERCENT, PICTURE_OF_PERCENT = 3, 250
NO_AREA = "no area above 0"
LEAST_AREA = 1e-3  # of the box: less is no area in square pixels
NAMED = 5  # ids that a sentence lists


class Notes(tuple[str, ...]):
    """Sentences about what was repaired or left out. Content whose `notes` are of this class has been checked."""


def sound(
    content: Any, path: str | Path, problems: Problems = None, *, annotated: bool = True, named: bool = True
) -> Row:
    """Content in COCO's form that the readers and the metrics can rely on; content that was checked stays as it is.

    - pictures: `id` whole, `file_name` text, `width` and `height` whole and above 0 or not there
    - annotations: `id`, `image_id` and `category_id` whole, `iscrowd` 0 or 1; keypoint lists empty, or as long as their
      category says and finite where labelled; `bbox` 4 numbers, `area` above 0. Only what has MPII's `center` and
      `scale` may be without box and area.
    - categories: `id` whole; one "person" where the file has none
    - notes: `Notes`

    Args:
        problems: a list takes a sentence for everything that would otherwise be raised; what it is about is left out.
        annotated: False takes a file without `annotations`, as of a test set.
        named: False takes pictures without `file_name`, which metrics do without.
    """
    if is_sound(content):
        return dict(content)
    needed = ("images", "annotations") if annotated else ("images",)
    if not isinstance(content, dict) or any(content.get(key) is None for key in needed):
        raise ValueError(f"{path} lacks `images` or `annotations`: expected a COCO-style annotation file")
    content = content if content.get("annotations") is not None else content | {"annotations": []}
    notes: list[str] = []
    people = [dict(row) for row in rows_of(content, "annotations", path)]
    rows, numbers = _numbered(rows_of(content, "images", path), people, path, notes)
    images = _images(rows, path, problems, notes, named)
    categories = _categories(content, path, notes)
    for row in people if numbers else ():
        row["image_id"] = numbers.get(str(row.get("image_id")), row.get("image_id"))
    _number(people, path, notes)
    if not content.get("categories"):
        _without_categories(people, path, problems)
    people = _of_images(people, images, path, problems, notes)
    people = _of_categories(people, categories, path, problems, notes)
    _crowds(people, path, problems, notes)
    people = _with_sound_points(people, categories, path, problems, notes)
    people = _with_boxes(people, path, problems, notes)
    _areas(people, path, notes)
    if not _refuse_fractions(people, images, path, problems):
        _refuse_other_boxes(people, images, path, problems)
    _outlines(people, path, notes)
    return content | {"images": images, "annotations": people, "categories": categories, "notes": Notes(notes)}


def is_sound(content: Any) -> bool:
    """Whether `sound` made it."""
    return isinstance(content, dict) and isinstance(content.get("notes"), Notes)


def noted(content: Row, more: Iterable[str]) -> Row:
    """The same content with further notes."""
    return content | {"notes": Notes(dict.fromkeys((*content.get("notes", ()), *more)))}


def labelled_points(row: Row) -> list[list[float]]:
    """x, y of the labelled keypoints of an annotation, whichever lists it has."""
    found = []
    for name, _ in PARTS:
        points = row.get(name) or ()
        found += [[points[i], points[i + 1]] for i in range(0, len(points) - 2, 3) if points[i + 2] > 0]
    return found


def extent(points: Sequence[Sequence[float]]) -> list[float]:
    """x, y, w, h around points, grown on every side by MARGIN x sqrt(w h).

    Of points in a line, the shorter side counts as a tenth of the longer one; of a single point nothing comes.
    """
    xs, ys = zip(*points, strict=True)
    w, h = max(xs) - min(xs), max(ys) - min(ys)
    margin = MARGIN * math.sqrt(max(w, h / 10) * max(h, w / 10))
    return [min(xs) - margin, min(ys) - margin, w + 2 * margin, h + 2 * margin]


def whole(value: Any) -> int | None:
    """A whole number, also one written as 6.0 or "6"; None for anything else."""
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal() and len(value) < 20:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else None


def listed(ids: Sequence[Any]) -> str:
    """`annotations 4, 9, 12 and 3 more`."""
    some = ", ".join(str(identity) for identity in ids[:NAMED])
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return f"annotation{'s' if len(ids) > 1 else ''} {some}{more}"


def people_count(count: int) -> str:
    return f"{count} people have" if count != 1 else "1 person has"


def _numbered(
    rows: list[Row], people: list[Row], path: str | Path, notes: list[str]
) -> tuple[list[Row], dict[str, int]]:
    """Pictures counted from 1 where their ids are names that differ, by which people refer to them, and what each name
    became.
    """
    names = [row["id"] for row in rows if isinstance(row.get("id"), str) and row["id"]]
    if not rows or len(set(names)) < len(rows) or all(whole(name) is not None for name in names):
        return rows, {}
    known = set(names)
    if people and not any(str(row.get("image_id")) in known for row in people):
        return rows, {}
    notes.append(
        f"{path}: ids of pictures are names such as {names[0]!r}: they are counted from 1 instead, in the order of the "
        "file"
    )
    return [row | {"id": i} for i, row in enumerate(rows, start=1)], {name: i for i, name in enumerate(names, start=1)}


def _images(rows: list[Row], path: str | Path, problems: Problems, notes: list[str], named: bool) -> list[Row]:
    images, seen, renamed, twice = [], set(), [], 0
    for i, row in enumerate(rows):
        identity, name = whole(row.get("id")), row.get("file_name")
        if identity is None:
            tell(problems, f"{path}: `id` of image number {i + 1} is {said(row, 'id')}, expected a whole number")
            continue
        if named and (not isinstance(name, str) or not name.strip("/\\ ") or "\0" in name):
            what = f"`file_name` of image number {i + 1} (id {identity}) is {said(row, 'file_name')}"
            fields = ", ".join(f"`{key}`" for key in list(row)[:8])
            tell(problems, f"{path}: {what}, expected text: the picture's name; it has {fields}")
            continue
        if not isinstance(row["id"], int):
            renamed.append(row["id"])
        twice += identity in seen
        seen.add(identity)
        sides = {key: whole(row.get(key)) for key in ("width", "height")}
        image = {key: value for key, value in row.items() if key not in sides} | {"id": identity}
        if all(side is not None and 0 < side < 2**31 for side in sides.values()):
            image |= sides
        if "crowdIndex" in image and not _is_number(image["crowdIndex"]):
            del image["crowdIndex"]
        images.append(image)
    if twice:
        tell(problems, f"{path} lists {twice} pictures twice: their ids repeat")
    if renamed:
        notes.append(f"{path}: {len(renamed)} ids of pictures such as {renamed[0]!r} are taken as whole numbers")
    return images


def _categories(content: Row, path: str | Path, notes: list[str]) -> list[Row]:
    if not content.get("categories"):
        return [{"id": 1, "name": "person"}]
    rows = [dict(row) for row in rows_of(content, "categories", path)]
    for i, row in enumerate(rows):
        identity = whole(row.get("id"))
        if identity is None and len(rows) > 1:
            raise ValueError(f"{path}: `id` of category number {i + 1} is {said(row, 'id')}, expected a whole number")
        if not isinstance(row.get("id"), int):
            taken = 1 if identity is None else identity
            notes.append(f"{path}: the id of a category is {said(row, 'id')}, taken as {taken}")
        row["id"] = 1 if identity is None else identity
        row["name"] = row["name"] if isinstance(row.get("name"), str) and row["name"].strip() else "person"
    return rows


def _without_categories(people: list[Row], path: str | Path, problems: Problems) -> None:
    """Without `categories` everybody is a person, if all are of one category."""
    ids = {repr(row.get("category_id")) for row in people}
    if len(ids) > 1:
        some = ", ".join(sorted(ids)[:NAMED])
        tell(
            problems,
            f"{path}: annotations name the categories {some}, and `categories` is missing: expected their names",
        )
    for row in people:
        row["category_id"] = 1


def _number(people: list[Row], path: str | Path, notes: list[str]) -> None:
    """Ids of annotations, which nothing depends on but reports: counted where one of them is no number."""
    ids = [whole(row.get("id")) for row in people]
    odd = next((i for i, identity in enumerate(ids) if identity is None), None)
    if odd is not None and any("id" in row for row in people):
        notes.append(
            f"{path}: `id` of annotation number {odd + 1} is {said(people[odd], 'id')}, expected a whole number: "
            "annotations are counted from 1 instead"
        )
    for i, row in enumerate(people):
        row["id"] = i + 1 if odd is not None else ids[i]


def _of_images(
    people: list[Row], images: list[Row], path: str | Path, problems: Problems, notes: list[str]
) -> list[Row]:
    known = {image["id"] for image in images}
    kept: list[Row] = []
    strangers: list[Row] = []
    renamed = []
    for row in people:
        identity = whole(row.get("image_id"))
        if identity is None:
            what = f"`image_id` of annotation {row['id']} is {said(row, 'image_id')}"
            tell(problems, f"{path}: {what}, expected a whole number, the `id` of a picture")
            continue
        if not isinstance(row["image_id"], int):
            renamed.append(row["image_id"])
            row["image_id"] = identity
        (kept if identity in known else strangers).append(row)
    if renamed:
        notes.append(f"{path}: {len(renamed)} `image_id` such as {renamed[0]!r} are taken as whole numbers")
    if strangers:
        first = min(row["image_id"] for row in strangers)
        what = f"{len(strangers)} annotations name pictures that `images` lacks, such as {first}"
        tell(problems, f"{path}: {what}: add the pictures, or leave the annotations out")
    return kept


def _of_categories(
    people: list[Row], categories: list[Row], path: str | Path, problems: Problems, notes: list[str]
) -> list[Row]:
    known = {category["id"] for category in categories}
    stated = [category["id"] for category in categories if category.get("keypoints")] or [categories[0]["id"]]
    kept, strangers, renamed = [], [], []
    for row in people:
        value = row.get("category_id")
        identity = stated[0] if value is None else whole(value)
        if identity is not None and value is not None and not isinstance(value, int):
            renamed.append(value)
        if identity in known:
            row["category_id"] = identity
            kept.append(row)
        else:
            strangers.append(value)
    if renamed:
        notes.append(f"{path}: {len(renamed)} `category_id` such as {renamed[0]!r} are taken as whole numbers")
    if not strangers:
        return kept
    odd = ", ".join(sorted({repr(value)[:40] for value in strangers})[:NAMED])
    has = ", ".join(map(str, sorted(known)))
    sentence = f"{path}: {len(strangers)} annotations name category {odd}, `categories` has {has}"
    if not kept:
        tell(problems, f"{sentence}: give both the same id")
    else:
        notes.append(f"{sentence}: they are left out")
    return kept


def _crowds(people: list[Row], path: str | Path, problems: Problems, notes: list[str]) -> None:
    texts = []
    for row in people:
        value = row.get("iscrowd")
        if isinstance(value, str):
            texts.append(row["id"])
            value = {"": 0, "0": 0, "1": 1, "false": 0, "true": 1}.get(value.strip().lower(), value)
        if value is not None and not isinstance(value, (int, float)):
            tell(problems, f"{path}: `iscrowd` of annotation {row['id']} is {shown(value)}, expected 0 or 1")
            value = 0
        row["iscrowd"] = int(bool(value))
    if texts:
        notes.append(f"{path}: `iscrowd` of {listed(texts)} is text, taken as the number it shows; write 0 or 1")


def _with_sound_points(
    people: list[Row], categories: list[Row], path: str | Path, problems: Problems, notes: list[str]
) -> list[Row]:
    """Those whose lists of keypoints hold what they should; a list of nothing becomes an empty one."""
    stated = {c["id"]: len(c["keypoints"]) for c in categories if isinstance(c.get("keypoints"), list)}
    kept = []
    odd = []
    for row in people:
        fault = ""
        for name, count in PARTS:
            points = row.get(name)
            if name != "keypoints" and name not in row:
                continue
            if not points and not isinstance(points, str):
                row[name] = []
                continue
            if name == "keypoints" and "foot_kpts" not in row:
                count = stated.get(row["category_id"]) or 0
                length = len(points) // 3 if isinstance(points, list) else 0
                count = length if length in LENGTHS or not count else count
                if not stated.get(row["category_id"]):
                    stated[row["category_id"]] = length  # the others of a category without names have as many
            fault = fault or _fault(points, count)
            if fault:
                what = f"annotation {row['id']}" if fault == FINITE else f"`{name}` of annotation {row['id']}"
                fault = f"{what} {fault}"
                break
        if fault:
            tell(problems, f"{path}: {fault}")
        else:
            if _has_odd_codes(row):
                odd.append(row["id"])
                row["keypoints"] = _with_codes(row["keypoints"])
            count = row.get("num_keypoints", 1)
            if not isinstance(count, int) or (count <= 0 and any(v > 0 for v in row.get("keypoints", ())[2::3])):
                del row["num_keypoints"]
            elif "foot_kpts" not in row and count > 0 and not labelled_points(row):
                row["num_keypoints"] = 0
            kept.append(row)
    if odd:
        notes.append(
            f"{path}: v of keypoints of {listed(odd)} is another number than 0, 1 and 2 (not labelled, hidden, seen): "
            "above 0 is taken as labelled, below 1 as hidden"
        )
    return kept


def _has_odd_codes(row: Row) -> bool:
    """Whether some v is another number than 0, 1 and 2; faces and hands of the largest skeletons have confidences."""
    points = row.get("keypoints") or ()
    return len(points) // 3 not in LENGTHS and "foot_kpts" not in row and not CODES.issuperset(points[2::3])


def _with_codes(points: list[float]) -> list[float]:
    """Keypoints whose v is 0, 1 or 2."""
    codes = [0 if v <= 0 else 1 if v <= 1 else 2 for v in points[2::3]]
    return [value for i, code in enumerate(codes) for value in (points[3 * i], points[3 * i + 1], code)]


def _fault(points: Any, count: int) -> str:
    """What is wrong with a list of keypoints that should be 3 x count numbers; "" where nothing is."""
    expected = f"expected {3 * count} numbers: x, y, v for each of {count} keypoints, in one list"
    if not isinstance(points, list):
        return f"is {shown(points)}, {expected}"
    try:
        flat = array("d", points)
    except TypeError:
        kinds = {list: "lists", str: "texts", dict: "objects", type(None): "nulls"}
        odd = next(value for value in points if not isinstance(value, (int, float)))
        other = kinds.get(type(odd), type(odd).__name__)
        mixed = "" if all(isinstance(value, type(odd)) for value in points) else "numbers and "
        return f"is a list of {len(points)} {'values, ' if mixed else ''}{mixed}{other}, {expected}"
    except OverflowError:
        return f"holds a number too large to be one, {expected}"
    if len(flat) != 3 * count:
        return f"is a list of {len(flat)} numbers, {expected}"
    if not all(abs(value) < LARGEST for value in flat):
        seen = [i for i in range(count) if flat[3 * i + 2] != 0]
        if not all(abs(flat[3 * i + j]) < LARGEST for i in seen for j in range(3)):
            return "has a keypoint that is no finite number"
    most = max(flat[2::3], default=0)
    if most > VISIBLE:
        return f"has a v of {most:g}, {expected}, with a v of 0, 1 or 2 behind each x and y"
    return ""


def _with_boxes(people: list[Row], path: str | Path, problems: Problems, notes: list[str]) -> list[Row]:
    """Everybody who has a box or keypoints that make one."""
    kept, made, nowhere, flat = [], [], [], []
    for row in people:
        box = row.get("bbox")
        nothing = box is None or box == [] or (isinstance(box, list) and all(v == 0 for v in box) and len(box) == 4)
        if nothing and "center" in row and "bbox" not in row:  # MPII's, of which the reader makes squares
            kept.append(row)
            continue
        if nothing:
            points = labelled_points(row)
            if points:
                row["bbox"] = extent(points)
                made.append(row["id"])
                if min(row["bbox"][2:]) <= 0:
                    flat.append(row["id"])
                kept.append(row)
            elif box:
                kept.append(row)  # a box of nothing: nobody to learn, as ever
            else:
                nowhere.append(row["id"])
            continue
        fault = _box_fault(box)
        if fault:
            what = f"annotation {row['id']}" if fault.startswith("has") else f"`bbox` of annotation {row['id']}"
            tell(problems, f"{path}: {what} {fault}")
            continue
        kept.append(row)
    if made:
        notes.append(
            f"{path}: {people_count(len(made))} no box ({listed(made)}): the extent of the labelled keypoints, "
            f"grown by {MARGIN:g} x sqrt(width x height), is taken"
        )
    if flat:
        what = f"the labelled keypoints of {listed(flat)} span no box"
        notes.append(f"{path}: {what}: they are left out of training; state `bbox`")
    if nowhere:
        notes.append(f"{path}: neither a box nor a labelled keypoint in {listed(nowhere)}: left out")
    return kept


def _box_fault(box: Any) -> str:
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(v) for v in box):
        if isinstance(box, list) and any(isinstance(v, str) for v in box):
            return f"is a list of {len(box)} with text, expected 4 numbers: x, y, width, height"
        if isinstance(box, list) and len(box) == 4 and all(isinstance(v, (int, float)) for v in box):
            return FINITE
        return f"is {shown(box)}, expected 4 numbers: x, y, width, height"
    return "has a box of negative size" if box[2] < 0 or box[3] < 0 else ""


def _areas(people: list[Row], path: str | Path, notes: list[str]) -> None:
    without, small = [], []
    for row in people:
        if "bbox" not in row:
            continue
        box = row["bbox"][2] * row["bbox"][3]
        if _is_number(row.get("area")) and row["area"] > LEAST_AREA * box:
            continue
        if _is_number(row.get("area")) and row["area"] > 0:
            small.append(row["id"])
        row["area"] = FILLED * box
        if not row["iscrowd"] and row["area"] > 0 and row["id"] not in small[-1:] and labelled_points(row):
            without.append(row["id"])
    if without:
        notes.append(f"{path}: {people_count(len(without))} {NO_AREA}: {FILLED:g} x the box is taken")
    if small:
        notes.append(
            f"{path}: the area of {listed(small)} is less than a thousandth of the box, as fractions of a picture "
            f"are: {FILLED:g} x the box is taken"
        )


def _refuse_fractions(people: list[Row], images: list[Row], path: str | Path, problems: Problems) -> bool:
    """Coordinates from 0 to 1, as YOLO has them, or to 100, as Label Studio has them, are no pixels. Whether that was
    told.
    """
    if any(min(image["width"], image["height"]) < 8 for image in images if "width" in image):
        return False
    extents = [max(row["bbox"][0] + row["bbox"][2], row["bbox"][1] + row["bbox"][3]) for row in people if "bbox" in row]
    points = [xy for row in people for xy in labelled_points(row)]
    boxes = bool(extents) and 0 < max(extents) <= FRACTION
    split = any(not float(v).is_integer() for xy in points for v in xy)
    fractions = max(map(max, points)) <= FRACTION and (boxes or split) if points else boxes
    if fractions:
        what = "boxes and keypoints" if boxes else "keypoints"
        tell(
            problems,
            f"{path}: all {what} lie between 0 and {FRACTION:g}, as fractions of the picture do: expected "
            "pixels; multiply x by the width and y by the height",
        )
    elif _is_percent(people, images, points):
        fractions = True
        tell(
            problems,
            f"{path}: all labels lie between 0 and 100 on pictures of {PICTURE_OF_PERCENT} pixels and more, as percent "
            "of the picture do: expected pixels; multiply x by the width and y by the height, and divide by 100",
        )
    return fractions


def _is_percent(people: list[Row], images: list[Row], points: list[list[float]]) -> bool:
    labelled = {row["image_id"] for row in people}
    sizes = [(image.get("width", 0), image.get("height", 0)) for image in images if image["id"] in labelled]
    boxes = [row["bbox"] for row in people if "bbox" in row]
    ends = points + [[x + w, y + h] for x, y, w, h in boxes]
    starts = points + [[x, y] for x, y, _, _ in boxes]
    if len(people) < PERCENT or not ends or min(map(min, sizes)) < PICTURE_OF_PERCENT:
        return False
    return min(map(min, starts)) >= 0 and all(50 < max(axis) <= 100 for axis in zip(*ends, strict=True))


def _refuse_other_boxes(people: list[Row], images: list[Row], path: str | Path, problems: Problems) -> None:
    people = [row for row in people if not row["iscrowd"]]
    fault = of_rows(people, images, list(map(labelled_points, people)))
    if fault:
        tell(problems, f"{path}: {fault}")


def _outlines(people: list[Row], path: str | Path, notes: list[str]) -> None:
    """Outlines that can be drawn; the others are left out."""
    broken = []
    for row in people:
        shape = row.get("segmentation")
        if not shape:
            continue
        if isinstance(shape, list):
            sound_ones = [p for p in shape if _is_polygon(p)]
            if len(sound_ones) < len(shape):
                broken.append(row["id"])
            row["segmentation"] = sound_ones
        elif not _is_mask(shape):
            broken.append(row["id"])
            row["segmentation"] = []
    if broken:
        notes.append(
            f"{path}: outlines (`segmentation`) of {listed(broken)} are no lists of x, y of three points or more, nor "
            "run lengths of their picture: left out"
        )


def _is_polygon(points: Any) -> bool:
    return isinstance(points, list) and len(points) >= 6 and len(points) % 2 == 0 and all(map(_is_number, points))


def _is_mask(shape: Any) -> bool:
    if not isinstance(shape, dict):
        return False
    counts, size = shape.get("counts"), shape.get("size")
    if isinstance(counts, str):
        return True  # compressed: nobody here reads it
    if not isinstance(counts, list) or not isinstance(size, list) or len(size) != 2:
        return False
    if not all(isinstance(v, int) and 0 <= v < 2**31 for v in (*counts, *size)):
        return False
    return sum(counts) == size[0] * size[1] < 2**28


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < LARGEST


def said(row: Row, key: str) -> str:
    """A field's value in an error."""
    return shown(row[key]) if key in row else "missing"
