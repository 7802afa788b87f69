"""From the numbers in an annotation file to `People`: what every reader checks, once.

Readers gather plain columns; `Columns.people` tells what cannot be learnt from and splits off who is not labelled.
"""

from __future__ import annotations

import gc
import gzip
import json
import re
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from edgepose.data.images import Pictures
from edgepose.data.memory import Budget
from edgepose.data.people import FILLED, People
from edgepose.data.picture_size import checked_sizes
from edgepose.media.files import require_regular
from edgepose.skeleton import Skeleton

Row = dict[str, Any]  # one entry of an annotation file
# Polygons hold neither quotes nor braces; a mask (an object with `counts`) stays and is short.
OUTLINE = re.compile(r'("segmentation":)\s*\[[^"{}]*\](?=\s*[,}])')
UTF16 = (b"\xff\xfe", b"\xfe\xff")  # how such a text begins
GZIP = b"\x1f\x8b"  # how a gzip file begins
LARGEST = 4 << 30  # bytes of an annotation file, unpacked; COCO-WholeBody's has 0.8 GB
# Above so many bytes unpacked a gzip file may hold so many times its own: labels pack to a fifth, a bomb to 1/1000.
UNSUSPECTED, RATIO = 64 << 20, 100
Problems = list[str] | None  # sentences about what is wrong, or None: the first one is raised


@dataclass(frozen=True)
class Choice:
    """What of a label file is wanted, where it does not say so itself or holds several things.

    skeleton: of its keypoints: by their names where it has the same ones, else by their order
    category: the name of one of its categories; "" for the keypoints that most of its people have
    """

    skeleton: Skeleton | None = None
    category: str = ""


NO_CHOICE = Choice()


@dataclass
class Columns:
    """What a reader found: P people and M pictures, before anything is checked.

    points:  (P, K, 3) float32 x, y and COCO's code 0, 1, 2; K is the skeleton's
    boxes:   (P, 4) float32 x, y, w, h
    picture: (P,) row of `names`
    names:   M file names
    crowd:   (P,) bool
    clip:    whether boxes are cut to pictures whose size is known, as RTMPose's loader does for COCO's form
    more:    other columns of `People`, of the same people and pictures
    """

    path: str | Path
    skeleton: Skeleton
    points: np.ndarray
    boxes: np.ndarray
    picture: np.ndarray
    names: Sequence[str]
    sizes: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int32))
    crowd: np.ndarray = field(default_factory=lambda: np.empty(0, bool))
    clip: bool = True
    categories: tuple[str, ...] = ("person",)
    notes: Sequence[str] = ()
    more: dict[str, np.ndarray] = field(default_factory=dict)

    def people(self, pictures: str | Path | None, problems: Problems) -> People:
        """People with labelled keypoints; those without, and crowds, become regions (`People.unlabelled`).

        With `problems` the boxes stay as they are in the file, and people whom training would refuse are left out.
        """
        p, m = len(self.picture), len(self.names)
        sizes = self.sizes if len(self.sizes) else np.zeros((m, 2), np.int32)
        crowd = self.crowd if len(self.crowd) else np.zeros(p, bool)
        ids = self.more.get("ids", np.arange(1, p + 1))
        labelled = (self.points[..., 2] > 0).any(axis=1) & ~crowd
        ignored = self.points[..., 2] == 0  # what stands in an unlabelled keypoint does not matter
        finite = (np.isfinite(self.points).all(axis=2) | ignored).all(axis=1) & np.isfinite(self.boxes).all(axis=1)
        negative = finite & (self.boxes[:, 2:] < 0).any(axis=1)
        keep = finite & ~negative
        for bad, what in (
            (~finite, "a box or keypoint that is no finite number"),
            (negative, "a box of negative size"),
        ):
            which = np.flatnonzero(bad)
            if len(which):
                tell(problems, f"{self.path}: annotation {ids[which[0]]} has {what}{_and_more(len(which) - 1)}")
        boxes = self.boxes.copy()
        boxes[:, 2:] += boxes[:, :2]
        notes = list(self.notes)
        if pictures is not None and problems is None:
            notes += self._size_notes(sizes, labelled & keep, Pictures(pictures, Budget(0)))
        if pictures is not None and problems is None and self.clip:
            sizes = _real_sizes(sizes, boxes, self.picture, self.names, Pictures(pictures, Budget(0)))
        if problems is None and self.clip:
            known = (sizes[self.picture] > 0).all(axis=1)
            limits = np.tile(sizes[self.picture] - 1, 2).astype(np.float32)
            boxes[known] = np.clip(boxes[known], 0, limits[known])
        if problems is None:  # nothing can be cut out of an empty box; the published loaders leave these people out too
            keep &= ((boxes[:, 2:] - boxes[:, :2]) > 0).all(axis=1)
        who, others = labelled & keep, ~labelled & keep
        areas = FILLED * self.boxes[:, 2] * self.boxes[:, 3]
        if "areas" in self.more:
            areas = np.where(self.more["areas"] > 0, self.more["areas"], areas)
        columns = {"areas": areas.astype(np.float32), "ids": ids} | {
            name: self.more[name] for name in ("heads", "category", "weights") if name in self.more
        }
        points = self.points[who]
        visible = points[..., 2] > 0
        return People(
            self.skeleton,
            () if pictures is None else (Pictures(pictures),),
            tuple((0, name) for name in self.names),
            self.picture[who],
            np.where(visible[..., None], points[..., :2], 0).astype(np.float32),
            visible.astype(np.float32),
            boxes[who],
            hidden=visible & (points[..., 2] < 2),
            **{name: column[who] for name, column in columns.items()},
            **{name: self.more[name] for name in ("image_ids", "crowding") if name in self.more},
            sizes=sizes,
            unlabelled=boxes[others],
            unlabelled_picture=self.picture[others],
            crowd=crowd[others],
            categories=self.categories,
            notes=tuple(notes),
        )

    def _size_notes(self, sizes: np.ndarray, who: np.ndarray, source: Pictures) -> list[str]:
        """What `checked_sizes` says of the pictures of these people."""
        rows = np.unique(self.picture[who])
        order = np.flatnonzero(who)[np.argsort(self.picture[who], kind="stable")]
        starts = np.searchsorted(self.picture[order], rows)
        points = [
            own[own[:, 2] > 0, :2] for own in (self.points[part].reshape(-1, 3) for part in np.split(order, starts[1:]))
        ]
        return checked_sizes([self.names[row] for row in rows], sizes[rows], points, source, str(self.path))


def _real_sizes(
    sizes: np.ndarray, boxes: np.ndarray, picture: np.ndarray, names: Sequence[str], source: Pictures
) -> np.ndarray:
    """(M, 2) stated sizes, and the pictures' own where boxes tell that the stated ones are of before EXIF turned them.

    Those boxes leave the picture, and would not if width and height were exchanged. Only such pictures are looked at.
    """
    stated = sizes[picture]
    ends = boxes[:, 2:] - 1
    beyond = ((ends > stated) & (stated > 0)).any(axis=1) & (ends <= stated[:, ::-1]).all(axis=1)
    found = sizes.copy()
    for i in np.unique(picture[beyond]):
        try:
            width, height, orientation = source.size(names[i])
        except (OSError, ValueError):
            continue  # who reads the picture will tell
        found[i] = (height, width) if orientation >= 5 else (width, height)
    return found


def tell(problems: Problems, sentence: str) -> None:
    """Raise what is wrong, or write it down where a list is given."""
    if problems is None:
        raise ValueError(sentence)
    problems.append(sentence)


def load_json(path: str | Path, outlines: bool = False, kind: str = "an annotation file") -> Any:
    """The content of a JSON file, gzipped or not. Without `outlines`, polygons (`segmentation`) become 0.

    The readers do not use them, and they are most of COCO's training file.
    """
    data = _bytes_of(path, kind)
    if not data.strip():
        raise ValueError(f"{path} is empty: expected {kind}")
    collecting = gc.isenabled()
    gc.disable()  # a file of 10 million numbers sets it off all the time, for nothing: a third of the reading
    try:
        text = data.decode("utf-16" if data[:2] in UTF16 else "utf-8").removeprefix("\ufeff")
        return json.loads(text if outlines else OUTLINE.sub(r"\1 0", text))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no UTF-8 text (at byte {error.start}): save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}): expected {kind}") from error
    finally:
        if collecting:
            gc.enable()


def _bytes_of(path: str | Path, kind: str) -> bytes:
    try:
        return read_bounded(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist: expected {kind}") from None
    except IsADirectoryError:
        raise ValueError(f"{path} is a folder: expected {kind}") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is no whole gzip file ({error}): expected {kind}") from error


class TooLarge(ValueError):
    """A file of more bytes than any label file has."""


def read_bounded(path: str | Path, largest: int = LARGEST) -> bytes:
    """The bytes of a file, gzipped or not; TooLarge (ValueError) where there are more than `largest`."""
    require_regular(path, "an annotation file")
    with Path(path).open("rb") as file:
        packed = file.read(len(GZIP)) == GZIP  # told by the content: a renamed file is read as well
        if packed:
            largest = min(largest, max(UNSUSPECTED, RATIO * Path(path).stat().st_size))
        file.seek(0)
        data = gzip.GzipFile(fileobj=file).read(largest + 1) if packed else file.read(largest + 1)
    if len(data) > largest:
        raise TooLarge(f"{path} holds more than {largest} bytes{' unpacked' if packed else ''}: no label file does")
    return data


def rows_of(content: Any, key: str | None, path: str | Path) -> list[Row]:
    """A list of JSON objects, under `key` or the content itself; refused if it is anything else."""
    found = content[key] if key is not None else content
    what = f"`{key}`" if key else "the file"
    if not isinstance(found, list):
        raise ValueError(f"{path}: {what} is {_kind(found)}, expected a list of objects")
    odd = next((i for i, row in enumerate(found) if not isinstance(row, dict)), None)
    if odd is not None:
        raise ValueError(f"{path}: entry {odd + 1} of {what} is {shown(found[odd])}, expected an object")
    return found


def _kind(value: Any) -> str:
    return "an object" if isinstance(value, dict) else shown(value)


def numbers(rows: Sequence[Row], key: str, width: int, path: str | Path, kind: str = "annotation") -> np.ndarray:
    """(N, width) float32 of a field that must hold `width` numbers in every row; the first that does not is told."""
    try:
        values = [row[key] for row in rows]
        if all(len(value) == width for value in values):
            flat = array("f", chain.from_iterable(values))  # refuses text, None and nested lists
            return np.array(flat, np.float32).reshape(-1, width)
    except (KeyError, TypeError):
        pass
    for i, row in enumerate(rows):
        if not _is_numbers(row.get(key), width):
            what = shown(row[key]) if key in row else "missing"
            name = f"{kind} {row['id']}" if "id" in row else f"{kind} number {i + 1}"
            raise ValueError(f"{path}: `{key}` of {name} is {what}, expected {width} numbers")
    raise ValueError(f"{path}: `{key}` holds what are no {width} numbers")  # an int too large for a float


def whole_numbers(rows: Sequence[Row], key: str, path: str | Path, kind: str = "annotation") -> np.ndarray:
    """(N,) int64 of a field that is a whole number in every row."""
    try:
        return np.array(array("q", [row[key] for row in rows]), np.int64)
    except (KeyError, TypeError, OverflowError):
        pass
    for i, row in enumerate(rows):
        value = row.get(key)
        if not isinstance(value, int) or abs(value) >= 2**63:
            what = shown(value) if key in row else "missing"
            raise ValueError(f"{path}: `{key}` of {kind} number {i + 1} is {what}, expected a whole number")
    raise ValueError(f"{path}: `{key}` holds what are no whole numbers")


def texts(rows: Sequence[Row], key: str, path: str | Path, kind: str = "image") -> list[str]:
    """A field that is text in every row."""
    found = [row.get(key) for row in rows]
    for i, value in enumerate(found):
        if not isinstance(value, str) or not value:
            what = shown(value) if value is not None else "missing"
            raise ValueError(f"{path}: `{key}` of {kind} number {i + 1} is {what}, expected text")
    return found  # type: ignore[return-value]


def _is_numbers(value: Any, width: int) -> bool:
    return isinstance(value, list) and len(value) == width and all(isinstance(v, (int, float)) for v in value)


def shown(value: Any) -> str:
    """A value in an error, shortened."""
    if isinstance(value, list):
        return f"a list of {len(value)}" if len(value) > 6 else repr(value)[:60]
    return repr(value)[:60]


def _and_more(count: int) -> str:
    return f", and {count} more have" if count else ""
