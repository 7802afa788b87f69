"""Results as files: JSON lines, COCO results, CSV, OpenPose, DeepLabCut; written frame by frame, whole or not at all.

Times are rounded to 1 microsecond, the people's numbers as `Poses.to_dict` does it. Who was not seen in a frame, but is
where a tracker expects them, is marked: `"guessed": true` in the person's JSON object, 1 in the last column of a CSV
file.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, TextIO, get_args

import numpy as np

from edgepose.media.deeplabcut import DeepLabCut
from edgepose.media.files import atomic_path, make_folder, unique_name
from edgepose.media.prelabels import CocoLabels
from edgepose.poses import Poses
from edgepose.skeleton import Skeleton
from edgepose.spelling import folded


@dataclass(frozen=True, eq=False)
class Result:
    """The people of one frame of a source; `time` is None for a picture.

    guessed: (N,) bool, who was not seen in this frame (`edgepose.track`); None: everybody was
    """

    source: str
    frame: int
    time: float | None
    width: int
    height: int
    poses: Poses
    guessed: np.ndarray | None = None


class Writer(Protocol):
    """A results file, or a folder of them, that is open inside its `with` block."""

    def __enter__(self) -> Writer: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None: ...

    def write(self, result: Result) -> None:
        """Add the people of one frame."""


def as_dict(result: Result) -> dict[str, Any]:
    """One frame as the JSON object of `edgepose predict --json`."""
    return {
        "source": result.source,
        "frame": result.frame,
        "time": None if result.time is None else round(result.time, 6),
        "width": result.width,
        "height": result.height,
        "people": _people(result),
    }


class _TextFile:
    """A text file that appears under its name when the block ends well."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._stack = ExitStack()

    def _open(self) -> TextIO:
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.path))
            file = stack.enter_context(temporary.open("w", encoding="utf-8", newline=""))
            self._stack = stack.pop_all()
        return file

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


class JsonLines(_TextFile):
    """One JSON object per frame, also for a frame without people: `as_dict`."""

    def __enter__(self) -> JsonLines:
        self._file = self._open()
        return self

    def write(self, result: Result) -> None:
        """Add one line."""
        self._file.write(json.dumps(as_dict(result), allow_nan=False) + "\n")


class LiveJsonLines:
    """The same for a source without an end: the file grows line by line under its own name."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __enter__(self) -> LiveJsonLines:
        self._file = self.path.open("w", encoding="utf-8", buffering=1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, result: Result) -> None:
        """Add one line, which is in the file when this returns."""
        self._file.write(json.dumps(as_dict(result), allow_nan=False) + "\n")


class CocoResults(_TextFile):
    """A COCO results list, as COCO's own tools read it; people without keypoints become box results.

    `image_id` is the number that a picture's file name consists of (`000000000785.jpg` is 785). Every other frame, of
    a video for example, gets the next free running number from 1, and so does a second picture of the same number.
    """

    def __enter__(self) -> CocoResults:
        self._file = self._open()
        self._file.write("[")
        self._used: set[int] = set()
        self._running = 0
        self._separator = ""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._file.write("]\n")
        super().__exit__(kind, error, trace)

    def write(self, result: Result) -> None:
        """Add the people of one frame."""
        image_id = self._image_id(result)
        for person in _people(result):
            entry: dict[str, Any] = {"image_id": image_id, "category_id": 1, "score": person["score"]}
            if person["keypoints"]:
                entry["keypoints"] = list(chain(*person["keypoints"]))
            else:
                x1, y1, x2, y2 = person["box"]
                entry["bbox"] = [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)]
            self._file.write(f"{self._separator}\n{json.dumps(entry | _mark(person), allow_nan=False)}")
            self._separator = ","

    def _image_id(self, result: Result) -> int:
        stem = Path(result.source).stem
        number = int(stem) if result.time is None and stem.isdecimal() else None
        while number is None or number in self._used:
            self._running += 1
            number = self._running
        self._used.add(number)
        return number


class Csv(_TextFile):
    """One row per person per frame under a header of names; a frame without people has no row.

    The columns of the keypoints follow from the first result's skeleton.
    """

    HEADER = ("source", "frame", "time", "width", "height", "person", "id", "score", "x1", "y1", "x2", "y2")
    LAST = "guessed"

    def __enter__(self) -> Csv:
        self._file = self._open()
        self._rows = csv.writer(self._file)
        self._skeleton: Skeleton | None = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._skeleton is None:
            self._rows.writerow((*self.HEADER, self.LAST))
        super().__exit__(kind, error, trace)

    def write(self, result: Result) -> None:
        """Add the people of one frame."""
        if self._skeleton is None:
            self._skeleton = result.poses.skeleton
            points = [f"{name}_{part}" for name in self._skeleton.names for part in ("x", "y", "score")]
            self._rows.writerow((*self.HEADER, *points, self.LAST))
        if result.poses.skeleton != self._skeleton:
            expected, found = self._skeleton.name, result.poses.skeleton.name
            raise ValueError(
                f"{self.path} has columns for {expected}, got people of {found}: use one file per skeleton"
            )
        time = "" if result.time is None else round(result.time, 6)
        frame = (result.source, result.frame, time, result.width, result.height)
        for i, person in enumerate(_people(result)):
            identity = "" if person["id"] is None else person["id"]
            numbers = chain(person["box"], *person["keypoints"])
            self._rows.writerow((*frame, i, identity, person["score"], *numbers, int(self.LAST in person)))


class OpenPose:
    """A folder of OpenPose's JSON files, one per frame: `<name>_<12 digits>_keypoints.json`, keypoints as BODY_25.

    The neck and the middle hip are the middles of the shoulders and of the hips, as OpenPose trained them, with the
    lower of the two scores; what a skeleton lacks is 0, 0, 0. COCO-WholeBody adds hands and face (OpenPose's last two
    of 70 face points, the pupils, stay 0). Of a skeleton that is no human body the keypoints are all there, in its own
    order: `edgepose models NAME` and the header of a CSV file name them. `name` is the source's without its suffix; a
    second source of the same name gets `name-2`.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._names: dict[str, str] = {}

    def __enter__(self) -> OpenPose:
        make_folder(self.folder)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        pass

    def write(self, result: Result) -> None:
        """Add one file."""
        name = unique_name(Path(result.source).stem or "source", result.source, self._names)
        people = [_openpose_person(result.poses.skeleton, person) | _mark(person) for person in _people(result)]
        with atomic_path(self.folder / f"{name}_{result.frame:012d}_keypoints.json") as temporary:
            text = json.dumps({"version": 1.3, "people": people}, allow_nan=False)
            temporary.write_text(text + "\n", encoding="utf-8")


# Format -> (the writer, what it is called in the output folder).
Format = Literal["jsonl", "coco", "csv", "openpose", "dlc", "coco-labels"]
FORMATS: dict[Format, tuple[Callable[[Path], Writer], str]] = {
    "jsonl": (JsonLines, "results.jsonl"),
    "coco": (CocoResults, "results.json"),
    "csv": (Csv, "results.csv"),
    "openpose": (OpenPose, "openpose"),
    "dlc": (DeepLabCut, "dlc"),
    "coco-labels": (CocoLabels, "labels.json"),
}


def writer(kind: Format, folder: str | Path) -> tuple[Writer, Path]:
    """The writer of a format, and the file (of OpenPose and DeepLabCut the folder) inside `folder` that it makes."""
    if kind not in get_args(Format):
        raise ValueError(f"unknown format {kind!r}, expected one of {list(get_args(Format))}")
    make, name = FORMATS[kind]
    path = Path(folder) / name
    return make(path), path


def _people(result: Result) -> list[dict[str, Any]]:
    """Each person as plain finite numbers (`Poses.to_dict`), with a mark on who is guessed."""
    people = result.poses.to_dict()["people"]
    guessed = [False] * len(people) if result.guessed is None else result.guessed.tolist()
    return [person | ({"guessed": True} if mark else {}) for person, mark in zip(people, guessed, strict=True)]


def _mark(person: dict[str, Any]) -> dict[str, bool]:
    """The mark alone, for formats that say the rest their own way."""
    return {"guessed": True} if "guessed" in person else {}


# OpenPose's BODY_25 in our names; a pair is the middle of two keypoints.
BODY_25: tuple[str | tuple[str, str], ...] = (
    "nose", ("left_shoulder", "right_shoulder"), "right_shoulder", "right_elbow", "right_wrist", "left_shoulder",
    "left_elbow", "left_wrist", ("left_hip", "right_hip"), "right_hip", "right_knee", "right_ankle", "left_hip",
    "left_knee", "left_ankle", "right_eye", "left_eye", "right_ear", "left_ear", "left_big_toe", "left_small_toe",
    "left_heel", "right_big_toe", "right_small_toe", "right_heel",
)  # fmt: skip


# Who has these is drawn as a person by OpenPose's tools.
_JOINTS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
HUMAN = {f"{side}_{part}" for side in ("left", "right") for part in _JOINTS}


def _openpose_person(skeleton: Skeleton, person: dict[str, Any]) -> dict[str, Any]:
    by_name = dict(zip(map(folded, skeleton.names), person["keypoints"], strict=False))
    body: list[float] = []
    if not set(by_name) >= HUMAN:
        by_name, body = {}, [number for keypoint in person["keypoints"] for number in keypoint]
    for name in BODY_25 if by_name else ():
        a, b = [by_name.get(n, [0.0, 0.0, 0.0]) for n in ((name, name) if isinstance(name, str) else name)]
        certain = min(a[2], b[2])
        middle = [round((a[0] + b[0]) / 2, 2), round((a[1] + b[1]) / 2, 2), certain]
        body += middle if certain > 0 else [0.0, 0.0, 0.0]
    return {
        "person_id": [-1 if person["id"] is None else person["id"]],
        "pose_keypoints_2d": body,
        "face_keypoints_2d": _named(by_name, "face_", 2),
        "hand_left_keypoints_2d": _named(by_name, "left_hand_", 0),
        "hand_right_keypoints_2d": _named(by_name, "right_hand_", 0),
        "pose_keypoints_3d": [],
        "face_keypoints_3d": [],
        "hand_left_keypoints_3d": [],
        "hand_right_keypoints_3d": [],
    }


def _named(by_name: dict[str, list[float]], start: str, missing: int) -> list[float]:
    """The keypoints whose names start so, in their order, then `missing` zeros; nothing where there are none."""
    found = [number for name, keypoint in by_name.items() if name.startswith(start) for number in keypoint]
    return found + [0.0] * 3 * missing if found else []
