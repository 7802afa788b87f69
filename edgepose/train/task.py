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
from edgepose.train.loop import Samples
from edgepose.train.options import OPTIONS
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


@dataclass(frozen=True)
class WithImages:
    """Samples whose targets carry the pictures too, for a teacher to look at."""

    samples: Samples

    def __len__(self) -> int:
        return len(self.samples)

    def batch(self, seed: tuple[int, ...], rows: np.ndarray, stage: int) -> tuple[np.ndarray, dict[str, Any]]:
        """As the samples, with "images" among the targets."""
        images, targets = self.samples.batch(seed, rows, stage)
        return images, targets | {"images": images}
