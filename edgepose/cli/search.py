"""`edgepose search`: the best part of a trained super-net under a budget."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Annotated

import typer

from edgepose.cli.options import Json, Threads
from edgepose.cli.screen import Screen, show_json, show_table

if TYPE_CHECKING:
    from edgepose.train.litepose.search import Generation


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
    try:
        budget = parse_macs(macs)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--macs") from None
    if device.partition(":")[0] not in ("cpu", "cuda"):
        raise typer.BadParameter(f"{device!r} is neither cpu nor cuda", param_hint="--device")
    given = [] if sides is None else sides.split(",")
    if not all(side.isdecimal() for side in given):
        raise typer.BadParameter(f"{sides!r}: expected sides such as 256,320", param_hint="--sides")
    from edgepose.train.litepose import search as library
    from edgepose.train.litepose.evolution import Evolution
    from edgepose.train.words import parse

    sets, _ = parse("search", [f"data={data}", f"val={val}", f"out={out}", f"device={device}"])
    evolution = Evolution(population, generations, parents, mutants, change, seed)
    plan = library.Plan(checkpoint, sets, budget, evolution, calibrate, tuple(int(side) for side in given))
    with Screen() as screen:
        total = population * (generations + 1)

        def report(generation: Generation) -> None:
            best = generation.best.score
            screen.stage("searching", generation.looked_at, total, f"best AP {best:.4f}")
            scores = [candidate.score for candidate in generation.candidates]
            screen.complain(
                f"generation {generation.number}/{generations}  AP {max(scores):.4f}, mean {mean(scores):.4f}; "
                f"best so far {best:.4f}"
            )

        screen.stage("searching", 0, total)
        result = library.search(plan, threads, report)
    if as_json:
        show_json(result)
        return
    rows = [[row["model"], f"{row['macs'] / 1e9:.3f} G", f"{row['AP']:.4f}"] for row in result["front"]]
    show_table(["best for its cost", "MACs", "AP"], rows)
    winner = result["winner"]
    print(f"wrote {winner['checkpoint']}; next: edgepose train {winner['model']} init={winner['checkpoint']} data=...")


def parse_macs(text: str) -> float:
    """`886M`, `1.2G` or a plain number -> multiply-accumulates."""
    factor = {"K": 1e3, "M": 1e6, "G": 1e9}.get(text[-1:].upper(), 1.0)
    try:
        value = float(text if factor == 1 else text[:-1]) * factor
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(f"{text!r}: expected multiply-accumulates, such as 886M or 1.2G")
    return value
