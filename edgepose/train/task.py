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
from edgepose.data.people import union
from edgepose.data.read import read
from edgepose.data.sampling import Balanced, Order, shuffled
from edgepose.data.whole import read_whole
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
    order: Order = shuffled
    missing: tuple[str, ...] = ()  # pictures that were left out before the run


def prepare(recipe: Recipe, data: Sequence[tuple[Path, Path, int]], on_bad: str = "refuse") -> Task:
    """Build a recipe's network and data.

    data: (annotations in any known format, folder or zip of pictures, how often the set is listed, or its weight
        where the recipe balances them) per data set; several are joined by keypoint name.
    on_bad: "refuse" or "skip" pictures that are missing or cannot be read.
    """
    _refuse_unused(recipe)
    torch.manual_seed(recipe.seed)
    if recipe.model.startswith("rtmdet"):
        from edgepose.train.detector import detector_task  # needs onnxruntime for a teacher, which poses do without

        return Task(*detector_task(recipe, data, on_bad))
    if recipe.model.startswith("sasd"):
        task = Task(*onestage_task(recipe, data, on_bad))
        return dataclasses.replace(task, missing=task.samples.missing)
    spec, network = build(recipe.model, skeleton=recipe.skeleton, input_size=recipe.input_size)
    if spec.codec == "associative":
        whole = read_whole(data, SKELETONS[recipe.skeleton], spec, codec_of(spec), recipe.mosaic, on_bad)
        return Task(spec, network, whole, LOSSES[spec.codec], missing=whole.missing)
    sets = [read(annotations, pictures) for annotations, pictures, _ in data]
    times = [repeat for _, _, repeat in data]
    balanced = recipe.sampling == "balanced"
    people, missing = union(sets, SKELETONS[recipe.skeleton], None if balanced else times).held(on_bad)
    order = Balanced(people.sets, tuple(times)) if balanced else shuffled
    codec = codec_of(spec)
    if isinstance(codec, SimCC):
        x, y = codec.sigmas
        codec = dataclasses.replace(codec, sigma=(recipe.blur * x, recipe.blur * y))
    if isinstance(network, RTMPose) and (recipe.heatmap_weight or recipe.inner_weight):
        samples = Crops(people, spec, AuxiliaryTargets.of(spec, codec), recipe.strong, recipe.mild, on_bad)
        loss_of = auxiliary_loss(recipe.heatmap_weight, recipe.inner_weight)
        return Task(spec, network, samples, loss_of, WithHeatmaps(network), order, tuple(missing))
    samples = Crops(people, spec, codec, recipe.strong, recipe.mild, on_bad)
    return Task(spec, network, samples, LOSSES[spec.codec], None, order, tuple(missing))


_WHOLE, _SASD = ("litepose-", "efficienthrnet-"), ("sasd-",)

# Settings that only some models read, with the value that means nothing.
_READ_BY = {"blur": (("rtmpose-",), 1.0), "heatmap_weight": (("rtmpose-",), 0.0),
            "inner_weight": (("rtmpose-",), 0.0), "teacher": (("rtmdet-",), ""), "views": (("rtmdet-",), None),
            "mosaic": (_WHOLE, 0.0), "alone": (_SASD, 0), "oks": (_SASD, "code"),
            "limb_weight": (_SASD, 0.0), "align_weight": (_SASD, 0.0), "align_norm": (_SASD, "l2")}  # fmt: skip
# And those that only networks which look at one person read.
_OF_CROPS = {"sampling": "all", "mix": ""}


def _refuse_unused(recipe: Recipe) -> None:
    """A setting that the model would ignore is a mistake of whoever set it."""
    for name, (families, nothing) in _READ_BY.items():
        if getattr(recipe, name) != nothing and not recipe.model.startswith(families):
            value = getattr(recipe, name)
            readers = " and ".join(f"{family}*" for family in families)
            raise ValueError(f"{name}={value} is for {readers} models, {recipe.model} has no use for it: leave it out")
    for name, nothing in _OF_CROPS.items():
        if getattr(recipe, name) != nothing and recipe.model.startswith(("rtmdet-", *_WHOLE, *_SASD)):
            value = getattr(recipe, name)
            raise ValueError(
                f"{name}={value} is for models of one person's view, {recipe.model} has no use for it: leave it out"
            )
