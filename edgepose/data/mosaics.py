"""Pictures with everybody in them for a one-stage network: mosaics of four, moved, mirrored and recoloured.

The augmentation is SASD's: mosaic always, translation by up to a tenth of the view (its unit is not stated), mirror
image half of the time, YOLOv5's colour jitter; no random scale, which its table III finds to hurt. Grey 114 outside.

Boxes and matrices have edges of pixels as coordinates, keypoints their centres (`data.detection`, `codec.anchors`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgepose.codec.anchors import Anchors
from edgepose.data.augment import scale_hsv
from edgepose.data.coco import read_coco
from edgepose.data.detection import GREY, SMALLEST, VISIBLE, paste, scaling
from edgepose.data.people import People, union
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
    """

    people: People
    ignored: tuple[np.ndarray, ...]
    rows: np.ndarray
    codec: Anchors

    def __len__(self) -> int:
        return len(self.rows)

    def batch(
        self, seed: tuple[int, ...], rows: np.ndarray, stage: int
    ) -> tuple[np.ndarray, dict[str, list[np.ndarray]]]:
        """Images (B, h, w, 3) uint8 BGR and what the codec makes of the labels, one array per picture and name.

        Stage 1 is mosaics, 2 single pictures, 0 pictures as the network sees them when it runs.
        """
        samples = [self.sample(np.random.default_rng([*seed, row]), row, stage) for row in map(int, rows)]
        names = samples[0][1]
        return np.stack([image for image, _ in samples]), {n: [targets[n] for _, targets in samples] for n in names}

    def sample(self, rng: np.random.Generator, row: int, stage: int) -> tuple[np.ndarray, Targets]:
        """Image (h, w, 3) uint8 BGR and its targets."""
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
        canvas = np.full((size[1], size[0], 3), GREY, np.uint8)
        found = [self._draw(canvas, view, *part) for part in parts]
        boxes, ignored, keypoints, visible = (np.concatenate(column) for column in zip(*found, strict=True))
        if mirrored:
            keypoints, visible = keypoints[:, self.people.skeleton.flip], visible[:, self.people.skeleton.flip]
        if stage:
            canvas = scale_hsv(rng, canvas)
        return canvas, self._targets(boxes, ignored, keypoints, visible)

    def _draw(
        self, canvas: np.ndarray, view: np.ndarray, row: int, meeting: np.ndarray, beside: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """One picture, scaled to fit the view, drawn with a corner at `meeting`; its boxes (N, 4), ignored boxes
        (R, 4), keypoints (N, K, 2) and visible (N, K) there, not cut.
        """
        file = int(self.rows[row])
        source, name = self.people.files[file]
        image = self.people.pictures[source].read(name)
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


def read_mosaics(data: Sequence[tuple[Path, Path, int]], skeleton: Skeleton, codec: Anchors) -> Mosaics:
    """Samples of data sets (annotations, pictures, how often it is listed), in one skeleton by keypoint name.

    Pictures on which nobody is labelled are left out, as YOLO-Pose does.
    """
    people = union([read_coco(labels, pictures) for labels, pictures, _ in data], skeleton)
    ignored: list[np.ndarray] = []
    times: list[int] = []
    for labels, _, repeat in data:
        boxes = ignored_boxes(labels)
        ignored += boxes
        times += [repeat] * len(boxes)
    labelled = np.isin(np.arange(len(people.files)), people.picture)
    rows = np.repeat(np.arange(len(people.files)), np.array(times, np.int64) * labelled)
    if len(rows) == 0:
        raise ValueError("the training data shows nobody: check the files in data=")
    return Mosaics(people, tuple(ignored), rows, codec)


def ignored_boxes(labels: Path) -> list[np.ndarray]:
    """For every picture that `read_coco` lists: boxes (R, 4) of crowds and of people without labelled keypoints.

    LSPET's machine boxes of everybody but the labelled person count too; they lie beside its annotations.
    """
    content = json.loads(Path(labels).read_text(encoding="utf-8"))
    boxes: dict[Any, list[list[float]]] = {i["id"]: [] for i in content["images"] if not i.get("near_dup_of_val")}
    for a in content["annotations"]:
        if a["image_id"] in boxes and (a.get("iscrowd") or not any((a.get("keypoints") or ())[2::3])):
            boxes[a["image_id"]].append(a["bbox"])
    beside = Path(labels).with_name("machine_person_boxes.json")
    if beside.is_file():
        for image, x, y, w, h, _, labelled in json.loads(beside.read_text(encoding="utf-8"))["boxes"]:
            if image in boxes and not labelled:
                boxes[image].append([x, y, w, h])
    rows = [np.array(found, np.float32).reshape(-1, 4) for found in boxes.values()]
    return [np.concatenate([r[:, :2], r[:, :2] + r[:, 2:]], axis=1) for r in rows]
