"""Losses of a one-stage network: YOLO-Pose's (Maji et al., 2022, as released), and what SASD adds to them.

All is computed in grid units, where a picture at twice the size looked at one level further on has the same targets:
`Staggered`'s large pass is measured with them as they are. Letters: B pictures, A anchors, M cells that learn somebody.
Every term is a mean times B, as published: learning rate and batch belong together. Means and B are those of the batch
of all processes (`train.shares`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from edgepose.codec.anchors import BOX, Anchors
from edgepose.train.options import Norm, OksForm
from edgepose.train.shares import mean_over_all, over_all

BALANCE = {3: (4.0, 1.0, 0.4), 4: (4.0, 1.0, 0.25, 0.06)}  # of the objects' loss, level by level
FORMS: tuple[OksForm, ...] = get_args(OksForm)
NORMS: tuple[Norm, ...] = get_args(Norm)
FAR = 0.3  # a keypoint as far away as half a person is high is then still where the loss has a slope


@dataclass(frozen=True)
class AnchorLoss:
    """(outputs, targets) -> {name: scalar}, for outputs of the network alone or of `models.sasd.Staggered`.

    oks: "code", 1 - exp(-d^2 / (4 sigma^2 area)) over all labelled keypoints of a level, as YOLO-Pose's code has it, or
        "paper", OKS itself (8 in place of 4), a mean for each person first
    limbs: weight of the skeleton loss, beta in the paper; 0 leaves it out
    far: weight of the keypoint loss once more, with sigmas of at least FAR. Ours: OKS has next to no gradient for a
        keypoint that is many sigmas away, as all are before anything is learnt
    align: weight of the distance between the features of both passes, gamma
    norm: of that distance: "l2", the mean over places of the length of the difference, or "mse"
    """

    codec: Anchors
    oks: OksForm = "code"
    limbs: float = 0.0
    align: float = 0.02
    norm: Norm = "l2"
    far: float = 0.0

    def __post_init__(self) -> None:
        if self.oks not in FORMS or self.norm not in NORMS:
            raise ValueError(
                f"oks={self.oks!r} and norm={self.norm!r}: expected one of {list(FORMS)} and one of {list(NORMS)}"
            )
        if len(self.codec.strides) not in BALANCE:
            raise ValueError(f"{len(self.codec.strides)} levels: weights are known for {list(BALANCE)}")
        if min(self.limbs, self.align, self.far) < 0:
            raise ValueError(f"weights are {self.limbs}, {self.align} and {self.far}, expected 0 or more")

    def __call__(self, outputs: Sequence[Tensor], targets: dict[str, Any]) -> dict[str, Tensor]:
        """outputs: n levels' raw maps; or 4n, those of both passes, then features of both.

        targets: cells B times (m, 5) level, anchor, row, column, person; boxes, keypoints, visible, ignore likewise
        """
        levels = len(self.codec.strides)
        if len(outputs) not in (levels, 4 * levels):
            raise ValueError(f"{levels} levels give {levels} or {4 * levels} outputs, got {len(outputs)}")
        with torch.autocast(outputs[0].device.type, enabled=False):
            truth = Truth.of(targets)
            losses = self._one_pass(outputs[:levels], truth)
            if len(outputs) == levels:
                return losses
            large = self._one_pass(outputs[levels : 2 * levels], truth)
            losses |= {f"large_{name}": value for name, value in large.items()}
            if self.align:
                apart = distance(outputs[2 * levels : 3 * levels], outputs[3 * levels :], self.norm)
                losses["align"] = self.align * apart * _pictures(outputs[0])
            return losses

    def _one_pass(self, outputs: Sequence[Tensor], truth: Truth) -> dict[str, Tensor]:
        sums: dict[str, list[Tensor]] = {name: [] for name in self._gains()}
        for level, output in enumerate(outputs):
            for name, value in self._level(level, output.float(), truth).items():
                sums[name].append(value)
        pictures = _pictures(outputs[0])
        return {name: gain * torch.stack(sums[name]).sum() * pictures for name, gain in self._gains().items()}

    def _gains(self) -> dict[str, float]:
        """Weights as YOLOv5 scales them with levels, pixels and classes: the 1/80 of confidence is one class of 80."""
        width, height = self.codec.input_size
        share = 3 / len(self.codec.strides)
        gains = {
            "box": 0.05 * share,
            "object": share * width * height / 640**2,
            "keypoints": 0.1,
            "confidence": 0.5 / 80 * share,
        }
        added = {"limbs": self.limbs, "far": self.far}
        return gains | {name: weight for name, weight in added.items() if weight}

    def _level(self, level: int, output: Tensor, truth: Truth) -> dict[str, Tensor]:
        """Means of one level, without weights."""
        anchors = torch.tensor(self.codec.anchors[level], device=output.device) / self.codec.strides[level]  # (A, 2)
        maps = output.unflatten(1, (len(anchors), -1))  # (B, A, 6 + 3K, h, w)
        mine = truth.cells[:, 0] == level
        (_, anchor, row, column, person), picture = truth.cells[mine].unbind(dim=1), truth.picture[mine]
        place = (picture, anchor, row, column)
        found = maps.movedim(2, -1)[place]  # (M, 6 + 3K)
        origin = torch.stack([column, row], dim=1)
        scale = 1 / self.codec.strides[level]
        box = truth.boxes[person] * scale
        sides = box[:, 2:] - box[:, :2]
        wanted = torch.cat([(box[:, :2] + box[:, 2:]) / 2 - origin, sides], dim=1)
        share = found[:, :4].sigmoid() * 2
        fits = ciou(torch.cat([share[:, :2] - 0.5, share[:, 2:] ** 2 * anchors[anchor]], dim=1), wanted)  # (M,)
        objects = torch.zeros_like(maps[:, :, 4])  # (B, A, h, w)
        objects[place] = fits.detach().clamp(min=0)
        entropy = F.binary_cross_entropy_with_logits(maps[:, :, 4], objects, reduction="none")
        known = truth.known(maps.shape, self.codec.strides[level])
        if known is not None:
            known[place] = 1
            entropy = entropy * known
        losses = {
            "box": mean_over_all(1 - fits),
            "object": mean_over_all(entropy) * BALANCE[len(self.codec.strides)][level],
        }
        points = found[:, BOX:].unflatten(1, (-1, 3))  # (M, K, 3)
        labelled = truth.visible[person]  # (M, K)
        predicted = points[..., :2] * 2 - 0.5
        goals = (truth.keypoints[person] + 0.5) * scale - origin[:, None]
        size = sides.prod(dim=1)
        losses["keypoints"] = self._oks(predicted, goals, labelled, size)
        if self.far:
            losses["far"] = self._oks(predicted, goals, labelled, size, FAR)
        unsure = F.binary_cross_entropy_with_logits(points[..., 2], labelled, reduction="none")  # (M, K)
        losses["confidence"] = mean_over_all(unsure)
        if self.limbs:
            losses["limbs"] = limb_loss(predicted, goals, labelled, size, self.codec.skeleton.limbs)
        return losses

    def _oks(self, predicted: Tensor, goals: Tensor, labelled: Tensor, size: Tensor, least: float = 0.0) -> Tensor:
        """(M, K, 2) twice, labelled (M, K), box areas (M,), the smallest sigma -> ()."""
        sigmas = torch.tensor(self.codec.skeleton.oks_sigmas, device=predicted.device).clamp(min=least)
        fall = (4 if self.oks == "code" else 8) * sigmas**2 * size[:, None]  # (M, K)
        missed = (1 - torch.exp(-(predicted - goals).square().sum(-1) / (fall + 1e-9))) * labelled
        if self.oks == "code":
            return over_all(missed.sum()) / over_all(labelled.sum()).clamp(min=1)
        counts = labelled.sum(dim=1)
        return mean_over_all((missed.sum(dim=1) / counts.clamp(min=1))[counts > 0])


@dataclass(frozen=True)
class Truth:
    """The targets of a batch, end to end: cells (M, 5) with their picture (M,), people (N, ..), regions (R, 4) with
    theirs.
    """

    cells: Tensor
    picture: Tensor
    boxes: Tensor
    keypoints: Tensor
    visible: Tensor
    ignore: Tensor
    where: Tensor

    @staticmethod
    def of(targets: dict[str, Any]) -> Truth:
        """Persons are counted on from picture to picture."""
        first, cells = 0, []
        for rows, boxes in zip(targets["cells"], targets["boxes"], strict=True):
            cells.append(rows + torch.tensor([0, 0, 0, 0, first], device=rows.device))
            first += len(boxes)
        boxes, keypoints, visible, ignore = (
            torch.cat(list(targets[name])).float() for name in ("boxes", "keypoints", "visible", "ignore")
        )
        return Truth(
            torch.cat(cells), _owners(cells), boxes, keypoints, visible, ignore, _owners(targets["ignore"])
        )  # fmt: skip

    def known(self, shape: torch.Size, stride: int) -> Tensor | None:
        """(B, A, h, w): 0 in cells whose middle lies in a region to ignore, else 1; None when there is nothing so."""
        if len(self.ignore) == 0:
            return None
        pictures, anchors, _, rows, columns = shape
        y, x = ((torch.arange(n, device=self.ignore.device) + 0.5) * stride for n in (rows, columns))
        x1, y1, x2, y2 = self.ignore[:, :, None].unbind(dim=1)  # (R, 1)
        inside = ((y > y1) & (y < y2))[:, :, None] & ((x > x1) & (x < x2))[:, None]  # (R, h, w)
        covered = torch.zeros(pictures, rows, columns, device=y.device).index_add_(0, self.where, inside.float())
        return (covered == 0).float()[:, None].repeat(1, anchors, 1, 1)


def _owners(rows: Sequence[Tensor]) -> Tensor:
    """Index of the picture that each row comes from."""
    counts = torch.tensor([len(each) for each in rows], device=rows[0].device)
    return torch.repeat_interleave(torch.arange(len(rows), device=rows[0].device), counts)


def _pictures(output: Tensor) -> Tensor:
    """B of all processes, of one map (B, ..)."""
    return over_all(torch.tensor(float(len(output)), device=output.device))


def limb_loss(
    predicted: Tensor, goals: Tensor, labelled: Tensor, size: Tensor, limbs: Sequence[tuple[int, int]]
) -> Tensor:
    """Differences of limb lengths in units of the person's size, summed over limbs with both ends labelled -> ().

    predicted, goals (M, K, 2), labelled (M, K), size (M,) box areas; the mean is over the M. Without the division by
    size the loss hurts (the paper's table V).
    """
    start, end = torch.tensor(limbs, device=predicted.device).unbind(dim=1)
    lengths, wanted = (torch.linalg.vector_norm(p[:, start] - p[:, end], dim=-1) for p in (predicted, goals))  # (M, L)
    both = labelled[:, start] * labelled[:, end]
    apart = ((lengths - wanted).abs() * both).sum(dim=1)
    return mean_over_all(apart / size.clamp(min=1e-9).sqrt())


def distance(students: Sequence[Tensor], teachers: Sequence[Tensor], norm: Norm = "l2") -> Tensor:
    """Features (B, C, h, w) of each level and their teachers', which learn nothing from it -> () sum over levels."""
    total = students[0].new_zeros((), dtype=torch.float32)
    for student, teacher in zip(students, teachers, strict=True):
        difference = student.float() - teacher.detach().float()
        length = torch.linalg.vector_norm(difference, dim=1) if norm == "l2" else difference.square()
        total = total + mean_over_all(length)
    return total


def ciou(boxes: Tensor, truth: Tensor) -> Tensor:
    """Complete IoU (Zheng et al., 2020) of boxes (M, 4) x, y, w, h about their centers, row by row -> (M,)."""
    center, side, center_true, side_true = boxes[:, :2], boxes[:, 2:], truth[:, :2], truth[:, 2:]
    low, high = center - side / 2, center + side / 2
    low_true, high_true = center_true - side_true / 2, center_true + side_true / 2
    overlap = (torch.minimum(high, high_true) - torch.maximum(low, low_true)).clamp(min=0).prod(dim=1)
    iou = overlap / (side.prod(dim=1) + side_true.prod(dim=1) - overlap + 1e-7)
    diagonal = (torch.maximum(high, high_true) - torch.minimum(low, low_true)).square().sum(dim=1) + 1e-7
    apart = (center - center_true).square().sum(dim=1) / diagonal
    angles = torch.atan(side_true[:, 0] / (side_true[:, 1] + 1e-7)) - torch.atan(side[:, 0] / (side[:, 1] + 1e-7))
    aspect = 4 / math.pi**2 * angles.square()
    with torch.no_grad():
        weight = aspect / (aspect - iou + 1 + 1e-7)
    return iou - (apart + weight * aspect)
