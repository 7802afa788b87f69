"""The detector in every frame (K=1) against every fifth (K=5), on a clip: frame rates, and how alike the poses are.

    python benchmarks/skip_frames.py CLIP.mp4 [--frames 200] [--every 5] [--model M] [--detector D] [--rounds 3]

Both run through `Follower` without smoothing, on frames that are already decoded, in turn within each round, so that
what else the machine does hits them alike; quoted is the median of the ratios. AP is COCO's with K=1's poses as truth:
first of K=5, then of K=1 with its own detections of every frame but without the tracker, to see how much of the
difference is the tracker's. What the detector costs of a frame at K=1 says how much there is to gain at all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import edgepose
from edgepose.evaluate.coco import coco_ap
from edgepose.poses import Poses
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.follow import Follower
from edgepose.runtime.smoothing import Smoother
from edgepose.runtime.video import Frame, read_video


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default=None)
    parser.add_argument("--detector", default="default")
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    estimator = edgepose.load(options.model, detector=options.detector, threads=options.threads)
    frames = list(islice(read_video(options.clip), options.frames))
    ratios, share = [], 0.0
    results: dict[int, list[Poses]] = {}
    for _ in range(options.rounds):
        seconds = {}
        for every in (1, options.every):
            seconds[every], results[every] = run(estimator, frames, every)
        ratios.append(seconds[1] / seconds[options.every])
        rates = "  ".join(f"K={every} {len(frames) / spent:7.2f} frames/s" for every, spent in seconds.items())
        print(f"{rates}  ratio {ratios[-1]:.2f}", flush=True)
    start = time.perf_counter()
    for frame in frames:
        estimator.detect(frame.image)
    share = (time.perf_counter() - start) / seconds[1]
    print(f"median ratio {statistics.median(ratios):.2f}; the detector is {share:.0%} of a frame at K=1")
    alone = [estimator(frame.image) for frame in frames]
    for name, poses in ((f"K={options.every}", results[options.every]), ("no tracker", alone)):
        print(f"{name}: AP {ap(results[1], poses, frames):.4f} against the poses of K=1")


def run(estimator: Estimator, frames: list[Frame], every: int) -> tuple[float, list[Poses]]:
    """Seconds for all frames, and their people."""
    follower = Follower(estimator, detect_every=every, smoother=Smoother(None))
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
