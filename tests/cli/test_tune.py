"""`edgepose tune`, and the commands that take what it kept."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from edgepose.cli import app
from edgepose.media.example import scaled_example
from edgepose.media.video import Frame, VideoWriter
from edgepose.runtime import ahead
from edgepose.runtime.tune.kept import Choice, keep
from tests.tiny import write_tiny_model


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "cache"))
    for variable in ("EDGEPOSE_BACKEND", "EDGEPOSE_THREADS"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.onnx", per_person=True)


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_tune_measures_keeps_and_is_taken(model: Path, cache: Path) -> None:
    result = run("tune", model, "--detector", "none", "--seconds", "1", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["compared_on"] == "the package's photo under 32 fixed distortions"
    assert set(said["usual_ms"]) == set(said["chosen_ms"]) == {"1", "4", "8"} and min(said["chosen_ms"].values()) > 0
    forms = [row for row in said["rows"] if row["stage"] == "forms"]
    assert [row["verdict"] for row in forms].count("usual") == 1 and forms[0]["backend"] == "onnxruntime"
    choice, (kept,) = said["choices"]["pose"], said["kept"]
    assert Path(kept).parent == cache / "tuned"
    on_disk = json.loads(Path(kept).read_text(encoding="utf-8"))
    assert on_disk["choice"]["backend"] == choice["backend"] and on_disk["compared_on"] == said["compared_on"]

    bench = ["bench", model, "--detector", "none", "--seconds", "0.01"]
    row = json.loads(run(*bench, "--json").stdout)
    assert row["why"].startswith("tuned 2") and row["backend"] == choice["backend"] and row["detector"] is None
    assert run(*bench).stdout.splitlines()[-1].startswith(f"{model}, pose: {choice['backend']}, ")
    stated = json.loads(run(*bench, "--json", "--backend", "onnxruntime").stdout)
    assert (stated["backend"], stated["why"]) == ("onnxruntime", "")
    write_tiny_model(model)
    assert "has changed since it was tuned" in json.loads(run(*bench[:2], *bench[4:], "--json").stdout)["why"]


def test_tune_prints_a_table(model: Path) -> None:
    result = run("tune", model, "--detector", "none", "--seconds", "1")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("system ") and " onnxruntime " in lines[0]
    assert lines[1].split()[:5] == ["measured", "network", "backend", "precision", "threads"]
    assert lines[2].split()[:3] == ["forms", "pose", "onnxruntime"] and lines[2].endswith("usual")
    assert any(line.startswith("whole frame, as usual -> chosen: ") for line in lines)
    assert lines[-1].startswith("pose: ") and "kept in " in lines[-1]


def test_few_pictures_are_no_comparison(model: Path, tmp_path: Path, cache: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(3):
        assert cv2.imwrite(str(pictures / f"{number}.png"), np.zeros((9, 9, 3), np.uint8))
    result = run("tune", model, "--images", pictures)
    assert result.exit_code == 1 and result.stderr.startswith(f"error: {pictures} has 3 pictures, expected 100 or more")
    assert not cache.exists()


def test_a_detector_for_who_needs_none(tmp_path: Path) -> None:
    whole = write_tiny_model(tmp_path / "whole.onnx")
    result = run("tune", whole, "--detector", "default-detector")
    assert result.exit_code == 1 and "finds people by itself: expected detector to be left out" in result.stderr


def test_doctor_says_what_is_chosen_and_why() -> None:
    from edgepose.runtime.load import find

    def found() -> dict[str, str]:
        return {row["what"]: row["found"] for row in json.loads(run("doctor", "--json").stdout)["checks"]}

    before = found()
    assert "(by rule: " in before["auto, pose"] and "not tuned here: edgepose tune" in before["auto, detector"]
    keep(find("default-pose")[0], Choice("onnxruntime", threads=1), "2026-11-30", {})
    assert found()["auto, pose"] == "onnxruntime, f32, 1 threads (tuned 2026-11-30)"


def test_predict_looks_at_frames_side_by_side(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same lines in the same order, of a folder with a bad picture in it and a video."""
    sources, asked = tmp_path / "sources", list[int]()
    sources.mkdir()
    image = scaled_example((160, 90))
    for number in range(5):
        assert cv2.imwrite(str(sources / f"{number}.png"), np.roll(image, 10 * number, axis=1))
    (sources / "3.png").write_bytes(b"no picture")
    with VideoWriter(sources / "clip.mp4", fps=10) as video:
        for index in range(7):
            video.write(Frame(np.roll(image, 8 * index, axis=1), index / 10, index))
    words = ["predict", sources, "--model", model, "--detector", "none", "--json"]
    real = ahead.ahead

    def watched(function, items, workers):  # type: ignore[no-untyped-def]
        asked.append(workers)
        return real(function, items, workers)

    monkeypatch.setattr(ahead, "ahead", watched)
    plain = run(*words, "--backend", "onnxruntime")
    assert asked == [] and plain.exit_code == 1 and len(plain.stdout.splitlines()) == 11
    keep(model, Choice("onnxruntime", threads=1, workers=2), "2026-11-30", {})
    several = run(*words)
    assert asked == [2, 2] and (several.exit_code, several.stdout) == (1, plain.stdout)
    assert several.stderr == plain.stderr and several.stderr.count("3.png") == 1
    assert run("predict", sources / "0.png", *words[2:]).stdout == plain.stdout.splitlines(keepends=True)[0]
    assert asked == [2, 2], "one picture has nothing beside it"
