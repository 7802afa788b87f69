"""DWPose's two kinds of knowledge: the teacher's SimCC logits and its last feature map (Yang et al., 2023, section 3).

In the first stage a larger network teaches both, with a share that falls to nothing over the run; in the second the
trained student teaches its logits to a new head on its own backbone, which rests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgepose.train.shares import mean_over_all, over_all

# Heads of networks without a part called `backbone`, as SimpleBaseline and HRNet name them: what the first of them that
# a network has is given are its last features.
HEADS = ("deconv_layers", "final_layer")


def logit_loss(outputs: Sequence[Tensor], teacher: Sequence[Tensor], beta: float = 10.0) -> Tensor:
    """Kullback-Leibler divergence of the soft-max over the bins, with a temperature on both sides -> scalar.

    Both: simcc_x (B, K, X) and simcc_y (B, K, Y). The sum is over bins, the mean over the batch and the keypoints, none
    of which is left out: where nobody labelled one, the teacher has an opinion all the same.
    """
    divergence = outputs[0].new_zeros(len(outputs[0]), dtype=torch.float32)
    for ours, theirs in zip(outputs, teacher, strict=True):
        log_q, p = F.log_softmax(beta * ours.float(), dim=-1), F.softmax(beta * theirs.float(), dim=-1)
        divergence = divergence + F.kl_div(log_q, p, reduction="none").sum((1, 2))  # (B,)
    return mean_over_all(divergence) / outputs[0].shape[1]


def feature_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of two feature maps (B, C, h, w), its sum over channels and places, its mean over the batch.

    A teacher's map of another size is brought to the student's.
    """
    if teacher.shape[2:] != student.shape[2:]:
        teacher = F.interpolate(teacher, size=student.shape[2:], mode="bilinear", align_corners=False)
    total = (student.float() - teacher).square().sum()
    distance, count = over_all(torch.stack([total, total.new_tensor(len(student))]))
    return distance / count.detach()


def with_features(network: nn.Module, images: Tensor) -> tuple[Tensor, ...]:
    """(B, 3, h, w) -> a network's outputs, then its last feature map (B, C, h', w'): what its head is given."""
    return _watched(network, network, images)


class WithFeatures(nn.Module):
    """A student that shows its last feature map behind its outputs, with the teacher's channels.

    Where its own are as many they are compared as they are; elsewhere a 1x1 convolution learns to translate, and is
    dropped after training.

    Args:
        channels: of the teacher's map.
        beside: what else learns beside the network and shows outputs of its own.
    """

    def __init__(self, network: nn.Module, channels: int, beside: nn.Module | None = None) -> None:
        super().__init__()
        self.beside = beside
        own = feature_channels(network)
        self.translate = nn.Identity() if own == channels else nn.Conv2d(own, channels, 1)

    def forward(self, network: nn.Module, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, h, w) -> the outputs, those of `beside`, and the feature map (B, channels, h', w')."""
        *outputs, features = _watched(network, self.beside or network, images)
        return (*outputs, self.translate(features))


def has_features(network: nn.Module | None) -> bool:
    """Whether a network has a part called `backbone`, or a head of HEADS, so that its features can be learnt."""
    return any(isinstance(getattr(network, name, None), nn.Module) for name in ("backbone", *HEADS))


def feature_channels(network: nn.Module) -> int:
    """Channels of a network's last feature map."""
    training = network.training
    blank = torch.zeros(1, 3, 64, 64, device=next(network.parameters()).device)
    backbone = getattr(network.eval(), "backbone", None)  # without its head, which may be tied to a size
    with torch.no_grad():
        features = _watched(network, network, blank)[-1] if backbone is None else _last(backbone(blank))
    network.train(training)
    return features.shape[1]


def _watched(network: nn.Module, run: nn.Module, images: Tensor) -> tuple[Tensor, ...]:
    """What `run` gives, and the network's last feature map on the way."""
    seen: list[Any] = []
    parts = dict(network.named_children())
    if "backbone" in parts:
        handle = parts["backbone"].register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    else:
        head = next(parts[name] for name in HEADS if name in parts)
        handle = head.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    try:
        outputs = run(images) if run is network else run(network, images)
    finally:
        handle.remove()
    return (*outputs, _last(seen[-1]))


def _last(features: Any) -> Tensor:
    last: Tensor = features if isinstance(features, Tensor) else features[-1]
    return last
