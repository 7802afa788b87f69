"""Parallel branches of several resolutions that exchange what they see (Sun et al., HRNet, 2019).

Attribute names are the keys of the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from edgepose.models.cspnext import normal_weights


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around which the input passes unchanged, or through a 1x1 where the shape changes."""

    def __init__(self, channels: int, out: int | None = None, stride: int = 1) -> None:
        super().__init__()
        out = channels if out is None else out
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample = _shortcut(channels, out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, out, h/stride, w/stride)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x), inplace=True)


class Bottleneck(nn.Module):
    """1x1 to `inner` channels, 3x3, 1x1 to four times as many, and the input past them as in `BasicBlock`."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, 4 * inner, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * inner)
        self.downsample = _shortcut(channels, 4 * inner, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 4 * inner, h, w)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x), inplace=True)


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


def tag_head(width: int, keypoints: int, blocks: int) -> tuple[nn.ModuleList, nn.ModuleList]:
    """The two heads of HigherHRNet and EfficientHRNet: (1x1 to 2K maps at 1/4, 1x1 to K at 1/2), and between them a
    deconvolution of features and first maps, with `blocks` after it.
    """
    final = [nn.Conv2d(width, 2 * keypoints, 1), nn.Conv2d(width, keypoints, 1)]
    for layer in final:
        normal_weights(layer, 0.001)
    up = nn.Sequential(
        nn.ConvTranspose2d(width + 2 * keypoints, width, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )
    refined = [nn.Sequential(BasicBlock(width)) for _ in range(blocks)]
    return nn.ModuleList(final), nn.ModuleList([nn.Sequential(up, *refined)])


def _shortcut(channels: int, out: int, stride: int) -> nn.Module:
    if channels == out and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))


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
