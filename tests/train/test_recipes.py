"""Recipes build, and their overrides are strict."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from edgepose.data.augment import MILD, STRONG, WHOLE, Strength
from edgepose.models import MODELS
from edgepose.models.efficientnet import SIZES
from edgepose.train.options import FAMILIES, BottomUp, OneStage, TopDown
from edgepose.train.recipes import RECIPES, Recipe, from_dict, override, read_recipe, to_dict

pytestmark = pytest.mark.torch
DIARY = Path(__file__).resolve().parents[2] / "training" / "recipes"


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_names_a_model_and_lasts_longer_than_its_second_stage(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.model in MODELS or recipe.model.removeprefix("efficientnet-") in SIZES
    whole = name == "default-pose"  # the last of its runs moves crops little from the first epoch on
    assert recipe.stage2 == recipe.epochs if whole else recipe.stage2 < recipe.epochs


def test_the_published_mixes_have_recipes() -> None:
    assert {RECIPES[f"rtmpose-{size}-{mix}"].options.mix for size in "tsml" for mix in ("aic-coco", "body8")} == {
        "aic-coco", "body8",
    }  # fmt: skip
    rotations = {size: RECIPES[f"rtmpose-{size}-body8"].options.strong.rotation for size in "tsmlx"}
    assert rotations == {"t": 80, "s": 80, "m": 90, "l": 90, "x": 90}
    assert {RECIPES[f"cspnext-udp-{size}-{mix}"].skeleton for size in "tsmlx" for mix in ("aic-coco", "body7")} == {
        "coco19"
    }


def test_the_published_runs_of_halpes_keypoints() -> None:
    recipes = {size: RECIPES[f"rtmpose-{size}-halpe26"] for size in "tsmlx"}
    assert {(r.options.mix, r.skeleton, r.epochs, r.clip) for r in recipes.values()} == {
        ("body8", "halpe26", 700, 35.0)
    }
    assert [recipes[size].options.strong.rotation for size in "tsmlx"] == [80, 80, 90, 90, 90]
    assert [recipes[size].stage2 for size in "tsmlx"] == [30, 30, 30, 30, 20]
    for recipe in recipes.values():
        strong, mild = recipe.options.strong, recipe.options.mild
        assert (mild.scale, mild.rotation, mild.shift, mild.cutout) == (strong.scale, strong.rotation, 0.0, 0.5)


def test_small_runs_move_views_less_than_published_ones() -> None:
    for name in ("litepose-xs", "efficienthrnet-h-4"):
        assert RECIPES[name].options == RECIPES[f"{name}-crowdpose"].options == BottomUp()
        pretrain, small = (read_recipe(DIARY / f"{name}-{run}.json") for run in ("small-pretrain", "small"))
        calm = Strength((0.8, 1.25), rotation=20, shift=0.1, cutout=0, half_body=0)
        assert (pretrain.options, small.options) == (BottomUp(calm), BottomUp(calm, mosaic=0.5))
        assert (pretrain.input_size, small.input_size) == ((128, 128), (256, 256))


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
        ("lr=nan", "expected a positive"),
        ("lr=inf", "expected a positive"),
        ("seed=-1", "seed=-1, expected 0 or more"),
        ("overfit=-1", "overfit=-1, expected 0 or more"),
        ("threads=-2", "threads=-2, expected 0 or more"),
        ("weight_decay=nan", "weight_decay=nan, expected 0 or more"),
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
        ("strong=1", "no setting of a recipe"),
        ("strong.scale=2", "^strong.scale=2: expected 2 numbers separated by a comma, such as 0.7,1.3$"),
        ("strong.scale=2,1", "^strong.scale=2.0,1.0: expected a smallest and a largest factor above 0$"),
        ("mild.cutout=1.5", "^mild.cutout=1.5, expected a probability"),
        ("mild.rotation=nan", "^mild.rotation=nan, expected degrees"),
        ("strong.draw=uniform", "^strong.draw='uniform', expected one of .'truncated', 'clipped'.$"),
        ("strong.shift=-1", "^strong.shift=-1.0, expected a share"),
        ("frozen_stages=6", r"0 \(none\) to 5 \(all\)"),
        ("teacher_weight=-1", "teacher_weight=-1.0, expected 0 or more"),
        ("mosaic=1", "^mosaic=1 is for bottom-up networks, rtmpose-t is a top-down network and has no use for it"),
        ("views=1,2", "^views=1,2 is for detector networks, rtmpose-t is a top-down network"),
        ("alone=1", "^alone=1 is for one-stage networks"),
        ("whole.rotation=3", "^whole.rotation=3 is for bottom-up networks"),
    ],
)
def test_wrong_overrides_are_refused_in_one_sentence(word: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        override(RECIPES["rtmpose-t"], [word])


def test_the_nearest_name_is_in_the_error() -> None:
    with pytest.raises(ValueError, match=r"no setting of a recipe \(did you mean 'weight_decay'\?\), expected one of"):
        override(Recipe("rtmpose-t", 1, 1, 1.0), ["weight_decai=1"])


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_what_it_was_when_written_and_read(name: str) -> None:
    """Through JSON, with everything nested: how far views are moved, sizes, sides."""
    assert from_dict(json.loads(json.dumps(to_dict(RECIPES[name]))), "a.safetensors") == RECIPES[name]


def test_fields_that_a_recipe_lacks_have_their_defaults() -> None:
    stored = to_dict(RECIPES["default-pose"])
    del stored["clip"], stored["strong"]["half_body"]
    read = from_dict(stored, "a.safetensors")
    assert read.clip == 0.0
    assert read.options == replace(RECIPES["default-pose"].options, strong=Strength((0.7, 1.3), 60, 0.1, 0.3, 0.3))
    assert from_dict({"model": "sasd-xs", "family": "one-stage"}, "a.safetensors").options == OneStage()


def test_a_recipe_of_before_families_is_that_of_its_family() -> None:
    """Then the fields of all families stood side by side, with defaults for those of others."""
    for name in ("default-pose", "sasd-xs", "litepose-supernet", "rtmdet-nano", "efficientnet-b0"):
        recipe = RECIPES[name]
        flat: dict[str, object] = {}
        for options in FAMILIES.values():
            flat |= to_dict(replace(recipe, options=options()))
        flat |= to_dict(recipe)
        del flat["family"]
        assert {"sides", "alone", "views", "blur"} <= set(flat)
        assert from_dict(flat, "a.safetensors", type(recipe.options)) == recipe
    with pytest.raises(
        ValueError, match=r"^the recipe of a\.safetensors has family=None, expected one of \['top-down'"
    ):
        from_dict(flat, "a.safetensors")


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("default-pose", {"init": "default-pose"}),
        ("default-detector", {"init": "runs/neck/last.safetensors", "threads": 2, "workers": 1}),
    ],
)
def test_the_weights_in_the_package_have_a_recipe(name: str, chosen: dict[str, Any]) -> None:
    """The file's own, as a version before families wrote it, is the recipe of its name but for what the run chose."""
    checkpoint = pytest.importorskip("edgepose.train.checkpoint", exc_type=ImportError)
    path = DIARY.parents[1] / "edgepose" / "weights" / f"{name}.safetensors"
    stored = checkpoint.recipe_of(checkpoint.load(path)[1], path)
    options = replace(RECIPES[name].options, teacher=stored.options.teacher)
    assert stored == replace(RECIPES[name], options=options, **chosen)


def settable(value: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every field that is no dataclass, by the name that words have for it."""
    for field in fields(value):  # type: ignore[arg-type]
        inner = getattr(value, field.name)
        if field.name == "options":
            yield from settable(inner)
        elif is_dataclass(inner):
            yield from settable(inner, f"{field.name}.")
        else:
            yield f"{prefix}{field.name}", inner


OTHERS = {  # values that nothing has by default, where a number more or a text does not do
    "precision": "fp32", "optimizer": "sgd", "mix": "aic-coco", "sampling": "balanced", "oks": "paper",
    "align_norm": "mse", "draw": "clipped", "colors": "false", "teacher_gives": "keypoints",
    "teacher_falls": "true", "fresh_head": "true",
    "input_size": "64x96", "views": "0.5,1.25", "drops": "0.3,0.6", "sides": "64,96", "flat": "0.25", "momentum": "0.5",
    "average": "false", "channels_last": "false", "average_momentum": "0.001", "mosaic": "0.25", "hint_depth": "2",
    "scale": "0.5,1.75", "shift": "0.3", "cutout": "0.7", "half_body": "0.6", "rotation": "33.5",
}  # fmt: skip
BESIDE = {"momentum": ["optimizer=sgd"], "hint_depth": ["hint_weight=1"]}
PARSED = {"input_size": (64, 96), "views": (0.5, 1.25), "drops": (0.3, 0.6), "sides": (64, 96), "scale": (0.5, 1.75)}


@pytest.mark.parametrize("name", ["rtmpose-s", "rtmdet-nano", "litepose-xs", "sasd-xs", "efficientnet-b0"])
def test_every_field_can_be_set_by_a_word(name: str) -> None:
    start = replace(RECIPES[name], average=True, optimizer="adamw", momentum=0.937)
    names = dict(settable(start))
    assert len(names) >= 28 and len(names) == len(list(settable(start)))
    for key, before in names.items():
        last = key.rpartition(".")[2]
        text = OTHERS.get(last) or ("x" if isinstance(before, str) else str(before + 3))  # type: ignore[operator]
        after = dict(settable(override(start, [*BESIDE.get(last, []), f"{key}={text}"])))
        number = isinstance(before, (int, float)) and not isinstance(before, bool)
        expected = PARSED.get(last) or {"false": False, "true": True}.get(text, float(text) if number else text)
        assert after[key] == expected != before, key
        beside = {word.partition("=")[0] for word in BESIDE.get(last, [])}
        assert {k: v for k, v in after.items() if k not in beside | {key}} == {
            k: v for k, v in names.items() if k not in beside | {key}
        }


def test_nothing_after_the_equals_sign_is_the_default_of_what_may_have_none() -> None:
    recipe = override(RECIPES["rtmdet-nano"], ["views=0.5,2", "input_size=64x64"])
    assert (recipe.options.views, recipe.input_size) == ((0.5, 2.0), (64, 64))
    recipe = override(recipe, ["views=", "input_size="])
    assert (recipe.options.views, recipe.input_size) == (None, None)


@pytest.mark.parametrize("path", sorted(DIARY.glob("*.json")), ids=lambda path: path.stem)
def test_the_diarys_recipes_are_whole_and_those_of_their_family(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.model in MODELS and recipe.stage2 < recipe.epochs
    known = {r.model: type(r.options) for r in RECIPES.values()} | {"cspnext-lateral-t": TopDown}
    assert type(recipe.options) is known[recipe.model]
    assert path.stem not in RECIPES, "or nobody knew which of two it is"


def test_a_recipe_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    values = {"family": "bottom-up", "model": "litepose-xs", "epochs": 3, "batch": 2, "lr": 0.1, "whole": {
        "scale": [1, 1.5], "rotation": 5, "shift": 0, "cutout": 0}}  # fmt: skip
    path.write_text(json.dumps(values))
    whole = replace(WHOLE, scale=(1, 1.5), rotation=5, shift=0, cutout=0)
    assert read_recipe(path) == Recipe("litepose-xs", 3, 2, 0.1, options=BottomUp(whole))
    for text, message in (
        ("{", "is no JSON"),
        ("[]", "is no recipe: expected an object with model, family, epochs, batch, lr"),
        (
            json.dumps({k: v for k, v in values.items() if k != "lr"}),
            r"is no recipe: .*, it lacks \['lr'\]; a family is",
        ),
        (
            json.dumps(values | {"family": "fish"}),
            r"mine\.json has family='fish', expected one of \['top-down', 'detector'",
        ),
        (json.dumps(values | {"alone": 1}), r"mine\.json has unknown fields \['alone'\]"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_recipe(path)
    with pytest.raises(FileNotFoundError, match="expected a recipe's JSON file"):
        read_recipe(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"magic": 1},
            r"^the recipe of a\.safetensors has unknown fields \['magic'\], expected one of .*: update edge",
        ),
        ({"mild": {"magic": 1}}, r"^the recipe of a\.safetensors, mild, has unknown fields \['magic'\]"),
        ({"epochs": 0}, "epochs=0, expected at least 1"),
        ({"epochs": "1"}, r"^the recipe of a\.safetensors has epochs='1', expected a value of type int$"),
        ({"epochs": 1.5}, "epochs=1.5, expected a value of type int"),
        ({"lr": True}, "lr=True, expected a value of type float"),
        ({"channels_last": 1}, "channels_last=1, expected a value of type bool"),
        ({"input_size": [192]}, r"input_size=\[192\], expected a value of type tuple\[int, int\] \| None"),
        ({"drops": ["0.5"]}, r"drops=\['0.5'\], expected a value of type tuple"),
        ({"mild": 3}, "mild=3, expected a value of type Strength"),
    ],
)
def test_what_a_stored_recipe_cannot_be(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_dict(to_dict(RECIPES["rtmpose-t"]) | changes, "a.safetensors")


def test_what_a_nested_object_of_a_file_leaves_out_is_as_by_default(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    values = {
        "model": "rtmpose-t",
        "family": "top-down",
        "epochs": 1,
        "batch": 2,
        "lr": 1e-3,
        "strong": {"rotation": 40},
    }
    path.write_text(json.dumps(values))
    options = read_recipe(path).options
    assert isinstance(options, TopDown) and options.strong == replace(STRONG, rotation=40) and options.mild == MILD
