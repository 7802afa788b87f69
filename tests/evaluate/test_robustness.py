from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepose.evaluate.robustness import IDENTITY, KINDS, Spoiled, robustness, spoiled, turned
from edgepose.evaluate.run import results_of
from edgepose.geometry import boxes_of, transform
from edgepose.poses import Poses
from edgepose.runtime.bench import noise
from edgepose.spec import ModelSpec
from tests.evaluate.test_run import Perfect, write_set

PICTURE = noise((160, 120))


@pytest.mark.parametrize("kind", KINDS)
def test_worse_grades_are_worse(kind: str) -> None:
    distances = []
    for strength in KINDS[kind][1]:
        image, matrix = spoiled(PICTURE, kind, strength)
        assert image.dtype == np.uint8 and image.ndim == 3 and image.flags.c_contiguous
        again, _ = spoiled(PICTURE, kind, strength)
        assert np.array_equal(image, again), "the same every time"
        if kind == "rotation":
            distances.append(abs(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))))
        else:
            assert image.shape == PICTURE.shape and matrix is IDENTITY
            distances.append(float(np.abs(image.astype(float) - PICTURE).mean()))
    assert 0 < distances[0] < distances[1] < distances[2]


def test_chance_depends_on_the_seed_and_on_the_picture() -> None:
    one, _ = spoiled(PICTURE, "occlusion", 0.25)
    other, _ = spoiled(PICTURE, "occlusion", 0.25, seed=1)
    assert not np.array_equal(one, other)
    assert (one == 114).all(-1).mean() == pytest.approx(0.25, abs=0.02)
    signs = {np.sign(spoiled(noise((60, 40), i), "rotation", 15)[1][1, 0]) for i in range(12)}
    assert signs == {-1, 1}


def test_a_quarter_turn_moves_pixels_where_the_map_says() -> None:
    image = PICTURE.copy()
    image[:] = 0
    image[30, 100] = 255
    turned_image, matrix = spoiled(image, "rotation", 90)
    assert turned_image.shape == (160, 120, 3)
    x, y = transform(np.array([[[100.0, 30.0]]]), matrix)[0, 0]
    assert (turned_image[round(y), round(x)] > 250).all() and turned_image.sum() == pytest.approx(765, abs=9)


@given(st.floats(5, 200), st.floats(5, 200), st.floats(0, 300), st.floats(0, 300), st.sampled_from([15.0, 45.0, 90.0]))
@settings(max_examples=50, deadline=None)
def test_a_turned_box_holds_the_turned_ellipse(w: float, h: float, x: float, y: float, degrees: float) -> None:
    _, matrix = spoiled(PICTURE, "rotation", degrees)
    angles = np.linspace(0, 2 * np.pi, 720)
    ellipse = np.stack([x + w / 2 * (1 + np.cos(angles)), y + h / 2 * (1 + np.sin(angles))], axis=-1)[None]
    expected = boxes_of(transform(ellipse, matrix), np.ones(ellipse.shape[:2]))[0]
    (found,) = turned(np.array([[x, y, x + w, y + h]]), matrix)
    assert np.allclose(found, expected, atol=0.01 * (w + h))


def test_boxes_stay_without_a_turn_and_nobody_is_nobody() -> None:
    boxes = np.array([[1.0, 2, 30, 40]])
    assert np.allclose(turned(boxes, IDENTITY), boxes) and turned(np.zeros((0, 4)), IDENTITY).shape == (0, 4)


class Marked:
    """Finds the brightest pixel, and remembers its boxes."""

    spec = ModelSpec("marked", "simcc", (192, 256), per_person=True)

    def __call__(self, image: np.ndarray, boxes: np.ndarray | None = None) -> Poses:
        y, x = np.unravel_index(image.sum(-1).argmax(), image.shape[:2])
        found = np.array([[x - 5, y - 5, x + 5, y + 5]], np.float64) if boxes is None else boxes
        point = np.tile([float(x), float(y)], (len(found), 17, 1))
        return Poses(point, np.ones((len(found), 17)), found, np.ones(len(found)))


@pytest.mark.parametrize("degrees", [15, 45, 90])
@pytest.mark.parametrize("given_boxes", [True, False])
def test_what_is_found_is_turned_back(degrees: float, given_boxes: bool) -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    image[38:43, 98:103] = 200
    image[40, 100] = 255
    boxes = np.array([[90, 30, 110, 50]], np.float32)
    poses = Spoiled(Marked(), "rotation", degrees)(image, boxes if given_boxes else None)
    assert np.abs(poses.keypoints - [100, 40]).max() < 1.5
    assert np.abs((poses.boxes[0, :2] + poses.boxes[0, 2:]) / 2 - [100, 40]).max() < 1.5
    if given_boxes:
        assert np.array_equal(poses.boxes, boxes)


def test_a_table_over_a_data_set(tmp_path: Path) -> None:
    labels = write_set(tmp_path)
    perfect = Perfect(labels)
    seen: list[tuple[str, float]] = []

    def figures_of(estimator: object) -> dict[str, float]:
        assert isinstance(estimator, Spoiled)
        seen.append((estimator.kind, estimator.strength))
        return {"AP": 0.5, "AR": 0.6}

    rows = robustness(perfect, figures_of, {"AP": 0.8}, kinds=("jpeg", "blur"))
    assert seen == [("jpeg", 30), ("jpeg", 10), ("jpeg", 5), ("blur", 1), ("blur", 2), ("blur", 4)]
    assert rows[0] == {"kind": "jpeg", "grade": 1, "strength": 30, "AP": 0.5, "AR": 0.6, "kept": 0.625}
    assert robustness(perfect, figures_of, {"AP": 0.0}, kinds=("jpeg",))[0]["kept"] is None
    assert len(results_of(Spoiled(perfect, "blur", 1.0), labels, tmp_path)) == 6


def test_unknown_kinds() -> None:
    with pytest.raises(ValueError, match="unknown kind 'fog' of spoiling, expected one of"):
        spoiled(PICTURE, "fog", 1)
