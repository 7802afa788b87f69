"""Plain COCO files of this project's data folder, whose own files say some things in fields that no reader knows.

    python training/prepare_data.py DATA OUT

DATA holds lspet/ or stanford40/ or both. Pictures stay where they are; written are

    OUT/lspet/train.json       people of the training split without those whose picture resembles one of the validation
                               split (`near_dup_of_val`); the boxes that a machine found of everybody else
                               (machine_person_boxes.json) as crowds, so that they are neither people nor background
    OUT/lspet/val.json         people of the validation split
    OUT/lspet/boxes.json       boxes for a detector, of the pictures of train.json: the machine's
    OUT/stanford40/boxes.json  boxes for a detector: the official one of each picture, and the machine's of other
                               people, without those that double the official one (`same_as_xml`)

Machine boxes with a score below SURE are crowds for a detector. Where no sure one fits LSPET's labelled person, the
extent of their joints is a crowd. Keypoints that a machine labelled (`machine_labelled`) are named in the category's
`machine_keypoints` (`edgepose.data.coco`). The crowds of train.json keep the machine's score, which no reader looks at.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from edgepose.data.columns import load_json
from edgepose.geometry import iou
from edgepose.media.files import atomic_path, make_folder

Row = dict[str, Any]
SURE = 0.5  # score from which a machine's box is a person
FITS = 0.5  # IoU of a box and the labelled person whose box it is
IMAGE = ("id", "file_name", "width", "height")
PERSON = ("id", "image_id", "category_id", "iscrowd", "bbox", "area", "num_keypoints", "keypoints")


def prepare(data: Path, out: Path) -> list[Path]:
    """Write what can be written of the sets in `data`; the files, in the order of the list above."""
    written: dict[Path, Row] = {}
    if (data / "lspet").is_dir():
        train, val, machine = (
            load_json(data / "lspet" / name)
            for name in ("annotations_train.json", "annotations_val.json", "machine_person_boxes.json")
        )
        images = [image for image in train["images"] if "near_dup_of_val" not in image]
        written[out / "lspet" / "train.json"] = lspet_people(train, images, machine["boxes"])
        written[out / "lspet" / "val.json"] = lspet_people(val, val["images"], [])
        written[out / "lspet" / "boxes.json"] = lspet_boxes(train, images, machine["boxes"])
    if (data / "stanford40").is_dir():
        content = load_json(data / "stanford40" / "annotations.json")
        written[out / "stanford40" / "boxes.json"] = stanford40_boxes(content)
    if not written:
        raise FileNotFoundError(f"{data} has neither a folder lspet nor stanford40: expected the project's data folder")
    for path, content in written.items():
        make_folder(path.parent)
        with atomic_path(path) as partial:
            partial.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
        crowds = sum(row["iscrowd"] for row in content["annotations"])
        people = len(content["annotations"]) - crowds
        print(f"wrote {path}: {len(content['images'])} pictures, {people} people, {crowds} crowds")
    return list(written)


def lspet_people(content: Row, images: list[Row], machine: list[list[Any]]) -> Row:
    """The labelled person of each of `images`, and the rows of `machine` that are somebody else, as crowds."""
    kept = {image["id"] for image in images}
    rows = [row for row in content["annotations"] if row["image_id"] in kept]
    (category,) = content["categories"]
    nothing = [0] * 3 * len(category["keypoints"])
    number = max(row["id"] for row in rows) + 1
    others = [
        crowd(number + i, image, box) | {"keypoints": nothing, "num_keypoints": 0, "score": score}
        for i, (image, *box, score, labelled) in enumerate(machine)
        if image in kept and not labelled
    ]
    return {
        "images": [only(image, IMAGE) for image in images],
        "annotations": [only(row, PERSON) for row in rows] + others,
        "categories": [category | {"machine_keypoints": machine_keypoints(rows, category["keypoints"])}],
    }


def machine_keypoints(rows: Iterable[Row], names: list[str]) -> list[str]:
    """Which keypoints a machine labelled, in the order of `names`; they must be its own, whoever has them."""
    rows = list(rows)
    by_machine = {name for row in rows for name in row.get("machine_labelled", ())}
    for row in rows:
        seen = {name for name, flag in zip(names, row["keypoints"][2::3], strict=True) if flag}
        by_hand = seen & by_machine - set(row.get("machine_labelled", ()))
        if by_hand:
            raise ValueError(
                f"annotation {row['id']} has {sorted(by_hand)} by hand, which a machine labelled for others: a "
                "category can only say one of the two, so leave the machine's out"
            )
    return [name for name in names if name in by_machine]


def lspet_boxes(content: Row, images: list[Row], machine: list[list[Any]]) -> Row:
    """The machine's boxes on `images`, and labelled people whom no sure one fits as crowds."""
    people = {row["image_id"]: row["bbox"] for row in content["annotations"]}
    found: dict[int, list[tuple[list[float], bool]]] = {image["id"]: [] for image in images}
    for image, *box, score, _ in machine:
        if image in found:
            found[image].append((box, score >= SURE))
    for image, rows in found.items():
        sure = [box for box, is_sure in rows if is_sure]
        if image in people and iou(corners([people[image]]), corners(sure)).max(initial=0.0) < FITS:
            rows.append((people[image], False))
    return boxes(images, ((image, *row) for image, rows in found.items() for row in rows))


def stanford40_boxes(content: Row) -> Row:
    """Official boxes and the machine's of other people."""
    rows = [row for row in content["annotations"] if not row.get("same_as_xml")]
    return boxes(content["images"], ((row["image_id"], row["bbox"], row.get("score", 1.0) >= SURE) for row in rows))


def boxes(images: list[Row], rows: Iterable[tuple[int, list[float], bool]]) -> Row:
    """A file for detectors of rows (picture, x y w h, whether it is a person for certain)."""
    annotations = [crowd(i, image, box) | {"iscrowd": int(not sure)} for i, (image, box, sure) in enumerate(rows, 1)]
    return {
        "images": [only(image, IMAGE) for image in images],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }


def crowd(identity: int, image: int, box: list[float]) -> Row:
    """A region that may show people."""
    area = round(box[2] * box[3], 2)
    return {"id": identity, "image_id": image, "category_id": 1, "iscrowd": 1, "bbox": box, "area": area}


def only(row: Row, names: tuple[str, ...]) -> Row:
    return {name: row[name] for name in names if name in row}


def corners(rows: list[list[float]]) -> np.ndarray:
    """Boxes x, y, w, h -> (N, 4) x1, y1, x2, y2."""
    found = np.array(rows, np.float32).reshape(-1, 4)
    return np.concatenate([found[:, :2], found[:, :2] + found[:, 2:]], axis=1)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    prepare(Path(sys.argv[1]), Path(sys.argv[2]))
