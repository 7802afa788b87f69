"""`edgepose compare`, and the reports of `edgepose evaluate`, on a tiny model and pictures of one color."""

from __future__ import annotations

import csv
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import cv2
import pytest
from typer.testing import CliRunner, Result

from edgepose.cli import app
from edgepose.cli.screen import Screen
from edgepose.evaluate.compare import Plan, compare
from edgepose.evaluate.energy import EnergyMeter
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.load import load
from tests.evaluate.test_energy import counter
from tests.evaluate.test_run import write_set
from tests.runtime.small import detector_model
from tests.tiny import write_tiny_model

pytest.importorskip("hotcoco")
pytest.importorskip("matplotlib")
FAST = ("--rounds", "2", "--seconds", "0", "--threads", "1")


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def data(tmp_path: Path) -> list[str | Path]:
    """`--data` and `--images` of a set that was written."""
    (tmp_path / "set").mkdir()
    labels = write_set(tmp_path / "set")
    (tmp_path / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    return ["--data", tmp_path / "labels.json", "--images", tmp_path / "set"]


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    whole = write_tiny_model(tmp_path / "whole.onnx")
    return [whole, write_tiny_model(tmp_path / "person.onnx", per_person=True)]


def test_a_table_for_machines(data: list[str | Path], models: list[Path]) -> None:
    words = ["compare", *models, *data, *FAST, "--detector", "none", "--no-memory", "--watts", "15", "--json"]
    result = run(*words)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["model"] for row in rows] == [str(path) for path in models]
    needed = {"AP", "AP50", "AP75", "APM", "APL", "AR", "images", "people", "ms_median", "ms_p95", "ms_p99", "fps"}
    needed |= {"stages", "parameters", "macs", "macs_hrnet", "file_bytes", "pareto", "joules_per_frame"}
    for row, path in zip(rows, models, strict=True):
        assert needed <= set(row) and row["calls"] == 2 and row["peak_memory_bytes"] is None
        assert (
            row["file_bytes"] == path.stat().st_size
            and row["macs"] == row["macs_hrnet"] == 12 * 16 * 17 * 3
            and row["parameters"] == 51
        )
        assert row["watts"] == 15 and row["ap_fps_per_watt"] == pytest.approx(
            100 * row["AP"] * row["fps"] / 15, abs=0.01
        )
        assert row["ms_rounds"][0] <= row["ms_median"] <= row["ms_rounds"][1]
    assert [row["people_timed"] for row in rows] == [1, 1], "without a detector the whole picture is one person"
    assert any(row["pareto"] for row in rows)


def test_files_appear_and_say_the_same(data: list[str | Path], models: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    result = run("compare", *models, *data, *FAST, "--boxes", "gt", "--people", "3", "--no-memory", "--out", out)
    assert result.exit_code == 0, result.output
    assert {path.name for path in out.iterdir()} == {f"compare.{kind}" for kind in ("md", "csv", "json", "svg", "png")}
    rows = json.loads((out / "compare.json").read_text())
    with (out / "compare.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["model"] for row in table] == [row["model"] for row in rows]
    assert [float(row["ms_median"]) for row in table] == [row["ms_median"] for row in rows]
    assert (
        rows[1]["people_timed"] == 3
        and json.loads(run("compare", models[1], *data, *FAST, "--boxes", "gt", "--no-memory", "--json").stdout)[
            "people_timed"
        ]
        == 2
    ), "six people in three pictures"
    assert list(rows[1]["stages"]) == ["pose pre", "pose run", "pose post"]
    text = (out / "compare.md").read_text()
    assert f"| {models[0].stem} |" in text and "medians of 2 rounds" in text and "pose run" in text
    assert text.startswith("# AP and time on ")
    words = {element.text for element in ElementTree.parse(out / "compare.svg").getroot().iter()}
    assert {model.stem for model in models} <= words and "![AP against milliseconds](compare.svg)" in text
    assert cv2.imread(str(out / "compare.png")) is not None


def test_tables_are_written_without_matplotlib(
    data: list[str | Path], models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    out = tmp_path / "out"
    result = run("compare", models[0], *data, *FAST, "--no-memory", "--detector", "none", "--out", out)
    assert result.exit_code == 1 and result.stderr == "error: plots need matplotlib: pip install edgepose[evaluate]\n"
    assert {path.name for path in out.iterdir()} == {"compare.md", "compare.csv", "compare.json"}
    text = (out / "compare.md").read_text()
    assert f"| {models[0].stem} |" in text and "compare.svg" not in text


def test_one_that_fails_is_named_and_the_others_go_on(
    data: list[str | Path], models: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    words = ["compare", broken, models[0], "no-such-model", *data, *FAST, "--no-memory", "--out", tmp_path / "out"]
    result = run(*words, "--json")
    assert result.exit_code == 1, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert ["error" in row for row in rows] == [True, False, True] and rows[1]["pareto"]
    assert result.stderr.count("error: ") == 2 and "Traceback" not in result.output
    assert "unknown model 'no-such-model'" in rows[2]["error"]
    assert "Failed:" in (tmp_path / "out" / "compare.md").read_text()


def test_nothing_but_failures(data: list[str | Path], tmp_path: Path) -> None:
    result = run("compare", "no-such-model", *data, *FAST, "--out", tmp_path / "out")
    assert result.exit_code == 1 and (tmp_path / "out" / "compare.svg").exists()


def at(name: str, done: int, event: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Something happens when this much of what is so called is done."""
    shown = Screen.stage

    def watched(self: Screen, what: str, count: int, total: int, facts: str = "") -> None:
        if what == name and count == done:
            event()
        shown(self, what, count, total, facts)

    monkeypatch.setattr(Screen, "stage", watched)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("stage", "done", "timed", "errors"),
    [
        ("{0}, accuracy", 1, [], ["interrupted before it was measured"] * 2),
        ("{1}, accuracy", 1, [], ["interrupted before it was timed", "interrupted before it was measured"]),
        ("speed", 2, [0, 1], [None, None]),
        ("memory", 1, [0, 1], [None, None]),
    ],
)
def test_what_is_finished_is_kept(
    stage: str, done: int, timed: list[int], errors: list[str | None], number: int,
    data: list[str | Path], models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    out = tmp_path / "out"
    monkeypatch.setattr("edgepose.evaluate.compare.peak_memory", lambda *words: 5)
    at(stage.format(*models), done, lambda: signal.raise_signal(number), monkeypatch)
    result = run("compare", *models, *data, "--rounds", "9", *FAST[2:], "--detector", "none", "--out", out, "--json")
    assert result.exit_code == 130 and "Traceback" not in result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["model"] for row in rows] == [str(path) for path in models]
    assert [row.get("error") for row in rows] == errors
    assert ["AP" in row for row in rows] == [error != "interrupted before it was measured" for error in errors]
    for i in timed:
        assert rows[i]["file_bytes"] > 0 and (stage == "speed" or rows[i]["calls"] == 9)
    if stage == "speed":
        assert sum(row["calls"] for row in rows) == 3  # the turn in which the signal came is the last
    if stage == "memory":
        assert [row["peak_memory_bytes"] for row in rows] == [5, 5]  # the signal came while the second was at work
    assert out.exists() == any("AP" in row for row in rows)
    assert not out.exists() or json.loads((out / "compare.json").read_text()) == rows


def test_evaluation_keeps_the_models_that_are_done(
    data: list[str | Path], models: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    at(f"{models[1]}", 1, lambda: signal.raise_signal(signal.SIGTERM), monkeypatch)
    words = [word for model in models for word in ("--model", model)]
    result = run("evaluate", *words, *data, "--threads", "1", "--detector", "none")
    assert result.exit_code == 130 and "Traceback" not in result.output
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["model", str(models[0])]


def test_labels_of_nobody_are_no_comparison(data: list[str | Path], models: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"annotations": []}), encoding="utf-8")
    result = run("compare", *models, *data, *FAST, "--detector", "none", "--no-memory")
    assert result.exit_code == 1 and "labels.json labels nobody, so there is nothing to measure" in result.output


def test_energy_is_measured_where_there_are_counters(
    data: list[str | Path], models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    energy = counter(tmp_path / "powercap", "intel-rapl:0", "package-0", 0)
    call = Estimator.__call__

    def costly(self: Estimator, *arguments: object) -> object:
        energy.write_text(str(int(energy.read_text()) + 2_000_000))
        return call(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Estimator, "__call__", costly)
    plan = Plan(Path(data[1]), Path(data[3]), rounds=2, seconds=0, memory=False, threads=1)
    told: list[tuple[str, int, int]] = []
    (row,) = compare(
        [str(models[0])], lambda name: load(name, threads=1), plan, lambda *told_now: told.append(told_now),
        EnergyMeter(tmp_path / "powercap"),
    )  # fmt: skip
    pictures = [(f"{models[0]}, accuracy", done, row["images"]) for done in range(row["images"] + 1)]
    assert told == [*pictures, ("speed", 1, 2), ("speed", 2, 2)]
    assert row["joules_per_frame"] == 2 and row["energy_reason"] is None and row["watts"] > 0
    expected = 100 * row["AP"] * row["fps"] / row["watts"]
    assert row["ap_fps_per_watt"] == pytest.approx(expected, rel=0.02, abs=0.01)


def test_peak_memory_of_each(data: list[str | Path], models: list[Path]) -> None:
    result = run("compare", models[1], *data, *FAST, "--boxes", "gt", "--json")
    assert result.exit_code == 0, result.output
    assert 30e6 < json.loads(result.stdout)["peak_memory_bytes"] < 1e9


def test_detectors_are_compared_among_themselves(data: list[str | Path], models: list[Path], tmp_path: Path) -> None:
    (tmp_path / "detector.onnx").write_bytes(detector_model())
    words = [*data, *FAST, "--no-memory", "--json"]
    result = run("compare", tmp_path / "detector.onnx", *words, "--out", tmp_path / "out")
    assert result.exit_code == 0 and json.loads(result.stdout)["task"] == "boxes", result.output
    text = (tmp_path / "out" / "compare.md").read_text()
    assert text.startswith("# Box AP and time on ") and "people found" in text
    result = run("compare", tmp_path / "detector.onnx", models[0], *words)
    assert result.exit_code == 1 and "no common measure" in result.stderr


@pytest.mark.parametrize("words", [["--watts", "0"], ["--rounds", "0"], ["--people", "-1"], ["--seconds", "-1"]])
def test_wrong_use(words: list[str], data: list[str | Path], models: list[Path]) -> None:
    assert run("compare", models[0], *data, *words).exit_code == 2


def test_plans_are_checked() -> None:
    for wrong in ({"rounds": 0}, {"seconds": -1.0}, {"people": -1}, {"watts": 0.0}):
        with pytest.raises(ValueError, match="expected"):
            Plan(Path("a"), Path("b"), **wrong)  # type: ignore[arg-type]


def test_evaluate_writes_a_report(data: list[str | Path], models: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    words = ["evaluate", "--model", models[1], *data, "--threads", "1", "--json"]
    result = run(*words, "--report", folder, "--bootstrap", "10", "--robustness")
    assert result.exit_code == 0, result.output
    assert {path.name for path in folder.iterdir()} == {"person.md", "person.json"}
    report = json.loads((folder / "person.json").read_text())
    figures = json.loads(result.stdout)
    assert report["figures"]["AP"] == figures["AP"] and figures["interval"]["resamples"] == 10
    assert len(report["robustness"]) == 21 and "## Robustness" in (folder / "person.md").read_text()
    alone = json.loads(run(*words, "--bootstrap", "10").stdout)
    assert alone["interval"] == figures["interval"] and "interval" not in json.loads(run(*words).stdout)


def test_evaluate_reports_on_results_made_elsewhere(data: list[str | Path], models: list[Path], tmp_path: Path) -> None:
    results = tmp_path / "mine.json"
    assert run("evaluate", "--model", models[1], *data, "--threads", "1", "--out", results).exit_code == 0
    words = ["evaluate", "--predictions", results, *data[:2], "--report", tmp_path / "reports", "--bootstrap", "0"]
    assert run(*words).exit_code == 0
    assert "interval" not in json.loads((tmp_path / "reports" / "mine.json").read_text())


def test_evaluate_at_several_scales(data: list[str | Path], models: list[Path], tmp_path: Path) -> None:
    words = ["evaluate", "--model", models[1], *data, "--threads", "1", "--json"]
    figures = json.loads(run(*words, "--scales", "0.75,1,1.25").stdout)
    assert figures["scales"] == [0.75, 1, 1.25] and "scales" not in json.loads(run(*words).stdout)
    assert run(*words, "--scales", "big").exit_code == run(*words, "--scales", "0").exit_code == 2
    result = run("evaluate", "--model", models[0], *data, "--threads", "1", "--scales", "1,2")
    assert result.exit_code == 1 and "no multi-scale test: leave scales out" in result.stderr


def test_reports_are_of_keypoints_and_robustness_of_pictures(data: list[str | Path], tmp_path: Path) -> None:
    (tmp_path / "detector.onnx").write_bytes(detector_model())
    result = run("evaluate", "--model", tmp_path / "detector.onnx", *data, "--report", tmp_path / "r")
    assert result.exit_code == 1 and "finds no keypoints: leave out" in result.stderr
    assert run("evaluate", "--model", "m", *data, "--robustness").exit_code == 2
    assert run("evaluate", "--predictions", "p.json", *data[:2], "--report", "r", "--robustness").exit_code == 2
