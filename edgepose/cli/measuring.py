"""Commands that measure networks: how right, how fast, how large."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgepose.cli.options import Detector, Device, Json, Protocol, Runner, Size, Threads, load_estimator


def evaluate(
    data: Annotated[
        Path, typer.Option("--data", help="Labels in any format that training reads (JSON or joints.mat).")
    ],
    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="Model name or file; may be repeated.")
    ] = None,
    images: Annotated[Path | None, typer.Option("--images", help="Folder or zip of the pictures.")] = None,
    predictions: Annotated[
        Path | None, typer.Option("--predictions", help="A COCO results file instead of a model.")
    ] = None,
    boxes: Annotated[str, typer.Option("--boxes", help="gt, detector, or a COCO detection file.")] = "gt",
    protocol: Annotated[
        Protocol | None, typer.Option("--protocol", help="How AP is counted.", show_default="by the labels")
    ] = None,
    flip_test: Annotated[
        bool, typer.Option("--flip-test", help="Average with the mirrored picture, as papers do.")
    ] = False,
    scales: Annotated[
        str,
        typer.Option(
            "--scales",
            help="Multi-scale test: average over sizes of the boxes, such as 0.75,1,1.25; of a bottom-up model over "
            "sizes of the picture, such as 0.5,1,2.",
        ),
    ] = "1",
    pck: Annotated[
        Size | None,
        typer.Option("--pck", help="Also PCK@0.2 and @0.05, AUC, EPE, NME, by this size; head: MPII's PCKh."),
    ] = None,
    bootstrap: Annotated[
        int | None,
        typer.Option(
            "--bootstrap",
            min=0,
            help="95% intervals from so many draws of the pictures.",
            show_default="1000 in a report",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Folder for MODEL.md and MODEL.json: all that follows.")
    ] = None,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="In the report, also figures on spoiled pictures: 21 more runs.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File for the results of the (last) model.")] = None,
    as_json: Json = False,
    detector: Detector = "default",
    backend: Runner = None,
    threads: Threads = None,
    device: Device = "auto",
) -> None:
    """Measure models on labelled pictures, or a results file made elsewhere: AP, AR and more.

    --boxes gt gives a per-person model the labelled boxes, detector those of the whole pipeline.

    --report tells what kinds of mistakes are made and what each costs (good, jitter, inversion, swap, miss), AP by
    keypoint, by size, by people in the picture and by crowding, how sure the model may be of itself, and how sure the
    figures are.
    """
    if (predictions is None) == (not model):
        raise typer.BadParameter(
            "name --model MODEL or --predictions RESULTS.json, one of the two", param_hint="--model"
        )
    from edgepose.commands import evaluate as command

    if robustness and (report is None or predictions is not None):
        raise typer.BadParameter("it looks at pictures anew: add --model and --report", param_hint="--robustness")
    try:
        factors = command.parse_scales(scales)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--scales") from None
    measures = command.Measures(
        None if protocol is None else protocol.value, None if pck is None else pck.value, bootstrap, report, robustness
    )
    if predictions is not None:
        command.evaluate_results(predictions, data, measures, as_json)
        return
    if images is None:
        raise typer.BadParameter("the models look at pictures: add --images FOLDER_OR_ZIP", param_hint="--images")

    estimators = {}
    for name in model or []:
        estimator = load_estimator(name, detector, backend, threads)
        at_size = command.network_of_sizes(name, estimator.spec, None if backend is None else backend.value, threads)
        estimators[name] = command.prepared(estimator, flip_test, factors, at_size)
    unreadable = command.evaluate_models(estimators, data, images, measures, boxes=boxes, out=out, as_json=as_json)
    if unreadable:
        raise typer.Exit(1)


def bench(
    names: Annotated[list[str], typer.Argument(metavar="MODEL", help="Names or files, such as default.")],
    people: Annotated[
        str | None,
        typer.Option("--people", help="Counts, such as 1,4,8,30, looked at whatever the detector finds."),
    ] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=0, help="Time for each row.")] = 3.0,
    detector: Detector = "default",
    backend: Runner = None,
    threads: Threads = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Time models on this machine: the whole frame, and how much of it each stage takes.

    The picture is the photo of `edgepose demo`, scaled to 1280x720. A machine that is busy is slower: look at p95.
    """
    from edgepose.commands import bench as command

    try:
        counts = [] if people is None else command.parse_counts(people)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--people") from None
    estimators = {name: load_estimator(name, detector, backend, threads) for name in names}
    command.bench_models(
        estimators, counts, seconds=seconds, backend=None if backend is None else backend.value, as_json=as_json
    )


def compare(
    names: Annotated[list[str], typer.Argument(metavar="MODEL", help="Names or files, such as default.")],
    data: Annotated[Path, typer.Option("--data", help="Labels in any format that training reads.")],
    images: Annotated[Path, typer.Option("--images", help="Folder or zip of the pictures.")],
    boxes: Annotated[
        str, typer.Option("--boxes", help="detector: all of it is scored and timed; gt or a file: the pose network.")
    ] = "detector",
    detector: Detector = "default",
    people: Annotated[
        int | None, typer.Option("--people", min=0, help="Looked at per picture.", show_default="as labelled, the mean")
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="In each, every model is timed once.")] = 7,
    seconds: Annotated[float, typer.Option("--seconds", min=0, help="Of each model in each round.")] = 0.5,
    watts: Annotated[
        float | None,
        typer.Option("--watts", help="The machine's power under load.", show_default="measured if it can be"),
    ] = None,
    memory: Annotated[
        bool, typer.Option("--memory/--no-memory", help="Peak memory, in a process for each model.")
    ] = True,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for compare.md, .csv, .json, .svg and .png.")
    ] = None,
    backend: Runner = None,
    threads: Threads = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure accuracy and speed of many models on this machine: a table, and a plot of AP against time.

    Files of others take part with a spec beside them (model.onnx, model.json). The models take turns, so that what else
    the machine does hits all alike. One that fails is named with its reason, the others go on, and the status is 1.
    """
    from edgepose.commands import compare as command
    from edgepose.commands.screen import Screen

    if watts is not None and not watts > 0:
        raise typer.BadParameter(f"{watts} is no power: expected a positive number", param_hint="--watts")
    plan = command.Plan(
        data,
        images,
        boxes,
        detector,
        people,
        rounds,
        seconds,
        watts,
        memory,
        None if backend is None else backend.value,
        threads,
    )
    with Screen() as screen:
        rows = command.compare(names, lambda name: load_estimator(name, detector, backend, threads), plan, screen)
        for row in rows:
            if "error" in row:
                screen.complain(f"error: {row['model']}: {row['error']}")
    command.show(rows, as_json)
    if out is not None:
        command.write(out, rows, plan)
    if any("error" in row or row["unreadable"] for row in rows):
        raise typer.Exit(1)


def macs(
    names: Annotated[list[str], typer.Argument(metavar="NETWORK", help="Such as litepose-xs, efficienthrnet-h-4.")],
    skeleton: Annotated[str, typer.Option("--skeleton", help="What it finds.")] = "coco",
    size: Annotated[str | None, typer.Option("--size", help="Input, such as 448x448; default: published.")] = None,
    as_json: Json = False,
) -> None:
    """Parameters and multiply-accumulates of networks, true and as HRNet's counter has them. Needs the train extra."""
    sides = None
    if size is not None:
        width, _, height = size.lower().partition("x")
        if not (width.isdecimal() and height.isdecimal()):
            raise typer.BadParameter(f"{size!r}: expected width x height, such as 448x448", param_hint="--size")
        sides = int(width), int(height)
    from edgepose.skeleton import SKELETONS

    if skeleton not in SKELETONS:
        hint = f"{skeleton!r} is not one of {', '.join(SKELETONS)}"
        raise typer.BadParameter(hint, param_hint="--skeleton")
    from edgepose.commands.macs import show_macs

    show_macs(names, skeleton, sides, as_json)
