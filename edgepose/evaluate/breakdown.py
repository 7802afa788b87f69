"""Where a model is good and where it is not: by keypoint, size and crowding, and by its own confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgepose.evaluate.coco import CROWD_LEVELS
from edgepose.evaluate.errors import FOUND, GOOD_SIMILARITY, JITTER_SIMILARITY, diagnose
from edgepose.evaluate.matching import LARGEST, RANGES, Picture, match
from edgepose.skeleton import Skeleton

SIDES = (0, 32, 64, 96, 192, 384)  # square root of a person's area in pixels, where the next class begins
COUNTS = ((1, 1), (2, 3), (4, 7), (8, 15), (16, None))  # labelled people of a picture, first to last
BINS = 10


def by_size(pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    """AP and AR of people of each class of size; AP is -1 where nobody is of it. Limits are pixels, None: no limit."""
    limits = [(low, high) for low, high in zip(SIDES, (*SIDES[1:], None), strict=True)]
    areas = [(low**2, LARGEST if high is None else np.nextafter(high**2, 0)) for low, high in limits]
    matches = match(pictures, ranges=areas)
    precision, recall = matches.curves()
    return [
        {"from": low, "to": high, "people": int(people), "AP": _figure(ap), "AR": _figure(ar)}
        for (low, high), people, ap, ar in zip(
            limits, matches.people.sum(axis=1), precision.mean(axis=1), recall.mean(axis=1), strict=True
        )
    ]


def by_people(pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    """AP and AR of pictures with so many labelled people."""
    counts = np.array([picture.people() for picture in pictures], np.int64)
    rows = []
    for first, last in COUNTS:
        chosen = (counts >= first) & (counts <= (np.inf if last is None else last))
        rows.append({"from": first, "to": last} | _part(pictures, chosen))
    return rows


def by_crowd(pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    """AP and AR of pictures that are easy, medium and hard by CrowdPose's index, as stated or as computed here."""
    index = np.array([crowd_index(picture) for picture in pictures])
    rows = []
    for name, (low, high) in CROWD_LEVELS.items():
        chosen = (index >= low) & (index < high) & np.array([picture.people() > 0 for picture in pictures], bool)
        limits = {"from": max(low, 0.0), "to": None if np.isinf(high) else high}
        rows.append({"level": name.removeprefix("AP_")} | limits | _part(pictures, chosen))
    return rows


def crowd_index(picture: Picture) -> float:
    """How much people stand in each other's boxes (Li et al., CrowdPose, CVPR 2019, equation 6): the picture's own
    `crowdIndex`, else the mean over people of others' keypoints in their box / their own in it, at most 1."""
    if "crowdIndex" in picture.image:
        return float(picture.image["crowdIndex"])
    people = np.flatnonzero(~picture.ignored)
    ratios = []
    for g in people:
        low, high = picture.boxes[g, :2], picture.boxes[g, :2] + picture.boxes[g, 2:]
        inside = ((picture.labelled >= low) & (picture.labelled <= high)).all(-1) & picture.visible  # (G, K)
        own = int(inside[g].sum())
        others = int(inside[people].sum()) - own
        ratios.append(min(1.0, others / own) if own else 0.0)
    return float(np.mean(ratios)) if ratios else 0.0


def by_keypoint(pictures: Sequence[Picture], skeleton: Skeleton) -> list[dict[str, Any]]:
    """Each keypoint of the labelled people that results are about (OKS >= 0.1).

    similarity: mean of exp(-d^2 / (2 area (2 sigma)^2)), good and near: share of it above 0.85 and from 0.5
    distance:   median in hundredths of the square root of the person's area
    unfound:    labelled on people whom no result is about
    """
    similar, distance, unfound = [], [], np.zeros(len(skeleton), np.int64)
    for picture, diagnosis in zip(pictures, diagnose(pictures, skeleton), strict=True):
        found = np.flatnonzero(diagnosis.person >= 0)
        person = diagnosis.person[found]
        seen = picture.visible[person]
        apart = np.linalg.norm(picture.found[found] - picture.labelled[person], axis=-1)
        relative = 100 * apart / np.sqrt(np.maximum(picture.areas[person], 1))[:, None]
        similar.append(np.where(seen, diagnosis.similar[found], np.nan))
        distance.append(np.where(seen, relative, np.nan))
        others = ~picture.ignored & ~np.isin(np.arange(len(picture.ignored)), person)
        unfound += picture.visible[others].sum(axis=0)
    nobody = np.zeros((0, len(skeleton)))
    similar_of, distance_of = np.concatenate([nobody, *similar]), np.concatenate([nobody, *distance])
    rows = []
    for i, name in enumerate(skeleton.names):
        values = similar_of[~np.isnan(similar_of[:, i]), i]
        row: dict[str, Any] = {"keypoint": name, "labeled": len(values), "unfound": int(unfound[i])}
        if len(values):
            row |= {
                "similarity": _figure(values.mean()),
                "good": _figure((values > GOOD_SIMILARITY).mean()),
                "near": _figure((values >= JITTER_SIMILARITY).mean()),
                "distance": _figure(np.nanmedian(distance_of[:, i])),
            }
        rows.append(row)
    return rows


def calibration(pictures: Sequence[Picture]) -> dict[str, Any]:
    """How far a person's score is the OKS that it will have.

    A result has the OKS of the labelled person that it is about, or 0; those about crowds and people without keypoints
    are left out. `ECE` is the expected calibration error (Guo et al., 2017): the mean over results of the difference
    between mean score and mean OKS of their bin. Scores above 1 are in the last bin.
    """
    matches = match(pictures, np.array([FOUND]), RANGES[:1])
    person, counts = matches.person[0, 0], ~matches.ignored[0, 0]
    reached = np.zeros(len(person))
    for i, picture in enumerate(pictures):
        rows = np.flatnonzero(matches.picture == i)
        hit = np.flatnonzero(person[rows] >= 0)
        reached[rows[hit]] = picture.similar[hit, person[rows[hit]]]
    scores, reached = matches.scores[counts], reached[counts]
    place = np.clip((scores * BINS).astype(int), 0, BINS - 1)
    bins = []
    for b in range(BINS):
        chosen = place == b
        row: dict[str, Any] = {"from": b / BINS, "to": (b + 1) / BINS, "results": int(chosen.sum())}
        if chosen.any():
            right = _figure((reached[chosen] >= 0.5).mean())
            row |= {"score": _figure(scores[chosen].mean()), "OKS": _figure(reached[chosen].mean()), "right": right}
        bins.append(row)
    off = sum(row["results"] * abs(row["score"] - row["OKS"]) for row in bins if row["results"])
    return {
        "ECE": _figure(off / len(scores)) if len(scores) else -1.0,
        "results": len(scores),
        "score": _figure(scores.mean()) if len(scores) else -1.0,
        "OKS": _figure(reached.mean()) if len(scores) else -1.0,
        "bins": bins,
    }


def _part(pictures: Sequence[Picture], chosen: np.ndarray) -> dict[str, Any]:
    part = [picture for picture, kept in zip(pictures, chosen, strict=True) if kept]
    figures = match(part).figures()
    people = sum(picture.people() for picture in part)
    return {"images": len(part), "people": people, "AP": _figure(figures["AP"]), "AR": _figure(figures["AR"])}


def _figure(value: Any) -> float:
    return -1.0 if np.isnan(value) else round(float(value), 6)
