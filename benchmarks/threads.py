"""One session on all threads against as many sessions on one thread each, per model: which gives more rows per second.

python benchmarks/threads.py [MODEL ...] [--fresh rtmpose-s,litepose-xs:256] [--threads 2] [--rounds 9] [--seconds 0.25]
                             [--ways onnxruntime:f32,openvino:bf16]

A row is a crop of a model that looks at one person at a time (runs of 1, 4 and 8), a picture of any other. MODEL is a
name or a file, by default the two in the package; --fresh are networks with random weights (NAME or NAME:SIDE; needs
torch). "Together" is one session with all threads that a single caller runs; "apart" as many callers with a thread of
their own each, which is what `edgepose predict` does with the frames of files where `edgepose tune` found it quicker
("frames side by side"). "Alone" is one caller with one thread. The ways take turns; quoted are medians over rounds.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import cast

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edgepose.runtime.cores import thread_count
from edgepose.runtime.load import find, open_choice
from edgepose.runtime.network import Network
from edgepose.runtime.processor import machine
from edgepose.runtime.tune.kept import Backend, Choice

RUNS = (1, 4, 8)  # crops


def main() -> None:
    """Print the machine and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["default-pose", "default-detector"])
    parser.add_argument("--fresh", default="")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.25, help="of each way in each round")
    parser.add_argument("--ways", default="onnxruntime:f32,openvino:bf16")
    options = parser.parse_args()
    threads = thread_count(options.threads)
    if threads < 2:
        parser.error("one core leaves nothing to compare, expected --threads 2 or more")
    before = f", load before {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(", ".join(f"{key} {value}" for key, value in machine().items()) + before + "\n")
    heads = [
        "rows per second",
        "runtime",
        "rows a run",
        "alone",
        f"together, {threads} threads",
        f"apart, {threads} x 1",
    ]
    print(f"| {' | '.join([*heads, 'apart / together'])} |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        files = {name: find(name) for name in options.models}
        files |= {word: (fresh(word, Path(folder)), None) for word in options.fresh.split(",") if word}
        for name, (file, spec) in files.items():
            for word in options.ways.split(","):
                backend, _, precision = word.partition(":")
                way = Choice(cast(Backend, backend), precision or None)
                sessions = {
                    "alone": (open_choice(file, spec, replaced(way, 1, 1)), 1),
                    "together": (open_choice(file, spec, replaced(way, threads, 1)), 1),
                    "apart": (open_choice(file, spec, replaced(way, None, threads)), threads),
                }
                for rows in RUNS if sessions["alone"][0].spec.per_person else (1,):
                    rates = compared(sessions, rows, options.rounds, options.seconds)
                    shown = [f"{rates[way]:.1f}" for way in sessions] + [f"{rates['apart'] / rates['together']:.2f}"]
                    print(f"| {name} | {backend} {precision} | {rows} | {' | '.join(shown)} |", flush=True)


def replaced(way: Choice, threads: int | None, workers: int) -> Choice:
    """The same way with other threads."""
    return Choice(way.backend, way.precision, threads=threads, workers=workers)


def fresh(word: str, folder: Path) -> Path:
    """A network with random weights as a file; NAME, or NAME:SIDE for a square input."""
    from edgepose.export import export_onnx, random_views
    from edgepose.models import build

    name, _, side = word.partition(":")
    spec, network = build(name, **({"input_size": (int(side), int(side))} if side else {}))
    path = folder / f"{name}.onnx"
    export_onnx(spec, network.eval(), path, random_views(spec, 1))
    return path


def compared(sessions: dict[str, tuple[Network, int]], rows: int, rounds: int, seconds: float) -> dict[str, float]:
    """Rows per second of every way: the median over rounds in which they take turns, another one first in each."""
    spec = next(iter(sessions.values()))[0].spec
    width, height = spec.input_size
    shape = (rows, height, width, 3) if spec.layout == "nhwc" else (rows, 3, height, width)
    batch = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8 if spec.layout == "nhwc" else np.float32)
    found: dict[str, list[float]] = {way: [] for way in sessions}
    for network, callers in sessions.values():
        rate(network, batch, callers, 0.0)
    for turn in range(rounds):
        order = list(sessions)
        for way in order[turn % len(order) :] + order[: turn % len(order)]:
            network, callers = sessions[way]
            found[way].append(rate(network, batch, callers, seconds))
    return {way: median(rates) for way, rates in found.items()}


def rate(network: Network, batch: np.ndarray, callers: int, seconds: float) -> float:
    """Rows per second of `callers` threads that run the network over and over, for about so long and twice at least."""
    spans: list[tuple[int, float]] = []
    meeting = threading.Barrier(callers)

    def call() -> None:
        meeting.wait()
        start, runs = time.perf_counter(), 0
        while runs < 2 or time.perf_counter() - start < seconds:
            network(batch)
            runs += 1
        spans.append((runs, time.perf_counter() - start))

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(runs / span for runs, span in spans) * len(batch)


if __name__ == "__main__":
    main()
