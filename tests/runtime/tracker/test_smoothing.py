from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepose.poses import Poses
from edgepose.runtime.tracker.smoothing import PRESETS, Preset, Smoother, one_euro
from edgepose.skeleton import BOX
from tests.goldens import golden
from tests.runtime.crowd import STANDING


def person(keypoints: np.ndarray, identity: int = 1, scores: np.ndarray | None = None) -> Poses:
    box = np.concatenate([keypoints.min(0), keypoints.max(0)])
    scores = np.ones(len(keypoints)) if scores is None else scores
    return Poses(keypoints[None], scores[None], box[None], [1.0], ids=np.array([identity]))


def smoothed(track: np.ndarray, times: np.ndarray, preset: str | Preset | None = "default") -> tuple[np.ndarray, ...]:
    """Keypoints (T, K, 2) and boxes (T, 4) of one person."""
    smoother = Smoother(preset)
    results = [smoother(person(keypoints), time) for keypoints, time in zip(track, times, strict=True)]
    return np.concatenate([r.keypoints for r in results]), np.concatenate([r.boxes for r in results])


def frame_times(kind: str, seconds: float, rng: np.random.Generator) -> np.ndarray:
    if kind == "variable":
        return np.cumsum(rng.choice([1 / 60, 1 / 30, 1 / 15], int(seconds * 30)))
    return np.arange(int(seconds * float(kind))) / float(kind)


def lag(result: np.ndarray, truth: np.ndarray, times: np.ndarray) -> float:
    """Seconds by which the truth (T,) must be delayed to fit the result best, after the first second."""
    late = times > times[0] + 1
    delays = np.arange(-0.1, 0.3, 0.002)
    errors = [((result - np.interp(times - d, times, truth))[late] ** 2).sum() for d in delays]
    return float(delays[int(np.argmin(errors))])


@pytest.mark.parametrize("kind", ["25", "30", "60", "variable"])
@pytest.mark.parametrize("height", [100.0, 1000.0])
@pytest.mark.parametrize("noise", [0.004, 0.01])
def test_jitter_of_somebody_who_stands_falls(kind: str, height: float, noise: float) -> None:
    rng = np.random.default_rng(0)
    times = frame_times(kind, 6, rng)
    track = STANDING * height + height + rng.normal(0, noise * height, (len(times), 17, 2))
    keypoints, boxes = smoothed(track, times)
    late = times > times[0] + 1
    given_boxes = np.concatenate([track.min(1), track.max(1)], axis=1)
    assert keypoints[late].std(0).mean() <= 0.4 * track[late].std(0).mean()
    assert boxes[late].std(0).mean() <= 0.40 * given_boxes[late].std(0).mean()
    assert np.abs(keypoints[late].mean(0) - track[late].mean(0)).max() < noise * height


MOTIONS = {
    "walk": lambda t: 0.8 * t,
    "stroll": lambda t: 0.3 * t,
    "run up": lambda t: 0.6 * t**2,
    "arm": lambda t: 0.15 * np.sin(2 * np.pi * t),
    "fast arm": lambda t: 0.15 * np.sin(4 * np.pi * t),
    "walk and stop": lambda t: 0.8 * np.clip(t - 1.5, 0, 2),
}


@pytest.mark.parametrize("kind", ["25", "30", "60", "variable"])
@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("noise", [0.0, 0.005])
def test_motion_lags_at_most_one_frame(kind: str, motion: str, noise: float) -> None:
    rng = np.random.default_rng(1)
    times = frame_times(kind, 5, rng)
    height = 300.0
    path = MOTIONS[motion](times - times[0]) * height
    track = STANDING * height + 1000 + np.stack([path, 0 * path], axis=1)[:, None]
    keypoints, boxes = smoothed(track + rng.normal(0, noise * height, track.shape), times)
    frame = float(np.median(np.diff(times)))
    moved = keypoints[:, :, 0].mean(1) - keypoints[0, :, 0].mean()
    assert -0.5 * frame <= lag(moved, path, times) <= frame
    moved = boxes[:, [0, 2]].mean(1)
    assert -0.5 * frame <= lag(moved - moved[0], path, times) <= frame


def test_presets_differ_in_order() -> None:
    rng = np.random.default_rng(2)
    times = np.arange(150) / 30
    track = STANDING * 300 + rng.normal(0, 3, (150, 17, 2))
    left = [smoothed(track, times, preset)[0][30:].std(0).mean() for preset in ("steady", "default", "quick")]
    assert left == sorted(left)
    assert left[0] < 0.85 * left[1] < 0.7 * left[2]
    assert left[2] < 0.8 * track[30:].std(0).mean()
    assert set(PRESETS) == {"steady", "default", "quick"}


def test_both_numbers_of_a_preset_matter() -> None:
    times = np.arange(90) / 30
    track = STANDING * 300 + np.stack([60 * np.sin(9 * times), 0 * times], axis=1)[:, None]

    def error(preset: Preset) -> float:
        return float(np.abs(smoothed(track, times, preset)[0] - track).mean())

    assert error(Preset(0.5, 30)) < 0.7 * error(Preset(0.5, 0))
    assert error(Preset(3.0, 0)) < 0.7 * error(Preset(0.5, 0))
    for wrong in ((0, 1), (1, -1), (float("nan"), 1)):
        with pytest.raises(ValueError, match="cutoff above 0"):
            Preset(*wrong)


def test_off_returns_the_input() -> None:
    poses = person(STANDING * 100)
    smoother = Smoother(None)
    assert smoother(poses, 0.0) is poses
    assert smoother(replace(poses, ids=None), 0.0).ids is None


def test_size_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    times = np.arange(60) / 30
    track = STANDING + rng.normal(0, 0.01, (60, 17, 2)) + np.stack([0.5 * np.sin(3 * times), times], axis=1)[:, None]
    small, large = smoothed(track * 100, times)[0], smoothed(track * 1000, times)[0]
    np.testing.assert_allclose(small * 10, large, atol=0.01)


def test_a_keypoint_scored_low_leaves_no_trace() -> None:
    rng = np.random.default_rng(4)
    clean, spoilt = Smoother(), Smoother()
    for i in range(30):
        keypoints = STANDING * 300 + rng.normal(0, 2, (17, 2))
        wild, scores = keypoints.copy(), np.ones(17)
        if i % 3 == 1:
            wild[9] += 400
            scores[9] = 0.1
        box = np.array([[0, 0, 200, 300]])
        expected = clean(replace(person(keypoints), boxes=box), i / 30)
        result = spoilt(replace(person(wild, scores=scores), boxes=box), i / 30)
        if i % 3 == 1:
            np.testing.assert_array_equal(result.keypoints[0, 9], wild[9].astype(np.float32))
        else:
            assert np.abs(result.keypoints[0, 9] - expected.keypoints[0, 9]).max() < 4
    low = person(STANDING * 300, scores=np.full(17, 0.3))
    strict = Smoother(keypoint_score=0.5)
    strict(low, 0.0)
    moved = replace(low, keypoints=low.keypoints + 3)
    np.testing.assert_array_equal(strict(moved, 1 / 30).keypoints, moved.keypoints)


def test_people_are_told_apart_and_forgotten() -> None:
    smoother = Smoother(forget=0.5)
    a, b = STANDING * 300, STANDING * 300 + 500
    two = Poses(np.stack([a, b]), np.ones((2, 17)), [[0, 0, 90, 300], [500, 500, 590, 800]], [1, 1], ids=[1, 2])
    first = smoother(two, 0.0)
    np.testing.assert_allclose(first.keypoints, two.keypoints)
    swapped = smoother(two[[1, 0]], 0.1)
    np.testing.assert_allclose(swapped.keypoints, two[[1, 0]].keypoints, atol=1e-3)
    assert swapped.ids is not None and swapped.ids.tolist() == [2, 1]
    late = person(a + 2)
    assert not np.allclose(smoother(late, 0.3).keypoints, late.keypoints)  # remembered
    later = person(a + 9)
    np.testing.assert_allclose(smoother(later, 0.9).keypoints, later.keypoints, atol=1e-4)  # forgotten
    assert len(smoother(two[[]], 1.0)) == 0


def test_boxes_without_keypoints_and_another_skeleton() -> None:
    rng = np.random.default_rng(5)
    smoother = Smoother()
    boxes = np.array([0, 0, 100, 300]) + rng.normal(0, 3, (90, 1, 4))
    none = np.zeros((1, 0, 2))
    results = [smoother(Poses(none, none[..., 0], box, [1], BOX, [1]), i / 30).boxes for i, box in enumerate(boxes)]
    assert np.std(results[30:], axis=0).mean() < 0.40 * boxes[30:].std(0).mean()
    keypoints = person(STANDING * 100)
    np.testing.assert_allclose(smoother(keypoints, 9.0).keypoints, keypoints.keypoints, atol=1e-4)


def test_time() -> None:
    smoother = Smoother(interval=0.1)
    poses = person(STANDING * 100)
    smoother(poses)
    smoother(poses)
    with pytest.raises(ValueError, match=r"above the last frame's 0\.1, got 0\.05"):
        smoother(poses, 0.05)
    for wrong in (0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="time must be seconds"):
            smoother(poses, wrong)
    smoother.reset()
    smoother(poses, 0.0)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="unknown preset 'smooth'"):
        Smoother("smooth")
    with pytest.raises(ValueError, match="forget must be a positive"):
        Smoother(forget=0)
    with pytest.raises(ValueError, match="interval must be a positive"):
        Smoother(interval=float("inf"))
    with pytest.raises(ValueError, match="people need ids"):
        Smoother()(replace(person(STANDING), ids=None), 0.0)


@pytest.mark.parametrize("case", ["c05", "c06"])
def test_the_published_filter(case: str) -> None:
    stored = golden("algo/one_euro")
    numbers = next(c for c in stored.info["cases"] if c["id"] == case)["params"]
    track, expected = stored.arrays["c05.in.track"], stored.arrays[f"{case}.out.smoothed"]
    result, slope, dt = track[0].astype(np.float64), np.zeros(track[0].shape), np.ones(track.shape[1])
    for t in range(1, len(track)):
        result, slope = one_euro(track[t], result, slope, dt, numbers["fc_min"], numbers["beta"], numbers["fc_v"])
        np.testing.assert_allclose(result, expected[t], atol=1e-3, rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), frames=st.integers(1, 12))
def test_nothing_flies_away(seed: int, frames: int) -> None:
    """Whatever comes, results stay finite and near what was seen."""
    rng = np.random.default_rng(seed)
    smoother = Smoother()
    time = 0.0
    for _ in range(frames):
        n = int(rng.integers(0, 4))
        keypoints = rng.uniform(0, 500, (n, 17, 2))
        scores = rng.uniform(0, 1, (n, 17))
        boxes = np.concatenate([keypoints.min(1), keypoints.max(1)], axis=1)
        poses = Poses(keypoints, scores, boxes, np.ones(n), ids=rng.permutation(5)[:n])
        result = smoother(poses, time)
        assert np.isfinite(result.keypoints).all() and np.isfinite(result.boxes).all()
        assert (np.abs(result.keypoints - 250) < 1500).all()
        assert (result.boxes[:, 2:] >= result.boxes[:, :2]).all()
        time += float(rng.choice([0.001, 0.03, 0.4, 2.0]))


def test_who_is_held_keeps_the_place_given_and_leaves_no_trace() -> None:
    """Another person stands beside, and is smoothed the same with and without."""
    rng = np.random.default_rng(3)
    smoother, plain = Smoother(), Smoother()
    for i in range(30):
        mine, other = (person(STANDING * 200 + at + rng.normal(0, 2, (17, 2)), n) for n, at in ((1, 100), (2, 500)))
        names = ("keypoints", "scores", "boxes", "person_scores")
        both = Poses(*(np.concatenate([getattr(p, name) for p in (mine, other)]) for name in names), ids=[1, 2])
        if 10 <= i < 14:
            found = smoother(replace(both, keypoints=both.keypoints + 50), i / 30, np.array([True, False]))
            assert np.array_equal(found.keypoints[0], mine.keypoints[0] + 50) and found.ids.tolist() == [1, 2]
            assert np.array_equal(found.boxes[0], mine.boxes[0])
            alone = plain(replace(other, keypoints=other.keypoints + 50), i / 30)
            assert np.array_equal(found.keypoints[1], alone.keypoints[0])
        else:
            found, expected = smoother(both, i / 30, np.zeros(2, bool)), plain(both, i / 30)
            assert np.array_equal(found.keypoints, expected.keypoints) and np.array_equal(found.boxes, expected.boxes)
