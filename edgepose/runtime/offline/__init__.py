"""Files done well: what a pass over a file found, gone through once more when all of it is known.

Tracks of one person are joined, left and right made consistent, short gaps filled and marked, and points smoothed
without delay. `finished` does it to a `Recording`; `files.track_offline` makes one of a file and shows it with its
pictures. In memory are 60 bytes for each person in a frame, and one track at a time (2 KB per frame, of COCO's
keypoints); the rest lies in temporary files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from edgepose.media.part import moment_of
from edgepose.runtime.offline.filling import filled_track
from edgepose.runtime.offline.joining import ends_of, joined
from edgepose.runtime.offline.recording import Moment, Recording, Rows, known_points
from edgepose.runtime.offline.sides import exchanged
from edgepose.runtime.offline.smoothing import Butterworth, require_scipy, smooth_track

Person = Literal["all", "largest", "longest"]
MAX_GAP, ORDER, JOIN = 0.5, 4, 2.0
# Hz. Gait laboratories take 6 for markers; a network's points are noisier: 4 has the smallest error of drawn people who
# walk, 3 of those who stand, 6 of those who run (`benchmarks/offline.py --noise 0.005`).
CUTOFF = 4.0
SCORE = 0.3  # least score of a keypoint that was seen; others are filled, or stay as they are
_LASTING = 0.25  # part of the frames of the longest track that somebody must have to be the largest


@dataclass(frozen=True)
class Settings:
    """What is done to a recording.

    max_gap: seconds between two frames with a point (or person), up to which those between are filled; 0.5 and "0.5s"
        are seconds, a whole number counts the frames to be filled; 0 fills none
    cutoff:  Hz of the low-pass filter, both runs together; None: no smoothing, for which no scipy is needed
    order:   of the filter, both runs together: 2, 4, 6 or 8
    join:    seconds from the end of a track up to which another one may go on with it; 0 joins none
    sides:   whether to put right left and right
    person:  "all"; "longest", who is there for the most frames; "largest", whose box is the largest in half of their
        frames, of those who are there for at least a quarter as long as the longest; or an identity
    score:   least score of a keypoint that counts as seen
    """

    max_gap: float | str = MAX_GAP
    cutoff: float | None = CUTOFF
    order: int = ORDER
    join: float = JOIN
    sides: bool = True
    person: Person | int = "all"
    score: float = SCORE

    def __post_init__(self) -> None:
        gap_of(self.max_gap)
        if self.cutoff is not None and not 0 < self.cutoff < math.inf:
            raise ValueError(f"cutoff must be a positive number of Hz, or None for no smoothing, got {self.cutoff!r}")
        if self.order not in (2, 4, 6, 8):
            raise ValueError(f"order must be 2, 4, 6 or 8, of both runs of the filter together, got {self.order!r}")
        if not 0 <= self.join < math.inf:
            raise ValueError(f"join must be a number of seconds, 0 for not at all, got {self.join!r}")
        if self.person not in ("all", "largest", "longest") and not isinstance(self.person, int):
            raise ValueError(f"person must be all, largest, longest or an identity, got {self.person!r}")

    def require(self) -> None:
        """ModuleNotFoundError where something that is needed is not installed."""
        if self.cutoff is not None:
            require_scipy()


def gap_of(word: float | str) -> tuple[float, int | None]:
    """What `max_gap` says: seconds, and the number of frames where these are counted."""
    moment = moment_of(word, "max_gap")
    if moment is not None and moment.frames is not None:
        return math.inf, moment.frames
    return (moment.seconds if moment is not None else None) or 0.0, None


@dataclass(frozen=True, eq=False)
class Finished:
    """A recording when all has been done.

    joined:    {identity that a track had: that of the person it belongs to}
    exchanged: points of which left and right were put right, in all frames
    filled:    persons, and points of others, that were filled in, in all frames
    notes:     sentences about what could not be done
    """

    recording: Recording
    rows: Rows
    joined: dict[int, int]
    exchanged: int
    filled: tuple[int, int]
    notes: tuple[str, ...] = ()
    chosen: tuple[int, ...] = field(default=())

    def __iter__(self) -> Iterator[Moment]:
        """Every frame, with the chosen people in the order of their identities."""
        rows = self.rows.read()
        return self.recording.moments(rows)

    def close(self) -> None:
        """Free what it takes on the disk."""
        self.rows.close()


def finished(recording: Recording, settings: Settings | None = None) -> Finished:
    """Do to a recording what `settings` say. ValueError where the chosen person is not there."""
    settings = settings or Settings()
    settings.require()
    rows, clock = recording.rows.read(), recording.clock
    ids, frames = np.array(rows["id"]), np.array(rows["frame"])
    tracks = _tracks(ids, frames)
    limbs = np.array(recording.skeleton.limbs, np.int64).reshape(-1, 2)
    same: dict[int, int] = {}
    if settings.join:
        ends = [ends_of(rows[at], clock[frames[at]], limbs, settings.score) for at in tracks.values()]
        same = joined(ends, settings.join)
        for other, identity in same.items():
            ids[tracks[other]] = identity
        tracks = _tracks(ids, frames)
    chosen = _chosen(settings.person, tracks, rows, same)
    result = Rows(rows.dtype)
    swapped, people, points, notes = 0, 0, 0, dict[str, None]()
    for identity in chosen:
        track = np.array(rows[tracks[identity]])
        track["id"] = identity
        if settings.sides:
            swapped += _put_right(track, clock, recording, settings)
        track = filled_track(track, clock, settings.score, *gap_of(settings.max_gap))
        people += int(track["filled"].sum())
        points += int(track["filled_keypoints"][~track["filled"]].sum())
        if settings.cutoff is not None:
            note = smooth_track(track, clock, settings.score, Butterworth(settings.cutoff, settings.order))
            notes |= {note: None} if note else {}
        result.add(track)
    return Finished(recording, result, same, swapped, (people, points), tuple(notes), tuple(chosen))


def _tracks(ids: np.ndarray, frames: np.ndarray) -> dict[int, np.ndarray]:
    """Identity -> its rows, in the order of time."""
    order = np.lexsort((frames, ids))
    starts = np.flatnonzero(np.diff(ids[order], prepend=-1))
    return {int(ids[part[0]]): part for part in np.split(order, starts[1:]) if len(part)}


def _chosen(person: Person | int, tracks: dict[int, np.ndarray], rows: np.ndarray, same: dict[int, int]) -> list[int]:
    if person == "all" or not tracks:
        return sorted(tracks)
    if isinstance(person, int):
        person = same.get(person, person)
        if person not in tracks:
            known = ", ".join(map(str, sorted(tracks)[:20])) + (", ..." if len(tracks) > 20 else "")
            raise ValueError(f"there is no person {person}: expected largest, longest, all or one of {known}")
        return [person]
    longest = max(tracks, key=lambda identity: (len(tracks[identity]), -identity))
    if person == "longest":
        return [longest]

    def size(identity: int) -> float:
        boxes = rows["box"][tracks[identity]].astype(np.float64)
        return float(np.median((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])))

    lasting = [one for one in sorted(tracks) if len(tracks[one]) >= _LASTING * len(tracks[longest])]
    return [max(lasting, key=size)]


def _put_right(track: np.ndarray, clock: np.ndarray, recording: Recording, settings: Settings) -> int:
    boxes = track["box"].astype(np.float64)
    sizes = np.sqrt(np.maximum(boxes[:, 2:] - boxes[:, :2], 1).prod(1))
    points = track["keypoints"].astype(np.float64)
    wrong = exchanged(points, known_points(track, settings.score), sizes, clock[track["frame"]], recording.skeleton)
    flip = recording.skeleton.flip
    track["keypoints"] = np.where(wrong[..., None], track["keypoints"][:, flip], track["keypoints"])
    track["scores"] = np.where(wrong, track["scores"][:, flip], track["scores"])
    return int(wrong.sum())
