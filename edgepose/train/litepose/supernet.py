"""Training of LitePose's super-net, and what makes a network of its own of a part of it (Wang et al., 2022)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgepose.codec import codec_of
from edgepose.codec.associative import STRIDES, Associative
from edgepose.data.whole import Whole
from edgepose.models.associative import associative_spec
from edgepose.models.litepose import Architecture, LitePose
from edgepose.models.supernet import cut, run_narrow, shape_of
from edgepose.skeleton import Skeleton
from edgepose.spec import ModelSpec
from edgepose.train.depthwise import quicken
from edgepose.train.litepose.space import Space
from edgepose.train.loop import Normalize

Loss = Callable[[tuple[Tensor, ...], dict[str, Any]], dict[str, Tensor]]

CALIBRATION = (
    256  # views from which the statistics of a narrower network are counted; the published number is not known
)
BATCH = 16


class Sampled(nn.Module):
    """Another part of the super-net, and another size of the pictures, at every step: beside the network in the loop.

    The step is counted in a buffer, so that a resumed run draws what a run that was never stopped draws.
    """

    steps: Tensor

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__()
        self.space, self.seed = space, seed
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, network: LitePose, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, S, S) -> what a narrower network gives of the pictures at its own size."""
        found = self.space.draw(np.random.default_rng((self.seed, int(self.steps))))
        self.steps += 1
        shape = shape_of(network, found.widths)
        quicken(shape)
        views = images
        if images.shape[-1] != found.side:
            views = F.interpolate(images, size=(found.side, found.side), mode="nearest")
        return run_narrow(network, shape, views)


def at_any_size(loss_of: Loss) -> Loss:
    """A loss of maps for outputs of another size than the targets."""
    return lambda outputs, targets: loss_of(outputs, resized_targets(targets, outputs))


def resized_targets(targets: dict[str, Tensor], outputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """Targets at the size of the outputs (B, 2K, h/4, w/4) and (B, K, h/2, w/2).

    Maps and masks are those of the nearest cell, as published. Cells of keypoints come from their coordinates: the
    published code takes every map to be 512 wide.
    """
    made = dict(targets)
    old, new = targets["heatmaps_4"].shape[2:], outputs[0].shape[2:]
    if old == new:
        return made
    for stride, maps in zip(STRIDES, outputs, strict=True):
        size = maps.shape[2:]
        made[f"heatmaps_{stride}"] = F.interpolate(targets[f"heatmaps_{stride}"], size=size, mode="nearest")
        masks = targets[f"masks_{stride}"]  # (B, h, w), or (B, K, h, w) where keypoints are unknown
        one = masks.dim() == 3
        masks = F.interpolate(masks[:, None] if one else masks, size=size, mode="nearest")
        made[f"masks_{stride}"] = masks[:, 0] if one else masks
    cells, seen = targets["joints_4"].long().unbind(-1)  # (B, people, K) each
    joint, cell = cells // (old[0] * old[1]), cells % (old[0] * old[1])
    y, x = cell // old[1] * new[0] // old[0], cell % old[1] * new[1] // old[1]
    made["joints_4"] = torch.stack([joint * (new[0] * new[1]) + y * new[1] + x, seen], dim=-1)
    return made


def recalibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Count the means and variances of batch normalization anew, over all batches alike; nothing else changes.

    batches: as the network takes them, (B, 3, h, w) normalized. A part of a super-net is nearly blind without this:
    the super-net's own statistics are a mixture of all widths.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    modes = [(module, module.training) for module in network.modules()]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    network.train()
    try:
        with torch.no_grad():
            for images in batches:
                network(images)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, training in modes:
            module.training = training


@dataclass(frozen=True)
class Calibration:
    """Training views to count statistics on, the same ones every time.

    count: of views; stage: of their augmentation, 0 for a network that learnt pictures as they are
    """

    samples: Whole
    seed: int
    count: int = CALIBRATION
    stage: int = 1

    def views(self, spec: ModelSpec, device: torch.device) -> Iterator[Tensor]:
        """Batches of `spec`'s size, as `recalibrate` takes them."""
        count = min(self.count, len(self.samples))
        sized = dataclasses.replace(self.samples, spec=spec, codec=codec_of(spec, Associative))
        normalize = Normalize(spec).to(device)
        rows = np.random.default_rng(self.seed).permutation(len(self.samples))[:count]
        for first in range(0, count, BATCH):
            images, _ = sized.batch((self.seed, first), rows[first : first + BATCH], self.stage)
            yield normalize(torch.from_numpy(images).to(device))


def stand_alone(
    network: LitePose, found: Architecture, skeleton: str | Skeleton, calibration: Calibration
) -> tuple[ModelSpec, LitePose]:
    """A part of the super-net as a network of its own, with statistics of its own, where that is; and its spec."""
    spec = associative_spec(found.name, skeleton, (found.side, found.side))
    narrow = cut(network, found.widths)
    recalibrate(narrow, calibration.views(spec, next(narrow.parameters()).device))
    return spec, narrow.eval()
