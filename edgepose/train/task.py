"""What a run trains and minimizes, as the task of each family puts it together (`edgepose.train.families`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from edgepose.data.sampling import Order, shuffled
from edgepose.models import build
from edgepose.spec import ModelSpec
from edgepose.train.loop import Plan, Samples
from edgepose.train.options import OPTIONS, Options
from edgepose.train.recipes import Recipe

# Per data set: annotations in any known format, a folder or zip of pictures, and how often the set is listed.
Sets = Sequence[tuple[Path, Path, int]]
Loss = Callable[[tuple[Tensor, ...], dict[str, Any]], dict[str, Tensor]]


@dataclass(frozen=True)
class Task:
    """Everything `edgepose.train.loop.train` needs besides the recipe."""

    spec: ModelSpec
    network: nn.Module
    samples: Any
    loss_of: Loss
    extra: nn.Module | None = None  # what learns beside the network and is dropped afterwards
    order: Order = shuffled
    # What of the network is validated; by default the network as it is.
    deployed: Callable[[nn.Module], nn.Module] = lambda network: network
    missing: tuple[str, ...] = ()  # pictures that were left out before the run


def built(recipe: Recipe) -> tuple[ModelSpec, nn.Module]:
    """A recipe's network and its spec; ValueError where the recipe has the options of another family."""
    spec, network = build(recipe.model, skeleton=recipe.skeleton, input_size=recipe.input_size)
    family = OPTIONS[spec.codec].family
    if recipe.options.family != family:
        raise ValueError(
            f"{recipe.model} is a {family} network, but its recipe has the options of a {recipe.options.family} "
            f"network: give it options={OPTIONS[spec.codec].__name__}(...)"
        )
    return spec, network


def has_teacher(options: Options) -> bool:
    """Whether something is learnt from a teacher; ValueError for settings that only mean something then."""
    weights = [getattr(options, name, 0) for name in ("teacher_weight", "feature_weight", "hint_weight")]
    if getattr(options, "teacher", "") and any(weights):
        return True
    for name, nothing in (
        ("feature_weight", 0), ("hint_weight", 0), ("label_weight", 1), ("teacher_falls", False),
        ("teacher_gives", "auto"), ("feature_map", ""),
    ):  # fmt: skip
        value = getattr(options, name, nothing)
        if value != nothing:
            raise ValueError(f"{name}={value} needs a teacher to learn from: give teacher=FILE, or leave it out")
    return False


@dataclass(frozen=True)
class WithImages:
    """Samples whose targets carry the pictures too, for a teacher to look at.

    falls: (epochs, batches per epoch) of a run in which the teacher's share falls from 1 by the same step after each
        epoch, as DWPose's does; the targets then carry it as "share".
    """

    samples: Samples
    falls: tuple[int, int] | None = None

    @staticmethod
    def of(samples: Samples, recipe: Recipe) -> WithImages:
        """As the recipe has it."""
        falls = getattr(recipe.options, "teacher_falls", False)
        return WithImages(samples, (recipe.epochs, Plan(samples, recipe).per_epoch) if falls else None)

    def __len__(self) -> int:
        return len(self.samples)

    def batch(self, seed: tuple[int, ...], rows: np.ndarray, stage: int) -> tuple[np.ndarray, dict[str, Any]]:
        """As the samples, with "images" among the targets, and the "share" by the batch's number in the seed."""
        images, targets = self.samples.batch(seed, rows, stage)
        if self.falls is not None:
            epochs, per_epoch = self.falls
            targets = targets | {"share": np.array(1 - seed[1] // per_epoch / epochs, np.float32)}
        return images, targets | {"images": images}
