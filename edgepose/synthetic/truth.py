"""Exact labels of a rendered picture: where every joint is, and whether it is seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgepose.skeleton import COCO
from edgepose.synthetic.actors import Placed
from edgepose.synthetic.body import BONE, BONES
from edgepose.synthetic.camera import NEAR, Camera
from edgepose.synthetic.render import Rendering
from edgepose.synthetic.solids import SKIRT, Solids

OUTSIDE, HIDDEN, SEEN = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Truth:
    """N people of one picture, COCO-17, in pixels of the picture.

    keypoints: (N, 17, 2) float32, also where they are hidden or outside
    visible:   (N, 17) int8: 0 outside the picture, 1 hidden by oneself, somebody or something, 2 seen
    boxes:     (N, 4) float32, x1 y1 x2 y2 of the pixels where the person is seen (edges, as COCO counts: x2 is one past
               the last pixel); zeros where nothing is seen
    amodal:    (N, 4) float32, of the whole person, as if nothing hid it and the picture had no edge
    ids:       (N,) int64, the same in all frames
    depths:    (N,) float32, metres from the camera along its axis to the middle of the hips
    areas:     (N,) int64, pixels where the person is seen
    occlusion: (N,) float32, hidden share of the pixels that the person would cover in the picture if it were alone
    """

    keypoints: np.ndarray
    visible: np.ndarray
    boxes: np.ndarray
    amodal: np.ndarray
    ids: np.ndarray
    depths: np.ndarray
    areas: np.ndarray
    occlusion: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: np.ndarray) -> Truth:
        """The people of an index array or mask."""
        return Truth(*(getattr(self, name)[rows] for name in Truth.__dataclass_fields__))


def truth_of(camera: Camera, people: Sequence[Placed], rendering: Rendering) -> Truth:
    """Labels of people who are the first groups of a rendering, in its order; not all of them need be given."""
    n = len(people)
    joints = np.array([p.posed.keypoints for p in people]).reshape(n, len(COCO), 3)
    keypoints, depths = camera.project(joints)
    root = camera.seen_from(np.array([p.posed.origins[0] for p in people]).reshape(n, 3))
    girth = np.array([p.actor.build.stature * max(p.actor.build.weight, 1) for p in people]).reshape(n)
    boxes, counts = _seen(rendering, n)
    alone = rendering.alone[:n]
    return Truth(
        keypoints.astype(np.float32),
        _visible(camera, keypoints, depths, girth, rendering),
        boxes,
        np.array([amodal_box(camera, p.solids) for p in people], np.float32).reshape(n, 4),
        np.array([p.actor.identity for p in people], np.int64),
        root[:, 2].astype(np.float32),
        counts,
        (1 - counts / np.maximum(alone, 1)).astype(np.float32) * (alone > 0),
    )


# How far flesh and cloth may lie before a joint that still counts as seen, in statures of a person of plain girth.
_REACH = {"nose": 0.025, "eye": 0.02, "ear": 0.02, "shoulder": 0.07, "elbow": 0.04, "wrist": 0.032, "hip": 0.095,
          "knee": 0.055, "ankle": 0.05}  # fmt: skip
# What may lie there: parts that a joint is in. Anything else in front of it hides it.
_CARRIERS = {"nose": ("head",), "eye": ("head",), "ear": ("head",), "shoulder": ("chest", "*upper_arm"),
             "elbow": ("*upper_arm", "*forearm"), "wrist": ("*forearm", "*hand"), "hip": ("pelvis", "belly", "*thigh"),
             "knee": ("*thigh", "*shin"), "ankle": ("*shin", "*foot")}  # fmt: skip


def _carriers() -> tuple[np.ndarray, np.ndarray]:
    carries = np.zeros((len(COCO), 32), bool)  # part -> is it one that the keypoint is in
    reach = np.zeros(len(COCO))
    for i, name in enumerate(COCO.names):
        side, _, joint = name.rpartition("_")
        reach[i] = _REACH[joint]
        for part in _CARRIERS[joint]:
            carries[i, BONE[part.replace("*", f"{side}_")]] = True
        carries[i, SKIRT] = joint in ("hip", "knee")
    return carries, reach


_CARRIES, _REACHES = _carriers()
assert len(BONES) <= 17


def _visible(
    camera: Camera, keypoints: np.ndarray, depths: np.ndarray, girth: np.ndarray, rendering: Rendering
) -> np.ndarray:
    """(N, 17) int8."""
    n, width, height = len(keypoints), *camera.size
    at = np.round(keypoints).astype(np.int64)
    inside = (at >= 0).all(axis=-1) & (at[..., 0] < width) & (at[..., 1] < height) & (depths > NEAR)
    x, y = np.clip(at[..., 0], 0, width - 1), np.clip(at[..., 1], 0, height - 1)
    solid, nearest = rendering.solid[y, x], rendering.depth[y, x]  # (N, 17)
    before = depths - 1 / np.maximum(nearest, 1e-6)  # how far the surface lies before the joint; below 0 behind
    covered = (solid >= 0) & (before > 0.004)
    if len(rendering.part) == 0:
        return np.where(inside, SEEN, OUTSIDE).astype(np.int8)
    own = rendering.group[solid] == np.arange(n)[:, None]
    carried = _CARRIES[np.arange(len(COCO)), rendering.part[solid]]
    free = own & carried & (before <= _REACHES * girth[:, None])
    return np.where(inside, np.where(covered & ~free, HIDDEN, SEEN), OUTSIDE).astype(np.int8)


def _seen(rendering: Rendering, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, 4) extent and (N,) number of the pixels of the first groups."""
    boxes, counts = np.zeros((count, 4), np.float32), np.zeros(count, np.int64)
    for i in range(count):
        x1, y1, x2, y2 = rendering.reach[i]
        mask = rendering.seen(i, (slice(y1, y2), slice(x1, x2)))
        counts[i] = np.count_nonzero(mask)
        if counts[i]:
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            boxes[i] = x1 + columns[0], y1 + rows[0], x1 + columns[-1] + 1, y1 + rows[-1] + 1
    return boxes, counts


_TURN = np.linspace(0, 2 * np.pi, 8, endpoint=False)
_RING = 1.04 * np.stack([np.cos(_TURN), np.sin(_TURN)])  # between the polygon's corners and the middles of its sides
_STEPS = np.array([0.04, 0.3, 0.7, 0.96])


def amodal_box(camera: Camera, solids: Solids) -> np.ndarray:
    """(4,) extent of solids in the picture's plane, from points on their surfaces; in pixel edges."""
    low, high = solids.span.T
    t = low[:, None] + (high - low)[:, None] * _STEPS  # (P, 4)
    k0, k1, k2 = (solids.profile[:, i, None] for i in range(3))
    radius = np.sqrt(np.maximum(k0 + k1 * t + k2 * t * t, 0))
    local = np.empty((len(solids), len(_STEPS), len(_TURN), 3))
    local[..., 0] = (radius * solids.wide[:, None])[..., None] * _RING[0]
    local[..., 1] = (radius * solids.deep[:, None])[..., None] * _RING[1]
    local[..., 2] = (t * solids.length[:, None])[..., None]
    points = local.reshape(len(solids), -1, 3) @ np.swapaxes(solids.axes, 1, 2) + solids.start[:, None]
    flattened, _ = camera.project(points.reshape(-1, 3))
    return np.concatenate([flattened.min(axis=0), flattened.max(axis=0)]) + 0.5
