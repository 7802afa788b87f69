"""Whether a network that was trained on photographs finds the keypoints of drawn people.

    python benchmarks/synthetic_pck.py [--pictures 200] [--seed 5] [--model default-pose] [--sheet FILE.png]

Each picture shows a person with room around it, perhaps others and furniture; the network gets the true box. Quoted is
PCK@0.2 of the trunk (middle of the shoulders to middle of the hips in the picture), the mean over the 17 keypoints, for
all that lie in the picture and for those that are seen. The sheet shows found poses over the pictures, the truth as
white dots, those with the lowest share of keypoints found last.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import edgepose
from edgepose.evaluate.keypoints import distances, pck, trunk_sizes
from edgepose.media.draw import draw
from edgepose.media.files import atomic_path
from edgepose.skeleton import COCO, shared
from edgepose.synthetic import Truth, person_picture

THRESHOLD = 0.2
TILES = (8, 4)  # columns, rows of the sheet


def main() -> None:
    """Print the figures; write the sheet and JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--model", default="default-pose")
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    estimator = edgepose.load(options.model, detector=None)
    pairs = shared(estimator.spec.keypoints, COCO)
    source, target = [i for i, _ in pairs], [j for _, j in pairs]
    pictures, found = [], np.zeros((options.pictures, len(COCO), 2))
    truths: list[Truth] = []
    for i in range(options.pictures):
        image, people = person_picture((options.seed, i))
        poses = estimator(image, people.boxes[:1])
        found[i, target] = poses.keypoints[0][source]
        truths.append(people[np.array([0])])
        pictures.append(draw(image, poses))
    labelled = np.concatenate([truth.keypoints for truth in truths]).astype(np.float64)
    visible = np.concatenate([truth.visible for truth in truths])
    visible[:, [j for j in range(len(COCO)) if j not in target]] = 0
    figures = figures_of(found, labelled, visible) | {"model": options.model, "seed": options.seed}
    print(f"{options.model} on {figures['pictures']} drawn pictures: PCK@{THRESHOLD} {figures['PCK']:.3f} of all, "
          f"{figures['PCK_seen']:.3f} of seen keypoints")  # fmt: skip
    print("  ".join(f"{name} {share:.2f}" for name, share in figures["per_joint"].items()))
    if options.sheet is not None:
        apart = distances(found, labelled, visible > 0, trunk_sizes(labelled, np.ones_like(visible) > 0, COCO))
        order = np.argsort(-np.nanmean(apart < THRESHOLD, axis=1), kind="stable")
        spread = order[np.linspace(0, len(order) - 1, min(TILES[0] * TILES[1], len(order))).round().astype(int)]
        with atomic_path(options.sheet) as temporary:
            temporary.write_bytes(cv2.imencode(".png", sheet(pictures, labelled, visible, spread))[1].tobytes())
    if options.out is not None:
        with atomic_path(options.out) as temporary:
            temporary.write_text(json.dumps(figures, indent=1) + "\n")


def figures_of(found: np.ndarray, labelled: np.ndarray, visible: np.ndarray) -> dict[str, Any]:
    """PCK of keypoints (N, 17, 2) against the truth, whose trunks are known also where they are hidden."""
    sizes = trunk_sizes(labelled, np.ones_like(visible) > 0, COCO)
    share, per_joint = pck(found, labelled, visible > 0, sizes, THRESHOLD)
    seen, _ = pck(found, labelled, visible > 1, sizes, THRESHOLD)
    return {"PCK": round(share, 4), "PCK_seen": round(seen, 4), "pictures": len(found),
            "per_joint": {n: round(float(v), 4) for n, v in zip(COCO.names, per_joint, strict=True)}}  # fmt: skip


def sheet(pictures: list[np.ndarray], labelled: np.ndarray, visible: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Pictures side by side with the true keypoints as white dots, those that are hidden as rings."""
    tiles = []
    for i in chosen:
        tile = pictures[i].copy()
        for point, code in zip(labelled[i].round().astype(int).tolist(), visible[i], strict=True):
            if code:
                cv2.circle(tile, point, 3, (255, 255, 255), cv2.FILLED if code > 1 else 1, cv2.LINE_AA)
        tiles.append(tile)
    width = min(TILES[0], len(tiles))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % width)
    return np.vstack([np.hstack(tiles[i : i + width]) for i in range(0, len(tiles), width)])


if __name__ == "__main__":
    main()
