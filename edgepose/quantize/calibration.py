"""The pictures that a network is quantized by: what it sees of them, and which are held out.

A calibration set of the wrong kind gives a file that is wrong in silence, so sets are refused that are too small, flat,
or of something else than the model finds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgepose.evaluate.labels import Labels
from edgepose.media.sources import expand, frames
from edgepose.poses import Poses
from edgepose.runtime.estimator import Estimator

LEAST = 20  # pictures that calibrate
MOST = 200  # pictures that calibrate, and that are held out
HELD = 5  # every so many-th picture is held out
ENOUGH = 100  # held-out pictures from which an agreement is worth its name
WITH_PEOPLE = 0.5  # share of the pictures on which somebody must be
# Score of a box from which somebody is. The default detector has such a box on 88 % of COCO train2017's pictures with
# people and on 17 % of those parts of them where nobody is labelled; of 0.3, its usual threshold, on 96 % and 47 %.
SURE = 0.5
FLAT = 4.0  # standard deviation of the gray levels (0 to 255), below which there is nothing on a picture
LONGEST = 1280  # pixels of a side; larger pictures are scaled down to it
CROPS = 4  # of a picture, the surest: more would be of the same light

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Calibration:
    """What was chosen of a folder of pictures.

    batches: the model's inputs, one per picture that calibrates, as its `layout` says
    held: (H, W, 3) uint8 BGR pictures that do not, to judge by; names: theirs
    digest: sha256 of the content of those that calibrate, in any order
    notes: sentences on what was left out
    """

    batches: list[np.ndarray]
    held: list[np.ndarray]
    names: list[str]
    digest: str
    notes: list[str] = field(default_factory=list)

    @property
    def views(self) -> int:
        """Pictures or crops that calibrate."""
        return sum(len(batch) for batch in self.batches)


@dataclass(frozen=True)
class _Picture:
    name: str
    pixels: np.ndarray
    content: str


def chosen(images: str | Path, estimator: Estimator, labels: Labels | None, progress: Progress) -> Calibration:
    """Pictures of a folder or zip for the model of `estimator`, which is the float32 one.

    Of at most `HELD` x `MOST` pictures, in an order that depends on their names alone, every fifth is held out, and the
    first `MOST` of the others with somebody on them calibrate. The crops that a per-person network sees stand in the
    boxes of `labels` where the picture is labelled, else in those that the estimator's detector finds.

    Raises ValueError for sets that no range should be taken from: fewer than `LEAST` different pictures with something
    on them, or the model finds nobody on most.
    """
    boxes = {} if labels is None else _boxes(labels)
    left_out = _LeftOut()
    batches: list[np.ndarray] = []
    held: list[_Picture] = []
    digests: list[str] = []
    usable = looked = found = 0
    for picture in _usable(images, left_out, progress):
        usable += 1
        kept = usable % HELD == 0
        if kept:
            held.append(picture)
        elif len(batches) == MOST:
            continue
        batch = _batch(estimator, picture.pixels, boxes.get(Path(picture.name).name))
        looked += 1
        found += batch is not None
        if batch is not None and not kept:
            batches.append(batch)
            digests.append(picture.content)
    notes = left_out.notes()
    least = -(-LEAST * HELD // (HELD - 1))
    if usable < least:
        raise ValueError(
            f"{images} has {usable} different pictures with something on them to calibrate on, expected {least} or "
            f"more: {LEAST} that calibrate, and one held out for every {HELD - 1}; a few hundred are better"
            + "".join(f" ({note})" for note in notes)
        )
    if found < WITH_PEOPLE * looked:
        raise ValueError(
            f"{images} is no set to calibrate {estimator.spec.name} on: it finds somebody on {found} of {looked} "
            f"pictures, expected half of them or more; give pictures of what it is for"
        )
    if len(batches) < LEAST:
        raise ValueError(
            f"{images} has {len(batches)} pictures with somebody on them to calibrate {estimator.spec.name} on, beside "
            f"{len(held)} held out, expected {LEAST} or more; a few hundred are better"
        )
    if len(held) < ENOUGH:
        notes.append(f"judged on {len(held)} held-out pictures: {ENOUGH} or more (of {HELD * ENOUGH}) say more")
    digest = hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()
    return Calibration(batches, [p.pixels for p in held], [p.name for p in held], digest, notes)


@dataclass
class _LeftOut:
    bad: list[str] = field(default_factory=list)
    same: int = 0
    flat: int = 0

    def notes(self) -> list[str]:
        """What to say of it."""
        said = [f"{len(self.bad)} pictures cannot be read and were left out: {self.bad[0]}"] if self.bad else []
        said += [f"{self.same} pictures are copies of others and were left out"] if self.same else []
        return said + ([f"{self.flat} pictures are of one color and were left out"] if self.flat else [])


def _usable(images: str | Path, left_out: _LeftOut, progress: Progress) -> Iterator[_Picture]:
    """Different pictures with something on them."""
    sources = [source for source in expand(images) if source.kind == "picture"]
    sources.sort(key=lambda source: hashlib.sha256(Path(source.member or source.location).name.encode()).digest())
    sources = sources[: HELD * MOST]
    seen: set[str] = set()
    for i, source in enumerate(sources):
        progress("choosing pictures", i, len(sources))
        try:
            pixels = _shrunk(next(iter(frames(source))).image)
        except (OSError, ValueError) as error:
            left_out.bad.append(str(error))
            continue
        content = hashlib.sha256(pixels.tobytes()).hexdigest()
        if float(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).std()) < FLAT:
            left_out.flat += 1
        elif content in seen:
            left_out.same += 1
        else:
            seen.add(content)
            yield _Picture(source.member or source.location, pixels, content)
    progress("choosing pictures", len(sources), len(sources))


def _shrunk(image: np.ndarray) -> np.ndarray:
    scale = LONGEST / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _batch(estimator: Estimator, image: np.ndarray, boxes: np.ndarray | None) -> np.ndarray | None:
    """What the network sees of a picture, None where nobody is on it."""
    if not estimator.spec.per_person:
        there = _somebody(estimator(image)) if boxes is None else len(boxes) > 0
        return estimator.views.whole(image)[0].copy() if there else None
    if boxes is None:
        found = estimator.detect(image)
        boxes = found.boxes[np.argsort(-found.person_scores, kind="stable")] if _somebody(found) else found.boxes[:0]
    boxes = boxes[:CROPS]
    if not len(boxes):
        return None
    return estimator.views.crops([image] * len(boxes), estimator.views.matrices(boxes)).copy()


def _somebody(found: Poses) -> bool:
    """Whether people are on a picture: scores of boxes are probabilities, those of poses are not."""
    return len(found) > 0 and (len(found.skeleton) > 0 or bool(found.person_scores.max() >= SURE))


def _boxes(labels: Labels) -> dict[str, np.ndarray]:
    """Labelled boxes (N, 4) x1 y1 x2 y2 by the last part of the picture's name, the largest first."""
    rows: dict[Any, list[list[float]]] = {image["id"]: [] for image in labels["images"]}
    for person in labels["annotations"]:
        if not person.get("iscrowd") and len(person.get("bbox") or ()) == 4:
            rows[person["image_id"]].append(person["bbox"])
    found = {}
    for image in labels["images"]:
        boxes = np.array(rows[image["id"]], np.float64).reshape(-1, 4)
        boxes = boxes[(boxes[:, 2:] > 1).all(axis=1)]
        boxes = boxes[np.argsort(-boxes[:, 2:].prod(axis=1), kind="stable")]
        boxes[:, 2:] += boxes[:, :2]
        found[Path(image["file_name"]).name] = boxes
    return found
