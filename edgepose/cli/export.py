"""`edgepose export`: a checkpoint to a file for deployment, and how far its results differ."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from edgepose.cli.options import Json, Target
from edgepose.cli.screen import show


def export(
    checkpoint: Annotated[
        Path, typer.Argument(help="Checkpoint of `edgepose train`, such as runs/NAME/last.safetensors.")
    ],
    to: Annotated[Target, typer.Option("--to", help="Format.")] = "onnx",
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
    from edgepose.export import ENDINGS, exported
    from edgepose.media.files import refuse_sources

    if out is not None:
        stem = str(out).removesuffix(ENDINGS[to][0])
        refuse_sources([out, *(stem + ending for ending in ENDINGS[to][1:])], [checkpoint])
    report = exported(checkpoint, to, out, half)
    stem = str(report.path).removesuffix(ENDINGS[to][0])
    files = [report.path, *(Path(stem + ending) for ending in ENDINGS[to][1:])]
    size = sum(file.stat().st_size for file in files)
    sentence = (
        f"wrote {report.path} ({size / 1e6:.1f} MB); results differ from torch's by {report.mean:.4f} px on "
        f"average, {report.largest:.4f} px at most, over {report.points} points"
    )
    show(dataclasses.asdict(report) | {"path": str(report.path), "bytes": size}, sentence, as_json)
