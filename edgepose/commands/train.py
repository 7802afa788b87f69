"""`edgepose train` and `edgepose export`: words of the command line to `edgepose.train` and `edgepose.export`."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import math
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import typer

from edgepose.commands.pace import Pace
from edgepose.commands.screen import Screen, Task, show_json
from edgepose.data import memory
from edgepose.data.mixes import MIXES, mixed
from edgepose.data.pictures import ON_BAD, OnBad
from edgepose.runtime.atomic import make_folder
from edgepose.train.loop import Step, processes_of_torchrun
from edgepose.train.loop import train as run_loop
from edgepose.train.process import is_first, process_count, require_device, tensorboard_writer, use_threads
from edgepose.train.recipes import RECIPES, Recipe, override
from edgepose.train.stopping import Stop
from edgepose.train.task import prepare, recipe_of
from edgepose.train.validation import validation

if TYPE_CHECKING:
    from edgepose.export import Report

Set = tuple[Path, Path, int]  # annotations, pictures, how often it is listed
ENDINGS: dict[str, tuple[str, ...]] = {  # of the files that `edgepose export` writes, the one that is opened first
    "onnx": (".onnx",),
    "openvino": (".xml", ".bin"),
    "ncnn": (".ncnn.param", ".ncnn.bin", ".ncnn.json"),
}


@dataclass(frozen=True)
class Settings:
    """What a run needs besides its recipe."""

    data: list[Set]
    out: Path
    val: list[Set] = field(default_factory=list)
    device: str = "cpu"
    tensorboard: bool = False
    names: list[str] = field(default_factory=list)  # of the training sets, "" where one has none
    on_bad: OnBad = "refuse"


def planned(name: str, words: list[str]) -> tuple[Recipe, Settings]:
    """What the `key=value` words make of recipe `name`; ValueError where they are wrong."""
    chosen = recipe_of(name)
    settings, rest = parse(name, words)
    return override(chosen, rest), settings


def train(recipe: Recipe, settings: Settings, as_json: bool) -> None:
    """Train a recipe and say where its checkpoint is."""
    checkpoint, last = trained(recipe, settings)
    if last is None:
        return
    if as_json:
        show_json({"checkpoint": str(checkpoint), **last})
    else:
        print(f"wrote {checkpoint}; next: {_next_step(recipe.model, checkpoint)}", flush=True)


def trained(recipe: Recipe, settings: Settings) -> tuple[Path, dict[str, Any] | None]:
    """Train a recipe, resuming what its folder holds -> the checkpoint, and the last row of the log.

    Of the processes of `torchrun` only the first has a log; the others get None.
    """
    require_device(settings.device)
    make_folder(settings.out)
    quicken_process()
    use_threads(recipe.threads)
    with ExitStack() as stack:
        device = stack.enter_context(processes_of_torchrun(settings.device))
        first = is_first()
        screen = stack.enter_context(Screen())
        memory.limit(recipe.memory, int(os.environ.get("LOCAL_WORLD_SIZE", 1)) * max(recipe.workers, 1))
        task = prepare(recipe, training_sets(recipe.mix, settings), settings.on_bad)
        figures = validation(task.spec, settings.val) if settings.val and first else None
        validate = None if figures is None else lambda network: figures(task.deployed(network))
        log = Log(settings, screen, recipe) if first else None
        if log is not None:
            stack.enter_context(log)
            log.left_out(task.missing)
        with _told(screen if first else None) as stop:
            checkpoint = run_loop(
                recipe, task.spec, task.network, task.samples, task.loss_of, settings.out, device=device,
                extra=task.extra, order=task.order, validate=validate,
                report=(lambda step: None) if log is None else log.report,
                record=(lambda row: None) if log is None else log.record,
                stop=stop,
            )  # fmt: skip
        return checkpoint, None if log is None else log.last


@contextmanager
def _told(screen: Screen | None) -> Iterator[Stop]:
    """Listens to SIGTERM and Ctrl-C; says on `screen` where a run that SIGTERM stopped has left its state."""
    processes = process_count()
    with Stop(processes) as stop:
        try:
            yield stop
        except InterruptedError as error:
            if screen is not None:
                screen.complain(str(error))
            raise typer.Exit(128 + signal.SIGTERM) from None
        except RuntimeError:  # of torch.distributed, where the first process has gone while it validated
            if processes == 1 or not stop.number:
                raise
            raise typer.Exit(128 + stop.number) from None


def _next_step(model: str, checkpoint: Path) -> str:
    """What a trained network is for: a classifier starts the pose network of its size."""
    if model.startswith("efficientnet-"):
        return f"edgepose train {model.replace('efficientnet-b', 'efficienthrnet-h')} init={checkpoint}"
    return f"edgepose export {checkpoint} --to onnx"


def quicken_process() -> None:
    """Settings of the whole process that make training on a CPU 10 to 30 % faster; results stay the same.

    Every step allocates tensors of tens of megabytes, which glibc maps and unmaps each time: the kernel then clears
    all pages again. Kept on the heap, they are handed out again as they are. OpenCV warps small crops, for which
    waking its threads costs more than they save, beside torch's threads that want the same cores.
    """
    cv2.setNumThreads(1)
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library than glibc
        return
    mallopt(-4, 0)  # M_MMAP_MAX: no allocation gets a mapping of its own
    mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: nothing is given back to the system
    mallopt(-2, 2**28)  # M_TOP_PAD: and the heap grows by 256 MB at a time


def parse(name: str, words: list[str]) -> tuple[Settings, list[str]]:
    """The settings among `key=value` words, and the words left for the recipe."""
    own: dict[str, str] = {}
    rest = []
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key in ("data", "val", "out", "device", "tensorboard", "on_bad"):
            own[key] = value
        else:
            rest.append(word)
    classifies = name in RECIPES and RECIPES[name].model.startswith("efficientnet-")
    if "data" not in own:
        if classifies:
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
    out = Path(own.get("out", f"runs/{name}"))
    read = _folder if classifies else _sets
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


def training_sets(mix: str, settings: Settings) -> list[Set]:
    """The training sets, as often as they are written or as the recipe's mix lists them."""
    named = [name for name in settings.names if name]
    if not mix:
        if named:
            raise ValueError(f"data={named[0]}=...: names of sets are for a mix; leave it out, or add mix=aic-coco")
        return settings.data
    if len(named) < len(settings.data):
        names = list(MIXES[mix])
        raise ValueError(f"the mix {mix} needs the name of every set: data=NAME=ANNOTATIONS:PICTURES with {names}")
    often = [str(annotations) for annotations, _, times in settings.data if times != 1]
    if often:
        raise ValueError(f"the mix {mix} says how often each set is listed: leave the factor of {often[0]} out")
    return [(annotations, pictures, factor) for (annotations, pictures, _), factor in
            mixed(mix, settings.names, settings.data)]  # fmt: skip


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
    from edgepose.export_ncnn import export_ncnn
    from edgepose.export_openvino import export_openvino
    from edgepose.train.checkpoint import network_of

    spec, network = network_of(checkpoint)
    target = out if out is not None else checkpoint.with_name(spec.name + ENDINGS[to][0])
    write = {"onnx": export_onnx, "openvino": export_openvino, "ncnn": export_ncnn}[to]
    return write(spec, network, target, half=half)


class Log:
    """Rows of a run: a bar with the rest of the time, `log.jsonl`, and TensorBoard on demand.

    Where there is no bar, since the output is no terminal, a line about every minute instead. clock: in seconds.
    """

    def __init__(
        self, settings: Settings, screen: Screen, recipe: Recipe, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._path = settings.out / "log.jsonl"
        rows = self._path.read_text(encoding="utf-8").splitlines() if self._path.is_file() else []
        self.last: dict[str, Any] = json.loads(rows[-1]) if rows else {}
        self._screen, self._recipe, self._now = screen, recipe, clock
        self._pace: Pace | None = None
        self._task: Task | None = None
        self._skipped: list[str] = []
        self._stack = ExitStack()
        self._board: Any = None
        if settings.tensorboard:
            self._board = tensorboard_writer(settings.out / "tensorboard")

    def __enter__(self) -> Log:
        self._clock = self._now()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
        if self._board is not None:
            self._board.close()

    def report(self, step: Step) -> None:
        """After every iteration."""
        if self._task is None:
            self._task = self._stack.enter_context(self._screen.task("training", step.total))
            self._pace = Pace(self._now(), step.iteration)
        self.left_out(step.skipped)
        losses = " ".join(f"{name} {value:.4g}" for name, value in step.losses.items())
        epoch = f"epoch {step.epoch + 1}/{self._recipe.epochs}"
        self._task.update(step.iteration, f"{losses}  {step.images_per_second:.0f} images/s", epoch)
        line = self._pace.line(step, self._now()) if self._pace is not None else ""
        if line and not self._screen.shows_bars:
            self._screen.complain(f"iteration {step.iteration}/{step.total}  {epoch}  {line}")
        if self._board is not None:
            self._board.add_scalar("lr", step.lr, step.iteration)
            for name, value in step.losses.items():
                self._board.add_scalar(f"loss/{name}", value, step.iteration)

    def left_out(self, pictures: Sequence[str]) -> None:
        """Name pictures that could not be read, each once; every row of the log lists all of them so far."""
        for name in pictures:
            if name not in self._skipped:
                self._skipped.append(name)
                self._screen.complain(f"skipped {name}: missing, or no picture that can be read")

    def record(self, row: dict[str, Any]) -> None:
        """After every epoch."""
        seconds = self._now() - self._clock
        self.left_out(row.get("skipped", ()))  # those of other processes are not told before
        row = {key: _rounded(value) for key, value in row.items()} | {"seconds": round(seconds, 1)}
        if self._skipped:
            row |= {"skipped_count": len(self._skipped), "skipped": self._skipped}
        self.last = row
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if self._board is not None:
            for key in row.keys() - {"iteration", "epoch", "lr", "seconds"}:
                if isinstance(row[key], (int, float)):
                    self._board.add_scalar(f"epoch/{key}", row[key], row["iteration"])
        hidden = ("iteration", "epoch", "skipped")
        facts = "  ".join(f"{key} {value}" for key, value in row.items() if key not in hidden)
        self._screen.complain(f"epoch {row['epoch']}/{self._recipe.epochs}  {facts}")


def _rounded(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None
