"""A one-stage network's recipe put together."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from edgepose.data.mosaics import Mosaics  # noqa: E402
from edgepose.models.sasd import SASD, Staggered  # noqa: E402
from edgepose.skeleton import COCO  # noqa: E402
from edgepose.train.anchor_loss import AnchorLoss  # noqa: E402
from edgepose.train.families import prepare  # noqa: E402
from edgepose.train.optimizer import sgd  # noqa: E402
from edgepose.train.options import OneStage  # noqa: E402
from edgepose.train.recipes import RECIPES, Recipe, override  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture
def data(tmp_path: Path) -> list[tuple[Path, Path, int]]:
    """Five pictures with one person each."""
    person = {"category_id": 1, "bbox": [5, 5, 20, 30], "area": 600, "iscrowd": 0, "keypoints": [10, 10, 2] * 17}
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 64, "height": 48} for i in range(5)],
        "annotations": [person | {"id": i, "image_id": i} for i in range(5)],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.names)}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(content))
    for i in range(5):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.zeros((48, 64, 3), np.uint8))
    return [(tmp_path / "labels.json", tmp_path, 1)]


SMALL = Recipe("sasd-xs", epochs=4, batch=2, lr=1e-2, input_size=(64, 64), stage2=0, options=OneStage())


def small(**options: Any) -> Recipe:
    return dataclasses.replace(SMALL, options=OneStage(**options))


def test_settings_reach_what_they_are_for(data: list[tuple[Path, Path, int]]) -> None:
    recipe = small(alone=3, oks="paper", limb_weight=0.3, align_weight=0.4, align_norm="mse", far_weight=0.5)
    task = prepare(recipe, data)
    assert isinstance(task.network, SASD) and isinstance(task.samples, Mosaics) and len(task.samples) == 5
    assert task.loss_of == AnchorLoss(task.samples.codec, "paper", 0.3, 0.4, "mse", 0.5)
    assert isinstance(task.extra, Staggered) and task.extra.alone == 6, "three epochs of two steps"


def test_a_recipe_that_never_gets_to_sasd_has_nothing_to_drop(data: list[tuple[Path, Path, int]]) -> None:
    assert prepare(small(alone=4), data).extra is None
    assert prepare(small(alone=9), data).extra is None


@pytest.mark.parametrize("size", ["xs", "xs-eq", "e", "s", "m", "l"])
def test_published_settings(size: int) -> None:
    for name, skeleton in ((f"sasd-{size}", "coco"), (f"sasd-{size}-crowdpose", "crowdpose")):
        recipe = RECIPES[name]
        assert (recipe.model, recipe.skeleton) == (f"sasd-{size}", skeleton)
        assert (recipe.epochs, recipe.optimizer, recipe.lr) == (400, "sgd", 1e-2)
        assert recipe.options == OneStage(100, "code", limb_weight=0.1, align_weight=0.02, far_weight=0.0)


def test_other_models_refuse_its_settings(data: list[tuple[Path, Path, int]]) -> None:
    for name, value in (
        ("alone", 1),
        ("limb_weight", 0.1),
        ("align_weight", 0.1),
        ("oks", "paper"),
        ("align_norm", "mse"),
        ("far_weight", 0.1),
    ):
        with pytest.raises(ValueError, match=f"{name}={value} is for one-stage networks, rtmpose-t is a top-down"):
            override(RECIPES["rtmpose-t"], [f"{name}={value}"])
    with pytest.raises(ValueError, match="optimizer='lion', expected one of"):
        dataclasses.replace(SMALL, optimizer="lion")
    with pytest.raises(ValueError, match="alone=-1, expected"):
        small(alone=-1)
    with pytest.raises(ValueError, match="oks='best'"):
        prepare(small(oks="best"), data)


def test_sgd_takes_two_steps_as_written_out() -> None:
    layer = nn.Linear(1, 1)
    with torch.no_grad():
        layer.weight.fill_(1.0), layer.bias.fill_(1.0)
    optimizer = sgd(layer, 0.1, 0.5)
    values, momentum = np.ones(2), np.zeros(2)
    for _ in range(2):
        optimizer.zero_grad()
        layer(torch.ones(1, 1)).sum().backward()  # both gradients are 1
        optimizer.step()
        gradient = 1 + np.array([0.5, 0.0]) * values  # weights decay, biases do not
        momentum = 0.937 * momentum + gradient
        values = values - 0.1 * (gradient + 0.937 * momentum)
    assert [layer.weight.item(), layer.bias.item()] == pytest.approx(values.tolist(), rel=1e-6)
