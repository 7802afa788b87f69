"""Proportions, joint limits and motions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgepose.skeleton import COCO
from edgepose.synthetic.body import (
    ANGLE,
    BONE,
    HIGHEST,
    LIMITS,
    LOWEST,
    Build,
    lowest_point,
    pose_body,
    random_build,
    within_limits,
)
from edgepose.synthetic.motion import MOTIONS, random_motion

SHARES = arrays(np.float64, len(LIMITS), elements=st.floats(0, 1))
INDEX = {name: i for i, name in enumerate(COCO.names)}
REST = np.zeros(len(LIMITS))


def at(keypoints: np.ndarray, name: str) -> np.ndarray:
    return keypoints[INDEX[name]]


def swapped(angles: np.ndarray) -> np.ndarray:
    """The same pose mirrored: sides exchanged, bends and twists of the trunk negated."""
    result = angles.copy()
    for name, i in ANGLE.items():
        if name.startswith("left_"):
            j = ANGLE["right_" + name[5:]]
            result[i], result[j] = angles[j], angles[i]
        elif name.endswith(("bend", "twist")):
            result[i] = -angles[i]
    return result


@settings(max_examples=40, deadline=None)
@given(SHARES, st.integers(0, 10**6))
def test_bones_keep_their_lengths_in_every_pose(shares: np.ndarray, seed: int) -> None:
    build = random_build(np.random.default_rng(seed))
    keypoints = pose_body(build, LOWEST + shares * (HIGHEST - LOWEST)).keypoints
    size = build.lengths()
    for side in ("left", "right"):
        for a, b, bone in (("shoulder", "elbow", "upper_arm"), ("elbow", "wrist", "forearm"), ("hip", "knee", "thigh"),
                           ("knee", "ankle", "shin")):  # fmt: skip
            found = np.linalg.norm(at(keypoints, f"{side}_{a}") - at(keypoints, f"{side}_{b}"))
            assert found == pytest.approx(size[bone], rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(SHARES)
def test_sides_mirror(shares: np.ndarray) -> None:
    angles = LOWEST + shares * (HIGHEST - LOWEST)
    one = pose_body(Build(), angles).keypoints
    other = pose_body(Build(), swapped(angles)).keypoints
    np.testing.assert_allclose(other[COCO.flip] * (-1, 1, 1), one, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_random_bodies_are_people(seed: int) -> None:
    build = random_build(np.random.default_rng(seed))
    body = pose_body(build, REST)
    tall = body.origins[BONE["head"], 1] + build.lengths()["head"] * 0.95 - lowest_point(build, body)
    assert tall == pytest.approx(build.stature, rel=0.06)
    y = body.keypoints[:, 1]
    order = ["left_eye", "nose", "left_shoulder", "left_elbow", "left_hip", "left_knee", "left_ankle"]
    assert all(y[INDEX[a]] > y[INDEX[b]] for a, b in pairwise(order))
    assert 0.42 < (y[INDEX["left_hip"]] - lowest_point(build, body)) / build.stature < 0.58
    assert 4 < build.stature / build.lengths()["head"] < 8.5  # heads high: a toddler's is large


def test_angles_turn_what_they_name() -> None:
    def moved(**angles: float) -> np.ndarray:
        values = REST.copy()
        for name, value in angles.items():
            values[ANGLE[name]] = value
        return pose_body(Build(), values).keypoints

    rest = moved()
    assert at(rest, "left_wrist")[0] > at(rest, "right_wrist")[0]
    assert at(rest, "nose")[2] > at(rest, "left_ear")[2]
    assert at(moved(left_shoulder_flex=90), "left_wrist")[2] > 0.3  # forward
    assert at(moved(left_shoulder_abduct=90), "left_wrist")[0] > 0.5  # away from the body
    assert at(moved(right_shoulder_abduct=90), "right_wrist")[0] < -0.5
    assert at(moved(left_elbow_flex=90), "left_wrist")[2] > 0.2
    assert at(moved(left_knee_flex=90), "left_ankle")[2] < -0.3  # backward
    assert at(moved(left_hip_flex=90), "left_knee")[2] > 0.3
    assert at(moved(spine_flex=60), "nose")[2] > 0.3
    assert at(moved(spine_bend=30), "nose")[0] > 0.1  # to the own left
    assert at(moved(neck_twist=60), "nose")[0] > 0.05


@pytest.mark.parametrize("kind", [*MOTIONS, "pose"])
def test_motions_stay_within_limits_and_are_smooth(kind: str) -> None:
    for seed in range(12):
        motion = random_motion(np.random.default_rng(seed), kind)
        poses = np.array([motion.angles(t) for t in np.arange(0, 2, 1 / 30)])
        assert (poses >= LOWEST).all() and (poses <= HIGHEST).all()
        assert np.abs(np.diff(poses, axis=0)).max() < 45  # degrees in a thirtieth of a second
        assert np.array_equal(motion.angles(0.7), motion.angles(0.7))
        assert (motion.speed > 0) == (kind in ("walk", "run"))
    assert len({random_motion(np.random.default_rng(s), kind).angles(1.0).tobytes() for s in range(8)}) == 8


def test_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match="left_knee_flex"):
        pose_body(Build(), REST - 30 * (np.arange(len(LIMITS)) == ANGLE["left_knee_flex"]))
    with pytest.raises(ValueError, match="shape"):
        pose_body(Build(), np.zeros(3))
    with pytest.raises(ValueError, match="stature"):
        Build(stature=17)
    with pytest.raises(ValueError, match="child"):
        Build(child=2)
    with pytest.raises(ValueError, match="unknown motion"):
        random_motion(np.random.default_rng(0), "swim")
    assert np.array_equal(within_limits(REST + 999), HIGHEST)


@pytest.mark.parametrize("field", ["weight", "shoulders", "hips", "belly", "bust", "arms", "legs", "child"])
def test_every_factor_shows(field: str) -> None:
    from edgepose.synthetic.figure import figure
    from edgepose.synthetic.look import random_look

    look = random_look(np.random.default_rng(0))
    plain, other = Build(), Build(**{field: 0.7 if field in ("bust", "child") else 1.3})
    a, b = figure(plain, look), figure(other, look)
    assert len(a) != len(b) or not all(
        np.array_equal(getattr(a, n), getattr(b, n)) for n in ("start", "profile", "wide", "length")
    )
