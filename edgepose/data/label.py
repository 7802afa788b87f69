"""Labels by networks: keypoints of people in pictures, as a COCO file that `edgepose train` reads.

What networks are not sure of is left out: a label that is missing costs a student nothing, a wrong one teaches it.
Every picture is worked out by itself and written to a journal, so a run that was stopped goes on to the same file.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgepose.data.columns import Row
from edgepose.data.consensus import Consensus, consensus
from edgepose.data.journal import Journal
from edgepose.data.people import FILLED
from edgepose.data.plausible import plausible
from edgepose.data.unlabelled import Picture, Unlabelled, boxes_of
from edgepose.media.files import atomic_path
from edgepose.poses import Poses
from edgepose.runtime.estimator import Estimator, distinct
from edgepose.skeleton import Skeleton
from edgepose.skeleton_file import category_fields

DUPLICATE_OKS = 0.5  # of two people in detected boxes more alike than this one goes, as where models are used


@dataclass(frozen=True)
class Rules:
    """Which keypoints become labels. 0 or False switches a rule off.

    flip, scales: the views; see `consensus.consensus`
    min_box_score, min_height: people who are found are looked at from this score of the detector and this height in
        pixels on. Boxes that are given count all, from `min_height` on.
    min_score: a keypoint's mean score
    agreement: how far the views may be from a keypoint on average, in shares of the box's size (the square root of
        its area). Of PP-TinyPose's keypoints of 611 people of COCO val2017 98 % are right (OKS above .5) where its six
        views are less than .01 apart, 89 % at .02 to .03, 75 % at .04 to .05, 60 % at .07 to .1, 3 % above .2
    likely: limbs must fit each other; see `plausible.plausible`
    min_keypoints, min_mean: a person is labelled who has so many keypoints left, with a mean score of so much
    """

    flip: bool = True
    scales: tuple[float, ...] = (0.9, 1.0, 1.1)
    min_box_score: float = 0.45
    min_height: float = 32.0
    min_score: float = 0.35
    agreement: float = 0.05
    likely: bool = True
    min_keypoints: int = 6
    min_mean: float = 0.5


@dataclass
class Labelled:
    """What a run has made. people: with keypoints; boxes: all people; removed: {why: keypoints, or people};
    unreadable: {picture: what is wrong with it}; resumed: pictures that an earlier run had done.
    """

    images: int = 0
    boxes: int = 0
    people: int = 0
    keypoints: int = 0
    resumed: int = 0
    removed: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


def label(
    work: Unlabelled,
    estimators: Sequence[Estimator],
    out: str | Path,
    rules: Rules | None = None,
    *,
    run: dict[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Labelled:
    """Label pictures with one model or several of one skeleton; writes the COCO file `out`.

    Where the work states no boxes, people are found by the detector of the first model that looks at one person at a
    time, or by the first model itself. People without enough keypoints stay in the file as boxes without any, which
    training takes for neither people nor background. Annotations have `kp_scores`, the mean score of each keypoint.

    A journal beside `out` holds what is done until the file is there; the same call goes on with it.

    Args:
        run: what else tells this run from others, for the journal: the models' files (`fingerprints`).
        progress: called with pictures done and pictures in all.

    Raises ValueError for models of several skeletons, for detectors, and where a journal belongs to another run
    or another process is writing it; FileNotFoundError where no picture can be read.
    """
    rules = Rules() if rules is None else rules
    skeleton = _skeleton(estimators)
    out = Path(out)
    if out.is_dir():
        raise ValueError(f"cannot write {out}: expected a file such as {out / 'labels.json'}, it is a folder")
    names = [[picture.image["id"], picture.image["file_name"]] for picture in work.pictures]
    told = {"rules": asdict(rules), "names": _digest(json.dumps(names).encode()), **(run or {})}
    told["models"] = [estimator.spec.to_json() for estimator in estimators]
    made = Labelled()
    with Journal(out.with_name(out.name + ".journal"), json.loads(json.dumps(told))) as journal:
        done = {part["image"] for part in journal.done}
        made.resumed = len(done)
        parts = list(journal.done)
        for number, picture in enumerate(work.pictures):
            if progress is not None:
                progress(number, len(work.pictures))
            if number in done:
                continue
            try:
                image = picture.pictures.read(picture.name)
            except (OSError, ValueError, zipfile.BadZipFile) as error:
                made.unreadable[picture.image["file_name"]] = str(error)
                continue
            part = {"image": number} | _labels_of(picture, image, estimators, rules)
            journal.write(part)
            parts.append(part)
        if progress is not None:
            progress(len(work.pictures), len(work.pictures))
        if parts or not work.pictures:
            _write(
                out, work, parts, skeleton, estimators[0].spec.subject, made
            )  # before another run may go on with the journal
    journal.path.unlink(missing_ok=True)
    if work.pictures and not parts:
        name, reason = next(iter(made.unreadable.items()))
        raise FileNotFoundError(f"none of {len(work.pictures)} pictures can be read; {name}: {reason}")
    return made


def fingerprints(paths: Sequence[str | Path]) -> list[str]:
    """What tells the contents of models' files, and of the files beside them, from others."""
    found = []
    for path in map(Path, paths):
        beside = [path, *(path.with_suffix(suffix) for suffix in (".bin", ".json") if path.suffix != suffix)]
        found.append(_digest(b"".join(file.read_bytes() for file in beside if file.is_file())))
    return found


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _skeleton(estimators: Sequence[Estimator]) -> Skeleton:
    """The one of all models."""
    for estimator in estimators:
        if len(estimator.skeleton) == 0:
            raise ValueError(
                f"{estimator.spec.name} finds boxes and no keypoints: it can be the detector, not the model"
            )
    first, *others = estimators
    for other in others:
        if other.skeleton.names != first.skeleton.names:
            raise ValueError(
                f"{first.spec.name} finds the keypoints of {first.skeleton.name}, {other.spec.name} those of "
                f"{other.skeleton.name}: models label together only if they have one skeleton"
            )
    return first.skeleton


def _labels_of(picture: Picture, image: np.ndarray, estimators: Sequence[Estimator], rules: Rules) -> Row:
    """The journal's part of one picture: its size, its people, and how much was removed and why."""
    height, width = image.shape[:2]
    if picture.people is None:
        rows = _found(estimators, image, rules)
    else:
        rows = [{key: value for key, value in row.items() if key != "segmentation"} for row in picture.people]
    boxes = boxes_of(rows)
    looked = np.flatnonzero((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] - boxes[:, 1] >= max(rules.min_height, 1)))
    removed = Counter({"small": len(rows) - len(looked)})
    labels: dict[int, Row] = {}
    if len(looked):
        opinion = consensus(estimators, image, boxes[looked], flip=rules.flip, scales=rules.scales)
        skeleton = estimators[0].skeleton
        if picture.people is None:
            kept = _distinct(opinion, boxes[looked], rows, looked, estimators[0])
            removed["duplicates"] = len(looked) - len(kept)
            gone = set(looked.tolist()) - set(looked[kept].tolist())
        else:
            kept, gone = np.arange(len(looked)), set()
        seen, why = judged(opinion, (width, height), rules, skeleton)
        for i in kept:
            removed.update({name: int(mask[i].sum()) for name, mask in why.items()})
            labels[int(looked[i])] = _annotation(opinion, int(i), seen[i], rules)
        removed["people"] = sum(not row["num_keypoints"] for row in labels.values())
    else:
        gone = set()
    k = len(estimators[0].skeleton)
    nobody = {"keypoints": [0] * (3 * k), "num_keypoints": 0}
    people = [_without_keypoints(row) | labels.get(i, nobody) for i, row in enumerate(rows) if i not in gone]
    return {"width": width, "height": height, "people": people, "removed": dict(removed)}


def _without_keypoints(row: Row) -> Row:
    return {key: value for key, value in row.items() if key not in ("keypoints", "num_keypoints", "kp_scores")}


def _found(estimators: Sequence[Estimator], image: np.ndarray, rules: Rules) -> list[Row]:
    """Annotations, without ids, of the people whom a detector or a whole-picture model finds, surest first."""
    looking = next((estimator for estimator in estimators if estimator.spec.per_person), None)
    poses = estimators[0](image) if looking is None else looking.detect(image)
    rows = []
    for i in np.argsort(-poses.person_scores, kind="stable"):
        if poses.person_scores[i] < rules.min_box_score:
            continue
        x1, y1, x2, y2 = (round(float(v), 1) for v in poses.boxes[i])
        box = [x1, y1, round(x2 - x1, 1), round(y2 - y1, 1)]
        rows.append(
            {"bbox": box, "area": round(FILLED * box[2] * box[3], 1), "iscrowd": 0,
             "box_score": round(float(poses.person_scores[i]), 3)}
        )  # fmt: skip
    return rows


def _distinct(
    opinion: Consensus, boxes: np.ndarray, rows: Sequence[Row], looked: np.ndarray, estimator: Estimator
) -> np.ndarray:
    """Rows of the opinion that stay: of two people nearly alike, the one with the surer keypoints and box."""
    sure = opinion.scores.mean(axis=1) * [rows[i]["box_score"] for i in looked]
    poses = Poses(opinion.keypoints, opinion.scores, boxes, sure, estimator.skeleton)
    return distinct(poses, estimator.spec, DUPLICATE_OKS)


def judged(
    opinion: Consensus, size: tuple[int, int], rules: Rules, skeleton: Skeleton
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Which keypoints (N, K) become labels, by `rules`, in a picture of `size` (w, h); and which rule took others."""
    points, scores = opinion.keypoints, opinion.scores
    inside = ((points >= 0) & (points <= np.array(size) - 1)).all(-1)
    sure = scores >= rules.min_score
    why = {"unsure": ~sure, "outside": sure & ~inside}
    seen = sure & inside
    if rules.agreement:
        agreed = opinion.spread <= rules.agreement
        why["disagreement"] = seen & ~agreed
        seen = seen & agreed
    if rules.likely:
        possible = plausible(points, scores, seen, skeleton)
        why["implausible"] = seen & ~possible
        seen = possible
    return seen, why


def _annotation(opinion: Consensus, i: int, seen: np.ndarray, rules: Rules) -> Row:
    """Keypoints and scores of a person; none where too little is left."""
    points, scores = opinion.keypoints[i], opinion.scores[i]
    if seen.sum() < max(rules.min_keypoints, 1) or scores[seen].mean() < rules.min_mean:
        seen = np.zeros_like(seen)
    triples = [
        [round(float(x), 1), round(float(y), 1), 2] if flag else [0, 0, 0]
        for (x, y), flag in zip(points, seen, strict=True)
    ]
    return {
        "keypoints": [number for triple in triples for number in triple],
        "num_keypoints": int(seen.sum()),
        "kp_scores": [round(float(score), 3) for score in scores],
    }


def _write(out: Path, work: Unlabelled, parts: list[Row], skeleton: Skeleton, subject: str, made: Labelled) -> None:
    """The COCO file, in the order of the pictures; counts what is in it. subject: what its category is called."""
    images: list[Row] = []
    annotations: list[Row] = []
    removed: Counter[str] = Counter()
    for part in sorted(parts, key=lambda part: int(part["image"])):
        image = work.pictures[part["image"]].image
        images.append(image | {"width": part["width"], "height": part["height"]})
        removed.update(part["removed"])
        for row in part["people"]:
            own = {"id": len(annotations) + 1, "image_id": image["id"]} | row | {"category_id": work.category}
            annotations.append(own)
    category = {"id": work.category, "name": subject} | category_fields(skeleton)
    with atomic_path(out) as temporary:
        content = {"images": images, "annotations": annotations, "categories": [category]}
        temporary.write_text(json.dumps(content, separators=(",", ":"), allow_nan=False), encoding="utf-8")
    made.images, made.boxes = len(images), len(annotations)
    made.people = sum(row["num_keypoints"] > 0 for row in annotations)
    made.keypoints = sum(row["num_keypoints"] for row in annotations)
    made.removed = {name: count for name, count in removed.items() if count}
