"""Keypoints for Stanford 40's people, to train on: eyes and noses of its faces, and joints of which a network is sure.

    python training/label_stanford.py BOXES.json STANFORD_FOLDER POSE_MODEL.onnx OUT.json

BOXES.json is stanford40/boxes.json of `prepare_data.py`; pictures and faces are those of the data folder's stanford40/.
Six views of a person are looked at, three sizes of the box and their mirror images. A joint counts where all six agree:
at most `SPREAD` of the box's size away from the median place on average, with a mean score of at least `SCORE`. The
faces (YuNet, score at least `FACE`) give both eyes and the nose to the smallest box that holds them in its upper half.
The rest stays unlabelled: no target, no loss.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import edgepose
from edgepose.data.images import Pictures
from edgepose.media.files import atomic_path
from edgepose.skeleton import COCO

SIZES = (0.9, 1.0, 1.15)
SCORE, SPREAD, FACE, SIDE = 0.6, 0.03, 0.8, 40.0


def agreed(estimator: edgepose.Estimator, image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, K, 2) places of the joints in boxes (N, 4), and (N, K) whether the views agree on them."""
    mirrored, right = np.ascontiguousarray(image[:, ::-1]), image.shape[1] - 1
    center, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    places, scores = [], []
    for size in SIZES:
        seen = np.concatenate([center - half * size, center + half * size], axis=1)
        poses = estimator(image, boxes=seen)
        places.append(poses.keypoints)
        scores.append(poses.scores)
        poses = estimator(mirrored, boxes=np.stack([right - seen[:, 2], seen[:, 1], right - seen[:, 0], seen[:, 3]], 1))
        back = poses.keypoints[:, COCO.flip]
        places.append(np.stack([right - back[..., 0], back[..., 1]], axis=-1))
        scores.append(poses.scores[:, COCO.flip])
    middle = np.median(places, axis=0)
    spread = np.linalg.norm(places - middle, axis=-1).mean(axis=0) / (2 * np.sqrt(half.prod(axis=1)))[:, None]
    inside = (middle >= 0).all(-1) & (middle < np.array(image.shape[1::-1])).all(-1)
    return middle, (spread <= SPREAD) & (np.mean(scores, axis=0) >= SCORE) & inside


def put_faces(points: np.ndarray, sure: np.ndarray, boxes: np.ndarray, faces: list[dict]) -> None:
    """Write eyes and noses into `points` (N, K, 2) and `sure` (N, K)."""
    for face in faces:
        right_eye, left_eye, nose = np.reshape(face["points"], (-1, 2))[:3]
        x, y = nose
        width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
        holds = (x > boxes[:, 0]) & (x < boxes[:, 2]) & (y > boxes[:, 1]) & (y < boxes[:, 1] + height / 2)
        holds &= face["bbox"][3] < 0.9 * height
        if not holds.any():
            continue
        person = int(np.where(holds, width * height, np.inf).argmin())
        for name, place in (("nose", nose), ("left_eye", left_eye), ("right_eye", right_eye)):
            points[person, COCO.names.index(name)] = place
            sure[person, COCO.names.index(name)] = True


def main(boxed: Path, folder: Path, model: Path, out: Path) -> None:
    content = json.loads(boxed.read_text(encoding="utf-8"))
    pictures = Pictures(folder / "images.zip")
    estimator = edgepose.load(model, detector=None)
    faces: dict[int, list[dict]] = {}
    for face in json.loads((folder / "annotations.json").read_text(encoding="utf-8"))["faces"]:
        if face["score"] >= FACE:
            faces.setdefault(face["image_id"], []).append(face)
    people: dict[int, list[list[float]]] = {}
    for row in content["annotations"]:
        if not row["iscrowd"] and min(row["bbox"][2:]) >= SIDE:
            people.setdefault(row["image_id"], []).append(row["bbox"])
    rows = []
    for picture in content["images"]:
        found = people.get(picture["id"])
        if not found:
            continue
        boxes = np.array(found, np.float64)
        boxes[:, 2:] += boxes[:, :2]
        points, sure = agreed(estimator, pictures.read(picture["file_name"]), boxes)
        put_faces(points, sure, boxes, faces.get(picture["id"], []))
        for box, place, flag in zip(found, points, sure, strict=True):
            if flag.sum() < 3:
                continue
            triples = np.concatenate([np.where(flag[:, None], place, 0).round(1), flag[:, None] * 2], axis=1)
            rows.append(
                {
                    "id": len(rows) + 1, "image_id": picture["id"], "category_id": 1, "iscrowd": 0, "bbox": box,
                    "area": box[2] * box[3], "num_keypoints": int(flag.sum()), "keypoints": triples.ravel().tolist(),
                }
            )  # fmt: skip
    category = {"id": 1, "name": "person", "keypoints": list(COCO.names)}
    result = {"images": content["images"], "annotations": rows, "categories": [category]}
    with atomic_path(out) as path:
        path.write_text(json.dumps(result), encoding="utf-8")
    labelled = np.array([row["keypoints"][2::3] for row in rows]) > 0
    print(f"wrote {out}: {len(rows)} people; labelled share of each keypoint:")
    print(", ".join(f"{name} {share:.2f}" for name, share in zip(COCO.names, labelled.mean(axis=0), strict=True)))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:5]))
