"""Results as labels: what a model was sure of, under names that labelling tools find."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgepose.data.read import read
from edgepose.media.prelabels import CocoLabels
from edgepose.media.results import FORMATS, Result, writer
from edgepose.poses import Poses
from edgepose.skeleton import COCO, Skeleton


def poses(skeleton: Skeleton = COCO) -> Poses:
    k = len(skeleton)
    points = np.stack([np.full((2, k), 20.0), np.arange(2 * k).reshape(2, k) + 5.0], axis=-1)
    scores = np.full((2, k), 0.9)
    scores[0, 1:3] = 0.2, 0.05
    return Poses(points, scores, np.array([[10, 5, 40, 45], [1, 2, 33, 44.0]]), np.array([0.8, 0.6]), skeleton)


def test_labels_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    with CocoLabels(path) as file:
        file.write(Result("set/pictures/a/1.jpg", 0, None, 64, 48, poses()))
        file.write(Result("set/pictures/b/1.jpg", 0, None, 64, 48, Poses.nobody(COCO)))
        film = Result("set/pictures/film.mp4", 12, 0.5, 64, 48, poses(), guessed=np.array([True, False]))
        file.write(film)
    people = read(path)
    assert people.skeleton is COCO
    assert [name for _, name in people.files] == ["a/1.jpg", "b/1.jpg", "film_f000012_t000500ms.jpg"]
    assert people.picture.tolist() == [0, 0, 2] and people.codes[0, :4].tolist() == [2, 1, 0, 2]
    assert people.keypoints[0, 0].tolist() == [20, 5] and people.boxes[0].tolist() == [10, 5, 40, 45]
    assert people.weights[0, :2] == pytest.approx([0.9, 0.2]) and people.sizes[0].tolist() == [64, 48]


def test_own_keypoints_keep_their_names(tmp_path: Path) -> None:
    own = Skeleton("tool", ("grip", "left_tip", "right_tip"), ((0, 1), (0, 2)))
    with CocoLabels(tmp_path / "labels.json") as file:
        file.write(Result("a.jpg", 0, None, 64, 48, poses(own)))
    found = read(tmp_path / "labels.json")
    assert found.skeleton.names == own.names and found.skeleton.limbs == own.limbs and found.files[0][1] == "a.jpg"


def test_what_is_finished_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    with pytest.raises(KeyboardInterrupt), CocoLabels(path) as file:
        file.write(Result("a.jpg", 0, None, 64, 48, replace(poses())))
        raise KeyboardInterrupt
    assert len(json.loads(path.read_text())["annotations"]) == 2
    with pytest.raises(KeyboardInterrupt), CocoLabels(tmp_path / "none.json"):
        raise KeyboardInterrupt
    assert not (tmp_path / "none.json").exists()
    with CocoLabels(tmp_path / "empty.json"):
        pass
    assert json.loads((tmp_path / "empty.json").read_text())["images"] == []


def test_it_is_a_format_of_predict() -> None:
    assert FORMATS["coco-labels"] == (CocoLabels, "labels.json")


def test_labels_are_of_what_the_model_finds(tmp_path: Path) -> None:
    made, path = writer("coco-labels", tmp_path, subject="mouse")
    with made:
        made.write(Result("a.jpg", 0, None, 64, 48, Poses.nobody()))
    assert [category["name"] for category in json.loads(path.read_text())["categories"]] == ["mouse"]
