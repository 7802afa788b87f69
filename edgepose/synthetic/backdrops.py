"""Drawn pictures of walls, rooms, streets, woods, crowds and grounds; flat, to be seen in perspective by `places`.

Each is drawn once from its own number and kept, so that training views cost a warp. They need not be beautiful: they
must be various, and hold lines, blobs, textures and colors like those of people.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from edgepose.synthetic.look import noise

WALLS, GROUNDS = 48, 32  # how many of each there are
WALL_SIZE = (768, 448)  # w, h: pictures of 6.4 m a row high, see `places`
GROUND_SIZE = 512


@cache
def wall(number: int) -> np.ndarray:
    """Backdrop 0 .. WALLS - 1, (448, 768, 4) uint8 BGR0, its lowest row at the ground; never to be written into."""
    rng = np.random.default_rng([9001, number])
    kinds = (_room, _street, _woods, _field, _room, _noise, _blobs, _clutter)
    width, height = WALL_SIZE
    image = kinds[number % len(kinds)](rng, width, height)
    sigma = float(rng.choice((0.6, 1.2, 2.5, 5.0)))
    image = cv2.GaussianBlur(image, (0, 0), sigma)
    grain = rng.normal(0, 5, (height, width, 1)) + 10 * (noise(rng, 512, 40)[:height, None, :1] - 0.5)
    return _four(image + grain)


@cache
def ground(number: int) -> np.ndarray:
    """Floor 0 .. GROUNDS - 1, (512, 512, 4) uint8 BGR0, made to be repeated by mirroring; never to be written into."""
    rng = np.random.default_rng([9002, number])
    size = GROUND_SIZE
    base = _dull(rng)
    shade = 0.75 + 0.5 * noise(rng, size, 6) * rng.uniform(0.2, 1) + 0.2 * (noise(rng, size, 60) - 0.5)
    image = base * shade[..., None]
    kind = number % 5
    if kind == 0:  # planks
        step = int(rng.integers(18, 40))
        for k, x in enumerate(range(0, size, step)):
            image[:, x : x + step] *= rng.uniform(0.85, 1.15)
            image[:, x : x + 2] *= 0.6
            y = int(rng.integers(0, size)) + 7 * k
            image[y % size : y % size + 2, x : x + step] *= 0.6
    elif kind == 1:  # tiles
        step = int(rng.integers(30, 90))
        for at in range(0, size, step):
            image[at : at + 3] *= 0.7
            image[:, at : at + 3] *= 0.7
    elif kind == 2:  # grass, gravel
        image *= 0.7 + 0.6 * rng.random((size, size, 1))
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 2)))
        if rng.random() < 0.6:
            image *= (0.6, 1.15, 0.75)
    elif kind == 3:  # a court
        for _ in range(4):
            at = int(rng.integers(0, size - 8))
            image[at : at + 6] = 225
            at = int(rng.integers(0, size - 8))
            image[:, at : at + 6] = 225
        cv2.circle(image, (size // 2, size // 2), 90, (220, 225, 225), 5)
    return _four(image)


def _four(image: np.ndarray) -> np.ndarray:
    """Bytes with an empty fourth channel: OpenCV warps four in two thirds of the time that it needs for three."""
    return np.pad(np.clip(image, 0, 255).astype(np.uint8), ((0, 0), (0, 0), (0, 1)))


def _dull(rng: np.random.Generator, low: float = 50, high: float = 215) -> np.ndarray:
    """A color of walls and floors, (3,) float32."""
    return np.clip(rng.uniform(low, high) * (1 + rng.normal(0, 0.14, 3)), 8, 245).astype(np.float32)


def _bright(rng: np.random.Generator) -> tuple[float, ...]:
    """Any color, often a pale or a dark one."""
    color = rng.uniform(10, 245, 3)
    gray = rng.random()
    return tuple((color * (1 - gray) + color.mean() * gray).tolist())


def _filled(color: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), color, np.float32)


def _point(rng: np.random.Generator, width: int, height: int) -> tuple[int, int]:
    return int(rng.integers(0, width)), int(rng.integers(0, height))


def _room(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A wall with paper, windows, door, pictures, shelves and skirting."""
    image = _filled(_dull(rng, 90, 225), width, height)
    image *= np.linspace(rng.uniform(0.7, 1.1), rng.uniform(0.7, 1.1), width)[None, :, None]
    if rng.random() < 0.4:
        step = int(rng.integers(14, 60))
        for x in range(0, width, step):
            image[:, x : x + step // 2] *= 0.93
    if rng.random() < 0.3:  # bricks
        for y in range(0, height, 16):
            image[y : y + 2] *= 0.8
            for x in range((y // 16 % 2) * 20, width, 40):
                image[y : y + 16, x : x + 2] *= 0.8
    for _ in range(int(rng.integers(2, 7))):
        x, y = _point(rng, width, int(height * 0.6))
        w, h = int(rng.uniform(30, 150)), int(rng.uniform(30, 150))
        cv2.rectangle(image, (x, y), (x + w, y + h), _bright(rng), cv2.FILLED)
        cv2.rectangle(image, (x, y), (x + w, y + h), tuple(_dull(rng).tolist()), int(rng.integers(2, 9)))
        for _ in range(int(rng.integers(0, 4))):
            at = (x + int(rng.integers(0, w)), y + int(rng.integers(0, h)))
            cv2.circle(image, at, int(rng.integers(4, 20)), _bright(rng), cv2.FILLED, cv2.LINE_AA)
    if rng.random() < 0.5:  # a door
        x, top = int(rng.integers(0, width - 120)), int(height * 0.55)
        cv2.rectangle(image, (x, top), (x + 62, height), tuple(_dull(rng).tolist()), cv2.FILLED)
        cv2.rectangle(image, (x, top), (x + 62, height), tuple(_dull(rng).tolist()), 5)
    if rng.random() < 0.5:  # a shelf with books
        x, y = int(rng.integers(0, width - 220)), int(rng.integers(height // 3, int(height * 0.75)))
        for row in range(3):
            cv2.rectangle(image, (x, y + row * 38), (x + 210, y + row * 38 + 5), (60, 80, 110), cv2.FILLED)
            left = x
            while left < x + 195:
                w, shelf = int(rng.integers(4, 13)), y + row * 38
                top = shelf - int(rng.integers(18, 32))
                cv2.rectangle(image, (left, top), (left + w, shelf), _bright(rng), cv2.FILLED)
                left += w
    image[-10:] *= rng.uniform(0.4, 1.2)
    return image


def _street(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Sky, houses with windows, cars, posts."""
    image = _sky(rng, width, height)
    x = 0
    while x < width:
        w, top = int(rng.integers(60, 190)), int(height * rng.uniform(0.05, 0.7))
        color = _dull(rng, 60, 200)
        cv2.rectangle(image, (x, top), (x + w, height), tuple(color.tolist()), cv2.FILLED)
        step_x, step_y = int(rng.integers(16, 34)), int(rng.integers(22, 44))
        glass = tuple((_dull(rng, 30, 200)).tolist())
        for wy in range(top + 10, height - 30, step_y):
            for wx in range(x + 8, x + w - 12, step_x):
                cv2.rectangle(image, (wx, wy), (wx + step_x // 2, wy + step_y // 2), glass, cv2.FILLED)
        x += w
    for _ in range(int(rng.integers(0, 5))):  # cars
        x, w = int(rng.integers(0, width)), int(rng.integers(90, 150))
        paint, y = _bright(rng), height - 8
        cv2.rectangle(image, (x, y - 34), (x + w, y - 8), paint, cv2.FILLED)
        cv2.ellipse(image, (x + w // 2, y - 34), (w // 3, 24), 0, 180, 360, paint, cv2.FILLED, cv2.LINE_AA)
        for at in (x + w // 5, x + 4 * w // 5):
            cv2.circle(image, (at, y - 8), 12, (25, 25, 25), cv2.FILLED, cv2.LINE_AA)
    for _ in range(int(rng.integers(0, 5))):
        x, top = _point(rng, width, height // 2)
        cv2.line(
            image, (x, height), (x, top), tuple(_dull(rng, 20, 120).tolist()), int(rng.integers(3, 9)), cv2.LINE_AA
        )
    return image


def _sky(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    top = np.array([rng.uniform(170, 250), rng.uniform(140, 220), rng.uniform(90, 210)])
    ramp = np.linspace(0, 1, height)[:, None, None]
    image = np.broadcast_to(top * (1 - ramp) + rng.uniform(200, 245) * ramp, (height, width, 3)).astype(np.float32)
    clouds = cv2.resize(noise(rng, 256, 5), (width, height))[..., None]
    return np.ascontiguousarray(image + np.clip(clouds - 0.5, 0, 1) * 100, np.float32)


def _woods(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Hills, trunks and leaves."""
    image = _sky(rng, width, height)
    x = np.linspace(0, width, 50)
    for base in (0.45, 0.6, 0.75):
        y = (base + rng.uniform(0.03, 0.12) * np.sin(x / width * rng.uniform(4, 14) + rng.uniform(0, 6))) * height
        outline = np.concatenate([np.stack([x, y], axis=1), [[width, height], [0, height]]]).astype(np.int32)
        cv2.fillPoly(
            image, [outline], tuple((np.array([70, 125, 95]) * rng.uniform(0.5, 1.3, 3)).tolist()), cv2.LINE_AA
        )
    for _ in range(int(rng.integers(6, 22))):
        foot = int(rng.integers(0, width))
        crown, tall = rng.uniform(25, 60), rng.uniform(0.3, 0.95) * height
        top = int(height - tall)
        brown = tuple((np.array([50, 70, 90]) * rng.uniform(0.5, 1.4)).tolist())
        cv2.line(
            image, (foot, height), (foot + int(rng.normal(0, 8)), top), brown, int(rng.integers(5, 18)), cv2.LINE_AA
        )
        green = np.array([50, 120, 75]) * rng.uniform(0.4, 1.3, 3)
        for _ in range(22):
            at = (foot + int(rng.normal(0, crown * 0.6)), top + int(rng.normal(0, crown * 0.6)))
            shade = tuple((green * rng.uniform(0.6, 1.35)).tolist())
            cv2.circle(image, at, int(crown * rng.uniform(0.15, 0.5)), shade, cv2.FILLED, cv2.LINE_AA)
    return image


def _field(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Sky or hall, a stand full of spectators, and a board."""
    image = _sky(rng, width, height) if rng.random() < 0.6 else _filled(_dull(rng, 40, 160), width, height)
    top = int(height * rng.uniform(0.3, 0.7))
    image[top:] = _dull(rng, 60, 150)
    for y in range(top + 8, height - 20, 15):
        for x in range(0, width, 13):
            if rng.random() < 0.75:
                at = (x + int(rng.normal(0, 3)), y + int(rng.normal(0, 2)))
                cv2.ellipse(image, (at[0], at[1] + 9), (6, 8), 0, 0, 360, _bright(rng), cv2.FILLED)
                skin = tuple((np.array([130, 165, 210]) * rng.uniform(0.4, 1.1)).tolist())
                cv2.circle(image, at, 4, skin, cv2.FILLED)
    if rng.random() < 0.7:
        cv2.rectangle(image, (0, height - 42), (width, height), _bright(rng), cv2.FILLED)
        for x in range(20, width, 26):  # something like letters
            strokes = rng.integers((x, height - 36), (x + 18, height - 8), (4, 2)).astype(np.int32)
            cv2.polylines(image, [strokes], False, (235, 235, 235), 4, cv2.LINE_AA)
    return image


def _noise(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Clouds of color at several scales."""
    image = _filled(_dull(rng), width, height)
    for cells in (3, 6, 14, 40, 110):
        field = np.stack([cv2.resize(noise(rng, 256, cells), (width, height)) for _ in range(3)], axis=-1)
        image += (field - 0.5) * rng.uniform(10, 130)
    return image


def _blobs(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    image = _sky(rng, width, height) if rng.random() < 0.3 else _filled(_dull(rng), width, height)
    for _ in range(int(rng.integers(30, 140))):
        axes = (int(rng.uniform(4, 70)), int(rng.uniform(4, 70)))
        cv2.ellipse(image, _point(rng, width, height), axes, rng.uniform(0, 180), 0, 360, _bright(rng), cv2.FILLED,
                    cv2.LINE_AA)  # fmt: skip
    return image


def _clutter(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Boards, boxes, cables: straight things that could be limbs."""
    image = _filled(_dull(rng), width, height)
    for _ in range(int(rng.integers(20, 70))):
        start, end = np.array(_point(rng, width, height)), rng.normal(0, 90, 2)
        stop = (start + end).astype(int)
        cv2.line(
            image, tuple(start.tolist()), tuple(stop.tolist()), _bright(rng), int(rng.integers(2, 26)), cv2.LINE_AA
        )
    for _ in range(int(rng.integers(8, 30))):
        x, y = _point(rng, width, height)
        cv2.rectangle(
            image, (x, y), (x + int(rng.integers(8, 110)), y + int(rng.integers(8, 110))), _bright(rng), cv2.FILLED
        )
    return image
