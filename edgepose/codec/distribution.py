"""Each keypoint as a probability distribution over the cells of a map: a soft-max, trained with cross-entropy.

Against regressed heat-maps there is no all-zero map to fall into, so small networks learn from little data, and the
mass around the peak is an honest score. SimCC (Li et al., 2022) does the same along each axis by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from edgepose.codec.comparison import people_apart
from edgepose.poses import Poses, confidence
from edgepose.skeleton import COCO, Skeleton

# Cells on each side of the peak whose probability is the score. On the choosing half of 400 COCO pictures (611 people,
# true boxes) AP was .474 with 1 and .471 with 2.
REACH = 1
# The place is the peak of the map under a Gaussian of this many cells. On the choosing half of 400 COCO pictures
# (611 people) AP was .443 with .7, .442 with 1, and .436 with the mean over the 5x5 window of most probability.
SPREAD = 0.7
# Between two places about as likely (ankles that cross) the smallest change of the crop decides. Where a keypoint is
# expected its probability counts (1 + FAVOR)-fold, falling off over NEAR cells.
FAVOR, NEAR = 1.0, 2.0


@dataclass(frozen=True)
class Distribution:
    """Logits at 1/stride of the input; cell i covers the pixels from i * stride. sigma: of the targets, in cells."""

    input_size: tuple[int, int]  # w, h
    skeleton: Skeleton = COCO
    stride: int = 8
    sigma: float = 1.0

    def __post_init__(self) -> None:
        if self.stride < 1 or self.sigma <= 0:
            raise ValueError(f"expected a positive stride and sigma, got stride={self.stride}, sigma={self.sigma}")
        if self.input_size[0] % self.stride or self.input_size[1] % self.stride:
            raise ValueError(f"expected an input_size that stride {self.stride} divides, got {self.input_size}")

    @property
    def size(self) -> tuple[int, int]:
        """(w, h) of the maps."""
        return self.input_size[0] // self.stride, self.input_size[1] // self.stride

    @property
    def output_names(self) -> tuple[str, ...]:
        """Of an exported file."""
        return ("heatmaps",)

    def encode(self, keypoints: np.ndarray, visible: np.ndarray) -> dict[str, np.ndarray]:
        """(N, K, 2) input pixels and (N, K) -> heatmaps (N, K, h, w) of sum 1, weights (N, K), float32.

        A keypoint outside the input has no target and weight 0.
        """
        (width, height), cells = self.size, (np.asarray(keypoints, np.float32) + 0.5) / self.stride - 0.5
        inside = ((cells > -0.5) & (cells < np.array([width, height]) - 0.5)).all(-1)
        labelled = (visible >= 0.5) & inside
        gx = np.exp(-((np.arange(width) - cells[..., 0, None]) ** 2) / (2 * self.sigma**2))  # (N, K, w)
        gy = np.exp(-((np.arange(height) - cells[..., 1, None]) ** 2) / (2 * self.sigma**2))  # (N, K, h)
        gx /= np.maximum(gx.sum(-1, keepdims=True), 1e-12)
        gy /= np.maximum(gy.sum(-1, keepdims=True), 1e-12)
        maps = gy[..., :, None] * (gx * labelled[..., None])[..., None, :]  # (N, K, h, w)
        weights = np.where(labelled, np.minimum(visible, 1), 0)
        return {"heatmaps": maps.astype(np.float32), "weights": weights.astype(np.float32)}

    def decode(self, outputs: list[np.ndarray]) -> Poses:
        """Logits (B, K, h, w) -> B people in input pixels.

        The place is the peak of the probabilities under a narrow Gaussian, between cells that of a parabola through its
        logarithm. The score is the probability within a cell of the
        peak's cell, as a part of what the training's target has there.
        """
        return self.decode_near(outputs, None)

    def decode_near(self, outputs: list[np.ndarray], expected: np.ndarray | None) -> Poses:
        """As `decode`, but of places about as likely, the one near where the keypoint is expected.

        expected: (B, K, 2) input pixels, NaN where nothing is. It decides between peaks alone: the place and the score
            of the peak are the network's.
        """
        k, (width, height) = len(self.skeleton), self.size
        if len(outputs) != 1 or outputs[0].shape[1:] != (k, height, width):
            shapes = [o.shape for o in outputs]
            raise ValueError(f"Distribution decodes one output (B, {k}, {height}, {width}), got {shapes}")
        logits = np.asarray(outputs[0], np.float32)
        people = len(logits)
        mass = logits.reshape(people, k, width * height)
        mass = mass - mass.max(axis=-1, keepdims=True)
        np.exp(mass, out=mass)
        mass /= mass.sum(axis=-1, keepdims=True)
        mass = mass.reshape(logits.shape)
        spread = _spread(height, SPREAD) @ mass @ _spread(width, SPREAD)  # (B, K, h, w)
        favored = spread
        if expected is not None:
            centers = (np.nan_to_num(expected, nan=-1e6) + 0.5) / self.stride - 0.5
            gx = np.exp(-((np.arange(width) - centers[..., 0, None]) ** 2) / (2 * NEAR**2))
            gy = np.exp(-((np.arange(height) - centers[..., 1, None]) ** 2) / (2 * NEAR**2))
            favored = spread * (1 + FAVOR * gy.astype(np.float32)[..., None] * gx.astype(np.float32)[..., None, :])
        peaks = favored.reshape(people, k, width * height).argmax(-1)
        y, x = peaks // width, peaks % width  # (B, K)
        scores = _around(mass, x, y, REACH).sum(axis=(2, 3)) / _within(self.sigma)
        near = np.log(np.maximum(_around(spread, x, y, 1), 1e-12))  # (B, K, 3, 3)
        cells = np.stack([x + _step(near[:, :, 1, :]), y + _step(near[:, :, :, 1])], axis=-1)
        keypoints = (cells + 0.5) * self.stride - 0.5
        boxes = np.tile(np.array([0, 0, *self.input_size], np.float32), (people, 1))
        return Poses(keypoints, scores, boxes, confidence(scores), self.skeleton)

    def apart(self, ours: list[np.ndarray], theirs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Distances of keypoints in pixels, differences of their scores; see `Codec.apart`."""
        return people_apart(self.decode(ours), self.decode(theirs))

    def merge_flipped(self, outputs: list[np.ndarray], flipped: list[np.ndarray]) -> list[np.ndarray]:
        """Mean of the logits of an input and of its mirror image (flip test)."""
        return [(outputs[0] + flipped[0][:, self.skeleton.flip, :, ::-1]) / 2]


@cache
def _within(sigma: float) -> float:
    """Part of a target of this sigma, in cells, that is within REACH of its cell."""
    return math.erf((REACH + 0.5) / (sigma * math.sqrt(2))) ** 2


@cache
def _spread(size: int, sigma: float) -> np.ndarray:
    """(size, size), a Gaussian around each cell of a row; symmetric."""
    cells = np.arange(size)
    kernel = np.exp(-((cells[:, None] - cells) ** 2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))
    return kernel.astype(np.float32)


def _around(maps: np.ndarray, x: np.ndarray, y: np.ndarray, reach: int) -> np.ndarray:
    """Maps (B, K, h, w) around cells (B, K) -> (B, K, 2 reach + 1, 2 reach + 1), 0 beyond the rim."""
    padded = np.pad(maps, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    people, k = x.shape
    rows, offsets = np.arange(people)[:, None, None, None], np.arange(2 * reach + 1)
    return padded[
        rows, np.arange(k)[:, None, None], y[..., None, None] + offsets[:, None], x[..., None, None] + offsets
    ]


def _step(three: np.ndarray) -> np.ndarray:
    """(..., 3) values around a peak -> (...) how far beside the middle one a parabola through them has its top."""
    before, middle, after = three[..., 0], three[..., 1], three[..., 2]
    bend = before - 2 * middle + after
    return np.where(bend < -1e-6, np.clip((before - after) / np.minimum(2 * bend, -1e-6), -0.5, 0.5), 0.0)
