"""A larger bottom-up network whose heat-maps are a second target (LitePose's distillation, Wang et al., 2022)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgepose.codec import codec_of
from edgepose.codec.associative import STRIDES, Associative
from edgepose.runtime.session import Session
from edgepose.runtime.views import Views
from edgepose.skeleton import Skeleton, shared
from edgepose.spec import ModelSpec
from edgepose.train import checkpoint
from edgepose.train.associative_loss import masked_square
from edgepose.train.loop import Normalize
from edgepose.train.precision import uses_bf16
from edgepose.train.recipes import Precision

Loss = Callable[[tuple[Tensor, ...], dict[str, Any]], dict[str, Tensor]]
Maps = tuple[Tensor, Tensor]  # heat-maps (B, K, h/4, w/4) and (B, K, h/2, w/2)


class MapTeacher:
    """Heat-maps of another network at its own size, of the keypoints that the student learns.

    Args:
        path: a checkpoint of `edgepose train`, or an ONNX file that gives a network's two outputs as they are, its
            spec inside or beside it. A file of `edgepose export` gives the mean of both scales and cannot teach.
        student: its spec. Keypoints meet by name; the teacher may know more.
        precision: of a checkpoint's network, as a recipe has it, on the device where the views are.
        threads: of onnxruntime; by default as many as help.
    """

    def __init__(
        self, path: Path, student: ModelSpec, precision: Precision = "fp32", threads: int | None = None
    ) -> None:
        source: Session | nn.Module
        if path.suffix == ".onnx":
            source = Session(path, threads=threads)
            spec = source.spec
        else:
            spec, source = checkpoint.network_of(path)
        if not isinstance(codec_of(spec), Associative):
            raise ValueError(
                f"{path} cannot teach: expected a bottom-up network's heat-maps and tags, got {spec.codec}"
            )
        self._run = _of_session(source, path) if isinstance(source, Session) else _of_network(spec, source, precision)
        (width, height), (own_width, own_height) = student.input_size, spec.input_size
        if width * own_height != height * own_width:
            raise ValueError(
                f"{path} cannot teach: it looks at {own_width}x{own_height}, which is of another shape than the views, "
                f"{width}x{height}"
            )
        self.size = (own_height, own_width)
        self.joints = same_joints(path, spec.keypoints, student.keypoints)

    def __call__(self, images: Tensor) -> Maps:
        """(B, h, w, 3) uint8 BGR -> heat-maps, at the teacher's size."""
        planes = images.permute(0, 3, 1, 2)
        if planes.shape[2:] != self.size:
            planes = F.interpolate(planes, size=self.size, mode="nearest")
        coarse, fine = self._run(planes.permute(0, 2, 3, 1))
        return coarse[:, self.joints], fine[:, self.joints]


def taught(loss_of: Loss, teacher: Callable[[Tensor], Maps], weight: float) -> Loss:
    """A bottom-up loss and, `weight` times, the distance to the teacher's maps in place of the labels'; tags learn
    nothing from it.

    The targets carry the views as "images".
    """

    def with_teacher(outputs: tuple[Tensor, ...], targets: dict[str, Any]) -> dict[str, Tensor]:
        losses = loss_of(outputs, targets)
        k = outputs[1].shape[1]
        for stride, maps, wanted in zip(STRIDES, outputs, teacher(targets["images"]), strict=True):
            nearest = F.interpolate(wanted, size=maps.shape[2:], mode="nearest")
            distance = masked_square(maps[:, :k].float(), nearest, targets[f"masks_{stride}"])
            losses[f"teacher_heat_{stride}"] = weight * distance
        return losses

    return with_teacher


def _of_network(spec: ModelSpec, network: nn.Module, precision: Precision) -> Callable[[Tensor], Maps]:
    normalize, k = Normalize(spec), len(spec.keypoints)

    @torch.no_grad()
    def run(images: Tensor) -> Maps:
        network.to(images.device)
        normalize.to(images.device)
        device = images.device.type
        with torch.autocast(device, torch.bfloat16, enabled=uses_bf16(precision, device)):
            coarse, fine = network(normalize(images))
        return coarse[:, :k].float(), fine.float()

    return run


def _of_session(session: Session, path: Path) -> Callable[[Tensor], Maps]:
    spec = session.spec
    views, k = Views(spec), len(spec.keypoints)

    def run(images: Tensor) -> Maps:
        pixels = np.ascontiguousarray(images.cpu().numpy())
        as_they_are = np.tile(np.eye(2, 3), (len(pixels), 1, 1))
        outputs = session(views.crops(list(pixels), as_they_are))
        coarse, fine = (torch.from_numpy(maps).to(images.device) for maps in outputs)
        return coarse[:, :k], fine

    width, height = spec.input_size
    shapes = [maps.shape for maps in session(views.crops([np.zeros((height, width, 3), np.uint8)], np.eye(2, 3)[None]))]
    if shapes != [(1, 2 * k, height // 4, width // 4), (1, k, height // 2, width // 2)]:
        raise ValueError(
            f"{path} cannot teach: expected the network's own two outputs, got {shapes}; a file of `edgepose export` "
            "holds the mean of both scales, so give the checkpoint that it was made from"
        )
    return run


def same_joints(path: Path, teacher: Skeleton, student: Skeleton) -> list[int]:
    """Places of the student's keypoints among the teacher's."""
    places = {theirs: own for own, theirs in shared(teacher, student)}
    missing = [name for i, name in enumerate(student.names) if i not in places]
    if missing:
        raise ValueError(f"{path} cannot teach: it does not know {missing}, expected every keypoint of {student.name}")
    return [places[i] for i in range(len(student))]
