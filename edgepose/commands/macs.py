"""`edgepose macs`: parameters and multiply-accumulates of a network, as they are and as HRNet's counter has them."""

from __future__ import annotations

from typing import Any

from edgepose.commands.screen import show_json, show_table
from edgepose.models.macs import count, parameters, parameters_as_hrnet_counts, unstored


def show_macs(names: list[str], skeleton: str, input_size: tuple[int, int] | None, as_json: bool) -> None:
    """One row per network; the networks are built without storage, so this takes no arithmetic."""
    rows: list[dict[str, Any]] = []
    for name in names:
        spec, network = unstored(name, skeleton, input_size)
        found = count(network, spec.input_size)
        width, height = spec.input_size
        rows.append(
            {"model": name, "input": f"{width}x{height}", "parameters": parameters(network),
             "parameters, hrnet": parameters_as_hrnet_counts(network), "true": found.true, "hrnet": found.hrnet}
        )  # fmt: skip
    if as_json:
        for row in rows:
            show_json(row)
        return
    cells = [[f"{v / 1e9:.3f} G" if i > 3 else f"{v / 1e6:.3f} M" if i > 1 else str(v)
              for i, v in enumerate(row.values())] for row in rows]  # fmt: skip
    show_table(list(rows[0]), cells)
