"""What `edgepose train` says where its output is no terminal, and when it is stopped."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edgepose.cli import app

pytest.importorskip("torch")
from edgepose.cli.screen import Screen
from edgepose.cli.train import reporter
from edgepose.data.memory import Budget
from edgepose.train import checkpoint
from edgepose.train.loop import Step
from edgepose.train.progress import Pace, Progress

pytestmark = pytest.mark.torch


def step(iteration: int, loss: float = 1.0) -> Step:
    return Step(iteration, 1000, (iteration - 1) // 100, 1e-3, {"square": loss}, 16.0)


def said(seconds_of_a_step: float, steps: int) -> list[int]:
    """Iterations at which a line is due, of steps that take so long."""
    pace = Pace(0.0, 1)
    return [i for i in range(1, steps + 1) if pace.line(step(i), (i - 1) * seconds_of_a_step) is not None]


def test_a_line_soon_after_the_start_and_then_every_minute() -> None:
    assert said(0.5, 300) == [10, 130, 250]
    assert said(7, 30) == [6, 15, 24], "after half a minute, where ten steps take longer"
    assert said(100, 4) == [2, 3, 4], "the first step says nothing on how long the rest takes"


def test_a_line_has_means_and_the_time_that_is_left() -> None:
    pace = Pace(100.0, 501)  # a run that goes on
    lines = [pace.line(step(i, loss=i), 100.0 + 2 * (i - 501)) for i in range(501, 541)]
    assert [i for i, line in enumerate(lines) if line] == [9, 39]
    assert lines[9] == "square 505.5  16 images/s  0:16:20 left", "490 steps of two seconds"
    assert lines[39] == "square 525.5  16 images/s  0:15:20 left", "mean of the 30 steps since"


def test_lines_on_stderr_without_a_terminal_and_none_beside_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    for bar in (False, True):
        monkeypatch.setattr(Screen, "shows_bars", bar)
        with Screen() as screen:
            report = reporter(screen, Progress(10, screen.complain, clock=lambda: now[0]))
            for i in range(1, 21):
                now[0] += 0.5
                report(step(i))
        out, told = capsys.readouterr()
        assert out == ""
        assert told == ("" if bar else "iteration 10/1000  epoch 1/10  square 1  16 images/s  0:08:15 left\n")


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Eight pictures of noise with one person each."""
    cv2 = pytest.importorskip("cv2")
    (tmp_path / "pictures").mkdir()
    for i in range(8):
        noise = np.random.default_rng(i).integers(0, 255, (60, 50, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "pictures" / f"{i}.png"), noise)
    from edgepose.skeleton import COCO

    people = [{"id": i + 1, "image_id": i, "category_id": 1, "bbox": [5, 5, 30, 40], "keypoints": [9, 9, 2] * 17}
              for i in range(8)]  # fmt: skip
    images = [{"id": i, "file_name": f"{i}.png", "width": 50, "height": 60} for i in range(8)]
    category = {"id": 1, "name": "person", "keypoints": list(COCO.names)}
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"images": images, "annotations": people, "categories": [category]}))
    return f"{labels}:{tmp_path / 'pictures'}"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_run_leaves_its_state_and_goes_on(
    data: str, tmp_path: Path, number: int, status: int, monkeypatch: pytest.MonkeyPatch, process: Budget
) -> None:
    words = ["train", "rtmpose-t", f"data={data}", "epochs=2", "batch=2", "input_size=64x64", "precision=fp32",
             "threads=1", "stage2=0", "memory=0.00002"]  # fmt: skip
    out = tmp_path / "run"
    report = Progress.report

    def interrupted(progress: Progress, step: Step) -> None:
        report(progress, step)
        if step.iteration == 3:
            signal.raise_signal(number)

    with monkeypatch.context() as patched:
        patched.setattr(Progress, "report", interrupted)
        result = CliRunner().invoke(app, [*words, f"out={out}"])
    assert result.exit_code == status
    path = out / "last.safetensors"
    sentence = f"stopped by SIGTERM after iteration 3 of 8: {path} has the state, the same command goes on from there\n"
    first, _, rest = result.stderr.partition("\n")
    assert first.startswith("warning: 8 steps in all") and result.stdout == ""
    assert rest == (sentence if number == signal.SIGTERM else "")
    assert checkpoint.load(path)[1]["iteration"] == 3
    assert process.size == 20_000 and process.used <= 18_000, "two pictures of 9,000 bytes"
    again = CliRunner().invoke(app, [*words, f"out={out}"])
    assert again.exit_code == 0 and re.match(r"warning: .*\nepoch 1/2  lr .*\nepoch 2/2 ", again.stderr)
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == [4, 8]
