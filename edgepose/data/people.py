"""Labelled people as columns: one array per property, one row per person, whatever format they came in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from edgepose.data.images import ON_BAD, OnBad, Pictures
from edgepose.names import expected
from edgepose.skeleton import Skeleton, shared

# Share of a box that its person fills, where no mask says it: CrowdPose's and AI Challenger's rule for OKS.
FILLED = 0.53
Crowding = Literal["easy", "medium", "hard"]  # of CrowdPose's pictures


def _unset() -> np.ndarray:
    return np.empty(0)


@dataclass(frozen=True)
class People:
    """P people on M pictures. Columns after `boxes` may be left out: they then say that nothing is known.

    pictures:  where the pixels are, one source per data set; none where only the labels were read
    files:     (M,) (index into `pictures`, file name)
    picture:   (P,) row of `files`
    keypoints: (P, K, 2) float32, pixels of the picture as stored
    visible:   (P, K) float32, 1 = labelled, 0 = not labelled: no target and no loss
    boxes:     (P, 4) float32 x1, y1, x2, y2
    hidden:    (P, K) bool, labelled although something covers it
    weights:   (P, K) float32, how much a keypoint's label counts in the loss of a top-down network: 1, or how sure the
               network was that made the label
    areas:     (P,) float32 square pixels as OKS wants them: the mask's, else FILLED x the box
    ids:       (P,) int64 annotation ids as the file has them
    heads:     (P,) float32 PCKh's head size in pixels, 0.6 x the diagonal of the head box; NaN where unknown
    category:  (P,) int32 index into `categories` (AP-10K's species)
    sets:      (P,) int32 which data set of a union
    sizes:     (M, 2) int32 w, h as the file states them, 0 where it does not
    image_ids: (M,) int64
    crowding:  (M,) float32 CrowdPose's crowd index, NaN elsewhere
    unlabelled, unlabelled_picture, crowd:  (U, 4) float32 boxes of crowds and of people without one labelled keypoint,
               (U,) their rows of `files`, (U,) bool which are crowds: neither people to learn nor background
    notes:     sentences about what the reader left out or took for granted, for whoever uses the file
    """

    skeleton: Skeleton
    pictures: tuple[Pictures, ...]
    files: tuple[tuple[int, str], ...]
    picture: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray
    boxes: np.ndarray
    hidden: np.ndarray = field(default_factory=_unset)
    weights: np.ndarray = field(default_factory=_unset)
    areas: np.ndarray = field(default_factory=_unset)
    ids: np.ndarray = field(default_factory=_unset)
    heads: np.ndarray = field(default_factory=_unset)
    category: np.ndarray = field(default_factory=_unset)
    sets: np.ndarray = field(default_factory=_unset)
    sizes: np.ndarray = field(default_factory=_unset)
    image_ids: np.ndarray = field(default_factory=_unset)
    crowding: np.ndarray = field(default_factory=_unset)
    unlabelled: np.ndarray = field(default_factory=lambda: np.empty((0, 4), np.float32))
    unlabelled_picture: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    crowd: np.ndarray = field(default_factory=lambda: np.empty(0, bool))
    categories: tuple[str, ...] = ("person",)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        p, m, k = len(self.picture), len(self.files), len(self.skeleton)
        sides = self.boxes[:, 2:] - self.boxes[:, :2]
        unknown = {
            "hidden": np.zeros((p, k), bool),
            "weights": np.ones((p, k), np.float32),
            "areas": (FILLED * sides.prod(axis=1)).astype(np.float32),
            "ids": np.arange(1, p + 1),
            "heads": np.full(p, np.nan, np.float32),
            "category": np.zeros(p, np.int32),
            "sets": np.zeros(p, np.int32),
            "sizes": np.zeros((m, 2), np.int32),
            "image_ids": np.arange(1, m + 1),
            "crowding": np.full(m, np.nan, np.float32),
        }
        for name, column in unknown.items():
            if len(getattr(self, name)) == 0:
                object.__setattr__(self, name, column)
        expected = {name: m if name in _OF_FILES else len(self.unlabelled) if name in _OF_REGIONS else p for name in
                    (*_OF_PEOPLE, *_OF_FILES, *_OF_REGIONS)}  # fmt: skip
        wrong = [name for name, n in expected.items() if len(getattr(self, name)) != n]
        if wrong:
            raise ValueError(f"columns of {p} people on {m} pictures have other lengths: {wrong}")

    def __len__(self) -> int:
        return len(self.picture)

    def __getitem__(self, rows: Any) -> People:
        """The people of an index array, mask or slice; pictures are kept."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _OF_PEOPLE})

    @property
    def codes(self) -> np.ndarray:
        """(P, K) int8 as COCO writes them: 0 not labelled, 1 labelled but hidden, 2 labelled and seen."""
        return (2 * (self.visible > 0) - (self.hidden & (self.visible > 0))).astype(np.int8)

    def on(self, pictures: np.ndarray) -> People:
        """The people on the pictures of a mask (M,); the pictures and regions that it leaves out are gone."""
        row = np.cumsum(pictures) - 1
        people, regions = pictures[self.picture], pictures[self.unlabelled_picture]
        columns = {name: getattr(self, name)[people] for name in _OF_PEOPLE}
        columns |= {name: getattr(self, name)[pictures] for name in _OF_FILES}
        columns |= {name: getattr(self, name)[regions] for name in _OF_REGIONS}
        columns["picture"] = row[columns["picture"]]
        columns["unlabelled_picture"] = row[columns["unlabelled_picture"]]
        files = tuple(file for file, kept in zip(self.files, pictures, strict=True) if kept)
        return replace(self, files=files, **columns)

    def crowded(self, level: Crowding) -> People:
        """The people on CrowdPose's easy, medium or hard pictures: crowd index below .2, below .8, the rest.

        The published tool splits so; its paper states .1 and .8.
        """
        limits: dict[Crowding, tuple[float, float]] = {
            "easy": (-np.inf, 0.2),
            "medium": (0.2, 0.8),
            "hard": (0.8, np.inf),
        }
        if level not in limits:
            raise ValueError(f"unknown level {level!r}{expected(level, limits)}")
        if np.isnan(self.crowding).all() and len(self.files):
            raise ValueError("no picture states a crowd index (`crowdIndex`): expected CrowdPose's annotations")
        low, high = limits[level]
        return self.on((self.crowding >= low) & (self.crowding < high))

    def image(self, row: int) -> np.ndarray:
        """The picture of a person, (H, W, 3) uint8 BGR."""
        source, name = self.files[self.picture[row]]
        if not self.pictures:
            raise ValueError(f"the labels of {name} were read without their pictures: give a folder or zip of them")
        return self.pictures[source].read(name)

    def held(self, on_bad: OnBad = "refuse") -> tuple[People, list[str]]:
        """The people whose pictures are there, and the names of the pictures that are not; nothing is decoded.

        on_bad: "refuse" raises FileNotFoundError where pictures are missing, "skip" leaves their people out.
        """
        used = np.zeros(len(self.files), bool)
        used[self.picture] = True
        gone, missing = self.lost(used, on_bad)
        return (self[~gone[self.picture]] if missing else self), missing

    def lost(self, used: np.ndarray, on_bad: OnBad = "refuse") -> tuple[np.ndarray, list[str]]:
        """Which of the files `used` (M,) are not there (M,), and their names; as `held` does it."""
        if on_bad not in ON_BAD:
            raise ValueError(f"on_bad={on_bad!r}: expected one of {list(ON_BAD)}")
        gone = np.zeros(len(self.files), bool)
        missing: list[str] = []
        for number, source in enumerate(self.pictures):
            rows = [i for i in np.flatnonzero(used) if self.files[i][0] == number]
            lost = set(source.missing(self.files[i][1] for i in rows))
            if lost and on_bad == "refuse":
                some = ", ".join(sorted(lost)[:5])
                near = source.nearest(min(lost))
                some += f" (nearest to the first: {near})" if near else ""
                raise FileNotFoundError(
                    f"{source.source} lacks {len(lost)} of {len(rows)} labelled pictures, such as {some}: complete it, "
                    "or leave their people out with on_bad=skip"
                )
            gone[[i for i in rows if self.files[i][1] in lost]] = True
            missing += sorted(lost)
        return gone, missing

    def load(self) -> None:
        """Decode every picture that somebody stands on, so that worker processes can share the memory."""
        for source, name in (self.files[i] for i in np.unique(self.picture)):
            self.pictures[source].read(name)


_OF_PEOPLE = (
    "picture", "keypoints", "visible", "boxes", "hidden", "weights", "areas", "ids", "heads", "category", "sets",
)  # fmt: skip
_OF_FILES = ("sizes", "image_ids", "crowding")
_OF_REGIONS = ("unlabelled", "unlabelled_picture", "crowd")


def union(sets: Sequence[People], skeleton: Skeleton, repeat: Sequence[int] | None = None) -> People:
    """All people of several sets in one skeleton, matched by keypoint NAME; what a set lacks is unlabelled.

    `repeat` says how often each set is listed (RTMPose's AIC+COCO mix lists COCO three times). The column `sets` says
    which one a person came from.
    """
    factors = [1] * len(sets) if repeat is None else list(repeat)
    if not sets:
        raise ValueError("a union of no data sets: expected at least one")
    if len(factors) != len(sets):
        raise ValueError(f"got {len(factors)} repeat factors for {len(sets)} data sets")
    parts = [_in_skeleton(people, skeleton) for people in sets]
    categories = tuple(dict.fromkeys(name for part in parts for name in part.categories))
    files: list[tuple[int, str]] = []
    columns: dict[str, list[np.ndarray]] = {name: [] for name in (*_OF_PEOPLE, *_OF_FILES, *_OF_REGIONS)}
    first_source = 0
    for number, (part, factor) in enumerate(zip(parts, factors, strict=True)):
        first_file = len(files)
        files += [(first_source + source, name) for source, name in part.files]
        first_source += len(part.pictures)
        index = np.array([categories.index(name) for name in part.categories], np.int32)
        moved = {
            "picture": part.picture + first_file,
            "unlabelled_picture": part.unlabelled_picture + first_file,
            "sets": np.full(len(part), number, np.int32),
            "category": index[part.category],
        }
        for name, column in columns.items():
            column += [moved.get(name, getattr(part, name))] * (factor if name in _OF_PEOPLE else 1)
    arrays = {name: np.concatenate(column) for name, column in columns.items()}
    pictures = tuple(p for part in parts for p in part.pictures)
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    return People(skeleton, pictures, tuple(files), **arrays, categories=categories, notes=notes)


def _in_skeleton(people: People, skeleton: Skeleton) -> People:
    pairs = shared(people.skeleton, skeleton)
    if not pairs:
        raise ValueError(f"{people.skeleton.name} and {skeleton.name} share no keypoint name")
    source, target = (list(side) for side in zip(*pairs, strict=True))
    keypoints = np.zeros((len(people), len(skeleton), 2), np.float32)
    visible = np.zeros((len(people), len(skeleton)), np.float32)
    hidden = np.zeros((len(people), len(skeleton)), bool)
    keypoints[:, target] = people.keypoints[:, source]
    visible[:, target] = people.visible[:, source]
    hidden[:, target] = people.hidden[:, source]
    weights = np.ones((len(people), len(skeleton)), np.float32)
    weights[:, target] = people.weights[:, source]
    return replace(people, skeleton=skeleton, keypoints=keypoints, visible=visible, hidden=hidden, weights=weights)
