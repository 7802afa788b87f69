"""What is remembered of each tracked person, one row per person in every array."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np

from edgepose.poses import Poses
from edgepose.runtime.tracker.motion import Seen, States

ESTABLISHED = 3  # sightings after which somebody is more than a slip of the detector
SETTLED = 3  # sightings in a row after which a recovered person is believed to be the right one

_LIMB_SPREAD = 0.1  # standard deviation of a limb's logarithm at first, and 0.04 of one that never changes
_LIMB_TIME = 2.0  # seconds over which the look of a limb is remembered

Table = TypeVar("Table", "Tracks", States)


@dataclass(eq=False)
class Tracks:
    """T tracked people.

    states: where they were when last seen     anchors: where they were before they were last lost
    ids, hits, runs: (T,) identity, sightings, sightings in a row since the anchor
    limbs, limb_spreads: (T, L) mean and variance of the logarithms of limb lengths; NaN and inf where never seen
    scores, person_scores: (T, K), (T,) as last seen
    """

    states: States
    anchors: States
    ids: np.ndarray
    hits: np.ndarray
    runs: np.ndarray
    limbs: np.ndarray
    limb_spreads: np.ndarray
    scores: np.ndarray
    person_scores: np.ndarray

    @staticmethod
    def new(poses: Poses, seen: Seen, limbs: np.ndarray, ids: np.ndarray, time: float) -> Tracks:
        """People seen for the first time; `limbs` (N, L) may hold NaN."""
        states = States.new(seen, time)
        once, settled = np.ones(len(ids), np.int64), np.full(len(ids), SETTLED)
        spreads = np.where(np.isnan(limbs), np.inf, _LIMB_SPREAD**2)
        return Tracks(states, states, ids, once, settled, limbs, spreads, poses.scores, poses.person_scores)

    def __len__(self) -> int:
        return len(self.ids)

    def seen(
        self, poses: Poses, seen: Seen, limbs: np.ndarray, ahead: States, gaps: np.ndarray, missed: np.ndarray
    ) -> Tracks:
        """The same people after another sighting: person i is poses[i], `gaps` (T,) seconds after the one before.

        `missed` (T,) marks those whom the frame before did not show. They may be somebody else, so their old state is
        kept until a few sightings in a row agree.
        """
        rate = 1 - np.exp(-np.minimum(gaps, 0.5) / _LIMB_TIME)
        rate = np.maximum(rate, 1 / (self.hits + 1))[:, None]
        known, first = ~np.isnan(limbs), np.isnan(self.limbs)
        change = np.where(known & ~first, limbs - self.limbs, 0.0)
        means = np.where(first, limbs, self.limbs + rate * change)
        steady = np.where(np.isinf(self.limb_spreads), _LIMB_SPREAD**2, self.limb_spreads)
        spreads = np.where(known & ~first, (1 - rate) * (steady + rate * change**2), steady)
        spreads = np.where(first & ~known, np.inf, np.maximum(spreads, 0.04**2))
        return Tracks(
            states=ahead.corrected(seen, gaps),
            anchors=mixed(missed, self.states, self.anchors),
            ids=self.ids,
            hits=self.hits + 1,
            runs=np.where(missed, 1, self.runs + 1),
            limbs=means,
            limb_spreads=spreads,
            scores=poses.scores,
            person_scores=poses.person_scores,
        )

    def doubted(self, people: np.ndarray) -> Tracks:
        """Those of `people` (T,) bool who vanish again right after being found are put back to where they were lost."""
        doubtful = people & (self.runs < SETTLED)
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["states"] = mixed(doubtful, self.anchors, self.states)
        values["runs"] = np.where(people, SETTLED, self.runs)
        return Tracks(**values)


def limb_lengths(seen: Seen, limbs: tuple[tuple[int, int], ...]) -> np.ndarray:
    """(N, L + 1) logarithms of the lengths in pixels of limbs and box diagonal; NaN where an end is not known."""
    corners = seen.points.shape[1] - 2
    pairs = np.array([*limbs, (corners, corners + 1)])
    ends = seen.points[:, pairs]  # (N, L + 1, 2, 2)
    lengths = np.hypot(*np.moveaxis(ends[:, :, 0] - ends[:, :, 1], -1, 0))
    return np.where(seen.known[:, pairs].all(-1), np.log(np.maximum(lengths, 1.0)), np.nan)


def taken(table: Table, rows: np.ndarray) -> Table:
    """The people of an index array or mask."""
    values: list[Any] = [getattr(table, field.name) for field in fields(table)]
    values = [taken(value, rows) if isinstance(value, States) else value[rows] for value in values]
    return type(table)(*values)


def joined(tables: list[Table]) -> Table:
    """The people of all tables, in order."""
    columns: list[list[Any]] = [[getattr(table, field.name) for table in tables] for field in fields(tables[0])]
    values: list[Any] = [joined(c) if isinstance(c[0], States) else np.concatenate(c) for c in columns]
    return type(tables[0])(*values)


def mixed(first: np.ndarray, a: States, b: States) -> States:
    """Row by row, `a` where `first` (T,) and `b` elsewhere."""
    if not first.any():
        return b
    pairs = ((getattr(a, field.name), getattr(b, field.name)) for field in fields(States))
    return States(*(np.where(first.reshape(-1, *[1] * (x.ndim - 1)), x, y) for x, y in pairs))
