"""`read`: any annotation file that the project knows, recognized by what is in it and never by its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgepose.data.coco import of_coco
from edgepose.data.columns import NO_CHOICE, Choice, Problems, load_json
from edgepose.data.originals import of_aic, of_mpii, of_ochuman, read_lsp
from edgepose.data.people import People

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
    "COCO's form (COCO, WholeBody, CrowdPose, AP-10K, Halpe, Human-Art ...), the original lists of AI Challenger, MPII "
    "and OCHuman, or LSP's joints.mat"
)


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
    """Which format a file has ("coco", "aic", "mpii", "ochuman", "lsp"), and its people."""
    kind, content = loaded(annotations)
    return kind, READERS[kind](content, annotations, pictures, problems, choice)


def loaded(annotations: str | Path, outlines: bool = False) -> tuple[str, Any]:
    """The format of a file, a key of `READERS`, and its content where that is JSON (`columns.load_json`)."""
    if _is_matlab(annotations):
        return "lsp", None
    content = load_json(annotations, outlines)
    return kind_of(content, annotations), content


def kind_of(content: Any, path: str | Path) -> str:
    """The format of a file's content, a key of `READERS`."""
    if isinstance(content, dict):
        if "keypoint_names" in content and "images" in content:
            return "ochuman"
        if {"images", "annotations"} <= set(content):
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
    saw = f"a list of {len(content)}" if isinstance(content, list) else type(content).__name__
    raise ValueError(f"{path} lacks `images` or `annotations`, it is {saw}: expected {KNOWN}")


def _is_matlab(path: str | Path) -> bool:
    try:
        with Path(path).open("rb") as file:
            return file.read(6) == b"MATLAB"
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist: expected an annotation file") from None
