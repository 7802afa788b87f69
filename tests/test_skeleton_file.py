from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from edgepose.skeleton import COCO, DEFAULT_SIGMA, SKELETONS, Skeleton
from edgepose.skeleton_file import (
    category_fields,
    fields_of,
    is_nameless,
    numbered,
    pairs_of_flip,
    read_skeleton,
    skeleton_of_category,
    skeleton_of_fields,
    skeleton_of_word,
    skeleton_of_yolo,
)

TOOL = ("grip", "left_tip", "right_tip")
LIMBS = ((0, 1), (0, 2))


def test_a_skeleton_of_ones_own_in_python() -> None:
    mine = Skeleton("tool", list(TOOL), [[0, 1], [0, 2]])  # type: ignore[arg-type]
    assert mine == Skeleton("tool", TOOL, LIMBS) and hash(mine) == hash(Skeleton("tool", TOOL, LIMBS))
    assert mine.oks_sigmas == (DEFAULT_SIGMA,) * 3 and mine.flip.tolist() == [0, 2, 1] and not mine.built_in
    assert Skeleton("head", ("leftEye", "nose")).oks_sigmas == (0.025, 0.026)  # COCO's, whose names they are
    assert Skeleton("odd", TOOL, pairs=()).flip.tolist() == [0, 1, 2]  # stated: nothing has a mirror image


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (((0, 3),), "the pair 0, 3 names a keypoint beyond 2"),
        (((1, 1),), "the pair left_tip, left_tip repeats a keypoint"),
        (((1, 2), (2, 0)), "the pair right_tip, grip repeats a keypoint"),
        (((0, 1),), "the pair grip, left_tip is against the names: the mirror image of left_tip is right_tip"),
    ],
)
def test_wrong_pairs_are_refused_by_name(pairs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Skeleton("tool", TOOL, pairs=pairs)


def test_two_of_one_side_are_no_pair() -> None:
    with pytest.raises(ValueError, match="the pair left_a, left_b is against the names: both are on the left"):
        Skeleton("tool", ("left_a", "left_b"), pairs=((0, 1),))


@pytest.mark.parametrize("skeleton", [s for s in SKELETONS.values() if len(s)], ids=lambda s: s.name)
def test_fields_and_categories_there_and_back(skeleton: Skeleton) -> None:
    assert skeleton_of_fields(json.loads(json.dumps(fields_of(skeleton))), "a.json") == skeleton
    assert skeleton_of_category(json.loads(json.dumps(category_fields(skeleton))), "a.json") is skeleton


@pytest.mark.parametrize("pairs", [None, (), ((1, 2),)])
def test_ones_own_there_and_back(pairs: Any) -> None:
    mine = Skeleton("tool", TOOL, LIMBS, (0.03, 0.04, 0.04), (1, 2), pairs)
    assert skeleton_of_fields(json.loads(json.dumps(fields_of(mine))), "a.json") == mine
    back = skeleton_of_category({"name": "tool"} | json.loads(json.dumps(category_fields(mine))), "a.json")
    assert back is not None and back.flip.tolist() == mine.flip.tolist()
    assert (back.limbs, back.oks_sigmas) == (mine.limbs, mine.oks_sigmas)


def test_a_file_says_it_by_name_or_place(tmp_path: Path) -> None:
    fields = {"name": "tool", "keypoints": TOOL, "limbs": [["grip", "left_tip"], [0, 2]], "pairs": [["left_tip", 2]],
              "sigmas": {"grip": 0.02}, "upper": ["grip"]}  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(fields))
    expected = Skeleton("tool", TOOL, LIMBS, (0.02, DEFAULT_SIGMA, DEFAULT_SIGMA), (0,), ((1, 2),))
    assert read_skeleton(tmp_path / "a.json") == expected == skeleton_of_word(str(tmp_path / "a.json"))
    assert skeleton_of_word("mpii") is SKELETONS["mpii"]
    (tmp_path / "b.json").write_text(json.dumps(TOOL))
    assert read_skeleton(tmp_path / "b.json") == Skeleton("b", TOOL)
    if sys.version_info >= (3, 11):
        (tmp_path / "c.toml").write_text('name = "tool"\nkeypoints = ["grip", "left_tip"]\nlimbs = [["grip", 1]]\n')
        assert read_skeleton(tmp_path / "c.toml") == Skeleton("tool", TOOL[:2], ((0, 1),))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ('"tool"', "holds a str"),
        ('{"keypoint": ["a"]}', r"has unknown fields \['keypoint'\]: expected the fields name, keypoints"),
        ('{"name": "a"}', "lacks `keypoints`"),
        ('{"keypoints": []}', r"`keypoints` is \[\], expected a list of names"),
        ('{"keypoints": ["a", "a"]}', "keypoint names repeat"),
        ('{"keypoints": ["a\\u001b[2J"]}', "expected text of 1 to 200 signs"),
        ('{"keypoints": ["a", "b"], "limbs": [["a", "c"]]}', "`limbs` names 'c', expected one of `keypoints`"),
        ('{"keypoints": ["a", "b"], "limbs": [[0, 2]]}', "`limbs` names 2, expected .* a place from 0 to 1"),
        ('{"keypoints": ["a", "b"], "limbs": [0, 1]}', "`limbs` has 0, expected two keypoints"),
        ('{"keypoints": ["a", "b"], "sigmas": [0.1]}', r"`sigmas` is \[0.1\], expected 2 numbers"),
        ('{"keypoints": ["a", "b"], "sigmas": [0.1, 0]}', "expected positive numbers"),
        ('{"keypoints": ["a", "b"], "sigmas": {"c": 1}}', r"`sigmas` names \['c'\]"),
        ('{"keypoints": ["l", "r"], "pairs": [["l", "l"]]}', "the pair l, l repeats a keypoint"),
        (json.dumps({"keypoints": [f"k{i}" for i in range(1001)]}), "names 1001, expected at most 1000"),
        (json.dumps({"keypoints": ["a", "b"], "limbs": [[0, 1]] * 2001}), "`limbs` is a list of 2001, expected a list"),
    ],
)
def test_wrong_files_are_refused_in_one_sentence(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_skeleton(path)
    assert "mine" in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_file_of_any_size_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(" " * 1_000_001)
    with pytest.raises(ValueError, match="has 1000001 bytes"):
        read_skeleton(tmp_path / "a.json")
    with pytest.raises(FileNotFoundError, match=r"expected a \.json or \.toml file"):
        read_skeleton(tmp_path / "b.json")
    with pytest.raises(ValueError, match=r"skeleton 'spider': expected a \.json or \.toml file"):
        skeleton_of_word("spider")


@pytest.mark.parametrize(
    ("limbs", "expected", "lost"),
    [
        ([[1, 2], [1, 3]], LIMBS, 0),  # COCO counts from 1
        ([[0, 1], [0, 2]], LIMBS, 0),  # some tools from 0
        ([[1, 2], [1, 2]], ((0, 1),), 0),
        ([[1, 4], [1, 3]], ((0, 2),), 1),
        ([[1, "a"], [2, 2], [1, 3]], ((0, 2),), 2),
        ([], (), 0),
        (None, (), 0),
        ("none", (), 1),
    ],
)
def test_limbs_of_a_category(limbs: Any, expected: Any, lost: int) -> None:
    notes: list[str] = []
    found = skeleton_of_category({"name": "tool", "keypoints": list(TOOL), "skeleton": limbs}, "a.json", notes)
    assert found == Skeleton("tool", TOOL, expected)
    assert bool(notes) == bool(lost) and all(f"{lost} limbs" in note for note in notes)


def test_categories_without_names_say_nothing() -> None:
    assert skeleton_of_category({"name": "person"}, "a.json") is None
    assert skeleton_of_category({"name": "person", "keypoints": []}, "a.json") is None


def test_data_yaml_of_yolo() -> None:
    coco = {"kpt_shape": [17, 3], "flip_idx": COCO.flip.tolist(), "names": {0: "person"}}
    assert skeleton_of_yolo(coco, "data.yaml") is COCO
    assert skeleton_of_yolo({"kpt_shape": [17, 3]}, "data.yaml") is COCO
    names = {0: list(TOOL), 1: list(TOOL)}
    own = {"kpt_shape": [3, 2], "kpt_names": names, "flip_idx": [0, 2, 1]}
    assert skeleton_of_yolo(own, "data.yaml", "tool") == Skeleton("tool", TOOL, pairs=((1, 2),))
    nameless = skeleton_of_yolo({"kpt_shape": [3, 3]}, "data.yaml")
    assert nameless.names == numbered(3) and is_nameless(nameless)
    told = skeleton_of_yolo({"kpt_shape": [3, 3], "flip_idx": [0, 2, 1]}, "data.yaml")
    assert told.flip.tolist() == [0, 2, 1] and not is_nameless(told)


@pytest.mark.parametrize(
    ("flip", "message"),
    [
        ([0, 2], r"flip_idx is \[0, 2\], expected 3 places"),
        ([0, 2, 3], r"flip_idx maps 2 \(right_tip\) to 3, which is no keypoint: expected places from 0 to 2"),
        ([0, 2, True], r"maps 2 \(right_tip\) to True, which is no keypoint"),
        ([1, 2, 0], r"maps 0 \(grip\) to 1 \(left_tip\), but 1 to 2 \(right_tip\): mirror images come in pairs"),
        ([0, 1, 2], r"maps 1 \(left_tip\) to 1 \(left_tip\), against the names: expected 2 \(right_tip\)"),
        ([1, 0, 2], r"against the names"),
    ],
)
def test_wrong_mirrors_are_refused_with_the_pair(flip: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pairs_of_flip(flip, TOOL, "data.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "kpt_shape is None, expected"),
        ({"kpt_shape": [0, 3]}, "says 0 keypoints"),
        ({"kpt_shape": [10**9, 3]}, "expected 1 to 1000"),
        ({"kpt_shape": [2, 3], "kpt_names": {0: ["a"]}}, "kpt_names has 1 names, kpt_shape says 2"),
        ({"kpt_shape": [2, 3], "kpt_names": {0: ["a", "b"], 1: ["a", "c"]}}, "differ from class to class"),
    ],
)
def test_wrong_data_yaml(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        skeleton_of_yolo(content, "data.yaml")
