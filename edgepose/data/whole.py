"""Training batches of a bottom-up network: whole pictures with everybody in them, and where nothing is known.

The augmentation is HigherHRNet's (Cheng et al., 2020; lib/dataset/transforms of its code). Coordinates are mirrored
with the pixels of the picture; the published code mirrors them once more at every resolution of the targets, which
moves them by up to a cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgepose.codec.associative import STRIDES, Associative
from edgepose.data.augment import WHOLE, Strength
from edgepose.data.columns import Row
from edgepose.data.images import OnBad
from edgepose.data.listed import Files, listed_of, read_files, readable
from edgepose.data.people import People
from edgepose.geometry import compose, middle_matrix, mirror, transform, view_matrices
from edgepose.skeleton import Skeleton
from edgepose.spec import ModelSpec

TILES = 4  # pictures in a mosaic

Region = np.ndarray  # polygon (n, 2), or mask (H, W) bool, in pixels of the picture


@dataclass(frozen=True)
class Scene:
    """A picture or a mosaic, and what is known of it.

    image:     (H, W, 3) uint8 BGR
    mask:      (H, W) uint8, 0 in ignored regions
    keypoints: (N, K, 2); visible: (N, K)
    corners:   (N, 4, 2) of the people's boxes
    unknown:   (N, K) bool, keypoints that may be there though nobody labelled them
    """

    image: np.ndarray
    mask: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray
    corners: np.ndarray
    unknown: np.ndarray


@dataclass(frozen=True)
class Whole:
    """Views of pictures as a network of `spec` sees them; sample i depends on the seed and i alone.

    people:  labelled, of every picture
    ignored: for each of the people's files, regions with people that are not labelled
    rows:    files that are listed, some perhaps several times
    mosaic:  probability that four pictures are seen at once; data sets with one person in each need it, or tags never
             learn to differ
    strength: how far views are moved
    unknown: (P, K) bool, keypoints whose absence says nothing; where there are none, masks are of whole pictures
    on_bad:  "refuse" raises when a picture cannot be read; "skip" takes the next one instead, and names the bad
             pictures of a batch in its targets ("skipped")
    missing: names of pictures that are left out
    """

    people: People
    ignored: tuple[tuple[Region, ...], ...]
    rows: np.ndarray
    spec: ModelSpec
    codec: Associative
    mosaic: float = 0.0
    strength: Strength = WHOLE
    unknown: np.ndarray | None = None
    on_bad: OnBad = "refuse"
    missing: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, seed: tuple[int, ...], rows: np.ndarray, stage: int) -> tuple[np.ndarray, dict[str, Any]]:
        """Images (B, h, w, 3) uint8 BGR; targets heatmaps_4, heatmaps_2 (B, K, ..), masks_4, masks_2 (B, ..), joints_4.

        Masks are (B, K, ..) where a data set leaves keypoints unknown. Stage 0 is without augmentation, as the network
        sees pictures when it runs; 1 and 2 are alike.
        """
        rng = np.random.default_rng(seed)
        skipped: list[str] = []
        samples = [self.sample(rng, int(row), stage, skipped) for row in rows]
        names = samples[0][1].keys()
        targets: dict[str, Any] = {name: np.stack([target[name] for _, target in samples]) for name in names}
        return np.stack([image for image, _ in samples]), targets | {"skipped": skipped} if skipped else targets

    def sample(
        self, rng: np.random.Generator, row: int, stage: int, skipped: list[str]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Image (h, w, 3) and the targets of one row; names of pictures that cannot be read go to `skipped`."""
        size = self.spec.input_size
        if stage and rng.random() < self.mosaic:
            others = [row, *(int(i) for i in rng.integers(len(self), size=TILES - 1))]
            scene = self._tiled([self._picture(i, skipped) for i in others])
        else:
            scene = self._picture(row, skipped)
        sides = (scene.image.shape[1], scene.image.shape[0])
        mirrored = False
        if stage:
            matrix, mirrored = random_whole_view(rng, sides, size, self.strength)
        else:
            matrix = middle_matrix(sides, size)
        view = cv2.warpAffine(scene.image, matrix, size, flags=cv2.INTER_LINEAR)
        keypoints, visible, unknown = transform(scene.keypoints, matrix), scene.visible, scene.unknown
        if mirrored:
            flip = self.people.skeleton.flip
            keypoints, visible, unknown = keypoints[:, flip], visible[:, flip], unknown[:, flip]
        targets = self.codec.encode(keypoints, visible)
        for stride in STRIDES:
            small = matrix / stride
            cells = (size[0] // stride, size[1] // stride)
            # outside the picture is nobody: the runtime shows such margins too (published masks leave them out)
            seen = cv2.warpAffine(scene.mask, small, cells, flags=cv2.INTER_LINEAR, borderValue=(255,))
            known = (seen > 127).astype(np.float32)
            if self.unknown is not None:
                corners = transform(scene.corners, small)
                known = _without(known, corners, unknown, targets[f"heatmaps_{stride}"])
            targets[f"masks_{stride}"] = known
        return view, targets

    def _picture(self, row: int, skipped: list[str]) -> Scene:
        """One picture with everybody on it."""
        row, image = readable(self.people, self.rows, row, self.on_bad, skipped)
        file = int(self.rows[row])
        mask = np.full(image.shape[:2], 255, np.uint8)
        for region in self.ignored[file]:
            if region.dtype == bool:
                height, width = (int(side) for side in np.minimum(region.shape, mask.shape))
                mask[:height, :width][region[:height, :width]] = 0
            else:
                cv2.fillPoly(mask, [np.round(region).astype(np.int32)], 0)
        here = self._people_of(file)
        visible, boxes = self.people.visible[here], self.people.boxes[here]
        unknown = np.zeros(visible.shape, bool) if self.unknown is None else self.unknown[here]
        corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
        return Scene(image, mask, self.people.keypoints[here], visible, corners, unknown)

    def _people_of(self, file: int) -> np.ndarray:
        return np.flatnonzero(self.people.picture == file)

    def _tiled(self, parts: list[Scene]) -> Scene:
        """Four pictures as one, two by two, each in the middle of a tile of the input's size."""
        width, height = self.spec.input_size
        image, mask = np.zeros((2 * height, 2 * width, 3), np.uint8), np.empty((2 * height, 2 * width), np.uint8)
        keypoints, corners = [], []
        for i, part in enumerate(parts):
            corner = np.array([i % 2 * width, i // 2 * height])
            tile = np.s_[corner[1] : corner[1] + height, corner[0] : corner[0] + width]
            matrix = middle_matrix((part.image.shape[1], part.image.shape[0]), (width, height))
            image[tile] = cv2.warpAffine(part.image, matrix, (width, height), flags=cv2.INTER_LINEAR)
            mask[tile] = cv2.warpAffine(part.mask, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=(255,))
            keypoints.append(transform(part.keypoints, matrix) + corner.astype(np.float32))
            corners.append(transform(part.corners, matrix) + corner.astype(np.float32))
        visible, unknown = (np.concatenate([getattr(p, name) for p in parts]) for name in ("visible", "unknown"))
        return Scene(image, mask, np.concatenate(keypoints), visible, np.concatenate(corners), unknown)


def _without(known: np.ndarray, corners: np.ndarray, unknown: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Mask (h, w) -> (K, h, w): 0 for a keypoint inside the boxes of people of whom it is unknown.

    Where somebody else's keypoint lies in such a box, it stays known.
    """
    masks = np.repeat(known[None], len(heat), axis=0)
    for box, names in zip(corners, unknown, strict=True):
        if names.any():
            inside = cv2.fillConvexPoly(np.zeros(known.shape, np.uint8), np.round(box).astype(np.int32), 1) > 0
            masks[names] *= ~inside
    return np.where(heat > 0, known, masks)


def random_whole_view(
    rng: np.random.Generator, picture: tuple[int, int], size: tuple[int, int], strength: Strength = WHOLE
) -> tuple[np.ndarray, bool]:
    """A random view of a picture (w, h): ((2, 3) map to a view of `size`, whether it is mirrored).

    The shorter side, times a random factor, is what the view's shorter side shows; then a shift by whole pixels, a
    rotation, and a mirror image half of the time.
    """
    shown = min(picture) * rng.uniform(*strength.scale)
    degrees = rng.uniform(-strength.rotation, strength.rotation)
    most = int(strength.shift * shown)
    shift = rng.integers(-most, most + 1, 2)
    center = np.array(picture) / 2 + shift
    sides = np.array([size], np.float64) * shown / min(size)
    matrix = view_matrices(center[None], sides, np.array([degrees]), size)[0]
    mirrored = bool(rng.random() < 0.5)
    return (compose(mirror(size[0]), matrix) if mirrored else matrix), mirrored


def read_whole(
    data: Sequence[tuple[Path, Path, int]] | Files,
    skeleton: Skeleton,
    spec: ModelSpec,
    codec: Associative,
    mosaic: float,
    strength: Strength = WHOLE,
    on_bad: OnBad = "refuse",
) -> Whole:
    """Samples of data sets (annotations, pictures, how often it is listed; or as read), in one skeleton by keypoint
    name.

    Pictures on which nobody is labelled and nobody is unknown are left out.
    """
    files = data if isinstance(data, Files) else read_files(data)
    listed = listed_of(files, skeleton, regions_of, True, on_bad)
    unknown = unknown_keypoints(listed.people, listed.by_machine)
    return Whole(
        listed.people, listed.unknown, listed.rows, spec, codec, mosaic, strength,
        unknown if unknown.any() else None, on_bad, listed.missing,
    )  # fmt: skip


def unknown_keypoints(people: People, by_machine: Sequence[frozenset[str]]) -> np.ndarray:
    """(P, K) bool: missing keypoints that nobody in a person's data set labelled by hand, which may well be there.

    by_machine: of each data set, keypoints of which the labelled ones are a machine's (`coco.machine_keypoints`).
    """
    unknown = np.zeros(people.visible.shape, bool)
    for i, machine in enumerate(by_machine):
        own = people.sets == i
        by_hand = (people.visible[own] > 0).any(0) & ~np.isin(people.skeleton.names, list(machine))
        unknown[own] = ~by_hand & (people.visible[own] == 0)
    return unknown


def regions_of(unknown: list[Row]) -> tuple[Region, ...]:
    """What is masked of people that are not labelled."""
    return tuple(region for annotation in unknown for region in _outline(annotation))


def _outline(annotation: dict[str, Any]) -> list[Region]:
    """Polygons, or the mask of COCO's run lengths, or else the box; CrowdPose has no outlines and masks nothing."""
    shape = annotation.get("segmentation")
    if isinstance(shape, list) and shape:
        return [np.array(polygon, np.float64).reshape(-1, 2) for polygon in shape]
    if isinstance(shape, dict) and isinstance(shape.get("counts"), list):
        height, width = shape["size"]
        inside = np.arange(len(shape["counts"])) % 2 == 1
        return [np.repeat(inside, shape["counts"]).reshape(width, height).T]
    if not annotation.get("iscrowd"):
        return []
    x, y, w, h = annotation["bbox"]
    return [np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])]
