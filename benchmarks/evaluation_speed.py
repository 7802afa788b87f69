"""How long the evaluation of a COCO-sized results file takes: 5,000 pictures, 63,000 results.

    python benchmarks/evaluation_speed.py [--pictures 5000] [--results 63000] [--pycocotools] [--out FILE]

The set is made up: 2.2 people labelled per picture, results near them and strangers. Quoted is CPU time of one thread
(`time.process_time`), from rows in memory and from files, the least of `--repeat`; pycocotools gets the same rows.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgepose.evaluate.coco import coco_ap
from edgepose.evaluate.interval import intervals
from edgepose.evaluate.matching import match, pictures_of
from edgepose.skeleton import COCO


def made_up(pictures: int, results: int, seed: int = 0) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Labels and result rows, the same every time."""
    rng = np.random.default_rng(seed)
    people = int(2.2 * pictures)
    where = np.sort(rng.integers(0, pictures, people))
    boxes = np.concatenate([rng.uniform(0, 400, (people, 2)), rng.uniform(15, 300, (people, 2))], axis=1)
    inside = rng.uniform(0, 1, (people, 17, 2)) * boxes[:, None, 2:] + boxes[:, None, :2]
    seen = rng.integers(0, 3, (people, 17, 1)) * (rng.random((people, 1, 1)) > 0.4)
    points = np.concatenate([inside, seen], axis=-1).round(2)
    annotations = [
        {
            "id": i + 1, "image_id": int(where[i]), "category_id": 1, "iscrowd": int(i % 50 == 0),
            "bbox": boxes[i].tolist(), "area": float(boxes[i, 2:].prod() / 2), "keypoints": points[i].ravel().tolist(),
            "num_keypoints": int((points[i, :, 2] > 0).sum()),
        }
        for i in range(people)
    ]  # fmt: skip
    chosen = rng.integers(0, people, results)
    spread = boxes[chosen, 2:].max(axis=1)[:, None, None] * rng.uniform(0, 0.3, (results, 1, 1))
    found = inside[chosen] + rng.normal(0, 1, (results, 17, 2)) * spread
    table = np.concatenate([found, rng.random((results, 17, 1))], axis=-1).round(3)
    scores = rng.random(results).round(4)
    rows = [
        {"image_id": int(where[c]), "category_id": 1, "keypoints": table[i].ravel().tolist(), "score": float(scores[i])}
        for i, c in enumerate(chosen)
    ]
    images = [{"id": i, "width": 640, "height": 480, "file_name": f"{i}.jpg"} for i in range(pictures)]
    category = {"id": 1, "name": "person", "keypoints": list(COCO.names)}
    return {"images": images, "annotations": annotations, "categories": [category]}, rows


def seconds(call: Callable[[], Any], repeat: int) -> tuple[float, Any]:
    """Least CPU time of the calls, and what the last one gave."""
    times = []
    for _ in range(repeat):
        start = time.process_time()
        outcome = call()
        times.append(time.process_time() - start)
    return min(times), outcome


def main() -> None:
    """Print a line per way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--results", type=int, default=63000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--pycocotools", action="store_true", help="also time pycocotools")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    labels, rows = made_up(options.pictures, options.results)
    print(f"{options.pictures} pictures, {len(labels['annotations'])} people, {len(rows)} results; CPU seconds")
    table: dict[str, float] = {}

    def tell(way: str, spent: float, result: object) -> None:
        table[way] = round(spent, 4)
        print(f"{way:25} {spent:6.2f}   AP {result}", flush=True)

    spent, figures = seconds(lambda: coco_ap(rows, labels), options.repeat)
    tell("coco_ap, rows in memory", spent, f"{figures['AP']:.6f}")
    with tempfile.TemporaryDirectory() as name:
        truth, results = Path(name, "labels.json"), Path(name, "results.json")
        truth.write_text(json.dumps(labels))
        results.write_text(json.dumps(rows))
        spent, figures = seconds(lambda: coco_ap(results, truth), options.repeat)
        tell("coco_ap, from files", spent, f"{figures['AP']:.6f}")
        results.write_text(json.dumps([row | {"area": 1} for row in rows]))
        spent, figures = seconds(lambda: coco_ap(results, truth), options.repeat)
        tell("the same, a field more", spent, f"{figures['AP']:.6f}")  # which must be read row by row
    spent, matches = seconds(lambda: match(pictures_of(rows, labels)[0]), 1)
    tell("matching for the reports", spent, f"{matches.figures()['AP']:.6f}")
    spent, found = seconds(lambda: intervals(matches, 20), 1)
    tell("20 resamples", spent, found["AP"])
    if options.pycocotools:
        spent, stats = seconds(lambda: by_pycocotools(labels, rows), 1)
        tell("pycocotools", spent, f"{stats[0]:.6f}")
    if options.out is not None:
        options.out.write_text(json.dumps(table, indent=1) + "\n")


def by_pycocotools(labels: dict[str, Any], rows: list[dict[str, Any]]) -> Any:
    """The ten figures of the official tool."""
    from pycocotools.coco import COCO as Labels
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = Labels()
        truth.dataset = labels
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes([dict(row) for row in rows]), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


if __name__ == "__main__":
    main()
