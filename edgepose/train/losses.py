"""Losses of the pose families: (outputs, targets) -> {name: scalar tensor}, chosen by the codec's name.

All are computed in float32, also under autocast, and are those of the batch of all processes (`train.shares`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from edgepose.codec.heatmap import Heatmap
from edgepose.train.associative_loss import associative_loss
from edgepose.train.shares import mean_over_all, over_all

Losses = dict[str, Tensor]
Targets = dict[str, Tensor]


def simcc_loss(outputs: tuple[Tensor, ...], targets: Targets, beta: float = 10.0) -> Losses:
    """Kullback-Leibler divergence per axis with a temperature on both sides (RTMPose, section 3.2.4).

    outputs: simcc_x (B, K, X), simcc_y (B, K, Y); targets: the same names and weights (B, K).
    The mean is over bins and keypoints, the sum over the batch: the loss grows with the batch, as published.
    """
    total = outputs[0].new_zeros((), dtype=torch.float32)
    for output, name in zip(outputs, ("simcc_x", "simcc_y"), strict=True):
        log_q = F.log_softmax(beta * output.float(), dim=-1)
        target = F.softmax(beta * targets[name].float(), dim=-1)
        divergence = F.kl_div(log_q, target, reduction="none").mean(-1)  # (B, K)
        total = total + (divergence * targets["weights"]).sum()
    return {"simcc": over_all(total) / outputs[0].shape[1]}


def heatmap_loss(outputs: tuple[Tensor, ...], targets: Targets) -> Losses:
    """Mean squared error over every cell, unlabelled keypoints counted as zero (mmpose's KeypointMSELoss).

    outputs: heatmaps (B, K, h, w); targets: heatmaps and weights (B, K).
    """
    error = (outputs[0].float() - targets["heatmaps"]).square()
    return {"heatmap": mean_over_all(error * targets["weights"][..., None, None])}


def joints_loss(outputs: tuple[Tensor, ...], targets: Targets) -> Losses:
    """Half the mean squared error of maps that are both multiplied by the weight (JointsMSELoss of Simple Baselines,
    HRNet and DarkPose).

    outputs: heatmaps (B, K, h, w); targets: heatmaps and weights (B, K).
    """
    weights = targets["weights"][..., None, None]
    return {"heatmap": mean_over_all(((outputs[0].float() - targets["heatmaps"]) * weights).square()) / 2}


def spatial_loss(outputs: tuple[Tensor, ...], targets: Targets) -> Losses:
    """Cross-entropy between the soft-max over a map's cells and the target map scaled to sum 1; mean over the labelled.

    Unlike the squared error it has no trivial minimum at an all-zero map, so a small network leaves the plateau sooner.
    """
    log_p = F.log_softmax(outputs[0].float().flatten(2), dim=-1)  # (B, K, h*w)
    target = targets["heatmaps"].flatten(2)
    target = target / target.sum(-1, keepdim=True).clamp(min=1e-6)
    entropy = -(target * log_p).sum(-1)  # (B, K)
    weights = targets["weights"]
    return {"spatial": over_all((entropy * weights).sum()) / over_all(weights.sum()).clamp(min=1)}


# By the codec's name; a detector's loss needs its codec too and lives in detection_loss.py.
LOSSES: dict[str, Callable[[tuple[Tensor, ...], Targets], Losses]] = {
    "simcc": simcc_loss,
    "heatmap": heatmap_loss,
    "distribution": spatial_loss,
    "associative": associative_loss,
}


def pose_loss(codec: object, name: str) -> Callable[[tuple[Tensor, ...], Targets], Losses]:
    """The loss of a top-down network's codec, called `name`: heat-maps of the kinds that DarkPose and HRNet learn have
    theirs, those of UDP mmpose's.
    """
    return joints_loss if isinstance(codec, Heatmap) and codec.kind != "udp" else LOSSES[name]
