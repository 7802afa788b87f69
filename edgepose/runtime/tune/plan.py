"""The measuring: which runtime, precision, number of threads, crops per run and pipeline is quickest here.

Networks are measured one by one, since the time of a frame is about their sum: first every form with all threads, then
the best with fewer, then crops per run. What wins has to be quicker for the whole frame as well. A form that calculates
otherwise than the float32 file has to find the same people first (`AGREEING`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgepose.poses import Poses
from edgepose.runtime.ahead import ahead
from edgepose.runtime.bench import Rehearsed
from edgepose.runtime.cores import thread_count
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.network import Network
from edgepose.runtime.tune.kept import Backend, Choice
from edgepose.runtime.tune.race import Clock, quickest, race, score
from edgepose.spec import ModelSpec

PEOPLE = (1, 4, 8)
CROWD = 16  # people, for how many crops a run takes
CHUNKS = (1, 2, 4, 8, 16)
FLOAT, INT8 = 0.995, 0.98  # least agreement (mean OKS) with the float32 file
MARGIN = 0.03  # what is to be preferred to the usual way has to be quicker by this share
CLOSE = 1.15  # forms within this factor of the quickest are also tried with fewer threads
SHARES = {"forms": 0.34, "threads": 0.2, "chunk": 0.08, "whole": 0.2, "files": 0.14}  # of the time

Open = Callable[[Path, "ModelSpec | None", Choice], Network]
Agreement = Callable[[Sequence[Poses], Sequence[Poses]], float]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Part:
    """One network of the estimator that is tuned.

    file, spec: the model's own, as `load.find` gives them
    forms: the ways to run it, the float32 file on its own runtime first; a smaller file has passed its guard
    """

    role: str  # "detector", "pose", or "model" of one that finds people by itself
    file: Path
    spec: ModelSpec | None
    forms: tuple[Choice, ...]


@dataclass
class Row:
    """What was measured of one way to run something.

    ms: {people: median milliseconds}; {} where it was not run
    agreement: mean OKS with the float32 file, None where that was not asked
    verdict: "usual", "chosen", or why not
    """

    stage: str
    role: str
    way: Choice
    ms: dict[int, float] = field(default_factory=dict)
    agreement: float | None = None
    verdict: str = ""


@dataclass
class Tuning:
    """The outcome: a choice for every role, all rows, and what the whole frame takes the usual way and this one.

    rates: frames per second of independent frames: one after the other with all threads, and side by side.
    """

    choices: dict[str, Choice]
    rows: list[Row]
    usual_ms: dict[int, float]
    chosen_ms: dict[int, float]
    agreement: float | None
    rates: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def tune(
    parts: Sequence[Part],
    pictures: Sequence[np.ndarray],
    frame: np.ndarray,
    agreement: Agreement,
    open_way: Open,
    *,
    seconds: float = 50.0,
    clock: Clock = time.perf_counter,
    threads: int | None = None,
    duplicate_oks: float | None = None,
    say: Say = lambda _: None,
) -> Tuning:
    """Measure for about `seconds`, and choose.

    Args:
        parts: of the model ("pose" or "model"), and the detector where there is one.
        pictures: (H, W, 3) to compare the people on.
        frame: (H, W, 3), what is timed.
        agreement: mean OKS of two lists of people.
        open_way: makes a network of a file, its spec and a choice.
        threads: at most so many; None: as many as help.
    """
    return _Tuner(parts, pictures, frame, agreement, open_way, seconds, clock, threads, duplicate_oks, say).run()


class _Tuner:
    """State of one call of `tune`."""

    def __init__(
        self,
        parts: Sequence[Part],
        pictures: Sequence[np.ndarray],
        frame: np.ndarray,
        agreement: Agreement,
        open_way: Open,
        seconds: float,
        clock: Clock,
        threads: int | None,
        duplicate_oks: float | None,
        say: Say,
    ) -> None:
        self.parts = {part.role: part for part in parts}
        self.main = "pose" if "pose" in self.parts else "model"
        self.pictures, self.frame = list(pictures), frame
        self._agreement, self._open_way, self._clock = agreement, open_way, clock
        self.most, self._alike, self.say = thread_count(threads), duplicate_oks, say
        self._seconds, self._end = seconds, clock() + seconds
        self.rows: list[Row] = []
        self.notes: list[str] = []
        self._agreed: dict[Any, float | str] = {}
        self._networks: dict[tuple[str, Choice], Network] = {}
        self.usual = {role: replace(part.forms[0], threads=self.most) for role, part in self.parts.items()}
        self._agreed[_forms(self.usual)] = 1.0
        self._reference = [self._estimator(self.usual)(picture) for picture in self.pictures]
        self.people = self._counts()

    def run(self) -> Tuning:
        best = {role: self._tuned(part) for role, part in self.parts.items()}
        chosen, usual_ms, chosen_ms, agreed = self._whole(best)
        rates = self._files(chosen) if self.most > 1 else {}
        if rates.get("side by side", 0.0) * (1 - MARGIN) > rates.get("one after the other", 0.0):
            chosen = {role: replace(choice, workers=self.most) for role, choice in chosen.items()}
        usable = {role: self._relative(role, choice) for role, choice in chosen.items()}
        return Tuning(usable, self.rows, usual_ms, chosen_ms, agreed, rates, self.notes)

    def _relative(self, role: str, choice: Choice) -> Choice:
        """Without what is said anyway: all threads, and the model's own file."""
        own = str(self.parts[role].file)
        return replace(
            choice,
            threads=None if choice.threads == self.most else choice.threads,
            file=None if choice.file == own else choice.file,
        )

    # forms, threads, crops

    def _tuned(self, part: Part) -> Choice:
        """The quickest way to run one network by itself that finds the same people."""
        share = 0.7 if part.role == self.main else 0.3
        usual = self.usual[part.role]
        forms = [replace(form, threads=self.most) for form in part.forms]
        self.say(f"{part.role}: {len(forms)} forms")
        measured = self._raced("forms", part, forms, SHARES["forms"] * share)
        self._admit(part, measured)
        least = min(score(ms) for ms in measured.values())
        close = [form for form, ms in measured.items() if score(ms) <= CLOSE * least]
        close = sorted(close, key=lambda form: score(measured[form]))[:2]
        fewer = [replace(form, threads=count) for form in close for count in self._fewer()]
        self.say(f"{part.role}: threads")
        if fewer:
            known = {form: measured[form] for form in {*close, usual}}
            measured = self._raced("threads", part, [*known, *fewer], SHARES["threads"] * share)
        best = quickest(measured, usual, MARGIN)
        return self._crops(part, best) if part.role == "pose" else best

    def _raced(self, stage: str, part: Part, ways: Sequence[Choice], share: float) -> dict[Choice, tuple[float, ...]]:
        jobs = {way: jobs for way in ways if (jobs := self._jobs(part, way)) is not None}
        measured = race(jobs, share * self._seconds, self._clock)
        counts = self.people if part.role == "pose" else (1,)
        for way, ms in measured.items():
            verdict = "usual" if way == self.usual[part.role] else ""
            self.rows.append(Row(stage, part.role, way, dict(zip(counts, ms, strict=True)), verdict=verdict))
        return measured

    def _jobs(self, part: Part, way: Choice) -> list[Callable[[], Any]] | None:
        """Runs of the network on made-up crops, or one picture; None where it cannot be opened."""
        try:
            network = self._network(part.role, way)
        except (ValueError, OSError, ImportError) as error:
            if way == self.usual[part.role]:
                raise
            self.rows.append(Row("forms", part.role, way, verdict=f"cannot be run: {error}"))
            return None
        counts = self.people if part.role == "pose" else (1,)
        batches = [self._batch(network.spec, count) for count in counts]
        return [lambda batch=batch: network(batch) for batch in batches]  # type: ignore[misc]

    def _admit(self, part: Part, measured: dict[Choice, tuple[float, ...]]) -> None:
        """Take out of `measured` what is quicker than usual and finds other people."""
        usual = self.usual[part.role]
        rows = {row.way: row for row in self.rows if row.role == part.role and row.stage == "forms"}
        for way in sorted(measured, key=lambda way: score(measured[way])):
            if way == usual:
                break  # what is slower cannot win
            least = INT8 if way.precision == "int8" else FLOAT
            found = self._agreeing({**self.usual, part.role: way})
            rows[way].agreement = found if isinstance(found, float) else None
            if isinstance(found, str):
                rows[way].verdict = f"left out: {found}"
            elif found < least:
                rows[way].verdict = f"left out: agreement {found:.4f}, expected {least} or more"
            else:
                continue
            del measured[way]
        for way in [way for way in measured if score(measured[way]) > score(measured[usual])]:
            rows[way].verdict = "slower"
            del measured[way]

    def _agreeing(self, ways: Mapping[str, Choice]) -> float | str:
        """The agreement of ways to run the networks with the usual ones, or why there is none."""
        key = _forms(ways)
        if key in self._agreed:  # threads and crops per run change nothing
            return self._agreed[key]
        if self._clock() > self._end:
            return "no time was left to compare it"
        estimator = self._estimator(ways)
        try:
            self._agreed[key] = self._agreement(self._reference, [estimator(picture) for picture in self.pictures])
        except ValueError as error:
            self._agreed[key] = str(error)
        return self._agreed[key]

    def _crops(self, part: Part, best: Choice) -> Choice:
        """With so many crops per run as are quickest for a crowd."""
        network = self._network(part.role, best)
        batch = self._batch(network.spec, CROWD)
        own = int(getattr(network, "chunk", CROWD))
        if self._cost * CROWD * len(CHUNKS) * 3 > SHARES["chunk"] * self._seconds:
            self.notes.append("crops per run: not measured, it would take too long here")
            return best

        def runs(chunk: int) -> Callable[[], Any]:
            return lambda: [network(batch[start : start + chunk]) for start in range(0, CROWD, chunk)]

        self.say(f"{part.role}: crops per run")
        sizes = sorted({*CHUNKS, min(own, CROWD)})
        measured = race({size: [runs(size)] for size in sizes}, SHARES["chunk"] * self._seconds, self._clock)
        size = quickest(measured, min(own, CROWD), MARGIN)
        for tried, ms in measured.items():
            way = replace(best, chunk=tried)
            verdict = "chosen" if tried == size else "usual" if tried == own else ""
            self.rows.append(Row("chunk", part.role, way, {CROWD: ms[0]}, verdict=verdict))
        return best if size == min(own, CROWD) else replace(best, chunk=size)

    # whole frames

    def _whole(
        self, best: dict[str, Choice]
    ) -> tuple[dict[str, Choice], dict[int, float], dict[int, float], float | None]:
        """Whole frames as usual, with what won, and with each of the winners alone: two networks share the cores."""
        self.say("whole frames")
        sets = [self.usual, best, *({**self.usual, role: best[role]} for role in best)]
        ways = {tuple(each.items()): each for each in sets}
        usual = tuple(self.usual.items())
        agreed: dict[Any, float | None] = {usual: None}
        for key, each in list(ways.items()):
            if key == usual:
                continue
            least = INT8 if any(choice.precision == "int8" for choice in each.values()) else FLOAT
            found = self._agreeing(each)
            if isinstance(found, float) and found >= least:
                agreed[key] = found
            else:
                said = f"{found:.4f}" if isinstance(found, float) else found
                self.notes.append(f"{_names(each)} together: left out, agreement {said}")
                del ways[key]
        jobs = {
            key: [self._frame(self._estimator(each), count) for count in self._whole_counts()]
            for key, each in ways.items()
        }
        measured = race(jobs, SHARES["whole"] * self._seconds, self._clock)
        winner = quickest(measured, usual, MARGIN)
        for key, ms in measured.items():
            verdict = "chosen" if key == winner else "usual" if key == usual else ""
            for role, way in ways[key].items():
                row = Row("whole", role, way, dict(zip(self._whole_counts(), ms, strict=True)), agreed[key], verdict)
                self.rows.append(row)
        usual_ms, chosen_ms = (dict(zip(self._whole_counts(), measured[key], strict=True)) for key in (usual, winner))
        return ways[winner], usual_ms, chosen_ms, agreed[winner]

    def _files(self, chosen: Mapping[str, Choice]) -> dict[str, float]:
        """Frames per second of independent frames: all threads for one at a time, or one thread each for several."""
        self.say("frames of files")
        frames = [self.frame] * (2 * self.most)
        count = self._whole_counts()[len(self._whole_counts()) // 2]
        together = self._frame_of(self._estimator(chosen), count)
        one = {role: replace(choice, workers=self.most) for role, choice in chosen.items()}
        alone = self._frame_of(self._estimator(one), count)
        jobs = {
            "one after the other": [lambda: [together(frame) for frame in frames]],
            "side by side": [lambda: list(ahead(alone, frames, self.most))],
        }
        measured = race(jobs, SHARES["files"] * self._seconds, self._clock)
        return {name: 1e3 * len(frames) / max(ms[0], 1e-6) for name, ms in measured.items()}

    def _whole_counts(self) -> tuple[int, ...]:
        return self.people if self.main == "pose" else (1,)

    def _frame(self, estimator: Estimator, count: int) -> Callable[[], Any]:
        call = self._frame_of(estimator, count)
        return lambda: call(self.frame)

    def _frame_of(self, estimator: Estimator, count: int) -> Callable[[np.ndarray], Any]:
        if self.main != "pose":
            return estimator
        return estimator.replace(detector=Rehearsed(estimator.detector, count, None))

    # networks

    def _network(self, role: str, way: Choice) -> Network:
        key = (role, replace(way, chunk=None))
        if key not in self._networks:
            part = self.parts[role]
            self._networks[key] = self._open_way(part.file, part.spec, replace(way, chunk=None))
        return self._networks[key]

    def _estimator(self, ways: Mapping[str, Choice]) -> Estimator:
        network, chunk = self._network(self.main, ways[self.main]), ways[self.main].chunk
        if self.main != "pose":
            return Estimator(network, min_score=0.0)
        detector = None if "detector" not in ways else Estimator(self._network("detector", ways["detector"]))
        return Estimator(network, detector, duplicate_oks=self._alike, chunk=chunk, min_score=0.0)

    def _batch(self, spec: ModelSpec, count: int) -> np.ndarray:
        """Crops, or one picture letterboxed, as the network takes them: (count, ...)."""
        estimator = self._estimator(self.usual)
        if not spec.per_person:
            views = estimator.views if self.main != "pose" else estimator.detector.views  # type: ignore[union-attr]
            return views.whole(self.frame)[0].copy()
        image = self.frame
        box = np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)
        return estimator.views.crops([image] * count, estimator.views.matrices(np.repeat(box, count, axis=0))).copy()

    def _fewer(self) -> Iterator[int]:
        """Numbers of threads to try besides all: half, and one."""
        yield from sorted({max(1, self.most // 2), 1} - {self.most}, reverse=True)

    def _counts(self) -> tuple[int, ...]:
        """For how many people there is time to measure."""
        part = self.parts[self.main]
        network = self._network(self.main, self.usual[self.main])
        batch = self._batch(network.spec, 1)
        network(batch)
        start = self._clock()
        network(batch)
        self._cost = self._clock() - start
        if part.role != "pose":
            return (1,)
        budget = SHARES["forms"] * 0.7 * self._seconds
        kept: tuple[int, ...] = PEOPLE
        while len(kept) > 1 and self._cost * sum(kept) * len(part.forms) * 3 > budget:
            kept = kept[:-1]
        if kept != PEOPLE:
            self.notes.append(f"a person takes {self._cost * 1e3:.0f} ms here: not measured for more than {kept[-1]}")
        return kept


def _forms(ways: Mapping[str, Choice]) -> tuple[tuple[str, ...], ...]:
    """What decides whom they find."""
    return tuple(sorted((role, way.backend, str(way.precision), str(way.file)) for role, way in ways.items()))


def _names(ways: Mapping[str, Choice]) -> str:
    return ", ".join(f"{role} {way.backend} {way.precision}" for role, way in ways.items())


def forms_of(
    file: Path, own: Backend, precisions: Mapping[Backend, Sequence[str]], smaller: Sequence[tuple[Path, str]] = ()
) -> tuple[Choice, ...]:
    """Every way to run a model file with the runtimes that are here, its own in float32 first.

    Args:
        precisions: of each runtime that is installed, what it calculates in here.
        smaller: files of the same model that have passed their guard, and "int8" or "fp16".
    """
    runs: dict[str, tuple[Backend, ...]] = {
        ".xml": ("openvino",), ".param": ("ncnn",), ".onnx": ("onnxruntime", "openvino"),
    }  # fmt: skip
    forms = [
        Choice(backend, precision, file=str(file))
        for backend in runs.get(file.suffix, ("onnxruntime",))
        for precision in precisions.get(backend, ())
    ]
    beside = file.with_suffix(".ncnn.param")
    if file.suffix == ".onnx" and beside.is_file():
        forms += [Choice("ncnn", precision, file=str(beside)) for precision in precisions.get("ncnn", ())]
    for path, kind in smaller:
        forms += [
            Choice(backend, kind, file=str(path)) for backend in runs.get(path.suffix, ()) if precisions.get(backend)
        ]
    return tuple(sorted(forms, key=lambda form: (form.backend, form.precision) != (own, "f32")))
