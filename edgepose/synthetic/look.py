"""How people look: skin, hair, clothes and their patterns. Colors are BGR in 0..1 as under plain white light."""

from __future__ import annotations

import colorsys
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import cv2
import numpy as np

Color = tuple[float, float, float]
T = TypeVar("T")

# Skin from light to dark, spread like the ten tones of the Monk scale (Monk, 2019); each is as likely as the others.
SKINS: tuple[Color, ...] = (
    (0.80, 0.86, 0.94), (0.74, 0.82, 0.92), (0.66, 0.76, 0.89), (0.56, 0.68, 0.85), (0.47, 0.60, 0.79),
    (0.38, 0.50, 0.70), (0.29, 0.40, 0.59), (0.22, 0.31, 0.47), (0.17, 0.23, 0.36), (0.13, 0.17, 0.27),
)  # fmt: skip
HAIRS: tuple[Color, ...] = (
    (0.06, 0.06, 0.07), (0.09, 0.11, 0.15), (0.12, 0.19, 0.29), (0.20, 0.32, 0.46), (0.38, 0.56, 0.72),
    (0.15, 0.27, 0.52), (0.62, 0.64, 0.66), (0.30, 0.31, 0.33),
)  # fmt: skip
TILES = ("plain", "rings", "stripes", "checks", "dots", "camouflage", "heather", "plaid", "band", "folds", "strands")
TILE = {name: i for i, name in enumerate(TILES)}
TILE_SIZE = 64


@dataclass(frozen=True)
class Cloth:
    """A garment's color, a second one, the tile that mixes them, and repeats of the tile per metre."""

    color: Color
    second: Color
    tile: str = "plain"
    repeats: float = 5.0


@dataclass(frozen=True)
class Look:
    """How one person is dressed.

    sleeves: share of the arm that is covered, 0 .. 1; legs: share of the leg; skirt: its share of the leg, 0 for none
    hair:    none, short, bob, long, tail or afro; hat: none, cap, beanie or brim
    """

    skin: Color
    hair_color: Color
    top: Cloth
    bottom: Cloth
    shoes: Color
    soles: Color
    hat_color: Color
    hair: str = "short"
    hat: str = "none"
    sleeves: float = 0.3
    legs: float = 1.0
    skirt: float = 0.0
    loose: float = 1.1  # girth of the clothes over the body's
    dress: bool = False
    socks: bool = False
    beard: float = 0.0
    glasses: bool = False


def plain_look() -> Look:
    """Gray clothes and short hair, for checks that should not depend on clothes."""
    gray, dark = (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)
    return Look(SKINS[3], HAIRS[1], Cloth(gray, gray), Cloth(dark, dark), dark, gray, dark, hair="none")


def random_look(rng: np.random.Generator, woman: bool = False) -> Look:
    """Everyday and sports clothes; skin, hair and colors spread widely."""
    skin = np.array(SKINS[int(rng.integers(len(SKINS)))]) * rng.normal(1, 0.03, 3)
    dark = float(np.mean(skin)) < 0.45
    hair_color = HAIRS[int(rng.integers(2 if dark and rng.random() < 0.8 else len(HAIRS)))]
    top, bottom = random_cloth(rng), random_cloth(rng, muted=True)
    dress = woman and rng.random() < 0.15
    skirt = rng.uniform(0.3, 0.95) if dress or (woman and rng.random() < 0.12) else 0.0
    styles = ("long", "tail", "bob", "short", "afro") if woman else ("short", "none", "bob", "long", "afro")
    # Where they end: no sleeves, short, elbow, long; swimwear, shorts, knee, long.
    sleeves = _pick(rng, (0.0, 0.28, 0.42, 1.0), (0.16, 0.52, 0.60))
    legs = _pick(rng, (0.12, 0.30, 0.48, 1.0), (0.06, 0.26, 0.42))
    return Look(
        skin=_color(skin, 0.08, 0.97),
        hair_color=_color(np.array(hair_color) * rng.uniform(0.8, 1.25), 0.03, 0.9),
        top=top,
        bottom=top if dress else bottom,
        shoes=random_cloth(rng, muted=True).color if rng.random() < 0.75 else random_cloth(rng).color,
        soles=(0.85, 0.86, 0.86) if rng.random() < 0.5 else (0.1, 0.1, 0.1),
        hat_color=random_cloth(rng).color,
        hair=_pick(rng, styles, (0.34, 0.56, 0.74, 0.92) if woman else (0.66, 0.78, 0.86, 0.92)),
        hat=_pick(rng, ("none", "cap", "beanie", "brim"), (0.82, 0.91, 0.96)),
        sleeves=sleeves,
        legs=0.12 if skirt else legs,
        skirt=skirt,
        loose=rng.uniform(1.02, 1.22),
        dress=dress,
        socks=bool(rng.random() < 0.5),
        beard=0.0 if woman or rng.random() < 0.65 else rng.uniform(0.3, 1),
        glasses=bool(rng.random() < 0.12),
    )


def random_cloth(rng: np.random.Generator, muted: bool = False) -> Cloth:
    """A garment; `muted` ones are mostly gray, blue, beige or black and plain."""
    if rng.random() < (0.7 if muted else 0.3):
        hue, saturation, value = (
            (0.6, 0.62, 0.1, 0.08)[int(rng.integers(4))],
            rng.uniform(0, 0.45),
            rng.uniform(0.07, 0.75),
        )
    else:
        hue, saturation, value = rng.random(), rng.uniform(0.25, 0.95), rng.uniform(0.25, 0.95)
    if not muted and rng.random() < 0.15:
        saturation, value = rng.uniform(0, 0.06), rng.uniform(0.85, 0.97)
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    other = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, 0.9), rng.uniform(0.1, 0.95))
    plain = rng.random() < (0.85 if muted else 0.5)
    tile = "plain" if plain else TILES[1 + int(rng.integers(8))]
    return Cloth((blue, green, red), (other[2], other[1], other[0]), tile, float(rng.uniform(2.0, 7.0)))


def _pick(rng: np.random.Generator, values: Sequence[T], limits: Sequence[float]) -> T:
    """One of `values`; `limits` are the cumulated chances of all but the last."""
    return values[bisect(limits, rng.random())]


def _color(values: np.ndarray, low: float, high: float) -> Color:
    blue, green, red = (min(max(value, low), high) for value in values.tolist())
    return blue, green, red


@cache
def tiles() -> np.ndarray:
    """(tiles, 64, 64) float32 in 0..1: how much of the second color; rows run along a limb, columns around it."""
    size = TILE_SIZE
    y, x = np.mgrid[0:size, 0:size] / size
    rng = np.random.default_rng(51)
    result = np.zeros((len(TILES), size, size), np.float32)
    result[TILE["rings"]] = y % 0.5 < 0.22
    result[TILE["stripes"]] = x % 0.25 < 0.07
    result[TILE["checks"]] = (x % 0.5 < 0.25) ^ (y % 0.5 < 0.25)
    result[TILE["dots"]] = np.hypot(x % 0.5 - 0.25, y % 0.5 - 0.25) < 0.11
    result[TILE["camouflage"]] = noise(rng, size, 5) > 0.55
    result[TILE["heather"]] = 0.5 * noise(rng, size, 24)
    result[TILE["plaid"]] = 0.5 * (x % 0.5 < 0.2) + 0.35 * (y % 0.5 < 0.2) + 0.15 * (x % 0.25 < 0.03)
    result[TILE["band"]] = np.abs(y - 0.5) < 0.12
    folds = noise(rng, size, 5)  # ridges: where two smooth fields are equal
    result[TILE["folds"]] = 1 - np.clip(np.abs(folds - noise(rng, size, 4)) * 3.5, 0, 1)
    strands = cv2.resize(rng.random((4, size)).astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    result[TILE["strands"]] = strands
    return result


def noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Smooth noise (size, size) in 0..1 that repeats at its edges, with about `cells` bumps along a side."""
    coarse = rng.random((cells, cells)).astype(np.float32)
    wrapped = np.pad(coarse, 2, mode="wrap")
    scale = size / cells
    matrix = np.array([[scale, 0, -2 * scale], [0, scale, -2 * scale]])
    field = cv2.warpAffine(wrapped, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    low, high = float(field.min()), float(field.max())
    return (field - low) / (high - low)
