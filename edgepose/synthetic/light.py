"""Light and texture on what the depth buffer shows."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgepose.synthetic.camera import Camera
from edgepose.synthetic.look import TILE, TILE_SIZE, tiles
from edgepose.synthetic.solids import Solids


@dataclass(frozen=True)
class Light:
    """A sun or lamp and the light from everywhere.

    towards: direction to the lamp in the world (need not be of length 1)
    key, ambient: how bright each is; warmth: of the lamp, -1 blue .. 1 orange
    """

    towards: tuple[float, float, float] = (-0.5, 1.0, 0.7)
    key: float = 0.75
    ambient: float = 0.5
    warmth: float = 0.1


def random_light(rng: np.random.Generator) -> Light:
    """Daylight, lamps, dull skies and hard sun."""
    azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 1.8)
    hard = rng.random()
    return Light((float(np.cos(azimuth)), height, float(np.sin(azimuth)) + 0.35), 0.3 + 0.75 * hard,
                 0.80 - 0.45 * hard + rng.uniform(-0.08, 0.1), rng.uniform(-0.5, 0.9))  # fmt: skip


def shaded(
    camera: Camera, s: Solids, middle: np.ndarray, rows: np.ndarray, light: Light, pixels: np.ndarray,
    solid: np.ndarray, depth: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Colors (n, 3) uint8 of `pixels` (n,), flat indices into the buffers `solid` and `depth` (H, W).

    middle, rows: the solids' places and local coordinates (`render._Terms`).
    """
    at = solid.ravel()[pixels]
    w = depth.ravel()[pixels]
    u = pixels.astype(np.float32)
    v = np.floor((u + np.float32(0.5)) * np.float32(1 / solid.shape[1]))
    u -= v * np.float32(solid.shape[1])
    # (34, n), each property in one piece; neighbors are mostly of one solid, and repeating is quicker than gathering.
    first = np.flatnonzero(np.diff(at, prepend=-1))
    runs = np.diff(first, append=len(at))
    c = np.repeat(np.take(_table(camera, s, middle, rows, light), at[first], axis=1), runs, axis=1)
    away = 1 / w
    x, y, z = ((c[i] * u + c[i + 1] * v + c[i + 2]) * away + c[i + 3] for i in (0, 4, 8))  # along both sides, and up
    nx, ny, nz = x * c[12], y * c[13], c[14] + c[15] * z
    length = 1 / np.sqrt(nx * nx + ny * ny + nz * nz + np.float32(1e-12))
    lit, up, front = ((nx * c[i] + ny * c[i + 1] + nz * c[i + 2]) * length for i in (16, 19, 22))

    pattern = _sampled(c[31], z * c[32], (x + 0.8 * y) * c[32])
    folds = _sampled(np.float32(TILE["folds"] * TILE_SIZE**2), z * 160 + c[25] * 192, (x + 0.8 * y) * 420)
    bright = light.ambient * 0.72 + (light.ambient * 0.28) * up + light.key * np.maximum(lit, 0)
    # Grazing surfaces are darker: cloth, and corners.
    bright *= (0.72 + 0.28 * np.minimum(np.abs(front) * 1.6, 1)) * _open(depth, pixels, away)
    bright *= 1 + c[33] * (folds - 0.35)
    base = c[28:31]
    base *= pattern
    base += c[25:28]
    if s.face.any():
        faces = np.flatnonzero((s.face[:, 0] > 0)[at])
        on = at[faces]
        base[:, faces] = _face(s, on, np.take(base, faces, axis=1), x[faces], y[faces], z[faces])
    tint = 255 + 255 * light.warmth * np.array([[-0.10], [0.0], [0.08]], np.float32)
    base *= bright
    base *= tint
    return np.minimum(base, 255).T.astype(np.uint8)


def _table(camera: Camera, s: Solids, middle: np.ndarray, rows: np.ndarray, light: Light) -> np.ndarray:
    """(34, P) float32, all that a pixel needs to know of its solid."""
    flat = s.profile[:, 2] == 0
    lamp = np.asarray(light.towards, float)
    directions = np.array([lamp / np.linalg.norm(lamp), (0.0, 1.0, 0.0), -camera.rotation[2]])
    local = (directions @ s.axes).reshape(len(s), 9)
    curvature = np.where(flat[:, None], 0, 1 / np.array([s.wide, s.deep]).T ** 2)
    slope = np.array([-s.profile[:, 1] / (2 * s.length), -s.profile[:, 2] / s.length**2]).T
    whole = rows.copy()  # from coordinates around the middle to the picture's
    whole[:, :, 2] -= np.einsum("pij,pj->pi", rows[:, :, [0, 1, 3]], middle)
    tile = (s.tile * TILE_SIZE**2)[:, None]
    columns = [whole.reshape(len(s), 12), curvature, slope, local, s.color, s.second - s.color, tile,
               s.repeats[:, None] * TILE_SIZE, 0.30 * s.relief[:, None]]  # fmt: skip
    # Painted heads use their second color for hair only.
    columns[5] = columns[5] * (s.face[:, :1] == 0)
    return np.ascontiguousarray(np.concatenate(columns, axis=1).T.astype(np.float32))


def _sampled(first: np.ndarray | np.float32, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """The tiles' values at rows and columns in pixels, repeated without end; `first` is where the tile begins."""
    wrap = TILE_SIZE - 1
    index = (row.astype(np.int32) & wrap) * TILE_SIZE
    index += column.astype(np.int32) & wrap
    index += first.astype(np.int32)
    return tiles().ravel()[index]


def _open(depth: np.ndarray, pixels: np.ndarray, away: np.ndarray) -> np.ndarray:
    """How open each pixel is to the light from everywhere: darker beside what stands a little before it.

    depth: (H, W) inverse depths; away: (n,) depths of `pixels`.
    """
    side = max(3, round(0.035 * min(depth.shape))) | 1
    around = cv2.blur(depth, (side, side)).ravel()[pixels]
    return 1 - np.minimum(np.maximum(9 * (around * away - 1), 0), np.float32(0.38))


# Spots of paint on a face: middle across (both sides) and up, half-axes, how hard the edge is. In heights of the head.
_SPOTS = np.array([
    (0.145, 0.50, 0.105, 0.075, 1.5), (0, 0.245, 0.075, 0.03, 1.5), (0, 0.75, 0.2, 0.12, 1),
    (0, 0.165, 0.115, 0.030, 3), (0, 0.168, 0.10, 0.008, 3), (0.145, 0.475, 0.066, 0.034, 3),
    (0.145, 0.475, 0.032, 0.034, 3), (0.145, 0.508, 0.076, 0.013, 3), (0.15, 0.572, 0.088, 0.022, 3),
    (0.15, 0.475, 0.135, 0.105, 9), (0.15, 0.475, 0.112, 0.085, 9),
], np.float32).T[:, :, None]  # fmt: skip


def _face(s: Solids, on: np.ndarray, base: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Eyes, brows, lips, beard and glasses over the skin `base` (3, n), on the front of the head."""
    data = np.take(np.concatenate([s.face, s.home[:, 1:], s.second], axis=1).T.astype(np.float32), on, axis=1)
    scale = data[0]
    across, ahead, up = np.abs(x) * scale, (y + data[4]) * scale, (z + data[3]) * scale
    front = np.clip(ahead * 12 - 0.8, 0, 1)

    cx, cy, rx, ry, hard = _SPOTS
    spots = (across - cx) / rx
    spots *= spots
    height = (up - cy) / ry
    height *= height
    spots += height
    spots = np.minimum(np.maximum((1 - spots) * hard, 0), 1) * front  # (spots, n)
    sockets, under, forehead, lip, mouth, white, iris, lid, brow, rim, glass = spots
    hair = data[5:8]
    skin = base * ((1 - 0.22 * sockets - 0.20 * under) * (1 + 0.05 * forehead))
    beard = data[1] * np.clip((0.27 - up) * 14, 0, 1) * np.clip(ahead * 8 + 1, 0, 1)
    skin = skin + (hair - skin) * (0.8 * beard)
    ink = np.array([[0.06], [0.07], [0.08]], np.float32)
    lips = base * np.array([[0.62], [0.58], [0.86]], np.float32)
    layers = ((lips, lip), (base * 0.45, mouth), (np.float32(0.86), white), (ink, iris), (base * 0.42, lid),
              (hair * 0.8, 0.9 * brow))  # fmt: skip
    for color, weight in layers:
        skin = skin + (color - skin) * weight
    return skin + (ink - skin) * (data[2] * (rim - glass))
