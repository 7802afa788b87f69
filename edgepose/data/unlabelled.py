"""Pictures to label: folders, zips and single files as one list, and the boxes that a file states for them."""

from __future__ import annotations

import os
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgepose.data.columns import Row
from edgepose.data.images import Pictures
from edgepose.data.memory import Budget
from edgepose.data.read import loaded
from edgepose.media.naming import Held
from edgepose.media.sources import SUFFIXES
from edgepose.spec import PEOPLE


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
    lost: names that the file of boxes has and the pictures lack; category: the id of what is boxed; notes: what of the
    file was repaired or left out.
    """

    pictures: list[Picture]
    root: Path | None
    lost: list[str] = field(default_factory=list)
    category: int = 1
    notes: tuple[str, ...] = ()


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


def with_boxes(found: Unlabelled, path: str | Path, subject: str = "person") -> Unlabelled:
    """The pictures that a label file names, with its boxes of people, or of another subject; ids and areas are the
    file's. A file of one category alone is of the subject, whatever it calls it.

    Any file that is read as COCO's form (`data.read`), whether it has keypoints or not; a name means the picture that
    `naming.Held` says. ValueError where it means several, or none of them any.
    """
    form, content = loaded(path)
    if form != "coco":
        raise ValueError(
            f"{path} is of the form {form!r}: expected boxes of people in COCO's form or a labelling tool's"
        )
    category = _category_of(content["categories"], subject, path)
    people: dict[int, list[Row]] = defaultdict(list)
    for row in content["annotations"]:
        if row["category_id"] == category and not row.get("iscrowd") and "bbox" in row:
            people[row["image_id"]].append(row)
    pictures = {picture.image["file_name"]: picture for picture in found.pictures}
    held = Held(pictures)
    chosen, lost = [], []
    for image in content["images"]:
        name = image["file_name"]
        fitting = [name] if name in pictures else held.fitting(name)
        if len(fitting) > 1:
            raise ValueError(f"{path} names {name}, which fits {len(fitting)} pictures: name one folder or zip alone")
        if not fitting:
            lost.append(name)
            continue
        picture = pictures[fitting[0]]
        chosen.append(Picture(image, picture.pictures, picture.name, people[image["id"]]))
    if not chosen:
        listed = len(content["images"])
        raise ValueError(f"none of the {listed} pictures that {path} lists is there: name their folder or zip")
    return Unlabelled(chosen, found.root, lost, category, tuple(content["notes"]))


def _category_of(categories: Sequence[Row], subject: str, path: str | Path) -> int:
    """The id of the category with the subject's name, or of the only one."""
    wanted = PEOPLE if subject == "person" else {subject.strip().lower()}
    own = [c["id"] for c in categories if c["name"].strip().lower() in wanted]
    if not own and len(categories) > 1:
        names = ", ".join(repr(c["name"]) for c in categories[:5])
        raise ValueError(f"{path} has the categories {names}: expected boxes of {subject!r}, which the model finds")
    return int(own[0] if own else categories[0]["id"])


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
