"""Peaks of heat-maps -> people, by tags (associative embedding; Newell et al., 2017; as in HigherHRNet).

Letters here: K keypoints, M peaks of each, T tags of a cell (1, or 2 with the flip test), P people, C cells. People
are rows (P, K, 3 + T): x and y in cells of the map, value, tags; zeros where a keypoint is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgepose.hungarian import assignment

# Keypoints near the head first, then hips, then limbs. CrowdPose's first 14 have other meanings, and yet are grouped
# in this order by the published code.
ORDER = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)
FLOOR = 0.02  # cells with less are background: no keypoint is looked for among them
HOTTEST = 4000  # cells of a map are looked at, where noise lifts more above FLOOR
NEARNESS = 1.0  # how fast a peak loses weight for a person with the distance, in diagonals of the map
STEP = 100.0  # what half a unit of tags or more counts; heat decides below that


def joint_order(count: int) -> list[int]:
    """The order in which `count` keypoints are grouped."""
    return [j for j in ORDER if j < count] + list(range(len(ORDER), count))


@dataclass(frozen=True)
class Peaks:
    """The best peaks of each keypoint, highest first.

    x, y:   (K, M) int, cells
    values: (K, M) heat
    tags:   (K, M, T)
    """

    x: np.ndarray
    y: np.ndarray
    values: np.ndarray
    tags: np.ndarray

    def rows(self, joint: int, threshold: float) -> np.ndarray:
        """(n, 3 + T) float64 x, y, value, tags of a keypoint's peaks above the threshold."""
        kept = self.values[joint].astype(np.float64) > threshold  # as published: single precision 0.1 is more than 0.1
        columns = (self.x[joint][kept], self.y[joint][kept], self.values[joint][kept])
        return np.concatenate([np.stack(columns, axis=1).astype(np.float64), self.tags[joint][kept]], axis=1)


def find_peaks(heat: np.ndarray, count: int, window: int, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Maps (K, H, W) -> values (K, M) and cells (K, M) of the cells above `threshold` that no neighbor in a square of
    `window` exceeds: at most `count` each, highest first, equal ones row by row. Unused places have the value 0.
    """
    k = len(heat)
    single = np.float32(threshold)
    if float(single) > threshold:  # see `Peaks.rows`
        single = np.nextafter(single, np.float32(-1))
    square = np.ones((window, window), np.uint8)
    alone = np.stack([cv2.dilate(np.ascontiguousarray(plane), square) == plane for plane in heat])
    joint, cell = np.nonzero((alone & (heat > single)).reshape(k, -1))
    value = heat.reshape(k, -1)[joint, cell]
    order = np.lexsort((cell, -value, joint))
    joint, cell, value = joint[order], cell[order], value[order]
    rank = np.arange(len(joint)) - np.searchsorted(joint, np.arange(k))[joint]
    kept = rank < count
    values, cells = np.zeros((k, count), np.float32), np.zeros((k, count), np.int64)
    values[joint[kept], rank[kept]], cells[joint[kept], rank[kept]] = value[kept], cell[kept]
    return values, cells


def group_published(peaks: Peaks, threshold: float, tag_threshold: float, limit: int) -> np.ndarray:
    """People as the published parser makes them, in the order in which they were begun -> (P, K, 3 + T) float32.

    Keypoint by keypoint, an assignment of all candidates to the first `limit` people is solved, and what then lies
    too far from its person begins a new one. Every candidate must go somewhere, so one new person can move a chain of
    others, and equal costs are common: the solver then decides (here scipy's, not munkres of the original).
    """
    from scipy.optimize import linear_sum_assignment  # of an extra, for its order among equals

    k, depth = len(peaks.values), 3 + peaks.tags.shape[-1]
    people: dict[float, np.ndarray] = {}  # by the first tag of the keypoint that began them
    tags: dict[float, list[np.ndarray]] = {}

    def begin(joint: int, row: np.ndarray) -> None:
        key = float(row[3])
        people.setdefault(key, np.zeros((k, depth)))[joint] = row
        tags[key] = [row[3:].astype(np.float32)]

    for joint in joint_order(k):
        rows = peaks.rows(joint, threshold)
        if len(rows) == 0:
            continue
        if not people:
            for row in rows:
                begin(joint, row)
            continue
        keys = list(people)[:limit]
        means = np.stack([np.mean(tags[key], axis=0) for key in keys])  # (P, T) float32
        distances = np.linalg.norm(rows[:, None, 3:] - means[None], axis=2)  # (n, P)
        costs = np.round(distances) * 100 - rows[:, 2:3]
        spare = len(rows) - len(keys)
        if spare > 0:
            costs = np.concatenate([costs, np.full((len(rows), spare), 1e10)], axis=1)
        for i, j in zip(*linear_sum_assignment(costs), strict=True):
            if j < len(keys) and distances[i, j] < tag_threshold:
                people[keys[j]][joint] = rows[i]
                tags[keys[j]].append(rows[i, 3:].astype(np.float32))
            else:
                begin(joint, rows[i])
    return np.array(list(people.values()), np.float32).reshape(-1, k, depth)


def group(
    peaks: Peaks, threshold: float, tag_threshold: float, limit: int, diagonal: float, nearness: float = NEARNESS
) -> np.ndarray:
    """People, at most `limit`, those with the highest sums of values -> (P, K, 3 + T) float32.

    Unlike the published parser a candidate may begin a person at the price of the tag threshold, so people do not
    push each other about, and everybody found so far takes part. As there, tags that agree to half a unit agree, and
    the higher peak is taken; but here a peak counts more for a person who has more heat already, and who is nearer.
    docs/speed.md has AP beside the published grouping's (benchmarks/decoders.py).
    `diagonal`: of the map, in cells.
    """
    k, depth = len(peaks.values), 3 + peaks.tags.shape[-1]
    most = k * peaks.values.shape[1]
    people = np.zeros((most, k, depth))
    sums, counts = np.zeros((most, depth)), np.zeros((most, 1))  # of the keypoints that a person has
    found = 0
    for joint in joint_order(k):
        rows = peaks.rows(joint, threshold)
        n = len(rows)
        if n == 0:
            continue
        targets = np.full(n, -1)
        if found:
            means = sums[:found] / counts[:found]  # (P, 3 + T)
            apart = rows[:, None, 3:] - means[None, :, 3:]
            distances = np.abs(apart[..., 0]) if depth == 4 else np.sqrt((apart**2).sum(-1))  # (n, P)
            steps = rows[:, None, :2] - means[None, :, :2]
            near = np.exp(-nearness / diagonal * np.sqrt((steps**2).sum(-1)))
            costs = STEP * np.round(distances) - rows[:, 2:3] * (1 + sums[:found, 2]) * near
            costs[distances >= tag_threshold] = np.inf
            targets = assign(costs, np.full(n, STEP * round(tag_threshold) + k + 3))  # above every cost
        fresh = targets < 0
        targets[fresh] = found + np.arange(fresh.sum())
        found += int(fresh.sum())
        people[targets, joint] = rows
        sums[targets] += rows
        counts[targets] += 1
    kept = np.arange(found)
    if found > limit:
        kept = np.sort(np.argsort(-sums[:found, 2], kind="stable")[:limit])
    return people[kept].astype(np.float32)


def assign(costs: np.ndarray, refusals: np.ndarray) -> np.ndarray:
    """The column (n,) of each row of costs (n, P) for the lowest sum, or -1 at the cost of the row's refusal (n,).

    Costs may be infinite. Where every row can have its own best column, nothing is solved.
    """
    n, columns = costs.shape
    best = costs.argmin(1)
    lowest = costs[np.arange(n), best]
    best[lowest >= refusals] = -1
    wanted = best[best >= 0]
    if len(np.unique(wanted)) == len(wanted):
        return best
    refused = np.full((n, n), 1e6)
    np.fill_diagonal(refused, refusals)
    _, chosen = assignment(np.concatenate([np.minimum(costs, 1e6), refused], axis=1))
    return np.where(chosen < columns, chosen, -1)


def adjust(people: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Peaks in cells -> a quarter of a cell towards the higher neighbor, and half a cell more: (P, K, 3 + T).

    The half makes up for the rounding down of the targets. Equal neighbors move it back, as published.
    """
    found = people[..., 2] > 0
    person, joint = np.nonzero(found)
    x, y = people[found][:, 0].astype(int), people[found][:, 1].astype(int)
    moved = people.copy()
    moved[person, joint, :2] += 0.5 + quarters(heat, joint, x, y)
    return moved


def quarters(heat: np.ndarray, joint: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A quarter of a cell towards the higher neighbor in x and in y of cells (n,) of maps (K, H, W) -> (n, 2)."""
    height, width = heat.shape[1:]
    right = heat[joint, y, np.minimum(x + 1, width - 1)] > heat[joint, y, np.maximum(x - 1, 0)]
    below = heat[joint, np.minimum(y + 1, height - 1), x] > heat[joint, np.maximum(y - 1, 0), x]
    return np.where(np.stack([right, below], axis=-1), 0.25, -0.25)


def person_tags(people: np.ndarray) -> np.ndarray:
    """Mean tags of the keypoints that each person has, (P, K, 3 + T) -> (P, T) float32."""
    found = people[..., 2:3] > 0
    return (people[..., 3:] * found).sum(1) / np.maximum(found.sum(1), 1)


def refine_published(people: np.ndarray, heat: np.ndarray, tags: np.ndarray) -> np.ndarray:
    """Missing keypoints (value 0) of adjusted people from anywhere on the maps (K, H, W) and (T, K, H, W).

    Every cell counts with its heat less the rounded distance of its tags from the person's; only where the best
    cell's heat is positive is it taken.
    """
    refined, own = people.copy(), person_tags(people)
    for p, j in zip(*np.nonzero(people[..., 2] == 0), strict=True):
        if not (people[p, :, 2] > 0).any():
            continue
        distances = np.sqrt(((tags[:, j] - own[p][:, None, None]) ** 2).sum(0))
        y, x = np.unravel_index((heat[j] - np.round(distances)).argmax(), heat[j].shape)
        _fill(refined, heat, np.array([p]), int(j), np.array([x]), np.array([y]))
    return refined


def refine(people: np.ndarray, heat: np.ndarray, tags: np.ndarray) -> np.ndarray:
    """Missing keypoints of adjusted people: the hottest cell above FLOOR whose tags are the person's, to half a unit.

    Of maps (K, H, W) and (T, K, h, w), where tags may be coarser than heat. The published search over every cell ends
    at the same one wherever such a cell exists, and otherwise guesses among the background, where this finds nothing.
    """
    refined, own = people.copy(), person_tags(people)
    (height, width), (rows, columns) = heat.shape[1:], tags.shape[2:]
    for j in range(len(heat)):
        missing = np.flatnonzero(people[:, j, 2] == 0)
        cells = np.flatnonzero(heat[j] > FLOOR) if len(missing) else missing
        if len(cells) == 0:
            continue
        if len(cells) > HOTTEST:
            cells = cells[np.argpartition(-heat[j].ravel()[cells], HOTTEST)[:HOTTEST]]
        y, x = np.divmod(cells, width)
        here = tags[:, j, y * rows // height, x * columns // width]  # (T, C)
        apart = np.abs(here[0] - own[missing, 0, None])  # (n, C)
        for t in range(1, len(here)):
            apart = np.hypot(apart, here[t] - own[missing, t, None])
        values = np.where(apart <= 0.5, heat[j].ravel()[cells], 0)
        best = values.argmax(1)
        some = values[np.arange(len(missing)), best] > 0
        _fill(refined, heat, missing[some], j, x[best[some]], y[best[some]])
    return refined


def _fill(people: np.ndarray, heat: np.ndarray, who: np.ndarray, joint: int, x: np.ndarray, y: np.ndarray) -> None:
    """Give keypoint `joint` of people `who` the cells x, y (n,), where their heat is positive."""
    values = heat[joint, y, x]
    sure = values > 0
    who, x, y = who[sure], x[sure], y[sure]
    people[who, joint, :2] = np.stack([x, y], -1) + 0.5 + quarters(heat, np.full(len(x), joint), x, y)
    people[who, joint, 2] = values[sure]
