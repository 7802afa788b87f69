"""Measures of single keypoints: PCK, PCKh, AUC, EPE and NME.

N people whose predicted and labelled keypoints (N, K, 2) belong together row by row, `mask` (N, K) the labelled ones,
`sizes` (N,) what a distance is divided by. A person of size zero is left out; -1 means that nothing could be measured.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from edgepose.data.coco import machine_keypoints
from edgepose.evaluate.labels import (
    Labels,
    Row,
    keypoints_in,
    keypoints_of,
    read_labels,
    read_results,
    result_skeleton,
)
from edgepose.names import expected
from edgepose.skeleton import MPII, Skeleton, meaning

MPII_GROUPS = {"head": (9,), "shoulder": (12, 13), "elbow": (11, 14), "wrist": (10, 15), "hip": (2, 3), "knee": (1, 4),
               "ankle": (0, 5)}  # fmt: skip
MPII_LEFT_OUT = (6, 7)  # pelvis and thorax
Size = Literal["torso", "trunk", "box", "head"]
SIZES: tuple[Size, ...] = get_args(Size)


def distances(predicted: np.ndarray, labelled: np.ndarray, mask: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(N, K) distances in units of the person's size; NaN where it does not count."""
    sizes = np.asarray(sizes, np.float64)
    counts = np.asarray(mask, bool) & (sizes > 0)[:, None]
    apart = np.linalg.norm(np.asarray(predicted, np.float64) - np.asarray(labelled, np.float64), axis=-1)
    return np.where(counts, apart / np.where(sizes > 0, sizes, 1)[:, None], np.nan)


def pck(
    predicted: np.ndarray, labelled: np.ndarray, mask: np.ndarray, sizes: np.ndarray, threshold: float
) -> tuple[float, np.ndarray]:
    """Share of keypoints closer than `threshold` sizes: the mean over keypoints, and each (K,), -1 if unlabelled."""
    return _share(distances(predicted, labelled, mask, sizes), threshold)


def auc(predicted: np.ndarray, labelled: np.ndarray, mask: np.ndarray, size: float = 30.0, steps: int = 20) -> float:
    """Mean PCK over the thresholds 0, 1/steps, ... of `size` pixels (strictly closer, so the first counts nothing)."""
    apart = distances(predicted, labelled, mask, np.full(len(mask), size))
    if np.isnan(apart).all():
        return -1.0
    return float(np.mean([_share(apart, i / steps)[0] for i in range(steps)]))


def epe(predicted: np.ndarray, labelled: np.ndarray, mask: np.ndarray) -> float:
    """End-point error: the mean distance in pixels."""
    return nme(predicted, labelled, mask, np.ones(len(mask)))


def nme(predicted: np.ndarray, labelled: np.ndarray, mask: np.ndarray, sizes: np.ndarray) -> float:
    """Mean distance in units of the person's size."""
    apart = distances(predicted, labelled, mask, sizes)
    return -1.0 if np.isnan(apart).all() else float(np.nanmean(apart))


def pckh(
    predicted: np.ndarray, labelled: np.ndarray, mask: np.ndarray, heads: np.ndarray, offset: float = 1.0
) -> dict[str, float]:
    """MPII's PCKh@0.5 per group of joints, their mean over 14 joints (`PCKh`), and that mean at 0.1 (`PCKh@0.1`).

    `heads` (N,) is 0.6 x the diagonal of the head box. MPII's labels count pixels from 1, so `offset` is added to the
    predictions. Joints weigh by how often they are labelled; pelvis and thorax are left out.
    """
    if mask.shape[1:] != (len(MPII),):
        raise ValueError(f"PCKh is measured on MPII's {len(MPII)} joints, got {mask.shape[1:]}")
    apart = distances(predicted + offset, labelled, mask, heads)
    counts = (~np.isnan(apart)).sum(0)  # (K,)
    shares = {at: (apart <= at).sum(0) / np.maximum(counts, 1) for at in (0.5, 0.1)}
    measured = [i for i in range(len(MPII)) if i not in MPII_LEFT_OUT]
    total = counts[measured].sum()
    means = {at: float((share * counts)[measured].sum() / total) if total else -1.0 for at, share in shares.items()}
    groups = {
        name: float(shares[0.5][list(joints)].mean()) if counts[list(joints)].any() else -1.0
        for name, joints in MPII_GROUPS.items()
    }
    return groups | {"PCKh": means[0.5], "PCKh@0.1": means[0.1]}


def box_sizes(boxes: np.ndarray) -> np.ndarray:
    """Longer side of boxes (N, 4) x1 y1 x2 y2 -> (N,)."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])


def head_box_sizes(boxes: np.ndarray) -> np.ndarray:
    """0.6 x the diagonal of head boxes (N, 4) -> (N,), as PCKh takes it."""
    return 0.6 * np.linalg.norm(boxes[:, 2:] - boxes[:, :2], axis=-1)


def torso_sizes(labelled: np.ndarray, mask: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(N,) from the left shoulder to the right hip, the torso's diameter; 0 where one of them is not labelled.

    As the evaluations of LSP and JHMDB take it (Toshev & Szegedy, DeepPose, 2014, section 4.1).
    """
    return _between(labelled, mask, skeleton, ("left_shoulder",), ("right_hip",))


def trunk_sizes(labelled: np.ndarray, mask: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(N,) from the middle of the shoulders to the middle of the hips; 0 where one of the four is not labelled."""
    return _between(labelled, mask, skeleton, ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"))


def head_sizes(labelled: np.ndarray, mask: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(N,) from the neck to the top of the head; 0 where one of them is not labelled."""
    return _between(labelled, mask, skeleton, ("neck",), ("head_top",))


def keypoint_metrics(
    results: str | Path | Sequence[Row],
    annotations: str | Path | Labels,
    *,
    size: Size = "torso",
    threshold: float = 0.2,
    image_ids: Collection[int] | None = None,
    leave_out: Collection[str] = (),
) -> dict[str, Any]:
    """PCK at `threshold` (`PCK`, `per_joint` by name), 0.1 and 0.05, AUC over 30 pixels, EPE and NME of a set's people.

    Only what people labelled counts: the categories' `machine_keypoints` (`edgepose.data.coco`) do not. A result
    belongs to the annotation in its `annotation_id`, else to the one labelled person of its picture, best score first.
    People without a result count as wrong everywhere in PCK and AUC (`missing`), and not in EPE and NME; people whose
    size is unknown are left out of PCK and NME (`left_out`).

    Args:
        size: torso (left shoulder to right hip, as LSP's tools take it), trunk (middle of the shoulders to that of the
            hips, a sixth less), box (longer side) or head (0.6 x the diagonal of the head box where the labels have it,
            `head_size`, else neck to top). On MPII heads also give its own figures: `PCKh`, `PCKh@0.1`, `per_group`,
            and which of the two `heads` were.
        leave_out: names of keypoints that are not measured; sizes are still taken from them.
    """
    if size not in SIZES:
        raise ValueError(f"unknown size {size!r}{expected(size, SIZES)}")
    labels = read_labels(annotations, image_ids)
    rows = read_results(results, labels, image_ids)
    skeleton = result_skeleton(labels, keypoints_in(rows))
    people = [a for a in labels["annotations"] if not a.get("iscrowd") and any(keypoints_of(a, len(skeleton))[2::3])]
    n, k = len(people), len(skeleton)
    points = np.array([keypoints_of(a, k) for a in people], np.float64).reshape(n, k, 3)
    labelled, mask = points[..., :2], points[..., 2] > 0
    mask &= ~np.isin(skeleton.names, [*machine_keypoints(labels, "the label file"), *leave_out])
    predicted = _matched(people, rows, k)  # (N, K, 2)
    found = np.isfinite(predicted).all(axis=(1, 2))
    boxes = np.array([a["bbox"] for a in people], np.float64).reshape(n, 4)
    boxed = size == "head" and any("head_size" in person for person in people)
    if size == "box":
        sizes = boxes[:, 2:].max(axis=1, initial=0)
    elif boxed:
        sizes = np.array([a.get("head_size", 0.0) for a in people], np.float64)
    else:  # the head's ends may be labelled beyond the results' keypoints
        whole = result_skeleton(labels, None)
        every = np.array([keypoints_of(a, len(whole)) for a in people], np.float64).reshape(n, len(whole), 3)
        measure = {"torso": torso_sizes, "trunk": trunk_sizes, "head": head_sizes}[size]
        sizes = measure(every[..., :2], every[..., 2] > 0, whole)
    share, per_joint = pck(predicted, labelled, mask, sizes, threshold)
    of_heads: dict[str, Any] = {}
    if size == "head" and skeleton is MPII:  # labels that were read count pixels from 0, as predictions do
        groups = pckh(predicted, labelled, mask, sizes, offset=0)
        of_heads = {name: groups.pop(name) for name in ("PCKh", "PCKh@0.1")}
        of_heads |= {"per_group": groups, "heads": "boxes" if boxed else "neck to top"}
    return of_heads | {
        "PCK": share,
        "PCK@0.1": pck(predicted, labelled, mask, sizes, 0.1)[0],
        "PCK@0.05": pck(predicted, labelled, mask, sizes, 0.05)[0],
        "per_joint": {name: float(v) for name, v in zip(skeleton.names, per_joint, strict=True) if v >= 0},
        "AUC": auc(predicted, labelled, mask),
        "EPE": epe(predicted[found], labelled[found], mask[found]),
        "NME": nme(predicted[found], labelled[found], mask[found], sizes[found]),
        "size": size,
        "threshold": threshold,
        "images": len(labels["images"]),
        "people": n,
        "left_out": int((sizes <= 0).sum()),
        "missing": int((~found).sum()),
    }


def _share(apart: np.ndarray, threshold: float) -> tuple[float, np.ndarray]:
    counts = (~np.isnan(apart)).sum(0)
    per_joint = np.divide((apart < threshold).sum(0), counts, out=np.full(apart.shape[1], -1.0), where=counts > 0)
    return float(per_joint[counts > 0].mean()) if (counts > 0).any() else -1.0, per_joint


def _between(
    labelled: np.ndarray, mask: np.ndarray, skeleton: Skeleton, one: tuple[str, ...], other: tuple[str, ...]
) -> np.ndarray:
    index = {meaning(name): i for i, name in enumerate(skeleton.names)}
    missing = [name for name in one + other if name not in index]
    if missing:
        raise ValueError(f"skeleton {skeleton.name} has no {' or '.join(missing)}: choose another size")
    ends = [[index[name] for name in names] for names in (one, other)]
    middles = [labelled[:, end].mean(axis=1) for end in ends]
    length = np.linalg.norm(middles[0] - middles[1], axis=-1)
    return np.where(mask[:, ends[0] + ends[1]].all(axis=1), length, 0.0)


def _matched(people: Sequence[Labels], rows: Sequence[Row], k: int) -> np.ndarray:
    """(N, K, 2) results of the people, infinitely far away where there is none."""
    best = sorted(rows, key=lambda row: row["score"])  # the best comes last and stays
    stated = bool(rows) and all("annotation_id" in row for row in rows)
    found = {row["annotation_id" if stated else "image_id"]: row["keypoints"] for row in best}
    images = [person["image_id"] for person in people]
    if rows and not stated and len(set(images)) < len(images):
        raise ValueError("pictures with several labelled people need results that state the annotation_id of each")
    far = [np.inf] * 3 * k
    points = [found.get(person["id" if stated else "image_id"], far) for person in people]
    return np.array(points, np.float64).reshape(len(people), k, 3)[..., :2]
