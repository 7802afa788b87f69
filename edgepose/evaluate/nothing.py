"""A measurement of nothing is an error: labels without people, results of no labelled picture or of another size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgepose.data.sound import labelled_points

ALIKE = 0.1  # of the median: how far the ratios of results to labels may spread where all pictures had another size
APART = 0.15  # ratios this near to 1 are no other size
FEWEST = 3  # pictures from which a ratio is taken
FRACTION = 1.5  # results in pixels do not all lie within the first pixel and a half


def refuse_nobody(labels: dict[str, Any], keypoints: bool = True) -> None:
    """ValueError where nobody is labelled: with keypoints, or with a box."""
    people = [a for a in labels["annotations"] if not a.get("iscrowd")]
    if keypoints and not any(map(labelled_points, people)):
        what = f"none of its {len(people)} people has a labelled keypoint" if people else "it has no people"
        raise ValueError(
            f"nobody is labelled in {_name(labels)}: {what}, so there is nothing to measure; expected keypoints x, y, "
            "v with a v above 0"
        )
    if not people:
        raise ValueError(f"nobody is labelled in {_name(labels)}, so there is nothing to measure")


def refuse_unmatched(rows: Sequence[dict[str, Any]], labels: dict[str, Any], who: str, keypoints: bool = True) -> None:
    """ValueError where no result stands on a picture with somebody labelled.

    who: names the results in the error.
    """
    people = [a for a in labels["annotations"] if not a.get("iscrowd") and (not keypoints or labelled_points(a))]
    pictures = {a["image_id"] for a in people}
    if rows and any(row["image_id"] in pictures for row in rows):
        return
    what = f"its {len(rows)} results are on other pictures" if rows else "it has no result"
    raise ValueError(f"{who} has found nobody in the {len(pictures)} pictures with labelled people: {what}")


def refuse_other_sizes(rows: Sequence[dict[str, Any]], labels: dict[str, Any], who: str) -> None:
    """ValueError where all results look as if they had been made on pictures of another size than the labelled ones.

    Only to be asked where no result is near anybody.
    """
    middles, farthest = _middles(rows)
    if farthest <= FRACTION:
        raise ValueError(
            f"{who}: all keypoints lie between 0 and {FRACTION:g}, as fractions of the picture do: expected pixels of "
            f"the pictures in {_name(labels)}"
        )
    sizes = {i["id"]: (i["width"], i["height"]) for i in labels["images"] if "width" in i and "height" in i}
    known = [(middle, sizes[picture]) for picture, middle in middles.items() if picture in sizes]
    outside = sum(bool((middle > size).any() or (middle < 0).any()) for middle, size in known)
    if known and outside == len(known):
        raise ValueError(
            f"{who}: all results lie outside their pictures, whose sizes {_name(labels)} states: they were made on "
            "pictures of another size; make them again on these"
        )
    true: dict[Any, list[list[float]]] = defaultdict(list)
    for annotation in labels["annotations"]:
        if not annotation.get("iscrowd"):
            true[annotation["image_id"]] += labelled_points(annotation)
    common = [picture for picture in middles if true.get(picture)]
    if len(common) < FEWEST:
        return
    centers = np.array([np.mean(true[picture], axis=0) for picture in common])
    ratios = np.array([middles[picture] for picture in common]) / np.maximum(centers, 1)
    middle = np.median(ratios, axis=0)
    spread = np.median(np.abs(ratios - middle), axis=0)
    if (spread <= ALIKE * np.abs(middle)).all() and (np.abs(middle - 1) > APART).any():
        raise ValueError(
            f"{who}: results lie where people would be on pictures {middle[0]:.2f} times as wide and {middle[1]:.2f} "
            "times as high as the labelled ones: make them again on these pictures"
        )


def _middles(rows: Sequence[dict[str, Any]]) -> tuple[dict[Any, np.ndarray], float]:
    """Of every picture the middle (2,) of its best result, and the greatest coordinate of all results."""
    best: dict[Any, dict[str, Any]] = {}
    farthest = 0.0
    for row in rows:
        if row["image_id"] not in best or row["score"] > best[row["image_id"]]["score"]:
            best[row["image_id"]] = row
        points = row["keypoints"]
        farthest = max(farthest, *points[::3], *points[1::3])
    middles = {}
    for picture, row in best.items():
        points = np.array(row["keypoints"], np.float64).reshape(-1, 3)
        seen = points[points[:, 2] > 0] if (points[:, 2] > 0).any() else points
        middles[picture] = seen[:, :2].mean(axis=0)
    return middles, farthest


def _name(labels: dict[str, Any]) -> str:
    return str(labels.get("path", "the labels"))
