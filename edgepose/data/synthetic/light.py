"""Light and texture on what the depth buffer shows."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgepose.data.synthetic.camera import Camera
from edgepose.data.synthetic.look import TILE, TILE_SIZE, tiles
from edgepose.data.synthetic.solids import Solids


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
    """Colours (n, 3) uint8 of `pixels` (n,), flat indices into the buffers `solid` and `depth` (H, W).

    middle, rows: the solids' places and local coordinates (`render._Terms`).
    """
    at = solid.ravel()[pixels]
    w = depth.ravel()[pixels]
    v, u = np.divmod(pixels.astype(np.int32), np.int32(solid.shape[1]))
    table = _table(camera, s, middle, rows, light)
    c = np.ascontiguousarray(table[at].T)  # (39, n): one row per property
    du, dv, dw = u - c[0], v - c[1], w - c[2]
    x, y, z = ((c[i] * du + c[i + 1] * dv + c[i + 2] + c[i + 3] * dw) / w for i in (3, 7, 11))  # along side, side, axis
    nx, ny, nz = x * c[15], y * c[16], c[17] + c[18] * z
    length = 1 / np.sqrt(nx * nx + ny * ny + nz * nz + 1e-12)
    lit, up, front = ((nx * c[i] + ny * c[i + 1] + nz * c[i + 2]) * length for i in (19, 22, 25))

    repeats = c[35] * TILE_SIZE
    around = x + 0.8 * y
    pattern = _sampled(c[34], z * repeats, around * repeats)
    folds = _sampled(np.float32(TILE["folds"]), z * 160 + 9 * c[34] + 3 * c[28] * 64, around * 420)
    bright = light.ambient * (0.72 + 0.28 * up) + light.key * np.maximum(lit, 0)
    bright *= 0.72 + 0.28 * np.minimum(np.abs(front) * 1.6, 1)  # grazing surfaces are darker: cloth, and corners
    bright *= 1 + c[36] * 0.30 * (folds - 0.35)
    bright *= _open(depth).ravel()[pixels]
    base = c[28:31] + (c[31:34] - c[28:31]) * pattern
    faces = np.flatnonzero(c[37])
    if len(faces):
        base[:, faces] = _face(c[:, faces], base[:, faces], x[faces], y[faces], z[faces])
    tint = 1 + light.warmth * np.array([[-0.10], [0.0], [0.08]], np.float32)
    result = base * tint * (bright * 255)
    return np.clip(result, 0, 255).T.astype(np.uint8)


def _table(camera: Camera, s: Solids, middle: np.ndarray, rows: np.ndarray, light: Light) -> np.ndarray:
    """(P, 41) float32, all that a pixel needs to know of its solid."""
    flat = s.profile[:, 2] == 0
    lamp = np.asarray(light.towards, float)
    directions = np.stack([lamp / np.linalg.norm(lamp), (0.0, 1.0, 0.0), -camera.rotation[2]])
    local = np.einsum("pji,dj->pdi", s.axes, directions).reshape(len(s), 9)
    curvature = np.where(flat[:, None], 0, 1 / np.stack([s.wide, s.deep], axis=1) ** 2)
    slope = np.stack([-s.profile[:, 1] / (2 * s.length), -s.profile[:, 2] / s.length**2], axis=1)
    columns = [middle, rows.reshape(len(s), 12), curvature, slope, local, s.colour, s.second, s.tile[:, None],
               s.repeats[:, None], s.relief[:, None], s.face, s.home[:, 1:]]  # fmt: skip
    return np.concatenate(columns, axis=1).astype(np.float32)


def _sampled(tile: np.ndarray | np.float32, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """The tiles' values at rows and columns in pixels, repeated without end."""
    wrap = TILE_SIZE - 1
    index = (row.astype(np.int32) & wrap) * TILE_SIZE + (column.astype(np.int32) & wrap)
    index += (tile * (TILE_SIZE * TILE_SIZE)).astype(np.int32)
    return tiles().ravel()[index]


def _open(depth: np.ndarray) -> np.ndarray:
    """How open each pixel is to the light from everywhere: darker beside what stands a little before it."""
    side = max(3, round(0.035 * min(depth.shape))) | 1
    around = cv2.blur(depth, (side, side))
    with np.errstate(divide="ignore", invalid="ignore"):
        shadow = np.clip(9 * (around / depth - 1), 0, 0.38)
    return 1 - shadow


def _face(c: np.ndarray, base: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Eyes, brows, lips, beard and glasses over the skin `base` (3, n), on the front of the head."""
    scale = c[37]
    across, ahead, up = np.abs(x) * scale, (y + c[41]) * scale, (z + c[40]) * scale
    front = np.clip(ahead * 12 - 0.8, 0, 1)

    def spot(cx: float, cy: float, rx: float, ry: float, hard: float = 3.0) -> np.ndarray:
        return np.clip((1 - ((across - cx) / rx) ** 2 - ((up - cy) / ry) ** 2) * hard, 0, 1) * front

    hair = c[31:34]
    skin = base * (1 - 0.22 * spot(0.145, 0.50, 0.105, 0.075, 1.5) - 0.20 * spot(0, 0.245, 0.075, 0.03, 1.5))
    skin = skin * (1 + 0.05 * spot(0, 0.75, 0.2, 0.12, 1))
    beard = c[38] * np.clip((0.27 - up) * 14, 0, 1) * np.clip(ahead * 8 + 1, 0, 1)
    skin = skin + (hair - skin) * (0.8 * beard)
    ink = np.array([[0.06], [0.07], [0.08]], np.float32)
    lips = base * np.array([[0.62], [0.58], [0.86]], np.float32)
    layers = ((lips, spot(0, 0.165, 0.115, 0.030)), (base * 0.45, spot(0, 0.168, 0.10, 0.008)),
              (np.full_like(base, 0.86), spot(0.145, 0.475, 0.066, 0.034)), (ink, spot(0.145, 0.475, 0.032, 0.034)),
              (base * 0.42, spot(0.145, 0.508, 0.076, 0.013)), (hair * 0.8, 0.9 * spot(0.15, 0.572, 0.088, 0.022)))  # fmt: skip
    for colour, weight in layers:
        skin = skin + (colour - skin) * weight
    glasses = c[39] * (spot(0.15, 0.475, 0.135, 0.105, 9) - spot(0.15, 0.475, 0.112, 0.085, 9))
    return skin + (ink - skin) * glasses
