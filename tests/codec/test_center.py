"""The four maps of one person: the published decoding, its inverse, the flip test, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from edgepose.codec.center import Center

CODEC = Center((64, 48), falloff=1.8)
W, H = CODEC.size  # 16, 12
K = 17


def empty() -> list[np.ndarray]:
    return [np.zeros((1, planes, H, W), np.float32) for planes in (K, 1, 2 * K, 2 * K)]


def one_keypoint() -> list[np.ndarray]:
    """The person's center in cell (9, 5); keypoint 3 regressed 4 cells left and 2 down of it, two peaks about there."""
    heat, centers, displacements, offsets = outputs = empty()
    centers[0, 0, 5, 9] = 0.5
    displacements[0, 6:8, 5, 9] = 2, -4  # y, x: at (5, 7)
    heat[0, 3, 7, 6] = 0.6  # one cell away: 0.6 / 2.8
    heat[0, 3, 7, 11] = 0.9  # six cells away: 0.9 / 7.8
    offsets[0, 6:8, 7, 6] = 0.25, 0.75
    return outputs


def test_the_peak_near_the_regressed_place_wins_over_a_higher_one() -> None:
    poses = CODEC.decode(one_keypoint())
    assert np.allclose(poses.keypoints[0, 3], [(6 + 0.75) * 4, (7 + 0.25) * 4])
    assert np.isclose(poses.scores[0, 3], 0.6) and np.isclose(poses.person_scores[0], 0.6)
    outputs = one_keypoint()
    outputs[0][0, 3, 7, 11] = 1.8 * 0.6  # 6 + 1.8 cells against 1 + 1.8: 2.8 times as high is still not enough
    assert np.allclose(CODEC.decode(outputs).scores[0, 3], 0.6)
    outputs[0][0, 3, 7, 11] = 2.9 * 0.6
    assert np.allclose(CODEC.decode(outputs).scores[0, 3], 2.9 * 0.6)


def test_of_two_centers_the_one_in_the_middle_counts() -> None:
    outputs = one_keypoint()
    outputs[1][0, 0, 5, 15] = 0.9  # 7.07 cells from (8, 6), the other one 1.41: 0.9 / 8.87 < 0.5 / 3.21
    outputs[2][0, 6:8, 5, 15] = 2, -4
    assert np.isclose(CODEC.decode(outputs).scores[0, 3], 0.6)
    outputs[1][0, 0, 5, 15] = 1.5  # 0.169 > 0.156; from there keypoint 3 is expected at (11, 7)
    assert np.isclose(CODEC.decode(outputs).scores[0, 3], 0.9)


def test_decode_inverts_encode() -> None:
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(1, np.array(CODEC.input_size) - 1, (5, K, 2))
    targets = CODEC.encode(keypoints, np.ones((5, K)))
    poses = CODEC.decode([targets[name] for name in CODEC.output_names])
    assert np.allclose(poses.keypoints, keypoints, atol=1e-4)
    assert (poses.scores > np.exp(-2 / 8) - 1e-6).all()  # the peak, or a cell beside it that is nearer
    assert (targets["weights"] == 1).all() and {t.dtype for t in targets.values()} == {np.dtype(np.float32)}


def test_keypoints_that_nobody_labelled_or_outside_have_no_target() -> None:
    keypoints, visible = np.full((1, K, 2), 20.0), np.ones((1, K))
    keypoints[0, 0], visible[0, 1] = (-3, 5), 0
    targets = CODEC.encode(keypoints, visible)
    assert targets["weights"][0].tolist() == [0, 0, *[1] * 15]
    assert not targets["heatmaps"][0, :2].any() and not targets["offsets"][0, :4].any()
    assert np.unravel_index(targets["centers"][0, 0].argmax(), (H, W)) == (5, 5)  # of those that are seen alone


def test_the_mirror_image_of_a_person_is_that_person() -> None:
    rng = np.random.default_rng(1)
    keypoints = (rng.integers(1, 11, (2, K, 2)) + 0.5) * 4  # within cells, so that no Gaussian jumps to the next
    mirrored = np.stack([CODEC.input_size[0] - keypoints[..., 0], keypoints[..., 1]], axis=-1)[:, CODEC.skeleton.flip]
    plain, flipped = ([t[n] for n in CODEC.output_names] for t in (CODEC.encode(p, np.ones((2, K))) for p in
                      (keypoints, mirrored)))  # fmt: skip
    before = [output.copy() for output in flipped]
    merged = CODEC.merge_flipped(plain, flipped)
    assert np.allclose(CODEC.decode(merged).keypoints, keypoints, atol=1e-4)
    assert np.allclose(merged[0], plain[0], atol=1e-6) and np.allclose(merged[3], plain[3], atol=1e-6)
    assert all(np.array_equal(old, new) for old, new in zip(before, flipped, strict=True))


def test_nobody_and_what_does_not_fit() -> None:
    assert len(CODEC.decode([output[:0] for output in empty()])) == 0
    with pytest.raises(ValueError, match=r"Center decodes four outputs \(B, ...\) of \[\(17, 12, 16\), \(1, 12, 16\)"):
        CODEC.decode(empty()[:3])
    with pytest.raises(ValueError, match="an input_size that stride 4 divides"):
        Center((66, 48))
    with pytest.raises(ValueError, match="positive sigma and falloff"):
        Center((64, 48), falloff=0)
