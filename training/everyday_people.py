"""Keypoints by a teacher for the people of github.com/brianhuster/human-dataset (CC BY 4.0).

    git clone --bare https://github.com/brianhuster/human-dataset human.git
    python training/everyday_people.py human.git TEACHER.onnx OUT [PART PARTS]

12,208 pictures with boxes of people, all stretched to 416 x 416 and some turned. Those named by twelve digits are COCO's
and left out, since some of them are of val2017. Each of the others gets the aspect under which the teacher is surest of
its two largest people, or where no aspect convinces the quarter turn. Then the teacher labels everybody at least LEAST
pixels high: OUT/people.json.gz with its scores (`kp_scores`), and OUT/images.zip with the pictures as they were.
A person with fewer than SEEN keypoints above SURE, or a mean of theirs below MEAN, is a region to ignore (`iscrowd`).
PART and PARTS: the PARTth of PARTS shares, into OUT/PART, for several processes; without them the shares that are there
are put together, or where there are none everything is done.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import edgepose
from edgepose.poses import Poses
from edgepose.runtime.estimator import Estimator
from edgepose.skeleton import COCO

ASPECTS = (1.0, 4 / 3, 3 / 2, 16 / 9, 3 / 4, 2 / 3, 9 / 16)  # of the picture before it was squeezed
CONVINCED = 0.6  # mean score of the two largest people from which no quarter turn is tried
LEAST = 48  # pixels that a box is high, after the squeeze is undone
MOST = 8  # people of a picture that are labelled: the largest
SURE, SEEN, MEAN = 0.35, 6, 0.5
LONGEST = 480  # pixels of the longer side of a picture that is written


def pictures(repository: str, part: int, parts: int) -> Iterator[tuple[int, str, bytes, str]]:
    """Number, name, JPEG and label text of a share of the pictures that are not COCO's, in the order of their names."""
    git = ["git", "--git-dir", repository]
    listing = subprocess.run([*git, "ls-tree", "-r", "HEAD"], capture_output=True, text=True, check=True).stdout
    blobs = {line.split("\t")[1]: line.split()[2] for line in listing.splitlines()}

    def content(path: str) -> bytes:
        return subprocess.run([*git, "cat-file", "blob", blobs[path]], capture_output=True, check=True).stdout

    images = sorted(path for path in blobs if "/images/" in path)
    others = [path for path in images if not path.rsplit("/", 1)[1][:12].isdigit()]
    for number, path in list(enumerate(others, 1))[part::parts]:
        labels = path.replace("/images/", "/labels/").removesuffix(".jpg") + ".txt"
        text = content(labels).decode() if labels in blobs else ""
        yield number, path.rsplit("/", 1)[1], content(path), text


def boxes_of(text: str) -> np.ndarray:
    """(N, 4) corners as parts of the picture, from lines of class, middle and size, or of a polygon."""
    rows = []
    for line in text.splitlines():
        numbers = np.array(line.split()[1:], float)
        if len(numbers) == 4:
            rows.append([*(numbers[:2] - numbers[2:] / 2), *(numbers[:2] + numbers[2:] / 2)])
        elif len(numbers) >= 6:
            corners = numbers.reshape(-1, 2)
            rows.append([*corners.min(0), *corners.max(0)])
    return np.clip(np.array(rows, float).reshape(-1, 4), 0, 1)


def restored(image: np.ndarray, boxes: np.ndarray, aspect: float, turns: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture at an aspect (after quarter turns, counter-clockwise), and the boxes (N, 4) in its pixels."""
    for _ in range(turns):
        image = cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE)
        boxes = np.stack([boxes[:, 1], 1 - boxes[:, 2], boxes[:, 3], 1 - boxes[:, 0]], axis=1)
    width, height = (LONGEST, round(LONGEST / aspect)) if aspect >= 1 else (round(LONGEST * aspect), LONGEST)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), boxes * [width, height, width, height]


def seen(teacher: Estimator, image: np.ndarray, boxes: np.ndarray) -> Poses:
    """What the teacher finds in boxes (N, 4), in their order."""
    return teacher(image, boxes=boxes)


def best(quick: Estimator, image: np.ndarray, boxes: np.ndarray) -> tuple[float, int]:
    """The aspect and the quarter turns under which the two largest people are surest."""
    largest = boxes[np.argsort(-np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))[:2]]
    surest = (-1.0, 1.0, 0)
    for turns in (0, 1, 3, 2):
        for aspect in ASPECTS if turns == 0 else (3 / 4, 4 / 3):
            score = float(seen(quick, *restored(image, largest, aspect, turns)).scores.mean())
            surest = max(surest, (score, aspect, turns))
        if surest[0] >= CONVINCED:
            break
    return surest[1:]


def label(repository: str, model: str, out: Path, part: int, parts: int) -> None:
    """Label a share of the pictures into OUT/PART."""
    folder = out / str(part)
    folder.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"backend": "onnxruntime", "threads": 1, "min_score": 0.0}
    quick, teacher = edgepose.load(model, **options), edgepose.load(model, flip_test=True, **options)
    images: list[dict[str, Any]] = []
    people: list[dict[str, Any]] = []
    with zipfile.ZipFile(folder / "images.zip", "w", zipfile.ZIP_STORED) as archive:
        for number, name, jpeg, text in pictures(repository, part, parts):
            boxes = boxes_of(text)
            picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
            if picture is None or not len(boxes):
                continue
            image, corners = restored(picture, boxes, *best(quick, picture, boxes))
            order = np.argsort(-np.prod(corners[:, 2:] - corners[:, :2], axis=1))
            high = corners[order, 3] - corners[order, 1] >= LEAST
            rows = people_of(teacher, image, corners[order], high & (np.arange(len(order)) < MOST))
            if all(row["iscrowd"] for row in rows):
                continue
            file = name.rsplit(".", 1)[0] + ".webp"
            archive.writestr(file, cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, 70])[1].tobytes())
            height, width = image.shape[:2]
            images.append({"id": number, "file_name": file, "width": width, "height": height})
            people += [{"image_id": number, "category_id": 1, **row} for row in rows]
            if len(images) % 200 == 0:
                print(f"part {part}: picture {number}, {len(images)} kept", flush=True)
    write(folder / "people.json.gz", images, people)


def people_of(teacher: Estimator, image: np.ndarray, boxes: np.ndarray, wanted: np.ndarray) -> list[dict[str, Any]]:
    """COCO annotations of boxes (N, 4): keypoints of those `wanted` (N,) of whom the teacher is sure, else crowds."""
    poses = seen(teacher, image, boxes[wanted]) if wanted.any() else None
    rows = []
    found = iter(range(int(wanted.sum())))
    for box, look in zip(boxes, wanted, strict=True):
        x, y, right, bottom = (round(float(value), 1) for value in box)
        row: dict[str, Any] = {"bbox": [x, y, round(right - x, 1), round(bottom - y, 1)], "iscrowd": 1}
        row["area"] = round(row["bbox"][2] * row["bbox"][3], 1)
        if look and poses is not None:
            person = next(found)
            scores, sure = poses.scores[person], poses.scores[person] >= SURE
            if sure.sum() >= SEEN and scores[sure].mean() >= MEAN:
                points = np.where(sure[:, None], poses.keypoints[person].round(1), 0)
                row["keypoints"] = np.column_stack([points, 2 * sure]).ravel().round(1).tolist()
                row |= {"num_keypoints": int(sure.sum()), "kp_scores": scores.round(3).tolist(), "iscrowd": 0}
        rows.append(row)
    return rows


def write(path: Path, images: list[dict[str, Any]], people: list[dict[str, Any]]) -> None:
    """A COCO file, with the keypoints' names and numbered annotations."""
    category = {"id": 1, "name": "person", "keypoints": list(COCO.names)}
    rows = [{"id": i, **row} for i, row in enumerate(people, 1)]
    content = {"images": images, "annotations": rows, "categories": [category]}
    with gzip.open(path, "wt", encoding="utf-8") as file:
        json.dump(content, file, separators=(",", ":"))


def together(out: Path, parts: list[Path]) -> None:
    """One set of all shares."""
    images, people = [], []
    with zipfile.ZipFile(out / "images.zip", "w", zipfile.ZIP_STORED) as archive:
        for part in parts:
            with gzip.open(part / "people.json.gz", "rt", encoding="utf-8") as file:
                content = json.load(file)
            images += content["images"]
            people += [{k: v for k, v in row.items() if k != "id"} for row in content["annotations"]]
            with zipfile.ZipFile(part / "images.zip") as share:
                for name in share.namelist():
                    archive.writestr(name, share.read(name))
    write(out / "people.json.gz", images, people)
    labelled = sum(not row["iscrowd"] for row in people)
    print(f"{len(images)} pictures, {labelled} people with keypoints, {len(people) - labelled} to ignore")


def main(repository: str, model: str, out: str, part: str = "", parts: str = "") -> None:
    folder = Path(out)
    if part:
        label(repository, model, folder, int(part), int(parts))
        return
    if not (done := sorted(path.parent for path in folder.glob("*/people.json.gz"))):
        label(repository, model, folder, 0, 1)
        done = [folder / "0"]
    together(folder, done)


if __name__ == "__main__":
    main(*sys.argv[1:])
