"""The task of a network of one person's crop."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import nn

from edgepose.codec import codec_of
from edgepose.codec.simcc import SimCC
from edgepose.data.columns import NO_CHOICE, Choice
from edgepose.data.crops import Crops
from edgepose.data.images import OnBad
from edgepose.data.people import union
from edgepose.data.read import read
from edgepose.data.sampling import Balanced, shuffled
from edgepose.models.rtmpose import RTMPose
from edgepose.skeleton import as_skeleton
from edgepose.train.auxiliary import AuxiliaryTargets, WithHeatmaps, auxiliary_loss
from edgepose.train.loop import Samples
from edgepose.train.losses import pose_loss
from edgepose.train.options import TopDown
from edgepose.train.recipes import Recipe
from edgepose.train.start import PARTS
from edgepose.train.task import (
    Loss,
    Sets,
    Task,
    WithImages,
    built,
    fitted,
    has_teacher,
    of_categories,
    refuse_nobody,
)


def topdown_task(
    recipe: Recipe, options: TopDown, data: Sets, on_bad: OnBad = "refuse", choice: Choice = NO_CHOICE
) -> Task:
    """People of all sets joined by keypoint name, the network, and what may learn beside it.

    Where the recipe balances its sets, the number of each is its weight.
    """
    spec, network = built(recipe)
    _refuse_unused(
        recipe.model,
        options,
        simcc=isinstance(codec_of(spec), SimCC),
        rtmpose=isinstance(network, RTMPose),
        staged=hasattr(network, "backbone") or options.frozen_stages == len(PARTS),  # all of any backbone
    )
    learns = has_teacher(options)
    if options.fresh_head and not recipe.init:
        raise ValueError("fresh_head=true needs init=CHECKPOINT, whose backbone is taken")
    sets = [read(annotations, pictures, choice=choice) for annotations, pictures, _ in data]
    recipe = fitted(recipe, sets, choice.skeleton is not None)
    spec, network = built(recipe)
    times = [repeat for _, _, repeat in data]
    balanced = options.sampling == "balanced"
    people, missing = union(sets, as_skeleton(recipe.skeleton), None if balanced else times).held(on_bad)
    refuse_nobody(people, data)
    spec = of_categories(spec, people.categories)
    codec = codec_of(spec)
    order = Balanced(people.sets, tuple(times)) if balanced else shuffled
    if isinstance(codec, SimCC):
        x, y = codec.sigmas
        codec = dataclasses.replace(codec, sigma=(options.blur * x, options.blur * y))
    encoder: Any = codec
    loss_of: Loss = pose_loss(codec, spec.codec)
    extra: nn.Module | None = None
    if isinstance(network, RTMPose) and isinstance(codec, SimCC) and (options.heatmap_weight or options.inner_weight):
        encoder, extra = AuxiliaryTargets.of(spec, codec), WithHeatmaps(network)
        loss_of = auxiliary_loss(options.heatmap_weight, options.inner_weight)
    samples: Samples = Crops(people, spec, encoder, options.strong, options.mild, on_bad)
    if learns:
        from edgepose.train.distil.crops import taught_crops  # needs onnxruntime, as a teacher may

        loss_of, extra = taught_crops(recipe, options, spec, network, loss_of, extra)
        samples = WithImages.of(samples, recipe)
    return Task(
        spec, network, samples, loss_of, extra, order, missing=tuple(missing), recipe=recipe, notes=people.notes
    )


def _refuse_unused(model: str, options: TopDown, *, simcc: bool, rtmpose: bool, staged: bool) -> None:
    """A setting that the network would ignore is a mistake of whoever set it."""
    for name, nothing, used, whose in (
        ("frozen_stages", 0, staged, "a CSPNeXt backbone"),
        ("blur", 1.0, simcc, "SimCC"),
        ("heatmap_weight", 0.0, rtmpose, "RTMPose's head"),
        ("inner_weight", 0.0, rtmpose, "RTMPose's head"),
    ):
        if getattr(options, name) != nothing and not used:
            value = getattr(options, name)
            raise ValueError(f"{name}={value} is for networks with {whose}, {model} has no use for it: leave it out")
