"""What a recipe trains on and minimises: data, network, loss and the auxiliary head, put together once.

`prepare` is the only place that knows which family needs what; the loop knows none of it.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgepose.codec import codec_of
from edgepose.codec.associative import Associative
from edgepose.codec.simcc import SimCC
from edgepose.data.crops import Crops
from edgepose.data.people import union
from edgepose.data.pictures import OnBad
from edgepose.data.read import read
from edgepose.data.sampling import Balanced, Order, shuffled
from edgepose.data.whole import read_whole
from edgepose.models import build
from edgepose.models.litepose import SUPERNET, Architecture, LitePose
from edgepose.models.rtmpose import RTMPose
from edgepose.runtime.names import meant
from edgepose.skeleton import SKELETONS
from edgepose.spec import ModelSpec
from edgepose.train.auxiliary import AuxiliaryTargets, WithHeatmaps, auxiliary_loss
from edgepose.train.classifier import classifier_task
from edgepose.train.loop import Samples
from edgepose.train.losses import LOSSES
from edgepose.train.onestage import onestage_task
from edgepose.train.recipes import RECIPES, Recipe
from edgepose.train.space import Space
from edgepose.train.supernet import Calibration, Sampled, at_any_size, recalibrate

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
    # What of the network is validated; by default the network as it is.
    deployed: Callable[[nn.Module], nn.Module] = lambda network: network
    missing: tuple[str, ...] = ()  # pictures that were left out before the run


def recipe_of(name: str) -> Recipe:
    """A recipe by its name; that of a network which a search found is LitePose's."""
    if name not in RECIPES and Architecture.named(name) is None:
        raise ValueError(f"unknown recipe {name!r}{meant(name, RECIPES)}, expected one of {', '.join(RECIPES)}")
    return RECIPES[name] if name in RECIPES else dataclasses.replace(RECIPES["litepose-xs"], model=name)


def prepare(recipe: Recipe, data: Sequence[tuple[Path, Path, int]], on_bad: OnBad = "refuse") -> Task:
    """Build a recipe's network and data.

    data: (annotations in any known format, folder or zip of pictures, how often the set is listed, or its weight
        where the recipe balances them) per data set; several are joined by keypoint name.
    on_bad: "refuse" or "skip" pictures that are missing or cannot be read.
    """
    _refuse_unused(recipe)
    if on_bad != "refuse" and recipe.model.startswith(_CLASSES):
        raise ValueError(f"on_bad={on_bad}: {recipe.model} can only refuse pictures that are missing or broken")
    torch.manual_seed(recipe.seed)
    if recipe.model.startswith("rtmdet"):
        from edgepose.train.detector import detector_task  # needs onnxruntime for a teacher, which poses do without

        return Task(*detector_task(recipe, data, on_bad))
    if recipe.model.startswith("sasd"):
        task = Task(*onestage_task(recipe, data, on_bad))
        return dataclasses.replace(task, missing=task.samples.missing)
    if recipe.model.startswith(_CLASSES):
        return Task(*classifier_task(recipe, data))
    spec, network = build(recipe.model, skeleton=recipe.skeleton, input_size=recipe.input_size)
    codec = codec_of(spec)
    if isinstance(codec, Associative):
        return bottom_up_task(recipe, spec, network, data, on_bad)
    sets = [read(annotations, pictures) for annotations, pictures, _ in data]
    times = [repeat for _, _, repeat in data]
    balanced = recipe.sampling == "balanced"
    people, missing = union(sets, SKELETONS[recipe.skeleton], None if balanced else times).held(on_bad)
    order = Balanced(people.sets, tuple(times)) if balanced else shuffled
    if isinstance(codec, SimCC):
        x, y = codec.sigmas
        codec = dataclasses.replace(codec, sigma=(recipe.blur * x, recipe.blur * y))
    encoder: Any = codec
    loss_of: Loss = LOSSES[spec.codec]
    extra = None
    if isinstance(network, RTMPose) and isinstance(codec, SimCC) and (recipe.heatmap_weight or recipe.inner_weight):
        encoder, extra = AuxiliaryTargets.of(spec, codec), WithHeatmaps(network)
        loss_of = auxiliary_loss(recipe.heatmap_weight, recipe.inner_weight)
    samples: Samples = Crops(people, spec, encoder, recipe.strong, recipe.mild, on_bad)
    if recipe.teacher and recipe.teacher_weight:
        from edgepose.train.crop_teacher import CropTeacher, taught_crops  # needs onnxruntime, as a teacher may
        from edgepose.train.detector import WithImages

        teacher = CropTeacher(Path(recipe.teacher), spec, recipe.precision, recipe.threads or None)
        loss_of, samples = taught_crops(loss_of, teacher, spec.codec, recipe.teacher_weight), WithImages(samples)
    return Task(spec, network, samples, loss_of, extra, order, missing=tuple(missing))


def bottom_up_task(
    recipe: Recipe,
    spec: ModelSpec,
    network: nn.Module,
    data: Sequence[tuple[Path, Path, int]],
    on_bad: OnBad = "refuse",
) -> Task:
    """A network of whole pictures, the teacher it may have, and a super-net's sampling."""
    whole = read_whole(
        data, SKELETONS[recipe.skeleton], spec, codec_of(spec, Associative), recipe.mosaic, recipe.whole, on_bad
    )
    loss_of: Loss = LOSSES[spec.codec]
    samples: Samples = whole
    if recipe.teacher and recipe.teacher_weight:
        from edgepose.train.detector import WithImages  # needs onnxruntime, as a teacher may
        from edgepose.train.teacher import MapTeacher, taught

        teacher = MapTeacher(Path(recipe.teacher), spec, recipe.precision, recipe.threads or None)
        loss_of, samples = taught(loss_of, teacher, recipe.teacher_weight), WithImages(whole)
    if not isinstance(network, LitePose) or recipe.model != SUPERNET:
        return Task(spec, network, samples, loss_of, missing=whole.missing)
    width, height = spec.input_size
    if width != height or not recipe.sides:
        raise ValueError(
            f"input_size={width}x{height}, sides={recipe.sides}: a super-net is trained on squares, such as 448x448, "
            "and on one side or more, such as 256,320"
        )
    space = Space(network.widths, recipe.sides, network.keypoints)

    calibration = Calibration(whole, recipe.seed, stage=0 if recipe.overfit else 1)

    def deployed(trained: nn.Module) -> nn.Module:
        calibrated = copy.deepcopy(trained)
        recalibrate(calibrated, calibration.views(spec, next(trained.parameters()).device))
        return calibrated

    return Task(
        spec, network, samples, at_any_size(loss_of), Sampled(space, recipe.seed), missing=whole.missing,
        deployed=deployed,
    )  # fmt: skip


_WHOLE, _SASD, _CLASSES = ("litepose-", "efficienthrnet-"), ("sasd-",), ("efficientnet-",)

# Settings that only some models read, with the value that means nothing.
_READ_BY = {"blur": (("rtmpose-",), 1.0), "heatmap_weight": (("rtmpose-",), 0.0),
            "inner_weight": (("rtmpose-",), 0.0), "teacher": (("rtmpose-", "cspnext-", "rtmdet-", *_WHOLE), ""),
            "frozen_stages": (("rtmpose-", "cspnext-", "rtmdet-"), 0),
            "hint_weight": (("rtmdet-",), 0.0), "hint_depth": (("rtmdet-",), 0), "views": (("rtmdet-",), None),
            "sides": ((SUPERNET,), ()),
            "mosaic": (_WHOLE, 0.0), "alone": (_SASD, 0), "oks": (_SASD, "code"),
            "limb_weight": (_SASD, 0.0), "align_weight": (_SASD, 0.0), "align_norm": (_SASD, "l2"),
            "far_weight": (_SASD, 0.0)}  # fmt: skip
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
        if getattr(recipe, name) != nothing and recipe.model.startswith(("rtmdet-", *_WHOLE, *_SASD, *_CLASSES)):
            value = getattr(recipe, name)
            raise ValueError(
                f"{name}={value} is for models of one person's view, {recipe.model} has no use for it: leave it out"
            )
