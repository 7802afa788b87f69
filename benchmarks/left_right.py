"""How often left and right of people are exchanged while they are tracked.

    python benchmarks/left_right.py --labels train.json --pictures train.zip [--frames 90] [--boxes true] [--threads 1]

60 people of COCO's training pictures, 20 of them seen from behind, 20 from the front and 20 turned or bent; half of
them are hard for the packaged network. Each picture becomes a clip of 30 frames per second: the view is panned, zoomed,
shaken and turned a little, its brightness flickers and every pixel is noisy, all from the seed. Nobody moves, so left
and right never change: the labels say where they are. Every clip is followed twice by what `edgepose track` runs
(networks, boxes of known people, tracker, smoothing), without and with `keep_sides`.

--boxes true gives the labelled person's box in place of a detector's, so that each frame takes one run of the pose
network; --boxes found runs the detector in the package and looks at everybody in the picture.

The shoulders of a person are mirrored in a frame where the line from the right one to the left one points against that
of the labels, and so are the hips. A flip is a frame in which the shoulders or the hips are on another side than in
the frame before. A pair counts where its labels are apart by more than 6 % of the square root of the box area. Printed
for each group: flips per 100 person-frames, the share of mirrored pairs, and people whose shoulders or hips are
mirrored in at least half of their frames.
"""

from __future__ import annotations

import argparse
import json
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np

import edgepose
from edgepose.geometry import iou, transform
from edgepose.media.images import read_image
from edgepose.poses import Poses
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.follow import Follower
from edgepose.runtime.tracker import Tracker

# Ids of annotations with shoulders and hips labelled and apart, in boxes at least 60 pixels high; from behind: no eye
# and no nose seen, left shoulder and hip left of the right ones in the picture. In the first line of each group are
# people whom the packaged network mirrors in one to three of four such views, in the second those it never does;
# drawn by chance, then looked at, and left out where the labels are doubtful.
BEHIND = (
    1829, 1165, 6131, 1335, 4184, 9387, 2733, 359, 10990, 7718,
    1850, 8107, 7541, 116, 5033, 9002, 284, 37, 2160, 5983,
)  # fmt: skip
FRONT = (
    1079, 7400, 745, 1087, 1650, 9436, 10785, 10805, 2892, 8715,
    9187, 7918, 1938, 8355, 6768, 3658, 10603, 7141, 8888, 3481,
)  # fmt: skip
TURNED = (
    3236, 1279, 316, 9798, 5569, 3626, 10650, 10124, 7739, 9049,
    10998, 9621, 7186, 5715, 7595, 1685, 10613, 8666, 7610, 6046,
)  # fmt: skip
GROUPS = {"behind": BEHIND, "front": FRONT, "turned": TURNED}
PAIRS = ((5, 6), (11, 12))  # shoulders, hips
APART = 0.06  # of the square root of the box area
RATE = 30.0


@dataclass(frozen=True, eq=False)
class Still:
    """A labelled person in a picture: image (H, W, 3); keypoints (17, 2) and box (4,) in pixels."""

    image: np.ndarray
    keypoints: np.ndarray
    box: np.ndarray


def main() -> None:
    """Print the table, and write the figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True, help="COCO's keypoint labels of the training pictures")
    parser.add_argument("--pictures", type=Path, required=True, help="a folder or a zip")
    parser.add_argument("--frames", type=int, default=90, help="of each clip")
    parser.add_argument("--boxes", choices=("true", "found"), default="true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    people = stills(options.labels, options.pictures)
    estimator = edgepose.load(threads=options.threads)
    figures: dict[str, Any] = {}
    for keep in (False, True):
        began = time.perf_counter()
        rows = {
            name: [
                sides(people[person], estimator, options.frames, (options.seed, person), options.boxes, keep)
                for person in group
            ]
            for name, group in GROUPS.items()
        }
        rows["all"] = [row for group in rows.values() for row in group]
        figures["with" if keep else "without"] = {name: figures_of(group) for name, group in rows.items()}
        print(f"keep_sides={keep}: {time.perf_counter() - began:.0f} s", flush=True)
    print(table(figures))
    if options.out is not None:
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def stills(labels: Path, pictures: Path) -> dict[int, Still]:
    """The chosen people by the id of their annotation."""
    content = json.loads(labels.read_text(encoding="utf-8"))
    names = {image["id"]: image["file_name"] for image in content["images"]}
    wanted = {person for group in GROUPS.values() for person in group}
    found = {}
    archive = zipfile.ZipFile(pictures) if pictures.is_file() else None
    places = {} if archive is None else {PurePosixPath(name).name: name for name in archive.namelist()}
    for label in content["annotations"]:
        if label["id"] in wanted:
            name = PurePosixPath(names[label["image_id"]]).name
            image = read_image(pictures / name) if archive is None else read_image(archive.read(places[name]))
            x, y, width, height = label["bbox"]
            keypoints = np.array(label["keypoints"], float).reshape(-1, 3)[:, :2]
            found[label["id"]] = Still(image, keypoints, np.array([x, y, x + width, y + height]))
    missing = sorted(wanted - set(found))
    if missing:
        raise ValueError(f"{labels} lacks {len(missing)} of the 60 people, such as annotation {missing[0]}")
    return found


def views(size: tuple[int, int], frames: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Matrices (2, 3) from a still of `size` (w, h) to its frames: a slow pan and zoom, and a hand that shakes."""
    angle, phase = rng.uniform(0, 2 * np.pi, 2)
    nearest = rng.uniform(1.1, 1.3)
    middle = np.array(size) / 2
    for i in range(frames):
        course = np.sin(np.pi * i / max(frames - 1, 1) - np.pi / 2)  # -1 to 1
        zoom = 1 + (nearest - 1) * (0.5 + 0.5 * np.sin(2 * np.pi * i / frames + phase))
        shift = 0.06 * middle * course * np.array([np.cos(angle), np.sin(angle)]) + rng.normal(0, 0.8, 2)
        turn = np.deg2rad(rng.normal(0, 0.4) + 2 * np.sin(2 * np.pi * i / 60 + angle))
        rotation = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        yield np.column_stack([rotation, middle + shift - rotation @ middle])


def seen(image: np.ndarray, matrix: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture through the matrix, brighter or darker, with noise."""
    height, width = image.shape[:2]
    view = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101).astype(np.float32)
    view *= rng.normal(1, 0.03)
    view += rng.standard_normal(view.shape, np.float32) * 5
    return np.clip(np.rint(view), 0, 255).astype(np.uint8)


def sides(still: Still, estimator: Estimator, frames: int, seed: tuple[int, int], boxes: str, keep: bool) -> np.ndarray:
    """(frames, 2) of shoulders and hips: 1 mirrored, 0 not, -1 where nobody was found or the labels are too close."""
    rng = np.random.default_rng(seed)
    box = still.box
    if boxes == "true":
        estimator = estimator.replace(detector=lambda image: Poses.of_boxes(box[None], np.ones(1)))
    follower = Follower(estimator, tracker=Tracker(keep_sides=keep))
    result = np.full((frames, len(PAIRS)), -1)
    for i, matrix in enumerate(views((still.image.shape[1], still.image.shape[0]), frames, rng)):
        labels = transform(still.keypoints, matrix)
        corners = transform(still.box[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2), matrix)
        box = np.concatenate([corners.min(0), corners.max(0)])
        poses = follower(seen(still.image, matrix, rng), i / RATE)
        if not len(poses):
            continue
        overlaps = iou(poses.boxes, box[None])[:, 0]
        person = overlaps.argmax()
        if overlaps[person] < 0.5:
            continue
        size = np.sqrt((box[2:] - box[:2]).prod())
        for pair, (left, right) in enumerate(PAIRS):
            found, wanted = poses.keypoints[person, [left, right]], labels[[left, right]]
            if np.linalg.norm(wanted[0] - wanted[1]) > APART * size:
                result[i, pair] = (found[0] - found[1]) @ (wanted[0] - wanted[1]) < 0
    return result


def figures_of(rows: list[np.ndarray]) -> dict[str, float]:
    """What is counted in the clips of one group."""
    both = [(row[1:] >= 0) & (row[:-1] >= 0) for row in rows]
    flips = sum(int(((row[1:] != row[:-1]) & good).any(1).sum()) for row, good in zip(rows, both, strict=True))
    counted = sum(int((row >= 0).any(1).sum()) for row in rows)
    pairs, mirrored = sum(int((row >= 0).sum()) for row in rows), sum(int((row == 1).sum()) for row in rows)
    mostly = sum(bool((row[row >= 0] == 1).mean() >= 0.5) for row in rows if (row >= 0).any())
    return {
        "people": len(rows), "person_frames": counted, "flips": flips,
        "flips_per_100": 100 * flips / max(counted, 1), "mirrored": mirrored / max(pairs, 1), "mostly_mirrored": mostly,
    }  # fmt: skip


def table(figures: dict[str, Any]) -> str:
    """In Markdown: a line per group, without -> with."""
    lines = [
        "| seen | people | person-frames | flips | per 100 person-frames | mirrored pairs | people mostly mirrored |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in figures["without"].items():
        two = figures["with"][name]
        lines.append(
            f"| {name} | {one['people']} | {two['person_frames']} | {one['flips']} -> {two['flips']} | "
            f"{one['flips_per_100']:.2f} -> {two['flips_per_100']:.2f} | {one['mirrored']:.3f} -> {two['mirrored']:.3f}"
            f" | {one['mostly_mirrored']} -> {two['mostly_mirrored']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
