"""SASD-XS beside RTMDet-nano with RTMPose-t, end to end, by people in the picture, on every backend that is installed.

python benchmarks/sasd_speed.py --out sasd_speed.json [--backends onnxruntime,ncnn,openvino] [--sizes 256,320,416,512]
    [--people 1,4,8,16,30] [--rounds 9] [--seconds 0.3] [--threads N]

Networks have fresh weights: the time of a network does not depend on what it learnt. So that the rest is timed as well,
a one-stage network is run and its answer then exchanged for maps in which every cell that should learn one of so many
people does; the top-down pair is run and then looks at so many boxes. All contenders take turns, in a new order in each
round, so that what else the machine does hits all alike; frames per second are those of the median call. `decoding` is
the CPU time of decoding and suppression alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from edgepose.codec import codec_of
from edgepose.codec.anchors import BOX, Anchors
from edgepose.export import export_onnx, random_views
from edgepose.media.example import scaled_example
from edgepose.models import build
from edgepose.runtime.bench import Stopwatch, spread
from edgepose.runtime.cores import thread_count
from edgepose.runtime.estimator import MIN_BOX_SCORE, Estimator
from edgepose.runtime.load import BACKENDS, open_model
from edgepose.runtime.network import Network
from edgepose.spec import ModelSpec

PICTURE = (1280, 720)


@dataclass
class Contender:
    """One row of the table at one number of people."""

    name: str
    backend: str
    people: int
    watch: Stopwatch
    medians: list[float] = field(default_factory=list)

    def turn(self, seconds: float) -> None:
        """Some calls of one round."""
        end, times = time.perf_counter() + seconds, []
        while not times or time.perf_counter() < end:
            times.append(self.watch.call())
        self.medians.append(median(times))

    def row(self) -> dict[str, Any]:
        """What was measured."""
        timing = self.watch.timing().as_dict()
        apart = [round(min(self.medians), 3), round(max(self.medians), 3)]
        return {"contender": self.name, "backend": self.backend, "asked": self.people, "ms_rounds": apart} | timing


class Crowd:
    """A one-stage network that is run, and then answers with maps known beforehand."""

    def __init__(self, network: Network, count: int) -> None:
        self.network, self.spec = network, network.spec
        self.maps = maps_of(codec_of(network.spec, Anchors), count)

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        self.network(batch)
        return self.maps


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", default=",".join(name for name in BACKENDS if importlib.util.find_spec(name)))
    parser.add_argument("--sizes", default="256,320,416,512")
    parser.add_argument("--people", default="1,4,8,16,30")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each contender in each round")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path, help="JSON file")
    options = parser.parse_args()
    people, sizes = ([int(value) for value in text.split(",")] for text in (options.people, options.sizes))
    contenders: list[Contender] = []
    with tempfile.TemporaryDirectory() as name:
        files = Files(Path(name))
        for backend in options.backends.split(","):
            contenders += contenders_of(backend, files, sizes, people, options.threads)
        for number in range(options.rounds):
            for contender in random.Random(number).sample(contenders, len(contenders)):
                contender.turn(options.seconds)
    rows = [contender.row() for contender in contenders]
    decoded = [decoding(side, people) for side in sizes]
    show(rows, decoded, people)
    if options.out is not None:
        facts = {"picture": PICTURE, "threads": thread_count(options.threads), "rounds": options.rounds}
        options.out.write_text(json.dumps(facts | {"rows": rows, "decoding": decoded}, indent=1) + "\n")


def contenders_of(
    backend: str, files: Files, sizes: list[int], people: list[int], threads: int | None
) -> list[Contender]:
    """Both kinds on one backend; the networks are shared by all numbers of people."""
    image = scaled_example(PICTURE)
    pose, detector = (
        open_model(files.of(name, size, backend), backend=backend, threads=threads)
        for name, size in (("rtmpose-t", (192, 256)), ("rtmdet-nano", (320, 320)))
    )
    top_down = Estimator(pose, Estimator(detector))
    found = [
        Contender("rtmdet-nano + rtmpose-t", backend, count, Stopwatch(top_down, [image], people=count))
        for count in people
    ]
    for side in sizes:
        network = open_model(files.of("sasd-xs", (side, side), backend), backend=backend, threads=threads)
        for count in people:
            watch = Stopwatch(Estimator(Crowd(network, count)), [image])
            found.append(Contender(f"sasd-xs {side}", backend, count, watch))
    return found


class Files:
    """Exported networks with fresh weights, each made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, name: str, size: tuple[int, int], backend: str) -> Path:
        """The file of a network for a backend."""
        path = self.folder / f"{name}-{size[0]}{'.ncnn.param' if backend == 'ncnn' else '.onnx'}"
        if path.exists():
            return path
        spec, network = build(name, input_size=size)
        views = random_views(spec, 1)
        if backend == "ncnn":
            from edgepose.export.ncnn import export_ncnn

            export_ncnn(spec, network.eval(), path, views)
        else:
            export_onnx(spec, network.eval(), path, views)
        return path


def show(rows: list[dict[str, Any]], decoded: list[dict[str, Any]], people: list[int]) -> None:
    """Frames per second of every contender, one line each."""
    print(f"{'frames a second, people:':<40}" + "".join(f"{count:>8}" for count in people))
    for name, backend in dict.fromkeys((row["contender"], row["backend"]) for row in rows):
        fps = [row["fps"] for row in rows if (row["contender"], row["backend"]) == (name, backend)]
        print(f"{f'{name}, {backend}':<40}" + "".join(f"{value:8.1f}" for value in fps))
    for row in decoded:
        title = f"decoding at {row['size']}, CPU ms"
        print(f"{title:<40}" + "".join(f"{ms:8.2f}" for ms in row["ms"]))


def decoding(side: int, people: list[int], repeats: int = 30) -> dict[str, Any]:
    """Median CPU milliseconds of this thread to decode maps with so many people."""
    spec: ModelSpec = build("sasd-xs", input_size=(side, side))[0]
    codec: Anchors = dataclasses.replace(codec_of(spec, Anchors), score=MIN_BOX_SCORE)
    medians = []
    for count in people:
        outputs, times = maps_of(codec, count), []
        for _ in range(repeats):
            start = time.thread_time()
            codec.decode(outputs)
            times.append(time.thread_time() - start)
        medians.append(round(1e3 * median(times), 3))
    return {"size": side, "people": people, "ms": medians}


def maps_of(codec: Anchors, count: int, boxes: np.ndarray | None = None) -> list[np.ndarray]:
    """Raw maps in which every cell that should learn one of `count` people is sure of its box.

    By default they stand side by side in the part of the input that the picture fills.
    """
    rng = np.random.default_rng(0)
    width = codec.input_size[0]
    boxes = spread(count, (width, width * PICTURE[1] // PICTURE[0])) if boxes is None else boxes
    boxes = boxes.astype(np.float32)
    maps = [np.zeros((len(codec.anchors[0]), BOX + 3 * len(codec.skeleton), h, w), np.float32) for w, h in codec.grids]
    for level in maps:
        level[:, 4], level[:, 5] = -12, 20
    for level, anchor, row, column, person in codec.assign(boxes):
        x1, y1, x2, y2 = boxes[person]
        cell = maps[level][anchor, :, row, column]
        place = np.array([(x1 + x2) / 2, (y1 + y2) / 2]) / codec.strides[level] - (column, row)
        sides = np.sqrt(np.array([x2 - x1, y2 - y1]) / codec.anchors[level][anchor]) / 2
        share = np.clip(np.concatenate([(place + 0.5) / 2, sides]), 1e-3, 1 - 1e-3)
        cell[:4] = np.log(share / (1 - share))
        cell[4] = rng.uniform(0, 4)
    return [level.reshape(1, -1, *level.shape[2:]) for level in maps]


if __name__ == "__main__":
    main()
