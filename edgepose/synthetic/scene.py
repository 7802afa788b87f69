"""Scenes: people in a place under a light, filmed by a camera that may move. Every frame comes with its truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgepose.synthetic.actors import Actor, random_actor, things_of
from edgepose.synthetic.camera import MOVES, Camera, Move, Shot
from edgepose.synthetic.light import Light, random_light
from edgepose.synthetic.places import Place, draw_place, draw_shadows, random_place, random_thing
from edgepose.synthetic.render import Rendering, render
from edgepose.synthetic.sensor import Sensor, random_sensor, taken
from edgepose.synthetic.truth import Truth, truth_of

MOST_PEOPLE = 100


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture (H, W, 3) uint8 BGR, its time in seconds, the truth about its people, and its camera."""

    image: np.ndarray
    time: float
    people: Truth
    camera: Camera


@dataclass(frozen=True, eq=False)
class Scene:
    """Actors in a place. `frame(time)` depends on the scene and the time alone."""

    actors: tuple[Actor, ...]
    place: Place
    shot: Shot
    light: Light
    sensor: Sensor
    seed: int = 0

    def frame(self, time: float) -> Frame:
        """The picture at a time in seconds, with the people of whom any part could be in it."""
        camera = self.shot.camera(time)
        rendering, people = self.rendered(time, camera)
        grain = np.random.default_rng([self.seed, round(time * 1000) & 0x7FFFFFFF])
        return Frame(taken(rendering.image, self.sensor, grain), time, people, camera)

    def rendered(self, time: float, camera: Camera) -> tuple[Rendering, Truth]:
        """What `camera` would see at a time, before lens and sensor, and the truth."""
        placed = [actor.placed(time) for actor in self.actors]
        image = draw_place(self.place, camera)
        draw_shadows(image, camera, [p.sticks() for p in placed], self.light)
        groups = [p.solids for p in placed] + things_of(list(self.actors)) + list(self.place.things)
        rendering = render(camera, groups, image, self.light)
        truth = truth_of(camera, placed, rendering)
        width, height = camera.size
        x1, y1, x2, y2 = truth.amodal.T
        return rendering, truth[(x2 > 0) & (y2 > 0) & (x1 < width) & (y1 < height) & (truth.depths > 0)]


def sequence(scene: Scene, seconds: float, rate: float = 30.0, start: float = 0.0) -> Iterator[Frame]:
    """The frames of a scene from `start` on, `rate` a second, as a video camera takes them."""
    if rate <= 0 or seconds < 0:
        raise ValueError(f"a sequence of {seconds} s at {rate} frames per second: expected positive numbers")
    for i in range(round(seconds * rate)):
        yield scene.frame(start + i / rate)


def random_scene(
    seed: int, people: int = 4, size: tuple[int, int] = (1280, 720), *, move: Move | None = None,
    kinds: Sequence[str] = (), furniture: int | None = None, backgrounds: tuple[np.ndarray, ...] = (),
) -> Scene:  # fmt: skip
    """A scene of 0 to 100 people, the same for the same arguments.

    Args:
        move: of the camera, one of `camera.MOVES`; by default any.
        kinds: of motion, from `motion.MOTIONS`; by default all.
        furniture: pieces about; by default one for every few people.
        backgrounds: pictures for the backdrop (`places.read_backgrounds`).
    """
    if not 0 <= people <= MOST_PEOPLE:
        raise ValueError(f"a scene of {people} people: expected 0 to {MOST_PEOPLE}")
    rng = np.random.default_rng([seed, people])
    wide, deep = 1.2 + 0.95 * np.sqrt(people), 0.4 + 0.85 * np.sqrt(people)  # half of the area, metres
    spots = _spots(rng, people, wide, deep)
    actors = []
    for i, spot in enumerate(spots):
        kind = str(rng.choice(list(kinds))) if len(kinds) else None
        actors.append(random_actor(rng, i + 1, kind, spot))
    pieces = int(rng.integers(0, 3 + people // 6)) if furniture is None else furniture
    place = random_place(rng, deep + rng.uniform(7, 14), backgrounds)
    things = tuple(
        random_thing(rng, (rng.uniform(-wide, wide), 0.0, rng.uniform(-deep, deep * 0.9))) for _ in range(pieces)
    )
    distance = deep + rng.uniform(3.0, 5.5)
    height = rng.uniform(1.1, 1.9) + 0.16 * np.sqrt(people) * rng.uniform(0.4, 2.0)
    target = np.array([0.0, 0.85 - 0.03 * np.sqrt(people), 0.0])
    focal = min(0.5 * size[0] * distance / (wide + 0.6), 0.42 * size[1] * (distance - deep) / 0.95)
    chosen = MOVES[rng.choice(len(MOVES))] if move is None else move
    shot = Shot(size, float(focal), np.array([rng.uniform(-0.8, 0.8), height, distance]), target,
                float(rng.normal(0, 1.5)), chosen, rng.uniform(0.6, 1.0), rng.uniform(0.04, 0.12),
                rng.random())  # fmt: skip
    sensor = replace(random_sensor(rng), reduce=1.0, quality=0)
    return Scene(tuple(actors), replace(place, things=things), shot, random_light(rng), sensor, seed)


def _spots(rng: np.random.Generator, count: int, wide: float, deep: float) -> list[tuple[float, float]]:
    """Places (x, z) on the ground that keep apart, best of a few tries each."""
    spots: list[tuple[float, float]] = []
    for _ in range(count):
        tries = rng.uniform((-wide, -deep), (wide, deep), (8, 2))
        if spots:
            apart = np.linalg.norm(tries[:, None] - np.array(spots), axis=-1).min(axis=1)
            chosen = tries[int(np.argmax(apart))]
        else:
            chosen = tries[0] * 0.3
        spots.append((float(chosen[0]), float(chosen[1])))
    return spots
