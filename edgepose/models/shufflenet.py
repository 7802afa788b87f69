"""ShuffleNetV2 (Ma et al., 2018) as YOLOv5-Lite-s has it, the backbone of the small one-stage networks.

Names inside a block are those of the published YOLOv5-Lite checkpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Channels at strides 8, 16, 32. YOLOv5-Lite rounds the first to 120, which its published weights need.
WIDTHS = (116, 232, 464)
REPEATS = (3, 7, 3)


class ShuffleBlock(nn.Module):
    """Half of the channels pass through three convolutions, then both halves are interleaved.

    With stride 2 both halves are made of all channels that come in.
    """

    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        half = out // 2
        if stride == 1 and channels != out:
            raise ValueError(f"a shuffle block of stride 1 keeps its channels, got {channels} and {out}")
        self.stride = stride
        if stride == 2:
            self.branch1 = nn.Sequential(
                nn.Conv2d(channels, channels, 3, 2, 1, groups=channels, bias=False),
                nn.BatchNorm2d(channels),
                nn.Conv2d(channels, half, 1, bias=False),
                nn.BatchNorm2d(half),
                nn.ReLU(inplace=True),
            )
        self.branch2 = nn.Sequential(
            nn.Conv2d(channels if stride == 2 else half, half, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
            nn.Conv2d(half, half, 3, stride, 1, groups=half, bias=False),
            nn.BatchNorm2d(half),
            nn.Conv2d(half, half, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, out, h/stride, w/stride)."""
        if self.stride == 1:
            kept, worked = x.chunk(2, dim=1)
            return _shuffled(torch.cat([kept, self.branch2(worked)], dim=1))
        return _shuffled(torch.cat([self.branch1(x), self.branch2(x)], dim=1))


def _shuffled(x: Tensor) -> Tensor:
    """Channels of the two halves in turn."""
    b, c, h, w = x.shape
    return x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


class ShuffleNetV2(nn.Module):
    """Stem at stride 4 (24 channels in the paper, 32 in YOLOv5-Lite), then three stages of shuffle blocks."""

    def __init__(self, widths: tuple[int, int, int] = WIDTHS, stem: int = 32) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem, 3, 2, 1, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        )
        stages, channels = [], stem
        for out, repeats in zip(widths, REPEATS, strict=True):
            blocks = [ShuffleBlock(channels, out, 2), *(ShuffleBlock(out, out) for _ in range(repeats))]
            stages.append(nn.Sequential(*blocks))
            channels = out
        self.stage1, self.stage2, self.stage3 = stages
        self.channels = widths

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, h, w) -> features at strides 8, 16 and 32."""
        c3 = self.stage1(self.stem(images))
        c4 = self.stage2(c3)
        return c3, c4, self.stage3(c4)
