"""`edgepose bench`: milliseconds per frame and per stage, on this machine, now."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgepose.cli.options import Detector, Device, Json, Quickest, Threads, load_estimator
from edgepose.cli.screen import Screen, show_json, show_table

if TYPE_CHECKING:
    from edgepose.runtime.load import Ran


def bench(
    names: Annotated[list[str], typer.Argument(metavar="MODEL", help="Names or files, such as default.")],
    people: Annotated[
        str | None,
        typer.Option("--people", help="Counts, such as 1,4,8,30, looked at whatever the detector finds."),
    ] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=0, help="Time for each row.")] = 3.0,
    detector: Detector = "default",
    backend: Quickest = "auto",
    threads: Threads = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Time models on this machine: the whole frame, and how much of it each stage takes.

    The picture is the photo of `edgepose demo`, scaled to 1280x720. A machine that is busy is slower: look at p95. What
    runs each network, and why it was chosen, stands below the table.
    """
    try:
        counts = [] if people is None else _counts(people)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--people") from None
    estimators = {name: load_estimator(name, detector, backend, threads) for name in names}
    from edgepose.media.example import scaled_example
    from edgepose.runtime.bench import bench as timed
    from edgepose.runtime.load import ran

    image = scaled_example((1280, 720))
    rows: list[dict[str, Any]] = []
    try:
        with Screen() as screen:
            for name, estimator in estimators.items():
                runs: list[int | None] = [*counts] if estimator.spec.per_person and counts else [None]
                for count in runs:
                    with screen.task(f"{name}, {count or 'own'} people", None):
                        timing = timed(estimator, [image], people=count, seconds=seconds)
                    rows.append(timing.as_dict() | {"model": name} | _how(ran(estimator)))
                    if as_json:
                        show_json(rows[-1])
    finally:  # what is finished is shown, whatever ends it
        if rows and not as_json:
            _show(rows)
            for name in dict.fromkeys(row["model"] for row in rows):
                for role, how in ran(estimators[name]).items():
                    print(f"{name}, {role}: {how}")


def _how(networks: dict[str, Ran]) -> dict[str, Any]:
    """What runs the model, and what its detector, in JSON."""
    first = asdict(next(iter(networks.values())))
    return first | {"detector": asdict(networks["detector"]) if "detector" in networks else None}


def _counts(text: str) -> list[int]:
    """`1,4,8` -> [1, 4, 8]."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words):
        raise ValueError(f"{text!r}: expected counts of people separated by commas, such as 1,4,8,30")
    return [int(word) for word in words]


def _show(rows: list[dict[str, Any]]) -> None:
    stages = list(dict.fromkeys(stage for row in rows for stage in row["stages"]))
    cells = [
        [
            row["model"],
            f"{row['people']:g}",
            *(f"{row[key]:.1f}" for key in ("ms_median", "ms_p95", "ms_p99", "fps")),
            *(f"{row['stages'][stage]:.1f}" if stage in row["stages"] else "-" for stage in stages),
        ]
        for row in rows
    ]
    show_table(["model", "people", "ms", "p95", "p99", "fps", *stages], cells)
