"""Result files: their exact form, read back by other tools' rules, and that no half file is ever left."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.media.files import unique_name
from edgepose.media.results import BODY_25, FORMATS, Known, Result, as_dict, images_of, writer
from edgepose.media.tracks import track_writer
from edgepose.poses import Poses
from edgepose.skeleton import BOX, COCO, CROWDPOSE, WHOLEBODY, Skeleton

TEXTS = [kind for kind in FORMATS if kind != "parquet"]  # which has tests of its own


def people(skeleton: Skeleton = COCO, count: int = 2, ids: list[int] | None = None) -> Poses:
    rng = np.random.default_rng(1)
    keypoints = rng.random((count, len(skeleton), 2)) * 300
    boxes = np.sort(rng.random((count, 2, 2)) * 300, axis=1).reshape(count, 4)
    return Poses(keypoints, rng.random((count, len(skeleton))), boxes, rng.random(count), skeleton, ids)


def result(poses: Poses, source: str = "a/000000000785.jpg", frame: int = 0, time: float | None = None) -> Result:
    return Result(source, frame, time, 640, 480, poses)


def write(kind: str, folder: Path, *results: Result) -> Path:
    made, path = writer(kind, folder)
    with made:
        for one in results:
            made.write(one)
    return path


def test_json_lines_are_the_documented_object(tmp_path: Path) -> None:
    poses = people(ids=[4, 9])
    path = write("jsonl", tmp_path, result(poses, "clip.mp4", 3, 0.12), result(Poses.nobody(), "clip.mp4", 4, 0.16))
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    assert list(first) == ["source", "frame", "time", "width", "height", "people"]
    assert (first["source"], first["frame"], first["time"], first["width"], first["height"]) == (
        "clip.mp4",
        3,
        0.12,
        640,
        480,
    )
    assert [list(person) for person in first["people"]] == [["id", "score", "box", "keypoints"]] * 2
    assert [person["id"] for person in first["people"]] == [4, 9]
    np.testing.assert_allclose([p["box"] for p in first["people"]], poses.boxes, atol=0.0051)
    found = np.array([person["keypoints"] for person in first["people"]])
    assert found.shape == (2, 17, 3)
    np.testing.assert_allclose(found[..., :2], poses.keypoints, atol=0.0051)
    np.testing.assert_allclose(found[..., 2], poses.scores, atol=0.000051)
    assert second["people"] == []
    assert as_dict(result(people()))["people"][0]["id"] is None


def test_numbers_are_short_and_finite() -> None:
    keypoints, scores = np.full((1, 17, 2), 1 / 3), np.full((1, 17), 2 / 3)
    keypoints[0, 0], keypoints[0, 1, 1], scores[0, 2] = np.nan, np.inf, -np.inf
    poses = Poses(keypoints, scores, [[np.nan, 0, np.inf, 1 / 3]], [np.nan])
    text = json.dumps(as_dict(result(poses)), allow_nan=False)
    person = json.loads(text)["people"][0]
    assert person["score"] == 0 and person["box"] == [0, 0, 0, 0.33]
    assert person["keypoints"][:4] == [[0, 0, 0], [0, 0, 0], [0.33, 0.33, 0], [0.33, 0.33, 0.6667]]


def test_coco_results_are_what_coco_tools_read(tmp_path: Path) -> None:
    poses = people()
    path = write(
        "coco", tmp_path, result(poses), result(Poses.nobody(), "b/12.png"), result(people(count=1), "b/x.png")
    )
    entries = json.loads(path.read_text())
    assert [e["image_id"] for e in entries] == [785, 785, 1]
    assert all(set(e) == {"image_id", "category_id", "keypoints", "score"} for e in entries)
    assert all(e["category_id"] == 1 and len(e["keypoints"]) == 51 for e in entries)
    np.testing.assert_allclose(np.reshape(entries[0]["keypoints"], (17, 3))[:, :2], poses.keypoints[0], atol=0.0051)


def test_coco_image_ids_never_meet(tmp_path: Path) -> None:
    one = people(count=1)
    sources = [result(one, "7.jpg"), result(one, "other/7.jpg"), result(one, "1.jpg")]
    video = [result(one, "2.mp4", i, i / 10) for i in range(3)]
    path = write("coco", tmp_path, *sources, *video)
    assert [e["image_id"] for e in json.loads(path.read_text())] == [7, 1, 2, 3, 4, 5]


def test_coco_boxes_of_a_detector(tmp_path: Path) -> None:
    path = write("coco", tmp_path, result(Poses(np.zeros((1, 0, 2)), np.zeros((1, 0)), [[1, 2, 11, 32]], [0.5], BOX)))
    assert json.loads(path.read_text()) == [{"image_id": 785, "category_id": 1, "score": 0.5, "bbox": [1, 2, 10, 30]}]


def test_csv_has_a_row_per_person_under_names(tmp_path: Path) -> None:
    poses = people(ids=[3, 5])
    path = write("csv", tmp_path, result(Poses.nobody()), result(poses, 'odd,"name".jpg'))
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["3", "5"] and [row["person"] for row in rows] == ["0", "1"]
    assert rows[0]["source"] == 'odd,"name".jpg' and rows[0]["time"] == ""
    assert abs(float(rows[1]["left_wrist_x"]) - poses.keypoints[1, 9, 0]) < 0.0051
    assert len(rows[0]) == 12 + 17 * 3 + 1 and [row["guessed"] for row in rows] == ["0", "0"]


@pytest.mark.parametrize("kind", TEXTS)
def test_who_is_guessed_is_marked_in_every_format(kind: str, tmp_path: Path) -> None:
    """The second of two people was not seen in this frame."""
    one = dataclasses.replace(result(people(ids=[4, 9]), "clip.mp4", 3, 0.12), guessed=np.array([False, True]))
    path = write(kind, tmp_path, one)
    if kind == "csv":
        with path.open(newline="", encoding="utf-8") as file:
            assert [(row["id"], row["guessed"]) for row in csv.DictReader(file)] == [("4", "0"), ("9", "1")]
        return
    if kind == "dlc":  # who was not seen has no place there
        assert "individual9" not in (path / "clip.csv").read_text()
        return
    content = json.loads((path if path.is_file() else next(path.iterdir())).read_text())
    if kind == "coco-labels":  # nor a label
        assert len(content["annotations"]) == 1
        return
    entries = content if kind == "coco" else content["people"]
    assert [entry.get("guessed") for entry in entries] == [None, True]


def filled_result() -> Result:
    """Of three people the second was filled in, and the left wrist (9) of the third."""
    poses = people(count=3, ids=[4, 9, 11])
    scores = np.full((3, 17), 0.9)
    points = np.zeros((3, 17), bool)
    points[1], points[2, 9] = True, True
    return dataclasses.replace(
        result(dataclasses.replace(poses, scores=scores), "clip.mp4", 3, 0.12),
        guessed=np.zeros(3, bool), filled=np.array([False, True, False]), filled_keypoints=points,
    )  # fmt: skip


@pytest.mark.parametrize("kind", [*TEXTS, "mot", "posetrack", "trc"])
def test_what_was_filled_in_is_marked_in_every_format(kind: str, tmp_path: Path) -> None:
    made, path = track_writer(kind, tmp_path)
    with made:
        made.write(filled_result())
    if kind == "csv":
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [(row["filled"], row["filled_keypoints"], row["guessed"]) for row in rows] == [
            ("0", "", "0"), ("1", "", "0"), ("0", "left_wrist", "0")
        ]  # fmt: skip
    elif kind == "dlc":
        with (path / "clip.csv").open(newline="") as file:
            _, individuals, parts, coords, row = csv.reader(file)
        sure = {
            (who, part): float(cell)
            for who, part, coord, cell in zip(individuals[1:], parts[1:], coords[1:], row[1:], strict=True)
            if coord == "likelihood"
        }
        zero = {(who, part) for (who, part), value in sure.items() if value == 0}
        assert zero == {("individual9", name) for name in COCO.names} | {("individual11", "left_wrist")}
    elif kind == "coco-labels":
        labels = json.loads(path.read_text())["annotations"]
        assert [label["num_keypoints"] for label in labels] == [17, 16] and labels[1]["keypoints"][27:30] == [0, 0, 0]
    elif kind == "mot":
        assert [line.split(",")[6] == "0.0" for line in (path / "clip.txt").read_text().splitlines()] == [
            False, True, False
        ]  # fmt: skip
    elif kind == "trc":
        lines = (path / "clip_person11_filled.csv").read_text().splitlines()
        assert lines == ["frame,time,keypoint", "4,0.120000,left_wrist"]
        assert len((path / "clip_person9_filled.csv").read_text().splitlines()) == 1 + 17
        assert not (path / "clip_person4_filled.csv").exists()
    else:
        content = json.loads((path if path.is_file() else next(path.iterdir())).read_text())
        entries = content if kind == "coco" else content["annotations" if kind == "posetrack" else "people"]
        assert [entry.get("filled") for entry in entries] == [None, True, None]
        assert [entry.get("filled_keypoints") for entry in entries] == [None, None, ["left_wrist"]]


def test_angles_are_columns_and_fields(tmp_path: Path) -> None:
    one = dataclasses.replace(result(people(ids=[4, 9])), angles={"left_knee": np.array([171.2345, np.nan])})
    first, second = as_dict(one)["people"]
    assert first["angles"] == {"left_knee": 171.23} and second["angles"] == {"left_knee": None}
    with write("csv", tmp_path, one).open(newline="", encoding="utf-8") as file:
        assert [row["left_knee_angle"] for row in csv.DictReader(file)] == ["171.23", ""]


def test_csv_refuses_a_second_skeleton(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one file per skeleton"):
        write("csv", tmp_path, result(people()), result(people(CROWDPOSE)))
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 1 + 2, "what was finished is kept"


def test_openpose_has_a_file_per_frame_in_body_25(tmp_path: Path) -> None:
    poses = people(count=1)
    folder = write("openpose", tmp_path, result(poses, "x/clip.mp4", 12, 0.5), result(Poses.nobody(), "x/clip.mp4", 13))
    names = ["clip_000000000012_keypoints.json", "clip_000000000013_keypoints.json"]
    assert sorted(p.name for p in folder.iterdir()) == names
    content = json.loads((folder / names[0]).read_text())
    assert content["version"] == 1.3 and len(content["people"]) == 1
    body = np.reshape(content["people"][0]["pose_keypoints_2d"], (25, 3))
    np.testing.assert_allclose(body[0, :2], poses.keypoints[0, 0], atol=0.0051)  # nose
    np.testing.assert_allclose(body[4, :2], poses.keypoints[0, 10], atol=0.0051)  # right wrist
    np.testing.assert_allclose(body[1, :2], poses.keypoints[0, 5:7].mean(axis=0), atol=0.011)  # neck
    np.testing.assert_allclose(body[8, :2], poses.keypoints[0, 11:13].mean(axis=0), atol=0.011)  # middle hip
    assert body[8, 2] == pytest.approx(poses.scores[0, 11:13].min(), abs=1e-4)
    assert (body[19:] == 0).all()
    assert json.loads((folder / names[1]).read_text())["people"] == []


def test_openpose_neck_is_zero_unless_both_shoulders_are_seen(tmp_path: Path) -> None:
    scores = np.ones((1, 17))
    scores[0, 5] = 0
    folder = write("openpose", tmp_path, result(Poses(np.ones((1, 17, 2)), scores, [[0, 0, 1, 1]], [1])))
    person = json.loads(next(folder.iterdir()).read_text())["people"][0]
    assert person["pose_keypoints_2d"][3:6] == [0, 0, 0]


def test_openpose_hands_and_face_of_wholebody(tmp_path: Path) -> None:
    poses = people(WHOLEBODY, 1)
    person = json.loads(next(write("openpose", tmp_path, result(poses)).iterdir()).read_text())["people"][0]
    assert len(person["face_keypoints_2d"]) == 210 and len(person["hand_left_keypoints_2d"]) == 63
    left_hand = np.reshape(person["hand_left_keypoints_2d"], (21, 3))
    np.testing.assert_allclose(left_hand[:, :2], poses.keypoints[0, 91:112], atol=0.0051)
    body = np.reshape(person["pose_keypoints_2d"], (25, 3))
    np.testing.assert_allclose(body[22, :2], poses.keypoints[0, 20], atol=0.0051)  # right big toe


def test_body_25_names_exist() -> None:
    names = {name for entry in BODY_25 for name in ([entry] if isinstance(entry, str) else entry)}
    assert names <= set(WHOLEBODY.names) and len(BODY_25) == 25


@pytest.mark.parametrize("kind", TEXTS)
def test_no_results_make_a_readable_file(kind: str, tmp_path: Path) -> None:
    path = write(kind, tmp_path)
    text = path.read_text() if path.is_file() else "".join(p.name for p in path.iterdir())
    assert text.replace("\n", "").startswith({"coco": "[]", "csv": "source,frame,time"}.get(kind, ""))
    assert text if kind in ("coco", "csv", "coco-labels") else not text


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize("kind", ["jsonl", "coco", "csv"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_what_was_finished_is_kept(kind: str, error: type[BaseException], tmp_path: Path) -> None:
    """A block that ends early gives the same file as one that ends well after the same frames."""
    whole = write(kind, make(tmp_path / "whole"), result(people(count=1))).read_bytes()
    made, path = writer(kind, tmp_path)
    with pytest.raises(error), made:
        made.write(result(people(count=1)))
        raise error
    assert path.read_bytes() == whole
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("kind", ["jsonl", "coco", "csv"])
def test_a_failure_before_the_first_frame_keeps_what_was_there(kind: str, tmp_path: Path) -> None:
    path = write(kind, tmp_path, result(people()))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    made, _ = writer(kind, tmp_path)
    with pytest.raises(RuntimeError), made:
        raise RuntimeError
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before and path.exists()


@pytest.mark.parametrize("kind", ["jsonl", "coco", "csv"])
def test_of_a_frame_that_does_not_fit_on_the_disk_nothing_stays(kind: str, tmp_path: Path) -> None:
    """The disk takes half of a frame, then no more; later there is room again."""
    first, second = result(people(count=1)), result(people(count=2), "b.jpg")
    whole = write(kind, make(tmp_path / "whole"), first).read_bytes()
    made, path = writer(kind, tmp_path)

    class Full:
        """A file on a disk that is full after so many bytes."""

        def __init__(self, file: Any, room: int) -> None:
            self.file, self.room = file, room

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def write(self, data: memoryview) -> int:
            if not self.room:
                raise OSError(28, "No space left on device")
            took, self.room = self.file.write(data[: self.room]), 0
            return int(took)

    with pytest.raises(OSError, match=rf"No space left on device: .*{path.name}"), made as opened:
        opened.write(first)
        file, opened._file = opened._file, Full(opened._file, 40)
        try:
            opened.write(second)
        finally:
            opened._file = file
    assert path.read_bytes() == whole


def test_names_that_are_no_unicode_stop_no_file(tmp_path: Path) -> None:
    for kind in TEXTS:
        path = write(kind, tmp_path, result(people(), "a\udcff.jpg"))
        if path.is_file():
            path.read_text(encoding="utf-8")


def test_pictures_have_their_ids_from_the_labels(tmp_path: Path) -> None:
    known = Known(
        {"cam1/1.jpg": 8, "cam2/1.jpg": 3, "only.jpg": 5, "deep\\in\\x.jpg": 6, "a%20b.JPG": 9}, 4, "labels.json"
    )
    made, path = writer("coco", tmp_path, known)
    sources = ("pictures/cam2/1.jpg", "cam1/1.jpg", "elsewhere/only.jpg", "x.jpg", "/here/a b.jpg")
    with made:
        for source in sources:
            made.write(result(people(count=1), source))
        with pytest.raises(ValueError, match=r"1\.jpg is picture 8 of labels.json for the second time"):
            made.write(result(people(), "again/cam1/1.jpg"))
        with pytest.raises(ValueError, match=r"/here/cam3/1\.jpg is not in labels.json"):
            made.write(result(people(), "/here/cam3/1.jpg"))  # a path of this machine, whose folders count
        with pytest.raises(ValueError, match=r"cam3/1\.jpg is not in labels.json.*such as cam1/1.jpg"):
            made.write(result(people(), "cam3/1.jpg"))
        with pytest.raises(ValueError, match=r"could be .*cam1/1.jpg.*cam2/1.jpg.*name it with its folder"):
            made.write(result(people(), "1.jpg"))
        with pytest.raises(ValueError, match="is a video"):
            made.write(result(people(), "clip.mp4", 0, 0.0))
    rows = json.loads(path.read_text())
    assert [(row["image_id"], row["category_id"]) for row in rows] == [(3, 4), (8, 4), (5, 4), (6, 4), (9, 4)]
    listed = json.loads(images_of(path).read_text())
    assert [(image["id"], image["file_name"]) for image in listed["images"]] == list(
        zip((3, 8, 5, 6, 9), sources, strict=True)
    )


def test_a_list_says_which_picture_has_which_id(tmp_path: Path) -> None:
    """Names are whole, so that pictures of two folders are told apart; a video's frames have a number and a time."""
    path = write(
        "coco", tmp_path, result(people(), "cam1/1.jpg"), result(Poses.nobody(), "cam2/1.jpg"),
        result(people(), "clip.mp4", 7, 0.28),
    )  # fmt: skip
    listed = json.loads((tmp_path / "results-images.json").read_text())
    size = {"width": 640, "height": 480}
    assert listed["images"] == [
        {"id": 1, "file_name": "cam1/1.jpg", **size},
        {"id": 2, "file_name": "cam2/1.jpg", **size},
        {"id": 3, "file_name": "clip.mp4", **size, "frame": 7, "time": 0.28},
    ]
    assert listed["categories"][0]["keypoints"] == list(COCO.names)
    assert {row["image_id"] for row in json.loads(path.read_text())} == {1, 3}


def test_openpose_has_a_folder_per_camera(tmp_path: Path) -> None:
    made, folder = writer("openpose", tmp_path, apart=True)
    with made:
        for source, time in (("a/cam1/1.jpg", None), ("a/cam2/1.jpg", None), ("b/cam1/1.jpg", None), ("side.mp4", 0.0)):
            made.write(result(people(), source, 0, time))
    names = ["cam1-2/1", "cam1/1", "cam2/1", "side/side"]
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.json"))
    assert found == [f"{name}_000000000000_keypoints.json" for name in names]


def test_the_same_name_twice_gets_a_number() -> None:
    taken: dict[str, str] = {}
    assert [unique_name("a", source, taken) for source in ("x", "y", "x", "z")] == ["a", "a-2", "a", "a-3"]


def test_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown format 'xml', expected one of"):
        writer("xml", tmp_path)


def test_openpose_files_of_what_is_no_body_hold_all_keypoints_in_order(tmp_path: Path) -> None:
    mouse = Skeleton("mouse", ("nose", "left_ear", "tail"))
    poses = Poses(np.array([[[1, 2], [3, 4], [5, 6]]]), np.array([[0.9, 0.8, 0.7]]), np.array([[0, 0, 9, 9]]),
                  np.array([0.5]), mouse)  # fmt: skip
    made, path = writer("openpose", tmp_path)
    with made:
        made.write(Result("a.jpg", 0, None, 10, 10, poses))
    (person,) = json.loads((path / "a_000000000000_keypoints.json").read_text())["people"]
    assert person["pose_keypoints_2d"] == [1, 2, 0.9, 3, 4, 0.8, 5, 6, 0.7] and person["face_keypoints_2d"] == []
