"""Auxiliary losses: they reach the backbone, and nothing of them is left in the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgepose.codec import codec_of
from edgepose.models import build
from edgepose.train import checkpoint
from edgepose.train.auxiliary import AuxiliaryTargets, WithHeatmaps, auxiliary_loss
from edgepose.train.families import prepare
from edgepose.train.options import TopDown
from edgepose.train.recipes import Recipe
from edgepose.train.start import initialize

pytestmark = pytest.mark.torch


def test_the_network_itself_gives_the_same_outputs_as_before() -> None:
    _, network = build("rtmpose-t", input_size=(96, 128))
    network.eval()
    images = torch.randn(2, 3, 128, 96)
    with torch.no_grad():
        before = network(images)
        outputs = WithHeatmaps(network)(network, images)
        after = network(images)
    assert list(network.state_dict()) == list(build("rtmpose-t", input_size=(96, 128))[1].state_dict())
    for ours, shown, theirs in zip(after, outputs, before, strict=False):
        assert torch.equal(ours, theirs) and torch.equal(shown, theirs)
    assert [tuple(o.shape) for o in outputs[2:]] == [(2, 17, 16, 12), (2, 17, 4, 3)]


def test_every_parameter_learns_from_the_sum() -> None:
    spec, network = build("rtmpose-t", input_size=(96, 128))
    extra = WithHeatmaps(network)
    rng = np.random.default_rng(0)
    targets = AuxiliaryTargets.of(spec, codec_of(spec)).encode(rng.uniform(10, 90, (2, 17, 2)), np.ones((2, 17)))
    losses = auxiliary_loss(0.1, 0.2)(
        extra(network, torch.randn(2, 3, 128, 96)), {name: torch.from_numpy(value) for name, value in targets.items()}
    )
    assert set(losses) == {"simcc", "fine", "coarse"}
    torch.stack(list(losses.values())).sum().backward()
    missing = [name for m in (network, extra) for name, p in m.named_parameters() if p.grad is None]
    assert not missing


@pytest.mark.parametrize(
    ("model", "setting"),
    [("cspnext-lateral-t", {"heatmap_weight": 0.1}), ("cspnext-udp-t", {"inner_weight": 0.1}),
     ("cspnext-lateral-t", {"blur": 2.0})],
)  # fmt: skip
def test_a_setting_that_the_model_would_ignore_is_refused(model: str, setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"is for networks with .*, {model} has no use for it: leave it out"):
        prepare(Recipe(model, epochs=1, batch=1, lr=1.0, options=TopDown(**setting)), [])


def test_a_head_that_learnt_beside_can_become_a_networks_own(tmp_path: Path) -> None:
    _, network = build("rtmpose-t")
    extra = WithHeatmaps(network)
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, {"network": network.state_dict(), "extra": extra.state_dict()}, {})
    _, lateral = build("cspnext-lateral-t", input_size=(192, 256))
    initialize(lateral, str(path))
    for name, source in (("head.final_layer.weight", extra), ("backbone.stem.0.conv.weight", network)):
        assert torch.equal(lateral.state_dict()[name], source.state_dict()[name])
