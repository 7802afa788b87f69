"""Whole pictures of data sets: everybody on them, the people that nothing is known of, and how often each is listed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from edgepose.data.coco import machine_keypoints, subject_of
from edgepose.data.columns import NO_CHOICE, Choice, Row
from edgepose.data.images import OnBad
from edgepose.data.people import People, union
from edgepose.data.read import READERS, loaded
from edgepose.skeleton import Skeleton

Regions = TypeVar("Regions")


@dataclass(frozen=True)
class Listed:
    """people of every picture; unknown: (files,) whatever stands for those not labelled; rows: the files that are
    listed, some perhaps several times; missing: names of pictures that were left out because they are not there;
    by_machine: per data set, the keypoints that a machine labelled where it was sure (`coco.machine_keypoints`).
    """

    people: People
    unknown: tuple[Any, ...]
    rows: np.ndarray
    missing: tuple[str, ...]
    by_machine: tuple[frozenset[str], ...]


@dataclass(frozen=True)
class Files:
    """Data sets as they were read, each in its own skeleton: the people of each, the rows of every picture's unknown
    people, how often each picture is listed, and the keypoints of each set that a machine labelled.
    """

    sets: list[People]
    unknown: list[list[Row]]
    times: list[int]
    by_machine: list[frozenset[str]]


def read_files(data: Sequence[tuple[Path, Path, int]], choice: Choice = NO_CHOICE) -> Files:
    """Data sets: annotations in any known format, pictures, how often it is listed."""
    files = Files([], [], [], [])
    for labels, pictures, repeat in data:
        kind, content = loaded(labels, outlines=True, pictures=pictures)
        people = READERS[kind](content, labels, pictures, None, choice)
        files.sets.append(people)
        files.unknown.extend(unknown_people(content, labels, choice) if kind == "coco" else _unlabelled(people))
        files.times.extend([repeat] * len(people.files))
        files.by_machine.append(machine_keypoints(content, labels) if kind == "coco" else frozenset())
    return files


def listed_of(
    files: Files,
    skeleton: Skeleton,
    regions_of: Callable[[list[Row]], Regions],
    empty: bool,
    on_bad: OnBad = "refuse",
) -> Listed:
    """Everybody of the data sets in one skeleton by keypoint name.

    Args:
        regions_of: from a picture's rows of `unknown_people` to what stands for them.
        empty: pictures that only have such people are listed too.
        on_bad: "refuse" raises FileNotFoundError where a listed picture is not there, "skip" leaves it out.
    """
    unknown, times = files.unknown, files.times
    people = union(files.sets, skeleton)
    wanted = np.isin(np.arange(len(people.files)), people.picture)
    if empty:
        wanted |= np.array([len(rows) > 0 for rows in unknown], bool)
    if not wanted.any():
        raise ValueError("the training data shows nobody: check the files in data=")
    gone, missing = people.lost(wanted, on_bad)
    rows = np.repeat(np.arange(len(people.files)), np.array(times, np.int64) * (wanted & ~gone))
    if len(rows) == 0:
        raise ValueError(f"not one of {int(wanted.sum())} listed pictures is there, such as {missing[0]}")
    regions = tuple(regions_of(rows) for rows in unknown)
    return Listed(people, regions, rows, tuple(missing), tuple(files.by_machine))


def unknown_people(content: Any, path: str | Path, choice: Choice = NO_CHOICE) -> list[list[Row]]:
    """For every picture that `of_coco` lists: the annotations of crowds and of people without labelled keypoints."""
    rows: dict[Any, list[Row]] = {i["id"]: [] for i in content["images"]}
    kinds = subject_of(content, content["annotations"], path, choice).categories
    for a in content["annotations"]:
        if a.get("category_id", next(iter(kinds))) not in kinds:
            continue
        if a["image_id"] in rows and (a.get("iscrowd") or not any((a.get("keypoints") or ())[2::3])):
            rows[a["image_id"]].append(a)
    return list(rows.values())


def _unlabelled(people: People) -> list[list[Row]]:
    """The same of people in other formats, of whom boxes are known alone."""
    found: list[list[Row]] = [[] for _ in people.files]
    for box, picture, crowd in zip(people.unlabelled, people.unlabelled_picture, people.crowd, strict=True):
        x1, y1, x2, y2 = box.tolist()
        found[picture].append({"bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": int(crowd)})
    return found


def readable(people: People, files: np.ndarray, row: int, on_bad: OnBad, skipped: list[str]) -> tuple[int, np.ndarray]:
    """This row, or the next one whose picture can be read, and the picture; what cannot is added to `skipped`.

    files: (rows,) the file of `people` that each row shows. With on_bad="refuse" the first failure is raised.
    """
    for step in range(len(files)):
        here = (row + step) % len(files)
        source, name = people.files[files[here]]
        try:
            return here, people.pictures[source].read(name)
        except (OSError, ValueError):
            if on_bad == "refuse":
                raise
            skipped.append(name)
    raise ValueError(f"not one of the {len(set(skipped))} pictures can be read, such as {skipped[0]}")
