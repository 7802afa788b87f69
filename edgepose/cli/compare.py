"""`edgepose compare`: accuracy and speed of many models on this machine, as a table and a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgepose.cli.evaluate import tell_notes, until_stopped
from edgepose.cli.options import (
    Category,
    Detector,
    Device,
    Json,
    Runner,
    SkeletonFile,
    Threads,
    choice_of,
    load_estimator,
)
from edgepose.cli.outputs import interrupted
from edgepose.cli.screen import Screen, show_rows


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
    skeleton: SkeletonFile = None,
    category: Category = None,
    as_json: Json = False,
) -> None:
    """Measure accuracy and speed of many models on this machine: a table, and a plot of AP against time.

    Files of others take part with a spec beside them (model.onnx, model.json). The models take turns, so that what else
    the machine does hits all alike. One that fails is named with its reason, the others go on, and the status is 1.
    Ctrl-C keeps what is finished: models that were timed have their rows, the others their accuracy.
    """
    if watts is not None and not watts > 0:
        raise typer.BadParameter(f"{watts} is no power: expected a positive number", param_hint="--watts")
    from edgepose.evaluate import compare as race
    from edgepose.media.files import refuse_sources

    if out is not None:
        files = [out / f"compare{kind}" for kind in (".json", ".md", ".csv", ".svg", ".png")]
        refuse_sources(files, [data, boxes, images, detector, *names])
    plan = race.Plan(
        data, images, boxes, detector, people, rounds, seconds, watts, memory,
        backend, threads, choice_of(skeleton, category),
    )  # fmt: skip
    stopped = False
    with Screen() as screen, interrupted() as stop:
        try:
            rows = race.compare(
                names,
                lambda name: load_estimator(name, detector, backend, threads, boxed=boxes != "detector"),
                plan,
                until_stopped(screen.stage, stop),
            )
        except race.Interrupted as cut:
            rows, stopped = cut.rows, True
        told: set[str] = set()
        for row in rows:
            tell_notes(row, screen, told)
            if "error" in row:
                screen.complain(f"error: {row['model']}: {row['error']}")
    show_rows(rows, as_json, race.cells)
    if out is not None and (not stopped or any("AP" in row for row in rows)):
        race.write(out, rows, plan)
    if stopped:
        raise KeyboardInterrupt
    if any("error" in row or row["unreadable"] for row in rows):
        raise typer.Exit(1)
