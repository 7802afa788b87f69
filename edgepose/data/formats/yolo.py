"""Ultralytics' folders for poses: data.yaml, pictures, and a text file of labels for each picture."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from edgepose.data.columns import Row, read_bounded
from edgepose.data.folders import SUFFIXES
from edgepose.data.images import Pictures
from edgepose.data.memory import Budget
from edgepose.media.naming import is_inside
from edgepose.skeleton import Skeleton
from edgepose.skeleton_file import category_fields, skeleton_of_yolo

SPLITS = ("train", "val", "test")
NO_SPLITS = ("path", "names", "nc", "kpt_shape", "flip_idx", "kpt_names", "download")  # other keys may be splits too
LISTED_IN = "data"  # the folder that CVAT's lists of pictures name and its exports do not have
LARGEST = 10 << 20  # bytes of data.yaml, and of the labels of one picture
MOST = 2_000_000  # files
PICTURES = (*SUFFIXES, ".tif", ".tiff", ".avif", ".heic", ".mpo")
BEYOND = 0.01  # how far outside 0..1 rounding may lead
NAMED = 3  # files that a sentence lists


def read_yolo(path: str | Path, pictures: str | Path | None = None) -> Row:
    """The content of a data.yaml, or of the folder that holds one, in COCO's form.

    Of its splits (train, val, test, or what else a key calls a folder or list of pictures, as CVAT does with the names
    of its subsets) the one whose folder is `pictures` is read, else all that are there. Nothing
    outside the folder of data.yaml is read, wherever its `path` leads. Labels are fractions of the picture as it is
    seen, which EXIF may have turned. A picture without a file of labels shows nobody.
    """
    path = Path(path)
    file = data_yaml(path) if path.is_dir() else path
    if file is None:
        raise ValueError(f"{path} is a folder without a data.yaml: expected one that names `kpt_shape` and `train`")
    content = parsed(file)
    root = file.resolve().parent
    notes: list[str] = []
    names = _classes(content.get("names"), file)
    shape = content.get("kpt_shape")
    skeleton = None if shape is None else skeleton_of_yolo(content, str(file), "person")
    width = shape[1] if isinstance(shape, (list, tuple)) else 0
    folders, lost = _folders(content, root)
    chosen = _chosen(folders, pictures, root, file, notes)
    images: list[Row] = []
    annotations: list[Row] = []
    without: list[str] = []
    orphans: list[str] = []
    source = Pictures(root, Budget(0))
    for folder in chosen:
        labels = _labels_of(folder)
        used = set()
        for name in _pictures_in(root, folder):
            text = labels / PurePosixPath(name).relative_to(folder).with_suffix(".txt")
            used.add(text.as_posix())
            w, h = _seen_size(source, name)
            images.append({"id": len(images) + 1, "file_name": name, "width": w, "height": h})
            if not (root / text).is_file():
                without.append(name)
                continue
            for row in _rows(root / text, skeleton, width, names, (w, h)):
                annotations.append({"id": len(annotations) + 1, "image_id": len(images)} | row)
        orphans += [name for name in _texts_in(root, labels) if name not in used]
    if not images:
        where = ", ".join(map(str, chosen)) or "its folders"
        nowhere = f", but {' and '.join(lost)} lead to nothing there" if lost else ""
        raise ValueError(
            f"{file}: no picture in {where}: expected those that `train` and `val` name, in its folder{nowhere}"
        )
    if without:
        notes.append(f"{file}: {_some(without, 'picture')} without a file of labels: taken as showing nobody")
    if orphans:
        notes.append(f"{file}: {_some(orphans, 'file of labels', 'files of labels')} without a picture: left out")
    fields = {} if skeleton is None else category_fields(skeleton)
    categories = [{"id": i + 1, "name": name, **fields} for i, name in names.items()]
    return {"images": images, "annotations": annotations, "categories": categories, "said": notes}


def data_yaml(folder: Path) -> Path | None:
    """The data.yaml of a folder, or its only other .yaml file."""
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".yaml", ".yml") and path.is_file())
    named = [path for path in files if path.stem in ("data", "dataset")]
    return named[0] if named else files[0] if len(files) == 1 else None


def parsed(path: Path) -> Mapping[str, Any]:
    """The content of a YAML file, read by `safe_load` and without aliases, which can make it endless."""
    try:
        import yaml
    except ModuleNotFoundError:
        raise ModuleNotFoundError("data.yaml needs PyYAML: pip install edgepose[train]") from None
    text = read_bounded(path, LARGEST).decode("utf-8-sig", errors="replace")
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise ValueError(f"{path} uses aliases (*name), which no data.yaml needs: it is not read")
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = "" if line is None else f", line {line + 1}"
        raise ValueError(
            f"{path} is not YAML{where}: expected a data.yaml with `kpt_shape`, `names` and `train`"
        ) from None
    if not isinstance(content, dict) or not {"names", "nc", "kpt_shape", *SPLITS} & set(content):
        raise ValueError(
            f"{path} is no data.yaml of a data set: expected `kpt_shape`, `names`, `train` and `val` in it"
        )
    return content


def _classes(names: Any, file: Path) -> dict[int, str]:
    if names is None:
        return {0: "person"}
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names or not all(isinstance(i, int) and i >= 0 for i in names):
        raise ValueError(f"{file}: `names` is {str(names)[:60]}, expected a name for each class")
    return {i: str(name) for i, name in sorted(names.items())}


def _folders(content: Mapping[str, Any], root: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Folders of pictures relative to the root, by split, and the words that lead nowhere.

    A list of files counts as the folders of its pictures.
    """
    found: dict[str, list[str]] = {}
    lost: list[str] = []
    stated_root = content.get("path")
    base = _inside(stated_root, root) if isinstance(stated_root, str) else "."
    others = [key for key in content if isinstance(key, str) and key not in (*SPLITS, *NO_SPLITS)]
    for split in (*SPLITS, *others):
        stated = content.get(split)
        for word in stated if isinstance(stated, list) else [stated]:
            if not isinstance(word, str) or not word.strip():
                continue
            folder = next((f for f in (_inside(word, root, base), _inside(word, root)) if f is not None), None)
            folders: list[str] = []
            if folder is not None and (root / folder).is_dir():
                folders = [folder]
            elif folder is not None and folder.endswith(".txt"):
                lines = read_bounded(root / folder, LARGEST).decode("utf-8", errors="replace").splitlines()
                inside = [_listed(line.strip(), root, base) for line in lines[:MOST] if line.strip()]
                folders = sorted({str(PurePosixPath(name).parent) for name in inside if name is not None})
            if folders:
                found.setdefault(split, []).extend(folders)
            elif split in SPLITS or folder is not None:
                lost.append(f"`{split}: {word[:60]}`")
    return found, lost


def _listed(word: str, root: Path, base: str | None) -> str | None:
    """Where a picture of a list is: as it says, or without the folder that only CVAT's lists know."""
    shorter = word.replace("\\", "/").removeprefix("./").removeprefix(f"{LISTED_IN}/")
    return next((f for f in (_inside(word, root, base), _inside(shorter, root, base)) if f is not None), None)


def _inside(word: str, root: Path, base: str | None = None) -> str | None:
    """Where a path of the file lies within the root; None where it is not there. Leading .. and / say nothing.

    Roboflow writes ../train/images for train/images, Ultralytics an absolute `path`.
    """
    parts = [part for part in word.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    if not parts:
        return "."
    for start in range(1 if is_inside(word.removeprefix("./")) else len(parts)):
        name = "/".join([*([base] if base and base != "." else []), *parts[start:]])
        place = (root / name).resolve()
        if place.exists() and (place == root or root in place.parents):
            return name
    return None


def _chosen(
    folders: Mapping[str, list[str]], pictures: str | Path | None, root: Path, file: Path, notes: list[str]
) -> list[str]:
    """The folders to read: those at or below `pictures`, else all."""
    every = list(dict.fromkeys(folder for split in folders.values() for folder in split))
    if pictures is not None and Path(pictures).is_dir():
        wanted = Path(pictures).resolve()
        own = [f for f in every if (root / f).resolve() == wanted or wanted in (root / f).resolve().parents]
        if not own and root in wanted.parents:
            return [wanted.relative_to(root).as_posix()]
        every = own or every
    if len([split for split in folders if set(folders[split]) & set(every)]) > 1 and len(every) > 1:
        splits = ", ".join(split for split in folders)
        notes.append(f"{file}: {splits} are read together: name one's folder as the pictures, such as {every[0]}")
    return every


def _labels_of(folder: str) -> PurePosixPath:
    """Where the labels of a folder of pictures are: its last part called images becomes labels, else beside them."""
    parts = list(PurePosixPath(folder).parts)
    for i in reversed(range(len(parts))):
        if parts[i] == "images":
            parts[i] = "labels"
            return PurePosixPath(*parts)
    return PurePosixPath(folder)


def _pictures_in(root: Path, folder: str) -> Iterator[str]:
    return (name for name in _files(root, PurePosixPath(folder)) if name.lower().endswith(PICTURES))


def _texts_in(root: Path, folder: PurePosixPath) -> Iterator[str]:
    skipped = ("classes.txt", "README.txt", "README.dataset.txt", "README.roboflow.txt")
    return (name for name in _files(root, folder) if name.endswith(".txt") and not name.endswith(skipped))


def _files(root: Path, folder: PurePosixPath) -> Iterator[str]:
    count = 0
    for here, folders, files in os.walk(root / folder):
        folders.sort()
        for name in sorted(files):
            count += 1
            if count > MOST:
                raise ValueError(f"{root / folder} holds more than {MOST} files: no data set does")
            yield (PurePosixPath(Path(here).relative_to(root).as_posix()) / name).as_posix()


def _seen_size(source: Pictures, name: str) -> tuple[int, int]:
    w, h, orientation = source.size(name)
    return (h, w) if orientation >= 5 else (w, h)


def _rows(
    file: Path, skeleton: Skeleton | None, width: int, names: Mapping[int, str], size: tuple[int, int]
) -> Iterator[Row]:
    """Annotations of one file of labels: class, center and size of the box, x, y (and v) of every keypoint."""
    k = 0 if skeleton is None else len(skeleton)
    text = read_bounded(file, LARGEST).decode("utf-8-sig", errors="replace")
    w, h = size
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        where = f"{file}, line {number}"
        if len(words) not in (5, 5 + k * width):
            what = f"{k} keypoints of {width} numbers" if k else "no keypoints, for want of `kpt_shape` in data.yaml"
            raise ValueError(f"{where}: {len(words)} numbers, expected {5 + k * width}: class, box and {what}")
        try:
            values = [float(word) for word in words]
        except ValueError:
            odd = next(word for word in words if not _is_float(word))
            raise ValueError(f"{where}: {odd[:40]!r} is no number") from None
        if not all(map(math.isfinite, values)) or values[0] not in names:
            what = (
                "a number is not finite" if values[0] in names else f"class {words[0]} is not in `names` of data.yaml"
            )
            raise ValueError(f"{where}: {what}")
        points = _points(values[5:], width)
        seen = [value for x, y, v in points if v > 0 for value in (x, y)]
        if max([*values[1:5], *seen], default=0) > 1 + BEYOND or min([*values[1:5], *seen], default=0) < -BEYOND:
            raise ValueError(
                f"{where}: coordinates outside 0 to 1, expected fractions of the picture's width and height"
            )
        cx, cy, bw, bh = values[1:5]
        yield {
            "category_id": int(values[0]) + 1,
            "bbox": [(cx - bw / 2) * w, (cy - bh / 2) * h, bw * w, bh * h],
            "keypoints": [value for x, y, v in points for value in ((x * w, y * h, v) if v > 0 else (0.0, 0.0, 0))],
        }


def _points(values: list[float], width: int) -> list[tuple[float, float, float]]:
    """x, y, v; where no v is stated, a point at 0, 0 or below is not labelled."""
    if width == 3:
        return list(zip(values[::3], values[1::3], values[2::3], strict=True))
    if width != 2:
        return []
    pairs = zip(values[::2], values[1::2], strict=True)
    return [(x, y, 2.0 if x >= 0 and y >= 0 and (x > 0 or y > 0) else 0.0) for x, y in pairs]


def _is_float(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _some(names: list[str], one: str, many: str = "") -> str:
    shown = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
    return f"{len(names)} {one if len(names) == 1 else many or one + 's'} ({shown})"
