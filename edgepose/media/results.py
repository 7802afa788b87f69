"""Results as files: JSON lines, COCO results, CSV, OpenPose, DeepLabCut; written frame by frame, never half a frame.

What is finished is kept: a file whose block ends early, by an error or by Ctrl-C, is a whole file of fewer frames.

Times are rounded to 1 microsecond, the people's numbers as `Poses.to_dict` does it. Who was not seen in a frame, but is
where a tracker expects them, is marked: `"guessed": true` in the person's JSON object, 1 in the last column of a CSV
file. What `track --offline` filled in is marked too: `"filled": true` of a person who was not seen in a frame at all,
`"filled_keypoints": [names]` of others, and the same as columns. Formats without a place for it say it by the score:
DeepLabCut's likelihood of such points and a MOT row's confidence are 0, labels leave them out.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, get_args

import numpy as np

from edgepose.media.deeplabcut import DeepLabCut
from edgepose.media.files import atomic_path, fitting_stem, make_folder, unique_name
from edgepose.media.naming import Held
from edgepose.media.parquet import Parquet
from edgepose.media.prelabels import CocoLabels
from edgepose.names import expected
from edgepose.poses import Poses
from edgepose.skeleton import Skeleton
from edgepose.spelling import folded


@dataclass(frozen=True, eq=False)
class Result:
    """The people of one frame of a source; `time` is None for a picture.

    guessed: (N,) bool, who was not seen in this frame (`edgepose.track`); None: everybody was
    filled, filled_keypoints: (N,) and (N, K) bool, people and points that lie between frames that show them
        (`edgepose.track_offline`); None: nobody filled anything
    angles: name -> (N,) degrees, NaN where they are not known
    """

    source: str
    frame: int
    time: float | None
    width: int
    height: int
    poses: Poses
    guessed: np.ndarray | None = None
    filled: np.ndarray | None = None
    filled_keypoints: np.ndarray | None = None
    angles: Mapping[str, np.ndarray] | None = None


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


class TextFile:
    """A text file that appears under its name when the block ends, with every frame that was written until then.

    Only an error before the first frame leaves no file, or the one that was there.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._stack = ExitStack()
        self._frames = 0
        self._whole = 0  # bytes of the frames that are in the file whole

    def __enter__(self) -> Any:
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.path))
            self._file = stack.enter_context(temporary.open("wb", buffering=0))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and self._frames == 0:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            self._file.truncate(self._whole)
            self._add(self._end())

    def write(self, result: Result) -> None:
        """Add the people of one frame."""
        self._add(self._text(result))
        self._frames += 1

    def _text(self, result: Result) -> str:
        """What a frame adds to the file."""
        raise NotImplementedError

    def _end(self) -> str:
        """What follows the last frame."""
        return ""

    def _add(self, text: str) -> None:
        """Add it behind what is whole: of what did not fit on the disk nothing stays. Names may be no Unicode."""
        self._file.seek(self._whole)
        rest = memoryview(text.encode("utf-8", "backslashreplace"))
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None
        self._whole = self._file.tell()


class JsonLines(TextFile):
    """One JSON object per frame, also for a frame without people: `as_dict`."""

    def _text(self, result: Result) -> str:
        return json.dumps(as_dict(result), allow_nan=False) + "\n"


def is_frames(path: Path) -> bool:
    """Whether a file begins as `JsonLines` begin."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(12) in (b"", b'{"source": "')


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


@dataclass(frozen=True)
class Known:
    """Pictures that have numbers already, as an annotation file gives them.

    ids: {name in the file: id}; which name a picture's path means is told by `naming.Held`
    category: of the results
    source: what the numbers come from, for messages
    """

    ids: Mapping[str, int]
    category: int = 1
    source: str = "the labels"

    def id_of(self, path: str) -> int:
        """The id of a picture; ValueError where the file does not have it, or has two that it could be."""
        names = self._held.fitting(path, here=True)
        if len(names) == 1:
            return self.ids[names[0]]
        if names:
            raise ValueError(f"{path} could be {names[:2]} of {self.source}: name it with its folder")
        near = self._held.nearest(path) or next(iter(self.ids), "nothing")
        raise ValueError(f"{path} is not in {self.source}: expected a picture that it names, such as {near}")

    @cached_property
    def _held(self) -> Held:
        return Held(self.ids)


class CocoResults(TextFile):
    """A COCO results list, as COCO's own tools read it; people without keypoints become box results.

    `image_id` is what `known` says: ValueError for a frame of a video or a picture that it does not have, and for the
    second of one number. Without it, it is the number that a picture's file name consists of (`000000000785.jpg` is
    785). Every other frame, of a video for example, gets the next free running number from 1, and so does a second
    picture of the same number. `results-images.json` beside it says which picture has which id, in COCO's form.
    """

    def __init__(self, path: str | Path, known: Known | None = None, subject: str = "person") -> None:
        super().__init__(path)
        self._known = known
        self._used: set[int] = set()
        self._running = 0
        self._images = _ImageList(images_of(path), 1 if known is None else known.category, subject)

    def __enter__(self) -> CocoResults:
        with ExitStack() as stack:
            stack.enter_context(self._images)
            super().__enter__()
            stack.push(self._stack.pop_all())
            self._stack = stack.pop_all()
        return self

    def _text(self, result: Result) -> str:
        image_id = self._image_id(result)
        self._used.add(image_id)
        self._images.write_as(image_id, result)
        text = "" if self._whole else "["
        for person in _people(result):
            entry: dict[str, Any] = {"image_id": image_id, "category_id": self._images.category}
            entry["score"] = person["score"]
            if person["keypoints"]:
                entry["keypoints"] = list(chain(*person["keypoints"]))
            else:
                x1, y1, x2, y2 = person["box"]
                entry["bbox"] = [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)]
            before = "," if self._whole > 1 or len(text) > 1 else ""
            text += f"{before}\n{json.dumps(entry | _mark(person), allow_nan=False)}"
        return text

    def _end(self) -> str:
        return "]\n" if self._whole else "[]\n"

    def _image_id(self, result: Result) -> int:
        if self._known is not None:
            if result.time is not None:
                raise ValueError(
                    f"{result.source} is a video: expected pictures that {self._known.source} names; leave --data out"
                )
            number = self._known.id_of(result.source)
            if number in self._used:
                raise ValueError(f"{result.source} is picture {number} of {self._known.source} for the second time")
            return number
        stem = Path(result.source).stem
        free = int(stem) if result.time is None and stem.isdecimal() else None
        while free is None or free in self._used:
            self._running += 1
            free = self._running
        return free


def images_of(results: str | Path) -> Path:
    """Where the ids and names of the pictures of a COCO results file are."""
    return Path(results).with_name(Path(results).stem + "-images.json")


class _ImageList(TextFile):
    """Pictures and their ids as an annotation file without annotations; frames of a video say which one and when."""

    def __init__(self, path: Path, category: int, subject: str) -> None:
        super().__init__(path)
        self.category, self._subject = category, subject
        self._skeleton: Skeleton | None = None
        self._id = 0

    def write_as(self, image_id: int, result: Result) -> None:
        """Add a picture or frame."""
        self._id = image_id
        self._skeleton = self._skeleton or result.poses.skeleton
        self.write(result)

    def _text(self, result: Result) -> str:
        image: dict[str, Any] = {"id": self._id, "file_name": result.source}
        image |= {"width": result.width, "height": result.height}
        if result.time is not None or result.frame:
            image |= {"frame": result.frame} | ({} if result.time is None else {"time": round(result.time, 6)})
        return ("," if self._whole else '{"images": [') + "\n" + json.dumps(image, allow_nan=False)

    def _end(self) -> str:
        category: dict[str, Any] = {"id": self.category, "name": self._subject}
        if self._skeleton is not None and len(self._skeleton):
            limbs = [[a + 1, b + 1] for a, b in self._skeleton.limbs]
            category |= {"keypoints": list(self._skeleton.names), "skeleton": limbs}
        start = "" if self._whole else '{"images": ['
        return f'{start}\n], "categories": [{json.dumps(category)}]}}\n'


class Csv(TextFile):
    """One row per person per frame under a header of names; a frame without people has no row.

    The columns of the keypoints follow from the first result's skeleton.
    """

    HEADER = ("source", "frame", "time", "width", "height", "person", "id", "score", "x1", "y1", "x2", "y2")
    FILLED = ("filled", "filled_keypoints")  # of offline results; the second has names with semicolons between them
    LAST = "guessed"

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._skeleton: Skeleton | None = None
        self._angles: tuple[str, ...] = ()
        self._fills = False

    def _end(self) -> str:
        return "" if self._whole else _rows([(*self.HEADER, self.LAST)])

    def _text(self, result: Result) -> str:
        rows: list[tuple[Any, ...]] = []
        if self._skeleton is None:
            self._skeleton = result.poses.skeleton
            self._angles, self._fills = tuple(result.angles or ()), result.filled is not None
            points = [f"{name}_{part}" for name in self._skeleton.names for part in ("x", "y", "score")]
            angles = [f"{name}_angle" for name in self._angles]
            rows.append((*self.HEADER, *points, *angles, *(self.FILLED if self._fills else ()), self.LAST))
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
            angles = [person["angles"][name] for name in self._angles]
            marks = [int("filled" in person), ";".join(person.get("filled_keypoints", ()))] if self._fills else []
            rows.append(
                (*frame, i, identity, person["score"], *numbers, *("" if a is None else a for a in angles), *marks,
                 int(self.LAST in person))
            )  # fmt: skip
        return _rows(rows)


def _rows(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


class OpenPose:
    """A folder of OpenPose's JSON files, one per frame: `<name>_<12 digits>_keypoints.json`, keypoints as BODY_25.

    The neck and the middle hip are the middles of the shoulders and of the hips, as OpenPose trained them, with the
    lower of the two scores; what a skeleton lacks is 0, 0, 0. COCO-WholeBody adds hands and face (OpenPose's last two
    of 70 face points, the pupils, stay 0). Of a skeleton that is no human body the keypoints are all there, in its own
    order: `edgepose models NAME` and the header of a CSV file name them. `name` is the source's without its suffix; a
    second source of the same name gets `name-2`.

    apart: every folder of pictures, and every video, gets a folder of its own: one per camera
    """

    def __init__(self, folder: str | Path, apart: bool = False) -> None:
        self.folder, self._apart = Path(folder), apart
        self._names: dict[str, str] = {}
        self._folders: dict[str, str] = {}

    def __enter__(self) -> OpenPose:
        make_folder(self.folder)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        pass

    def write(self, result: Result) -> None:
        """Add one file."""
        folder, source = self.folder, Path(result.source)
        if self._apart:
            camera = source.parent if result.time is None else source.with_suffix("")
            folder = folder / unique_name(fitting_stem(camera.name) or "source", str(camera), self._folders)
            make_folder(folder)
        name = Path(unique_name(str(folder / (fitting_stem(source.stem) or "source")), result.source, self._names)).name
        people = [_openpose_person(result.poses.skeleton, person) | _mark(person) for person in _people(result)]
        with atomic_path(folder / f"{name}_{result.frame:012d}_keypoints.json") as temporary:
            text = json.dumps({"version": 1.3, "people": people}, allow_nan=False)
            temporary.write_text(text + "\n", encoding="utf-8")


# Format -> (the writer, what it is called in the output folder).
Format = Literal["jsonl", "coco", "csv", "openpose", "dlc", "coco-labels", "parquet"]
FORMATS: dict[Format, tuple[Callable[[Path], Writer], str]] = {
    "jsonl": (JsonLines, "results.jsonl"),
    "coco": (CocoResults, "results.json"),
    "csv": (Csv, "results.csv"),
    "openpose": (OpenPose, "openpose"),
    "dlc": (DeepLabCut, "dlc"),
    "coco-labels": (CocoLabels, "labels.json"),
    "parquet": (Parquet, "results.parquet"),
}


def is_parquet(path: str | Path | None) -> bool:
    """Whether `--out` names a Parquet file instead of a folder."""
    return path is not None and Path(path).suffix.lower() == ".parquet"


def writer(
    kind: Format, folder: str | Path, known: Known | None = None, apart: bool = False, subject: str = "person"
) -> tuple[Writer, Path]:
    """The writer of a format, and the file (of OpenPose and DeepLabCut the folder) inside `folder` that it makes.

    A `folder` that is called `.parquet` is the file of that format itself.

    known: numbers of the pictures, for COCO results; apart: a folder per camera, for OpenPose; subject: what is found,
    for COCO's files
    """
    if kind not in get_args(Format):
        raise ValueError(f"unknown format {kind!r}{expected(kind, get_args(Format))}")
    make, name = FORMATS[kind]
    path = Path(folder) if is_parquet(folder) and kind == "parquet" else Path(folder) / name
    if make is CocoResults:
        return CocoResults(path, known, subject), path
    if make is CocoLabels:
        return CocoLabels(path, subject), path
    return (OpenPose(path, apart) if make is OpenPose else make(path)), path


def _people(result: Result) -> list[dict[str, Any]]:
    """Each person as plain finite numbers (`Poses.to_dict`), with marks on who or what was not seen, and angles."""
    people = result.poses.to_dict()["people"]
    for i, (person, mark) in enumerate(zip(people, marks(result), strict=True)):
        person |= mark
        if result.angles is not None:
            person["angles"] = {name: _degrees(values[i]) for name, values in result.angles.items()}
    return people


def marks(result: Result) -> list[dict[str, Any]]:
    """For each person what says that they, or points of theirs, were not seen in the frame; mostly nothing."""
    found: list[dict[str, Any]] = [{} for _ in range(len(result.poses))]
    names = result.poses.skeleton.names
    for i, mark in enumerate(found):
        if result.guessed is not None and result.guessed[i]:
            mark["guessed"] = True
        if result.filled is not None and result.filled[i]:
            mark["filled"] = True
        elif result.filled_keypoints is not None and result.filled_keypoints[i].any():
            mark["filled_keypoints"] = [names[k] for k in np.flatnonzero(result.filled_keypoints[i])]
    return found


def _degrees(value: float) -> float | None:
    return round(float(value), 2) if np.isfinite(value) else None


def _mark(person: dict[str, Any]) -> dict[str, Any]:
    """The marks alone, for formats that say the rest their own way."""
    return {name: person[name] for name in ("guessed", "filled", "filled_keypoints") if name in person}


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
