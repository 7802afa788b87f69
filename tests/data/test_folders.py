"""Folders of classes: what is read, and what a classifier sees of a picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgepose.data.folders import JITTER, jitter, middle_crop, random_crop, read_folders
from edgepose.geometry import transform


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, level in (("b", 40), ("a", 200)):
        (tmp_path / name).mkdir()
        for i in range(2):
            cv2.imwrite(str(tmp_path / name / f"{i}.png"), np.full((40, 60, 3), level + i, np.uint8))
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    (tmp_path / "readme.txt").write_text("no class")
    return tmp_path


def test_classes_are_the_sub_folders(folder: Path) -> None:
    samples = read_folders(folder, (16, 16))
    assert samples.names == ("a", "b") and samples.files == ("a/0.png", "a/1.png", "b/0.png", "b/1.png")
    assert samples.classes.tolist() == [0, 0, 1, 1] and len(samples) == 4
    images, targets = samples.batch((0,), np.array([3, 0]), 0)
    assert images.shape == (2, 16, 16, 3) and images.dtype == np.uint8
    assert targets["classes"].tolist() == [1, 0]
    assert (images[0] == 41).all() and (images[1] == 200).all()


def test_views_follow_the_seed(folder: Path) -> None:
    samples, rows = read_folders(folder, (16, 16)), np.arange(4)
    first, again, other = (samples.batch((seed,), rows, 1)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_what_is_no_folder_of_classes_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two classes or more, got 0 sub-folders"):
        read_folders(folder / "a", (16, 16))
    with pytest.raises(ValueError, match="got 0 sub-folders"):
        read_folders(folder / "nowhere", (16, 16))
    (folder / "c").mkdir()
    with pytest.raises(ValueError, match="got no pictures in c"):
        read_folders(folder, (16, 16))


def test_crops_lie_in_the_picture_and_fill_the_view() -> None:
    rng = np.random.default_rng(0)
    picture, size = (300, 200), (64, 48)
    corners = np.array([[[-0.5, -0.5], [63.5, -0.5], [63.5, 47.5], [-0.5, 47.5]]])
    areas, turned, mirrored = [], [], 0
    for _ in range(300):
        matrix = random_crop(rng, picture, size)
        linear = np.linalg.inv(matrix[:, :2])
        back = np.concatenate([linear, (-linear @ matrix[:, 2:])], axis=1)
        shown = transform(corners, back[None])[0]
        center = shown.mean(0)
        assert (center > 0).all() and (center < picture).all()
        areas.append(abs(np.linalg.det(linear)) * size[0] * size[1] / (picture[0] * picture[1]))
        mirrored += np.linalg.det(linear) < 0
        turned.append(np.degrees(np.arctan2(matrix[1, 0], matrix[1, 1])))
    assert 0.075 < min(areas) < 0.15 and 0.8 < max(areas) <= 1.0001
    assert 110 < mirrored < 190 and 8 < np.abs(turned).max() <= 10.001
    # an unmoved view: the middle .875 of the shorter side, aspect of the view kept
    matrix = middle_crop(picture, size)
    assert matrix[0, 0] == pytest.approx(matrix[1, 1]) == pytest.approx(48 / (0.875 * 200))
    np.testing.assert_allclose(matrix[:, :2] @ (149.5, 99.5) + matrix[:, 2], (31.5, 23.5))


def test_colors_are_jittered_within_their_limits() -> None:
    rng = np.random.default_rng(0)
    gray = np.full((8, 8, 3), 100, np.uint8)
    levels = np.array([jitter(rng, gray).mean((0, 1)) for _ in range(200)])
    # brightness by up to JITTER; contrast and saturation leave an even gray alone; lighting moves it a little
    assert levels.mean(1).min() < 100 * (1 - JITTER) + 8 and levels.mean(1).max() > 100 * (1 + JITTER) - 8
    assert np.ptp(levels, axis=1).max() > 1 and abs(levels.mean() - 100) < 5
    checks = np.where(np.indices((8, 8)).sum(0)[..., None] % 2, (40, 90, 60), (60, 110, 80)).astype(np.uint8)
    spread = [jitter(rng, checks).std((0, 1)).mean() / checks.std((0, 1)).mean() for _ in range(100)]
    assert min(spread) < 0.6 and max(spread) > 1.4
