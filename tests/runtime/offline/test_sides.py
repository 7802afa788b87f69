"""Left and right: what is exchanged for a moment is put back, what really moves is left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgepose.runtime.offline import Settings, finished
from edgepose.runtime.offline.sides import exchanged
from edgepose.skeleton import COCO, Skeleton
from tests.runtime.offline.motion import recorded, walker

TIMES = np.arange(90) / 30
ALL, NONE = np.ones((90, 17), bool), np.zeros((90, 17), bool)


def sizes(track: np.ndarray) -> np.ndarray:
    return np.sqrt(np.ptp(track, axis=1).prod(1))


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from(["walk", "run", "wave", "idle", "reach"]))
def test_nothing_is_done_to_somebody_who_moves(seed: int, kind: str) -> None:
    """Legs that pass each other, from any side, with the noise of a network."""
    truth = walker(seed, TIMES, kind)
    assume(sizes(truth).max() < 600)  # nobody who runs past the camera
    noisy = truth + np.random.default_rng(seed).normal(0, 0.005, truth.shape) * sizes(truth)[:, None, None]
    assert not exchanged(noisy, ALL, sizes(truth), TIMES, COCO).any()


def facing(seed: int) -> np.ndarray:
    """Somebody whose shoulders are well apart in the picture."""
    while True:
        track = walker(seed, TIMES, "idle")
        if np.abs(track[:, 5, 0] - track[:, 6, 0]).min() > 0.2 * sizes(track).mean():
            return track
        seed += 1000


@pytest.mark.parametrize("seed", range(5))
def test_runs_of_exchanged_frames_are_put_back(seed: int) -> None:
    truth = facing(seed)
    noisy = truth + np.random.default_rng(seed).normal(0, 0.005, truth.shape) * sizes(truth)[:, None, None]
    wrong = np.isin(np.arange(90), [0, 1, 2, 20, 40, 41, 42, 43, 44, 60, 61, 80, 81, 82])
    given = np.where(wrong[:, None, None], noisy[:, COCO.flip], noisy)
    sided = COCO.flip != np.arange(17)
    apart = np.linalg.norm(truth - truth[:, COCO.flip], axis=-1).min(0) > 0.15 * sizes(truth).mean()
    found = exchanged(given, ALL, sizes(truth), TIMES, COCO)
    assert (found[:, sided & apart] == wrong[:, None]).all()
    done = finished(recorded(given, TIMES), Settings(cutoff=None))
    put = np.concatenate([moment.poses.keypoints for moment in done])
    assert np.abs(put - noisy)[:, apart].max() < 0.01 and done.exchanged == found.sum()
    left = np.concatenate(
        [m.poses.keypoints for m in finished(recorded(given, TIMES), Settings(cutoff=None, sides=False))]
    )
    assert np.abs(left - given).max() < 0.01


def test_one_pair_alone(seed: int = 3) -> None:
    truth = facing(seed)
    given = truth.copy()
    given[30:35, [9, 10]] = truth[30:35, [10, 9]]
    found = exchanged(given, ALL, sizes(truth), TIMES, COCO)
    expected = NONE.copy()
    expected[30:35, [9, 10]] = True
    assert (found == expected).all()


def test_long_runs_stay_since_nobody_knows_which_is_right() -> None:
    truth = facing(1)
    given = truth.copy()
    given[30:60] = truth[30:60, COCO.flip]
    assert not exchanged(given, ALL, sizes(truth), TIMES, COCO).any()


def test_points_that_are_not_seen_say_nothing() -> None:
    truth = facing(2)
    given = truth.copy()
    given[30:33] = truth[30:33, COCO.flip]
    known = ALL.copy()
    known[29:34, [5, 11]] = False
    given[29:34, [5, 11]] = np.nan
    found = exchanged(given, known, sizes(truth), TIMES, COCO)
    assert found[30:33, [7, 8, 9, 10, 13, 14]].all()
    assert not exchanged(given, NONE, sizes(truth), TIMES, COCO).any()


def test_over_a_pause_nobody_says_which_side_was_which() -> None:
    truth, times = facing(4), TIMES.copy()
    times[45:] += 1.0
    given = truth.copy()
    given[45:] = truth[45:, COCO.flip]
    assert not exchanged(given, ALL, sizes(truth), times, COCO).any()


def test_skeletons_without_sides_and_short_tracks() -> None:
    plain = Skeleton("plain", ("a", "b"))
    assert not exchanged(np.random.rand(9, 2, 2), np.ones((9, 2), bool), np.ones(9), TIMES[:9], plain).any()
    assert exchanged(np.zeros((2, 17, 2)), ALL[:2], np.ones(2), TIMES[:2], COCO).shape == (2, 17)
