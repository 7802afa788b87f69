"""Boxes and affine maps.

Pixel centers are at integer coordinates (OpenCV's convention). Everything that moves pixels is one 2x3 matrix that
maps image pixels to network pixels: a crop, a letterbox, a mirror. Labels go through the same matrix, results through
its inverse. Letters: N people, K keypoints; boxes are x1, y1, x2, y2; sizes are (w, h).
"""

from __future__ import annotations

import numpy as np


def transform(points: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Points (N, K, 2) through matrices (2, 3) or (N, 2, 3) -> (N, K, 2), in the points' own dtype."""
    moved = points @ np.swapaxes(matrices[..., :2], -1, -2) + matrices[..., None, :, 2]
    return np.asarray(moved, points.dtype if points.dtype.kind == "f" else np.float64)


def invert(matrices: np.ndarray) -> np.ndarray:
    """Inverse affine maps, (..., 2, 3) -> (..., 2, 3)."""
    linear = np.linalg.inv(matrices[..., :2])
    return np.concatenate([linear, -linear @ matrices[..., 2:]], axis=-1)


def compose(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The map that applies `first`, then `second`; (2, 3) each -> (2, 3)."""
    linear = second[:, :2] @ first[:, :2]
    return np.concatenate([linear, second[:, :2] @ first[:, 2:] + second[:, 2:]], axis=1)


def mirror(width: int) -> np.ndarray:
    """The map that mirrors a picture of `width` pixels: x -> width - 1 - x."""
    return np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0]])


def fixed_aspect(scales: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Grow the shorter side so that (..., 2) scales (w, h) have the aspect of `size`."""
    aspect = size[0] / size[1]
    width, height = scales[..., 0], scales[..., 1]
    return np.stack([np.maximum(width, height * aspect), np.maximum(height, width / aspect)], axis=-1)


def crop_matrices(boxes: np.ndarray, size: tuple[int, int], padding: float = 1.25, warp: str = "box") -> np.ndarray:
    """One crop per box: (N, 4) boxes -> (N, 2, 3) maps to a view of `size`.

    The box is padded about its center, grown to the view's aspect, and scaled. Where the published networks differ is
    the `warp`:

    * "box": the center lands on (w/2, h/2), the width on w (RTMPose and most others);
    * "udp": the center lands on ((w-1)/2, (h-1)/2), the factors are (w-1)/width and (h-1)/height (Huang et al., 2020;
      the CSPNeXt-UDP pre-training);
    * "dark": a box's pixels are x1 to x2 - 1, so its center is half a pixel less; it lands on ((w-1)/2, (h-1)/2), and
      the factor of both axes is (w-1)/(width-1) (the code of DarkPose, Zhang et al., 2020).
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    scales = fixed_aspect((boxes[:, 2:] - boxes[:, :2]) * padding, size)
    return view_matrices(box_centers(boxes, warp), scales, np.zeros(len(boxes)), size, warp)


def box_centers(boxes: np.ndarray, warp: str = "box") -> np.ndarray:
    """What a `warp` takes for the centers of boxes: (..., 4) -> (..., 2)."""
    return np.asarray((boxes[..., :2] + boxes[..., 2:] - (1 if warp == "dark" else 0)) / 2)


def view_matrices(
    centers: np.ndarray, scales: np.ndarray, degrees: np.ndarray, size: tuple[int, int], warp: str = "box"
) -> np.ndarray:
    """Views of `size` around centers (N, 2) with side lengths scales (N, 2), turned by degrees (N,) -> (N, 2, 3).

    Sides of zero length count as one pixel. Only the width sets the magnification unless `warp` is "udp", as published.
    """
    udp, lost = warp == "udp", 1 if warp in ("udp", "dark") else 0
    width, height = np.asarray(size, np.float64) - lost
    scales = np.maximum(scales - (1 if warp == "dark" else 0), 1.0)
    factor_x = width / scales[:, 0]
    factor_y = height / scales[:, 1] if udp else factor_x
    # UDP turns the other way round in the published code: its matrix is [cos, -sin; sin, cos], the three-point one
    # is the inverse rotation.
    angle = np.deg2rad(degrees) * (1 if udp else -1)
    cos, sin = np.cos(angle), np.sin(angle)
    matrices = np.empty((len(scales), 2, 3))
    matrices[:, 0, 0], matrices[:, 0, 1] = cos * factor_x, -sin * factor_x
    matrices[:, 1, 0], matrices[:, 1, 1] = sin * factor_y, cos * factor_y
    middle = np.array([width, height]) / 2
    matrices[:, :, 2] = middle - np.einsum("nij,nj->ni", matrices[:, :, :2], centers)
    return matrices


def letterbox_matrix(image_size: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """The picture scaled to fit `size`, aspect kept, in the top-left corner -> (2, 3).

    As RTMDet and YOLOX resize: sides rounded to whole pixels (int(x * ratio + .5)), each axis scaled by its own rounded
    ratio, half-pixel centers (cv2.resize).
    """
    resized = letterbox_size(image_size, size)
    sx, sy = resized[0] / image_size[0], resized[1] / image_size[1]
    return np.array([[sx, 0.0, 0.5 * sx - 0.5], [0.0, sy, 0.5 * sy - 0.5]])


def letterbox_size(image_size: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """(w, h) of the scaled picture inside the letterbox."""
    ratio = min(size[0] / image_size[0], size[1] / image_size[1])
    width, height = int(image_size[0] * ratio + 0.5), int(image_size[1] * ratio + 0.5)
    return max(width, 1), max(height, 1)


def middle_matrix(image_size: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """The picture scaled to fit `size`, aspect kept, in the middle -> (2, 3).

    HigherHRNet's test geometry (lib/utils/transforms.py of its code): the picture's center, rounded to a whole pixel,
    lands on (w/2, h/2). At the size that `whole_size` gives the shorter side fits exactly and the longer one may lose
    part of a pixel.
    """
    factors = size[0] / image_size[0], size[1] / image_size[1]
    short = int(image_size[0] >= image_size[1])
    lost = image_size[1 - short] - size[1 - short] / factors[short]
    sides = np.array([[size[0], size[1]]]) / (factors[short] if lost < 1 else min(factors))
    center = np.array([[int(side / 2 + 0.5) for side in image_size]], np.float64)
    return view_matrices(center, sides, np.zeros(1), size)[0]


def whole_size(image_size: tuple[int, int], side: int, scale: float = 1.0, smallest: float = 1.0) -> tuple[int, int]:
    """(w, h) of the input in which HigherHRNet and its kin are tested on a picture (`get_multi_scale_size`).

    The shorter side is `side` rounded up to a multiple of 64, the longer one what the aspect asks for, likewise; for a
    multi-scale test both then grow by scale / smallest, where `smallest` is the least scale of the test.
    """
    short = (int(smallest * side) + 63) // 64 * 64
    low, high = min(image_size), max(image_size)
    long = (int(short / low * high) + 63) // 64 * 64
    grown = int(short * scale / smallest), int(long * scale / smallest)
    return grown if image_size[0] < image_size[1] else (grown[1], grown[0])


def area(boxes: np.ndarray) -> np.ndarray:
    """(..., 4) -> (...); never negative."""
    return np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0), axis=-1)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (N, 4) and (M, 4) -> (N, M); 0 where both are empty."""
    corners = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    overlap = np.prod(np.maximum(corners, 0), axis=-1)  # (N, M)
    union = area(a)[:, None] + area(b)[None] - overlap
    return np.divide(overlap, union, out=np.zeros(union.shape, np.result_type(union, np.float32)), where=union > 0)


def nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Greedy non-maximum suppression: indices of the boxes kept, best first.

    A box goes when its IoU with a better kept one exceeds `threshold`; equal scores keep their order.
    """
    order = np.argsort(-scores, kind="stable")
    x1, y1, x2, y2 = np.ascontiguousarray(boxes[order].T)
    areas = np.maximum(x2 - x1, 0) * np.maximum(y2 - y1, 0)
    alive = np.ones(len(order), bool)
    for i in range(len(order)):
        if alive[i]:  # one row for each box kept: 650 boxes of 30 people take 0.4 ms, and all pairs of them 16
            rest = slice(i + 1, None)
            width = np.minimum(x2[i], x2[rest]) - np.maximum(x1[i], x1[rest])
            height = np.minimum(y2[i], y2[rest]) - np.maximum(y1[i], y1[rest])
            overlap = np.maximum(width, 0) * np.maximum(height, 0)
            union = areas[i] + areas[rest] - overlap
            alive[rest] &= ~(overlap / np.maximum(union, np.finfo(np.float32).tiny) > threshold)
    return order[alive]


def clip_boxes(boxes: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Boxes (N, 4) cut to [0, w] x [0, h] of the picture."""
    limits = np.array([image_size[0], image_size[1]] * 2, boxes.dtype)
    return np.clip(boxes, 0, limits)


def boxes_of(keypoints: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Extent of the keypoints (N, K, 2) whose weight (N, K) is positive -> (N, 4); zeros where there is none."""
    seen = (weights > 0)[..., None]
    low = np.where(seen, keypoints, np.inf).min(axis=1, initial=np.inf)
    high = np.where(seen, keypoints, -np.inf).max(axis=1, initial=-np.inf)
    found = np.asarray(seen.any(axis=(1, 2)))[:, None]
    return np.where(np.tile(found, 4), np.concatenate([low, high], axis=1), 0).astype(np.float32)


def turned(first: np.ndarray, second: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Degrees from 0 to 180 between vectors (N, 2) and (N, 2), float32; NaN where not `known` (N,) or one is zero."""
    cross = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    angles = np.degrees(np.arctan2(np.abs(cross), (first * second).sum(1)))  # exact near 0 and 180, unlike arccos
    known = known & first.any(1) & second.any(1)
    return np.where(known, angles, np.nan).astype(np.float32)


def inclined(vectors: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Degrees, above -180 to 180, of vectors (N, 2) against the horizontal, float32: 90 is up, which is -y.

    NaN where not `known` (N,) or of no length.
    """
    angles = np.degrees(np.arctan2(-vectors[:, 1], vectors[:, 0]))
    angles = np.where(angles == -180, 180, angles)
    return np.where(known & vectors.any(1), angles, np.nan).astype(np.float32)
