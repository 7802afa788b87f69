"""Person boxes from a one-stage detector: RTMDet (Lyu et al., 2022, §3) and YOLOX (Ge et al., 2021) output layouts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from edgepose.codec.comparison import candidates_apart
from edgepose.geometry import nms
from edgepose.names import expected
from edgepose.poses import Poses
from edgepose.skeleton import BOX, Skeleton

Format = Literal["rtmdet", "rtmdet-nhwc", "yolox", "detections"]
FORMATS: tuple[Format, ...] = get_args(Format)
HIGHEST = 0.99  # threshold that is set for callers; above it they choose themselves


@dataclass(frozen=True)
class Boxes:
    """One class of a detector's outputs, as people without keypoints.

    format: rtmdet      logits (1, C, h, w) and distances (1, 4, h, w) in input pixels, level by level
            rtmdet-nhwc one (1, h, w, C + 4) per level: logits, then distances in input pixels
            yolox       one (1, cells, 5 + C): center, log size, objectness, class probabilities, level by level
            detections  (1, N, 5) x1 y1 x2 y2 score and optionally (1, N) labels: suppression is inside the graph
    person: the class to keep
    score, iou, candidates, limit: threshold, suppression, boxes per level before and boxes after it
    """

    input_size: tuple[int, int]  # w, h
    skeleton: Skeleton = BOX
    format: Format = "rtmdet"
    strides: tuple[int, ...] = (8, 16, 32)
    classes: int = 1
    person: int = 0
    score: float = 0.05
    iou: float = 0.6
    candidates: int = 1000
    limit: int = 100

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"unknown box format {self.format!r}{expected(self.format, FORMATS)}")
        if not 0 <= self.person < self.classes:
            raise ValueError(f"person is class {self.person}, expected 0 to {self.classes - 1}")
        if not 0 < self.score < 1:
            raise ValueError(f"score is {self.score}, expected a threshold between 0 and 1 such as 0.05")
        if len(self.skeleton):
            raise ValueError(f"Boxes finds no keypoints: state the skeleton 'box' instead of {self.skeleton.name!r}")
        object.__setattr__(self, "strides", tuple(self.strides))

    @property
    def output_names(self) -> tuple[str, ...]:
        """Of an exported file, which is of format rtmdet, and of other files."""
        if self.format == "detections":
            return "detections", "labels"
        if self.format == "yolox":
            return ("cells",)
        kinds = ("logits", "distances") if self.format == "rtmdet" else ("cells",)
        return tuple(f"{kind}_{stride}" for stride in self.strides for kind in kinds)

    def encode(self, boxes: np.ndarray, crowd: np.ndarray) -> dict[str, np.ndarray]:
        """(N, 4) input pixels and (N,) -> boxes (N, 4), ignore (N,) float32.

        Which cell learns which box depends on what the network predicts, so the assignment is the loss's part
        (`edgepose.train.assignment`); this only states the targets.
        """
        return {"boxes": np.asarray(boxes, np.float32).reshape(-1, 4), "ignore": np.asarray(crowd, np.float32)}

    def decode(self, outputs: list[np.ndarray]) -> Poses:
        """Outputs of one picture -> people with boxes and scores, best first, in input pixels."""
        boxes, scores = self._candidates(outputs)
        if self.format != "detections":
            keep = nms(boxes, scores, self.iou)[: self.limit]
            boxes, scores = boxes[keep], scores[keep]
        return Poses.of_boxes(boxes, scores)

    def everywhere(self, outputs: list[np.ndarray]) -> Poses:
        """What every cell says, by level, row and column, nothing suppressed (of `detections`, every row)."""
        return Poses.of_boxes(*self._candidates(outputs, every=True))

    def apart(self, ours: list[np.ndarray], theirs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Distances of box corners in pixels, differences of scores; see `Codec.apart`."""
        return candidates_apart(self.everywhere(ours), self.everywhere(theirs))

    def at_least(self, score: float) -> Boxes:
        """The same with a threshold that is not below `score`."""
        return replace(self, score=max(self.score, min(score, HIGHEST)))

    def _candidates(self, outputs: list[np.ndarray], every: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (N, 4) and scores (N,) of the person class, above the threshold or `every` one, before suppression."""
        if any(len(o) != 1 for o in outputs):
            raise ValueError(f"Boxes decodes one picture at a time, got batches of {[len(o) for o in outputs]}")
        if self.format == "detections":
            return self._detections(outputs, every)
        if self.format == "yolox":
            return self._yolox(outputs, every)
        levels = len(self.strides)
        wanted = levels if self.format == "rtmdet-nhwc" else 2 * levels
        if len(outputs) != wanted:
            raise ValueError(
                f"format {self.format} with strides {self.strides} has {wanted} outputs, got {len(outputs)}"
            )
        parts = []
        for level, stride in enumerate(self.strides):
            if self.format == "rtmdet":
                logits, distances = outputs[2 * level][0, self.person], np.moveaxis(outputs[2 * level + 1][0], 0, -1)
            else:
                logits, distances = outputs[level][0, ..., self.person], outputs[level][0, ..., self.classes :]
            if distances.shape[-1] != 4:
                raise ValueError(
                    f"level {level} has {distances.shape[-1]} box numbers per cell, expected 4: check the spec"
                )
            parts.append(self._level(logits, distances, stride, every))
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def _level(
        self, logits: np.ndarray, distances: np.ndarray, stride: int, every: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Logits (h, w) and distances (h, w, 4) of one level; thresholding the logits first makes it fast."""
        flat = logits.reshape(-1)
        sure = np.log(self.score / (1 - self.score))
        chosen = np.arange(len(flat)) if every else np.flatnonzero(flat > sure)
        if len(chosen) > self.candidates and not every:
            chosen = chosen[np.argsort(-flat[chosen], kind="stable")[: self.candidates]]
        found = distances.reshape(-1, 4)[chosen]
        width = logits.shape[1]
        points = np.stack([chosen % width, chosen // width], axis=-1) * np.float32(stride)  # priors have no offset
        boxes = np.concatenate([points - found[:, :2], points + found[:, 2:]], axis=-1)
        return boxes, 1 / (1 + np.exp(-np.maximum(flat[chosen], -80)))  # below, exp has no float32

    def _yolox(self, outputs: list[np.ndarray], every: bool) -> tuple[np.ndarray, np.ndarray]:
        cells = priors(self.input_size, self.strides)  # (cells, 3)
        if len(outputs) != 1 or outputs[0].shape[1:] != (len(cells), 5 + self.classes):
            expected = (1, len(cells), 5 + self.classes)
            raise ValueError(f"format yolox expects one output {expected}, got {[o.shape for o in outputs]}")
        raw = outputs[0][0]
        scores = raw[:, 4] * raw[:, 5 + self.person]
        chosen = np.arange(len(scores)) if every else np.flatnonzero(scores > self.score)
        stride = cells[chosen, 2:]
        centers = raw[chosen, :2] * stride + cells[chosen, :2]
        half = np.exp(raw[chosen, 2:4]) * stride / 2
        return np.concatenate([centers - half, centers + half], axis=-1), scores[chosen]

    def _detections(self, outputs: list[np.ndarray], every: bool) -> tuple[np.ndarray, np.ndarray]:
        rows = outputs[0][0]
        if rows.ndim != 2 or rows.shape[1] != 5:
            raise ValueError(f"format detections expects (1, N, 5) rows of box and score, got {outputs[0].shape}")
        if every:
            return rows[:, :4], rows[:, 4]
        keep = rows[:, 4] > self.score
        if len(outputs) > 1:
            keep &= outputs[1][0] == self.person
        rows = rows[keep][np.argsort(-rows[keep, 4], kind="stable")][: self.limit]
        return rows[:, :4], rows[:, 4]


def priors(size: tuple[int, int], strides: tuple[int, ...] = (8, 16, 32)) -> np.ndarray:
    """x, y, stride of every cell in input pixels -> (cells, 3) float32: level by level, row by row, no offset."""
    levels = []
    for stride in strides:
        y, x = np.mgrid[0 : size[1] // stride, 0 : size[0] // stride]
        levels.append(np.stack([x.ravel() * stride, y.ravel() * stride, np.full(x.size, stride)], axis=-1))
    return np.concatenate(levels).astype(np.float32)
