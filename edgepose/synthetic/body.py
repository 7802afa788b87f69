"""Articulated bodies: proportions, joint limits, and where bones and keypoints are for given joint angles.

The world is in metres, y up, the ground at y = 0. A body at rest stands upright with hanging arms, faces +z and has its
left at +x. Lengths are shares of stature as Drillis & Contini measured them (1966; in Winter, Biomechanics and Motor
Control of Human Movement, figure 4.1); limits follow the ranges of motion of the American Academy of Orthopaedic
Surgeons (1965), rounded. A child's head is larger and its legs are shorter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgepose.skeleton import COCO

SIDES = ("left", "right")
LIMB_BONES = ("upper_arm", "forearm", "hand", "thigh", "shin", "foot")
BONES = ("pelvis", "belly", "chest", "neck", "head", *(f"{side}_{name}" for side in SIDES for name in LIMB_BONES))
BONE = {name: i for i, name in enumerate(BONES)}

# Degrees, (lowest, highest). A side's angles are mirrored: the same numbers give the mirrored pose.
_TRUNK = {"spine_flex": (-30, 85), "spine_bend": (-35, 35), "spine_twist": (-45, 45),
          "neck_flex": (-50, 50), "neck_bend": (-40, 40), "neck_twist": (-70, 70)}  # fmt: skip
_LIMBS = {"shoulder_flex": (-50, 180), "shoulder_abduct": (-40, 170), "shoulder_rotate": (-70, 80),
          "elbow_flex": (0, 150), "forearm_turn": (-80, 80), "wrist_flex": (-60, 60),
          "hip_flex": (-25, 125), "hip_abduct": (-20, 50), "hip_rotate": (-35, 45),
          "knee_flex": (0, 145), "ankle_flex": (-45, 25)}  # fmt: skip
LIMITS: dict[str, tuple[int, int]] = _TRUNK | {f"{s}_{name}": span for s in SIDES for name, span in _LIMBS.items()}
ANGLE = {name: i for i, name in enumerate(LIMITS)}
LOWEST, HIGHEST = (np.array(column, np.float64) for column in zip(*LIMITS.values(), strict=True))


@dataclass(frozen=True)
class Build:
    """One person's body: stature in metres, child from 0 (adult) to 1 (toddler), and factors on an average adult."""

    stature: float = 1.72
    child: float = 0.0
    weight: float = 1.0  # girth of limbs and trunk
    shoulders: float = 1.0
    hips: float = 1.0
    belly: float = 1.0
    bust: float = 0.0  # 0 none .. 1 large
    arms: float = 1.0  # length
    legs: float = 1.0  # length

    def __post_init__(self) -> None:
        if not 0.5 <= self.stature <= 2.5:
            raise ValueError(f"stature is {self.stature}, expected metres between 0.5 and 2.5")
        if not 0 <= self.child <= 1:
            raise ValueError(f"child is {self.child}, expected 0 (adult) to 1 (toddler)")

    def lengths(self) -> dict[str, float]:
        """Lengths in metres: bones, and how far joints lie from the middle."""
        c = self.child
        legs = self.legs * (1 - 0.10 * c)
        head = 0.13 * (1 + 0.55 * c)
        shares = {
            "thigh": 0.245 * legs, "shin": 0.246 * legs, "ankle": 0.039, "foot": 0.152,
            "upper_arm": 0.172 * self.arms * (1 - 0.06 * c), "forearm": 0.150 * self.arms * (1 - 0.06 * c),
            "hand": 0.095, "shoulder": 0.104 * self.shoulders * (1 - 0.06 * c), "hip": 0.053 * self.hips,
            "head": head, "trunk": 0.288 - 0.03 * c, "neck": 0.062 - 0.02 * c,
        }  # fmt: skip
        return {name: share * self.stature for name, share in shares.items()}


def random_build(rng: np.random.Generator, children: float = 0.15) -> Build:
    """A body of a varied population; `children` is the share of people under about twelve."""
    female = rng.random() < 0.5
    weight = _within(math.exp(rng.normal(0.03, 0.14)), 0.78, 1.55)
    belly = _within(weight ** rng.uniform(0.6, 1.8) * rng.uniform(0.92, 1.08), 0.8, 1.9)
    arms, legs = rng.normal(1, 0.025, 2)
    if rng.random() < children:
        child = rng.uniform(0.1, 0.85)
        return Build(1.62 - 0.75 * child, child, weight, 0.97, 0.97, belly, 0.0, arms, legs)
    if female:
        shape = (rng.normal(0.93, 0.03), rng.normal(1.06, 0.05), belly * 0.95, float(rng.uniform(0.2, 1.0)))
        return Build(_within(rng.normal(1.64, 0.065), 1.45, 1.85), 0.0, weight * 0.95, *shape, arms, legs)
    shape = (rng.normal(1.05, 0.04), rng.normal(0.98, 0.03), belly, 0.0)
    return Build(_within(rng.normal(1.77, 0.07), 1.55, 2.02), 0.0, weight, *shape, arms, legs)


def _within(value: float, low: float, high: float) -> float:
    """numpy's `clip` is made for many and twenty times as slow for one."""
    return min(max(value, low), high)


@dataclass(frozen=True, eq=False)
class Posed:
    """A body in the world: rotations (17, 3, 3) and origins (17, 3) of BONES, keypoints (17, 3) of COCO."""

    rotations: np.ndarray
    origins: np.ndarray
    keypoints: np.ndarray


def within_limits(angles: np.ndarray) -> np.ndarray:
    """Angles (..., 28) in degrees, cut to what joints can do."""
    return np.clip(angles, LOWEST, HIGHEST)


def pose_body(build: Build, angles: np.ndarray, root: np.ndarray | None = None, at: np.ndarray | None = None) -> Posed:
    """Joint angles (28,) in degrees -> a posed body whose middle between the hips is `at`, turned by `root` (3, 3).

    Raises ValueError for angles beyond `LIMITS`.
    """
    angles = np.asarray(angles, np.float64)
    if angles.shape != (len(LIMITS),):
        raise ValueError(f"angles must have shape ({len(LIMITS)},), got {angles.shape}")
    if (angles < LOWEST - 1e-6).any() or (angles > HIGHEST + 1e-6).any():
        worst = int(np.argmax(np.maximum(LOWEST - angles, angles - HIGHEST)))
        name = list(LIMITS)[worst]
        raise ValueError(f"{name} is {angles[worst]:.1f} degrees, expected {LIMITS[name]}: use within_limits")
    local = turns((_SHARES @ np.deg2rad(angles)).reshape(len(BONES), 3))
    local[0] = np.eye(3) if root is None else root
    size = build.lengths()
    rotations, origins = np.empty((len(BONES), 3, 3)), np.empty((len(BONES), 3))
    offsets = _offsets(build, size, local)
    rotations[0], origins[0] = local[0], 0.0 if at is None else at
    for bone, parent in enumerate(_PARENTS[1:], start=1):
        rotations[bone] = rotations[parent] @ local[bone]
        origins[bone] = origins[parent] + rotations[parent] @ offsets[bone]
    return Posed(rotations, origins, _keypoints(rotations, origins, size))


def turns(angles: np.ndarray) -> np.ndarray:
    """Angles (N, 3) about x, z and y in radians -> rotations (N, 3, 3): y first, then z, then x."""
    (cx, cz, cy), (sx, sz, sy) = np.cos(angles).T, np.sin(angles).T
    rows = [cz * cy, -sz, cz * sy,
            cx * sz * cy + sx * sy, cx * cz, cx * sz * sy - sx * cy,
            sx * sz * cy - cx * sy, sx * cz, sx * sz * sy + cx * cy]  # fmt: skip
    return np.array(rows).T.reshape(-1, 3, 3)


def _shares() -> np.ndarray:
    """(3 * bones, angles): how much of each joint angle turns each bone about x, z and y, with signs."""
    shares = np.zeros((len(BONES), 3, len(LIMITS)))
    for start, bones in (("spine", ("belly", "chest")), ("neck", ("neck", "head"))):
        for bone in bones:
            for axis, (name, sign) in enumerate((("flex", 1), ("bend", -1), ("twist", 1))):
                shares[BONE[bone], axis, ANGLE[f"{start}_{name}"]] = 0.5 * sign
    joints = {"upper_arm": (("shoulder_flex", -1), ("shoulder_abduct", 1), ("shoulder_rotate", -1)),
              "forearm": (("elbow_flex", -1), None, ("forearm_turn", -1)), "hand": (("wrist_flex", -1), None, None),
              "thigh": (("hip_flex", -1), ("hip_abduct", 1), ("hip_rotate", 1)),
              "shin": (("knee_flex", 1), None, None), "foot": (("ankle_flex", -1), None, None)}  # fmt: skip
    for side, mirrored in zip(SIDES, (1, -1), strict=True):
        for bone, axes in joints.items():
            for axis, entry in enumerate(axes):
                if entry is not None:
                    sign = entry[1] * (mirrored if axis else 1)
                    shares[BONE[f"{side}_{bone}"], axis, ANGLE[f"{side}_{entry[0]}"]] = sign
    return shares.reshape(-1, len(LIMITS))


_SHARES = _shares()
_PARENT = {"pelvis": "pelvis", "belly": "pelvis", "chest": "belly", "neck": "chest", "head": "neck"}
for _side in SIDES:
    _PARENT |= {f"{_side}_upper_arm": "chest", f"{_side}_forearm": f"{_side}_upper_arm",
                f"{_side}_hand": f"{_side}_forearm", f"{_side}_thigh": "pelvis", f"{_side}_shin": f"{_side}_thigh",
                f"{_side}_foot": f"{_side}_shin"}  # fmt: skip
_PARENTS = [BONE[_PARENT[name]] for name in BONES]


def _offsets(build: Build, size: dict[str, float], local: np.ndarray) -> np.ndarray:
    """(17, 3) origin of each bone in its parent's frame. A raised arm lifts its shoulder."""
    offsets = np.zeros((len(BONES), 3))
    trunk, stature = size["trunk"], build.stature
    offsets[BONE["belly"], 1] = 0.14 * trunk
    offsets[BONE["chest"], 1] = 0.32 * trunk
    offsets[BONE["neck"]] = (0, 0.56 * trunk, -0.004 * stature)
    offsets[BONE["head"]] = (0, size["neck"], 0.008 * stature)
    for side, sign in zip(SIDES, (1, -1), strict=True):
        raised = _within((0.7 - float(local[BONE[f"{side}_upper_arm"], 1, 1])) / 1.7, 0, 1)
        shoulder = (sign * (size["shoulder"] - 0.018 * stature * raised), 0.54 * trunk + 0.042 * stature * raised, 0)
        offsets[BONE[f"{side}_upper_arm"]] = shoulder
        offsets[BONE[f"{side}_forearm"], 1] = -size["upper_arm"]
        offsets[BONE[f"{side}_hand"], 1] = -size["forearm"]
        offsets[BONE[f"{side}_thigh"], 0] = sign * size["hip"]
        offsets[BONE[f"{side}_shin"], 1] = -size["thigh"]
        offsets[BONE[f"{side}_foot"], 1] = -size["shin"]
    return offsets


# On the head, in units of its height, from the head bone's origin (the top of the neck).
FACE = {"nose": (0, 0.335, 0.485), "left_eye": (0.145, 0.475, 0.355), "right_eye": (-0.145, 0.475, 0.355),
        "left_ear": (0.345, 0.42, -0.02), "right_ear": (-0.345, 0.42, -0.02)}  # fmt: skip
_JOINTS = {"shoulder": "upper_arm", "elbow": "forearm", "wrist": "hand", "hip": "thigh", "knee": "shin",
           "ankle": "foot"}  # fmt: skip
_JOINT_BONES = [BONE[f"{side}_{_JOINTS[joint]}"] for side, joint in (n.split("_") for n in COCO.names[5:])]
_FACE_OFFSETS = np.array([FACE[name] for name in COCO.names[:5]])


def _keypoints(rotations: np.ndarray, origins: np.ndarray, size: dict[str, float]) -> np.ndarray:
    head = BONE["head"]
    face = origins[head] + size["head"] * _FACE_OFFSETS @ rotations[head].T
    return np.concatenate([face, origins[_JOINT_BONES]])


def lowest_point(build: Build, posed: Posed) -> float:
    """Height of the lowest part of the body, metres; what rests on the ground."""
    size, y = build.lengths(), posed.origins[:, 1]
    feet = [BONE[f"{side}_foot"] for side in SIDES]
    ends = np.array([[0, -size["ankle"], 0.72 * size["foot"]], [0, -size["ankle"], -0.24 * size["foot"]]])
    soles = y[feet, None] + posed.rotations[feet][:, 1] @ ends.T  # (2, 2)
    head = y[BONE["head"]] + posed.rotations[BONE["head"], 1] @ (0, 0.45 * size["head"], 0) - 0.5 * size["head"]
    thick = build.stature * build.weight * _THICKNESS
    return float(min(soles.min(), head, (y - thick)[: BONE["head"]].min(), (y - thick)[BONE["head"] + 1 :].min()))


_THICKNESS = np.full(len(BONES), 0.02)  # half, of the flesh around each bone's origin, in statures
_THICKNESS[[BONE["pelvis"], BONE["belly"], BONE["chest"]]] = 0.06
_THICKNESS[[BONE["left_thigh"], BONE["right_thigh"]]] = 0.05
