"""Unknown names: the nearest is named, few are listed, many are not."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

import edgepose
from edgepose.cli import app
from edgepose.models import MODELS
from edgepose.models import build as build_model
from edgepose.names import FEW, expected, meant, nearest
from edgepose.runtime.store.published import PUBLISHED
from edgepose.skeleton import SKELETONS, as_skeleton
from edgepose.train.families import recipe_of
from edgepose.train.recipes import RECIPES, override

MANY = [f"name-{i}" for i in range(100)]


def test_the_nearest_name_whatever_its_case() -> None:
    assert nearest("COCo", ["Coco", "halpe"]) == "Coco" and nearest("zebra", ["coco"]) is None
    assert meant("halp", ["halpe"]) == " (did you mean 'halpe'?)" and meant("x", ["halpe"]) == ""


def test_few_are_listed_and_many_are_not() -> None:
    assert expected("tow", ["one", "two"]) == ", expected one of ['one', 'two']"
    assert expected("oen", ["open", "two"]) == " (did you mean 'open'?), expected one of ['open', 'two']"
    said = expected("name-77x", MANY, "`edgepose models` lists them")
    assert said.startswith(" (did you mean 'name-77'?), expected one of 100 such as 'name-77', ")
    assert said.endswith("; `edgepose models` lists them") and said.count("'name-") == 4
    assert expected("zebra", MANY).endswith("of 100 such as 'name-0', 'name-1', 'name-2'")


@pytest.mark.parametrize(
    ("ask", "known", "near"),
    [
        (lambda: edgepose.load("rtmposs-m"), PUBLISHED, "rtmpose-m"),
        (lambda: edgepose.fetch("rtmpose_m"), PUBLISHED, "rtmpose-m"),
        (lambda: as_skeleton("whole-body"), SKELETONS, "wholebody"),
        pytest.param(lambda: build_model("rtmpos-t"), MODELS, "rtmpose-t", marks=pytest.mark.torch),
        pytest.param(lambda: recipe_of("rtmpos-t"), RECIPES, "rtmpose-t", marks=pytest.mark.torch),
        (lambda: override(RECIPES["rtmpose-t"], ["epoch=3"]), (), "epochs"),
    ],
)
def test_a_name_that_nobody_knows_is_one_short_sentence(ask: object, known: object, near: str) -> None:
    with pytest.raises(ValueError) as caught:
        ask()  # type: ignore[operator]
    said = str(caught.value)
    assert f"(did you mean {near!r}?)" in said and len(said) < 330
    if len(known) > FEW:  # type: ignore[arg-type]
        assert sum(f"{name!r}" in said for name in known) <= 4  # type: ignore[attr-defined]


def test_values_of_options_and_public_names() -> None:
    result = CliRunner().invoke(app, ["track", "x.mp4", "--format", "jsnl"])
    assert result.exit_code == 2 and "(did you mean 'jsonl'?)" in result.stderr
    result = CliRunner().invoke(app, ["track", "x.mp4", "--format", "zebra"])
    assert "is not one of 'jsonl'" in result.stderr and "did you mean" not in result.stderr
    with pytest.raises(AttributeError, match=r"edgepose has no 'Folower' \(did you mean 'Follower'\?\)"):
        edgepose.Folower  # noqa: B018
