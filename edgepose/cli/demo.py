"""`edgepose demo`: the default models on one source, or on the photo in the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgepose.cli.options import Json, Threshold
from edgepose.cli.outputs import Outcome, Outputs, interrupted
from edgepose.cli.predict import run_source
from edgepose.cli.screen import Screen, show_json


def demo(
    source: Annotated[
        str | None, typer.Argument(metavar="SOURCE", help="What to look at; a photo in the package if not said.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the overlay and the JSON file.")] = Path(
        "edgepose-demo"
    ),
    as_json: Json = False,
    threshold: Threshold = None,
) -> None:
    """Run the default models on one source and write an overlay and a JSON file; needs no network and no picture."""
    from edgepose import load
    from edgepose.media.example import example_image
    from edgepose.media.files import alone_in, fitting_stem, free_path, make_folder, refuse_sources, unique_name
    from edgepose.media.images import encoded_image, write_image
    from edgepose.media.results import JsonLines, is_frames
    from edgepose.media.sources import expand

    estimator = load()
    make_folder(out)
    if source is None:
        data = encoded_image("example.png", example_image())
        path = free_path(out / "example.png", lambda path: path.is_file() and path.read_bytes() == data)
        write_image(path, example_image())
        source = str(path)
    names: dict[str, str] = {}
    outcomes: list[Outcome] = []
    with alone_in(out), Screen() as screen, interrupted() as stop:
        for single in expand(source):
            if stop.is_set():
                break
            stem = Path(single.name).stem if single.kind in ("picture", "video") else single.kind
            stem = unique_name(fitting_stem(stem), single.name, names)
            path = free_path(out / (stem + (".json" if single.kind == "picture" else ".jsonl")), is_frames)
            refuse_sources([path], [single.location])
            with Outputs(screen, JsonLines(path), out, threshold, ".png", sources=[single.location]) as outputs:
                outcome = run_source(single, estimator, outputs, screen, stop)
            outcome.results = path
            outcomes.append(outcome)
            if outcome.error:
                screen.complain(f"error: {outcome.error}")
            if outcome.frames and not as_json:
                screen.say("\n".join((outcome.sentence(), *map(str, outcome.overlays), str(path))))
    if as_json:
        for outcome in outcomes:
            show_json(outcome.as_dict())
    if stop.is_set():
        raise KeyboardInterrupt
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)
