"""`edgepose.track`: every frame of a file at its time, the newest of a live source, and nothing left behind."""

from __future__ import annotations

import gc
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgepose
from edgepose.media.live import Event, Feed
from edgepose.media.video import Frame, VideoWriter, read_video
from edgepose.poses import Poses
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.track import End, Lanes, Tracked, track
from tests.runtime.blobs import Finder, Shape, estimator, scene
from tests.runtime.server import Camera

TIMES = [0.0, 0.011, 0.05, 0.3, 0.301, 0.37, 1.2, 1.233, 1.5, 2.75]
IMAGE = scene((100, 100))


def resources() -> tuple[int, int]:
    """Threads, and open descriptors, of this process."""
    gc.collect()
    return threading.active_count(), len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def settled(before: tuple[int, int]) -> bool:
    """Whether threads and descriptors are as few as before, now or after a read's time-out."""
    for _ in range(600):
        now = resources()
        if now[0] <= before[0] and now[1] <= before[1]:
            return True
        time.sleep(0.05)
    return False


def clip(path: Path, times: list[float] = TIMES) -> Path:
    with VideoWriter(path) as video:
        for index, at in enumerate(times):
            video.write(Frame(scene((60 + 4 * index, 100)), at, index))
    return path


def feed(count: int, name: str = "frames", live: bool = False) -> Feed:
    return Feed(name, lambda: (Frame(IMAGE, i / 30, i) for i in range(count)), live)


# ------------------------------------------------------------------------------------------------ files


def test_every_frame_and_every_time(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4")
    before = resources()
    frames = list(edgepose.track(str(path), estimator()[0], detect_every=3))
    assert [frame.index for frame in frames] == list(range(len(TIMES)))
    assert [frame.time for frame in frames] == pytest.approx(TIMES, abs=0.001)
    assert all(frame.poses.ids.tolist() == [1] and frame.source == str(path) for frame in frames)
    assert [frame.detected for frame in frames[:4]] == [True, False, False, True]
    assert {frame.dropped for frame in frames} == {0} and not frames[-1].guessed.any()
    assert settled(before)


def test_who_is_held_is_told_apart_in_every_frame() -> None:
    """Two people, of whom one is not there in frames 10 to 13."""
    images = [scene((60 + 2 * i, 100), *([] if 10 <= i < 14 else [(250, 100)])) for i in range(20)]
    source = Feed("frames", lambda: (Frame(image, i / 30, i) for i, image in enumerate(images)))
    plain, held = (list(track(source, estimator()[0], detect_every=2, hold=hold)) for hold in (0.0, 0.5))
    for i, (frame, known) in enumerate(zip(held, plain, strict=True)):
        away = 10 <= i < 14
        (gone,) = {1, 2} - set(plain[10].poses.ids.tolist())
        assert frame.poses.ids.tolist() == [1, 2] and known.poses.ids.tolist() == ([3 - gone] if away else [1, 2])
        assert frame.guessed.tolist() == [away and number == gone for number in (1, 2)]
        assert frame.poses.person_scores[2 - gone] == known.poses.person_scores[-1 if away else 2 - gone]
        assert frame.poses.person_scores[gone - 1] == held[min(i, 9)].poses.person_scores[gone - 1] or i >= 14
        assert np.abs(frame.poses.keypoints[gone - 1].mean(0) - held[9].poses.keypoints[gone - 1].mean(0)).max() < 3
    with pytest.raises(ValueError, match="hold must be a number of seconds"):
        track(source, estimator()[0], hold=-1)


def test_written_again_the_times_are_the_same(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4")
    with VideoWriter(tmp_path / "b.mp4") as video:
        for frame in track(path, estimator()[0]):
            video.write(frame)
    read = [[frame.time for frame in read_video(tmp_path / name)] for name in ("a.mp4", "b.mp4")]
    assert read[0] == pytest.approx(read[1], abs=0.001) and read[1] == pytest.approx(TIMES, abs=0.001)


def test_a_slow_caller_holds_a_file_back() -> None:
    opened = []

    def read() -> Iterator[Frame]:
        for index in range(200):
            opened.append(index)
            yield Frame(IMAGE, index / 30, index)

    frames = track(Feed("file", read), estimator()[0])
    first = next(frames)
    for _ in range(200):
        time.sleep(0.01)
        if len(opened) >= 11:
            break
    assert first.index == 0 and len(opened) <= 12, "bounded queues: four read, one at work, four done, and their hands"
    frames.close()


def test_a_damaged_file_gives_its_frames_and_then_says_so() -> None:
    def read() -> Iterator[Frame]:
        yield from (Frame(IMAGE, i / 30, i) for i in range(7))
        raise ValueError("film.mp4 is cut short")

    seen = []
    with pytest.raises(ValueError, match=r"film\.mp4 is cut short"):
        for frame in track(Feed("film.mp4", read), estimator()[0]):
            seen.append(frame.index)
    assert seen == list(range(7))


def test_what_a_network_raises_reaches_the_caller() -> None:
    class Broken(Shape):
        def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
            raise ZeroDivisionError("in the network")

    before = resources()
    with pytest.raises(ZeroDivisionError, match="in the network"):
        list(track(feed(5000), Estimator(Broken(), Finder())))
    assert settled(before)


def test_times_that_step_back_do_not_stop_it() -> None:
    times = [0.0, 0.1, 0.2, 0.05, 0.1, None, 0.4]
    source = Feed("odd", lambda: (Frame(IMAGE, t, i) for i, t in enumerate(times)))
    frames = list(track(source, estimator()[0]))
    assert [frame.time for frame in frames] == [0.0, 0.1, 0.2, 0.05, 0.1, 5 / 30, 0.4]
    assert all(frame.poses.ids.tolist() == [1] for frame in frames)


def test_a_folder_of_frames_is_one_sequence(tmp_path: Path) -> None:
    for index in range(12):
        cv2.imwrite(str(tmp_path / f"{index}.png"), scene((60 + 3 * index, 100)))
    frames = list(track(tmp_path, estimator()[0]))
    assert [frame.time for frame in frames] == pytest.approx([i / 30 for i in range(12)])
    assert {tuple(frame.poses.ids.tolist()) for frame in frames} == {(1,)}
    assert all(np.array_equal(frame.image, scene((60 + 3 * frame.index, 100))) for frame in frames)


@pytest.mark.parametrize("how", ["close", "break", "forget"])
def test_leaving_early_leaves_nothing_behind(how: str, tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", [i / 30 for i in range(60)])
    before = resources()
    frames = track(path, estimator()[0])
    if how == "break":
        for _ in frames:
            break
    else:
        next(frames)
    if how == "close":
        frames.close()
    del frames
    assert settled(before)


def test_memory_does_not_grow() -> None:
    rooms = []
    small = np.zeros((24, 32, 3), np.uint8)
    source = Feed("long", lambda: (Frame(small.copy(), i / 30, i) for i in range(1500)))
    for frame in track(source, Estimator(Shape(), lambda image: Poses.nobody(edgepose.skeleton.BOX))):
        if frame.index in (300, 1400):
            gc.collect()
            pages = Path("/proc/self/statm").read_text().split()[1] if os.path.exists("/proc/self/statm") else 0
            rooms.append(int(pages) * 4096)
    assert rooms[1] - rooms[0] < 8e6


def test_parameters_have_an_effect() -> None:
    whole, finder, _ = estimator()
    assert len(list(track(feed(12), whole, detect_every=4))) == 12 and finder.calls == 3
    two = Feed("two", lambda: (Frame(scene((60, 60), (200, 150)), i / 30, i) for i in range(4)))
    assert [f.poses.ids.tolist() for f in track(two, estimator()[0], follow=2)] == [[2]] * 4
    stop = threading.Event()
    seen = []
    for frame in track(feed(5000), estimator()[0], stop=stop):
        seen.append(frame.index)
        if len(seen) == 3:
            stop.set()
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detect_every": 0}, "detect_every is 0"),
        ({"smooth": "very"}, "very"),
        ({"give_up": -1.0}, "give_up is -1"),
        ({"timeout": 0.0}, "timeout is 0"),
        ({"fps": 0.0}, "fps is 0"),
        ({"max_latency": float("nan")}, "max_latency is nan"),
    ],
)
def test_wrong_parameters_are_refused_at_once(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        track(feed(1), estimator()[0], **options)  # type: ignore[arg-type]


def test_no_source() -> None:
    with pytest.raises(ValueError, match="no source: expected"):
        track([], estimator()[0])
    with pytest.raises(ValueError, match="no source at nowhere"):
        track("nowhere", estimator()[0])


# ------------------------------------------------------------------------------------------------ live


class Gate:
    """A live source that gives a frame whenever it is asked to, and then waits; so tests need no clock."""

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._passed = threading.Semaphore(0)
        self.sent = 0

    def feed(self, name: str = "cam") -> Feed:
        return Feed(name, self._open, live=True)

    def _open(self) -> Iterator[Frame]:
        while self._orders.get():
            self.sent += 1
            yield Frame(IMAGE, None, self.sent)
            self._passed.release()  # whoever reads has put it where it goes, and wants the next one

    def send(self, count: int) -> None:
        for _ in range(count):
            self._orders.put(True)

    def pass_on(self, count: int) -> None:
        """Send, and wait until all of them have been read."""
        self.send(count)
        for _ in range(count):
            assert self._passed.acquire(timeout=60), "nobody reads"

    def end(self) -> None:
        self._orders.put(False)


def slow(wait: Callable[[], None]) -> Estimator:
    """An estimator that waits for something in every frame."""

    class Slow(Finder):
        def __call__(self, image: np.ndarray) -> Poses:
            wait()
            return super().__call__(image)

    return Estimator(Shape(), Slow())


def test_in_is_out_and_dropped_exactly() -> None:
    gate, turn, events = Gate(), threading.Semaphore(0), list[Event]()
    frames = track(gate.feed(), slow(turn.acquire), detect_every=1, reconnect=False, on_event=events.append)
    seen: list[Tracked] = []
    reader = threading.Thread(target=lambda: seen.extend(frames))
    reader.start()
    for _ in range(10):  # ten frames come while one is looked at
        gate.pass_on(10)
        turn.release()
    gate.end()
    for _ in range(200):
        turn.release()
    reader.join(60)
    end = events[-1]
    assert end.kind == "ended" and end.facts["in"] == gate.sent == 100
    assert end.facts["out"] == len(seen) and end.facts["in"] == end.facts["out"] + end.facts["dropped"]
    assert seen[-1].dropped == end.facts["dropped"], "counted one by one, it is the same"
    indices = [frame.index for frame in seen]
    assert indices == sorted(set(indices)) and indices[-1] == 99 and len(seen) <= 25
    assert [event.kind for event in events if event.kind != "dropped"] == ["connected", "disconnected", "ended"]


def test_a_caller_who_is_slow_gets_the_newest() -> None:
    gate = Gate()
    frames = track(gate.feed(), estimator()[0])
    gate.send(1)
    seen = [next(frames).index]
    assert gate._passed.acquire(timeout=60)
    gate.pass_on(50)
    while seen[-1] != 50:
        seen.append(next(frames).index)
    assert seen[0] == 0 and len(seen) <= 4, "then what was done already, what was at work, and the newest"
    gate.end()
    frames.close()


def test_a_server_that_dies_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgepose.media.live.FIRST_WAIT", 0.05)
    before = resources()
    camera, events, indices, back = Camera(), list[Event](), list[int](), 0
    frames = track(camera.url, estimator()[0], on_event=events.append, timeout=60.0)
    for frame in frames:
        indices.append(frame.index)
        joined = sum(event.kind == "connected" for event in events)
        if joined > back:
            back = joined
            if back == 5:
                break
            camera.drop()
    frames.close()
    camera.kill()
    kinds = [event.kind for event in events]
    assert kinds.count("connected") == 5 and kinds.count("disconnected") == 4
    assert indices == sorted(set(indices)) and all("secret" not in str(event) for event in events)
    assert settled(before)


def test_closing_does_not_wait_for_a_silent_network() -> None:
    camera, before = Camera("silent"), resources()
    stop = threading.Event()
    asking = threading.Thread(target=lambda: camera.joined.wait(60) and stop.set())
    asking.start()
    start = time.monotonic()
    assert list(track(camera.url, estimator()[0], stop=stop, timeout=100.0)) == []
    assert time.monotonic() - start < 60.0, "it waited for the network, which would be silent for 100 s"
    asking.join()
    camera.kill()
    assert settled((before[0] - 1, before[1]))  # without the camera's own thread


def test_giving_up_ends_it() -> None:
    events = list[Event]()
    with pytest.raises(ConnectionError, match="gave up"):
        list(track("http://127.0.0.1:9/live", estimator()[0], give_up=0.5, on_event=events.append))
    assert [event.kind for event in events] == ["gave up", "ended"]


# ------------------------------------------------------------------------------------------------ many


def test_many_sources_share_a_model_and_take_turns() -> None:
    whole, _, shape = estimator()
    frames = list(track([feed(20, "a"), feed(20, "b"), feed(5, "c")], whole))
    counts = {name: sum(frame.source == name for frame in frames) for name in "abc"}
    assert counts == {"a": 20, "b": 20, "c": 5} and sum(shape.batches) == 45
    assert {frame.lane for frame in frames if frame.source == "b"} == {1}
    for name in "abc":  # in order, and everyone with identities of their own
        own = [frame for frame in frames if frame.source == name]
        assert [frame.index for frame in own] == list(range(len(own)))
        assert all(frame.poses.ids.tolist() == [1] for frame in own)


def test_a_frozen_source_does_not_slow_the_others() -> None:
    frozen = Gate()
    got = 0
    frames = track([frozen.feed("frozen"), feed(30, "alive")], estimator()[0])
    for frame in frames:
        got += frame.source == "alive"
        if got == 30:
            break
    frames.close()
    frozen.end()
    assert got == 30


def test_a_broken_source_does_not_end_the_others() -> None:
    def bad() -> Iterator[Frame]:
        yield Frame(IMAGE, 0.0, 0)
        raise ValueError("bad is damaged")

    events, seen = list[Event](), list[str]()
    with pytest.raises(ValueError, match="bad is damaged"):
        for frame in track([Feed("bad", bad), feed(30, "good")], estimator()[0], on_event=events.append):
            seen.append(frame.source)
    assert seen.count("good") == 30 and seen.count("bad") == 1
    assert [event.source for event in events if event.kind == "failed"] == ["bad"]


def test_the_time_of_a_frame_is_divided_among_sources() -> None:
    told: dict[str, list[Event]] = {}
    for count in (1, 4):
        events = told.setdefault(str(count), [])
        sources = [feed(40, f"{i}") for i in range(count)]
        list(track(sources, slow(lambda: time.sleep(0.004)), fps=100.0, detect_every=1, on_event=events.append))
    assert any(event.kind == "behind" for event in told["4"])


def test_options_of_loading(tmp_path: Path) -> None:
    write_clip = tmp_path / "a.mp4"
    with VideoWriter(write_clip) as video:
        for _ in range(3):
            video.write(edgepose.example_image())
    frames = list(track(write_clip, detector="default", threads=1, device="cpu", max_people=1, flip_test=True))
    assert [len(frame.poses) for frame in frames] == [1, 1, 1]
    assert [len(frame.poses) for frame in track(write_clip, min_box_score=0.99)] == [0, 0, 0]
    with pytest.raises(ValueError, match="unknown device 'cuda'"):
        track(write_clip, device="cuda")  # type: ignore[arg-type]
    made = estimator()[0]
    for option in ({"detector": None}, {"threads": 1}, {"max_people": 0}, {"flip_test": True}, {"device": "cpu"}):
        with pytest.raises(ValueError, match="are for a model to be loaded, got an Estimator"):
            track(write_clip, made, **option)  # type: ignore[arg-type]


def test_pts_travel_on() -> None:
    source = Feed("a", lambda: iter([Frame(IMAGE, 0.5, 0, pts=7, time_base=Fraction(1, 14))]))
    frame = next(iter(track(source, estimator()[0])))
    assert (frame.pts, frame.time_base) == (7, Fraction(1, 14))
    assert (frame.source, frame.lane, frame.index, frame.time) == ("a", 0, 0, 0.5)
    with pytest.raises(TypeError, match="positional"):  # by name only
        Tracked(IMAGE, 0.5, 0, frame.poses)  # type: ignore[misc]


# ------------------------------------------------------------------------------------------------ queues


def test_a_file_waits_for_room_and_keeps_everything() -> None:
    lanes: Lanes[int] = Lanes([False], room=2)
    done = threading.Event()

    def fill() -> None:
        for i in range(50):
            assert lanes.put(0, i)
        lanes.finish(0)
        done.set()

    thread = threading.Thread(target=fill)
    thread.start()
    taken = []
    while not isinstance((item := lanes.take(60)[1]), End):  # type: ignore[index]
        taken.append(item)
    thread.join(60)
    assert taken == list(range(50)) and done.is_set()
    assert (lanes.arrived, lanes.dropped) == ([50], [0])


def test_a_live_lane_keeps_the_newest_and_counts_the_rest() -> None:
    lanes: Lanes[int] = Lanes([True])
    assert all(lanes.put(0, i) for i in range(10))
    assert lanes.take() == (0, 9) and lanes.dropped == [9]
    lanes.put(0, 10)
    lanes.finish(0)
    assert lanes.take() == (0, 10)  # the end does not push out the last frame
    assert isinstance(lanes.take()[1], End)  # type: ignore[index]
    assert lanes.arrived == [11] and lanes.take(0.01) is None


def test_lanes_take_turns() -> None:
    lanes: Lanes[str] = Lanes([False, False, True])
    for item in "ab":
        lanes.put(0, item)
        lanes.put(2, item.upper())
    assert [lanes.take() for _ in range(3)] == [(0, "a"), (2, "B"), (0, "b")]
    lanes.put(0, "c")
    lanes.put(1, "x")
    assert [lanes.take(), lanes.take()] == [(1, "x"), (0, "c")]


def test_stop_wakes_everybody_and_what_is_left_counts_as_dropped() -> None:
    lanes: Lanes[int] = Lanes([False, True], room=1)
    lanes.put(0, 1)
    lanes.put(1, 2)
    refused: list[bool] = []
    waiting = threading.Thread(target=lambda: refused.append(lanes.put(0, 3)))
    waiting.start()
    lanes.stop()
    waiting.join(60)
    assert refused == [False] and lanes.take() is None
    assert lanes.put(1, 4) is False
    assert lanes.arrived == [2, 2] == lanes.dropped


def test_stop_wakes_a_taker() -> None:
    lanes: Lanes[int] = Lanes([False])
    got: list[object] = ["nothing yet"]
    taker = threading.Thread(target=lambda: got.append(lanes.take()))
    taker.start()
    lanes.stop()
    taker.join(60)
    assert got[-1] is None and not taker.is_alive()


def test_a_lane_can_be_shut_alone() -> None:
    lanes: Lanes[int] = Lanes([False, False])
    lanes.put(0, 1)
    lanes.put(1, 2)
    lanes.shut(0)
    assert lanes.put(0, 3) is False and lanes.put(1, 4) is True
    lanes.finish(0, ValueError("bad"))
    lane, item = lanes.take()  # type: ignore[misc]
    assert lane == 0 and isinstance(item, End) and str(item.error) == "bad"
    assert lanes.take() == (1, 2) and lanes.dropped == [2, 0]


@pytest.mark.parametrize("newest", [False, True])
def test_threads_account_for_every_item(newest: bool) -> None:
    lanes: Lanes[int] = Lanes([newest] * 4, room=3)
    threads = [
        threading.Thread(target=lambda lane=lane: [lanes.put(lane, i) for i in range(500)] and lanes.finish(lane))
        for lane in range(4)
    ]
    for thread in threads:
        thread.start()
    taken, ended = [0] * 4, 0
    while ended < 4:
        lane, item = lanes.take(60)  # type: ignore[misc]
        ended += isinstance(item, End)
        taken[lane] += not isinstance(item, End)
    for thread in threads:
        thread.join(60)
    assert [a - d for a, d in zip(lanes.arrived, lanes.dropped, strict=True)] == taken
    assert lanes.arrived == [500] * 4 and (newest or taken == [500] * 4)


# ------------------------------------------------------------------------------------------------ parts


def test_fewer_frames_and_the_same_people(tmp_path: Path) -> None:
    """Three frames of four are left out: the detector runs as often in a second as before, and identities hold."""
    path = tmp_path / "a.mp4"
    with VideoWriter(path) as video:
        for index in range(48):
            video.write(Frame(scene((40 + 2 * index, 100), (280 - 2 * index, 190)), index / 24, index))
    whole = list(track(path, estimator()[0], detect_every=8))
    part = list(track(path, estimator()[0], detect_every=8, start="0.5s", every=4))
    assert [frame.index for frame in part] == list(range(12, 48, 4))
    assert [frame.time for frame in part] == [whole[frame.index].time for frame in part]
    assert [frame.detected for frame in part] == [i % 2 == 0 for i in range(9)]
    assert all(frame.poses.ids is not None and frame.poses.ids.tolist() == [1, 2] for frame in part)
    for frame in part[1:]:
        assert np.abs(frame.poses.boxes - whole[frame.index].poses.boxes).max() < 12


def test_pictures_as_frames_have_parts_by_number(tmp_path: Path) -> None:
    for index in range(9):
        cv2.imwrite(str(tmp_path / f"{index}.png"), scene((60 + index, 100)))
    assert [frame.index for frame in track(tmp_path, estimator()[0], start=2, end=8, every=3)] == [2, 5]
    assert [frame.index for frame in track(tmp_path, estimator()[0], every="0.1s")] == [0, 3, 6]


def test_what_has_no_parts() -> None:
    with pytest.raises(ValueError, match="frames is a feed, which opens as it is"):
        track(feed(3), estimator()[0], start=1)
    with pytest.raises(ValueError, match="7 is live and has no beginning"):
        track(7, estimator()[0], end="3s")
    with pytest.raises(ValueError, match="tiles, region and ignore are for a model to be loaded"):
        track(feed(3), estimator()[0], region="0,0,10,10")
