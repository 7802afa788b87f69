"""Identities: which person of this frame is which person of the last ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from edgepose.poses import Poses
from edgepose.runtime.association import GATE, NEVER, assign, costs
from edgepose.runtime.motion import Seen, States, joined
from edgepose.skeleton import Skeleton


class Tracker:
    """Gives people identities over time."""

    def __init__(
        self,
        *,
        follow: int | None = None,
        memory: float = 3.0,
        sure: float = 0.3,
        keypoint_score: float = 0.2,
        interval: float = 1 / 30,
    ) -> None:
        self.followed = follow
        self._memory, self._interval, self._sure, self._keypoint_score = memory, interval, sure, keypoint_score
        self._next = 1
        self._time: float | None = None
        self._forget()

    def _forget(self) -> None:
        self._states: States | None = None
        self._ids = np.zeros(0, np.int64)
        self._hits = np.zeros(0, np.int64)
        self._poses: Poses | None = None

    def update(self, poses: Poses, time: float | None = None) -> Poses:
        now = (0.0 if self._time is None else self._time + self._interval) if time is None else float(time)
        if self._time is not None and now <= self._time:
            raise ValueError("time")
        seen = Seen.of(poses, self._keypoint_score)
        ids = self._matched(poses, seen, now)
        self._time = now
        found = replace(poses, ids=ids)
        return found if self.followed is None else found[ids == self.followed]

    def _matched(self, poses: Poses, seen: Seen, now: float) -> np.ndarray:
        n = len(poses)
        ids = np.zeros(n, np.int64)
        if self._states is None:
            self._states = States.new(seen, now)
            self._ids = ids = self._new(n)
            self._hits = np.ones(n, np.int64)
            return ids
        states = self._states
        gaps = now - states.times
        alive = gaps <= self._memory
        states, gaps, self._ids, self._hits = states[alive], gaps[alive], self._ids[alive], self._hits[alive]
        ahead = states.ahead(now)
        rows = columns = np.zeros(0, np.int64)
        if len(states) and n:
            total, distance = costs(ahead, states, gaps, seen, poses.skeleton.sigmas)
            total = total + (self._hits < 3)[:, None] * 1.0
            total = np.where(distance < GATE, total, NEVER)
            sure = poses.person_scores >= self._sure
            if not sure.any():
                sure[:] = True
            rows, columns = assign(np.where(sure, total, NEVER), 40.0)
            left = np.ones(len(states), bool)
            left[rows] = False
            if not sure.all():
                more_rows, more_columns = assign(np.where(~sure & (left & (gaps < 0.5))[:, None], total, NEVER), 20.0)
                rows, columns = np.concatenate([rows, more_rows]), np.concatenate([columns, more_columns])
        ids[columns] = self._ids[rows]
        fresh = np.ones(n, bool)
        fresh[columns] = False
        ids[fresh] = self._new(fresh.sum())
        missed = np.ones(len(states), bool)
        missed[rows] = False
        keep = np.flatnonzero(missed & (gaps < np.select([self._hits == 1, self._hits == 2], [0.3, 1.0], self._memory)))
        updated = ahead[rows].corrected(seen[columns], gaps[rows])
        self._states = joined([states[keep], updated, States.new(seen[fresh], now)])
        self._hits = np.concatenate([self._hits[keep], self._hits[rows] + 1, np.ones(fresh.sum(), np.int64)])
        self._ids = np.concatenate([self._ids[keep], ids[columns], ids[fresh]])
        return ids

    def _new(self, count: int) -> np.ndarray:
        self._next += int(count)
        return np.arange(self._next - count, self._next)

    def cut(self):
        self._forget()
