"""SASD-XS beside RTMDet-nano with RTMPose-t, end to end, by people in the picture; and what decoding alone takes.

python benchmarks/sasd_speed.py [--sizes 256,320,416,512] [--people 1,4,8,16,30] [--seconds 2]

Networks have fresh weights: milliseconds of a network do not depend on what it learnt. A one-stage network's run and
preparation are measured on the drawn scene, its decoding on maps that hold so many people with 22 cells each.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from edgepose.codec import codec_of
from edgepose.codec.anchors import BOX, Anchors
from edgepose.export import export_onnx, random_views
from edgepose.models import build
from edgepose.runtime.bench import bench
from edgepose.runtime.estimator import MIN_BOX_SCORE, Estimator
from edgepose.runtime.scene import draw_scene
from edgepose.runtime.session import Session


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="256,320,416,512")
    parser.add_argument("--people", default="1,4,8,16,30")
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    people = [int(count) for count in options.people.split(",")]
    image = draw_scene((1280, 720))[0]
    print("milliseconds a frame      " + "".join(f"{count:>8}" for count in people))
    with tempfile.TemporaryDirectory() as folder:
        top_down = Estimator(
            exported("rtmpose-t", (192, 256), Path(folder)),
            Estimator(exported("rtmdet-nano", (320, 320), Path(folder))),
        )
        times = [
            bench(top_down, [image], people=count, seconds=options.seconds).as_dict()["ms_median"] for count in people
        ]
        print(f"{'rtmdet-nano + rtmpose-t':<26}" + "".join(f"{ms:8.1f}" for ms in times))
        for side in map(int, options.sizes.split(",")):
            session = exported("sasd-xs", (side, side), Path(folder))
            alone = bench(Estimator(session), [image], seconds=options.seconds).as_dict()["ms_median"]
            codec: Anchors = codec_of(session.spec)
            codec = Anchors(codec.input_size, codec.skeleton, codec.strides, codec.anchors, score=MIN_BOX_SCORE)
            post = [decoding(codec, count) for count in people]
            print(f"{f'sasd-xs {side}':<26}" + "".join(f"{alone + ms:8.1f}" for ms in post))
            print(f"{'  of it decoding':<26}" + "".join(f"{ms:8.2f}" for ms in post))


def exported(name: str, size: tuple[int, int], folder: Path) -> Session:
    """A network with fresh weights as a session."""
    spec, network = build(name, input_size=size)
    path = folder / f"{name}-{size[0]}.onnx"
    export_onnx(spec, network.eval(), path, random_views(spec, 1))
    return Session(path)


def decoding(codec: Anchors, count: int, repeats: int = 30) -> float:
    """Median CPU milliseconds of this thread to decode maps with so many people."""
    outputs = maps_of(codec, count)
    times = []
    for _ in range(repeats):
        start = time.thread_time()
        codec.decode(outputs)
        times.append(time.thread_time() - start)
    return 1e3 * median(times)


def maps_of(codec: Anchors, count: int, boxes: np.ndarray | None = None) -> list[np.ndarray]:
    """Raw maps in which every cell that should learn one of `count` people (random by default) is sure of its box."""
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 0.75, (count, 2)) * codec.input_size
    sides = rng.uniform((0.06, 0.12), (0.18, 0.25), (count, 2)) * codec.input_size
    boxes = (np.concatenate([low, low + sides], axis=1) if boxes is None else boxes).astype(np.float32)
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
