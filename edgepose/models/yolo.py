"""Blocks of YOLOv5 (release 5.0) that the one-stage network is made of: C3, its backbone, and the path aggregation.

YOLOv5-Lite and YOLO-Pose have the same blocks; the names of their parts are the published ones.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgepose.models.cspnext import SPP, ConvBNSiLU


class Bottleneck(nn.Module):
    """1x1 then 3x3 convolution, added to what came in where there is a shortcut."""

    def __init__(self, channels: int, *, shortcut: bool) -> None:
        super().__init__()
        self.cv1 = ConvBNSiLU(channels, channels)
        self.cv2 = ConvBNSiLU(channels, channels, 3)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        y = self.cv2(self.cv1(x))
        return x + y if self.shortcut else y


class C3(nn.Module):
    """Half of the output's channels pass through bottlenecks, the other half around them."""

    def __init__(self, channels: int, out: int, blocks: int = 1, *, shortcut: bool = False) -> None:
        super().__init__()
        half = out // 2
        self.cv1 = ConvBNSiLU(channels, half)
        self.cv2 = ConvBNSiLU(channels, half)
        self.cv3 = ConvBNSiLU(2 * half, out)
        self.m = nn.Sequential(*(Bottleneck(half, shortcut=shortcut) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, out, h, w)."""
        return self.cv3(torch.cat([self.m(self.cv1(x)), self.cv2(x)], dim=1))


class CSPDarknet(nn.Module):
    """The backbone of release 5.0 for inputs with five strides of 2.

    Its Focus layer (the four pixel offsets of 2x2 as channels, then a 3x3 convolution) is written as the 6x6
    convolution of stride 2 that it equals, so that pictures meet a convolution of three channels first, as elsewhere.
    """

    def __init__(self, width: float, depth: float) -> None:
        super().__init__()
        stem, c2, c3, c4, c5 = (-int(-channels * width // 8) * 8 for channels in (64, 128, 256, 512, 1024))
        few, many = (max(round(blocks * depth), 1) for blocks in (3, 9))
        self.stem = ConvBNSiLU(3, stem, 6, stride=2)
        self.stem.conv.padding = (2, 2)
        self.stage1 = nn.Sequential(ConvBNSiLU(stem, c2, 3, stride=2), C3(c2, c2, few, shortcut=True))
        self.stage2 = nn.Sequential(ConvBNSiLU(c2, c3, 3, stride=2), C3(c3, c3, many, shortcut=True))
        self.stage3 = nn.Sequential(ConvBNSiLU(c3, c4, 3, stride=2), C3(c4, c4, many, shortcut=True))
        self.stage4 = nn.Sequential(ConvBNSiLU(c4, c5, 3, stride=2), SPP(c5), C3(c5, c5, few))
        self.channels = (c3, c4, c5)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, h, w) -> features at strides 8, 16 and 32."""
        c3 = self.stage2(self.stage1(self.stem(images)))
        c4 = self.stage3(c3)
        return c3, c4, self.stage4(c4)


class PAN(nn.Module):
    """Features flow down from stride 32 to 8 and up again (Liu et al., 2018, as YOLOv5 builds it).

    Args:
        channels: of the backbone's features at strides 8, 16, 32. out: of the features given. blocks: in every C3.
    """

    def __init__(self, channels: tuple[int, int, int], out: tuple[int, int, int], blocks: int) -> None:
        super().__init__()
        (c3, c4, c5), (o3, o4, o5) = channels, out
        self.lateral5 = ConvBNSiLU(c5, o4)
        self.down4 = C3(o4 + c4, o4, blocks)
        self.lateral4 = ConvBNSiLU(o4, o3)
        self.down3 = C3(o3 + c3, o3, blocks)
        self.stride3 = ConvBNSiLU(o3, o3, 3, stride=2)
        self.up4 = C3(2 * o3, o4, blocks)
        self.stride4 = ConvBNSiLU(o4, o4, 3, stride=2)
        self.up5 = C3(2 * o4, o5, blocks)

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> list[Tensor]:
        """Strides 8, 16, 32: (B, c3, h/8, w/8), (B, c4, ..), (B, c5, ..) -> (B, o3, ..), (B, o4, ..), (B, o5, ..)."""
        c3, c4, c5 = features
        l5 = self.lateral5(c5)
        l4 = self.lateral4(self.down4(torch.cat([_twice(l5), c4], dim=1)))
        p3 = self.down3(torch.cat([_twice(l4), c3], dim=1))
        p4 = self.up4(torch.cat([self.stride3(p3), l4], dim=1))
        p5 = self.up5(torch.cat([self.stride4(p4), l5], dim=1))
        return [p3, p4, p5]


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")  # (B, C, h, w) -> (B, C, 2h, 2w)
