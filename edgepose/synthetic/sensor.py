"""What a camera does to a picture: lens and motion blur, exposure, white balance, few pixels, noise, JPEG."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np


@dataclass(frozen=True)
class Sensor:
    """One camera's faults; the defaults are a good camera.

    blur:     sigma of the lens, pixels       motion: length of a smear in pixels, and its angle in radians
    exposure: gain                            gamma:  above 1 is darker in the middle tones
    balance:  gains of blue, green, red       noise:  standard deviation, of 255
    reduce:   the picture is taken so many times smaller and enlarged
    quality:  of a JPEG that it is stored as, 0 for none
    """

    blur: float = 0.6
    motion: tuple[float, float] = (0.0, 0.0)
    exposure: float = 1.0
    gamma: float = 1.0
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    noise: float = 2.0
    reduce: float = 1.0
    quality: int = 0


def random_sensor(rng: np.random.Generator) -> Sensor:
    """Phones, web cams and old cameras; most are all right."""
    return Sensor(
        blur=rng.uniform(0.5, 1.0) if rng.random() < 0.8 else rng.uniform(1.0, 2.2),
        motion=(0.0, 0.0) if rng.random() < 0.85 else (rng.uniform(2, 8), rng.uniform(0, np.pi)),
        exposure=float(np.exp(rng.normal(0, 0.18))),
        gamma=float(np.exp(rng.normal(0, 0.15))),
        balance=tuple((1 + rng.normal(0, 0.05, 3)).tolist()),
        noise=rng.uniform(0.5, 5) if rng.random() < 0.85 else rng.uniform(5, 14),
        reduce=1.0 if rng.random() < 0.75 else rng.uniform(1.3, 3.0),
        quality=0 if rng.random() < 0.65 else int(rng.integers(25, 92)),
    )


def taken(image: np.ndarray, sensor: Sensor, rng: np.random.Generator) -> np.ndarray:
    """The picture (H, W, 3) uint8 as `sensor` gives it, of the same size; geometry is kept."""
    height, width = image.shape[:2]
    if sensor.blur > 0:
        image = cv2.GaussianBlur(image, (3, 3) if sensor.blur < 0.9 else (5, 5), sensor.blur)
    if sensor.motion[0] > 1:
        image = cv2.filter2D(image, -1, _smear(*sensor.motion))
    if sensor.reduce > 1:
        small = (max(round(width / sensor.reduce), 8), max(round(height / sensor.reduce), 8))
        image = cv2.resize(cv2.resize(image, small, interpolation=cv2.INTER_AREA), (width, height))
    levels = np.linspace(0, 1, 256)[:, None] ** sensor.gamma * sensor.exposure * np.array(sensor.balance)
    image = cv2.LUT(image, np.clip(levels * 255, 0, 255).astype(np.uint8)[None])
    if sensor.noise > 0:
        image = _noisy(image, sensor.noise, rng)
    if sensor.quality:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, sensor.quality])
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return np.asarray(image)


def _noisy(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Noise cut at random from a large sheet of it, which is quicker than drawing it anew."""
    height, width = image.shape[:2]
    sheets = _grain(round(2 * sigma))
    tall, wide = sheets[0].shape[:2]
    row, column = (int(rng.integers(0, side)) for side in (tall // 2, wide // 2))
    grown = np.empty_like(image)
    for y in range(-row, height, tall):  # a large picture repeats the sheet
        for x in range(-column, width, wide):
            at = (slice(max(y, 0), min(y + tall, height)), slice(max(x, 0), min(x + wide, width)))
            brighter, darker = (sheet[at[0].start - y : at[0].stop - y, at[1].start - x : at[1].stop - x]
                                for sheet in sheets)  # fmt: skip
            # On bytes, which is quicker than a signed sum.
            cv2.subtract(cv2.add(image[at], brighter), darker, dst=grown[at])
    return grown


@cache
def _grain(level: int) -> tuple[np.ndarray, np.ndarray]:
    """Two sheets (640, 800, 3) uint8, what is added and what is taken away, with a standard deviation of level / 2."""
    grain = (_noise() * (level / 2)).round()
    return np.maximum(grain, 0).astype(np.uint8), np.maximum(-grain, 0).astype(np.uint8)


@cache
def _noise() -> np.ndarray:
    """(640, 800, 3) float32 with a standard deviation of 1, partly the same in all channels."""
    rng = np.random.default_rng(77)
    own, common = (rng.standard_normal((640, 800, channels), np.float32) for channels in (3, 1))
    return np.asarray(0.75 * own + 0.66 * common)


def _smear(length: float, angle: float) -> np.ndarray:
    side = int(length) | 1
    kernel = np.zeros((side, side), np.float32)
    middle = side // 2
    end = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    start, stop = (middle - end).round().astype(int), (middle + end).round().astype(int)
    cv2.line(kernel, tuple(start.tolist()), tuple(stop.tolist()), 1.0, 1)
    return np.asarray(kernel / kernel.sum())
