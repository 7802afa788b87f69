"""A network as it is deployed: uint8 pictures in, color order and normalization inside.

Export writes this module, and validation during training runs it, so what is validated is what is shipped.
"""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import torch
from torch import Tensor, nn

from edgepose.codec import CODECS, codec_of
from edgepose.codec.associative import Associative
from edgepose.models.associative import Peaks
from edgepose.spec import ModelSpec


class Deployed(nn.Module):
    """A copy of `network` that takes uint8 BGR (B, h, w, 3) and gives the same raw outputs; of the bottom-up families
    it gives mean heat-maps, tags and the highest peaks, which are quicker found here.

    The channel swap and the division by std are folded into the first convolution; only the mean is subtracted, since
    the convolution pads with zeros *after* it.
    """

    mean: Tensor

    def __init__(self, spec: ModelSpec, network: nn.Module) -> None:
        super().__init__()
        if spec.layout != "nchw":
            raise ValueError(f"{spec.name} already takes uint8 pictures, expected the spec that `build` returns")
        self.network = copy.deepcopy(network).float().eval()
        first = next(m for m in self.network.modules() if isinstance(m, nn.Conv2d) and m.in_channels == 3)
        order = [2, 1, 0] if spec.color == "rgb" else [0, 1, 2]
        mean, std = (torch.tensor(values)[order] for values in (spec.mean, spec.std))
        with torch.no_grad():
            weight = first.weight[:, order] / std.to(first.weight.device)[:, None, None]
            first.weight.copy_(weight)
        self.register_buffer("mean", mean[:, None, None])
        self.peaks: Peaks | None = None
        codec = codec_of(spec) if spec.codec in CODECS else None  # a classifier has none
        if isinstance(codec, Associative):
            self.peaks = Peaks(codec.people, codec.window)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, h, w, 3) uint8 BGR -> the network's outputs, or the peaks' among them."""
        outputs = tuple(self.network(images.permute(0, 3, 1, 2).float() - self.mean))
        return outputs if self.peaks is None else self.peaks(*outputs)


def deployed_spec(spec: ModelSpec) -> ModelSpec:
    """The spec of a deployed network's file."""
    return dataclasses.replace(spec, layout="nhwc", color="bgr", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class TorchNetwork:
    """A torch network behind the runtime's `Network` protocol, for validation with the runtime's own Estimator."""

    def __init__(self, spec: ModelSpec, network: nn.Module) -> None:
        self.spec = deployed_spec(spec)
        self.module = Deployed(spec, network)
        self.device = next(network.parameters()).device

    @torch.inference_mode()
    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """(B, h, w, 3) uint8 BGR -> raw outputs."""
        images = torch.from_numpy(np.ascontiguousarray(batch)).to(self.device)
        return [output.float().cpu().numpy() for output in self.module(images)]
