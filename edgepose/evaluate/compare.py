"""Accuracy and speed of many models on one machine: a race in which they take turns, a table and a plot."""

from __future__ import annotations

import csv
import json
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from edgepose.data.columns import NO_CHOICE, Choice
from edgepose.evaluate.energy import EnergyMeter, efficiency
from edgepose.evaluate.graph import graph_size
from edgepose.evaluate.labels import Labels, read_labels
from edgepose.evaluate.measures import Progress, evaluated, file_stem, prepared, quiet
from edgepose.evaluate.memory import peak_memory
from edgepose.evaluate.pareto import Point, front, write_plot
from edgepose.evaluate.report import table
from edgepose.media.example import scaled_example
from edgepose.media.files import atomic_path, make_folder
from edgepose.runtime.bench import Stopwatch
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.load import Backend, backend_of, find
from edgepose.spec import ModelSpec

UNMEASURED = "interrupted before it was measured"
UNTIMED = "interrupted before it was timed"
FAILURES = (ValueError, OSError, ImportError, RuntimeError)  # what a model that does not fit raises
SIZE = (1280, 720)


@dataclass(frozen=True)
class Plan:
    """How models are compared.

    Args:
        boxes: as for `evaluate`. "detector": the whole pipeline is scored and timed. Otherwise a per-person network is
            scored in these boxes and timed without a detector: what is timed is what was scored.
        people: looked at per picture when per-person networks are timed; by default as many as are labelled in the
            mean picture with people.
        rounds: every model is timed once in each, in a new order.
        seconds: of one model in one round.
        watts: power of the machine under load; by default measured where the system has counters.
        choice: which category of the labels, and what its keypoints are.
        memory: also run every model in a process of its own for its peak memory.
    """

    data: Path
    images: Path
    boxes: str = "detector"
    detector: str = "default"
    people: int | None = None
    rounds: int = 7
    seconds: float = 0.5
    watts: float | None = None
    memory: bool = True
    backend: Backend | None = None
    threads: int | None = None
    choice: Choice = NO_CHOICE

    def __post_init__(self) -> None:
        if self.rounds < 1 or not self.seconds >= 0:
            raise ValueError(f"expected at least one round and seconds >= 0, got {self.rounds} and {self.seconds}")
        if self.people is not None and self.people < 0:
            raise ValueError(f"people is {self.people}, expected a count")
        if self.watts is not None and not self.watts > 0:
            raise ValueError(f"watts are {self.watts}, expected a positive power")


@dataclass
class _Contender:
    """One model: its row so far, and what times it."""

    row: dict[str, Any]
    estimator: Estimator | None = None
    watch: Stopwatch | None = None
    medians: list[float] = field(default_factory=list)
    joules: float = 0.0
    spent: float = 0.0

    def fail(self, error: Exception) -> None:
        """Out of the race, with the reason in its row."""
        self.row["error"] = " ".join(str(error).split()) or type(error).__name__
        self.estimator = self.watch = None


class Interrupted(KeyboardInterrupt):
    """A comparison that somebody stopped. rows: one per model, as `compare` gives them, with what was finished."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        super().__init__("interrupted")
        self.rows = rows


def compare(
    models: Sequence[str],
    open_model: Callable[[str], Estimator],
    plan: Plan,
    progress: Progress = quiet,
    meter: EnergyMeter | None = None,
) -> list[dict[str, Any]]:
    """One row per model, in their order; one that fails has `error` and the others go on.

    Args:
        open_model: gives the estimator of a model's name, as for daily use.
        progress: told what is done, the accuracy of a model or the speed of all, how much of it and of how much.

    A KeyboardInterrupt, also one that `progress` raises, becomes an `Interrupted` once something is measured: models
    that were timed have whole rows, of fewer rounds and without peak memory; the others have `error` beside their AP.
    """
    labels = read_labels(plan.data, choice=plan.choice, pictures=plan.images)
    if not labels["annotations"]:
        raise ValueError(f"{plan.data} labels nobody, so there is nothing to measure")
    meter = EnergyMeter() if meter is None else meter
    contenders = [
        _Contender({"model": name, "backend": backend_of(name, plan.backend), "boxes": plan.boxes}) for name in models
    ]
    for contender in contenders:
        _try(contender, lambda c: _open(c, open_model))
    kinds = {len(c.estimator.spec.keypoints) > 0 for c in contenders if c.estimator is not None}
    if len(kinds) > 1:
        raise ValueError("detectors and pose models have no common measure: compare each among themselves")
    count = plan.people if plan.people is not None else _usual_people(labels)
    try:
        for contender in contenders:
            _try(contender, lambda c: _score(c, labels, plan, progress))
        for contender in contenders:
            _try(contender, lambda c: _ready(c, count, plan))
        _race(contenders, plan, progress, meter)
        stopped = False
    except KeyboardInterrupt:
        stopped = True
    for contender in contenders:
        if stopped and not contender.medians and "error" not in contender.row:
            contender.row["error"] = UNTIMED if "AP" in contender.row else UNMEASURED
        _try(contender, lambda c: _timed(c, plan, meter))
        _try(contender, lambda c: _sized(c))
    stopped = stopped or not _remembered(contenders, count, plan, progress)
    rows = [contender.row for contender in contenders]
    whole = [row for row in rows if "error" not in row]
    best = {id(whole[i]) for i in front([Point(row["model"], row["ms_median"], row["AP"]) for row in whole])}
    rows = [row if "error" in row else row | {"pareto": id(row) in best} for row in rows]
    if stopped:
        raise Interrupted(rows)
    return rows


def _try(contender: _Contender, step: Callable[[_Contender], None]) -> None:
    if "error" in contender.row:
        return
    try:
        step(contender)
    except FAILURES as error:
        contender.fail(error)


def _open(contender: _Contender, open_model: Callable[[str], Estimator]) -> None:
    contender.estimator = open_model(contender.row["model"])


def _score(contender: _Contender, labels: Labels, plan: Plan, progress: Progress) -> None:
    """AP and its kin, as `evaluate` gives them."""
    row = contender.row

    def tell(_: str, done: int, total: int) -> None:
        progress(f"{row['model']}, accuracy", done, total)

    estimates = prepared(_estimator(contender), False)
    figures, outcome = evaluated(row["model"], estimates, labels, plan.images, plan.boxes, progress=tell)
    row |= figures | {"unreadable": sorted(outcome.unreadable)}


def _ready(contender: _Contender, people: int, plan: Plan) -> None:
    """The stopwatch, warmed up."""
    estimator = _estimator(contender)
    per_person = estimator.spec.per_person
    if per_person and plan.boxes != "detector":
        estimator = estimator.replace(detector=None, duplicate_oks=None)
    finds_them = per_person and (plan.boxes != "detector" or estimator.detector is not None)
    asked = people if finds_them or (per_person and plan.people is not None) else None  # else the picture is one person
    contender.watch = Stopwatch(estimator, [scaled_example(SIZE)], people=asked)


def _race(contenders: list[_Contender], plan: Plan, progress: Progress, meter: EnergyMeter) -> None:
    """Rounds of turns in a shuffled order, so that what else the machine does hits all alike."""
    rng = random.Random(0)
    running = [contender for contender in contenders if contender.watch is not None]
    for turn in range(plan.rounds):
        rng.shuffle(running)
        for place, contender in enumerate(running):
            _try(contender, lambda c: _turn(c, plan.seconds, meter))
            progress("speed", turn * len(running) + place + 1, plan.rounds * len(running))


def _turn(contender: _Contender, seconds: float, meter: EnergyMeter) -> None:
    watch = contender.watch
    if watch is None:
        return
    if meter.reason is None:
        meter.start()
    start = time.perf_counter()
    taken = [watch.call()]
    while time.perf_counter() - start < seconds:
        taken.append(watch.call())
    contender.spent += time.perf_counter() - start
    contender.joules += meter.read() or 0.0
    contender.medians.append(sorted(taken)[len(taken) // 2])


def _timed(contender: _Contender, plan: Plan, meter: EnergyMeter) -> None:
    """Latency, energy and the figure that joins them with AP."""
    if contender.watch is None:
        return
    timing = contender.watch.timing().as_dict()
    row = contender.row
    row |= {key: timing[key] for key in ("ms_median", "ms_p95", "ms_p99", "fps", "stages", "calls", "image_size")}
    row["people_timed"] = timing["people"]
    row["ms_rounds"] = [round(min(contender.medians), 3), round(max(contender.medians), 3)]
    measured = meter.reason is None and contender.spent > 0
    row["joules_per_frame"] = round(contender.joules / timing["calls"], 6) if measured else None
    row["energy_reason"] = meter.reason
    power = plan.watts if plan.watts is not None else contender.joules / contender.spent if measured else None
    row["watts"] = None if power is None else round(power, 3)
    row["ap_fps_per_watt"] = None
    if power and row["AP"] >= 0:
        row["ap_fps_per_watt"] = round(efficiency(row["AP"], timing["fps"], power), 3)


def _sized(contender: _Contender) -> None:
    """File and arithmetic of the (pose) network alone; what cannot be had is None, with the reason."""
    row = contender.row
    path, _ = find(row["model"])
    files = [path, path.with_suffix(".bin")] if path.suffix in (".xml", ".param") else [path]
    row["file_bytes"] = sum(file.stat().st_size for file in files)
    row |= {"parameters": None, "macs": None, "macs_hrnet": None, "macs_activations": None, "macs_reason": None}
    try:
        size = graph_size(path, _input_shape(_estimator(contender).spec))
        row |= {"parameters": size.parameters, "macs": size.macs, "macs_hrnet": size.macs_output}
        row["macs_activations"] = size.macs_activations
    except (ValueError, ImportError) as error:
        row["macs_reason"] = str(error)
    row["peak_memory_bytes"] = None


def _remembered(contenders: Sequence[_Contender], people: int, plan: Plan, progress: Progress) -> bool:
    """The peak memory of every model that is left in the race; whether nobody stopped it."""
    if not plan.memory:
        return True
    try:
        for done, contender in enumerate(contenders):
            progress("memory", done, len(contenders))
            _try(contender, partial(_weighed, people=people, plan=plan, progress=progress, done=done))
        progress("memory", len(contenders), len(contenders))
    except KeyboardInterrupt:
        return False
    return True


def _weighed(contender: _Contender, people: int, plan: Plan, progress: Progress, done: int) -> None:
    estimator, row = _estimator(contender), contender.row
    looked_at = people if estimator.spec.per_person and plan.boxes != "detector" else None
    path, _ = find(row["model"])
    try:
        peak = peak_memory(str(path), plan.detector, plan.backend, plan.threads, looked_at)
    except ValueError:
        progress("memory", done, done + 1)  # Ctrl-C ends that process too, which is no fault of the model
        raise
    row["peak_memory_bytes"] = peak


def _input_shape(spec: ModelSpec) -> tuple[int, ...]:
    width, height = spec.input_size
    return (1, height, width, 3) if spec.layout == "nhwc" else (1, 3, height, width)


def _estimator(contender: _Contender) -> Estimator:
    if contender.estimator is None:
        raise ValueError(f"{contender.row['model']} was not loaded")
    return contender.estimator


def _usual_people(labels: Labels) -> int:
    """Labelled people per picture that has some, rounded up; 1 where nobody is labelled."""
    real = (a for a in labels["annotations"] if not a.get("iscrowd") and any((a.get("keypoints") or ())[2::3]))
    people = [a["image_id"] for a in real]
    return math.ceil(len(people) / len(set(people))) if people else 1


COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {  # heading: (key, how a value is shown)
    "model": ("model", file_stem), "AP": ("AP", "{:.3f}".format), "AP50": ("AP50", "{:.3f}".format),
    "AR": ("AR", "{:.3f}".format), "ms": ("ms_median", "{:.1f}".format), "p95": ("ms_p95", "{:.1f}".format),
    "p99": ("ms_p99", "{:.1f}".format), "fps": ("fps", "{:.1f}".format),
    "M parameters": ("parameters", lambda n: f"{n / 1e6:.2f}"), "G MACs": ("macs", lambda n: f"{n / 1e9:.3f}"),
    "MB file": ("file_bytes", lambda n: f"{n / 1e6:.1f}"), "MB peak": ("peak_memory_bytes", lambda n: f"{n / 1e6:.0f}"),
    "J/frame": ("joules_per_frame", "{:.3f}".format), "AP x FPS/W": ("ap_fps_per_watt", "{:.1f}".format),
    "front": ("pareto", lambda best: "yes" if best else ""),
}  # fmt: skip


def cells(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells for people; columns that no model has are left out."""
    shown = [name for name, (key, _) in COLUMNS.items() if any(row.get(key) is not None for row in rows)]
    lines = []
    for row in rows:
        line = []
        for name in shown:
            key, form = COLUMNS[name]
            value = row.get(key)
            line.append("-" if value is None or value == -1 else form(value))
        lines.append(line)
    return shown, lines


def write(folder: Path, rows: Sequence[dict[str, Any]], plan: Plan) -> None:
    """compare.md, .csv, .json, .svg and .png, the folder made where it is missing.

    Raises ModuleNotFoundError without matplotlib, after the tables: compare.md is then without the plot.
    """
    make_folder(folder)
    missing = _plot(folder, rows, plan)
    text = json.dumps(list(rows), indent=1, allow_nan=False) + "\n"
    with atomic_path(folder / "compare.json") as temporary:
        temporary.write_text(text, encoding="utf-8")
    with atomic_path(folder / "compare.md") as temporary:
        temporary.write_text(_markdown(rows, plan, plotted=missing is None), encoding="utf-8")
    with atomic_path(folder / "compare.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        flat = [_flat(row) for row in rows]
        keys = list(dict.fromkeys(key for row in flat for key in row))
        writer = csv.DictWriter(file, keys)
        writer.writeheader()
        writer.writerows(flat)
    if missing is not None:
        raise missing


def _plot(folder: Path, rows: Sequence[dict[str, Any]], plan: Plan) -> ModuleNotFoundError | None:
    """compare.svg and .png; the error where there is no matplotlib to draw them."""
    points = [Point(file_stem(row["model"]), row["ms_median"], row["AP"]) for row in rows if "error" not in row]
    try:
        for suffix in (".svg", ".png"):
            with atomic_path(folder / f"compare{suffix}") as temporary:
                write_plot(temporary, points, _title(rows, plan))
    except ModuleNotFoundError as error:
        return error
    return None


def _title(rows: Sequence[dict[str, Any]], plan: Plan) -> str:
    if any(row.get("task") == "boxes" for row in rows):
        return f"Box AP and time on {plan.data.stem}, {plan.backend}"
    scored = "detected boxes" if plan.boxes == "detector" else "labelled boxes" if plan.boxes == "gt" else "given boxes"
    return f"AP and time on {plan.data.stem}, {scored}" + (f", {plan.backend}" if plan.backend else "")


def _markdown(rows: Sequence[dict[str, Any]], plan: Plan, plotted: bool) -> str:
    whole = [row for row in rows if "error" not in row]
    text = f"# {_title(rows, plan)}\n\n" + table(*cells(rows))
    if whole:
        counts = sorted({f"{row['people_timed']:g}" for row in whole})
        text += (
            f"\n\n{whole[0]['images']} pictures, {whole[0]['people']} people. Times are medians of {plan.rounds} "
            f"rounds in which the models took turns, on the photo in the package at {SIZE[0]} x {SIZE[1]} with "
            f"{' or '.join(counts)} people {'found' if 'task' in whole[0] else 'looked at'}; front: no other model is "
            "both as quick and as accurate."
        )
        if whole[0]["energy_reason"]:
            text += f" No energy: {whole[0]['energy_reason']}."
        stages = list(dict.fromkeys(stage for row in whole for stage in row["stages"]))
        of_stage = [
            [file_stem(row["model"]), *(f"{row['stages'][s]:.2f}" if s in row["stages"] else "-" for s in stages)]
            for row in whole
        ]
        text += "\n\nMilliseconds of each stage (medians):\n\n" + table(["model", *stages], of_stage)
        text += "\n\n![AP against milliseconds](compare.svg)" if plotted else ""
    failed = [f"* {file_stem(row['model'])}: {row['error']}" for row in rows if "error" in row]
    if failed:
        text += "\n\nFailed:\n\n" + "\n".join(failed)
    return text + "\n"


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Nested values under keys of their own, for spreadsheets."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            flat |= {f"{key} {inner}": each for inner, each in value.items()}
        elif isinstance(value, (list, tuple)):
            flat[key] = " ".join(map(str, value))
        else:
            flat[key] = value
    return flat
