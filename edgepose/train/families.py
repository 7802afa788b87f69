"""The table of families: the task of each, by the class of a recipe's options. The loop knows none of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from edgepose.data.columns import NO_CHOICE, Choice
from edgepose.data.images import OnBad
from edgepose.models.deconvpose import Design
from edgepose.models.litepose import Architecture
from edgepose.names import expected
from edgepose.train.bottomup import bottomup_task
from edgepose.train.classifier import classifier_task
from edgepose.train.onestage import onestage_task
from edgepose.train.options import BottomUp, Classifier, Detector, OneStage, TopDown
from edgepose.train.recipes import RECIPES, Recipe, read_recipe
from edgepose.train.task import Sets, Task
from edgepose.train.topdown import topdown_task


def _detector_task(*arguments: Any) -> Task:
    from edgepose.train.detector import detector_task  # needs onnxruntime for a teacher, which others do without

    return detector_task(*arguments)


TASKS: dict[type, Callable[[Recipe, Any, Sets, OnBad, Choice], Task]] = {
    TopDown: topdown_task,
    Detector: _detector_task,
    BottomUp: bottomup_task,
    OneStage: onestage_task,
    Classifier: classifier_task,
}


def prepare(recipe: Recipe, data: Sets, on_bad: OnBad = "refuse", choice: Choice = NO_CHOICE) -> Task:
    """Build a recipe's network and data.

    on_bad: "refuse" or "skip" pictures that are missing or cannot be read.
    choice: which category of the labels, and a skeleton that was stated rather than left to the recipe and the data.
    """
    torch.manual_seed(recipe.seed)
    return TASKS[type(recipe.options)](recipe, recipe.options, data, on_bad, choice)


def recipe_of(name: str) -> Recipe:
    """A recipe by its name or its file; that of a network which a search found is LitePose's, that of one with other
    deconvolutions DeconvPose's.
    """
    if name in RECIPES:
        return RECIPES[name]
    if name.endswith(".json"):
        return read_recipe(Path(name))
    if Architecture.named(name) is not None:
        return dataclasses.replace(RECIPES["litepose-xs"], model=name)
    if Design.named(name) is not None:
        return dataclasses.replace(RECIPES["deconvpose"], model=name)
    known = expected(name, RECIPES, "`edgepose models` lists them")
    raise ValueError(f"unknown recipe {name!r}{known}, or a recipe's file (.json)")
