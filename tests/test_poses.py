from __future__ import annotations

import dataclasses
import json
import sys
import types
from typing import Any

import numpy as np
import pytest

from edgepose.geometry import crop_matrices, invert, mirror
from edgepose.poses import Poses, confidence
from edgepose.skeleton import BOX, COCO


def people(n: int, ids: bool = False) -> Poses:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, (n, 2))
    return Poses(
        keypoints=rng.uniform(0, 100, (n, 17, 2)),
        scores=rng.uniform(0, 1, (n, 17)),
        boxes=np.concatenate([corners, corners + rng.uniform(1, 50, (n, 2))], axis=1),
        person_scores=rng.uniform(0, 1, n),
        ids=np.arange(n) * 10 if ids else None,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": np.zeros((2, 17, 3))}, r"Poses.keypoints must have shape \(2, 17, 2\), got \(2, 17, 3\)"),
        ({"keypoints": np.zeros((2, 16, 2))}, r"Poses.keypoints must have shape \(2, 17, 2\)"),
        ({"scores": np.zeros((2, 16))}, r"Poses.scores must have shape \(2, 17\), got \(2, 16\)"),
        ({"boxes": np.zeros((3, 4))}, r"Poses.boxes must have shape \(2, 4\), got \(3, 4\)"),
        ({"person_scores": np.zeros((2, 1))}, r"Poses.person_scores must have shape \(2,\), got \(2, 1\)"),
        ({"person_scores": 0.5}, r"must have shape \(1, 17, 2\), got \(2, 17, 2\)"),
        ({"ids": np.zeros(3)}, r"Poses.ids must have shape \(2,\), got \(3,\)"),
        ({"skeleton": BOX}, r"Poses.keypoints must have shape \(2, 0, 2\), got \(2, 17, 2\)"),
    ],
)
def test_shapes_are_checked_once(change: dict[str, Any], message: str) -> None:
    fields = {"keypoints": np.zeros((2, 17, 2)), "scores": np.zeros((2, 17)), "boxes": np.zeros((2, 4))}
    with pytest.raises(ValueError, match=message):
        Poses(**(fields | {"person_scores": np.zeros(2)} | change))


def test_numbers_become_float32_and_lists_are_welcome() -> None:
    poses = Poses([[[1, 2]] * 17], [[1] * 17], [[0, 0, 1, 1]], [1], ids=[7])  # type: ignore[arg-type]
    columns = (poses.keypoints, poses.scores, poses.boxes, poses.person_scores)
    assert {column.dtype for column in columns} == {np.dtype(np.float32)}
    assert poses.ids is not None and poses.ids.dtype == np.int64
    assert len(poses) == 1 and poses.skeleton is COCO


def test_nobody_is_a_value() -> None:
    nobody = Poses.nobody()
    assert len(nobody) == 0 and nobody.keypoints.shape == (0, 17, 2) and nobody.ids is None
    assert list(nobody) == [] and len(nobody[:0]) == len(nobody[np.zeros(0, bool)]) == 0
    assert len(nobody.mapped(np.eye(2, 3))) == len(nobody.mapped(np.zeros((0, 2, 3)))) == 0
    assert nobody.areas().shape == (0,) and nobody.keypoint_boxes().shape == (0, 4)
    assert Poses.nobody(BOX).keypoints.shape == (0, 0, 2)


def test_what_a_prompt_shows_fits_on_a_line() -> None:
    three, one = people(3), people(1, ids=True)
    three.person_scores[:] = 0.501, 0.25, 0.877
    one.person_scores[:] = 0.5
    assert repr(three) == "<Poses: 3 people, 17 keypoints of 'coco', scores 0.25 to 0.88>"
    assert repr(one) == "<Poses: 1 person, 17 keypoints of 'coco', score 0.50, tracked>"
    assert repr(Poses.nobody(BOX)) == "<Poses: 0 people, 0 keypoints of 'box'>"


def test_indexing() -> None:
    poses = people(4, ids=True)
    for index in (2, -2, np.int64(2), [2], slice(2, 3), np.array([False, False, True, False])):
        one = poses[index]
        assert len(one) == 1 and np.array_equal(one.keypoints[0], poses.keypoints[2])
        assert one.ids is not None and one.ids.tolist() == [20]
    assert np.array_equal(poses[[3, 0]].person_scores, poses.person_scores[[3, 0]])
    assert people(2)[0].ids is None and poses[-1].ids.tolist() == [30]  # type: ignore[union-attr]


def test_keypoints_by_name() -> None:
    poses = people(3)
    wrists = poses["left_wrist"]
    assert wrists.shape == (3, 3) and wrists.dtype == np.float32
    assert np.array_equal(wrists[:, :2], poses.keypoints[:, 9]) and np.array_equal(wrists[:, 2], poses.scores[:, 9])
    assert Poses.nobody()["nose"].shape == (0, 3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("left_wirst", "skeleton 'coco' has no keypoint 'left_wirst' (did you mean 'left_wrist'?), expected one of"),
        ("Nose", "(did you mean 'nose'?)"),
        ("tail", "no keypoint 'tail', expected one of ['nose', 'left_eye', "),
    ],
)
def test_a_keypoint_that_is_not_there(name: str, message: str) -> None:
    with pytest.raises(KeyError) as caught:
        people(2)[name]
    assert message in caught.value.args[0]


def test_concatenated() -> None:
    first, second = people(2, ids=True), people(3, ids=True)
    both = Poses.concatenate([first, second[::-1]])
    assert both.ids is not None and both.ids.tolist() == [0, 10, 20, 10, 0]
    for name in ("keypoints", "scores", "boxes", "person_scores"):
        assert np.array_equal(getattr(both[:2], name), getattr(first, name))
        assert np.array_equal(getattr(both[2:], name), getattr(second, name)[::-1])
    assert Poses.concatenate([first, people(1)]).ids is None
    assert Poses.concatenate([first, Poses.nobody()]).ids.tolist() == [0, 10]  # type: ignore[union-attr]
    assert len(Poses.concatenate([Poses.nobody(BOX)])) == 0 and Poses.concatenate([Poses.nobody(BOX)]).skeleton is BOX


def test_what_cannot_be_concatenated() -> None:
    with pytest.raises(ValueError, match="expected Poses of one skeleton, got 'coco' and 'box'"):
        Poses.concatenate([people(2), Poses.nobody(BOX)])
    with pytest.raises(ValueError, match="expected at least one Poses to concatenate, got none"):
        Poses.concatenate([])


def test_plain_python() -> None:
    poses = people(2, ids=True)
    poses.keypoints[0, 0], poses.scores[0, 0] = (12.3456, 7.891), 0.98766
    poses.keypoints[1, 3] = np.nan, 4
    poses.boxes[1], poses.person_scores[1] = (1.005, 2, np.inf, 4), 0.5
    found = poses.to_dict()
    assert list(found) == ["people"] and [list(person) for person in found["people"]] == [
        ["id", "score", "box", "keypoints"],
        ["id", "score", "box", "keypoints"],
    ]
    first, second = found["people"]
    assert first["id"] == 0 and second["id"] == 10 and second["score"] == 0.5 and second["box"][1:] == [2.0, 0.0, 4.0]
    assert first["keypoints"][0] == [12.35, 7.89, 0.9877] and second["keypoints"][3] == [0.0, 0.0, 0.0]
    assert len(first["keypoints"]) == 17 and json.loads(poses.to_json()) == found
    assert people(1).to_dict()["people"][0]["id"] is None and Poses.nobody().to_json() == '{"people": []}'


@pytest.mark.parametrize("index", [4, -5])
def test_a_person_who_is_not_there(index: int) -> None:
    with pytest.raises(IndexError, match=f"person {index} of 4"):
        people(4)[index]


def test_iterating_ends() -> None:
    poses = people(3)
    assert [len(p) for p in poses] == [1, 1, 1]
    assert [float(p.person_scores[0]) for p in poses] == poses.person_scores.tolist()


@pytest.mark.parametrize("warp", ["box", "udp", "dark"])
def test_mapped_there_and_back(warp: str) -> None:
    poses = people(3, ids=True)
    matrices = crop_matrices(poses.boxes, (192, 256), warp=warp)
    back = poses.mapped(matrices).mapped(invert(matrices))
    assert np.allclose(back.keypoints, poses.keypoints, atol=1e-3)
    assert np.allclose(back.boxes, poses.boxes, atol=1e-3)
    assert np.array_equal(back.scores, poses.scores) and np.array_equal(back.ids, poses.ids)  # type: ignore[arg-type]


def test_boxes_stay_upright_when_mirrored_or_turned() -> None:
    poses = people(2)
    mirrored = poses.mapped(mirror(100))
    assert (mirrored.boxes[:, 2:] > mirrored.boxes[:, :2]).all()
    assert np.allclose(mirrored.boxes[:, 0], 99 - poses.boxes[:, 2], atol=1e-4)
    turned = poses.mapped(np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]))
    assert np.allclose(turned.areas(), poses.areas(), rtol=1e-4)


def test_keypoint_boxes_follow_the_threshold() -> None:
    keypoints = np.zeros((1, 17, 2))
    keypoints[0, :3] = [[1, 2], [5, 8], [90, 90]]
    scores = np.zeros((1, 17))
    scores[0, :3] = [0.9, 0.6, 0.1]
    poses = Poses(keypoints, scores, np.zeros((1, 4)), np.ones(1))
    assert poses.keypoint_boxes(0.5).tolist() == [[1, 2, 5, 8]]
    assert poses.keypoint_boxes().tolist() == [[1, 2, 90, 90]]
    assert poses.keypoint_boxes(1.0).tolist() == [[0, 0, 0, 0]]


def test_people_of_boxes_alone() -> None:
    poses = Poses.of_boxes(np.array([[1, 2, 3, 4], [5, 6, 7, 8]]), np.array([0.5, 0.25]))
    assert poses.skeleton is BOX and poses.keypoints.shape == (2, 0, 2) and poses.scores.shape == (2, 0)
    assert poses.boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]] and poses.person_scores.tolist() == [0.5, 0.25]
    assert poses.ids is None and len(Poses.of_boxes(np.zeros((0, 4)), np.zeros(0))) == 0


def test_confidence_is_the_mean_of_the_sure_ones() -> None:
    scores = np.array([[0.9, 0.2, 0.5], [0.1, 0.2, -3.0], [1.2, 0.1, 0.1]], np.float32)
    assert np.allclose(confidence(scores), [0.7, 0, 1.2])
    assert confidence(np.zeros((0, 17), np.float32)).shape == (0,)


def test_rows_are_flat_and_may_begin_with_more() -> None:
    poses = people(2)
    rows = poses.rows(frame=7)
    assert [row["frame"] for row in rows] == [7, 7] and list(rows[0])[:4] == ["frame", "person", "id", "score"]
    assert len(rows[0]) == 1 + 3 + 4 + 3 * 17
    for i, (row, person) in enumerate(zip(rows, poses.to_dict()["people"], strict=True)):
        assert row["person"] == i and [row["x1"], row["y1"], row["x2"], row["y2"]] == person["box"]
        assert [row["nose_x"], row["nose_y"], row["nose_score"]] == person["keypoints"][0]
    assert Poses.nobody().rows() == []


def test_supervision_gets_its_own_types(monkeypatch: pytest.MonkeyPatch) -> None:
    class KeyPoints:
        def __init__(self, xy: object, class_id: object, confidence: object, data: object) -> None:
            self.given = xy, class_id, confidence, data

    class Detections:
        def __init__(self, **given: object) -> None:
            self.given = given

    stand_in = types.SimpleNamespace(KeyPoints=KeyPoints, Detections=Detections)
    monkeypatch.setitem(sys.modules, "supervision", stand_in)
    poses = dataclasses.replace(people(2), ids=[4, 5])
    points, classes, scores, data = poses.to_supervision().given
    assert (points == poses.keypoints).all() and (scores == poses.scores).all() and classes.tolist() == [0, 0]
    assert data["id"].tolist() == [4, 5] and data["score"] is poses.person_scores
    boxes = poses.to_supervision(boxes=True).given
    assert boxes["xyxy"] is poses.boxes and boxes["tracker_id"] is poses.ids
    plain = Poses.of_boxes(np.array([[1.0, 2, 3, 4]]), np.array([0.5])).to_supervision()
    assert isinstance(plain, Detections) and plain.given["tracker_id"] is None
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ModuleNotFoundError, match="pip install supervision"):
        poses.to_supervision()


def test_supervision_and_pandas_take_it() -> None:
    pandas = pytest.importorskip("pandas")
    poses = dataclasses.replace(people(3), ids=[4, 5, 6])
    table = pandas.DataFrame(poses.rows(time=0.5))
    assert table.shape == (3, 1 + 3 + 4 + 51) and table["id"].tolist() == [4, 5, 6]
    supervision = pytest.importorskip("supervision")
    points = poses.to_supervision()
    assert isinstance(points, supervision.KeyPoints) and len(points) == 3
    assert points.xy.shape == (3, 17, 2) and points.data["id"].tolist() == [4, 5, 6]
    found = poses.to_supervision(boxes=True)
    assert isinstance(found, supervision.Detections) and found.tracker_id.tolist() == [4, 5, 6]
    assert len(found[found.confidence > 0]) == int((poses.person_scores > 0).sum())
