"""EfficientHRNet: compact EfficientNet, high-resolution network, heat-map and tag heads, scaled together.

Neff et al., 2020. Attribute names are the keys of the published checkpoints.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from edgepose.models import efficientnet
from edgepose.models.associative import associative_spec
from edgepose.models.cspnext import normal_weights
from edgepose.models.highres import BasicBlock, HighResolutionModule
from edgepose.skeleton import Skeleton, as_skeleton
from edgepose.spec import ModelSpec

# Published side of the square input, and modules of stages 2, 3 and 4; the power of the scaling is the number's.
SIZES = {
    "h0": (512, (1, 4, 3)),
    "h-1": (480, (1, 3, 3)),
    "h-2": (448, (1, 2, 3)),
    "h-3": (416, (1, 1, 3)),
    "h-4": (384, (1, 1, 2)),
}
BRANCHES = (32, 64, 128, 256)
SCALING = 1.2455  # of the branches' widths; the paper prints 1.25, which does not give its own table
BLOCKS = 2
TAPS = (4, 8, 16, 32)  # strides of the backbone's features that the branches start from


def widths(size: str) -> list[int]:
    """Channels of the four branches."""
    power = int(size.removeprefix("h"))
    return [math.ceil(channels * SCALING**power) for channels in BRANCHES]


class EfficientHRNet(nn.Module):
    """Heat-maps and tags of everybody in a picture; `size` is a key of SIZES."""

    def __init__(self, keypoints: int, size: str) -> None:
        super().__init__()
        self.keypoints = keypoints
        branches = widths(size)
        self.features, shapes = efficientnet.features(size.replace("h", "b"))
        # The last block of each tapped stride. The deepest block of a stride is where the next begins.
        self.taps = [max(i for i, (stride, _) in enumerate(shapes) if stride == tap) for tap in TAPS]
        backbone = [shapes[i][1] for i in self.taps]
        modules = SIZES[size][1]
        for stage in (1, 2, 3):  # one more branch each time, from the backbone; the others from the stage before
            for branch in range(stage + 1):
                fresh = branch == stage or stage == 1
                channels = backbone[branch] if fresh else branches[branch]
                self.add_module(f"trans{stage}_branch{branch + 1}", _transition(channels, branches[branch]))
            last = stage == 3
            self.add_module(
                f"stage{stage + 1}",
                nn.Sequential(
                    *(
                        HighResolutionModule(
                            branches[: stage + 1], BLOCKS, 1 if last and i == modules[stage - 1] - 1 else None
                        )
                        for i in range(modules[stage - 1])
                    )
                ),
            )
        width = branches[0]
        final = [nn.Conv2d(width, 2 * keypoints, 1), nn.Conv2d(width, keypoints, 1)]
        for layer in final:
            normal_weights(layer, 0.001)
        self.final_layers = nn.ModuleList(final)
        up = nn.Sequential(
            nn.ConvTranspose2d(width + 2 * keypoints, width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        blocks = [nn.Sequential(BasicBlock(width)) for _ in range(BLOCKS)]
        self.deconv_layers = nn.ModuleList([nn.Sequential(up, *blocks)])

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, h, w) -> (B, 2K, h/4, w/4): K heat-maps, then K tag maps; (B, K, h/2, w/2): heat-maps."""
        taps, x = [], images
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.taps:
                taps.append(x)
        branches = taps[:1]
        for stage in (1, 2, 3):
            starts = [*branches, taps[stage]]
            branches = [self.get_submodule(f"trans{stage}_branch{i + 1}")(x) for i, x in enumerate(starts)]
            branches = self.get_submodule(f"stage{stage + 1}")(branches)
        x = branches[0]  # (B, C, h/4, w/4)
        coarse = self.final_layers[0](x)
        x = self.deconv_layers[0](torch.cat([x, coarse], dim=1))  # (B, C, h/2, w/2)
        return coarse, self.final_layers[1](x)


def _transition(channels: int, out: int) -> nn.Sequential:
    """Features of the backbone, or of the stage before, for one branch."""
    return nn.Sequential(nn.Conv2d(channels, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(inplace=True))


def build_efficienthrnet(
    size: str, skeleton: str | Skeleton, input_size: tuple[int, int] | None
) -> tuple[ModelSpec, EfficientHRNet]:
    """A network and its spec; the published square input unless stated."""
    side = SIZES[size][0]
    spec = associative_spec(f"efficienthrnet-{size}", skeleton, input_size or (side, side))
    return spec, EfficientHRNet(len(as_skeleton(skeleton)), size)
