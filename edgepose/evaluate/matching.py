"""Who was found: COCO's matching of results to labels, kept per picture, so that figures of any part are quick.

hotcoco gives the headline figures; what it computes is kept here in the open, because resampling, strata and the
correction of errors need the pairs and their OKS. The rules are pycocotools' (`COCOeval.evaluateImg`, `accumulate`).
Letters: G people labelled in a picture, D found, A ranges of area, T thresholds, I pictures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edgepose.evaluate.coco import Protocol, prepared
from edgepose.evaluate.labels import Labels, Row, keypoints_in, read_labels, read_results, result_skeleton
from edgepose.oks import oks
from edgepose.skeleton import CROWDPOSE, WHOLEBODY, Skeleton

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
LARGEST = 1e5**2
RANGES = ((0, LARGEST), (32**2, 96**2), (96**2, LARGEST))  # all, medium, large
MOST_FOUND = 20


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture's people.

    labelled: (G, K, 2), visible: (G, K), areas: (G,), boxes: (G, 4) x y w h
    ignored:  (G,) crowds and people without keypoints, crowds: (G,)
    found:    (D, K, 2) best first, scores: (D,), rows: (D,) their places among all results
    stated:   areas of all results' own boxes, where they have them: they then are the results' sizes
    """

    image: Labels
    sigmas: np.ndarray
    labelled: np.ndarray
    visible: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray
    ignored: np.ndarray
    crowds: np.ndarray
    found: np.ndarray
    scores: np.ndarray
    rows: np.ndarray
    stated: np.ndarray | None = None

    @cached_property
    def similar(self) -> np.ndarray:
        """(D, G) OKS; of people without keypoints by the distance to their box, doubled in size, as COCO has it."""
        table = oks(self.labelled, self.found, self.areas, self.sigmas, self.visible).T
        for g in np.flatnonzero(~self.visible.any(axis=1)):
            low, high = self.boxes[g, :2] - self.boxes[g, 2:], self.boxes[g, :2] + 2 * self.boxes[g, 2:]
            apart = np.maximum(low - self.found, 0) + np.maximum(self.found - high, 0)  # (D, K, 2)
            exponents = (apart**2).sum(-1) / (2 * self.sigmas) ** 2 / (self.areas[g] + np.spacing(1)) / 2
            table[:, g] = np.exp(-exponents).mean(-1)
        return table

    @cached_property
    def found_areas(self) -> np.ndarray:
        """(D,) of the extent of all keypoints, as COCO's tool takes it for results without boxes."""
        if self.stated is not None:
            return self.stated[self.rows]
        if not len(self.found):
            return np.zeros(0)
        return np.prod(self.found.max(axis=1) - self.found.min(axis=1), axis=-1)

    def people(self) -> int:
        """Labelled people that count."""
        return int((~self.ignored).sum())


@dataclass(frozen=True, eq=False)
class Matches:
    """All results in the order of their pictures.

    person:  (A, T, D) index of the labelled person of its picture that a result belongs to, -1 without one
    ignored: (A, T, D) neither right nor wrong
    people:  (A, I) labelled people that count
    scores:  (D,), picture: (D,) index of the picture
    """

    person: np.ndarray
    ignored: np.ndarray
    people: np.ndarray
    scores: np.ndarray
    picture: np.ndarray

    @cached_property
    def _order(self) -> np.ndarray:
        return np.argsort(-self.scores, kind="stable")

    @cached_property
    def _right_wrong(self) -> tuple[np.ndarray, np.ndarray]:
        """(A, T, D) each, best score first."""
        matched, counts = self.person[..., self._order] >= 0, ~self.ignored[..., self._order]
        return matched & counts, ~matched & counts

    def curves(self, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean precision (A, T) over the recalls, and recall (A, T); NaN where nobody is labelled.

        weights: (I,) how often each picture counts: 0 leaves it out, 2 is as if it were there twice.
        """
        weights = np.ones(self.people.shape[1], np.int64) if weights is None else np.asarray(weights, np.int64)
        of_result = weights[self.picture[self._order]]  # (D,)
        kept = of_result > 0
        right, wrong = (np.cumsum(flags[..., kept] * of_result[kept], axis=-1) for flags in self._right_wrong)
        people = self.people @ weights  # (A,)
        recall = right / np.maximum(people, 1)[:, None, None]
        precision = right / (right + wrong + np.spacing(1))
        best = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]  # of this recall or a higher one
        means, reached = np.full(right.shape[:2], np.nan), np.full(right.shape[:2], np.nan)
        for a in np.flatnonzero(people):
            for t in range(right.shape[1]):
                places = np.searchsorted(recall[a, t], RECALLS)
                places = places[places < best.shape[-1]]
                means[a, t] = best[a, t, places].sum() / len(RECALLS)
                reached[a, t] = recall[a, t, -1] if recall.shape[-1] else 0.0
        return means, reached

    def figures(self, weights: np.ndarray | None = None) -> dict[str, float]:
        """AP AP50 AP75 APM APL AR of `RANGES` and `THRESHOLDS`; -1 where nobody is labelled."""
        precision, recall = self.curves(weights)
        means = {"AP": precision[0].mean(), "AP50": precision[0, 0], "AP75": precision[0, 5]}
        means |= {"APM": precision[1].mean(), "APL": precision[2].mean(), "AR": recall[0].mean()}
        return {name: -1.0 if np.isnan(value) else float(value) for name, value in means.items()}


def match(
    pictures: Sequence[Picture],
    thresholds: np.ndarray = THRESHOLDS,
    ranges: Sequence[tuple[float, float]] = RANGES,
) -> Matches:
    """Every result to at most one labelled person, best score first, for every range of area and threshold of OKS."""
    a, t = len(ranges), len(thresholds)
    people = np.zeros((a, len(pictures)), np.int64)
    persons, unscored = [np.zeros((a, t, 0), np.int64)], [np.zeros((a, t, 0), bool)]
    for i, picture in enumerate(pictures):
        ignored = np.stack([picture.ignored | _outside(picture.areas, limits) for limits in ranges])  # (A, G)
        people[:, i] = (~ignored).sum(axis=1)
        person = _matched(picture.similar, np.asarray(thresholds), ignored, picture.crowds)
        outside = np.stack([_outside(picture.found_areas, limits) for limits in ranges])[:, None]  # (A, 1, D)
        if len(picture.labelled):
            of_ignored = ignored[np.arange(a)[:, None, None], person]
            unscored.append(np.where(person >= 0, of_ignored, outside))
        else:
            unscored.append(np.broadcast_to(outside, person.shape))
        persons.append(person)
    counts = [len(picture.scores) for picture in pictures]
    scores = np.concatenate([np.zeros(0), *(picture.scores for picture in pictures)])
    return Matches(
        np.concatenate(persons, axis=-1),
        np.concatenate(unscored, axis=-1),
        people,
        scores,
        np.repeat(np.arange(len(pictures)), counts),
    )


def pictures_of(
    results: str | Path | Sequence[Row],
    annotations: str | Path | Labels,
    protocol: Protocol = "coco",
    *,
    image_ids: Collection[int] | None = None,
) -> tuple[list[Picture], Skeleton]:
    """Labels and results by picture, in the order of their ids, and the skeleton that they are compared in."""
    labels = read_labels(annotations, image_ids)
    rows = read_results(results, labels, image_ids)
    skeleton = {"crowdpose": CROWDPOSE, "wholebody": WHOLEBODY}.get(protocol) or result_skeleton(
        labels, keypoints_in(rows)
    )
    k = len(skeleton)
    if rows and len(rows[0]["keypoints"]) != 3 * k:
        raise ValueError(f"results of {len(rows[0]['keypoints']) // 3} keypoints do not fit {skeleton.name} ({k})")
    people = prepared(labels, k, use_area=protocol != "crowdpose")["annotations"]
    kinds = {person["category_id"] for person in people}
    if len(kinds) > 1:
        raise ValueError(f"the labels are of {len(kinds)} categories, a report is of one: keep the people only")
    by_image: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for person in people:
        by_image[person["image_id"]].append(person)
    rows_of: dict[Any, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        rows_of[row["image_id"]].append(index)
    points = np.array([row["keypoints"] for row in rows], np.float64).reshape(len(rows), k, 3)[..., :2]
    scores = np.array([row["score"] for row in rows], np.float64)
    images = sorted(labels["images"], key=lambda image: image["id"])
    pictures = [
        _picture(image, by_image[image["id"]], rows_of[image["id"]], points, scores, skeleton) for image in images
    ]
    if rows and rows[0].get("bbox"):
        stated = np.array([row["bbox"] for row in rows], np.float64)[:, 2:].prod(axis=1)
        pictures = [replace(picture, stated=stated) for picture in pictures]
    return pictures, skeleton


def _picture(
    image: Labels, people: list[dict[str, Any]], rows: list[int], points: np.ndarray, scores: np.ndarray,
    skeleton: Skeleton,
) -> Picture:  # fmt: skip
    n, k = len(people), len(skeleton)
    table = np.array([person["keypoints"] for person in people], np.float64).reshape(n, k, 3)
    crowds = np.array([bool(person["iscrowd"]) for person in people], bool)
    chosen = np.array(rows, np.int64)
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")[:MOST_FOUND]]
    return Picture(
        image,
        skeleton.sigmas,
        table[..., :2],
        table[..., 2] > 0,
        np.array([person["area"] for person in people], np.float64),
        np.array([person["bbox"] for person in people], np.float64).reshape(n, 4),
        crowds | np.array([person["num_keypoints"] == 0 for person in people], bool),
        crowds,
        points[chosen],
        scores[chosen],
        chosen,
    )


def with_found(picture: Picture, found: np.ndarray, scores: np.ndarray, rows: np.ndarray) -> Picture:
    """The same labels with other results, put in the order of their scores."""
    order = np.argsort(-scores, kind="stable")
    return replace(picture, found=found[order], scores=scores[order], rows=rows[order])


def _outside(areas: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return (areas < limits[0]) | (areas > limits[1])


def _matched(similar: np.ndarray, thresholds: np.ndarray, ignored: np.ndarray, crowds: np.ndarray) -> np.ndarray:
    """(A, T, D) index of the person, or -1. Those that count come before those ignored, whatever their OKS.

    Of equals the last is taken, and a crowd may be taken again.
    """
    (d, g), a, t = similar.shape, len(ignored), len(thresholds)
    person = np.full((a, t, d), -1, np.int64)
    if g == 0:
        return person
    least = np.minimum(thresholds, 1 - 1e-10)
    enough = (similar[:, None] >= least[None, :, None])[:, None]  # (D, 1, T, G)
    free = np.ones((a, t, g), bool)
    counted = ~ignored[:, None]  # (A, 1, G)
    backwards = similar[:, ::-1]
    for i in np.flatnonzero(enough.any(axis=(1, 2, 3))):
        possible = enough[i] & (free | crowds)
        preferred = possible & counted
        possible = np.where(preferred.any(axis=-1, keepdims=True), preferred, possible)
        best = g - 1 - np.where(possible[..., ::-1], backwards[i], -1).argmax(axis=-1)  # (A, T)
        hit = possible.any(axis=-1)
        person[..., i] = np.where(hit, best, -1)
        rows, columns = np.nonzero(hit)
        free[rows, columns, best[rows, columns]] = False
    return person
