"""`edgepose track --offline`, `--angles` and TRC files: what comes out, and what is refused in one sentence."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import edgepose
from edgepose.cli import app
from edgepose.media.example import scaled_example
from edgepose.media.video import Frame, VideoWriter, read_video
from edgepose.runtime.offline.files import TrackedOffline
from tests.tiny import write_tiny_model

COUNT = 12


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    image = scaled_example((160, 96))
    with VideoWriter(path) as video:
        for index in range(COUNT):
            video.write(Frame(np.roll(image, index, axis=1), index / 25, index))
    return path


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["track", *[str(word) for word in words]])


def test_results_overlay_and_what_was_done(model: Path, clip: Path, tmp_path: Path) -> None:
    result = run(clip, "--model", model, "--offline", "--out", tmp_path / "out", "--overlay")
    assert result.exit_code == 0, result.output
    assert f"{clip}: {COUNT} frames, 0.4 s, 1 person, 1 identities; 0 tracks joined" in result.stdout
    frames = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert [frame["frame"] for frame in frames] == list(range(COUNT))
    assert [(frame["width"], frame["height"]) for frame in frames] == [(160, 96)] * COUNT
    assert [person["id"] for frame in frames for person in frame["people"]] == [1] * COUNT
    times = [frame.time for frame in read_video(tmp_path / "out" / "clip_overlay.mp4")]
    assert times == pytest.approx([i / 25 for i in range(COUNT)], abs=0.001)


def test_a_file_that_cannot_be_read_is_told_once_and_the_others_are_done(
    model: Path, clip: Path, tmp_path: Path
) -> None:
    short = tmp_path / "short.mp4"
    with VideoWriter(short) as video:
        video.write(Frame(scaled_example((160, 96)), 0.0, 0))
    result = run(short, clip, "--model", model, "--offline", "--start", "5", "--out", tmp_path / "out")
    assert result.exit_code == 1 and f"{clip}: {COUNT - 5} frames" in result.stdout
    assert result.stderr.count("\n") == 1 and result.stderr.startswith(f"error: {short} ends before frame 5: ")
    assert len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) == COUNT - 5


def test_a_video_alone_and_several_files(model: Path, clip: Path, tmp_path: Path) -> None:
    assert run(clip, "--model", model, "--offline", "--out", tmp_path / "seen.mp4").exit_code == 0
    assert len(list(read_video(tmp_path / "seen.mp4"))) == COUNT
    other = tmp_path / "other.mp4"
    other.write_bytes(clip.read_bytes())
    result = run(clip, other, "--model", model, "--offline", "--out", tmp_path / "out")
    assert result.exit_code == 0 and result.stdout.count("tracks joined") == 2, result.output
    sources = [json.loads(line)["source"] for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert sources == [str(clip)] * COUNT + [str(other)] * COUNT
    result = run(clip, other, "--model", model, "--offline", "--person", "1")
    assert result.exit_code == 1 and "somebody else in each of 2 sources" in result.stderr


def test_angles_are_columns(model: Path, clip: Path, tmp_path: Path) -> None:
    words = ("--angles", "left_knee,left_hip:left_knee,nose:left_eye:left_ear", "--threshold", "0")
    for more in (("--offline",), ()):
        result = run(clip, "--model", model, *words, *more, "--out", tmp_path / "out", "--format", "csv")
        assert result.exit_code == 0, result.output
        with (tmp_path / "out" / "results.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        columns = [name for name in rows[0] if name.endswith("_angle")]
        assert columns == ["left_knee_angle", "left_hip:left_knee_angle", "nose:left_eye:left_ear_angle"]
        assert ("filled" in rows[0]) == bool(more) and len(rows) == COUNT
    result = run(clip, "--model", model, *words, "--json")
    person = json.loads(result.stdout.splitlines()[0])["people"][0]
    assert list(person["angles"]) == ["left_knee", "left_hip:left_knee", "nose:left_eye:left_ear"]


def test_a_trc_file_of_one_person(model: Path, clip: Path, tmp_path: Path) -> None:
    for more in (("--offline", "--person", "largest"), ()):
        result = run(clip, "--model", model, *more, "--threshold", "0", "--out", tmp_path / "x.trc")
        assert result.exit_code == 0, result.output
        assert f"wrote {tmp_path / 'x.trc'}" in result.stdout
        lines = (tmp_path / "x.trc").read_text().splitlines()
        assert len(lines) == 6 + COUNT and lines[2].split("\t")[4] == "px"
        (tmp_path / "x.trc").unlink()
    assert run(clip, "--model", model, "--format", "trc", "--out", tmp_path / "out").exit_code == 0
    assert [path.name for path in (tmp_path / "out" / "trc").iterdir()] == ["clip_person1.trc"]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("--person", "3"), 2, "--person: the whole file must be known: add --offline, or use --follow ID"),
        (("--cutoff", "3"), 2, "--cutoff: it is about files that are gone through twice: add --offline"),
        (("--no-sides",), 2, "--no-sides: it is about files that are gone through twice: add --offline"),
        (("--offline", "--person", "bob"), 2, "--person: person must be all, largest, longest or an identity"),
        (("--offline", "--person", "9"), 1, "there is no person 9: expected largest, longest, all or one of 1"),
        (("--offline", "--max-gap", "1h"), 2, "--max-gap: max_gap is '1h', expected seconds such as"),
        (("--offline", "--order", "3"), 2, "--order: order must be 2, 4, 6 or 8"),
        (("--offline", "--cutoff", "0"), 2, "--cutoff: cutoff must be a positive number of Hz"),
        (("--offline", "--no-smooth", "--cutoff", "4"), 2, "--no-smooth leaves the filter out"),
        (("--offline", "--preset", "quick"), 2, "it is for live tracking, not for --offline: use --cutoff HZ"),
        (("--offline", "--follow", "1"), 2, "use --person ID"),
        (("--offline", "--fps", "9"), 2, "--fps: it is for live tracking, not for --offline: leave it out"),
        (("--offline", "--live"), 2, "it is for live tracking"),
        (("--angles", "left_kneee", "--json"), 1, "unknown angle 'left_kneee' (did you mean 'left_knee'?)"),
        (("--angles", "left_knee"), 2, "--angles: they go to results: add --out FOLDER, or --json"),
        (("--angles", "left_knee", "--out", "o", "--format", "mot"), 2, "mot files have no place for angles"),
        (("--out", "x.trc", "--format", "csv"), 2, "x.trc is a TRC file, got csv"),
        (("--out", "x.trc", "--overlay"), 2, "x.trc is a TRC file"),
    ],
)
def test_wrong_use(words: tuple[str, ...], status: int, message: str, model: Path, clip: Path) -> None:
    result = run(clip, "--model", model, *words)
    assert result.exit_code == status and message in result.stderr and result.stderr.count("\n") == 1, result.stderr


@pytest.mark.parametrize("source", ["0", "rtsp://127.0.0.1:9/live"])
def test_what_has_no_end_is_refused(source: str, model: Path) -> None:
    result = run(source, "--model", model, "--offline")
    assert result.exit_code == 1 and result.stderr.startswith(f"error: {source} is live: expected files")
    assert result.stderr.count("\n") == 1 and result.stdout == ""


def test_without_scipy_a_sentence_says_how_to_get_it(
    model: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    result = run(clip, "--model", model, "--offline")
    assert result.exit_code == 1 and "pip install 'edgepose[offline]'" in result.stderr
    assert result.stderr.count("\n") == 1
    result = run(clip, "--model", model, "--offline", "--no-smooth", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output


def test_a_damaged_video_keeps_its_results(model: Path, clip: Path, tmp_path: Path) -> None:
    clip.write_bytes(clip.read_bytes() + b"\x00\x00\x10\x00mdat")
    for name in ("out", "seen.mp4"):
        result = run(clip, "--model", model, "--offline", "--out", tmp_path / name)
        assert result.exit_code == 1 and result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) == COUNT
    assert len(list(read_video(tmp_path / "seen.mp4"))) == COUNT


def test_from_python(model: Path, clip: Path) -> None:
    frames = list(edgepose.track_offline(clip, model, person="longest", max_gap=5, detector=None))
    assert [frame.index for frame in frames] == list(range(COUNT))
    first = frames[0]
    assert isinstance(first, TrackedOffline) and first.image.shape == (96, 160, 3) and first.size == (160, 96)
    assert first.poses.ids is not None and first.poses.ids.tolist() == [1]
    assert first.filled.tolist() == [False] and first.filled_keypoints.shape == (1, 17)
    bare = list(edgepose.track_offline(clip, model, images=False, detector=None))
    assert bare[0].image.size == 0 and bare[0].size == (160, 96)
    assert np.array_equal(bare[5].poses.keypoints, frames[5].poses.keypoints)
    some = edgepose.track_offline(clip, model, start=2, end=10, every=2, detector=None)
    assert [frame.index for frame in some] == [2, 4, 6, 8]
    for wrong, message in (({"smooth": "quick"}, "cutoff and order say"), ({"order": 5}, "order must be")):
        with pytest.raises(ValueError, match=message):
            edgepose.track_offline(clip, model, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected one file, got 2 sources"):
        edgepose.track_offline([clip, clip], model)  # type: ignore[arg-type]
