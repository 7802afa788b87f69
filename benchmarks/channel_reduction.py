"""Channel reduction of deconvolutions: what it saves and what it costs (Yamazaki & Mori, arXiv 2111.04226).

python benchmarks/channel_reduction.py [NETWORK ...] [--rounds 9] [--calls 4] [--threads N] [--out FILE.json]
    [--weights NETWORK=CHECKPOINT ... --data val.json --images val.zip [--boxes gt] [--no-flip-test]]

The paper's own study is not public. Every row is a network with other deconvolutions, beside HRNet: parameters, true
multiply-accumulates, those that HRNet's counter shows (of a deconvolution with stride 2 four times the true ones), and
what share of HRNet-W48's they are; its abstract says 3.8 % for the final network. All count an input of 192 x 256.

Milliseconds are of the exported network alone, one crop; weights are fresh, since time does not depend on them. A round
gives every network `calls` calls, in shuffled order, so that what else the machine does hits all alike; quoted are
medians over rounds of the medians within a round. --rounds 0 leaves the timing out. AP is measured where `--weights`
gives a checkpoint of `edgepose train`, with flip test.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from edgepose.evaluate.labels import read_labels
from edgepose.evaluate.measures import evaluated, prepared
from edgepose.export import export_onnx, random_views
from edgepose.media.files import atomic_path
from edgepose.models import build
from edgepose.models.deployed import TorchNetwork
from edgepose.models.macs import count, parameters, unstored
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.session import Session
from edgepose.train.checkpoint import network_of

SIZE = (192, 256)
REFERENCE, PUBLISHED = "hrnet-w48", 3.8  # percent
STUDY = (
    "deconvpose-resnet18-256-256-256",
    "deconvpose-resnet18-128-128-128",
    "deconvpose-resnet18-128-64-32",
    "deconvpose-resnet18-64-64-64",
    "deconvpose-resnet18-32-32-32",
    "deconvpose-resnet18-half-256-256-256",
    "deconvpose-resnet18-half-64-64-64",
    "deconvpose-resnet18-half-32-32-32",
    "deconvpose-mobilenet_v2-256-256-256",
    "deconvpose-mobilenet_v2-128-128-128",
    "deconvpose-mobilenet_v2-128-64-32",
    "deconvpose-mobilenet_v2-64-64-64",
    "deconvpose-mobilenet_v2-32-32-32",
    "deconvpose-efficientnet-b0-256-256-256",
    "deconvpose-efficientnet-b0-128-64-32",
    "deconvpose-efficientnet-b0-64-32-32",
    "hrnet-w32",
    "hrnet-w48",
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help="by default those of the study")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=4, help="of each network in each round")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--weights", nargs="+", default=[], metavar="NETWORK=CHECKPOINT")
    parser.add_argument("--data", type=Path, help="labels to measure AP on")
    parser.add_argument("--images", type=Path, help="their pictures, a folder or zip")
    parser.add_argument("--boxes", default="gt", help="gt or a COCO detection file")
    parser.add_argument("--flip-test", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--out", type=Path, help="for the rows as JSON")
    options = parser.parse_args()
    names = options.networks or list(STUDY)
    weights = {name: Path(path) for name, _, path in (word.partition("=") for word in options.weights)}
    strange = [name for name in weights if name not in names]
    if strange or (weights and (options.data is None or options.images is None)):
        parser.error(f"--weights needs --data and --images, and a row for each network: no row for {strange}")
    rows = sized(names)
    if options.rounds > 0:
        for row, times in zip(rows, milliseconds(names, options.rounds, options.calls, options.threads), strict=True):
            row |= {"ms": median(times), "ms_rounds": [min(times), max(times)]}
    for row in rows:
        if row["model"] in weights:
            path = weights[row["model"]]
            row |= accuracy(row["model"], path, options.data, options.images, options.boxes, options.flip_test)
    if options.out is not None:
        with atomic_path(options.out) as temporary:
            temporary.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(table(rows))


def sized(names: list[str]) -> list[dict[str, Any]]:
    """What can be said of each network without running it."""
    reference = count(unstored(REFERENCE, "coco", SIZE)[1], SIZE).hrnet
    rows: list[dict[str, Any]] = []
    for name in names:
        _, network = unstored(name, "coco", SIZE)
        found = count(network, SIZE)
        share = {"true": found.true, "hrnet": found.hrnet, "percent_of_w48": 100 * found.hrnet / reference}
        decoder = 100 * found.transposed / found.true
        rows.append({"model": name, "parameters": parameters(network)} | share | {"percent_deconvolutions": decoder})
    return rows


def milliseconds(names: list[str], rounds: int, calls: int, threads: int | None) -> list[list[float]]:
    """Of each network the medians of its rounds."""
    times: list[list[float]] = [[] for _ in names]
    with tempfile.TemporaryDirectory() as folder:
        sessions = []
        for number, name in enumerate(names):
            spec, network = build(name, input_size=SIZE)
            views, path = random_views(spec, 1), Path(folder) / f"{number}.onnx"
            export_onnx(spec, network.eval(), path, views)
            sessions.append(Session(path, threads=threads))
        view = random_views(sessions[0].spec, 1)
        for session in sessions:
            session(view)  # the first call of a graph is slower than the others
        for number in range(rounds):
            for i in random.Random(number).sample(range(len(sessions)), len(sessions)):
                times[i].append(median(timed(sessions[i], view) for _ in range(calls)))
    return times


def timed(session: Session, view: np.ndarray) -> float:
    """Milliseconds of one call."""
    start = time.perf_counter()
    session(view)
    return 1e3 * (time.perf_counter() - start)


def accuracy(name: str, checkpoint: Path, data: Path, images: Path, boxes: str, flip_test: bool) -> dict[str, Any]:
    """AP of a checkpoint that must be of that network."""
    spec, network = network_of(checkpoint)
    if spec.name != name:
        raise ValueError(f"{checkpoint} is a {spec.name}, expected a {name}: name the row by what was trained")
    estimates = prepared(Estimator(TorchNetwork(spec, network)), flip_test)
    figures, _ = evaluated(name, estimates, read_labels(data), images, boxes)
    return {"AP": figures["AP"], "people": figures["people"], "flip_test": flip_test}


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    head = [
        "network",
        "parameters",
        "true MACs",
        "of them deconvolutions",
        "as HRNet counts",
        "of HRNet-W48",
        "ms",
        "AP",
    ]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for row in rows:
        cells = [
            row["model"], f"{row['parameters'] / 1e6:.2f} M", f"{row['true'] / 1e9:.3f} G",
            f"{row['percent_deconvolutions']:.0f} %", f"{row['hrnet'] / 1e9:.3f} G", f"{row['percent_of_w48']:.2f} %",
            f"{row['ms']:.1f}" if "ms" in row else "-", f"{row['AP']:.3f}" if "AP" in row else "-",
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    near = [row["model"] for row in rows if round(row["percent_of_w48"], 1) == PUBLISHED]
    lines += ["", f"At the published {PUBLISHED} % of HRNet-W48: {', '.join(near) or 'none of these'}."]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
