"""HRNet of one person's crop (Sun et al., 2019) and HigherHRNet of whole pictures (Cheng et al., 2020).

Attribute names are the keys of the published checkpoints.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgepose.models.associative import MEAN, STD, associative_spec
from edgepose.models.cspnext import normal_weights
from edgepose.models.highres import Bottleneck, HighResolutionModule, tag_head
from edgepose.skeleton import Skeleton, as_skeleton
from edgepose.spec import ModelSpec

SIZES = {"w32": 32, "w48": 48}  # channels of the first branch; each next one has twice as many
MODULES = (1, 4, 3)  # of stages 2, 3 and 4
BLOCKS = 4
TAGGED = {"w32": 512}  # published side of HigherHRNet's square input


class HighResolutionTrunk(nn.Module):
    """From a picture to the features of its highest resolution, a quarter of it.

    Args:
        width: channels of the first branch.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [width << branch for branch in range(4)]
        self.conv1 = nn.Conv2d(3, 64, 3, 2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = nn.Conv2d(64, 64, 3, 2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(Bottleneck(64, 64), *(Bottleneck(256, 64) for _ in range(3)))
        self.transition1 = nn.ModuleList([_entry(256, width, 1), nn.Sequential(_entry(256, widths[1], 2))])
        self.stage2 = _stage(widths[:2], MODULES[0])
        self.transition2 = _opened(widths[:3])
        self.stage3 = _stage(widths[:3], MODULES[1])
        self.transition3 = _opened(widths)
        self.stage4 = _stage(widths, MODULES[2], last=1)

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, h, w) -> (B, width, h/4, w/4)."""
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)
        x = self.layer1(F.relu(self.bn2(self.conv2(x)), inplace=True))  # (B, 256, h/4, w/4)
        branches = self.stage2([entry(x) for entry in self.transition1])
        branches = self.stage3([*branches, self.transition2[-1](branches[-1])])
        branches = self.stage4([*branches, self.transition3[-1](branches[-1])])
        highest: Tensor = branches[0]
        return highest


class HRNet(HighResolutionTrunk):
    """Keypoints of the one person in a crop, as heat-maps."""

    def __init__(self, keypoints: int, width: int) -> None:
        super().__init__(width)
        self.final_layer = nn.Conv2d(width, keypoints, 1)
        normal_weights(self.final_layer, 0.001)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """(B, 3, h, w) -> (B, K, h/4, w/4), regressed heat-maps without a sigmoid."""
        return (self.final_layer(self.features(images)),)


class HigherHRNet(HighResolutionTrunk):
    """Heat-maps and tags of everybody in a picture."""

    def __init__(self, keypoints: int, width: int) -> None:
        super().__init__(width)
        self.final_layers, self.deconv_layers = tag_head(width, keypoints, BLOCKS)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, h, w) -> (B, 2K, h/4, w/4): K heat-maps, then K tag maps; (B, K, h/2, w/2): heat-maps."""
        x = self.features(images)
        coarse = self.final_layers[0](x)
        x = self.deconv_layers[0](torch.cat([x, coarse], dim=1))  # (B, width, h/2, w/2)
        return coarse, self.final_layers[1](x)


def _entry(channels: int, out: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True))


def _opened(widths: list[int]) -> nn.ModuleList:
    """Branches go on as they are; a new one of half the resolution begins from the last."""
    new = nn.Sequential(_entry(widths[-2], widths[-1], 2))
    return nn.ModuleList([*(nn.Identity() for _ in widths[:-1]), new])


def _stage(widths: list[int], modules: int, last: int | None = None) -> nn.Sequential:
    """last: how many resolutions its last module gives; all by default."""
    return nn.Sequential(
        *(HighResolutionModule(widths, BLOCKS, last if i == modules - 1 else None) for i in range(modules))
    )


def darkpose_spec(name: str, skeleton: str | Skeleton, input_size: tuple[int, int], stride: int = 4) -> ModelSpec:
    """The spec of a network of one person's crop with heat-maps that are learnt and decoded as DarkPose does.

    Gaussians have a sigma of 2 cells, and for crops of 384 rows and more one of 3, as published.
    """
    sigma, blur = (3.0, 17) if input_size[1] >= 384 else (2.0, 11)
    codec_args: dict[str, Any] = {
        "kind": "dark",
        "stride": stride,
        "sigma": sigma,
        "blur": blur,
        "centered": True,
    }
    return ModelSpec(
        name,
        codec="heatmap",
        input_size=input_size,
        skeleton=skeleton,
        codec_args=codec_args,
        per_person=True,
        warp="dark",
        padding=1.25,
        border=0,
        layout="nchw",
        color="rgb",
        mean=MEAN,
        std=STD,
    )


def build_hrnet(size: str, skeleton: str | Skeleton, input_size: tuple[int, int] | None) -> tuple[ModelSpec, HRNet]:
    """A network and its spec; 192x256 unless stated."""
    spec = darkpose_spec(f"hrnet-{size}", skeleton, input_size or (192, 256))
    return spec, HRNet(len(as_skeleton(skeleton)), SIZES[size])


def build_higherhrnet(
    size: str, skeleton: str | Skeleton, input_size: tuple[int, int] | None
) -> tuple[ModelSpec, HigherHRNet]:
    """A network and its spec; the published square input unless stated."""
    spec = associative_spec(f"higherhrnet-{size}", skeleton, input_size or (TAGGED[size], TAGGED[size]))
    return spec, HigherHRNet(len(as_skeleton(skeleton)), SIZES[size])
