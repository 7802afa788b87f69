"""Batch and learning rate on small data, runs that are too short, and batches that do not fit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from edgepose.train.recipes import RECIPES, Recipe
from edgepose.train.run import batch_in_memory
from edgepose.train.scale import FEWEST, SMALLEST, STEPS, scaled, warning
from edgepose.train.words import planned

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("rows", [1, 17, 150, 600, 2_000, 20_000])
def test_an_epoch_has_enough_steps_or_the_smallest_batch(rows: int) -> None:
    for name, recipe in RECIPES.items():
        after = scaled(recipe, rows)
        if after == recipe:
            assert rows // recipe.batch >= STEPS or recipe.batch < 2 * SMALLEST, name
            continue
        assert after.batch >= SMALLEST and recipe.batch % after.batch == 0, name
        assert rows // after.batch >= STEPS or after.batch < 2 * SMALLEST, name
        assert rows // (2 * after.batch) < STEPS, "no smaller than needed"
        share = after.batch / recipe.batch
        assert after.lr == pytest.approx(recipe.lr * (share if recipe.optimizer == "sgd" else share**0.5), rel=5e-3)
        assert dataclasses.replace(after, batch=recipe.batch, lr=recipe.lr) == recipe


def test_published_data_keep_the_published_recipe() -> None:
    assert scaled(RECIPES["rtmpose-m"], 149_813) is RECIPES["rtmpose-m"]


def test_processes_keep_a_picture_each() -> None:
    assert scaled(RECIPES["rtmpose-t"], 100, processes=64).batch == 64


@pytest.mark.parametrize(("word", "scales"), [("batch=1024", False), ("lr=4e-3", False), ("epochs=2", True)])
def test_what_is_stated_stays(word: str, scales: bool, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    _, settings = planned("rtmpose-t", [f"data={tmp_path / 'a.json'}:{tmp_path}", word])
    assert settings.scale is scales


def test_a_short_run_says_how_long_it_should_be() -> None:
    recipe = Recipe("rtmpose-t", epochs=10, batch=16, lr=1e-3)
    line = warning(recipe, per_epoch=9)
    assert "90 steps" in line and "epochs=112 " in line and 112 * 9 >= FEWEST > 111 * 9
    assert not warning(recipe, per_epoch=100)
    assert not warning(dataclasses.replace(recipe, overfit=4), per_epoch=1)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: you tried ..."),
    ],
)
def test_a_batch_that_does_not_fit_is_one_sentence(error: Exception) -> None:
    expected = r"a step of 256 pictures does not fit into memory: set batch=128 or less"
    with pytest.raises(ValueError, match=expected), batch_in_memory(256):
        raise error


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), batch_in_memory(256):
        raise RuntimeError("shapes do not fit")
