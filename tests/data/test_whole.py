"""Whole pictures for bottom-up training: views, masks, mosaics, and what is read from annotations."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgepose.codec import codec_of
from edgepose.data.augment import Strength
from edgepose.data.whole import random_whole_view, read_whole
from edgepose.geometry import transform, view_matrices
from edgepose.skeleton import COCO, SKELETONS
from edgepose.spec import ModelSpec
from tests.goldens import algorithm_cases

SPEC = ModelSpec("x", "associative", (96, 64), warp="middle", layout="nchw")
NAMES = list(COCO.names)


def annotation(identity: int, image: int, points: list[list[float]], **more: object) -> dict:
    flat = [v for x, y in points for v in (x, y, 2)]
    return {"id": identity, "image_id": image, "category_id": 1, "iscrowd": 0, "bbox": [10, 5, 60, 40],
            "keypoints": flat or [0] * 51, "num_keypoints": len(points)} | more  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> tuple[Path, Path, int]:
    """Three pictures of 100 x 60: two people and a crowd; an unlabelled one; nobody at all."""
    spots = [[[20 + i, 30] for i in range(17)], [[60 + i, 20] for i in range(17)]]
    for i in range(3):
        image = np.full((60, 100, 3), 50, np.uint8)
        for person in spots if i == 0 else []:
            for k, (x, y) in enumerate(person):
                image[y, x] = (250, 10 * k, 0)
        cv2.imwrite(str(tmp_path / f"{i}.png"), image)
    crowd = {"size": [60, 100], "counts": [60 * 90, 60 * 10]}
    polygon = [[40, 20, 60, 20, 60, 40, 40, 40]]
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 100, "height": 60} for i in range(3)],
        "categories": [{"id": 1, "name": "person", "keypoints": NAMES}],
        "annotations": [
            annotation(1, 0, spots[0]), annotation(2, 0, spots[1]),
            annotation(3, 0, [], iscrowd=1, segmentation=crowd), annotation(4, 1, [], segmentation=polygon),
        ],
    }  # fmt: skip
    (tmp_path / "labels.json").write_text(json.dumps(content))
    return tmp_path / "labels.json", tmp_path, 1


def test_pictures_with_anybody_are_listed_as_often_as_stated(data) -> None:
    annotations, pictures, _ = data
    whole = read_whole([data], COCO, SPEC, codec_of(SPEC), 0.0)
    assert whole.rows.tolist() == [0, 1]
    both = read_whole([(annotations, pictures, 2), data], COCO, SPEC, codec_of(SPEC), 0.0)
    assert both.rows.tolist() == [0, 0, 1, 1, 3, 4]
    assert [len(r) for r in whole.ignored] == [1, 1, 0]


def test_without_augmentation_everything_is_where_the_runtime_sees_it(data) -> None:
    whole = read_whole([data], COCO, SPEC, codec_of(SPEC), 1.0)
    images, targets = whole.batch((0, 0), np.array([0, 1]), 0)
    assert images.shape == (2, 64, 96, 3) and images.dtype == np.uint8
    assert targets["heatmaps_4"].shape == (2, 17, 16, 24) and targets["heatmaps_2"].shape == (2, 17, 32, 48)
    assert targets["masks_4"].shape == (2, 16, 24) and targets["joints_4"].shape == (2, 30, 17, 2)
    # 100 x 60 fits 96 x 64 with factor .96 and 3.2 empty rows above and below
    assert targets["joints_4"][0, :2, 0].tolist() == [[8 * 24 + 4, 1], [5 * 24 + 14, 1]]
    mask = targets["masks_2"][0]
    assert not mask[2:-2, 44:].any() and mask[2:-2, :42].all()  # crowd at 90
    assert mask[0].all() and mask[-1].all()  # where no picture is, nobody is
    assert not targets["masks_2"][1][12:19, 20:28].any() and targets["masks_2"][1][12:19, :18].all()
    assert not targets["heatmaps_2"][1].any()


def test_labels_follow_the_pixels(data) -> None:
    whole = read_whole([data], COCO, SPEC, codec_of(SPEC), 0.0)
    seen = 0
    for seed in range(12):
        images, targets = whole.batch((seed,), np.array([0]), 1)
        for person in targets["joints_4"][0]:
            for cell, there in person:
                if there:
                    k, (y, x) = cell // (16 * 24), np.divmod(cell % (16 * 24), 24)
                    near = images[0, max(4 * y - 3, 0) : 4 * y + 8, max(4 * x - 3, 0) : 4 * x + 8, 0]
                    if 0 < x < 23 and 0 < y < 15:
                        assert near.max() > 80, k
                        seen += 1
        assert targets["heatmaps_4"].max() <= 1
    assert seen > 50
    again = whole.batch((3,), np.array([0]), 1)[0]
    assert np.array_equal(again, whole.batch((3,), np.array([0]), 1)[0])
    assert not np.array_equal(again, whole.batch((4,), np.array([0]), 1)[0])


def test_mosaics_show_several_pictures(data) -> None:
    whole, alone = (read_whole([data], COCO, SPEC, codec_of(SPEC), mosaic) for mosaic in (1.0, 0.0))
    views = [[w.batch((seed,), np.array([0]), 1)[1]["joints_4"][0] for seed in range(8)] for w in (whole, alone)]
    most = [max(people[..., 1].any(-1).sum() for people in seen) for seen in views]
    assert most[0] > 2 >= most[1]


def test_views_turn_as_published() -> None:
    for case in algorithm_cases("algo/ae_targets"):
        if "matrix" not in case.outputs:
            continue
        side, degrees = case.params["scale_200"] * 200, case.params["rotation_deg"]
        size = (case.params["resolution"],) * 2
        matrix = view_matrices(np.array([case.params["center"]]), np.full((1, 2), side), np.array([degrees]), size)[0]
        np.testing.assert_allclose(matrix, case.outputs["matrix"], atol=1e-9)
        np.testing.assert_allclose(transform(case.inputs["points"], matrix), case.outputs["points"], atol=1e-9)


def test_random_views_stay_in_their_ranges() -> None:
    rng = np.random.default_rng(0)
    views = [random_whole_view(rng, (400, 300), (128, 96)) for _ in range(200)]
    scales = np.array([np.sqrt(abs(np.linalg.det(m[:, :2]))) for m, _ in views]) * 300 / 96
    assert 0.66 < scales.min() < 0.7 and 1.25 < scales.max() < 1.34
    assert 60 < sum(mirrored for _, mirrored in views) < 140
    assert all((np.linalg.det(m[:, :2]) < 0) == mirrored for m, mirrored in views)


def test_views_are_moved_as_far_as_asked(data) -> None:
    still = Strength(scale=(1.0, 1.0), rotation=0, shift=0.0, cutout=0.0)
    whole = read_whole([data], COCO, SPEC, codec_of(SPEC), 0.0, still)
    rows = np.array([0])
    first, *others = [whole.batch((seed,), rows, 1)[0][0].astype(int) for seed in range(6)]
    mirror = first[:, ::-1].astype(int)
    apart = [min(abs(view - first).mean(), abs(view[:, 1:] - mirror[:, :-1]).mean()) for view in others]
    assert max(apart) < 2
    published = read_whole([data], COCO, SPEC, codec_of(SPEC), 0.0)
    assert max(abs(published.batch((seed,), rows, 1)[0][0] - first).mean() for seed in range(6)) > 10


def test_missing_keypoints_that_nobody_labels_by_hand_are_no_background(data) -> None:
    labels, pictures, _ = data
    content = json.loads(labels.read_text())
    first, second, *_ = content["annotations"]
    nose, left_ear, left_hip = (NAMES.index(name) for name in ("nose", "left_ear", "left_hip"))
    first |= {"bbox": [10, 20, 30, 20]}
    content["categories"][0]["machine_keypoints"] = ["nose"]
    second |= {"bbox": [50, 10, 30, 20]}
    for person, missing in ((first, [left_ear, left_hip]), (second, [left_ear, nose])):
        for k in missing:
            person["keypoints"][3 * k : 3 * k + 3] = [0, 0, 0]
    other = labels.with_name("other.json")
    other.write_text(json.dumps(content))
    whole = read_whole([(other, pictures, 1)], COCO, SPEC, codec_of(SPEC), 0.0)
    _, targets = whole.batch((0, 0), np.array([0]), 0)
    for stride in (4, 2):
        masks = targets[f"masks_{stride}"][0]
        assert masks.shape == (17, 64 // stride, 96 // stride)
        # .96 of the picture, 3.2 rows down: the boxes are (9.6, 22.4) to (38.4, 41.6) and (48, 12.8) to (76.8, 32)
        one, two, neither = (masks[:, y // stride, x // stride] for x, y in ((12, 38), (74, 16), (44, 52)))
        assert np.flatnonzero(one == 0).tolist() == [left_ear]
        assert np.flatnonzero(two == 0).tolist() == [nose, left_ear] and neither.all()
        heat = targets[f"heatmaps_{stride}"][0]
        assert (masks == masks[NAMES.index("left_wrist")])[heat > 0].all()
    both = read_whole([data, (other, pictures, 1)], COCO, SPEC, codec_of(SPEC), 0.0)
    _, targets = both.batch((0, 0), np.array([0, 2]), 0)  # rows of the first set, then of the second
    assert (targets["masks_4"][0] == targets["masks_4"][0, 0]).all()
    assert not (targets["masks_4"][1] == targets["masks_4"][1, 0]).all()
    hidden = set()
    for seed in range(8):  # mirrored with the picture, and in mosaics
        whole = read_whole([(other, pictures, 1)], COCO, SPEC, codec_of(SPEC), seed % 2)
        _, targets = whole.batch((seed,), np.array([0]), 1)
        shares = targets["masks_4"][0].mean((1, 2))
        ear = left_ear + int(np.argmin(shares[left_ear : left_ear + 2]))
        assert shares[ear] < shares[NAMES.index("left_wrist")]
        hidden.add(ear)
    assert hidden == {left_ear, left_ear + 1}


def test_a_file_means_the_same_whatever_lies_beside_it_or_annotations_state(data) -> None:
    annotations, pictures, _ = data
    before = read_whole([data], COCO, SPEC, codec_of(SPEC), 0.0)
    rows = {"columns": [], "boxes": [[1, 0, 0, 5, 5, 0.9, 0], [1, 50, 0, 5, 5, 0.9, 1], [7, 0, 0, 5, 5, 0.9, 0]]}
    annotations.with_name("machine_person_boxes.json").write_text(json.dumps(rows))
    content = json.loads(annotations.read_text())
    for image in content["images"]:
        image["near_dup_of_val"] = 3
    for person in content["annotations"]:
        person |= {"machine_labelled": ["nose", "left_wrist"], "same_as_xml": True, "score": 0.1}
    annotations.write_text(json.dumps(content))
    after = read_whole([(annotations, pictures, 1)], COCO, SPEC, codec_of(SPEC), 0.0)
    assert [len(regions) for regions in after.ignored] == [len(regions) for regions in before.ignored] == [1, 1, 0]
    assert after.unknown is None and before.unknown is None and len(after) == len(before) > 0
    assert len(after.people) == len(before.people) > 0


def test_machine_keypoints_are_names_out_of_keypoints(data) -> None:
    annotations, _, _ = data
    content = json.loads(annotations.read_text())
    for wrong in (["tail"], "nose"):
        content["categories"][0]["machine_keypoints"] = wrong
        annotations.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=r"`machine_keypoints` is .*expected a list of names out of `keypoints`"):
            read_whole([data], COCO, SPEC, codec_of(SPEC), 0.0)


def test_data_without_anybody_is_refused(tmp_path: Path) -> None:
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person", "keypoints": NAMES}]}
    (tmp_path / "labels.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="shows nobody"):
        read_whole([(tmp_path / "labels.json", tmp_path, 1)], SKELETONS["coco"], SPEC, codec_of(SPEC), 0.0)
