"""`edgepose train`: a recipe and its words to a checkpoint, with a bar or lines of progress."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgepose.cli.errors import UsageError
from edgepose.cli.options import Json
from edgepose.cli.screen import Screen, Task, show

if TYPE_CHECKING:
    from edgepose.train.loop import Step
    from edgepose.train.progress import Progress
    from edgepose.train.recipes import Recipe


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="Name of a recipe (a wrong one lists them all), its JSON file, or a network that was searched."
        ),
    ],
    settings: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="See above.")] = None,
    as_json: Json = False,
) -> None:
    """Train a network, or go on with a run that was stopped.

    data=ANNOTATIONS:PICTURES[,more]  labels (see `edgepose data check`) and a folder or zip; several sets join by
    keypoint name

    data='A.json:PICTURES*4,B.json:PICTURES'  the same with the first set listed 4 times, read and decoded once; with
    sampling=balanced these are weights: every set gets its share of each epoch, whatever its size

    data='coco=A.json:PICTURES,aic=B.json:PICTURES'  the sets of a recipe with a mix, or of mix=aic-coco|body7|body8

    on_bad=refuse|skip  pictures that are missing or cannot be read; what is skipped is named and in the log

    val=ANNOTATIONS.json:PICTURES  validate with the deployed estimator: poses in true boxes, or a detector's boxes

    teacher=FILE  learn from another network too (teacher_weight=1), a checkpoint or an ONNX file with its spec inside
    or beside it (FILE.json): a top-down network from the heat-maps, the SimCC logits, or else the keypoints, of any
    other (teacher_gives=auto|outputs|keypoints), and from features with feature_weight=; a detector from maps, and
    inner ones with hint_weight=; a bottom-up network from maps. label_weight= of the labels beside it;
    teacher_falls=1: its share falls to nothing over the run

    skeleton=NAME|FILE.json  what to learn, by default the recipe's keypoints, or the labels' own where no built-in
    skeleton has them; a file also names those of labels that do not (docs/api.md). category=NAME of labels with several

    init=CHECKPOINT|NAME  start from other weights, or from those in the package (default-pose, default-detector); what
    has another shape, such as the head for other keypoints, starts anew

    Annotations may be gzipped (A.json.gz). Keypoints that a network labelled count as much as it was sure: `kp_scores`
    of an annotation, read for top-down networks

    out=FOLDER  checkpoint, log.jsonl (runs/RECIPE if not said); a run found there goes on. It is saved every 300
    seconds (save_every=), and before Ctrl-C or SIGTERM stop it

    batch=N lr=RATE  of a recipe's own the batch is halved until an epoch has 20 steps (down to 16) and lr follows, said
    in the first line; not where one of them is stated. Below 1,000 steps in all the run says what to set

    epochs=N  may be raised, also of a finished run, which then goes on at the learning rates of the longer one

    memory=GB  for decoded pictures, of all sets and processes together; a quarter of what is free if not said

    device=cpu|cuda, tensorboard=1, and every field of the recipe: epochs=10 lr=1e-3 input_size=192x256
    strong.rotation=40 strong.scale=0.7,1.3 ...; what only another family of networks has is refused

    Under `torchrun` the processes share every batch.
    """
    from edgepose.train.families import recipe_of
    from edgepose.train.progress import Progress
    from edgepose.train.run import train_model
    from edgepose.train.words import planned

    recipe_of(recipe)  # an unknown name is no wrong use: status 1, as of an unknown model
    try:
        chosen, own = planned(recipe, settings or [])
    except ValueError as error:
        raise UsageError(str(error)) from None
    try:
        with Screen() as screen:
            lines = Progress(chosen.epochs, screen.complain)
            done = train_model(chosen, own, report=reporter(screen, lines), record=lines.record, say=screen.complain)
    except InterruptedError:
        raise typer.Exit(128 + signal.SIGTERM) from None
    if os.environ.get("RANK", "0") == "0":  # of torchrun's processes the first one tells
        sentence = f"wrote {done.checkpoint}; next: {_next_step(chosen, done.checkpoint)}"
        show({"checkpoint": str(done.checkpoint), **done.row}, sentence, as_json)


def reporter(screen: Screen, lines: Progress) -> Callable[[Step], None]:
    """What shows every step: a bar with the rest of the time, or `lines` where stderr is no terminal."""
    if not screen.shows_bars:
        return lines.report
    bars: list[Task] = []

    def report(step: Step) -> None:
        if not bars:
            bars.append(screen.task("training", step.total))
        losses = " ".join(f"{name} {value:.4g}" for name, value in step.losses.items())
        bars[0].update(step.iteration, f"{losses}  {step.images_per_second:.0f} images/s", lines.epoch(step))

    return report


def _next_step(recipe: Recipe, checkpoint: Path) -> str:
    """What a trained network is for: a classifier starts the pose network of its size."""
    from edgepose.train.options import Classifier

    if isinstance(recipe.options, Classifier):
        return f"edgepose train {recipe.model.replace('efficientnet-b', 'efficienthrnet-h')} init={checkpoint}"
    return f"edgepose export {checkpoint} --to onnx"
