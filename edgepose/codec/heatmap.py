"""Heat-maps of one keypoint each, at 1/stride of the input.

Three published kinds: `msra` (integer centers, quarter-pixel decode; Xiao et al., 2018), `dark` (real centers, Taylor
step on the log map; Zhang et al., 2020) and `udp` (unbiased grid, Taylor step; Huang et al., 2020), the last for the
CSPNeXt-UDP pre-training of RTMPose's backbone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np

from edgepose.codec.comparison import people_apart
from edgepose.names import expected
from edgepose.poses import Poses, confidence
from edgepose.skeleton import COCO, Skeleton

Kind = Literal["msra", "dark", "udp"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Heatmap:
    """Gaussians of `sigma` cells; `blur` is the kernel of the Taylor decoders (11 for sigma 2, 17 for sigma 3).

    Args:
        centered: maps are views of their own, as DarkPose makes them (the "dark" warp): both have the same middle, and
            an input is (w - 1) / (cells - 1) times as large, by the width.
        flip_shift: whether the flip test moves the maps of the mirror image one cell to the right. None: as published
            for the kind, which is yes for `msra` and no for the others. Networks of the other kinds that were trained
            in a crop whose center is (w / 2, h / 2) want it: a crop's mirror image then lies a pixel, and its maps a
            cell, off.
    """

    input_size: tuple[int, int]  # w, h
    skeleton: Skeleton = COCO
    kind: Kind = "udp"
    stride: int = 4
    sigma: float = 2.0
    blur: int = 11
    centered: bool = False
    flip_shift: bool | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown heat-map kind {self.kind!r}{expected(self.kind, KINDS)}")
        if self.blur % 2 == 0 or self.blur < 1:
            raise ValueError(f"the blur kernel must be odd and positive, got {self.blur}")
        if self.flip_shift not in (None, True, False):
            raise ValueError(f"flip_shift is {self.flip_shift!r}, expected true, false or null (as the kind wants it)")
        if self.centered and (self.kind == "udp" or self.size[0] < 2):
            raise ValueError(
                f"centered maps are at least 2 cells wide and not of kind udp, got {self.size}, {self.kind}"
            )

    @property
    def size(self) -> tuple[int, int]:
        """(w, h) of the maps."""
        return self.input_size[0] // self.stride, self.input_size[1] // self.stride

    @property
    def scale(self) -> np.ndarray:
        """(2,) input pixels per cell. UDP measures from the first to the last cell's center."""
        inputs, cells = np.array(self.input_size, np.float64), np.array(self.size, np.float64)
        if self.centered:
            return np.full(2, (inputs[0] - 1) / (cells[0] - 1))
        return (inputs - 1) / (cells - 1) if self.kind == "udp" else inputs / cells

    @property
    def origin(self) -> np.ndarray:
        """(2,) where the first cell's center is, in input pixels."""
        inputs, cells = np.array(self.input_size, np.float64), np.array(self.size, np.float64)
        return (inputs - 1) / 2 - self.scale * (cells - 1) / 2 if self.centered else np.zeros(2)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Of an exported file."""
        return ("heatmaps",)

    def encode(self, keypoints: np.ndarray, visible: np.ndarray) -> dict[str, np.ndarray]:
        """(N, K, 2) input pixels and (N, K) -> heatmaps (N, K, h, w) with peak 1, weights (N, K), float32."""
        width, height = self.size
        cells = (np.asarray(keypoints, np.float64) - self.origin) / self.scale  # (N, K, 2)
        nearest = (cells + 0.5).astype(np.int64)  # the cell of the patch's center
        radius = self.sigma * 3
        middle = cells if self.kind == "dark" else nearest
        low, high = middle - radius, middle + radius + 1
        inside = np.trunc(high) >= 0 if self.centered else high >= 0  # DarkPose's code rounds towards zero
        hit = ((low < (width, height)) & inside).all(-1)
        seen = visible >= 0.5
        labelled = seen & hit
        centers = nearest if self.kind == "msra" else cells
        dx = np.arange(width) - centers[..., 0, None]  # (N, K, w)
        dy = np.arange(height) - centers[..., 1, None]  # (N, K, h)
        gx, gy = np.exp(-(dx**2) / (2 * self.sigma**2)), np.exp(-(dy**2) / (2 * self.sigma**2))
        if self.kind != "dark":  # a square patch of 6 sigma + 1 cells around the nearest one
            gx *= np.abs(np.arange(width) - nearest[..., 0, None]) <= radius
            gy *= np.abs(np.arange(height) - nearest[..., 1, None]) <= radius
        maps = gy[..., :, None] * gx[..., None, :] * labelled[..., None, None]  # (N, K, h, w)
        weights = np.where(seen & ~hit, 0, np.minimum(visible, 1))  # as published; see SimCC.encode
        return {"heatmaps": maps.astype(np.float32), "weights": weights.astype(np.float32)}

    def decode(self, outputs: list[np.ndarray]) -> Poses:
        """heatmaps (B, K, h, w) -> B people in input pixels; score = the map's maximum.

        UDP's cells are mapped with (input - 1) / (cells - 1), true pixels of the input. (The published code stretches
        them by input / (input - 1) here and takes it back in the next step.)
        """
        if len(outputs) != 1 or outputs[0].shape[1:] != (len(self.skeleton), self.size[1], self.size[0]):
            expected = (len(self.skeleton), self.size[1], self.size[0])
            raise ValueError(f"Heatmap decodes one output (B, {expected}), got {[o.shape for o in outputs]}")
        maps = np.asarray(outputs[0], np.float32)  # OpenCV cannot blur half precision
        flat = maps.reshape(*maps.shape[:2], self.size[0] * self.size[1])
        peaks = flat.argmax(-1)
        scores = np.take_along_axis(flat, peaks[..., None], -1)[..., 0]  # (B, K)
        cells = np.stack([peaks % self.size[0], peaks // self.size[0]], axis=-1)
        cells = np.where(scores[..., None] > 0, cells, -1).astype(np.float64)
        refine = quarter_step if self.kind == "msra" else taylor_step
        for b, k in zip(*np.nonzero(scores > 0), strict=True):
            cells[b, k] = refine(maps[b, k], cells[b, k], self)
        boxes = np.tile(np.array([0, 0, *self.input_size], np.float32), (len(maps), 1))
        return Poses(cells * self.scale + self.origin, scores, boxes, confidence(scores), self.skeleton)

    def apart(self, ours: list[np.ndarray], theirs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Distances of keypoints in pixels, differences of their scores; see `Codec.apart`."""
        return people_apart(self.decode(ours), self.decode(theirs))

    def merge_flipped(self, outputs: list[np.ndarray], flipped: list[np.ndarray]) -> list[np.ndarray]:
        """Mean of the maps of an input and of its mirror image (flip test).

        `flip_shift` says whether the mirrored map moves one cell to the right; its first column then stays.
        """
        mirrored = flipped[0][:, self.skeleton.flip, :, ::-1].copy()
        if self.kind == "msra" if self.flip_shift is None else self.flip_shift:
            mirrored[..., 1:] = mirrored[..., :-1].copy()
        return [(outputs[0] + mirrored) / 2]


def quarter_step(heatmap: np.ndarray, cell: np.ndarray, codec: Heatmap) -> np.ndarray:
    """A quarter of a cell towards the larger neighbor on each axis, not along an axis that stands on the rim."""
    (x, y), (width, height) = cell.astype(int), codec.size
    dx = heatmap[y, x + 1] - heatmap[y, x - 1] if 1 < x < width - 1 and y > 0 else 0.0
    dy = heatmap[y + 1, x] - heatmap[y - 1, x] if 1 < y < height - 1 and x > 0 else 0.0
    return cell + 0.25 * np.sign([dx, dy])


def taylor_step(heatmap: np.ndarray, cell: np.ndarray, codec: Heatmap) -> np.ndarray:
    """Newton's step to the maximum of the log of the blurred map (DARK §3.2; its UDP flavour in stride 1)."""
    x, y = cell.astype(int)
    blurred = blurred_to_same_peak(heatmap, codec.blur)
    if codec.kind == "udp":
        h = np.log(np.pad(np.clip(blurred, 1e-3, 50), 1, mode="edge"))
        x, y = x + 1, y + 1
        dx, dy = (h[y, x + 1] - h[y, x - 1]) / 2, (h[y + 1, x] - h[y - 1, x]) / 2
        dxx = h[y, x + 1] - 2 * h[y, x] + h[y, x - 1]
        dyy = h[y + 1, x] - 2 * h[y, x] + h[y - 1, x]
        around = h[y, x + 1] + h[y + 1, x] + h[y, x - 1] + h[y - 1, x]
        dxy = (h[y + 1, x + 1] + h[y - 1, x - 1] - around + 2 * h[y, x]) / 2
        epsilon = np.finfo(np.float32).eps
        hessian = np.array([[dxx + epsilon, dxy], [dxy, dyy + epsilon]])
    else:
        width, height = codec.size
        if not (1 < x < width - 2 and 1 < y < height - 2):
            return cell
        h = np.log(np.maximum(blurred, 1e-10))
        dx, dy = (h[y, x + 1] - h[y, x - 1]) / 2, (h[y + 1, x] - h[y - 1, x]) / 2
        dxx = (h[y, x + 2] - 2 * h[y, x] + h[y, x - 2]) / 4
        dyy = (h[y + 2, x] - 2 * h[y, x] + h[y - 2, x]) / 4
        dxy = (h[y + 1, x + 1] - h[y - 1, x + 1] - h[y + 1, x - 1] + h[y - 1, x - 1]) / 4
        hessian = np.array([[dxx, dxy], [dxy, dyy]])
    if hessian[0, 0] * hessian[1, 1] - hessian[0, 1] ** 2 == 0:
        return cell
    return np.asarray(cell - np.linalg.solve(hessian, np.array([dx, dy])))


def blurred_to_same_peak(heatmap: np.ndarray, kernel: int) -> np.ndarray:
    """Gaussian blur with zeros outside, rescaled so that the maximum stays what it was."""
    border = (kernel - 1) // 2
    padded = cv2.copyMakeBorder(heatmap, border, border, border, border, cv2.BORDER_CONSTANT, value=0.0)
    blurred = cv2.GaussianBlur(padded, (kernel, kernel), 0)[border : -border or None, border : -border or None]
    top = blurred.max()
    return blurred * (heatmap.max() / top) if top > 0 else blurred
