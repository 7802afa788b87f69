"""One person from four maps: a center, keypoints regressed from it, heat-maps near them, and offsets within cells.

MoveNet's layout (Google, 2021), which is CenterNet's (Zhou et al., 2019) for the one person in the middle. The
regressed place of a keypoint only says where to look: its cell is the peak of the heat-map divided by the distance from
there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgepose.codec.comparison import people_apart
from edgepose.poses import Poses, confidence
from edgepose.skeleton import COCO, Skeleton


@dataclass(frozen=True)
class Center:
    """Maps at 1/stride of the input.

    sigma: of the target Gaussians, in cells
    falloff: cells that are added to a distance before a heat-map is divided by it; 1.8 as published
    """

    input_size: tuple[int, int]  # w, h
    skeleton: Skeleton = COCO
    stride: int = 4
    sigma: float = 2.0
    falloff: float = 1.8

    def __post_init__(self) -> None:
        if self.stride < 1 or self.sigma <= 0 or self.falloff <= 0:
            raise ValueError(
                f"expected stride >= 1 and positive sigma and falloff, got {self.stride}, {self.sigma}, {self.falloff}"
            )
        if self.input_size[0] % self.stride or self.input_size[1] % self.stride:
            raise ValueError(f"expected an input_size that stride {self.stride} divides, got {self.input_size}")

    @property
    def size(self) -> tuple[int, int]:
        """(w, h) of the maps."""
        return self.input_size[0] // self.stride, self.input_size[1] // self.stride

    @property
    def output_names(self) -> tuple[str, ...]:
        """Of an exported file."""
        return "heatmaps", "centers", "displacements", "offsets"

    def encode(self, keypoints: np.ndarray, visible: np.ndarray) -> dict[str, np.ndarray]:
        """(N, K, 2) input pixels and (N, K) -> float32 targets of all four outputs, and weights (N, K).

        heatmaps (N, K, h, w) and centers (N, 1, h, w) with peak 1, the center being the mean of the keypoints that are
        seen and inside. displacements and offsets (N, 2K, h, w), y and x of one keypoint after the other: in every
        cell, how many cells away the keypoint is. (They are to be learnt at the person's center and at the keypoint's
        own cell.)
        """
        (width, height), k = self.size, len(self.skeleton)
        cells = np.asarray(keypoints, np.float64) / self.stride  # (N, K, 2)
        labelled = (visible >= 0.5) & ((cells >= 0) & (cells < (width, height))).all(-1)
        count = np.maximum(labelled.sum(-1), 1)[:, None]
        middle = (cells * labelled[..., None]).sum(1) / count  # (N, 2)
        points = np.concatenate([cells, middle[:, None]], axis=1)  # (N, K + 1, 2)
        drawn = np.concatenate([labelled, labelled.any(-1, keepdims=True)], axis=1)
        dx = np.arange(width) - np.floor(points[..., 0, None])
        dy = np.arange(height) - np.floor(points[..., 1, None])
        gx, gy = np.exp(-(dx**2) / (2 * self.sigma**2)), np.exp(-(dy**2) / (2 * self.sigma**2))
        maps = gy[..., None] * (gx * drawn[..., None])[..., None, :]  # (N, K + 1, h, w)
        away = np.zeros((len(cells), k, 2, height, width))
        away[:, :, 0] = cells[..., 1, None, None] - np.arange(height)[:, None]
        away[:, :, 1] = cells[..., 0, None, None] - np.arange(width)
        flat = (away * labelled[..., None, None, None]).reshape(len(cells), 2 * k, height, width)
        weights = np.where(labelled, np.minimum(visible, 1), 0)
        targets = {"heatmaps": maps[:, :k], "centers": maps[:, k:], "displacements": flat, "offsets": flat}
        return {name: value.astype(np.float32) for name, value in (targets | {"weights": weights}).items()}

    def decode(self, outputs: list[np.ndarray]) -> Poses:
        """heatmaps (B, K, h, w), centers (B, 1, h, w), displacements and offsets (B, 2K, h, w) -> B people.

        In input pixels; a keypoint's score is its heat-map's value in the cell that was chosen.
        """
        k, (width, height) = len(self.skeleton), self.size
        shapes = [(planes, height, width) for planes in (k, 1, 2 * k, 2 * k)]
        if [output.shape[1:] for output in outputs] != shapes:
            raise ValueError(f"Center decodes four outputs (B, ...) of {shapes}, got {[o.shape for o in outputs]}")
        heat, centers, displacements, offsets = (np.asarray(output, np.float32) for output in outputs)
        people = np.arange(len(heat))
        middle = np.array([[[width / 2, height / 2]]])
        x, y = self._nearest_peak(centers, middle)  # (B, 1)
        expected = displacements.reshape(-1, k, 2, height, width)[people, :, :, y[:, 0], x[:, 0]]  # (B, K, 2) of y, x
        x, y = self._nearest_peak(heat, expected[..., ::-1] + np.stack([x, y], axis=-1))  # (B, K)
        rows, planes = people[:, None], np.arange(k)
        scores = heat[rows, planes, y, x]
        within = offsets.reshape(-1, k, 2, height, width)[rows, planes, :, y, x]  # (B, K, 2) of y, x
        keypoints = (np.stack([x, y], axis=-1) + within[..., ::-1]) * self.stride
        boxes = np.tile(np.array([0, 0, *self.input_size], np.float32), (len(heat), 1))
        return Poses(keypoints, scores, boxes, confidence(scores), self.skeleton)

    def _nearest_peak(self, maps: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Column and row (B, C) of the best cell of each map (B, C, h, w), divided by its distance from (B, C, 2)."""
        width, height = self.size
        dx = (np.arange(width) - places[..., 0, None])[..., None, :]
        dy = (np.arange(height) - places[..., 1, None])[..., None]
        near = maps / (np.sqrt(dx**2 + dy**2) + self.falloff)
        y, x = np.divmod(near.reshape(*near.shape[:2], width * height).argmax(-1), width)
        return x, y

    def apart(self, ours: list[np.ndarray], theirs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Distances of keypoints in pixels, differences of their scores; see `Codec.apart`."""
        return people_apart(self.decode(ours), self.decode(theirs))

    def merge_flipped(self, outputs: list[np.ndarray], flipped: list[np.ndarray]) -> list[np.ndarray]:
        """Mean of the maps of an input and of its mirror image (flip test).

        Cells change places, and so do left and right; a keypoint that was so many cells to the right is as many to the
        left. Within a cell the place x of the mirror image is 1 - x.
        """
        k, flip = len(self.skeleton), self.skeleton.flip
        maps = [output[..., ::-1] for output in flipped]
        maps[0] = maps[0][:, flip]
        for i, last in ((2, 0.0), (3, 1.0)):
            pairs = maps[i].reshape(-1, k, 2, *maps[i].shape[2:])[:, flip].copy()
            pairs[:, :, 1] = last - pairs[:, :, 1]
            maps[i] = pairs.reshape(maps[i].shape)
        return [(own + other) / 2 for own, other in zip(outputs, maps, strict=True)]
