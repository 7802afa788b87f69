"""COCO-SinglePerson: the pictures of a COCO-style file on which one person is all there is."""

from __future__ import annotations

from typing import Any

from edgepose.data.columns import rows_of


def single_person(content: Any, path: object) -> dict[str, Any]:
    """A COCO-style file cut to pictures with exactly one annotation, of a person with labelled keypoints, no crowd.

    RTMPose's COCO-SinglePerson has 1,045 pictures of COCO val2017 (Jiang et al., 2023, section 4); its rule was never
    published, so this one need not give the same list. Everything else in the file stays as it is.
    """
    if not isinstance(content, dict) or not {"images", "annotations"} <= set(content):
        raise ValueError(f"{path} lacks `images` or `annotations`: expected a COCO-style annotation file")
    images, annotations = rows_of(content, "images", str(path)), rows_of(content, "annotations", str(path))
    count: dict[Any, int] = {}
    for row in annotations:
        count[row.get("image_id")] = count.get(row.get("image_id"), 0) + 1
    single = [row for row in annotations if count[row.get("image_id")] == 1]
    alone = [row for row in single if not row.get("iscrowd") and _labelled(row)]
    kept = {row.get("image_id") for row in alone}
    return content | {"images": [image for image in images if image.get("id") in kept], "annotations": alone}


def _labelled(row: dict[str, Any]) -> bool:
    points = row.get("keypoints")
    return isinstance(points, list) and any(points[2::3])
