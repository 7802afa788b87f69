"""`edgepose.track_offline`: a file is looked at once, all of it is gone through again, and then it is shown."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgepose.media.live import Feed
from edgepose.media.part import part_of
from edgepose.media.video import Frame
from edgepose.runtime.offline import CUTOFF, JOIN, MAX_GAP, ORDER, Finished, Person, Settings, finished
from edgepose.runtime.offline.recording import Moment, Recording
from edgepose.runtime.track import Tracked, feeds_of, track

# What is for live sources, and what it is here instead.
_OTHERWISE = {
    "smooth": "cutoff and order say how to smooth",
    "follow": "person says whom to return",
    "hold": "max_gap says what is filled",
    "max_latency": "there is time for every frame",
    "fps": "there is time for every frame",
    "live": "every frame counts",
    "reconnect": "a file does not break off",
    "give_up": "a file does not break off",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class TrackedOffline(Tracked):
    """A frame of a file with its people, when all of the file is known.

    size:             (w, h) of the picture, also where images were left out
    filled:           (N,) bool, people who were not seen in this frame
    filled_keypoints: (N, K) bool, points that were not
    """

    size: tuple[int, int] = (0, 0)
    filled: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    filled_keypoints: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), bool))


def track_offline(
    source: str | Path | Feed,
    model: Any = None,
    *,
    max_gap: float | str = MAX_GAP,
    cutoff: float | None = CUTOFF,
    order: int = ORDER,
    join: float = JOIN,
    sides: bool = True,
    person: Person | int = "all",
    images: bool = True,
    **options: Any,
) -> Iterator[TrackedOffline]:
    """The frames of one file, when all of it is known: without delay, gaps filled, identities joined.

    The file is looked at once before the first frame comes, and decoded again to show its pictures.

    Args:
        source, model: as of `edgepose.track`; a video, or a folder or pattern of pictures that are one sequence.
        max_gap: seconds between two frames with a point (or person) up to which those between are filled, on a straight
            line; 0.5 and "0.5s" are seconds, a whole number counts the frames to be filled, 0 fills none.
        cutoff: Hz of the Butterworth low-pass filter, which is run forth and back (-3 dB of both runs together); None
            for no smoothing. Needs the extra `offline`.
        order: of the filter, both runs together: 2, 4, 6 or 8.
        join: seconds from the end of a track up to which one that begins near it is the same person; 0 joins none.
        sides: whether short runs of frames with left and right exchanged are put right.
        person: "all"; "longest", there for the most frames; "largest", by the middle one of the areas of their boxes,
            of those who are there at least a quarter as long as the longest; or an identity.
        images: False leaves the second decoding out: the frames' images are empty.
        options: others of `edgepose.track`: detect_every, detector, backend, threads, device, min_box_score,
            max_people, flip_test, on_event, stop, start, end, every, tiles, region ...

    A broken file gives every frame that decodes and then raises ValueError. That is raised too for a camera or a
    stream and for a person who is not there, and ModuleNotFoundError where scipy is needed and missing.
    """
    settings = Settings(max_gap, cutoff, order, join, sides, person)
    for name, instead in _OTHERWISE.items():
        if name in options:
            raise ValueError(f"{name} is for live tracking, got it for a finished file: leave it out, {instead}")
    settings.require()
    part = {name: options.pop(name, None) for name in ("start", "end", "every")}
    feeds = feeds_of(source, part=None if set(part.values()) == {None} else part_of(**part))
    if len(feeds) != 1:
        raise ValueError(f"expected one file, got {len(feeds)} sources in {source}: call track_offline for each")
    refuse_live(feeds)
    frames = track(list(feeds), model, smooth=None, **options)
    return shown(feeds, frames, settings, images=images, stop=options.get("stop"))


def refuse_live(feeds: list[Feed]) -> None:
    """ValueError where one of them has no end."""
    for feed in feeds:
        if feed.live:
            raise ValueError(f"{feed.name} is live: expected files, since all of a track must be known; save it first")


def shown(
    feeds: list[Feed],
    frames: Iterator[Tracked],
    settings: Settings,
    *,
    images: bool = True,
    stop: threading.Event | None = None,
    on_frame: Callable[[Tracked], None] = lambda frame: None,
    on_finished: Callable[[int, Finished], None] = lambda lane, done: None,
) -> Iterator[TrackedOffline]:
    """The frames of all files, one file after the other, when all is known.

    frames: of the first pass, not smoothed
    on_frame: called with every frame of the first pass; on_finished: with the number of a file and what was done to it
    stop: ends the first pass, whose frames come out, or the second

    A broken file gives every frame that decodes; the error is raised in the end.
    """
    recordings: dict[int, Recording] = {}
    broken: Exception | None = None
    try:
        for frame in frames:
            recording = recordings.get(frame.lane)
            if recording is None:
                recording = recordings[frame.lane] = Recording(frame.poses.skeleton)
            seen = frame.poses[~frame.guessed] if len(frame.guessed) else frame.poses
            recording.add(frame.index, frame.time or 0.0, seen, frame.image)
            on_frame(frame)
    except (ValueError, OSError) as error:
        broken = error
    early = stop is not None and stop.is_set()
    for lane, recording in sorted(recordings.items()):
        with closing(recording.rows):
            done = finished(recording, settings)
        on_finished(lane, done)
        with closing(done):
            for moment, picture in pictured(feeds[lane], iter(done)) if images else ((moment, None) for moment in done):
                if stop is not None and stop.is_set() and not early:
                    return
                yield _frame(feeds[lane], lane, moment, picture)
    if broken is not None:
        raise broken


def _frame(feed: Feed, lane: int, moment: Moment, picture: Frame | None) -> TrackedOffline:
    return TrackedOffline(
        image=np.zeros((0, 0, 3), np.uint8) if picture is None else picture.image,
        time=moment.time,
        index=moment.index,
        pts=None if picture is None else picture.pts,
        time_base=None if picture is None else picture.time_base,
        poses=moment.poses,
        source=feed.name,
        lane=lane,
        guessed=np.zeros(len(moment.poses), bool),
        size=moment.size,
        filled=moment.filled,
        filled_keypoints=moment.filled_keypoints,
    )


def pictured(feed: Feed, moments: Iterator[Moment]) -> Iterator[tuple[Moment, Frame | None]]:
    """Moments with the frames (`video.Frame`) that they are of, decoded again.

    ValueError where the file no longer has them.
    """
    frames = feed.open()
    close = getattr(frames, "close", lambda: None)
    try:
        for moment in moments:
            frame = next((frame for frame in frames if frame.index >= moment.index), None)
            if frame is None or frame.index != moment.index:
                raise ValueError(
                    f"{feed.name} has changed: expected frame {moment.index} in the second pass, it is not there"
                )
            yield moment, frame
    finally:
        close()
