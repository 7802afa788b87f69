"""How large a network is: multiply-accumulates and parameters, as they are and as HRNet's counter has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgepose.models import build
from edgepose.skeleton import Skeleton
from edgepose.spec import ModelSpec


@dataclass(frozen=True)
class Count:
    """Multiply-accumulates of one picture.

    products: of convolutions and linear layers; transposed: of transposed convolutions on their input positions, and
    outputs: on their output positions (four times as many with stride 2).
    """

    products: int
    transposed: int
    outputs: int

    @property
    def true(self) -> int:
        """As the hardware does them."""
        return self.products + self.transposed

    @property
    def hrnet(self) -> int:
        """As HRNet's counter has them, and with it the papers of HRNet and EfficientHRNet. What other papers' counters
        print: benchmarks/macs_conventions.py."""
        return self.products + self.outputs


def count(network: nn.Module, input_size: tuple[int, int]) -> Count:
    """The multiply-accumulates of one image of `input_size` (w, h). On the meta device this computes nothing at all."""
    tally = dict.fromkeys(Count.__dataclass_fields__, 0)

    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.ConvTranspose2d):
            each = module.weight[0].numel()  # every input value meets (out/groups, k, k) weights
            tally["transposed"] += inputs[0].numel() * each
            tally["outputs"] += inputs[0].numel() * each * output[0, 0].numel() // inputs[0][0, 0].numel()
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            tally["products"] += output.numel() * module.weight[0].numel()  # every output value sums (in/groups, k, k)

    hooks: list[Any] = [module.register_forward_hook(hook) for module in network.modules()]
    modes = [(module, module.training) for module in network.modules()]  # part of it may be frozen
    width, height = input_size
    image = torch.zeros(1, 3, height, width, device=next(network.parameters()).device)
    try:
        with torch.no_grad():
            network.eval()(image)
    finally:
        for module, training in modes:
            module.training = training
        for handle in hooks:
            handle.remove()
    return Count(**tally)


def macs_true(network: nn.Module, input_size: tuple[int, int]) -> int:
    """Multiply-accumulates for one image of `input_size` (w, h), as the hardware would do them.

    Convolutions, transposed convolutions (on their input positions) and linear layers count; bias, normalization,
    activations and products of two activations do not. Published figures follow other conventions, which for
    transposed convolutions count up to 4 times as many. On the meta device this takes no arithmetic at all.
    """
    return count(network, input_size).true


def unstored(name: str, skeleton: str | Skeleton, input_size: tuple[int, int] | None) -> tuple[ModelSpec, nn.Module]:
    """`edgepose.models.build` on the meta device: shapes to count, and no memory for values."""
    with torch.device("meta"):
        return build(name, skeleton=skeleton, input_size=input_size)


def parameters(network: nn.Module) -> int:
    """Number of learned values; tensors that several layers share count once."""
    return sum(p.numel() for p in network.parameters())


def parameters_as_hrnet_counts(network: nn.Module) -> int:
    """As in the paper of EfficientHRNet, whose counter adds up layers whose class is called something with Conv,
    BatchNorm or Linear: blocks that are called so count once more than the layers inside them
    (`get_model_summary`, which came from HRNet).
    """
    named = ("Conv", "BatchNorm", "Linear")
    return sum(
        sum(p.numel() for p in module.parameters())
        for module in network.modules()
        if type(module).__name__.startswith("MBConv")
        or (not list(module.children()) and any(word in type(module).__name__ for word in named))
    )
