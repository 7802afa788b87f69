from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from edgepose.poses import Poses
from edgepose.runtime.tracker import Tracker
from edgepose.runtime.tracker.sides import exchanged, joint, pairs_of
from edgepose.skeleton import BOX, COCO, SKELETONS, Skeleton

RATE = 30
# A person of two units in meters, x to the left hand, y up, z to the front: nose, then eye ... ankle of the left side.
MIDDLE = np.array([[0.0, 0.62, 0.1]])
LEFT = np.array(
    [[0.03, 0.65, 0.08], [0.07, 0.64, 0], [0.18, 0.5, 0], [0.24, 0.25, 0], [0.22, 0.02, 0.08], [0.1, 0, 0],
     [0.1, -0.4, 0.03], [0.1, -0.8, 0]]
)  # fmt: skip


def person(yaw: float, rng: np.random.Generator | None = None) -> Poses:
    """Somebody of 300 pixels, seen from the front at yaw 0 and from behind at pi; with noise of 2.5 pixels."""
    both = np.stack([LEFT, LEFT * [-1, 1, 1]], axis=1).reshape(-1, 3)
    body = np.concatenate([MIDDLE, both])
    x = np.cos(yaw) * body[:, 0] + np.sin(yaw) * body[:, 2]
    keypoints = np.stack([x, -body[:, 1]], axis=1) * 200 + [320, 240]
    box = np.concatenate([keypoints.min(0) - 10, keypoints.max(0) + 10])
    if rng is not None:
        keypoints = keypoints + rng.normal(0, 2.5, keypoints.shape)
    return Poses(keypoints[None], np.full((1, 17), 0.9), box[None], np.ones(1))


def mirrored(poses: Poses) -> Poses:
    """As a network gives it that takes left for right."""
    return replace(poses, keypoints=poses.keypoints[:, COCO.flip], scores=poses.scores[:, COCO.flip])


def wrong(found: Poses, truth: Poses) -> bool:
    """Whether shoulders or hips are the other way round."""
    lines = [p.keypoints[0, [5, 11]] - p.keypoints[0, [6, 12]] for p in (found, truth)]
    return bool(((lines[0] * lines[1]).sum(-1) < 0).any())


def test_a_network_that_takes_left_for_right_in_some_frames_is_put_right() -> None:
    rng = np.random.default_rng(0)
    shown = [False] * 10 + [i % 5 in (0, 3) for i in range(90)]
    results = {}
    for keep in (False, True):
        tracker = Tracker(keep_sides=keep)
        results[keep] = []
        for i, mistaken in enumerate(shown):
            truth = person(np.pi, rng)
            given = mirrored(truth) if mistaken else truth
            results[keep].append(wrong(tracker.update(given, i / RATE), truth))
    assert results[False] == shown
    assert not any(results[True])


def test_the_majority_of_the_votes_decides_in_the_end() -> None:
    """A track that begins with mirrored frames is put right, once, and stays so."""
    rng = np.random.default_rng(1)
    tracker, results = Tracker(), []
    for i in range(90):
        truth = person(np.pi, rng)
        results.append(wrong(tracker.update(mirrored(truth) if i < 3 else truth, i / RATE), truth))
    assert all(results[:3]) and not any(results[30:])
    assert sum(a != b for a, b in pairwise(results)) == 1


@pytest.mark.parametrize("seconds", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("fps", [15, 30])
@pytest.mark.parametrize("ends", [(np.pi, 0.0), (0.0, np.pi)])
def test_somebody_who_turns_is_followed_within_half_a_second(
    seconds: float, fps: int, ends: tuple[float, float]
) -> None:
    """Side on, the network mirrors every other eighth of a second, or the whole time until the turn ends."""
    for seed in range(5):
        rng, tracker = np.random.default_rng(seed), Tracker()
        for i in range(int((4 + seconds) * fps)):
            time = i / fps
            yaw = float(np.interp(time, [2, 2 + seconds], ends))
            truth = person(yaw, rng)
            side_on = abs(np.cos(yaw)) < 0.35
            mistaken = side_on and (seed == 0 or (time * 8 + seed) % 2 < 1)
            found = tracker.update(mirrored(truth) if mistaken else truth, time)
            if time > 2 + seconds + 0.5:
                assert not wrong(found, truth), (seed, time)


def test_a_turn_between_two_frames_is_followed_within_half_a_second() -> None:
    """Motion cannot show it: the points are where they were, with other names."""
    rng, tracker, results = np.random.default_rng(2), Tracker(), []
    for i in range(90):
        truth = person(0.0 if i < 45 else np.pi, rng)
        results.append(wrong(tracker.update(truth, i / RATE), truth))
    assert not any(results[:45])
    assert not any(results[45 + RATE // 2 :])


@pytest.mark.parametrize("step", [-120.0, -60.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0])
def test_somebody_fast_is_not_mirrored(step: float) -> None:
    """Points come to about where their mirror images were, while nothing says yet how fast the person is."""
    tracker = Tracker()
    for i in range(8):
        given = person(0.0)
        shift = np.array([i * step, 0.0])
        moved = replace(given, keypoints=given.keypoints + shift, boxes=given.boxes + np.tile(shift, 2))
        assert np.array_equal(tracker.update(moved, i / RATE).keypoints, moved.keypoints), f"frame {i}"


def test_without_sides_nothing_changes() -> None:
    rng = np.random.default_rng(3)
    thing = Skeleton("thing", ("tip", "middle", "end"))
    assert pairs_of(thing).shape == (0, 2) and pairs_of(BOX).shape == (0, 2)
    tracker = Tracker()
    for i in range(20):
        given = Poses(rng.uniform(0, 100, (2, 3, 2)), np.ones((2, 3)), [[0, 0, 100, 100], [300, 0, 400, 100]],
                      np.ones(2), thing)  # fmt: skip
        found = tracker.update(given, i / RATE)
        np.testing.assert_array_equal(found.keypoints, given.keypoints)


@pytest.mark.parametrize("name", SKELETONS)
def test_pairs_are_each_others_mirror_image(name: str) -> None:
    skeleton = SKELETONS[name]
    pairs = pairs_of(skeleton)
    assert all(skeleton.flip[a] == b and a < b for a, b in pairs.tolist())
    assert 2 * len(pairs) == (skeleton.flip != np.arange(len(skeleton))).sum()


def test_scores_go_with_their_keypoints_and_others_stay() -> None:
    poses = Poses.concatenate([person(0.0), person(1.0)])
    poses = replace(poses, scores=np.arange(34.0).reshape(2, 17))
    pairs = pairs_of(COCO)
    exchange = np.zeros((2, len(pairs)), bool)
    exchange[1, pairs.tolist().index([5, 6])] = True
    found = exchanged(poses, pairs, exchange)
    np.testing.assert_array_equal(found.scores[1, [5, 6, 7, 8]], [23, 22, 24, 25])
    np.testing.assert_array_equal(found.keypoints[1, [5, 6]], poses.keypoints[1, [6, 5]])
    np.testing.assert_array_equal(found.keypoints[0], poses.keypoints[0])


def test_keypoints_that_are_nowhere_are_no_evidence() -> None:
    tracker = Tracker()
    for i in range(20):
        given = person(np.pi)
        if i % 2:
            keypoints = given.keypoints.copy()
            keypoints[0, 5] = np.inf
            given = replace(given, keypoints=keypoints, scores=np.where(np.arange(17) == 5, 0.0, given.scores))
        found = tracker.update(given, i / RATE)
        np.testing.assert_array_equal(found.keypoints, given.keypoints)


def test_the_odds_of_two_statements() -> None:
    assert joint(np.array(2.0), np.array(0.0)) == 0
    p, q = 1 / (1 + np.exp(-2)), 1 / (1 + np.exp(1))
    alike = p * q + (1 - p) * (1 - q)
    np.testing.assert_allclose(joint(np.array(2.0), np.array(-1.0)), np.log(alike / (1 - alike)))
