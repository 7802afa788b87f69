"""The commands with networks that find people by themselves: nothing but the model file says what they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

import edgepose
from edgepose.cli import app
from edgepose.runtime.cores import thread_count
from edgepose.skeleton import COCO
from tests.spotters import BLUE, RED, SIZE, bottom_up_model, one_stage_model, pattern, picture

FAMILIES: dict[str, tuple[Callable[[], bytes], int]] = {
    "one-stage": (one_stage_model, 8),
    "bottom-up": (bottom_up_model, 2),
}
FRAMES = 8


def places(frame: int) -> list[tuple[tuple[int, int], tuple[int, int, int]]]:
    """Two dots: red goes right by 8 pixels a frame, blue goes left below it; they pass each other."""
    return [((16 + 8 * frame, 16), RED), ((104 - 8 * frame, 64), BLUE)]


def keypoints(place: tuple[int, int], side: int) -> np.ndarray:
    return pattern() + np.array(place) + (side - 1) / 2  # (17, 2)


def run(*words: str | Path) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(params=FAMILIES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path, int]:
    """A model, a folder of frames without loss, and the side of the dots in them."""
    make, side = FAMILIES[request.param]
    (tmp_path / "dots.onnx").write_bytes(make())
    (tmp_path / "frames").mkdir()
    for frame in range(FRAMES):
        assert cv2.imwrite(str(tmp_path / "frames" / f"{frame}.png"), picture(places(frame), side))
    return tmp_path / "dots.onnx", tmp_path / "frames", side


def found(person: dict[str, Any]) -> np.ndarray:
    return np.array(person["keypoints"])[:, :2]


def test_predict(case: tuple[Path, Path, int], tmp_path: Path) -> None:
    model, frames, side = case
    rows = lines(run("predict", frames, "--model", model, "--out", tmp_path / "out", "--overlay", "--json"))
    assert len(rows) == FRAMES and len(list((tmp_path / "out").glob("*_overlay.*"))) == FRAMES
    for frame, row in enumerate(rows):
        people = sorted(row["people"], key=lambda person: person["box"][1])
        assert len(people) == 2
        for person, (place, _) in zip(people, places(frame), strict=True):
            np.testing.assert_allclose(found(person), keypoints(place, side), atol=0.01)


@pytest.mark.parametrize("words", [["--no-smooth"], ["--preset", "quick"]], ids=["plain", "smooth"])
def test_track(words: list[str], case: tuple[Path, Path, int], tmp_path: Path) -> None:
    model, frames, side = case
    rows = lines(run("track", frames, "--model", model, "--out", tmp_path / "out", "--overlay", "--json", *words))
    assert [row["frame"] for row in rows] == list(range(FRAMES))
    upper = {person["id"] for row in rows for person in row["people"] if person["box"][1] < 40}
    lower = {person["id"] for row in rows for person in row["people"] if person["box"][1] >= 40}
    assert sorted(upper | lower) == [1, 2] and len(upper) == len(lower) == 1, "they keep their identities in passing"
    for frame, row in enumerate(rows):
        assert len(row["people"]) == 2
        for person, (place, _) in zip(sorted(row["people"], key=lambda p: p["box"][1]), places(frame), strict=True):
            allowed = 0.01 if words == ["--no-smooth"] else 8.0  # smoothed people lag behind, less than a step
            assert np.abs(found(person) - keypoints(place, side)).max() <= allowed
    assert (tmp_path / "out" / "frames_overlay.mp4").is_file()


def test_track_follows_one_of_them_in_a_video(case: tuple[Path, Path, int], tmp_path: Path) -> None:
    from edgepose.media.video import Frame, VideoWriter, read_video

    model, frames, _ = case
    with VideoWriter(tmp_path / "clip.mp4") as video:
        for frame in range(FRAMES):  # large enough to survive the compression
            image = cv2.imread(str(frames / f"{frame}.png"))
            video.write(Frame(cv2.resize(image, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST), frame / 10, frame))
    words = ["track", tmp_path / "clip.mp4", "--model", model, "--max-latency", "1e6"]
    rows = lines(run(*words, "--json"))
    counts = [len(row["people"]) for row in rows]
    assert counts == [2] * FRAMES and {person["id"] for row in rows for person in row["people"]} == {1, 2}
    rows = lines(run(*words, "--json", "--follow", "2"))
    assert {person["id"] for row in rows for person in row["people"]} == {2}
    run(*words, "--out", tmp_path / "seen.mp4")
    assert len(list(read_video(tmp_path / "seen.mp4"))) == FRAMES


def labels(frames: Path, side: int) -> Path:
    """The truth of every frame in COCO's form."""
    annotations = []
    for frame in range(FRAMES):
        for place, _ in places(frame):
            points = keypoints(place, side)
            (x1, y1), (x2, y2) = points.min(0), points.max(0)
            annotations.append(
                {"id": len(annotations) + 1, "image_id": frame, "category_id": 1, "iscrowd": 0, "num_keypoints": 17,
                 "bbox": [x1, y1, x2 - x1, y2 - y1], "area": 2000.0,
                 "keypoints": [float(v) for x, y in points for v in (x, y, 2)]}
            )  # fmt: skip
    images = [{"id": i, "file_name": f"{i}.png", "width": SIZE[0], "height": SIZE[1]} for i in range(FRAMES)]
    categories = [{"id": 1, "name": "person", "keypoints": list(COCO.names)}]
    path = frames / "labels.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def test_evaluate(case: tuple[Path, Path, int]) -> None:
    pytest.importorskip("hotcoco")
    model, frames, side = case
    words = ["evaluate", "--model", model, "--data", labels(frames, side), "--images", frames, "--json"]
    (row,) = lines(run(*words))
    assert row["AP"] == row["AR"] == pytest.approx(1.0) and (row["images"], row["people"]) == (FRAMES, 2 * FRAMES)
    assert row["ran"] == {"model": f"onnxruntime, f32, {thread_count()} threads"}
    (row,) = lines(run(*words, "--boxes", "detector", "--bootstrap", "0"))
    assert row["AP"] == pytest.approx(1.0), "there are no boxes to give"
    (row,) = lines(run(*words, "--flip-test"))
    assert row["AP"] == pytest.approx(1.0), "mirrored back, left and right exchanged"


def test_the_flip_test_of_an_even_handed_network_changes_nothing(case: tuple[Path, Path, int]) -> None:
    model, _, side = case
    for frame in (0, 3):
        image = picture(places(frame), side)
        plain, flipped = (edgepose.Estimator(edgepose.load(model).network, flip_test=on)(image) for on in (False, True))
        order = np.argsort(plain.boxes[:, 1]), np.argsort(flipped.boxes[:, 1])
        np.testing.assert_allclose(flipped.keypoints[order[1]], plain.keypoints[order[0]], atol=0.01)
        np.testing.assert_allclose(flipped.boxes[order[1]], plain.boxes[order[0]], atol=0.01)
        np.testing.assert_allclose(flipped.scores[order[1]], plain.scores[order[0]], atol=1e-3)


def test_bench(case: tuple[Path, Path, int]) -> None:
    (row,) = lines(run("bench", case[0], "--seconds", "0.02", "--people", "1,8", "--json"))
    assert set(row["stages"]) == {"pose pre", "pose run", "pose post"}, "one row, since it finds its people itself"
    assert row["backend"] == "onnxruntime" and row["fps"] > 0


def test_boxes_and_detectors_are_refused(case: tuple[Path, Path, int]) -> None:
    words = ["predict", str(case[1]), "--model", str(case[0]), "--detector", "default-detector"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1 and "finds people by itself: expected detector to be left out" in result.stderr
