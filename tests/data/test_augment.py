"""Random views: their ranges, and the rules of half bodies and mirrors."""

from __future__ import annotations

import numpy as np
import pytest

from edgepose.data.augment import (
    MILD,
    STRONG,
    Strength,
    blur,
    cut_out,
    half_body,
    jitter_hsv,
    random_view,
    truncated_normal,
)
from edgepose.geometry import transform
from edgepose.skeleton import COCO

BOX = np.array([30.0, 40.0, 90.0, 160.0])
SIZE = (192, 256)


def views(strength: Strength, count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    nothing = np.zeros((17, 2)), np.zeros(17)
    drawn = [random_view(rng, BOX, *nothing, COCO, SIZE, strength) for _ in range(count)]
    return np.stack([matrix for matrix, _ in drawn]), np.array([flipped for _, flipped in drawn])


@pytest.mark.parametrize("strength", [STRONG, MILD])
def test_views_stay_within_their_strength(strength: Strength) -> None:
    matrices, flipped = views(strength)
    magnification = np.sqrt(np.abs(np.linalg.det(matrices[:, :, :2])))
    plain = SIZE[0] / (120 * 1.25 * 0.75)  # the box is taller than 3:4, so its height sets the side
    low, high = 1 / np.array(strength.scale[::-1])
    assert (magnification >= plain * low - 1e-6).all() and (magnification <= plain * high + 1e-6).all()
    assert 0.4 < flipped.mean() < 0.6
    assert (np.sign(np.linalg.det(matrices[:, :, :2])) == np.where(flipped, -1, 1)).all()
    unmirrored = matrices[~flipped]
    degrees = np.rad2deg(np.arctan2(unmirrored[:, 1, 0], unmirrored[:, 0, 0]))
    assert np.abs(degrees).max() <= strength.rotation
    assert 0.3 < (np.abs(degrees) < 1e-9).mean() < 0.5, "four views in ten are not turned"


def test_without_shift_the_center_of_the_box_is_the_center_of_the_view() -> None:
    matrices, flipped = views(MILD)
    center = transform(np.tile((BOX[:2] + BOX[2:]) / 2, (len(matrices), 1, 1)), matrices)[:, 0]
    expected = np.where(flipped[:, None], (SIZE[0] / 2 - 1, SIZE[1] / 2), (SIZE[0] / 2, SIZE[1] / 2))
    np.testing.assert_allclose(center, expected, atol=1e-6)


def test_half_bodies_need_nine_keypoints_and_hold_one_half() -> None:
    rng = np.random.default_rng(1)
    keypoints = np.stack([np.arange(17.0), np.arange(17.0) * 10], axis=-1)
    few = np.zeros(17)
    few[:8] = 1
    assert half_body(rng, keypoints, few, COCO) is None
    all_seen = np.ones(17)
    drawn = [half_body(rng, keypoints, all_seen, COCO) for _ in range(400)]
    uppers = [abs(half[0][1] - 50) < 1e-9 for half in drawn if half is not None]  # mean of keypoints 0-10
    assert len(uppers) == 400 and 0.6 < np.mean(uppers) < 0.8
    upper = next(half for half, is_upper in zip(drawn, uppers, strict=True) if half is not None and is_upper)
    np.testing.assert_allclose(upper[1], np.array([10, 100]) * 1.5)


def test_truncated_normal_is_cut_and_centered() -> None:
    draws = truncated_normal(np.random.default_rng(0), 20_000)
    assert np.abs(draws).max() <= 1
    assert abs(draws.mean()) < 0.02
    assert draws.std() == pytest.approx(0.54, abs=0.01)  # of the standard normal within one deviation


def test_color_changes_keep_shape_and_leave_most_of_the_picture_alone() -> None:
    rng = np.random.default_rng(0)
    image = np.full((40, 30, 3), (40, 120, 200), np.uint8)
    for change in (jitter_hsv, blur, cut_out):
        changed = change(rng, image)
        assert changed.shape == image.shape and changed.dtype == np.uint8
        assert (image == (40, 120, 200)).all(), "the picture given is not written into"
    holes = [(cut_out(rng, image) == 0).all(-1).mean() for _ in range(50)]
    assert min(holes) > 0.2**2 * 0.8 and max(holes) <= 0.4**2
