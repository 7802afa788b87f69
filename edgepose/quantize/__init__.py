"""Smaller and faster forms of an ONNX model, kept only if they find what the float32 file finds."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from edgepose.evaluate.labels import read_labels
from edgepose.media.files import atomic_path
from edgepose.names import expected
from edgepose.quantize.calibration import Calibration, Progress, chosen
from edgepose.quantize.card import KEY, Card, Target, beside, processor, target_here, versions
from edgepose.quantize.graph import Layer, fitting, layers_of, plain, read_graph
from edgepose.quantize.guard import Guard, Verdict
from edgepose.quantize.half import half_form
from edgepose.quantize.ranges import METHODS, Method, Seen, observed, ranges_of
from edgepose.quantize.sensitivity import MOST, error, fewest, outputs_of, ranked, stacked
from edgepose.quantize.static import Form, described
from edgepose.runtime.cores import thread_count
from edgepose.runtime.estimator import Detector, Estimator
from edgepose.runtime.load import find, load
from edgepose.runtime.network import Network
from edgepose.runtime.session import Session
from edgepose.spec import ModelSpec

__all__ = ["Card", "quantize"]

To = Literal["int8", "fp16"]
BITS: dict[Target, int] = {"avx2": 7, "vnni": 8, "arm": 8}  # of weights, that the processor's sums have room for
ROUNDS = 15  # of the timing, both files in turn
BATCH = 4  # crops at a time in the timing


def quantize(
    model: str | Path,
    images: str | Path,
    out: str | Path,
    *,
    data: str | Path | None = None,
    to: To = "int8",
    method: Method | None = None,
    target: Target | None = None,
    max_drop: float = 1.0,
    spec: ModelSpec | None = None,
    detector: str | Path | Detector | None = "default",
    threads: int | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Card:
    """Write an INT8 or float16 form of an ONNX model to `out`, and its card beside it, if it is good enough.

    Good enough is: on every fifth picture, which is held out, AP falls by at most `max_drop` points, or, without
    labels, the people found agree with the float32 file's by `guard.AGREES`. Where all layers in INT8 are not, those
    that hurt most are left in float, at most half of them. Otherwise nothing is written and ValueError says why.

    Args:
        model: a name or an ONNX file, the float32 one; foreign files with their spec beside them too.
        images: folder or zip of pictures of what the model is for: a few hundred, at least 25.
        data: labels of them, in any format that training reads; needs the evaluate extra.
        to: "int8", or "fp16" for float16 weights and arithmetic, which few processors are faster with.
        method: of the ranges, see `ranges.ranges_of`; None: the one whose outputs are nearest to the float32 ones.
        target: the processors that it is for; None: this one.
        detector: what finds the people for networks that look at one at a time, as `edgepose.load` takes it.
        progress: called with what is being done, how much of it is, and of how much.

    Returns the card. Raises FileNotFoundError for no such model, ValueError for one that is no ONNX file, for pictures
    that are no set to calibrate on, and for a form that is not good enough.
    """
    out = Path(out)
    target = target or target_here()
    _check(out, to, method, target, max_drop)
    source, known = find(model)
    if source.suffix != ".onnx":
        raise ValueError(f"{source} is no ONNX file: expected one; OpenVINO's and ncnn's files are made from it")
    if out.resolve() == source.resolve():
        raise ValueError(f"{out} is the float32 file itself: expected another name to write to")
    estimator = load(source, spec=spec or known, detector=detector, threads=threads)
    graph = plain(read_graph(source))
    described(graph, {"edgepose": estimator.spec.to_json()})
    labels = None if data is None else read_labels(data, pictures=images)
    calibration = chosen(images, estimator, labels, progress)
    guard = Guard(estimator, calibration, labels, images, max_drop)
    bits = BITS[target] if to == "int8" else 16
    if to == "int8":
        maker = _Int8(estimator, graph, calibration, guard, method, bits, threads, progress)
        made, verdict, left = maker.best()
        used: str = maker.method
    else:
        made, left, used = half_form(graph), [], "fp16"
        verdict = guard.judge(_session(made, threads))
    if not verdict.holds:
        raise ValueError(f"{out} was not written: {verdict.reason} ({_tried(to, left, graph)})")
    batch = _timed_batch(calibration, estimator.spec.per_person)
    before, after = _interleaved(estimator.network, _session(made, threads), batch)
    card = Card(
        name=estimator.spec.name,
        source=source.name,
        source_sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
        to=to,
        method=used,
        target=target,
        bits=bits,
        calibration=calibration.digest,
        pictures=len(calibration.batches),
        views=calibration.views,
        held_out=len(calibration.held),
        people=guard.people,
        agreement=round(verdict.agreement, 4),
        ap_before=None if guard.ap is None else round(guard.ap, 4),
        ap_after=None if verdict.ap is None else round(verdict.ap, 4),
        ms_before=round(before, 3),
        ms_after=round(after, 3),
        batch=len(batch),
        rounds=ROUNDS,
        threads=thread_count(threads),
        processor=processor(),
        bytes_before=source.stat().st_size,
        bytes_after=len(made.SerializeToString()),
        layers=len(layers_of(graph)),
        float_layers=tuple(layer.name for layer in left),
        versions=versions(),
        notes=tuple(calibration.notes),
    )
    described(made, {"edgepose": estimator.spec.to_json(), KEY: card.to_json()})
    with atomic_path(beside(out)) as text, atomic_path(out) as file:
        text.write_text(card.to_json() + "\n", encoding="utf-8")
        file.write_bytes(made.SerializeToString())
    return card


class _Int8:
    """INT8 forms of one model, from all layers to as many as the guard allows."""

    def __init__(
        self,
        estimator: Estimator,
        graph: Any,
        calibration: Calibration,
        guard: Guard,
        method: Method | None,
        bits: int,
        threads: int | None,
        progress: Progress,
    ) -> None:
        self._guard, self._graph, self._threads, self._progress = guard, graph, threads, progress
        self._layers = layers_of(graph)
        if not self._layers:
            raise ValueError(f"{estimator.spec.name} has no convolutions or matrix products with weights to quantize")
        batches = fitting(graph, calibration.batches)
        self._batches = stacked(batches)
        seen = observed(graph, batches, threads, lambda i, n: progress("looking at ranges", i, n))
        progress("looking at ranges", 1, 1)
        self._reference = outputs_of(graph.SerializeToString(), self._batches, threads)
        self.method, self._form = self._nearest(seen, (method,) if method else METHODS, bits)

    def best(self) -> tuple[Any, Verdict, list[Layer]]:
        """The form with the fewest layers in float that the guard lets through, its verdict, and those layers; the last
        one that was tried where none is.
        """
        made = self._form.int8()
        verdict = self._guard.judge(_session(made, self._threads))
        if verdict.holds:
            return made, verdict, []
        report = self._progress
        order = ranked(
            self._form, self._layers, self._reference, self._batches, self._threads,
            lambda i, n: report("measuring layers", i, n),
        )  # fmt: skip
        report("measuring layers", 1, 1)
        tried: dict[int, tuple[Any, Verdict]] = {}

        def holds(floats: Sequence[Layer]) -> bool:
            report("searching", len(tried), len(tried) + 1)
            form = self._form.int8(floats)
            tried[len(floats)] = form, self._guard.judge(_session(form, self._threads))
            return tried[len(floats)][1].holds

        left = fewest(order, holds)
        report("searching", 1, 1)
        if left is None:
            count = max(tried)
            return *tried[count], order[:count]
        return *tried[len(left)], left

    def _nearest(self, seen: dict[str, Seen], methods: Sequence[Method], bits: int) -> tuple[Method, Form]:
        """The method whose outputs are nearest to the float32 ones, and its forms."""
        found: list[tuple[float, Method, Form]] = []
        for i, method in enumerate(methods):
            self._progress("choosing ranges", i, len(methods))
            form = Form(self._graph, self._layers, ranges_of(seen, method), bits)
            made = outputs_of(form.int8().SerializeToString(), self._batches, self._threads)
            found.append((error(self._reference, made), method, form))
        self._progress("choosing ranges", len(methods), len(methods))
        _, best, form = min(found, key=lambda entry: entry[0])
        return best, form


def _check(out: Path, to: str, method: str | None, target: str, max_drop: float) -> None:
    if to not in get_args(To):
        raise ValueError(f"cannot quantize to {to!r}: expected one of {list(get_args(To))}")
    if method is not None and method not in METHODS:
        raise ValueError(f"unknown method {method!r}{expected(method, METHODS)}")
    if target not in BITS:
        raise ValueError(f"unknown target {target!r}{expected(target, BITS)}")
    if out.suffix != ".onnx":
        raise ValueError(f"cannot write {out}: expected a name that ends in .onnx")
    if not 0 <= max_drop <= 100:
        raise ValueError(f"max_drop is {max_drop}, expected points of AP from 0 to 100")


def _tried(to: str, left: Sequence[Layer], graph: Any) -> str:
    if to != "int8":
        return "float16 cannot hold its numbers"
    share = f"{len(left)} of {len(layers_of(graph))} layers left in float"
    return f"{share}, and {MOST:.0%} are the most; give more pictures, or train on with rounding, which edgepose cannot"


def _session(model: Any, threads: int | None) -> Session:
    return Session(model.SerializeToString(), threads=threads)


def _timed_batch(calibration: Calibration, per_person: bool) -> np.ndarray:
    """What both files are timed on: `BATCH` crops, or one picture."""
    views = np.concatenate(calibration.batches[:BATCH])
    return views[: BATCH if per_person else 1]


def _interleaved(before: Network, after: Network, batch: np.ndarray) -> tuple[float, float]:
    """Median milliseconds of both on a batch, in turn."""
    clock: Callable[[], float] = time.perf_counter
    taken: tuple[list[float], list[float]] = ([], [])
    for round_ in range(ROUNDS + 2):
        for network, times in zip((before, after), taken, strict=True):
            start = clock()
            network(batch)
            if round_ >= 2:  # the first runs of a batch size do not count
                times.append((clock() - start) * 1e3)
    return float(np.median(taken[0])), float(np.median(taken[1]))
