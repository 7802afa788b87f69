"""Identities from files: what each format says, which frames meet, and what is not measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from edgepose.cli import app
from edgepose.evaluate.sequences import evaluated_tracks, read_tracks
from edgepose.evaluate.tracking import evaluate_identities
from edgepose.media.results import Result
from edgepose.media.tracks import track_writer
from edgepose.poses import Poses
from edgepose.skeleton import COCO, POSETRACK18

FRAMES = 6


def walk(frame: int, names: dict[int, float], skeleton: Any = COCO) -> Poses:
    """People at these x, who walk to the right; names -> x at the start."""
    ids = list(names)
    k = len(skeleton)
    spread = np.stack([np.arange(k) % 5 * 8.0, np.arange(k) // 5 * 25.0], axis=-1)
    points = np.array([np.add(spread, (names[i] + 4 * frame, 20)) for i in ids]).reshape(len(ids), k, 2)
    boxes = np.concatenate([points.min(1), points.max(1)], axis=1) if ids else np.zeros((0, 4))
    n = len(ids)
    return Poses(points, np.full((n, k), 0.8), boxes, np.full(n, 0.9), skeleton, np.array(ids, np.int64))


def results(kind: str, folder: Path, people: list[dict[int, float]], source: str = "clip.mp4") -> Path:
    writer, path = track_writer(kind, folder)  # type: ignore[arg-type]
    with writer:
        for i, names in enumerate(people):
            writer.write(Result(source, i, i / 30, 640, 480, walk(i, names)))
    return path if path.is_file() else next(path.iterdir())


def posetrack(path: Path, people: list[dict[int, float]], **image: Any) -> Path:
    """Labels as PoseTrack18 has them."""
    images, annotations = [], []
    for i, names in enumerate(people):
        images.append({"id": 100 + i, "frame_id": 100 + i, "file_name": f"images/val/clip/{i:06d}.jpg", **image})
        poses = walk(i, names, POSETRACK18)
        for row in range(len(poses)):
            x1, y1, x2, y2 = poses.boxes[row].tolist()
            points = [v for x, y in poses.keypoints[row].tolist() for v in (x, y, 1)]
            annotations.append({
                "id": len(annotations), "image_id": 100 + i, "track_id": list(names)[row], "category_id": 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1], "keypoints": points,
            })  # fmt: skip
    categories = [{"id": 1, "name": "person", "keypoints": list(POSETRACK18.names)}]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def mot(path: Path, people: list[dict[int, float]], more: str = "1,1,1.0") -> Path:
    lines = []
    for i, names in enumerate(people):
        poses = walk(i, names)
        for name, (x1, y1, x2, y2) in zip(names, poses.boxes.tolist(), strict=True):
            lines.append(f"{i + 1},{name},{x1},{y1},{x2 - x1},{y2 - y1},{more}")
    path.write_text("\n".join(lines) + "\n")
    return path


TRUE = [{1: 0.0, 2: 200.0}] * FRAMES
SWITCHED = [{7: 0.0, 9: 200.0}] * 3 + [{8: 0.0, 9: 200.0}] * 3


@pytest.mark.parametrize("kind", ["jsonl", "mot", "posetrack"])
def test_what_track_writes_is_read_back(kind: str, tmp_path: Path) -> None:
    people = [*SWITCHED[:4], {}, SWITCHED[5]]
    (found,) = read_tracks(results(kind, tmp_path, people))
    assert found.name == "clip"
    for i, names in enumerate(people):
        if names or kind != "mot":  # whose files do not list frames without people
            assert found.frames[i].ids.tolist() == list(names)  # type: ignore[union-attr]
            np.testing.assert_allclose(found.frames[i].boxes, walk(i, names).boxes, atol=0.02)


@pytest.mark.parametrize("kind", ["jsonl", "mot", "posetrack"])
@pytest.mark.parametrize("labels", [posetrack, mot])
def test_a_switch_is_measured_alike_by_every_format(labels: Any, kind: str, tmp_path: Path) -> None:
    """2 people for 6 frames, one of whom is renamed in the middle. IDF1 9/12, MOTA 1 - 1/12, one switch."""
    figures = evaluated_tracks(results(kind, tmp_path, SWITCHED), labels(tmp_path / "clip", TRUE))
    assert (figures["switches"], figures["identities"], figures["people"], figures["frames"]) == (1, 3, 12, 6)
    assert figures["IDF1"] == pytest.approx(9 / 12) and figures["MOTA"] == pytest.approx(11 / 12, abs=1e-5)
    truth = [walk(i, names) for i, names in enumerate(TRUE)]
    expected = evaluate_identities(truth, [walk(i, names) for i, names in enumerate(SWITCHED)])
    assert figures["HOTA"] == pytest.approx(expected.hota, abs=1e-5)
    assert figures["by"] == ("iou" if labels is mot or kind != "posetrack" else "oks")


def test_keypoints_meet_by_name_and_those_that_a_model_lacks_do_not_count(tmp_path: Path) -> None:
    """COCO's 17 lack PoseTrack's head_top and head_bottom, and come in another order."""
    people = read_tracks(results("posetrack", tmp_path, TRUE))[0].frames[0]
    left_wrist = POSETRACK18.names.index("left_wrist")
    np.testing.assert_allclose(people.keypoints[0, left_wrist], walk(0, TRUE[0])["left_wrist"][0, :2], atol=0.02)
    assert people.scores[0, POSETRACK18.names.index("head_top")] == 0
    labels = posetrack(tmp_path / "labels.json", TRUE)
    content = json.loads(labels.read_text())
    for annotation in content["annotations"]:  # everybody where the results have them
        i = annotation["image_id"] - 100
        own = walk(i, {annotation["track_id"]: TRUE[0][annotation["track_id"]]})
        points = [[900.0, 900.0, 1]] * 17
        for j, name in enumerate(POSETRACK18.names):
            if name in COCO.names:
                points[j] = [*own[name][0, :2].tolist(), 1]
        annotation["keypoints"] = [v for point in points for v in point]
    labels.write_text(json.dumps(content))
    figures = evaluated_tracks(results("posetrack", tmp_path, TRUE), labels)
    assert figures["by"] == "oks" and figures["MOTP"] == pytest.approx(1, abs=0.01) and figures["MOTA"] == 1


def test_who_does_not_count_is_neither_missed_nor_false(tmp_path: Path) -> None:
    """MOT: flag 0 and other classes; PoseTrack: regions. Found there, a person is left out."""
    found = results("mot", tmp_path, [{1: 0.0, 2: 200.0}] * FRAMES)
    for more in ("0,1,1.0", "1,8,1.0"):
        gt = mot(tmp_path / "one", [{1: 0.0}] * FRAMES)
        gt.write_text(gt.read_text() + mot(tmp_path / "two", [{2: 200.0}] * FRAMES, more).read_text())
        figures = evaluated_tracks(found, gt)
        assert (figures["people"], figures["found"], figures["MOTA"]) == (6, 6, 1)
    region = {"ignore_regions_x": [[190, 300, 300, 190]], "ignore_regions_y": [[0, 0, 200, 200]]}
    for more, rows in ((region, 6), ({}, 12)):
        figures = evaluated_tracks(found, posetrack(tmp_path / "clip.json", [{1: 0.0}] * FRAMES, **more))
        assert figures["found"] == rows


def test_frames_that_are_not_labelled_are_not_measured(tmp_path: Path) -> None:
    labels = posetrack(tmp_path / "labels.json", TRUE)
    content = json.loads(labels.read_text())
    for image in content["images"]:
        image["is_labeled"] = image["id"] % 2 == 0
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] % 2 == 0]
    labels.write_text(json.dumps(content))
    figures = evaluated_tracks(results("jsonl", tmp_path, TRUE), labels)
    assert (figures["frames"], figures["people"], figures["found"], figures["MOTA"]) == (3, 6, 6, 1)


def test_pictures_meet_by_name_where_both_have_names(tmp_path: Path) -> None:
    """Results made elsewhere, of half of the frames."""
    labels, other = posetrack(tmp_path / "labels.json", TRUE), posetrack(tmp_path / "found.json", TRUE)
    content = json.loads(other.read_text())
    content["images"] = content["images"][3:]
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] >= 103]
    other.write_text(json.dumps(content))
    figures = evaluated_tracks(other, labels)
    assert (figures["people"], figures["found"], figures["switches"]) == (12, 6, 0) and figures["MOTA"] == 0.5


def test_one_of_several_sequences_is_chosen_by_its_name(tmp_path: Path) -> None:
    writer, path = track_writer("jsonl", tmp_path)
    with writer:
        for name in ("a.mp4", "b.mp4"):
            for i in range(FRAMES):
                writer.write(Result(name, i, i / 30, 640, 480, walk(i, {5: 0.0} if name == "a.mp4" else TRUE[0])))
    (tmp_path / "b" / "gt").mkdir(parents=True)
    assert evaluated_tracks(path, mot(tmp_path / "b" / "gt" / "gt.txt", TRUE))["MOTA"] == 1
    with pytest.raises(ValueError, match=r"holds 2 sequences \['a', 'b'\]: expected one"):
        evaluated_tracks(path, mot(tmp_path / "c.txt", TRUE))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,1,0,0", "line 1: expected frame"),
        ("1,1,0,0,5,5\n2,1,0,0,5,nan", "line 2: expected frame"),
        ("0,1,0,0,5,5", "from 1"),
        ("hello", "line 1: expected frame"),
        ('{"source": "a", "people": 3}', "line 1: expected a line of"),
        ('{"source": "a", "frame": 0, "people": [{"id": null, "score": 1, "box": [0, 0, 1, 1]}]}', "use `track`"),
        ('{"images": []}', "lacks `images` or `annotations`"),
        ('{"images": [{}], "annotations": []}', "lacks id or file_name"),
        ('{"images": [], "annotations": [{"id": 4}]}', "annotation 4 has no track_id"),
        ("[]", "lacks `images`"),
    ],
)
def test_refusals_are_sentences(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "found").write_text(text)
    with pytest.raises(ValueError, match=said) as told:
        read_tracks(tmp_path / "found")
    assert "\n" not in str(told.value)


def test_a_measurement_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="labels nobody"):
        evaluated_tracks(results("jsonl", tmp_path, TRUE), posetrack(tmp_path / "t.json", [{}] * FRAMES))
    with pytest.raises(ValueError, match="has nobody in a labelled frame"):
        evaluated_tracks(results("jsonl", tmp_path, [{}] * FRAMES), mot(tmp_path / "t.txt", TRUE))
    with pytest.raises(ValueError, match="has 5 frames, expected the 6 that the labels list"):
        evaluated_tracks(results("jsonl", tmp_path, TRUE[:5]), posetrack(tmp_path / "t.json", TRUE))


def test_the_command(tmp_path: Path) -> None:
    found, labels = results("mot", tmp_path, SWITCHED), mot(tmp_path / "gt.txt", TRUE)
    words = ["evaluate", "--tracks", str(found.parent), "--data", str(labels)]
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout)
    assert row["IDF1"] == 0.75 and {"HOTA", "MOTA", "DetA", "AssA", "switches", "frames", "people"} <= set(row)
    assert "0.7500" in CliRunner().invoke(app, words).stdout
    assert CliRunner().invoke(app, [*words, "--predictions", "a.json"]).exit_code == 2
