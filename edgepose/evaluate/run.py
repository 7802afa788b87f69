"""An estimator over a labelled data set: COCO result rows, made the way the published evaluations make them.

A detector (skeleton "box") gives rows {image_id, category_id, bbox: x y w h, score}, any other model keypoint rows.
"""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgepose.data.columns import load_json, numbers
from edgepose.data.images import Pictures
from edgepose.data.memory import Budget
from edgepose.data.near_names import nearly
from edgepose.data.picture_size import of_another_size, refuse_pictures_of_another_size
from edgepose.data.sound import labelled_points, whole
from edgepose.evaluate.labels import Labels, Row, read_labels, skeleton_of
from edgepose.geometry import crop_matrices
from edgepose.oks import oks_nms
from edgepose.poses import Poses
from edgepose.skeleton import COCO, Skeleton, shared
from edgepose.skeleton_file import is_nameless
from edgepose.spec import ModelSpec

OKS_NMS = 0.9
KEYPOINTS = "give a model of these keypoints, or the category that it finds"


class Estimates(Protocol):
    """What is evaluated: `edgepose.Estimator`, or anything that answers like it."""

    @property
    def spec(self) -> ModelSpec:
        """The pose model's."""

    def __call__(
        self, image: np.ndarray, boxes: np.ndarray | None = None, box_scores: np.ndarray | None = None
    ) -> Poses:
        """People of a picture; given boxes (N, 4), one person per box in their order. A box without a score (N,) is
        sure.
        """


@dataclass
class Run:
    """results: COCO rows; images: pictures looked at; people: found; unreadable: {file name: what is wrong with it};
    notes: sentences about boxes that were left out.
    """

    results: list[Row] = field(default_factory=list)
    images: int = 0
    people: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def results_of(
    estimator: Estimates, annotations: str | Path | Labels, images: str | Path, boxes: str | Path = "gt"
) -> list[Row]:
    """COCO rows {image_id, category_id, keypoints: x y score each (or bbox), score} of every picture; see `run`."""
    return run(estimator, annotations, images, boxes).results


def run(
    estimator: Estimates,
    annotations: str | Path | Labels,
    images: str | Path,
    boxes: str | Path = "gt",
    *,
    image_ids: Collection[int] | None = None,
    suppression: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Run:
    """Every picture of the annotations through the estimator.

    A per-person model gets its boxes as `boxes` says; its people are scored with the boxes' scores (`Poses`),
    and of those with an OKS above `suppression` the best stays, as published; labelled boxes are one person each, and
    all stay. Any other model finds its people itself and `boxes` is not looked at. Pictures that cannot be read are
    named in the outcome; they count as without result.

    Args:
        images: folder or zip.
        boxes: "gt", the labelled people, cut to the picture and with score 1 (rows then carry `annotation_id`);
            "detector", the estimator's own; or a COCO detection file [{image_id, bbox, score}, ...].
        suppression: by default 0.9, and none for labelled boxes; published figures in labelled boxes may have used 0.9.
        progress: called with pictures done and pictures in all.
    """
    labels = read_labels(annotations, image_ids)
    pictures = Pictures(images, Budget(0))
    per_person = estimator.spec.per_person and str(boxes) != "detector"
    if suppression is None and str(boxes) != "gt":
        suppression = OKS_NMS
    skeleton = row_skeleton(labels, estimator.spec.keypoints) if len(estimator.spec.keypoints) else None
    outcome = Run()
    given = _boxes(labels, boxes, outcome.notes) if per_person else None
    points: dict[Any, list[list[float]]] = defaultdict(list)
    for row in labels["annotations"]:
        points[row["image_id"]] += labelled_points(row)
    others, labelled = list[str](), 0
    for done, image in enumerate(labels["images"]):
        if progress is not None:
            progress(done, len(labels["images"]))
        found = given[image["id"]] if given is not None else None
        if found is not None and len(found) == 0:
            outcome.images += 1
            continue
        try:
            pixels = pictures.read(image["file_name"])
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            outcome.unreadable[image["file_name"]] = str(error)
            continue
        labelled += len(points[image["id"]]) > 0
        if of_another_size(_stated(image), (pixels.shape[1], pixels.shape[0]), np.array(points[image["id"]])):
            others.append(f"{image['file_name']} ({pixels.shape[1]}x{pixels.shape[0]})")
        if found is not None and found.cut:
            found = found.within(pixels.shape[1], pixels.shape[0])
        poses = estimator(pixels) if found is None else _in_boxes(estimator, pixels, found)
        kept = np.arange(len(poses))
        if estimator.spec.per_person and suppression is not None:
            areas = _crop_areas(poses.boxes, estimator.spec)
            kept = oks_nms(poses.keypoints, poses.person_scores, areas, poses.skeleton.sigmas, suppression)
        outcome.images += 1
        outcome.people += len(kept)
        rows = _rows(poses[kept], image["id"], skeleton)
        if found is not None and found.identities is not None:
            for row, i in zip(rows, kept, strict=True):
                row |= {"annotation_id": found.identities[i], "category_id": found.kinds[i]}
        outcome.results += rows
    if progress is not None:
        progress(len(labels["images"]), len(labels["images"]))
    refuse_pictures_of_another_size(others, labelled, str(labels.get("path", "the labels")))
    if outcome.unreadable and not outcome.images:
        name, reason = next(iter(outcome.unreadable.items()))
        raise FileNotFoundError(f"none of {len(labels['images'])} pictures can be read from {images}; {name}: {reason}")
    return outcome


def _stated(image: Row) -> tuple[int, int] | None:
    """Width and height of a picture as its labels have it, None where they do not."""
    return (image["width"], image["height"]) if "width" in image and "height" in image else None


@dataclass
class _Given:
    """Boxes (N, 4) x1 y1 x2 y2 of one picture, their scores, categories, and the annotations they come from; cut:
    whether the picture's edges end them.
    """

    boxes: np.ndarray
    scores: np.ndarray
    kinds: list[int]
    identities: list[Any] | None = None
    cut: bool = False

    def __len__(self) -> int:
        return len(self.boxes)

    def within(self, width: int, height: int) -> _Given:
        """The boxes cut to a picture, by its own size and not by what the labels say of it; empty ones are gone."""
        boxes = np.clip(self.boxes, 0, np.array([width - 1, height - 1] * 2))
        real = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))
        identities = None if self.identities is None else [self.identities[i] for i in real]
        return _Given(boxes[real], self.scores[real], [self.kinds[i] for i in real], identities)


def _boxes(labels: Labels, source: str | Path, notes: list[str]) -> dict[Any, _Given]:
    """Boxes of every picture by its id."""
    truth = str(source) == "gt"
    by_image: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in labels["annotations"] if truth else _detections(source, labels, notes):
        if not truth or (not row.get("iscrowd") and any((row.get("keypoints") or ())[2::3])):
            by_image[row["image_id"]].append(row)
    given = {}
    for image in labels["images"]:
        rows = by_image[image["id"]]
        unboxed = [row.get("id") for row in rows if len(row.get("bbox") or ()) != 4]
        if unboxed:
            raise ValueError(
                f"person {unboxed[0]} on picture {image['id']} has no bbox of 4 numbers: expected x, y, w, h"
            )
        boxes = np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        # RTMPose's loader cuts labelled boxes to the last pixel's center, and detected ones or MPII's not at all.
        cut = truth and "width" in image and "height" in image
        real = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))
        scores = np.array([1.0 if truth else rows[i]["score"] for i in real], np.float32)
        identities = [rows[i].get("id") for i in real] if truth else None
        kinds = [rows[i].get("category_id", 1) if truth else 1 for i in real]
        given[image["id"]] = _Given(boxes[real], scores, kinds, identities, cut)
    return given


def _detections(path: str | Path, labels: Labels, notes: list[str]) -> list[dict[str, Any]]:
    """Rows of people on the labelled pictures; ValueError where there is none."""
    expected = "expected gt, detector, or a COCO detection file [{image_id, bbox, score}, ...]"
    if not Path(path).exists():
        raise FileNotFoundError(f"no boxes in {path}: {expected}")
    rows = load_json(path, kind="a COCO detection file [{image_id, bbox, score}, ...]")
    needed = {"image_id", "bbox", "score"}
    if not isinstance(rows, list) or not all(isinstance(row, dict) and needed <= set(row) for row in rows):
        raise ValueError(f"{path} has rows without image_id, bbox or score: {expected}")
    boxes, scores = numbers(rows, "bbox", 4, path, "row"), [row["score"] for row in rows]
    if not np.isfinite(boxes).all() or not all(isinstance(s, (int, float)) and abs(s) < np.inf for s in scores):
        raise ValueError(f"{path} has a box or score that is no finite number: {expected}")
    people = [row | {"image_id": whole(row["image_id"])} for row in rows if whole(row.get("category_id", 1)) == 1]
    if rows and not people:
        kinds = ", ".join(sorted({str(row.get("category_id"))[:20] for row in rows})[:5])
        raise ValueError(f"{path} has boxes of category {kinds} alone: expected people, of category 1")
    known = {image["id"] for image in labels["images"]}
    kept = [row for row in people if row["image_id"] in known]
    if not kept:
        others = f"{len(people)} on others" + (f", such as {people[0]['image_id']}" if people else "")
        raise ValueError(f"{path} has no box on any of the {len(known)} labelled pictures, but {others}")
    left_out = {"of other categories": len(rows) - len(people), "on other pictures": len(people) - len(kept)}
    notes += [f"{path} has {count} boxes {what}: they are left out" for what, count in left_out.items() if count]
    return kept


def _in_boxes(estimator: Estimates, image: np.ndarray, given: _Given) -> Poses:
    """One person per box, scored with the box's score."""
    boxes = given.boxes.astype(np.float32)
    poses = estimator(image, boxes) if (given.scores == 1).all() else estimator(image, boxes, given.scores)
    if len(poses) != len(given):
        raise ValueError(f"the estimator gave {len(poses)} people for {len(given)} boxes: build it without suppression")
    return replace(poses, boxes=given.boxes)


def _crop_areas(boxes: np.ndarray, spec: ModelSpec) -> np.ndarray:
    """(N,) area of the padded crop around each box, which is what the published suppression divides by."""
    matrices = crop_matrices(boxes, spec.input_size, spec.padding)
    magnification = matrices[:, 0, 0]
    return spec.input_size[0] * spec.input_size[1] / magnification**2


def row_skeleton(labels: Labels, model: Skeleton) -> Skeleton:
    """The skeleton of the result rows: the model's where the annotations begin with it, else the annotations'."""
    annotated = skeleton_of(labels)
    if len(model) and (annotated is None or annotated.names[: len(model)] == model.names):
        return model
    annotated = annotated or COCO
    if is_nameless(annotated) and len(annotated) == len(model) and not shared(model, annotated):
        raise ValueError(
            f"the annotations name none of their {len(annotated)} keypoints, and the model finds as many "
            f"({', '.join(model.names[:6])}): if these are they in the same order, say so with --skeleton FILE"
        )
    if not shared(model, annotated):
        raise ValueError(
            f"the annotations label {', '.join(annotated.names[:6])}, none of which the model finds "
            f"({', '.join(model.names[:6])}): {nearly(annotated.names) or KEYPOINTS}"
        )
    return annotated


def unmeasured(labels: Labels, model: Skeleton) -> list[str]:
    """Labelled keypoints that a model does not find: rows in the annotations' skeleton hold nothing there."""
    skeleton = row_skeleton(labels, model)
    found = {j for _, j in shared(model, skeleton)}
    return [name for j, name in enumerate(skeleton.names) if j not in found]


def one_category(labels: Labels) -> Labels:
    """All people (or animals) as category 1: results in boxes that no label gave do not say what they are."""
    kinds = {annotation.get("category_id", 1) for annotation in labels["annotations"]}
    if not kinds - {1}:
        return labels
    first: dict[str, Any] = next((c for c in labels.get("categories") or () if c.get("keypoints")), {})
    annotations = [annotation | {"category_id": 1} for annotation in labels["annotations"]]
    return labels | {"annotations": annotations, "categories": [first | {"id": 1}]}


def _rows(poses: Poses, image_id: Any, skeleton: Skeleton | None) -> list[Row]:
    """COCO rows, of boxes where there is no skeleton; keypoints that the model lacks are 0, 0 with score 0."""
    person = {"image_id": image_id, "category_id": 1}
    if skeleton is None:
        boxes = np.concatenate([poses.boxes[:, :2], poses.boxes[:, 2:] - poses.boxes[:, :2]], axis=1)  # x, y, w, h
        scored = zip(boxes, poses.person_scores, strict=True)
        return [person | {"bbox": box.tolist(), "score": float(score)} for box, score in scored]
    table = np.zeros((len(poses), len(skeleton), 3))
    pairs = shared(poses.skeleton, skeleton)
    source, target = [i for i, _ in pairs], [j for _, j in pairs]
    table[:, target, :2] = poses.keypoints[:, source]
    table[:, target, 2] = poses.scores[:, source]
    return [
        person | {"keypoints": points.ravel().tolist(), "score": float(score)}
        for points, score in zip(table, poses.person_scores, strict=True)
    ]
