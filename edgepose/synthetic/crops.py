"""Single people as a per-person network is shown them, made as fast as training asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from edgepose.synthetic.actors import Actor, random_actor, things_of
from edgepose.synthetic.camera import Camera, look_at
from edgepose.synthetic.light import random_light
from edgepose.synthetic.places import draw_place, draw_shadows, random_place, random_thing
from edgepose.synthetic.render import render
from edgepose.synthetic.sensor import random_sensor, taken
from edgepose.synthetic.truth import Truth, truth_of


@dataclass(frozen=True, eq=False)
class Crop:
    """One person in a small picture.

    image: (h, w, 3) uint8 BGR; keypoints: (17, 2) float32; visible: (17,) int8, 0 outside, 1 hidden, 2 seen
    box: (4,) float32 of the seen pixels; amodal: (4,) of the whole person; others: further people in view
    """

    image: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray
    box: np.ndarray
    amodal: np.ndarray
    others: int = 0


def people_crops(
    seed: int, count: int | None = None, size: tuple[int, int] = (192, 256), *, kind: str | None = None,
    crowd: float = 0.2, clutter: float = 0.35, padding: float = 1.25, backgrounds: tuple[np.ndarray, ...] = (),
    start: int = 0,
) -> Iterator[Crop]:  # fmt: skip
    """Endless (or `count`) crops of `size` (w, h); number i depends on (seed, i) and the arguments alone.

    Args:
        kind: of motion or "pose"; by default everyday motions, and free poses for three in ten.
        crowd: share of crops in which other people are near, who may hide the person.
        clutter: share with furniture about.
        padding: how much larger the view is than the person, about.
        backgrounds: pictures for the backdrop (`places.read_backgrounds`).
        start: number of the first crop.
    """
    number = start
    while count is None or number < start + count:
        yield person_crop((seed, number), size, kind=kind, crowd=crowd, clutter=clutter, padding=padding,
                          backgrounds=backgrounds)  # fmt: skip
        number += 1


def person_crop(
    seed: tuple[int, ...], size: tuple[int, int] = (192, 256), *, kind: str | None = None, crowd: float = 0.2,
    clutter: float = 0.35, padding: float = 1.25, backgrounds: tuple[np.ndarray, ...] = (),
) -> Crop:  # fmt: skip
    """The one crop of a seed; see `people_crops`."""
    image, people, others = _drawn(seed, size, kind, crowd, clutter, padding, backgrounds, everyone=False)
    return Crop(image, people.keypoints[0], people.visible[0], people.boxes[0], people.amodal[0], others)


def person_picture(
    seed: tuple[int, ...], size: tuple[int, int] = (288, 384), *, kind: str | None = None, crowd: float = 0.2,
    clutter: float = 0.35, padding: float = 1.6, backgrounds: tuple[np.ndarray, ...] = (),
) -> tuple[np.ndarray, Truth]:  # fmt: skip
    """The same with more around it and the truth about everybody in it: a picture of a training set."""
    image, people, _ = _drawn(seed, size, kind, crowd, clutter, padding, backgrounds, everyone=True)
    return image, people


def _drawn(
    seed: tuple[int, ...], size: tuple[int, int], kind: str | None, crowd: float, clutter: float, padding: float,
    backgrounds: tuple[np.ndarray, ...], everyone: bool,
) -> tuple[np.ndarray, Truth, int]:  # fmt: skip
    """The picture, the truth about the first person or about everyone, and how many others there are."""
    rng = np.random.default_rng(seed)
    time = rng.uniform(0, 6)
    actors = [random_actor(rng, 1, kind or ("pose" if rng.random() < 0.3 else None))]
    if rng.random() < crowd:
        for i in range(int(rng.integers(1, 3))):
            side = (-1, 1)[int(rng.integers(2))] * rng.uniform(0.35, 1.0)
            actors.append(random_actor(rng, 2 + i, at=(float(side), float(rng.uniform(-0.9, 0.5)))))
    placed = [_still(actor).placed(time) for actor in actors]
    things = []
    if rng.random() < clutter:
        front = (rng.uniform(-0.5, 0.5), 0.0, rng.uniform(0.35, 0.8))
        behind = (rng.uniform(-1.0, 1.0), 0.0, rng.uniform(-2.0, -0.6))
        things.append(random_thing(rng, front if rng.random() < 0.45 else behind))
    camera = _framing(rng, placed[0].posed.keypoints, size, padding)
    light = random_light(rng)
    image = draw_place(random_place(rng, rng.uniform(1.5, 7), backgrounds), camera)
    draw_shadows(image, camera, [p.sticks() for p in placed], light)
    rendering = render(camera, [p.solids for p in placed] + things_of(actors) + things, image, light)
    people = truth_of(camera, placed if everyone else placed[:1], rendering)
    return taken(rendering.image, random_sensor(rng), rng), people, len(actors) - 1


def _still(actor: Actor) -> Actor:
    """The same, on the spot: a crop wants the pose, not the way there."""
    return replace(actor, motion=replace(actor.motion, speed=0.0))


def _framing(rng: np.random.Generator, joints: np.ndarray, size: tuple[int, int], padding: float) -> Camera:
    """A camera that has the joints (K, 3) in view, about as the box of a detector would."""
    low, high = joints.min(axis=0), joints.max(axis=0)
    middle = (low + high) / 2 + (0, 0.03, 0)
    distance = rng.uniform(2.6, 9.0)
    height = max(middle[1] + distance * np.tan(np.deg2rad(rng.normal(4, 9))), 0.15)
    position = np.array([middle[0] + rng.uniform(-0.4, 0.4), height, middle[2] + distance])
    roll = rng.normal(0, 4)
    trial = look_at(size, 1000.0, position, middle, roll)
    points, _ = trial.project(joints)
    extent = points.max(axis=0) - points.min(axis=0)
    extent += 0.13 * max(high[1] - low[1], 0.6) * 1000 / distance  # flesh around the joints
    focal = 1000 * min(size[0] / extent[0], size[1] / extent[1]) / padding * rng.uniform(0.85, 1.15)
    center = (points.max(axis=0) + points.min(axis=0)) / 2 - trial.center
    aim = middle + trial.rotation[0] * center[0] * distance / 1000 + trial.rotation[1] * center[1] * distance / 1000
    aim = aim + rng.normal(0, 0.05, 3) * (1, 1, 0)
    return look_at(size, float(focal), position, aim, roll)
