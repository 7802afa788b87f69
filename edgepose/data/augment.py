"""Augmentation of one person's view (RTMPose, section 3.2; exact numbers of the published pipelines).

Everything that moves pixels goes into one matrix, so a picture is resampled once; what changes colors works on the
crop. Functions take a numpy random generator and plain arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np

from edgepose.geometry import box_centers, compose, fixed_aspect, mirror, view_matrices
from edgepose.skeleton import Skeleton

Draw = Literal["truncated", "clipped"]
DRAWS: tuple[Draw, ...] = get_args(Draw)


@dataclass(frozen=True)
class Strength:
    """How far views are moved. The published recipes have two stages: strong, then mild for the last epochs."""

    scale: tuple[float, float]  # factor on the padded box
    rotation: float  # degrees, at most
    shift: float  # of the padded box, at most
    cutout: float  # probability
    half_body: float = 0.3  # probability
    draw: Draw = "truncated"  # of scale and turn: normal, one deviation at most; "clipped": see `random_view`
    colors: bool = True  # colors jittered and pictures blurred as well

    def __post_init__(self) -> None:
        low, high = self.scale
        object.__setattr__(self, "scale", (low, high))
        if not 0 < low <= high < math.inf:
            raise ValueError(f"scale={low},{high}: expected a smallest and a largest factor above 0")
        if not 0 <= self.rotation <= 180:
            raise ValueError(f"rotation={self.rotation}, expected degrees from 0 to 180")
        if not 0 <= self.shift < math.inf:
            raise ValueError(f"shift={self.shift}, expected a share of the view, 0 or more")
        for name in ("cutout", "half_body"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)}, expected a probability between 0 and 1")
        if self.draw not in DRAWS:
            raise ValueError(f"draw={self.draw!r}, expected one of {list(DRAWS)}")


STRONG = Strength(scale=(0.6, 1.4), rotation=80, shift=0.16, cutout=1.0)
MILD = Strength(scale=(0.75, 1.25), rotation=60, shift=0.0, cutout=0.5)
# Of whole pictures, as HigherHRNet's: factor on the shorter side, and shift in shares of the view.
WHOLE = Strength(scale=(0.75, 1.5), rotation=30, shift=0.2, cutout=0.0, half_body=0.0)
# Of crops, as HRNet's and DarkPose's code has it: factors with a deviation of 0.35, turns with one of 45 degrees, and
# neither shifts nor changes of color.
HRNET = Strength(scale=(0.65, 1.35), rotation=90, shift=0.0, cutout=0.0, draw="clipped", colors=False)


def random_view(
    rng: np.random.Generator,
    box: np.ndarray,
    keypoints: np.ndarray,
    visible: np.ndarray,
    skeleton: Skeleton,
    size: tuple[int, int],
    strength: Strength,
    warp: str = "box",
) -> tuple[np.ndarray, bool]:
    """A random view of a person: ((2, 3) map from the picture to a view of `size`, whether it is mirrored).

    The caller permutes left and right where it is mirrored. Half body, shift, scale and rotation as published: the
    shift and the factors are draws of a normal distribution cut to [-1, 1]. Where `strength.draw` is "clipped", scale
    and turn are draws of a whole normal distribution, those beyond the limits of `strength` put on them, and the limit
    of the turn is two deviations (HRNet's code).
    """
    center, scale = box_centers(box, warp), (box[2:] - box[:2]) * 1.25
    flipped = rng.random() < 0.5
    if rng.random() < strength.half_body:
        half = half_body(rng, keypoints, visible, skeleton)
        center, scale = half if half is not None else (center, scale)
    draws = truncated_normal(rng, 4)
    if strength.draw == "clipped":
        draws[2:] = np.clip(rng.standard_normal(2) / (1, 2), -1, 1)
    if strength.shift and rng.random() < 0.3:
        center = center + draws[:2] * strength.shift * scale
    low, high = strength.scale
    scale = scale * (draws[2] * (high - low) / 2 + (high + low) / 2)
    degrees = draws[3] * strength.rotation if rng.random() < 0.6 else 0.0
    sides = fixed_aspect(np.asarray(scale, np.float64)[None], size)
    matrix = view_matrices(np.asarray(center, np.float64)[None], sides, np.array([degrees]), size, warp)[0]
    return (compose(mirror(size[0]), matrix) if flipped else matrix), flipped


def half_body(
    rng: np.random.Generator, keypoints: np.ndarray, visible: np.ndarray, skeleton: Skeleton
) -> tuple[np.ndarray, np.ndarray] | None:
    """Center and padded side lengths of the upper or lower half, or None where too few keypoints are labelled."""
    seen = visible > 0
    if seen.sum() < 9:
        return None
    upper = [i for i in skeleton.upper if seen[i]]
    lower = [i for i in skeleton.lower if seen[i]]
    halves = ([upper] if len(upper) >= 2 else []) + ([lower] if len(lower) >= 3 else [])
    if not halves:
        return None
    chosen = keypoints[halves[0] if len(halves) == 1 or rng.random() < 0.7 else halves[1]]
    return chosen.mean(axis=0), (chosen.max(axis=0) - chosen.min(axis=0)) * 1.5


def truncated_normal(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draws of the standard normal distribution restricted to [-1, 1]."""
    draws = rng.standard_normal(count)
    while (outside := np.abs(draws) > 1).any():
        draws[outside] = rng.standard_normal(int(outside.sum()))
    return draws


def jitter_hsv(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Hue, saturation and value moved by up to 5, 30 and 30, each with probability one half (YOLOX)."""
    gains = (rng.uniform(-1, 1, 3) * (5, 30, 30) * (rng.random(3) < 0.5)).astype(np.int16)
    levels = np.arange(256, dtype=np.int16)
    hue = ((levels + gains[0]) % 180).astype(np.uint8)
    tables = [hue, *(np.clip(levels + gain, 0, 255).astype(np.uint8) for gain in gains[1:])]
    hsv = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_BGR2HSV), np.stack(tables, axis=-1)[None])
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


def scale_hsv(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Hue, saturation and value times up to 1 +- 0.015, 0.7 and 0.4 (YOLOv5)."""
    factors = 1 + rng.uniform(-1, 1, 3) * (0.015, 0.7, 0.4)
    levels = np.arange(256) * factors[:, None]
    tables = [levels[0] % 180, *np.clip(levels[1:], 0, 255)]
    hsv = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_BGR2HSV), np.stack(tables, axis=-1).astype(np.uint8)[None])
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


def blur(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Box blur and median blur of 3, 5 or 7 pixels, each with probability 0.1."""
    if rng.random() < 0.1:
        kernel = int(rng.choice((3, 5, 7)))
        image = cv2.blur(image, (kernel, kernel))
    if rng.random() < 0.1:
        image = cv2.medianBlur(image, int(rng.choice((3, 5, 7))))
    return image


def cut_out(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """One black rectangle of 0.2 to 0.4 of the view on each side, somewhere inside it."""
    height, width = image.shape[:2]
    h, w = int(rng.uniform(0.2, 0.4) * height), int(rng.uniform(0.2, 0.4) * width)
    y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    image = image.copy()
    image[y : y + h, x : x + w] = 0
    return image
