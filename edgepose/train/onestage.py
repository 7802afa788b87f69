"""What a one-stage network's recipe trains on and minimises."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgepose.codec import codec_of
from edgepose.codec.anchors import Anchors
from edgepose.data.mosaics import Mosaics, read_mosaics
from edgepose.data.pictures import OnBad
from edgepose.models import build
from edgepose.models.sasd import SASD, Staggered
from edgepose.skeleton import SKELETONS
from edgepose.spec import ModelSpec
from edgepose.train.anchor_loss import AnchorLoss
from edgepose.train.loop import Plan
from edgepose.train.recipes import Recipe


def onestage_task(
    recipe: Recipe, data: Sequence[tuple[Path, Path, int]], on_bad: OnBad = "refuse"
) -> tuple[ModelSpec, SASD, Mosaics, AnchorLoss, Staggered | None]:
    """Spec, network, samples, loss, and what learns beside the network; None where the recipe never gets to SASD.

    data: (annotations, pictures, how often the set is listed) per data set.
    """
    spec, network = build(recipe.model, skeleton=recipe.skeleton, input_size=recipe.input_size)
    if not isinstance(network, SASD):
        raise ValueError(f"{recipe.model} is no one-stage network")
    codec = codec_of(spec, Anchors)
    check_doubled(codec)
    samples = read_mosaics(data, SKELETONS[recipe.skeleton], codec, on_bad)
    loss_of = AnchorLoss(
        codec, recipe.oks, recipe.limb_weight, recipe.align_weight, recipe.align_norm, recipe.far_weight
    )
    alone = min(recipe.alone, recipe.epochs)
    extra = Staggered(network, alone * Plan(samples, recipe).per_epoch) if alone < recipe.epochs else None
    return spec, network, samples, loss_of, extra


def check_doubled(codec: Anchors) -> None:
    """Both passes learn the same cells only where anchors double with the stride."""
    anchors, strides = np.array(codec.anchors), np.array(codec.strides)
    if not (np.array_equal(anchors[1:], 2 * anchors[:-1]) and np.array_equal(strides[1:], 2 * strides[:-1])):
        raise ValueError(f"anchors {codec.anchors} of strides {codec.strides} do not double from level to level")
