"""A pinhole camera, where it stands, and how it moves.

Camera axes are OpenCV's: x right, y down, z ahead; pixel centers at integer coordinates. A weak-perspective view is the
same camera far away with a long lens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

Move = Literal["static", "pan", "zoom", "track", "orbit", "handheld"]
MOVES: tuple[Move, ...] = get_args(Move)
NEAR = 0.12  # metres; what is nearer is not drawn


@dataclass(frozen=True, eq=False)
class Camera:
    """size: (w, h) pixels; focal: pixels; position: (3,) in the world; rotation: (3, 3), world axes -> camera axes."""

    size: tuple[int, int]
    focal: float
    position: np.ndarray
    rotation: np.ndarray

    def __post_init__(self) -> None:
        if min(self.size) < 8 or self.focal <= 0:
            raise ValueError(f"a camera of {self.size} pixels and focal length {self.focal} sees nothing")

    @property
    def center(self) -> np.ndarray:
        """The principal point, (2,)."""
        return (np.array(self.size) - 1) / 2

    def seen_from(self, points: np.ndarray) -> np.ndarray:
        """World (..., 3) -> camera axes (..., 3)."""
        return (points - self.position) @ self.rotation.T

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World (..., 3) -> pixels (..., 2) and depths (...); points behind the camera get a depth below NEAR."""
        inside = self.seen_from(points)
        depth = inside[..., 2]
        return self.center + self.focal * inside[..., :2] / np.maximum(depth, NEAR)[..., None], depth


def look_at(size: tuple[int, int], focal: float, position: np.ndarray, target: np.ndarray, roll: float = 0.0) -> Camera:
    """A camera at `position` that has `target` in the middle; `roll` in degrees turns the picture clockwise."""
    position, target = np.asarray(position, np.float64), np.asarray(target, np.float64)
    ahead = target - position
    ahead = ahead / np.linalg.norm(ahead)
    right = np.array([-ahead[2], 0.0, ahead[0]])  # ahead x up
    if np.linalg.norm(right) < 1e-6:
        raise ValueError("the camera looks straight up or down: expected a target that is not on its vertical")
    right = right / np.linalg.norm(right)
    cos, sin = np.cos(np.deg2rad(roll)), np.sin(np.deg2rad(roll))
    down = cross(ahead, right)
    rotation = np.array([cos * right - sin * down, sin * right + cos * down, ahead])
    return Camera(size, focal, position, rotation)


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of two vectors (3,); numpy's is made for many and ten times as slow for one."""
    (ax, ay, az), (bx, by, bz) = a, b
    return np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


@dataclass(frozen=True, eq=False)
class Shot:
    """A camera over time: `move` is one of MOVES, `amount` its strength (1 is plain to see, 0 is none)."""

    size: tuple[int, int]
    focal: float
    position: np.ndarray
    target: np.ndarray
    roll: float = 0.0
    move: Move = "static"
    amount: float = 1.0
    rate: float = 0.08  # rounds per second
    phase: float = 0.0

    def __post_init__(self) -> None:
        if self.move not in MOVES:
            raise ValueError(f"unknown camera move {self.move!r}, expected one of {list(MOVES)}")

    def camera(self, time: float) -> Camera:
        """The camera at a time in seconds."""
        position, target = np.array(self.position, np.float64), np.array(self.target, np.float64)
        focal, roll = self.focal, self.roll
        wave = self.amount * np.sin(2 * np.pi * (self.rate * time + self.phase))
        reach = float(np.linalg.norm(target - position))
        if self.move == "pan":
            target += np.array([0.22, 0.02, 0.0]) * reach * wave
        elif self.move == "zoom":
            focal = focal * float(np.exp(0.35 * wave))
        elif self.move == "track":
            aside = np.array([0.2 * reach * wave, 0.0, 0.0])
            position, target = position + aside, target + aside
        elif self.move == "orbit":
            cos, sin = np.cos(0.5 * wave), np.sin(0.5 * wave)
            x, y, z = position - target
            position = target + np.array([cos * x + sin * z, y, cos * z - sin * x])
        elif self.move == "handheld":
            t = time + 10 * self.phase
            shake = np.array([np.sin(2.9 * t) + 0.5 * np.sin(7.1 * t + 1), np.sin(2.3 * t + 2) + 0.4 * np.sin(8.3 * t)])
            target = target + 0.008 * self.amount * reach * np.array([*shake, 0])
            position = position + 0.02 * self.amount * np.array([*shake[::-1], 0])
            roll = roll + self.amount * 0.7 * float(np.sin(1.7 * t))
        return look_at(self.size, focal, position, target, roll)
