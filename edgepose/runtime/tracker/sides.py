"""Left and right of a person over time: which of two mirrored keypoints is which.

A network that sees a person from behind or from the side may take left for right in one frame and not in the next. Each
pair of mirrored keypoints (shoulders, hips, knees ...) has a hidden Markov model of two states: the network is right in
this frame, or its two keypoints are exchanged. Motion links one frame with the next: points do not jump to each other's
place, so an exchange shows against how the two are expected to lie to each other, wherever the person has gone
meanwhile, the more clearly the further they are apart. Every frame is also a vote for what the network says, with the
lower of the two scores. While the two are apart the votes of a track add up, and few wrong ones change nothing; when
they come together (a person turns) motion cannot tell which is which, what was known is forgotten by as much, and the
next votes decide.

Every pair decides for itself: a network often mirrors shoulders without hips, and letting the pairs of a
person vote for one another changed neither flips nor mirrored frames of benchmarks/left_right.py for the better.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgepose.poses import Poses
from edgepose.runtime.tracker.tracks import States
from edgepose.skeleton import Skeleton

RATE = 16.0  # log-odds per second of votes with full scores: frames that follow one another err alike
LONGEST = 0.2  # seconds for which one frame votes at most
CLEAR = 0.1  # distance between two points, in sizes, from which a vote counts in full
MOST = 1.5  # log-odds: more certain than that nobody is, so that whoever turned unseen is right within half a second
HYSTERESIS = 1.0  # log-odds against a pair's present sides from which they are exchanged
SURPRISE = 40.0  # bound of a squared distance, in variances: points may be anywhere by mistake


def pairs_of(skeleton: Skeleton) -> np.ndarray:
    """(P, 2) indices of keypoints that are each other's mirror image; none for a skeleton without sides."""
    flip = skeleton.flip
    first = np.flatnonzero(np.arange(len(flip)) < flip)
    return np.stack([first, flip[first]], axis=1)


def settled(
    pairs: np.ndarray, ahead: States, odds: np.ndarray, poses: Poses, noise: np.ndarray, gaps: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Which pairs (P, 2) of T people to exchange in what the network says, which in what the tracks remember, and odds.

    ahead: the people where they are expected     odds: (T, P) log-odds that their sides are right
    poses: of this frame, in the same order     noise: variances of keypoints, squared sizes
    gaps: (T,) seconds since they were seen

    Returns (T, P) bool, (T, P) bool and the new odds (T, P). Both are exchanged where the network has shown for long
    enough that a pair is the other way round: its points are then taken as they come.
    """
    expected = ahead.points()[:, pairs]  # (T, P, 2, 2)
    found = poses.keypoints.astype(np.float64)[:, pairs]
    known = np.asarray(ahead.known[:, pairs].all(-1) & np.isfinite(found).all((-1, -2)))
    found = np.where(known[..., None, None], found, expected)
    sizes = ahead.sizes[:, None, None]
    # How the two lie to each other tells an exchange, wherever the person has moved meanwhile.
    variances = (ahead.offset_spreads[:, pairs, 0] + noise[pairs]).sum(-1) * sizes[..., 0] ** 2
    between, awaited = found[:, :, 1] - found[:, :, 0], expected[:, :, 1] - expected[:, :, 0]
    kept = ((between - awaited) ** 2).sum(-1) / variances
    swapped = ((between + awaited) ** 2).sum(-1) / variances
    difference = np.minimum(swapped, SURPRISE) - np.minimum(kept, SURPRISE)
    motion = np.where(known, difference / 2, 0.0)  # log-odds that the network has not changed sides
    said = joint(odds, motion)
    apart = np.linalg.norm(found[:, :, 0] - found[:, :, 1], axis=-1) / sizes[..., 0]
    weight = np.clip(poses.scores[:, pairs].min(-1), 0, 1) * np.minimum(apart / CLEAR, 1)
    said = np.clip(said + RATE * np.minimum(gaps, LONGEST)[:, None] * np.where(known, weight, 0.0), -MOST, MOST)
    exchange = motion < 0
    present = np.where(exchange, -said, said)  # log-odds of the sides that the track has
    turned = present < -HYSTERESIS
    return exchange & ~turned | ~exchange & turned, turned, np.where(turned, -present, present)


def joint(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Log-odds that two statements are both true or both false, of the log-odds of each."""
    product = np.tanh(one / 2) * np.tanh(other / 2)
    return np.asarray(2 * np.arctanh(np.clip(product, -1 + 1e-9, 1 - 1e-9)))


def exchanged(poses: Poses, pairs: np.ndarray, exchange: np.ndarray) -> Poses:
    """Poses with the keypoints of pairs (P, 2) exchanged where (N, P) says so, with their scores."""
    people, which = exchange.nonzero()
    if not len(people):
        return poses
    order = np.tile(np.arange(len(poses.skeleton)), (len(poses), 1))
    left, right = pairs[which].T
    order[people, left], order[people, right] = right, left
    keypoints = np.take_along_axis(poses.keypoints, order[..., None], 1)
    return replace(poses, keypoints=keypoints, scores=np.take_along_axis(poses.scores, order, 1))


def turned_round(states: States, pairs: np.ndarray, exchange: np.ndarray) -> States:
    """The same of what is remembered of people."""
    people, which = exchange.nonzero()
    if not len(people):
        return states
    order = np.tile(np.arange(states.known.shape[1]), (len(states), 1))
    left, right = pairs[which].T
    order[people, left], order[people, right] = right, left
    return replace(
        states,
        offsets=np.take_along_axis(states.offsets, order[..., None], 1),
        swings=np.take_along_axis(states.swings, order[..., None], 1),
        offset_spreads=np.take_along_axis(states.offset_spreads, order[..., None], 1),
        known=np.take_along_axis(states.known, order, 1),
    )
