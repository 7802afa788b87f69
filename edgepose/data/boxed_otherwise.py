"""Boxes that are not x, y, width, height in pixels, or keypoints that are no pixels: told by whether the two fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgepose.data.columns import Row

SLACK = 0.1  # of the longer side: keypoints this far outside their box are still of it
FEWEST = 3  # people of whom a file can be judged
HELD = 0.8  # share of somebody's labelled keypoints that a box has to hold
MOST = 0.5  # share of the people whose boxes are wrong, above which all are
Corners = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (N, 4) boxes, (N, 2) sizes of pictures -> x1, y1, x2, y2
# (K, 2) keypoints of somebody, their box x, y, w, h, the size of their picture -> (K, 2) in pixels
Placed = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

# What boxes may be instead, the likeliest first.
READINGS: dict[str, Corners] = {
    "middle x, middle y, width, height": lambda b, _: np.hstack([b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2]),
    "fractions of the picture": lambda b, s: np.hstack([b[:, :2] * s, (b[:, :2] + b[:, 2:]) * s]),
    "percent of the picture": lambda b, s: np.hstack([b[:, :2] * s, (b[:, :2] + b[:, 2:]) * s]) / 100,
    "corners x1, y1, x2, y2": lambda b, _: b,
}
# What keypoints may be instead, where it is the boxes that are right.
POINTS: dict[str, Placed] = {
    "percent of the picture": lambda own, _, size: own * size / 100,
    "counted from the corner of the box": lambda own, box, _: box[:2] + own,
}


def boxed_otherwise(boxes: np.ndarray, points: Sequence[np.ndarray], sizes: np.ndarray) -> str:
    """What is wrong with the boxes or keypoints of most people, and what they seem to be; "" where nothing is.

    They are wrong where the boxes of most people do not hold their labelled keypoints, and all would if the four
    numbers of the boxes, or else the keypoints, were something else. Boxes are corners where those of most people would
    leave the picture, and every one, taken as corners, does not and holds its keypoints.

    Args:
        boxes: (N, 4) x, y, width, height, of people with labelled keypoints.
        points: of everybody (K, 2) labelled keypoints.
        sizes: (N, 2) width and height of their pictures, 0 where unknown.
    """
    if len(boxes) < FEWEST:
        return ""
    fit = _fitting(np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]), points)
    apart = int((~fit).sum())
    known = bool((sizes > 0).all())
    if apart > MOST * len(boxes):
        readings = READINGS if known else {k: f for k, f in READINGS.items() if "of the picture" not in k}
        likely = [words for words, corners in readings.items() if _fitting(corners(boxes, sizes), points).all()]
        if likely:
            return (
                f"the boxes of {apart} of {len(boxes)} people do not hold their labelled keypoints, and would if they "
                f"were {likely[0]}: expected `bbox` as x, y, width, height in pixels"
            )
        corners = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
        for words, placed in POINTS.items():
            moved = [placed(own, box, size) for own, box, size in zip(points, boxes, sizes, strict=True)]
            if (known or "of the picture" not in words) and _fitting(corners, moved).all():
                return (
                    f"the labelled keypoints of {apart} of {len(boxes)} people lie outside their boxes, and would not "
                    f"if they were {words}: expected x and y in pixels of the picture"
                )
    leaves = (boxes[:, :2] + boxes[:, 2:] > sizes + 1).any(axis=1)
    inside = (boxes[:, 2:] > boxes[:, :2]).all() and (boxes[:, 2:] <= sizes + 1).all()
    if known and leaves.sum() > MOST * len(boxes) and inside and _fitting(boxes, points).all():
        return (
            f"the boxes of {int(leaves.sum())} of {len(boxes)} people leave their picture, and would not if they were "
            "corners x1, y1, x2, y2: expected `bbox` as x, y, width, height"
        )
    return ""


def of_rows(people: Sequence[Row], images: Sequence[Row], points: Sequence[Sequence[Sequence[float]]]) -> str:
    """`boxed_otherwise` of annotations, with their labelled keypoints, and pictures in COCO's form."""
    of = {image["id"]: (image.get("width", 0), image.get("height", 0)) for image in images}
    rows = [
        (row["bbox"], np.array(own, np.float64), of[row["image_id"]])
        for row, own in zip(people, points, strict=True)
        if own and "bbox" in row and min(row["bbox"][2:]) > 0
    ]
    if not rows:
        return ""
    boxes, labelled, sizes = zip(*rows, strict=True)
    return boxed_otherwise(np.array(boxes, np.float64), labelled, np.array(sizes, np.float64))


def _fitting(corners: np.ndarray, points: Sequence[np.ndarray]) -> np.ndarray:
    """(N,) bool: HELD or more of the points of each lie in its box x1, y1, x2, y2, or near it."""
    slack = SLACK * (corners[:, 2:] - corners[:, :2]).max(axis=1)
    return np.array(
        [
            ((own >= box[:2] - near) & (own <= box[2:] + near)).all(axis=1).mean() >= HELD
            for own, box, near in zip(points, corners, slack, strict=True)
        ]
    )
