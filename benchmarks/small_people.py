"""People under 64 pixels of height in large pictures: how many the detector finds, with and without tiles.

    python benchmarks/small_people.py LABELS.json PICTURES [--grid 2x2] [--cell 480] [--below 64] [--tiles RxC ...]
                                      [--size S ...] [--detector D] [--min-box-score S] [--ids odd|even|all]
                                      [--out FOLDER]

Large pictures are montages: rows x columns of labelled pictures, in square cells of so many pixels (never enlarged,
the rest gray), in the order of their ids. `--grid 8x14 --cell 270` is nearly a picture in 4K. A person counts as found
where one box of at least the score overlaps theirs with an IoU of 0.5, each box being one person's at most; crowds
count for nothing. Precision is of all boxes, of people of any size: those that overlap a crowd by half of their area
are left out. With --out the first eight montages are drawn for each way of looking.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import edgepose
from edgepose.data.images import Pictures
from edgepose.geometry import area, iou

GRAY = 114


@dataclass(frozen=True, eq=False)
class Montage:
    """image (H, W, 3); people (N, 4) and crowds (M, 4) boxes in its pixels."""

    image: np.ndarray
    people: np.ndarray
    crowds: np.ndarray


def main() -> None:
    """Parse the command line, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--grid", default="2x2")
    parser.add_argument("--cell", type=int, default=480)
    parser.add_argument("--tiles", nargs="*", default=["2x2", "auto"])
    parser.add_argument("--size", nargs="*", default=["640"], help="of the detector's input, without tiles")
    parser.add_argument("--below", type=float, default=64)
    parser.add_argument("--detector", default="default-detector")
    parser.add_argument("--min-box-score", type=float, default=None)
    parser.add_argument("--ids", choices=["odd", "even", "all"], default="all")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows, columns = (int(side) for side in options.grid.split("x"))
    kept = list(montages(options.labels, options.pictures, (rows, columns), options.cell, options.ids))
    small = sum(int((heights(one.people) < options.below).sum()) for one in kept)
    ways: dict[str, dict[str, Any]] = {"whole picture": {}}
    ways |= {f"--tiles {word}": {"tiles": word} for word in options.tiles}
    ways |= {f"--detector-size {word}": {"detector_size": word} for word in options.size}
    everybody = sum(len(one.people) for one in kept)
    print(
        f"{len(kept)} montages of {columns * options.cell} x {rows * options.cell}, {everybody} people, "
        f"{small} under {options.below:g} px"
    )
    for name, way in ways.items():
        finder = estimator(options.detector, options.min_box_score, way)
        found = [finder.detect(one.image) for one in kept]
        counts = [counted(one, poses.boxes, options.below) for one, poses in zip(kept, found, strict=True)]
        near, whole, right, boxes = np.sum(counts, axis=0)
        print(
            f"{name:20}  recall of small {near / small:.3f} ({near} of {small}), of all "
            f"{whole / everybody:.3f}, precision {right / max(boxes, 1):.3f} ({boxes} boxes)"
        )
        for number, (one, poses) in enumerate(zip(kept[:8], found, strict=False) if options.out else ()):
            options.out.mkdir(parents=True, exist_ok=True)
            image = one.image.copy()
            for x1, y1, x2, y2 in poses.boxes.round().astype(int).tolist():
                cv2.rectangle(image, (x1, y1), (x2, y2), (0, 255, 0), 2)
            edgepose.write_image(options.out / f"{number}_{name.replace(' ', '_')}.jpg", image)


def estimator(detector: str, score: float | None, way: dict[str, Any]) -> edgepose.Estimator:
    """The default model, whose detector is `detector`, looking in one of the ways."""
    return edgepose.load(detector=detector, min_box_score=score, **way)


def montages(
    labels: Path, pictures: Path, grid: tuple[int, int], cell: int = 480, ids: str = "all"
) -> Iterator[Montage]:
    """Rows x columns of pictures each; what is left over in the end makes one that is not full."""
    content = json.loads(labels.read_text(encoding="utf-8"))
    wanted = {"odd": (1,), "even": (0,), "all": (0, 1)}[ids]
    rows = sorted((row for row in content["images"] if row["id"] % 2 in wanted), key=lambda row: row["id"])
    source = Pictures(pictures)
    for start in range(0, len(rows), grid[0] * grid[1]):
        canvas = np.full((grid[0] * cell, grid[1] * cell, 3), GRAY, np.uint8)
        people, crowds = list[np.ndarray](), list[np.ndarray]()
        for place, row in enumerate(rows[start : start + grid[0] * grid[1]]):
            image = source.read(row["file_name"])
            scale = min(1.0, cell / max(image.shape[:2]))
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
            x, y = place % grid[1] * cell, place // grid[1] * cell
            canvas[y : y + image.shape[0], x : x + image.shape[1]] = image
            for one in content["annotations"]:
                if one["image_id"] == row["id"]:
                    left, top, width, height = (side * scale for side in one["bbox"])
                    box = np.array([left + x, top + y, left + x + width, top + y + height])
                    (crowds if one.get("iscrowd") else people).append(box)
        yield Montage(canvas, np.reshape(people, (-1, 4)), np.reshape(crowds, (-1, 4)))


def heights(boxes: np.ndarray) -> np.ndarray:
    """(N,) of boxes (N, 4)."""
    return np.asarray(boxes[:, 3] - boxes[:, 1])


def counted(montage: Montage, boxes: np.ndarray, below: float) -> tuple[int, int, int, int]:
    """Small people found, all people found, boxes that are right, boxes that count; `boxes` (N, 4), surest first."""
    overlaps = iou(boxes, montage.people)
    found, right, count = np.zeros(len(montage.people), bool), 0, 0
    for row, box in zip(overlaps, boxes, strict=True):
        free = np.where(found, -1.0, row)
        if free.size and free.max() >= 0.5:
            found[free.argmax()] = True
            right, count = right + 1, count + 1
        else:
            count += not _in_crowd(box, montage.crowds)
    return int(found[heights(montage.people) < below].sum()), int(found.sum()), right, count


def _in_crowd(box: np.ndarray, crowds: np.ndarray) -> bool:
    sides = np.minimum(box[2:], crowds[:, 2:]) - np.maximum(box[:2], crowds[:, :2])
    return bool((np.maximum(sides, 0).prod(-1) >= 0.5 * area(box)).any())


if __name__ == "__main__":
    main()
