"""Training labels and held-out mosaics for `sasd_ablation.py`, from LSPET's training ids.

python benchmarks/lspet_mosaics.py TRAIN.json IMAGES.zip OUT [--mosaics 600] [--side 256] [--tilt 45]

TRAIN.json is lspet/train.json of `training/prepare_data.py`, IMAGES.zip LSPET's pictures. OUT/train holds the labels of
ids below 8500; OUT/choose has mosaics of ids 8500 to 8699, on which settings are chosen, and OUT/heldout those of ids
8700 to 9499, which are for the final figures. People whose trunk leans by more than --tilt degrees are in none: half of
LSPET are acrobats in the air, and what a network of two cores' minutes knows of them is too little to tell one way of
training from another. A mosaic is a view as training draws it, labels included. People with fewer than SEEN keypoints
in it, and everybody but the labelled person, are regions to ignore.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgepose.codec.anchors import Anchors
from edgepose.data.mosaics import read_mosaics
from edgepose.data.people import FILLED
from edgepose.skeleton import COCO

PARTS = {"train": (0, 8500), "choose": (8500, 8700), "heldout": (8700, 9500)}  # ids, the last not included
SEEN = 8
TRUNK = [COCO.names.index(name) for name in ("left_shoulder", "right_shoulder", "left_hip", "right_hip")]


def main() -> None:
    """Write the three parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path, help="lspet/train.json of training/prepare_data.py")
    parser.add_argument("pictures", type=Path, help="LSPET's pictures, images.zip")
    parser.add_argument("out", type=Path)
    parser.add_argument("--mosaics", type=int, default=600, help="in each held-out part")
    parser.add_argument("--side", type=int, default=256, help="of a mosaic, in pixels")
    parser.add_argument("--tilt", type=float, default=45.0, help="largest angle of the trunk against the vertical")
    options = parser.parse_args()
    whole = json.loads(options.labels.read_text(encoding="utf-8"))
    for name, ids in PARTS.items():
        folder = options.out / name
        folder.mkdir(parents=True, exist_ok=True)
        part = of_ids(whole, *ids, options.tilt)
        (folder / "labels.json").write_text(json.dumps(part), encoding="utf-8")
        if name != "train":
            mosaics = draw(folder / "labels.json", options.pictures, folder, options.mosaics, options.side)
            (folder / "labels.json").write_text(json.dumps(mosaics), encoding="utf-8")
            people = sum(a["num_keypoints"] > 0 for a in mosaics["annotations"])
            print(f"{folder}: {options.mosaics} mosaics, {people} people")
        else:
            print(f"{folder}: labels of {len(part['images'])} people")


def of_ids(whole: dict[str, Any], first: int, end: int, tilt: float) -> dict[str, Any]:
    """The labels of pictures with ids from `first` to before `end`, less those of people who lean by more than `tilt`
    degrees or whose shoulders and hips are not labelled. One person of a picture is labelled, the others are crowds.
    """
    fitting = {i["id"] for i in whole["images"] if first <= i["id"] < end}
    people = [a for a in whole["annotations"] if not a["iscrowd"] and a["image_id"] in fitting and leaning(a) <= tilt]
    kept = {a["image_id"] for a in people}
    rows = [a for a in whole["annotations"] if a["image_id"] in kept]
    return whole | {"images": [i for i in whole["images"] if i["id"] in kept], "annotations": rows}


def leaning(annotation: dict[str, Any]) -> float:
    """Degrees from hips to shoulders against the vertical, 180 upside down; infinite where they are not labelled."""
    points = np.array(annotation["keypoints"], float).reshape(-1, 3)[TRUNK]
    if (points[:, 2] == 0).any():
        return float("inf")
    x, y = points[2:, :2].mean(axis=0) - points[:2, :2].mean(axis=0)
    return float(np.degrees(np.arctan2(abs(x), y)))


def draw(labels: Path, pictures: Path, folder: Path, count: int, side: int) -> dict[str, Any]:
    """Write `count` mosaics of `side` x `side` pixels into `folder`; their labels in COCO's form."""
    samples = read_mosaics([(labels, pictures, 1)], COCO, Anchors((side, side)))
    images, rows = [], []
    for number in range(1, count + 1):
        image, targets = samples.sample(np.random.default_rng(number), (number - 1) % len(samples), 1, [])
        name = f"{number:04d}.png"
        if not cv2.imwrite(str(folder / name), image):
            raise OSError(f"{folder / name} cannot be written")
        images.append({"id": number, "file_name": name, "width": side, "height": side})
        people = zip(targets["boxes"], targets["keypoints"], targets["visible"], strict=True)
        rows += [person(number, *one) for one in people]
        rows += [person(number, box, np.zeros((len(COCO), 2)), np.zeros(len(COCO))) for box in targets["ignore"]]
    annotations = [row | {"id": i} for i, row in enumerate(rows, start=1)]
    category = {"id": 1, "name": "person", "keypoints": list(COCO.names)}
    return {"images": images, "annotations": annotations, "categories": [category]}


def person(image: int, box: np.ndarray, keypoints: np.ndarray, visible: np.ndarray) -> dict[str, Any]:
    """One annotation; somebody with hardly a keypoint is a region to ignore, as a crowd is."""
    x1, y1, x2, y2 = (float(v) for v in box)
    shown = (visible > 0) & (np.count_nonzero(visible) >= SEEN)
    points = np.concatenate([np.where(shown[:, None], keypoints, 0), 2 * shown[:, None]], axis=1)
    return {
        "image_id": image,
        "category_id": 1,
        "iscrowd": int(not shown.any()),
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": FILLED * (x2 - x1) * (y2 - y1),
        "num_keypoints": int(shown.sum()),
        "keypoints": [round(float(v), 2) for v in points.reshape(-1)],
    }


if __name__ == "__main__":
    main()
