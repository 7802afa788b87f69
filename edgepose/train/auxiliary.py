"""Auxiliary losses that let RTMPose learn from little data; nothing of them is left in the trained network.

SimCC from scratch stays on the plateau of uniform predictions for long. Two shorter ways for the
gradient: heat-maps at stride 8 from stages 2 to 4 of the backbone, which it learns to see by; and the head's own maps
at stride 32, one per keypoint, which have to hold a keypoint's place to a fraction of a cell before the classifiers
behind them can read it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from edgepose.codec.heatmap import Heatmap
from edgepose.codec.simcc import SimCC
from edgepose.models.rtmpose import STRIDE, LateralHead, RTMPose
from edgepose.spec import ModelSpec
from edgepose.train.losses import simcc_loss, spatial_loss

Loss = Callable[[tuple[Tensor, ...], dict[str, Any]], dict[str, Tensor]]


class WithHeatmaps(nn.Module):
    """RTMPose with the lateral heat-map head on its backbone, and with its head's inner maps shown."""

    def __init__(self, network: RTMPose) -> None:
        super().__init__()
        network.backbone.out = (2, 3, 4)  # RTMPose's own head goes on reading the last one
        last = network.head.final_layer
        self.head = LateralHead((last.in_channels // 4, last.in_channels // 2, last.in_channels), last.out_channels)

    def forward(self, network: RTMPose, images: Tensor) -> tuple[Tensor, ...]:
        """simcc_x, simcc_y, maps (B, K, h/8, w/8), the head's maps (B, K, h/32, w/32)."""
        features = network.backbone(images)
        inner = network.head.final_layer(features[-1])
        return (*network.head.classify(inner), self.head(features), inner)


@dataclass(frozen=True)
class AuxiliaryTargets:
    """SimCC targets and, beside them, heat-maps at strides 8 and 32."""

    simcc: SimCC
    fine: Heatmap
    coarse: Heatmap

    @staticmethod
    def of(spec: ModelSpec, simcc: SimCC) -> AuxiliaryTargets:
        """For RTMPose of a spec."""
        fine, coarse = (
            Heatmap(spec.input_size, spec.keypoints, "dark", stride=stride, sigma=sigma)
            for stride, sigma in ((8, 1.0), (STRIDE, 0.75))
        )
        return AuxiliaryTargets(simcc, fine, coarse)

    def encode(self, keypoints: np.ndarray, visible: np.ndarray) -> dict[str, np.ndarray]:
        """Targets of all three; maps are "fine" and "coarse", with "fine_weights" and "coarse_weights"."""
        targets = self.simcc.encode(keypoints, visible)
        # A coarse cell's middle is half a stride from its first pixel; without the shift the last half would be lost.
        shifts = {"fine": 0.0, "coarse": (STRIDE - 1) / 2}
        for name, codec in (("fine", self.fine), ("coarse", self.coarse)):
            maps = codec.encode(keypoints - shifts[name], visible)
            targets |= {name: maps["heatmaps"], f"{name}_weights": maps["weights"]}
        return targets


def auxiliary_loss(fine: float, coarse: float) -> Loss:
    """SimCC's loss plus `fine` and `coarse` times the cross-entropies of the maps at strides 8 and 32."""

    def loss_of(outputs: tuple[Tensor, ...], targets: dict[str, Any]) -> dict[str, Tensor]:
        losses = simcc_loss(outputs[:2], targets)
        for name, weight, maps in (("fine", fine, outputs[2]), ("coarse", coarse, outputs[3])):
            wanted = {"heatmaps": targets[name], "weights": targets[f"{name}_weights"]}
            losses[name] = weight * spatial_loss((maps,), wanted)["spatial"]
        return losses

    return loss_of
