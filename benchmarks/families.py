"""Frames per second of every family by people in the picture: where the lines of top-down and one-shot systems cross.

python benchmarks/families.py [--people 1,4,8,16,30] [--rounds 9] [--calls 4] [--threads N] [--out FILE.json]
                              [--only litepose-xs,sasd-xs-320,...] [--backend onnxruntime|openvino]

All look at the same picture, the photo in the package at 1280 x 720, and every call is a whole one, from the picture to
people in its pixels. Networks have fresh weights (the default pair its own): milliseconds of a network do not depend on
what it learnt.

* Top-down: the detector runs as always, then poses are estimated in exactly so many boxes, anywhere in the picture.
* One-shot: the network runs as always, and what it gives is replaced by maps that hold so many people: for bottom-up
  families targets of random people with tags of their own and noise (benchmarks/associative.py), peaks found in the
  graph; for SASD maps in which all cells that would learn one of so many people side by side are sure of it.

A round gives every contender `calls` calls for each number of people, in shuffled order, so that what else the machine
does hits all alike; quoted are medians over rounds of the medians within a round.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

import numpy as np
from associative import crowd, scene
from sasd_speed import maps_of

import edgepose
from edgepose.codec import codec_of
from edgepose.codec.anchors import Anchors
from edgepose.codec.associative import Associative
from edgepose.export import export_onnx, random_views
from edgepose.media.example import scaled_example
from edgepose.media.files import atomic_path
from edgepose.models import build
from edgepose.runtime.bench import Stopwatch
from edgepose.runtime.bench import spread as side_by_side
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.load import open_model
from edgepose.runtime.network import Network

PAIR, SMALLEST_PAIR = "default pair", "rtmdet-nano + rtmpose-t"
ONE_SHOT = {  # name -> network, side of its input
    "litepose-xs": ("litepose-xs", 256),
    "litepose-s": ("litepose-s", 448),
    "efficienthrnet-h-4": ("efficienthrnet-h-4", 384),
    "efficienthrnet-h-2": ("efficienthrnet-h-2", 448),
    **{f"sasd-xs-{side}": ("sasd-xs", side) for side in (256, 320, 416, 512)},
}
NOISE = 0.01  # on the maps of bottom-up families
BOXES = (0.14, 0.35)  # sides of the people in the picture, in shares of its own


class Crowded:
    """A network that runs, and then answers with maps prepared beforehand."""

    def __init__(self, network: Network, maps: list[np.ndarray]) -> None:
        self.spec, self._network, self._maps = network.spec, network, maps

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        self._network(batch)
        return self._maps


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", default="1,4,8,16,30")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=4)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--backend", default="onnxruntime", choices=("onnxruntime", "openvino"))
    parser.add_argument("--only", help="contenders, separated by commas")
    parser.add_argument("--out", type=Path, help="for the rows as JSON")
    options = parser.parse_args()
    names = [PAIR, SMALLEST_PAIR, *ONE_SHOT]
    chosen = options.only.split(",") if options.only else names
    unknown = sorted(set(chosen) - set(names))
    if unknown:
        parser.error(f"--only names {unknown}, expected some of {names}")
    people = [int(number) for number in options.people.split(",")]
    picture = scaled_example((1280, 720))
    with tempfile.TemporaryDirectory() as folder:
        watches = {
            (name, number): watch
            for name in chosen
            for number, watch in contender(name, people, picture, Path(folder), options).items()
        }
        rounds = [one_round(watches, options.calls) for _ in range(options.rounds)]
    ms = {key: round(median(each[key] for each in rounds), 3) for key in watches}
    rows = [
        {"contender": name, "people": number, "ms_median": ms[name, number], "fps": round(1e3 / ms[name, number], 2),
         "people_decoded": watches[name, number].timing().people, "stages": watches[name, number].timing().stages,
         "rounds": options.rounds, "backend": options.backend, "threads": options.threads}
        for name in chosen for number in people
    ]  # fmt: skip
    if options.out is not None:
        with atomic_path(options.out) as temporary:
            temporary.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(table(chosen, people, ms))


def contender(
    name: str, people: list[int], picture: np.ndarray, folder: Path, options: argparse.Namespace
) -> dict[int, Stopwatch]:
    """A stopwatch for each number of people, warmed up; networks are shared."""
    if name == PAIR:
        estimator = edgepose.load(backend=options.backend, threads=options.threads)
    elif name == SMALLEST_PAIR:
        detector = Estimator(exported("rtmdet-nano", (320, 320), folder, options))
        estimator = Estimator(exported("rtmpose-t", (192, 256), folder, options), detector)
    else:
        network, side = ONE_SHOT[name]
        session = exported(network, (side, side), folder, options)
        return {
            number: Stopwatch(Estimator(Crowded(session, crowded(session, number))), [picture]) for number in people
        }
    return {number: Stopwatch(estimator, [picture], people=number, boxes=anywhere(number)) for number in people}


def exported(name: str, size: tuple[int, int], folder: Path, options: argparse.Namespace) -> Network:
    """A network with fresh weights as a session."""
    spec, network = build(name, input_size=size)
    path = folder / f"{name}-{size[0]}.onnx"
    export_onnx(spec, network.eval(), path, random_views(spec, 1))
    return open_model(path, None, options.backend, options.threads)


def anywhere(people: int) -> np.ndarray:
    """(people, 4) boxes in a picture of 1280 x 720."""
    rng = np.random.default_rng(0)
    size = np.array([1280, 720])
    sides = size * BOXES
    corners = rng.uniform(0, 1, (people, 2)) * (size - sides)
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32)


def crowded(session: Network, people: int) -> list[np.ndarray]:
    """What a good network would give for so many people."""
    codec = codec_of(session.spec)
    if isinstance(codec, Anchors):
        cells = side_by_side(people, codec.input_size)
        inset = 0.15 * (cells[:, 2:] - cells[:, :2])  # apart, so that suppression leaves everybody
        return maps_of(codec, people, cells + np.concatenate([inset, -inset], axis=1))
    rng = np.random.default_rng(0)
    codec = codec_of(session.spec, Associative)
    return scene(codec, crowd(people, codec.input_size[0], rng), np.ones((people, 17)), rng, NOISE)


def one_round(watches: dict[tuple[str, int], Stopwatch], calls: int) -> dict[tuple[str, int], float]:
    """Median milliseconds of every contender for every number of people, in shuffled order."""
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    for key in random.sample(list(watches), len(watches)):
        watches[key].call()  # the last one's data are out of the caches now
        found[key] += [watches[key].call() for _ in range(calls)]
    return {key: median(values) for key, values in found.items()}


def table(names: list[str], people: list[int], ms: dict[tuple[str, int], float]) -> str:
    """Frames per second as Markdown, and from how many people on a one-shot system is quicker than a top-down one."""
    lines = [
        "| frames per second, people: | " + " | ".join(map(str, people)) + " |",
        "| --- |" + " ---: |" * len(people),
    ]
    lines += [f"| {name} | " + " | ".join(f"{1e3 / ms[name, n]:.1f}" for n in people) + " |" for name in names]
    for pair in (PAIR, SMALLEST_PAIR):
        for name in names if pair in names else []:
            if name in ONE_SHOT:
                quicker = [n for n in people if ms[name, n] < ms[pair, n]]
                lines.append(f"{name} is quicker than {pair} " + (f"at {quicker} people" if quicker else "never"))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
