"""Angles of joints and segments: by name, against the horizontal, and what they do when the body moves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepose.angles import STANDARD, Angle, angles_of, measured, standard
from edgepose.poses import Poses
from edgepose.skeleton import BOX, COCO, WHOLEBODY, Skeleton

LEG = ("left_hip", "left_knee", "left_ankle")


def somebody(points: dict[str, tuple[float, float]], scores: dict[str, float] | None = None) -> Poses:
    keypoints, sure = np.zeros((1, len(COCO), 2)), np.zeros((1, len(COCO)))
    for name, place in points.items():
        keypoints[0, COCO.names.index(name)] = place
        sure[0, COCO.names.index(name)] = (scores or {}).get(name, 0.9)
    return Poses(keypoints, sure, [[0, 0, 1, 1]], [1.0])


def test_a_leg_that_bends() -> None:
    for bend in (0.0, 30.0, 90.0, 170.0):
        x, y = math.sin(math.radians(bend)), math.cos(math.radians(bend))
        poses = somebody(dict(zip(LEG, [(100, 100), (100, 200), (100 + 80 * x, 200 + 80 * y)], strict=True)))
        assert poses.angle(*LEG) == pytest.approx(180 - bend, abs=1e-3)
        assert poses.angle(*LEG[::-1]) == pytest.approx(180 - bend, abs=1e-3)
        assert measured(poses, angles_of("left_knee", COCO))["left_knee"] == pytest.approx(180 - bend, abs=1e-3)


def test_segments_against_the_horizontal() -> None:
    """Counter-clockwise as seen, with y down in the picture: up is 90, and a segment has a direction."""
    for end, angle in (((20, 10), 0), ((10, 0), 90), ((0, 10), 180), ((10, 20), -90), ((20, 0), 45), ((0, 20), -135)):
        poses = somebody({"left_hip": (10, 10), "left_knee": end})
        assert poses.segment_angle("left_hip", "left_knee") == pytest.approx(angle)
        assert angles_of("left_hip:left_knee", COCO)[0].of(poses) == pytest.approx(angle)
        assert angles_of("left_thigh", COCO)[0].of(poses) == pytest.approx(angle)


def test_a_point_that_is_not_sure_gives_no_angle() -> None:
    points = dict(zip(LEG, [(0, 0), (0, 1), (1, 2)], strict=True))
    assert np.isfinite(somebody(points, {"left_knee": 0.31}).angle(*LEG)).all()
    assert np.isnan(somebody(points, {"left_knee": 0.29}).angle(*LEG)).all()
    assert np.isfinite(somebody(points, {"left_knee": 0.1}).angle(*LEG, threshold=0.05)).all()
    assert np.isnan(somebody(points | {"left_ankle": (0, 1)}).angle(*LEG)).all(), "no direction"
    assert np.isnan(somebody(points | {"left_ankle": (np.nan, 1)}).angle(*LEG)).all()
    nobody = Poses.nobody()
    assert nobody.angle(*LEG).shape == (0,) and nobody.segment_angle("nose", "left_eye").shape == (0,)
    assert {name: values.shape for name, values in measured(nobody, standard(COCO)).items()} == dict.fromkeys(
        [angle.name for angle in standard(COCO)], (0,)
    )


@given(st.integers(0, 2**32 - 1), st.floats(-180, 180), st.floats(0.01, 100), st.booleans())
def test_turned_scaled_moved_and_mirrored(seed: int, turn: float, scale: float, mirrored: bool) -> None:
    """Joints keep their angles whatever the camera does in its plane; segments turn with it."""
    rng = np.random.default_rng(seed)
    poses = Poses(rng.uniform(-100, 100, (3, 17, 2)), np.ones((3, 17)), np.tile([0, 0, 1, 1], (3, 1)), np.ones(3))
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    linear = scale * np.array([[cos, sin], [-sin, cos]])  # by `turn` counter-clockwise, y down
    if mirrored:
        linear = linear @ np.diag([-1.0, 1.0])
    moved = poses.mapped(np.concatenate([linear, scale * np.array([[30.0], [-50.0]])], axis=1))
    for angle in standard(COCO):
        before, after = angle.of(poses), angle.of(moved)
        if len(angle.points) == 3:
            assert np.abs(before - after).max() < 0.3  # float32 near 0 and 180
            assert (after >= 0).all() and (after <= 180).all()
            continue
        expected = turn + (180 - before if mirrored else before)
        assert np.abs((after - expected + 180) % 360 - 180).max() < 0.3
        assert (after > -180).all() and (after <= 180).all()


def test_standard_angles_are_those_that_a_skeleton_has() -> None:
    names = {angle.name for angle in standard(COCO)}
    assert {"left_knee", "right_hip", "left_elbow", "right_shoulder", "left_thigh", "trunk"} <= names
    assert not names & {"left_ankle", "left_foot"}, "COCO has no toes"
    assert {angle.name for angle in standard(WHOLEBODY)} == set(STANDARD)
    assert standard(BOX) == []
    other = Skeleton("mine", ("LHip", "kneeLeft", "l_ankle"))
    assert angles_of("left_knee", other) == [Angle("left_knee", (("LHip",), ("kneeLeft",), ("l_ankle",)))]
    assert angles_of("standard", other) == standard(other)
    assert angles_of("left_hip:left_knee", other)[0].points == (("LHip",), ("kneeLeft",))


def test_the_trunk_goes_from_hips_to_shoulders() -> None:
    poses = somebody(
        {"left_hip": (20, 100), "right_hip": (0, 100), "left_shoulder": (30, 0), "right_shoulder": (-10, 0)}
    )
    assert angles_of("trunk,pelvis", COCO)[0].of(poses) == pytest.approx(90)
    assert angles_of("trunk,pelvis", COCO)[1].of(poses) == pytest.approx(180)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("left_kneee", "did you mean 'left_knee'"),
        ("left_hip:left_kne:left_ankle", "did you mean 'left_knee'"),
        ("tail:left_knee", "no keypoint 'tail', expected names such as 'nose'"),
        ("left_hip:left_knee:left_ankle:nose", "has 4 keypoints: expected first:vertex:last"),
        ("nose:nose", "names a keypoint twice"),
        ("", "unknown angle ''"),
    ],
)
def test_wrong_names(words: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        angles_of(words, COCO)


def test_a_skeleton_without_standard_angles_says_so() -> None:
    with pytest.raises(ValueError, match="none of the standard angles"):
        angles_of("standard", Skeleton("tool", ("grip", "tip")))
    with pytest.raises(KeyError, match="did you mean 'left_knee'"):
        Poses.nobody().angle("left_hip", "left_kneee", "left_ankle")
