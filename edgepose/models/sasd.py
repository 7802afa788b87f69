"""SASD: people and keypoints in one pass, taught by itself at twice the resolution (staggered alignment).

The paper publishes no code. Widths of xs and e were found from its parameters and multiply-accumulates (1.6 M and 1.2 G
at 512, 2.4 M and 5.0 G at 1024), s, m and l are YOLOv5's (10.11, 28.07 and 60.91 G at 640 against 10.1, 27.7 and 61.7).
Nothing comes within 1 % of these three together: some 7,700 combinations of depths (release 5.0, 6.0), SPP, depth of
the neck, heads (1x1, 3x3, YOLO-Pose's depth-wise ones), a fourth level and normalization counted up to 5 times.
"Equal channels in every level" and "3x3 heads" of its text contradict its figures: `xs-eq` is built as the text has it
(1.9 G), the others as the figures do.

Each level gives one map (B, 3 * (6 + 3K), h/s, w/s): for each of three anchors x, y, w, h, object, class, then x, y and
confidence of each keypoint, all raw (`codec.anchors`).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgepose.models.cspnext import ConvBNSiLU
from edgepose.models.shufflenet import ShuffleBlock, ShuffleNetV2
from edgepose.models.yolo import C3, PAN, CSPDarknet
from edgepose.skeleton import Skeleton, as_skeleton
from edgepose.spec import ModelSpec

# w, h of the anchors at stride 8 in pixels (YOLO-Pose's), doubled from level to level: what level i of a picture learns
# is what level i + 1 learns of the picture at twice the size. The published ones are only roughly doubled.
ANCHORS = ((19.0, 27.0), (44.0, 40.0), (38.0, 94.0))
BOX = 6  # x, y, w, h, object, class
INPUT = {"xs": 512, "xs-eq": 512, "e": 1024, "s": 640, "m": 640, "l": 640}
DARKNET = {"s": (0.5, 0.33), "m": (0.75, 0.67), "l": (1.0, 1.0)}  # width and depth


class Head(nn.Module):
    """One convolution of a level's features, or one for boxes and another for keypoints where kernels differ."""

    def __init__(self, channels: int, keypoints: int, kernels: tuple[int, int], stride: int) -> None:
        super().__init__()
        self.anchors, self.sizes = len(ANCHORS), (BOX, 3 * keypoints)
        sizes = [sum(self.sizes)] if kernels[0] == kernels[1] else self.sizes
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, self.anchors * size, kernel, padding=kernel // 2)
            for size, kernel in zip(sizes, kernels, strict=False)
        )
        self._start(stride)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 3 * (6 + 3K), h, w)."""
        if len(self.convs) == 1:
            return self.convs[0](features)
        parts = [conv(features).unflatten(1, (self.anchors, -1)) for conv in self.convs]  # (B, 3, 6 or 3K, h, w)
        return torch.cat(parts, dim=2).flatten(1, 2)

    @torch.no_grad()
    def _start(self, stride: int) -> None:
        """Eight people per picture of 640 pixels, and one class: it is given, so its logit is no function of anything.

        Nothing ever trains it (YOLO-Pose has no class loss with one class), yet scores are multiplied by it.
        """
        weight, bias = (self.convs[0].get_parameter(n).unflatten(0, (self.anchors, -1)) for n in ("weight", "bias"))
        bias[:, 4] += math.log(8 / (640 / stride) ** 2)
        bias[:, 5] = math.log(0.6 / 0.01)
        weight[:, 5] = 0


class Level(nn.Module):
    """One more level below the network's coarsest features: half their resolution, then two C3."""

    def __init__(self, channels: int, out: int, *, shuffle: bool) -> None:
        super().__init__()
        self.stride = ShuffleBlock(channels, out, 2) if shuffle else ConvBNSiLU(channels, out, 3, stride=2)
        self.blocks = nn.Sequential(C3(out, out), C3(out, out))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, out, h/2, w/2)."""
        return self.blocks(self.stride(features))


class SASD(nn.Module):
    """Backbone, path aggregation, and a head at strides 8, 16 and 32; at 64 too where there is a fourth level.

    Args:
        widths: channels of the levels' features.
        blocks: in every C3 of the path aggregation.
        kernels: of the heads, for boxes and for keypoints.
        fourth: keep the level at stride 64 (the e network).
    """

    def __init__(
        self,
        backbone: ShuffleNetV2 | CSPDarknet,
        keypoints: int,
        widths: tuple[int, int, int],
        blocks: int = 1,
        kernels: tuple[int, int] = (1, 1),
        *,
        fourth: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = PAN(backbone.channels, widths, blocks)
        self.shuffle = isinstance(backbone, ShuffleNetV2)
        self.fourth = Level(backbone.channels[-1], widths[-1], shuffle=self.shuffle) if fourth else None
        self.widths = (*widths, widths[-1]) if fourth else widths
        self.keypoints, self.kernels = keypoints, kernels
        self.heads = nn.ModuleList(Head(width, keypoints, kernels, 8 << i) for i, width in enumerate(self.widths))
        _published_norms(self)

    def features(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """(B, 3, h, w) -> features of every level, and those that one more level would read."""
        found = self.backbone(images)
        levels = self.neck(found)
        if self.fourth is None:
            return levels, found[-1]
        return [*levels, self.fourth(found[-1])], found[-1]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, h, w) -> one (B, 3 * (6 + 3K), h/s, w/s) for s = 8, 16, 32 (and 64)."""
        levels, _ = self.features(images)
        return tuple(head(level) for head, level in zip(self.heads, levels, strict=True))


class Staggered(nn.Module):
    """What SASD has while it trains and drops afterwards: one more level, and adapters where channels differ.

    In the second phase each picture passes twice, with the same weights: as it is, and at twice the size, where level
    i + 1 has the grid that level i has here. The level below all (P6) learns from the large pass alone.

    Args:
        alone: training steps before the large pass begins (the warm-up). They are counted in a buffer, so that a
            resumed run goes on where it was.
    """

    steps: Tensor

    def __init__(self, network: SASD, alone: int = 0) -> None:
        super().__init__()
        if alone < 0:
            raise ValueError(f"alone={alone}: expected a number of training steps, 0 or more")
        self.alone, widths = alone, network.widths
        last = network.backbone.channels[-1] if network.fourth is None else widths[-1]
        self.level = Level(last, widths[-1], shuffle=network.shuffle)
        self.head = Head(widths[-1], network.keypoints, network.kernels, 8 << len(widths))
        self.adapters = nn.ModuleList(
            nn.Identity() if own == next_ else nn.Conv2d(own, next_, 1)
            for own, next_ in zip(widths, (*widths[1:], widths[-1]), strict=True)
        )
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        _published_norms(self)

    def unpruned(self, network: SASD, images: Tensor) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        """(B, 3, h, w) -> features and raw outputs of every level, the training-only one last."""
        levels = self._levels(network, images)
        return levels, tuple(head(level) for head, level in zip([*network.heads, self.head], levels, strict=True))

    def forward(self, network: SASD, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, h, w) -> the network's outputs; in the second phase also those of the large pass (its levels from the
        second on), then features of each level here, adapted, and those of the level with the same grid there.
        """
        twin = int(self.steps) >= self.alone
        if self.training:
            self.steps += 1
        if not twin:
            return network(images)
        levels, _ = network.features(images)
        outputs = [head(level) for head, level in zip(network.heads, levels, strict=True)]
        students = [adapter(level) for adapter, level in zip(self.adapters, levels, strict=True)]
        large = F.interpolate(images, scale_factor=2.0, mode="bilinear", align_corners=False)
        teachers = self._levels(network, large)[1:]  # nobody is learnt at the first
        theirs = [head(level) for head, level in zip([*network.heads[1:], self.head], teachers, strict=True)]
        return (*outputs, *theirs, *students, *teachers)

    def _levels(self, network: SASD, images: Tensor) -> list[Tensor]:
        """(B, 3, h, w) -> features of every level, the training-only one last."""
        levels, deepest = network.features(images)
        return [*levels, self.level(deepest if network.fourth is None else levels[-1])]


def _published_norms(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eps, part.momentum = 1e-3, 0.03


def build_sasd(size: str, skeleton: str | Skeleton, input_size: tuple[int, int] | None) -> tuple[ModelSpec, SASD]:
    """A one-stage network and its spec; 512x512 for xs, 1024x1024 for e and 640x640 for s, m, l, unless stated."""
    keypoints = len(as_skeleton(skeleton))
    if size in DARKNET:
        width, depth = DARKNET[size]
        backbone = CSPDarknet(width, depth)
        network = SASD(backbone, keypoints, backbone.channels, max(round(3 * depth), 1), (1, 3))
    elif size == "xs-eq":
        network = SASD(ShuffleNetV2(stem=24), keypoints, (96, 96, 96), kernels=(3, 3))
    else:
        network = SASD(ShuffleNetV2(), keypoints, (64, 128, 256), fourth=size == "e")
    levels = len(network.widths)
    side = INPUT[size]
    wide, high = input_size or (side, side)
    if wide % (8 << (levels - 1)) or high % (8 << (levels - 1)):
        raise ValueError(f"sasd-{size} with input_size {wide}x{high}: expected multiples of {8 << (levels - 1)}")
    anchors = [[[w * 2**level, h * 2**level] for w, h in ANCHORS] for level in range(levels)]
    spec = ModelSpec(
        f"sasd-{size}",
        codec="anchors",
        input_size=(wide, high),
        skeleton=skeleton,
        codec_args={"strides": [8 << level for level in range(levels)], "anchors": anchors},
        warp="letterbox",
        border=114,
        layout="nchw",
        color="rgb",
        std=(255.0, 255.0, 255.0),
    )
    return spec, network
