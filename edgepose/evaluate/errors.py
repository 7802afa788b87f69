"""What kind of mistakes a model makes, and what each kind costs.

Ronchi & Perona, "Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation", ICCV 2017. A keypoint of a person
who was found (OKS >= 0.1) is compared, by the keypoint's own similarity exp(-d^2 / (2 area (2 sigma)^2)), with its true
place, with its mirror image on the same person, and with both on everybody else; the nearest of them decides:

    good       its own place, above 0.85          swap   somebody else's keypoint or its mirror image, from 0.5
    jitter     its own place, 0.5 to 0.85         miss   none of them from 0.5
    inversion  its own mirror image, from 0.5

A keypoint is corrected as the paper does it: jitter to 0.85 of its true place, miss to 0.5, inversions and swaps to the
similarity that they have with the wrong one. (The released code moves them nearer: it leaves out sigma's factor 2.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgepose.evaluate.matching import RANGES, THRESHOLDS, Picture, match, with_found
from edgepose.skeleton import Skeleton

GOOD, JITTER, INVERSION, SWAP, MISS = range(5)
KINDS = ("good", "jitter", "inversion", "swap", "miss")
UNLABELLED = -1
FOUND = 0.1  # OKS from which a result is about a labelled person at all
JITTER_SIMILARITY, GOOD_SIMILARITY = 0.5, 0.85


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """The keypoints of the D results of one picture.

    person:  (D,) the labelled person that a result is about, -1 for none
    kinds:   (D, K) index into `KINDS`, or `UNLABELLED`
    similar: (D, K) to their true place, 0 where there is none
    nearest: (D, K) to the nearest of everything they are compared with
    """

    person: np.ndarray
    kinds: np.ndarray
    similar: np.ndarray
    nearest: np.ndarray


def diagnose(pictures: Sequence[Picture], skeleton: Skeleton) -> list[Diagnosis]:
    """The mistakes in every picture."""
    matches = match(pictures, np.array([FOUND]), RANGES[:1])
    counted = np.where(matches.ignored[0, 0], -1, matches.person[0, 0])
    return [_diagnosed(picture, counted[matches.picture == i], skeleton) for i, picture in enumerate(pictures)]


def _diagnosed(picture: Picture, person: np.ndarray, skeleton: Skeleton) -> Diagnosis:
    d, k = picture.found.shape[:2]
    kinds = np.full((d, k), UNLABELLED)
    own, nearest = np.zeros((d, k)), np.zeros((d, k))
    for i in np.flatnonzero(person >= 0):
        g = person[i]
        true = keypoint_similarity(picture, picture.found[i])  # (G, K)
        mirrored = keypoint_similarity(picture, picture.found[i], skeleton.flip)
        others = np.arange(len(true)) != g
        of_others = np.concatenate([true[others], mirrored[others]]).max(axis=0, initial=-1)  # (K,)
        closest = np.stack([true[g], of_others, mirrored[g]])  # at equality the first, as the paper's code has it
        own[i], nearest[i] = np.maximum(true[g], 0), np.maximum(closest.max(axis=0), 0)
        kind = np.array([JITTER, SWAP, INVERSION])[closest.argmax(axis=0)]
        kind[(kind == JITTER) & (own[i] > GOOD_SIMILARITY)] = GOOD
        kind[nearest[i] < JITTER_SIMILARITY] = MISS
        kinds[i] = np.where(picture.visible[g], kind, UNLABELLED)
    return Diagnosis(person, kinds, own, nearest)


def keypoint_similarity(picture: Picture, found: np.ndarray, order: np.ndarray | None = None) -> np.ndarray:
    """Of one result (K, 2) to everybody labelled, keypoint by keypoint -> (G, K); -1 where nothing is labelled.

    order: (K,) compares keypoint i with the label of keypoint order[i].
    """
    order = np.arange(len(found)) if order is None else order
    labelled, visible = picture.labelled[:, order], picture.visible[:, order]
    apart = ((labelled - found) ** 2).sum(-1)
    spread = 2 * (2 * picture.sigmas) ** 2 * (picture.areas[:, None] + np.spacing(1))
    return np.where(visible, np.exp(-apart / spread), -1.0)


def corrected(picture: Picture, diagnosis: Diagnosis, kinds: Sequence[int]) -> Picture:
    """The picture with the mistakes of some kinds put right."""
    found = picture.found.copy()
    for i in np.flatnonzero(diagnosis.person >= 0):
        g = diagnosis.person[i]
        for kind in kinds:
            chosen = diagnosis.kinds[i] == kind
            target = {JITTER: GOOD_SIMILARITY, MISS: JITTER_SIMILARITY}.get(kind, diagnosis.nearest[i, chosen])
            away = np.sqrt(-2 * np.log(np.minimum(target, 1.0)) * picture.areas[g]) * 2 * picture.sigmas[chosen]
            found[i, chosen] = picture.labelled[g, chosen]
            found[i, chosen, 0] += away
    return replace(picture, found=found)


def error_report(pictures: Sequence[Picture], skeleton: Skeleton) -> dict[str, Any]:
    """How often each kind of mistake is made, by keypoint too, and how much AP would rise without it.

    `gain` is the AP with this one kind corrected less the AP as it is. Beside the kinds of the paper's section 3.1
    there are those of 3.2 and 3.3: `score` (people ranked by their OKS), `background` (results about nobody left out)
    and `unfound` (labelled people whom no result is about left out).
    """
    diagnoses = diagnose(pictures, skeleton)
    table = np.concatenate([np.zeros((0, len(skeleton)), int), *(d.kinds for d in diagnoses)])
    counts = np.stack([(table == kind).sum(axis=0) for kind in range(len(KINDS))])  # (5, K)
    plain = _ap(pictures)
    pairs = list(zip(pictures, diagnoses, strict=True))
    gains = {
        KINDS[kind]: _ap([corrected(*pair, [kind]) for pair in pairs]) - plain
        for kind in (JITTER, INVERSION, SWAP, MISS)
    }
    gains["all four"] = _ap([corrected(*pair, [JITTER, INVERSION, SWAP, MISS]) for pair in pairs]) - plain
    gains["score"] = _ap([_ranked(picture) for picture in pictures]) - plain
    gains["background"] = _ap([_without_background(*pair) for pair in pairs]) - plain
    gains["unfound"] = _ap([_without_unfound(*pair) for pair in pairs]) - plain
    total = max(int(counts.sum()), 1)
    about = sum(int((d.person >= 0).sum()) for d in diagnoses)
    return {
        "keypoints": int(counts.sum()),
        "counts": {name: int(n) for name, n in zip(KINDS, counts.sum(axis=1), strict=True)},
        "shares": {name: round(float(n) / total, 6) for name, n in zip(KINDS, counts.sum(axis=1), strict=True)},
        "by_keypoint": {
            name: {kind: int(n) for kind, n in zip(KINDS, column, strict=True)}
            for name, column in zip(skeleton.names, counts.T, strict=True)
        },
        "people": {
            "results": sum(len(picture.scores) for picture in pictures),
            "about_somebody": about,
            "about_nobody": sum(int((~_elsewhere(*pair)).sum()) for pair in pairs) - about,
            "labeled": sum(picture.people() for picture in pictures),
            "unfound": sum(int((_unfound(*pair)).sum()) for pair in pairs),
        },
        "AP": round(plain, 6),
        "gains": {name: round(gain, 6) for name, gain in gains.items()},
    }


def _ap(pictures: Sequence[Picture]) -> float:
    return match(pictures, THRESHOLDS).figures()["AP"]


def _elsewhere(picture: Picture, diagnosis: Diagnosis) -> np.ndarray:
    """(D,) results that no rule counts: about a crowd or somebody without keypoints."""
    ignored = picture.similar[:, picture.ignored].max(axis=1, initial=0) >= FOUND
    return (diagnosis.person < 0) & ignored


def _unfound(picture: Picture, diagnosis: Diagnosis) -> np.ndarray:
    """(G,) labelled people whom no result is about."""
    found = np.isin(np.arange(len(picture.labelled)), diagnosis.person)
    return ~found & ~picture.ignored


def _ranked(picture: Picture) -> Picture:
    counted = picture.similar[:, ~picture.ignored].max(axis=1, initial=0)
    return with_found(picture, picture.found, counted, picture.rows)


def _without_background(picture: Picture, diagnosis: Diagnosis) -> Picture:
    kept = (diagnosis.person >= 0) | _elsewhere(picture, diagnosis)
    return with_found(picture, picture.found[kept], picture.scores[kept], picture.rows[kept])


def _without_unfound(picture: Picture, diagnosis: Diagnosis) -> Picture:
    return replace(picture, ignored=picture.ignored | _unfound(picture, diagnosis))
