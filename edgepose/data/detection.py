"""Pictures with person boxes for a detector: readers, mosaic and mix-up.

The augmentation is RTMDet's (Lyu et al., 2022, section 3.5; the published configs): mosaic of four on a canvas of twice
the input size, resize by a random ratio, crop, YOLOX's color jitter, mirror, gray 114 outside. Resize, crop and mirror
are one matrix per source picture, so each is interpolated once, and only where it is seen. The whole data set stays
decoded in memory, which takes the place of the published picture cache.

Boxes are x1, y1, x2, y2 with **edges** of pixels as coordinates (a picture is [0, W] x [0, H]), as COCO counts: they
scale about 0 and mirror to W - x. OpenCV's pixel centers lie half a pixel off; `paste` accounts for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgepose.data.augment import jitter_hsv
from edgepose.data.coco import category_name
from edgepose.data.columns import NO_CHOICE
from edgepose.data.images import ON_BAD, OnBad, Pictures
from edgepose.data.memory import PROCESS, Budget, Kept
from edgepose.data.people import People
from edgepose.data.picture_size import checked_sizes
from edgepose.data.read import READERS, loaded
from edgepose.geometry import area, clip_boxes, compose
from edgepose.names import expected
from edgepose.spec import PEOPLE

GRAY = 114
VISIBLE = 0.1  # a box with a smaller share of its area in view is ignored: neither person nor background
SMALLEST = 3.0  # likewise a box with a side of fewer input pixels


@dataclass(frozen=True)
class Record:
    """One picture: its archive or folder, its name there, boxes (N, 4) in its pixels, ignore (N,) bool, and what its
    data set calls those who are boxed.
    """

    images: Path
    name: str
    boxes: np.ndarray
    ignore: np.ndarray
    categories: tuple[str, ...] = ("person",)  # of its data set


Rows = dict[int, list[tuple[list[float], bool]]]  # by picture: x, y, w, h and whether to ignore it


def boxed_categories(content: Any, category: str = "") -> dict[Any, str]:
    """What a detector learns to find in a COCO-style file, by id: what has keypoints, else people where a category is
    called so, else everything; or the category of a name alone.
    """
    names = {c.get("id"): category_name(c) for c in content.get("categories") or ()}
    if category:
        chosen = {identity: name for identity, name in names.items() if name == category}
        if not chosen:
            raise ValueError(f"no category is called {category!r}{expected(category, names.values())}")
        return chosen
    people = {identity: name for identity, name in names.items() if name.strip().lower() in PEOPLE}
    posed = {c.get("id"): names[c.get("id")] for c in content.get("categories") or () if c.get("keypoints")}
    return posed or people or names or {1: "person"}


def read_boxes(annotations: Path, images: Path, category: str = "", notes: list[str] | None = None) -> list[Record]:
    """Boxes of an annotation file of any known format, of every picture that it names, in order of their ids.

    People are positives with or without keypoints; crowds are regions to ignore. `boxed_categories` says what counts
    where a file has several categories.

    Args:
        notes: takes sentences about what was repaired or left out.
    """
    kind, content = loaded(annotations, pictures=images)
    if kind != "coco" or any("bbox" not in row for row in content["annotations"]):
        return _of_people(READERS[kind](content, annotations, None, None, NO_CHOICE), images)
    try:
        kinds = boxed_categories(content, category)
    except ValueError as error:
        raise ValueError(f"{annotations}: {error}") from None
    rows: Rows = {}
    for row in content["annotations"]:
        if row["category_id"] in kinds:
            rows.setdefault(row["image_id"], []).append((row["bbox"], bool(row["iscrowd"])))
    if content["annotations"] and not rows:
        raise ValueError(f"{annotations}: no annotation is of {' or '.join(kinds.values())}, the categories to find")
    if notes is not None:
        notes += content["notes"]
        others = [row["category_id"] for row in content["annotations"] if row["category_id"] not in kinds]
        if others:
            called = {c["id"]: category_name(c) for c in content["categories"]}
            some = ", ".join(list(dict.fromkeys(called[each] for each in others))[:5])
            notes.append(
                f"{annotations}: {len(others)} boxes of other categories ({some}) than {', '.join(kinds.values())} are "
                "left out: take one with category=NAME"
            )
    names = {image["id"]: image["file_name"] for image in content["images"]}
    said = _size_notes(content["images"], rows, images, annotations)
    if notes is not None:
        notes += said
    return _records(images, names, rows, tuple(dict.fromkeys(kinds.values())))


def _size_notes(pictures: Sequence[Any], rows: Rows, images: Path, annotations: Path) -> list[str]:
    """What `checked_sizes` says of the pictures with boxes: by their middles, since boxes may well end outside."""
    boxed = [image for image in pictures if image["id"] in rows]
    middles = [_corners([box for box, _ in rows[i["id"]]]).reshape(-1, 2, 2).mean(axis=1) for i in boxed]
    sizes = np.array([(image.get("width", 0), image.get("height", 0)) for image in boxed]).reshape(-1, 2)
    return checked_sizes([i["file_name"] for i in boxed], sizes, middles, Pictures(images, Budget(0)), str(annotations))


def _of_people(people: People, images: Path) -> list[Record]:
    """The boxes of a format that is not COCO's."""
    boxes = np.concatenate([people.boxes, people.unlabelled])
    of = np.concatenate([people.picture, people.unlabelled_picture])
    crowd = np.concatenate([np.zeros(len(people), bool), people.crowd])
    return [
        Record(images, name, boxes[of == i].astype(np.float32), crowd[of == i], people.categories)
        for i, (_, name) in enumerate(people.files)
    ]


def _records(images: Path, names: dict[int, str], rows: Rows, categories: tuple[str, ...]) -> list[Record]:
    return [
        Record(
            images, name, _corners([b for b, _ in rows.get(i, [])]), np.array([f for _, f in rows.get(i, [])], bool),
            categories,
        )
        for i, name in sorted(names.items())
    ]  # fmt: skip


def _corners(boxes: Sequence[Sequence[float]]) -> np.ndarray:
    rows = np.array(boxes, np.float32).reshape(-1, 4)  # x, y, w, h
    return np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:]], axis=1)


class Detections:
    """Augmented samples of `size` x `size` pixels; the same (seed, row, stage) always gives the same sample.

    A picture is decoded once and kept while there is room, reduced where its longer side exceeds twice the size: 4,000
    of 320 pixels take 0.9 GB. A record that is listed several times is kept once. Call `load` before worker processes
    fork, and they share that memory.

    Args:
        ratio: range of the random resize (published: nano .5-1.5, tiny and s .5-2, m, l and x .1-2).
        mixup: probability of blending two mosaics in stage 1 (published: nano 0, tiny .5, else 1).
        on_bad: "refuse" raises when a picture is missing or cannot be read; "skip" takes the next one instead, and
            names the bad pictures of a batch in its targets ("skipped").
        budget: what kept pictures may take, by default that of all data sets of the process together.
    """

    def __init__(
        self,
        records: Iterable[Record],
        size: int,
        ratio: tuple[float, float] = (0.5, 1.5),
        mixup: float = 0.0,
        on_bad: OnBad = "refuse",
        budget: Budget = PROCESS,
    ) -> None:
        if size <= 0 or size % 32:
            raise ValueError(f"size is {size}, expected a multiple of 32, the detector's greatest stride")
        self.records = list(records)
        if on_bad not in ON_BAD:
            raise ValueError(f"on_bad={on_bad!r}: expected one of {list(ON_BAD)}")
        self.size, self.ratio, self.mixup, self.on_bad = size, ratio, mixup, on_bad
        self._bad: dict[int, str] = {}  # rows that cannot be read, by why
        self._skipped: list[str] = []  # in the batch being made
        self._sources = {path: Pictures(path, Budget(0)) for path in {record.images for record in self.records}}
        first: dict[int, int] = {}
        self._first = [first.setdefault(id(record), row) for row, record in enumerate(self.records)]
        self._kept: Kept[tuple[np.ndarray, np.ndarray]] = Kept(budget)

    def __len__(self) -> int:
        return len(self.records)

    def load(self) -> None:
        """Decode every picture now."""
        for row in range(len(self)):
            self.picture(row)

    def picture(self, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Picture (H, W, 3) uint8 BGR, never to be written into, its boxes (N, 4) and ignore (N,)."""
        record, row = self.records[row], self._first[row]
        kept = self._kept.get(row)
        if kept is None and row not in self._bad:
            try:
                image = self._sources[record.images].read(record.name)
            except (OSError, ValueError) as error:
                if self.on_bad == "refuse":
                    raise
                self._bad[row] = str(error)
        if row in self._bad:
            self._skipped.append(record.name)
            if len(self._bad) == len(set(self._first)):
                raise ValueError(f"not one of the {len(self._bad)} pictures can be read: {self._bad[row]}")
            return self.picture((row + 1) % len(self))
        if kept is None:
            kept = _reduced(image, clip_boxes(record.boxes, (image.shape[1], image.shape[0])), 2 * self.size)
            self._kept.put(row, kept, kept[0].nbytes)
        return *kept, record.ignore

    def batch(
        self, seed: Sequence[int], rows: Sequence[int] | np.ndarray, stage: int
    ) -> tuple[np.ndarray, dict[str, list]]:
        """Images (B, S, S, 3) uint8 BGR and targets: boxes B times (n, 4), ignore B times (n,).

        Stage 1 is mosaics, 2 single pictures, 0 pictures as the detector sees them when it runs.
        """
        samples = [self.sample(np.random.default_rng([*seed, row]), row, stage) for row in map(int, rows)]
        images = np.stack([image for image, _, _ in samples])
        targets: dict[str, list] = {"boxes": [b for _, b, _ in samples], "ignore": [i for _, _, i in samples]}
        if self._skipped:
            targets["skipped"], self._skipped = self._skipped, []
        return images, targets

    def sample(self, rng: np.random.Generator, row: int, stage: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Image (S, S, 3) uint8 BGR, boxes (n, 4), ignore (n,)."""
        if stage != 1:
            return self._single(rng, row, augment=stage == 2)
        image, boxes, ignore = self._mosaic(rng, row)
        if rng.random() < self.mixup:
            other, more, more_ignore = self._mosaic(rng, int(rng.integers(len(self))))
            image = cv2.addWeighted(image, 0.5, other, 0.5, 0)
            boxes, ignore = np.concatenate([boxes, more]), np.concatenate([ignore, more_ignore])
        return image, boxes, ignore

    def _mosaic(self, rng: np.random.Generator, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Four pictures around a random point of a canvas of 2S, each scaled to fit S, then a random view of it."""
        others = rng.integers(len(self), size=3)
        meeting = np.floor(rng.uniform(0.5, 1.5, 2) * self.size)
        view, seen = self._view(rng, np.array([2 * self.size] * 2))
        canvas = np.full((self.size, self.size, 3), GRAY, np.uint8)
        found = []
        for corner, other in enumerate((row, *others)):
            image, boxes, ignore = self.picture(int(other))
            scale, fitted = self._fit(image)
            beside = np.array([corner % 2 == 0, corner < 2])  # this picture lies left of, above the point
            matrix = compose(view, scaling(scale, meeting - fitted * beside))
            found.append((paste(canvas, image, boxes, matrix, seen), ignore))
        _jitter(rng, canvas, seen)
        return canvas, *_visible(seen, found)

    def _single(self, rng: np.random.Generator, row: int, augment: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        image, boxes, ignore = self.picture(row)
        scale, fitted = self._fit(image)
        canvas = np.full((self.size, self.size, 3), GRAY, np.uint8)
        matrix, seen = scaling(scale, np.zeros(2)), np.array([0, 0, *fitted], np.float32)
        if augment:
            view, seen = self._view(rng, fitted)
            matrix = compose(view, matrix)
        boxes = paste(canvas, image, boxes, matrix, seen)
        if augment:
            _jitter(rng, canvas, seen)
        return canvas, *_visible(seen, [(boxes, ignore)])

    def _fit(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Factors (2,) that scale a picture to fit S x S, and the size (2,) it then has."""
        sides = np.array(image.shape[1::-1], float)  # w, h
        fitted = np.maximum(np.floor(sides * (self.size / sides.max()) + 0.5), 1)
        return fitted / sides, fitted

    def _view(self, rng: np.random.Generator, canvas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Random resize, crop and mirror of a canvas (w, h) -> (2, 3), and the part (4,) of the view that it covers."""
        resized = np.maximum(np.floor(canvas * rng.uniform(*self.ratio) + 0.5), 1)
        offset = np.floor(rng.random(2) * (np.maximum(resized - self.size, 0) + 1))
        matrix = scaling(resized / canvas, -offset)
        shown = np.minimum(resized, self.size)
        if rng.random() < 0.5:
            matrix = compose(np.array([[-1.0, 0.0, shown[0]], [0.0, 1.0, 0.0]]), matrix)
        return matrix, np.array([0, 0, *shown], np.float32)


def scaling(factors: np.ndarray, shift: np.ndarray) -> np.ndarray:
    return np.array([[factors[0], 0.0, shift[0]], [0.0, factors[1], shift[1]]])


def paste(canvas: np.ndarray, image: np.ndarray, boxes: np.ndarray, matrix: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Draw a picture through a matrix without rotation, inside `seen`, and return its boxes (N, 4) there, not cut."""
    frame = np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)
    moved = upright(np.concatenate([frame, boxes]), matrix)
    x1, y1 = np.maximum(np.round(moved[0, :2]), seen[:2]).astype(int)
    x2, y2 = np.minimum(np.round(moved[0, 2:]), seen[2:]).astype(int)
    if x1 < x2 and y1 < y2:
        centers = matrix.copy()  # from edges to pixel centers, and to the corner of the part drawn
        centers[:, 2] += matrix[:, :2].sum(axis=1) / 2 - 0.5 - (x1, y1)
        size = (int(x2 - x1), int(y2 - y1))
        canvas[y1:y2, x1:x2] = cv2.warpAffine(image, centers, size, borderMode=cv2.BORDER_REPLICATE)
    return moved[1:]


def upright(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) through a matrix without rotation; a mirrored box has its sides swapped back."""
    corners = boxes.reshape(-1, 2, 2) * matrix[[0, 1], [0, 1]] + matrix[:, 2]  # (N, 2, 2)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)


def _visible(seen: np.ndarray, found: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and ignore flags of all pictures, cut to what is seen: where too little is left the region is to be
    ignored, where nothing is left the box goes.
    """
    boxes = np.concatenate([b for b, _ in found])
    ignore = np.concatenate([i for _, i in found])
    cut = np.clip(boxes, np.tile(seen[:2], 2), np.tile(seen[2:], 2))
    sides = cut[:, 2:] - cut[:, :2]
    ignore = ignore | (area(cut) < VISIBLE * area(boxes)) | (sides < SMALLEST).any(axis=1)
    keep = (sides > 0).all(axis=1)
    return cut[keep], ignore[keep]


def _jitter(rng: np.random.Generator, image: np.ndarray, seen: np.ndarray) -> None:
    """Color jitter, in place.

    What lies outside `seen` stays gray, as it is when the detector runs.
    """
    part = image[: int(seen[3]), : int(seen[2])]
    part[...] = jitter_hsv(rng, part)


def _reduced(image: np.ndarray, boxes: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture whose longer side is at most `longest`, and its boxes."""
    height, width = image.shape[:2]
    ratio = longest / max(width, height)
    if ratio >= 1:
        return image, boxes
    size = (max(round(width * ratio), 1), max(round(height * ratio), 1))
    factors = np.array([size[0] / width, size[1] / height] * 2, np.float32)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), boxes * factors
