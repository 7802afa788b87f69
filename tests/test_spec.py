from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepose.scores import CALIBRATED, RAW, Calibration
from edgepose.skeleton import SKELETONS, Skeleton
from edgepose.spec import COLORS, LAYOUTS, WARPS, ModelSpec

texts = st.text(max_size=20)
numbers = st.floats(-1e6, 1e6)
positive = st.floats(0.01, 1e3)
arguments = st.recursive(
    st.none() | st.booleans() | st.integers(-100, 100) | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(texts, inner),
    max_leaves=5,
)
maps = st.lists(st.tuples(st.floats(1e-3, 1), st.floats(1e-3, 0.06)), min_size=2, max_size=16).map(
    lambda rises: [(x, y) for x, y in np.cumsum(rises, axis=0).tolist()]
)
specs = st.builds(
    ModelSpec,
    name=texts,
    codec=texts,
    input_size=st.tuples(st.integers(1, 4096), st.integers(1, 4096)),
    skeleton=st.sampled_from(sorted(SKELETONS)),
    codec_args=st.dictionaries(texts, arguments, max_size=3),
    per_person=st.booleans(),
    warp=st.sampled_from(WARPS),
    padding=positive,
    border=st.integers(0, 255),
    layout=st.sampled_from(LAYOUTS),
    color=st.sampled_from(COLORS),
    mean=st.tuples(numbers, numbers, numbers),
    std=st.tuples(positive, positive, positive),
    license=texts,
    training_data=st.lists(texts, max_size=3),
    accuracy=st.dictionaries(texts, numbers, max_size=3),
    calibration=st.none() | st.builds(Calibration, maps, maps),
    box_exponent=st.just(1.0) | st.floats(0, 10),
)


@given(specs)
def test_json_there_and_back(spec: ModelSpec) -> None:
    text = spec.to_json()
    assert "\n" not in text
    assert ModelSpec.from_json(text) == spec
    assert ModelSpec.from_json(text).to_json() == text


def test_defaults_and_the_skeleton() -> None:
    spec = ModelSpec.from_json('{"name": "mine", "codec": "simcc", "input_size": [192, 256]}')
    assert spec == ModelSpec("mine", "simcc", (192, 256))
    assert spec.keypoints is SKELETONS["coco"] and spec.input_size == (192, 256) and spec.std == (1.0, 1.0, 1.0)


def test_a_calibration_travels_and_without_one_nothing_is_said_of_it() -> None:
    plain = ModelSpec("mine", "simcc", (192, 256))
    assert plain.thresholds is RAW and "calibration" not in plain.to_json() and "box_exponent" not in plain.to_json()
    made = Calibration([(0, 0), (1, 0.9)], [(0, 0.1), (2, 0.8)])
    spec = ModelSpec("mine", "simcc", (192, 256), calibration=made, box_exponent=0.5)
    text = spec.to_json()
    assert json.loads(text)["calibration"] == {"person": [[0, 0], [1, 0.9]], "keypoint": [[0, 0.1], [2, 0.8]]}
    assert ModelSpec.from_json(text) == spec and spec.thresholds is CALIBRATED


def test_a_spec_does_not_follow_its_callers_dictionary() -> None:
    arguments = {"split": 2.0}
    spec = ModelSpec("mine", "simcc", (192, 256), codec_args=arguments)
    arguments["split"] = 3.0
    assert spec.codec_args == {"split": 2.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"calibration": {"person": [[0, 0], [1, 0.9]]}}, "calibration holds .*, expected the knots of person and key"),
        ({"calibration": 3}, "calibration holds int, expected the knots"),
        ({"calibration": {"person": [[0, 0], [0, 1]], "keypoint": []}}, "person scores goes .*, expected both to rise"),
        ({"box_exponent": -1}, "box_exponent is -1, expected a power from 0 to 10"),
        ({"box_exponent": "half"}, "box_exponent is 'half', expected a power"),
        ({"skeleton": "spider"}, "unknown skeleton 'spider', expected one of"),
        ({"warp": "fisheye"}, "warp is 'fisheye', expected one of"),
        ({"layout": "chwn"}, "layout is 'chwn', expected one of"),
        ({"color": "gray"}, "color is 'gray', expected one of"),
        ({"padding": 0}, "padding is 0, expected a positive factor"),
        ({"std": [1, 0, 1]}, r"std is \(1.0, 0.0, 1.0\), expected three positive numbers"),
        ({"std": [1, 1]}, r"std is \[1, 1\], expected three numbers"),
        ({"mean": "abc"}, "mean is 'abc', expected three numbers"),
        ({"mean": ["a", "b", "c"]}, "expected three numbers"),
        ({"input_size": [192]}, r"input_size is \[192\], expected \(width, height\)"),
        ({"input_size": [192, -1]}, r"input_size is \[192, -1\], expected"),
        ({"input_size": [192, 2.5]}, r"expected \(width, height\) in pixels"),
        ({"input_size": 192}, "input_size is 192, expected"),
        ({"training_data": "COCO"}, "training_data is 'COCO', expected a list of names"),
        ({"codec_args": [1]}, r"codec_args is \[1\], expected names with plain JSON values"),
        ({"accuracy": {"AP": float("nan")}}, "accuracy is {'AP': nan}, expected"),
        ({"padding": "wide"}, "padding is 'wide', expected a positive factor"),
        ({"padding": float("nan")}, "padding is nan, expected a positive factor"),
        ({"padding": float("inf")}, "padding is inf, expected a positive factor"),
        ({"std": [1, 1, float("nan")]}, r"std is \[1, 1, nan\], expected three numbers"),
        ({"mean": [10**400, 0, 0]}, r"mean is \[10+\.\.\., expected three numbers"),
        ({"border": 256}, "border is 256, expected a gray level, 0 to 255"),
        ({"codec": ["simcc"]}, r"codec is \['simcc'\], expected text"),
        ({"per_person": "no"}, "per_person is 'no', expected true or false"),
        ({"input_size": [10**9, 10**9]}, "4096 at most"),
        ({"input_size": [True, 64]}, r"input_size is \[True, 64\]"),
    ],
)
def test_wrong_values_say_what_was_expected(change: dict[str, Any], message: str) -> None:
    values = {"name": "mine", "codec": "simcc", "input_size": [192, 256]} | change
    with pytest.raises(ValueError, match=message) as caught:
        ModelSpec.from_json(json.dumps(values), "model.json")
    assert "mine" in str(caught.value) or "model.json" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "model.json is not JSON"),
        ("[1]", "model.json holds a list, expected a JSON object"),
        ('{"edgepose": 99}', "model.json has format 99, this edgepose reads up to 2: update edgepose"),
        ('{"name": "a", "sise": 3}', r"model.json has unknown fields \['sise'\], expected some of \['name', 'codec'"),
        ('{"name": "a"}', r"model.json lacks \['codec', 'input_size'\]"),
    ],
)
def test_wrong_files_say_so(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelSpec.from_json(text, "model.json")


def test_values_that_json_cannot_hold_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"codec_args is .*, expected names with plain JSON values"):
        ModelSpec("mine", "simcc", (192, 256), codec_args={"sigma": {1, 2}})


def test_the_spec_beside_a_model(tmp_path: Path) -> None:
    spec = ModelSpec("mine", "simcc", (192, 256), accuracy={"AP": 0.5})
    model = tmp_path / "model.onnx"
    assert ModelSpec.beside(model) is None
    model.with_suffix(".json").write_text(spec.to_json(), encoding="utf-8")
    assert ModelSpec.beside(model) == spec
    model.with_suffix(".json").write_text("nonsense", encoding="utf-8")
    with pytest.raises(ValueError, match=r"model\.json is not JSON"):
        ModelSpec.beside(model)


def test_a_skeleton_of_ones_own_travels_along() -> None:
    tool = Skeleton("tool", ("grip", "left_tip", "right_tip"), ((0, 1), (0, 2)), (0.03, 0.04, 0.04), (0,), ((1, 2),))
    spec = ModelSpec("mine", "simcc", (192, 256), tool, per_person=True, categories=("tool",))
    again = ModelSpec.from_json(spec.to_json())
    assert again == spec and again.keypoints == tool and again.categories == ("tool",) and not again.of_people
    assert ModelSpec("mine", "simcc", (192, 256), SKELETONS["mpii"]).skeleton == "mpii"


def test_others_may_state_the_names_alone() -> None:
    values = {"name": "mine", "codec": "simcc", "input_size": [192, 256], "skeleton": ["wrist", "thumb_1"]}
    spec = ModelSpec.from_json(json.dumps(values), "mine.json")
    assert spec.keypoints.names == ("wrist", "thumb_1") and spec.of_people
    values["skeleton"] = list(SKELETONS["coco"].names)
    assert ModelSpec.from_json(json.dumps(values)).skeleton == "coco"


@pytest.mark.parametrize("categories", [("Person",), ("people", "dog"), ("pedestrian",)])
def test_people_by_any_name_are_people(categories: tuple[str, ...]) -> None:
    assert ModelSpec("mine", "simcc", (192, 256), categories=categories).of_people


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"skeleton": {"keypoints": ["a"] * 3}}, "spec of mine: skeleton: skeleton own: keypoint names repeat"),
        ({"skeleton": {"keypoints": [f"k{i}" for i in range(5000)]}}, "names 5000, expected at most 1000"),
        ({"skeleton": ["a\u001b[31m"]}, "expected text of 1 to 200 signs on one line"),
        ({"skeleton": {"names": ["a"]}}, "has unknown fields"),
        ({"skeleton": 17}, "unknown skeleton 17, expected one of"),
        ({"categories": ["a\nb"]}, "a category is empty, longer than 200 signs or no one line"),
        ({"categories": "tool"}, "categories is 'tool', expected a list of names"),
    ],
)
def test_skeletons_of_strangers_are_checked(change: dict[str, Any], message: str) -> None:
    values = {"name": "mine", "codec": "simcc", "input_size": [192, 256]} | change
    with pytest.raises(ValueError, match=re.escape(message)):
        ModelSpec.from_json(json.dumps(values), "mine.json")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"name": ' + "9" * 5000 + "}"])
def test_deep_or_huge_json_is_an_error_of_one_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="model spec is not JSON"):
        ModelSpec.from_json(text)


def test_a_description_beside_a_model_has_a_bounded_size(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(" " * (1 << 20) + "{}")
    with pytest.raises(ValueError, match="more than 1048576 bytes"):
        ModelSpec.beside(tmp_path / "m.onnx")
