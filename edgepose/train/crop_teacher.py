"""A top-down network whose outputs are a second target of another one (Hinton et al., 2015; of heat-maps: Zhang et al.,
Fast Human Pose Estimation, 2019, section 3.2).

The teacher looks at the same augmented crops. A student of soft-max maps learns its maps, moved to the student's cells;
any other student learns the keypoints that the teacher decodes. Both count as much as the teacher is sure.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgepose.codec import codec_of
from edgepose.codec.distribution import Distribution
from edgepose.codec.heatmap import Heatmap
from edgepose.runtime.session import Session
from edgepose.runtime.views import Views
from edgepose.spec import ModelSpec
from edgepose.train import checkpoint
from edgepose.train.loop import Normalize
from edgepose.train.losses import LOSSES
from edgepose.train.precision import uses_bf16
from edgepose.train.recipes import Precision
from edgepose.train.teacher import same_joints

Loss = Callable[[tuple[Tensor, ...], dict[str, Any]], dict[str, Tensor]]


class CropTeacher:
    """Targets of a student from another top-down network.

    Args:
        path: an ONNX file, its spec inside or beside it (FILE.json), or a checkpoint of `edgepose train`.
        student: its spec. Keypoints meet by name; the teacher may know more.
        precision: of a checkpoint's network, as a recipe has it, on the device where the crops are.
        threads: of onnxruntime; by default as many as help.
    """

    def __init__(
        self, path: Path, student: ModelSpec, precision: Precision = "fp32", threads: int | None = None
    ) -> None:
        if path.suffix == ".onnx":
            session = Session(path, threads=threads)
            spec, self._run = session.spec, _of_session(session)
        else:
            spec, network = checkpoint.network_of(path)
            self._run = _of_network(spec, network, precision)
        if not spec.per_person:
            raise ValueError(f"{path} cannot teach {student.name}: expected a network of one person's crop")
        (width, height), (own_width, own_height) = student.input_size, spec.input_size
        if width * own_height != height * own_width:
            raise ValueError(
                f"{path} cannot teach: it looks at {own_width}x{own_height}, which is of another shape than the crops, "
                f"{width}x{height}"
            )
        self.size = (own_height, own_width)
        self.zoom = own_width / width  # teacher pixels per student pixel
        self.codec, self.student = codec_of(spec), codec_of(student)
        self.joints = same_joints(path, spec.keypoints, student.keypoints)

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """(B, h, w, 3) uint8 BGR -> targets as the student's codec encodes them, on the images' device."""
        planes = images.permute(0, 3, 1, 2)
        if planes.shape[2:] != self.size:
            planes = F.interpolate(planes.float(), size=self.size, mode="bilinear", align_corners=False)
            planes = planes.round().to(torch.uint8)
        outputs = self._run(planes.permute(0, 2, 3, 1))
        if isinstance(self.student, Distribution) and isinstance(self.codec, (Heatmap, Distribution)):
            targets = moved_maps(self.codec, self.student, outputs[0], self.joints, self.zoom)
        else:
            targets = self._points(outputs)
        return {name: torch.from_numpy(value).to(images.device) for name, value in targets.items()}

    def _points(self, outputs: list[np.ndarray]) -> dict[str, np.ndarray]:
        poses = self.codec.decode(outputs)
        keypoints = (poses.keypoints[:, self.joints] + 0.5) / self.zoom - 0.5
        sure = np.clip(poses.scores[:, self.joints], 0, 1)
        targets: dict[str, np.ndarray] = self.student.encode(keypoints, np.ones(sure.shape, np.float32))
        return targets | {"weights": (targets["weights"] * sure).astype(np.float32)}


def moved_maps(
    teacher: Heatmap | Distribution, student: Distribution, maps: np.ndarray, joints: list[int], zoom: float = 1.0
) -> dict[str, np.ndarray]:
    """A teacher's maps (B, J, h, w) -> what each of the student's cells holds of them, (B, K, h, w) of sum 1, with
    weights (B, K), as the student's codec encodes labels.

    joints: the K places of the student's keypoints among the teacher's. zoom: the teacher's pixels per student's.
    """
    belief, sure = (part[:, joints] for part in beliefs(teacher, maps.astype(np.float32)))
    across, down = (
        overlap((cell_edges(student, axis) + 0.5) * zoom - 0.5, cell_edges(teacher, axis)).astype(np.float32)
        for axis in (0, 1)
    )
    moved = down @ belief @ across.T
    total = moved.sum(axis=(2, 3), keepdims=True)
    return {"heatmaps": moved / np.maximum(total, 1e-6), "weights": sure * (total[..., 0, 0] > 1e-6)}


def taught_crops(loss_of: Loss, teacher: CropTeacher, codec: str, weight: float) -> Loss:
    """A top-down loss and, `weight` times, the same loss against the teacher's targets, as "teacher_...".

    The targets carry the crops as "images". codec: the student's name for it.
    """
    own = 2 if codec == "simcc" else 1  # outputs of an auxiliary head follow

    def with_teacher(outputs: tuple[Tensor, ...], targets: dict[str, Any]) -> dict[str, Tensor]:
        losses = loss_of(outputs, targets)
        learnt = LOSSES[codec](outputs[:own], teacher(targets["images"]))
        return losses | {f"teacher_{name}": weight * value for name, value in learnt.items()}

    return with_teacher


def beliefs(codec: Heatmap | Distribution, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(B, K, h, w) -> where each keypoint is, (B, K, h, w) of sum 1, and how sure that is, (B, K) in 0..1, float32.

    Of regressed heat-maps only what is above a tenth of the peak counts: the noise of thousands of cells would
    otherwise weigh as much as the peak.
    """
    if isinstance(codec, Distribution):
        mass = np.exp(maps - maps.max(axis=(2, 3), keepdims=True))
        mass /= mass.sum(axis=(2, 3), keepdims=True)
        return mass, codec.decode([maps]).scores.astype(np.float32)
    peak = maps.max(axis=(2, 3), keepdims=True)
    mass = np.where(maps >= 0.1 * peak, np.maximum(maps, 0), 0)
    mass /= np.maximum(mass.sum(axis=(2, 3), keepdims=True), 1e-6)
    return mass, np.clip(peak[..., 0, 0], 0, 1)


def cell_edges(codec: Heatmap | Distribution, axis: int) -> np.ndarray:
    """Where the cells of a row (axis 0) or a column (1) begin and end, (n + 1,), in input pixels, whose centers are at
    whole numbers.
    """
    number = codec.size[axis]
    if isinstance(codec, Distribution):
        return np.arange(number + 1) * codec.stride - 0.5
    return (np.arange(number + 1) - 0.5) * codec.scale[axis] + codec.origin[axis]


def overlap(edges: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n, m) share of each other cell that lies within each cell, by their edges (n + 1,) and (m + 1,)."""
    low = np.maximum(edges[:-1, None], others[None, :-1])
    high = np.minimum(edges[1:, None], others[None, 1:])
    return np.maximum(high - low, 0) / np.diff(others)


def _of_session(session: Session) -> Callable[[Tensor], list[np.ndarray]]:
    views = Views(session.spec)

    def run(images: Tensor) -> list[np.ndarray]:
        pixels = np.ascontiguousarray(images.cpu().numpy())
        as_they_are = np.tile(np.eye(2, 3), (len(pixels), 1, 1))
        return session(views.crops(list(pixels), as_they_are))

    return run


def _of_network(spec: ModelSpec, network: nn.Module, precision: Precision) -> Callable[[Tensor], list[np.ndarray]]:
    normalize = Normalize(spec)

    @torch.no_grad()
    def run(images: Tensor) -> list[np.ndarray]:
        network.to(images.device)
        normalize.to(images.device)
        device = images.device.type
        with torch.autocast(device, torch.bfloat16, enabled=uses_bf16(precision, device)):
            outputs = network(normalize(images))
        return [output.float().cpu().numpy() for output in outputs]

    return run
