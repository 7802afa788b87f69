"""Formats of their own: AI Challenger's, MPII's (as converted for the published trainers), OCHuman's, LSP's joints.mat.

Each becomes the same columns as COCO's form; visibility codes become COCO's 0, 1 (hidden), 2 (seen).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgepose.data.coco import centered_boxes, stated_sizes
from edgepose.data.columns import Columns, Problems, Row, load_json, numbers, rows_of, texts
from edgepose.data.people import People
from edgepose.skeleton import AIC, COCO19, LSP, MPII, SYNONYMS

MARGIN = 0.1  # of sqrt(w x h), around the joints of LSP's people, who have no boxes
HEADS = "mpii_gt_val.mat"  # what the published evaluation of MPII reads head boxes from


def read_aic(annotations: str | Path, pictures: str | Path | None = None, problems: Problems = None) -> People:
    """AI Challenger's own list: per picture `keypoint_annotations` and `human_annotations` by person ("human1").

    Its codes are 1 seen, 2 hidden, 3 not labelled; boxes are x1, y1, x2, y2.
    """
    return of_aic(load_json(annotations), annotations, pictures, problems)


def of_aic(content: Any, path: str | Path, pictures: str | Path | None, problems: Problems) -> People:
    """What `read_aic` does, of a file that was read already."""
    images = rows_of(content, None, path)
    people: list[Row] = []
    picture = []
    for i, image in enumerate(images):
        keypoints, boxes = image.get("keypoint_annotations"), image.get("human_annotations")
        if not isinstance(keypoints, dict) or not isinstance(boxes, dict):
            raise ValueError(f"{path}: image number {i + 1} lacks `keypoint_annotations` or `human_annotations`")
        for name, points in keypoints.items():
            people.append({"keypoints": points, "box": boxes.get(name)})
            picture.append(i)
    points = numbers(people, "keypoints", 3 * len(AIC), path, "person").reshape(-1, len(AIC), 3)
    points[..., 2] = _translated(points[..., 2], {0: 0, 1: 2, 2: 1, 3: 0}, path)
    boxes = numbers(people, "box", 4, path, "person")
    boxes[:, 2:] -= boxes[:, :2]
    names = [name if Path(name).suffix else f"{name}.jpg" for name in texts(images, "image_id", path)]
    return Columns(path, AIC, points, boxes, np.array(picture, np.int64), names).people(pictures, problems)


def read_mpii(
    annotations: str | Path,
    pictures: str | Path | None = None,
    problems: Problems = None,
    heads: str | Path | None = None,
) -> People:
    """MPII as a list of people with `joints`, `joints_vis`, `center`, `scale` and `image` (mpii_train.json).

    Joints and centers count pixels from 1 there and from 0 here: PCKh adds the 1 to predictions instead.

    Args:
        heads: mpii_gt_val.mat, whose head boxes (`headboxes_src`) PCKh needs; the one beside the annotations where it
            has as many people.
    """
    return of_mpii(load_json(annotations), annotations, pictures, problems, heads)


def of_mpii(
    content: Any, path: str | Path, pictures: str | Path | None, problems: Problems, heads: str | Path | None = None
) -> People:
    """What `read_mpii` does, of a file that was read already."""
    rows = rows_of(content, None, path)
    flat: list[Row] = []
    for i, row in enumerate(rows):
        joints = row.get("joints")
        if not isinstance(joints, list) or not all(isinstance(joint, list) and len(joint) == 2 for joint in joints):
            raise ValueError(
                f"{path}: `joints` of person number {i + 1} is no list of x, y: expected the train or val list"
            )
        flat.append({"joints": [v for joint in joints for v in joint]})
    points = np.zeros((len(rows), len(MPII), 3), np.float32)
    points[..., :2] = numbers(flat, "joints", 2 * len(MPII), path, "person").reshape(-1, len(MPII), 2) - 1
    points[..., 2] = 2 * (numbers(rows, "joints_vis", len(MPII), path, "person") > 0)
    every = texts(rows, "image", path, "person")
    names = list(dict.fromkeys(every))
    index = {name: i for i, name in enumerate(names)}
    more = {}
    beside = Path(path).with_name(HEADS)
    if heads is not None or beside.is_file():
        found = _head_sizes(heads or beside)
        if len(found) == len(rows):
            more["heads"] = found
        elif heads is not None:
            raise ValueError(f"{heads} has head boxes of {len(found)} people, {path} has {len(rows)}")
    picture = np.array([index[name] for name in every], np.int64)
    boxes = centered_boxes(rows, path)
    return Columns(path, MPII, points, boxes, picture, names, clip=False, more=more).people(pictures, problems)


def read_ochuman(annotations: str | Path, pictures: str | Path | None = None, problems: Problems = None) -> People:
    """OCHuman's own file: `images` with their people inside, 19 named keypoints, boxes x1, y1, x2, y2.

    The keypoints come in the order of `coco19`. People without keypoints (only boxed) are unlabelled. Of its codes 1
    (seen) and 2 (covered by the person's own body) are seen, 3 (covered by others) is hidden: its own converter's rule.
    """
    return of_ochuman(load_json(annotations), annotations, pictures, problems)


def of_ochuman(content: Any, path: str | Path, pictures: str | Path | None, problems: Problems) -> People:
    """What `read_ochuman` does, of a file that was read already."""
    images = rows_of(content, "images", path)
    named = content["keypoint_names"]
    plain = [SYNONYMS.get(str(name), str(name)) for name in named] if isinstance(named, list) else []
    order = [plain.index(name) for name in COCO19.names if name in plain]
    if len(order) < len(COCO19) or len(plain) != len(order):
        raise ValueError(f"{path} names the keypoints {named}, expected OCHuman's 19: those of coco19 in any order")
    people: list[Row] = []
    picture = []
    for i, image in enumerate(images):
        if not isinstance(image.get("annotations"), list):
            raise ValueError(f"{path}: `annotations` of image number {i + 1} is missing, expected a list of people")
        for person in rows_of(image, "annotations", path):
            people.append(person)
            picture.append(i)
    points = np.zeros((len(people), len(COCO19), 3), np.float32)
    has = [i for i, person in enumerate(people) if person.get("keypoints")]
    listed = numbers([people[i] for i in has], "keypoints", 3 * len(COCO19), path, "person")
    points[has] = listed.reshape(-1, len(COCO19), 3)[:, order]
    points[..., 2] = _translated(points[..., 2], {0: 0, 1: 2, 2: 2, 3: 1}, path)
    boxes = numbers(people, "bbox", 4, path, "person")
    boxes[:, 2:] -= boxes[:, :2]
    names = texts(images, "file_name", path)
    columns = Columns(path, COCO19, points, boxes, np.array(picture, np.int64), names, stated_sizes(images))
    return columns.people(pictures, problems)


def read_lsp(annotations: str | Path, pictures: str | Path | None = None, problems: Problems = None) -> People:
    """LSP's or LSPET's joints.mat: one person per picture, im0001.jpg (LSP) or im00001.jpg (LSPET) and so on.

    The two files look alike and mean different things: LSP's (3, 14, N) marks hidden joints with 1, LSPET's (14, 3, N)
    labelled ones. Boxes are the extent of the joints, grown on every side by MARGIN x sqrt(w x h).
    """
    joints = _matrix(annotations, "joints")
    if joints.ndim != 3 or sorted(joints.shape[:2]) != [3, 14]:
        raise ValueError(
            f"{annotations}: `joints` is {joints.shape}, expected (3, 14, N) of LSP or (14, 3, N) of LSPET"
        )
    extended = joints.shape[0] == 14
    points = joints.transpose(2, 0, 1) if extended else joints.transpose(2, 1, 0)  # (P, 14, 3)
    points = np.array(points, np.float32)
    flag = points[..., 2] > 0
    points[..., 2] = np.where(flag, 2, 0) if extended else np.where(flag, 1, 2)
    boxes = joint_boxes(points)
    names = [f"im{i + 1:0{5 if extended else 4}d}.jpg" for i in range(len(points))]
    who = np.arange(len(points))
    return Columns(annotations, LSP, points, boxes, who, names).people(pictures, problems)


def joint_boxes(points: np.ndarray) -> np.ndarray:
    """(P, 4) x, y, w, h around the labelled of points (P, K, 3), with LSP's margin; zeros where none is."""
    seen = points[..., 2:] > 0
    low = np.where(seen, points[..., :2], np.inf).min(axis=1)
    high = np.where(seen, points[..., :2], -np.inf).max(axis=1)
    nobody = ~seen.any(axis=(1, 2))
    low[nobody], high[nobody] = 0, 0
    sides = high - low
    margin = MARGIN * np.sqrt(sides.prod(axis=1, keepdims=True))
    return np.concatenate([low - margin, sides + 2 * margin], axis=1).astype(np.float32)


def _translated(codes: np.ndarray, table: dict[int, int], path: str | Path) -> np.ndarray:
    """Visibility codes (P, K) of a set as COCO's."""
    strange = ~np.isin(codes, list(table))
    if strange.any():
        raise ValueError(f"{path} has the visibility code {codes[strange][0]:g}, expected one of {sorted(table)}")
    return np.array([table.get(i, 0) for i in range(max(table) + 1)], np.float32)[codes.astype(int)]


def _head_sizes(path: str | Path) -> np.ndarray:
    """(N,) 0.6 x the diagonal of the head boxes (2, 2, N) in MPII's evaluation file."""
    boxes = _matrix(path, "headboxes_src")
    if boxes.ndim != 3 or boxes.shape[:2] != (2, 2):
        raise ValueError(f"{path}: `headboxes_src` is {boxes.shape}, expected (2, 2, N)")
    return (0.6 * np.linalg.norm(boxes[1].astype(np.float64) - boxes[0], axis=0)).astype(np.float32)


def _matrix(path: str | Path, name: str) -> np.ndarray:
    from scipy.io import loadmat

    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist: expected a MATLAB file with `{name}`")
    try:
        content = loadmat(path, variable_names=[name])
    except Exception as error:
        # loadmat raises whatever a damaged file makes it stumble over; all of it means the same here.
        raise ValueError(f"{path} is no MATLAB file that scipy reads ({error})") from error
    if name not in content or content[name].dtype.kind not in "fiu":
        raise ValueError(f"{path} holds no numbers `{name}`")
    return content[name]
