"""RTMPose: CSPNeXt features, 7x7 convolution, gated attention, SimCC (Jiang et al., 2023), and the heat-map network
that its backbone is pre-trained with.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgepose.models.cspnext import CSPNeXt, DepthwiseSeparable, normal_weights
from edgepose.skeleton import Skeleton, as_skeleton
from edgepose.spec import ModelSpec, Warp

# Width and depth of the backbone (paper, section 3.1; the published configs).
SIZES = {"t": (0.375, 0.167), "s": (0.5, 0.33), "m": (0.75, 0.67), "l": (1.0, 1.0), "x": (1.25, 1.33)}
STRIDE = 32  # input pixels per cell of the last stage
SPLIT = 2.0  # SimCC bins per input pixel
SHARP = 10.0  # scale of beliefs beside features
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # red, green, blue


class ScaleNorm(nn.Module):
    """Divides by the root mean square of the last axis, times one learned number (Nguyen & Salazar, 2019)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(1))
        self.scale = dim**-0.5

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) -> (..., dim)."""
        rms = torch.linalg.vector_norm(x, dim=-1, keepdim=True) * self.scale
        return x / rms.clamp(min=1e-5) * self.g


class Scale(nn.Module):
    """One learned factor per channel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) -> (..., dim)."""
        return x * self.scale


class GatedAttention(nn.Module):
    """Gated attention unit over the K keypoints of a person (section 3.3; Hua et al., 2022).

    The attention weights are squared ReLUs, not a soft-max, and the residual is the input before normalization.
    """

    def __init__(self, dim: int, expansion: int = 2, query: int = 128) -> None:
        super().__init__()
        hidden = dim * expansion
        self.gamma = nn.Parameter(torch.rand(2, query))  # of the queries and of the keys
        self.beta = nn.Parameter(torch.rand(2, query))
        self.o = nn.Linear(hidden, dim, bias=False)
        self.uv = nn.Linear(dim, 2 * hidden + query, bias=False)
        self.ln = ScaleNorm(dim)
        self.res_scale = Scale(dim)
        self.split = (hidden, hidden, query)

    def forward(self, x: Tensor) -> Tensor:
        """(B, K, dim) -> (B, K, dim)."""
        u, v, base = F.silu(self.uv(self.ln(x))).split(self.split, dim=-1)  # (B, K, hidden) twice, (B, K, query)
        q = base * self.gamma[0] + self.beta[0]  # (B, K, query)
        k = base * self.gamma[1] + self.beta[1]  # (B, K, query)
        weights = F.relu(q @ k.transpose(1, 2) / math.sqrt(self.split[2])).square()  # (B, K, K)
        return self.res_scale(x) + self.o(u * (weights @ v))


class SimCCHead(nn.Module):
    """One 7x7 map per keypoint becomes a token, tokens attend to each other, two classifiers read x and y from each."""

    def __init__(
        self, channels: int, input_size: tuple[int, int], keypoints: int, split: float, dim: int = 256
    ) -> None:
        super().__init__()
        width, height = input_size
        cells = (width // STRIDE) * (height // STRIDE)
        self.final_layer = nn.Conv2d(channels, keypoints, 7, padding=3)
        self.mlp = nn.Sequential(ScaleNorm(cells), nn.Linear(cells, dim, bias=False))
        self.gau = GatedAttention(dim)
        self.cls_x = nn.Linear(dim, round(width * split), bias=False)
        self.cls_y = nn.Linear(dim, round(height * split), bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                normal_weights(module, 0.01)
        normal_weights(self.final_layer, 0.001)
        nn.init.xavier_uniform_(self.gau.uv.weight)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, h/32, w/32) -> (B, K, w*split), (B, K, h*split)."""
        return self.classify(self.final_layer(features))

    def classify(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """One map per keypoint (B, K, h/32, w/32) -> (B, K, w*split), (B, K, h*split)."""
        tokens = self.mlp(maps.flatten(2))  # (B, K, cells), row by row -> (B, K, dim)
        tokens = self.gau(tokens)
        return self.cls_x(tokens), self.cls_y(tokens)


class RTMPose(nn.Module):
    """Keypoints of the one person in a crop, as two classifications per keypoint over the bins of x and of y.

    Args:
        input_size: width and height of the crop; both are baked into the classifiers.
        split: bins per input pixel.
    """

    def __init__(
        self, input_size: tuple[int, int], keypoints: int, width: float, depth: float, split: float = SPLIT
    ) -> None:
        super().__init__()
        self.backbone = CSPNeXt(width, depth)
        self.head = SimCCHead(self.backbone.channels[-1], input_size, keypoints, split)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, h, w) -> (B, K, w*split), (B, K, h*split): logits, before any soft-max."""
        return self.head(self.backbone(images)[-1])


class HeatmapHead(nn.Module):
    """Three transposed convolutions and a 1x1 (Xiao et al., Simple Baselines, 2018)."""

    def __init__(self, channels: int, keypoints: int, hidden: int = 256) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inner in (channels, hidden, hidden):
            deconvolution = nn.ConvTranspose2d(inner, hidden, 4, stride=2, padding=1, bias=False)
            normal_weights(deconvolution, 0.001)
            layers += [deconvolution, nn.BatchNorm2d(hidden), nn.ReLU(inplace=True)]
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(hidden, keypoints, 1)
        normal_weights(self.final_layer, 0.001)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h/32, w/32) -> (B, K, h/4, w/4)."""
        return self.final_layer(self.deconv_layers(features))


class CSPNeXtUDP(nn.Module):
    """The network that RTMPose's backbone is pre-trained in (section 3.2): the same backbone, a heat-map head."""

    def __init__(self, keypoints: int, width: float, depth: float) -> None:
        super().__init__()
        self.backbone = CSPNeXt(width, depth)
        self.head = HeatmapHead(self.backbone.channels[-1], keypoints)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """(B, 3, h, w) -> (B, K, h/4, w/4), regressed heat-maps without a sigmoid."""
        return (self.head(self.backbone(images)[-1]),)


def build_rtmpose(size: str, skeleton: str | Skeleton, input_size: tuple[int, int] | None) -> tuple[ModelSpec, RTMPose]:
    """A pose network and its spec; 192x256 unless stated."""
    width, depth = SIZES[size]
    crop = input_size or (192, 256)
    sigma = [round(math.sqrt(side * SPLIT / 16), 2) for side in crop]  # 4.9, 5.66 for 192x256, as published
    spec = _spec(f"rtmpose-{size}", "simcc", {"split": SPLIT, "sigma": sigma}, skeleton, crop, "box")
    return spec, RTMPose(crop, len(as_skeleton(skeleton)), width, depth)


class LateralHead(nn.Module):
    """Heat-maps at stride 8 from three stages: 1x1 convolutions to one width, summed at the finest resolution.

    Ours, not published: the short way from stage 2 to the maps lets a backbone without pre-training leave the plateau
    early, for almost no extra arithmetic.
    """

    def __init__(self, channels: tuple[int, ...], keypoints: int, hidden: int = 128) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(inner, hidden, 1) for inner in channels)
        self.final_layer = nn.Conv2d(hidden, keypoints, 1)

    def fused(self, features: tuple[Tensor, ...]) -> Tensor:
        """(B, C2, h/8, w/8), (B, C3, h/16, w/16), (B, C4, h/32, w/32) -> (B, hidden, h/8, w/8)."""
        total = self.laterals[0](features[0])
        for level, lateral in enumerate(self.laterals[1:], start=1):
            total = total + F.interpolate(lateral(features[level]), scale_factor=2.0**level, mode="bilinear")
        return F.relu(total)

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        """(B, C2, h/8, w/8), (B, C3, h/16, w/16), (B, C4, h/32, w/32) -> (B, K, h/8, w/8)."""
        return cast(Tensor, self.final_layer(self.fused(features)))


class ContextHead(LateralHead):
    """The lateral head, whose maps are then corrected by what surrounds them. Ours, not published.

    As in convolutional pose machines (Wei et al., 2016, section 3.2.2), a second look sees the first one's beliefs
    beside the features, so that an elbow is found from its shoulder and left is told from right: three blocks of 7x7
    depth-wise convolutions at stride 16, where they reach over most of the crop for little arithmetic, and one of 5x5
    at stride 8.
    It starts as the lateral head that it is initialized from: the correction is zero at first.
    """

    def __init__(self, channels: tuple[int, ...], keypoints: int, hidden: int = 128, blocks: int = 3) -> None:
        super().__init__(channels, keypoints, hidden)
        self.belief = nn.Conv2d(keypoints, hidden, 1)
        self.context = nn.ModuleList(DepthwiseSeparable(hidden, hidden, 7) for _ in range(blocks))
        self.detail = DepthwiseSeparable(hidden, hidden, 5)
        self.correction = nn.Conv2d(hidden, keypoints, 1)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.get_parameter("bias"))

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        """(B, C2, h/8, w/8), (B, C3, h/16, w/16), (B, C4, h/32, w/32) -> (B, K, h/8, w/8)."""
        x = self.fused(features)
        first = self.final_layer(x)
        belief = first.flatten(2).softmax(dim=-1).reshape(first.shape)  # of sum 1; a sharp peak has a tenth in a cell
        y = F.avg_pool2d(x, 2) + self.belief(F.avg_pool2d(belief, 2) * SHARP)  # (B, hidden, h/16, w/16)
        for block in self.context:
            y = y + block(y)
        x = x + F.interpolate(y, scale_factor=2.0, mode="bilinear")
        x = x + self.detail(x)
        return cast(Tensor, first + self.correction(x))


class CSPNeXtLateral(nn.Module):
    """The backbone with the lateral heat-map head, or the one with context, at any input size: for pre-training, and
    the package's default.
    """

    def __init__(self, keypoints: int, width: float, depth: float, *, context: bool = False) -> None:
        super().__init__()
        self.backbone = CSPNeXt(width, depth, out=(2, 3, 4))
        self.head = (ContextHead if context else LateralHead)(self.backbone.channels, keypoints)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """(B, 3, h, w) -> (B, K, h/8, w/8), logits of a soft-max over the cells."""
        return (self.head(self.backbone(images)),)


def build_cspnext_lateral(
    size: str, skeleton: str | Skeleton, input_size: tuple[int, int] | None
) -> tuple[ModelSpec, nn.Module]:
    """A lateral pre-training network and its spec; 96x128 unless stated."""
    width, depth = SIZES[size]
    codec_args = {"stride": 8, "sigma": 1.0}
    spec = _spec(f"cspnext-lateral-{size}", "distribution", codec_args, skeleton, input_size or (96, 128), "box")
    return spec, CSPNeXtLateral(len(as_skeleton(skeleton)), width, depth)


def build_cspnext_context(
    size: str, skeleton: str | Skeleton, input_size: tuple[int, int] | None
) -> tuple[ModelSpec, nn.Module]:
    """The lateral network with context and its spec; 192x256 unless stated."""
    width, depth = SIZES[size]
    codec_args = {"stride": 8, "sigma": 1.0}
    spec = _spec(f"cspnext-context-{size}", "distribution", codec_args, skeleton, input_size or (192, 256), "box")
    return spec, CSPNeXtLateral(len(as_skeleton(skeleton)), width, depth, context=True)


def build_cspnext_udp(
    size: str, skeleton: str | Skeleton, input_size: tuple[int, int] | None
) -> tuple[ModelSpec, CSPNeXtUDP]:
    """A pre-training network and its spec; 192x256 unless stated."""
    width, depth = SIZES[size]
    codec_args = {"kind": "udp", "sigma": 2.0, "stride": 4}
    spec = _spec(f"cspnext-udp-{size}", "heatmap", codec_args, skeleton, input_size or (192, 256), "udp")
    return spec, CSPNeXtUDP(len(as_skeleton(skeleton)), width, depth)


def _spec(
    name: str, codec: str, codec_args: dict[str, Any], skeleton: str | Skeleton, input_size: tuple[int, int], warp: Warp
) -> ModelSpec:
    return ModelSpec(
        name,
        codec=codec,
        input_size=input_size,
        skeleton=skeleton,
        codec_args=codec_args,
        per_person=True,
        warp=warp,
        padding=1.25,
        border=0,
        layout="nchw",
        color="rgb",
        mean=MEAN,
        std=STD,
    )
