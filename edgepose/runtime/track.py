"""Videos and live sources to frames with people who keep their identities: `edgepose.track`.

A thread per source reads, one runs the networks for all of them in turn, the caller's draws and writes; bounded queues
between them. A file gives every frame at its own time. Of a live source only the newest frame is kept and the others
are counted, so a frame is at most about two runs of the networks old when it comes out.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from edgepose.media.images import MAX_PIXELS
from edgepose.media.live import (
    READ_TIMEOUT,
    Arrival,
    Event,
    EventKind,
    Feed,
    event_of,
    feed_of,
    read_live,
    read_recorded,
)
from edgepose.media.part import MomentLike, Part, part_of
from edgepose.media.sources import Source, expand, frames
from edgepose.media.video import Frame
from edgepose.poses import Poses
from edgepose.runtime.estimator import Detector, Estimator
from edgepose.runtime.follow import Follower
from edgepose.runtime.follow.timing import BudgetReport, Every, Schedule
from edgepose.runtime.load import Device, Runner, load
from edgepose.runtime.resize import Size
from edgepose.runtime.tiles import Grid
from edgepose.runtime.tracker import Tracker
from edgepose.runtime.tracker.smoothing import PresetName, Smoother

RATE = 30.0  # frames per second of pictures in a folder, and of videos without times
DROPPED_EVERY = 10.0  # seconds between two events about frames that were dropped
NAMED = 10  # bad frames of a folder that are named
LINGER = 0.3  # seconds to wait for threads in the end; one inside a read of a dead network ends with its time-out
Item = TypeVar("Item")


@dataclass(frozen=True, eq=False, kw_only=True)
class Tracked(Frame):
    """A frame of a source with its people.

    source:   as messages show it, without passwords
    lane:     number of the source, in the order given
    guessed:  (N,) bool, who was not seen in this frame (no time to look, or held) but is where the tracker expects them
    detected: whether the picture was searched for new people
    captured: time.monotonic() when the frame came; its age is the difference to now
    dropped:  frames of this source that were dropped so far
    """

    poses: Poses = field(default_factory=Poses.nobody)
    source: str = ""
    lane: int = 0
    guessed: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    detected: bool = True
    captured: float = 0.0
    dropped: int = 0


def track(
    source: str | Path | int | Feed | Sequence[str | Path | int | Feed],
    model: Estimator | str | Path | None = None,
    *,
    detect_every: Every = 5,
    smooth: PresetName | None = "default",
    follow: int | None = None,
    hold: float = 0.0,
    keep_sides: bool = True,
    max_latency: float | None = None,
    fps: float | None = None,
    live: bool | None = None,
    reconnect: bool = True,
    give_up: float | None = None,
    timeout: float = READ_TIMEOUT,
    on_event: Callable[[Event], None] | None = None,
    stop: threading.Event | None = None,
    detector: str | Path | Detector | None = "default",
    backend: Runner | None = None,
    threads: int | None = None,
    device: Device = "auto",
    min_box_score: float | None = None,
    max_people: int | None = None,
    flip_test: bool = False,
    detector_size: int | str | Size | None = None,
    tiles: Grid | str | None = None,
    region: Any = None,
    ignore: Any = (),
    start: MomentLike | None = None,
    end: MomentLike | None = None,
    every: MomentLike | None = None,
    min_score: float | None = None,
) -> Iterator[Tracked]:
    """The frames of a source with identities: `.image`, `.time`, `.poses`, `.index` ...

    Args:
        source: a video, a camera number, a URL, a folder or pattern of pictures (one sequence) or of videos, or a list
            of them: these share the model and its threads, and come in turn.
        model: an Estimator, or what `edgepose.load` takes.
        detect_every: frames between two runs of the person detector, or "adaptive".
        smooth: preset of the smoothing, "steady", "default" or "quick"; None for none.
        follow: identity of the one person to return.
        hold: seconds for which people who are not seen any more are returned all the same, where they are expected
            (`guessed`).
        keep_sides: whether left and right of a person stay what they were in the frames before where the network
            exchanges them for a few; see `Tracker`.
        max_latency: seconds that the work on a frame may take; when there are too many people, detections become rarer,
            then each frame looks at some of them (`guessed`).
        fps: frames per second of each source to reach by the same means.
        live: whether to keep only the newest frame; by default for cameras, and URLs that do not end like a video file.
        reconnect, give_up: whether to join a live source again, and seconds without a frame after which not to.
        timeout: seconds of silence of a network source that count as a break.
        on_event: called, in the caller's thread, with connections, drops and lack of time (`live.Event`).
        stop: ends the iteration when it is set, within a fifth of a second.
        detector, backend, threads, device, min_box_score, max_people, flip_test, detector_size, tiles, region, ignore:
            as of `edgepose.load`, for a model that is not an Estimator yet.
        start, end, every: which frames, as of `edgepose.read_video`; their times and numbers are those of the source.
            `detect_every` counts the frames that are left out by `every`, so that people are looked for as often in a
            second as without it. Live sources have no start and end, what is given as a `Feed` none of them.
        min_score: people are shown from when their score first reaches this, for as long as it stays above half of it;
            by default as of `edgepose.load`. They are followed all the same, so that nobody loses the identity.

    Closing the iterator ends its threads. A broken file gives every frame that decodes and then raises ValueError; of
    several sources the others are finished first.
    """
    for name, value in (("give_up", give_up), ("timeout", timeout)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value}, expected a positive number of seconds")
    if min_score is not None and not 0 <= min_score < math.inf:
        raise ValueError(f"min_score is {min_score}, expected a person's least score such as 0.5, or 0 for all")
    part = None if (start, end, every) == (None, None, None) else part_of(start, end, every)
    feeds = feeds_of(source, live, timeout, part=part)
    if not isinstance(model, Estimator):
        estimator = load(
            model,
            detector=detector,
            backend=backend,
            threads=threads,
            device=device,
            min_box_score=min_box_score,
            max_people=max_people,
            flip_test=flip_test,
            detector_size=detector_size,
            tiles=tiles,
            region=region,
            ignore=ignore,
        )
    elif (detector, device, flip_test) != ("default", "auto", False) or any(
        option is not None
        for option in (backend, threads, min_box_score, max_people, detector_size, tiles, region, ignore or None)
    ):
        raise ValueError(
            "detector, backend, threads, device, min_box_score, max_people, flip_test, detector_size, tiles, region "
            "and ignore are for a model to be loaded, got an Estimator: give them to edgepose.load"
        )
    else:
        estimator = model
    # refuse wrong ones here, not at the first frame
    Schedule(detect_every), Smoother(smooth), Tracker(follow=follow, hold=hold, keep_sides=keep_sides)
    run = _Run(feeds, on_event, stop or threading.Event(), reconnect, give_up)
    run.followers = [
        Follower(
            estimator,
            detect_every=detect_every,
            min_score=min_score,
            tracker=Tracker(follow=follow, hold=hold, keep_sides=keep_sides),
            smoother=Smoother(smooth),
            max_latency=None if max_latency is None else max_latency / len(feeds),
            fps=None if fps is None else fps * len(feeds),
            report=run.reporter(feed),
        )
        for feed in feeds
    ]
    return run.frames()


def feeds_of(
    source: Any,
    live: bool | None = None,
    timeout: float = READ_TIMEOUT,
    max_pixels: int = MAX_PIXELS,
    part: Part | None = None,
) -> list[Feed]:
    """Feeds of a part of what the caller named; pictures that were named together are one sequence."""
    named = list(source) if isinstance(source, (list, tuple)) else [source]
    feeds: list[Feed] = []
    for one in named:
        if isinstance(one, Feed):
            if part is not None:
                raise ValueError(f"{one.name} is a feed, which opens as it is: expected start, end and every left out")
            feeds.append(one)
            continue
        found = expand(str(one))
        pictures = [single for single in found if single.kind == "picture"]
        if pictures:
            feeds.append(_sequence(str(one), pictures, max_pixels, part))
        feeds += [feed_of(single, live, timeout, max_pixels, part) for single in found if single.kind != "picture"]
    if not feeds:
        raise ValueError("no source: expected a video, camera number, URL or folder, or a list of them")
    return feeds


def _sequence(name: str, pictures: list[Source], max_pixels: int, part: Part | None) -> Feed:
    """Pictures as the frames of one video; those that cannot be read are left out and named in the end."""

    def read() -> Iterator[Frame]:
        bad: list[str] = []
        for index, picture in enumerate(pictures):
            try:
                frame = next(iter(frames(picture, max_pixels)))
            except (ValueError, OSError) as error:
                bad.append(str(error))
                continue
            yield Frame(frame.image, index / RATE, index)
        if bad:
            more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
            raise ValueError(
                f"{name}: expected {len(pictures)} frames, {len(bad)} cannot be read: {'; '.join(bad[:NAMED])}{more}"
            )

    if part is None:
        return Feed(name, read)
    return Feed(name, lambda: part.of(read(), name), spread=part.every is not None)


class _Run:
    """The threads of one call of `track`, and what they share."""

    def __init__(
        self,
        feeds: list[Feed],
        on_event: Callable[[Event], None] | None,
        stop: threading.Event,
        reconnect: bool,
        give_up: float | None,
    ) -> None:
        self.feeds, self.followers = feeds, list[Follower]()
        self._tell: Callable[[Event], None] = on_event or (lambda _: None)
        self._asked_to_stop = stop
        self._reconnect, self._give_up = reconnect, give_up
        self._number: list[int | None] = [None] * len(feeds)  # of the last frame
        self._ended = threading.Event()
        newest = [feed.live for feed in feeds]
        self._read: Lanes[Arrival] = Lanes(newest)
        self._done: Lanes[Tracked] = Lanes(newest)
        self._events: deque[Event] = deque(maxlen=1000)  # from any thread; the caller's tells them
        self._delivered = [0] * len(feeds)
        self._latest, self._shift = [-math.inf] * len(feeds), [0.0] * len(feeds)
        self._told = [(0, -math.inf)] * len(feeds)  # drops and time of the last event about them

    def frames(self) -> Iterator[Tracked]:
        """Everything that comes out, until all sources have ended or somebody closes the generator."""
        threads = [threading.Thread(target=self._reader, args=(i,), daemon=True) for i in range(len(self.feeds))]
        threads.append(threading.Thread(target=self._worker, daemon=True))
        for thread in threads:
            thread.start()
        open_lanes, errors = set(range(len(self.feeds))), list[BaseException]()
        try:
            while open_lanes and not self._asked_to_stop.is_set():
                got = self._done.take(0.1)
                while self._events:
                    self._tell(self._events.popleft())
                if got is None:
                    continue
                lane, item = got
                if isinstance(item, Tracked):
                    self._delivered[lane] += 1
                    self._tell_drops(lane)
                    yield replace(item, dropped=self._dropped(lane))
                else:
                    open_lanes.remove(lane)
                    if item.error is not None:
                        errors.append(item.error)
                        if len(self.feeds) > 1:
                            self._tell_now(lane, "failed", str(item.error))
            self._close(threads)
            while self._events:
                self._tell(self._events.popleft())
            for lane in range(len(self.feeds)):
                self._tell_end(lane)
            if errors:
                raise errors[0]
        finally:
            self._close(threads)

    def reporter(self, feed: Feed) -> BudgetReport:
        """How the follower of a feed reports."""
        return lambda kind, message, facts: self._events.append(event_of(feed, kind, message, **facts))

    def _reader(self, lane: int) -> None:
        feed = self.feeds[lane]

        def put(arrival: Arrival) -> bool:
            return self._read.put(lane, arrival)

        try:
            if feed.live:
                read_live(feed, put, self._events.append, self._ended, reconnect=self._reconnect, give_up=self._give_up)
            else:
                read_recorded(feed, put)
        except BaseException as error:  # of any kind: it goes to the caller, in whose thread it is raised
            self._read.finish(lane, error)
        else:
            self._read.finish(lane)

    def _worker(self) -> None:
        broken = set[int]()
        while (got := self._read.take()) is not None:
            lane, item = got
            if isinstance(item, End):
                if lane not in broken:
                    self._done.finish(lane, item.error)
                continue
            try:
                tracked = self._estimated(lane, item)
            except BaseException as error:  # as above; the other sources go on
                broken.add(lane)
                self._read.shut(lane)
                self._done.finish(lane, error)
            else:
                self._done.put(lane, tracked)

    def _estimated(self, lane: int, arrival: Arrival) -> Tracked:
        frame, follower = arrival.frame, self.followers[lane]
        seconds = frame.index / RATE if frame.time is None else frame.time
        if seconds + self._shift[lane] <= self._latest[lane]:  # some files step back in time; the tracker cannot
            self._shift[lane] = self._latest[lane] + 1 / RATE - seconds
        self._latest[lane] = seconds + self._shift[lane]
        before, self._number[lane] = self._number[lane], frame.index
        passed = max(frame.index - before, 1) if self.feeds[lane].spread and before is not None else 1
        poses = follower(frame.image, self._latest[lane], passed)
        return Tracked(
            image=frame.image,
            time=seconds,
            index=frame.index,
            poses=poses,
            pts=frame.pts,
            time_base=frame.time_base,
            source=self.feeds[lane].name,
            lane=lane,
            guessed=follower.guessed,
            detected=follower.detected,
            captured=arrival.captured,
        )

    def _tell_now(self, lane: int, kind: EventKind, message: str, **facts: Any) -> None:
        self._tell(event_of(self.feeds[lane], kind, message, **facts))

    def _dropped(self, lane: int) -> int:
        return self._read.dropped[lane] + self._done.dropped[lane]

    def _counts(self, lane: int) -> dict[str, int]:
        return {"in": self._read.arrived[lane], "out": self._delivered[lane], "dropped": self._dropped(lane)}

    def _tell_drops(self, lane: int) -> None:
        before, told = self._told[lane]
        dropped, now = self._dropped(lane), time.monotonic()
        if dropped > before and now - told >= DROPPED_EVERY:
            self._told[lane] = (dropped, now)
            self._tell_now(lane, "dropped", f"{dropped} frames dropped so far", **self._counts(lane))

    def _tell_end(self, lane: int) -> None:
        counts = self._counts(lane)
        counts["dropped"] = counts["in"] - counts["out"]  # with what a thread still had in hand
        dropped = f", {counts['dropped']} dropped" if self.feeds[lane].live else ""
        self._tell_now(lane, "ended", f"{counts['out']} frames{dropped}", **counts)

    def _close(self, threads: list[threading.Thread]) -> None:
        if self._ended.is_set():
            return
        self._ended.set()
        self._read.stop()
        self._done.stop()
        deadline = time.monotonic() + LINGER
        for thread in threads:
            with suppress(RuntimeError):  # one that never started
                thread.join(max(0.0, deadline - time.monotonic()))


@dataclass(frozen=True)
class End:
    """The last item of a lane, and what ended it."""

    error: BaseException | None = None


class Lanes(Generic[Item]):
    """One queue per source. Items leave in turn, one lane after the other, so that no lane waits for a busy one.

    A lane holds at most `room` items. One of a file makes `put` wait for room; one that keeps the newest (`newest[i]`)
    never does: what it pushes out is counted in `dropped`, and so is what comes after `shut` or `stop` and what was
    left inside. For every lane arrived = taken + dropped, exactly.
    """

    def __init__(self, newest: Sequence[bool], room: int = 4) -> None:
        self.arrived = [0] * len(newest)
        self.dropped = [0] * len(newest)
        self._newest, self._room = list(newest), room
        self._items: list[deque[Item | End]] = [deque() for _ in newest]
        self._changed = threading.Condition()  # on a lock that its thread may take again
        self._turn = 0
        self._shut = [False for _ in newest]
        self._stopped = False

    def put(self, lane: int, item: Item) -> bool:
        """Add an item; False where nothing goes in any more."""
        with self._changed:
            if not self._newest[lane]:
                self._changed.wait_for(lambda: self._shut[lane] or len(self._items[lane]) < self._room)
            self.arrived[lane] += 1
            if self._shut[lane]:
                self.dropped[lane] += 1
                return False
            self._items[lane].append(item)
            if self._newest[lane] and len(self._items[lane]) > 1:
                self._items[lane].popleft()
                self.dropped[lane] += 1
            self._changed.notify_all()
            return True

    def finish(self, lane: int, error: BaseException | None = None) -> None:
        """No more items: `End` follows the last one. Never waits."""
        with self._changed:
            self._items[lane].append(End(error))
            self._changed.notify_all()

    def take(self, patience: float | None = None) -> tuple[int, Item | End] | None:
        """The next lane that has something, and its oldest item; None after `stop` or `patience` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or any(self._items), patience)
            if self._stopped:
                return None
            for step in range(len(self._items)):
                lane = (self._turn + step) % len(self._items)
                if self._items[lane]:
                    self._turn = lane + 1
                    self._changed.notify_all()
                    return lane, self._items[lane].popleft()
            return None

    def shut(self, lane: int) -> None:
        """Let nothing into a lane from now on, and drop what is in it; its `End` still comes."""
        with self._changed:
            self._shut[lane] = True
            ends = [item for item in self._items[lane] if isinstance(item, End)]
            self.dropped[lane] += len(self._items[lane]) - len(ends)
            self._items[lane] = deque(ends)
            self._changed.notify_all()

    def stop(self) -> None:
        """Shut every lane, and wake everybody who waits: nothing comes out any more."""
        with self._changed:
            self._stopped = True
            for lane in range(len(self._items)):
                self.shut(lane)
