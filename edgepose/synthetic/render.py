"""From solids to pixels: exact depth in perspective, a depth buffer, then light on what is seen.

A pixel's ray is d / w with the inverse depth w, so a point of an ellipsoid fulfils a quadratic equation in w whose
coefficients are polynomials of the pixel's coordinates: outline, depth and normal are exact, and there is no mesh.
Coordinates are taken relative to each solid's own middle, which keeps float32 exact enough. Solids with the camera
inside, or nearer than `NEAR`, are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgepose.synthetic.camera import NEAR, Camera
from edgepose.synthetic.light import Light, shaded
from edgepose.synthetic.solids import Solids, joined


@dataclass(frozen=True, eq=False)
class Rendering:
    """A picture and what is seen where.

    image: (H, W, 3) uint8 BGR
    depth: (H, W) float32 inverse depth of the nearest solid, 1/m; 0 where the background is seen
    solid: (H, W) int32 row in the table of all solids, -1 for the background
    group: (P,) which of the given groups each row belongs to
    part:  (P,) what it shows
    alone: (G,) pixels that each group would cover if nothing stood before it
    reach: (G, 4) int, x1 y1 x2 y2 around them
    """

    image: np.ndarray
    depth: np.ndarray
    solid: np.ndarray
    group: np.ndarray
    part: np.ndarray
    alone: np.ndarray
    reach: np.ndarray

    def seen(self, group: int, part: tuple[slice, slice] = (slice(None), slice(None))) -> np.ndarray:
        """(h, w) bool: the pixels of a part of the picture where a group is seen."""
        first, last = np.searchsorted(self.group, (group, group + 1))
        solid = self.solid[part]
        return (solid >= first) & (solid < last)


def render(camera: Camera, groups: Sequence[Solids], background: np.ndarray, light: Light) -> Rendering:
    """Draw groups of solids (people, things) over a background (H, W, 3) uint8, which is written into."""
    width, height = camera.size
    if background.shape != (height, width, 3):
        raise ValueError(f"the background is {background.shape}, expected {(height, width, 3)} as the camera sees")
    depth = np.zeros((height, width), np.float32)
    solid = np.full((height, width), -1, np.int32)
    alone, reach = np.zeros(len(groups), np.int64), np.zeros((len(groups), 4), np.int64)
    if not groups:
        return Rendering(background, depth, solid, np.zeros(0, int), np.zeros(0, int), alone, reach)
    everything = joined(groups)
    group = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
    terms = _terms(camera, everything)
    first = 0
    for i, members in enumerate(groups):
        alone[i], reach[i] = _draw(terms, first, first + len(members), depth, solid)
        first += len(members)
    pixels = np.flatnonzero(solid.ravel() >= 0)
    if len(pixels):
        colors = shaded(camera, everything, terms.middle, terms.rows, light, pixels, solid, depth)
        background.reshape(-1, 3)[pixels] = colors
    return Rendering(background, depth, solid, group, everything.part, alone, reach)


@dataclass(frozen=True, eq=False)
class _Terms:
    """Per solid, with h = (du, dv, 1, dw) around its middle.

    middle: (P, 3) u0, v0, w0     rows: (P, 3, 4) local coordinates times w as products with h
    boxes:  (P, 4) int x1 y1 x2 y2 (exclusive), empty where it is not drawn
    curved: (9, P) disc's uu, 2uv, vv, 2u, 2v, 1 and the root's u, v, 1
    span:   (4, P) u, v, 1, w of the axis coordinate over the depth, zeros where it has no bounds
    flat:   (7, P) of a face: the depth's u, v, both sides' u, v; and 1 for a face
    """

    middle: np.ndarray
    rows: np.ndarray
    boxes: np.ndarray
    curved: np.ndarray
    span: np.ndarray
    flat: np.ndarray


def _terms(camera: Camera, s: Solids) -> _Terms:
    flat = s.profile[:, 2] == 0
    start = camera.seen_from(s.start)  # (P, 3)
    axes = camera.rotation @ s.axes  # (P, 3, 3), columns
    along = np.where(flat, 0.0, s.span.mean(axis=1) * s.length)
    middle = start + axes[:, :, 2] * along[:, None]
    deep = np.maximum(middle[:, 2], NEAR)
    w0 = 1 / deep
    places = np.empty((len(s), 3))
    places[:, :2], places[:, 2] = camera.center + camera.focal * middle[:, :2] / deep[:, None], w0
    rows = np.empty((len(s), 3, 4))
    rows[:, :, :2] = np.swapaxes(axes[:, :2], 1, 2) / camera.focal
    rows[:, :2, 2], rows[:, 2, 2] = 0, along * w0
    rows[:, :, 3] = -np.einsum("pji,pj->pi", axes, start)
    boxes, near = _boxes(camera, s, start, axes, flat)

    k0, k1, k2 = s.profile.T
    ones = np.zeros((len(s), 4))
    ones[:, 2], ones[:, 3] = w0, 1
    third = rows[:, 2]
    cross = third[:, :, None] * ones[:, None]  # (P, 4, 4)
    scaled = rows[:, :2] / np.array([s.wide, s.deep]).T[:, :, None]
    quadric = np.einsum("pai,paj->pij", scaled, scaled)
    quadric -= (k2 / s.length**2)[:, None, None] * third[:, :, None] * third[:, None]
    quadric -= (k1 / (2 * s.length))[:, None, None] * (cross + np.swapaxes(cross, 1, 2))
    quadric -= k0[:, None, None] * ones[:, :, None] * ones[:, None]
    inside = quadric[:, 3, 3] <= 0  # the camera is
    quadric /= np.where(inside, 1, quadric[:, 3, 3])[:, None, None]
    b = quadric[:, 3, :3]
    disc = b[:, :, None] * b[:, None] - quadric[:, :3, :3]
    curved = np.array([disc[:, 0, 0], 2 * disc[:, 0, 1], disc[:, 1, 1], 2 * disc[:, 0, 2], 2 * disc[:, 1, 2],
                       disc[:, 2, 2], b[:, 0], b[:, 1], b[:, 2] - w0])  # fmt: skip
    bounded = (k0 > 0) | (s.span[:, 0] > 0) | (s.span[:, 1] < 1)
    scale = bounded * 2 / ((s.span[:, 1] - s.span[:, 0]) * s.length)
    level = -(axes[:, :, 2] * middle).sum(axis=1) * scale
    span = np.array([third[:, 0] * scale, third[:, 1] * scale, -level * w0, level])

    facing = np.einsum("pi,pi->p", axes[:, :, 2], start)  # below 0 where a face looks at the camera
    away = np.where(flat, facing >= -1e-9, inside)
    safe = np.where(facing == 0, 1, facing)
    depths = third[:, :2] / safe[:, None]  # w = w0 + du * . + dv * .
    faces = [depths[:, 0], depths[:, 1]]
    for side, extent in ((0, s.wide), (1, s.deep)):  # coordinate times w is linear in the pixel too
        faces += [(rows[:, side, axis] + rows[:, side, 3] * depths[:, axis]) / extent for axis in (0, 1)]
    boxes[near | away] = 0
    return _Terms(places, rows, boxes, curved, span, np.array([*faces, flat]))


# Of a box around a solid: along both sides, and which end.
_CORNERS = np.array([[-1, -1, -1, -1, 1, 1, 1, 1], [-1, -1, 1, 1, -1, -1, 1, 1], [0, 1, 0, 1, 0, 1, 0, 1]])


def _boxes(
    camera: Camera, s: Solids, start: np.ndarray, axes: np.ndarray, flat: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels around each solid, (P, 4) int, and (P,) whether it comes too near to be drawn."""
    k0, k1, k2 = s.profile.T
    vertex = np.clip(np.where(flat, 0, -k1 / (2 * np.where(flat, 1, k2))), s.span[:, 0], s.span[:, 1])
    radius = np.where(flat, 1, np.sqrt(np.maximum(k0 + k1 * vertex + k2 * vertex**2, 0)))
    local = np.empty((len(s), 8, 3))
    local[..., 0] = (s.wide * radius)[:, None] * _CORNERS[0]
    local[..., 1] = (s.deep * radius)[:, None] * _CORNERS[1]
    local[..., 2] = np.where(flat[:, None], 0, s.span * s.length[:, None])[:, _CORNERS[2]]
    corners = start[:, None] + local @ np.swapaxes(axes, 1, 2)  # (P, 8, 3)
    near = corners[..., 2].min(axis=1) < NEAR
    flattened = camera.center + camera.focal * corners[..., :2] / np.maximum(corners[..., 2:], NEAR)
    limits = np.array(camera.size)
    low = np.clip(np.floor(flattened.min(axis=1)), 0, limits)
    high = np.clip(np.ceil(flattened.max(axis=1)) + 1, 0, limits)
    return np.concatenate([low, high], axis=1).astype(int), near


def _draw(
    t: _Terms, first: int, last: int, depth: np.ndarray, solid: np.ndarray
) -> tuple[int, tuple[int, int, int, int]]:
    """Draw rows first..last into the buffers; returns how many pixels they cover together, and a box around them."""
    boxes = t.boxes[first:last]
    drawn = np.flatnonzero((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
    if len(drawn) == 0:
        return 0, (0, 0, 0, 0)
    x0, y0 = boxes[drawn, :2].min(axis=0).tolist()
    x1, y1 = boxes[drawn, 2:].max(axis=0).tolist()
    near = np.zeros((y1 - y0, x1 - x0), np.float32)
    rows = np.zeros((y1 - y0, x1 - x0), np.int32)
    drawn += first
    outlined = (t.curved[0, drawn] < -1e-12) & (t.flat[-1, drawn] == 0)
    _ellipsoids(t, drawn[outlined], (x0, y0), near, rows)
    for row in drawn[~outlined].tolist():
        left, top, right, bottom = t.boxes[row].tolist()
        u0, v0, w0 = t.middle[row].tolist()
        du = np.arange(left, right, dtype=np.float32) - u0
        dv = (np.arange(top, bottom, dtype=np.float32) - v0)[:, None]
        at = (slice(top - y0, bottom - y0), slice(left - x0, right - x0))
        flat, curved, span = (terms[:, row].tolist() for terms in (t.flat, t.curved, t.span))
        w, hit = _face(flat, du, dv, w0) if flat[-1] else _open(curved, span, du, dv)
        hit &= w > near[at]
        np.copyto(near[at], w, where=hit)
        np.copyto(rows[at], row + 1, where=hit)
    target = (slice(y0, y1), slice(x0, x1))
    front = near > depth[target]
    np.copyto(depth[target], near, where=front)
    np.copyto(solid[target], rows - 1, where=front)
    return int(np.count_nonzero(rows)), (x0, y0, x1, y1)


def _ellipsoids(t: _Terms, drawn: np.ndarray, corner: tuple[int, int], near: np.ndarray, rows: np.ndarray) -> None:
    """Solids whose outline is an ellipse into the buffers of a part of the picture that begins at `corner`.

    All at once: lines of pixels first, then, between the ends of each that the outline has there, the pixels.
    """
    boxes, middle = t.boxes[drawn], t.middle[drawn]
    tall = boxes[:, 3] - boxes[:, 1]
    of = np.repeat(np.arange(len(drawn)), tall)  # (lines,)
    y = np.arange(len(of)) - np.repeat(np.cumsum(tall) - tall - boxes[:, 1], tall)
    uu, uv, vv, u, v, one, bu, bv, b1 = np.repeat(t.curved[:, drawn], tall, axis=1)
    dv = y - middle[of, 1]
    half, rest = (uv * dv + u) / 2, (vv * dv + v) * dv + one  # the root of uu du^2 + 2 half du + rest
    inside = half * half - uu * rest
    crossed = np.flatnonzero(inside > 0)
    of, y, dv, uu, half, rest = of[crossed], y[crossed], dv[crossed], uu[crossed], half[crossed], rest[crossed]
    reach, u0 = np.sqrt(inside[crossed]), middle[of, 0]
    left = np.maximum(np.ceil(u0 + (half - reach) / -uu).astype(np.int64), boxes[of, 0])
    right = np.minimum(np.floor(u0 + (half + reach) / -uu).astype(np.int64) + 1, boxes[of, 2])
    wide = np.maximum(right - left, 0)
    su, sv, s1, sw = np.repeat(t.span[:, drawn], tall, axis=1)[:, crossed]
    lines = np.array([uu, 2 * half, rest, bu[crossed], bv[crossed] * dv + b1[crossed], su, sv * dv + s1, sw,
                      left - u0], np.float32)  # fmt: skip
    first = np.cumsum(wide) - wide
    line = np.repeat(np.arange(len(wide)), wide)  # (pixels,)
    step = np.arange(len(line)) - np.repeat(first, wide)
    uu, u, one, bu, b1, su, s1, sw, du = np.repeat(lines, wide, axis=1)
    du += step
    w = np.sqrt(np.maximum((uu * du + u) * du + one, 0)) - (bu * du + b1)
    hit = np.flatnonzero(np.abs(su * du + s1 + sw * w) <= w)
    place = (np.repeat((y - corner[1]) * near.shape[1] + left - corner[0], wide) + step)[hit]
    w = w[hit]
    depth = near.reshape(-1)
    np.maximum.at(depth, place, w)
    best = np.flatnonzero(depth[place] == w)
    rows.reshape(-1)[place[best]] = drawn[of[line[hit[best]]]] + 1


def _open(curved: list[float], span: list[float], du: np.ndarray, dv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverse depth (h, w) of the front of a solid without an ellipse for an outline, and where it exists."""
    uu, uv, vv, u, v, one, bu, bv, b1 = curved
    su, sv, s1, sw = span
    root = uv * dv * du + (uu * du + u) * du + (vv * dv + v) * dv + one
    w = np.sqrt(np.maximum(root, 0)) - bu * du - bv * dv - b1
    return w, (root >= 0) & (np.abs(sw * w + su * du + sv * dv + s1) <= w)


def _face(flat: list[float], du: np.ndarray, dv: np.ndarray, w0: float) -> tuple[np.ndarray, np.ndarray]:
    """The same for a flat face."""
    wu, wv, au, av, bu, bv, _ = flat
    w = wv * dv + (wu * du + w0)
    return w, (np.abs(av * dv + au * du) <= w) & (np.abs(bv * dv + bu * du) <= w)
