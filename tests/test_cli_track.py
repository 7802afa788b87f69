"""`edgepose track`: what it prints and writes, what it refuses, and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from edgepose.cli import app
from edgepose.media.example import scaled_example
from edgepose.media.video import Frame, VideoWriter, read_video
from tests.processes import ctrl_c_works
from tests.runtime.server import Camera
from tests.tiny import write_tiny_model

TIMES = [0.0, 0.1, 0.15, 0.4]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Four frames at uneven times."""
    path = tmp_path / "clip.mp4"
    image = scaled_example((160, 96))
    with VideoWriter(path) as video:
        for index, at in enumerate(TIMES):
            video.write(Frame(image, at, index))
    return path


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["track", *[str(word) for word in words]])


def test_a_line_for_people_or_lines_for_machines(model: Path, clip: Path) -> None:
    result = run(clip, "--model", model)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{clip}: 4 frames, 0.4 s, 1 person, 1 identities\n" and result.stderr == ""
    result = run(clip, "--model", model, "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["time"] for line in lines] == pytest.approx(TIMES, abs=0.001)
    assert [line["frame"] for line in lines] == [0, 1, 2, 3]
    assert [person["id"] for line in lines for person in line["people"]] == [1] * 4
    assert [json.loads(line)["event"] for line in result.stderr.splitlines()] == ["ended"]


def test_results_and_overlay(model: Path, clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "out"
    result = run(clip, "--model", model, "--out", folder, "--overlay")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in folder.iterdir()) == ["clip_overlay.mp4", "results.jsonl"]
    times = [frame.time for frame in read_video(folder / "clip_overlay.mp4")]
    assert times == pytest.approx(TIMES, abs=0.001)
    assert len((folder / "results.jsonl").read_text().splitlines()) == 4


def test_out_may_be_the_video(model: Path, clip: Path, tmp_path: Path) -> None:
    result = run(clip, "--model", model, "--out", tmp_path / "seen.mp4")
    assert result.exit_code == 0 and len(list(read_video(tmp_path / "seen.mp4"))) == 4
    result = run(clip, clip, "--model", model, "--out", tmp_path / "both.mp4")
    assert result.exit_code == 1 and "is one video, got 2 sources" in result.stderr


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("csv", ["results.csv"]),
        ("coco", ["results-images.json", "results.json"]),
        ("openpose", ["openpose"]),
        ("mot", ["mot", "mot/clip.txt"]),
        ("posetrack", ["posetrack", "posetrack/clip.json"]),
    ],
)
def test_formats(kind: str, names: list[str], model: Path, clip: Path, tmp_path: Path) -> None:
    result = run(clip, "--model", model, "--out", tmp_path / "out", "--format", kind)
    assert result.exit_code == 0, result.output
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*"))
    assert [name for name in found if "keypoints.json" not in name] == names


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("--detect-every", "0"), 2, "expected a number of frames from 1, or adaptive"),
        (("--overlay",), 2, "--out"),
        (("--fps", "0"), 2, "--fps: expected a positive number, got 0"),
        (("--max-latency", "-5"), 2, "expected a positive number, got -5"),
        (("--give-up", "0"), 2, "expected a positive number, got 0"),
        (("--preset", "wild"), 2, "preset"),
        (("--out", "new.mp4", "--format", "csv"), 2, "new.mp4 is a video, which holds no results"),
        (("--out", "new.csv"), 2, "got new.csv: expected a folder, and --format csv"),
        (("--out", "new.json"), 2, "got new.json: expected a folder, and --format coco"),
    ],
)
def test_wrong_use(words: tuple[str, ...], status: int, message: str, model: Path, clip: Path) -> None:
    result = run(clip, "--model", model, *words)
    assert result.exit_code == status and message in result.stderr and result.stderr.count("\n") == 1


def test_a_source_that_is_not_there(model: Path) -> None:
    result = run("nowhere.mp4", "--model", model)
    assert result.exit_code == 1 and result.stderr.startswith("error: no source at nowhere.mp4")


def test_of_several_sources_the_good_ones_are_done(model: Path, clip: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(clip.read_bytes()[:-200])
    result = run(bad, clip, "--model", model, "--out", tmp_path / "out")
    assert result.exit_code == 1 and result.stderr.count("error: ") == 1 and "bad.mp4" in result.stderr
    assert f"{clip}: 4 frames" in result.stdout and (tmp_path / "out" / "results.jsonl").exists()


def test_a_damaged_video_keeps_its_results(model: Path, clip: Path, tmp_path: Path) -> None:
    clip.write_bytes(clip.read_bytes() + b"\x00\x00\x10\x00mdat")
    result = run(clip, "--model", model, "--out", tmp_path / "out")
    assert result.exit_code == 1 and result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) == 4


def test_nobody_answers(model: Path) -> None:
    result = run("http://me:pw@127.0.0.1:9/live", "--model", model, "--give-up", "0.5")
    assert result.exit_code == 1 and "gave up" in result.stderr and "pw" not in result.output


def test_ctrl_c_finishes_the_files_that_are_open(model: Path, tmp_path: Path) -> None:
    camera = Camera()
    words = ["track", camera.url, "--model", str(model), "--out", str(tmp_path / "out"), "--overlay", "--json"]
    with ctrl_c_works():
        process = subprocess.Popen(
            [sys.executable, "-m", "edgepose", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=Path(__file__).parents[1], env={**os.environ, "EDGEPOSE_THREADS": "1"},
        )  # fmt: skip
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(5)]
    grown = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)  # one second on a machine that does nothing else
    camera.kill()
    assert process.returncode == 130 and "Traceback" not in errors and "secret" not in errors + rest
    assert len(grown) >= 4, "lines of a live source are in the file as they come"
    events = [json.loads(line) for line in errors.splitlines()]
    assert events[0]["event"] == "connected" and events[-1]["event"] == "ended"
    frames = [json.loads(line) for line in [*lines, *rest.splitlines()]]
    assert events[-1]["out"] == len(frames) and events[-1]["in"] == events[-1]["out"] + events[-1]["dropped"]
    written = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in written] == frames
    assert len(list(read_video(tmp_path / "out" / "stream_overlay.mp4"))) == len(frames)
