"""`edgepose tune`: the quickest way to run a model on this machine, measured and kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgepose.cli.options import Detector, Json
from edgepose.cli.screen import Screen, show_json, show_table

if TYPE_CHECKING:
    import numpy as np

    from edgepose.runtime.tune.kept import Choice
    from edgepose.runtime.tune.plan import Row, Tuning

FEWEST, MOST = 100, 200  # pictures to compare people on; so many of a larger folder, evenly


def tune(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Name or file.")] = None,
    detector: Detector = "default",
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            help="Folder of 100 pictures or more to compare on.",
            show_default="the package's photo, distorted",
        ),
    ] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="Time to measure for, about.")] = 45.0,
    as_json: Json = False,
) -> None:
    """Measure how a model runs quickest on this machine, and keep that for --backend auto.

    Runtimes that are installed, precisions, threads, crops per run, and whether a thread each for several frames of a
    file is quicker than all threads for one. A form that calculates otherwise than the float32 file is left out unless
    it finds the same people (mean OKS .995; .98 of INT8 files, which have passed their guard). The result counts on
    this machine, with these versions and these model files only. Let nothing else run meanwhile.
    """
    pictures, compared_on = _pictures(images)
    from edgepose.evaluate.agreement import agreement
    from edgepose.media.example import scaled_example
    from edgepose.runtime.tune.here import tune_here

    with Screen() as screen, screen.task("tune", None) as bar:
        outcome, kept = tune_here(
            model, detector, pictures, scaled_example((1280, 720)), agreement, compared_on,
            seconds=seconds, say=lambda stage: bar.update(0, stage),
        )  # fmt: skip
    if as_json:
        show_json(_as_dict(model or "default", outcome, kept, compared_on))
    else:
        _show(outcome, kept, compared_on)


def _pictures(folder: Path | None) -> tuple[list[np.ndarray], str]:
    """What people are compared on, and what that is."""
    if folder is None:
        from edgepose.media.example import example_image
        from edgepose.runtime.tune.distorted import COUNT, distorted

        return distorted(example_image()), f"the package's photo under {COUNT} fixed distortions"
    from edgepose.media.sources import expand, frames

    sources = [source for source in expand(folder) if source.kind == "picture"]
    if len(sources) < FEWEST:
        raise ValueError(
            f"{folder} has {len(sources)} pictures, expected {FEWEST} or more to compare people on: name more, or "
            "leave --images out for distortions of a photo"
        )
    step = max(1, len(sources) // MOST)
    chosen = sources[::step][:MOST]
    return [next(iter(frames(source))).image for source in chosen], f"{len(chosen)} pictures of {folder}"


def _as_dict(name: str, outcome: Tuning, kept: list[Path], compared_on: str) -> dict[str, Any]:
    from edgepose.runtime.processor import machine

    rows = [
        {"stage": row.stage, "role": row.role} | _way(row.way)
        | {"ms": _rounded(row.ms), "agreement": row.agreement, "verdict": row.verdict}
        for row in outcome.rows
    ]  # fmt: skip
    return {
        "model": name,
        "machine": machine(),
        "choices": {role: _way(choice) | {"workers": choice.workers} for role, choice in outcome.choices.items()},
        "usual_ms": _rounded(outcome.usual_ms),
        "chosen_ms": _rounded(outcome.chosen_ms),
        "agreement": outcome.agreement,
        "compared_on": compared_on,
        "frames_per_second": {name: round(rate, 2) for name, rate in outcome.rates.items()},
        "rows": rows,
        "notes": outcome.notes,
        "kept": [str(path) for path in kept],
    }


def _rounded(ms: dict[int, float]) -> dict[str, float]:
    return {str(people): round(value, 3) for people, value in ms.items()}


def _way(choice: Choice) -> dict[str, Any]:
    return {
        "backend": choice.backend, "precision": choice.precision, "threads": choice.threads, "chunk": choice.chunk,
        "file": choice.file,
    }  # fmt: skip


def _show(outcome: Tuning, kept: list[Path], compared_on: str) -> None:
    from edgepose.runtime.processor import machine

    print(", ".join(f"{key} {value}" for key, value in machine().items() if value))
    counts = sorted({count for row in outcome.rows for count in row.ms})
    cells = [[*_cells(row), *(_ms(row, count) for count in counts), _agreed(row), row.verdict] for row in outcome.rows]
    heads = ["measured", "network", "backend", "precision", "threads", "crops", *(f"ms, {n}" for n in counts)]
    show_table([*heads, "agreement", ""], cells, left=4)
    print(f"ms: medians for so many people (of a detector: of one picture); agreement: mean OKS on {compared_on}")
    for note in outcome.notes:
        print(note)
    usual, chosen = outcome.usual_ms, outcome.chosen_ms
    gains = ", ".join(f"{usual[n]:.1f} -> {chosen[n]:.1f} ms for {n}" for n in usual)
    print(f"whole frame, as usual -> chosen: {gains}")
    if outcome.rates:
        print(
            "independent frames per second: " + ", ".join(f"{rate:.1f} {name}" for name, rate in outcome.rates.items())
        )
    for (role, choice), path in zip(outcome.choices.items(), kept, strict=True):
        print(f"{role}: {in_words(choice)}; kept in {path}")


def in_words(choice: Choice) -> str:
    """A choice on one line."""
    words = [choice.backend, choice.precision or "", f"{choice.threads or 'all'} threads"]
    words += [f"{choice.chunk} crops a run"] if choice.chunk else []
    words += [f"{choice.workers} frames side by side"] if choice.workers > 1 else []
    words += [f"file {choice.file}"] if choice.file else []
    return ", ".join(word for word in words if word)


def _cells(row: Row) -> list[str]:
    way = row.way
    return [row.stage, row.role, way.backend, way.precision or "", str(way.threads), str(way.chunk or "own")]


def _ms(row: Row, count: int) -> str:
    return f"{row.ms[count]:.1f}" if count in row.ms else "-"


def _agreed(row: Row) -> str:
    return "-" if row.agreement is None else f"{row.agreement:.4f}"
