"""Identities: which person of this frame is which person of the frames before.

The parts are old ones put together with care: a Kalman filter per body and per point (motion.py), costs that are
likelihoods of motion, keypoint layout and limb lengths (association.py), the cheapest assignment of all people at once
with sure poses before unsure ones (ByteTrack, Zhang et al., ECCV 2022, section 3).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgepose.poses import Poses
from edgepose.runtime.tracker.association import assign, costs
from edgepose.runtime.tracker.motion import Seen
from edgepose.runtime.tracker.tracks import ESTABLISHED, Tracks, joined, limb_lengths, taken
from edgepose.skeleton import COCO, Skeleton

_LIMIT, _LIMIT_UNSURE = 33.0, 20.0  # of the cost of a pair, in units of chi-square
_PATIENCE = (0.3, 1.0)  # seconds for which somebody who was seen once, twice is remembered
_BLINK = 0.5  # seconds without being seen after which an unsure pose revives nobody
_MARGIN = 3.0  # by how much the followed person must fit better than anybody else to be found again


class Tracker:
    """Gives people identities over time.

        tracker = Tracker()
        poses = tracker.update(poses, time=frame.time)   # the same people in the same order, with ids

    Identities count from 1, appear at most once per frame and are never used again. All motion is in seconds and in
    sizes of the person, so frame rate and resolution do not matter. People without keypoints (a detector's boxes) are
    tracked by their boxes. Not for several threads at once.

    follow:         identity of the one person to return, or None for everybody
    memory:         seconds for which a person who is not seen is remembered; the followed one is for ever
    hold:           seconds for which established people who are not seen are returned all the same, after those who
                    are, where they are expected and with the scores that they were last seen with; `rows` tells them
                    apart. 0 by default: what comes back is what was given, row by row, and
                    nobody is shown on a guess. With a detector that misses one person in ten, IDF1 against everybody
                    in the picture cannot exceed 0.947 so; with 0.1 it is 0.99 for one person and 0.96 in a crowd, but
                    against those detected it falls from 0.99 to 0.95. `edgepose.track` needs none: it looks for known
                    people in every frame, whether the detector found them or not
    sure:           people scored below this, and below half of the frame's best, are matched after the others
    keypoint_score: keypoints scored no higher than this are not used
    interval:       seconds between frames whose time is not given
    """

    def __init__(
        self,
        *,
        follow: int | None = None,
        memory: float = 3.0,
        hold: float = 0.0,
        sure: float = 0.3,
        keypoint_score: float = 0.2,
        interval: float = 1 / 30,
    ) -> None:
        for name, value in (("memory", memory), ("interval", interval)):
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name} must be a positive number of seconds, got {value!r}")
        if not (hold >= 0 and math.isfinite(hold)):
            raise ValueError(f"hold must be a number of seconds, 0 for not at all, got {hold!r}")
        self._hold = hold
        self._memory, self._sure, self._keypoint_score, self._interval = memory, sure, keypoint_score, interval
        self._next = 1
        self._time: float | None = None
        self._skeleton = COCO
        self._tracks: Tracks | None = None
        self._followed: int | None = None
        self._rows = np.zeros(0, np.int64)
        self.follow(follow)

    @property
    def time(self) -> float | None:
        """Seconds, of the last update; None before the first."""
        return self._time

    @property
    def followed(self) -> int | None:
        """Identity of the one person who is returned, None for everybody."""
        return self._followed

    @property
    def lost(self) -> np.ndarray:
        """(L,) int64 identities of established people whom the last update did not see."""
        if self._tracks is None:
            return np.zeros(0, np.int64)
        return np.sort(self._tracks.ids[(self._tracks.states.times != self._time) & self._established()])

    @property
    def rows(self) -> np.ndarray:
        """(N,) int64, for each person of the last result: the row of the input that it is, -1 for who is held."""
        return self._rows

    def update(self, poses: Poses, time: float | None = None, owners: np.ndarray | None = None) -> Poses:
        """The people of one frame -> the same people in the same order with `ids` (N,) int64; then those held.

        `time` is the frame's, in seconds, and must rise from call to call; without it a frame takes `interval`
        seconds. While following, only that person comes back, or nobody. Raises ValueError when time does not rise,
        when the skeleton changes while people are tracked, and for a person without a place.

        owners: (N,) identity of the person where each pose was looked for, 0 for none. A pose that fits nobody, from
            the place of somebody whom no other pose fits, is that person's.
        """
        now = self._now(time)
        if len(poses):
            self._adopt(poses.skeleton)
        seen = Seen.of(poses, self._keypoint_score)
        limbs = limb_lengths(seen, poses.skeleton.limbs)
        ids = np.zeros(len(poses), np.int64)
        parts: list[Tracks] = []
        if self._tracks is not None and len(self._tracks):
            parts, ids = self._matched(self._tracks, poses, seen, limbs, now, owners)
        fresh = ids == 0
        ids[fresh] = np.arange(self._next, self._next + fresh.sum())
        self._next += int(fresh.sum())
        if fresh.any():
            parts.append(Tracks.new(poses[fresh], seen[fresh], limbs[fresh], ids[fresh], now))
        self._tracks = joined(parts) if parts else None
        self._time = now
        found, rows = replace(poses, ids=ids), np.arange(len(poses))
        if self._hold and self._tracks is not None:
            away = now - self._tracks.states.times
            held = self._expected((away > 0) & (away <= self._hold) & self._established(), now)
            found, rows = _both(found, held), np.append(rows, np.full(len(held), -1))
        if self._followed is not None:
            wanted = np.flatnonzero(found.ids == self._followed)
            found, rows = found[wanted], rows[wanted]
        self._rows = rows
        return found

    def predicted(self, time: float) -> Poses:
        """Where the people seen by the last update are expected at `time` (seconds, not before that update).

        Keypoints (those never seen are at the middle of the body), boxes and ids, with the scores of the last update.
        Only the followed person while following. Changes nothing; nobody before the first update.
        """
        if self._time is not None and not self._time <= time < math.inf:
            raise ValueError(f"cannot predict {time!r}: expected seconds from the last update at {self._time} onwards")
        if self._tracks is None:
            return Poses.nobody(self._skeleton)
        present = self._tracks.states.times == self._time
        if self._followed is not None:
            present &= self._tracks.ids == self._followed
        return self._expected(present, time)

    def follow(self, identity: int | None) -> None:
        """Return only this person from now on; None returns everybody again.

        The person is found again after being hidden, and never exchanged for somebody else: when in doubt, nobody
        comes back. An identity that was not given yet is waited for. Raises ValueError for one that has ended, and
        for what is no positive integer.
        """
        if identity is not None:
            if isinstance(identity, bool) or not isinstance(identity, (int, np.integer)) or identity < 1:
                raise ValueError(f"cannot follow {identity!r}: expected an identity, which is an integer from 1")
            known = [] if self._tracks is None else self._tracks.ids.tolist()
            if identity < self._next and identity not in known:
                raise ValueError(f"cannot follow {identity}: that identity has ended, expected one of {sorted(known)}")
            identity = int(identity)
        self._followed = identity

    def cut(self) -> None:
        """A new scene: every identity ends, the followed one too, and whoever is seen next is new. Time goes on."""
        self._tracks = None

    def reset(self) -> None:
        """A new source: a cut after which time may start anywhere. Identities still are not used again."""
        self.cut()
        self._time = None

    def _established(self) -> np.ndarray:
        assert self._tracks is not None
        return np.asarray(self._tracks.hits >= ESTABLISHED)

    def _expected(self, people: np.ndarray, time: float) -> Poses:
        """Those of `people` (T,) bool where they should be at `time`."""
        assert self._tracks is not None
        tracks = taken(self._tracks, np.flatnonzero(people)[np.argsort(self._tracks.ids[people])])
        points = tracks.states.ahead(time, self._memory).points()  # (T, K + 2, 2)
        boxes = points[:, -2:].reshape(-1, 4)
        return Poses(points[:, :-2], tracks.scores, boxes, tracks.person_scores, self._skeleton, tracks.ids)

    def _now(self, time: float | None) -> float:
        if time is None:
            return 0.0 if self._time is None else self._time + self._interval
        now = float(time)
        if not math.isfinite(now) or (self._time is not None and now <= self._time):
            last = "" if self._time is None else f" above {self._time}, the last frame's"
            raise ValueError(f"time must be seconds{last}, got {time!r}; call reset() for a new source")
        return now

    def _adopt(self, skeleton: Skeleton) -> None:
        if self._tracks is not None and skeleton != self._skeleton:
            raise ValueError(
                f"people with skeleton {self._skeleton.name} are tracked, got {skeleton.name}; call reset() to change"
            )
        self._skeleton = skeleton

    def _matched(
        self, tracks: Tracks, poses: Poses, seen: Seen, limbs: np.ndarray, now: float, owners: np.ndarray | None
    ) -> tuple[list[Tracks], np.ndarray]:
        """Tracks that go on (seen, and not seen but remembered), and ids (N,) of the poses with 0 for new people."""
        ids = np.zeros(len(poses), np.int64)
        gaps = now - tracks.states.times
        alive = (gaps <= self._memory) | (tracks.ids == self._followed)
        tracks, gaps = taken(tracks, alive), gaps[alive]
        ahead = tracks.states.ahead(now, self._memory)
        rows = columns = np.zeros(0, np.int64)
        if len(tracks) and len(poses):
            total = costs(tracks, ahead, gaps, seen, limbs, poses.skeleton.sigmas)
            rows, columns = self._pairs(total, gaps, poses.person_scores, tracks.ids == self._followed)
            if owners is not None:
                more = _left_over(tracks.ids, owners, rows, columns)
                rows, columns = np.append(rows, more[0]), np.append(columns, more[1])
        ids[columns] = tracks.ids[rows]
        missed = np.ones(len(tracks), bool)
        missed[rows] = False
        parts = []
        if len(rows):
            before = self._time
            again = tracks.states.times[rows] != before
            people = taken(tracks, rows)
            parts.append(
                people.seen(poses[columns], seen[columns], limbs[columns], taken(ahead, rows), gaps[rows], again)
            )
        if missed.any():
            tracks = tracks.doubted(missed)
            patience = np.select([tracks.hits == 1, tracks.hits == 2], _PATIENCE, self._memory)
            patience = np.where(tracks.ids == self._followed, np.inf, patience)
            parts.append(taken(tracks, missed & (now - tracks.states.times < patience)))
        return parts, ids

    def _pairs(
        self, total: np.ndarray, gaps: np.ndarray, scores: np.ndarray, followed: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Who is who by costs (T, N): sure poses first, then the others with whoever was here a moment ago."""
        sure = scores >= min(self._sure, scores.max() / 2)
        rows, columns = assign(np.where(sure, total, np.inf), _LIMIT)
        if not sure.all():
            left = gaps < _BLINK
            left[rows] = False
            more_rows, more_columns = assign(np.where(left[:, None] & ~sure, total, np.inf), _LIMIT_UNSURE)
            rows, columns = np.concatenate([rows, more_rows]), np.concatenate([columns, more_columns])
        doubtful = followed[rows] & (gaps[rows] > _BLINK)
        if doubtful.any():
            free = np.ones(total.shape[1], bool)
            free[columns] = False
            for i in np.flatnonzero(doubtful):
                rivals = total[rows[i], free]
                if len(rivals) and rivals.min() < total[rows[i], columns[i]] + _MARGIN:
                    return np.delete(rows, i), np.delete(columns, i)
        return rows, columns


def _left_over(
    ids: np.ndarray, owners: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of tracks (T,) and poses (N,), besides `rows` and `columns`, whose pose was looked for there."""
    same = ids[:, None] == owners
    same[rows], same[:, columns] = False, False
    return same.nonzero()


def _both(first: Poses, second: Poses) -> Poses:
    """The people of both, in order; nobody has any skeleton."""
    if not len(first) or not len(second):
        return first if len(first) else second
    return Poses(
        np.concatenate([first.keypoints, second.keypoints]),
        np.concatenate([first.scores, second.scores]),
        np.concatenate([first.boxes, second.boxes]),
        np.concatenate([first.person_scores, second.person_scores]),
        first.skeleton,
        None if first.ids is None or second.ids is None else np.concatenate([first.ids, second.ids]),
    )
