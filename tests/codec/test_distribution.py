"""The soft-max codec: round trips, scores, and refused shapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepose.codec import codec_of
from edgepose.codec.distribution import Distribution
from edgepose.skeleton import COCO
from edgepose.spec import ModelSpec

CODEC = Distribution((192, 256))


def logits(keypoints: np.ndarray) -> np.ndarray:
    return np.log(CODEC.encode(keypoints, np.ones(keypoints.shape[:2]))["heatmaps"] + 1e-12)


def test_of_two_places_about_as_likely_the_expected_one_is_taken() -> None:
    here, there = np.full((1, 17, 2), (52.0, 60.0)), np.full((1, 17, 2), (140.0, 204.0))
    for odds, nearer in ((0.7, True), (0.4, False)):  # of the expected place against the other
        outputs = [np.logaddexp(logits(here) + np.log(odds), logits(there))]
        plain = CODEC.decode(outputs)
        near = CODEC.decode_near(outputs, here + 5)
        np.testing.assert_allclose(plain.keypoints, there, atol=1)
        np.testing.assert_allclose(near.keypoints, here if nearer else there, atol=1)
        score = odds / (1 + odds) if nearer else 1 / (1 + odds)
        np.testing.assert_allclose(near.scores, score, atol=0.05)
        nowhere = CODEC.decode_near(outputs, np.full_like(here, np.nan))
        assert np.array_equal(nowhere.keypoints, plain.keypoints)


def test_where_one_place_is_likely_the_expected_one_changes_nothing() -> None:
    outputs = [logits(np.full((1, 17, 2), (52.0, 60.0)))]
    assert np.array_equal(
        CODEC.decode_near(outputs, np.full((1, 17, 2), 150.0)).keypoints, CODEC.decode(outputs).keypoints
    )


@given(st.floats(24, 167), st.floats(24, 231))
def test_decode_inverts_encode_away_from_the_rim(x: float, y: float) -> None:
    poses = CODEC.decode([logits(np.full((1, 17, 2), (x, y)))])
    np.testing.assert_allclose(poses.keypoints, np.full((1, 17, 2), (x, y)), atol=0.6)  # of 8 pixels a cell
    assert poses.scores.min() > 0.88  # half a cell beside the middle of one


def test_at_the_rim_the_mean_is_pulled_inwards_by_less_than_a_cell() -> None:
    corners = np.array([[0, 0], [191, 0], [0, 255], [191, 255]], float).repeat(17, 0).reshape(4, 17, 2)
    assert np.abs(CODEC.decode([logits(corners)]).keypoints - corners).max() < 8


def test_targets_sum_to_one_and_outside_or_unlabelled_have_none() -> None:
    keypoints = np.full((1, 17, 2), 100.0)
    keypoints[0, 0], keypoints[0, 1] = (-5, 100), (100, 300)
    visible = np.ones((1, 17))
    visible[0, 2] = 0
    targets = CODEC.encode(keypoints, visible)
    assert targets["weights"][0].tolist() == [0, 0, 0] + [1] * 14
    np.testing.assert_allclose(targets["heatmaps"].sum((2, 3))[0], [0, 0, 0] + [1] * 14, atol=1e-5)


def test_the_score_is_the_share_of_probability_at_the_peak() -> None:
    flat = CODEC.decode([np.zeros((1, 17, 32, 24), np.float32)])
    np.testing.assert_allclose(flat.scores, 9 / (32 * 24) / 0.7507, rtol=1e-3)  # of a Gaussian within 1.5 sigma
    two = np.logaddexp(logits(np.full((1, 17, 2), (50.0, 60.0))), logits(np.full((1, 17, 2), (140.0, 200.0))))
    assert ((two_scores := CODEC.decode([two]).scores) > 0.4).all() and (two_scores < 0.6).all()


def test_a_mirrored_view_gives_the_same_people() -> None:
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(30, 160, (2, 17, 2))
    mirrored = keypoints[:, COCO.flip].copy()
    mirrored[..., 0] = 191 - mirrored[..., 0]
    merged = CODEC.merge_flipped([logits(keypoints)], [logits(mirrored)])
    np.testing.assert_allclose(CODEC.decode(merged).keypoints, CODEC.decode([logits(keypoints)]).keypoints, atol=1e-3)


def test_no_crops_are_no_people_and_half_precision_is_read() -> None:
    assert len(CODEC.decode([np.zeros((0, 17, 32, 24), np.float32)])) == 0
    assert len(CODEC.decode([np.zeros((2, 17, 32, 24), np.float16)])) == 2


@pytest.mark.parametrize("changes", [{"stride": 0}, {"sigma": 0.0}, {"stride": 7}])
def test_unusable_settings_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Distribution((192, 256), **changes)


def test_wrong_shapes_are_refused_in_one_sentence() -> None:
    codec = codec_of(ModelSpec("x", "distribution", (192, 256), per_person=True))
    with pytest.raises(ValueError, match=r"one output \(B, 17, 32, 24\)"):
        codec.decode([np.zeros((1, 17, 24, 32), np.float32)])


def test_what_is_likely_three_cells_away_does_not_pull_the_place() -> None:
    place = np.full((1, 17, 2), (99.5, 123.5))
    beside = place + np.array([24.0, 0.0])
    mixed = [np.logaddexp(logits(place) + np.log(0.7), logits(beside) + np.log(0.3))]
    # The mean over the window that has the most probability is 5.6 pixels away.
    np.testing.assert_allclose(CODEC.decode(mixed).keypoints, place, atol=1)
