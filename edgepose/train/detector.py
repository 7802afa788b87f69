"""What a detector's recipe trains on and minimises, and the teacher it may learn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgepose.codec import codec_of
from edgepose.data.detection import Detections, read_boxes
from edgepose.models import build
from edgepose.runtime.people import Views
from edgepose.runtime.session import Session
from edgepose.spec import ModelSpec
from edgepose.train.detection_loss import detection_loss, teacher_loss
from edgepose.train.recipes import Recipe

Loss = Callable[[tuple[Tensor, ...], dict[str, Any]], dict[str, Tensor]]


def detector_task(recipe: Recipe, data: list[tuple[Path, Path]]) -> tuple[ModelSpec, nn.Module, Any, Loss]:
    """Spec, network, samples and loss of a detector's recipe."""
    spec, network = build(recipe.model, input_size=recipe.input_size)
    records = [record for annotations, pictures in data for record in read_boxes(annotations, pictures)]
    ratio, mixup = DETECTOR_VIEWS[recipe.model.removeprefix("rtmdet-")]
    samples = Detections(records, spec.input_size[0], ratio, mixup)
    codec = codec_of(spec)
    teacher = Teacher(Path(recipe.teacher)) if recipe.teacher else None

    def loss_of(outputs: tuple[Tensor, ...], targets: dict[str, Any]) -> dict[str, Tensor]:
        losses = detection_loss(outputs, targets, codec)
        if teacher is not None:
            losses |= teacher_loss(outputs, teacher(targets["images"]), codec)
        return losses

    return spec, network, WithImages(samples) if teacher else samples, loss_of


# Random resize and probability of mix-up per size, as published (facts 2.4).
DETECTOR_VIEWS = {
    "nano": ((0.5, 1.5), 0.0),
    "tiny": ((0.5, 2.0), 0.5),
    "s": ((0.5, 2.0), 1.0),
    "m": ((0.1, 2.0), 1.0),
    "l": ((0.1, 2.0), 1.0),
    "x": ((0.1, 2.0), 1.0),
}


@dataclass(frozen=True)
class WithImages:
    """Detection samples whose targets carry the pictures too, for a teacher to look at."""

    samples: Detections

    def __len__(self) -> int:
        return len(self.samples)

    def batch(self, seed: tuple[int, ...], rows: np.ndarray, stage: int) -> tuple[np.ndarray, dict[str, Any]]:
        """As the samples, with "images" among the targets."""
        images, targets = self.samples.batch(seed, rows, stage)
        return images, targets | {"images": images}


class Teacher:
    """Another detector's maps, from a model file with a spec beside it, as targets."""

    def __init__(self, path: Path) -> None:
        self.session = Session(path)
        if self.session.spec.codec != "boxes" or codec_of(self.session.spec).format not in ("rtmdet", "rtmdet-nhwc"):
            raise ValueError(f"{path} cannot teach: expected a detector whose outputs are RTMDet's maps")

    def __call__(self, images: Tensor) -> list[Tensor]:
        """(B, S, S, 3) uint8 BGR -> logits of every level, then distances in input pixels of every level."""
        spec = self.session.spec
        maps = [self.session(network_input(spec, image[None].numpy())) for image in images.cpu()]
        levels = [torch.from_numpy(np.concatenate(level)) for level in zip(*maps, strict=True)]
        if codec_of(spec).format == "rtmdet-nhwc":
            planes = [level.permute(0, 3, 1, 2) for level in levels]
            levels = [part for plane in planes for part in (plane[:, :-4], plane[:, -4:])]
        return [level.to(images.device) for level in (*levels[0::2], *levels[1::2])]
