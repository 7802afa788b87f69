"""What scores mean: calibration turns a network's raw scores into probabilities, thresholds say from where they count.

The raw score of a person orders people, and no more: .3 may be nearly certain with one network and nearly nothing with
another. A `Calibration` is measured on labelled pictures (`edgepose.evaluate.calibrate`) and never changes the order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np

MOST_KNOTS = 16
Knots = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Calibration:
    """Raw scores -> probabilities: knots (raw, calibrated), 2 to 16, both rising, straight lines between them.

    person: a person of .5 is as likely as not somebody who is there and found right (OKS of at least .5)
    keypoint: of somebody who is there, a keypoint of .5 is as likely as not labelled and found right: so near that its
        own term of OKS is at least .5. What people who label leave out, mostly as it is hidden, counts as not right
    """

    person: Knots
    keypoint: Knots

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _knots(field.name, getattr(self, field.name)))

    @staticmethod
    def of(values: Any) -> Calibration:
        """From an object of JSON; ValueError where it is none of a calibration."""
        names = [field.name for field in fields(Calibration)]
        if not isinstance(values, Mapping) or set(values) != set(names):
            told = list(values) if isinstance(values, Mapping) else type(values).__name__
            raise ValueError(f"calibration holds {str(told)[:80]}, expected the knots of {' and '.join(names)}")
        return Calibration(**values)

    def of_people(self, raw: np.ndarray) -> np.ndarray:
        """Person scores of any shape -> probabilities."""
        return through(self.person, raw)

    def of_keypoints(self, raw: np.ndarray) -> np.ndarray:
        """Keypoint scores of any shape -> probabilities."""
        return through(self.keypoint, raw)


@dataclass(frozen=True)
class Thresholds:
    """From which scores on people and keypoints count.

    person: people scored lower are left out of results
    drawn: keypoints scored no higher are not drawn
    used: keypoints scored no higher tell the tracker and the smoothing nothing
    confident: from this score on a keypoint counts for a followed person's box
    pose: mean keypoint score from which somebody new is believed at once, and followed for longer without a detection
    collapsed, steady: parts of a person's usual mean keypoint score: below the first nobody is there any more, from the
        second on they are followed though the detector does not find them
    matched: people scored lower, and raw also lower than half of the frame's best, get identities after the others
    """

    person: float
    drawn: float
    used: float
    confident: float
    pose: float
    collapsed: float
    steady: float
    matched: float


# The one place of the defaults. Of raw scores nobody knows what they mean, so everybody is shown.
CALIBRATED = Thresholds(
    person=0.5, drawn=0.5, used=0.04, confident=0.25, pose=0.7, collapsed=0.35, steady=0.85, matched=0.3
)
RAW = Thresholds(person=0.0, drawn=0.3, used=0.2, confident=0.3, pose=0.7, collapsed=0.5, steady=0.9, matched=0.3)


def thresholds(calibrated: bool) -> Thresholds:
    """The defaults for probabilities, or for raw scores."""
    return CALIBRATED if calibrated else RAW


def through(knots: Knots, raw: np.ndarray) -> np.ndarray:
    """Values of any shape along the line of the knots. It never stops rising: before the first knot it goes straight
    on, behind the last one it nears 1.
    """
    x, y = np.array(knots).T
    values = np.asarray(raw, np.float64)
    before = y[0] + (values - x[0]) * (y[1] - y[0]) / (x[1] - x[0])
    beyond = np.maximum(values - x[-1], 0)
    after = y[-1] + (1 - y[-1]) * beyond / (1 + beyond)
    return np.where(values < x[0], before, np.where(values > x[-1], after, np.interp(values, x, y)))


def _knots(name: str, values: Any) -> Knots:
    pairs = list(values) if isinstance(values, (list, tuple)) else []
    good = all(isinstance(pair, (list, tuple)) and len(pair) == 2 and all(map(_is_number, pair)) for pair in pairs)
    if not good or not 2 <= len(pairs) <= MOST_KNOTS:
        raise ValueError(
            f"calibration of {name} scores is {str(values)[:80]}, expected 2 to {MOST_KNOTS} pairs (raw, calibrated)"
        )
    knots = tuple((float(raw), float(calibrated)) for raw, calibrated in pairs)
    for (raw, calibrated), (more, better) in pairwise(knots):
        if not (raw < more and calibrated < better):
            raise ValueError(
                f"calibration of {name} scores goes from {raw, calibrated} to {more, better}, expected both to rise"
            )
    if knots[0][1] < 0 or knots[-1][1] >= 1:
        raise ValueError(
            f"calibration of {name} scores goes from {knots[0][1]} to {knots[-1][1]}, expected probabilities from 0 to "
            "below 1"
        )
    return knots


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and abs(value) < 1e6
