"""What looks wrong in labels though any reader takes it: boxes of nothing, too long limbs, forgotten people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgepose.data.people import People
from edgepose.geometry import area, iou

LONG = 3.0  # times the upper quartile of a limb's length, by the size of the person: longer is no posture
FEWEST = 10  # people who show a limb, before its lengths say anything
SHORTEST = 8.0  # pixels; shorter limbs are never too long
MISSED = 0.3  # IoU of a found box and every labelled one below which nobody labelled that person
COVERED = 0.5  # share of a found box inside a crowd above which it is of the crowd


def long_limbs(people: People) -> list[tuple[int, str]]:
    """(row, limb) of people of whom a limb is far longer, for their size, than that of the others.

    A limb seen from its end is short, and nobody's is long: only long ones are told. The size is that of the box, and
    of the keypoints' extent where a box is less than a pixel wide, which would make every limb long.
    """
    boxed = ((people.boxes[:, 2:] - people.boxes[:, :2]) >= 1).all(axis=1)
    sizes = np.sqrt(np.maximum(np.where(boxed, area(people.boxes), _extents(people)), 1))
    found = []
    for a, b in people.skeleton.limbs:
        rows = np.flatnonzero((people.visible[:, a] > 0) & (people.visible[:, b] > 0))
        if len(rows) < FEWEST:
            continue
        lengths = np.linalg.norm(people.keypoints[rows, a] - people.keypoints[rows, b], axis=1)
        shares = lengths / sizes[rows]
        usual = np.quantile(shares, 0.75)
        names = f"{people.skeleton.names[a]} to {people.skeleton.names[b]}"
        odd = (shares > LONG * usual) & (lengths > SHORTEST)
        found += [(int(row), names) for row in rows[odd]]
    return sorted(found)


def _extents(people: People) -> np.ndarray:
    """(P,) square pixels around the labelled keypoints of each."""
    seen = people.visible[..., None] > 0
    low, high = (np.where(seen, people.keypoints, end) for end in (np.inf, -np.inf))
    extents: np.ndarray = np.maximum(high.max(axis=1) - low.min(axis=1), 0).prod(axis=1) if len(people) else np.zeros(0)
    return extents


def tiny_boxes(boxes: np.ndarray) -> np.ndarray:
    """(N,) bool: boxes (N, 4) with a side of less than a pixel, but not of none."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return (sides > 0).all(axis=1) & (sides < 1).any(axis=1)


def missed(found: np.ndarray, people: People, picture: int) -> np.ndarray:
    """(N,) bool: boxes (N, 4) found on a picture that are like no labelled one, and not inside a crowd."""
    regions = people.unlabelled[people.unlabelled_picture == picture]
    crowds = people.crowd[people.unlabelled_picture == picture]
    known = np.concatenate([people.boxes[people.picture == picture], regions])
    alone: np.ndarray = np.ones(len(found), bool)
    if len(found) and len(known):
        alone &= (iou(found, known) < MISSED).all(axis=1)
    for x1, y1, x2, y2 in regions[crowds]:
        inside = np.clip(found, [x1, y1, x1, y1], [x2, y2, x2, y2])
        alone &= area(inside) < COVERED * np.maximum(area(found), 1)
    return alone


def unused_categories(content: dict[str, Any]) -> list[str]:
    """Categories of content in COCO's form that no annotation is of."""
    used = {row["category_id"] for row in content["annotations"]}
    return [f"{c['id']} ({c['name']})" for c in content["categories"] if c["id"] not in used]


def sorted_out(notes: Sequence[str], words: dict[str, str]) -> dict[str, list[str]]:
    """Sentences by the kind of finding they are of, told by a word in them; the rest under "notes"."""
    found: dict[str, list[str]] = {kind: [] for kind in (*words, "notes")}
    for note in notes:
        found[next((kind for kind, word in words.items() if word in note), "notes")].append(note)
    return found
