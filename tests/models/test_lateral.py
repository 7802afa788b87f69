"""The lateral pre-training network: RTMPose's backbone under a head of our own."""

from __future__ import annotations

import pytest
import torch

from edgepose.codec import codec_of
from edgepose.models import build
from edgepose.models.macs import macs_true, parameters

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("size", [(96, 128), (192, 256)])
def test_maps_are_those_that_the_codec_of_its_spec_reads(size: tuple[int, int]) -> None:
    spec, network = build("cspnext-lateral-t", input_size=size)
    with torch.no_grad():
        outputs = network.eval()(torch.randn(2, 3, size[1], size[0]))
    assert len(codec_of(spec).decode([output.numpy() for output in outputs])) == 2


def test_it_costs_what_rtmpose_t_costs() -> None:
    _, network = build("cspnext-lateral-t", input_size=(192, 256))
    _, rtmpose = build("rtmpose-t")
    assert parameters(network) == 2_437_293 < parameters(rtmpose)
    assert macs_true(network, (192, 256)) < macs_true(rtmpose, (192, 256))


@pytest.mark.parametrize("name", ["cspnext-lateral-t", "cspnext-lateral-s"])
def test_every_parameter_learns(name: str) -> None:
    _, network = build(name)
    network(torch.randn(2, 3, 128, 96))[0].square().mean().backward()
    gradients = {key: value.grad for key, value in network.named_parameters()}
    assert [key for key, grad in gradients.items() if grad is None or not grad.isfinite().all()] == []


def test_its_backbone_is_rtmposes() -> None:
    lateral, rtmpose = (build(name)[1].backbone.state_dict() for name in ("cspnext-lateral-t", "rtmpose-t"))
    assert {key: value.shape for key, value in lateral.items()} == {key: value.shape for key, value in rtmpose.items()}
