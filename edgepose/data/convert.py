"""Labels as other tools read them: COCO's form, a YOLO-pose folder, CVAT's XML, Label Studio's JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np

from edgepose.data.images import Pictures
from edgepose.data.memory import Budget
from edgepose.data.sound import PARTS
from edgepose.media.files import atomic_path, make_folder
from edgepose.media.naming import plain
from edgepose.skeleton import Skeleton
from edgepose.skeleton_file import category_fields

To = Literal["coco", "yolo", "cvat", "label-studio"]
Row = dict[str, Any]
SERVED = "/data/local-files/?d="  # where Label Studio looks for files of its own machine


def write_coco(labels: Row, skeleton: Skeleton, out: Path) -> None:
    """One file of images, annotations and categories, with the names of the keypoints and the limbs."""
    fields = category_fields(skeleton) if len(skeleton) else {}
    of_images = ("id", "file_name", "width", "height")
    images = [{key: image[key] for key in of_images if key in image} for image in labels["images"]]
    kept = ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "keypoints", "segmentation")
    annotations = []
    for row in labels["annotations"]:
        points = _points(row, skeleton)
        one = {key: row[key] for key in kept if key in row} | {"keypoints": _flat(points)}
        annotations.append(one | {"num_keypoints": sum(v > 0 for _, _, v in points)})
    categories = [{"id": c["id"], "name": c["name"], **fields} for c in labels["categories"]]
    _write(out, json.dumps({"images": images, "annotations": annotations, "categories": categories}))


def write_yolo(labels: Row, skeleton: Skeleton, out: Path, pictures: str | Path | None) -> None:
    """A folder with data.yaml, labels/train/NAME.txt and, where the pictures are given, images/train/NAME.

    Crowds have no place in this form and are left out. Whoever has no labelled keypoint has zeros for all of them.
    """
    if not len(skeleton):
        raise ValueError("labels without keypoints: YOLO-pose has kpt_shape, expected keypoints in the labels")
    sized = with_sizes(labels, pictures)
    source = None if pictures is None else Pictures(pictures, Budget(0))
    number = {c["id"]: i for i, c in enumerate(labels["categories"])}
    of_image: dict[int, list[Row]] = {image["id"]: [] for image in sized}
    for row in labels["annotations"]:
        if not row["iscrowd"] and "bbox" in row:
            of_image[row["image_id"]].append(row)
    for image in sized:
        name = PurePosixPath(*plain(image["file_name"]))
        size = np.array([image["width"], image["height"]], np.float64)
        lines = [_yolo_line(row, number[row["category_id"]], skeleton, size) for row in of_image[image["id"]]]
        _write(out / "labels" / "train" / name.with_suffix(".txt"), "".join(f"{line}\n" for line in lines))
        if source is not None:
            target = out / "images" / "train" / name
            make_folder(target.parent)
            with atomic_path(target) as temporary:
                temporary.write_bytes(source.data(image["file_name"]))
    text = "path: .\ntrain: images/train\nval: images/train  # name other pictures here\n"
    text += f"kpt_shape: [{len(skeleton)}, 3]\nflip_idx: {skeleton.flip.tolist()}\nnames:\n"
    text += "".join(f"  {i}: {json.dumps(c['name'])}\n" for i, c in enumerate(labels["categories"]))
    text += "kpt_names:\n" + "".join(f"  {i}: {json.dumps(list(skeleton.names))}\n" for i in number.values())
    _write(out / "data.yaml", text)


def write_cvat(labels: Row, skeleton: Skeleton, out: Path, pictures: str | Path | None) -> None:
    """CVAT for images 1.1: a skeleton for everybody with keypoints, a box for the others.

    CVAT imports it into a task of the same pictures whose label has the category's name, is a skeleton, and whose
    points have the names of the keypoints.
    """
    parts = ['<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n']
    titles = {c["id"]: c["name"] for c in labels["categories"]}
    for number, image in enumerate(with_sizes(labels, pictures)):
        facts = f'name={quoteattr(image["file_name"])} width="{image["width"]}" height="{image["height"]}"'
        parts.append(f'  <image id="{number}" {facts}>\n')
        for row in (row for row in labels["annotations"] if row["image_id"] == image["id"]):
            label = quoteattr(titles[row["category_id"]])
            points = _points(row, skeleton)
            if any(v > 0 for _, _, v in points):
                parts.append(f'    <skeleton label={label} source="manual" z_order="0">\n')
                for name, (x, y, v) in zip(skeleton.names, points, strict=True):
                    flags = f'outside="{int(v <= 0)}" occluded="{int(v == 1)}"'
                    parts.append(f'      <points label={quoteattr(name)} {flags} points="{x:.2f},{y:.2f}"></points>\n')
                parts.append("    </skeleton>\n")
            elif "bbox" in row:
                x, y, w, h = row["bbox"]
                sides = f'xtl="{x:.2f}" ytl="{y:.2f}" xbr="{x + w:.2f}" ybr="{y + h:.2f}"'
                parts.append(f'    <box label={label} source="manual" occluded="0" {sides} z_order="0"></box>\n')
        parts.append("  </image>\n")
    _write(out, "".join(parts) + "</annotations>\n")


def write_label_studio(
    labels: Row, skeleton: Skeleton, out: Path, pictures: str | Path | None, served: str = SERVED
) -> Path:
    """Tasks with predictions, which people accept or correct; returns the labelling configuration beside them.

    served: what stands before a picture's name in its address.
    """
    titles = {c["id"]: c["name"] for c in labels["categories"]}
    of_image: dict[int, list[Row]] = {image["id"]: [] for image in labels["images"]}
    for row in labels["annotations"]:
        of_image[row["image_id"]].append(row)
    tasks = []
    for image in with_sizes(labels, pictures):
        results: list[Row] = []
        size = {"original_width": image["width"], "original_height": image["height"], "image_rotation": 0}
        for row in of_image[image["id"]]:
            results += _results(row, titles[row["category_id"]], skeleton, size)
        name = "/".join((*plain(image["file_name"])[:-1], image["file_name"].replace("\\", "/").rpartition("/")[2]))
        address = served + quote(name) if served.endswith("=") else served + name
        tasks.append({"data": {"image": address}, "predictions": [{"model_version": "edgepose", "result": results}]})
    _write(out, json.dumps(tasks))
    points = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in skeleton.names)
    boxes = "".join(f"    <Label value={quoteattr(title)}/>\n" for title in dict.fromkeys(titles.values()))
    config = out.with_name(f"{out.stem}-config.xml")
    first = '<View>\n  <Image name="image" value="$image"/>\n  <RectangleLabels name="box" toName="image">\n'
    second = '  </RectangleLabels>\n  <KeyPointLabels name="kp" toName="image">\n'
    _write(config, f"{first}{boxes}{second}{points}  </KeyPointLabels>\n</View>\n")
    return config


def with_sizes(labels: Row, pictures: str | Path | None) -> list[Row]:
    """The images with width and height, which come from the pictures where the labels do not state them."""
    source = None if pictures is None else Pictures(pictures, Budget(0))
    found = []
    for image in labels["images"]:
        if "width" not in image:
            if source is None:
                raise ValueError(f"no size is stated of {image['file_name']}: add --images FOLDER_OR_ZIP")
            width, height, orientation = source.size(image["file_name"])
            width, height = (height, width) if orientation >= 5 else (width, height)
            image = image | {"width": width, "height": height}
        found.append(image)
    return found


def _yolo_line(row: Row, category: int, skeleton: Skeleton, size: np.ndarray) -> str:
    box = np.array(row["bbox"], np.float64)
    ends = np.clip(np.stack([box[:2], box[:2] + box[2:]]), 0, size)
    center, sides = ends.mean(axis=0) / size, (ends[1] - ends[0]) / size
    words = [str(category), *(f"{v:.6f}" for v in (*center, *sides))]
    for x, y, v in _points(row, skeleton):
        place = np.clip(np.array([x, y]) / size, 0, 1) if v > 0 else np.zeros(2)
        words += [f"{place[0]:.6f}", f"{place[1]:.6f}", str(int(min(v, 2)) if v > 0 else 0)]
    return " ".join(words)


def _results(row: Row, title: str, skeleton: Skeleton, size: Row) -> list[Row]:
    w, h = size["original_width"] / 100, size["original_height"] / 100
    identity = f"a{row['id']}"
    found: list[Row] = []
    if "bbox" in row:
        x, y, bw, bh = row["bbox"]
        value = {"x": x / w, "y": y / h, "width": bw / w, "height": bh / h, "rotation": 0, "rectanglelabels": [title]}
        common = {"from_name": "box", "to_name": "image", "type": "rectanglelabels"}
        found.append({"id": identity, "value": value} | common | size)
    for i, (name, (x, y, v)) in enumerate(zip(skeleton.names, _points(row, skeleton), strict=True)):
        if v > 0:
            value = {"x": x / w, "y": y / h, "width": 0.5, "keypointlabels": [name]}
            one = {"id": f"{identity}k{i}", "from_name": "kp", "to_name": "image", "type": "keypointlabels"}
            hidden = {"meta": {"occluded": True}} if v == 1 else {}
            found.append(one | {"parentID": identity, "value": value} | hidden | size)
    return found


def _points(row: Row, skeleton: Skeleton) -> list[tuple[float, float, float]]:
    """K points x, y, v; zeros where nothing is labelled."""
    if len(skeleton) == sum(n for _, n in PARTS):
        values = [v for name, n in PARTS for v in row.get(name) or [0.0] * 3 * n]
    else:
        values = row.get("keypoints") or [0.0] * 3 * len(skeleton)
    return list(zip(values[::3], values[1::3], values[2::3], strict=True))[: len(skeleton)]


def _flat(points: Sequence[tuple[float, float, float]]) -> list[float]:
    return [value for point in points for value in point]


def _write(path: Path, text: str) -> None:
    make_folder(path.parent)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
