"""What a recipe trains on and minimises: data, network, loss and the auxiliary head, put together once.

`prepare` is the only place that knows which family needs what; the loop knows none of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgepose.codec import codec_of
from edgepose.codec.heatmap import Heatmap
from edgepose.codec.simcc import SimCC
from edgepose.data.crops import Crops
from edgepose.data.people import read_coco, union
from edgepose.models import build
from edgepose.models.rtmpose import LateralHead, RTMPose
from edgepose.skeleton import SKELETONS
from edgepose.spec import ModelSpec
from edgepose.train.losses import heatmap_loss, simcc_loss, spatial_loss
from edgepose.train.recipes import Recipe

Loss = Callable[[tuple[Tensor, ...], dict[str, Any]], dict[str, Tensor]]


@dataclass(frozen=True)
class Task:
    """Everything `edgepose.train.loop.train` needs besides the recipe."""

    spec: ModelSpec
    network: nn.Module
    samples: Any
    loss_of: Loss
    extra: nn.Module | None = None


def prepare(recipe: Recipe, data: list[tuple[Path, Path]]) -> Task:
    """Build a recipe's network and data.

    data: (COCO-style annotations, folder or zip of pictures) per data set; several are joined by keypoint name.
    """
    torch.manual_seed(recipe.seed)
    if recipe.model.startswith("rtmdet"):
        from edgepose.train.detector import detector_task  # needs onnxruntime for a teacher, which poses do without

        return Task(*detector_task(recipe, data))
    spec, network = build(recipe.model, skeleton=recipe.skeleton, input_size=recipe.input_size)
    people = union([read_coco(*pair) for pair in data], SKELETONS[recipe.skeleton])
    codec = codec_of(spec)
    if recipe.heatmap_weight and isinstance(network, RTMPose):
        extra = WithHeatmaps(network)
        both = WithHeatmapTargets(codec, Heatmap(spec.input_size, spec.keypoints, "dark", stride=8, sigma=1.0))
        samples = Crops(people, spec, both, recipe.strong, recipe.mild)
        return Task(spec, network, samples, auxiliary_loss(recipe.heatmap_weight), extra)
    losses: dict[str, Loss] = {"simcc": simcc_loss, "heatmap": heatmap_loss}
    lateral = recipe.model.startswith("cspnext-lateral")
    loss_of = spatial_loss if lateral else losses[spec.codec]
    return Task(spec, network, Crops(people, spec, codec, recipe.strong, recipe.mild), loss_of)


class WithHeatmaps(nn.Module):
    """An auxiliary heat-map head on RTMPose's backbone while it learns; dropped afterwards."""

    def __init__(self, network: RTMPose) -> None:
        super().__init__()
        # All three stages are needed; RTMPose's own head goes on reading the last one.
        stages = [network.backbone.get_submodule(f"stage{i}") for i in (2, 3, 4)]
        channels = tuple(next(iter(stage.children())).conv.out_channels for stage in stages)  # type: ignore[union-attr]
        network.backbone.out = (2, 3, 4)
        self.head = LateralHead(channels, network.head.final_layer.out_channels)

    def forward(self, network: RTMPose, images: Tensor) -> tuple[Tensor, ...]:
        """simcc_x, simcc_y, heat-maps (B, K, h/8, w/8)."""
        features = network.backbone(images)
        return (*network.head(features[-1]), self.head(features))


@dataclass(frozen=True)
class WithHeatmapTargets:
    """SimCC targets and, beside them, heat-maps for the auxiliary head."""

    simcc: SimCC
    heatmap: Heatmap

    def encode(self, keypoints: np.ndarray, visible: np.ndarray) -> dict[str, np.ndarray]:
        """Targets of both; the maps' own weights are "heatmap_weights"."""
        maps = self.heatmap.encode(keypoints, visible)
        simcc = self.simcc.encode(keypoints, visible)
        return simcc | {"heatmaps": maps["heatmaps"], "heatmap_weights": maps["weights"]}


def auxiliary_loss(weight: float) -> Loss:
    """SimCC's loss plus `weight` times the auxiliary heat-maps' cross-entropy."""

    def loss_of(outputs: tuple[Tensor, ...], targets: dict[str, Any]) -> dict[str, Tensor]:
        maps = {"heatmaps": targets["heatmaps"], "weights": targets["heatmap_weights"]}
        return simcc_loss(outputs[:2], targets) | {
            name: weight * value for name, value in spatial_loss(outputs[2:], maps).items()
        }

    return loss_of
