"""A detector that learns from another one's maps, cell by cell, and from its inner maps (`hints`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgepose.codec.boxes import Boxes
from edgepose.models.rtmdet import RTMDet
from edgepose.train.detection_loss import teacher_loss
from edgepose.train.distil.hints import WithHints, hint_loss, inner_names, with_inner
from edgepose.train.distil.teacher import Teacher, taught
from edgepose.train.options import Detector
from edgepose.train.recipes import Recipe
from edgepose.train.task import Loss

Size = tuple[int, int]  # w, h


class BoxTeacher:
    """Another detector's maps as targets: RTMDet's outputs, at the size of the training views.

    Args:
        size: of the views (w, h); the teacher's own may be another.
        inner: give its inner maps too (`hints`).
    """

    def __init__(self, teacher: Teacher, size: Size, *, inner: bool = False) -> None:
        codec, formats = teacher.codec, ("rtmdet", "rtmdet-nhwc")
        if not isinstance(codec, Boxes) or codec.format not in formats:
            raise teacher.refusal(f"expected a detector whose outputs are RTMDet's, format {formats}")
        self.codec, self.size = codec, size
        try:
            names = (lambda model: inner_names(model, codec.strides)) if inner else None
            self._look = teacher.look(size, show=with_inner if inner else None, names=names)
            maps = self._checked() if teacher.network is None else self(torch.zeros(1, *size, 3, dtype=torch.uint8))
        except ValueError as error:
            raise ValueError(f"{teacher.path} cannot teach at {size[0]}x{size[1]}: {error}") from error
        self.channels = [level.shape[1] for level in maps[2 * len(codec.strides) :]]  # of the inner maps

    def __call__(self, images: Tensor) -> list[Tensor]:
        """(B, S, S, 3) uint8 BGR -> logits (B, 1, h, w) of every level, then distances (B, 4, h, w) of every level, and
        then the inner maps (B, C, h, w), where they were asked for.

        The logits are those of people, whatever else the teacher knows; distances are in input pixels.
        """
        maps = self._look(images)
        count = len(self.codec.strides) * (1 if self.codec.format == "rtmdet-nhwc" else 2)
        maps, inner = maps[:count], maps[count:]
        if self.codec.format == "rtmdet-nhwc":
            classes = self.codec.classes
            planes = [level.permute(0, 3, 1, 2) for level in maps]  # (B, h, w, C + 4) -> (B, C + 4, h, w)
            maps = [part for plane in planes for part in (plane[:, :classes], plane[:, classes:])]
        person = slice(self.codec.person, self.codec.person + 1)
        return [*(level[:, person] for level in maps[0::2]), *maps[1::2], *inner]

    def _checked(self) -> list[Tensor]:
        """A graph that is tied to its own size or batch may run and yet give something else: compare two pictures."""
        width, height = self.size
        noise = np.random.default_rng(0).integers(0, 128, (2, height, width, 3), np.uint8)
        noise[1, :, : width // 2] += 128  # one is dark, the other has a bright half
        images = torch.from_numpy(noise)
        together, alone = self(images), [torch.cat(parts) for parts in zip(*map(self, images.split(1)), strict=True)]
        shapes = [(height // stride, width // stride) for stride in self.codec.strides]
        outputs = 2 * len(shapes)
        if [tuple(level.shape[2:]) for level in together[:outputs]] != shapes * 2:
            raise ValueError("its maps have another size; it is tied to the one that it was exported with")
        if not all(torch.allclose(a, b, rtol=1e-2, atol=1e-2) for a, b in zip(together, alone, strict=True)):
            raise ValueError("it gives other maps for two pictures at once; it is tied to a batch of one")
        return together


def taught_boxes(
    recipe: Recipe, options: Detector, codec: Boxes, network: RTMDet, loss_of: Loss, size: Size
) -> tuple[Loss, nn.Module | None]:
    """A detector's loss with what is learnt from the recipe's teacher, and what learns beside the network then.

    With a `hint_depth` the network runs no further than its hints, and these are all that is learnt.
    """
    teacher = BoxTeacher(Teacher.of(recipe), size, inner=options.hint_weight > 0)
    own = 2 * len(codec.strides)

    def learn(outputs: tuple[Tensor, ...], targets: dict[str, Any]) -> dict[str, Tensor]:
        maps, learnt, shown = teacher(targets["images"]), {}, outputs
        if not options.hint_depth:
            shown = outputs[own:]
            if options.teacher_weight:
                losses = teacher_loss(outputs[:own], maps[:own], codec)
                learnt = {name: options.teacher_weight * value for name, value in losses.items()}
        if options.hint_weight:
            learnt["teacher_hints"] = options.hint_weight * hint_loss(shown, maps[own:][: options.hint_depth or None])
        return learnt

    labels: Loss = lambda o, targets: {} if options.hint_depth else loss_of(o[:own], targets)  # noqa: E731
    extra = WithHints(network, teacher.channels, options.hint_depth) if options.hint_weight else None
    return taught(labels, learn, options.label_weight), extra
