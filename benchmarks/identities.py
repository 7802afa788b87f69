"""How well the tracker keeps identities in simulated crowds, and what it costs.

    python benchmarks/identities.py [--seeds 3] [--frames 300] [--people 1,2,5,10,20] [--fps 30] [--hold 0.3]
                                    [--kinds walk,cross]

Prints one row per kind of scene and number of people: figures against the true people who were detected (10 % of the
visible ones are missed, people hide one another or vanish for 0.3 to 1.5 s), switches per sequence, and CPU
milliseconds per frame of Tracker.update. `all` is IDF1 against everybody in the picture, hidden and missed people too;
a tracker that
returns only people it was given cannot exceed about 0.947 there (2 x 0.9 / 1.9), with --hold it can.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edgepose.evaluate.tracking import Identities, evaluate_identities
from edgepose.poses import Poses
from edgepose.runtime.tracker import Tracker
from tests.runtime.crowd import Moment, Scene, crowd

KINDS: dict[str, dict[str, object]] = {
    "walk": {},
    "fast": {"speed": (0.5, 2.0)},
    "turning": {"turn": 0.5, "blink": 0.1},
    "cross": {"layout": "cross", "turn": 0.0, "speed": (0.3, 1.0), "same_height": True},
    "row": {"layout": "row", "turn": 0.0},
    "alike": {"build": 0.0, "same_height": True},
    "boxes": {"box_only": True},
    "half": {"half": 0.3},
    "false": {"false": 0.3},
}


def sequence(moments: list[Moment], hold: float) -> tuple[Identities, Identities, float]:
    """Figures against those detected and against everybody, and CPU seconds."""
    tracker = Tracker(hold=hold)
    start = time.thread_time()
    results = [tracker.update(moment.detections, moment.time) for moment in moments]
    seconds = time.thread_time() - start
    detected: list[Poses] = []
    for moment in moments:
        real = moment.owners >= 0
        detected.append(replace(moment.detections[real], ids=moment.owners[real]))
    everybody = [moment.truth for moment in moments]
    return evaluate_identities(detected, results), evaluate_identities(everybody, results), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--people", default="1,2,5,10,20")
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--hold", type=float, default=0.0)
    parser.add_argument("--kinds", default=",".join(KINDS))
    options = parser.parse_args()
    print(f"{'scene':8} people   IDF1 (least)   HOTA   DetA   AssA   MOTA  switches    all   CPU ms")
    for kind in options.kinds.split(","):
        for people in map(int, options.people.split(",")):
            rows, all_idf1, cost = [], [], 0.0
            for seed in range(options.seeds):
                scene = Scene(people=people, frames=options.frames, fps=options.fps, false=0.02, seed=1000 + seed)
                moments = crowd(replace(scene, **KINDS[kind]))  # type: ignore[arg-type]
                figures, everybody, seconds = sequence(moments, options.hold)
                rows.append(figures)
                all_idf1.append(everybody.idf1)
                cost += seconds
            mean = {name: np.mean([getattr(row, name) for row in rows]) for name in vars(rows[0])}
            least = min(row.idf1 for row in rows)
            print(
                f"{kind:8} {people:6} {mean['idf1']:6.3f} ({least:.3f}) {mean['hota']:6.3f} {mean['deta']:6.3f} "
                f"{mean['assa']:6.3f} {mean['mota']:6.3f} {mean['switches']:9.1f} {np.mean(all_idf1):6.3f} "
                f"{1000 * cost / options.seeds / options.frames:8.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
