"""Recipes build, and their overrides are strict."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edgepose.data.augment import WHOLE
from edgepose.models import MODELS
from edgepose.models.efficientnet import SIZES
from edgepose.train.recipes import RECIPES, Recipe, from_dict, override, to_dict

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_names_a_model_and_lasts_longer_than_its_second_stage(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.model in MODELS or recipe.model.removeprefix("efficientnet-") in SIZES
    assert recipe.stage2 < recipe.epochs


def test_the_published_mixes_have_recipes() -> None:
    assert {RECIPES[f"rtmpose-{size}-{mix}"].mix for size in "tsml" for mix in ("aic-coco", "body8")} == {
        "aic-coco", "body8",
    }  # fmt: skip
    assert RECIPES["rtmpose-m-body8"].strong.rotation == 90 and RECIPES["rtmpose-s-body8"].strong.rotation == 80
    assert {RECIPES[f"cspnext-udp-{size}-{mix}"].skeleton for size in "tsmlx" for mix in ("aic-coco", "body7")} == {
        "coco19"
    }


def test_the_published_runs_of_halpes_keypoints() -> None:
    recipes = {size: RECIPES[f"rtmpose-{size}-halpe26"] for size in "tsmlx"}
    assert {(r.mix, r.skeleton, r.epochs, r.clip) for r in recipes.values()} == {("body8", "halpe26", 700, 35.0)}
    assert [recipes[size].strong.rotation for size in "tsmlx"] == [80, 80, 90, 90, 90]
    assert [recipes[size].stage2 for size in "tsmlx"] == [30, 30, 30, 30, 20]
    for recipe in recipes.values():
        assert (recipe.mild.scale, recipe.mild.rotation) == (recipe.strong.scale, recipe.strong.rotation)
        assert (recipe.mild.shift, recipe.mild.cutout) == (0.0, 0.5)


def test_small_runs_move_views_less_than_published_ones() -> None:
    for name in ("litepose-xs", "efficienthrnet-h-4"):
        assert RECIPES[name].whole == RECIPES[f"{name}-crowdpose"].whole == WHOLE
        pretrain, small = RECIPES[f"{name}-small-pretrain"], RECIPES[f"{name}-small"]
        assert pretrain.whole == small.whole != WHOLE and small.whole.rotation < WHOLE.rotation
        assert (pretrain.mosaic, small.mosaic, small.input_size) == (0.0, 0.5, (256, 256))


def test_drops_of_the_rate_can_be_others_or_none() -> None:
    published = RECIPES["litepose-xs"]
    assert override(published, ["drops=0.5,0.8"]).drops == (0.5, 0.8) and override(published, ["drops="]).drops == ()
    with pytest.raises(ValueError, match="expected shares of the run separated by commas"):
        override(published, ["drops=half"])
    with pytest.raises(ValueError, match="expected shares of the run between 0 and 1"):
        override(published, ["drops=2"])


@pytest.mark.parametrize(
    ("name", "weight_decay", "average", "stage2"),
    [
        ("rtmpose-t", 0, False, 30), ("rtmpose-s", 0, True, 30), ("rtmpose-m", 0.05, True, 30),
        ("rtmpose-l", 0.05, True, 30), ("rtmpose-x", 0.05, True, 20), ("rtmpose-t-aic-coco", 0, False, 30),
        ("rtmpose-s-body8", 0, True, 20), ("rtmpose-m-body8", 0.05, True, 20), ("rtmdet-nano", 0.05, True, 20),
         ("cspnext-udp-t", 0, False, 30), ("cspnext-udp-s", 0, True, 30),
    ],
)  # fmt: skip
def test_published_runs(name: str, weight_decay: float, average: bool, stage2: int) -> None:
    """What differs between the sizes in MMPose's projects/rtmpose and MMDetection's configs/rtmdet."""
    recipe = RECIPES[name]
    assert (recipe.weight_decay, recipe.average, recipe.stage2) == (weight_decay, average, stage2)
    assert recipe.lr == 4e-3 and recipe.flat == 0.5 and recipe.warmup == 1000


def test_overrides_are_typed() -> None:
    recipe = override(RECIPES["rtmpose-t"], ["epochs=3", "lr=0.01", "average=true", "input_size=288x384", "init=a=b"])
    assert (recipe.epochs, recipe.lr, recipe.average) == (3, 0.01, True)
    assert (recipe.input_size, recipe.init) == ((288, 384), "a=b")
    assert (recipe.save_every, recipe.memory, recipe.average_momentum, recipe.average_gamma) == (300, 0, 2e-4, 2000)
    words = ["save_every=60", "memory=1.5", "average_momentum=0.002", "average_gamma=100"]
    recipe = override(recipe, words)
    assert (recipe.save_every, recipe.memory, recipe.average_momentum, recipe.average_gamma) == (60, 1.5, 0.002, 100)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("lrr=1", "no setting of a recipe"),
        ("lr", "no setting of a recipe"),
        ("epochs=1.5", "expected a whole number"),
        ("lr=fast", "expected a number"),
        ("average=2", "expected true or false"),
        ("input_size=256", "expected width x height"),
        ("epochs=0", "expected at least 1"),
        ("lr=-1", "expected a positive"),
        ("precision=int8", "expected one of"),
        ("flat=2", "between 0 and 1"),
        ("sampling=fair", "expected one of"),
        ("mix=body9", "body7"),
        ("average_momentum=0", "above 0, up to 1"),
        ("average_momentum=1.5", "above 0, up to 1"),
        ("average_gamma=0.5", "at least 1 update"),
        ("average_gamma=nan", "at least 1 update"),
        ("average_gamma=10", "is for average=true"),
        ("average_momentum=0.01", "is for average=true"),
        ("memory=-1", "0 or more GB"),
        ("save_every=-1", "0 or more seconds"),
    ],
)
def test_wrong_overrides_are_refused_in_one_sentence(word: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        override(RECIPES["rtmpose-t"], [word])


def test_the_list_of_names_is_in_the_error() -> None:
    with pytest.raises(ValueError, match="weight_decay"):
        override(Recipe("rtmpose-t", 1, 1, 1.0), ["nonsense=1"])


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_what_it_was_when_written_and_read(name: str) -> None:
    """Through JSON, with everything nested: how far views are moved, sizes, sides."""
    assert from_dict(json.loads(json.dumps(to_dict(RECIPES[name]))), "a.safetensors") == RECIPES[name]


def test_fields_that_a_recipe_lacks_have_their_defaults() -> None:
    stored = to_dict(RECIPES["litepose-xs-small"])
    del stored["clip"], stored["whole"]["half_body"]
    read = from_dict(stored, "a.safetensors")
    assert read.clip == 0.0 and read.whole == replace(RECIPES["litepose-xs-small"].whole, half_body=0.3)
    assert from_dict({"model": "sasd-xs"}, "a.safetensors").model == "sasd-xs"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"magic": 1},
            r"^the recipe of a\.safetensors has unknown fields \['magic'\], expected some of .*: update edge",
        ),
        ({"mild": {"magic": 1}}, r"^the recipe of a\.safetensors, mild, has unknown fields \['magic'\]"),
        (
            {"mild": {"rotation": 3}},
            r"^the recipe of a\.safetensors, mild, has a field of the wrong type, or lacks one",
        ),
        ({"epochs": 0}, "epochs=0, expected at least 1"),
    ],
)
def test_what_a_stored_recipe_cannot_be(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_dict(to_dict(RECIPES["rtmpose-t"]) | changes, "a.safetensors")
