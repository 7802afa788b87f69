"""Loss of associative embedding: masked heat-maps at two scales, and tags that pull people together and push them
apart (Newell et al., 2017; weights of HigherHRNet's published runs).
"""

from __future__ import annotations

import torch
from torch import Tensor

from edgepose.train.shares import mean_over_all

TAG_WEIGHT = 1e-3


def associative_loss(outputs: tuple[Tensor, ...], targets: dict[str, Tensor]) -> dict[str, Tensor]:
    """Means over the batch, of all processes (`train.shares`).

    outputs: (B, 2K, h/4, w/4) heat-maps and tags, (B, K, h/2, w/2) heat-maps
    targets: heatmaps_4, heatmaps_2 as the heat-maps; masks_4, masks_2 (B, h, w) or (B, K, h, w), 0 where nothing is
    known; joints_4 (B, people, K, 2) cells and whether there is one
    """
    coarse, fine = outputs[0].float(), outputs[1].float()
    k = fine.shape[1]
    pull, push = tag_losses(coarse[:, k:], targets["joints_4"])
    return {
        "heat_4": masked_square(coarse[:, :k], targets["heatmaps_4"], targets["masks_4"]),
        "heat_2": masked_square(fine, targets["heatmaps_2"], targets["masks_2"]),
        "pull": TAG_WEIGHT * mean_over_all(pull),
        "push": TAG_WEIGHT * mean_over_all(push),
    }


def masked_square(maps: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean over every cell, those outside the mask as zeros."""
    return mean_over_all((maps - target).square() * (mask if mask.dim() == 4 else mask[:, None]))


def tag_losses(tags: Tensor, joints: Tensor) -> tuple[Tensor, Tensor]:
    """Tag maps (B, K, h, w) and cells (B, people, K, 2) -> pull (B,), push (B,).

    pull: variance within each person, mean over people with any keypoint. push: half the mean of exp(-difference^2)
    over ordered pairs of people; 0 where there are fewer than two.
    """
    cells, seen = joints[..., 0].long(), (joints[..., 1] > 0).float()
    values = tags.flatten(1).gather(1, cells.flatten(1)).view(cells.shape)  # (B, people, K)
    number = seen.sum(-1)  # (B, people)
    mean = (values * seen).sum(-1) / number.clamp(min=1)
    variance = ((values - mean[..., None]).square() * seen).sum(-1) / number.clamp(min=1)
    people = (number > 0).float()
    count = people.sum(-1)  # (B,)
    pull = (variance * people).sum(-1) / count.clamp(min=1)
    close = torch.exp(-(mean[:, :, None] - mean[:, None, :]).square()) * people[:, :, None] * people[:, None, :]
    pairs = (count * (count - 1)).clamp(min=1)
    push = 0.5 * (close.sum((1, 2)) - count) / pairs * (count > 1)
    return pull, push
