"""The quick backward pass gives torch's own gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from edgepose.models import build
from edgepose.train.depthwise import DepthwiseConv2d, quicken

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5, 7, 9])
@pytest.mark.parametrize("size", [(12, 10), (13, 7)])
def test_gradients_are_those_of_torch(kernel: int, stride: int, size: tuple[int, int]) -> None:
    if (kernel, stride) == (3, 1):
        pytest.skip("torch is quick there, so nothing is replaced")
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(6, 6, kernel, stride, kernel // 2, groups=6, bias=False))
    quick = copy.deepcopy(plain)
    assert quicken(quick) == 1 and isinstance(quick[0], DepthwiseConv2d)
    x = torch.randn(3, 6, *size)
    results = []
    for network in (plain, quick):
        leaf = x.clone().requires_grad_()
        output = network(leaf)
        (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
        results.append((output.detach(), leaf.grad, network[0].weight.grad))
    for ours, theirs in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_only_slow_ones_are_replaced_and_a_state_dict_stays_the_same() -> None:
    _, network = build("rtmdet-nano")
    keys = list(network.state_dict())
    assert quicken(network) > 0 and quicken(network) == 0
    assert list(network.state_dict()) == keys
    assert quicken(nn.Sequential(nn.Conv2d(4, 8, 5, groups=4), nn.Conv2d(4, 4, 5, padding=2, groups=4))) == 0


def test_without_gradients_it_is_torch_itself() -> None:
    conv = nn.Sequential(nn.Conv2d(4, 4, 5, 1, 2, groups=4, bias=False))
    x = torch.randn(1, 4, 8, 8)
    with torch.inference_mode():
        before = conv(x)
        quicken(conv)
        assert torch.equal(before, conv(x))
