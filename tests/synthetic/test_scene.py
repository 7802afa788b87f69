"""What is drawn and what is said to be there are the same."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepose.skeleton import COCO
from edgepose.synthetic import people_crops, random_scene, sequence
from edgepose.synthetic.actors import Actor, random_actor
from edgepose.synthetic.body import LIMITS, Build
from edgepose.synthetic.camera import MOVES, Camera, Shot, look_at
from edgepose.synthetic.figure import figure
from edgepose.synthetic.light import Light
from edgepose.synthetic.look import plain_look
from edgepose.synthetic.motion import Motion
from edgepose.synthetic.places import Place, draw_place, wall_of
from edgepose.synthetic.render import render
from edgepose.synthetic.scene import Scene
from edgepose.synthetic.sensor import Sensor
from edgepose.synthetic.solids import Maker, plain
from edgepose.synthetic.truth import HIDDEN, OUTSIDE, SEEN

INDEX = {name: i for i, name in enumerate(COCO.names)}
SIZE = (320, 240)
GRAY = np.full((64, 64, 3), 128, np.uint8)
PLACE = Place(GRAY, GRAY)
FRONT = Shot(SIZE, 230.0, np.array([0.0, 1.0, 4.5]), np.array([0.0, 0.9, 0.0]))
PLAIN = Sensor(blur=0, noise=0)


def standing(identity: int = 1, at: tuple[float, float] = (0.0, 0.0), heading: float = 0.0) -> Actor:
    base = np.zeros(len(LIMITS))
    names = list(LIMITS)
    for side in ("left", "right"):
        base[names.index(f"{side}_shoulder_abduct")] = 25
        base[names.index(f"{side}_hip_abduct")] = 8
    build, look = Build(), plain_look()
    return Actor(identity, build, look, figure(build, look), Motion("pose", base=base), at, heading)


def scene(*actors: Actor, place: Place = PLACE, shot: Shot = FRONT) -> Scene:
    return Scene(actors, place, shot, Light(), PLAIN)


def test_a_frontal_person_is_seen_whole_and_its_left_is_on_the_right() -> None:
    people = scene(standing()).frame(0).people
    assert (people.visible[0] == SEEN).all()
    x = people.keypoints[0, :, 0]
    for name in COCO.names:
        if name.startswith("left_"):
            assert x[INDEX[name]] > x[INDEX["right_" + name[5:]]]
    behind = scene(standing(heading=180)).frame(0).people
    assert behind.keypoints[0, INDEX["left_wrist"], 0] < behind.keypoints[0, INDEX["right_wrist"], 0]
    face = [INDEX[name] for name in ("nose", "left_eye", "right_eye")]
    assert (behind.visible[0, face] == HIDDEN).all()
    assert (behind.visible[0, 5:] == SEEN).sum() >= 10


def test_the_far_side_of_a_profile_is_hidden() -> None:
    visible = scene(standing(heading=90)).frame(0).people.visible[0]  # its right side is towards us
    for joint in ("eye", "ear", "shoulder"):
        assert visible[INDEX[f"left_{joint}"]] == HIDDEN
        assert visible[INDEX[f"right_{joint}"]] == SEEN


def test_behind_a_wall_everything_is_hidden() -> None:
    place = replace(PLACE, things=(wall_of((0, 1.5, 1.0), (2.5, 1.5, 0.1), (0.5, 0.5, 0.5)),))
    people = scene(standing(), place=place).frame(0).people
    assert (people.visible[0] == HIDDEN).all()
    assert people.occlusion[0] == 1 and people.areas[0] == 0
    assert (people.boxes[0] == 0).all() and people.amodal[0, 2] > people.amodal[0, 0]
    low = replace(PLACE, things=(wall_of((0, 0.3, 1.0), (2.5, 0.3, 0.1), (0.5, 0.5, 0.5)),))
    visible = scene(standing(), place=low).frame(0).people.visible[0]
    assert (visible[[INDEX["left_ankle"], INDEX["right_ankle"]]] == HIDDEN).all()
    assert (visible[: INDEX["left_knee"]] == SEEN).all()


def test_who_stands_before_hides_who_stands_behind() -> None:
    people = scene(standing(7, (0, -0.6)), standing(8, (0.02, 0.6))).frame(0).people
    assert people.ids.tolist() == [7, 8]
    assert people.depths[0] > people.depths[1]
    assert people.occlusion[0] > 0.7 and people.occlusion[1] == 0
    assert (people.visible[1] == SEEN).all()
    assert (people.visible[0] == HIDDEN).sum() >= 12
    apart = scene(standing(7, (-0.9, -0.6)), standing(8, (0.9, 0.6))).frame(0).people
    assert (apart.visible[:, 5:] == SEEN).all() and (apart.occlusion == 0).all()


def test_outside_the_picture_is_outside() -> None:
    near = Shot(SIZE, 230.0, np.array([0.0, 1.4, 1.6]), np.array([0.0, 1.4, 0.0]))
    people = scene(standing(), shot=near).frame(0).people
    points, visible = people.keypoints[0], people.visible[0]
    out = (points < -0.5).any(axis=1) | (points[:, 0] > SIZE[0] - 0.5) | (points[:, 1] > SIZE[1] - 0.5)
    assert out.any() and not out.all()
    assert ((visible == OUTSIDE) == out).all()
    assert people.amodal[0, 3] > SIZE[1] >= people.boxes[0, 3]
    away = Shot(SIZE, 230.0, np.array([0.0, 1.4, 4.0]), np.array([0.0, 1.4, 9.0]))
    assert len(scene(standing(), shot=away).frame(0).people) == 0


def test_an_empty_scene_has_no_people() -> None:
    frame = scene().frame(0)
    assert len(frame.people) == 0 and frame.people.keypoints.shape == (0, 17, 2)
    assert len(random_scene(0, 0, SIZE).frame(0).people) == 0


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6))
def test_colored_balls_drawn_at_joints_are_found_where_the_truth_says(seed: int) -> None:
    """The renderer and the projection of keypoints share no formula: one solves for ellipsoids, one divides."""
    rng = np.random.default_rng(seed)
    placed = random_actor(rng).placed(rng.uniform(0, 5))
    center = placed.posed.keypoints.mean(axis=0)
    position = center + rng.uniform((-3, 0.2, 3), (3, 2, 6))
    camera = look_at((240, 240), rng.uniform(250, 450), position, center, rng.uniform(-30, 30))
    balls = []
    for point in placed.posed.keypoints:
        make = Maker()
        make.ball(0, tuple(point.tolist()), (0.04, 0.04, 0.04), plain((1, 1, 1)))
        balls.append(make.solids())
    expected, depth = camera.project(placed.posed.keypoints)
    for ball, (x, y) in zip(balls, expected, strict=True):
        seen = render(camera, [ball], np.zeros((240, 240, 3), np.uint8), Light()).seen(0)
        if 12 < x < 228 and 12 < y < 228:
            rows, columns = np.nonzero(seen)
            assert abs(columns.mean() - x) < 0.35 and abs(rows.mean() - y) < 0.35
    assert (depth > 0).all()


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6))
def test_boxes_are_tight_and_hold_what_is_seen(seed: int) -> None:
    made = random_scene(seed, 3, SIZE)
    camera = made.shot.camera(0.5)
    rendering, people = made.rendered(0.5, camera)
    for i, identity in enumerate(people.ids):
        group = [actor.identity for actor in made.actors].index(identity)
        mask = rendering.seen(group)
        assert people.areas[i] == mask.sum()
        if not mask.any():
            continue
        x1, y1, x2, y2 = people.boxes[i]
        rows, columns = np.nonzero(mask)
        assert (x1, y1, x2, y2) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        slack = 1.5 + 0.02 * (y2 - y1)
        assert people.amodal[i, 0] <= x1 + slack and people.amodal[i, 1] <= y1 + slack
        assert people.amodal[i, 2] >= x2 - slack and people.amodal[i, 3] >= y2 - slack
        seen = people.keypoints[i][people.visible[i] == SEEN]
        seen = seen[(seen > 4).all(axis=1) & (seen < np.array(SIZE) - 5).all(axis=1)]
        around = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8))
        assert around[np.round(seen[:, 1]).astype(int), np.round(seen[:, 0]).astype(int)].all()
        assert (seen >= people.boxes[i, :2] - slack).all() and (seen <= people.boxes[i, 2:] + slack).all()
        assert 0 <= people.occlusion[i] <= 1


def test_an_unhidden_person_fills_its_amodal_box() -> None:
    for seed in range(6):
        actor = replace(random_actor(np.random.default_rng(seed), kind="idle"), at=(0.0, 0.0))
        people = scene(actor).frame(1.0).people
        np.testing.assert_allclose(people.boxes[0], people.amodal[0], atol=2.0)


@pytest.mark.parametrize("move", ["pan", "zoom", "handheld", "static"])
def test_camera_motion_moves_pixels_and_truth_alike(move: str) -> None:
    """A camera that turns and zooms on its spot maps one picture to the next by a homography: both must follow it."""
    shot = replace(FRONT, move=move, amount=0.5, rate=0.2)
    made = scene(standing(), place=replace(PLACE, wall=textured(1), ground=textured(2)), shot=shot)
    first = shot.camera(0.0)
    second = replace(shot.camera(1.0), position=first.position)
    (one, before), (two, after) = made.rendered(0.0, first), made.rendered(0.0, second)
    matrix = intrinsics(second) @ second.rotation @ first.rotation.T @ np.linalg.inv(intrinsics(first))
    moved = cv2.perspectiveTransform(before.keypoints.astype(np.float64), matrix)
    np.testing.assert_allclose(moved, after.keypoints, atol=0.02)
    warped = cv2.warpPerspective(one.image, matrix, SIZE)
    inside = cv2.warpPerspective(np.full(SIZE[::-1], 255, np.uint8), matrix, SIZE) == 255
    inside &= cv2.erode(inside.astype(np.uint8), np.ones((5, 5))) > 0
    difference = np.abs(warped.astype(int) - two.image).mean(axis=2)[inside]
    unmoved = np.abs(one.image.astype(int) - two.image).mean(axis=2)[inside]
    assert difference.mean() < 4
    assert move == "static" or difference.mean() < 0.6 * unmoved.mean()


def textured(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (480, 480), interpolation=cv2.INTER_CUBIC))


def intrinsics(camera: Camera) -> np.ndarray:
    (x, y), f = camera.center, camera.focal
    return np.array([[f, 0, x], [0, f, y], [0, 0, 1.0]])


def test_the_empty_place_follows_the_planes() -> None:
    """A mark on the ground and one on the backdrop are drawn where the camera projects them."""
    wall, ground = np.zeros((200, 400, 3), np.uint8), np.zeros((200, 200, 3), np.uint8)
    cv2.circle(wall, (150, 60), 6, (0, 0, 255), cv2.FILLED)
    cv2.circle(ground, (40, 70), 4, (0, 255, 0), cv2.FILLED)
    place = Place(wall, ground, distance=2.0, wall_scale=50.0, ground_scale=60.0, shift=(3.0, 0.0))
    image = draw_place(place, FRONT.camera(0))
    marks = np.array([[150 / 50 - 3, 4 - 60 / 50, -2.0], [40 / 60, 0, 70 / 60]])
    expected, _ = FRONT.camera(0).project(marks)
    for channel, (x, y) in zip((2, 1), expected, strict=True):
        rows, columns = np.nonzero(image[..., channel] > 128)
        near = np.hypot(columns - x, rows - y) < 15
        assert near.any()
        assert abs(columns[near].mean() - x) < 1 and abs(rows[near].mean() - y) < 1


@pytest.mark.parametrize("move", MOVES)
def test_every_camera_move_moves_or_stands(move: str) -> None:
    cameras = [replace(FRONT, move=move).camera(t) for t in (0.0, 1.3)]
    same = all(
        np.array_equal(getattr(cameras[0], n), getattr(cameras[1], n)) for n in ("position", "rotation", "focal")
    )
    assert same == (move == "static")
    still = [replace(FRONT, move=move, amount=0.0).camera(t) for t in (0.0, 1.3)]
    np.testing.assert_allclose(still[0].rotation, still[1].rotation, atol=1e-12)


def test_identities_and_paths_are_steady() -> None:
    frames = list(sequence(random_scene(4, 5, SIZE, move="static", kinds=["walk"]), 0.5, 12))
    assert [f.time for f in frames] == pytest.approx(np.arange(6) / 12)
    shown = [dict(zip(f.people.ids.tolist(), f.people.keypoints, strict=True)) for f in frames]
    common = set.intersection(*(set(s) for s in shown))
    assert len(common) >= 3
    for identity in common:
        track = np.array([s[identity] for s in shown])
        steps = np.linalg.norm(np.diff(track, axis=0), axis=-1)
        assert 0 < steps.max() < 60 and np.abs(np.diff(track.mean(axis=1), axis=0)).max() < 20


def test_the_same_seed_draws_the_same() -> None:
    one, two, other = (random_scene(s, 3, SIZE).frame(0.4) for s in (5, 5, 6))
    assert np.array_equal(one.image, two.image) and np.array_equal(one.people.keypoints, two.people.keypoints)
    assert not np.array_equal(one.image, other.image)
    first = list(people_crops(3, 4))
    again = list(people_crops(3, 2, start=2))
    for a, b in zip(first[2:], again, strict=True):
        assert np.array_equal(a.image, b.image) and np.array_equal(a.keypoints, b.keypoints)
    assert not np.array_equal(first[0].image, first[1].image)


def test_crops_show_their_person() -> None:
    for crop in people_crops(11, 30, crowd=0, clutter=0):
        assert crop.image.shape == (256, 192, 3) and crop.image.dtype == np.uint8 and crop.others == 0
        assert (crop.visible > OUTSIDE).mean() > 0.7
        assert crop.image.std() > 3
        x1, y1, x2, y2 = crop.box
        assert 0 <= x1 < x2 <= 192 and 0 <= y1 < y2 <= 256
        assert max((x2 - x1) / 192, (y2 - y1) / 256) > 0.5


def test_crop_arguments_have_effects() -> None:
    plain_crop = next(people_crops(1, 1))
    for changed in ({"size": (96, 128)}, {"padding": 2.0}, {"kind": "sit"}, {"backgrounds": (textured(3),)}):
        assert not np.array_equal(next(people_crops(1, 1, **changed)).image, plain_crop.image)
    assert sum(crop.others for crop in people_crops(1, 12, crowd=1.0)) >= 12
    assert not any(
        np.array_equal(a.image, b.image)
        for a, b in zip(people_crops(1, 4, clutter=0), people_crops(1, 4, clutter=1), strict=True)
    )


@pytest.mark.parametrize(
    "change",
    [{"blur": 1.5}, {"motion": (6.0, 0.5)}, {"exposure": 0.6}, {"gamma": 1.4}, {"balance": (1.1, 1.0, 0.9)},
     {"noise": 9.0}, {"reduce": 2.0}, {"quality": 30}],
)  # fmt: skip
def test_every_fault_of_a_sensor_shows(change: dict) -> None:
    made = scene(standing())
    clean = made.frame(0)
    faulty = replace(made, sensor=replace(PLAIN, **change)).frame(0)
    assert not np.array_equal(clean.image, faulty.image)
    assert np.array_equal(clean.people.keypoints, faulty.people.keypoints)
    assert np.abs(clean.image.astype(int) - faulty.image).mean() < 80


def test_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match="0 to 100"):
        random_scene(0, 101)
    with pytest.raises(ValueError, match="unknown camera move"):
        random_scene(0, 1, SIZE, move="fly")
    with pytest.raises(ValueError, match="frames per second"):
        next(sequence(random_scene(0, 1, SIZE), 1, 0))
    with pytest.raises(ValueError, match="vertical"):
        look_at(SIZE, 100, np.array([0, 5.0, 0]), np.zeros(3))
    with pytest.raises(ValueError, match="background"):
        render(FRONT.camera(0), [], np.zeros((3, 3, 3), np.uint8), Light())
