from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgepose.evaluate.coco import coco_ap
from edgepose.evaluate.keypoints import keypoint_metrics
from edgepose.evaluate.labels import PARTS
from edgepose.evaluate.run import _crop_areas, results_of, row_skeleton, run
from edgepose.geometry import fixed_aspect
from edgepose.oks import oks_nms
from edgepose.poses import Poses, confidence
from edgepose.skeleton import COCO, COCO19, CROWDPOSE, HALPE26, MPII, SKELETONS, WHOLEBODY, Skeleton
from edgepose.spec import ModelSpec
from tests.goldens import algorithm_cases

SIZE = (160, 120)


class Perfect:
    """An estimator that knows the labels: pictures are told apart by the gray level they are filled with."""

    def __init__(self, labels: dict[str, Any], per_person: bool = True, skeleton: str = "coco") -> None:
        self.spec = ModelSpec("perfect", "simcc", (192, 256), skeleton=skeleton, per_person=per_person)
        self.people: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in labels["images"]}
        for annotation in labels["annotations"]:
            self.people[annotation["image_id"]].append(annotation)
        self.boxes: list[np.ndarray | None] = []
        self.confidence = 0.5

    def __call__(
        self, image: np.ndarray, boxes: np.ndarray | None = None, box_scores: np.ndarray | None = None
    ) -> Poses:
        self.boxes.append(boxes)
        k = len(self.spec.keypoints)
        people = [a for a in self.people[int(image[0, 0, 0])] if any(a["keypoints"][2::3])]
        known = np.array([a["keypoints"][: 3 * k] for a in people], np.float64).reshape(-1, k, 3)[..., :2]
        extents = np.array([a["bbox"] for a in people], np.float64).reshape(-1, 4)
        extents[:, 2:] += extents[:, :2]
        if boxes is not None:  # whoever stands nearest to each box
            apart = np.abs(boxes[:, None] - extents[None]).sum(-1)
            known, extents = known[apart.argmin(1)], boxes
        scores = np.full((len(known), k), self.confidence, np.float32)
        sure = confidence(scores) * (1 if box_scores is None else box_scores)
        return Poses(known, scores, extents, sure, self.spec.keypoints)


def write_set(folder: Path, skeleton: Any = COCO, people: tuple[int, ...] = (2, 0, 1, 3)) -> dict[str, Any]:
    """Pictures 1.png, 2.png, ... filled with their id, and their labels."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for i, count in enumerate(people, start=1):
        cv2.imwrite(str(folder / f"{i}.png"), np.full((SIZE[1], SIZE[0], 3), i, np.uint8))
        images.append({"id": i, "file_name": f"{i}.png", "width": SIZE[0], "height": SIZE[1]})
        for _ in range(count):
            box = [*rng.uniform(0, 60, 2), *rng.uniform(40, 60, 2)]
            points = np.full((len(skeleton), 3), 2.0)
            points[:, :2] = np.array(box[:2]) + rng.uniform(0, 1, (len(skeleton), 2)) * box[2:]
            identity = 100 + len(annotations)
            row = {"id": identity, "image_id": i, "category_id": 1, "iscrowd": 0, "area": box[2] * box[3] / 2}
            annotations.append(row | {"bbox": box, "keypoints": points.ravel().tolist(), "num_keypoints": len(points)})
    category = {"id": 1, "name": "person", "keypoints": list(skeleton.names)}
    return {"images": images, "annotations": annotations, "categories": [category]}


@pytest.mark.parametrize(
    ("per_person", "boxes"), [(True, "gt"), (True, "detector"), (False, "gt"), (False, "detector")]
)
def test_a_perfect_estimator_has_ap_one(tmp_path: Path, per_person: bool, boxes: str) -> None:
    pytest.importorskip("hotcoco")
    labels = write_set(tmp_path)
    estimator = Perfect(labels, per_person)
    rows = results_of(estimator, labels, tmp_path, boxes)
    assert np.isclose(coco_ap(rows, labels)["AP"], 1) and len(rows) == 6
    assert {len(row["keypoints"]) for row in rows} == {51} and {row["category_id"] for row in rows} == {1}
    json.dumps(rows)  # plain numbers
    asked = [b is not None for b in estimator.boxes]
    assert asked == ([True] * 3 if per_person and boxes == "gt" else [False] * 4)  # an empty picture has no boxes


def test_labelled_people_only_cut_to_the_picture(tmp_path: Path) -> None:
    labels = write_set(tmp_path, people=(3,))
    crowd, blank, big = labels["annotations"]
    crowd["iscrowd"] = 1
    blank |= {"keypoints": [0] * 51, "num_keypoints": 0}
    big["bbox"] = [-20, 10, 400, 500]
    estimator = Perfect(labels)
    (row,) = results_of(estimator, labels, tmp_path)
    assert estimator.boxes[0] is not None and estimator.boxes[0].tolist() == [[0, 10, 159, 119]]
    assert row["annotation_id"] == big["id"] and row["score"] == 0.5
    outside = labels | {"annotations": [big | {"bbox": [500, 500, 10, 10]}, big | {"bbox": [5, 5, 0, 9]}]}
    assert results_of(estimator, outside, tmp_path) == []


def test_boxes_of_a_file_lend_their_scores(tmp_path: Path) -> None:
    labels = write_set(tmp_path, people=(1, 1))
    rows = [
        {"image_id": a["image_id"], "category_id": 1, "bbox": a["bbox"], "score": 0.8} for a in labels["annotations"]
    ]
    rows += [rows[0] | {"category_id": 2}, rows[0] | {"image_id": 77}]  # a dog, and another picture
    rows[1]["bbox"] = [-20, -20, 400, 400]  # not cut
    (tmp_path / "boxes.json").write_text(json.dumps(rows), encoding="utf-8")
    estimator = Perfect(labels)
    outcome = run(estimator, labels, tmp_path, tmp_path / "boxes.json")
    assert [row["score"] for row in outcome.results] == pytest.approx([0.4, 0.4])
    assert "annotation_id" not in outcome.results[0]
    assert estimator.boxes[1] is not None and estimator.boxes[1].tolist() == [[-20, -20, 380, 380]]


def test_double_people_are_suppressed_only_for_per_person_models(tmp_path: Path) -> None:
    labels = write_set(tmp_path, people=(1,))
    labels["annotations"].append(labels["annotations"][0] | {"id": 7})
    assert len(run(Perfect(labels), labels, tmp_path).results) == 2  # the labels tell them apart
    assert len(run(Perfect(labels), labels, tmp_path, suppression=0.9).results) == 1
    rows = [a | {"score": 0.8} for a in labels["annotations"]]
    (tmp_path / "boxes.json").write_text(json.dumps(rows), encoding="utf-8")
    assert len(results_of(Perfect(labels), labels, tmp_path, tmp_path / "boxes.json")) == 1
    assert len(results_of(Perfect(labels, per_person=False), labels, tmp_path)) == 2


def test_published_rescoring_and_suppression() -> None:
    """Box score x mean of the sure keypoint scores, then suppression by the area of the padded crop."""
    cases = [c for c in algorithm_cases("eval/topdown_rescore_nms") if c.name == "c00"]
    for case in cases:
        arrays = case.inputs
        scores = arrays["box_scores"] * confidence(arrays["keypoint_scores"])
        kept: list[int] = []
        for image in dict.fromkeys(arrays["image"].tolist()):
            rows = np.flatnonzero(arrays["image"] == image)
            best = oks_nms(arrays["keypoints"][rows], scores[rows], arrays["areas"][rows], COCO.sigmas, 0.9)
            kept += rows[best].tolist()
        assert kept == case.outputs["kept"].tolist()
        assert np.allclose(scores[kept], case.outputs["kept_score"], atol=1e-6)


def test_the_area_of_the_padded_crop() -> None:
    spec = ModelSpec("mine", "simcc", (192, 256), per_person=True)
    boxes = np.array([[0, 0, 100, 40], [10, 10, 40, 210]], np.float32)
    scales = fixed_aspect((boxes[:, 2:] - boxes[:, :2]) * 1.25, (192, 256))
    assert np.allclose(_crop_areas(boxes, spec), scales.prod(axis=1))
    assert _crop_areas(np.zeros((0, 4)), spec).shape == (0,)


def test_unreadable_pictures_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    labels = write_set(tmp_path, people=(1, 1, 1))
    (tmp_path / "1.png").unlink()
    (tmp_path / "2.png").write_bytes(b"no picture")
    outcome = run(Perfect(labels), labels, tmp_path)
    assert list(outcome.unreadable) == ["1.png", "2.png"] and outcome.images == outcome.people == 1
    assert [row["image_id"] for row in outcome.results] == [3]
    (tmp_path / "3.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"none of 3 pictures can be read from .*; 1\.png:"):
        run(Perfect(labels), labels, tmp_path)


def test_pictures_in_a_zip(tmp_path: Path) -> None:
    labels = write_set(tmp_path, people=(1, 1))
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        archive.write(tmp_path / "1.png", "1.png")
    outcome = run(Perfect(labels), labels, tmp_path / "pictures.zip")
    assert len(outcome.results) == 1 and list(outcome.unreadable) == ["2.png"]


def test_nobody_anywhere(tmp_path: Path) -> None:
    pytest.importorskip("hotcoco")
    labels = write_set(tmp_path, people=(0, 0))
    for boxes in ("gt", "detector"):
        outcome = run(Perfect(labels), labels, tmp_path, boxes)
        assert outcome.results == [] and outcome.images == 2 and outcome.unreadable == {}
        assert coco_ap(outcome.results, labels)["AP"] == -1
    assert run(Perfect(labels), labels | {"images": []}, tmp_path).images == 0


def test_some_pictures_and_progress(tmp_path: Path) -> None:
    labels = write_set(tmp_path)
    calls: list[tuple[int, int]] = []
    outcome = run(Perfect(labels), labels, tmp_path, image_ids=[1, 3], progress=lambda *c: calls.append(c))
    assert {row["image_id"] for row in outcome.results} == {1, 3} and calls == [(0, 2), (1, 2), (2, 2)]


def test_annotations_from_a_file_and_pck(tmp_path: Path) -> None:
    labels = write_set(tmp_path, COCO19)
    (tmp_path / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    rows = results_of(Perfect(labels), tmp_path / "labels.json", tmp_path)
    assert {len(row["keypoints"]) for row in rows} == {51}  # the model's 17 of the 19 labelled
    assert keypoint_metrics(rows, tmp_path / "labels.json")["PCK"] == 1  # paired by annotation_id


@pytest.mark.parametrize(
    ("model", "annotated", "expected"),
    [
        (COCO, COCO19, COCO),
        (COCO19, COCO, COCO),
        (HALPE26, COCO, COCO),
        (MPII, COCO, COCO),
        (COCO, CROWDPOSE, CROWDPOSE),
        (WHOLEBODY, WHOLEBODY, WHOLEBODY),
        (COCO, WHOLEBODY, COCO),
    ],
    ids=lambda s: s.name,
)
def test_rows_speak_the_annotations_language(model: Any, annotated: Any, expected: Any) -> None:
    names = COCO.names if annotated is WHOLEBODY else annotated.names
    annotation = {field: [] for field, _ in PARTS.values()} if annotated is WHOLEBODY else {}
    labels = {"annotations": [annotation], "categories": [{"keypoints": list(names)}]}
    assert row_skeleton(labels, model) is expected


def test_another_skeleton_is_matched_by_name(tmp_path: Path) -> None:
    labels = write_set(tmp_path, CROWDPOSE, people=(1,))
    names = [name.replace("top_head", "head") for name in CROWDPOSE.names]  # as the official file calls it
    labels["categories"][0]["keypoints"] = names
    estimator = Perfect(labels, per_person=False, skeleton="crowdpose")
    estimator.spec = ModelSpec("mine", "simcc", (192, 256), skeleton="coco")
    estimator.people[1][0] = estimator.people[1][0] | {"keypoints": np.arange(51).tolist()}
    (row,) = results_of(estimator, labels, tmp_path, "detector")
    table = np.array(row["keypoints"]).reshape(14, 3)
    assert table[:12, 0].tolist() == [3 * i for i in range(5, 17)]  # COCO's 5 to 16
    assert (table[:12, 2] == 0.5).all() and (table[12:] == 0).all()
    with pytest.raises(ValueError, match="none of which the model finds"):
        row_skeleton(labels, SKELETONS["box"])


def test_labels_without_names_may_be_of_the_models_keypoints() -> None:
    """As of a data.yaml that has only `kpt_shape`: the sentence says how to name them."""
    numbered = [f"point_{i + 1}" for i in range(3)]
    labels = {"annotations": [{}], "categories": [{"keypoints": numbered}]}
    with pytest.raises(ValueError, match=r"name none of their 3 keypoints, .* finds as many .* --skeleton FILE"):
        row_skeleton(labels, Skeleton("tool", ("tip", "hinge", "end")))
    with pytest.raises(ValueError, match="none of which the model finds"):
        row_skeleton(labels, Skeleton("tool", ("tip", "end")))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected gt, detector, or a COCO detection file"),
        ("{", "is not JSON"),
        ('[{"image_id": 1}]', "has rows without image_id, bbox or score"),
    ],
)
def test_wrong_boxes(tmp_path: Path, content: str | None, message: str) -> None:
    labels = write_set(tmp_path)
    if content is not None:
        (tmp_path / "boxes.json").write_text(content, encoding="utf-8")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        results_of(Perfect(labels), labels, tmp_path, tmp_path / "boxes.json")


def test_an_estimator_that_drops_boxes_is_refused(tmp_path: Path) -> None:
    labels = write_set(tmp_path, people=(2,))

    class Dropping(Perfect):
        def __call__(
            self, image: np.ndarray, boxes: np.ndarray | None = None, box_scores: np.ndarray | None = None
        ) -> Poses:
            return super().__call__(image, boxes)[:1]

    with pytest.raises(ValueError, match="gave 1 people for 2 boxes: build it without suppression"):
        results_of(Dropping(labels), labels, tmp_path)
