"""Small people, parts of pictures and of videos, on the command line: what is written, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from edgepose.cli import app
from edgepose.media.example import scaled_example
from edgepose.media.images import write_image
from edgepose.media.video import Frame, VideoWriter, read_video
from tests.tiny import write_tiny_model

COUNT, RATE = 40, 20


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with VideoWriter(path) as video:
        for index in range(COUNT):
            video.write(Frame(scaled_example((160, 96)), index / RATE, index))
    return path


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    write_image(path, scaled_example((320, 180)))
    return path


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize("command", ["predict", "track"])
def test_a_part_keeps_numbers_and_times(command: str, model: Path, clip: Path, tmp_path: Path) -> None:
    result = run(
        command, clip, "--model", model, "--start", "0.5s", "--end", "30", "--every", "0.25s", "--out", tmp_path,
        "--overlay",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == [10, 15, 20, 25]
    assert [line["time"] for line in lines] == pytest.approx([0.5, 0.75, 1.0, 1.25], abs=0.001)
    overlay = [frame.time for frame in read_video(tmp_path / "clip_overlay.mp4")]
    assert overlay == pytest.approx([0, 0.25, 0.5, 0.75], abs=0.001)
    if command == "track":
        assert {person["id"] for line in lines for person in line["people"]} == {1}


@pytest.mark.parametrize("command", ["predict", "track"])
@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--start", "1s", "--end", "0.5s"), 2, "end 0.5s is not after start 1s"),
        (("--start", "12"), 0, ""),
        (("--start", "1.5"), 2, "expected seconds such as 12.5s or 0:01:30, or a number of frames"),
        (("--every", "0"), 2, "expected more than nothing"),
        (("--start", "1:00"), 1, "ends before 1:00: its last frame is number 39 at 1.950 s"),
        (("--region", "1000,0,50,50"), 1, "lies outside the picture, which has 160 x 96 pixels"),
        (("--region", "0.1,0.1,0.2,0.2"), 2, "looks like parts of 1"),
        (("--ignore", "1,2"), 2, "expected x,y,w,h or the corners"),
        (("--tiles", "0x0"), 2, "expected rows x columns"),
        (("--tiles", "2x2", "--region", "10%,10%,50%,50%"), 0, ""),
        (("--detector-size", "big"), 2, "expected pixels such as 640"),
        (("--detector-size", "640"), 1, "expected detector_size to be left out"),
    ],
)
def test_one_sentence_each(
    command: str, words: tuple[str, ...], status: int, said: str, model: Path, clip: Path
) -> None:
    result = run(command, clip, "--model", model, *words)
    assert result.exit_code == status, result.output
    if status:
        assert said in result.stderr and result.stderr.startswith("error: ") and result.stderr.count("\n") == 1


def test_a_live_source_has_no_beginning(model: Path) -> None:
    result = run("track", "0", "--model", model, "--start", "3s")
    assert result.exit_code == 1 and "0 is live and has no beginning" in result.stderr


def test_parts_of_pictures_are_pixels_of_the_whole(photo: Path) -> None:
    """The example's person stands in the right half."""
    for words, people in ((("--region", "50%,0%,50%,100%"), 1), (("--region", "0,0,120,180"), 0),
                          (("--ignore", "160,0,160,180"), 0), (("--ignore", "0,0,9,9", "--ignore", "20,0,9,9"), 1),
                          (("--tiles", "2x2", "--detector-size", "256"), 1)):  # fmt: skip
        result = run("predict", photo, "--json", *words)
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        assert found["width"] == 320 and len(found["people"]) == people, words
        assert all(person["box"][0] > 150 for person in found["people"])


def test_a_picture_has_no_time(photo: Path, model: Path) -> None:
    result = run("predict", photo, "--model", model, "--every", "2")
    assert result.exit_code == 1 and "is a picture: start, end and every are for videos" in result.stderr
