"""Identities: which person of this frame is which person of the frames before.

The parts are old ones put together with care: a Kalman filter per body and per point (tracks.py), costs that are
likelihoods of motion, keypoint layout and limb lengths, the cheapest assignment of all people at once with sure poses
before unsure ones (ByteTrack, Zhang et al., ECCV 2022, section 3).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgepose.hungarian import assignment
from edgepose.poses import Poses
from edgepose.runtime.tracker.sides import exchanged, pairs_of, settled, turned_round
from edgepose.runtime.tracker.tracks import (
    CORNER_SIGMA,
    ESTABLISHED,
    Seen,
    States,
    Tracks,
    joined,
    limb_lengths,
    mean_shift,
    taken,
)
from edgepose.skeleton import COCO, Skeleton

_LIMIT, _LIMIT_UNSURE = 33.0, 20.0  # of the cost of a pair, in units of chi-square
_PATIENCE = (0.3, 1.0)  # seconds for which somebody who was seen once, twice is remembered
_BLINK = 0.5  # seconds without being seen after which an unsure pose revives nobody
_MARGIN = 3.0  # by how much the followed person must fit better than anybody else to be found again

# What a pair costs.
_GATE = 18.4  # chi-square, 2 degrees of freedom, 99.99 %: where a body may be
_STEADY = 8e-4  # variance of a body that is well known, squared sizes: costs count from there
_TURNED = 4.0  # cost of not going on as before
_FAST = 5.0  # speed of the fastest newcomers, sizes/s
_SHAPE = 8.0  # cost of a layout that has nothing in common
# Cost of each limb one variance further off than chance has it, and how far counts, on average. In a crowd that passes
# on one line limbs are what tells people apart; without the bound noise alone would make people new.
_LIMB, _UNLIKE = 0.7, 1.0
_NEWCOMER = 1.0  # cost of preferring somebody who was seen once or twice


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
    sure:           people scored below this, and uncalibrated also below half of the frame's best, are matched after
                    the others; None: as suits the scores (`Poses.thresholds`)
    keypoint_score: keypoints scored no higher than this are not used; None: as suits the scores
    interval:       seconds between frames whose time is not given
    keep_sides:     whether left and right of a person stay what they were in the frames before, as far as motion and
                    the scores of all frames speak for it (sides.py): keypoints that the network exchanges for a few
                    frames are exchanged back. Without effect where a skeleton has no mirrored keypoints
    """

    def __init__(
        self,
        *,
        follow: int | None = None,
        memory: float = 3.0,
        hold: float = 0.0,
        sure: float | None = None,
        keypoint_score: float | None = None,
        interval: float = 1 / 30,
        keep_sides: bool = True,
    ) -> None:
        for name, value in (("memory", memory), ("interval", interval)):
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name} must be a positive number of seconds, got {value!r}")
        if not (hold >= 0 and math.isfinite(hold)):
            raise ValueError(f"hold must be a number of seconds, 0 for not at all, got {hold!r}")
        self._hold = hold
        self._keep_sides = keep_sides
        self._memory, self._sure, self._keypoint_score, self._interval = memory, sure, keypoint_score, interval
        self._next = 1
        self._time: float | None = None
        self._skeleton = COCO
        self._calibrated = False  # scores of the last people
        self._tracks: Tracks | None = None
        self._followed: int | None = None
        self._rows = np.zeros(0, np.int64)
        self._pairs = pairs_of(COCO) if keep_sides else np.zeros((0, 2), np.int64)
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

        Left and right keypoints of a person may come back exchanged (`keep_sides`).

        `time` is the frame's, in seconds, and must rise from call to call; without it a frame takes `interval`
        seconds. While following, only that person comes back, or nobody. Raises ValueError when time does not rise,
        when the skeleton changes while people are tracked, and for a person without a place.

        owners: (N,) identity of the person where each pose was looked for, 0 for none. A pose that fits nobody, from
            the place of somebody whom no other pose fits, is that person's.
        """
        now = self._now(time)
        if len(poses):
            self._adopt(poses.skeleton)
            self._calibrated = poses.calibrated
        known = poses.thresholds.used if self._keypoint_score is None else self._keypoint_score
        seen = Seen.of(poses, known)
        limbs = limb_lengths(seen, poses.skeleton.limbs)
        ids = np.zeros(len(poses), np.int64)
        parts: list[Tracks] = []
        if self._tracks is not None and len(self._tracks):
            parts, ids, poses = self._matched(self._tracks, poses, seen, limbs, now, owners)
        fresh = ids == 0
        ids[fresh] = np.arange(self._next, self._next + fresh.sum())
        self._next += int(fresh.sum())
        if fresh.any():
            parts.append(Tracks.new(poses[fresh], seen[fresh], limbs[fresh], ids[fresh], now, len(self._pairs)))
        self._tracks = joined(parts) if parts else None
        self._time = now
        found, rows = replace(poses, ids=ids), np.arange(len(poses))
        if self._hold and self._tracks is not None:
            away = now - self._tracks.states.times
            held = self._expected((away > 0) & (away <= self._hold) & self._established(), now)
            if len(held):  # nobody has any skeleton
                found = Poses.concatenate([found, held]) if len(found) else held
                rows = np.append(rows, np.full(len(held), -1))
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
        return Poses(
            points[:, :-2], tracks.scores, boxes, tracks.person_scores, self._skeleton, tracks.ids, self._calibrated
        )

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
        if self._keep_sides and skeleton != self._skeleton:
            self._pairs = pairs_of(skeleton)
        self._skeleton = skeleton

    def _matched(
        self, tracks: Tracks, poses: Poses, seen: Seen, limbs: np.ndarray, now: float, owners: np.ndarray | None
    ) -> tuple[list[Tracks], np.ndarray, Poses]:
        """Tracks that go on (seen, and not seen but remembered), ids (N,) of the poses with 0 for new people, and the
        poses with left and right as the tracks have them.
        """
        ids = np.zeros(len(poses), np.int64)
        gaps = now - tracks.states.times
        alive = (gaps <= self._memory) | (tracks.ids == self._followed)
        tracks, gaps = taken(tracks, alive), gaps[alive]
        ahead = tracks.states.ahead(now, self._memory)
        rows = columns = np.zeros(0, np.int64)
        if len(tracks) and len(poses):
            total = _costs(tracks, ahead, gaps, seen, limbs, poses.skeleton.sigmas)
            sure = poses.thresholds.matched if self._sure is None else self._sure
            if not poses.calibrated:  # raw ones may be low altogether
                sure = min(sure, poses.person_scores.max() / 2)
            rows, columns = self._assigned(total, gaps, poses.person_scores >= sure, tracks.ids == self._followed)
            if owners is not None:
                more = _left_over(tracks.ids, owners, rows, columns)
                rows, columns = np.append(rows, more[0]), np.append(columns, more[1])
        ids[columns] = tracks.ids[rows]
        missed = np.ones(len(tracks), bool)
        missed[rows] = False
        parts = []
        if len(rows):
            again = tracks.states.times[rows] != self._time
            people, ahead = taken(tracks, rows), taken(ahead, rows)
            exchange, turned, odds = settled(self._pairs, ahead, people.sides, poses[columns], seen.noise, gaps[rows])
            ahead = turned_round(ahead, self._pairs, turned)
            if exchange.any():
                whole = np.zeros((len(poses), len(self._pairs)), bool)
                whole[columns] = exchange
                poses = exchanged(poses, self._pairs, whole)
                known = poses.thresholds.used if self._keypoint_score is None else self._keypoint_score
                seen = Seen.of(poses, known)
                limbs = limb_lengths(seen, poses.skeleton.limbs)
            parts.append(people.seen(poses[columns], seen[columns], limbs[columns], ahead, gaps[rows], again, odds))
        if missed.any():
            tracks = tracks.doubted(missed)
            patience = np.select([tracks.hits == 1, tracks.hits == 2], _PATIENCE, self._memory)
            patience = np.where(tracks.ids == self._followed, np.inf, patience)
            parts.append(taken(tracks, missed & (now - tracks.states.times < patience)))
        return parts, ids, poses

    def _assigned(
        self, total: np.ndarray, gaps: np.ndarray, sure: np.ndarray, followed: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Who is who by costs (T, N): sure poses first, then the others with whoever was here a moment ago."""
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


def _costs(
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
    return np.where(np.minimum(distance, turned) < _GATE, total, np.inf)


def assign(costs: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the cheapest assignment of (T, N) costs, leaving alone whoever would cost over `limit`."""
    near = costs < limit
    if (near.sum(0) < 2).all() and (near.sum(1) < 2).all():  # nobody has a choice
        rows, columns = near.nonzero()
        return rows, columns
    rows, columns = assignment(np.minimum(costs, limit))
    good = costs[rows, columns] < limit
    return rows[good], columns[good]
