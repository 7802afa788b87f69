"""Where a scene ends, when the detector runs, and too little time: first fewer detections, then fewer people."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from edgepose.media.video import read_video
from edgepose.runtime.follow.timing import LONGEST, QUIET, SHORTEST, Budget, Cuts, Schedule
from tests.goldens import folder
from tests.runtime.blobs import scene

NOBODY = np.zeros((0, 4), np.float32)


# ------------------------------------------------------------------------------------------------ schedule


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


# ------------------------------------------------------------------------------------------------ budget


def spend(budget: Budget, detector: float = 0.040, person: float = 0.010, rest: float = 0.002) -> Budget:
    budget.spent(detector, 4, 4 * person, rest)
    return budget


def test_without_limits_everybody_is_looked_at() -> None:
    budget = spend(Budget(every=5))
    assert not budget.limited and not budget.short()
    assert budget.interval(1000) == 5 and budget.crops(1000, True) == 1000


def test_detections_become_rarer_first() -> None:
    budget = spend(Budget(every=2, fps=20))  # 50 ms
    assert budget.interval(1) == 2 and budget.crops(1, True) == 1  # 20 + 10 + 2 fit
    assert budget.interval(4) == 5 and budget.crops(4, True) == 4  # 40 + 2 leave 8 of 40
    assert budget.interval(5) == LONGEST and budget.crops(5, False) == 4  # 50 + 2 is more than there is


def test_latency_limits_every_single_frame() -> None:
    budget = spend(Budget(every=2, max_latency=0.070))
    assert budget.crops(9, True) == 2 and budget.crops(9, False) == 6
    assert budget.interval(2) == 2 and budget.interval(3) == LONGEST


def test_somebody_is_always_looked_at() -> None:
    budget = spend(Budget(every=1, fps=1000))
    assert budget.short() and budget.crops(7, True) == 1 and budget.crops(0, True) == 0


def test_costs_follow_the_machine() -> None:
    budget = spend(Budget(fps=20))
    assert budget.crops(9, False) < 9
    for _ in range(60):
        budget.spent(0.004, 4, 0.004, 0.0002)
    assert budget.crops(9, False) == 9
    budget.spent(None, 0, 0.0, 0.0002)  # a frame without people says nothing about their cost
    assert budget.crops(9, False) == 9


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["fps", "max_latency"])
def test_wrong_limits_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is .* expected a positive number"):
        Budget(**{name: value})


# ------------------------------------------------------------------------------------------------ cuts


def patches(seed: int, shift: int = 0) -> np.ndarray:
    """Colored patches (240, 320, 3) that move to the left by `shift` pixels."""
    colors = np.random.default_rng(seed).integers(0, 256, (6, 40, 3), np.uint8)
    wide = colors.repeat(40, axis=0).repeat(40, axis=1)
    return np.ascontiguousarray(wide[:, shift : shift + 320])


def cuts_in(frames: list[np.ndarray], cuts: Cuts | None = None) -> list[int]:
    cuts = Cuts() if cuts is None else cuts
    return [i for i, frame in enumerate(frames) if cuts(frame)]


def test_a_cut() -> None:
    assert cuts_in([patches(0)] * 3 + [patches(1)] * 6 + [patches(0)] * 2) == [3, 9]
    assert cuts_in([patches(0)]) == []


def test_motion_is_no_cut() -> None:
    assert cuts_in([patches(0, 3 * i) for i in range(60)]) == []  # a pan
    assert cuts_in([patches(0, 60 * i) for i in range(20)]) == [1]  # one too fast to follow is one cut, not nineteen


def test_light_is_no_cut() -> None:
    dark = (patches(0) // 3).astype(np.uint8)
    assert cuts_in([dark] * 3 + [dark + 120] * 3) == []


def test_noise_is_no_cut() -> None:
    rng = np.random.default_rng(0)
    noisy = [np.clip(patches(0) + rng.normal(0, 40, (240, 320, 3)), 0, 255).astype(np.uint8) for _ in range(20)]
    assert cuts_in(noisy) == []


def test_difference() -> None:
    half = patches(0).copy()
    half[:, 160:] = patches(1)[:, 160:]
    assert cuts_in([patches(0)] * 3 + [half], Cuts(0.05)) == [3]
    assert cuts_in([patches(0)] * 3 + [half], Cuts(0.5)) == []
    for wrong in (0, 1, -0.1, float("nan")):
        with pytest.raises(ValueError, match="difference must be between 0 and 1"):
            Cuts(wrong)


def test_any_size() -> None:
    for size in ((1, 1), (7, 400), (1080, 1920), (2000, 30)):
        black, gray = np.zeros((*size, 3), np.uint8), np.full((*size, 3), 9, np.uint8)
        assert cuts_in([black, black, gray]) == []


def clip(name: str, frames: int) -> list[np.ndarray]:
    path: Path = folder().parent / "data" / "clips" / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return [frame.image for frame in islice(read_video(path), frames)]


def test_real_clips_have_a_cut_where_they_are_joined_and_nowhere_else() -> None:
    class_, walk, single = (
        clip(name, 45) for name in ("exercise_class_pexels.mp4", "sports2d_demo.mp4", "one-by-one-person-detection.mp4")
    )
    assert cuts_in(class_ + walk + single) == [45, 90]
    assert cuts_in(single + class_) == [45]
