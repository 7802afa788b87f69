"""LSPET for the small bottom-up runs: training labels without the last 300 pictures, and those 300 to validate on.

python training/lspet_held_out.py TRAIN.json IMAGES.zip OUT [FIRST FIRST_OF_MOSAICS END]

TRAIN.json is lspet/train.json of `prepare_data.py`, IMAGES.zip LSPET's pictures. Writes OUT/train.json, to be read with
IMAGES.zip, and OUT/val.json with OUT/val/: the pictures of ids 9200-9299 as they are, those of 9300-9499 as 50 mosaics
of four, since a bottom-up network must tell people apart. Other ids are the first, the first of the mosaics and the
end; training labels then end before the first too. Everybody but the labelled person is a region to ignore: the crowds
of TRAIN.json, apart from unsure ones (score below 0.5) that lie inside the labelled person and are most often its arms
and legs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgepose.data.images import Pictures
from edgepose.geometry import middle_matrix, transform
from edgepose.media.files import atomic_path

FIRST, FIRST_OF_MOSAICS, END, TILE = 9200, 9300, 9500, 256


def main(
    labels: Path, archive: Path, out: Path, first: int = FIRST, of_mosaics: int = FIRST_OF_MOSAICS, end: int = END
) -> None:
    """Read LSPET's training labels and pictures, write both sets to `out`."""
    content = json.loads(labels.read_text(encoding="utf-8"))
    images = {i["id"]: i for i in content["images"]}
    people = {a["image_id"]: a for a in content["annotations"] if not a["iscrowd"]}
    others: dict[int, list[list[float]]] = {identity: [] for identity in images}
    for a in content["annotations"]:
        identity, box = a["image_id"], a["bbox"]
        if a["iscrowd"] and (a["score"] >= 0.5 or inside(box, people[identity]["bbox"]) < 0.5):
            others[identity].append(box)
    (out / "val").mkdir(parents=True, exist_ok=True)
    pictures = Pictures(archive)
    training, held = [i for i in images if i < first], [i for i in images if first <= i < end]
    scenes = [[i] for i in held if i < of_mosaics]
    rest = [i for i in held if i >= of_mosaics]
    scenes += [rest[k : k + 4] for k in range(0, len(rest) - 3, 4)]
    rows: list[dict[str, Any]] = []
    listed = []
    for number, members in enumerate(scenes):
        tiles = [pictures.read(images[i]["file_name"]) for i in members]
        matrices = [np.eye(2, 3)] if len(tiles) == 1 else [tile_matrix(k, tile) for k, tile in enumerate(tiles)]
        image = tiles[0] if len(tiles) == 1 else mosaic(tiles, matrices)
        name = f"{number:03}.png"
        cv2.imwrite(str(out / "val" / name), image)
        listed.append({"id": number, "file_name": name, "width": image.shape[1], "height": image.shape[0]})
        for i, matrix in zip(members, matrices, strict=True):
            rows += moved(people[i], others[i], matrix, number)
    write(out / "val.json", content, listed, rows)
    rows = [row for i in training for row in moved(people[i], others[i], np.eye(2, 3), i)]
    write(out / "train.json", content, [images[i] for i in training], rows)


def inside(box: list[float], other: list[float]) -> float:
    """Share of a box x, y, w, h that lies in another."""
    sides = [min(box[k] + box[k + 2], other[k] + other[k + 2]) - max(box[k], other[k]) for k in (0, 1)]
    return max(sides[0], 0.0) * max(sides[1], 0.0) / max(box[2] * box[3], 1e-9)


def tile_matrix(place: int, image: np.ndarray) -> np.ndarray:
    """(2, 3) from a picture to the middle of its tile."""
    matrix = middle_matrix((image.shape[1], image.shape[0]), (TILE, TILE)).copy()
    matrix[:, 2] += (place % 2 * TILE, place // 2 * TILE)
    return matrix


def mosaic(tiles: list[np.ndarray], matrices: list[np.ndarray]) -> np.ndarray:
    """Four pictures as one, two by two."""
    image = np.zeros((2 * TILE, 2 * TILE, 3), np.uint8)
    for tile, matrix in zip(tiles, matrices, strict=True):
        warped = cv2.warpAffine(tile, matrix, (2 * TILE, 2 * TILE), flags=cv2.INTER_LINEAR)
        image = np.maximum(image, warped)
    return image


def moved(person: dict[str, Any], others: list[list[float]], matrix: np.ndarray, image: int) -> list[dict[str, Any]]:
    """Annotations of one picture where `matrix` puts them: the person's, and a crowd for each of the others."""
    scale = float(matrix[0, 0])
    flat = np.array(person["keypoints"], np.float64).reshape(-1, 3)
    flat[:, :2] = np.where(flat[:, 2:] > 0, transform(flat[None, :, :2], matrix)[0], 0)
    here = {**person, "image_id": image, "bbox": placed(person["bbox"], matrix), "area": person["area"] * scale**2}
    here["keypoints"] = flat.round(2).ravel().tolist()
    crowds = [
        {"id": 100_000 + 100 * person["id"] + k, "image_id": image, "category_id": 1, "iscrowd": 1, "num_keypoints": 0,
         "bbox": placed(box, matrix), "area": box[2] * box[3] * scale**2, "keypoints": [0] * flat.size}
        for k, box in enumerate(others)
    ]  # fmt: skip
    return [here, *crowds]


def placed(box: list[float], matrix: np.ndarray) -> list[float]:
    """x, y, w, h where `matrix` (a scale and a shift) puts it."""
    corner = matrix[:, :2] @ box[:2] + matrix[:, 2]
    return [round(float(v), 2) for v in (*corner, *(matrix[0, 0] * np.array(box[2:])))]


def write(path: Path, content: dict[str, Any], images: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    """A COCO-style file."""
    file = {"categories": content["categories"], "images": images, "annotations": rows}
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(file), encoding="utf-8")
    print(f"wrote {path}: {len(images)} pictures, {sum(not row['iscrowd'] for row in rows)} people")


if __name__ == "__main__":
    if len(sys.argv) not in (4, 7):
        sys.exit(__doc__)
    main(*map(Path, sys.argv[1:4]), *map(int, sys.argv[4:7]))
