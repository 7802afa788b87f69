"""EfficientHRNet from H0 to H-4: size, arithmetic, speed, and AP x frames per second per watt (Neff et al., 2020).

python benchmarks/efficienthrnet_scaling.py [--watts 15] [--ap h0=0.648,h-4=0.357] [--seconds 3] [--out FILE.json]

Networks have fresh weights and take turns; milliseconds are medians of whole calls on a 720p picture with nobody in it.
AP is the paper's on COCO's val unless --ap states another; watts are what you say the machine draws, since few show it.
The paper's last column (Jetson NX, 15 W) is beside ours. --seconds 0 leaves the timing out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import torch

from edgepose.evaluate.energy import efficiency
from edgepose.export import export_onnx, random_views
from edgepose.media.files import atomic_path
from edgepose.models import build
from edgepose.models.macs import count, parameters, parameters_as_hrnet_counts
from edgepose.runtime.bench import Stopwatch
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.session import Session

# AP on COCO's val, and AP x frames per second / W on the paper's device.
PUBLISHED = {
    "h0": (0.648, 99.1), "h-1": (0.592, 80.6), "h-2": (0.529, 86.5), "h-3": (0.448, 100.9), "h-4": (0.357, 121.3),
}  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=",".join(PUBLISHED))
    parser.add_argument("--watts", type=float, default=15.0)
    parser.add_argument("--ap", default="", help="AP of sizes, such as h0=0.648,h-4=0.357")
    parser.add_argument("--side", type=int, help="of all inputs; by default each size's own")
    parser.add_argument("--seconds", type=float, default=3.0, help="of timing for each size")
    parser.add_argument("--out", type=Path, help="for the rows as JSON")
    options = parser.parse_args()
    stated = {size: float(ap) for size, _, ap in (word.partition("=") for word in options.ap.split(",") if word)}
    rows = [figures(size, options.side, stated) for size in options.sizes.split(",")]
    if options.seconds > 0:
        for row, ms in zip(rows, milliseconds(rows, options.seconds), strict=True):
            row |= {"ms": ms, "fps": 1e3 / ms, "watts": options.watts}
            row["efficiency"] = efficiency(row["AP"], row["fps"], options.watts)
    if options.out is not None:
        with atomic_path(options.out) as temporary:
            temporary.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(table(rows))


def figures(size: str, side: int | None, stated: dict[str, float]) -> dict[str, Any]:
    """What can be said without running a network."""
    with torch.device("meta"):
        spec, network = build(f"efficienthrnet-{size}", input_size=None if side is None else (side, side))
    found = count(network, spec.input_size)
    return {
        "size": size,
        "side": spec.input_size[0],
        "parameters": parameters(network),
        "parameters_published_way": parameters_as_hrnet_counts(network),
        "macs": found.true,
        "macs_published_way": found.hrnet,
        "AP": stated.get(size, PUBLISHED[size][0]),
        "AP_from": "--ap" if size in stated else "paper",
        "efficiency_published": PUBLISHED[size][1],
    }


def milliseconds(rows: list[dict[str, Any]], seconds: float) -> list[float]:
    """Median of a whole call for every size, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        watches = []
        for row in rows:
            spec, network = build(f"efficienthrnet-{row['size']}", input_size=(row["side"],) * 2)
            path = Path(folder) / f"{row['size']}.onnx"
            export_onnx(spec, network.eval(), path, random_views(spec, 1))
            watches.append(Stopwatch(Estimator(Session(path))))
        spent = 0.0
        while spent < seconds * 1e3 * len(watches):
            spent += sum(watch.call() for watch in watches)
        return [watch.timing().ms_median for watch in watches]


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    head = ["size", "input", "parameters", "as published", "true MACs", "as published", "ms", "fps", "AP",
            "AP fps / W", "paper's"]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for row in rows:
        timed = [f"{row[key]:.1f}" if key in row else "-" for key in ("ms", "fps", "efficiency")]
        cells = [
            row["size"], str(row["side"]), f"{row['parameters'] / 1e6:.3f} M",
            f"{row['parameters_published_way'] / 1e6:.1f} M", f"{row['macs'] / 1e9:.3f} G",
            f"{row['macs_published_way'] / 1e9:.1f} G", *timed[:2], f"{row['AP']:.3f} ({row['AP_from']})", timed[2],
            f"{row['efficiency_published']:.1f}",
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
