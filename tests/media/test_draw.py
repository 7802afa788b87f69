"""Overlays: what is drawn, what is left out, and that nothing is too small, far or strange to be drawn."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgepose.media import style as style_module
from edgepose.media.draw import draw
from edgepose.poses import Poses
from edgepose.skeleton import BOX, COCO, SKELETONS, Skeleton


def people(skeleton: Skeleton, count: int = 2, size: float = 200.0) -> Poses:
    rng = np.random.default_rng(0)
    keypoints = 20 + rng.random((count, len(skeleton), 2)) * size
    boxes = np.tile([20, 20, 20 + size, 20 + size], (count, 1))
    return Poses(keypoints, np.full((count, len(skeleton)), 0.9), boxes, np.full(count, 0.8), skeleton)


def gray(width: int = 320, height: int = 240) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


@pytest.mark.parametrize("name", SKELETONS)
def test_every_skeleton_is_drawn(name: str) -> None:
    image = gray()
    result = draw(image, people(SKELETONS[name]))
    assert result.shape == image.shape and result.dtype == np.uint8
    assert (result != image).any()
    assert (image == 128).all(), "the picture itself stays as it was"


def test_nobody_gives_an_equal_copy() -> None:
    image = gray()
    result = draw(image, Poses.nobody())
    assert (result == image).all() and not np.shares_memory(result, image)


def test_keypoints_at_or_below_the_threshold_are_left_out() -> None:
    poses = people(COCO, 1)
    unsure = dataclasses.replace(poses, scores=np.full((1, 17), 0.3))
    assert (draw(gray(), unsure) == 128).all()
    assert (draw(gray(), unsure, threshold=0.2) != 128).any()


def test_a_limb_needs_both_its_ends() -> None:
    keypoints = np.zeros((1, 17, 2))
    keypoints[0, 5], keypoints[0, 7] = (50, 120), (250, 120)  # left shoulder, left elbow
    scores = np.zeros((1, 17))
    scores[0, [5, 7]] = 0.9
    poses = Poses(keypoints, scores, [[40, 100, 260, 140]], [0.9])
    assert (draw(gray(), poses)[120, 150] != 128).any()
    scores[0, 7] = 0.1
    assert (draw(gray(), dataclasses.replace(poses, scores=scores))[120, 150] == 128).all()


def test_sides_differ_in_color() -> None:
    def color(shoulder: int, elbow: int) -> np.ndarray:
        keypoints, scores = np.zeros((1, 17, 2)), np.zeros((1, 17))
        keypoints[0, shoulder], keypoints[0, elbow] = (60, 120), (260, 120)
        scores[0, [shoulder, elbow]] = 1
        return draw(gray(), Poses(keypoints, scores, [[60, 20, 260, 220]], [1]))[120, 160].astype(int)

    left, right = color(5, 7), color(6, 8)
    assert left[2] > left[0] + 50, "the left arm is warm"
    assert right[0] > right[2] + 50, "the right arm is cool"


@pytest.mark.parametrize("level", [0, 255])
def test_limbs_stand_out_on_dark_and_light(level: int) -> None:
    image = np.full((240, 320, 3), level, np.uint8)
    result = draw(image, people(COCO, 1)).astype(int)
    contrast = np.abs(result - level).max(axis=-1)
    assert contrast.max() > 180


def test_limbs_grow_with_the_person() -> None:
    def painted(size: float) -> float:
        changed = (draw(gray(1200, 1200), people(COCO, 1, size)) != 128).any(axis=-1).sum()
        return float(changed) / size  # limbs are about `size` long, so this follows their width

    assert painted(1000) > 1.8 * painted(200)


def test_boxes_and_identities() -> None:
    poses = people(COCO, 1)
    hidden = dataclasses.replace(poses, scores=np.zeros((1, 17)))
    assert (draw(gray(), hidden) == 128).all()
    assert (draw(gray(), hidden, boxes=True)[120, 20] != 128).any()
    assert (draw(gray(), dataclasses.replace(hidden, ids=[7])) != 128).any()
    assert (draw(gray(), people(BOX, 1))[120, 20] != 128).any(), "a detector's people are boxes"
    assert (draw(gray(), people(BOX, 1), boxes=False) == 128).all()


def test_strange_numbers_draw_nothing_strange() -> None:
    poses = people(COCO, 1)
    keypoints = poses.keypoints.copy()
    keypoints[0, 0], keypoints[0, 1], keypoints[0, 2] = np.nan, np.inf, (1e9, -1e9)
    strange = dataclasses.replace(poses, keypoints=keypoints, boxes=[[np.nan, -1e12, np.inf, 5]], ids=[3])
    assert draw(gray(), strange, boxes=True).shape == (240, 320, 3)


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3)])
def test_any_picture_size(size: tuple[int, int]) -> None:
    assert draw(gray(*size), people(COCO), boxes=True).shape == (size[1], size[0], 3)


def test_skeletons_of_ones_own_have_colors_of_sides_or_chains() -> None:
    fork = Skeleton("fork", ("grip", "leftTip", "rightTip"), ((0, 1), (0, 2)))
    limbs, dots = style_module.style(fork)
    assert [color for color, _ in limbs] == [style_module.LEFT_ARM, style_module.RIGHT_ARM]
    assert [color for color, _ in dots] == [style_module.TRUNK, style_module.LEFT_ARM, style_module.RIGHT_ARM]
    names = tuple(f"finger{i}_{j}" for i in range(5) for j in range(4))
    chains = tuple((0 if j == 0 else 4 * i + j, 4 * i + j + 1) for i in range(5) for j in range(4))
    limbs, _ = style_module.style(Skeleton("hand", ("wrist", *names), chains))
    fingers = [{color for color, _ in limbs[4 * i : 4 * i + 4]} for i in range(5)]
    assert all(len(colors) == 1 for colors in fingers) and len(set.union(*fingers)) == 5
    _, dots = style_module.style(Skeleton("corners", ("a", "b", "c")))  # no limb joins them
    assert len({color for color, _ in dots}) == 3 and all(factor > 1 for _, factor in dots)


def test_a_body_in_another_spelling_has_the_colors_of_a_body() -> None:
    camel = ("leftShoulder", "rightShoulder", "leftHip", "rightHip", "leftKnee", "mark")
    limbs, _ = style_module.style(Skeleton("body", camel, ((2, 4), (0, 2))))
    assert [color for color, _ in limbs] == [style_module.LEFT_LEG, style_module.TRUNK]


def seated(size: float) -> Poses:
    """One person of that height with a face of COCO's five points, an eighth of it wide."""
    keypoints, scores = np.zeros((1, 17, 2)), np.zeros((1, 17))
    face = ((0.0, 0.15), (0.03, 0.12), (-0.03, 0.12), (0.06, 0.14), (-0.06, 0.14))
    places = {**dict(enumerate(face)), 5: (0.12, 0.3), 6: (-0.12, 0.3), 11: (0.1, 0.6), 12: (-0.1, 0.6)}
    for i, (x, y) in places.items():
        keypoints[0, i], scores[0, i] = (100 + x * size, 20 + y * size), 0.9
    return Poses(keypoints, scores, [[100 - size / 5, 20, 100 + size / 5, 20 + size]], [0.9])


def test_the_face_of_a_small_person_stays_visible_and_a_large_one_has_all_its_points() -> None:
    large, small = seated(1000), seated(50)
    picture = gray(1200, 1200)
    result = draw(picture, large)
    for x, y in large.keypoints[0, :5].round().astype(int):
        assert (result[y, x] != 128).any()
    plain = gray(200, 200)
    face = draw(plain, small)[20:32, 94:107]
    covered = (face != 128).any(axis=-1).mean()
    assert 0 < covered < 0.35, "one point or two on a face of seven pixels, not a white bar"


def test_thickness_radius_and_limbs() -> None:
    poses = seated(150)

    def painted(**options: object) -> int:
        return int((draw(gray(), poses, **options) != 128).any(axis=-1).sum())  # type: ignore[arg-type]

    assert painted(thickness=8) > painted(thickness=2) and painted(radius=9) > painted(radius=3)
    assert painted(limbs=False) < painted()
    assert painted(limbs=False, radius=0) == 0, "neither limbs nor points"
    one = draw(gray(), poses, limbs=[("left_shoulder", "right_hip")], radius=0)
    left, hip = poses.keypoints[0, 5], poses.keypoints[0, 12]
    x, y = ((left + hip) / 2).round().astype(int)
    assert (one[y, x] != 128).any()
    assert painted(limbs=[(5, 12)], radius=0) == int((one != 128).any(axis=-1).sum())
    with pytest.raises(ValueError, match=r"no keypoint 'left_sholder' \(did you mean 'left_shoulder'\?\)"):
        draw(gray(), poses, limbs=[("left_sholder", "nose")])


def test_colors_of_people() -> None:
    poses = people(COCO, 2)
    red = draw(gray(), poses, colors=[(0, 0, 255), (0, 0, 255)]).reshape(-1, 3).astype(int)
    vivid = red[np.ptp(red, axis=1) > 60]
    assert len(vivid) and (vivid.argmax(axis=1) == 2).all() and (np.abs(vivid[:, 0] - vivid[:, 1]) < 40).all()
    tracked = dataclasses.replace(poses[0], ids=[3])
    assert (draw(gray(), tracked, colors="person", labels=()) == style_module.PEOPLE[3]).all(axis=-1).any()
    assert (draw(gray(), Poses.nobody(), colors=[]) == 128).all()
    for wrong in ([(0, 0, 255)], [(0, 0, 255), (0, 0)], [(0, 0, 256), (0, 0, 0)]):
        with pytest.raises(ValueError, match="expected 2 colors, one per person"):
            draw(gray(), poses, colors=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown colors 'side'"):
        draw(gray(), poses, colors="side")  # type: ignore[arg-type]


def test_labels_say_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr("edgepose.media.draw._draw_label", lambda canvas, text, *_: written.append(text))

    def said(poses: Poses, **options: object) -> list[str]:
        written.clear()
        draw(gray(), poses, **options)  # type: ignore[arg-type]
        return list(written)

    plain = people(COCO, 2)
    tracked = dataclasses.replace(plain, ids=[4, 7])
    assert said(plain) == [] and said(plain, boxes=True) == ["0.80", "0.80"]
    assert said(tracked) == ["#4", "#7"] and said(tracked, labels=()) == []
    assert said(tracked, labels=("id", "score")) == ["#4 0.80", "#7 0.80"]
    assert said(tracked, names={7: "Zoë"}) == ["#4", "Zoe"]
    assert said(tracked, names={7: "Zoë"}, labels="name") == ["Zoe"]
    assert said(plain, names=["Ann", "李"]) == ["Ann", "?"]
    with pytest.raises(ValueError, match="unknown label 'ids'"):
        said(plain, labels=("ids",))
    with pytest.raises(ValueError, match="expected 2 names"):
        said(plain, names=["Ann"])
    with pytest.raises(ValueError, match="names by identity"):
        said(plain, names={1: "Ann"})


@pytest.mark.parametrize("name", ["threshold", "thickness", "radius"])
@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_sizes_and_thresholds_are_numbers_from_0_on(name: str, value: float) -> None:
    poses = Poses.of_boxes(np.array([[2.0, 2.0, 20.0, 30.0]]), np.ones(1))
    with pytest.raises(ValueError, match=f"{name} is .*, expected a number from 0 on"):
        draw(np.zeros((40, 40, 3), np.uint8), poses, **{name: value})
