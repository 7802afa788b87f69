"""A training run from data sets to a checkpoint: `train_model` is `edgepose train` but for its words and lines."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edgepose.data import memory
from edgepose.data.columns import NO_CHOICE, Choice
from edgepose.data.images import OnBad
from edgepose.data.mixes import MIXES, mixed
from edgepose.media.files import alone_in, make_folder
from edgepose.skeleton import Skeleton
from edgepose.train.families import prepare
from edgepose.train.loop import CHECKPOINT, Plan, Step, processes_of_torchrun, train
from edgepose.train.options import TopDown
from edgepose.train.process import is_first, quicken_process, require_device, tensorboard_writer, use_threads
from edgepose.train.recipes import Recipe
from edgepose.train.scale import resumed, scaled, sentence, warning
from edgepose.train.stopping import Stop
from edgepose.train.validation import validation

Set = tuple[Path, Path, int]  # annotations, pictures, how often it is listed


@dataclass(frozen=True)
class Settings:
    """What a run needs besides its recipe."""

    data: Sequence[Set]
    out: Path  # folder of the checkpoint and the log; a run found there goes on
    val: Sequence[Set] = ()  # at most one set
    device: str = "cpu"
    tensorboard: bool = False
    names: Sequence[str] = ()  # of the training sets, "" where one has none; for a mix
    on_bad: OnBad = "refuse"
    choice: Choice = NO_CHOICE  # which category of the labels, and a skeleton that is stated rather than found in them
    scale: bool = False  # batch and learning rate to the size of the data, where nobody stated them (scale.py)


@dataclass(frozen=True)
class Trained:
    """What a run leaves behind."""

    checkpoint: Path
    row: dict[str, Any]  # the last one of log.jsonl: means of the losses over the epoch, figures of the validation


def complain(line: str) -> None:
    """A line on stderr."""
    print(line, file=sys.stderr, flush=True)


def train_model(
    recipe: Recipe,
    settings: Settings,
    *,
    report: Callable[[Step], None] = lambda step: None,
    record: Callable[[dict[str, Any]], None] = lambda row: None,
    say: Callable[[str], None] = complain,
) -> Trained:
    """Train a recipe, resuming what its folder holds; under `torchrun` the processes share every batch.

    It changes settings of the whole process that make training quicker: torch's threads, OpenCV's, and how memory is
    allocated (`process.quicken_process`).

    report is called after every step, record with every row of the log, say with a line on what needs attention; all in
    the first process alone.

    Raises ValueError and FileNotFoundError for what cannot be trained. Ctrl-C and SIGTERM end the run after the step at
    hand, with its state saved, as KeyboardInterrupt and InterruptedError.
    """
    require_device(settings.device)
    make_folder(settings.out)
    quicken_process()
    use_threads(recipe.threads)
    with ExitStack() as stack:
        device = stack.enter_context(processes_of_torchrun(settings.device))
        first = is_first()
        if first:
            stack.enter_context(alone_in(settings.out))
        memory.limit(recipe.memory, int(os.environ.get("LOCAL_WORLD_SIZE", 1)) * max(recipe.workers, 1))
        mix = recipe.options.mix if isinstance(recipe.options, TopDown) else ""
        sets = training_sets(mix, settings)
        task = prepare(recipe, sets, settings.on_bad, settings.choice)
        if settings.scale:
            rows = Plan(task.samples, recipe).rows
            processes = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
            before = resumed(recipe, settings.out / CHECKPOINT)
            chosen = before or scaled(recipe, rows, processes)
            if chosen != recipe:
                if first and before is None:
                    say(sentence(recipe, chosen, rows))
                recipe = chosen
                task = prepare(recipe, sets, settings.on_bad, settings.choice)  # what counts steps counts anew
        recipe = task.recipe or recipe
        if first:
            for note in task.notes:
                say(note)
            if isinstance(recipe.skeleton, Skeleton):
                say(described(recipe.skeleton))
            if short := warning(recipe, Plan(task.samples, recipe).per_epoch):
                say(short)
        figures = validation(task.spec, settings.val, settings.choice) if settings.val and first else None
        validate = None if figures is None else lambda network: figures(task.deployed(network))
        log = stack.enter_context(Log(settings.out, settings.tensorboard, say)) if first else None
        if log is not None:
            log.left_out(task.missing)

        def report_step(step: Step) -> None:
            if log is not None:
                log.report(step)
                report(step)

        def record_row(row: dict[str, Any]) -> None:
            if log is not None:
                record(log.record(row))

        with batch_in_memory(recipe.batch):
            checkpoint = _until_stopped(
                lambda stop: train(
                    recipe, task.spec, task.network, task.samples, task.loss_of, settings.out, device=device,
                    extra=task.extra, order=task.order, validate=validate, report=report_step, record=record_row,
                    stop=stop, say=say if first else lambda line: None,
                ),
                say if first else lambda line: None,
            )  # fmt: skip
    return Trained(checkpoint, {} if log is None else log.last)


def described(skeleton: Skeleton) -> str:
    """One line on a skeleton of somebody's own, so that a wrong left and right is seen before hours of training."""
    pairs = [f"{skeleton.names[i]} and {skeleton.names[j]}" for i, j in enumerate(skeleton.flip) if i < j]
    sides = (
        f"left and right: {', '.join(pairs[:4])}{' ...' if len(pairs) > 4 else ''}" if pairs else "no left and right"
    )
    return f"{len(skeleton)} keypoints of {skeleton.name}: {', '.join(skeleton.names[:30])}; {sides}"


@contextmanager
def batch_in_memory(batch: int) -> Iterator[None]:
    """ValueError in place of what torch says of a batch for which there is no memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        said = str(error).lower()
        if isinstance(error, RuntimeError) and not any(words in said for words in _NO_MEMORY):
            raise
        raise ValueError(
            f"a step of {batch} pictures does not fit into memory: set batch={max(batch // 2, 1)} or less, and lr with "
            "it, or a smaller input_size"
        ) from error


_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")  # of torch, on a GPU and on CPUs


def _until_stopped(run: Callable[[Stop], Path], say: Callable[[str], None]) -> Path:
    """Listens to SIGTERM and Ctrl-C; says where a run that SIGTERM stopped has left its state."""
    processes = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
    with Stop(processes) as stop:
        try:
            return run(stop)
        except InterruptedError as error:
            say(str(error))
            raise
        except RuntimeError:  # of torch.distributed, where the first process has gone while it validated
            if processes == 1 or not stop.number:
                raise
            raise KeyboardInterrupt if stop.number == signal.SIGINT else InterruptedError("stopped") from None


def training_sets(mix: str, settings: Settings) -> Sequence[Set]:
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


class Log:
    """Rows of a run in `log.jsonl`, losses of every step in TensorBoard on demand, and pictures that were left out.

    say: takes a line that names such a picture. clock: in seconds.
    """

    def __init__(
        self,
        out: Path,
        tensorboard: bool = False,
        say: Callable[[str], None] = complain,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._path = out / "log.jsonl"
        rows = self._path.read_text(encoding="utf-8").splitlines() if self._path.is_file() else []
        self.last: dict[str, Any] = json.loads(rows[-1]) if rows else {}
        self._say, self._now = say, clock
        self._skipped: list[str] = []
        self._board: Any = tensorboard_writer(out / "tensorboard") if tensorboard else None

    def __enter__(self) -> Log:
        self._begun = self._now()
        return self

    def __exit__(self, *error: object) -> None:
        if self._board is not None:
            self._board.close()

    def report(self, step: Step) -> None:
        """After every iteration."""
        self.left_out(step.skipped)
        if self._board is not None:
            self._board.add_scalar("lr", step.lr, step.iteration)
            for name, value in step.losses.items():
                self._board.add_scalar(f"loss/{name}", value, step.iteration)

    def left_out(self, pictures: Sequence[str]) -> None:
        """Name pictures that could not be read, each once; every row of the log lists all of them so far."""
        for name in pictures:
            if name not in self._skipped:
                self._skipped.append(name)
                self._say(f"skipped {name}: missing, or no picture that can be read")

    def record(self, row: dict[str, Any]) -> dict[str, Any]:
        """After every epoch; returns the row as it was written."""
        seconds = self._now() - self._begun
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
        return row


def _rounded(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None
