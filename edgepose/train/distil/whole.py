"""A bottom-up network that learns from another one's heat-maps (LitePose's distillation, Wang et al., 2022)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from edgepose.codec.associative import STRIDES, Associative
from edgepose.spec import ModelSpec
from edgepose.train.associative_loss import masked_square
from edgepose.train.distil.teacher import Teacher, resized_views
from edgepose.train.task import Loss

Maps = tuple[Tensor, Tensor]  # heat-maps (B, K, h/4, w/4) and (B, K, h/2, w/2)


class MapTeacher:
    """Heat-maps of another network at its own size, of the keypoints that the student learns.

    A file of `edgepose export` gives the mean of both scales and cannot teach; an ONNX file that gives the network's
    two outputs as they are can.
    """

    def __init__(self, teacher: Teacher, student: ModelSpec) -> None:
        if not isinstance(teacher.codec, Associative):
            raise teacher.refusal(f"expected a bottom-up network's heat-maps and tags, got {teacher.spec.codec}")
        self._look, self._k = teacher.look(), len(teacher.spec.keypoints)
        self.size = width, height = teacher.spec.input_size
        if teacher.network is None:
            shapes = [tuple(m.shape) for m in self._look(torch.zeros(1, height, width, 3, dtype=torch.uint8))]
            if shapes != [(1, 2 * self._k, height // 4, width // 4), (1, self._k, height // 2, width // 2)]:
                raise teacher.refusal(
                    f"expected the network's own two outputs, got {shapes}; a file of `edgepose export` holds the mean "
                    "of both scales, so give the checkpoint that it was made from"
                )
        teacher.zoom(student, "views")
        self.joints = teacher.joints(student)

    def __call__(self, images: Tensor) -> Maps:
        """(B, h, w, 3) uint8 BGR -> heat-maps, at the teacher's size."""
        coarse, fine = self._look(resized_views(images, self.size, "nearest"))
        return coarse[:, : self._k][:, self.joints], fine[:, self.joints]


def learn_maps(teacher: Callable[[Tensor], Maps], weight: float) -> Loss:
    """`weight` times the distance to the teacher's maps in place of the labels'; tags learn nothing from it.

    The targets carry the views as "images".
    """

    def learn(outputs: tuple[Tensor, ...], targets: dict[str, Any]) -> dict[str, Tensor]:
        learnt, k = {}, outputs[1].shape[1]
        for stride, maps, wanted in zip(STRIDES, outputs, teacher(targets["images"]), strict=True):
            nearest = F.interpolate(wanted, size=maps.shape[2:], mode="nearest")
            distance = masked_square(maps[:, :k].float(), nearest, targets[f"masks_{stride}"])
            learnt[f"teacher_heat_{stride}"] = weight * distance
        return learnt

    return learn
