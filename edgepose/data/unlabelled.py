"""Pictures to label: folders, zips and single files as one list, and the boxes that a file states for them."""

from __future__ import annotations

import os
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgepose.data.columns import Row, load_json, numbers, rows_of, texts, whole_numbers
from edgepose.data.images import Pictures
from edgepose.data.memory import Budget
from edgepose.media.sources import SUFFIXES


@dataclass(frozen=True)
class Picture:
    """One picture: `name` within `pictures`; `image` is its entry in the file to be written."""

    image: Row
    pictures: Pictures
    name: str
    people: list[Row] | None = None  # annotations whose boxes are given; None: people are to be found


@dataclass(frozen=True)
class Unlabelled:
    """What there is to label. root: the folder or zip that all names are relative to, None where there are several;
    lost: names that the file of boxes has and the pictures lack; person: the category of people.
    """

    pictures: list[Picture]
    root: Path | None
    lost: list[str] = field(default_factory=list)
    person: int = 1


def find_pictures(sources: Sequence[str | Path]) -> Unlabelled:
    """The pictures of folders (and the folders in them), zips and single files, in the order of their names.

    Names are relative to the one folder or zip, and of several to the folder that holds them all; those of a zip among
    several to the zip. ValueError where nothing is found, or a name comes twice.
    """
    paths = [Path(source) for source in sources]
    zips = [path for path in paths if path.is_file() and zipfile.is_zipfile(path)]
    parents = [path if path.is_dir() else path.parent for path in paths if path not in zips]
    common = Path(os.path.commonpath([parent.resolve() for parent in parents])) if parents else None
    if len(parents) == 1:
        common = parents[0]
    found: list[tuple[str, Pictures, str]] = []
    for path in paths:
        if path in zips:
            pictures = Pictures(path, Budget(0))
            names = [name for name in sorted(zipfile.ZipFile(path).namelist()) if _is_picture(name)]
            found += [(name, pictures, name) for name in names]
        elif path.is_dir():
            pictures = Pictures(path, Budget(0))
            names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
            found += [(_name(path / name, common), pictures, name) for name in names if _is_picture(name)]
        elif path.is_file():
            found.append((_name(path, common), Pictures(path.parent, Budget(0)), path.name))
        else:
            raise FileNotFoundError(f"no pictures at {path}: expected a folder, a zip or a picture; check the path")
        if not found:
            raise ValueError(f"nothing to label in {path}: expected pictures in the folder or zip, found none")
    names = [name for name, _, _ in found]
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ValueError(
            f"two pictures are called {twice}: label their folders or zips one by one, each into its own file"
        )
    single = zips[0] if len(zips) == 1 and not parents else None if zips else common
    rows = [
        Picture({"id": i + 1, "file_name": name}, pictures, member) for i, (name, pictures, member) in enumerate(found)
    ]
    return Unlabelled(rows, single)


def with_boxes(found: Unlabelled, path: str | Path) -> Unlabelled:
    """The pictures that a COCO-style file lists, with its boxes of people; ids and areas are the file's.

    A name fits that of a picture, or its end from a folder on, as in zips of data sets. ValueError where none does.
    """
    content = load_json(path)
    if not isinstance(content, dict) or not {"images", "annotations"} <= set(content):
        raise ValueError(f"{path} lacks `images` or `annotations`: expected boxes of people in COCO's form")
    images, rows = rows_of(content, "images", path), rows_of(content, "annotations", path)
    whole_numbers(images, "id", path, "image")
    if rows:
        whole_numbers(rows, "id", path)
        whole_numbers(rows, "image_id", path)
        numbers(rows, "bbox", 4, path)
    named = [c.get("id") for c in content.get("categories") or () if isinstance(c, dict) and c.get("name") == "person"]
    person = named[0] if named and isinstance(named[0], int) else 1
    people: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        if row.get("category_id", person) == person and not row.get("iscrowd"):
            people[row["image_id"]].append(row)
    by_end: dict[str, list[Picture]] = defaultdict(list)
    for picture in found.pictures:
        by_end[Path(picture.name).name].append(picture)
    chosen, lost = [], []
    for image, name in zip(images, texts(images, "file_name", path), strict=True):
        fitting = [p for p in by_end[Path(name).name] if f"/{p.image['file_name']}".endswith(f"/{name}")]
        exact = [p for p in fitting if p.image["file_name"] == name]
        fitting = exact or fitting
        if len(fitting) > 1:
            raise ValueError(f"{path} names {name}, which fits {len(fitting)} pictures: name one folder or zip alone")
        if not fitting:
            lost.append(name)
            continue
        chosen.append(Picture(image, fitting[0].pictures, fitting[0].name, people[image["id"]]))
    if not chosen:
        raise ValueError(f"none of the {len(images)} pictures that {path} lists is there: name their folder or zip")
    return Unlabelled(chosen, found.root, lost, person)


def boxes_of(rows: Sequence[Row]) -> np.ndarray:
    """Boxes (N, 4) of annotations."""
    boxes = np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def _name(path: Path, root: Path | None) -> str:
    if root is None:
        return path.name
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return path.resolve().relative_to(root.resolve()).as_posix()


def _is_picture(name: str) -> bool:
    parts = name.split("/")
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and SUFFIXES.get(Path(name).suffix.lower()) == "picture"
