"""Who is who: what it costs to believe that a pose is a tracked person, and the cheapest way to believe it all."""

from __future__ import annotations

import numpy as np

from edgepose.hungarian import assignment
from edgepose.runtime.tracker.motion import CORNER_SIGMA, Seen, States, mean_shift
from edgepose.runtime.tracker.tracks import Tracks

GATE = 18.4  # chi-square, 2 degrees of freedom, 99.99 %: where a body may be

_STEADY = 8e-4  # variance of a body that is well known, squared sizes: costs count from there
_TURNED = 4.0  # cost of not going on as before
_FAST = 5.0  # speed of the fastest newcomers, sizes/s
_SHAPE = 8.0  # cost of a layout that has nothing in common
# Cost of each limb one variance further off than chance has it, and how far counts, on average. In a crowd that passes
# on one line limbs are what tells people apart; without the bound noise alone would make people new.
_LIMB, _UNLIKE = 0.7, 1.0
_NEWCOMER = 1.0  # cost of preferring somebody who was seen once or twice


def costs(
    tracks: Tracks, ahead: States, gaps: np.ndarray, seen: Seen, limbs: np.ndarray, sigmas: np.ndarray
) -> np.ndarray:
    """Cost (T, N) of every pair of tracked people and poses, inf for pairs outside the gate.

    `ahead` is where the people should be now, `gaps` (T,) seconds after they were seen. The cost is twice a negative
    log-likelihood: how far the body is from where it should be (Mahalanobis) and how uncertain that was; how much the
    points differ with the bodies laid over one another (OKS, the sigmas broadened by what limbs may have moved); how
    much longer or shorter the limbs are.
    """
    errors = seen.points[None] - ahead.points()[:, None]
    errors /= ahead.sizes[:, None, None, None]  # (T, N, P, 2) sizes
    both = ahead.known[:, None] & seen.known[None]  # (T, N, P)
    layout = ahead.offset_spreads[..., 0]  # (T, P)
    shift, noise = mean_shift(errors, both, (layout + seen.noise)[:, None])  # (T, N, 2), (T, N)

    variance = ahead.body_spreads[:, :1] + noise
    distance = (shift**2).sum(-1) / variance
    place = distance + 2 * np.log(variance / _STEADY)
    # Or the person has stopped or turned since: about as far from where they were as they would have gone.
    way = (ahead.bodies - tracks.states.bodies) / ahead.sizes[:, None]  # (T, 2) sizes
    reach = (way**2).sum(1) / 2 + np.where(tracks.hits == 1, _FAST * gaps, 0.0) ** 2
    wide = variance + reach[:, None]
    turned = ((shift + way[:, None]) ** 2).sum(-1) / wide
    place = np.minimum(place, turned + 2 * np.log(wide / _STEADY) + _TURNED)

    errors -= shift[:, :, None]
    spread = (2 * np.append(sigmas, [CORNER_SIGMA] * 2)) ** 2 + layout  # (T, P)
    alike = np.exp((errors**2).sum(-1) / (-2 * spread[:, None]))
    weights = both * np.append(np.ones(len(sigmas)), [0.1, 0.1])  # corners count where there are no keypoints
    oks = (alike * weights).sum(-1) / weights.sum(-1)

    # A person's outline changes while nobody looks, so limbs are compared with more forgiveness then.
    change = (tracks.limbs[:, None] - limbs[None]) ** 2 / (tracks.limb_spreads + 0.05**2 * (1 + gaps[:, None]))[:, None]
    compared = np.isfinite(change) & ~np.isinf(tracks.limb_spreads)[:, None]
    counts = compared.sum(-1)
    unlike = np.where(compared, np.minimum(change, 9.0), 0.0).sum(-1) / np.maximum(counts, 1)
    unlike = counts * np.minimum(unlike - 1, _UNLIKE)

    total = place + _SHAPE * (1 - oks) + _LIMB * unlike + np.where(tracks.hits < 3, _NEWCOMER, 0.0)[:, None]
    return np.where(np.minimum(distance, turned) < GATE, total, np.inf)


def assign(costs: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the cheapest assignment of (T, N) costs, leaving alone whoever would cost over `limit`."""
    if not (costs < limit).any():
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    rows, columns = assignment(np.minimum(costs, limit))
    good = costs[rows, columns] < limit
    return rows[good], columns[good]
