"""`edgepose quantize`: a smaller and faster form of a model file, if it finds what the float32 file finds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgepose.cli.options import Detector, Json, Threads
from edgepose.cli.screen import Screen, show

if TYPE_CHECKING:
    from edgepose.quantize.card import Card

To = Literal["int8", "fp16"]  # quantize.To
Method = Literal["minmax", "percentile", "entropy"]  # quantize.ranges.METHODS
Target = Literal["avx2", "vnni", "arm"]  # quantize.card.Target


def quantize(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name or ONNX file, in float32.")],
    images: Annotated[Path, typer.Option("--images", help="Folder or zip of pictures of what it is for: hundreds.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="ONNX file to write; its card goes beside it.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Labels of the pictures, to judge by AP.", show_default="none")
    ] = None,
    to: Annotated[To, typer.Option("--to", help="What its numbers become.")] = "int8",
    method: Annotated[
        Method | None, typer.Option("--method", help="Of the ranges.", show_default="the nearest to float32")
    ] = None,
    target: Annotated[
        Target | None,
        typer.Option("--target", help="Processors that it is for; avx2 has no VNNI.", show_default="this one"),
    ] = None,
    max_drop: Annotated[
        float, typer.Option("--max-drop", min=0, max=100, help="Points of AP that it may lose, with --data.")
    ] = 1.0,
    detector: Detector = "default",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Write a model in INT8 or float16, if it still finds what the float32 file finds.

    Every fifth picture is held out to judge by: AP with --data, else how far the people found agree with
    the float32 file's. Where all layers in INT8 are not good enough, those that hurt most stay in float; where that is
    not enough either, nothing is written.
    """
    from edgepose.quantize import quantize as quantized

    with Screen() as screen:
        card = quantized(
            model, images, out, data=data, to=to, method=method, target=target, max_drop=max_drop,
            detector=detector, threads=threads, progress=screen.stage,
        )  # fmt: skip
        for note in card.notes:
            screen.complain(note)
    show(card.as_dict() | {"path": str(out)}, _sentence(card, out), as_json)


def _sentence(card: Card, out: Path) -> str:
    judged = f"agreement {card.agreement:.3f}"
    if card.ap_before is not None:
        judged = f"AP {card.ap_before:.3f} -> {card.ap_after:.3f}, {judged}"
    left = f"; {len(card.float_layers)} of {card.layers} layers left in float" if card.float_layers else ""
    return (
        f"wrote {out} ({card.to}, {card.method}): {judged} on {card.held_out} held-out pictures; "
        f"{card.ms_before:.1f} -> {card.ms_after:.1f} ms for {card.batch} at a time here, "
        f"{card.bytes_before / 1e6:.1f} -> {card.bytes_after / 1e6:.1f} MB{left}"
    )
