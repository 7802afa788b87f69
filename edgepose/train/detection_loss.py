"""Losses of a one-stage detector (Lyu et al., RTMDet, 2022; generalized focal loss, Li et al., 2020; GIoU,
Rezatofighi et al., 2019), and a dense term for learning from another detector's maps.

`outputs` are the network's maps, interleaved level by level: logits (B, C, h, w), then distances (B, 4, h, w) from the
cell's point to the left, top, right and bottom side in input pixels. All is computed in float32, also under autocast;
sums are those of all processes (`train.shares`).
P cells, C classes, M positive cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from edgepose.codec.boxes import Boxes, priors
from edgepose.train.assignment import assign
from edgepose.train.shares import over_all

BOX_WEIGHT = 2.0  # of the GIoU term, as published


def detection_loss(outputs: Sequence[Tensor], targets: Mapping[str, Any], codec: Boxes) -> dict[str, Tensor]:
    """Quality focal and GIoU loss, both divided by the sum of the assigned IoUs -> {"quality": (), "box": ()}.

    targets: boxes   B times (n, 4) x1, y1, x2, y2 in input pixels, n may be 0
             ignore  B times (n,): regions of unknown content; their cells, unless assigned, are no negatives
             labels  B times (n,) classes; optional, `codec.person` when absent
    """
    with torch.autocast(outputs[0].device.type, enabled=False):
        logits, distances, cells = flatten(outputs, codec)
        boxes = decode(distances, cells)
        truth, labels, unknown = _targets(targets, codec, logits.device)
        picture, cell, box, iou = assign(logits, boxes, cells, truth, labels)
        quality = torch.zeros_like(logits)  # (B, P, C)
        quality[picture, cell, torch.cat(labels)[box]] = iou
        loss = quality_focal(logits, quality)
        weight = _negative_weight(cells, unknown)  # (B, P)
        if weight is not None:
            weight[picture, cell] = 1
            loss = loss * weight[..., None]
        total = over_all(iou.sum()).clamp(min=1)
        apart = giou_loss(boxes[picture, cell], torch.cat(truth)[box])  # (M,)
        return {"quality": over_all(loss.sum()) / total, "box": BOX_WEIGHT * over_all((apart * iou).sum()) / total}


def teacher_loss(
    outputs: Sequence[Tensor], teacher: Sequence[Tensor], codec: Boxes, threshold: float = 0.1
) -> dict[str, Tensor]:
    """The losses above with another detector's maps as targets, cell by cell -> {"teacher_quality", "teacher_box"}.

    teacher: logits of every level, then distances of every level in input pixels.
    The teacher's probability is the quality to reach; its boxes count, weighted by it, where it exceeds `threshold`.
    """
    with torch.autocast(outputs[0].device.type, enabled=False):
        logits, distances, cells = flatten(outputs, codec)
        levels = len(codec.strides)
        pairs = zip(teacher[:levels], teacher[levels:], strict=True)
        quality, goals, _ = flatten([part for pair in pairs for part in pair], codec)
        if quality.shape != logits.shape:
            ours, theirs = tuple(logits.shape[1:]), tuple(quality.shape[1:])
            raise ValueError(f"the teacher has {theirs} cells and classes, the network {ours}: they must agree")
        quality = quality.sigmoid()  # (B, P, C)
        certain = quality.amax(dim=-1)  # (B, P)
        picture, cell = (certain > threshold).nonzero(as_tuple=True)
        weight = certain[picture, cell]
        total = over_all(weight.sum()).clamp(min=1)
        found, wanted = decode(distances[picture, cell], cells[cell]), decode(goals[picture, cell], cells[cell])
        apart = giou_loss(found, wanted)  # (M,)
        return {
            "teacher_quality": over_all(quality_focal(logits, quality).sum()) / total,
            "teacher_box": BOX_WEIGHT * over_all((apart * weight).sum()) / total,
        }


def flatten(outputs: Sequence[Tensor], codec: Boxes) -> tuple[Tensor, Tensor, Tensor]:
    """Maps -> logits (B, P, C), distances (B, P, 4) in input pixels, priors (P, 3) x, y, stride; float32."""
    if len(outputs) != 2 * len(codec.strides):
        wanted = 2 * len(codec.strides)
        raise ValueError(
            f"strides {codec.strides} have {wanted} maps, logits and distances in turn, got {len(outputs)}"
        )
    if any(o.shape[1] != 4 for o in outputs[1::2]):
        channels = [o.shape[1] for o in outputs]
        raise ValueError(f"every second map holds distances and has 4 channels, got maps of {channels} channels")
    height, width = (side * codec.strides[0] for side in outputs[0].shape[2:])
    cells = torch.from_numpy(priors((width, height), codec.strides)).to(outputs[0].device)  # (P, 3)
    logits = torch.cat([_rows(o) for o in outputs[0::2]], dim=1)
    distances = torch.cat([_rows(o) for o in outputs[1::2]], dim=1)
    if logits.shape[1] != len(cells):
        raise ValueError(f"an input of {width}x{height} has {len(cells)} cells, got maps of {logits.shape[1]}")
    return logits, distances, cells


def decode(distances: Tensor, cells: Tensor) -> Tensor:
    """Left, top, right, bottom (..., P, 4) from cells (P, 3) -> boxes (..., P, 4)."""
    points = cells[:, :2]
    return torch.cat([points - distances[..., :2], points + distances[..., 2:]], dim=-1)


def quality_focal(logits: Tensor, quality: Tensor) -> Tensor:
    """Cross entropy with a soft label, times the squared error of the probability (beta 2); elementwise."""
    return F.binary_cross_entropy_with_logits(logits, quality, reduction="none") * (quality - logits.sigmoid()).square()


def giou_loss(boxes: Tensor, truth: Tensor) -> Tensor:
    """1 - GIoU, row by row: (M, 4), (M, 4) -> (M,)."""
    low, high = torch.maximum(boxes[:, :2], truth[:, :2]), torch.minimum(boxes[:, 2:], truth[:, 2:])
    overlap = (high - low).clamp(min=0).prod(dim=1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1) + (truth[:, 2:] - truth[:, :2]).prod(dim=1) - overlap
    union = union.clamp(min=1e-7)
    low, high = torch.minimum(boxes[:, :2], truth[:, :2]), torch.maximum(boxes[:, 2:], truth[:, 2:])
    hull = (high - low).clamp(min=0).prod(dim=1).clamp(min=1e-7)
    return 1 - overlap / union + (hull - union) / hull


def _rows(maps: Tensor) -> Tensor:
    return maps.flatten(2).transpose(1, 2).float()  # (B, C, h, w) -> (B, h*w, C)


def _targets(
    targets: Mapping[str, Any], codec: Boxes, device: torch.device
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """True boxes, their classes, and boxes to ignore; one tensor per picture each."""
    truth, labels, unknown = [], [], []
    classes = targets.get("labels")
    for i, (boxes, ignore) in enumerate(zip(targets["boxes"], targets["ignore"], strict=True)):
        rows = torch.as_tensor(boxes, dtype=torch.float32, device=device).reshape(-1, 4)
        flags = torch.as_tensor(ignore, device=device).bool().reshape(-1)
        kinds = torch.full((len(rows),), codec.person, device=device) if classes is None else classes[i].to(device)
        truth.append(rows[~flags])
        labels.append(kinds[~flags])
        unknown.append(rows[flags])
    return truth, labels, unknown


def _negative_weight(cells: Tensor, unknown: list[Tensor]) -> Tensor | None:
    """(B, P): 0 for cells inside a box to ignore, else 1; None when there is nothing to ignore."""
    owner = torch.repeat_interleave(torch.tensor([len(u) for u in unknown], device=cells.device))
    if len(owner) == 0:
        return None
    x1, y1, x2, y2 = torch.cat(unknown)[:, :, None].unbind(dim=1)  # (R, 1) each
    inside = (cells[:, 0] > x1) & (cells[:, 0] < x2) & (cells[:, 1] > y1) & (cells[:, 1] < y2)  # (R, P)
    covered = torch.zeros(len(unknown), len(cells), device=cells.device).index_add_(0, owner, inside.float())
    return (covered == 0).float()
