"""What the bottom-up families share: their spec, and the part of decoding that runs inside the exported graph."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgepose.skeleton import Skeleton
from edgepose.spec import ModelSpec

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # red, green, blue


def associative_spec(name: str, skeleton: str | Skeleton, input_size: tuple[int, int]) -> ModelSpec:
    """The spec of a network with heat-maps at 1/4 and 1/2 of the input, and tags."""
    return ModelSpec(
        name,
        codec="associative",
        input_size=input_size,
        skeleton=skeleton,
        warp="middle",
        border=0,
        layout="nchw",
        color="rgb",
        mean=MEAN,
        std=STD,
    )


class Peaks(nn.Module):
    """Raw outputs -> mean heat-maps, tags, and the highest peaks of every heat-map (codec.associative).

    Args:
        count: peaks kept for each keypoint.
        window: side of the square in which a peak has no higher neighbor.
    """

    def __init__(self, count: int, window: int) -> None:
        super().__init__()
        self.count, self.window = count, window

    def forward(self, coarse: Tensor, fine: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B, 2K, h/4, w/4), (B, K, h/2, w/2) -> heat-maps (B, K, h/2, w/2), tags (B, K, h/4, w/4), scores (B, K, M),
        and cells (B, K, M) int64, counted row by row.
        """
        k = fine.shape[1]
        heat = (F.interpolate(coarse[:, :k], scale_factor=2.0, mode="bilinear") + fine) / 2
        highest = F.max_pool2d(heat, self.window, 1, self.window // 2)
        alone = torch.where(heat == highest, heat, torch.zeros_like(heat))
        count = min(self.count, heat.shape[2] * heat.shape[3])
        scores, cells = alone.flatten(2).topk(count)
        return heat, coarse[:, k:], scores, cells
