"""`scripts/fuzz`: that it sees what it looks for, and that nothing is to be seen in a minute of damaged files."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits processes as Linux does")


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    loader = SourceFileLoader("fuzz", str(ROOT / "scripts" / "fuzz"))
    spec = importlib.util.spec_from_loader("fuzz", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz"] = module
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


def crash() -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def fail() -> int:
    raise RuntimeError("nobody foresaw this")


def fill() -> int:
    bytearray(3 << 30)
    return 0


def work() -> int:
    while True:
        pass


def sleep() -> int:
    time.sleep(100)
    return 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # that it forks, where tests have threads
@pytest.mark.parametrize(
    ("what", "why"),
    [
        (crash, "ended by signal 9"),
        (fail, "a traceback"),
        (fill, "a traceback"),
        (work, "more than 1 s of the processor"),
        (sleep, "runs for more than 1 s without using the processor"),
        (lambda: 3, "status 3"),
        (lambda: 1, ""),
    ],
)
def test_a_finding_is_seen(
    what: object, why: str, fuzz: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz, "SECONDS", 1)
    monkeypatch.setattr(fuzz, "PATIENCE", 1.0 if what is sleep else 60.0)
    assert fuzz.tried(what, tmp_path / "said")[0] == why


def test_the_same_case_is_the_same_file(fuzz: ModuleType) -> None:
    import random

    data, others = b'{"a": [1, 2, {"b": "c"}]}', [bytes(range(256))]
    for number in range(300):
        one, other = (fuzz.damaged(data, others, random.Random(number)) for _ in range(2))
        assert one == other
    assert len({fuzz.damaged(data, others, random.Random(number)) for number in range(300)}) > 150


def found(seconds: int, seed: int, out: Path) -> dict[str, object]:
    words = [sys.executable, str(ROOT / "scripts" / "fuzz"), "--seconds", str(seconds), "--seed", str(seed)]
    done = subprocess.run([*words, "--out", str(out)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said: dict[str, object] = json.loads(done.stdout)
    return said


@pytest.mark.torch
def test_damaged_files_are_sentences(tmp_path: Path) -> None:
    said = found(40, 1, tmp_path / "findings")
    assert said["findings"] == {} and not (tmp_path / "findings").exists()


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_many_damaged_files_are_sentences(seed: int, tmp_path: Path) -> None:
    assert found(500, seed, tmp_path / "findings")["findings"] == {}
