"""Boxes of everybody on pictures whose labels name only some people.

    python training/label_boxes.py LABELS.json[.gz] PICTURES DETECTOR.onnx OUT.json [own]

DETECTOR is an ONNX detector of people with a spec beside it; it looks at 640 pixels. The boxes of LABELS stay (with
`own` they are left out, where a machine made them too); those that the detector finds elsewhere (IoU with each of
them below 0.5) are added: from a score of 0.5 on as people, from 0.25 on as regions to ignore (`iscrowd`).
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgepose.data.columns import load_json
from edgepose.data.images import Pictures
from edgepose.geometry import iou
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.session import Session
from edgepose.spec import ModelSpec
from edgepose.train.distil.teacher import resized

SIDE, SURE, PERHAPS, SAME = 640, 0.5, 0.25, 0.5


def larger(path: Path) -> Session:
    """The detector at SIDE pixels."""
    spec = ModelSpec.beside(path)
    if spec is None:
        raise FileNotFoundError(f"{path} has no spec: expected {path.with_suffix('.json')}")
    spec = replace(spec, input_size=(SIDE, SIDE))
    return Session(resized(path, spec), spec, threads=1)


def main(labels: str, pictures: str, detector: str, out: str, own: str = "") -> None:
    content = load_json(labels)
    archive = Pictures(pictures)
    given: dict[int, list[list[float]]] = {}
    for row in content["annotations"]:
        given.setdefault(row["image_id"], []).append(row["bbox"])
    rows = []
    estimator = Estimator(larger(Path(detector)), min_box_score=PERHAPS)
    for done, image in enumerate(content["images"], 1):
        found = estimator(archive.read(image["file_name"]))
        kept = [] if own else given.get(image["id"], [])
        corners = np.array(kept, np.float32).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        rows += [(image["id"], box, 0) for box in kept]
        for box, score in zip(found.boxes, found.person_scores, strict=True):
            if iou(box[None], corners).max(initial=0.0) < SAME:
                x1, y1, x2, y2 = box.round(1).tolist()
                rows.append((image["id"], [x1, y1, round(x2 - x1, 1), round(y2 - y1, 1)], int(score < SURE)))
        if done % 500 == 0:
            print(f"{done}/{len(content['images'])} pictures", flush=True)
    annotations = [
        {"id": i, "image_id": image, "category_id": 1, "iscrowd": perhaps, "bbox": box, "area": box[2] * box[3]}
        for i, (image, box, perhaps) in enumerate(rows, 1)
    ]
    images = [{key: image[key] for key in ("id", "file_name", "width", "height")} for image in content["images"]]
    text = json.dumps(
        {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]},
        separators=(",", ":"),
    )
    Path(out).write_text(text, encoding="utf-8")
    sure = sum(not row[2] for row in rows)
    print(f"wrote {out}: {len(images)} pictures, {sure} people, {len(rows) - sure} regions to ignore")


if __name__ == "__main__":
    main(*sys.argv[1:])
