"""Tracked sequences in files: PoseTrack18's JSON, MOT challenge text, and the JSON lines of `edgepose track`."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgepose.data.coco import labelled_skeleton
from edgepose.data.columns import load_json, read_bounded, rows_of
from edgepose.evaluate.tracking import THRESHOLD, Identities, Likeness, evaluate_identities
from edgepose.geometry import boxes_of, iou
from edgepose.poses import Poses
from edgepose.skeleton import BOX, Skeleton, shared

KNOWN = "a PoseTrack file (images, annotations with track_id), MOT text (frame,id,x,y,w,h,...) or JSON lines of `track`"
PEDESTRIANS = (-1, 1)  # the classes of MOT's labels that count; the others are neither found nor missed


@dataclass(frozen=True, eq=False)
class Tracks:
    """One sequence: people with ids by the number of the frame, from 0.

    listed: names of the frames in order where the file lists all frames, one each; None: those without people are
        not in the file
    measured: the frames that were labelled
    ignored, regions: of labels, by frame: boxes (M, 4) whose people do not count, and polygons in which nobody does
    """

    name: str
    frames: dict[int, Poses]
    skeleton: Skeleton = BOX
    listed: tuple[str, ...] | None = None
    measured: frozenset[int] | None = None
    ignored: dict[int, np.ndarray] = field(default_factory=dict)
    regions: dict[int, list[np.ndarray]] = field(default_factory=dict)


def evaluated_tracks(results: str | Path, data: str | Path) -> dict[str, Any]:
    """IDF1, HOTA, MOTA and their parts of a file of tracked people (or a folder with one) against labelled ones.

    By OKS where both sides name their keypoints, by the IoU of boxes elsewhere. Keypoints that no result has are not
    measured. Raises ValueError where nothing would be measured, and where the frames of the two cannot be told to be
    the same.
    """
    truth = _chosen(read_tracks(data, labels=True), Path(data), str(data))
    found = _chosen(read_tracks(_file_of(Path(results), Path(data))), Path(data), str(results))
    pairs = _paired(truth, found, results)
    by: Likeness = "oks" if len(truth.skeleton) and len(shared(found.skeleton, truth.skeleton)) else "iou"
    if by == "oks":
        pairs = _in_skeleton(pairs, found.skeleton, truth.skeleton)
    people, rows = (sum(len(pair[side]) for pair in pairs) for side in (0, 1))
    if not people or not rows:
        what = f"{data} labels nobody" if not people else f"{results} has nobody in a labelled frame"
        raise ValueError(f"{what}: expected people with identities, there is nothing to measure")
    return _figures(
        evaluate_identities([a for a, _ in pairs], [b for _, b in pairs], by), Path(results), by, len(pairs)
    )


def read_tracks(path: str | Path, labels: bool = False) -> list[Tracks]:
    """The sequences of a file in any of the three formats, told apart by the content.

    labels: whether the numbers behind the boxes of MOT text are those of labels (counts, class), not a score
    """
    try:
        text = read_bounded(path).decode("utf-8-sig")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist: expected {KNOWN}") from None
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise ValueError(f"{path} is not readable ({error}): expected {KNOWN}") from None
    first = text.lstrip().partition("\n")[0]
    if not first.startswith(("{", "[")):
        return [_mot(text, path, labels)]
    if '"people"' in first:
        return _json_lines(text, path)
    return _posetrack(load_json(path, kind=KNOWN), path)


def _mot(text: str, path: str | Path, labels: bool) -> Tracks:
    rows = defaultdict(list)
    for number, line in enumerate(text.splitlines(), 1):
        words = line.replace(",", " ").split()
        if not words:
            continue
        try:
            values = [float(word) for word in words]
            frame, identity = int(values[0]), int(values[1])
        except (ValueError, IndexError, OverflowError):
            values, frame, identity = [], 0, 0
        if len(values) < 6 or frame < 1 or not np.isfinite(values[:6]).all():
            raise ValueError(
                f"{path}, line {number}: expected frame (from 1), id, left, top, width, height, got {line[:60]!r}"
            )
        counts = not labels or ((len(values) < 7 or values[6] != 0) and (len(values) < 8 or values[7] in PEDESTRIANS))
        rows[frame - 1].append((identity, values[2:6], 1.0 if labels or len(values) < 7 else values[6], counts))
    frames, ignored = {}, {}
    for frame, people in rows.items():
        boxes = _corners([box for _, box, _, _ in people])
        kept = np.array([counts for *_, counts in people], bool)
        scores, ids = np.array([score for _, _, score, _ in people]), [identity for identity, *_ in people]
        frames[frame] = replace(Poses.of_boxes(boxes, scores), ids=np.array(ids, np.int64))[kept]
        ignored[frame] = boxes[~kept]
    return Tracks(Path(path).stem, frames, ignored=ignored)


def _json_lines(text: str, path: str | Path) -> list[Tracks]:
    """Boxes alone: these lines do not say what their keypoints are."""
    found: dict[str, dict[int, Poses]] = defaultdict(dict)
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            people = row["people"]
            ids = [person["id"] for person in people]
            boxes = np.array([person["box"] for person in people], np.float64).reshape(-1, 4)
            scores = np.array([person["score"] for person in people], np.float64)
            frame, source = int(row["frame"]), str(row["source"])
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{path}, line {number}: expected a line of `edgepose track --json`") from None
        if None in ids:
            raise ValueError(f"{path}, line {number}: expected people with identities, got some without; use `track`")
        found[source][frame] = replace(Poses.of_boxes(boxes, scores), ids=np.array(ids, np.int64))
    return [Tracks(Path(source).stem, frames, listed=("",) * len(frames)) for source, frames in found.items()]


def _posetrack(content: Any, path: str | Path) -> list[Tracks]:
    if not isinstance(content, dict) or not {"images", "annotations"} <= set(content):
        raise ValueError(f"{path} lacks `images` or `annotations`: expected {KNOWN}")
    people = rows_of(content, "annotations", path)
    categories: list[dict[str, Any]] = content.get("categories") or [{}]
    skeleton = next((s for c in categories if (s := labelled_skeleton(c, people, path))), BOX)
    by_image = defaultdict(list)
    for person in people:
        if not isinstance(person.get("track_id"), int):
            raise ValueError(f"{path}: annotation {person.get('id')} has no track_id: expected {KNOWN}")
        by_image[person.get("image_id")].append(person)
    videos = defaultdict(list)
    for image in rows_of(content, "images", path):
        if "id" not in image or "file_name" not in image:
            raise ValueError(f"{path}: an image lacks id or file_name: expected {KNOWN}")
        videos[str(image.get("vid_id") or Path(image["file_name"]).parent)].append(image)
    return [_video(name, images, by_image, skeleton, path) for name, images in videos.items()]


def _video(
    name: str, images: list[dict[str, Any]], by_image: dict[Any, list[dict[str, Any]]], skeleton: Skeleton, path: Any
) -> Tracks:
    order = sorted(images, key=lambda image: (image.get("frame_id") or 0, image["file_name"]))
    frames, regions = {}, {}
    for number, image in enumerate(order):
        frames[number] = _people(by_image[image["id"]], skeleton, path)
        outlines = zip(image.get("ignore_regions_x") or (), image.get("ignore_regions_y") or (), strict=False)
        regions[number] = [np.stack([x, y], axis=-1).astype(np.float32).reshape(-1, 1, 2) for x, y in outlines if x]
    measured = frozenset(number for number, image in enumerate(order) if image.get("is_labeled", True))
    names = tuple(image["file_name"] for image in order)
    stem = Path(name).name or Path(names[0]).stem
    return Tracks(stem, frames, skeleton, names, measured, regions=regions)


def _people(rows: list[dict[str, Any]], skeleton: Skeleton, path: Any) -> Poses:
    k = len(skeleton)
    try:
        points = np.array([row["keypoints"] for row in rows] if k else [], np.float64).reshape(len(rows), k, 3)
        stated = [row.get("scores") for row in rows]
        scores = np.array([given if given else codes > 0 for given, codes in zip(stated, points[..., 2], strict=True)])
        scores = scores.astype(np.float64).reshape(len(rows), k)
        extents = boxes_of(points[..., :2], points[..., 2] > 0) if k else np.zeros((len(rows), 4))
        boxes = [_corners([row["bbox"]])[0] if row.get("bbox") else box for row, box in zip(rows, extents, strict=True)]
        sure = np.array([row.get("score", 1.0) for row in rows], np.float64)
        table = np.array(boxes, np.float64).reshape(-1, 4)
    except (ValueError, TypeError, KeyError) as error:
        which = [row.get("id") for row in rows]
        raise ValueError(
            f"{path}: annotations {which[:5]} do not have {k} keypoints x, y, code and a bbox of 4 numbers: {error}"
        ) from None
    return Poses(points[..., :2], scores, table, sure, skeleton, np.array([row["track_id"] for row in rows], np.int64))


def _corners(boxes: Sequence[Any]) -> np.ndarray:
    """x, y, w, h -> (N, 4) x1, y1, x2, y2."""
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    return corners


def _file_of(results: Path, data: Path) -> Path:
    """The file that was named, or the one in the folder for this sequence."""
    if not results.is_dir():
        return results
    files = sorted(path for path in results.iterdir() if path.suffix in (".txt", ".json", ".jsonl"))
    fitting = [path for path in files if path.stem in _names(data)] or files
    if len(fitting) != 1:
        raise ValueError(f"{results} holds {len(files)} files of results: expected one for {data}; name the file")
    return fitting[0]


def _names(data: Path) -> set[str]:
    """What a sequence is called: by its file, or in MOT's layout by the folder, NAME/gt/gt.txt."""
    return {data.stem, data.resolve().parents[1].name if data.stem == "gt" else data.stem}


def _chosen(sequences: list[Tracks], data: Path, source: str) -> Tracks:
    fitting = [one for one in sequences if one.name in _names(data)] or sequences
    if len(fitting) != 1:
        names = sorted(one.name for one in sequences)[:5]
        raise ValueError(f"{source} holds {len(sequences)} sequences {names}: expected one, called like {data.name}")
    return fitting[0]


def _paired(truth: Tracks, found: Tracks, results: Any) -> list[tuple[Poses, Poses]]:
    """The people of every labelled frame, true and found; who is found where nobody counts is left out."""
    number = _numbers(truth, found, results)
    count = len(truth.listed) if truth.listed is not None else max([-1, *truth.frames, *number]) + 1
    nobody_true, nobody_found = _nobody(truth.skeleton), _nobody(found.skeleton)
    pairs = []
    for frame in sorted(truth.measured if truth.measured is not None else range(count)):
        true = truth.frames.get(frame, nobody_true)
        there = found.frames[number[frame]] if frame in number else nobody_found
        pairs.append((true, there[~_does_not_count(there, true, truth, frame)]))
    return pairs


def _numbers(truth: Tracks, found: Tracks, results: Any) -> dict[int, int]:
    """{frame of the labels: frame of the results}."""
    if truth.listed is None:
        return {frame: frame for frame in found.frames}
    own = {name: number for number, name in enumerate(found.listed or ()) if name}
    if len(own) > 1:  # files per frame
        named = {frame: own[name] for frame, name in enumerate(truth.listed) if name in own}
        if not named:
            raise ValueError(f"{results} names other pictures than the labels: expected such as {truth.listed[0]}")
        return named
    expected, got = len(truth.listed), len(found.listed) if found.listed is not None else max(found.frames, default=-1)
    if got != expected if found.listed is not None else got >= expected:
        raise ValueError(f"{results} has {got} frames, expected the {expected} that the labels list: track all of them")
    return {frame: frame for frame in found.frames}


def _nobody(skeleton: Skeleton) -> Poses:
    return replace(Poses.nobody(skeleton), ids=np.zeros(0, np.int64))


def _does_not_count(found: Poses, true: Poses, truth: Tracks, frame: int) -> np.ndarray:
    """(N,) whose box is like an ignored one, or stands in an ignored region, and like nobody's who is labelled."""
    aside = np.zeros(len(found), bool)
    ignored = truth.ignored.get(frame)
    if ignored is not None and len(ignored) and len(found):
        aside |= (iou(found.boxes, ignored) >= THRESHOLD).any(axis=1)
    middles = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    for region in truth.regions.get(frame, ()):
        aside |= [cv2.pointPolygonTest(region, (float(x), float(y)), False) >= 0 for x, y in middles]
    if len(true) and len(found):
        aside &= (iou(found.boxes, true.boxes) < THRESHOLD).all(axis=1)
    return aside


def _in_skeleton(pairs: list[tuple[Poses, Poses]], source: Skeleton, target: Skeleton) -> list[tuple[Poses, Poses]]:
    """Both sides in the labels' keypoints; those that nobody was found with are labelled on nobody either."""
    joints = shared(source, target)
    ever = np.zeros(len(target), bool)
    found = []
    for _, poses in pairs:
        points, scores = np.zeros((len(poses), len(target), 2)), np.zeros((len(poses), len(target)))
        for i, j in joints:
            points[:, j], scores[:, j] = poses.keypoints[:, i], poses.scores[:, i]
        ever |= (scores > 0).any(axis=0)
        found.append(Poses(points, scores, poses.boxes, poses.person_scores, target, poses.ids))
    return [(replace(true, scores=true.scores * ever), poses) for (true, _), poses in zip(pairs, found, strict=True)]


def _figures(values: Identities, results: Path, by: Likeness, frames: int) -> dict[str, Any]:
    names = {"idf1": "IDF1", "hota": "HOTA", "mota": "MOTA", "deta": "DetA", "assa": "AssA", "idp": "IDP", "idr": "IDR"}
    row: dict[str, Any] = {"tracks": results.stem, "by": by}
    everything = asdict(values)
    row |= {shown: everything.pop(name) for name, shown in names.items()} | {"MOTP": everything.pop("motp")}
    row = {name: round(value, 6) if isinstance(value, float) else value for name, value in row.items()}
    return {name: None if value != value else value for name, value in row.items()} | everything | {"frames": frames}
