"""How large a network is: multiply-accumulates and parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def macs_true(network: nn.Module, input_size: tuple[int, int]) -> int:
    """Multiply-accumulates for one image of `input_size` (w, h), as the hardware would do them.

    Convolutions, transposed convolutions (on their input positions) and linear layers count; bias, normalisation,
    activations and products of two activations do not. Published figures follow other conventions, which for
    transposed convolutions count up to 4 times as many. On the meta device this takes no arithmetic at all.
    """
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.ConvTranspose2d):
            total += inputs[0].numel() * module.weight[0].numel()  # every input value meets (out/groups, k, k) weights
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            total += output.numel() * module.weight[0].numel()  # every output value sums (in/groups, k, k) products

    hooks: list[Any] = [module.register_forward_hook(count) for module in network.modules()]
    modes = [(module, module.training) for module in network.modules()]  # part of it may be frozen
    width, height = input_size
    image = torch.zeros(1, 3, height, width, device=next(network.parameters()).device)
    try:
        with torch.no_grad():
            network.eval()(image)
    finally:
        for module, training in modes:
            module.training = training
        for hook in hooks:
            hook.remove()
    return total


def parameters(network: nn.Module) -> int:
    """Number of learned values; tensors that several layers share count once."""
    return sum(p.numel() for p in network.parameters())
