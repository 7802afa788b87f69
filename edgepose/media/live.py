"""Live sources: read in a thread, joined again when they break, and never kept waiting.

Tools that read a camera on demand fall minutes behind, hang for ever in a read, or make up a black frame when the
camera drops (ultralytics' issues 4211 and 11784 on GitHub, OpenCV's 22677). Here a frame is what a source gave, once,
and everything that happens to the connection is an event.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from edgepose.media.images import MAX_PIXELS
from edgepose.media.part import Part
from edgepose.media.sources import Source, frames
from edgepose.media.video import Frame, read_part, without_password

# Seconds before the first and between the last attempts to join again. A factor of 1.25 waits about a fifth of the
# time that a source has been away, so one that comes back within 15 s is seen again within 4.
FIRST_WAIT, LONGEST_WAIT, WAIT_FACTOR = 1.0, 30.0, 1.25
READ_TIMEOUT = 4.0
RECORDED = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")  # a URL that ends so is a file on a server


EventKind = Literal[
    "connected", "disconnected", "reconnecting", "gave up", "dropped", "behind", "caught up", "failed", "ended"
]


@dataclass(frozen=True)
class Event:
    """Something that happened to a source other than a frame.

    kind: "connected", "disconnected", "reconnecting", "gave up" (live sources), "dropped" (frames, with the counts in
        `facts`), "behind" and "caught up" (frame budget), "failed" (one of many sources), "ended" (with final counts)
    message: one sentence, without passwords
    time: time.monotonic() in seconds
    """

    kind: EventKind
    source: str
    message: str
    time: float
    facts: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {"event": self.kind, "source": self.source, "message": self.message, **self.facts}


Report = Callable[[Event], None]


@dataclass(frozen=True)
class Feed:
    """Where the frames of one source come from: `open` starts from its beginning, or joins it where it is now.

    spread: of a recorded one some frames are left out on purpose; the numbers of the others say how many.
    """

    name: str
    open: Callable[[], Iterator[Frame]]
    live: bool = False
    patient: bool = True  # a live source may not be there yet at the start
    spread: bool = False


def feed_of(
    source: Source,
    live: bool | None = None,
    timeout: float = READ_TIMEOUT,
    max_pixels: int = MAX_PIXELS,
    part: Part | None = None,
) -> Feed:
    """The feed of a picture, video, camera or stream.

    live: whether only its newest frame counts; by default of cameras and of URLs that do not end like a video file
    timeout: seconds after which a silent network source counts as broken
    part: of its frames; a live source has neither a beginning nor an end to count from
    """
    name = without_password(source.name)
    live = is_live(source) if live is None else live
    if live and part is not None and (part.start is not None or part.end is not None):
        raise ValueError(f"{name} is live and has no beginning: start and end are for files; leave them out")
    spread = part is not None and part.every is not None and not live
    if source.kind == "stream":
        return Feed(name, lambda: read_part(source.location, part, max_pixels, timeout), live, spread=spread)
    # A server comes back by itself; a camera number without a camera is most often a mistake.
    return Feed(name, lambda: frames(source, max_pixels, part), live, patient=False, spread=spread)


def is_live(source: Source) -> bool:
    """Whether a source goes on by itself: a camera, and a URL that does not end like a video file."""
    finite = Path(urlsplit(source.location).path).suffix.lower() in RECORDED
    return source.kind == "camera" or (source.kind == "stream" and not finite)


@dataclass(frozen=True)
class Arrival:
    """A frame, and when it came by time.monotonic()."""

    frame: Frame
    captured: float


def read_recorded(feed: Feed, put: Callable[[Arrival], bool]) -> None:
    """Every frame of a file, as fast as `put` takes them, until it says False."""
    with closing(_generator(feed)) as opened:
        for frame in opened:
            if not put(Arrival(frame, time.monotonic())):
                return


def read_live(
    feed: Feed,
    put: Callable[[Arrival], bool],
    report: Report,
    stop: threading.Event,
    *,
    reconnect: bool = True,
    give_up: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], bool] | None = None,
) -> None:
    """Every frame of a live source until `stop` is set or `put` says False; joins it again whenever it breaks.

    Raises what opening raised where the feed is not `patient` and has never given a frame.

    A frame's time is when it came, in seconds since the first: what servers state starts anew with every connection
    and is made up for MJPEG. Its index counts all frames that came.

    Args:
        reconnect: False: the first break is the end, an error where something broke or no frame came.
        give_up: seconds without a frame after which to raise ConnectionError; None: never.
        clock, pause: for tests; `pause` waits so many seconds and says whether it is time to stop.
    """
    pause = pause or stop.wait
    count, start = 0, 0.0
    attempt, wait, last = 0, FIRST_WAIT, clock()
    while not stop.is_set():
        reason, joined = "ended", False
        try:
            with closing(_generator(feed)) as opened:
                for frame in opened:
                    last = clock()
                    if not joined:
                        joined, attempt, wait = True, 0, FIRST_WAIT
                        start = start if count else last
                        height, width = frame.image.shape[:2]
                        report(
                            event_of(feed, "connected", f"connected, {width} x {height}", width=width, height=height)
                        )
                    stamped = replace(frame, time=last - start, index=count, pts=None, time_base=None)
                    count += 1
                    if not put(Arrival(stamped, last)) or stop.is_set():
                        return
        except (ValueError, OSError) as error:
            reason = without_password(" ".join(str(error).split()))
            if not reconnect or not (count or feed.patient):
                raise
        if joined:
            report(event_of(feed, "disconnected", f"disconnected, {reason}", frames=count))
        if not reconnect:
            if not count:
                raise ConnectionError(f"{feed.name} {reason}: expected frames, got none; check the source")
            return
        attempt += 1
        away = clock() - last
        if give_up is not None and away + wait > give_up:
            report(event_of(feed, "gave up", f"gave up after {away:.0f} s without a frame: {reason}", frames=count))
            raise ConnectionError(f"{feed.name}: gave up after {away:.0f} s without a frame: {reason}")
        message = f"trying again in {wait:.1f} s, attempt {attempt}" + ("" if joined else f": {reason}")
        report(event_of(feed, "reconnecting", message, attempt=attempt, wait=round(wait, 3)))
        if pause(wait):
            return
        wait = min(wait * WAIT_FACTOR, LONGEST_WAIT)


def event_of(feed: Feed, kind: EventKind, message: str, **facts: Any) -> Event:
    """What happened to a feed just now; the message begins with its name, once."""
    told = message if message.startswith(feed.name) else f"{feed.name}: {message}"
    return Event(kind, feed.name, told, time.monotonic(), facts)


def _generator(feed: Feed) -> Any:
    """The frames as something that can be closed, so that its file is closed at once and in this thread."""
    opened = feed.open()
    return opened if hasattr(opened, "close") else (frame for frame in opened)
