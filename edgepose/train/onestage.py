"""The task of a one-stage network."""

from __future__ import annotations

import numpy as np

from edgepose.codec import codec_of
from edgepose.codec.anchors import Anchors
from edgepose.data.columns import NO_CHOICE, Choice
from edgepose.data.images import OnBad
from edgepose.data.listed import read_files
from edgepose.data.mosaics import read_mosaics
from edgepose.models.sasd import SASD, Staggered
from edgepose.skeleton import as_skeleton
from edgepose.train.anchor_loss import AnchorLoss
from edgepose.train.loop import Plan
from edgepose.train.options import OneStage
from edgepose.train.recipes import Recipe
from edgepose.train.task import Sets, Task, built, fitted, of_categories


def onestage_task(
    recipe: Recipe, options: OneStage, data: Sets, on_bad: OnBad = "refuse", choice: Choice = NO_CHOICE
) -> Task:
    """Mosaics of all sets, the network, and the large pass beside it unless the recipe never gets to it."""
    spec, network = built(recipe)
    check_doubled(codec_of(spec, Anchors))
    files = read_files(data, choice)
    recipe = fitted(recipe, files.sets, choice.skeleton is not None)
    spec, network = built(recipe)
    assert isinstance(network, SASD)  # by its codec
    codec = codec_of(spec, Anchors)
    samples = read_mosaics(files, as_skeleton(recipe.skeleton), codec, on_bad)
    spec = of_categories(spec, samples.people.categories)
    loss_of = AnchorLoss(
        codec, options.oks, options.limb_weight, options.align_weight, options.align_norm, options.far_weight
    )
    alone = min(options.alone, recipe.epochs)
    extra = Staggered(network, alone * Plan(samples, recipe).per_epoch) if alone < recipe.epochs else None
    return Task(
        spec, network, samples, loss_of, extra, missing=samples.missing, recipe=recipe, notes=samples.people.notes
    )


def check_doubled(codec: Anchors) -> None:
    """Both passes learn the same cells only where anchors double with the stride."""
    anchors, strides = np.array(codec.anchors), np.array(codec.strides)
    if not (np.array_equal(anchors[1:], 2 * anchors[:-1]) and np.array_equal(strides[1:], 2 * strides[:-1])):
        raise ValueError(f"anchors {codec.anchors} of strides {codec.strides} do not double from level to level")
