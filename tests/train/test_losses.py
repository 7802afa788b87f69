"""Losses against the reference implementations, and what they must do by themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgepose.train.losses import heatmap_loss, joints_loss, simcc_loss, spatial_loss
from tests.goldens import golden

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("case", ["c00", "c01", "c02"])
def test_simcc_loss_and_gradient_are_the_published(case: str) -> None:
    arrays = golden("algo/kl_discret_loss").arrays
    names = ("pred_x", "pred_y", "target_x", "target_y")
    read = {name: torch.from_numpy(arrays[f"{case}.in.{name}"]) for name in names}
    outputs = (read["pred_x"].requires_grad_(), read["pred_y"].requires_grad_())
    weights = torch.from_numpy(arrays[f"{case}.in.weight"])
    loss = simcc_loss(outputs, {"simcc_x": read["target_x"], "simcc_y": read["target_y"], "weights": weights})["simcc"]
    loss.backward()
    assert loss.item() == pytest.approx(float(arrays[f"{case}.out.loss"]), rel=1e-5)
    for output, axis in zip(outputs, "xy", strict=True):
        assert output.grad is not None
        np.testing.assert_allclose(output.grad.numpy(), arrays[f"{case}.out.grad_{axis}"], rtol=1e-4, atol=1e-8)


def test_simcc_loss_of_the_target_itself_is_zero_and_doubles_with_the_batch() -> None:
    torch.manual_seed(0)
    x, y, other = torch.rand(2, 5, 48), torch.rand(2, 5, 64), torch.rand(2, 5, 48)
    targets = {"simcc_x": x, "simcc_y": y, "weights": torch.ones(2, 5)}
    assert simcc_loss((x, y), targets)["simcc"].item() == pytest.approx(0, abs=1e-7)
    once = simcc_loss((other, y), targets)["simcc"]
    twice = simcc_loss((other.repeat(2, 1, 1), y.repeat(2, 1, 1)), {k: torch.cat([v, v]) for k, v in targets.items()})
    assert twice["simcc"].item() == pytest.approx(2 * once.item(), rel=1e-5)


@pytest.mark.parametrize("case", ["c00", "c01"])
def test_heatmap_loss_is_the_published(case: str) -> None:
    arrays = golden("algo/heatmap_losses").arrays
    output, target, weight = (torch.from_numpy(arrays[f"{case}.in.{name}"]) for name in ("output", "target", "weight"))
    for loss_of, name in ((heatmap_loss, "keypoint_mse"), (joints_loss, "joints_mse")):
        loss = loss_of((output,), {"heatmaps": target, "weights": weight})["heatmap"]
        assert loss.item() == pytest.approx(float(arrays[f"{case}.out.{name}"]), rel=1e-5)


def test_spatial_loss_prefers_the_right_cell_and_skips_the_unlabelled() -> None:
    target = torch.zeros(1, 2, 4, 4)
    target[0, :, 1, 2] = 1
    right, wrong = torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4)
    right[0, 0, 1, 2] = wrong[0, 0, 3, 0] = 9.0
    targets = {"heatmaps": target, "weights": torch.tensor([[1.0, 0.0]])}
    good, bad = (spatial_loss((maps,), targets)["spatial"].item() for maps in (right, wrong))
    assert good < 0.01 and bad > 8
    nobody = {"heatmaps": torch.zeros_like(target), "weights": torch.zeros(1, 2)}
    assert spatial_loss((right,), nobody)["spatial"].item() == 0
