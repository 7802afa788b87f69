"""What is chosen, by networks that take made-up time on a made-up clock; agreement is the real one."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.evaluate.agreement import agreement
from edgepose.runtime.tune.distorted import distorted
from edgepose.runtime.tune.kept import Choice
from edgepose.runtime.tune.plan import Part, Row, Tuning, forms_of, tune
from edgepose.spec import ModelSpec
from tests.runtime.small import DETECTOR, FOUND, SIMCC, BrightSpot, picture

POSE, FINDER = Path("pose.onnx"), Path("detector.onnx")
ORT, OV32, OV16 = (Choice(*words) for words in (("onnxruntime", "f32"), ("openvino", "f32"), ("openvino", "bf16")))
HEATMAP = ModelSpec("whole", "heatmap", (48, 64), codec_args={"kind": "msra"})


@dataclass
class Bench:
    """A machine: seconds per run and per row of every way to run a file, and how wrong its results are.

    costs: of (file, backend, precision) the seconds of a run, and of every row; `threads` makes them more or less
    lost: people whom a detector misses; moved: pixels by which keypoints are elsewhere
    """

    costs: dict[tuple[str, str, str], tuple[float, float]]
    lost: dict[tuple[str, str, str], int] = field(default_factory=dict)
    moved: dict[tuple[str, str, str], float] = field(default_factory=dict)
    by_threads: dict[int, float] = field(default_factory=lambda: {1: 2.0, 2: 1.0})
    side: float = 2.0  # the same of one thread each for several frames
    chunk_of_cache: int = 1000  # rows; in larger runs each takes twice as long
    clash: float = 0.0  # seconds that a detector on another runtime than the pose network's takes longer
    broken: tuple[str, ...] = ()
    now: float = 0.0
    opened: list[Choice] = field(default_factory=list)
    last: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def clock(self) -> float:
        return self.now

    def open(self, file: Path, spec: ModelSpec | None, way: Choice) -> Any:
        if way.backend in self.broken:
            raise ValueError(f"{way.backend} does not know an operator")
        self.opened.append(way)
        return Fake(self, file, way)


class Fake:
    def __init__(self, bench: Bench, file: Path, way: Choice) -> None:
        self.bench, self.way, self.chunk = bench, way, 8
        self.spec = {"pose": SIMCC, "detector": DETECTOR, "whole": HEATMAP}[file.stem]
        self.key = (Path(way.file or file).stem, way.backend, way.precision or "")
        self.spot = BrightSpot()

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        run, row = self.bench.costs[self.key]
        rows = len(batch) * (2 if len(batch) > self.bench.chunk_of_cache else 1)
        factor = self.bench.side if self.way.workers > 1 else self.bench.by_threads[self.way.threads or 2]
        clashes = self.spec == DETECTOR and self.bench.last not in ("", self.way.backend)
        with self.bench.lock:
            self.bench.now += (run + row * rows) * factor + clashes * self.bench.clash
            if self.spec != DETECTOR:
                self.bench.last = self.way.backend
        if self.spec == DETECTOR:
            lost = self.bench.lost.get(self.key, 0)
            return [FOUND[None, : 2 - lost].copy()]
        if self.spec == HEATMAP:
            maps = np.zeros((1, 17, 16, 12), np.float32)
            maps[:, :, 8, 6] = 0.9
            return [maps]
        outputs = self.spot(batch)
        moved = int(self.bench.moved.get(self.key, 0))
        return [np.roll(outputs[0], moved, axis=-1), outputs[1]]


def tuned(bench: Bench, forms: dict[str, tuple[Choice, ...]], seconds: float = 50.0, threads: int = 2) -> Tuning:
    files = {"pose": POSE, "detector": FINDER, "model": Path("whole.onnx")}
    parts = [Part(role, files[role], None, ways) for role, ways in forms.items()]
    pictures = distorted(picture(), 8)
    return tune(
        parts, pictures, picture(), agreement, bench.open, seconds=seconds, clock=bench.clock, threads=threads
    )  # fmt: skip


def rows(outcome: Tuning, **wanted: Any) -> list[Row]:
    return [row for row in outcome.rows if all(getattr(row, key) == value for key, value in wanted.items())]


def usual(bench: Bench, **more: tuple[float, float]) -> Bench:
    """Costs of onnxruntime."""
    bench.costs |= {("pose", "onnxruntime", "f32"): (0.001, 0.010), ("detector", "onnxruntime", "f32"): (0.008, 0.0)}
    return bench


def test_what_is_quicker_and_agrees_is_chosen() -> None:
    bench = usual(Bench({
        ("pose", "openvino", "f32"): (0.001, 0.011), ("pose", "openvino", "bf16"): (0.001, 0.005),
        ("detector", "openvino", "f32"): (0.009, 0.0), ("detector", "openvino", "bf16"): (0.010, 0.0),
    }))  # fmt: skip
    forms = (ORT, OV32, OV16)
    outcome = tuned(bench, {"pose": forms, "detector": forms})
    assert outcome.choices == {"pose": OV16, "detector": ORT}
    assert outcome.agreement == 1 and outcome.notes == []
    assert outcome.usual_ms == pytest.approx({1: 19, 4: 49, 8: 89}), "the detector and so many crops"
    assert outcome.chosen_ms == pytest.approx({1: 14, 4: 29, 8: 49})
    assert [row.verdict for row in rows(outcome, stage="forms", role="pose")] == ["usual", "slower", ""]
    assert rows(outcome, stage="forms", role="pose", way=replace(OV16, threads=2))[0].agreement == 1
    assert all(set(row.ms) == {1, 4, 8} for row in rows(outcome, role="pose", stage="threads"))


@pytest.mark.parametrize(
    ("precision", "moved", "chosen"), [("bf16", 0, True), ("bf16", 1, False), ("int8", 1, True), ("int8", 9, False)]
)
def test_other_people_are_refused(precision: str, moved: int, chosen: bool) -> None:
    """Half a pixel of the network to the right is .98 to .995 here: too much for a float, enough of INT8."""
    quick = Choice("openvino", precision)
    key = ("pose", "openvino", precision)
    bench = usual(Bench({key: (0.001, 0.005)}, moved={key: moved}))
    outcome = tuned(bench, {"pose": (ORT, quick), "detector": (ORT,)})
    assert outcome.choices["pose"] == (quick if chosen else ORT)
    row = rows(outcome, stage="forms", way=replace(quick, threads=2))[0]
    assert row.agreement is not None and (moved != 1 or 0.98 < row.agreement < 0.995)
    least = 0.98 if precision == "int8" else 0.995
    assert row.verdict == ("" if chosen else f"left out: agreement {row.agreement:.4f}, expected {least} or more")


def test_a_detector_that_loses_somebody_is_refused() -> None:
    key = ("detector", "openvino", "bf16")
    bench = usual(Bench({key: (0.004, 0.0)}, lost={key: 1}))
    outcome = tuned(bench, {"pose": (ORT,), "detector": (ORT, OV16)})
    assert outcome.choices["detector"] == ORT and outcome.agreement is None
    assert rows(outcome, role="detector", way=replace(OV16, threads=2))[0].verdict.startswith("left out: agreement 0.")


def test_fewer_threads_where_they_are_quicker() -> None:
    bench = usual(Bench({}, by_threads={1: 0.8, 2: 1.0}))
    outcome = tuned(bench, {"pose": (ORT,), "detector": (ORT,)})
    assert {role: choice.threads for role, choice in outcome.choices.items()} == {"pose": 1, "detector": 1}
    assert outcome.chosen_ms[8] == pytest.approx(0.8 * outcome.usual_ms[8])
    bench = usual(Bench({}, by_threads={1: 0.98, 2: 1.0}))
    outcome = tuned(bench, {"pose": (ORT,), "detector": (ORT,)})
    assert {choice.threads for choice in outcome.choices.values()} == {None}, "not for two percent"


def test_the_same_form_with_fewer_threads_needs_no_comparison() -> None:
    bench = usual(Bench({}, by_threads={1: 0.8, 2: 1.0}))
    outcome = tuned(bench, {"pose": (ORT,), "detector": (ORT,)}, seconds=0.001)
    assert outcome.choices["pose"].threads == 1 and not any("left out" in note for note in outcome.notes)


def test_half_of_many_threads_is_tried() -> None:
    bench = usual(Bench({}, by_threads={1: 4.0, 4: 0.7, 8: 1.0}))
    outcome = tuned(bench, {"pose": (ORT,), "detector": (ORT,)}, threads=8)
    assert outcome.choices["pose"].threads == 4
    assert {row.way.threads for row in rows(outcome, stage="threads", role="pose")} == {1, 4, 8}


def test_crops_per_run() -> None:
    bench = usual(Bench({}, chunk_of_cache=4))
    assert tuned(bench, {"pose": (ORT,), "detector": (ORT,)}).choices["pose"].chunk == 4
    outcome = tuned(usual(Bench({})), {"pose": (ORT,), "detector": (ORT,)})
    assert outcome.choices["pose"].chunk is None, "16 in one run are hardly quicker than the session's own 8"
    assert {row.way.chunk for row in rows(outcome, stage="chunk")} == {1, 2, 4, 8, 16}


def test_networks_that_disturb_each_other_stay_as_they_were() -> None:
    bench = usual(Bench({("pose", "openvino", "bf16"): (0.001, 0.009)}, clash=0.5))
    outcome = tuned(bench, {"pose": (ORT, OV16), "detector": (ORT,)})
    assert outcome.choices == {"pose": ORT, "detector": ORT} and outcome.chosen_ms == outcome.usual_ms
    assert rows(outcome, stage="forms", way=replace(OV16, threads=2))[0].ms[8] < 80, "alone it was quicker"


@pytest.mark.parametrize(("side", "workers"), [(0.9, 2), (0.98, 1), (1.1, 1)])
def test_frames_side_by_side(side: float, workers: int) -> None:
    bench = usual(Bench({}, side=side))
    outcome = tuned(bench, {"pose": (ORT,), "detector": (ORT,)})
    assert {choice.workers for choice in outcome.choices.values()} == {workers}
    assert outcome.rates["side by side"] == pytest.approx(outcome.rates["one after the other"] / side, rel=1e-6)
    assert tuned(bench, {"pose": (ORT,), "detector": (ORT,)}, threads=1).rates == {}


def test_what_cannot_be_opened_is_named() -> None:
    bench = usual(Bench({}, broken=("openvino",)))
    outcome = tuned(bench, {"pose": (ORT, OV16), "detector": (ORT,)})
    assert outcome.choices["pose"] == ORT
    assert rows(outcome, way=replace(OV16, threads=2))[0].verdict == (
        "cannot be run: openvino does not know an operator"
    )
    with pytest.raises(ValueError, match="does not know an operator"):
        tuned(bench, {"pose": (OV32,), "detector": (ORT,)})


def test_a_slow_machine_is_measured_for_less() -> None:
    bench = Bench({("pose", "onnxruntime", "f32"): (0.0, 1.5), ("detector", "onnxruntime", "f32"): (0.5, 0.0)})
    outcome = tuned(bench, {"pose": (ORT,), "detector": (ORT,)})
    assert set(outcome.usual_ms) == {1} and "chunk" not in {row.stage for row in outcome.rows}
    assert "a person takes 1500 ms here: not measured for more than 1" in outcome.notes
    assert "crops per run: not measured, it would take too long here" in outcome.notes


def test_what_there_is_no_time_to_compare_is_left_out() -> None:
    key = ("pose", "openvino", "bf16")
    bench = usual(Bench({key: (0.001, 0.005)}))
    outcome = tuned(bench, {"pose": (ORT, OV16), "detector": (ORT,)}, seconds=0.001)
    assert outcome.choices["pose"] == ORT
    assert rows(outcome, stage="forms", way=replace(OV16, threads=2))[0].verdict == (
        "left out: no time was left to compare it"
    )


def test_where_nobody_is_found_nothing_can_agree() -> None:
    keys: dict[str, Any] = {"pose": ("pose", "openvino", "bf16"), "detector": ("detector", "onnxruntime", "f32")}
    bench = usual(Bench({keys["pose"]: (0.001, 0.005)}, lost={keys["detector"]: 2}))
    outcome = tuned(bench, {"pose": (ORT, OV16), "detector": (ORT,)})
    assert outcome.choices["pose"] == ORT
    verdict = rows(outcome, stage="forms", way=replace(OV16, threads=2))[0].verdict
    assert verdict.startswith("left out: nobody was found in any of 8 pictures")


def test_models_of_one_network() -> None:
    costs: dict[tuple[str, str, str], tuple[float, float]] = {
        ("whole", "onnxruntime", "f32"): (0.03, 0.0), ("whole", "openvino", "f32"): (0.02, 0.0),
    }  # fmt: skip
    outcome = tuned(Bench(costs), {"model": (ORT, OV32)})
    assert outcome.choices == {"model": OV32} and outcome.chosen_ms == pytest.approx({1: 20})
    alone = tuned(usual(Bench({})), {"pose": (ORT,)})
    assert list(alone.choices) == ["pose"] and alone.usual_ms[4] == pytest.approx(41), "no detector runs"


def test_forms_of_a_file(tmp_path: Path) -> None:
    here: dict[Any, tuple[str, ...]] = {"onnxruntime": ("f32",), "openvino": ("bf16", "f32"), "ncnn": ("f32",)}
    file, small = tmp_path / "m.onnx", tmp_path / "m-int8.onnx"

    def listed(
        file: Path, own: Any, known: dict[Any, tuple[str, ...]], *smaller: tuple[Path, str]
    ) -> list[tuple[str, ...]]:
        return [
            (way.backend, way.precision or "", Path(way.file or "").name) for way in forms_of(file, own, known, smaller)
        ]

    one, two, three = (("onnxruntime", "f32", "m.onnx"), ("openvino", "bf16", "m.onnx"), ("openvino", "f32", "m.onnx"))
    assert listed(file, "onnxruntime", here) == [one, two, three]
    assert listed(file, "onnxruntime", {"onnxruntime": ("f32",)}) == [one]
    (tmp_path / "m.ncnn.param").touch()
    assert listed(file, "onnxruntime", here) == [one, two, three, ("ncnn", "f32", "m.ncnn.param")]
    assert listed(file, "onnxruntime", here, (small, "int8"))[4:] == [
        ("onnxruntime", "int8", "m-int8.onnx"), ("openvino", "int8", "m-int8.onnx"),
    ]  # fmt: skip
    assert listed(tmp_path / "x.xml", "openvino", here) == [("openvino", "f32", "x.xml"), ("openvino", "bf16", "x.xml")]
    assert listed(tmp_path / "x.param", "ncnn", here) == [("ncnn", "f32", "x.param")]


def test_distortions_are_the_same_every_time() -> None:
    image = picture(size=(320, 180))
    first, again = distorted(image), distorted(image)
    assert len(first) == 32 and all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert np.array_equal(first[0], image) and first[0] is not image
    assert all(each.shape == image.shape and each.dtype == np.uint8 for each in first)
    differences = [float(np.abs(each.astype(int) - image).mean()) for each in first[1:]]
    assert min(differences) > 3
