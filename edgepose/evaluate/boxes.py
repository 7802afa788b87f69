"""Average precision of person boxes: COCO's bbox protocol, for detectors.

The matching is hotcoco's, equal to pycocotools to six digits. All figures are fractions; -1 means undefined, as in
pycocotools (nobody of that size is labelled).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgepose.data.detection import boxed_categories
from edgepose.evaluate.labels import Labels, Row, read_labels, read_results

MIN_BOX_SCORE = 0.05  # AP looks at the whole curve; 0.3, the threshold of daily use, would cut its end off
AREAS = {"": 0, "S": 1, "M": 2, "L": 3}  # of COCO's: all, small, medium [32^2, 96^2], large


def box_ap(
    results: str | Path | Sequence[Row], annotations: str | Path | Labels, *, image_ids: Collection[int] | None = None
) -> dict[str, Any]:
    """AP AP50 AP75 APS APM APL AR, and how many images and people they stand on.

    Of the annotations only what a detector learns to find counts (`edgepose.data.detection.boxed_categories`): people
    where a category is called so, else what has keypoints, else everything. Crowds are no people to find, and whoever
    is found inside them is no mistake.

    Args:
        results: rows {image_id, category_id, bbox: x y w h, score}, or a file of them; rows of a category other than 1
            are left out, and 100 per picture count.
        image_ids: evaluate these pictures only, labels and results alike.
    """
    labels = _people(read_labels(annotations, image_ids))
    rows = [
        {"image_id": row["image_id"], "category_id": 1, "bbox": list(row["bbox"]), "score": row["score"]}
        for row in read_results(results, labels, image_ids, "bbox")
        if row.get("category_id", 1) == 1
    ]
    precision, recall = _curves(labels, rows)
    tables = {"AP": precision[..., 0], "AP50": precision[:1, ..., 0], "AP75": precision[5:6, ..., 0]}
    tables |= {f"AP{area}": precision[..., i] for area, i in AREAS.items() if area}
    tables["AR"] = recall[..., 0]
    means = {name: float(v[v > -1].mean()) if (v > -1).any() else -1.0 for name, v in tables.items()}
    people = sum(not a["iscrowd"] for a in labels["annotations"])
    return means | {"images": len(labels["images"]), "people": people}


def _people(labels: Labels) -> Labels:
    """The people alone, as category 1, with what the evaluation reads; ids from 1 (a match with id 0 would not count).

    An annotation without an area, as outside COCO, has that of its box.
    """
    named = boxed_categories(labels)
    chosen = [a for a in labels["annotations"] if a.get("category_id", 1) in named]
    people = []
    for i, annotation in enumerate(chosen, start=1):
        box = list(annotation.get("bbox") or [])
        if len(box) != 4:
            raise ValueError(f"annotation {annotation.get('id')} has the bbox {box}, expected x, y, w, h")
        people.append(
            {
                "id": i,
                "image_id": annotation["image_id"],
                "category_id": 1,
                "iscrowd": int(annotation.get("iscrowd") or 0),
                "bbox": box,
                "area": annotation.get("area", box[2] * box[3]),
            }
        )
    images = [{"id": image["id"]} for image in labels["images"]]  # other fields may be of any type
    return {"images": images, "annotations": people, "categories": [{"id": 1, "name": "person"}]}


def _curves(labels: Labels, rows: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Precision (thresholds, recalls, categories, areas) and recall (thresholds, categories, areas) of 100 boxes."""
    try:
        from hotcoco import COCO, COCOeval
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("average precision needs hotcoco: pip install edgepose[evaluate]") from error
    truth = COCO(labels)
    evaluation = COCOeval(truth, truth.load_res(rows), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    tables = evaluation.eval or {}
    return np.array(tables["precision"])[..., -1], np.array(tables["recall"])[..., -1]
