"""CSPNeXt, the backbone of RTMPose and RTMDet, and the blocks it is made of (Lyu et al., RTMDet, 2022, section 3.2).

Attribute names are the keys of the published checkpoints. BatchNorm keeps torch's eps 1e-5 and momentum 0.1: the
published configs replace the 1e-3 and 0.03 of the published class defaults.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Channels and number of blocks of the four stages at width 1 and depth 1 (strides 4, 8, 16, 32).
STAGES = ((128, 3), (256, 6), (512, 6), (1024, 3))


class ConvBNSiLU(nn.Module):
    """Convolution without bias, BatchNorm, SiLU."""

    def __init__(self, channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out)
        self.act = nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, out, h/stride, w/stride)."""
        return self.act(self.bn(self.conv(x)))


class DepthwiseSeparable(nn.Module):
    """Depth-wise then point-wise convolution, each with its own BatchNorm and SiLU."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise_conv = ConvBNSiLU(channels, channels, kernel, stride, groups=channels)
        self.pointwise_conv = ConvBNSiLU(channels, out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, out, h/stride, w/stride)."""
        return self.pointwise_conv(self.depthwise_conv(x))


def conv3x3(channels: int, out: int, stride: int = 1, *, depthwise: bool = False) -> nn.Module:
    """A full 3x3 convolution, or the depth-wise separable one that the nano detector has in its place."""
    return DepthwiseSeparable(channels, out, 3, stride) if depthwise else ConvBNSiLU(channels, out, 3, stride)


def normal_weights(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear, std: float, bias: float = 0.0) -> None:
    """How the layers of the published heads start: normal weights, a constant bias."""
    nn.init.normal_(layer.weight, std=std)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, bias)


def divisible(channels: float, by: int = 8) -> int:
    """The multiple of `by` nearest to a number of channels, but never less than nine tenths of it (MobileNet)."""
    nearest = max(by, int(channels + by / 2) // by * by)
    return nearest + by if nearest < 0.9 * channels else nearest


class CSPNeXtBlock(nn.Module):
    """3x3 convolution, then a 5x5 depth-wise separable one: a large receptive field for few multiplications."""

    def __init__(self, channels: int, *, identity: bool, depthwise: bool = False) -> None:
        super().__init__()
        self.conv1 = conv3x3(channels, channels, depthwise=depthwise)
        self.conv2 = DepthwiseSeparable(channels, channels, 5)
        self.identity = identity

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        y = self.conv2(self.conv1(x))
        return x + y if self.identity else y


class ChannelAttention(nn.Module):
    """Each channel is scaled by a gate computed from the means of all channels, without a bottleneck."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.fc.get_parameter("bias"))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        gate = F.hardsigmoid(self.fc(F.adaptive_avg_pool2d(x, 1)))  # (B, C, 1, 1)
        return x * gate


class CSPLayer(nn.Module):
    """Half of the channels pass through the blocks, the other half around them (cross stage partial)."""

    def __init__(
        self,
        channels: int,
        out: int,
        blocks: int,
        *,
        identity: bool = False,
        attention: bool = False,
        depthwise: bool = False,
    ) -> None:
        super().__init__()
        half = out // 2
        self.main_conv = ConvBNSiLU(channels, half)
        self.short_conv = ConvBNSiLU(channels, half)
        self.final_conv = ConvBNSiLU(2 * half, out)
        self.blocks = nn.Sequential(
            *(CSPNeXtBlock(half, identity=identity, depthwise=depthwise) for _ in range(blocks))
        )
        self.attention = ChannelAttention(2 * half) if attention else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, out, h, w)."""
        y = torch.cat([self.blocks(self.main_conv(x)), self.short_conv(x)], dim=1)  # (B, out, h, w)
        if self.attention is not None:
            y = self.attention(y)
        return self.final_conv(y)


class SPP(nn.Module):
    """Spatial pyramid pooling: the features beside their maxima over windows of 5, 9 and 13."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvBNSiLU(channels, channels // 2)
        self.conv2 = ConvBNSiLU(4 * (channels // 2), channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        pools = [self.conv1(x)]
        for _ in range(3):  # the maximum over 5 of the maximum over 5 is exactly that over 9, and is cheaper
            pools.append(F.max_pool2d(pools[-1], 5, stride=1, padding=2))
        return self.conv2(torch.cat(pools, dim=1))  # (B, 4 * C/2, h, w) -> (B, C, h, w)


class CSPNeXt(nn.Module):
    """Stem and four stages; `out` lists the stages whose features are returned, `channels` how wide those are.

    Args:
        depthwise: the nano detector's variant, whose stages have depth-wise separable 3x3 convolutions.
    """

    def __init__(self, width: float, depth: float, *, depthwise: bool = False, out: tuple[int, ...] = (4,)) -> None:
        super().__init__()
        stem = int(64 * width)
        half = stem // 2
        widths = [stem, *(int(channels * width) for channels, _ in STAGES)]

        def stage(index: int) -> nn.Sequential:
            channels, blocks = widths[index], max(round(STAGES[index - 1][1] * depth), 1)
            last = index == len(STAGES)  # pools, and has no identity in its blocks
            return nn.Sequential(
                conv3x3(widths[index - 1], channels, 2, depthwise=depthwise),
                *([SPP(channels)] if last else []),
                CSPLayer(channels, channels, blocks, identity=not last, attention=True, depthwise=depthwise),
            )

        self.stem = nn.Sequential(
            ConvBNSiLU(3, half, 3, stride=2), ConvBNSiLU(half, half, 3), ConvBNSiLU(half, stem, 3)
        )
        self.stage1 = stage(1)
        self.stage2 = stage(2)
        self.stage3 = stage(3)
        self.stage4 = stage(4)
        self.out = out
        self.channels = tuple(widths[index] for index in out)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, h, w) -> one (B, C, h/s, w/s) for every stage in `out`, s = 4, 8, 16, 32 for stages 1 to 4."""
        features = [self.stem(images)]  # (B, C, h/2, w/2)
        for stage in (self.stage1, self.stage2, self.stage3, self.stage4):
            features.append(stage(features[-1]))
        return tuple(features[index] for index in self.out)
