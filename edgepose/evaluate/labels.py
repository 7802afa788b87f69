"""Annotation and result files as the metrics need them: COCO style, checked once, restricted to some pictures."""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgepose.data.coco import labelled_skeleton, subject_of
from edgepose.data.columns import NO_CHOICE, Choice, load_json
from edgepose.data.people import FILLED, People
from edgepose.data.read import READERS, loaded
from edgepose.data.sound import Notes, noted, sound, whole
from edgepose.evaluate.result_file import ResultFile, plain_results
from edgepose.skeleton import COCO, DEFAULT_SIGMA, WHOLEBODY, Skeleton, named_skeleton
from edgepose.skeleton_file import category_fields

Labels = dict[str, Any]  # images, annotations, categories
Row = dict[str, Any]  # image_id, keypoints, score and perhaps category_id, annotation_id

# The fields of COCO-WholeBody's annotations and result files, in the order of the skeleton.
PARTS = {
    "body": ("keypoints", 17),
    "foot": ("foot_kpts", 6),
    "face": ("face_kpts", 68),
    "lefthand": ("lefthand_kpts", 21),
    "righthand": ("righthand_kpts", 21),
}


def read_labels(
    source: str | Path | Labels,
    image_ids: Collection[int] | None = None,
    choice: Choice = NO_CHOICE,
    pictures: str | Path | None = None,
    annotated: bool = True,
) -> Labels:
    """An annotation file in any known format, or COCO-style content; only the pictures in `image_ids` where given.

    It is read and checked as for training (`edgepose.data.read`, `edgepose.data.sound`), and of several skeletons one
    stays, named in its categories (`edgepose.data.coco.subject_of`). `notes` says what was repaired or left out.

    Args:
        choice: of a file: which category, and what its keypoints are.
        pictures: of a file: tells which part of a YOLO data set is meant.
        annotated: False also takes a file without `annotations`, as of a test set.
    """
    if isinstance(source, (str, Path)):
        content = _of_file(source, choice, pictures, annotated)
    else:
        content = sound(source, "the given data", annotated=annotated, named=False)
    if image_ids is None:
        return content
    kept = set(image_ids)
    images = [image for image in content["images"] if image["id"] in kept]
    unknown = sorted(kept - {image["id"] for image in images})
    if unknown:
        raise ValueError(f"{_name(source)} has no pictures with the ids {unknown[:5]}: {len(unknown)} are unknown")
    return content | {"images": images, "annotations": [a for a in content["annotations"] if a["image_id"] in kept]}


def picture_ids(labels: Labels, source: str | Path) -> dict[str, int]:
    """{file name: id} of the pictures; ValueError where one lacks either, or a name stands for two."""
    ids: dict[str, int] = {}
    for i, image in enumerate(labels["images"]):
        name, identity = image.get("file_name"), image.get("id")
        if not isinstance(name, str) or not isinstance(identity, (int, float)) or identity != int(identity):
            raise ValueError(
                f"{source}: images[{i}] is {name!r} with id {identity!r}: expected a name and a whole number"
            )
        if ids.setdefault(name, int(identity)) != int(identity):
            raise ValueError(f"{source} names {name} twice, as {ids[name]} and {identity}: expected every picture once")
    return ids


def read_results(
    source: str | Path | Sequence[Row],
    labels: Labels,
    image_ids: Collection[int] | None = None,
    content: Literal["keypoints", "bbox"] = "keypoints",
    notes: list[str] | None = None,
) -> list[Row]:
    """Rows of a COCO result file, checked; rows of pictures outside `image_ids` are left out where given.

    Args:
        content: the field that holds the numbers, "keypoints" (x, y, score each) or "bbox" (x, y, w, h).
        notes: takes sentences about rows of other pictures, which are left out; without it, ValueError says them.
    """
    rows = load_json(source, kind="a COCO-style results file") if isinstance(source, (str, Path)) else list(source)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{_name(source)} is not a list of results: expected [{{image_id, {content}, score}}, ...]")
    fields = ["image_id", content, "score"]
    if rows and content != "bbox" and rows[0].get("bbox"):
        fields.append("bbox")  # then the sizes of all results are read from it
    if not _sound(rows, fields):
        _refuse_first(rows, fields, _name(source))
    if not all(type(row["image_id"]) is int for row in rows):
        rows = [row | {"image_id": _image_id(row["image_id"], i, source)} for i, row in enumerate(rows)]
    if image_ids is not None:
        kept = set(image_ids)
        rows = [row for row in rows if row["image_id"] in kept]
    known = {image["id"] for image in labels["images"]}
    strangers = [row["image_id"] for row in rows if row["image_id"] not in known]
    if strangers:
        what = f"{len(strangers)} rows of pictures that the annotations lack, such as {strangers[0]}"
        if notes is None or len(strangers) == len(rows):
            all_of = "nothing but " if len(strangers) == len(rows) else ""
            raise ValueError(f"{_name(source)} has {all_of}{what}: give the annotations that they were made for")
        notes.append(f"{_name(source)} has {what}: they are left out")
        rows = [row for row in rows if row["image_id"] in known]
    if content == "keypoints":
        rows = _of_categories(rows, labels, _name(source), [] if notes is None else notes)
    lengths = {len(row[content]) for row in rows}
    sides = {len(row["bbox"]) for row in rows} if "bbox" in fields else set()
    if sides - {4}:
        raise ValueError(f"{_name(source)} has boxes of {sorted(sides)} numbers, expected x, y, w, h")
    if content == "keypoints" and (len(lengths) > 1 or any(n % 3 for n in lengths)):
        raise ValueError(f"{_name(source)} has rows of {sorted(lengths)} numbers, expected x, y, score per keypoint")
    return rows


def checked_results(
    source: str | Path | Sequence[Row],
    labels: Labels,
    image_ids: Collection[int] | None = None,
    notes: list[str] | None = None,
) -> list[Row] | ResultFile:
    """As `read_results`, but a file that is certainly sound stays one, for hotcoco to read."""
    if isinstance(source, (str, Path)) and image_ids is None and Path(source).is_file():
        known = {category["id"] for category in labels["categories"]}
        found = plain_results(Path(source), {image["id"] for image in labels["images"]}, known)
        if found is not None:
            return found
    return read_results(source, labels, image_ids, notes=notes)


def _image_id(value: Any, row: int, source: object) -> int:
    identity = whole(value)
    if identity is None:
        raise ValueError(f"{_name(source)}: row {row} has the image_id {str(value)[:40]!r}, expected a whole number")
    return identity


def _of_categories(rows: list[Row], labels: Labels, name: str, notes: list[str]) -> list[Row]:
    """The rows of the labels' categories; where both sides have just one, they are the same."""
    known = {category["id"] for category in labels["categories"]}
    stated = {whole(row["category_id"]) for row in rows if row.get("category_id") is not None}
    if len(known) == 1 and (only := next(iter(known))) not in stated and len(stated) <= 1:
        if stated:
            notes.append(f"{name} has results of category {stated.pop()}: taken for the labels' only one, {only}")
        return [row | {"category_id": only} for row in rows]
    kept = [row for row in rows if whole(row.get("category_id", 1)) in known]
    if len(kept) < len(rows):
        others = ", ".join(str(category) for category in sorted(stated - known, key=str)[:5])
        what = f"results of category {others}, the labels have {', '.join(map(str, sorted(known)))}"
        if not kept:
            raise ValueError(f"{name} has nothing but {what}: nothing to measure")
        notes.append(f"{name} has {len(rows) - len(kept)} {what}: they are left out")
    return kept


def keypoints_in(rows: Sequence[Row] | ResultFile) -> int | None:
    """How many keypoints each result has; None where there is no result."""
    if isinstance(rows, ResultFile):
        return rows.keypoints
    return len(rows[0]["keypoints"]) // 3 if rows else None


def labels_of(people: People) -> Labels:
    """People of any format as COCO-style labels; regions without labelled keypoints become crowds and nobody.

    Pictures keep the sizes that the file states. `head_size` is PCKh's, where the file tells it.
    """
    k = len(people.skeleton)
    points = np.concatenate([people.keypoints, people.codes[..., None]], axis=-1).reshape(len(people), 3 * k)
    boxes = np.concatenate([people.boxes[:, :2], people.boxes[:, 2:] - people.boxes[:, :2]], axis=1)
    regions = np.concatenate([people.unlabelled[:, :2], people.unlabelled[:, 2:] - people.unlabelled[:, :2]], axis=1)
    images: list[dict[str, Any]] = []
    for (_, name), identity, (w, h), index in zip(
        people.files, people.image_ids.tolist(), people.sizes.tolist(), people.crowding.tolist(), strict=True
    ):
        image = {"id": identity, "file_name": name} | ({"width": w, "height": h} if w and h else {})
        images.append(image | ({} if math.isnan(index) else {"crowdIndex": index}))
    annotations = [
        {
            "id": int(people.ids[i]), "image_id": images[people.picture[i]]["id"], "iscrowd": 0,
            "category_id": int(people.category[i]) + 1, "bbox": boxes[i].tolist(), "area": float(people.areas[i]),
            "keypoints": points[i].tolist(), "num_keypoints": int((points[i, 2::3] > 0).sum()),
        } | ({} if np.isnan(people.heads[i]) else {"head_size": float(people.heads[i])})
        for i in range(len(people))
    ]  # fmt: skip
    first = int(people.ids.max(initial=0)) + 1
    annotations += [
        {
            "id": first + i, "image_id": images[people.unlabelled_picture[i]]["id"], "iscrowd": int(people.crowd[i]),
            "category_id": 1, "bbox": region.tolist(), "area": float(FILLED * region[2] * region[3]),
            "keypoints": [0.0] * 3 * k, "num_keypoints": 0,
        }
        for i, region in enumerate(regions)
    ]  # fmt: skip
    fields = category_fields(people.skeleton)
    categories = [{"id": i, "name": name, **fields} for i, name in enumerate(people.categories, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories, "notes": Notes(people.notes)}


def skeleton_of(labels: Labels) -> Skeleton | None:
    """The skeleton that the annotations follow, as their categories name it; None where they name no keypoints and
    have none of a known number.
    """
    rows = labels["annotations"]
    named = [category for category in labels.get("categories") or () if category.get("keypoints")]
    if not named and not any("foot_kpts" in row for row in rows[:100]):
        found = labelled_skeleton({}, rows, "the labels")
        return found if found is not None and found.built_in and found is not COCO else None
    return labelled_skeleton(named[0] if named else {}, rows, "the labels")


def without_keypoints(labels: Labels, names: Collection[str]) -> Labels:
    """The labels as if nobody had labelled these keypoints of their skeleton."""
    skeleton = skeleton_of(labels)
    if skeleton is None or not names:
        return labels
    fields = list(PARTS.values()) if skeleton is WHOLEBODY else [("keypoints", len(skeleton))]
    gone = np.isin(skeleton.names, list(names))
    annotations = []
    for annotation in labels["annotations"]:
        points = np.array(keypoints_of(annotation, len(skeleton)), np.float64).reshape(-1, 3)
        points[gone] = 0
        parts = np.split(points, np.cumsum([n for _, n in fields])[:-1])
        changed = {field: part.ravel().tolist() for (field, _), part in zip(fields, parts, strict=True)}
        annotations.append(annotation | changed | {"num_keypoints": int((parts[0][:, 2] > 0).sum())})
    return labels | {"annotations": annotations}


def result_skeleton(labels: Labels, k: int | None) -> Skeleton:
    """The skeleton of the results, to which the annotations are cut.

    It is the annotations' own, or the one that their first keypoints make up (LSPET's 19 begin with COCO's 17). Where
    they name no known keypoints, 17 are taken for COCO's, as pycocotools does.

    Args:
        k: keypoints of the results; None without results.
    """
    skeleton = skeleton_of(labels)
    if skeleton is None:
        counts = {len(person.get("keypoints") or ()) // 3 for person in labels["annotations"][:1]} if k is None else {k}
        if counts - {len(COCO)}:
            raise ValueError("the annotations name no known keypoints: pass sigmas, one per keypoint")
        return COCO
    k = len(skeleton) if k is None else k
    cut = skeleton if k == len(skeleton) else named_skeleton(skeleton.names[:k])
    if cut is None:
        raise ValueError(f"results of {k} keypoints do not fit annotations of {skeleton.name} ({len(skeleton)})")
    return cut


def keypoints_of(annotation: Labels, k: int) -> list[float]:
    """The first k labelled points x, y, v of a person; zeros where nothing is labelled."""
    if k == len(WHOLEBODY):
        points = [v for field, n in PARTS.values() for v in annotation.get(field) or [0.0] * 3 * n]
    else:
        points = annotation.get("keypoints") or [0.0] * 3 * k
    if len(points) < 3 * k:
        raise ValueError(f"annotation {annotation.get('id')} has {len(points)} numbers, expected {3 * k}: x, y, v each")
    return points[: 3 * k]


def _sound(rows: Sequence[Row], fields: Sequence[str]) -> bool:
    """Whether every row has the fields and nothing but finite numbers in them; columns are quicker than rows."""
    try:
        columns = [[row[field] for row in rows] for field in fields if field not in ("image_id", "score")]
        flat = [array("d", chain.from_iterable(column)) for column in columns]
        flat.append(array("d", [row["score"] for row in rows]))
    except (KeyError, TypeError, OverflowError):
        return False
    return all(np.isfinite(numbers).all() for numbers in flat) and all("image_id" in row for row in rows)


def _refuse_first(rows: Sequence[Row], fields: Sequence[str], name: str) -> None:
    """Raise about the first row that is wrong."""
    for i, row in enumerate(rows):
        missing = [field for field in fields if field not in row]
        if missing:
            raise ValueError(f"{name}: row {i} lacks {missing}, expected {', '.join(fields[:-1])} and {fields[-1]}")
        if not _sound([row], fields):
            raise ValueError(f"{name}: row {i} (picture {row['image_id']}) holds what is not a finite number")


def _of_file(path: str | Path, choice: Choice, pictures: str | Path | None, annotated: bool) -> Labels:
    kind, content = loaded(path, pictures=pictures, annotated=annotated)
    if kind != "coco":
        return labels_of(READERS[kind](content, path, None, None, choice))
    if any(person["keypoints"] or "foot_kpts" in person for person in content["annotations"]):
        content = _of_subject(content, path, choice)
    return content


def _of_subject(content: Labels, path: str | Path, choice: Choice) -> Labels:
    """The annotations of one skeleton, with what it is in their categories."""
    people = content["annotations"]
    subject = subject_of(content, people, path, choice)
    kinds = subject.categories
    listed = [category for category in content["categories"] if category["id"] in kinds]
    if not subject.stated:
        listed = [category | category_fields(subject.skeleton) for category in listed]
    people = [person for person in people if person["category_id"] in kinds]
    notes = list(subject.notes)
    if not subject.skeleton.built_in and set(subject.skeleton.oks_sigmas) == {DEFAULT_SIGMA}:
        notes.append(
            f"{path}: AP counts with a sigma of {DEFAULT_SIGMA} for every keypoint, as nobody states any: compare it "
            "with figures of the same sigmas alone"
        )
    return noted(content, notes) | {"annotations": people, "categories": listed}


def _name(source: object) -> str:
    return str(source) if isinstance(source, (str, Path)) else "the given data"
