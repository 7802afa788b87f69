"""Limbs that are too long for the person go; what perspective and bending can do stays."""

from __future__ import annotations

import numpy as np

from edgepose.data.plausible import LONGEST, limbs_of, plausible
from edgepose.skeleton import COCO, SKELETONS
from tests.people import BODY

STANDING = BODY * (100, 250)
NAMES = {name: i for i, name in enumerate(COCO.names)}
SURE = np.full((1, 17), 0.8)


def kept(keypoints: np.ndarray, scores: np.ndarray = SURE, seen: np.ndarray | None = None) -> list[str]:
    """Names of the keypoints that went."""
    seen = np.ones((1, 17), bool) if seen is None else seen
    result = plausible(keypoints[None], scores, seen, COCO)
    assert not (result & ~seen).any()
    return [name for name, i in NAMES.items() if seen[0, i] and not result[0, i]]


def moved(name: str, x: float, y: float) -> np.ndarray:
    points = STANDING.copy()
    points[NAMES[name]] += x, y
    return points


def test_somebody_who_stands_is_whole() -> None:
    assert kept(STANDING) == []


def test_a_wrist_on_somebody_else_goes() -> None:
    far = moved("left_wrist", 200, 0)
    scores = SURE.copy()
    scores[0, NAMES["left_wrist"]] = 0.7
    assert kept(far, scores) == ["left_wrist"]
    scores[0, NAMES["left_wrist"]] = 0.9  # the end that is scored lower, whichever it is
    assert kept(far, scores) == ["left_elbow"]


def test_two_wrong_ends_go_one_after_the_other() -> None:
    points = moved("left_wrist", 200, 0)
    points[NAMES["right_ankle"]] += 0, 350
    scores = SURE.copy()
    scores[0, [NAMES["left_wrist"], NAMES["right_ankle"]]] = 0.6
    assert kept(points, scores) == ["left_wrist", "right_ankle"]


def test_what_bends_towards_the_camera_stays() -> None:
    sitting = STANDING.copy()
    for side in ("left", "right"):
        up = sitting[NAMES[f"{side}_hip"]] + (0, 5) - sitting[NAMES[f"{side}_knee"]]  # thighs point at the camera
        sitting[[NAMES[f"{side}_knee"], NAMES[f"{side}_ankle"]]] += up
    assert kept(sitting) == []


def test_a_wrong_elbow_goes_whose_two_limbs_are_both_long() -> None:
    scores = SURE.copy()
    scores[0, NAMES["right_elbow"]] = 0.5
    assert kept(moved("right_elbow", -220, 0), scores) == ["right_elbow"]


def test_the_limit_is_twice_what_the_third_longest_limb_allows() -> None:
    pairs, shares = limbs_of(COCO)
    lengths = np.linalg.norm(STANDING[pairs[:, 0]] - STANDING[pairs[:, 1]], axis=1) / shares
    forearm = next(i for i, pair in enumerate(pairs) if tuple(pair) == (NAMES["left_elbow"], NAMES["left_wrist"]))
    limit = LONGEST * np.sort(np.delete(lengths, forearm))[-2]
    scores = SURE.copy()
    scores[0, NAMES["left_wrist"]] = 0.5
    for factor, gone in ((0.99, []), (1.01, ["left_wrist"])):
        points = STANDING.copy()
        points[NAMES["left_wrist"]] = points[NAMES["left_elbow"]] + (0, factor * limit * shares[forearm])
        assert kept(points, scores) == gone


def test_too_little_is_seen_to_say_anything() -> None:
    seen = np.zeros((1, 17), bool)
    seen[0, [NAMES[n] for n in ("left_shoulder", "left_elbow", "left_wrist", "right_shoulder")]] = True
    assert kept(moved("left_wrist", 900, 0), seen=seen) == []


def test_nobody_and_other_skeletons() -> None:
    assert plausible(np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros((0, 17), bool), COCO).shape == (0, 17)
    for name, skeleton in SKELETONS.items():
        k = len(skeleton)
        points = np.random.default_rng(0).uniform(0, 1000, (1, k, 2))
        result = plausible(points, np.ones((1, k)), np.ones((1, k), bool), skeleton)
        assert result.shape == (1, k)
        if name == "ap10k":
            assert result.all()
