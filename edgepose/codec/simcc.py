"""SimCC: each keypoint as two classifications, one over columns and one over rows (Li et al., 2022; RTMPose §3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgepose.poses import Poses
from edgepose.skeleton import COCO, Skeleton


@dataclass(frozen=True)
class SimCC:
    """Bins of 1/split pixel along each axis of the crop.

    sigma: standard deviation of the target Gaussians in bins, (x, y); by default sqrt(bins / 16) per axis.
    """

    input_size: tuple[int, int]  # w, h
    skeleton: Skeleton = COCO
    split: float = 2.0
    sigma: tuple[float, float] | None = None

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

    def encode(self, keypoints: np.ndarray, visible: np.ndarray) -> dict[str, np.ndarray]:
        """(N, K, 2) crop pixels and (N, K) -> simcc_x (N, K, X), simcc_y (N, K, Y), weights (N, K), all float32.

        Targets are un-normalised Gaussians (peak 1) around the nearest bin, half to even as published. A keypoint whose
        3-sigma window misses the crop on either axis has weight 0 and no target; so has one whose visibility is below
        0.5 (the published code keeps its weight, and so learns a flat distribution from it).
        """
        centres = np.around(np.asarray(keypoints, np.float32) * np.float32(self.split))  # (N, K, 2)
        sigmas, bins = np.array(self.sigmas), np.array(self.bins)
        inside = ((centres - 3 * sigmas < bins) & (centres + 3 * sigmas + 1 >= 0)).all(-1)
        labelled = (visible >= 0.5) & inside
        axes = []
        for axis in (0, 1):
            offsets = np.arange(bins[axis], dtype=np.float32) - centres[..., axis, None]  # (N, K, bins)
            axes.append(np.exp(-(offsets**2) / np.float32(2 * sigmas[axis] ** 2)) * labelled[..., None])
        weights = np.where(labelled, np.minimum(visible, 1), 0)
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
        keypoints = np.where(scores[..., None] > 0, where, -1) / self.split
        boxes = np.tile(np.array([0, 0, *self.input_size], np.float32), (len(scores), 1))
        return Poses(keypoints, scores, boxes, confidence(scores), self.skeleton)

    def merge_flipped(self, outputs: list[np.ndarray], flipped: list[np.ndarray]) -> list[np.ndarray]:
        """Mean of the outputs of a crop and of its mirror image (flip test); same shapes in and out."""
        x, y = (o[:, self.skeleton.flip] for o in flipped)
        return [(outputs[0] + x[..., ::-1]) / 2, (outputs[1] + y) / 2]


def confidence(scores: np.ndarray, threshold: float = 0.2) -> np.ndarray:
    """(N, K) keypoint scores -> (N,) mean of those above `threshold`, 0 where none is (the published rescoring)."""
    sure = scores > threshold
    counts = sure.sum(-1)
    return np.divide((scores * sure).sum(-1), counts, out=np.zeros(len(scores), np.float32), where=counts > 0)
