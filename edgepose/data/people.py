"""Labelled people as columns: one array per property, one row per person, whatever format they came in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgepose.data.pictures import Pictures
from edgepose.skeleton import SKELETONS, Skeleton, named_skeleton, shared


@dataclass(frozen=True)
class People:
    """P people on M pictures.

    pictures:  where the pixels are, one source per data set
    files:     (M,) (index into `pictures`, file name)
    picture:   (P,) row of `files`
    keypoints: (P, K, 2) float32, pixels of the picture as stored
    visible:   (P, K) float32, 1 = labelled, 0 = not labelled: no target and no loss
    boxes:     (P, 4) float32 x1, y1, x2, y2
    """

    skeleton: Skeleton
    pictures: tuple[Pictures, ...]
    files: tuple[tuple[int, str], ...]
    picture: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray
    boxes: np.ndarray

    def __len__(self) -> int:
        return len(self.picture)

    def __getitem__(self, rows: Any) -> People:
        """The people of an index array, mask or slice; pictures are kept."""
        columns = ("picture", "keypoints", "visible", "boxes")
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})

    def image(self, row: int) -> np.ndarray:
        """The picture of a person, (H, W, 3) uint8 BGR."""
        source, name = self.files[self.picture[row]]
        return self.pictures[source].read(name)

    def load(self) -> None:
        """Decode every picture that somebody stands on, so that worker processes can share the memory."""
        for source, name in (self.files[i] for i in np.unique(self.picture)):
            self.pictures[source].read(name)


def read_coco(annotations: str | Path, pictures: str | Path) -> People:
    """People of a COCO-style keypoint file (json) and its folder or zip of pictures.

    The skeleton is found by the category's keypoint names (COCO, AI Challenger, CrowdPose, AP-10K ...). People without
    labelled keypoints and crowds are left out, and so are pictures marked `near_dup_of_val`, which would leak the
    validation set. Boxes are clipped to the picture, as RTMPose's loader does.
    """
    content = _read_json(annotations)
    skeleton = _skeleton_of(content, annotations)
    images = {image["id"]: image for image in content["images"] if not image.get("near_dup_of_val")}
    rows = [
        a
        for a in content["annotations"]
        if a["image_id"] in images and not a.get("iscrowd") and any(a.get("keypoints", ())[2::3])
    ]
    index = {identity: i for i, identity in enumerate(images)}
    k = len(skeleton)
    points = np.array([a["keypoints"] for a in rows], np.float32).reshape(-1, k, 3)
    boxes = np.array([a["bbox"] for a in rows], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    picture = np.array([index[a["image_id"]] for a in rows], np.int64)
    sizes = np.array([(images[a["image_id"]]["width"], images[a["image_id"]]["height"]) for a in rows], np.float32)
    boxes = np.clip(boxes, 0, np.tile(sizes.reshape(-1, 2) - 1, 2))
    files = tuple((0, image["file_name"]) for image in images.values())
    visible = (points[..., 2] > 0).astype(np.float32)
    return People(skeleton, (Pictures(pictures),), files, picture, points[..., :2], visible, boxes)


def union(sets: Sequence[People], skeleton: Skeleton, repeat: Sequence[int] | None = None) -> People:
    """All people of several sets in one skeleton, matched by keypoint NAME; what a set lacks is unlabelled.

    `repeat` says how often each set is listed (RTMPose's AIC+COCO mix lists COCO three times).
    """
    factors = [1] * len(sets) if repeat is None else list(repeat)
    if len(factors) != len(sets):
        raise ValueError(f"got {len(factors)} repeat factors for {len(sets)} data sets")
    parts = [_in_skeleton(people, skeleton) for people in sets]
    pictures = tuple(p for part in parts for p in part.pictures)
    files: list[tuple[int, str]] = []
    columns: dict[str, list[np.ndarray]] = {"picture": [], "keypoints": [], "visible": [], "boxes": []}
    first_source = 0
    for part, factor in zip(parts, factors, strict=True):
        first_file = len(files)
        files += [(first_source + source, name) for source, name in part.files]
        first_source += len(part.pictures)
        for name, column in columns.items():
            offset = first_file if name == "picture" else 0
            column += [getattr(part, name) + offset] * factor
    arrays = {name: np.concatenate(column) for name, column in columns.items()}
    return People(skeleton, pictures, tuple(files), **arrays)


def _in_skeleton(people: People, skeleton: Skeleton) -> People:
    pairs = shared(people.skeleton, skeleton)
    if not pairs:
        raise ValueError(f"{people.skeleton.name} and {skeleton.name} share no keypoint name")
    source, target = (list(side) for side in zip(*pairs, strict=True))
    keypoints = np.zeros((len(people), len(skeleton), 2), np.float32)
    visible = np.zeros((len(people), len(skeleton)), np.float32)
    keypoints[:, target] = people.keypoints[:, source]
    visible[:, target] = people.visible[:, source]
    return replace(people, skeleton=skeleton, keypoints=keypoints, visible=visible)


def _read_json(path: str | Path) -> dict[str, Any]:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON ({error}): expected a COCO-style annotation file") from error
    if not isinstance(content, dict) or not {"images", "annotations"} <= set(content):
        raise ValueError(f"{path} lacks `images` or `annotations`: expected a COCO-style annotation file")
    return content


def _skeleton_of(content: dict[str, Any], path: str | Path) -> Skeleton:
    for category in content.get("categories", ()):
        names = tuple(category.get("keypoints", ()))
        skeleton = named_skeleton(names)
        if skeleton is not None:
            return skeleton
        if names:
            raise ValueError(f"{path} labels {list(names)}, expected the keypoints of one of {list(SKELETONS)}")
    raise ValueError(f"{path} has no category with keypoint names")
