"""Commands that make networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgepose.cli.errors import UsageError
from edgepose.cli.options import Json, Target, Threads


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

    teacher=FILE  learn from another network's outputs too (teacher_weight=1), a checkpoint or an ONNX file with its
    spec inside or beside it (FILE.json): a top-down network from the maps, or else the keypoints, of any other; a
    detector from an ONNX file; a bottom-up network from one with both its outputs

    Annotations may be gzipped (A.json.gz). Keypoints that a network labelled count as much as it was sure: `kp_scores`
    of an annotation, read for top-down networks

    out=FOLDER  checkpoint, log.jsonl (runs/RECIPE if not said); a run found there goes on. It is saved every 300
    seconds (save_every=), and before Ctrl-C or SIGTERM stop it

    memory=GB  for decoded pictures, of all sets and processes together; a quarter of what is free if not said

    device=cpu|cuda, tensorboard=1, and every field of the recipe: epochs=10 lr=1e-3 input_size=192x256
    strong.rotation=40 strong.scale=0.7,1.3 ...; what only another family of networks has is refused

    Under `torchrun` the processes share every batch.
    """
    from edgepose.commands.train import planned
    from edgepose.commands.train import train as run

    try:
        chosen, rest = planned(recipe, settings or [])
    except ValueError as error:
        raise UsageError(str(error)) from None
    run(chosen, rest, as_json)


def search(
    checkpoint: Annotated[Path, typer.Option("--checkpoint", help="Of `edgepose train litepose-supernet`.")],
    macs: Annotated[str, typer.Option("--macs", help="Most multiply-accumulates of one picture, such as 886M, 1.2G.")],
    data: Annotated[
        str, typer.Option("--data", metavar="A.json:PICTURES", help="Training pictures, to count batch statistics on.")
    ],
    val: Annotated[str, typer.Option("--val", metavar="B.json:PICTURES", help="Labelled pictures to compare on.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder; a search found there goes on.")] = Path(
        "runs/search"
    ),
    population: Annotated[int, typer.Option("--population", help="Networks in the first generation, children.")] = 40,
    generations: Annotated[int, typer.Option("--generations", help="After the first.")] = 40,
    parents: Annotated[float, typer.Option("--parents", help="Share that has children: the best.")] = 0.25,
    mutants: Annotated[float, typer.Option("--mutants", help="Share of the children with one parent.")] = 0.5,
    change: Annotated[float, typer.Option("--change", help="Probability that a gene of those is drawn again.")] = 0.1,
    calibrate: Annotated[int, typer.Option("--calibrate", help="Training views to count batch statistics on.")] = 256,
    sides: Annotated[
        str | None, typer.Option("--sides", help="Of the input, such as 256,320.", show_default="as it was trained")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed finds the same.")] = 0,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Find the best part of a super-net under a budget, by evolution, and write it as a checkpoint of its own.

    Writes OUT/search.json (every generation, the best network for each cost), OUT/MODEL.safetensors, which `edgepose
    export` and `edgepose train MODEL init=` take, and OUT/scores.jsonl. The budget is of true multiply-accumulates
    (`edgepose macs`); the published search counted deconvolutions four times.
    """
    from edgepose.commands import search as command
    from edgepose.commands.train import parse

    try:
        budget = command.parse_macs(macs)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--macs") from None
    if device.partition(":")[0] not in ("cpu", "cuda"):
        raise typer.BadParameter(f"{device!r} is neither cpu nor cuda", param_hint="--device")
    given = [] if sides is None else sides.split(",")
    if not all(side.isdecimal() for side in given):
        raise typer.BadParameter(f"{sides!r}: expected sides such as 256,320", param_hint="--sides")
    from edgepose.train.litepose.evolution import Evolution

    sets, _ = parse("search", [f"data={data}", f"val={val}", f"out={out}", f"device={device}"])
    evolution = Evolution(population, generations, parents, mutants, change, seed)
    plan = command.Plan(checkpoint, sets, budget, evolution, calibrate, tuple(int(side) for side in given))
    command.search(plan, threads, as_json)


def export(
    checkpoint: Annotated[
        Path, typer.Argument(help="Checkpoint of `edgepose train`, such as runs/NAME/last.safetensors.")
    ],
    to: Annotated[Target, typer.Option("--to", help="Format.")] = Target.onnx,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="File to write; NAME.onnx, .xml or .ncnn.param beside the checkpoint if not said."
        ),
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Store the weights as float16: half the size, same speed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a trained network as a file that `edgepose.load` runs, after comparing its results with torch's.

    For OpenVINO these are two, NAME.xml and NAME.bin (the weights), for ncnn three, NAME.ncnn.param, .bin (the
    weights) and .json (the spec); they stay together.
    """
    from edgepose.commands.train import export as run

    run(checkpoint, to.value, out, half, as_json)
