"""Parallel branches of several resolutions that exchange what they see (Sun et al., HRNet, 2019).

Attribute names are the keys of the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around which the input passes unchanged."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + x, inplace=True)


class HighResolutionModule(nn.Module):
    """Each branch through its blocks, then every output as the sum of all branches at its resolution.

    Branch n has half the resolution of branch n - 1.

    Args:
        widths: channels of each branch.
        blocks: of each branch (HRNet and HigherHRNet 4, EfficientHRNet 2).
        outputs: how many resolutions are wanted, counted from the highest; all by default.
    """

    def __init__(self, widths: Sequence[int], blocks: int, outputs: int | None = None) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(width) for _ in range(blocks))) for width in widths)
        wanted = range(len(widths) if outputs is None else outputs)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_between(widths, source, target) for source in range(len(widths))) for target in wanted
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """One (B, C_n, h/2^n, w/2^n) for each branch -> the same, for each output."""
        seen = [branch(x) for branch, x in zip(self.branches, features, strict=True)]
        results = []
        for layers in self.fuse_layers:
            total, *others = (layer(x) for layer, x in zip(layers, seen, strict=True))  # type: ignore[call-overload]
            for other in others:
                total = total + other
            results.append(F.relu(total))
        return results


def _between(widths: Sequence[int], source: int, target: int) -> nn.Module:
    """From one branch's resolution and channels to another's."""
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(
            nn.Conv2d(widths[source], widths[target], 1, bias=False),
            nn.BatchNorm2d(widths[target]),
            nn.Upsample(scale_factor=2.0 ** (source - target), mode="nearest"),
        )
    steps = []
    for step in range(source + 1, target + 1):  # the last changes the channels
        last = step == target
        out = widths[target] if last else widths[source]
        layers = [nn.Conv2d(widths[source], out, 3, 2, 1, bias=False), nn.BatchNorm2d(out)]
        steps.append(nn.Sequential(*layers, *([] if last else [nn.ReLU(inplace=True)])))
    return nn.Sequential(*steps)
