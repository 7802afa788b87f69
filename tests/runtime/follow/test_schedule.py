"""When the detector runs."""

from __future__ import annotations

import numpy as np
import pytest

from edgepose.runtime.follow.schedule import QUIET, SHORTEST, Schedule
from tests.runtime.blobs import scene

NOBODY = np.zeros((0, 4), np.float32)


def runs(schedule: Schedule, images: list[np.ndarray], boxes: np.ndarray = NOBODY, rate: float = 30.0) -> list[int]:
    """Frames in which the detector runs when it never finds anybody new."""
    found = []
    for i, image in enumerate(images):
        if schedule.due(image, i / rate, boxes, False):
            found.append(i)
            schedule.detected(image, i / rate, False)
    return found


@pytest.mark.parametrize("every", [1, 3, 5])
def test_fixed(every: int) -> None:
    assert runs(Schedule(every), [scene()] * 13) == list(range(0, 13, every))


def test_a_new_scene_is_looked_at_at_once() -> None:
    schedule = Schedule(10)
    assert runs(schedule, [scene()] * 3) == [0]
    schedule.restart()
    assert runs(schedule, [scene()] * 3) == [0]


def test_too_little_time_stretches_it() -> None:
    schedule = Schedule(2)
    schedule.due(scene(), 0.0, NOBODY, False)
    schedule.detected(scene(), 0.0, False)
    assert [schedule.due(scene(), i / 30, NOBODY, False, stretched=6) for i in range(1, 7)] == [False] * 5 + [True]


def test_quiet_makes_it_rarer_and_news_more_frequent() -> None:
    schedule = Schedule("adaptive")
    gaps = np.diff(runs(schedule, [scene()] * 80, rate=1000.0))
    assert gaps.tolist() == sorted(gaps.tolist()) and gaps[0] < 10 and gaps[-1] == QUIET
    schedule.detected(scene(), 1.0, True)
    assert schedule.every == SHORTEST


def test_a_second_is_the_most() -> None:
    assert np.diff(runs(Schedule("adaptive"), [scene()] * 60, rate=4.0)).max() == 4


def test_movement_where_nobody_is_known() -> None:
    still, moved = scene(), scene((100, 100))
    images = [still] * 30 + [moved] * 3
    assert 30 in runs(Schedule("adaptive"), images, rate=1000.0)
    around = np.array([[80, 70, 120, 130]], np.float32)
    assert 30 not in runs(Schedule("adaptive"), images, around, rate=1000.0)


def test_the_light_alone_is_no_movement() -> None:
    images = [scene()] * 30 + [scene(gray=110)] * 2
    assert 30 not in runs(Schedule("adaptive"), images, rate=1000.0)


def test_somebody_lost_is_looked_for() -> None:
    schedule = Schedule("adaptive")
    assert runs(schedule, [scene()] * 22, rate=1000.0)[-1] == 20
    assert not schedule.due(scene(), 0.022, NOBODY, False)
    assert schedule.due(scene(), 0.023, NOBODY, True)


@pytest.mark.parametrize("every", [0, -1, 2.5, True, "often"])
def test_wrong_intervals_are_refused(every: object) -> None:
    with pytest.raises(ValueError, match=r"detect_every is .* expected a number of frames from 1, or 'adaptive'"):
        Schedule(every)  # type: ignore[arg-type]
