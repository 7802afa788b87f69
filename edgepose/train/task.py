"""What a recipe trains on and minimises: data, network, loss and the auxiliary head, put together once.

`prepare` is the only place that knows which family needs what; the loop knows none of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgepose.codec import codec_of
from edgepose.codec.simcc import SimCC
from edgepose.data.crops import Crops
from edgepose.data.people import read_coco, union
from edgepose.models import build
from edgepose.models.rtmpose import RTMPose
from edgepose.skeleton import SKELETONS
from edgepose.spec import ModelSpec
from edgepose.train.auxiliary import AuxiliaryTargets, WithHeatmaps, auxiliary_loss
from edgepose.train.losses import LOSSES
from edgepose.train.onestage import onestage_task
from edgepose.train.recipes import Recipe

Loss = Callable[[tuple[Tensor, ...], dict[str, Any]], dict[str, Tensor]]


@dataclass(frozen=True)
class Task:
    """Everything `edgepose.train.loop.train` needs besides the recipe."""

    spec: ModelSpec
    network: nn.Module
    samples: Any
    loss_of: Loss
    extra: nn.Module | None = None


def prepare(recipe: Recipe, data: Sequence[tuple[Path, Path, int]]) -> Task:
    """Build a recipe's network and data.

    data: (COCO-style annotations, folder or zip of pictures, how often the set is listed) per data set; several are
    joined by keypoint name.
    """
    _refuse_unused(recipe)
    torch.manual_seed(recipe.seed)
    if recipe.model.startswith("rtmdet"):
        from edgepose.train.detector import detector_task  # needs onnxruntime for a teacher, which poses do without

        return Task(*detector_task(recipe, data))
    if recipe.model.startswith("sasd"):
        return Task(*onestage_task(recipe, data))
    spec, network = build(recipe.model, skeleton=recipe.skeleton, input_size=recipe.input_size)
    sets = [read_coco(annotations, pictures) for annotations, pictures, _ in data]
    people = union(sets, SKELETONS[recipe.skeleton], [repeat for _, _, repeat in data])
    codec = codec_of(spec)
    if isinstance(codec, SimCC):
        x, y = codec.sigmas
        codec = dataclasses.replace(codec, sigma=(recipe.blur * x, recipe.blur * y))
    if isinstance(network, RTMPose) and (recipe.heatmap_weight or recipe.inner_weight):
        samples = Crops(people, spec, AuxiliaryTargets.of(spec, codec), recipe.strong, recipe.mild)
        loss_of = auxiliary_loss(recipe.heatmap_weight, recipe.inner_weight)
        return Task(spec, network, samples, loss_of, WithHeatmaps(network))
    return Task(spec, network, Crops(people, spec, codec, recipe.strong, recipe.mild), LOSSES[spec.codec])


# Settings that only some models read, with the value that means nothing.
_READ_BY = {"blur": ("rtmpose-", 1.0), "heatmap_weight": ("rtmpose-", 0.0), "inner_weight": ("rtmpose-", 0.0),
            "teacher": ("rtmdet-", ""), "views": ("rtmdet-", None), "alone": ("sasd-", 0), "oks": ("sasd-", "code"),
            "limb_weight": ("sasd-", 0.0), "align_weight": ("sasd-", 0.0), "align_norm": ("sasd-", "l2")}  # fmt: skip


def _refuse_unused(recipe: Recipe) -> None:
    """A setting that the model would ignore is a mistake of whoever set it."""
    for name, (family, nothing) in _READ_BY.items():
        if getattr(recipe, name) != nothing and not recipe.model.startswith(family):
            value = getattr(recipe, name)
            raise ValueError(f"{name}={value} is for {family}* models, {recipe.model} has no use for it: leave it out")
