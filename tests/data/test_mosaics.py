"""Pictures for a one-stage network: labels move as pixels do, and what is cut away is said."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgepose.codec.anchors import Anchors
from edgepose.data.augment import scale_hsv
from edgepose.data.images import Pictures
from edgepose.data.mosaics import Mosaics, read_mosaics
from edgepose.data.people import People
from edgepose.geometry import letterbox_matrix, transform
from edgepose.skeleton import COCO, CROWDPOSE

SIZE = (128, 96)
# Shoulders and hips as colored squares (BGR): what is drawn there must be found at the labels of the sample.
COLORS = {5: (0, 0, 255), 6: (0, 255, 0), 11: (255, 0, 0), 12: (0, 255, 255)}


def picture(size: tuple[int, int], corner: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A gray picture with four squares of 9 pixels; keypoints (17, 2) with their middles, the box (4,) around them."""
    image = np.full((size[1], size[0], 3), 60, np.uint8)
    points = np.zeros((17, 2), np.float32)
    for i, (joint, color) in enumerate(COLORS.items()):
        x, y = corner[0] + 20 * (i % 2), corner[1] + 30 * (i // 2)
        image[y - 4 : y + 5, x - 4 : x + 5] = color
        points[joint] = (x, y)
    return image, points, np.array([corner[0] - 5, corner[1] - 5, corner[0] + 25, corner[1] + 35], np.float32)


@pytest.fixture
def samples(tmp_path: Path) -> Mosaics:
    drawn = [picture((160, 120), (40, 30)), picture((90, 140), (20, 60)), picture((200, 80), (150, 20))]
    for i, (image, _, _) in enumerate(drawn):
        assert cv2.imwrite(str(tmp_path / f"{i}.png"), image)
    keypoints = np.stack([points for _, points, _ in drawn])
    visible = np.zeros((3, 17), np.float32)
    visible[:, list(COLORS)] = 1
    boxes = np.stack([box for *_, box in drawn])
    people = People(
        COCO, (Pictures(tmp_path),), tuple((0, f"{i}.png") for i in range(3)), np.arange(3), keypoints, visible, boxes
    )
    ignored = (np.array([[100.0, 10.0, 150.0, 60.0]], np.float32), *[np.zeros((0, 4), np.float32)] * 2)
    return Mosaics(people, ignored, np.arange(3), Anchors(SIZE))


def test_without_augmentation_it_is_the_letterbox_of_the_runtime(samples: Mosaics) -> None:
    image, targets = samples.sample(np.random.default_rng(0), 1, 0, [])
    matrix = letterbox_matrix((90, 140), SIZE)
    np.testing.assert_allclose(targets["keypoints"], transform(samples.people.keypoints[1:2], matrix), atol=1e-3)
    assert image.shape == (96, 128, 3) and (image[:, 63:] == 114).all() and (image[:, :60] != 114).any()
    assert targets["cells"].shape[1] == 5 and len(targets["cells"]) > 0


HUES = {joint: int(cv2.cvtColor(np.array([[c]], np.uint8), cv2.COLOR_BGR2HSV)[0, 0, 0]) for joint, c in COLORS.items()}


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_labels_are_where_the_pixels_are(samples: Mosaics, stage: int) -> None:
    """Each labelled point is in the middle of its own color; in mirrored pictures of that of the other side."""
    counts = {False: 0, True: 0}
    for seed in range(25):
        image, targets = samples.sample(np.random.default_rng(seed), seed % 3, stage, [])
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV).astype(int)
        for points, seen, box in zip(targets["keypoints"], targets["visible"], targets["boxes"], strict=True):
            assert ((points[seen > 0] >= box[:2] - 1) & (points[seen > 0] <= box[2:])).all()
            joints = [
                j for j in COLORS if seen[j] and (np.abs(points[j] - np.array(SIZE) / 2) < np.array(SIZE) / 2 - 3).all()
            ]
            if not joints:
                continue
            here = [hsv[tuple(np.round(points[joint]).astype(int)[::-1])] for joint in joints]
            as_drawn, swapped = (
                all(min(abs(p[0] - h), 180 - abs(p[0] - h)) <= 6 and p[1] > 60 for p, h in zip(here, hues, strict=True))
                for hues in ([HUES[j] for j in joints], [HUES[int(COCO.flip[j])] for j in joints])
            )
            assert as_drawn != swapped, seed
            counts[swapped] += 1
    assert counts[False] >= 5 and (counts[True] >= 5 if stage else counts[True] == 0)


def test_a_mosaic_shows_several_pictures_and_a_single_one_does_not(samples: Mosaics) -> None:
    counts = [len(samples.sample(np.random.default_rng(seed), 0, 1, [])[1]["boxes"]) for seed in range(30)]
    assert max(counts) >= 3
    assert {len(samples.sample(np.random.default_rng(seed), 0, 2, [])[1]["boxes"]) for seed in range(10)} == {1}


def test_views_are_moved_by_up_to_a_tenth(samples: Mosaics) -> None:
    plain = samples.sample(np.random.default_rng(0), 0, 0, [])[1]["keypoints"][0, 5]
    other = SIZE[0] - 1 - samples.sample(np.random.default_rng(0), 0, 0, [])[1]["keypoints"][0, 6, 0]  # in the mirror
    moved = []
    for seed in range(40):
        x, y = samples.sample(np.random.default_rng(seed), 0, 2, [])[1]["keypoints"][0, 5]
        moved.append((min(abs(x - plain[0]), abs(x - other)) / SIZE[0], abs(y - plain[1]) / SIZE[1]))
    assert (np.max(moved, axis=0) > 0.07).all() and np.max(moved) <= 0.1 + 1e-6


def test_the_same_seed_gives_the_same_batch(samples: Mosaics) -> None:
    images, targets = samples.batch((3, 4), np.array([0, 2]), 1)
    again, same = samples.batch((3, 4), np.array([0, 2]), 1)
    other, _ = samples.batch((3, 5), np.array([0, 2]), 1)
    assert images.shape == (2, 96, 128, 3) and (images == again).all() and (images != other).any()
    assert all((a == b).all() for name in targets for a, b in zip(targets[name], same[name], strict=True))
    assert targets.keys() == {"cells", "boxes", "keypoints", "visible", "ignore"} and len(targets["boxes"]) == 2


def test_who_is_hardly_seen_or_has_no_keypoint_left_is_ignored(samples: Mosaics) -> None:
    boxes = np.array([[-90, 10, 10, 50], [-90, 10, 9, 50], [20, 20, 60, 60], [200, 0, 240, 40]], np.float32)
    keypoints = np.full((4, 17, 2), 30.0, np.float32)
    visible = np.ones((4, 17), np.float32)
    keypoints[2] = -400
    targets = samples._targets(boxes, np.array([[-5, -5, 5, 5], [300, 0, 310, 9]], np.float32), keypoints, visible)
    assert targets["boxes"].tolist() == [[0, 10, 10, 50]]  # a tenth of it is in view
    assert targets["ignore"].tolist() == [[0, 0, 5, 5], [0, 10, 9, 50], [20, 20, 60, 60]]
    assert targets["visible"].shape == (1, 17)


def test_keypoints_outside_the_view_are_not_labelled(samples: Mosaics) -> None:
    keypoints = np.full((1, 17, 2), 30.0, np.float32)
    keypoints[0, :4] = [[-0.6, 5], [-0.4, 5], [127.4, 5], [127.6, 5]]
    none = np.zeros((0, 4), np.float32)
    box = np.array([[0, 0, 128, 96]], np.float32)
    targets = samples._targets(box, none, keypoints, np.ones((1, 17), np.float32))
    assert targets["visible"][0].tolist() == [0, 1, 1, 0, *[1] * 13]


def test_reading_leaves_out_pictures_of_nobody_and_keeps_what_is_unknown(tmp_path: Path) -> None:
    points = [10.0, 10.0, 2.0] * 17
    person = {"category_id": 1, "bbox": [5, 5, 20, 30], "area": 600, "iscrowd": 0, "keypoints": points}
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 64, "height": 48} for i in (1, 2, 3)],
        "annotations": [
            person | {"id": 1, "image_id": 1},
            person | {"id": 2, "image_id": 1, "iscrowd": 1, "bbox": [30, 5, 10, 10]},
            person | {"id": 3, "image_id": 3, "keypoints": [0] * 51, "bbox": [1, 2, 3, 4]},
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.names)}],
    }
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps(content))
    with pytest.raises(FileNotFoundError, match=r"lacks 1 of 1 labelled pictures, such as 1\.png"):
        read_mosaics([(labels, tmp_path, 1)], COCO, Anchors(SIZE))
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((48, 64, 3), np.uint8))
    read = read_mosaics([(labels, tmp_path, 1)], COCO, Anchors(SIZE))
    assert [boxes.tolist() for boxes in read.ignored] == [[[30, 5, 40, 15]], [], [[1, 2, 4, 6]]]
    machine = {"boxes": [[2, 7, 8, 10, 20, 0.9, 0], [1, 7, 8, 10, 20, 0.9, 1]]}
    (tmp_path / "machine_person_boxes.json").write_text(json.dumps(machine))  # a neighbor says nothing of this file
    read = read_mosaics([(labels, tmp_path, 2)], CROWDPOSE, Anchors(SIZE, CROWDPOSE))
    assert [boxes.tolist() for boxes in read.ignored] == [[[30, 5, 40, 15]], [], [[1, 2, 4, 6]]]
    assert read.rows.tolist() == [0, 0] and read.people.keypoints.shape == (1, 14, 2)
    assert read.people.visible[0].sum() == 12, "COCO has neither head top nor neck"
    content["annotations"] = []
    labels.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="shows nobody"):
        read_mosaics([(labels, tmp_path, 1)], COCO, Anchors(SIZE))


def test_colors_are_scaled() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    outcomes = [scale_hsv(np.random.default_rng(seed), image) for seed in range(5)]
    assert all(o.shape == image.shape and o.dtype == np.uint8 and (o != image).any() for o in outcomes)
    gray = np.full((4, 4, 3), 100, np.uint8)
    values = [int(scale_hsv(np.random.default_rng(seed), gray)[0, 0, 0]) for seed in range(50)]
    assert 59 <= min(values) < 70 and 130 < max(values) <= 140
