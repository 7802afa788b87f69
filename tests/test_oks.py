from __future__ import annotations

import numpy as np

from edgepose.oks import oks, oks_nms
from edgepose.skeleton import COCO
from tests.goldens import algorithm_cases

RNG = np.random.default_rng(3)


def test_published_similarity_and_suppression() -> None:
    for case in algorithm_cases("eval/oks_iou_nms"):
        keypoints, areas = case.inputs["keypoints"][..., :2], case.inputs["areas"]
        similar = oks(keypoints, keypoints, (areas[:, None] + areas[None]) / 2, COCO.sigmas)
        assert np.allclose(similar, case.outputs["oks"], atol=1e-6), case.name
        for threshold, key in ((0.9, "keep_09"), (0.5, "keep_05")):
            kept = oks_nms(keypoints, case.inputs["scores"], areas, COCO.sigmas, threshold)
            assert kept.tolist() == case.outputs[key].tolist(), (case.name, threshold)


def test_a_pose_is_like_itself() -> None:
    keypoints = RNG.uniform(0, 100, (4, 17, 2))
    similar = oks(keypoints, keypoints, np.full(4, 900.0), COCO.sigmas)
    assert np.allclose(np.diag(similar), 1) and ((similar >= 0) & (similar <= 1)).all()
    assert np.allclose(similar, similar.T)


def test_one_standard_distance_is_exp_of_minus_a_half() -> None:
    keypoints, area = RNG.uniform(0, 100, (1, 17, 2)), 1600.0
    shifted = keypoints + np.stack([2 * COCO.sigmas * np.sqrt(area), np.zeros(17)], axis=-1)
    assert np.allclose(oks(keypoints, shifted, np.array([area]), COCO.sigmas), np.exp(-0.5))


def test_invisible_keypoints_do_not_count() -> None:
    keypoints = RNG.uniform(0, 100, (2, 17, 2))
    moved = keypoints.copy()
    moved[:, 5:] += 1e4
    visible = np.zeros((2, 17))
    visible[0, :5] = 2
    similar = oks(keypoints, moved, np.full(2, 900.0), COCO.sigmas, visible)
    assert np.isclose(similar[0, 0], 1) and (similar[1] == 0).all()
    three = np.broadcast_to(visible[:, None], (2, 2, 17))
    assert np.array_equal(similar, oks(keypoints, moved, np.full(2, 900.0), COCO.sigmas, three))


def test_a_person_without_area_is_no_division_by_zero() -> None:
    keypoints = RNG.uniform(0, 100, (2, 17, 2))
    assert oks(keypoints, keypoints, np.zeros(2), COCO.sigmas).tolist() == [[1, 0], [0, 1]]


def test_duplicates_go_and_the_better_one_stays() -> None:
    keypoints = np.tile(RNG.uniform(0, 100, (1, 17, 2)), (3, 1, 1))
    keypoints[1] += 500
    areas = np.full(3, 900.0)
    assert oks_nms(keypoints, np.array([0.5, 0.7, 0.9]), areas, COCO.sigmas).tolist() == [2, 1]
    assert oks_nms(keypoints, np.array([0.9, 0.9, 0.9]), areas, COCO.sigmas).tolist() == [0, 1]  # ties keep their order


def test_nobody_and_no_keypoints() -> None:
    none = np.zeros((0, 17, 2))
    assert oks(none, np.zeros((3, 17, 2)), np.zeros(0), COCO.sigmas).shape == (0, 3)
    assert oks_nms(none, np.zeros(0), np.zeros(0), COCO.sigmas).shape == (0,)
    assert oks(np.zeros((2, 0, 2)), np.zeros((3, 0, 2)), np.ones(2), np.zeros(0)).tolist() == [[0] * 3] * 2
