"""Average precision by object keypoint similarity: the COCO, CrowdPose and COCO-WholeBody protocols.

The matching is hotcoco's, equal to pycocotools to six digits. All figures are fractions; -1 means undefined, as in
pycocotools (nobody of that size is labelled).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgepose.data.people import FILLED
from edgepose.evaluate.labels import (
    PARTS,
    Labels,
    Row,
    checked_results,
    keypoints_in,
    keypoints_of,
    read_labels,
    read_results,
    result_skeleton,
)
from edgepose.evaluate.result_file import ResultFile
from edgepose.skeleton import CROWDPOSE, WHOLEBODY

Figures = dict[str, Any]
AREAS = {"": 0, "M": 1, "L": 2}  # of COCO's: all, medium [32^2, 96^2], large
OF_IMAGES = ("id", "width", "height", "crowdIndex")
# By crowdIndex, as the official tool splits them (its paper says 0.1 and 0.8).
CROWD_LEVELS = {"AP_easy": (-np.inf, 0.2), "AP_medium": (0.2, 0.8), "AP_hard": (0.8, np.inf)}


def coco_ap(
    results: str | Path | Sequence[Row],
    annotations: str | Path | Labels,
    *,
    sigmas: np.ndarray | None = None,
    use_area: bool = True,
    image_ids: Collection[int] | None = None,
) -> Figures:
    """AP AP50 AP75 APM APL AR AR50 AR75 ARM ARL, and how many images and people they stand on.

    Args:
        results: rows {image_id, keypoints: x y score each, score}, or a file of them; 20 per picture count.
        sigmas: (K,) fall-off per keypoint; by default those of the skeleton that the annotations name.
        use_area: False takes 0.53 x box for the area of a person, as is done for files that state no areas.
        image_ids: evaluate these pictures only, labels and results alike.
    """
    labels = read_labels(annotations, image_ids)
    rows = checked_results(results, labels, image_ids)
    sigmas = result_skeleton(labels, keypoints_in(rows)).sigmas if sigmas is None else np.asarray(sigmas, np.float64)
    labels = prepared(labels, len(sigmas), use_area)
    return _figures(*_curves(labels, rows, sigmas)) | _counts(labels)


def crowdpose_ap(
    results: str | Path | Sequence[Row], annotations: str | Path | Labels, *, image_ids: Collection[int] | None = None
) -> Figures:
    """As `coco_ap` with 0.53 x box for the area, and AP_easy, AP_medium, AP_hard by the pictures' `crowdIndex`.

    The three are the official tool's: the mean over the precision table with its -1 entries, to four decimals.
    APM, APL, ARM and ARL (by size of the person, as COCO's) are not part of the protocol.
    """
    labels = prepared(read_labels(annotations, image_ids), len(CROWDPOSE), use_area=False)
    rows = checked_results(results, labels, image_ids)
    figures = _figures(*_curves(labels, rows, CROWDPOSE.sigmas)) | _counts(labels)
    if not all("crowdIndex" in image for image in labels["images"]):
        return figures
    for name, (low, high) in CROWD_LEVELS.items():
        kept = [image["id"] for image in labels["images"] if low <= image["crowdIndex"] < high]
        precision, _ = _curves(labels, rows, CROWDPOSE.sigmas, kept)
        figures[name] = round(float(precision[..., 0].mean()), 4)
    return figures


def wholebody_ap(
    results: str | Path | Sequence[Row], annotations: str | Path | Labels, *, image_ids: Collection[int] | None = None
) -> Figures:
    """The figures of all 133 keypoints, and under `parts` those of body, foot, face, lefthand and righthand.

    Rows hold 133 keypoints in `keypoints`, or the five fields of COCO-WholeBody's result files. A person without a
    labelled keypoint in a part is ignored for that part.
    """
    labels = read_labels(annotations, image_ids)
    given = results if isinstance(results, (str, Path)) else [_joined(row) for row in results]
    rows = [_joined(row) for row in read_results(given, labels, image_ids)]
    k = len(WHOLEBODY)
    if any(len(row["keypoints"]) != 3 * k for row in rows):
        raise ValueError(f"expected rows of {k} keypoints, or of {', '.join(field for field, _ in PARTS.values())}")
    labels = prepared(labels, k, use_area=True)
    figures = _figures(*_curves(labels, rows, WHOLEBODY.sigmas)) | _counts(labels) | {"parts": {}}
    first = 0
    for name, (_, n) in PARTS.items():
        part = slice(3 * first, 3 * (first + n))
        of_part = labels | {"annotations": [_cut(a, part) for a in labels["annotations"]]}
        cut_rows = [row | {"keypoints": row["keypoints"][part]} for row in rows]
        curves = _curves(of_part, cut_rows, WHOLEBODY.sigmas[first : first + n])
        figures["parts"][name] = _figures(*curves) | _counts(of_part)
        first += n
    return figures


Protocol = Literal["coco", "crowdpose", "wholebody"]
PROTOCOLS: dict[Protocol, Callable[..., Figures]] = {
    "coco": coco_ap,
    "crowdpose": crowdpose_ap,
    "wholebody": wholebody_ap,
}


def prepared(labels: Labels, k: int, use_area: bool) -> Labels:
    """Only what the evaluation reads: k keypoints, area, and ids from 1 (a match with id 0 would count as none)."""
    people = []
    for i, annotation in enumerate(labels["annotations"], start=1):
        points, box = keypoints_of(annotation, k), annotation.get("bbox", [0.0] * 4)
        count = sum(v > 0 for v in points[2::3])
        if len(annotation.get("keypoints") or ()) == 3 * k:  # else the stated count is of other keypoints
            count = annotation.get("num_keypoints", count)
        person = {
            "id": i,
            "image_id": annotation["image_id"],
            "category_id": annotation["category_id"],
            "iscrowd": annotation["iscrowd"],
            "bbox": box,
            "area": annotation.get("area", 0.0) if use_area else FILLED * box[2] * box[3],
            "keypoints": points,
            "num_keypoints": count,
        }
        people.append(person)
    images = [{key: image[key] for key in OF_IMAGES if key in image} for image in labels["images"]]
    categories = [{"id": category["id"], "name": category["name"]} for category in labels["categories"]]
    return {"images": images, "annotations": people, "categories": categories}


def _cut(annotation: Labels, part: slice) -> Labels:
    points = annotation["keypoints"][part]
    return annotation | {"keypoints": points, "num_keypoints": sum(v > 0 for v in points[2::3])}


def _joined(row: Row) -> Row:
    if not all(field in row for field, _ in PARTS.values()):
        return row
    rest = {key: row[key] for key in ("image_id", "category_id", "score") if key in row}
    return rest | {"keypoints": [v for field, _ in PARTS.values() for v in row[field]]}


def _curves(
    labels: Labels, rows: Sequence[Row] | ResultFile, sigmas: np.ndarray, image_ids: Sequence[int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Precision (thresholds, recalls, categories, areas) and recall (thresholds, categories, areas).

    image_ids: the pictures that count, where not all of the labels do.
    """
    if image_ids is not None and not image_ids:
        return np.full((10, 101, 1, 3), -1.0), np.full((10, 1, 3), -1.0)
    try:
        from hotcoco import COCO, COCOeval
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("average precision needs hotcoco: pip install edgepose[evaluate]") from error
    k = keypoints_in(rows)
    if k is not None and k != len(sigmas):
        raise ValueError(f"results of {k} keypoints do not fit {len(sigmas)} sigmas")
    truth = COCO(
        {
            "images": [{"id": image["id"]} for image in labels["images"]],  # other fields may be of any type
            "annotations": labels["annotations"],
            "categories": [{"id": c["id"], "name": str(c.get("name", ""))} for c in labels["categories"]],
        }
    )
    if isinstance(rows, ResultFile):
        try:
            found = truth.load_res(str(rows.path))
        except ValueError:  # numbers that are none: whoever reads row by row can say where
            return _curves(labels, read_results(rows.path, labels), sigmas, image_ids)
    else:
        found = truth.load_res(_detections(rows))
    evaluation = COCOeval(truth, found, "keypoints")
    parameters = evaluation.params
    parameters.kpt_oks_sigmas = sigmas.tolist()
    if image_ids is not None:
        parameters.img_ids = list(image_ids)
    evaluation.params = parameters
    evaluation.evaluate()
    evaluation.accumulate()
    tables = evaluation.eval or {}
    return np.array(tables["precision"])[..., 0], np.array(tables["recall"])[..., 0]


def _detections(rows: Sequence[Row]) -> list[Row]:
    """What the evaluation reads of results. Boxes, where the first has one, give their sizes, as in pycocotools."""
    boxed = bool(rows) and bool(rows[0].get("bbox"))
    columns = ("image_id", "category_id", "keypoints", "score", "bbox")[: 5 if boxed else 4]
    return [{key: row.get(key, 1) for key in columns} for row in rows]


def _figures(precision: np.ndarray, recall: np.ndarray) -> Figures:
    figures: Figures = {}
    for name, table in (("AP", precision), ("AR", recall)):
        whole = table[..., 0]
        values = {name: whole, f"{name}50": whole[:1], f"{name}75": whole[5:6]}
        values |= {f"{name}{area}": table[..., i] for area, i in AREAS.items() if area}
        figures |= {key: float(v[v > -1].mean()) if (v > -1).any() else -1.0 for key, v in values.items()}
    return figures


def _counts(labels: Labels) -> Figures:
    people = sum(not a["iscrowd"] and a["num_keypoints"] > 0 for a in labels["annotations"])
    return {"images": len(labels["images"]), "people": people}
