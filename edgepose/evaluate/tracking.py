"""How well identities are kept: IDF1, HOTA, MOTA and their parts.

IDF1: Ristani et al., ECCV 2016 workshops. HOTA: Luiten et al., IJCV 2021. MOTA and MOTP: Bernardin and Stiefelhagen,
2008, with the matching rule of the MOT challenge (whoever was matched in the frame before stays matched).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from edgepose.geometry import iou
from edgepose.hungarian import assignment
from edgepose.oks import oks
from edgepose.poses import Poses

Likeness = Literal["iou", "oks"]
THRESHOLD = 0.5  # similarity from which a person counts as found, for all but HOTA
ALPHAS = np.arange(1, 20) * 0.05  # the thresholds that HOTA is the mean over


@dataclass(frozen=True)
class Identities:
    """Figures of one sequence. Shares are in 0..1 (MOTA can be negative), NaN where there was nobody to find.

    idf1, idp, idr: F1, precision and recall of the best one-to-one naming of true people by found identities
    hota, deta, assa: HOTA, its detection and association accuracy, means over 19 thresholds
    mota: 1 - (missed + false + switches) / true people       motp: mean similarity of those found
    switches: a person gets another identity than last time    fragments: a person is found again after being missed
    people, found, matched: rows over all frames: true, found, and both
    identities: how many different ones were given
    """

    idf1: float
    idp: float
    idr: float
    hota: float
    deta: float
    assa: float
    mota: float
    motp: float
    switches: int
    fragments: int
    people: int
    found: int
    matched: int
    identities: int


@dataclass(frozen=True, eq=False)
class _Frame:
    """True people (indices into G identities) and found ones (into P), and their similarities."""

    true: np.ndarray
    found: np.ndarray
    similarity: np.ndarray


def evaluate_identities(truth: Sequence[Poses], found: Sequence[Poses], by: Likeness = "iou") -> Identities:
    """Figures of a tracked sequence: one Poses with ids per frame on both sides.

    `by` is what makes two people alike: "iou" of boxes or "oks" of keypoints (those scored above 0 in `truth`, and the
    area of its boxes). Raises ValueError for frames that do not pair up, ids that are missing or twice in a frame, and
    another `by`.
    """
    if len(truth) != len(found):
        raise ValueError(f"expected as many frames found as true, got {len(found)} and {len(truth)}")
    if by not in get_args(Likeness):
        raise ValueError(f"by must be one of {list(get_args(Likeness))}, got {by!r}")
    true_ids, found_ids = _identities(truth, "truth"), _identities(found, "found")
    frames = []
    for a, b in zip(truth, found, strict=True):
        alike = iou(a.boxes, b.boxes) if by == "iou" else _oks(a, b)
        frames.append(_Frame(np.searchsorted(true_ids, _ids(a)), np.searchsorted(found_ids, _ids(b)), alike))
    people, rows = sum(len(f.true) for f in frames), sum(len(f.found) for f in frames)
    shape = (len(true_ids), len(found_ids))
    matched, distance, switches, fragments = _clear(frames, shape[0])
    together = _identity_matches(frames, shape)
    hota, deta, assa = _hota(frames, shape)
    return Identities(
        idf1=_share(2 * together, people + rows),
        idp=_share(together, rows),
        idr=_share(together, people),
        hota=hota,
        deta=deta,
        assa=assa,
        mota=_share(2 * matched - rows - switches, people),
        motp=_share(distance, matched),
        switches=switches,
        fragments=fragments,
        people=people,
        found=rows,
        matched=matched,
        identities=len(found_ids),
    )


def _identities(frames: Sequence[Poses], name: str) -> np.ndarray:
    """The sorted identities of all frames."""
    given = []
    for i, poses in enumerate(frames):
        if poses.ids is None and len(poses):
            raise ValueError(f"{name} frame {i} has no ids: expected poses with identities")
        ids = _ids(poses)
        if len(np.unique(ids)) != len(ids):
            raise ValueError(f"{name} frame {i} has an identity twice: {sorted(ids.tolist())}")
        given.append(ids)
    return np.unique(np.concatenate(given)) if given else np.zeros(0, np.int64)


def _ids(poses: Poses) -> np.ndarray:
    return np.zeros(0, np.int64) if poses.ids is None else poses.ids


def _oks(truth: Poses, found: Poses) -> np.ndarray:
    """(G, P); another skeleton is refused, for its keypoints mean something else."""
    if len(truth) and len(found) and truth.skeleton != found.skeleton:
        raise ValueError(f"expected poses with skeleton {truth.skeleton.name}, got {found.skeleton.name}")
    if not (len(truth) and len(found)):
        return np.zeros((len(truth), len(found)))
    return oks(truth.keypoints, found.keypoints, truth.areas(), truth.skeleton.sigmas, truth.scores > 0)


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _best(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the assignment with the largest sum."""
    return assignment(-scores)


def _clear(frames: list[_Frame], people: int) -> tuple[int, float, int, int]:
    """Matches, the sum of their similarities, switches and fragments."""
    last = np.full(people, -1)  # the identity that each person had last
    before = np.full(people, -1)  # and in the frame before
    tracked, ever = np.zeros(people, bool), np.zeros(people, bool)
    matched, total, switches, fragments = 0, 0.0, 0, 0
    for frame in frames:
        good = frame.similarity >= THRESHOLD
        stays = (before[frame.true][:, None] == frame.found[None]) & good
        scores = np.where(good, 1000.0 * stays + frame.similarity, 0.0)
        rows, columns = _best(scores)
        kept = good[rows, columns]
        rows, columns = rows[kept], columns[kept]
        true, found = frame.true[rows], frame.found[columns]
        switches += int(((last[true] >= 0) & (last[true] != found)).sum())
        fragments += int((ever[true] & ~tracked[true]).sum())
        # A person who is not in the picture is not tracked either.
        before = np.full(people, -1)
        before[true] = last[true] = found
        tracked[:] = False
        tracked[true] = ever[true] = True
        matched += len(true)
        total += float(frame.similarity[rows, columns].sum())
    return matched, total, switches, fragments


def _identity_matches(frames: list[_Frame], shape: tuple[int, int]) -> int:
    """Rows named rightly under the best one-to-one naming of people by identities."""
    together = np.zeros(shape)
    for frame in frames:
        rows, columns = np.nonzero(frame.similarity >= THRESHOLD)
        np.add.at(together, (frame.true[rows], frame.found[columns]), 1)
    return int(together[_best(together)].sum())


def _hota(frames: list[_Frame], shape: tuple[int, int]) -> tuple[float, float, float]:
    """HOTA, DetA and AssA, each the mean over the thresholds.

    One matching per frame serves all thresholds: it prefers pairs that are alike over the whole sequence.
    """
    together = np.zeros(shape)
    true_count, found_count = np.zeros(shape[0]), np.zeros(shape[1])
    for frame in frames:
        alike = frame.similarity
        rivals = alike.sum(0)[None] + alike.sum(1)[:, None] - alike
        alike = np.divide(alike, rivals, out=np.zeros_like(alike), where=rivals > 0)
        together[np.ix_(frame.true, frame.found)] += alike
        true_count[frame.true] += 1
        found_count[frame.found] += 1
    union = true_count[:, None] + found_count[None] - together
    overall = np.divide(together, union, out=np.zeros(shape), where=union > 0)

    matches = np.zeros((len(ALPHAS), *shape))
    for frame in frames:
        rows, columns = _best(overall[np.ix_(frame.true, frame.found)] * frame.similarity)
        good = frame.similarity[rows, columns][None] >= ALPHAS[:, None] - np.finfo(float).eps  # (A, M)
        matches[:, frame.true[rows], frame.found[columns]] += good
    people, rows_found = true_count.sum(), found_count.sum()
    if not people + rows_found:
        return float("nan"), float("nan"), float("nan")
    hits = matches.sum(axis=(1, 2))  # (A,)
    deta = hits / (people + rows_found - hits)
    union = np.maximum(true_count[:, None] + found_count[None] - matches, 1)
    assa = (matches * matches / union).sum(axis=(1, 2)) / np.maximum(hits, 1)
    return float(np.sqrt(deta * assa).mean()), float(deta.mean()), float(assa.mean())
