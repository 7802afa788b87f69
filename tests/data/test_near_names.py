"""Keypoint names that are nearly a built-in skeleton's are told, with what they seem to mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.data.check import check
from edgepose.data.columns import Choice
from edgepose.data.near_names import near_skeleton, nearly
from edgepose.data.read import read
from edgepose.evaluate.run import row_skeleton
from edgepose.skeleton import AP10K, COCO, CROWDPOSE, SKELETONS, Skeleton


def misspelt(wrong: str, right: str) -> list[str]:
    return [wrong if name == right else name for name in COCO.names]


WRITTEN = {
    "a letter": misspelt("left_wirst", "left_wrist"),
    "a side": misspelt("rigth_knee", "right_knee"),
    "plural": misspelt("left_hips", "left_hip"),
    "numbers before": [f"{i}_{name}" for i, name in enumerate(COCO.names)],
    "numbers behind": [f"{name}_{i + 1}" for i, name in enumerate(COCO.names)],
    "a word before": [f"kp_{name}" for name in COCO.names],
    "words around": [f"person.{name}.point" for name in COCO.names],
    "both": [f"kp{i}-{name}".replace("left_ankle", "left_ankel") for i, name in enumerate(COCO.names)],
}


@pytest.mark.parametrize("case", WRITTEN)
def test_what_was_meant_is_found(case: str) -> None:
    near = near_skeleton(WRITTEN[case])
    assert near is not None and near[0] is COCO and list(near[1].values()) == list(COCO.names)
    name = next(own for own, known in near[1].items() if own != known)
    assert f"{name!r} for {near[1][name]}" in nearly(WRITTEN[case]) and "did you mean" in nearly(WRITTEN[case])


@pytest.mark.parametrize(
    "names",
    [
        ["grip", "left_tip", "right_tip"],
        ["snout", "left_ear", "right_ear", "tail_base"],
        ["nose", "left_eye", "right_eye"],  # some of COCO's, rightly written
        [*COCO.names, "tail"],
        misspelt("left_paw", "left_ankle"),  # another point
        misspelt("left_hand", "left_wrist"),
        [f"point_{i}" for i in range(17)],
        ["a"],
        *(list(skeleton.names) for skeleton in SKELETONS.values()),
        list(reversed(COCO.names)),
    ],
)
def test_names_of_ones_own_and_right_ones_are_not(names: list[str]) -> None:
    assert near_skeleton(names) is None and nearly(names) == ""


def test_the_nearest_skeleton_is_named() -> None:
    animal = [name.replace("root_of_tail", "root_of_tial") for name in AP10K.names]
    crowd = [f"{i}_{name}" for i, name in enumerate(CROWDPOSE.names)]
    assert [near_skeleton(names)[0].name for names in (animal, crowd)] == ["ap10k", "crowdpose"]  # type: ignore[index]


def labels(names: list[str]) -> dict[str, Any]:
    points = [v for i in range(len(names)) for v in (20 + i, 30 + 2 * i, 2)]
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 100}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20, 60, 60], "area": 900,
                         "keypoints": points}],
        "categories": [{"id": 1, "name": "person", "keypoints": names}],
    }  # fmt: skip


def test_it_is_told_by_every_command_and_a_stated_skeleton_takes_them(tmp_path: Path) -> None:
    names = ["1_right_eye", "0_nose", *(f"{i}_{name}" for i, name in enumerate(COCO.names) if i not in (0, 2))]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(labels(names)))
    report = check(path)
    assert report.harmful and "'0_nose' for nose" in report.found["names"][0]
    assert read(path).skeleton.names == tuple(names) and "'0_nose' for nose" in read(path).notes[0]
    with pytest.raises(ValueError, match="did you mean these"):
        row_skeleton(labels([f"{i}_{name}" for i, name in enumerate(COCO.names)]), COCO)
    people = read(path, choice=Choice(COCO))
    assert people.skeleton.names[:4] == ("right_eye", "nose", "left_eye", "left_ear")
    assert np.array_equal(people.skeleton.sigmas[:2], COCO.sigmas[[2, 0]])
    assert "'0_nose' for nose" in people.notes[0]


def test_a_stated_skeleton_of_some_other_names_says_what_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(labels(["grip", "left_tip", "end"])))
    people = read(path, choice=Choice(Skeleton("tool", ("grip", "left_tip", "right_tip"))))
    assert people.skeleton.names == ("grip", "left_tip", "end")
    assert "end are no keypoints of the given skeleton tool" in people.notes[0]
