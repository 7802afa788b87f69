"""`--show`: what is pressed, on whatever shows the frames, holds the run up, saves, or ends it with its results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from edgepose.cli import app
from edgepose.cli import predict as predict_module
from edgepose.media import show as show_module
from edgepose.media import sources
from edgepose.media.example import scaled_example
from edgepose.media.images import write_image
from edgepose.media.video import Frame, VideoWriter, read_video
from tests.media.test_sound import clip as sounding
from tests.media.test_sound import heard_in
from tests.tiny import write_tiny_model

FRAMES = 6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    with VideoWriter(tmp_path / "clip.mp4") as video:
        for _ in range(FRAMES):
            video.write(scaled_example((160, 96)))
    return tmp_path / "clip.mp4"


class Screen:
    """Somebody who looks at every picture, and presses a key after each look of the run for one."""

    greeting = "look here"

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.pictures = 0
        self.closed = False

    def wanted(self) -> bool:
        return True

    def put(self, image: np.ndarray) -> None:
        self.pictures += 1

    def pressed(self) -> list[str]:
        return list(self.keys.pop(0)) if self.keys else []

    def tell(self, note: str, paused: bool) -> None:
        pass

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    surface = Screen()
    monkeypatch.setattr(show_module, "open_surface", lambda port: surface)
    monkeypatch.setattr(show_module, "POLL", 0.001)
    return surface


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("verb", ["predict", "track"])
def test_every_frame_is_offered_and_the_end_closes(
    verb: str, model: Path, clip: Path, tmp_path: Path, screen: Screen
) -> None:
    result = run(verb, clip, "-m", model, "--show", "-o", tmp_path / "out")
    assert result.exit_code == 0 and "look here" in result.stderr
    assert screen.pictures == FRAMES and screen.closed
    assert len(lines(tmp_path / "out" / "results.jsonl")) == FRAMES


def test_what_was_gone_through_again_is_shown(model: Path, clip: Path, screen: Screen) -> None:
    pytest.importorskip("scipy", reason="needs the offline extra")
    result = run("track", clip, "-m", model, "--show", "--offline")
    assert result.exit_code == 0, result.output
    assert screen.pictures == FRAMES


@pytest.mark.parametrize("verb", ["predict", "track"])
def test_q_is_a_good_end_that_keeps_the_results(
    verb: str, model: Path, clip: Path, tmp_path: Path, screen: Screen
) -> None:
    screen.keys = ["", " ", "", "s", " ", "q"]  # the second frame pauses, is saved, and goes on; the third ends
    result = run(verb, clip, "-m", model, "--show", "-o", tmp_path / "out", "--overlay")
    assert result.exit_code == 0, result.output
    assert len(lines(tmp_path / "out" / "results.jsonl")) == 3
    assert len(list(read_video(tmp_path / "out" / "clip_overlay.mp4"))) == 3
    saved = tmp_path / "out" / "clip-000001_overlay.png"
    assert saved.exists() and f"saved {saved}" in result.stderr


def test_q_among_pictures_leaves_the_others(model: Path, tmp_path: Path, screen: Screen) -> None:
    for i in range(4):
        write_image(tmp_path / f"{i}.png", scaled_example((64, 48)))
    screen.keys = ["", "q"]
    result = run("predict", *sorted(tmp_path.glob("*.png")), "-m", model, "--show")
    assert result.exit_code == 0
    assert "ended by q: 2 of 4 sources were not begun" in result.stderr


def test_a_picture_stays_where_somebody_sits(
    model: Path, tmp_path: Path, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "one.png", scaled_example((64, 48)))
    screen.keys = ["", "", "", "q"]
    assert run("predict", tmp_path / "one.png", "-m", model, "--show").exit_code == 0
    assert screen.keys == ["", "", "q"], "nobody sits there: it does not wait"
    monkeypatch.setattr(predict_module, "attended", lambda: True)
    assert run("predict", tmp_path / "one.png", "-m", model, "--show").exit_code == 0
    assert screen.keys == []


def test_a_paused_camera_piles_nothing_up(
    model: Path, tmp_path: Path, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []

    def camera(index: int) -> Iterator[Frame]:
        for i in range(8):
            given.append(i)
            yield Frame(scaled_example((64, 48)), i / 30, i)

    monkeypatch.setattr(sources, "read_camera", camera)
    # Looks: frame 0; frame 1, with a pause that does not hold it up; then one before each frame that is passed over.
    screen.keys = ["", "", " ", "", "", " "]
    result = run("predict", "0", "-m", model, "--show", "-o", tmp_path)
    assert result.exit_code == 0 and given == list(range(8))
    kept = [line["frame"] for line in lines(tmp_path / "results.jsonl")]
    assert len(kept) < 8 and kept[0] == 0 and kept[-1] == 7


def test_a_wrong_port_and_a_used_one(model: Path, clip: Path) -> None:
    from edgepose.media.page import Page

    assert run("track", clip, "-m", model, "--show-port", "99999").exit_code == 2
    page = Page()
    number = re.findall(r":(\d+)/", page.url)[0]
    result = run("track", clip, "-m", model, "--show-port", number)
    page.close()
    assert result.exit_code == 1
    assert f"error: cannot show a page on 127.0.0.1 port {number}: " in result.stderr


@pytest.mark.parametrize("verb", ["predict", "track"])
def test_overlays_have_the_sound(verb: str, model: Path, tmp_path: Path) -> None:
    source = sounding(tmp_path / "loud.mp4")
    assert run(verb, source, "-m", model, "-o", tmp_path / "out", "--overlay").exit_code == 0
    assert heard_in(tmp_path / "out" / "loud_overlay.mp4")[0] == "aac"


def test_sound_that_is_lost_is_one_warning(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = sounding(tmp_path / "loud.mkv", "pcm_s16le", seconds=1.2)

    def refuse(rate: int, layout: str) -> None:
        raise ValueError("no encoder here")

    monkeypatch.setattr("edgepose.media.sound._try_aac", refuse)
    result = run("predict", source, "-m", model, "-o", tmp_path / "out", "--overlay")
    assert result.exit_code == 0
    assert result.stderr.count("warning: ") == 1 and "has no sound" in result.stderr
