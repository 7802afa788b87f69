"""Live sources that break: joined again in time, told in events, and never a frame that nobody sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from edgepose.media.live import (
    FIRST_WAIT,
    LONGEST_WAIT,
    Arrival,
    Event,
    Feed,
    feed_of,
    read_live,
    read_recorded,
)
from edgepose.media.sources import Source
from edgepose.media.video import Frame
from tests.runtime.blobs import scene
from tests.runtime.server import Camera

IMAGE = np.zeros((4, 6, 3), np.uint8)


class Play:
    """A source that follows a script: for each time it is opened, a number of frames or what it raises after them."""

    def __init__(self, *acts: int | tuple[int, Exception]) -> None:
        self.acts, self.opened, self.closed = list(acts), 0, 0
        self.now, self.waits = 100.0, list[float]()
        self.arrivals, self.events = list[Arrival](), list[Event]()
        self.stop = threading.Event()

    def open(self) -> Iterator[Frame]:
        act = self.acts[self.opened]
        self.opened += 1
        count, error = act if isinstance(act, tuple) else (act, None)
        try:
            for index in range(count):
                self.now += 0.1
                yield Frame(IMAGE, index / 25, index, pts=index)
            if error is not None:
                self.now += 1.0
                raise error
        finally:
            self.closed += 1

    def pause(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += seconds
        return self.opened == len(self.acts)

    def put(self, arrival: Arrival) -> bool:
        self.arrivals.append(arrival)
        return True

    def run(self, patient: bool = True, **options: object) -> Play:
        feed = Feed("cam", self.open, live=True, patient=patient)
        read_live(feed, self.put, self.events.append, self.stop, clock=lambda: self.now, pause=self.pause, **options)  # type: ignore[arg-type]
        return self

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


def test_frames_are_stamped_by_their_arrival_across_breaks() -> None:
    play = Play(3, (2, ConnectionError("gone")), 1).run()
    assert [a.frame.index for a in play.arrivals] == list(range(6))
    assert [a.frame.time for a in play.arrivals] == pytest.approx([0, 0.1, 0.2, 1.3, 1.4, 3.5])
    assert all(a.frame.pts is None and a.captured == pytest.approx(100.1 + a.frame.time) for a in play.arrivals)
    assert play.kinds() == ["connected", "disconnected", "reconnecting"] * 3
    assert play.closed == play.opened == 3


def test_waits_grow_to_the_longest_and_start_again_after_success() -> None:
    refused = (0, ConnectionError("refused"))
    play = Play(1, *[refused] * 25, 1, refused).run()
    assert play.waits[0] == FIRST_WAIT and play.waits[:26] == sorted(play.waits[:26])
    assert play.waits[25] == LONGEST_WAIT == max(play.waits) and play.waits[26] == FIRST_WAIT
    away, late = 0.0, []
    for wait in play.waits[:26]:
        late.append((away, wait))
        away += wait + 1.0
    assert max(wait for since, wait in late if since < 15) <= 4.0
    assert play.kinds().count("disconnected") == 2, "told once, however often it is tried again"


def test_a_source_that_is_never_there() -> None:
    play = Play(*[(0, ConnectionError("rtsp://me:pw@x/y\n does not play"))] * 3).run()
    assert play.kinds() == ["reconnecting"] * 3 and play.arrivals == []
    assert play.events[0].message == "cam: trying again in 1.0 s, attempt 1: rtsp://***@x/y does not play"
    assert play.events[2].facts["attempt"] == 3


def test_a_camera_that_was_never_there_is_a_mistake_and_one_that_left_is_awaited() -> None:
    with pytest.raises(ConnectionError, match="no camera 7"):
        Play((0, ConnectionError("no camera 7"))).run(patient=False)
    play = Play(1, *[(0, ConnectionError("no camera 7"))] * 3, 1).run(patient=False)
    assert play.kinds().count("connected") == 2 and len(play.arrivals) == 2
    assert not feed_of(Source("7", "camera")).patient and feed_of(Source("rtsp://x/y", "stream")).patient


def test_giving_up() -> None:
    play = Play(1, *[(0, TimeoutError("silent"))] * 20)
    with pytest.raises(ConnectionError, match=r"cam: gave up after \d+ s without a frame: silent"):
        play.run(give_up=10.0)
    assert play.kinds()[-1] == "gave up" and play.now - play.arrivals[-1].captured <= 11.0


def test_no_reconnection() -> None:
    assert Play(2).run(reconnect=False).kinds() == ["connected", "disconnected"]
    with pytest.raises(TimeoutError, match="silent"):
        Play((1, TimeoutError("silent"))).run(reconnect=False)
    with pytest.raises(ConnectionError, match="cam ended: expected frames, got none"):
        Play(0).run(reconnect=False)


def test_it_stops_where_it_is_told_to() -> None:
    play = Play(100)
    play.put = lambda arrival: play.arrivals.append(arrival) or len(play.arrivals) < 3  # type: ignore[method-assign]
    assert len(play.run().arrivals) == 3 and play.closed == 1
    play = Play(100)
    play.stop.set()
    assert play.run().opened == 0


def test_a_recorded_source_is_read_once() -> None:
    play = Play(4)
    read_recorded(Feed("file", play.open), play.put)
    assert [a.frame.time for a in play.arrivals] == [0, 0.04, 0.08, 0.12] and play.arrivals[2].frame.pts == 2


@pytest.mark.parametrize(
    ("source", "live"),
    [
        (Source("0", "camera"), True),
        (Source("rtsp://a:b@host/x", "stream"), True),
        (Source("http://host/stream.mjpg", "stream"), True),
        (Source("https://host/film.MP4?key=1", "stream"), False),
        (Source("film.mp4", "video"), False),
    ],
)
def test_what_is_live(source: Source, live: bool) -> None:
    assert feed_of(source).live is live
    assert feed_of(source, not live).live is not live
    assert "a:b" not in feed_of(source).name


# ------------------------------------------------------------------------------------------------ a real connection


def watch(camera: Camera, enough: int, timeout: float = 60.0, **options: object) -> tuple[list[Arrival], list[Event]]:
    """Frames and events of a camera until there are `enough` frames or it is given up."""
    arrivals, events = list[Arrival](), list[Event]()

    def put(arrival: Arrival) -> bool:
        arrivals.append(arrival)
        return len(arrivals) < enough

    feed = feed_of(Source(camera.url, "stream"), timeout=timeout)
    try:
        read_live(feed, put, events.append, threading.Event(), **options)  # type: ignore[arg-type]
    except OSError as error:
        assert "secret" not in str(error)
    assert "secret" not in str(events)
    return arrivals, events


def test_a_cut_picture_is_not_shown() -> None:
    camera = Camera("cut")
    try:
        arrivals, events = watch(camera, 25, pause=lambda _: False)
    finally:
        camera.kill()
    kinds = [event.kind for event in events]
    assert kinds[:3] == ["connected", "disconnected", "reconnecting"] and kinds.count("connected") == 3
    for arrival in arrivals:
        number = arrival.frame.index % 10  # ten whole pictures per connection
        assert np.abs(arrival.frame.image.astype(int) - scene((40 + number, 100))).mean() < 4


@pytest.mark.parametrize("manner", ["silent", "garbage"])
def test_a_camera_that_sends_nothing_useful(manner: str) -> None:
    camera = Camera(manner)
    try:
        arrivals, events = watch(camera, 1, timeout=0.5, reconnect=False)
    finally:
        camera.kill()
    assert arrivals == [] and [event.kind for event in events] == []
