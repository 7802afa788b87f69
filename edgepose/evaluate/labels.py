"""Annotation and result files as the metrics need them: COCO style, checked once, restricted to some pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from edgepose.skeleton import COCO, WHOLEBODY, Skeleton, named_skeleton

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


def read_labels(source: str | Path | Labels, image_ids: Collection[int] | None = None) -> Labels:
    """A COCO-style annotation file, or what was read from one; only the pictures in `image_ids` where given."""
    content = _read_json(source) if isinstance(source, (str, Path)) else source
    if not isinstance(content, dict) or not {"images", "annotations"} <= set(content):
        raise ValueError(f"{_name(source)} lacks `images` or `annotations`: expected a COCO-style annotation file")
    if image_ids is None:
        return content
    kept = set(image_ids)
    images = [image for image in content["images"] if image["id"] in kept]
    unknown = sorted(kept - {image["id"] for image in images})
    if unknown:
        raise ValueError(f"{_name(source)} has no pictures with the ids {unknown[:5]}: {len(unknown)} are unknown")
    return content | {"images": images, "annotations": [a for a in content["annotations"] if a["image_id"] in kept]}


def read_results(
    source: str | Path | Sequence[Row],
    labels: Labels,
    image_ids: Collection[int] | None = None,
    content: str = "keypoints",
) -> list[Row]:
    """Rows of a COCO result file, checked; rows of pictures outside `image_ids` are left out where given.

    content: the field that holds the numbers, "keypoints" (x, y, score each) or "bbox" (x, y, w, h).
    """
    rows = _read_json(source) if isinstance(source, (str, Path)) else list(source)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{_name(source)} is not a list of results: expected [{{image_id, {content}, score}}, ...]")
    for i, row in enumerate(rows):
        missing = [key for key in ("image_id", content, "score") if key not in row]
        if missing:
            raise ValueError(f"{_name(source)}: row {i} lacks {missing}, expected image_id, {content} and score")
        try:
            finite = math.isfinite(row["score"]) and all(map(math.isfinite, row[content]))
        except TypeError:
            finite = False
        if not finite:
            raise ValueError(f"{_name(source)}: row {i} (picture {row['image_id']}) holds what is not a finite number")
    if image_ids is not None:
        kept = set(image_ids)
        rows = [row for row in rows if row["image_id"] in kept]
    known = {image["id"] for image in labels["images"]}
    strangers = [row["image_id"] for row in rows if row["image_id"] not in known]
    if strangers:
        raise ValueError(
            f"{_name(source)} has {len(strangers)} rows of pictures that the annotations lack, such as {strangers[0]}: "
            "give the annotations that they were made for"
        )
    lengths = {len(row[content]) for row in rows}
    if content == "bbox" and lengths - {4}:
        raise ValueError(f"{_name(source)} has boxes of {sorted(lengths)} numbers, expected x, y, w, h")
    if content == "keypoints" and (len(lengths) > 1 or any(n % 3 for n in lengths)):
        raise ValueError(f"{_name(source)} has rows of {sorted(lengths)} numbers, expected x, y, score per keypoint")
    return rows


def skeleton_of(labels: Labels) -> Skeleton | None:
    """The skeleton that the annotations follow, by their categories' keypoint names; None where they name none."""
    if any("foot_kpts" in annotation for annotation in labels["annotations"][:1]):
        return WHOLEBODY
    for category in labels.get("categories", ()):
        found = named_skeleton(category.get("keypoints", ()))
        if found is not None:
            return found
    return None


def result_skeleton(labels: Labels, rows: Sequence[Row]) -> Skeleton:
    """The skeleton of the results, to which the annotations are cut.

    It is the annotations' own, or the one that their first keypoints make up (LSPET's 19 begin with COCO's 17). Where
    they name no known keypoints, 17 are taken for COCO's, as pycocotools does.
    """
    skeleton = skeleton_of(labels)
    if skeleton is None:
        of_whom = rows[:1] or labels["annotations"][:1]
        if any(len(person.get("keypoints") or ()) != 3 * len(COCO) for person in of_whom):
            raise ValueError("the annotations name no known keypoints: pass sigmas, one per keypoint")
        return COCO
    k = len(rows[0]["keypoints"]) // 3 if rows else len(skeleton)
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


def _read_json(path: str | Path) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist: expected a COCO-style JSON file") from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): expected a COCO-style file") from error


def _name(source: object) -> str:
    return str(source) if isinstance(source, (str, Path)) else "the given data"
