"""Queues between threads: nothing lost in a file, nothing old in a live source, and every item accounted for."""

from __future__ import annotations

import threading

import pytest

from edgepose.media.lanes import End, Lanes


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
