"""What a teacher's maps, or its bins, hold in the cells and bins of a student of another size or kind, in numpy.

A `Grid` says where cells lie along an axis. Densities are moved by how cells overlap, heights between their centers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edgepose.codec.distribution import Distribution
from edgepose.codec.heatmap import Heatmap
from edgepose.codec.simcc import SimCC

Maps = Heatmap | Distribution


class Grid(NamedTuple):
    """Centers of `number` cells along an axis: first, first + step, ... in input pixels, whose centers are at whole
    numbers.
    """

    first: float
    step: float
    number: int

    @property
    def centers(self) -> np.ndarray:
        """(n,)."""
        return self.first + np.arange(self.number) * self.step

    @property
    def edges(self) -> np.ndarray:
        """Where cells begin and end, (n + 1,)."""
        return self.first + (np.arange(self.number + 1) - 0.5) * self.step


def grid(codec: Maps | SimCC, axis: int) -> Grid:
    """The cells of a row (axis 0) or a column (1)."""
    if isinstance(codec, SimCC):
        return Grid(0.0, 1 / codec.split, codec.bins[axis])
    if isinstance(codec, Distribution):
        return Grid((codec.stride - 1) / 2, codec.stride, codec.size[axis])
    return Grid(float(codec.origin[axis]), float(codec.scale[axis]), codec.size[axis])


def moved_maps(
    teacher: Maps, student: Distribution, maps: np.ndarray, joints: list[int], zoom: float = 1.0
) -> dict[str, np.ndarray]:
    """A teacher's maps (B, J, h, w) -> what each of the student's cells holds of them, (B, K, h, w) of sum 1, with
    weights (B, K), as the student's codec encodes labels.

    joints: the K places of the student's keypoints among the teacher's. zoom: the teacher's pixels per student's.
    """
    belief, sure = (part[:, joints] for part in beliefs(teacher, maps.astype(np.float32)))
    across, down = (
        overlap((grid(student, axis).edges + 0.5) * zoom - 0.5, grid(teacher, axis).edges).astype(np.float32)
        for axis in (0, 1)
    )
    moved = down @ belief @ across.T
    total = moved.sum(axis=(2, 3), keepdims=True)
    return {"heatmaps": moved / np.maximum(total, 1e-6), "weights": sure * (total[..., 0, 0] > 1e-6)}


def moved_heights(
    teacher: Heatmap, student: Heatmap, maps: np.ndarray, joints: list[int], zoom: float = 1.0
) -> dict[str, np.ndarray]:
    """Regressed heat-maps (B, J, h, w) -> their heights at the student's cells, (B, K, h, w), which it regresses."""
    across, down = (between(teacher, student, axis, zoom) for axis in (0, 1))
    return {"heatmaps": down @ maps[:, joints].astype(np.float32) @ across.T}


def marginals(
    teacher: Maps, student: SimCC, maps: np.ndarray, joints: list[int], zoom: float = 1.0
) -> dict[str, np.ndarray]:
    """A teacher's maps (B, J, h, w) -> SimCC's targets: what columns and rows hold of each, scaled to a peak of 1 as
    the student's Gaussians are, simcc_x (B, K, X) and simcc_y (B, K, Y), with weights (B, K).
    """
    belief, sure = (part[:, joints] for part in beliefs(teacher, maps.astype(np.float32)))
    targets = {"weights": sure}
    for axis, name, other in ((0, "simcc_x", 2), (1, "simcc_y", 3)):
        moved = belief.sum(axis=other) @ between(teacher, student, axis, zoom).T
        targets[name] = moved / np.maximum(moved.max(axis=-1, keepdims=True), 1e-6)
    return targets


def moved_logits(
    teacher: SimCC, student: SimCC, logits: list[np.ndarray], joints: list[int], zoom: float = 1.0
) -> dict[str, np.ndarray]:
    """SimCC's outputs (B, J, bins) for x and y -> the same at the student's bins, simcc_x and simcc_y (B, K, bins)."""
    return {
        name: values[:, joints].astype(np.float32) @ between(teacher, student, axis, zoom).T
        for axis, (name, values) in enumerate(zip(("simcc_x", "simcc_y"), logits, strict=True))
    }


def beliefs(codec: Maps, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(B, K, h, w) -> where each keypoint is, (B, K, h, w) of sum 1, and how sure that is, (B, K) in 0..1, float32.

    Of regressed heat-maps only what is above a tenth of the peak counts: the noise of thousands of cells would
    otherwise weigh as much as the peak.
    """
    if isinstance(codec, Distribution):
        mass = np.exp(maps - maps.max(axis=(2, 3), keepdims=True))
        mass /= mass.sum(axis=(2, 3), keepdims=True)
        return mass, codec.decode([maps]).scores.astype(np.float32)
    peak = maps.max(axis=(2, 3), keepdims=True)
    mass = np.where(maps >= 0.1 * peak, np.maximum(maps, 0), 0)
    mass /= np.maximum(mass.sum(axis=(2, 3), keepdims=True), 1e-6)
    return mass, np.clip(peak[..., 0, 0], 0, 1)


def between(teacher: Maps | SimCC, student: Maps | SimCC, axis: int, zoom: float) -> np.ndarray:
    """(n, m) float32 that takes heights at the teacher's m centers to those at the student's n, on a straight line
    between two; outside the outermost as there. Between equal grids it is the identity.
    """
    ours, theirs = grid(student, axis), grid(teacher, axis)
    places = ((ours.centers + 0.5) * zoom - 0.5 - theirs.first) / theirs.step
    distance = np.abs(np.clip(places, 0, theirs.number - 1)[:, None] - np.arange(theirs.number))
    return np.maximum(1 - np.round(distance, 9), 0).astype(np.float32)


def overlap(edges: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n, m) share of each other cell that lies within each cell, by their edges (n + 1,) and (m + 1,)."""
    low = np.maximum(edges[:-1, None], others[None, :-1])
    high = np.minimum(edges[1:, None], others[None, 1:])
    return np.maximum(high - low, 0) / np.diff(others)
