"""The lateral networks: RTMPose's backbone under heads of our own."""

from __future__ import annotations

import pytest
import torch

from edgepose.codec import codec_of
from edgepose.models import build
from edgepose.models.macs import macs_true, parameters
from edgepose.models.rtmpose import ContextHead

pytestmark = pytest.mark.torch


NAMES = ["cspnext-lateral-t", "cspnext-lateral-s", "cspnext-context-t"]


@pytest.mark.parametrize("size", [(96, 128), (192, 256)])
@pytest.mark.parametrize("name", NAMES)
def test_maps_are_those_that_the_codec_of_its_spec_reads(name: str, size: tuple[int, int]) -> None:
    spec, network = build(name, input_size=size)
    with torch.no_grad():
        outputs = network.eval()(torch.randn(2, 3, size[1], size[0]))
    assert len(codec_of(spec).decode([output.numpy() for output in outputs])) == 2


def test_context_starts_as_the_lateral_network_and_costs_a_tenth_more() -> None:
    _, lateral = build("cspnext-lateral-t", input_size=(192, 256))
    _, context = build("cspnext-context-t")
    missing, surplus = context.load_state_dict(lateral.state_dict(), strict=False)
    assert not surplus and all(name.split(".")[1] in ("belief", "context", "detail", "correction") for name in missing)
    images = torch.randn(2, 3, 256, 192)
    with torch.no_grad():
        first, same = lateral.eval()(images)[0], context.eval()(images)[0]
        torch.nn.init.normal_(context.head.correction.weight)
        corrected = context(images)[0]
    torch.testing.assert_close(first, same)
    assert not torch.allclose(first, corrected, rtol=0.01, atol=0.01)
    blocks = 3 * (49 * 128 + 128**2 + 4 * 128) + 25 * 128 + 128**2 + 4 * 128
    assert parameters(context) - parameters(lateral) == blocks + (17 + 1) * 128 + (128 + 1) * 17
    assert 1.05 < macs_true(context, (192, 256)) / macs_true(lateral, (192, 256)) < 1.1


def test_it_costs_what_rtmpose_t_costs() -> None:
    _, network = build("cspnext-lateral-t", input_size=(192, 256))
    _, rtmpose = build("rtmpose-t")
    assert parameters(network) == 2_437_293 < parameters(rtmpose)
    assert macs_true(network, (192, 256)) < macs_true(rtmpose, (192, 256))


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns(name: str) -> None:
    _, network = build(name)
    if isinstance(network.head, ContextHead):
        torch.nn.init.normal_(network.head.correction.weight)  # zero at first, so that nothing behind it learns
    network(torch.randn(2, 3, 128, 96))[0].square().mean().backward()
    gradients = {key: value.grad for key, value in network.named_parameters()}
    assert [key for key, grad in gradients.items() if grad is None or not grad.isfinite().all()] == []


@pytest.mark.parametrize("name", ["cspnext-lateral-t", "cspnext-context-t"])
def test_its_backbone_is_rtmposes(name: str) -> None:
    lateral, rtmpose = (build(other)[1].backbone.state_dict() for other in (name, "rtmpose-t"))
    assert {key: value.shape for key, value in lateral.items()} == {key: value.shape for key, value in rtmpose.items()}
