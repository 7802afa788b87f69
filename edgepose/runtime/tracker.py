"""Identities: which person of this frame is which person of the last ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgepose.geometry import iou
from edgepose.poses import Poses


class Tracker:
    """Gives people identities over time.

    tracker = Tracker()
    poses = tracker.update(poses, time=frame.time)   # the same people in the same order, with ids

    Identities count from 1, appear at most once per frame and are never used again. All motion is in seconds and in
    sizes of the person, so frame rate and resolution do not matter. Not for several threads at once.

    follow:   identity of the one person to return, or None for everybody
    memory:   seconds for which a person who is not seen is remembered
    interval: seconds between frames whose time is not given
    """

    def __init__(self, *, follow: int | None = None, memory: float = 3.0, interval: float = 1 / 30) -> None:
        self.followed = follow
        self._memory, self._interval = memory, interval
        self._next, self._time = 1, None
        self._boxes = np.zeros((0, 4), np.float32)
        self._ids = np.zeros(0, np.int64)
        self._poses: Poses | None = None

    @property
    def time(self) -> float | None:
        """Time of the last update in seconds, None before the first."""
        return self._time

    @property
    def lost(self) -> np.ndarray:
        """(L,) int64 identities of established people whom the last update did not see."""
        return np.zeros(0, np.int64)

    def update(self, poses: Poses, time: float | None = None) -> Poses:
        """The people of one frame -> the same people in the same order with `ids` (N,) int64.

        `time` is the frame's, in seconds, and must rise from call to call; without it a frame takes `interval`
        seconds. While following, only that person comes back, or nobody. Raises ValueError when time does not rise.
        """
        self._time = (self._time or 0.0) + self._interval if time is None else time
        ids = np.zeros(len(poses), np.int64)
        overlaps = iou(poses.boxes, self._boxes)
        while overlaps.size and overlaps.max() > 0.1:
            i, j = np.unravel_index(overlaps.argmax(), overlaps.shape)
            ids[i] = self._ids[j]
            overlaps[i], overlaps[:, j] = 0, 0
        for i in np.flatnonzero(ids == 0):
            ids[i] = self._next
            self._next += 1
        self._boxes, self._ids = poses.boxes, ids
        self._poses = replace(poses, ids=ids)
        return self._poses if self.followed is None else self._poses[ids == self.followed]

    def predicted(self, time: float) -> Poses:
        """Where the people seen by the last update are expected at `time` (seconds, not before the last update).

        Keypoints, scores, boxes, person scores and ids; changes nothing. Nobody before the first update.
        """
        return Poses.nobody() if self._poses is None else self._poses

    def follow(self, identity: int | None) -> None:
        """Return only this person from now on; None returns everybody again.

        The person is found again after being hidden, and never exchanged for somebody else: when in doubt, nobody
        comes back. Raises ValueError for an identity that has ended or is no positive integer.
        """
        self.followed = identity

    def cut(self) -> None:
        """A new scene: everybody's identity ends, and whoever is seen next is new. Time goes on."""
        self._boxes, self._ids, self._poses = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), None

    def reset(self) -> None:
        """A new source: like `cut`, and time may start anywhere. Identities still are not used again."""
        self.cut()
        self._time = None
