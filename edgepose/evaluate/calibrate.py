"""What scores are worth on labelled pictures: fitting a `Calibration`, and how well one holds on other pictures.

Isotonic regression (pool adjacent violators: Ayer et al., 1955) finds the rising steps that are nearest to what was
right and wrong; a line through the middles of the steps keeps everybody's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from edgepose.evaluate.coco import coco_ap
from edgepose.evaluate.labels import Labels, Row, without_keypoints
from edgepose.evaluate.matching import LARGEST, Picture, match, pictures_of
from edgepose.evaluate.measures import Described, Progress, comparable, prepared, quiet
from edgepose.evaluate.nothing import refuse_nobody
from edgepose.evaluate.run import run
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.load import DUPLICATE_OKS
from edgepose.scores import MOST_KNOTS, Calibration, Knots
from edgepose.spec import ModelSpec

RIGHT = 0.5  # OKS from which a person is right, and the term of OKS from which a keypoint is
NEAR = 0.1  # OKS from which somebody whom a whole-picture network finds is the labelled person, if maybe a bad pose
EXPONENTS = (1.0, 0.5)  # of the box score, which are tried
SLOPE = 1e-3  # of the line between two steps that are one
FEWEST = 20  # people found, or keypoints, below which nothing is fitted


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Scores (n,) and whether what has them is right (n,); labelled: how many there are to be found."""

    scores: np.ndarray
    right: np.ndarray
    labelled: int

    def at(self, least: float) -> tuple[float, float]:
        """Precision and recall of those who score `least` or more; a precision of 1 where nobody does."""
        found = self.right[self.scores >= least]
        return float(found.mean()) if len(found) else 1.0, float(found.sum()) / max(self.labelled, 1)

    def reliability(self, bins: int = 10) -> list[tuple[float, float, int, float, float]]:
        """Of equal bins of the scores that hold any: from, to, how many, mean score, and what part of them is right."""
        edges = np.linspace(0, 1, bins + 1)
        places = np.clip(np.digitize(self.scores, edges) - 1, 0, bins - 1)
        rows = []
        for i in range(bins):
            inside = places == i
            if inside.any():
                mean, right = float(self.scores[inside].mean()), float(self.right[inside].mean())
                rows.append((float(edges[i]), float(edges[i + 1]), int(inside.sum()), mean, right))
        return rows


@dataclass(frozen=True, eq=False)
class Measured:
    """What a model's scores are worth: of people as they are found, and of the keypoints of people who are there."""

    people: Outcomes
    keypoints: Outcomes


def fitted(estimator: Estimator, labels: Labels, pictures: str | Path, progress: Progress = quiet) -> ModelSpec:
    """The spec of a pose model with the box exponent and the calibration that these labels give it.

    The exponent is that of `EXPONENTS` with the highest AP. The people are those found as deployed, with the
    estimator's own detector and threshold of boxes, so the calibration holds for these. Labels without
    keypoints and crowds are neither right nor wrong.

    Raises ValueError for a detector, and where too few people or keypoints are found to say anything.
    """
    raw = replace(estimator.spec, calibration=None, box_exponent=1.0)
    if len(raw.keypoints) == 0:
        raise ValueError(f"{raw.name} is a detector: expected a model that finds keypoints")
    if raw.per_person and estimator.detector is not None:
        exponents = {one: _ap(_under(replace(raw, box_exponent=one), estimator), labels, pictures, progress)
                     for one in EXPONENTS}  # fmt: skip
        raw = replace(raw, box_exponent=max(exponents, key=lambda one: exponents[one]))
    found = measured(_under(raw, estimator), labels, pictures, progress)
    for name, outcomes in (("people", found.people), ("keypoints", found.keypoints)):
        if len(outcomes.scores) < FEWEST or outcomes.right.all() or not outcomes.right.any():
            raise ValueError(
                f"{raw.name}: {int(outcomes.right.sum())} of {len(outcomes.scores)} {name} found are right, expected "
                f"at least {FEWEST} of which some are right and some wrong: give more labelled pictures"
            )
    calibration = Calibration(
        person=knots(found.people.scores, found.people.right),
        keypoint=knots(found.keypoints.scores, found.keypoints.right),
    )
    return replace(raw, calibration=calibration)


def measured(estimator: Estimator, labels: Labels, pictures: str | Path, progress: Progress = quiet) -> Measured:
    """The scores of an estimator, as it is deployed, against labels.

    People are those found with its own detector. Keypoints are those of people in labelled boxes, or, of a model that
    finds people by itself, of those who are anywhere near a labelled person; what nobody labelled counts as not right.
    """
    refuse_nobody(labels, True)
    everybody = estimator.replace(min_score=0.0, duplicate_oks=DUPLICATE_OKS if estimator.spec.per_person else None)
    against, lacking = comparable(labels, everybody, "detector")
    against = without_keypoints(against, lacking)
    name = estimator.spec.name
    rows = run(everybody, labels, pictures, "detector", progress=partial(progress, f"{name}, people")).results
    found = pictures_of(rows, against, "coco")[0]
    people = _people(found)
    sigmas = found[0].sigmas
    if estimator.spec.per_person:
        alone = estimator.replace(min_score=0.0, detector=None, min_box_score=None)
        rows = run(alone, labels, pictures, "gt", progress=partial(progress, f"{name}, keypoints")).results
        stated = {row["id"]: row for row in without_keypoints(labels, lacking)["annotations"]}
        pairs = [(row, stated[row["annotation_id"]]) for row in rows]
        points: Points = [(_triples(row), _triples(label), label["area"]) for row, label in pairs]
    else:
        points = _near(found, rows)
    return Measured(people, _keypoints(points, sigmas))


def knots(scores: np.ndarray, right: np.ndarray, most: int = MOST_KNOTS) -> Knots:
    """Scores (n,) and whether they were right (n,) -> at most `most` knots that rise, the first of them 0, 0.

    Steps of the isotonic regression that are most alike, small ones first, are joined until they are few enough.
    """
    order = np.argsort(scores, kind="stable")
    steps = list[tuple[float, float, float]]()  # sum of the scores, of what was right, how many
    for score, good in zip(scores[order].tolist(), right[order].tolist(), strict=True):
        steps.append((score, float(good), 1.0))
        while len(steps) > 1 and _share(steps[-2]) >= _share(steps[-1]):
            steps[-2:] = [_sum(steps[-2], steps[-1])]
    while len(steps) > most - 1:
        costs = [
            (a[2] * b[2] / (a[2] + b[2]) * (_share(a) - _share(b)) ** 2)
            for a, b in pairwise(steps)
        ]  # fmt: skip
        i = int(np.argmin(costs))
        steps[i : i + 2] = [_sum(steps[i], steps[i + 1])]
    found = [(0.0, 0.0)]
    for total, good, count in steps:
        raw, sure = round(total / count, 5), (good + 0.5) / (count + 1)  # never quite 0 or 1: few say nothing of all
        before, least = found[-1]
        if raw > before:
            found.append((raw, round(max(sure, least + SLOPE * (raw - before) + 1e-6), 6)))
    top = 1 - 1e-4 * len(found)
    return tuple((raw, min(sure, top + 1e-4 * i)) for i, (raw, sure) in enumerate(found))


def _share(step: tuple[float, float, float]) -> float:
    return step[1] / step[2]


def _sum(a: tuple[float, float, float], b: tuple[float, float, float]) -> tuple[float, float, float]:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def _under(spec: ModelSpec, estimator: Estimator) -> Estimator:
    """The same estimator with another spec."""
    return estimator.replace(network=Described(estimator.network, spec))


def _ap(estimator: Estimator, labels: Labels, pictures: str | Path, progress: Progress) -> float:
    against, lacking = comparable(labels, estimator, "detector")
    what = f"{estimator.spec.name}, box exponent {estimator.spec.box_exponent:g}"
    rows = run(prepared(estimator, False), labels, pictures, "detector", progress=partial(progress, what)).results
    return float(coco_ap(rows, without_keypoints(against, lacking))["AP"])


def _people(pictures: Sequence[Picture]) -> Outcomes:
    """Whether people found are right, best first where several are of one labelled person."""
    matches = match(pictures, np.array([RIGHT]), [(0, LARGEST)])
    counts = ~matches.ignored[0, 0]
    return Outcomes(matches.scores[counts], matches.person[0, 0][counts] >= 0, int(matches.people[0].sum()))


Points = Sequence[tuple[np.ndarray, np.ndarray, float]]  # found (K, 3), labelled (K, 3), area of the person


def _near(pictures: Sequence[Picture], rows: Sequence[Row]) -> Points:
    """People found who are near a labelled one, with that one."""
    matches = match(pictures, np.array([NEAR]), [(0, LARGEST)])
    persons, ignored, start, found = matches.person[0, 0], matches.ignored[0, 0], 0, []
    for picture in pictures:
        for d, row in enumerate(picture.rows):
            g = persons[start + d]
            if g >= 0 and not ignored[start + d]:
                seen = np.concatenate([picture.labelled[g], picture.visible[g][:, None]], axis=1)
                found.append((_triples(rows[row]), seen, float(picture.areas[g])))
        start += len(picture.rows)
    return found


def _keypoints(points: Points, sigmas: np.ndarray) -> Outcomes:
    """Whether keypoints are right; those that nobody has a label of in the whole set are left out."""
    found, labelled = np.array([f for f, _, _ in points]), np.array([label for _, label, _ in points])  # (n, K, 3)
    if not len(found):
        return Outcomes(np.zeros(0), np.zeros(0, bool), 0)
    areas = np.array([area for _, _, area in points])[:, None]
    seen = labelled[..., 2] > 0
    known = seen.any(axis=0)
    square = ((found[..., :2] - labelled[..., :2]) ** 2).sum(-1)
    near = np.exp(-square / (2 * sigmas) ** 2 / (areas + np.spacing(1)) / 2) >= RIGHT
    return Outcomes(found[:, known, 2].ravel(), (near & seen)[:, known].ravel(), int(seen[:, known].sum()))


def _triples(row: dict[str, Any]) -> np.ndarray:
    return np.array(row["keypoints"], np.float64).reshape(-1, 3)
