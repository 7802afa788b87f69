"""AdamW and SGD without decay on norms and biases, the warm-up and flat-cosine schedule, the averaged copy of weights.

Numbers and order of operations are those of the published RTMPose and RTMDet runs (MMPose's
projects/rtmpose, MMDetection's configs/rtmdet).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


def adamw(network: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over two groups: BatchNorm's parameters and biases do not decay, all others do."""
    return torch.optim.AdamW(_groups(network, weight_decay), lr=lr)


def sgd(network: nn.Module, lr: float, weight_decay: float, momentum: float = 0.937) -> torch.optim.SGD:
    """SGD over the same groups, with Nesterov's momentum, by default YOLOv5's."""
    return torch.optim.SGD(_groups(network, weight_decay), lr=lr, momentum=momentum, nesterov=True)


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    decay: dict[int, nn.Parameter] = {}  # by identity: RTMDet's heads share tensors
    plain: dict[int, nn.Parameter] = {}
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                exempt = isinstance(module, nn.modules.batchnorm._BatchNorm) or name == "bias"
                (plain if exempt else decay)[id(parameter)] = parameter
    groups: list[dict[str, Any]] = [
        {"params": list(decay.values()), "weight_decay": weight_decay},
        {"params": list(plain.values()), "weight_decay": 0.0},
    ]
    return [g for g in groups if g["params"]]


def lr_factor(
    iteration: int, total: int, warmup: int = 1000, flat: float = 0.5, low: float = 0.05, start: float = 1e-5
) -> float:
    """Factor on the learning rate at `iteration` of `total`.

    Linear from `start` to 1 over `warmup` iterations, constant until `flat` of the run, then a cosine down to `low`.
    """
    cosine_from = int(total * flat)
    factor = 1.0
    if iteration >= cosine_from:
        progress = (iteration - cosine_from) / max(total - cosine_from, 1)
        factor = low + (1 - low) * (1 + math.cos(math.pi * progress)) / 2
    if iteration < warmup:
        factor *= start + (1 - start) * iteration / max(warmup - 1, 1)
    return factor


def drop_factor(iteration: int, total: int, drops: Sequence[float], warmup: int = 0, start: float = 1e-5) -> float:
    """Factor on the learning rate at `iteration` of `total`: a tenth more after each share of the run in `drops`.

    Linear from `start` to 1 over `warmup` iterations before that.
    """
    factor = 0.1 ** sum(iteration >= round(total * drop) for drop in drops)
    if iteration < warmup:
        factor *= start + (1 - start) * iteration / max(warmup - 1, 1)
    return float(factor)


class Average:
    """Exponential moving average of a network's weights and buffers, quick at first (mmpose's ExpMomentumEMA).

    The first update copies; later ones use m = (1 - momentum) * exp(-(1 + t) / gamma) + momentum with t updates done.
    Integer buffers are copied then and never changed. In the end the average looks back on about 1 / momentum updates,
    and it takes about gamma * log(1 / momentum) of them until it does: short runs want less gamma, more momentum.
    """

    def __init__(self, network: nn.Module, momentum: float = 2e-4, gamma: float = 2000) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.momentum, self.gamma, self.updates = momentum, gamma, 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards the network's present weights."""
        weight = (1 - self.momentum) * math.exp(-(1 + self.updates) / self.gamma) + self.momentum
        source = network.state_dict()
        for name, value in self.network.state_dict().items():
            if self.updates == 0:
                value.copy_(source[name])
            elif value.is_floating_point():
                value.lerp_(source[name].to(value.dtype), weight)
        self.updates += 1
