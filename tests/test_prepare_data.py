"""training/prepare_data.py: from a small folder in the form of the project's data to plain COCO files and samples."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgepose.codec import codec_of
from edgepose.codec.anchors import Anchors
from edgepose.data.detection import read_boxes
from edgepose.data.mosaics import read_mosaics
from edgepose.data.read import read
from edgepose.data.whole import read_whole
from edgepose.evaluate.keypoints import keypoint_metrics
from edgepose.skeleton import COCO, COCO19
from edgepose.spec import ModelSpec
from tests.runtime.small import shared
from training.prepare_data import prepare

FACE = ("nose", "left_eye", "right_eye")
EARS = ("left_ear", "right_ear")
SPEC = ModelSpec("whole", "associative", (64, 64), warp="middle")
IMAGE_FIELDS = {"id", "file_name", "width", "height"}
ROW_FIELDS = {"id", "image_id", "category_id", "iscrowd", "bbox", "area", "num_keypoints", "keypoints", "score"}


def person(picture: int, face: bool = False, **more: Any) -> dict[str, Any]:
    """Somebody of whom all but ears, and face unless a machine found it, is labelled."""
    names = [name for name in COCO19.names if name not in EARS and (face or name not in FACE)]
    points = np.zeros((19, 3))
    for i, name in enumerate(COCO19.names):
        if name in names:
            points[i] = 12 + 2 * (i % 5), 10 + 5 * (i // 5), 2
    found = {"machine_labelled": list(FACE), "face_score": 0.9} if face else {}
    return {
        "id": picture + 1, "image_id": picture, "category_id": 1, "iscrowd": 0, "bbox": [10, 8, 14, 24], "area": 178.0,
        "num_keypoints": len(names), "num_hand_labelled": 14, "keypoints": points.ravel().tolist(), **found, **more,
    }  # fmt: skip


def picture(number: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "file_name": f"{number}.png", "width": 64, "height": 48, "orig_width": 640, **more}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """LSPET: 0 with a face and two other people, 1 whom no sure box fits, 2 alone, 3 like validation picture 9500.
    Stanford 40: one picture with an official box, its double, and two machine boxes.
    """
    folder = tmp_path / "data"
    (folder / "lspet").mkdir(parents=True)
    (folder / "stanford40").mkdir()
    with zipfile.ZipFile(folder / "lspet" / "images.zip", "w") as archive:
        for number in (0, 1, 2, 3, 9500):
            pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
            archive.writestr(f"{number}.png", cv2.imencode(".png", pixels)[1].tobytes())
    category = {"id": 1, "name": "person", "keypoints": list(COCO19.names)}
    train = {
        "images": [*map(picture, range(3)), picture(3, near_dup_of_val=9500)],
        "annotations": [person(0, face=True), person(1), person(2), person(3, face=True)],
        "categories": [category],
    }
    val = {"images": [picture(9500)], "annotations": [person(9500, face=True)], "categories": [category]}
    machine = [
        [0, 10, 8, 14, 24, 0.8, 1], [0, 30, 5, 10, 20, 0.6, 0], [0, 45, 5, 10, 20, 0.4, 0], [1, 11, 8, 14, 24, 0.4, 1],
        [1, 40, 5, 12, 20, 0.9, 0], [3, 40, 5, 12, 20, 0.9, 0], [9500, 40, 5, 12, 20, 0.9, 0],
    ]  # fmt: skip
    official = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [0, 0, 9, 9],
        "source": "stanford40_xml",
    }
    stanford = {
        "images": [picture(1, action="jumping")],
        "annotations": [
            official,
            official | {"id": 2, "bbox": [1, 0, 9, 9], "source": "rtmdet_nano", "score": 0.9, "same_as_xml": True},
            official | {"id": 3, "bbox": [20, 0, 9, 9], "source": "rtmdet_nano", "score": 0.5},
            official | {"id": 4, "bbox": [40, 0, 9, 9], "source": "rtmdet_nano", "score": 0.49},
        ],
        "categories": [{"id": 1, "name": "person"}],
        "faces": [{"image_id": 1, "bbox": [0, 0, 4, 4], "points": [0] * 10, "score": 0.9}],
    }
    for name, content in (
        ("lspet/annotations_train.json", train),
        ("lspet/annotations_val.json", val),
        ("lspet/machine_person_boxes.json", {"columns": [], "boxes": machine}),
        ("stanford40/annotations.json", stanford),
    ):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture
def prepared(data: Path, tmp_path: Path) -> Path:
    prepare(data, tmp_path / "prepared")
    return tmp_path / "prepared"


def test_the_files_are_plain(prepared: Path) -> None:
    for name in ("lspet/train.json", "lspet/val.json", "lspet/boxes.json", "stanford40/boxes.json"):
        content = json.loads((prepared / name).read_text(encoding="utf-8"))
        assert set(content) == {"images", "annotations", "categories"}
        assert {field for image in content["images"] for field in image} <= IMAGE_FIELDS
        assert {field for row in content["annotations"] for field in row} <= ROW_FIELDS
        ids = [row["id"] for row in content["annotations"]]
        assert len(set(ids)) == len(ids) > 0


def test_people_of_lspet(data: Path, prepared: Path) -> None:
    """As a top-down network learns them: three, without the one whose picture is like a validation picture."""
    people = read(prepared / "lspet" / "train.json", data / "lspet" / "images.zip")
    assert [people.files[i][1] for i in people.picture] == ["0.png", "1.png", "2.png"] and len(people.files) == 3
    before = read(data / "lspet" / "annotations_train.json", data / "lspet" / "images.zip")
    for column in ("keypoints", "visible", "boxes", "areas", "ids", "picture"):
        assert (getattr(people, column) == getattr(before, column)[:3]).all()


def test_samples_of_bottom_up_networks(data: Path, prepared: Path) -> None:
    """Other people are masked; so are, inside a person's box, ears, and the face where the machine did not find it."""
    sets = [(prepared / "lspet" / "train.json", data / "lspet" / "images.zip", 2)]
    whole = read_whole(sets, COCO, SPEC, codec_of(SPEC), 0.5)
    assert whole.rows.tolist() == [0, 0, 1, 1, 2, 2]
    rectangles = ([(30, 5, 40, 25), (45, 5, 55, 25)], [(40, 5, 52, 25)], [])
    ignored = tuple(
        tuple(np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], float) for x1, y1, x2, y2 in own) for own in rectangles
    )
    unknown = np.zeros((3, 17), bool)
    unknown[:, [COCO.names.index(name) for name in EARS]] = True
    unknown[1:, [COCO.names.index(name) for name in FACE]] = True
    assert whole.unknown is not None and (whole.unknown == unknown).all()
    expected = replace(whole, ignored=ignored, unknown=unknown)
    for seed in range(4):
        images, targets = whole.batch((seed,), np.arange(6), seed % 2)
        same_images, same_targets = expected.batch((seed,), np.arange(6), seed % 2)
        assert (images == same_images).all() and targets.keys() == same_targets.keys()
        assert all((targets[name] == same_targets[name]).all() for name in targets)
        assert (targets["masks_4"] == 0).any()


def test_samples_of_one_stage_networks(data: Path, prepared: Path) -> None:
    mosaics = read_mosaics(
        [(prepared / "lspet" / "train.json", data / "lspet" / "images.zip", 1)], COCO, Anchors((64, 64))
    )
    assert mosaics.rows.tolist() == [0, 1, 2]
    boxes = ([[30, 5, 40, 25], [45, 5, 55, 25]], [[40, 5, 52, 25]], [])
    assert [own.tolist() for own in mosaics.ignored] == list(boxes)
    expected = replace(mosaics, ignored=tuple(np.array(own, np.float32).reshape(-1, 4) for own in boxes))
    for seed in range(3):
        (images, targets), (same_images, same_targets) = (
            each.batch((seed,), np.arange(3), 1) for each in (mosaics, expected)
        )
        assert (images == same_images).all()
        for name in targets:
            for one, other in zip(targets[name], same_targets[name], strict=True):
                assert (one == other).all()


def test_boxes_of_detectors(data: Path, prepared: Path) -> None:
    """Unsure boxes are ignored, and so is the labelled person whom no sure box fits; doubles are gone."""
    records = read_boxes(prepared / "lspet" / "boxes.json", data / "lspet" / "images.zip")
    assert [record.name for record in records] == ["0.png", "1.png", "2.png"]
    assert [record.boxes[:, 0].tolist() for record in records] == [[10, 30, 45], [11, 40, 10], [10]]
    assert [record.ignore.tolist() for record in records] == [[False, False, True], [True, False, True], [True]]
    (record,) = read_boxes(prepared / "stanford40" / "boxes.json", data)
    assert record.boxes.tolist() == [[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9]]
    assert record.ignore.tolist() == [False, False, True]


def test_what_a_machine_labelled_is_not_measured(prepared: Path) -> None:
    path = prepared / "lspet" / "val.json"
    (labelled,) = json.loads(path.read_text(encoding="utf-8"))["annotations"]
    points = np.array(labelled["keypoints"]).reshape(-1, 3)[:17]
    points[[COCO.names.index(name) for name in FACE], 0] += 1000
    figures = keypoint_metrics([{"image_id": 9500, "keypoints": points.ravel().tolist(), "score": 1.0}], path)
    assert figures["PCK"] == 1 and set(figures["per_joint"]) == set(COCO.names) - {*FACE, *EARS}


def test_a_keypoint_by_hand_and_by_machine_is_refused(data: Path, tmp_path: Path) -> None:
    path = data / "lspet" / "annotations_train.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["annotations"][1]["keypoints"][:3] = [5, 5, 2]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=r"annotation 2 has \['nose'\] by hand, which a machine labelled for others"):
        prepare(data, tmp_path / "prepared")
    with pytest.raises(FileNotFoundError, match="neither a folder lspet nor stanford40"):
        prepare(tmp_path, tmp_path / "prepared")


def test_the_projects_own_folder(tmp_path: Path) -> None:
    """Sample counts are those of the readers that knew the folder's own files, at commit 07faff8."""
    lspet, stanford = shared("lspet") / "images.zip", shared("stanford40") / "images.zip"
    train, val, *boxed = prepare(shared("lspet").parent, tmp_path)
    people = read(train, lspet)
    assert (len(people), len(people.files), len(people.unlabelled), len(read(val, lspet))) == (9492, 9492, 18603, 500)
    whole = read_whole([(train, lspet, 1)], COCO, SPEC, codec_of(SPEC), 0.5)
    assert whole.unknown is not None
    assert (len(whole), sum(map(len, whole.ignored)), int(whole.unknown.sum())) == (9492, 18603, 34773)
    counts = (9492, 14077, 21440), (4000, 5781, 4506)
    for path, pictures, expected in zip(boxed, (lspet, stanford), counts, strict=True):
        records = read_boxes(path, pictures)
        ignored = sum(int(record.ignore.sum()) for record in records)
        assert (len(records), sum(len(r.boxes) for r in records) - ignored, ignored) == expected
