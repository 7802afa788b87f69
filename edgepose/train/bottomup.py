"""The task of a bottom-up network: whole pictures, the teacher it may have, and a super-net's sampling."""

from __future__ import annotations

import copy
from pathlib import Path

from torch import nn

from edgepose.codec import codec_of
from edgepose.codec.associative import Associative
from edgepose.data.columns import NO_CHOICE, Choice
from edgepose.data.images import OnBad
from edgepose.data.listed import read_files
from edgepose.data.whole import read_whole
from edgepose.models.litepose import SUPERNET, LitePose
from edgepose.skeleton import as_skeleton
from edgepose.train.litepose.space import Space
from edgepose.train.litepose.supernet import Calibration, Sampled, at_any_size, recalibrate
from edgepose.train.loop import Samples
from edgepose.train.losses import LOSSES
from edgepose.train.options import BottomUp
from edgepose.train.recipes import Recipe
from edgepose.train.task import Loss, Sets, Task, WithImages, built, fitted, of_categories


def bottomup_task(
    recipe: Recipe, options: BottomUp, data: Sets, on_bad: OnBad = "refuse", choice: Choice = NO_CHOICE
) -> Task:
    """A super-net draws another of its parts at every step, and is validated with statistics counted anew."""
    spec, network = built(recipe)
    supernet = isinstance(network, LitePose) and recipe.model == SUPERNET
    if options.sides and not supernet:
        raise ValueError(
            f"sides={options.sides} is for {SUPERNET}, {recipe.model} has no use for it: leave it out, and say "
            "input_size=256x256"
        )
    files = read_files(data, choice)
    recipe = fitted(recipe, files.sets, choice.skeleton is not None)
    spec, network = built(recipe)
    codec = codec_of(spec, Associative)
    whole = read_whole(files, as_skeleton(recipe.skeleton), spec, codec, options.mosaic, options.whole, on_bad)
    spec = of_categories(spec, whole.people.categories)
    loss_of: Loss = LOSSES[spec.codec]
    samples: Samples = whole
    if options.teacher and options.teacher_weight:
        from edgepose.train.teacher import MapTeacher, taught  # needs onnxruntime, as a teacher may

        teacher = MapTeacher(Path(options.teacher), spec, recipe.precision, recipe.threads or None)
        loss_of, samples = taught(loss_of, teacher, options.teacher_weight), WithImages(whole)
    if not isinstance(network, LitePose) or not supernet:
        return Task(spec, network, samples, loss_of, missing=whole.missing, recipe=recipe, notes=whole.people.notes)
    width, height = spec.input_size
    if width != height or not options.sides:
        raise ValueError(
            f"input_size={width}x{height}, sides={options.sides}: a super-net is trained on squares, such as 448x448, "
            "and on one side or more, such as 256,320"
        )
    space = Space(network.widths, options.sides, network.keypoints)
    calibration = Calibration(whole, recipe.seed, stage=0 if recipe.overfit else 1)

    def deployed(trained: nn.Module) -> nn.Module:
        calibrated = copy.deepcopy(trained)
        recalibrate(calibrated, calibration.views(spec, next(trained.parameters()).device))
        return calibrated

    return Task(
        spec, network, samples, at_any_size(loss_of), Sampled(space, recipe.seed), missing=whole.missing,
        deployed=deployed, recipe=recipe, notes=whole.people.notes,
    )  # fmt: skip
