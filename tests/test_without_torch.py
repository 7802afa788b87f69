"""Everything left of the bar, and every verb that needs no torch, where torch cannot be imported."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import pytest

from edgepose.media.example import scaled_example
from tests.evaluate.test_run import write_set
from tests.processes import ctrl_c_works
from tests.test_imports import COMMAND_LINE, LEFT, PACKAGE, files, place
from tests.tiny import write_tiny_model

ROOT = PACKAGE.parent
EXTRAS = {"session_openvino": "openvino", "session_ncnn": "ncnn"}  # left of the bar too, where they are installed

BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "safetensors", "onnxscript", "tensorboard"):
            raise ModuleNotFoundError(f"{name} is blocked by the test", name=name)

sys.meta_path.insert(0, Blocked())
"""

IMPORT = """
import importlib
for name in NAMES:
    importlib.import_module(name)
    print(name)
"""

RUN = """
import numpy as np, edgepose
from edgepose.runtime.session import Session
from edgepose.runtime.estimator import Estimator
estimator = Estimator(Session(MODEL))
poses = estimator(np.zeros((64, 48, 3), np.uint8))
print(type(poses).__name__, poses.keypoints.shape)
"""

COMMANDS = """
import json
from typer.testing import CliRunner
from edgepose.cli import app
for words in RUNS:
    result = CliRunner().invoke(app, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    print(json.dumps([words, result.exit_code, result.output]))
"""


def modules() -> list[str]:
    """Every file left of the bar and of the command line, as a name to import."""
    found = []
    for path in files(PACKAGE):
        shown = path.relative_to(PACKAGE)
        extra = EXTRAS.get(path.stem)
        if (
            place(path, PACKAGE) in LEFT + COMMAND_LINE
            and shown.as_posix() != "__main__.py"  # it runs the command line
            and (extra is None or find_spec(extra) is not None)
        ):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def run(script: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=300)


def commands(runs: list[list[str]]) -> list[tuple[list[str], int, str]]:
    """Words, exit status and output of commands that ran one after the other without torch."""
    result = run(BLOCK + f"RUNS = {runs!r}\n" + COMMANDS)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_every_left_module_imports() -> None:
    pytest.importorskip("fastapi")
    names = modules()
    assert {"edgepose.geometry", "edgepose.data.coco", "edgepose.synthetic.scene", "edgepose.evaluate.run",
            "edgepose.serve.app", "edgepose.api", "edgepose.cli.models", "edgepose.cli.train"} < set(names)  # fmt: skip
    result = run(BLOCK + f"NAMES = {names!r}" + IMPORT)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == names


@pytest.mark.parametrize("file", ["geometry.py", "data/coco.py", "evaluate/run.py", "cli/predict.py"])
def test_a_planted_import_is_noticed(tmp_path: Path, file: str) -> None:
    shutil.copytree(ROOT / "edgepose", tmp_path / "edgepose", ignore=shutil.ignore_patterns("__pycache__", "*.onnx"))
    with (tmp_path / "edgepose" / file).open("a", encoding="utf-8") as planted:
        planted.write("\nimport torch\n")
    name = "edgepose." + file.removesuffix(".py").replace("/", ".")
    assert name in modules()
    result = run(BLOCK + f"NAMES = {[name]!r}" + IMPORT, tmp_path)
    assert result.returncode == 1 and "torch is blocked by the test" in result.stderr


def test_an_onnx_file_runs(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.onnx")
    result = run(BLOCK + f"MODEL = {str(path)!r}\n" + RUN)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[0] == "Poses"


def test_help_needs_no_torch() -> None:
    from edgepose.cli import COMMANDS as VERBS

    verbs = [[command.__name__] for command in VERBS] + [["data", name] for name in ("check", "synthesize")]
    found = commands([["--help"], *([*verb, "--help"] for verb in verbs)])
    assert len(found) == len(verbs) + 1 and [words for words, status, _ in found if status] == []


def test_verbs_that_need_no_torch_run(tmp_path: Path) -> None:
    pytest.importorskip("hotcoco")
    model = str(write_tiny_model(tmp_path / "tiny.onnx"))
    (tmp_path / "set").mkdir()
    (tmp_path / "labels.json").write_text(json.dumps(write_set(tmp_path / "set")), encoding="utf-8")
    picture, clip = str(tmp_path / "photo.png"), str(tmp_path / "frames")
    cv2.imwrite(picture, scaled_example((320, 180)))
    (tmp_path / "frames").mkdir()
    for i in range(3):
        shutil.copyfile(picture, tmp_path / "frames" / f"{i}.png")
    labelled = ["--data", str(tmp_path / "labels.json"), "--images", str(tmp_path / "set")]
    found = commands(
        [
            ["predict", picture, "--model", model, "--json"],
            ["track", clip, "--model", model, "--json"],
            ["demo", picture, "--out", str(tmp_path / "demo")],
            ["evaluate", "--model", model, *labelled, "--json"],
            ["bench", model, "--seconds", "0", "--json"],
            ["compare", model, *labelled, "--rounds", "1", "--seconds", "0", "--no-memory", "--json"],
            ["data", "check", str(tmp_path / "labels.json"), "--json"],
            ["data", "synthesize", "--out", str(tmp_path / "drawn"), "--people", "1", "--json"],
            ["models", "--json"],
            ["models", "default-pose"],
            ["models", "rtmpose-s"],
            ["label", picture, "--model", model, "--out", str(tmp_path / "made.json"), "--json"],
            ["doctor", "--json"],
        ]
    )
    *others, (_, _, report) = found
    assert len(others) == 12 and [(words, output) for words, status, output in others if status] == []
    assert "edgepose train rtmpose-s" in found[8][2], "recipes are listed too"
    broken = [check["found"] for check in json.loads(report)["checks"] if check["ok"] is False]
    assert all("is blocked by the test" in found for found in broken), "of the extra, where it is installed"


@pytest.mark.parametrize(
    "words",
    [
        ["macs", "litepose-xs"],
        ["train", "rtmpose-s", "data=LABELS:SET"],
        ["export", "last.safetensors"],
        ["search", "--checkpoint", "a", "--macs", "1G", "--data", "LABELS:SET", "--val", "LABELS:SET"],
    ],
)
def test_verbs_that_need_torch_say_so(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "labels.json").write_text("{}", encoding="utf-8")
    place = {"LABELS": str(tmp_path / "labels.json"), "SET": str(tmp_path)}
    [(_, status, output)] = commands([[re.sub("LABELS|SET", lambda m: place[m[0]], word) for word in words]])
    assert (status, output) == (1, "error: torch is not installed, which this needs: pip install 'edgepose[train]'\n")


def test_the_server_needs_no_torch(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    words = ["serve", "--model", str(write_tiny_model(tmp_path / "tiny.onnx")), "--port", "0", "--json"]
    script = BLOCK + f"from edgepose.cli import app\napp({words!r})"
    with ctrl_c_works():
        process = subprocess.Popen(
            [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    try:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        if not line:
            pytest.fail(process.stderr.read())
        assert json.loads(line)["model"] == "tiny.onnx"
        process.terminate()
        assert process.wait(timeout=120) == 0
    finally:
        process.kill()
        process.communicate()
