"""`edgepose macs`: parameters and multiply-accumulates of a network, as they are and as HRNet's counter has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgepose.cli.options import Json, chosen_skeleton
from edgepose.cli.screen import Cells, show_rows

if TYPE_CHECKING:
    from edgepose.skeleton import Skeleton


def macs(
    names: Annotated[list[str], typer.Argument(metavar="NETWORK", help="Such as litepose-xs, efficienthrnet-h-4.")],
    skeleton: Annotated[str, typer.Option("--skeleton", help="What it finds: a name, or a file of your own.")] = "coco",
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
    show_macs(names, chosen_skeleton(skeleton) or "coco", sides, as_json)


def show_macs(names: list[str], skeleton: str | Skeleton, input_size: tuple[int, int] | None, as_json: bool) -> None:
    """One row per network; the networks are built without storage, so this takes no arithmetic."""
    from edgepose.models.macs import count, parameters, parameters_as_hrnet_counts, unstored

    rows: list[dict[str, Any]] = []
    for name in names:
        spec, network = unstored(name, skeleton, input_size)
        found = count(network, spec.input_size)
        width, height = spec.input_size
        rows.append(
            {"model": name, "input": f"{width}x{height}", "parameters": parameters(network),
             "parameters, hrnet": parameters_as_hrnet_counts(network), "true": found.true, "hrnet": found.hrnet}
        )  # fmt: skip
    show_rows(rows, as_json, _cells)


def _cells(rows: Sequence[dict[str, Any]]) -> Cells:
    shown = [[f"{v / 1e9:.3f} G" if i > 3 else f"{v / 1e6:.3f} M" if i > 1 else str(v)
              for i, v in enumerate(row.values())] for row in rows]  # fmt: skip
    return list(rows[0]), shown
