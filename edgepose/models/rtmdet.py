"""RTMDet, the person detector in front of the top-down networks (Lyu et al., 2022)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgepose.models.cspnext import ConvBNSiLU, CSPLayer, CSPNeXt, conv3x3, normal_weights
from edgepose.spec import ModelSpec

# Width and depth of the backbone (paper, table 2; the published configs).
SIZES = {
    "nano": (0.25, 0.33),
    "tiny": (0.375, 0.167),
    "s": (0.5, 0.33),
    "m": (0.75, 0.67),
    "l": (1.0, 1.0),
    "x": (1.25, 1.33),
}
EXPONENTIAL = ("m", "l", "x")  # the sizes that regress logarithms of distances
STRIDES = (8, 16, 32)
PRIOR = -math.log(99)  # logit of 1 %: before training, almost no cell holds an object
MEAN, STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)  # blue, green, red

# Key prefixes of checkpoints written by mmyolo, and the ones that mmdetection and this file have in their place.
MMYOLO_KEYS = {
    "neck.reduce_layers.2.": "neck.reduce_layers.0.",
    "neck.top_down_layers.0.1.": "neck.reduce_layers.1.",
    "neck.top_down_layers.0.0.": "neck.top_down_blocks.0.",
    "neck.top_down_layers.1.": "neck.top_down_blocks.1.",
    "neck.downsample_layers.": "neck.downsamples.",
    "neck.bottom_up_layers.": "neck.bottom_up_blocks.",
    "neck.out_layers.": "neck.out_convs.",
    "bbox_head.head_module.": "bbox_head.",
}


class CSPNeXtPAFPN(nn.Module):
    """Features flow down from stride 32 to 8 and up again, through the blocks of the backbone (section 3.2)."""

    def __init__(self, channels: tuple[int, ...], out: int, blocks: int, *, depthwise: bool = False) -> None:
        super().__init__()
        c3, c4, c5 = channels

        def csp(inner: int, outer: int) -> CSPLayer:
            return CSPLayer(inner, outer, blocks, depthwise=depthwise)

        self.reduce_layers = nn.ModuleList([ConvBNSiLU(c5, c4), ConvBNSiLU(c4, c3)])
        self.top_down_blocks = nn.ModuleList([csp(2 * c4, c4), csp(2 * c3, c3)])
        self.downsamples = nn.ModuleList([conv3x3(c, c, 2, depthwise=depthwise) for c in (c3, c4)])
        self.bottom_up_blocks = nn.ModuleList([csp(2 * c3, c4), csp(2 * c4, c5)])
        self.out_convs = nn.ModuleList([conv3x3(c, out, depthwise=depthwise) for c in channels])

    def forward(self, features: tuple[Tensor, ...]) -> list[Tensor]:
        """Strides 8, 16, 32: (B, c3, h/8, w/8), (B, c4, ..), (B, c5, ..) -> (B, out, ..) three times."""
        f3, f4, f5 = features
        p5 = self.reduce_layers[0](f5)
        p4 = self.reduce_layers[1](self.top_down_blocks[0](torch.cat([_twice(p5), f4], dim=1)))
        o3 = self.top_down_blocks[1](torch.cat([_twice(p4), f3], dim=1))
        o4 = self.bottom_up_blocks[0](torch.cat([self.downsamples[0](o3), p4], dim=1))
        o5 = self.bottom_up_blocks[1](torch.cat([self.downsamples[1](o4), p5], dim=1))
        return [conv(o) for conv, o in zip(self.out_convs, (o3, o4, o5), strict=True)]


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")  # (B, C, h, w) -> (B, C, 2h, 2w)


class SeparatedBNHead(nn.Module):
    """Two stacks of two convolutions, for classes and boxes. The three levels have the same convolution weights and
    their own BatchNorm statistics (section 3.2, "shared detection head"); with `depthwise` nothing is shared.

    Args:
        exp: the last convolution gives logarithms of distances. Published checkpoints differ (mmyolo never has it),
            and a wrong value shows as boxes that are far too large or too small.
    """

    def __init__(self, channels: int, classes: int, *, exp: bool, depthwise: bool = False) -> None:
        super().__init__()
        self.exp = exp
        self.cls_convs = _stacks(channels, depthwise)
        self.reg_convs = _stacks(channels, depthwise)
        self.rtm_cls = nn.ModuleList(_predictor(channels, classes, PRIOR) for _ in STRIDES)
        self.rtm_reg = nn.ModuleList(_predictor(channels, 4, 1.0) for _ in STRIDES)  # boxes of about one cell

    def forward(self, features: list[Tensor]) -> tuple[Tensor, ...]:
        """Three (B, C, h/s, w/s) -> for s = 8, 16, 32: (B, classes, h/s, w/s) and (B, 4, h/s, w/s), in turn."""
        outputs: list[Tensor] = []
        for level, stride in enumerate(STRIDES):
            distances = self.rtm_reg[level](self.reg_convs[level](features[level]))
            outputs.append(self.rtm_cls[level](self.cls_convs[level](features[level])))
            outputs.append((distances.exp() if self.exp else distances) * stride)
        return tuple(outputs)


def _stacks(channels: int, depthwise: bool) -> nn.ModuleList:
    """Two convolutions for each level."""
    levels = [[conv3x3(channels, channels, depthwise=depthwise) for _ in range(2)] for _ in STRIDES]
    if not depthwise:
        for level in levels[1:]:
            for layer, first in zip(level, levels[0], strict=True):
                layer.conv = first.conv  # the same module: trained once, stored under the keys of every level
    stacks = nn.ModuleList(nn.Sequential(*level) for level in levels)
    for module in stacks.modules():
        if isinstance(module, nn.Conv2d):
            normal_weights(module, 0.01)
    return stacks


def _predictor(channels: int, out: int, bias: float) -> nn.Conv2d:
    layer = nn.Conv2d(channels, out, 1)
    normal_weights(layer, 0.01, bias)
    return layer


class RTMDet(nn.Module):
    """Boxes of a picture: class logits and distances to the four sides, for each cell of three levels."""

    def __init__(self, classes: int, width: float, depth: float, *, exp: bool = False, depthwise: bool = False) -> None:
        super().__init__()
        self.backbone = CSPNeXt(width, depth, depthwise=depthwise, out=(2, 3, 4))
        channels = self.backbone.channels
        self.neck = CSPNeXtPAFPN(channels, channels[0], max(round(3 * depth), 1), depthwise=depthwise)
        self.bbox_head = SeparatedBNHead(channels[0], classes, exp=exp, depthwise=depthwise)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, h, w) -> cls, reg at stride 8, cls, reg at stride 16, cls, reg at stride 32.

        cls (B, classes, h/s, w/s) are logits; reg (B, 4, h/s, w/s) are the distances from the cell's point (x*s, y*s)
        to the left, top, right and bottom side, in input pixels.
        """
        return self.bbox_head(self.neck(self.backbone(images)))


def build_rtmdet(size: str, classes: int, input_size: tuple[int, int] | None) -> tuple[ModelSpec, RTMDet]:
    """A detector and its spec; 320x320 for nano and 640x640 for the others, unless stated."""
    width, depth = SIZES[size]
    exp = size in EXPONENTIAL
    spec = ModelSpec(
        f"rtmdet-{size}",
        codec="boxes",
        input_size=input_size or ((320, 320) if size == "nano" else (640, 640)),
        skeleton="box",
        codec_args={"format": "rtmdet", "strides": list(STRIDES), "classes": classes},
        warp="letterbox",
        border=114,
        layout="nchw",
        color="bgr",
        mean=MEAN,
        std=STD,
    )
    return spec, RTMDet(classes, width, depth, exp=exp, depthwise=size == "nano")
