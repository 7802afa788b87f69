from __future__ import annotations

from pathlib import Path

import pytest

from edgepose.evaluate.memory import peak_memory
from tests.tiny import write_tiny_model


def test_peak_of_a_process_of_its_own(tmp_path: Path) -> None:
    ballast = bytearray(300_000_000)  # of this process, which must not count
    ballast[::4096] = b"x" * len(ballast[::4096])
    found = peak_memory(str(write_tiny_model(tmp_path / "tiny.onnx", per_person=True)), None, threads=1, people=2)
    assert 30e6 < found < 290e6


def test_a_model_that_fails_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.onnx failed in a process of its own: .*no model at"):
        peak_memory(str(tmp_path / "none.onnx"))
