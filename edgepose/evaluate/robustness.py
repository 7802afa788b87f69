"""Figures on spoiled pictures: blur, noise, darkness, low resolution, JPEG, rotation, occlusion, in three grades each.

The estimator is wrapped: the picture is spoiled, given boxes are turned with it, and what is found is turned back, so
that labels and areas stay what they are. What is drawn by chance depends on the seed and on the picture alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np

from edgepose.evaluate.run import Estimates
from edgepose.geometry import invert, transform
from edgepose.poses import Poses
from edgepose.spec import ModelSpec

# kind: (what its number is, the grades)
Spoiling = Literal["blur", "noise", "darkness", "resolution", "jpeg", "rotation", "occlusion"]
KINDS: dict[Spoiling, tuple[str, tuple[float, float, float]]] = {
    "blur": ("standard deviation of a Gaussian, pixels", (1, 2, 4)),
    "noise": ("standard deviation of Gaussian noise, gray levels", (10, 25, 50)),
    "darkness": ("share of the light that is left, with 2 gray levels of noise", (0.5, 0.2, 0.08)),
    "resolution": ("share of the pixels' number along each side", (0.5, 0.25, 0.125)),
    "jpeg": ("quality", (30, 10, 5)),
    "rotation": ("degrees, either way", (15, 45, 90)),
    "occlusion": ("share of the picture under gray squares", (0.1, 0.25, 0.5)),
}
GRAY = (114, 114, 114)
IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def spoiled(image: np.ndarray, kind: Spoiling, strength: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A spoiled copy of a picture (H, W, 3) uint8, and the map (2, 3) from the picture to it."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r} of spoiling, expected one of {list(KINDS)}")
    rng = np.random.default_rng([seed, zlib.crc32(np.ascontiguousarray(image[::7, ::7]).tobytes())])
    if kind == "rotation":
        return _rotated(image, strength * rng.choice([-1, 1]))
    return _CHANGES[kind](image, strength, rng), IDENTITY


def _rotated(image: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """About the center, clockwise, on a black canvas that holds all of it."""
    height, width = image.shape[:2]
    angle = np.deg2rad(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]])
    size = np.ceil(np.abs(linear) @ [width, height] - 1e-6).astype(int)
    middle = (size - 1) / 2 - linear @ [(width - 1) / 2, (height - 1) / 2]
    matrix = np.concatenate([linear, middle[:, None]], axis=1)
    return cv2.warpAffine(image, matrix, (int(size[0]), int(size[1])), flags=cv2.INTER_LINEAR), matrix


def _blurred(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma)


def _noisy(image: np.ndarray, spread: float, rng: np.random.Generator) -> np.ndarray:
    return np.clip(np.rint(image + rng.normal(0, spread, image.shape)), 0, 255).astype(np.uint8)


def _dark(image: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    return _noisy(image * share, 2.0, rng)


def _coarse(image: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    small = (max(1, round(width * share)), max(1, round(height * share)))
    return cv2.resize(cv2.resize(image, small, interpolation=cv2.INTER_AREA), (width, height))


def _compressed(image: np.ndarray, quality: float, rng: np.random.Generator) -> np.ndarray:
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    if not done:
        raise ValueError(f"a picture {image.shape} cannot be written as JPEG")
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def _occluded(image: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Squares of a twelfth of the shorter side, in so many cells of a grid."""
    height, width = image.shape[:2]
    side = max(1, min(height, width) // 12)
    columns, rows = -(-width // side), -(-height // side)
    covered = image.copy()
    for cell in rng.permutation(columns * rows)[: round(share * columns * rows)]:
        x, y = cell % columns * side, cell // columns * side
        covered[y : y + side, x : x + side] = GRAY
    return covered


_CHANGES: dict[str, Callable[[np.ndarray, float, np.random.Generator], np.ndarray]] = {
    "blur": _blurred,
    "noise": _noisy,
    "darkness": _dark,
    "resolution": _coarse,
    "jpeg": _compressed,
    "occlusion": _occluded,
}


@dataclass(frozen=True)
class Spoiled:
    """An estimator that sees every picture spoiled, and answers in pixels of the picture it was given."""

    estimator: Estimates
    kind: Spoiling
    strength: float
    seed: int = 0

    @property
    def spec(self) -> ModelSpec:
        """The estimator's."""
        return self.estimator.spec

    def __call__(
        self, image: np.ndarray, boxes: np.ndarray | None = None, box_scores: np.ndarray | None = None
    ) -> Poses:
        """As the estimator."""
        worse, matrix = spoiled(image, self.kind, self.strength, self.seed)
        if boxes is None:
            poses = self.estimator(worse)
        else:
            moved = turned(boxes, matrix).astype(np.float32)
            poses = self.estimator(worse, moved) if box_scores is None else self.estimator(worse, moved, box_scores)
        if matrix is IDENTITY:
            return poses
        back = invert(matrix)
        keypoints = transform(poses.keypoints, back)
        return replace(poses, keypoints=keypoints, boxes=turned(poses.boxes, back) if boxes is None else boxes)


def turned(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) through a rotation (2, 3): the extent of the turned ellipse that fills each.

    People are rounder than their boxes: the extent of the four corners would be up to twice as large as the person.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    centers = transform(((boxes[:, :2] + boxes[:, 2:]) / 2)[:, None], matrix)[:, 0]
    halves = (boxes[:, 2:] - boxes[:, :2]) / 2
    reach = np.sqrt((halves**2) @ (matrix[:, :2] ** 2).T)
    return np.concatenate([centers - reach, centers + reach], axis=1)


def robustness(
    estimator: Estimates,
    figures_of: Callable[[Estimates], dict[str, Any]],
    plain: dict[str, Any],
    *,
    kinds: Sequence[Spoiling] = tuple(KINDS),
    seed: int = 0,
) -> list[dict[str, Any]]:
    """One row per kind and grade: AP, AR, and `kept`, the share of the plain AP that is left.

    Args:
        figures_of: evaluates an estimator over the data set.
        plain: what it gives for the estimator itself.
    """
    rows = []
    for kind in kinds:
        for grade, strength in enumerate(KINDS[kind][1], start=1):
            figures = figures_of(Spoiled(estimator, kind, strength, seed))
            kept = round(figures["AP"] / plain["AP"], 6) if plain["AP"] > 0 else None
            rows.append({"kind": kind, "grade": grade, "strength": strength, "AP": figures["AP"], "AR": figures["AR"],
                         "kept": kept})  # fmt: skip
    return rows
