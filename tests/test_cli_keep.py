"""What is finished is kept, whatever happens to the rest: interruption, a console, an overlay, a disk."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from edgepose.cli import app
from edgepose.cli.outputs import interrupted, unhurried
from edgepose.cli.screen import Screen
from edgepose.media.example import scaled_example
from edgepose.media.images import write_image
from edgepose.media.video import VideoWriter, read_video
from edgepose.poses import Poses
from edgepose.runtime.estimator import Estimator
from tests.processes import ctrl_c_works
from tests.tiny import write_tiny_model

SIGNALS = (signal.SIGINT, signal.SIGTERM)
FRAMES = 6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "clip.mp4", FRAMES)


def make_clip(path: Path, frames: int) -> Path:
    with VideoWriter(path) as video:
        for _ in range(frames):
            video.write(scaled_example((160, 96)))
    return path


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def at_frame(number: int, event: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Something happens while this frame, counted from 1, is looked at."""
    done, estimate = 0, Estimator.__call__

    def watched(self: Estimator, *words: object, **more: object) -> Poses:
        nonlocal done
        done += 1
        if done == number:
            event()
        return estimate(self, *words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Estimator, "__call__", watched)


def frames_in(folder: Path, kind: str) -> int:
    """Frames in a results file, which is a whole one."""
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    if kind == "jsonl":
        return len([json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()])
    if kind == "coco":
        rows, listed = (json.loads((folder / name).read_text()) for name in ("results.json", "results-images.json"))
        assert {row["image_id"] for row in rows} == {image["id"] for image in listed["images"]}
        return len(listed["images"])
    if kind == "csv":
        with (folder / "results.csv").open(newline="") as file:
            return len({row["frame"] for row in csv.DictReader(file)})
    return len(list((folder / "openpose").glob("*_keypoints.json")))


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("kind", ["jsonl", "coco", "csv", "openpose"])
def test_an_interrupted_video_keeps_its_frames(
    kind: str, number: int, model: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_frame(4, lambda: signal.raise_signal(number), monkeypatch)
    out = tmp_path / "out"
    handlers = [signal.getsignal(n) for n in SIGNALS]
    result = run("predict", clip, "late.jpg", "--model", model, "--out", out, "--format", kind, "--overlay")
    assert result.exit_code == 130 and "Traceback" not in result.output
    assert frames_in(out, kind) == len(list(read_video(out / "clip_overlay.mp4"))) == 4
    assert result.stderr.endswith(f"interrupted: {clip} ends after frame 4\n"), "the only source was begun"
    assert f"{clip}: 4 frames" in result.stdout
    assert [signal.getsignal(n) for n in SIGNALS] == handlers


@pytest.mark.parametrize("number", SIGNALS)
def test_interrupted_among_pictures(number: int, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    for i in range(5):
        write_image(tmp_path / "in" / f"{i}.jpg", scaled_example((160, 96)))
    at_frame(2, lambda: signal.raise_signal(number), monkeypatch)
    result = run("predict", tmp_path / "in", "--model", model, "--out", tmp_path / "out", "--overlay")
    assert result.exit_code == 130 and "interrupted: 3 of 5 sources were not begun" in result.stderr
    assert frames_in(tmp_path / "out", "jsonl") == 2
    assert sorted(path.name for path in (tmp_path / "out").glob("*.jpg")) == ["0_overlay.jpg", "1_overlay.jpg"]


def test_somebody_who_does_not_want_to_wait_loses_the_frame_at_hand_alone(
    model: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    at_frame(4, twice, monkeypatch)
    out = tmp_path / "out"
    assert run("predict", clip, "--model", model, "--out", out, "--overlay").exit_code == 130
    assert frames_in(out, "jsonl") == len(list(read_video(out / "clip_overlay.mp4"))) == 3


@pytest.mark.parametrize("verb", ["predict", "track"])
def test_signals_while_files_are_finished_break_nothing(
    verb: str, model: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both reach the disk at the very end, and an impatient user presses Ctrl-C all the time."""
    from edgepose.media import files

    sync = files._sync

    def pressed(path: Path) -> None:
        for number in SIGNALS:
            signal.raise_signal(number)
        sync(path)

    monkeypatch.setattr(files, "_sync", pressed)
    out = tmp_path / "out"
    assert run(verb, clip, "--model", model, "--out", out, "--overlay").exit_code in (0, 130)
    assert frames_in(out, "jsonl") == len(list(read_video(out / "clip_overlay.mp4"))) == FRAMES


def test_a_signal_meanwhile_counts_afterwards() -> None:
    with interrupted() as stop:
        with unhurried():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
            assert not stop.is_set()
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("verb", ["predict", "track"])
@pytest.mark.parametrize("error", [RuntimeError, MemoryError])
def test_an_error_of_any_kind_keeps_what_was_finished(
    verb: str, error: type[Exception], model: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error("out of something")

    if verb == "predict":
        at_frame(4, fail, monkeypatch)
    else:
        from edgepose.runtime.follow import Follower

        done, follow = [0], Follower.__call__

        def watched(self: Follower, *words: object) -> Poses:
            done[0] += 1
            if done[0] == 4:
                fail()
            return follow(self, *words)  # type: ignore[arg-type]

        monkeypatch.setattr(Follower, "__call__", watched)
    result = run(verb, clip, "--model", model, "--out", tmp_path / "out", "--overlay")
    assert isinstance(result.exception, SystemExit if error is MemoryError else error)
    assert error is not MemoryError or "error: not enough memory: out of something" in result.stderr
    assert frames_in(tmp_path / "out", "jsonl") == len(list(read_video(tmp_path / "out" / "clip_overlay.mp4"))) == 3


@pytest.mark.parametrize("verb", ["predict", "track"])
def test_an_overlay_that_cannot_be_written_costs_no_result(
    verb: str, model: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, done = VideoWriter.write, [0]

    def full(self: VideoWriter, *words: object) -> None:
        done[0] += 1
        if done[0] == 3:
            raise OSError(28, "No space left on device")
        write(self, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(VideoWriter, "write", full)
    result = run(verb, clip, "--model", model, "--out", tmp_path / "out", "--overlay")
    assert result.exit_code == 1 and frames_in(tmp_path / "out", "jsonl") == FRAMES
    assert result.stderr.startswith(f"error: no more overlay of {clip} in ") and "No space left" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("verb", ["predict", "track"])
def test_a_clip_that_changes_its_size_gets_an_overlay_for_each(verb: str, model: Path, tmp_path: Path) -> None:
    joined = tmp_path / "call.ts"
    for size in ((160, 96), (96, 64), (160, 96)):
        with av.open(str(tmp_path / "part.ts"), "w") as output:
            stream = output.add_stream("libx264", rate=30)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            for _ in range(3):
                output.mux(stream.encode(av.VideoFrame.from_ndarray(scaled_example(size), format="bgr24")))
            output.mux(stream.encode(None))
        with joined.open("ab") as file:
            file.write((tmp_path / "part.ts").read_bytes())
    result = run(verb, joined, "--model", model, "--out", tmp_path / "out", "--overlay")
    assert result.exit_code == 0, result.output
    assert frames_in(tmp_path / "out", "jsonl") == 9
    names = ["call_overlay-2.mp4", "call_overlay-3.mp4", "call_overlay.mp4"]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.mp4")) == names
    shapes = [next(read_video(tmp_path / "out" / name)).image.shape for name in names]
    assert shapes == [(64, 96, 3), (96, 160, 3), (96, 160, 3)]


def test_an_overlay_replaces_no_source(model: Path, clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "a_overlay"):
        write_image(folder / f"{name}.png", scaled_example((160, 96)))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    result = run("predict", folder, "--model", model, "--out", folder, "--overlay")
    assert result.exit_code == 0 and {name: (folder / name).read_bytes() for name in before} == before
    assert {path.name for path in folder.glob("*-*")} == {"a_overlay-2.png"}
    assert (folder / "a_overlay_overlay.png").exists()
    content = clip.read_bytes()
    result = run("track", clip, "--model", model, "--out", clip)
    assert result.exit_code == 1 and "would be replaced" in result.stderr and clip.read_bytes() == content
    clip.rename(tmp_path / "x_overlay.mp4")
    (tmp_path / "x.mp4").write_bytes(content)
    words = [tmp_path / "x.mp4", tmp_path / "x_overlay.mp4", "--model", model, "--out", tmp_path, "--overlay"]
    for verb in ("predict", "track"):
        assert run(verb, *words).exit_code == 0 and (tmp_path / "x_overlay.mp4").read_bytes() == content


def program(*words: str | Path, **more: str) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-m", "edgepose", *map(str, words)], {**os.environ, "EDGEPOSE_THREADS": "1", **more}


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
@pytest.mark.parametrize("verb", ["predict", "track"])
def test_a_name_that_the_console_cannot_print(verb: str, model: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    name = os.fsdecode("Grüße ✓ ".encode() + b"\xff.png")
    write_image(tmp_path / "in" / "a.png", scaled_example((160, 96)))
    os.rename(tmp_path / "in" / "a.png", tmp_path / "in" / name)
    for kind in ("jsonl", "csv"):
        words, environment = program(
            verb, tmp_path / "in" / name, "--model", model, "--out", tmp_path / "out", "--format", kind, "--overlay",
            PYTHONIOENCODING="ascii",
        )  # fmt: skip
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        assert "\\xfc" in done.stdout and frames_in(tmp_path / "out", kind) == 1


def test_a_bar_takes_any_name() -> None:
    """Brackets in a file's name are no markup: a closing tag that nothing opened would be an error."""
    screen = Screen()
    screen.task("clip[/b] [red].mp4", 3)
    (cells,) = [column._cells for column in screen.progress.make_tasks_table(screen.progress.tasks).columns][:1]
    assert str(cells[0]) == "clip[/b] [red].mp4"


@pytest.mark.parametrize("verb", ["predict", "track"])
def test_a_reader_that_leaves_costs_no_result(verb: str, model: Path, clip: Path, tmp_path: Path) -> None:
    words, environment = program(verb, clip, "--model", model, "--out", tmp_path / "out", "--json")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(words, env=environment, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=300)
    os.close(writer)
    assert done.returncode == 1 and "Traceback" not in done.stderr and "roken pipe" not in done.stderr
    assert frames_in(tmp_path / "out", "jsonl") >= 1


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["predict", "track"])
@pytest.mark.parametrize("seed", range(5))
def test_interrupted_at_a_random_moment(verb: str, seed: int, model: Path, tmp_path: Path) -> None:
    """Whatever was printed is in the file, and in the overlay; one, two or three signals of either kind."""
    dice = random.Random(f"{verb} {seed}")
    clip = make_clip(tmp_path / "long.mp4", 250)
    words, environment = program(verb, clip, clip, "--model", model, "--out", tmp_path / "out", "--overlay", "--json")
    with ctrl_c_works(), (tmp_path / "errors").open("w") as errors:
        process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(dice.randrange(1, 400))]
    for _ in range(dice.choice((1, 1, 2, 3))):
        process.send_signal(dice.choice(SIGNALS))
        if dice.random() < 0.5:  # the next signal comes later
            lines.append(process.stdout.readline())
    lines += process.stdout.read().splitlines(keepends=True)
    process.stdout.close()
    assert process.wait(timeout=120) == 130 and "Traceback" not in (tmp_path / "errors").read_text()
    printed = [json.loads(line) for line in lines if line.endswith("\n")]
    kept = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert kept[: len(printed)] == printed and len(kept) <= len(printed) + 1
    drawn = sum(len(list(read_video(path))) for path in (tmp_path / "out").glob("*.mp4"))
    assert len(printed) <= drawn <= len(kept)
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("video", [False, True])
def test_what_is_drawn_is_kept(video: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgepose.synthetic import write

    name, made = ("poses_of", write.poses_of) if video else ("person_picture", write.person_picture)
    count = 0

    def drawn(*words: object, **more: object) -> object:
        nonlocal count
        count += 1
        if count == 3:
            signal.raise_signal(signal.SIGTERM)
        return made(*words, **more)  # type: ignore[operator]

    monkeypatch.setattr(write, name, drawn)
    words = ["--video", "--seconds", "1", "--people", "2"] if video else ["--people", "9"]
    result = run("data", "synthesize", "--out", tmp_path / "out", "--size", "64", "96", *words)
    assert result.exit_code == 130, result.output
    if video:
        assert len(list(read_video(tmp_path / "out" / "video.mp4"))) == 3
        assert len((tmp_path / "out" / "truth.jsonl").read_text().splitlines()) == 3
    else:
        assert len(json.loads((tmp_path / "out" / "annotations.json").read_text())["images"]) == 3
        assert len(list((tmp_path / "out" / "pictures").iterdir())) == 3


def test_rows_that_were_timed_are_shown(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgepose.runtime import bench

    timed, rows = bench.bench, []

    def second_stops(*words: object, **more: object) -> object:
        if rows:
            raise KeyboardInterrupt
        rows.append(timed(*words, **more))  # type: ignore[arg-type]
        return rows[0]

    monkeypatch.setattr(bench, "bench", second_stops)
    other = write_tiny_model(tmp_path / "other.onnx")
    result = run("bench", model, other, "--seconds", "0.05")
    header, row, *how = result.stdout.splitlines()
    assert result.exit_code == 130 and header.startswith("model ") and str(model) in row
    assert [line.split(",")[0] for line in how] == [str(model)]  # how it ran; nothing of the second one


def test_what_is_counted_is_what_the_model_finds(clip: Path, tmp_path: Path) -> None:
    picture = tmp_path / "a.jpg"
    write_image(picture, scaled_example((160, 96)))
    mouse = write_tiny_model(tmp_path / "mouse.onnx", subject="mouse")
    person = write_tiny_model(tmp_path / "person.onnx")
    for model, words in ((mouse, ("1 mouse", "0 x mouse")), (person, ("1 person", "0 people"))):
        assert run("predict", picture, "--model", model).stdout == f"{picture}: {words[0]}\n"
        assert run("predict", picture, "--model", model, "--min-score", "9").stdout == f"{picture}: {words[1]}\n"
        assert f"{clip}: {FRAMES} frames, " in (said := run("track", clip, "--model", model).stdout)
        assert f" s, {words[0]}, 1 identities" in said
    out = tmp_path / "out"
    assert run("predict", picture, "--model", mouse, "--out", out, "--format", "coco").exit_code == 0
    assert json.loads((out / "results-images.json").read_text())["categories"][0]["name"] == "mouse"


def test_what_is_left_out_of_everything(model: Path, clip: Path, tmp_path: Path) -> None:
    """--min-score and --best, in the file and in what is printed; --best takes the surest, whatever their order."""
    from edgepose.cli.options import chosen

    scores = np.array([0.2, 0.9, 0.5, 0.7])
    poses = Poses(np.zeros((4, 17, 2)), np.ones((4, 17)), np.zeros((4, 4)), scores)
    assert [chosen(poses, *words).tolist() for words in ((None,), (3,), (2,))] == [
        [0, 1, 2, 3], [1, 2, 3], [1, 3]
    ]  # fmt: skip
    for verb in ("predict", "track"):
        out = tmp_path / verb
        result = run(verb, clip, "--model", model, "--out", out, "--min-score", "9999", "--json")
        assert result.exit_code == 0, result.output
        lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
        assert len(lines) == FRAMES and not any(line["people"] for line in lines)
        assert lines == [json.loads(line) for line in result.stdout.splitlines()]


BEGINNING = """
import signal, sys
from importlib.abc import MetaPathFinder

class Interrupts(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "edgepose.cli.predict":
            signal.raise_signal(signal.{number})

def interrupts(app):
    signal.raise_signal(signal.{number})

if {when!r} == "imports":
    sys.meta_path.insert(0, Interrupts())
else:
    import typer.main
    typer.main.get_command = interrupts
from edgepose.__main__ import run
run()
"""


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("when", ["imports", "words"])
def test_stopped_before_it_has_begun_it_says_nothing(number: signal.Signals, when: str) -> None:
    """While it imports (then the signal ends it) and while its words are read."""
    code = BEGINNING.format(number=number.name, when=when)
    with ctrl_c_works():
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == (-number if when == "imports" else 130) and not done.stdout + done.stderr
