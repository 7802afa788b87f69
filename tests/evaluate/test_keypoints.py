from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgepose.evaluate.keypoints import (
    MPII_GROUPS,
    auc,
    box_sizes,
    epe,
    head_box_sizes,
    head_sizes,
    keypoint_metrics,
    nme,
    pck,
    pckh,
    torso_sizes,
    trunk_sizes,
)
from edgepose.skeleton import COCO, COCO19, LSP
from tests.goldens import algorithm_cases


def test_published_measures() -> None:
    for case in algorithm_cases("eval/pck_auc_epe_nme"):
        if "box" not in case.inputs:
            continue
        predicted, labelled, mask = (case.inputs[key] for key in ("pred", "gt", "mask"))
        sizes = box_sizes(case.inputs["box"])
        for threshold in (0.05, 0.1, 0.2):
            share, per_joint = pck(predicted, labelled, mask, sizes, threshold)
            assert np.isclose(share, case.outputs[f"pck_{threshold}"]), (case.name, threshold)
            if threshold == 0.1:
                assert np.allclose(per_joint, case.outputs["acc_per_joint_0.1"]), case.name
        assert np.isclose(auc(predicted, labelled, mask), case.outputs["auc"]), case.name
        assert np.isclose(epe(predicted, labelled, mask), case.outputs["epe"]), case.name
        corners = np.linalg.norm(labelled[:, 0] - labelled[:, 3], axis=-1)
        assert np.isclose(nme(predicted, labelled, mask, corners), case.outputs["nme_joints_0_3"]), case.name
        assert np.isclose(nme(predicted, labelled, mask, sizes), case.outputs["nme_box"]), case.name


def test_published_pckh() -> None:
    (case,) = (c for c in algorithm_cases("eval/pck_auc_epe_nme") if "head" in c.inputs)
    figures = pckh(*(case.inputs[key] for key in ("pred", "gt", "mask", "head")))
    ours = [100 * figures[name] for name in (*MPII_GROUPS, "PCKh", "PCKh@0.1")]
    assert np.allclose(ours, case.outputs["values"])
    with pytest.raises(ValueError, match="MPII's 16 joints"):
        pckh(np.zeros((1, 17, 2)), np.zeros((1, 17, 2)), np.ones((1, 17), bool), np.ones(1))


def test_nobody_is_undefined() -> None:
    none, mask = np.zeros((0, 17, 2)), np.zeros((0, 17), bool)
    assert pck(none, none, mask, np.zeros(0), 0.2)[0] == auc(none, none, mask) == epe(none, none, mask) == -1
    mpii = np.zeros((0, 16, 2))
    assert pckh(mpii, mpii, np.zeros((0, 16), bool), np.zeros(0))["PCKh"] == -1
    assert keypoint_metrics([], labels([]))["PCK"] == -1


def test_sizes() -> None:
    points, seen = np.zeros((2, 17, 2)), np.ones((2, 17), bool)
    points[:, 5], points[:, 6], points[:, 11], points[:, 12] = (0, 0), (10, 0), (0, 30), (10, 30)
    seen[1, 12] = False
    assert trunk_sizes(points, seen, COCO).tolist() == [30, 0]
    assert torso_sizes(points, seen, COCO).tolist() == [pytest.approx(1000**0.5), 0]  # the diagonal of 10 by 30
    seen[1, [6, 11, 12]] = False, False, True
    assert torso_sizes(points, seen, COCO)[1] > 0 == trunk_sizes(points, seen, COCO)[1]  # two are enough
    points19 = np.zeros((1, 19, 2))
    points19[0, 17], points19[0, 18] = (3, 4), (0, 0)
    assert head_sizes(points19, np.ones((1, 19), bool), COCO19).tolist() == [5]
    assert head_sizes(np.ones((1, 14, 2)), np.ones((1, 14), bool), LSP).tolist() == [0]
    assert head_box_sizes(np.array([[0, 0, 30, 40]])).tolist() == [30]
    with pytest.raises(ValueError, match="skeleton coco has no neck or head_top: choose another size"):
        head_sizes(points, seen, COCO)


def person(identity: int, image: int, **more: Any) -> dict[str, Any]:
    """Somebody with a torso of 40 pixels, standing at 100 x identity."""
    points = np.zeros((19, 3))
    points[:, 0], points[:, 1], points[:, 2] = 100 * identity, 10, 2
    points[[11, 12], 1] = 50
    points[18, 1] = 0
    row = {"id": identity, "image_id": image, "bbox": [0, 0, 80, 60], "keypoints": points.ravel().tolist()}
    return row | more


def labels(people: list[dict[str, Any]]) -> dict[str, Any]:
    images = [{"id": i} for i in sorted({a["image_id"] for a in people})]
    return {"images": images, "annotations": people, "categories": [{"id": 1, "keypoints": list(COCO19.names)}]}


def result(of: dict[str, Any], shift: float = 0.0, joints: slice = slice(None), **more: Any) -> dict[str, Any]:
    points = np.array(of["keypoints"], np.float64).reshape(-1, 3)[:17]
    points[joints, 0] += shift
    return {"image_id": of["image_id"], "keypoints": points.ravel().tolist(), "score": 0.5} | more


def test_a_data_set() -> None:
    people = [person(1, 1), person(2, 2), person(3, 3), person(4, 4, iscrowd=1)]
    people[1]["keypoints"][3 * 12 + 2] = 0  # a hip is missing: no torso
    rows = [result(people[0], 9, slice(0, 2)), result(people[1], 3)]
    rows += [result(people[0], 500, score=0.1)]  # not the best of its picture
    figures = keypoint_metrics(rows, labels(people))
    # The first is wrong in two keypoints of 17, the second has no size, the third no result.
    assert np.isclose(figures["PCK"], (0.5 * 15 + 0 * 2) / 17)
    assert figures["per_joint"]["nose"] == 0 and figures["per_joint"]["left_ankle"] == 0.5
    assert (figures["people"], figures["left_out"], figures["missing"], figures["images"]) == (3, 1, 1, 4)
    assert np.isclose(figures["EPE"], (9 * 2 + 3 * 16) / 33) and np.isclose(figures["NME"], 9 * 2 / 40 / 17)
    assert np.isclose(figures["PCK@0.05"], (0.5 * 15) / 17)  # two pixels of the torso of 40
    loose = keypoint_metrics(rows, labels(people), threshold=0.25)
    assert np.isclose(loose["PCK"], 0.5) and loose["threshold"] == 0.25
    assert keypoint_metrics(rows, labels(people), image_ids=[1])["people"] == 1


def test_other_sizes() -> None:
    people = [person(1, 1)]
    rows = [result(people[0], 7.5, slice(0, 1))]
    for size, expected in (("torso", 1.0), ("trunk", 1.0), ("box", 1.0), ("head", 16 / 17)):  # 40, 40, 80 and 10 pixels
        assert np.isclose(keypoint_metrics(rows, labels(people), size=size)["PCK"], expected), size
    with pytest.raises(
        ValueError, match=r"unknown size 'hand' .*, expected one of \['torso', 'trunk', 'box', 'head'\]"
    ):
        keypoint_metrics(rows, labels(people), size="hand")


def test_only_what_people_labelled_counts() -> None:
    people = [person(1, 1)]
    content = labels(people)
    content["categories"][0]["machine_keypoints"] = ["nose", "left_eye"]
    figures = keypoint_metrics([result(people[0], 99, slice(0, 2))], content)
    assert figures["PCK"] == 1 and "nose" not in figures["per_joint"] and len(figures["per_joint"]) == 15


def test_several_people_in_a_picture_need_stated_pairs() -> None:
    people = [person(1, 1), person(2, 1)]
    rows = [result(people[1], annotation_id=2), result(people[0], annotation_id=1)]
    assert keypoint_metrics(rows, labels(people))["PCK"] == 1
    assert keypoint_metrics(rows[:1], labels(people))["PCK"] == 0.5
    with pytest.raises(ValueError, match="state the annotation_id of each"):
        keypoint_metrics([result(people[0])], labels(people))
    assert keypoint_metrics([], labels(people))["missing"] == 2
