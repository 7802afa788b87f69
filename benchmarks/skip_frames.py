"""The detector in every frame (K=1) against every fifth (K=5), on a clip: frame rates, and how alike the poses are.

    python benchmarks/skip_frames.py CLIP.mp4 [--frames 200] [--every 5] [--model M] [--detector D --detector D2]
                                     [--rounds 3] [--smooth] [--out FIGURES.json]

Both run through `Follower`, without smoothing unless asked for, on frames that are already decoded, in turn within each
round, so that what else the machine does hits them alike; quoted is the median of the ratios. AP is COCO's with K=1's
poses as truth: first of K=5, then of K=1 with its own detections of every frame but without the tracker, to see how
much of the difference is the tracker's.

What there is to gain at all follows from three costs, measured one by one: the detector D, the network for one person P
and the people n, and the rest R (tracker, cuts, smoothing): (D + nP + R) / (D/K + nP + R). With R = 0, one person and
K = 5 that is 1.8 only where D >= 1.25 P.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import edgepose
from edgepose.evaluate.coco import coco_ap
from edgepose.media.video import Frame, read_video
from edgepose.poses import Poses
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.follow import Follower
from edgepose.runtime.tracker.smoothing import Smoother


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default=None)
    parser.add_argument("--detector", action="append", help="again for more of them")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--smooth", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    frames = list(islice(read_video(options.clip), options.frames))
    figures = {name: compared(name, frames, options) for name in options.detector or ["default"]}
    if options.out is not None:
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def compared(detector: str, frames: list[Frame], options: argparse.Namespace) -> dict[str, Any]:
    """All figures of one detector."""
    estimator = edgepose.load(options.model, detector=detector, threads=options.threads)
    print(f"detector {detector}", flush=True)
    ratios = []
    results: dict[int, list[Poses]] = {}
    for _ in range(options.rounds):
        seconds = {}
        for every in (1, options.every):
            smoother = Smoother("default" if options.smooth else None)
            seconds[every], results[every] = run(estimator, frames, every, smoother)
        ratios.append(seconds[1] / seconds[options.every])
        rates = "  ".join(f"K={every} {len(frames) / spent:7.2f} frames/s" for every, spent in seconds.items())
        print(f"{rates}  ratio {ratios[-1]:.2f}", flush=True)
    people = float(np.mean([len(poses) for poses in results[1]]))
    detecting, looking = costs(estimator, frames)
    rest = max(0.0, seconds[1] / len(frames) - detecting - people * looking)
    busy = people * looking + rest
    bound = (detecting + people * looking) / (detecting / options.every + people * looking)
    print(
        f"median ratio {statistics.median(ratios):.2f}; detector {1000 * detecting:.1f} ms, network "
        f"{1000 * looking:.1f} ms for each of {people:.2f} people, rest {1000 * rest:.1f} ms: the ratio could be "
        f"{(detecting + busy) / (detecting / options.every + busy):.2f}, and {bound:.2f} without the rest"
    )
    alone = [estimator(frame.image) for frame in frames]
    figures = {"ratio": statistics.median(ratios), "ratios": ratios, "people": people, "bound": bound}
    figures |= {"detector_ms": 1000 * detecting, "person_ms": 1000 * looking, "rest_ms": 1000 * rest}
    for name, poses in ((f"K={options.every}", results[options.every]), ("no tracker", alone)):
        figures[f"AP {name}"] = ap(results[1], poses, frames)
        print(f"{name}: AP {figures[f'AP {name}']:.4f} against the poses of K=1", flush=True)
    return figures


def costs(estimator: Estimator, frames: list[Frame]) -> tuple[float, float]:
    """Seconds of the detector, and of the network for one person; medians."""
    spent: tuple[list[float], list[float]] = ([], [])
    for frame in frames[:: max(1, len(frames) // 50)]:
        height, width = frame.image.shape[:2]
        box = np.array([[0.4 * width, 0.2 * height, 0.6 * width, 0.8 * height]])
        start = time.perf_counter()
        estimator.detect(frame.image)
        middle = time.perf_counter()
        estimator(frame.image, box)
        spent[0].append(middle - start)
        spent[1].append(time.perf_counter() - middle)
    return statistics.median(spent[0]), statistics.median(spent[1])


def run(estimator: Estimator, frames: list[Frame], every: int, smoother: Smoother) -> tuple[float, list[Poses]]:
    """Seconds for all frames, and their people."""
    follower = Follower(estimator, detect_every=every, smoother=smoother)
    start = time.perf_counter()
    poses = [follower(frame.image, frame.time or 0.0) for frame in frames]
    return time.perf_counter() - start, poses


def ap(truth: list[Poses], found: list[Poses], frames: list[Frame]) -> float:
    """COCO's AP of people with others as truth; every keypoint counts as visible."""
    images, annotations, results = [], list[dict[str, Any]](), []
    for index, (true, poses, frame) in enumerate(zip(truth, found, frames, strict=True), 1):
        images.append({"id": index, "width": frame.image.shape[1], "height": frame.image.shape[0]})
        for points, box in zip(true.keypoints, true.boxes, strict=True):
            x1, y1, x2, y2 = box.tolist()
            flat = np.concatenate([points, np.full((len(points), 1), 2)], axis=1).astype(float).ravel().tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": index, "category_id": 1, "iscrowd": 0,
                    "area": (x2 - x1) * (y2 - y1), "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "keypoints": flat, "num_keypoints": len(points),
                }
            )  # fmt: skip
        for points, score in zip(poses.keypoints, poses.person_scores, strict=True):
            flat = np.concatenate([points, np.ones((len(points), 1))], axis=1).astype(float).ravel().tolist()
            results.append({"image_id": index, "category_id": 1, "keypoints": flat, "score": float(score)})
    skeleton = truth[0].skeleton
    category = {"id": 1, "name": "person", "keypoints": list(skeleton.names), "skeleton": []}
    labels = {"images": images, "annotations": annotations, "categories": [category]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "truth.json"
        path.write_text(json.dumps(labels), encoding="utf-8")
        return float(coco_ap(results, path)["AP"])


if __name__ == "__main__":
    main()
