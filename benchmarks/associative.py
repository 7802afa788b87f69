"""Associative decoding, default against published settings: CPU milliseconds and AP on made-up maps of real people.

python benchmarks/associative.py ANNOTATIONS.json [--side 512] [--pictures 50] [--noise 0.05]

The maps are the targets of labelled people, blurred tags around each keypoint, and noise on both: they stand for a
network that has learnt its task, so the difference between the settings is the decoder's alone. People of several
pictures are put side by side on a canvas where `--crowd` asks for that many.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import numpy as np

from edgepose.codec.associative import Associative, resized
from edgepose.codec.grouping import find_peaks
from edgepose.data.coco import read_coco
from edgepose.geometry import middle_matrix, transform

SETTINGS = {
    "default": {},
    "without refining": {"refine": False},
    "published grouping": {"grouping": "published"},
    "published, enlarged": {"grouping": "published", "project": True},
}


def scene(codec: Associative, people: np.ndarray, seen: np.ndarray, rng: np.random.Generator, noise: float) -> list:
    """Outputs of an exported file for people (N, K, 2) in input pixels: heat-maps, tags, scores and cells of peaks."""
    targets = codec.encode(people, seen)
    tags = rng.normal(0, 1, targets["heatmaps_4"].shape)
    height, width = tags.shape[1:]
    y, x = np.mgrid[:height, :width]
    own = rng.permutation(len(people)) * 1.5 + rng.normal(0, 0.1, len(people))
    nearest = np.full(tags.shape, 36.0)  # six cells around a keypoint
    for n, k in zip(*np.nonzero(seen > 0), strict=True):
        distance = (x + 0.5 - people[n, k, 0] / 4) ** 2 + (y + 0.5 - people[n, k, 1] / 4) ** 2
        closer = distance < nearest[k]
        nearest[k][closer], tags[k][closer] = distance[closer], own[n]
    coarse = resized(targets["heatmaps_4"], (2 * width, 2 * height))
    heat = 0.6 * (coarse + targets["heatmaps_2"]) / 2 + rng.normal(0, noise, targets["heatmaps_2"].shape)
    heat = heat.astype(np.float32)
    tags = (tags + rng.normal(0, 0.15, tags.shape)).astype(np.float32)
    values, cells = find_peaks(heat, codec.people, codec.window, 0.0)
    return [heat[None], tags[None], values[None], cells[None]]


def crowd(count: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """`count` drawn people (N, 17, 2), each in a cell of a grid."""
    columns = max(int(np.ceil(np.sqrt(count))), 1)
    cell = side / columns
    corners = np.array([[i % columns, i // columns] for i in range(count)], float).reshape(-1, 1, 2) * cell
    return corners + rng.uniform(0.1, 0.9, (count, 17, 2)) * cell


def milliseconds(codec: Associative, outputs: list, repeats: int) -> float:
    """Least CPU time of this thread for one decode."""
    best = np.inf
    for _ in range(repeats):
        start = time.thread_time()
        codec.decode(outputs)
        best = min(best, time.thread_time() - start)
    return 1e3 * best


def matched(poses, people: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Best OKS of a found pose with each labelled person (N,)."""
    if len(poses) == 0 or len(people) == 0:
        return np.zeros(len(people))
    spread = np.array(
        [np.ptp(p[s > 0], axis=0) if (s > 0).any() else (1, 1) for p, s in zip(people, seen, strict=True)]
    )
    areas = np.maximum(spread.prod(1) * 0.53, 32.0)
    squared = ((poses.keypoints[None] - people[:, None]) ** 2).sum(-1)  # (N, P, K)
    sigmas = 2 * np.asarray(poses.skeleton.sigmas)
    near = np.exp(-squared / (2 * sigmas**2 * areas[:, None, None]))
    found = (near * (seen > 0)[:, None]).sum(-1) / np.maximum((seen > 0).sum(1), 1)[:, None]
    return found.max(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("annotations", type=Path, nargs="?")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--pictures", type=int, default=50)
    parser.add_argument("--noise", type=float, default=0.01)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    base = Associative((options.side, options.side))
    codecs = {name: dataclasses.replace(base, **changes) for name, changes in SETTINGS.items()}
    print(f"CPU ms of one decode at {options.side} px, one thread")
    print("people  " + "  ".join(f"{name:>20}" for name in codecs))
    for count in (0, 1, 5, 12, 30):
        people = crowd(count, options.side, rng)
        outputs = scene(base, people, (rng.random((count, 17)) > 0.2).astype(float), rng, options.noise)
        times = [milliseconds(c, outputs, options.repeats if "published" not in n else 1) for n, c in codecs.items()]
        print(f"{count:6d}  " + "  ".join(f"{value:20.2f}" for value in times), flush=True)
    if options.annotations is None:
        return
    labelled = read_coco(options.annotations, options.annotations.parent)
    quality: dict[str, list[np.ndarray]] = {name: [] for name in codecs}
    extra = dict.fromkeys(codecs, 0)
    for file in np.unique(labelled.picture)[: options.pictures]:
        here = labelled[labelled.picture == file]
        extent = here.boxes[:, 2:].max(0) + 1
        matrix = middle_matrix((int(extent[0]), int(extent[1])), base.input_size)
        people = transform(here.keypoints.astype(np.float64), matrix)
        outputs = scene(base, people, here.visible, rng, options.noise)
        for name, codec in codecs.items():
            poses = codec.decode(outputs)
            quality[name].append(matched(poses, people, here.visible))
            extra[name] += len(poses) - len(people)
    print(f"\nlabelled people of {min(options.pictures, len(np.unique(labelled.picture)))} pictures")
    print("mean OKS of the best pose, share above .5 to .95, people too many")
    for name, values in quality.items():
        all_of_them = np.concatenate(values)
        share = np.mean([(all_of_them > t).mean() for t in np.arange(0.5, 1, 0.05)])
        print(f"{name:>20}  {all_of_them.mean():.4f}  {share:.4f}  {extra[name]:d}")


if __name__ == "__main__":
    main()
