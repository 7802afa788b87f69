"""DeconvPose: a small encoder and a few narrow deconvolutions, after Yamazaki & Mori, "Rethinking Deconvolution for 2D
Human Pose Estimation Light yet Accurate Model for Real-time Edge Computing" (arXiv 2111.04226).

The paper's layers are not public: neither code nor a table of layers, parameters or products was published. This is a
reconstruction from what its abstract says: an encoder-decoder that is scaled down, above all by fewer channels in the
deconvolutions, learnt and decoded as DarkPose does, with 3.8 % of the arithmetic of "HRNet 256x192". Of MobileNetV2,
ResNet-18, half of it, and EfficientNet-B0 to B-2, with deconvolutions of one width or of halves, only MobileNetV2 with
128-64-32 (3.84 %) and with 64-64-64 (3.77 %) round to that share of HRNet-W48, counted as HRNet's paper counts.
`deconvpose` is the first of these. What speaks for it is this budget alone, so the encoder may have been another.

Attribute names of ResNet-18 and MobileNetV2 are those of torchvision, of the rest those of Simple Baselines (Xiao et
al., 2018), so that checkpoints of ImageNet classifiers start an encoder (`init=`, `load_reference`).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from edgepose.models import efficientnet
from edgepose.models.cspnext import normal_weights
from edgepose.models.highres import BasicBlock
from edgepose.models.hrnet import darkpose_spec
from edgepose.models.litepose import conv_bn, deconvolution
from edgepose.names import expected, meant
from edgepose.skeleton import Skeleton, as_skeleton
from edgepose.spec import ModelSpec

# MobileNetV2 (Sandler et al., 2018): expansion, channels, repeats, stride of the first.
ROWS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
ENCODERS = ("mobilenet_v2", "resnet18", "resnet18-half", "efficientnet-b0")
ENCODER_STRIDE = 32
DECONVOLUTIONS = (128, 64, 32)  # of the reconstruction, and of every encoder whose name states none
RECONSTRUCTION = "deconvpose"
DECODER = ("deconv_layers.", "final_layer.")  # what a classifier does not have
# What it has behind the encoder; the last of MobileNetV2's features is its 1x1 to 1280 channels.
CLASSIFIER = ("fc.", "head.", "classifier.", f"features.{1 + sum(repeats for _, _, repeats, _ in ROWS)}.")
MOST_CHANNELS = 2048  # of a deconvolution; eight times those of Simple Baselines
_NAME = re.compile(rf"{RECONSTRUCTION}-({'|'.join(ENCODERS)})((?:-(?:0|[1-9][0-9]*))*)")


@dataclass(frozen=True)
class Design:
    """An encoder, and the channels of the deconvolutions behind it, each of which doubles the resolution."""

    encoder: str = ENCODERS[0]
    deconvolutions: tuple[int, ...] = DECONVOLUTIONS

    def __post_init__(self) -> None:
        if self.encoder not in ENCODERS:
            raise ValueError(f"unknown encoder {self.encoder!r}{expected(self.encoder, ENCODERS)}")
        most = ENCODER_STRIDE.bit_length() - 1
        if not 1 <= len(self.deconvolutions) <= most or not all(
            1 <= channels <= MOST_CHANNELS for channels in self.deconvolutions
        ):
            raise ValueError(
                f"{RECONSTRUCTION} with deconvolutions of {list(self.deconvolutions)} channels: expected 1 to {most} "
                f"of them, of 1 to {MOST_CHANNELS} channels"
            )

    @property
    def stride(self) -> int:
        """Input pixels per cell of the heat-maps: 4 with three deconvolutions."""
        return ENCODER_STRIDE >> len(self.deconvolutions)

    @staticmethod
    def named(name: str) -> Design | None:
        """What a name such as deconvpose-mobilenet_v2-128-64-32 says; None for names that do not begin like it."""
        if name == RECONSTRUCTION:
            return Design()
        if not name.startswith(f"{RECONSTRUCTION}-"):
            return None
        found = _NAME.fullmatch(name)
        if found is None:
            raise ValueError(
                f"unknown model {name!r}{meant(name, [f'{RECONSTRUCTION}-{encoder}' for encoder in ENCODERS])}, "
                f"expected {RECONSTRUCTION}-ENCODER-CHANNELS-CHANNELS... such as "
                f"{RECONSTRUCTION}-{ENCODERS[1]}-64-64-64, with an encoder of {', '.join(ENCODERS)}"
            )
        stated = tuple(int(channels) for channels in found[2].split("-")[1:])
        return Design(found[1], stated or DECONVOLUTIONS)


class InvertedResidual(nn.Module):
    """MobileNetV2's block: 1x1 to `expansion` times the channels, 3x3 depth-wise, 1x1 back without activation."""

    def __init__(self, channels: int, out: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.conv = nn.Sequential(
            *([_conv_relu6(channels, inner)] if expansion != 1 else []),
            _conv_relu6(inner, inner, 3, stride, groups=inner),
            *conv_bn(inner, out),
        )
        self.residual = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, out, h/stride, w/stride)."""
        y = self.conv(x)
        return x + y if self.residual else y


class DeconvPose(nn.Module):
    """Keypoints of the one person in a crop, as heat-maps: encoder, deconvolutions, 1x1."""

    def __init__(self, keypoints: int, design: Design) -> None:
        super().__init__()
        self.design = design
        layers, channels = _encoder(design.encoder)
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.encoder = tuple(layers)  # names of its layers, in their order
        decoder: list[nn.Module] = []
        for out in design.deconvolutions:
            layer = deconvolution(channels, out)
            nn.init.normal_(layer.get_parameter("weight"), std=0.001)
            decoder += [layer, nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
            channels = out
        self.deconv_layers = nn.Sequential(*decoder)
        self.final_layer = nn.Conv2d(channels, keypoints, 1)
        normal_weights(self.final_layer, 0.001)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """(B, 3, h, w) -> (B, K, h/stride, w/stride), regressed heat-maps without a sigmoid."""
        x = images
        for name in self.encoder:
            x = self.get_submodule(name)(x)
        return (self.final_layer(self.deconv_layers(x)),)


def without_classifier(network: DeconvPose, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of a classifier's tensors those of the encoder, and the network's own for the decoder; others as they are."""
    if any(key.startswith(DECODER) for key in tensors):
        return dict(tensors)
    kept = {key: value for key, value in tensors.items() if not key.startswith(CLASSIFIER)}
    return kept | {key: value for key, value in network.state_dict().items() if key.startswith(DECODER)}


def _conv_relu6(channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(*conv_bn(channels, out, kernel, stride, groups), nn.ReLU6(inplace=True))


def _encoder(name: str) -> tuple[OrderedDict[str, nn.Module], int]:
    """Its layers by name, and the channels of the last, at 1/32."""
    if name == "mobilenet_v2":
        return OrderedDict(features=_mobilenet_v2()), ROWS[-1][1]
    if name == "efficientnet-b0":
        features, shapes = efficientnet.features("b0")
        return OrderedDict(features=features), shapes[-1][1]
    width = 32 if name == "resnet18-half" else 64
    return _resnet18(width), 8 * width


def _mobilenet_v2() -> nn.Sequential:
    """Without the last 1x1 to 1280 channels, which is for a classifier."""
    channels = 32
    layers: list[nn.Module] = [_conv_relu6(3, channels, 3, 2)]
    for expansion, out, repeats, stride in ROWS:
        for repeat in range(repeats):
            layers.append(InvertedResidual(channels, out, expansion, stride if repeat == 0 else 1))
            channels = out
    return nn.Sequential(*layers)


def _resnet18(width: int) -> OrderedDict[str, nn.Module]:
    """He et al., 2016; `width`: channels of the stem and of the first stage."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(3, width, 7, 2, padding=3, bias=False),
        bn1=nn.BatchNorm2d(width),
        relu=nn.ReLU(inplace=True),
        maxpool=nn.MaxPool2d(3, 2, padding=1),
        layer1=nn.Sequential(BasicBlock(width, width), BasicBlock(width, width)),
    )
    for stage in (2, 3, 4):
        out = width << (stage - 1)
        layers[f"layer{stage}"] = nn.Sequential(BasicBlock(out // 2, out, 2), BasicBlock(out, out))
    return layers


def build_deconvpose(
    name: str, design: Design, skeleton: str | Skeleton, input_size: tuple[int, int] | None
) -> tuple[ModelSpec, DeconvPose]:
    """A network and its spec, which has that name; 192x256 unless stated."""
    spec = darkpose_spec(name, skeleton, input_size or (192, 256), design.stride)
    return spec, DeconvPose(len(as_skeleton(skeleton)), design)
