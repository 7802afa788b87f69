"""Labels of every format, as the metrics see them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.data.people import People
from edgepose.evaluate.keypoints import keypoint_metrics
from edgepose.evaluate.labels import labels_of, read_labels, skeleton_of, without_keypoints
from edgepose.evaluate.run import one_category, row_skeleton, unmeasured
from edgepose.skeleton import AIC, COCO, COCO19, CROWDPOSE, HALPE26, HALPE136, LSP, MPII, WHOLEBODY, Skeleton


def written(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def mpii_file(folder: Path, shift: float = 0.0) -> Path:
    """Two people of MPII's list; joints count pixels from 1."""
    joints = [[10.0 + i, 20.0 + 2 * i] for i in range(16)]
    person = {"image": "a.jpg", "joints": joints, "joints_vis": [1] * 15 + [0], "center": [20, 30], "scale": 0.2}
    return written(folder / "mpii_val.json", [person, person | {"image": "b.jpg"}])


def test_people_become_labels() -> None:
    keypoints = np.arange(28, dtype=np.float32).reshape(1, 14, 2)
    visible = np.ones((1, 14), np.float32)
    visible[0, 3] = 0
    hidden = np.zeros((1, 14), bool)
    hidden[0, 0] = True
    people = People(
        AIC, (), ((0, "a.jpg"), (0, "b.jpg")), np.array([1]), keypoints, visible,
        np.array([[1, 2, 11, 22]], np.float32), hidden=hidden, heads=np.array([6.0], np.float32),
        ids=np.array([40]), sizes=np.array([[0, 0], [64, 48]]), image_ids=np.array([5, 9]),
        crowding=np.array([np.nan, 0.5], np.float32), unlabelled=np.array([[0, 0, 4, 4], [1, 1, 3, 3]], np.float32),
        unlabelled_picture=np.array([0, 1]), crowd=np.array([True, False]),
    )  # fmt: skip
    labels = labels_of(people)
    assert labels["images"] == [
        {"id": 5, "file_name": "a.jpg"},
        {"id": 9, "file_name": "b.jpg", "width": 64, "height": 48, "crowdIndex": 0.5},
    ]
    person, crowd, nobody = labels["annotations"]
    assert person["id"] == 40 and person["image_id"] == 9 and person["bbox"] == [1, 2, 10, 20]
    assert person["area"] == pytest.approx(0.53 * 200) and person["head_size"] == 6
    assert person["keypoints"][:6] == [0, 1, 1, 2, 3, 2] and person["keypoints"][11] == 0
    assert person["num_keypoints"] == 13 and person["iscrowd"] == 0
    assert (crowd["image_id"], crowd["iscrowd"], crowd["num_keypoints"], crowd["bbox"]) == (5, 1, 0, [0, 0, 4, 4])
    assert (nobody["image_id"], nobody["iscrowd"]) == (9, 0)
    assert len({a["id"] for a in labels["annotations"]}) == 3 and skeleton_of(labels) is AIC
    json.dumps(labels)  # plain numbers


def test_files_of_other_forms(tmp_path: Path) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    path = mpii_file(tmp_path)
    labels = read_labels(path)
    assert skeleton_of(labels) is MPII and [image["file_name"] for image in labels["images"]] == ["a.jpg", "b.jpg"]
    assert labels["annotations"][0]["keypoints"][:3] == [9, 19, 2]  # from 0
    assert "head_size" not in labels["annotations"][0] and "width" not in labels["images"][0]
    heads = np.zeros((2, 2, 2))
    heads[1] = [[30, 3], [40, 4]]
    scipy_io.savemat(tmp_path / "mpii_gt_val.mat", {"headboxes_src": heads})
    assert [a["head_size"] for a in read_labels(path)["annotations"]] == pytest.approx([30, 3])
    joints = np.concatenate([np.random.default_rng(0).uniform(1, 99, (14, 2, 3)), np.ones((14, 1, 3))], axis=1)
    scipy_io.savemat(tmp_path / "joints.mat", {"joints": joints})
    labels = read_labels(tmp_path / "joints.mat")
    assert skeleton_of(labels) is LSP and len(labels["annotations"]) == 3
    with pytest.raises(ValueError, match="is a list of results"):
        read_labels(written(tmp_path / "results.json", [{"image_id": 1, "score": 1}]))


def test_people_of_a_file_without_areas_fill_part_of_their_boxes(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "a.jpg"}]
    person = {"id": 1, "image_id": 1, "bbox": [0, 0, 10, 20], "keypoints": [1, 1, 2] * 14}
    labels = {"images": images, "annotations": [person], "categories": [{"id": 1, "keypoints": list(AIC.names)}]}
    read = read_labels(written(tmp_path / "aic.json", labels))
    assert read["annotations"][0]["area"] == pytest.approx(0.53 * 200)
    odd = [{"area": 7}, {}, {"area": None}, {"area": 0}, {"area": -3}, {"area": "7"}]
    some = labels | {"annotations": [person | {"id": i} | area for i, area in enumerate(odd)]}
    read = read_labels(written(tmp_path / "some.json", some))
    assert [a["area"] for a in read["annotations"]] == pytest.approx([7, *[0.53 * 200] * 5])
    assert [note.split(": ", 1)[1] for note in read["notes"]] == [
        "5 people have no area above 0: 0.53 x the box is taken"
    ]


@pytest.mark.parametrize(
    ("names", "annotation", "expected"),
    [
        (COCO.names, {"keypoints": [0] * 51}, COCO),
        (COCO.names, {"keypoints": [0] * 51, "foot_kpts": [0] * 18}, WHOLEBODY),
        (COCO.names, {"keypoints": [0] * 78}, HALPE26),
        (COCO.names, {"keypoints": [0] * 408}, HALPE136),
        ((), {"keypoints": [0] * 78}, HALPE26),
        ((), {"keypoints": [0] * 51}, None),
        (("wing",), {}, Skeleton("own", ("wing",))),
    ],
)
def test_skeletons_are_those_of_the_reader(names: Any, annotation: Any, expected: Any) -> None:
    labels = {"images": [], "annotations": [annotation], "categories": [{"id": 1, "keypoints": list(names)}]}
    assert skeleton_of(labels) == expected


def test_keypoints_that_a_model_does_not_find_are_as_if_unlabelled() -> None:
    person = {"id": 1, "image_id": 1, "keypoints": [1, 1, 2] * 14, "num_keypoints": 14}
    labels = {"annotations": [person], "categories": [{"keypoints": list(CROWDPOSE.names)}]}
    lacking = unmeasured(labels, COCO)
    assert lacking == ["top_head", "neck"] and unmeasured(labels, COCO19) == []
    (cut,) = without_keypoints(labels, lacking)["annotations"]
    assert cut["keypoints"] == [1, 1, 2] * 12 + [0] * 6 and cut["num_keypoints"] == 12
    assert person["num_keypoints"] == 14 and without_keypoints(labels, []) is labels


def test_parts_of_whole_bodies_that_a_model_does_not_find() -> None:
    fields = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
    person = {"id": 1, "image_id": 1} | {field: [1, 1, 2] * n for field, n in fields.items()}
    labels = {"annotations": [person], "categories": [{"keypoints": list(COCO.names)}]}
    lacking = unmeasured(labels, HALPE26)
    assert len(lacking) == 68 + 42
    (cut,) = without_keypoints(labels, lacking)["annotations"]
    counts = [sum(v > 0 for v in cut[field][2::3]) for field in fields]
    assert counts == [17, 6, 0, 0, 0] and [len(cut[field]) for field in fields] == [3 * n for n in fields.values()]
    assert unmeasured(labels, COCO) == [], "results of the body alone are compared with the body"


def test_species_count_as_one_where_results_do_not_say_them() -> None:
    labels = {
        "annotations": [{"id": 1, "category_id": 8}, {"id": 2, "category_id": 21}],
        "categories": [{"id": 8, "name": "cow", "keypoints": ["nose"]}, {"id": 21, "keypoints": ["nose"]}],
    }
    together = one_category(labels)
    assert {a["category_id"] for a in together["annotations"]} == {1}
    assert [(c["id"], c["keypoints"]) for c in together["categories"]] == [(1, ["nose"])]
    of_people = {"annotations": [{"id": 1, "category_id": 1}], "categories": []}
    assert one_category(of_people) is of_people


def test_keypoints_of_which_a_model_finds_none_are_refused() -> None:
    labels = {"annotations": [], "categories": [{"keypoints": ["left_wing", "right_wing"]}]}
    with pytest.raises(ValueError, match="label left_wing, right_wing, none of which the model finds"):
        row_skeleton(labels, COCO)


def test_pckh_follows_the_head_boxes(tmp_path: Path) -> None:
    """A wrist out by 18 px is within half a head of 40 px and not within half of 30; pelvis and thorax never count."""
    scipy_io = pytest.importorskip("scipy.io")
    path = mpii_file(tmp_path)
    labels = read_labels(path)
    rows = [
        {"image_id": a["image_id"], "annotation_id": a["id"], "keypoints": list(a["keypoints"]), "score": 1.0}
        for a in labels["annotations"]
    ]
    wrist, pelvis = MPII.names.index("right_wrist"), MPII.names.index("pelvis")
    for row in rows:
        row["keypoints"][3 * wrist] += 18
        row["keypoints"][3 * pelvis] += 500
    heads = np.zeros((2, 2, 2))
    heads[1] = [[40 / 0.6, 30 / 0.6], [0, 0]]
    scipy_io.savemat(tmp_path / "mpii_gt_val.mat", {"headboxes_src": heads})
    figures = keypoint_metrics(rows, path, size="head")
    assert figures["heads"] == "boxes" and figures["PCKh"] == pytest.approx(25 / 26)
    assert figures["per_group"]["wrist"] == pytest.approx((0.5 + 0) / 2)  # left wrists are not labelled
    assert figures["per_group"]["elbow"] == 1 and figures["PCKh@0.1"] == pytest.approx(24 / 26)
    left_out = keypoint_metrics(rows, path, size="head", leave_out=["right_wrist"])
    assert left_out["PCKh"] == 1 and left_out["per_group"]["wrist"] == -1
    assert "PCKh" not in keypoint_metrics(rows, path, size="torso")
