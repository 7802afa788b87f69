"""How fast synthetic people are made: crops for training, frames of crowds; CPU time of one thread.

    python benchmarks/synthetic.py [--crops 400] [--frames 5] [--json] [--out FILE]

Each crop is drawn --repeats times: by its quickest run, which other processes on the machine disturb less, and by the
plain mean. Textures and sheets of noise are drawn before, once per process (4 s).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgepose.synthetic import backdrops, person_crop, random_scene, sensor

PEOPLE = (1, 10, 30, 100)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=int, default=400)
    parser.add_argument("--frames", type=int, default=5, help="of each crowd")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    for i in range(max(backdrops.WALLS, backdrops.GROUNDS)):  # drawn once per process, and not counted
        backdrops.wall(i % backdrops.WALLS)
        backdrops.ground(i % backdrops.GROUNDS)
    list(map(person_crop, ((7, i) for i in range(20))))
    for level in range(29):
        sensor._grain(level)
    rows = [row("crop 192x256", [lambda i=i: person_crop((1, i)) for i in range(options.crops)], options.repeats)]
    plain = [lambda i=i: person_crop((1, i), crowd=0, clutter=0) for i in range(options.crops)]
    rows.append(row("crop of one person alone", plain, options.repeats))
    for people in PEOPLE:
        scene = random_scene(1, people)
        scene.frame(0)
        jobs = [lambda i=i, scene=scene: scene.frame(i / 30) for i in range(options.frames)]
        rows.append(row(f"frame 1280x720, {people} people", jobs, options.repeats))
    if options.out is not None:
        options.out.write_text(json.dumps(rows, indent=1) + "\n")
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{'what':32} {'ms, quickest':>13} {'a second':>9} {'ms, mean':>9} {'a second':>9}")
    for r in rows:
        quickest, mean = r["ms_quickest"], r["ms_mean"]
        print(f"{r['what']:32} {quickest:13.2f} {1000 / quickest:9.1f} {mean:9.2f} {1000 / mean:9.1f}")


def row(what: str, jobs: list[Callable[[], object]], repeats: int) -> dict[str, Any]:
    """CPU milliseconds per job: the mean of each job's quickest run, and of all runs."""
    times = np.empty((len(jobs), repeats))
    for i, job in enumerate(jobs):
        for j in range(repeats):
            start = time.process_time()
            job()
            times[i, j] = time.process_time() - start
    return {"what": what, "ms_quickest": float(times.min(axis=1).mean() * 1e3), "ms_mean": float(times.mean() * 1e3)}


if __name__ == "__main__":
    main()
