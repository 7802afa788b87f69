"""Pictures with everybody in them for a one-stage network: mosaics of four, moved, mirrored and recolored.

The augmentation is SASD's: mosaic always, translation by up to a tenth of the view (its unit is not stated), mirror
image half of the time, YOLOv5's color jitter; no random scale, which its table III finds to hurt. Gray 114 outside.

Boxes and matrices have edges of pixels as coordinates, keypoints their centers (`data.detection`, `codec.anchors`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgepose.codec.anchors import Anchors
from edgepose.data.augment import scale_hsv
from edgepose.data.columns import Row
from edgepose.data.detection import GRAY, SMALLEST, VISIBLE, paste, scaling
from edgepose.data.images import OnBad
from edgepose.data.listed import Files, listed_of, read_files, readable
from edgepose.data.people import People
from edgepose.geometry import area, compose, transform
from edgepose.skeleton import Skeleton

SHIFT = 0.1  # of the view's sides, at most
Targets = dict[str, np.ndarray]


@dataclass(frozen=True)
class Mosaics:
    """Views of pictures as a one-stage network sees them; sample i depends on the seed and i alone.

    people: labelled, of every picture
    ignored: for each of the people's files, boxes (R, 4) of people that are not labelled
    rows: files that are listed, some perhaps several times
    on_bad: "refuse" raises when a picture cannot be read; "skip" takes the next one instead, and names the bad pictures
        of a batch in its targets ("skipped")
    missing: names of pictures that are left out
    """

    people: People
    ignored: tuple[np.ndarray, ...]
    rows: np.ndarray
    codec: Anchors
    on_bad: OnBad = "refuse"
    missing: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, seed: tuple[int, ...], rows: np.ndarray, stage: int) -> tuple[np.ndarray, dict[str, list]]:
        """Images (B, h, w, 3) uint8 BGR and what the codec makes of the labels, one array per picture and name.

        Stage 1 is mosaics, 2 single pictures, 0 pictures as the network sees them when it runs.
        """
        skipped: list[str] = []
        samples = [self.sample(np.random.default_rng([*seed, row]), row, stage, skipped) for row in map(int, rows)]
        targets: dict[str, list] = {name: [found[name] for _, found in samples] for name in samples[0][1]}
        return np.stack([image for image, _ in samples]), targets | {"skipped": skipped} if skipped else targets

    def sample(self, rng: np.random.Generator, row: int, stage: int, skipped: list[str]) -> tuple[np.ndarray, Targets]:
        """Image (h, w, 3) uint8 BGR and its targets; names of pictures that cannot be read go to `skipped`."""
        size = np.array(self.codec.input_size)
        view = np.eye(2, 3)
        mirrored = False
        if stage:
            view[:, 2] = rng.uniform(-SHIFT, SHIFT, 2) * size
            if mirrored := bool(rng.random() < 0.5):
                view = compose(np.array([[-1.0, 0.0, size[0]], [0.0, 1.0, 0.0]]), view)
        parts = [(row, np.zeros(2), np.zeros(2))]
        if stage == 1:  # four around a random point of a canvas of twice the size, of which the view is the middle
            meeting = rng.uniform(0.5, 1.5, 2) * size - size / 2
            corners = np.array([(1, 1), (0, 1), (1, 0), (0, 0)])  # is it left of, above the point?
            others = [row, *(int(i) for i in rng.integers(len(self), size=3))]
            parts = [(other, meeting, beside) for other, beside in zip(others, corners, strict=True)]
        canvas = np.full((size[1], size[0], 3), GRAY, np.uint8)
        found = [self._draw(canvas, view, *part, skipped) for part in parts]
        boxes, ignored, keypoints, visible = (np.concatenate(column) for column in zip(*found, strict=True))
        if mirrored:
            keypoints, visible = keypoints[:, self.people.skeleton.flip], visible[:, self.people.skeleton.flip]
        if stage:
            canvas = scale_hsv(rng, canvas)
        return canvas, self._targets(boxes, ignored, keypoints, visible)

    def _draw(
        self,
        canvas: np.ndarray,
        view: np.ndarray,
        row: int,
        meeting: np.ndarray,
        beside: np.ndarray,
        skipped: list[str],
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """One picture, scaled to fit the view, drawn with a corner at `meeting`; its boxes (N, 4), ignored boxes
        (R, 4), keypoints (N, K, 2) and visible (N, K) there, not cut.
        """
        row, image = readable(self.people, self.rows, row, self.on_bad, skipped)
        file = int(self.rows[row])
        sides, size = np.array(image.shape[1::-1], float), np.array(self.codec.input_size)
        fitted = np.maximum(np.floor(sides * (size / sides).min() + 0.5), 1)
        matrix = compose(view, scaling(fitted / sides, meeting - fitted * beside))
        here = np.flatnonzero(self.people.picture == file)
        boxes = np.concatenate([self.people.boxes[here], self.ignored[file]])
        boxes = paste(canvas, image, boxes, matrix, np.array([0, 0, *size], np.float32))
        keypoints = transform(self.people.keypoints[here] + np.float32(0.5), matrix) - np.float32(0.5)
        return boxes[: len(here)], boxes[len(here) :], keypoints, self.people.visible[here]

    def _targets(self, boxes: np.ndarray, ignored: np.ndarray, keypoints: np.ndarray, visible: np.ndarray) -> Targets:
        """Boxes cut to the view. Who is hardly in it, or with no labelled keypoint, is no person and no background."""
        width, height = self.codec.input_size
        limits = np.array([width, height] * 2, np.float32)
        cut, unknown = np.clip(boxes, 0, limits), np.clip(ignored, 0, limits)
        inside = ((keypoints > -0.5) & (keypoints < limits[:2] - 0.5)).all(axis=-1)
        visible = visible * inside
        sides = cut[:, 2:] - cut[:, :2]
        seen = (area(cut) >= VISIBLE * area(boxes)) & (sides >= SMALLEST).all(axis=1) & (visible > 0).any(axis=1)
        unknown = np.concatenate([unknown, cut[~seen]])
        return self.codec.encode(cut[seen], keypoints[seen], visible[seen], unknown[area(unknown) > 0])


def read_mosaics(
    data: Sequence[tuple[Path, Path, int]] | Files, skeleton: Skeleton, codec: Anchors, on_bad: OnBad = "refuse"
) -> Mosaics:
    """Samples of data sets (annotations, pictures, how often it is listed; or as read), in one skeleton by keypoint
    name.

    Pictures on which nobody is labelled are left out, as YOLO-Pose does.
    """
    files = data if isinstance(data, Files) else read_files(data)
    listed = listed_of(files, skeleton, boxes_of, False, on_bad)
    return Mosaics(listed.people, listed.unknown, listed.rows, codec, on_bad, listed.missing)


def boxes_of(unknown: list[Row]) -> np.ndarray:
    """Boxes (R, 4) of people that are not labelled."""
    rows = np.array([annotation["bbox"] for annotation in unknown], np.float32).reshape(-1, 4)
    return np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:]], axis=1)
