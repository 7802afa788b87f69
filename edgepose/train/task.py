"""What a run trains and minimizes, as the task of each family puts it together (`edgepose.train.families`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgepose.data.people import People
from edgepose.data.sampling import Order, shuffled
from edgepose.models import build
from edgepose.skeleton import Skeleton, named_skeleton
from edgepose.skeleton_file import is_nameless
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
    recipe: Recipe | None = None  # as the data completed it, where it did
    notes: tuple[str, ...] = ()  # what needs to be known about the data


def built(recipe: Recipe) -> tuple[ModelSpec, nn.Module]:
    """A recipe's network and its spec; ValueError where the recipe has the options of another family.

    Its fresh weights depend on the recipe's seed alone.
    """
    torch.manual_seed(recipe.seed)
    spec, network = build(recipe.model, skeleton=recipe.skeleton, input_size=recipe.input_size)
    family = OPTIONS[spec.codec].family
    if recipe.options.family != family:
        raise ValueError(
            f"{recipe.model} is a {family} network, but its recipe has the options of a {recipe.options.family} "
            f"network: give it options={OPTIONS[spec.codec].__name__}(...)"
        )
    return spec, network


def fitted(recipe: Recipe, sets: Sequence[People], stated: bool) -> Recipe:
    """The recipe for keypoints that no built-in skeleton has: unless a skeleton was stated, it trains the data's own.

    A recipe of COCO's keypoints, which is what none says, learns the first data set's own keypoints; other sets give
    theirs of the same name. ValueError where the sets have several of their own.
    """
    own = {people.skeleton.names: people.skeleton for people in reversed(sets) if not _is_known(people.skeleton)}
    if own and not stated and recipe.skeleton == "coco":
        if len(own) > 1:
            several = "; ".join(f"{', '.join(names[:4])} ..." for names in own)
            raise ValueError(f"the data sets have keypoints of their own that differ ({several}): state skeleton=FILE")
        recipe = dataclasses.replace(recipe, skeleton=next(iter(own.values())))
    if isinstance(recipe.skeleton, Skeleton) and is_nameless(recipe.skeleton):
        raise ValueError(
            f"the data names none of its {len(recipe.skeleton)} keypoints and does not say which are left and right, "
            "which mirrored pictures need: add their names as `keypoints` of the category, or state skeleton=FILE with "
            "keypoints, and pairs where the names do not tell them"
        )
    return recipe


def refuse_nobody(people: People, data: Sets) -> None:
    """ValueError where no keypoint of anybody is labelled."""
    if not len(people):
        files = ", ".join(str(annotations) for annotations, _, _ in data)
        raise ValueError(
            f"nobody is labelled in {files}: expected keypoints x, y, v with a v above 0 in some annotation"
        )


def of_categories(spec: ModelSpec, categories: Sequence[str]) -> ModelSpec:
    """The spec with what its network will find, as the labels call it."""
    return dataclasses.replace(spec, categories=tuple(dict.fromkeys(categories)))


def _is_known(skeleton: Skeleton) -> bool:
    return named_skeleton(skeleton.names) is not None


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
