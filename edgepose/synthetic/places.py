"""Where people are: a backdrop, a ground, furniture, and the shadows on the ground.

Backdrop and ground are planes in the world, so a camera that moves or turns sees them move as real ones do: each is one
homography. People and furniture are always nearer than both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from edgepose.media.images import read_image
from edgepose.synthetic import backdrops
from edgepose.synthetic.camera import Camera
from edgepose.synthetic.light import Light
from edgepose.synthetic.look import random_cloth
from edgepose.synthetic.solids import THING, Maker, Solids


@dataclass(frozen=True, eq=False)
class Place:
    """A backdrop `distance` metres behind the origin, facing +z, and a ground at y = 0.

    wall:   (h, w, 3 or 4) uint8, its lowest row at the ground; wall_scale: its pixels per metre
    ground: (h, w, 3 or 4) uint8; ground_scale: its pixels per metre; ground_turn: radians
    shift:  which part of the textures lies behind the origin, metres
    """

    wall: np.ndarray
    ground: np.ndarray
    distance: float = 4.0
    wall_scale: float = 90.0
    ground_scale: float = 110.0
    ground_turn: float = 0.0
    shift: tuple[float, float] = (3.0, 0.0)
    things: tuple[Solids, ...] = field(default=())


def random_place(
    rng: np.random.Generator, depth: float = 4.0, pictures: tuple[np.ndarray, ...] = (), furniture: int = 0
) -> Place:
    """A place whose backdrop is `depth` metres behind the origin, with pieces of furniture about.

    pictures: backdrops to use in place of the drawn ones (`read_backgrounds`).
    """
    if pictures:
        wall = pictures[int(rng.integers(len(pictures)))]
    else:
        wall = backdrops.wall(int(rng.integers(backdrops.WALLS)))
    ground = backdrops.ground(int(rng.integers(backdrops.GROUNDS)))
    tall = rng.uniform(2.8, 8.0) * max(1.0, depth / 6)  # metres that the backdrop shows
    return Place(
        wall,
        ground,
        depth,
        wall.shape[0] / tall,
        rng.uniform(50, 220),
        rng.uniform(0, np.pi),
        (rng.uniform(0, wall.shape[1] / (wall.shape[0] / tall)), 0.0 if rng.random() < 0.7 else rng.uniform(0, 2.0)),
        tuple(random_thing(rng, (rng.uniform(-3, 3), 0.0, rng.uniform(-depth * 0.8, -0.6))) for _ in range(furniture)),
    )


def random_thing(rng: np.random.Generator, at: tuple[float, float, float], tall: float | None = None) -> Solids:
    """A piece of furniture or a plant whose foot is around `at`; `tall` in metres."""
    make = Maker()
    cloth, other = random_cloth(rng, muted=True), random_cloth(rng)
    x, y, z = at
    yaw = rng.uniform(-0.6, 0.6)
    kind = int(rng.integers(6))
    height = rng.uniform(0.35, 1.25) if tall is None else tall
    if kind == 0:  # a box, a cabinet, a counter
        make.box((x, y + height / 2, z), (rng.uniform(0.15, 0.6), height / 2, rng.uniform(0.12, 0.35)), cloth, yaw)
    elif kind == 1:  # a table
        wide, deep = rng.uniform(0.35, 0.75), rng.uniform(0.25, 0.45)
        make.box((x, y + height, z), (wide, 0.022, deep), cloth, 0.0, under=True)
        for a in (-1, 1):
            for b in (-1, 1):
                leg = (x + a * (wide - 0.05), y, z + b * (deep - 0.05))
                make.limb(0, leg, height, (0.022, 0.023, 0.024), cloth, part=THING)
    elif kind == 2:  # a post
        r = rng.uniform(0.02, 0.09)
        make.limb(0, (x, y, z), height * 2.2, (r, r, r), cloth, part=THING)
    elif kind == 3:  # an armchair or a sofa
        wide = rng.uniform(0.35, 0.9)
        make.box((x, y + 0.2, z), (wide, 0.2, 0.35), cloth, yaw)
        make.box((x - 0.32 * np.sin(yaw), y + 0.42, z - 0.32 * np.cos(yaw)), (wide, 0.42, 0.08), cloth, yaw)
    elif kind == 4:  # a plant
        make.limb(0, (x, y, z), 0.3, (0.12, 0.15, 0.16), cloth, part=THING)
        for _ in range(9):
            center = (x + rng.normal(0, 0.14), y + 0.3 + rng.uniform(0.05, 1) * height * 0.8, z + rng.normal(0, 0.14))
            green = random_cloth(rng)
            leaf = type(green)((0.15, rng.uniform(0.25, 0.55), 0.18), (0.1, 0.2, 0.1))
            half = (0.05, rng.uniform(0.1, 0.24), 0.03)
            make.ball(0, center, half, leaf, tilt=rng.normal(0, 0.7), roll=rng.normal(0, 0.7), part=THING)
    else:  # a ball, a bag
        r = rng.uniform(0.1, 0.3)
        make.ball(0, (x, y + r, z), (r * rng.uniform(0.8, 1.4), r, r), other, part=THING)
    return make.solids()


def wall_of(
    center: tuple[float, float, float], half: tuple[float, float, float], color: tuple[float, float, float]
) -> Solids:
    """A block of one color: something to stand before the people."""
    make = Maker()
    make.box(center, half, type(random_cloth(np.random.default_rng(0)))(color, color), under=True)
    return make.solids()


def read_backgrounds(folder: str | Path) -> tuple[np.ndarray, ...]:
    """The pictures of a folder as backdrops, in order of their names, reduced to at most 768 pixels a side."""
    suffixes = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
    paths = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in suffixes)
    if not paths:
        raise ValueError(f"{folder} holds no pictures: expected files ending in one of {sorted(suffixes)}")
    return tuple(_reduced(read_image(path), 768) for path in paths)


def _reduced(image: np.ndarray, longest: int) -> np.ndarray:
    ratio = min(longest / max(image.shape[:2]), 1.0)
    size = (max(round(image.shape[1] * ratio), 16), max(round(image.shape[0] * ratio), 16))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def draw_place(place: Place, camera: Camera) -> np.ndarray:
    """The empty place as the camera sees it, (H, W, 3) uint8 BGR."""
    width, height = camera.size
    s, tall = place.wall_scale, place.wall.shape[0]
    origin = np.array([-place.shift[0], tall / s - place.shift[1], -place.distance])
    wall = _homography(camera, origin, np.array([1.0, 0, 0]) / s, np.array([0, -1.0, 0]) / s)
    cos, sin, g = np.cos(place.ground_turn), np.sin(place.ground_turn), place.ground_scale
    floor = _homography(camera, np.zeros(3), np.array([cos, 0, sin]) / g, np.array([-sin, 0, cos]) / g)
    # Inverse depths of both planes are linear in the pixel: n.d = k w.
    up, ahead = camera.rotation[:, 1], camera.rotation[:, 2]
    difference = up / -camera.position[1] - ahead / (-place.distance - camera.position[2])
    x = (np.arange(width) - camera.center[0]) / camera.focal * difference[0]
    y = (np.arange(height) - camera.center[1]) / camera.focal * difference[1] + difference[2]
    ends = y[:, None] + x[[0, -1]] > 0  # the ground is nearer, at both ends of every row
    high, low = np.flatnonzero(~ends.all(axis=1)), np.flatnonzero(ends.any(axis=1))
    image = np.empty((height, width, 3), np.uint8)
    if len(high):
        image[high[0] : high[-1] + 1] = _warped(place.wall, wall, width, high)
    if len(low):
        part = slice(int(low[0]), int(low[-1]) + 1)
        nearer = np.add.outer(y[part], x) > 0
        cv2.copyTo(_warped(place.ground, floor, width, low), nearer.view(np.uint8), image[part])
    return image


def _homography(camera: Camera, origin: np.ndarray, right: np.ndarray, down: np.ndarray) -> np.ndarray:
    """(3, 3) from texture pixels on a plane of the world to pixels of the picture."""
    inside = camera.rotation @ np.array([right, down, origin - camera.position]).T
    (cx, cy), f = camera.center, camera.focal
    return np.array([[f, 0, cx], [0, f, cy], [0, 0, 1.0]]) @ inside


def _warped(texture: np.ndarray, matrix: np.ndarray, width: int, rows: np.ndarray) -> np.ndarray:
    """A plane's part of the picture: the rows from the first to the last of `rows`."""
    up = np.array([[1.0, 0, 0], [0, 1.0, -float(rows[0])], [0, 0, 1.0]])
    size = (width, int(rows[-1] - rows[0]) + 1)
    warped = cv2.warpPerspective(texture, up @ matrix, size, flags=cv2.INTER_LINEAR,
                                 borderMode=cv2.BORDER_REFLECT_101)  # fmt: skip
    return np.asarray(warped if warped.shape[2] == 3 else cv2.cvtColor(warped, cv2.COLOR_BGRA2BGR))


def draw_shadows(image: np.ndarray, camera: Camera, bodies: list[np.ndarray], light: Light) -> None:
    """Darken the ground under bodies, (B, 2, 3) ends of limbs in the world, along the light; in place."""
    towards = np.asarray(light.towards, float)
    slope = towards[[0, 2]] / max(towards[1], 0.45)
    reduce = 4
    mask = np.zeros((-(-image.shape[0] // reduce), -(-image.shape[1] // reduce)), np.uint8)
    for limbs in bodies:
        ground = limbs.copy()
        ground[..., [0, 2]] -= slope * np.maximum(limbs[..., 1:2], 0) * 0.8
        ground[..., 1] = 0
        points, depth = camera.project(ground)
        if depth.min() < 0.3:
            continue
        thick = max(1, round(0.14 * camera.focal / float(depth.mean()) / reduce))
        lines = (points * (16 / reduce)).round().astype(np.int64)
        if np.abs(lines).max() > 1 << 20:
            continue
        for a, b in lines.astype(np.int32):
            cv2.line(mask, a.tolist(), b.tolist(), 255, thick, cv2.LINE_8, 4)
    if not mask.any():
        return
    mask = cv2.blur(mask, (5, 5))
    strength = 0.25 + 0.4 * min(light.key, 1.0)
    factor = (255 - strength * mask).astype(np.uint8)
    large = cv2.resize(factor, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    dark = np.flatnonzero(factor.min(axis=1) < 255) * reduce
    part = slice(max(int(dark[0]) - 2 * reduce, 0), int(dark[-1]) + 3 * reduce)
    cv2.multiply(image[part], cv2.merge([large[part]] * 3), dst=image[part], scale=1 / 255)
