"""Timing: that it adds up, counts what it is asked to count, and leaves the estimator as it was."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from edgepose.runtime.bench import Stopwatch, _split, bench, noise, spread
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.session import Session
from tests.runtime.small import BrightSpot, detector_model, picture, pose_model

STAGES = ["detect pre", "detect run", "detect post", "pose pre", "pose run", "pose post"]


@pytest.mark.parametrize("people", [None, 0, 1, 30])
def test_stages_add_up(people: int | None) -> None:
    estimator = Estimator(Session(pose_model()), Estimator(Session(detector_model())))
    timing = bench(estimator, people=people, seconds=0.1, image_size=(320, 200))
    assert list(timing.stages) == STAGES and all(value >= 0 for value in timing.stages.values())
    assert timing.people == (2 if people is None else people) and timing.image_size == (320, 200)
    assert timing.calls >= 1 and 0 < timing.ms_median <= timing.ms_p95 <= timing.ms_p99
    assert timing.fps == pytest.approx(1e3 / timing.ms_median, rel=0.01, abs=0.006)
    assert 0 < sum(timing.stages.values()) < 2 * timing.ms_p95, "medians of parts, so not exactly the median"
    values = json.loads(json.dumps(timing.as_dict()))
    assert {"model", "people", "ms_median", "ms_p95", "ms_p99", "fps", "stages"} <= set(values)


def test_parts_of_one_call_add_up_exactly() -> None:
    spent = {"detect": 5.0, "detect pre": 1.0, "detect run": 3.0, "pose pre": 2.0, "pose run": 7.0}
    stages = _split(spent, 20.0, "pose")
    assert list(stages) == STAGES and list(stages.values()) == [1, 3, 1, 2, 7, 6] and sum(stages.values()) == 20
    assert list(_split({"detect pre": 1.0}, 4.0, "detect").values()) == [1, 0, 3]


def test_time_is_put_where_it_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0  # a clock that stands still but in the network

    class Slow(BrightSpot):
        def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
            nonlocal now
            now += 0.02
            return super().__call__(batch)

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    timing = bench(Estimator(Slow(), Estimator(Session(detector_model()))), people=17, seconds=0.2)
    assert timing.stages["pose run"] == pytest.approx(40), "seventeen people are two runs"
    assert timing.ms_median == pytest.approx(40) and timing.calls in (5, 6)


def test_models_of_one_stage() -> None:
    detector = Estimator(Session(detector_model()))
    assert list(bench(detector, [picture()], seconds=0.05).stages) == STAGES[:3]
    alone = bench(Estimator(BrightSpot()), [picture(), picture(1)], seconds=0)
    assert list(alone.stages) == STAGES[3:] and alone.people == 1 and alone.calls == 2
    with pytest.raises(ValueError, match="looks at one person at a time"):
        bench(detector, people=3)
    with pytest.raises(ValueError, match="people is -1"):
        bench(Estimator(BrightSpot()), people=-1)


def test_the_estimator_is_left_as_it_was() -> None:
    estimator = Estimator(Session(pose_model()), Estimator(Session(detector_model())))
    parts = (estimator.network, estimator.views, estimator.detector)
    bench(estimator, people=5, seconds=0.01)
    assert parts == (estimator.network, estimator.views, estimator.detector) and len(estimator(picture())) == 2


def test_given_boxes_are_repeated() -> None:
    seen: list[np.ndarray] = []

    class Watch(Estimator):
        def __call__(self, image: np.ndarray, boxes: np.ndarray | None = None, box_scores: np.ndarray | None = None):  # type: ignore[no-untyped-def]
            poses = super().__call__(image, boxes, box_scores)
            seen.append(poses.boxes)
            return poses

    bench(Watch(BrightSpot()), people=3, seconds=0, boxes=np.array([[1, 2, 30, 40], [5, 6, 70, 80]]))
    assert seen[-1].tolist() == [[1, 2, 30, 40], [5, 6, 70, 80], [1, 2, 30, 40]]


def test_pictures_and_boxes_made_here() -> None:
    image = noise((123, 45))
    assert image.shape == (45, 123, 3) and image.dtype == np.uint8 and np.array_equal(image, noise((123, 45)))
    assert image.std() > 20
    for count in (0, 1, 4, 30, 61):
        boxes = spread(count, (1280, 720))
        assert boxes.shape == (count, 4) and (boxes >= 0).all() and (boxes <= [1280, 720, 1280, 720.001]).all()
        assert (boxes[:, 2:] - boxes[:, :2] > 50).all()


def test_two_can_take_turns() -> None:
    watches = [Stopwatch(Estimator(BrightSpot()), [picture(), picture(1), picture(2)]) for _ in range(2)]
    with pytest.raises(ValueError, match="was not called yet"):
        watches[0].timing()
    for _ in range(4):
        for watch in watches:
            assert watch.call() > 0
    assert [watch.timing().calls for watch in watches] == [4, 4] and watches[0].calls == 4
