"""Compact EfficientNet, scaled down from B0 to B-4: a classifier, and the backbone of EfficientHRNet.

Neff et al., EfficientHRNet, 2020, section 3.1; rows of the base network from Tan & Le, EfficientNet, 2019. Attribute
names of the features are the keys of the published checkpoints.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from edgepose.models.cspnext import divisible, normal_weights
from edgepose.names import expected

# Of the base network: expansion, channels, repeats, stride of the first, kernel.
ROWS = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
STEM, HEAD = 32, 1280
# Factors on width and depth, the powers 0 to -4 of 1.1 and 1.2 as the published code rounds them, and the side of the
# ImageNet pictures.
SIZES = {
    "b0": (1.0, 1.0, 224),
    "b-1": (0.909, 0.833, 195),
    "b-2": (0.826, 0.694, 170),
    "b-3": (0.751, 0.578, 145),
    "b-4": (0.684, 0.483, 128),
}
DROP = 0.2  # probability that a block is skipped in training


class ConvBNSwish(nn.Sequential):
    """Padding, convolution without bias, BatchNorm, x * sigmoid(x).

    Padded as TensorFlow does for even sizes: a convolution with stride 2 gets one row less above than below.
    """

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        padding = max(kernel - stride, 0)
        before, after = padding // 2, padding - padding // 2
        uneven = before != after
        super().__init__(
            nn.ZeroPad2d((before, after, before, after)) if uneven else nn.Identity(),
            nn.Conv2d(channels, out, kernel, stride, 0 if uneven else before, groups=groups, bias=False),
            nn.BatchNorm2d(out),
            nn.SiLU(inplace=True),
        )


class SqueezeExcitation(nn.Module):
    """Each channel is scaled by a gate computed from the means of all channels."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.se = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.SiLU(inplace=True),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        return x * self.se(x)


class MBConvBlock(nn.Module):
    """Inverted bottleneck with squeeze and excitation; the squeeze is measured on the block's input, as published."""

    def __init__(self, channels: int, out: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.conv = nn.Sequential(
            *([ConvBNSwish(channels, inner, 1)] if expansion != 1 else []),
            ConvBNSwish(inner, inner, kernel, stride, groups=inner),
            SqueezeExcitation(inner, max(1, channels // 4)),
            nn.Conv2d(inner, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.residual = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, out, h/stride, w/stride)."""
        y = self.conv(x)
        if not self.residual:
            return y
        if self.training:  # drop connect: some pictures of the batch skip the block
            kept = torch.rand(len(y), 1, 1, 1, device=y.device) >= DROP
            y = y * kept / (1 - DROP)
        return x + y


def features(size: str) -> tuple[nn.Sequential, list[tuple[int, int]]]:
    """The stem and all blocks of a size, and for each of them its stride from the input and its channels."""
    width, depth, _ = SIZES[size]

    def scaled(channels: int) -> int:
        return channels if width == 1.0 else divisible(channels * width)

    channels, reached = scaled(STEM), 2
    layers: list[nn.Module] = [ConvBNSwish(3, channels, 3, 2)]
    shapes = [(reached, channels)]
    for expansion, base, repeats, stride, kernel in ROWS:
        for repeat in range(math.ceil(repeats * depth)):
            step, out = stride if repeat == 0 else 1, scaled(base)
            layers.append(MBConvBlock(channels, out, expansion, kernel, step))
            channels, reached = out, reached * step
            shapes.append((reached, channels))
    return nn.Sequential(*layers), shapes


class EfficientNet(nn.Module):
    """The classifier: 1000 classes for ImageNet, 100 or 10 for CIFAR, where only the last layer differs."""

    def __init__(self, size: str, classes: int = 1000) -> None:
        super().__init__()
        if size not in SIZES:
            raise ValueError(f"unknown EfficientNet {size!r}{expected(size, SIZES)}")
        if classes < 2:
            raise ValueError(f"EfficientNet with classes={classes}: expected 2 or more, such as 1000 (ImageNet)")
        self.features, shapes = features(size)
        width = SIZES[size][0]
        last = HEAD if width == 1.0 else divisible(HEAD * width)
        self.head = ConvBNSwish(shapes[-1][1], last, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(last, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        normal_weights(self.classifier, 0.01)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """(B, 3, h, w) of any size -> (B, classes) logits."""
        pooled = self.pool(self.head(self.features(images))).flatten(1)  # (B, C)
        return (self.classifier(self.dropout(pooled)),)
