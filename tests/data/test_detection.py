"""Readers on the real files where they are, and augmentation that keeps boxes on what they frame."""

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgepose.data import detection
from edgepose.data.detection import Detections, Record, read_boxes
from tests.goldens import folder

pytestmark = pytest.mark.torch


def data():
    place = folder().parent / "data"
    if not place.is_dir():
        pytest.skip(f"the data sets are not in {place}")
    return place


def colored(path, count=6, side=(200, 150)):
    """Gray pictures with one green rectangle each, and the records that frame it."""
    rng = np.random.default_rng(0)
    records = []
    for i in range(count):
        width, height = side if i % 2 else side[::-1]
        image = np.full((height, width, 3), 60, np.uint8)
        x1, y1 = rng.integers(5, 60, 2)
        x2, y2 = x1 + rng.integers(30, 80), y1 + rng.integers(30, 80)
        image[y1:y2, x1:x2] = (0, 255, 0)
        cv2.imwrite(str(path / f"{i}.png"), image)
        records.append(Record(path, f"{i}.png", np.array([[x1, y1, x2, y2]], np.float32), np.zeros(1, bool)))
    return records


def green(image):
    """Where the rectangle is, whatever the color jitter made of it: saturated, while all else is nearly gray."""
    spread = image.max(axis=-1).astype(int) - image.min(axis=-1)
    return spread > 100


def uncovered(image, boxes):
    """Share of colored pixels outside all boxes grown by 1.5 pixels, and of the boxes' inside that is not colored."""
    mask = green(image)
    grown, shrunk = np.zeros_like(mask), np.zeros_like(mask)
    for x1, y1, x2, y2 in boxes:
        grown[max(int(y1 - 1.5), 0) : int(y2 + 1.5), max(int(x1 - 1.5), 0) : int(x2 + 1.5)] = True
        shrunk[int(y1 + 2.5) : max(int(y2 - 1.5), 0), int(x1 + 2.5) : max(int(x2 - 1.5), 0)] = True
    return (mask & ~grown).sum(), (shrunk & ~mask).sum()


@pytest.mark.parametrize("stage", [0, 1, 2])
@pytest.mark.parametrize("ratio", [(0.5, 1.5), (0.1, 2.0)])
def test_boxes_frame_what_they_framed(tmp_path, stage, ratio):
    samples = Detections(colored(tmp_path), 160, ratio)
    seen = 0
    for seed in range(8):
        images, targets = samples.batch((seed,), range(len(samples)), stage)
        assert images.shape == (6, 160, 160, 3) and images.dtype == np.uint8
        for image, boxes in zip(images, targets["boxes"], strict=True):
            assert uncovered(image, boxes) == (0, 0)
            assert (boxes >= 0).all() and (boxes <= 160).all() and (boxes[:, 2:] > boxes[:, :2]).all()
            seen += len(boxes)
    assert seen > 30


def test_edges_have_no_bias(tmp_path, monkeypatch):
    """Center and size of what is drawn are those of the box, on average; one picture has the error of its sampling."""
    monkeypatch.setattr(detection, "jitter_hsv", lambda rng, image: image)
    samples = Detections(colored(tmp_path), 160)
    differences = []
    for seed in range(150):
        (image,), targets = samples.batch((seed,), [seed % 6], 2)
        for (x1, y1, x2, y2), ignore in zip(targets["boxes"][0], targets["ignore"][0], strict=True):
            if ignore or min(x1, y1) < 2 or max(x2, y2) > 158:
                continue
            weight = (image.max(axis=-1).astype(float) - image.min(axis=-1)) / 255
            for profile, low, high in ((weight.max(axis=0), x1, x2), (weight.max(axis=1), y1, y2)):
                center = (profile * (np.arange(160) + 0.5)).sum() / profile.sum()
                differences.append([center - (low + high) / 2, profile.sum() - (high - low)])
    assert len(differences) > 50
    assert np.abs(differences).max() < 0.8
    assert np.abs(np.mean(differences, axis=0)).max() < 0.05


def test_the_same_seed_gives_the_same_sample(tmp_path):
    records = colored(tmp_path)
    first, again = (Detections(records, 96).batch((3, 4), [1, 2], 1) for _ in range(2))
    alone = Detections(records, 96).batch((3, 4), [2], 1)
    other = Detections(records, 96).batch((3, 5), [2], 1)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[0][1], alone[0][0])
    assert not np.array_equal(alone[0], other[0])


def test_stage_0_is_the_letterbox(tmp_path):
    records = colored(tmp_path, 2)
    (image,), targets = Detections(records, 96).batch((0,), [1], 0)
    assert (image[72:] == 114).all()  # 200 x 150 fits as 96 x 72
    np.testing.assert_allclose(targets["boxes"][0], records[1].boxes * 96 / 200, rtol=1e-6)


def test_mixup_shows_both(tmp_path):
    records = colored(tmp_path)
    plain = Detections(records, 160).batch((0,), range(6), 1)[1]["boxes"]
    images, targets = Detections(records, 160, mixup=1.0).batch((0,), range(6), 1)
    assert sum(map(len, targets["boxes"])) > sum(map(len, plain))
    assert all(len(b) == len(i) for b, i in zip(targets["boxes"], targets["ignore"], strict=True))
    assert images.shape == (6, 160, 160, 3)


def test_slivers_are_ignored_and_the_unseen_goes(tmp_path):
    image = np.zeros((100, 100, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    boxes = np.array([[10, 10, 90, 90], [98, 0, 400, 50], [200, 200, 300, 300], [50, 50, 51, 80]], np.float32)
    _, targets = Detections([Record(tmp_path, "a.png", boxes, np.zeros(4, bool))], 96).batch((0,), [0], 0)
    assert len(targets["boxes"][0]) == 3  # the one outside the picture is gone
    assert targets["ignore"][0].tolist() == [False, True, True]  # 1.9 pixels left of one, 1 pixel wide the other


def test_pictures_without_people(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((50, 70, 3), np.uint8))
    samples = Detections([Record(tmp_path, "a.png", np.zeros((0, 4), np.float32), np.zeros(0, bool))], 64, mixup=1.0)
    for stage in (0, 1, 2):
        _, targets = samples.batch((0,), [0, 0], stage)
        assert [b.shape for b in targets["boxes"]] == [(0, 4)] * 2
        assert [i.shape for i in targets["ignore"]] == [(0,)] * 2


def test_large_pictures_are_kept_reduced_with_their_boxes(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((300, 400, 3), np.uint8))
    record = Record(tmp_path, "a.png", np.array([[40, 30, 80, 90]], np.float32), np.zeros(1, bool))
    image, boxes, _ = Detections([record], 64).picture(0)
    assert image.shape == (96, 128, 3)
    np.testing.assert_allclose(boxes, record.boxes * 128 / 400)


def test_reads_from_a_zip(tmp_path):
    records = colored(tmp_path, 2)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for record in records:
            archive.write(tmp_path / record.name, record.name)
    zipped = Detections([Record(tmp_path / "a.zip", r.name, r.boxes, r.ignore) for r in records], 64)
    zipped.load()
    assert np.array_equal(zipped.batch((0,), [0, 1], 1)[0], Detections(records, 64).batch((0,), [0, 1], 1)[0])


def test_size_must_fit_the_strides():
    with pytest.raises(ValueError, match="multiple of 32"):
        Detections([], 100)


def test_coco_crowds_are_ignored(tmp_path):
    content = {
        "images": [{"id": 7, "file_name": "a.png"}, {"id": 3, "file_name": "b.png"}],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 0},
            {"image_id": 7, "category_id": 1, "bbox": [5, 6, 10, 10], "iscrowd": 1},
            {"image_id": 7, "category_id": 2, "bbox": [0, 0, 9, 9]},
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    empty, people = read_boxes(tmp_path / "a.json", tmp_path)
    assert (empty.name, len(empty.boxes), len(empty.ignore)) == ("b.png", 0, 0)
    assert people.boxes.tolist() == [[1, 2, 4, 6], [5, 6, 15, 16]] and people.ignore.tolist() == [False, True]


def test_a_file_means_the_same_whatever_its_boxes_state_or_lies_beside_it(tmp_path):
    content = {
        "images": [{"id": 1, "file_name": "a.png", "near_dup_of_val": 5}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "source": "stanford40_xml"},
            {"image_id": 1, "category_id": 1, "bbox": [1, 0, 9, 9], "score": 0.9, "same_as_xml": True},
            {"image_id": 1, "category_id": 1, "bbox": [40, 0, 9, 9], "score": 0.1},
            {"image_id": 1, "category_id": 1, "bbox": [60, 0, 9, 9], "iscrowd": 1},
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    (tmp_path / "annotations_train.json").write_text(json.dumps({"images": [], "annotations": []}))
    (record,) = read_boxes(tmp_path / "a.json", tmp_path)
    assert record.boxes[:, 0].tolist() == [0, 1, 40, 60] and record.ignore.tolist() == [False, False, False, True]


def test_a_file_of_another_form_is_refused(tmp_path):
    for content in ({"columns": [], "boxes": []}, [{"image_id": 1}]):
        (tmp_path / "boxes.json").write_text(json.dumps(content))
        with pytest.raises(ValueError, match=r"boxes\.json is .* expected COCO's form"):
            read_boxes(tmp_path / "boxes.json", tmp_path)


def test_missing_file():
    with pytest.raises(FileNotFoundError, match="nowhere does not exist: expected an annotation file"):
        read_boxes(Path("nowhere"), Path("nowhere"))


def test_coco_mini():
    place = data() / "coco_mini"
    records = read_boxes(place / "annotations" / "person_keypoints_train2017.json", place / "train2017")
    assert (len(records), sum((~r.ignore).sum() for r in records), sum(r.ignore.sum() for r in records)) == (80, 167, 5)
    image, boxes, ignore = Detections(records, 320).picture(0)
    assert max(image.shape) <= 640 and len(boxes) == len(ignore)
