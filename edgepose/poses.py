"""Poses: the one result type. A detector's result is Poses with no keypoints, an empty picture Poses with no people."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgepose.geometry import area, boxes_of, transform
from edgepose.skeleton import COCO, Skeleton


@dataclass(frozen=True, eq=False, repr=False)
class Poses:
    """N people found in one picture, in pixels of that picture.

    keypoints:     (N, K, 2) float32 x, y
    scores:        (N, K)    float32, higher is surer; SimCC's are raw network outputs near 0..1 that can exceed 1
    boxes:         (N, 4)    float32 x1, y1, x2, y2
    person_scores: (N,)      float32; top-down: box score x mean of the keypoint scores above 0.2
    ids:           (N,)      int64 track identities, or None when nobody was tracked
    """

    keypoints: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    person_scores: np.ndarray
    skeleton: Skeleton = COCO
    ids: np.ndarray | None = None

    def __post_init__(self) -> None:
        n, k = len(np.atleast_1d(self.person_scores)), len(self.skeleton)
        for name, shape in (("keypoints", (n, k, 2)), ("scores", (n, k)), ("boxes", (n, 4)), ("person_scores", (n,))):
            object.__setattr__(self, name, _checked(name, getattr(self, name), shape, np.float32))
        if self.ids is not None:
            object.__setattr__(self, "ids", _checked("ids", self.ids, (n,), np.int64))

    @staticmethod
    def nobody(skeleton: Skeleton = COCO) -> Poses:
        """The result for a picture without people."""
        k = len(skeleton)
        return Poses(np.zeros((0, k, 2)), np.zeros((0, k)), np.zeros((0, 4)), np.zeros(0), skeleton)

    def __repr__(self) -> str:
        tracked = "" if self.ids is None else ", tracked"
        return f"<Poses: {len(self)} people, {len(self.skeleton)} keypoints of {self.skeleton.name!r}{tracked}>"

    def __len__(self) -> int:
        return len(self.person_scores)

    def __getitem__(self, people: Any) -> Poses:
        """The people of an index array, mask or slice, as Poses."""
        if isinstance(people, (int, np.integer)):
            if not -len(self) <= people < len(self):  # also what ends `for person in poses`
                raise IndexError(f"person {people} of {len(self)}")
            people = [people]
        return replace(
            self,
            keypoints=self.keypoints[people],
            scores=self.scores[people],
            boxes=self.boxes[people],
            person_scores=self.person_scores[people],
            ids=None if self.ids is None else self.ids[people],
        )

    def mapped(self, matrices: np.ndarray) -> Poses:
        """Keypoints and boxes through one affine map (2, 3), or one per person (N, 2, 3).

        Boxes stay upright: the extent of their mapped corners.
        """
        x1, y1, x2, y2 = self.boxes.T
        corners = np.stack([x1, y1, x2, y1, x2, y2, x1, y2], axis=1).reshape(-1, 4, 2)
        corners = transform(corners, matrices)
        boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        return replace(self, keypoints=transform(self.keypoints, matrices), boxes=boxes)

    def areas(self) -> np.ndarray:
        """(N,) area of each person's box in square pixels."""
        return area(self.boxes)

    def keypoint_boxes(self, threshold: float = 0.0) -> np.ndarray:
        """(N, 4) extent of each person's keypoints scored above `threshold`."""
        return boxes_of(self.keypoints, self.scores > threshold)


def _checked(name: str, values: Any, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    array: np.ndarray = np.asarray(values, dtype)
    if array.shape != shape:
        raise ValueError(f"Poses.{name} must have shape {shape}, got {array.shape}")
    return array
