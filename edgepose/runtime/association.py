"""Who is who: what it costs to believe that a pose is a tracked person, and the cheapest way to believe it all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgepose.runtime.motion import CORNER_SIGMA, Seen, States, mean_shift
from edgepose.skeleton import Skeleton

GATE = 18.4  # chi-square, 2 degrees of freedom, 99.99 %: where a body may be
NEVER = 1e6

_SHAPE = 8.0  # cost of a layout that has nothing in common
_LIMBS = 4.0  # cost per squared standard deviation of the limb lengths
_STEADY = 8e-4  # variance of a body that is well known, squared sizes
_TURNED = 4.0  # cost of not going on as before
_BROADER = 2.0  # OKS sigmas forgive an annotator; a moving person gets this much more


@dataclass(frozen=True, eq=False)
class Limbs:
    """Logarithms of limb lengths: what stays the same of a person who was hidden. Mean and variance (T, L) over time.

    weights (T, L) seconds for which each limb was seen, at most _MEMORY
    """

    means: np.ndarray
    variances: np.ndarray
    weights: np.ndarray


def limb_lengths(seen: Seen, skeleton: Skeleton) -> np.ndarray:
    """(N, L) logarithms of lengths in pixels; NaN where an end is not known. A person without limbs has their box."""
    pairs = np.array([*skeleton.limbs, (len(skeleton), len(skeleton) + 1)])
    ends = seen.points[:, pairs]  # (N, L, 2, 2)
    lengths = np.log(np.maximum(np.hypot(*np.moveaxis(ends[:, :, 0] - ends[:, :, 1], -1, 0)), 1e-3))
    return np.where(seen.known[:, pairs].all(-1), lengths, np.nan)


def costs(now: States, last: States, gaps: np.ndarray, seen: Seen, sigmas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cost of every pair of tracked people (T) and poses (N) -> (T, N), and the gated distance alone.

    `now` is `last` carried `gaps` (T,) seconds forward. The cost is twice a negative log-likelihood: how far the body
    is from where it should be (Mahalanobis), how uncertain that was, and how much the layout of points differs when
    the bodies are laid over one another (OKS with broader sigmas).
    """
    sizes = now.sizes[:, None, None, None]
    errors = (seen.points[None] - now.points()[:, None]) / sizes  # (T, N, P, 2)
    both = now.known[:, None] & seen.known[None]  # (T, N, P)
    layout = now.offset_spreads[..., 0]  # (T, P)
    shift, noise = mean_shift(errors, both, (layout + seen.noise)[:, None])  # (T, N, 2), (T, N)

    variance = now.body_spreads[:, :1] + noise  # (T, N)
    distance = (shift**2).sum(-1) / variance
    place = distance + 2 * np.log(variance / _STEADY)
    # Or the person has stopped or turned since: about as far from where they were as they would have gone.
    way = (now.bodies - last.bodies) / now.sizes[:, None]  # (T, 2) sizes
    wide = variance + (way**2).sum(1)[:, None] / 2
    turned = ((shift + way[:, None]) ** 2).sum(-1) / wide
    place = np.minimum(place, turned + 2 * np.log(wide / _STEADY) + _TURNED)
    distance = np.minimum(distance, turned)

    errors -= shift[:, :, None]
    spread = (_BROADER * 2 * np.append(sigmas, [CORNER_SIGMA] * 2)) ** 2
    spread = spread + np.minimum(layout, 0.01)
    alike = np.exp((errors**2).sum(-1) / (-2 * spread[:, None]))
    weights = both * np.append(np.ones(len(sigmas)), [0.1, 0.1])
    oks = (alike * weights).sum(-1) / weights.sum(-1)
    return place + _SHAPE * (1 - oks), distance


def assign(costs: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (rows, columns) of the cheapest assignment of (T, N) costs, leaving alone what would cost over `limit`."""
    if not costs.size or costs.min() >= limit:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    from scipy.optimize import linear_sum_assignment  # 0.4 s to import

    rows, columns = linear_sum_assignment(np.minimum(costs, limit))
    good = costs[rows, columns] < limit
    return rows[good], columns[good]
