"""DynamicSoftLabel assignment: which cells of a detector learn which box (Lyu et al., RTMDet, 2022, section 3.3).

Costs and constants are those of mmdetection 3.3.0 (topk 13, soft center radius 3, IoU weight 3). Letters: B pictures,
P cells (priors), C classes, N boxes of the whole batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

TOPK = 13  # cells whose IoUs are summed to the number of cells that a box gets
CENTER_RADIUS = 3.0  # in strides: the distance to the box center at which its cost is 1
IOU_WEIGHT = 3.0


class Assignment(NamedTuple):
    """The positive cells of a batch, M of them: picture (M,), cell (M,), box (M,) as row of all boxes, IoU (M,)."""

    picture: Tensor
    cell: Tensor
    box: Tensor
    iou: Tensor


@torch.no_grad()
def assign(logits: Tensor, boxes: Tensor, priors: Tensor, true_boxes: list[Tensor], labels: list[Tensor]) -> Assignment:
    """Logits (B, P, C), predicted boxes (B, P, 4), priors (P, 3) x, y, stride; true boxes (n, 4), classes (n,) each.

    Every cell inside any box of its picture is a candidate for all boxes of that picture, as in the published code.
    The dense work is (N, P) for the N boxes of the batch, without padding.
    """
    owner = torch.repeat_interleave(torch.tensor([len(b) for b in true_boxes]))  # (N,) picture of each box
    if len(owner) == 0:
        return Assignment(owner, owner, owner, logits.new_zeros(0, dtype=torch.float32))
    truth, label = torch.cat(true_boxes).float(), torch.cat(labels)  # (N, 4), (N,)
    candidate = _inside_any(priors, truth, owner, len(true_boxes))[owner]  # (N, P)
    iou = _iou_by_axis(boxes.float()[owner], truth).masked_fill_(~candidate, 0)  # (N, P)
    cost = _cost(logits.float(), priors, truth, label, owner, iou).masked_fill_(~candidate, torch.inf)

    wanted = min(TOPK, len(priors))
    count = iou.topk(wanted, dim=1).values.sum(dim=1).int().clamp_(min=1)  # (N,) cells that each box gets
    best = cost.topk(wanted, dim=1, largest=False)
    chosen = (torch.arange(wanted, device=cost.device) < count[:, None]) & best.values.isfinite()
    box, rank = chosen.nonzero(as_tuple=True)
    return _resolve(box, best.indices[box, rank], owner, cost, iou)


def _inside_any(priors: Tensor, truth: Tensor, owner: Tensor, pictures: int) -> Tensor:
    """(B, P): the cell lies strictly inside some box of its picture."""
    x, y = priors[:, 0], priors[:, 1]
    x1, y1, x2, y2 = truth[:, :, None].unbind(dim=1)  # (N, 1) each
    inside = (x > x1) & (x < x2) & (y > y1) & (y < y2)  # (N, P)
    found = torch.zeros(pictures, len(priors), device=truth.device)
    return found.index_add_(0, owner, inside.float()) > 0


def _iou_by_axis(boxes: Tensor, truth: Tensor) -> Tensor:
    """IoU of boxes (N, P, 4) with truth (N, 4) -> (N, P)."""
    x1, y1, x2, y2 = boxes.unbind(dim=-1)  # (N, P) each
    u1, v1, u2, v2 = truth[:, :, None].unbind(dim=1)  # (N, 1) each
    width = (torch.minimum(x2, u2) - torch.maximum(x1, u1)).clamp_(min=0)
    height = (torch.minimum(y2, v2) - torch.maximum(y1, v1)).clamp_(min=0)
    overlap = width * height
    union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - overlap
    return overlap / union.clamp_(min=1e-6)


def _cost(logits: Tensor, priors: Tensor, truth: Tensor, label: Tensor, owner: Tensor, iou: Tensor) -> Tensor:
    """(N, P): soft class cost + IoU cost + distance to the center (the published equations 1 to 3)."""
    own = logits[owner, :, label]  # (N, P) logit of the box's class
    probability = own.sigmoid()
    cost = (F.softplus(own) - own * iou) * (iou - probability).square_()  # cross entropy with the IoU as label
    if logits.shape[-1] > 1:  # the other classes should be off
        off = F.softplus(logits) * logits.sigmoid().square()  # (B, P, C)
        cost += off.sum(dim=-1)[owner] - off[owner, :, label]
    cost -= IOU_WEIGHT * torch.log(iou + 1e-7)
    center = (truth[:, :2] + truth[:, 2:]) / 2  # (N, 2)
    distance = torch.hypot(priors[:, 0] - center[:, :1], priors[:, 1] - center[:, 1:]) / priors[:, 2]
    return cost.add_(torch.pow(10.0, distance - CENTER_RADIUS))


def _resolve(box: Tensor, cell: Tensor, owner: Tensor, cost: Tensor, iou: Tensor) -> Assignment:
    """A cell wanted by several boxes goes to the box of the picture that costs it least."""
    cells = cost.shape[1]
    place, inverse, times = torch.unique(owner[box] * cells + cell, return_inverse=True, return_counts=True)
    winner = torch.empty_like(place).scatter_(0, inverse, box)  # (M,) right wherever one box wants the cell
    picture, cell = place // cells, place % cells
    contested = (times > 1).nonzero()[:, 0]
    if len(contested):
        rows = owner[None] == picture[contested, None]  # (contested, N)
        costs = cost[:, cell[contested]].T.masked_fill(~rows, torch.inf)  # (contested, N)
        winner[contested] = costs.argmin(dim=1)
    return Assignment(picture, cell, winner, iou[winner, cell])
