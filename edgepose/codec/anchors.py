"""People of a picture as anchors of a grid: a box and its keypoints in one row (YOLO-Pose, Maji et al., 2022; SASD).

Inside, pixels have edges as coordinates (a picture is [0, W] x [0, H]), for boxes and for keypoints: so the targets of
a picture at twice the size are exactly twice as large. What goes in and comes out has keypoints at pixel centers, half
a pixel less.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from edgepose.codec.comparison import candidates_apart
from edgepose.geometry import nms
from edgepose.poses import Poses
from edgepose.skeleton import COCO, Skeleton

BOX = 6  # x, y, w, h, object, class; then x, y, confidence of each keypoint
HIGHEST = 0.99  # threshold that is set for callers; above it they choose themselves
RATIO = 4.0  # an anchor learns boxes whose sides are less than so many times, and more than 1/so many times its own


@dataclass(frozen=True)
class Anchors:
    """Raw maps (1, A * (6 + 3K), h/s, w/s) of one network, level by level.

    anchors: w, h in pixels of the A anchors of every level, (levels, A, 2)
    score: of the people that are decoded at all, object x class. Evaluation takes .001, as published; the Estimator
        raises it to its own `min_box_score`
    iou, candidates, limit: suppression, boxes before it (the best) and people after it
    """

    input_size: tuple[int, int]  # w, h
    skeleton: Skeleton = COCO
    strides: tuple[int, ...] = (8, 16, 32)
    anchors: tuple[tuple[tuple[float, float], ...], ...] = (
        ((19.0, 27.0), (44.0, 40.0), (38.0, 94.0)),
        ((38.0, 54.0), (88.0, 80.0), (76.0, 188.0)),
        ((76.0, 108.0), (176.0, 160.0), (152.0, 376.0)),
    )
    score: float = 0.001
    iou: float = 0.65
    candidates: int = 1000
    limit: int = 300

    def __post_init__(self) -> None:
        object.__setattr__(self, "strides", tuple(self.strides))
        table = tuple(tuple((float(w), float(h)) for w, h in level) for level in self.anchors)
        object.__setattr__(self, "anchors", table)
        if len(table) != len(self.strides) or len({len(level) for level in table}) != 1:
            counts = [len(level) for level in table]
            raise ValueError(f"strides {self.strides} need as many anchors for each level, got {counts} for the levels")
        if any(side % stride for side in self.input_size for stride in self.strides):
            raise ValueError(f"input_size {self.input_size} is no multiple of every stride in {self.strides}")
        if not 0 < self.score < 1:
            raise ValueError(f"score is {self.score}, expected a threshold between 0 and 1 such as 0.001")

    @property
    def grids(self) -> list[tuple[int, int]]:
        """Columns and rows of each level."""
        return [(self.input_size[0] // stride, self.input_size[1] // stride) for stride in self.strides]

    @property
    def output_names(self) -> tuple[str, ...]:
        """Of an exported file."""
        return tuple(f"anchors_{stride}" for stride in self.strides)

    @cached_property
    def _cells(self) -> np.ndarray:
        """(5, P) left, top, stride of every anchor's cell and the anchor's w, h: by level, anchor, row and column."""
        parts = []
        for stride, (columns, rows), anchors in zip(self.strides, self.grids, self.anchors, strict=True):
            y, x = np.mgrid[0:rows, 0:columns].reshape(2, -1) * stride
            for w, h in anchors:
                parts.append(np.stack([x, y, np.full_like(x, stride), np.full(x.shape, w), np.full(x.shape, h)]))
        return np.concatenate(parts, axis=1).astype(np.float32)

    def encode(
        self, boxes: np.ndarray, keypoints: np.ndarray, visible: np.ndarray, ignore: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """What a picture's cells learn: boxes (N, 4), keypoints (N, K, 2) and visible (N, K) in input pixels.

        -> cells (M, 5) int64: level, anchor, row, column, person. A person is learnt by the cell of the box's center
        and the two that it is nearest to, at every anchor that fits; one cell may learn several people. A person who
        fits no anchor has none. boxes, keypoints and visible come back as float32, ignore (R, 4) are regions whose
        other cells are no background.
        """
        truth = np.asarray(boxes, np.float32).reshape(-1, 4)
        points = np.asarray(keypoints, np.float32).reshape(len(truth), len(self.skeleton), 2)
        regions = np.zeros((0, 4), np.float32) if ignore is None else np.asarray(ignore, np.float32).reshape(-1, 4)
        return {
            "cells": self.assign(truth),
            "boxes": truth,
            "keypoints": points,
            "visible": np.asarray(visible, np.float32).reshape(len(truth), len(self.skeleton)),
            "ignore": regions,
        }

    def assign(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (N, 4) -> (M, 5) level, anchor, row, column, person (YOLOv5's rule)."""
        centers, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
        parts = [np.zeros((0, 5), np.int64)]
        for level, (stride, grid, anchors) in enumerate(zip(self.strides, self.grids, self.anchors, strict=True)):
            ratio = sides / np.array(anchors, np.float32)[:, None]  # (A, N, 2)
            anchor, person = np.nonzero(((ratio < RATIO) & (ratio > 1 / RATIO)).all(axis=-1))
            size = np.array(grid, np.float32)
            at = centers[person] / np.float32(stride)  # (M, 2) in cells
            left = (at % 1 < 0.5) & (at > 1)  # the cell on that side is nearer than the one on the other
            right = ((size - at) % 1 < 0.5) & (size - at > 1)
            for chosen, shift in (
                (np.ones(len(at), bool), (0, 0)),
                (left[:, 0], (-0.5, 0)),
                (left[:, 1], (0, -0.5)),
                (right[:, 0], (0.5, 0)),
                (right[:, 1], (0, 0.5)),
            ):
                cell = np.clip((at[chosen] + np.array(shift, np.float32)).astype(np.int64), 0, np.array(grid) - 1)
                levels = np.full(len(cell), level)
                parts.append(np.stack([levels, anchor[chosen], cell[:, 1], cell[:, 0], person[chosen]], axis=1))
        return np.concatenate(parts)

    def decode(self, outputs: list[np.ndarray]) -> Poses:
        """Raw maps of one picture -> people, best first, in input pixels."""
        maps = self._maps(outputs)
        objects = np.concatenate([level[:, 4].reshape(-1) for level in maps])  # (P,)
        chosen = np.flatnonzero(objects > np.log(self.score / (1 - self.score)))  # the class can only lower a score
        boxes, scores = self._boxes(maps, chosen)
        sure = np.flatnonzero(scores > self.score)
        if len(sure) > self.candidates:
            sure = sure[np.argsort(-scores[sure], kind="stable")[: self.candidates]]
        kept = sure[nms(boxes[sure], scores[sure], self.iou)[: self.limit]]
        return self._people(maps, chosen[kept], boxes[kept], scores[kept])

    def everywhere(self, outputs: list[np.ndarray]) -> Poses:
        """What every anchor of every cell says, P people: by level, anchor, row and column, nothing suppressed."""
        maps = self._maps(outputs)
        every = np.arange(self._cells.shape[1])
        return self._people(maps, every, *self._boxes(maps, every))

    def apart(self, ours: list[np.ndarray], theirs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Distances of keypoints and box corners in pixels, differences of scores; see `Codec.apart`."""
        return candidates_apart(self.everywhere(ours), self.everywhere(theirs))

    def at_least(self, score: float) -> Anchors:
        """The same with a threshold that is not below `score`."""
        return replace(self, score=max(self.score, min(score, HIGHEST)))

    def merge_flipped(self, outputs: list[np.ndarray], flipped: list[np.ndarray]) -> list[np.ndarray]:
        """Raw maps that decode, cell by cell, to the mean of what a picture's and its mirror image's decode to.

        Means are of centers, sides, scores and keypoints, before suppression: anchors are the same in both.
        (YOLO-Pose's released flip test averages without mirroring back.)
        """
        merged = []
        for ours, mirrored in zip(outputs, flipped, strict=True):
            shape = (len(self.anchors[0]), BOX + 3 * len(self.skeleton), *ours.shape[2:])
            a, b = (level[0].reshape(shape).astype(np.float64) for level in (ours, mirrored[..., ::-1]))
            points = b[:, BOX:].reshape(len(b), -1, 3, *shape[2:])[:, self.skeleton.flip]  # (A, K, 3, h, w)
            points[:, :, 0] = 1 - points[:, :, 0]
            b = np.concatenate([-b[:, :1], b[:, 1:BOX], points.reshape(len(b), -1, *shape[2:])], axis=1)
            mean = (a + b) / 2
            p, q = _sigmoid(a), _sigmoid(b)
            for rows in (slice(0, 2), slice(5, 6), slice(BOX + 2, None, 3)):  # center, class, confidence
                mean[:, rows] = _logit((p[:, rows] + q[:, rows]) / 2)
            mean[:, 2:4] = _logit(np.sqrt((p[:, 2:4] ** 2 + q[:, 2:4] ** 2) / 2))  # sides grow with the square
            product = (p[:, 4] * p[:, 5] + q[:, 4] * q[:, 5]) / 2
            mean[:, 4] = _logit(product / ((p[:, 5] + q[:, 5]) / 2))
            merged.append(mean.reshape(ours.shape).astype(np.float32))
        return merged

    def _maps(self, outputs: list[np.ndarray]) -> list[np.ndarray]:
        """One (A, 6 + 3K, h * w) per level."""
        count, size = len(self.anchors[0]), BOX + 3 * len(self.skeleton)
        expected = [(1, count * size, rows, columns) for columns, rows in self.grids]
        if [output.shape for output in outputs] != expected:
            shapes = [output.shape for output in outputs]
            raise ValueError(
                f"Anchors of {len(self.skeleton)} keypoints expects maps {expected}, got {shapes}: check the spec"
            )
        return [output.reshape(count, size, -1) for output in outputs]

    def _boxes(self, maps: list[np.ndarray], chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (n, 4) and scores (n,) of the anchors at `chosen` (n,), rows of `_cells`."""
        raw = np.concatenate([np.moveaxis(level[:, :BOX], 1, 0).reshape(BOX, -1) for level in maps], axis=1)  # (6, P)
        share = _sigmoid(raw[:, chosen])  # (6, n)
        left_top, stride, anchors = np.split(self._cells[:, chosen], (2, 3))
        centers = left_top + (2 * share[:2] - np.float32(0.5)) * stride
        half = 2 * share[2:4] ** 2 * anchors  # (2 sigma)^2 anchors, halved
        return np.concatenate([centers - half, centers + half]).T, share[4] * share[5]

    def _people(self, maps: list[np.ndarray], chosen: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> Poses:
        """The same anchors with their keypoints."""
        rows = np.zeros((len(chosen), maps[0].shape[1] - BOX), np.float32)
        start = 0
        for level in maps:
            anchors, _, cells = level.shape
            here = np.flatnonzero((chosen >= start) & (chosen < start + anchors * cells))
            anchor, cell = np.divmod(chosen[here] - start, cells)
            rows[here] = level[anchor, BOX:, cell]  # (n, 3K)
            start += anchors * cells
        points = rows.reshape(len(chosen), len(self.skeleton), 3)
        left_top, stride = self._cells[:2, chosen].T[:, None], self._cells[2, chosen][:, None, None]
        keypoints = left_top + (2 * points[..., :2] - np.float32(0.5)) * stride - np.float32(0.5)
        return Poses(keypoints, _sigmoid(points[..., 2]), boxes, scores, self.skeleton)


def _sigmoid(x: np.ndarray) -> Any:
    return 1 / (1 + np.exp(-np.clip(x, -60, 60)))


def _logit(p: np.ndarray) -> Any:
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return np.log(p / (1 - p))
