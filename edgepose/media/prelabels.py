"""Results as labels in COCO's form, so that people correct a model's keypoints instead of setting every one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edgepose.media.files import atomic_path, frame_name
from edgepose.skeleton import BOX, Skeleton
from edgepose.skeleton_file import category_fields

if TYPE_CHECKING:
    from edgepose.media.results import Result

# Least score of a keypoint that is written as hidden (v 1), what is less sure is not labelled; as seen (v 2) is written
# what is drawn.
HIDDEN = 0.1


class CocoLabels:
    """An annotation file with `images`, `annotations` and `categories`, for labelling tools and `edgepose train`.

    Pictures are named by their paths below the folder that they have in common, frames of a video as `edgepose data
    frames` names them. `kp_scores` say how sure the model was. Who was not seen in a frame has no label, nor has a
    point that was filled in. The file appears when the block ends, and holds what was written until then, whatever
    ended it.

    subject: what the labels are of, the name of their category
    """

    def __init__(self, path: str | Path, subject: str = "person") -> None:
        self.path, self._subject = Path(path), subject
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._skeleton: Skeleton = BOX

    def __enter__(self) -> CocoLabels:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not self._images:
            return
        folders = {os.path.dirname(image["file_name"]) for image in self._images}
        common = os.path.commonpath(folders) if len({os.path.isabs(folder) for folder in folders}) == 1 else ""
        for image in self._images:
            image["file_name"] = Path(os.path.relpath(image["file_name"], common or ".")).as_posix()
        category = {"id": 1, "name": self._subject, "supercategory": self._subject} | category_fields(self._skeleton)
        content = {"images": self._images, "annotations": self._annotations, "categories": [category]}
        with atomic_path(self.path) as temporary:
            temporary.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")

    def write(self, result: Result) -> None:
        """Add one frame."""
        poses = result.poses
        if len(poses.skeleton):
            self._skeleton = poses.skeleton
        identity = len(self._images) + 1
        size = {"width": result.width, "height": result.height}
        self._images.append({"id": identity, "file_name": _name(result)} | size)
        for i, person in enumerate(poses.to_dict()["people"]):
            if any(mark is not None and mark[i] for mark in (result.guessed, result.filled)):
                continue
            x1, y1, x2, y2 = person["box"]
            w, h = round(x2 - x1, 2), round(y2 - y1, 2)
            row: dict[str, Any] = {"id": len(self._annotations) + 1, "image_id": identity, "category_id": 1}
            row |= {"iscrowd": 0, "bbox": [x1, y1, w, h], "area": round(w * h, 2), "segmentation": []}
            row["score"] = person["score"]
            points = [_labelled(point, poses.thresholds.drawn) for point in person["keypoints"]]
            if result.filled_keypoints is not None:
                points = [(0, 0, 0) if result.filled_keypoints[i, k] else point for k, point in enumerate(points)]
            if points:
                row["keypoints"] = [value for point in points for value in point]
                row["num_keypoints"] = sum(v > 0 for _, _, v in points)
                row["kp_scores"] = [point[2] for point in person["keypoints"]]
            self._annotations.append(row)


def _name(result: Result) -> str:
    if result.time is None:
        return result.source
    path = Path(result.source)
    return str(path.with_name(frame_name(path.stem, result.frame, result.time)))


def _labelled(point: list[float], seen: float) -> tuple[float, float, int]:
    x, y, score = point
    v = 2 if score >= seen else 1 if score >= HIDDEN else 0
    return (x, y, v) if v else (0, 0, 0)
