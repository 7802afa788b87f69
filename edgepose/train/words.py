"""A training run in words, `key=value`: those of the run itself, and those that change its recipe."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from edgepose.data.columns import Choice
from edgepose.data.images import ON_BAD
from edgepose.skeleton import Skeleton
from edgepose.skeleton_file import skeleton_of_word
from edgepose.train.families import recipe_of
from edgepose.train.options import Classifier, Detector
from edgepose.train.recipes import Recipe, override
from edgepose.train.run import Settings


def planned(name: str, words: list[str], skeleton: Skeleton | None = None) -> tuple[Recipe, Settings]:
    """What the `key=value` words make of recipe `name`; ValueError where they are wrong.

    Batch and learning rate are scaled to the data unless one of them is among the words, or the recipe is a file.

    skeleton: in place of a word for it.
    """
    chosen = recipe_of(name)
    settings, rest = parse(name, words, folders=isinstance(chosen.options, Classifier))
    if skeleton is not None:
        settings = replace(settings, choice=replace(settings.choice, skeleton=skeleton))
    if isinstance(chosen.options, (Classifier, Detector)) and settings.choice.skeleton is not None:
        raise ValueError(f"{chosen.model} finds no keypoints: leave skeleton= out")
    if settings.choice.skeleton is not None:
        chosen = replace(chosen, skeleton=_by_name(settings.choice.skeleton))
    stated = name.endswith(".json") or any(word.startswith(("batch=", "lr=")) for word in rest)
    return override(chosen, rest), replace(settings, scale=not stated)


def parse(name: str, words: list[str], *, folders: bool = False) -> tuple[Settings, list[str]]:
    """The settings among `key=value` words, and the words left for the recipe.

    folders: data sets are folders with a sub-folder for each class.
    """
    own: dict[str, str] = {}
    rest = []
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key in ("data", "val", "out", "device", "tensorboard", "on_bad", "skeleton", "category"):
            own[key] = value
        else:
            rest.append(word)
    if "data" not in own:
        if folders:
            raise ValueError("no training data: add data=FOLDER with a sub-folder of pictures for each class")
        raise ValueError("no training data: add data=ANNOTATIONS.json:PICTURES, a file of labels and a folder or zip")
    device, tensorboard = own.get("device", "cpu"), own.get("tensorboard", "0")
    on_bad = own.get("on_bad", "refuse")
    if on_bad not in ON_BAD:
        raise ValueError(f"on_bad={on_bad}: expected one of {list(ON_BAD)}")
    if device.partition(":")[0] not in ("cpu", "cuda"):
        raise ValueError(f"device={device}: expected cpu or cuda")
    if tensorboard not in ("0", "1", "true", "false"):
        raise ValueError(f"tensorboard={tensorboard}: expected true or false")
    out = Path(own.get("out", f"runs/{Path(name).stem if name.endswith('.json') else name}"))
    read = _folder if folders else _sets
    data = read("data", own["data"])
    val = read("val", own["val"]) if "val" in own else {}
    if any(name for name, _, _ in val):
        raise ValueError(f"val={own['val']}: its set needs no name, expected ANNOTATIONS.json:PICTURES")
    settings = Settings(
        [(labels, pictures, times) for (_, labels, pictures), times in data.items()], out,
        [(labels, pictures, times) for (_, labels, pictures), times in val.items()],
        device, tensorboard in ("1", "true"), [name for name, _, _ in data], on_bad,
        Choice(skeleton_of_word(own["skeleton"]) if "skeleton" in own else None, own.get("category", "")),
    )  # fmt: skip
    return settings, rest


def _by_name(skeleton: Skeleton) -> str | Skeleton:
    """As recipes hold it: a built-in one by its name."""
    return skeleton.name if skeleton.built_in else skeleton


def _folder(key: str, text: str) -> dict[tuple[str, Path, Path], int]:
    """A classifier's data: a folder is both labels and pictures."""
    path = Path(text)
    if not path.is_dir():
        raise ValueError(f"{key}={text}: a classifier's data is a folder with a sub-folder of pictures for each class")
    return {("", path, path): 1}


# The name of a set, its labels (a drive's colon is no separator), its pictures, how often it is listed.
SET = re.compile(r"(?:([a-z0-9]+)=)?((?:[A-Za-z]:(?=[\\/]))?[^:*]+)(?::(.+?))?(?:\*(\d+))?")


def _is_whole(labels: Path) -> bool:
    """Whether labels say where their pictures are: a data.yaml, or a folder that holds both."""
    return labels.suffix.lower() in (".yaml", ".yml") or labels.is_dir()


def _sets(key: str, text: str) -> dict[tuple[str, Path, Path], int]:
    """`a.json:folder,b.json:pictures.zip*4`, each with `name=` before it where a mix names its sets -> how often each
    (name, annotations, pictures) is listed; the colon of a Windows drive is no separator.
    """
    sets: dict[tuple[str, Path, Path], int] = {}
    for part in text.split(","):
        matched = SET.fullmatch(part)
        if matched is None or matched[4] == "0" or not (matched[3] or _is_whole(Path(matched[2]))):
            raise ValueError(
                f"{key}={part}: expected ANNOTATIONS.json:PICTURES, or ANNOTATIONS.json:PICTURES*4 for a set that is "
                "listed 4 times, several separated by commas"
            )
        labels = Path(matched[2])
        pair = labels, Path(matched[3]) if matched[3] else labels if labels.is_dir() else labels.parent
        for path in pair:
            if not path.exists():
                raise FileNotFoundError(f"{key}={part}: {path} does not exist")
        listed = matched[1] or "", *pair
        sets[listed] = sets.get(listed, 0) + int(matched[4] or 1)  # a set that is written twice is read once
    return sets
