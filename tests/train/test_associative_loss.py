"""The loss of associative embedding against the reference, and what it must do by itself."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edgepose.train.associative_loss import associative_loss, tag_losses  # noqa: E402
from tests.goldens import algorithm_cases  # noqa: E402

pytestmark = pytest.mark.torch


def test_losses_and_gradients_are_the_published() -> None:
    for case in algorithm_cases("algo/ae_losses"):
        read = {name: torch.from_numpy(value) for name, value in case.inputs.items()}
        outputs = (read["out0"].requires_grad_(), read["out1"].requires_grad_())
        targets = {"heatmaps_4": read["heat0"], "heatmaps_2": read["heat1"], "masks_4": read["mask0"],
                   "masks_2": read["mask1"], "joints_4": read["index"]}  # fmt: skip
        losses = associative_loss(outputs, targets)
        for ours, theirs in (("heat_4", "heat0"), ("heat_2", "heat1"), ("push", "push"), ("pull", "pull")):
            assert losses[ours].item() == pytest.approx(float(case.outputs[theirs].mean()), rel=1e-5)
        total = sum(losses.values())
        total.backward()
        assert total.item() == pytest.approx(float(case.outputs["total"]), rel=1e-5)
        for i, output in enumerate(outputs):
            np.testing.assert_allclose(output.grad.numpy(), case.outputs[f"grad_out{i}"], rtol=1e-4, atol=1e-8)


def test_tags_that_agree_within_and_differ_between_people_cost_nothing() -> None:
    tags = torch.zeros(1, 2, 2, 2)
    tags[0, :, 0, 0], tags[0, :, 1, 1] = 5.0, -5.0
    joints = torch.tensor([[[[0, 1], [4, 1]], [[3, 1], [7, 1]], [[0, 0], [0, 0]]]])
    pull, push = tag_losses(tags, joints)
    assert pull.item() == 0 and push.item() == pytest.approx(0, abs=1e-6)
    pull, push = tag_losses(torch.zeros(1, 2, 2, 2), joints)
    assert pull.item() == 0 and push.item() == pytest.approx(0.5)
    nobody = tag_losses(tags, torch.zeros(1, 3, 2, 2, dtype=torch.int64))
    assert [value.item() for value in nobody] == [0, 0]


def test_what_is_masked_costs_nothing() -> None:
    outputs = (torch.ones(1, 4, 2, 2), torch.ones(1, 2, 4, 4))
    targets = {
        "heatmaps_4": torch.zeros(1, 2, 2, 2), "heatmaps_2": torch.zeros(1, 2, 4, 4), "masks_4": torch.zeros(1, 2, 2),
        "masks_2": torch.ones(1, 4, 4), "joints_4": torch.zeros(1, 3, 2, 2, dtype=torch.int32),
    }  # fmt: skip
    losses = associative_loss(outputs, targets)
    assert losses["heat_4"].item() == 0 and losses["heat_2"].item() == 1
    of_each = torch.ones(1, 2, 4, 4)
    of_each[0, 1] = 0  # of the second keypoint nothing is known
    assert associative_loss(outputs, targets | {"masks_2": of_each})["heat_2"].item() == 0.5
