"""Tracks that are one person: one ends, and soon after another begins where the first would be by then.

Nothing is joined that could be joined in two ways: a person in two pieces can be told from the results, two people in
one cannot.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from edgepose.runtime.tracker.tracks import ESTABLISHED

SPAN = 0.5  # seconds of a track's end or beginning that count
_REACH, _SPEED = 0.35, 0.7  # sizes, and sizes per second of the gap, by which a place may be off
_FURTHEST = 1.2  # sizes, in whatever time
_GROWTH = 0.25  # logarithm of the ratio of sizes
_LIMBS = 0.25  # mean logarithm of the ratios of limbs, each in sizes
_FEWEST = 4  # limbs that have to be known for it
_COLOR = 22.0  # CIELAB distance of the trunks' colors
_CLEAR = 0.5  # a second possibility must cost this many times as much as the first, or more


@dataclass(frozen=True, eq=False)
class Ends:
    """What a track looks like where it begins and where it ends.

    times (2,), middles (2, 2) and speeds (2, 2) in pixels (per second), sizes (2,), limbs (2, L) in sizes, NaN where
    not known, colors (2, 3); frames: how many it has
    """

    identity: int
    times: np.ndarray
    middles: np.ndarray
    speeds: np.ndarray
    sizes: np.ndarray
    limbs: np.ndarray
    colors: np.ndarray
    frames: int


def ends_of(rows: np.ndarray, times: np.ndarray, limbs: np.ndarray, least: float) -> Ends:
    """Of the rows of one track (recording.row_type) in the order of time.

    times: (T,) seconds; limbs: (L, 2) indices of keypoints; least: score of keypoints that count
    """
    parts = [_end(rows[part], times[part], at, limbs, least)
             for part, at in ((times <= times[0] + SPAN, 0), (times >= times[-1] - SPAN, -1))]  # fmt: skip
    middles, speeds, sizes, lengths, colors = (np.array(value) for value in zip(*parts, strict=True))
    moments = np.array([times[0], times[-1]])
    return Ends(int(rows["id"][0]), moments, middles, speeds, sizes, lengths, colors, len(rows))


def _end(rows: np.ndarray, times: np.ndarray, at: int, limbs: np.ndarray, least: float) -> tuple[np.ndarray, ...]:
    boxes = rows["box"].astype(np.float64)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    size = np.maximum(np.median(np.sqrt(np.maximum(boxes[:, 2:] - boxes[:, :2], 1).prod(1))), 1.0)
    since = times - times[at]
    if len(rows) >= ESTABLISHED and np.ptp(times) > 0:
        speed, middle = np.polyfit(since, middles, 1)
    else:
        speed, middle = np.zeros(2), middles[at]
    points = rows["keypoints"].astype(np.float64)
    lengths = np.linalg.norm(points[:, limbs[:, 0]] - points[:, limbs[:, 1]], axis=-1) / size  # (T, L)
    sure = np.all(rows["scores"][:, limbs] >= least, axis=-1)
    typical = np.array([np.median(lengths[sure[:, i], i]) if sure[:, i].any() else np.nan for i in range(len(limbs))])
    colors = rows["color"][np.isfinite(rows["color"]).all(1)].astype(np.float64)
    return middle, speed, size, typical, np.median(colors, axis=0) if len(colors) else np.full(3, np.nan)


def cost(first: Ends, second: Ends, most: float) -> float:
    """How little the second looks like the first going on, 0 to 4; infinite where it cannot be.

    most: seconds from the end of one to the beginning of the other
    """
    gap = float(second.times[0] - first.times[1])
    if not 0 < gap <= most:
        return np.inf
    size = float(np.sqrt(first.sizes[1] * second.sizes[0]))
    growth = abs(float(np.log(second.sizes[0] / first.sizes[1])))
    # Between going on as before and standing still: the nearest place on the way.
    way, found = first.speeds[1] * gap, second.middles[0] - first.middles[1]
    part = np.clip(way @ found / max(float(way @ way), 1e-9), 0, 1)
    off = float(np.linalg.norm(found - part * way)) / size
    reach = min(_REACH + _SPEED * gap, _FURTHEST)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.abs(np.log(second.limbs[0] / first.limbs[1]))
    ratios = ratios[np.isfinite(ratios)]
    limbs = float(np.median(ratios)) if len(ratios) >= _FEWEST else 0.0
    color = float(np.nan_to_num(np.linalg.norm(first.colors[1] - second.colors[0])))
    parts = (off / reach, growth / _GROWTH, limbs / _LIMBS, color / _COLOR)
    return np.inf if max(parts) > 1 else sum(parts)


def joined(tracks: list[Ends], most: float) -> dict[int, int]:
    """Identity of a track -> that of the first one of the same person, for those that were joined."""
    found: list[tuple[float, int, int]] = []
    by_start = sorted(tracks, key=lambda track: track.times[0])
    starts = np.array([track.times[0] for track in by_start])
    for first in tracks:
        if first.frames < ESTABLISHED:
            continue
        low, high = np.searchsorted(starts, [first.times[1], first.times[1] + most], side="right")
        for second in by_start[low:high]:
            price = cost(first, second, most)
            if np.isfinite(price) and second.frames >= ESTABLISHED:
                found.append((price, first.identity, second.identity))
    after, before = defaultdict[int, list[float]](list), defaultdict[int, list[float]](list)
    for price, one, other in sorted(found):
        after[one].append(price)
        before[other].append(price)
    earlier = {
        other: one
        for price, one, other in found
        if all(prices[0] == price and (len(prices) == 1 or price < _CLEAR * prices[1])
               for prices in (after[one], before[other]))
    }  # fmt: skip
    result = {}
    for identity in earlier:
        root = identity
        while root in earlier:  # ends, since each one begins after the one before has ended
            root = earlier[root]
        result[identity] = root
    return result
