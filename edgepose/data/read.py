"""`read`: any annotation file that the project knows, recognized by what is in it and never by its name."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgepose.data.coco import of_coco
from edgepose.data.columns import NO_CHOICE, Choice, Problems, load_json, shown
from edgepose.data.formats.cvat import read_cvat
from edgepose.data.formats.deeplabcut import is_deeplabcut, read_deeplabcut
from edgepose.data.formats.foreign import HDF5, named, of_hdf5
from edgepose.data.formats.label_studio import is_label_studio, of_label_studio
from edgepose.data.formats.labelme import is_labelme, read_labelme
from edgepose.data.formats.yolo import data_yaml, read_yolo
from edgepose.data.originals import of_aic, of_mpii, of_ochuman, read_lsp
from edgepose.data.people import People
from edgepose.data.sound import noted, sound
from edgepose.media.files import require_regular

Reader = Callable[[Any, str | Path, str | Path | None, Problems, Choice], People]

READERS: dict[str, Reader] = {
    "coco": of_coco,
    # These have one skeleton and one category each.
    "aic": lambda content, path, pictures, problems, _: of_aic(content, path, pictures, problems),
    "mpii": lambda content, path, pictures, problems, _: of_mpii(content, path, pictures, problems),
    "ochuman": lambda content, path, pictures, problems, _: of_ochuman(content, path, pictures, problems),
    "lsp": lambda _, path, pictures, problems, __: read_lsp(path, pictures, problems),  # no JSON
}
KNOWN = (
    "COCO's form (COCO, WholeBody, CrowdPose, AP-10K, Halpe, Human-Art ...), a YOLO-pose data.yaml, CVAT's XML for "
    "images, labelme's folder, Label Studio's JSON, DeepLabCut's CSV, the original lists of AI Challenger, MPII and "
    "OCHuman, or LSP's joints.mat"
)
ZIP = b"PK\x03\x04"
HEAD = 512  # bytes by which a format is told
LABELS = (".json", ".xml", ".csv", ".yaml", ".yml", ".gz")
FEW = 5  # files of a folder that are looked into


def read(
    annotations: str | Path,
    pictures: str | Path | None = None,
    problems: Problems = None,
    choice: Choice = NO_CHOICE,
) -> People:
    """People of an annotation file in any known format, with a folder or zip of pictures.

    Arguments and errors are those of `edgepose.data.coco.read_coco`; a file of no known format is described.
    """
    return recognized(annotations, pictures, problems, choice)[1]


def recognized(
    annotations: str | Path,
    pictures: str | Path | None = None,
    problems: Problems = None,
    choice: Choice = NO_CHOICE,
) -> tuple[str, People]:
    """Which format a file has (a key of `READERS`, or a tool's: "yolo", "cvat", "labelme" ...), and its people."""
    kind, content = loaded(annotations, problems=problems, pictures=pictures)
    form = content["form"] if kind == "coco" else kind
    return form, READERS[kind](content, annotations, pictures, problems, choice)


def loaded(
    annotations: str | Path,
    outlines: bool = False,
    problems: Problems = None,
    pictures: str | Path | None = None,
    annotated: bool = True,
) -> tuple[str, Any]:
    """The format of a file, a key of `READERS`, and its content where that is JSON (`columns.load_json`).

    What labelling tools write is content in COCO's form from here on, and `form` says what it was. All such content was
    checked (`edgepose.data.sound`).

    Args:
        pictures: tells which part of a YOLO data set is meant.
        annotated: False also takes COCO's form without `annotations`, as of a test set.
    """
    path = Path(annotations)
    form, content = _content(path, outlines, pictures)
    if content is None and form != "json":
        return form, None
    if form == "json":
        form = kind_of(content, path, annotated)
    if form == "label-studio":
        content = of_label_studio(content, path)
    if form in READERS and form != "coco":
        return form, content
    notes = content.pop("said", ()) if form != "coco" else ()
    return "coco", noted(sound(content, path, problems, annotated=annotated), notes) | {"form": form, "path": str(path)}


def _content(path: Path, outlines: bool, pictures: str | Path | None) -> tuple[str, Any]:
    """A file's format by how it begins, "json" for any JSON, and its content."""
    if path.is_dir():
        return _of_folder(path, pictures)
    require_regular(path, "an annotation file")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist: expected an annotation file") from None
    if head.startswith(b"MATLAB"):
        return "lsp", None
    if head.startswith(HDF5):
        raise ValueError(of_hdf5(path))
    if head.startswith(ZIP):
        raise ValueError(_of_zip(path))
    text = head.decode("utf-8", errors="replace").lstrip("\ufeff \r\n\t")
    if text.startswith("<"):
        return "cvat", read_cvat(path)
    if is_deeplabcut(text):
        return "deeplabcut", read_deeplabcut(path)
    if text.startswith("filename,file_size"):
        raise ValueError(f"{path} is VIA's CSV: export its annotations in COCO's form, with a name for every keypoint")
    if path.suffix.lower() in (".yaml", ".yml"):
        return "yolo", read_yolo(path, pictures)
    content = load_json(path, outlines)
    return ("labelme", read_labelme(path)) if is_labelme(content) else ("json", content)


def _of_zip(path: Path) -> str:
    """What to do with a zip that is given in place of a label file."""
    try:
        names = zipfile.ZipFile(path).namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return f"{path} is a damaged zip: expected a label file"
    here = [name for name in names if name.lower().endswith(LABELS) and not name.startswith("__MACOSX")]
    hint = f", such as {', '.join(here[:FEW])}" if here else ", though it holds none"
    return f"{path} is a zip: unpack it, and name the label file or data.yaml in it{hint}"


def _of_folder(path: Path, pictures: str | Path | None) -> tuple[str, Any]:
    """A folder that is a data set by itself; one that only holds label files is refused with their names."""
    if data_yaml(path) is not None:
        return "yolo", read_yolo(path, pictures)
    here = sorted(file for file in path.iterdir() if file.suffix.lower() in LABELS and file.is_file())
    if any(file.suffix.lower() == ".json" and is_labelme(load_json(file)) for file in here[:FEW]):
        return "labelme", read_labelme(path)
    some = ", ".join(str(file) for file in here[:3])
    hint = f": name the label file, {some}{' ...' if len(here) > 3 else ''}" if here else ", and holds no label file"
    raise ValueError(f"{path} is a folder{hint}; expected {KNOWN}")


def kind_of(content: Any, path: str | Path, annotated: bool = True) -> str:
    """The format of JSON, a key of `READERS`, or "label-studio"; ValueError says what other files are."""
    what = named(content)
    if what is not None:
        raise ValueError(f"{path} is {what}")
    if is_label_studio(content):
        return "label-studio"
    if isinstance(content, dict):
        if "keypoint_names" in content and "images" in content:
            return "ochuman"
        if {"images", "annotations"} <= set(content) or ("images" in content and not annotated):
            return "coco"
        saw = f"an object with {sorted(content)[:6]}"
        if "images" in content or "annotations" in content:
            raise ValueError(f"{path} lacks `images` or `annotations`: {saw}; expected {KNOWN}")
        raise ValueError(f"{path} is {saw}: expected {KNOWN}")
    if isinstance(content, list) and content and isinstance(content[0], dict):
        keys = set(content[0])
        if "keypoint_annotations" in keys:
            return "aic"
        if "joints" in keys and "image" in keys:
            return "mpii"
        if {"image_id", "score"} <= keys:
            raise ValueError(f"{path} is a list of results (score, image_id), not labels: expected {KNOWN}")
        raise ValueError(f"{path} is a list of objects with {sorted(keys)[:8]}: expected {KNOWN}")
    saw = f"a list of {len(content)}" if isinstance(content, list) else shown(content)
    raise ValueError(f"{path} lacks `images` or `annotations`, it is {saw}: expected {KNOWN}")
