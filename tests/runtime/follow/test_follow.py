"""Detection now and then, poses in every frame: who is looked at, once each, and who is not any more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgepose.poses import Poses
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.follow import Follower
from edgepose.runtime.tracker import Tracker
from edgepose.runtime.tracker.smoothing import Smoother
from edgepose.skeleton import BOX
from edgepose.spec import ModelSpec
from tests.runtime.blobs import SIZE, Shape, estimator, scene

WALK = [(40.0 + 3 * i, 80.0) for i in range(24)]
STAND = (260.0, 150.0)


def follow(follower: Follower, images: list[np.ndarray], rate: float = 30.0) -> list[Poses]:
    return [follower(image, i / rate) for i, image in enumerate(images)]


def middles(poses: Poses) -> list[tuple[float, float]]:
    return sorted(tuple(float(v) for v in (p.min(0) + p.max(0)) / 2) for p in poses.keypoints)


@pytest.mark.parametrize("every", [1, 5, 100])
def test_people_are_followed_between_detections(every: int) -> None:
    whole, finder, shape = estimator()
    results = follow(Follower(whole, detect_every=every, smoother=Smoother(None)), [scene(w, STAND) for w in WALK])
    assert finder.calls == -(-len(WALK) // every)
    assert sum(shape.batches) == 2 * len(WALK), "somebody was looked at twice, or not at all"
    for walker, poses in zip(WALK, results, strict=True):
        assert np.abs(np.array(middles(poses)) - sorted([walker, STAND])).max() < 3
    assert {tuple(poses.ids.tolist()) for poses in results} == {(1, 2)}


def test_results_with_few_detections_are_those_with_many() -> None:
    images = [scene(w, STAND) for w in WALK]
    often, seldom = (follow(Follower(estimator()[0], detect_every=k, smoother=Smoother(None)), images) for k in (1, 5))
    for a, b in zip(often, seldom, strict=True):
        order = [a.ids.tolist().index(i) for i in b.ids.tolist()]
        assert np.abs(a.keypoints[order] - b.keypoints).max() < 2.5
        assert np.abs(a.person_scores[order] - b.person_scores).max() < 0.02, "box scores are remembered"


def test_nobody_and_then_somebody() -> None:
    whole, finder, _ = estimator()
    results = follow(Follower(whole, detect_every=4), [scene()] * 6 + [scene(STAND)] * 6)
    assert [len(poses) for poses in results] == [0] * 8 + [1] * 4 and finder.calls == 3
    assert len(results[0].skeleton) == 17 and results[0].ids is not None


def test_who_walks_out_is_dropped_at_once() -> None:
    whole, _, _ = estimator()
    results = follow(Follower(whole, detect_every=100), [scene(STAND, (60, 60))] * 4 + [scene(STAND)] * 4)
    assert [len(poses) for poses in results] == [2] * 4 + [1] * 4


def test_adaptive_looks_for_whom_it_lost() -> None:
    whole, finder, _ = estimator()
    images = [scene(STAND)] * 12 + [scene((60, 60))] * 3  # gone from one place, there in another
    results = follow(Follower(whole, detect_every="adaptive"), images, rate=1000.0)
    assert np.abs(np.array(middles(results[-1])) - 59.5).max() < 2 and finder.calls <= 6


def test_without_the_detector_people_stay_for_a_second() -> None:
    whole, finder, _ = estimator()
    follower = Follower(whole, detect_every=5)
    assert len(follower(scene(STAND), 0.0)) == 1
    finder.blind = True
    seen = [len(follower(scene(STAND), i / 10)) for i in range(1, 20)]
    assert seen == [1] * 10 + [0] * 9


def test_another_size_is_another_scene() -> None:
    whole, finder, _ = estimator()
    follower = Follower(whole, detect_every=100)
    first = follower(scene(STAND), 0.0)
    second = follower(np.ascontiguousarray(scene(STAND)[20:, 20:]), 0.1)
    assert (first.ids.tolist(), second.ids.tolist(), finder.calls) == ([1], [2], 2)


def test_two_detections_of_one_person_become_one() -> None:
    whole, finder, _ = estimator()
    double = finder.__call__

    def twice(image: np.ndarray) -> Poses:
        poses = double(image)
        return poses[np.repeat(np.arange(len(poses)), 2)]

    results = follow(Follower(Estimator(whole.network, twice), detect_every=2), [scene(STAND)] * 5)
    assert [len(poses) for poses in results] == [1] * 5


def test_at_most_max_people() -> None:
    _, finder, shape = estimator()
    few = Estimator(shape, finder, max_people=1)
    results = follow(Follower(few, detect_every=3), [scene(STAND, (60, 60))] * 5)
    assert [len(poses) for poses in results] == [1] * 5 and max(shape.batches) == 1


def test_follow_one() -> None:
    whole, _, shape = estimator()
    follower = Follower(whole, detect_every=3, tracker=Tracker(follow=2), smoother=Smoother(None))
    results = follow(follower, [scene(w, STAND) for w in WALK])
    assert all(poses.ids.tolist() == [2] for poses in results)
    assert shape.batches == [2, 1, 1] * (len(WALK) // 3), "the others are looked at when the detector finds them"
    assert len(follower.guessed) == 1


def hidden_for_a_while(follower: Follower) -> list[tuple[Poses, np.ndarray]]:
    """Two people, of whom the first walks and is not in frames 12 to 15; and whom the follower guessed."""
    images = [scene(*([] if 12 <= i < 16 else [w]), STAND) for i, w in enumerate(WALK)]
    return [(follower(image, i / 30), follower.guessed) for i, image in enumerate(images)]


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("preset", [None, "default"])
def test_who_is_held_is_not_taken_for_somebody_seen(every: int, preset: str | None) -> None:
    whole, _, _ = estimator()
    follower = Follower(whole, detect_every=every, tracker=Tracker(hold=0.5), smoother=Smoother(preset))
    results = hidden_for_a_while(follower)
    plain = hidden_for_a_while(Follower(whole, detect_every=every, smoother=Smoother(preset)))
    for i, ((poses, guessed), (seen, _)) in enumerate(zip(results, plain, strict=True)):
        walker = poses.ids.tolist().index(1)
        away = 12 <= i < (16 if every == 1 else 18)  # then the detector finds them again
        assert sorted(poses.ids.tolist()) == [1, 2], i
        assert guessed.tolist() == [away and person == 1 for person in poses.ids.tolist()], i
        middle = (poses.keypoints[walker].min(0) + poses.keypoints[walker].max(0)) / 2
        assert np.abs(middle - WALK[i]).max() < 6, i
        stood = poses.ids.tolist().index(2), seen.ids.tolist().index(2)
        assert np.array_equal(poses.keypoints[stood[0]], seen.keypoints[stood[1]]), "the other one is as without"
        if away:
            before = results[11][0]
            own = before.ids.tolist().index(1)
            assert poses.person_scores[walker] == before.person_scores[own]
            assert np.array_equal(poses.scores[walker], before.scores[own])
            assert seen.ids.tolist() == [2]


def test_who_is_held_ends_when_the_time_is_over() -> None:
    whole, _, _ = estimator()
    follower = Follower(whole, detect_every=2, tracker=Tracker(hold=0.2), smoother=Smoother(None))
    results = follow(follower, [scene(STAND, (60, 60))] * 10 + [scene(STAND)] * 15)
    assert [len(poses) for poses in results] == [2] * 16 + [1] * 9 and not follower.guessed.any()


def test_following_one_who_is_held() -> None:
    """With one person returned, rows of the input and of the result differ."""
    whole, _, _ = estimator()
    follower = Follower(whole, detect_every=1, tracker=Tracker(follow=1, hold=0.5), smoother=Smoother(None))
    for i, (poses, guessed) in enumerate(hidden_for_a_while(follower)):
        assert poses.ids.tolist() == [1] and guessed.tolist() == [12 <= i < 16], i


def test_whole_picture_networks_hold_people_too() -> None:
    spec = ModelSpec("whole", "associative", (64, 64), warp="middle")
    known, _, _ = estimator()

    class Whole(Estimator):
        def __call__(self, image: np.ndarray, *more: Any) -> Poses:
            return known(image)

    follower = Follower(Whole(Shape(spec)), tracker=Tracker(hold=0.5), smoother=Smoother(None))
    for i in range(12):
        follower(scene(STAND, (60, 60)), i / 30)
    assert not follower.guessed.any()
    poses = follower(scene(STAND), 12 / 30)
    missing = int(np.abs(poses.keypoints.mean(1) - (60, 60)).sum(1).argmin())
    assert len(poses) == 2 and follower.guessed.tolist() == [row == missing for row in range(2)]


def test_a_whole_picture_network_runs_in_every_frame() -> None:
    spec = ModelSpec("whole", "heatmap", (48, 64), codec_args={"kind": "msra"}, warp="letterbox")

    class Heat:
        calls = 0

        def __init__(self) -> None:
            self.spec = spec

        def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
            self.calls += 1
            return [np.full((len(batch), 17, 16, 12), 0.5, np.float32)]

    network = Heat()
    results = follow(Follower(Estimator(network), detect_every=5), [scene()] * 6)
    assert network.calls == 6 and all(poses.ids.tolist() == [1] for poses in results)


# ------------------------------------------------------------------------------------------------ budget


class Clock:
    """Time that passes only when the fakes work: 40 ms for a detection, 10 ms for a person."""

    def __init__(self, whole: Estimator) -> None:
        self.now = 0.0
        detector, network = whole.detector, whole.network
        self.whole = Estimator(self._costly(network, 0.010), lambda image: self._spend(0.040, detector(image)))

    def _spend(self, seconds: float, value: Any) -> Any:
        self.now += seconds
        return value

    def _costly(self, network: Any, seconds: float) -> Any:
        clock = self

        class Costly:
            spec = network.spec

            def __call__(self, batch: np.ndarray) -> Any:
                return clock._spend(seconds * len(batch), network(batch))

        return Costly()

    def __call__(self) -> float:
        return self.now


CROWD = [(40.0 + 60 * (i % 5), 60.0 + 110 * (i // 5)) for i in range(10)]


def test_a_budget_rotates_people_and_says_so() -> None:
    whole, finder, _ = estimator()
    clock, told = Clock(whole), []
    follower = Follower(
        clock.whole, fps=20, detect_every=1, clock=clock, report=lambda *event: told.append(event),
        smoother=Smoother(None),
    )  # fmt: skip
    images = [scene(*[(x + i * 0.5, y) for x, y in CROWD], size=(16, 32)) for i in range(60)]
    spent, guessed = [], []
    for i, image in enumerate(images):
        before = clock.now
        poses = follower(image, i / 20)
        spent.append(clock.now - before)
        guessed.append(follower.guessed)
        assert len(poses) == len(follower.guessed) == 10
        assert poses.ids.tolist() == list(range(1, 11))
    assert np.mean(spent[10:]) <= 1 / 20 + 0.002 and finder.calls < 10
    assert not guessed[0].any() and 0 < guessed[-1].sum() < 10
    assert (1 - np.stack(guessed[10:])).sum(0).min() >= 10, "everybody has a turn"
    kind, message, facts = told[0]
    assert kind == "behind" and "people are looked at" in message and facts["looked_at"] < facts["people"] == 10
    for x, y in CROWD:
        assert min(np.hypot(x + 29.5 - a, y - b) for a, b in middles(poses)) < 4


def test_without_a_budget_nobody_is_guessed() -> None:
    whole, _, _ = estimator()
    clock = Clock(whole)
    follower = Follower(clock.whole, clock=clock, report=lambda *event: pytest.fail(str(event)))
    follow(follower, [scene(*CROWD, size=(16, 32))] * 6)
    assert not follower.guessed.any()


def test_latency_holds_for_frames_with_a_detection() -> None:
    clock = Clock(estimator()[0])
    follower = Follower(clock.whole, max_latency=0.075, detect_every=1, clock=clock)
    spent = []
    for i in range(40):
        before = clock.now
        follower(scene(*CROWD, size=(16, 32)), i / 20)
        spent.append(clock.now - before)
    assert max(spent[1:]) <= 0.075 + 1e-9 < spent[0]


def test_newcomers_wait_for_their_turn_and_come() -> None:
    clock = Clock(estimator()[0])
    follower = Follower(clock.whole, fps=40, detect_every=1, clock=clock)
    follower(scene(CROWD[0], size=(16, 32)), 0.0)  # learns the costs: 25 ms allow for two people
    counts = [len(follower(scene(*CROWD, size=(16, 32)), i / 40)) for i in range(1, 80)]
    assert counts[-1] == 10 and counts == sorted(counts)


def test_boxes_outside_the_picture_are_given_up() -> None:
    whole, _, _ = estimator()
    images = [scene((x, 80)) for x in range(280, 281 + 12 * 6, 6)]
    results = follow(Follower(whole, detect_every=100, smoother=Smoother(None)), images)
    assert len(results[0]) == 1 and len(results[-1]) == 0
    assert all((poses.boxes <= [SIZE[0], SIZE[1]] * 2).all() for poses in results)


# ------------------------------------------------------------------------------------------------ who is somebody


def unsure(score: float, pose: float, boxes: list[list[tuple[float, float, float, float]]]) -> Estimator:
    """A detector that gives the next of `boxes` at each call, scored `score`, and poses all of whose keypoints are in
    the middle part of their crop and scored `pose`."""
    left = iter(boxes)

    class Middle(Shape):
        def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
            xs, ys = (np.zeros_like(part) for part in super().__call__(batch))
            k = np.arange(xs.shape[1])
            xs[:, k, xs.shape[2] // 4 + k * xs.shape[2] // (2 * len(k))] = pose
            ys[:, k, ys.shape[2] // 4 + k * ys.shape[2] // (2 * len(k))] = pose
            return [xs, ys]

    def detector(image: np.ndarray) -> Poses:
        rows = np.array(next(left), np.float32).reshape(-1, 4)
        n = len(rows)
        return Poses(np.zeros((n, 0, 2)), np.zeros((n, 0)), rows, np.full(n, score), BOX)

    return Estimator(Middle(), detector)


HERE = (100.0, 60.0, 160.0, 180.0)


@pytest.mark.parametrize(
    ("score", "pose", "seen"), [(0.4, 0.4, [0] * 5 + [1] * 5), (0.6, 0.4, [1] * 10), (0.4, 0.8, [1] * 10)]
)
def test_who_is_weakly_seen_has_to_be_found_again(score: float, pose: float, seen: list[int]) -> None:
    follower = Follower(unsure(score, pose, [[HERE]] * 10), detect_every=1)
    results = [follower(scene(), i / 30) for i in range(10)]
    assert [len(poses) for poses in results] == seen


def test_who_never_scores_well_is_not_shown_and_who_did_stays_above_half_of_it() -> None:
    level = [1.0]

    class Dimmed(Shape):
        def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
            return [part * level[0] for part in super().__call__(batch)]

    _, found, _ = estimator()

    def shown(levels: list[float], least: float | None) -> list[list[int]]:
        follower, results = Follower(Estimator(Dimmed(), found), detect_every=1, min_score=least), []
        for i, level[0] in enumerate(levels):
            poses = follower(scene(STAND), i / 30)
            results.append([] if poses.ids is None else poses.ids.tolist())
        return results

    usual = shown([1.0], None)
    assert usual == [[1]]
    weak, strong, half = 0.25, 0.9, 0.5
    assert shown([weak] * 5, 0.6) == [[]] * 5
    assert shown([weak, weak, strong, half, weak, strong], 0.6) == [[], [], [1], [1], [], [1]]
    assert shown([weak] * 3, 0.0) == [[1]] * 3


def test_a_slip_of_the_detector_is_never_shown() -> None:
    for every in (1, 5):
        follower = Follower(unsure(0.4, 0.4, [[HERE]] + [[]] * 60), detect_every=every)
        assert not any(len(follower(scene(), i / 30)) for i in range(60)), every


def test_a_pose_that_jumps_in_its_own_place_is_still_theirs() -> None:
    """Crops of a person give poses far from what motion allows; nobody new comes from there."""
    places = [HERE if i % 2 else (80.0, 40.0, 180.0, 200.0) for i in range(12)]
    follower = Follower(unsure(0.9, 0.9, [[place] for place in places]), detect_every=1, smoother=Smoother(None))
    results = [follower(scene(), i / 30) for i in range(12)]
    assert [poses.ids.tolist() for poses in results] == [[1]] * 12


AROUND = (245.0, 120.0, 275.0, 180.0)  # the detector's box of who is at STAND


def looking_at(boxes: list[Any]) -> Estimator:
    """A detector that gives the next of `boxes` at each call, and poses of white people."""
    left = iter(boxes)

    def detector(image: np.ndarray) -> Poses:
        return Poses(np.zeros((1, 0, 2)), np.zeros((1, 0)), np.array([next(left)]), np.ones(1), BOX)

    return Estimator(Shape(), detector)


def test_boxes_of_known_people_shake_less_than_the_detectors() -> None:
    """As much less with few detections as with many."""
    shaken = AROUND + np.random.default_rng(4).normal(0, 2, (60, 4))
    detected = np.diff(shaken, axis=0).std()
    for every in (1, 5):
        follower = Follower(looking_at(list(shaken)), detect_every=every, smoother=Smoother(None))
        boxes = np.concatenate([follower(scene(STAND), i / 30).boxes for i in range(60)])
        assert np.abs(boxes[30:].mean(0) - AROUND).max() < 2, every
        assert np.diff(boxes[10:], axis=0).std() < 0.4 * detected, every


def test_a_detection_far_from_where_somebody_is_expected_is_believed_at_once() -> None:
    short = (245.0, 155.0, 275.0, 180.0)
    follower = Follower(looking_at([AROUND] * 20 + [short]), detect_every=1, smoother=Smoother(None))
    results = [follower(scene(STAND), i / 30) for i in range(21)]
    assert results[-1].ids.tolist() == [1] and results[-1].boxes[0] == pytest.approx(short)


class Crossing:
    """Ankles that could be on either side of the crop, in turn a little more likely here and there."""

    spec = ModelSpec("crossing", "distribution", (48, 64), per_person=True)
    calls = 0

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        self.calls += 1
        k = np.arange(17)
        maps = np.full((len(batch), 17, 8, 6), -20.0, np.float32)
        maps[:, k, k % 8, np.where(k % 2, 1, 4)] = 0.0
        maps[:, 16] = -20.0
        maps[:, 16, 6, 0], maps[:, 16, 6, 5] = (0.2, 0.0) if self.calls % 2 else (0.0, 0.2)
        return [maps]


def test_a_keypoint_does_not_swap_between_two_places_about_as_likely() -> None:
    def detector(image: np.ndarray) -> Poses:
        return Poses(np.zeros((1, 0, 2)), np.zeros((1, 0)), np.array([HERE]), np.ones(1), BOX)

    network = Crossing()
    follower = Follower(Estimator(network, detector), detect_every=5, smoother=Smoother(None))
    ankles = [follower(scene(), i / 30).keypoints[0, 16, 0] for i in range(20)]
    assert network.calls == 20 and np.ptp(ankles) < 15
    alone = [Estimator(network, detector)(scene()).keypoints[0, 16, 0] for _ in range(2)]
    assert np.ptp(alone) > 40


def test_people_of_another_skeleton_than_the_first_guess() -> None:
    """The tracker knows no skeleton before it has seen somebody."""
    whole, _, _ = estimator()
    few = Estimator(Shape(ModelSpec("few", "simcc", (48, 64), skeleton="crowdpose", per_person=True)), whole.detector)
    assert [len(poses) for poses in follow(Follower(few, detect_every=2), [scene(STAND)] * 4)] == [1] * 4


def test_without_the_detector_the_unsure_stay_for_less() -> None:
    """A person who keeps their keypoint scores is followed for a second, one who loses part of them not as long, and
    hardly longer than the detector found them."""
    _, finder, shape = estimator()
    dim = [1.0]
    network = shape.__call__

    class Dimmed(Shape):
        def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
            return [part * dim[0] for part in network(batch)]

    stay = []
    for level, found in ((1.0, 1), (1.0, 11), (0.7, 11), (0.7, 2)):
        finder.blind, dim[0] = False, 1.0
        follower = Follower(Estimator(Dimmed(), finder), detect_every=1)
        for i in range(found):
            follower(scene(STAND), i / 10)
        finder.blind, dim[0] = True, level
        stay.append(sum(len(follower(scene(STAND), (found + i) / 10)) for i in range(14)))
    assert stay == [10, 10, 5, 1]


def test_time_must_rise_and_a_refusal_changes_nothing() -> None:
    whole, finder, _ = estimator()
    follower = Follower(whole)
    first = follower(scene(STAND), 1.0)
    for wrong in (1.0, 0.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"time is .*, expected more than 1 s, the last frame's; call reset\(\)"):
            follower(scene(STAND), wrong)
    assert follower(scene(STAND), 1.1).ids.tolist() == first.ids.tolist() and finder.calls == 1
    with pytest.raises(TypeError, match="expected an image"):
        follower("frame.png", 1.2)  # type: ignore[arg-type]


def test_reset_begins_anew_with_new_identities() -> None:
    whole, finder, _ = estimator()
    follower = Follower(whole, detect_every=100)
    images = [scene(w, STAND) for w in WALK[:6]]
    before = follow(follower, images)
    follower.reset()
    after = follow(follower, images)  # at the same times
    assert finder.calls == 2, "the first frame of a source is searched"
    assert before[0].ids.tolist() == [1, 2] and after[0].ids.tolist() == [3, 4]
    assert all((a.keypoints == b.keypoints).all() for a, b in zip(before, after, strict=True)), "nothing is left over"


def test_pushed_frames_give_what_track_gives() -> None:
    from edgepose.media.live import Feed
    from edgepose.media.video import Frame
    from edgepose.runtime.track import track

    frames = [Frame(scene(w, STAND), i / 30, i) for i, w in enumerate(WALK)]
    pulled = [frame.poses for frame in track(Feed("walk", lambda: iter(frames)), estimator()[0])]
    pushed = follow(Follower(estimator()[0]), [frame.image for frame in frames])
    for a, b in zip(pulled, pushed, strict=True):
        assert (a.ids == b.ids).all() and (a.keypoints == b.keypoints).all()


def test_a_name_is_no_estimator() -> None:
    with pytest.raises(TypeError, match=r"expected an estimator, got str: edgepose.load\(...\) gives one"):
        Follower("default")  # type: ignore[arg-type]
