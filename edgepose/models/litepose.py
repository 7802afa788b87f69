"""LitePose: one mobile branch with 7x7 depth-wise kernels and a fusion deconvolution head (Wang et al., 2022).

Attribute names are the keys of the published checkpoints.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import Tensor, nn

from edgepose.models.associative import associative_spec
from edgepose.models.cspnext import divisible, normal_weights
from edgepose.skeleton import Skeleton, as_skeleton
from edgepose.spec import ModelSpec


@dataclass(frozen=True)
class Widths:
    """Channels of the stem, of the four stages and of the three deconvolutions: what the published search chooses."""

    stem: int
    stages: tuple[int, int, int, int]
    deconvolutions: tuple[int, int, int]

    def __post_init__(self) -> None:
        if len(self.stages) != 4 or len(self.deconvolutions) != 3:
            raise ValueError(f"expected widths of 4 stages and 3 deconvolutions, got {self}")
        if min(self.stem, *self.stages, *self.deconvolutions) < 1:
            raise ValueError(f"expected widths of at least one channel, got {self}")


WIDEST = Widths(24, (32, 64, 96, 160), (64, 48, 32))
# Published side of the square input and widths (search-XS/S/M/L.json), and the widest network that the search cuts.
SIZES = {
    "xs": (256, Widths(16, (16, 32, 48, 80), (16, 24, 24))),
    "s": (448, Widths(16, (16, 32, 48, 120), (32, 24, 32))),
    "m": (448, Widths(16, (24, 48, 72, 120), (64, 40, 32))),
    "l": (512, Widths(24, (24, 64, 96, 160), (64, 40, 32))),
    "supernet": (448, WIDEST),
}
BLOCKS = (6, 8, 10, 10)  # of the stages; the search leaves them alone
STRIDES = (2, 2, 2, 1)
SUPERNET = "litepose-supernet"
EXPANSION = 6
_NAME = re.compile(r"litepose-(\d+)-(\d+)-(\d+x\d+x\d+x\d+)-(\d+x\d+x\d+)")


@dataclass(frozen=True)
class Architecture:
    """What the published search looks for: the side of the square input, and the widths."""

    side: int
    widths: Widths

    def __post_init__(self) -> None:
        if self.side < 32 or self.side % 32:
            raise ValueError(f"LitePose for pictures of {self.side} pixels: expected a multiple of 32")

    @property
    def name(self) -> str:
        """As `edgepose.models.build` takes it: litepose-SIDE-STEM-STAGES-DECONVOLUTIONS."""
        stages, deconvolutions = ("x".join(map(str, w)) for w in (self.widths.stages, self.widths.deconvolutions))
        return f"litepose-{self.side}-{self.widths.stem}-{stages}-{deconvolutions}"

    @staticmethod
    def named(name: str) -> Architecture | None:
        """What a name such as litepose-256-16-16x32x48x80-16x24x24 (XS) says; None for other names."""
        found = _NAME.fullmatch(name)
        if found is None:
            return None
        s1, s2, s3, s4 = map(int, found[3].split("x"))
        d1, d2, d3 = map(int, found[4].split("x"))
        return Architecture(int(found[1]), Widths(int(found[2]), (s1, s2, s3, s4), (d1, d2, d3)))


class InvertedBottleneck(nn.Module):
    """Wide inside, narrow outside: 1x1 to six times the width, depth-wise, 1x1 back; residual where shapes agree."""

    def __init__(self, channels: int, out: int, stride: int, kernel: int) -> None:
        super().__init__()
        inner = divisible(channels * EXPANSION)
        self.inv = nn.Sequential(*conv_bn(channels, inner), nn.ReLU6(inplace=True))
        depthwise = conv_bn(inner, inner, kernel, stride, groups=inner)
        self.depth_conv = nn.Sequential(*depthwise, nn.ReLU6(inplace=True))
        self.point_conv = nn.Sequential(*conv_bn(inner, out))
        self.residual = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, out, h/stride, w/stride)."""
        y = self.point_conv(self.depth_conv(self.inv(x)))
        return x + y if self.residual else y


class SeparablePredictor(nn.Module):
    """5x5 depth-wise convolution, then 1x1 to the maps."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        maps = nn.Conv2d(channels, out, 1, bias=False)
        normal_weights(maps, 0.001)  # maps start near zero, where most of every target is
        self.conv = nn.Sequential(*conv_bn(channels, channels, 5, groups=channels), nn.ReLU(inplace=True), maps)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, out, h, w)."""
        return self.conv(x)


class LitePose(nn.Module):
    """Heat-maps and tags of everybody in a picture.

    Args:
        widths: any; the super-network's are `WIDEST`.
        kernel: of the depth-wise convolutions in the stages; the paper's ablation has 3 (section 3.2).
        fusion: whether the head also takes the backbone's finer features; without, it deconvolves the last stage alone.
    """

    def __init__(self, keypoints: int, widths: Widths, kernel: int = 7, fusion: bool = True) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"LitePose with kernel={kernel}: expected an odd size such as 7")
        self.keypoints, self.widths, self.kernel, self.fusion = keypoints, widths, kernel, fusion
        self.first = nn.Sequential(
            nn.Sequential(*conv_bn(3, 32, 3, 2), nn.ReLU6(inplace=True)),
            nn.Sequential(*conv_bn(32, 32, 3, groups=32), nn.ReLU6(inplace=True)),
            *conv_bn(32, widths.stem),
        )
        stages, channels = [], widths.stem
        for out, blocks, stride in zip(widths.stages, BLOCKS, STRIDES, strict=True):
            first = InvertedBottleneck(channels, out, stride, kernel)
            stages.append(nn.Sequential(first, *(InvertedBottleneck(out, out, 1, kernel) for _ in range(blocks - 1))))
            channels = out
        self.stage = nn.ModuleList(stages)
        # What a deconvolution takes from the one before, and from the backbone beside it.
        refined = (widths.stages[3], *widths.deconvolutions[:2])
        raw = widths.stages[2::-1] if fusion else ()
        self.deconv_refined = nn.ModuleList(map(deconvolution, refined, widths.deconvolutions))
        self.deconv_raw = nn.ModuleList(map(deconvolution, raw, widths.deconvolutions))
        self.deconv_bnrelu = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(inplace=True)) for width in widths.deconvolutions
        )
        maps = (2 * keypoints, keypoints)
        self.final_refined = nn.ModuleList(map(SeparablePredictor, widths.deconvolutions[1:], maps))
        self.final_raw = nn.ModuleList(map(SeparablePredictor, (widths.stages[0], widths.stem) if fusion else (), maps))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, h, w) -> (B, 2K, h/4, w/4): K heat-maps, then K tag maps; (B, K, h/2, w/2): heat-maps."""
        x = self.first(images)  # (B, C, h/2, w/2)
        features = [x]
        for stage in self.stage:
            features.append(stage(features[-1]))  # 1/4, 1/8, 1/16, 1/16
        refined = features[4]
        levels = []
        for level, raw in enumerate((features[3], features[2], features[1])):
            up = self.deconv_refined[level](refined)
            refined = self.deconv_bnrelu[level](up + self.deconv_raw[level](raw) if self.fusion else up)
            levels.append(refined)  # 1/8, 1/4, 1/2
        coarse, fine = self.final_refined[0](levels[1]), self.final_refined[1](levels[2])
        if self.fusion:
            coarse, fine = coarse + self.final_raw[0](features[1]), fine + self.final_raw[1](features[0])
        return coarse, fine


def conv_bn(channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Convolution without bias, and BatchNorm."""
    convolution = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(out)]


def deconvolution(channels: int, out: int) -> nn.Module:
    """Twice the resolution: (B, C, h, w) -> (B, out, 2h, 2w)."""
    return nn.ConvTranspose2d(channels, out, 4, stride=2, padding=1, bias=False)


def build_litepose(
    size: str, skeleton: str | Skeleton, input_size: tuple[int, int] | None
) -> tuple[ModelSpec, LitePose]:
    """A network and its spec; the published square input unless stated."""
    return _built(f"litepose-{size}", Architecture(*SIZES[size]), skeleton, input_size)


def build_architecture(
    architecture: Architecture, skeleton: str | Skeleton, input_size: tuple[int, int] | None
) -> tuple[ModelSpec, LitePose]:
    """A network of any widths and its spec, under the name that says them."""
    return _built(architecture.name, architecture, skeleton, input_size)


def _built(
    name: str, architecture: Architecture, skeleton: str | Skeleton, input_size: tuple[int, int] | None
) -> tuple[ModelSpec, LitePose]:
    spec = associative_spec(name, skeleton, input_size or (architecture.side, architecture.side))
    return spec, LitePose(len(as_skeleton(skeleton)), architecture.widths)
