"""`edgepose train` and `edgepose export`: words of the command line to `edgepose.train` and `edgepose.export`."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edgepose.commands.pace import Pace
from edgepose.commands.screen import Screen, Task, show_json
from edgepose.data.images import ON_BAD
from edgepose.train.families import recipe_of
from edgepose.train.loop import Step
from edgepose.train.options import Classifier
from edgepose.train.recipes import Recipe, override
from edgepose.train.run import Settings, Trained, train_model

if TYPE_CHECKING:
    from edgepose.export import Report

ENDINGS: dict[str, tuple[str, ...]] = {  # of the files that `edgepose export` writes, the one that is opened first
    "onnx": (".onnx",),
    "openvino": (".xml", ".bin"),
    "ncnn": (".ncnn.param", ".ncnn.bin", ".ncnn.json"),
}


def planned(name: str, words: list[str]) -> tuple[Recipe, Settings]:
    """What the `key=value` words make of recipe `name`; ValueError where they are wrong."""
    chosen = recipe_of(name)
    settings, rest = parse(name, words, folders=isinstance(chosen.options, Classifier))
    return override(chosen, rest), settings


def train(recipe: Recipe, settings: Settings, as_json: bool) -> None:
    """Train a recipe and say where its checkpoint is."""
    try:
        done = trained(recipe, settings)
    except InterruptedError:
        raise typer.Exit(128 + signal.SIGTERM) from None
    if os.environ.get("RANK", "0") != "0":  # of torchrun's processes the first one tells
        return
    if as_json:
        show_json({"checkpoint": str(done.checkpoint), **done.row})
    else:
        print(f"wrote {done.checkpoint}; next: {_next_step(recipe, done.checkpoint)}", flush=True)


def trained(recipe: Recipe, settings: Settings) -> Trained:
    """Train a recipe, going on with a run that is found in its folder; progress is shown on stderr."""
    with Screen() as screen, Progress(screen, recipe.epochs) as progress:
        return train_model(recipe, settings, report=progress.report, record=progress.record, say=screen.complain)


def _next_step(recipe: Recipe, checkpoint: Path) -> str:
    """What a trained network is for: a classifier starts the pose network of its size."""
    if isinstance(recipe.options, Classifier):
        return f"edgepose train {recipe.model.replace('efficientnet-b', 'efficienthrnet-h')} init={checkpoint}"
    return f"edgepose export {checkpoint} --to onnx"


def parse(name: str, words: list[str], *, folders: bool = False) -> tuple[Settings, list[str]]:
    """The settings among `key=value` words, and the words left for the recipe.

    folders: data sets are folders with a sub-folder for each class.
    """
    own: dict[str, str] = {}
    rest = []
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key in ("data", "val", "out", "device", "tensorboard", "on_bad"):
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
    )  # fmt: skip
    return settings, rest


def _folder(key: str, text: str) -> dict[tuple[str, Path, Path], int]:
    """A classifier's data: a folder is both labels and pictures."""
    path = Path(text)
    if not path.is_dir():
        raise ValueError(f"{key}={text}: a classifier's data is a folder with a sub-folder of pictures for each class")
    return {("", path, path): 1}


def _sets(key: str, text: str) -> dict[tuple[str, Path, Path], int]:
    """`a.json:folder,b.json:pictures.zip*4`, each with `name=` before it where a mix names its sets -> how often each
    (name, annotations, pictures) is listed; the colon of a Windows drive is no separator.
    """
    sets: dict[tuple[str, Path, Path], int] = {}
    for part in text.split(","):
        matched = re.fullmatch(r"(?:([a-z0-9]+)=)?(.+?\.(?:json|json\.gz|mat)):(.+?)(?:\*(\d+))?", part)
        if matched is None or matched[4] == "0":
            raise ValueError(
                f"{key}={part}: expected ANNOTATIONS.json:PICTURES, or ANNOTATIONS.json:PICTURES*4 for a set that is "
                "listed 4 times, several separated by commas"
            )
        pair = Path(matched[2]), Path(matched[3])
        for path in pair:
            if not path.exists():
                raise FileNotFoundError(f"{key}={part}: {path} does not exist")
        listed = matched[1] or "", *pair
        sets[listed] = sets.get(listed, 0) + int(matched[4] or 1)  # a set that is written twice is read once
    return sets


def export(checkpoint: Path, to: str, out: Path | None, half: bool, as_json: bool) -> None:
    """Export a checkpoint and say how far the results differ."""
    report = exported(checkpoint, to, out, half)
    stem = str(report.path).removesuffix(ENDINGS[to][0])
    files = [report.path, *(Path(stem + ending) for ending in ENDINGS[to][1:])]
    size = sum(file.stat().st_size for file in files)
    if as_json:
        show_json(dataclasses.asdict(report) | {"path": str(report.path), "bytes": size})
    else:
        print(
            f"wrote {report.path} ({size / 1e6:.1f} MB); results differ from torch's by {report.mean:.4f} px on "
            f"average, {report.largest:.4f} px at most, over {report.points} points"
        )


def exported(checkpoint: Path, to: str, out: Path | None, half: bool) -> Report:
    """Write the network of a checkpoint in another format, if it then gives the same results."""
    if to not in ENDINGS:
        raise ValueError(f"cannot export to {to!r}: expected {', '.join(ENDINGS)}")
    from edgepose.export import export_onnx
    from edgepose.export.ncnn import export_ncnn
    from edgepose.export.openvino import export_openvino
    from edgepose.train.checkpoint import network_of

    spec, network = network_of(checkpoint)
    target = out if out is not None else checkpoint.with_name(spec.name + ENDINGS[to][0])
    write = {"onnx": export_onnx, "openvino": export_openvino, "ncnn": export_ncnn}[to]
    return write(spec, network, target, half=half)


class Progress:
    """How a run gets on: a bar with the rest of the time, and a line after every epoch.

    Where there is no bar, since the output is no terminal, a line about every minute instead. clock: in seconds.
    """

    def __init__(self, screen: Screen, epochs: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self._screen, self._epochs, self._now = screen, epochs, clock
        self._pace: Pace | None = None
        self._task: Task | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def report(self, step: Step) -> None:
        """After every iteration."""
        if self._task is None:
            self._task = self._stack.enter_context(self._screen.task("training", step.total))
            self._pace = Pace(self._now(), step.iteration)
        losses = " ".join(f"{name} {value:.4g}" for name, value in step.losses.items())
        epoch = f"epoch {step.epoch + 1}/{self._epochs}"
        self._task.update(step.iteration, f"{losses}  {step.images_per_second:.0f} images/s", epoch)
        line = self._pace.line(step, self._now()) if self._pace is not None else ""
        if line and not self._screen.shows_bars:
            self._screen.complain(f"iteration {step.iteration}/{step.total}  {epoch}  {line}")

    def record(self, row: dict[str, Any]) -> None:
        """After every epoch."""
        hidden = ("iteration", "epoch", "skipped")
        facts = "  ".join(f"{key} {value}" for key, value in row.items() if key not in hidden)
        self._screen.complain(f"epoch {row['epoch']}/{self._epochs}  {facts}")
