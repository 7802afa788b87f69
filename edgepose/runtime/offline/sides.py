"""Left and right made consistent over a track: runs of frames in which a network took one for the other.

A body moves smoothly; points that are exchanged jump, from one side to the other and back. The cheapest sequence of
exchanges is found over the whole track at once: first of all pairs together, then of each pair. Somebody who really
turns around passes through a view from the side without a jump, and nothing is exchanged.

Only short runs are put back: of a long one nobody can say whether it or the rest is wrong. Where longer ones
were put back too, whole tracks of drawn clips (`benchmarks/offline.py`) were turned to the wrong side.
"""

from __future__ import annotations

import numpy as np

from edgepose.skeleton import Skeleton

LINK = 0.25  # seconds; over longer pauses nobody says which side was which
# What an exchange must save at least, in sizes of the person, summed over the points: two points that lie closer
# together than a few percent of it are left alone, and so is a whole body seen exactly from the side.
_BODY, _PAIR = 1.0, 0.5
LONGEST = 0.3  # seconds that a run lasts at most
_MOST = 1.0  # sizes that one point's jump counts at most


def exchanged(
    points: np.ndarray, known: np.ndarray, sizes: np.ndarray, times: np.ndarray, skeleton: Skeleton
) -> np.ndarray:
    """(T, K) bool: the points of a track (T, K, 2) that should have been those of their mirror image.

    known: (T, K) which points are there; sizes: (T,) of the person, pixels; times: (T,) seconds, rising

    Of two ways to see a stretch of frames, the one that more of them agree with is taken for right; runs of the other
    that last longer than LONGEST stay as they are.
    """
    left = np.array([k for k, mirror in enumerate(skeleton.flip.tolist()) if k < mirror], np.int64)
    right = skeleton.flip[left]
    result = np.zeros(known.shape, bool)
    if len(points) < 3 or not len(left):
        return result
    pairs = np.stack([points[:, left], points[:, right]], axis=2) / sizes[:, None, None, None]  # (T, P, 2, 2)
    both = known[:, left] & known[:, right]
    body = _sequence(pairs, both, times, _BODY)
    pairs = np.where(body[:, None, None, None], pairs[:, :, ::-1], pairs)
    for p, (a, b) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        there = np.flatnonzero(both[:, p])
        own = np.zeros(len(points), bool)
        if len(there) >= 3:
            own[there] = _sequence(pairs[there, p : p + 1], both[there, p : p + 1], times[there], _PAIR)
        result[:, a] = result[:, b] = body ^ own
    return result


def _sequence(pairs: np.ndarray, both: np.ndarray, times: np.ndarray, price: float) -> np.ndarray:
    """(T,) bool: in which frames pairs (T, P, 2 sides, 2) are exchanged, all of them together.

    both: (T, P) bool; price: of a change between frames, in the units of the pairs
    """
    steps = np.diff(times)
    linked = steps <= LINK
    ratio = np.minimum(steps[1:] / steps[:-1], 1.0)[:, None, None, None]
    usable = (both[2:] & both[1:-1] & both[:-2]).astype(float) * (linked[1:] & linked[:-1])[:, None]
    costs = np.zeros((len(pairs) - 2, 2, 2))  # of frame t + 2, by its change and the change before
    now, last, before = pairs[2:], pairs[1:-1], pairs[:-2]
    for change in (0, 1):
        for earlier in (0, 1):
            course = last + (last - (before[:, :, ::-1] if earlier else before)) * ratio
            jumps = np.linalg.norm((now[:, :, ::-1] if change else now) - course, axis=-1).sum(-1)  # (T - 2, P)
            costs[:, change, earlier] = (np.minimum(np.nan_to_num(jumps), 2 * _MOST) * usable).sum(1) + price * change
    changes = _cheapest(costs, price)
    states = np.logical_xor.accumulate(np.append(False, changes))
    apart = np.linalg.norm(np.nan_to_num(pairs[:, :, 0] - pairs[:, :, 1]), axis=-1)
    weights = np.minimum(apart * both, _MOST).sum(1)
    for stretch in np.split(np.arange(len(pairs)), np.flatnonzero(~linked) + 1):
        start = states[stretch[0]]
        swapped = states[stretch] ^ start
        minority = weights[stretch][swapped].sum() > weights[stretch].sum() / 2
        states[stretch] = ~swapped if minority else swapped
    for run in np.split(np.arange(len(pairs)), np.flatnonzero(np.diff(states.astype(np.int8))) + 1):
        if times[run[-1]] - times[run[0]] > LONGEST:
            states[run] = False
    return states


def _cheapest(costs: np.ndarray, price: float) -> np.ndarray:
    """(T - 1,) bool: where the sides change, by dynamic programming over costs (T - 2, 2, 2)."""
    best = [0.0, price]  # of the first change
    came = []
    for kept_kept, kept_changed, changed_kept, changed_changed in costs.reshape(-1, 4).tolist():
        choices = (
            (best[0] + kept_kept, best[1] + kept_changed),
            (best[0] + changed_kept, best[1] + changed_changed),
        )
        came.append((choices[0][1] < choices[0][0], choices[1][1] < choices[1][0]))
        best = [min(choices[0]), min(choices[1])]
    state = best[1] < best[0]
    changes = [state]
    for row in reversed(came):
        state = row[int(state)]
        changes.append(state)
    return np.array(changes[::-1])
