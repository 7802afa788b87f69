"""Folders of results: one run at a time, nothing left of killed ones, and names that fit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgepose.media.example import scaled_example
from edgepose.media.files import LONGEST_STEM, alone_in, atomic_path, fitting_stem, free_path
from edgepose.media.images import write_image
from tests.test_cli import run
from tests.tiny import write_tiny_model

posix = pytest.mark.skipif(sys.platform == "win32", reason="folders are locked on POSIX alone")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    write_image(tmp_path / "a.png", scaled_example((160, 96)))
    return tmp_path / "a.png"


@posix
@pytest.mark.parametrize("verb", ["predict", "track"])
def test_a_second_run_in_a_folder_is_refused(verb: str, model: Path, picture: Path, tmp_path: Path) -> None:
    words = [verb, picture, "--model", model, "--out", tmp_path / "out"]
    (tmp_path / "out").mkdir()
    with alone_in(tmp_path / "out"):
        result = run(*words)
        assert result.exit_code == 1 and "another run writes to" in result.stderr
        assert list((tmp_path / "out").iterdir()) == []
    assert run(*words).exit_code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["results.jsonl"]


@posix
def test_what_a_killed_run_left_is_removed_and_what_a_living_one_writes_is_not(
    model: Path, picture: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    code = (
        "import os, signal, sys; from tempfile import mkdtemp; from edgepose.media.files import *; "
        "folder = mkdtemp(dir=sys.argv[1], prefix=hidden_folder_prefix())\n"
        "with atomic_path(sys.argv[1] + '/x.mp4') as temporary:\n"
        " temporary.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(out)], capture_output=True, check=False)
    assert killed.returncode == -9 and len(list(out.glob(".edgepose-*"))) == 2
    with atomic_path(out / "mine.bin") as temporary:
        temporary.write_bytes(b"whole")
        assert run("predict", picture, "--model", model, "--out", out).exit_code == 0
        assert list(out.glob(".edgepose-*")) == [temporary]
    assert (out / "mine.bin").read_bytes() == b"whole"


@pytest.mark.parametrize("kind", ["jsonl", "openpose", "dlc"])
def test_a_name_too_long_for_an_output_still_gives_one(kind: str, model: Path, tmp_path: Path) -> None:
    name = "ü" * 120 + ".png"  # 244 bytes, which fit, but not with _overlay.png
    write_image(tmp_path / name, scaled_example((160, 96)))
    write_image(tmp_path / "b.png", scaled_example((160, 96)))
    words = ["--model", model, "--out", tmp_path / "out", "--overlay", "--format", kind]
    result = run("predict", tmp_path / name, tmp_path / "b.png", "x" * 5000, *words)
    assert result.exit_code == 1 and "3 sources, 2 frames, 1 failed" in result.stdout
    overlays = sorted(path.name for path in (tmp_path / "out").glob("*_overlay.png"))
    assert len(overlays) == 2 and overlays[0] == "b_overlay.png" and overlays[1].startswith("üüü")
    if kind == "openpose":
        assert len(list((tmp_path / "out" / "openpose").iterdir())) == 2


def test_long_stems_stay_apart() -> None:
    one, other = fitting_stem("a" * 300), fitting_stem("a" * 299 + "b")
    assert one != other and max(len(os.fsencode(one)), len(os.fsencode(other))) <= LONGEST_STEM
    assert fitting_stem("a" * LONGEST_STEM) == "a" * LONGEST_STEM


def test_a_free_path_is_the_first_that_is_free_or_ours(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("theirs")
    (tmp_path / "a-2.json").symlink_to("nowhere")
    assert free_path(tmp_path / "a.json", lambda path: False) == tmp_path / "a-3.json"
    assert free_path(tmp_path / "a.json", lambda path: path.read_text() == "theirs") == tmp_path / "a.json"
