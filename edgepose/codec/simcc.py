"""SimCC: each keypoint as two classifications, one over columns and one over rows (Li et al., 2022; RTMPose §3)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgepose.codec.comparison import people_apart
from edgepose.poses import Poses, confidence
from edgepose.skeleton import COCO, Skeleton


@dataclass(frozen=True)
class SimCC:
    """Bins of 1/split pixel along each axis of the crop.

    sigma: standard deviation of the target Gaussians in bins, (x, y); by default sqrt(bins / 16) per axis.
    dark: decode between bins, by a Taylor step on the log of the blurred outputs (DARK, Zhang et al., 2020, in one
        dimension). No published model was evaluated so.
    """

    input_size: tuple[int, int]  # w, h
    skeleton: Skeleton = COCO
    split: float = 2.0
    sigma: tuple[float, float] | None = None
    dark: bool = False

    def __post_init__(self) -> None:
        if self.split <= 0:
            raise ValueError(f"SimCC needs a positive split, got {self.split}")
        bins = self.bins
        sigma = self.sigma if self.sigma is not None else (np.sqrt(bins[0] / 16), np.sqrt(bins[1] / 16))
        object.__setattr__(self, "sigma", (float(sigma[0]), float(sigma[1])))
        if min(self.sigmas) <= 0:
            raise ValueError(f"SimCC needs a positive sigma for x and y, got {sigma}")

    @property
    def bins(self) -> tuple[int, int]:
        """Bins along x and y."""
        return round(self.input_size[0] * self.split), round(self.input_size[1] * self.split)

    @property
    def sigmas(self) -> tuple[float, float]:
        """`sigma` after the default is filled in."""
        return self.sigma if self.sigma is not None else (1.0, 1.0)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Of an exported file."""
        return "simcc_x", "simcc_y"

    def encode(self, keypoints: np.ndarray, visible: np.ndarray) -> dict[str, np.ndarray]:
        """(N, K, 2) crop pixels and (N, K) -> simcc_x (N, K, X), simcc_y (N, K, Y), weights (N, K), all float32.

        Targets are un-normalized Gaussians (peak 1) around the nearest bin, half to even as published. A keypoint whose
        3-sigma window misses the crop on either axis has weight 0 and no target. One whose visibility is below 0.5 has
        no target either, but its weight is its visibility, as published: a fraction would teach a flat distribution.
        """
        centers = np.around(np.asarray(keypoints, np.float32) * np.float32(self.split))  # (N, K, 2)
        sigmas, bins = np.array(self.sigmas), np.array(self.bins)
        inside = ((centers - 3 * sigmas < bins) & (centers + 3 * sigmas + 1 >= 0)).all(-1)
        seen = visible >= 0.5
        labelled = seen & inside
        axes = []
        for axis in (0, 1):
            offsets = np.arange(bins[axis], dtype=np.float32) - centers[..., axis, None]  # (N, K, bins)
            axes.append(np.exp(-(offsets**2) / np.float32(2 * sigmas[axis] ** 2)) * labelled[..., None])
        weights = np.where(seen & ~inside, 0, np.minimum(visible, 1))
        return {
            "simcc_x": axes[0].astype(np.float32),
            "simcc_y": axes[1].astype(np.float32),
            "weights": weights.astype(np.float32),
        }

    def decode(self, outputs: list[np.ndarray]) -> Poses:
        """simcc_x (B, K, X) and simcc_y (B, K, Y) -> B people in crop pixels.

        Score = the lower of the two maxima (raw outputs); where it is not positive the keypoint stands at bin -1, as
        published. Boxes are the whole crop and person scores the mean of the keypoint scores above 0.2.
        """
        if len(outputs) != 2:
            raise ValueError(f"SimCC decodes two outputs (simcc_x, simcc_y), got {len(outputs)}")
        k, bins = len(self.skeleton), self.bins
        for name, output, expected in zip(("simcc_x", "simcc_y"), outputs, bins, strict=True):
            if output.ndim != 3 or output.shape[1:] != (k, expected):
                raise ValueError(
                    f"SimCC expects {name} of shape (B, {k}, {expected}), got {output.shape}: check the spec"
                )
        where = np.stack([output.argmax(-1) for output in outputs], axis=-1)  # (B, K, 2)
        scores = np.minimum(*(output.max(-1) for output in outputs))  # (B, K)
        if self.dark and len(scores):
            steps = [taylor_step(where[..., axis], outputs[axis], self.sigmas[axis]) for axis in (0, 1)]
            where = where + np.stack(steps, axis=-1)
        keypoints = np.where(scores[..., None] > 0, where, -1) / self.split
        boxes = np.tile(np.array([0, 0, *self.input_size], np.float32), (len(scores), 1))
        return Poses(keypoints, scores, boxes, confidence(scores), self.skeleton)

    def apart(self, ours: list[np.ndarray], theirs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Distances of keypoints in pixels, differences of their scores; see `Codec.apart`."""
        return people_apart(self.decode(ours), self.decode(theirs))

    def merge_flipped(self, outputs: list[np.ndarray], flipped: list[np.ndarray]) -> list[np.ndarray]:
        """Mean of the outputs of a crop and of its mirror image (flip test); same shapes in and out."""
        x, y = (o[:, self.skeleton.flip] for o in flipped)
        return [(outputs[0] + x[..., ::-1]) / 2, (outputs[1] + y) / 2]


def taylor_step(peaks: np.ndarray, outputs: np.ndarray, sigma: float) -> np.ndarray:
    """From the bins of the maxima (B, K) of outputs (B, K, n) to those of the curves behind them -> (B, K) in bins.

    Newton's step on the log of the curve, blurred with a kernel of about 20/3 sigma and brought back to its maximum.
    """
    kernel = int((20 * sigma - 7) // 3)
    kernel = max(kernel - (kernel % 2 == 0), 1)
    bins = outputs.shape[-1]
    padded = np.pad(outputs.reshape(-1, bins).astype(np.float32), ((0, 0), (kernel // 2, kernel // 2)))
    blurred = cv2.GaussianBlur(padded, (kernel, 1), 0)[:, kernel // 2 : kernel // 2 + bins].reshape(outputs.shape)
    top = np.maximum(blurred.max(-1, keepdims=True), np.finfo(np.float32).tiny)
    curve = np.log(np.clip(blurred * (outputs.max(-1, keepdims=True) / top), 1e-3, 50))
    near = [
        np.take_along_axis(curve, np.clip(peaks + offset, 0, bins - 1)[..., None], -1)[..., 0]
        for offset in (-2, -1, 0, 1, 2)
    ]
    slope = (near[3] - near[1]) / 2
    bend = (near[4] - 2 * near[2] + near[0]) / 4 + 1e-9
    return -slope / bend
