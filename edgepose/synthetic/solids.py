"""Solids: what everything is made of. A row is a piece of an ellipsoid between two planes, or a flat face.

A solid has an axis from a start point A over a length L. At the share t of its length its half-width is
sqrt(k0 + k1 t + k2 t^2), times `wide` along the first side direction and `deep` along the second; only t in
[first, last] exists. With k2 < 0 that is an ellipsoid cut off at both ends, which gives a tapered, bulging limb from
three radii; in perspective its outline and depth have closed forms (`render.py`). A flat face has k2 = 0: the
rectangle of half-sides `wide` and `deep` around A, seen from where its axis points.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from edgepose.synthetic.body import BONES
from edgepose.synthetic.look import TILE, Cloth, Color

# What a solid shows, besides the bones 0..16; a skirt hangs on a bone of its own (`Actor.placed`).
HAIR, THING, SKIRT = 17, 18, 19
SKIRT_BONE = len(BONES)

Face = tuple[float, float, float]  # see `Solids.face`
NO_FACE: Face = (0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Solids:
    """P solids in the axes of their bones (or of the world).

    bone:    (P,) index of the bone that carries it
    part:    (P,) what it shows: a bone, HAIR, SKIRT or THING
    start:   (P, 3) A                      axes:   (P, 3, 3) columns: side, other side, axis
    length:  (P,) L                        profile: (P, 3) k0, k1, k2
    wide, deep: (P,)                       span:   (P, 2) first, last
    color, second: (P, 3) BGR 0..1        tile:   (P,) index of the pattern; repeats: (P,) per metre
    relief:  (P,) how strong folds are     home:   (P, 3) A before it was placed
    face:    (P, 3) 1 / height of the head where a face is painted on, else 0; beard 0..1; glasses 0 or 1
    """

    bone: np.ndarray
    part: np.ndarray
    start: np.ndarray
    axes: np.ndarray
    length: np.ndarray
    wide: np.ndarray
    deep: np.ndarray
    profile: np.ndarray
    span: np.ndarray
    color: np.ndarray
    second: np.ndarray
    tile: np.ndarray
    repeats: np.ndarray
    relief: np.ndarray
    face: np.ndarray
    home: np.ndarray

    def __len__(self) -> int:
        return len(self.bone)

    def placed(self, rotations: np.ndarray, origins: np.ndarray) -> Solids:
        """The same in the world, for bones with these rotations (B, 3, 3) and origins (B, 3)."""
        turn = rotations[self.bone]  # (P, 3, 3)
        start = origins[self.bone] + np.einsum("pij,pj->pi", turn, self.start)
        return Solids(**(vars(self) | {"start": start, "axes": turn @ self.axes}))


def joined(parts: Sequence[Solids]) -> Solids:
    """One table of several."""
    return Solids(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Solids)})


class Maker:
    """Collects solids row by row, 16 numbers and 14 of places and colors each; lengths are multiplied by `unit`."""

    def __init__(self, unit: float = 1.0) -> None:
        self.unit = unit
        self._numbers = array("d")
        self._vectors = array("d")

    def limb(
        self, bone: int, start: tuple[float, float, float], length: float, radii: tuple[float, float, float],
        cloth: Cloth, *, tilt: float = 0.0, yaw: float = 0.0, roll: float = 0.0, wide: float = 1.0, deep: float = 1.0,
        span: tuple[float, float] = (0.0, 1.0), part: int | None = None, relief: float = 0.0, face: Face = NO_FACE,
    ) -> None:  # fmt: skip
        """A piece along the bone's y (downwards for a negative length) with half-widths at its start, middle and end.

        The axis is turned by `tilt` towards z, then by `roll` towards x (radians), then by `yaw` about y.
        """
        unit = self.unit
        first, middle, last = (radius * unit for radius in radii)
        # At least slightly bulging, so that the whole is an ellipsoid.
        middle = max(middle, ((first**2 + last**2) / 2 + 0.02 * max(first, last) ** 2) ** 0.5)
        k0, k2 = first**2, 2 * (first**2 + last**2 - 2 * middle**2)
        self._numbers.extend(
            (bone, bone if part is None else part, abs(length) * unit, wide, deep, *span, k0, last**2 - k0 - k2, k2,
             TILE[cloth.tile], cloth.repeats, relief, *face)
        )  # fmt: skip
        x, y, z = start
        axis = 1.0 if length > 0 else -1.0
        self._vectors.extend((x * unit, y * unit, z * unit, 0.0, tilt, roll, yaw, axis, *cloth.color, *cloth.second))

    def ball(
        self, bone: int, center: tuple[float, float, float], half: tuple[float, float, float], cloth: Cloth,
        *, tilt: float = 0.0, yaw: float = 0.0, roll: float = 0.0, span: tuple[float, float] = (0.0, 1.0),
        part: int | None = None, relief: float = 0.0, face: Face = NO_FACE,
    ) -> None:  # fmt: skip
        """An ellipsoid with half-axes along the bone's x, y and z before it is turned, cut at `span` of its height."""
        unit = self.unit
        x, y, z = half
        self._numbers.extend(
            (bone, bone if part is None else part, 2 * y * unit, x * unit, z * unit, *span, 0.0, 4.0, -4.0,
             TILE[cloth.tile], cloth.repeats, relief, *face)
        )  # fmt: skip
        at = (center[0] * unit, center[1] * unit, center[2] * unit, y * unit)
        self._vectors.extend((*at, tilt, roll, yaw, 1.0, *cloth.color, *cloth.second))

    def box(self, center: tuple[float, float, float], half: tuple[float, float, float], cloth: Cloth, yaw: float = 0.0,
            under: bool = False) -> None:  # fmt: skip
        """Five faces of a block of the world, turned about y; a sixth one where it can be seen from below."""
        (x, y, z), unit, turn = half, self.unit, turns_by(*np.array([[0.0], [0.0], [yaw]]))[0]
        faces = [((x, 0, 0), 0.0, np.pi / 2, z, y), ((-x, 0, 0), 0.0, -np.pi / 2, z, y), ((0, 0, z), 0.0, 0.0, x, y),
                 ((0, 0, -z), 0.0, np.pi, x, y), ((0, y, 0), -np.pi / 2, 0.0, x, z)]  # fmt: skip
        if under:
            faces.append(((0, -y, 0), np.pi / 2, 0.0, x, z))
        for offset, tilt, about, wide, deep in faces:
            at = np.asarray(center) + turn @ offset
            # Before it is turned a face looks along y, so it is tipped over to look along z.
            self._numbers.extend((0, THING, 1.0, wide * unit, deep * unit, 0.0, 1.0, 0.0, -2.0, 0.0, TILE[cloth.tile],
                                  cloth.repeats, 0.4, *NO_FACE))  # fmt: skip
            self._vectors.extend(
                (*(at * unit).tolist(), 0.0, np.pi / 2 + tilt, 0.0, yaw + about, 1.0, *cloth.color, *cloth.second)
            )

    def solids(self) -> Solids:
        """All rows so far."""
        n = np.array(self._numbers).reshape(-1, 16)
        v = np.array(self._vectors).reshape(-1, 14)
        turn = turns_by(v[:, 4], v[:, 5], v[:, 6])  # (P, 3, 3)
        start = v[:, :3] - v[:, 3:4] * turn[..., 1]  # a ball is given by its center
        axes = turn[..., [0, 2, 1]]
        axes[..., 2] *= v[:, 7:8]
        return Solids(
            n[:, 0].astype(int), n[:, 1].astype(int), start, axes, n[:, 2], n[:, 3], n[:, 4], n[:, 7:10], n[:, 5:7],
            v[:, 8:11], v[:, 11:14], n[:, 10].astype(int), n[:, 11], n[:, 12], n[:, 13:16], start,
        )  # fmt: skip


def turns_by(tilt: np.ndarray, roll: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """Rotations (P, 3, 3): about x by tilt, then z by -roll, then y by yaw."""
    (a, b), (c, d), (e, f) = ((np.cos(angle), np.sin(angle)) for angle in (tilt, roll, yaw))
    turn = np.empty((len(tilt), 3, 3))
    turn[:, 0, 0], turn[:, 0, 1], turn[:, 0, 2] = e * c, e * d * a + f * b, f * a - e * d * b
    turn[:, 1, 0], turn[:, 1, 1], turn[:, 1, 2] = -d, c * a, -c * b
    turn[:, 2, 0], turn[:, 2, 1], turn[:, 2, 2] = -f * c, e * b - f * d * a, f * d * b + e * a
    return turn


def plain(color: Color) -> Cloth:
    """One color without a pattern."""
    return Cloth(color, color)
