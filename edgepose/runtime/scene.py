"""A drawn picture of people with known keypoints, so that demos and checks need no photograph.

Lengths of a body are in units of its height, in the proportions of an adult; angles are degrees from hanging straight
down, positive towards the right of the picture. Everything is drawn at twice the size and reduced.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgepose.poses import Poses
from edgepose.skeleton import COCO

Color = tuple[int, int, int]
Joints = dict[str, np.ndarray]

DOWN = np.array([0.0, 1.0])
_SCALE = 2
_SHIFT = 4


@dataclass(frozen=True)
class Figure:
    """One person: where, how large, how posed, how dressed. Pairs are (the person's left, right)."""

    ground: tuple[float, float]  # where the lower foot stands, in shares of the picture's width and height
    height: float  # of the standing body, in shares of the picture's height
    shirt: Color
    trousers: Color
    hair: Color
    skin: Color
    lean: float = 0.0
    upper_arm: tuple[float, float] = (9, -9)
    forearm: tuple[float, float] = (4, -4)
    thigh: tuple[float, float] = (4, -4)
    shin: tuple[float, float] = (2, -2)
    long_sleeves: bool = False
    long_hair: bool = False
    shorts: bool = False


# BGR
FIGURES = (
    Figure((0.655, 0.70), 0.43, (196, 208, 214), (70, 58, 50), (40, 52, 72), (150, 178, 222), upper_arm=(14, -16),
           forearm=(-24, 28), thigh=(10, -14), shin=(-4, -20), long_sleeves=True),
    Figure((0.40, 0.76), 0.50, (70, 120, 60), (120, 104, 92), (24, 26, 32), (96, 128, 178), upper_arm=(38, -38),
           forearm=(-48, 48), thigh=(6, -6), shin=(3, -3)),
    Figure((0.835, 0.90), 0.66, (60, 52, 178), (96, 62, 40), (34, 30, 30), (128, 160, 208), lean=2,
           upper_arm=(138, -12), forearm=(170, -8), thigh=(7, -5), shin=(4, -2), long_hair=True),
    Figure((0.165, 0.93), 0.72, (168, 110, 44), (88, 92, 104), (48, 84, 128), (142, 174, 224), lean=-3,
           upper_arm=(30, -26), forearm=(62, 18), thigh=(20, -16), shin=(8, -34), shorts=True),
)  # fmt: skip


def draw_scene(size: tuple[int, int] = (1280, 720), figures: tuple[Figure, ...] = FIGURES) -> tuple[np.ndarray, Poses]:
    """A picture of `size` (w, h) -> ((h, w, 3) uint8 BGR, the people in it), the same at every call."""
    width, height = size[0] * _SCALE, size[1] * _SCALE
    canvas = _background(width, height)
    keypoints, boxes = [], []
    for figure in sorted(figures, key=lambda f: f.ground[1]):
        joints = _joints(figure, width, height)
        unit = figure.height * height
        _draw_shadow(canvas, joints, unit)
        _draw_figure(canvas, figure, joints, unit)
        points = np.array([joints[name] for name in COCO.names]) / _SCALE
        keypoints.append(points)
        boxes.append(_extent(joints, unit) / _SCALE)
    small = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)
    grain = np.random.default_rng(0).normal(0, 2.5, (*small.shape[:2], 1))  # film grain: flat areas look less drawn
    image = np.clip(small + grain, 0, 255).astype(np.uint8)
    count = len(figures)
    points = np.array(keypoints).reshape(count, len(COCO), 2)
    limits = np.array([size[0], size[1]] * 2, float)
    found = np.clip(np.array(boxes).reshape(count, 4), 0, limits)
    return image, Poses(points, np.ones((count, len(COCO))), found, np.ones(count), COCO)


def _joints(figure: Figure, width: int, height: int) -> Joints:
    """Every joint in pixels of the large canvas; the person faces us, so their left is on the right."""
    lean = np.deg2rad(figure.lean)
    up = np.array([np.sin(lean), -np.cos(lean)])
    across = np.array([np.cos(lean), np.sin(lean)])
    hips = np.zeros(2)
    neck = hips + 0.30 * up
    joints = {"hips": hips, "waist": hips + 0.10 * up, "neck": neck, "chin": neck + 0.035 * up}
    head = neck + 0.088 * up
    joints |= {"head": head, "nose": head + 0.006 * -up}
    for side, sign, i in (("left", 1.0, 0), ("right", -1.0, 1)):
        shoulder = neck - 0.022 * up + sign * 0.105 * across
        elbow = shoulder + 0.165 * _direction(figure.upper_arm[i])
        hip = hips + sign * 0.062 * across
        knee = hip + 0.235 * _direction(figure.thigh[i])
        joints |= {
            f"{side}_eye": head + 0.016 * up + sign * 0.018 * across,
            f"{side}_ear": head + 0.006 * up + sign * 0.047 * across,
            f"{side}_shoulder": shoulder,
            f"{side}_elbow": elbow,
            f"{side}_wrist": elbow + 0.145 * _direction(figure.forearm[i]),
            f"{side}_hip": hip,
            f"{side}_knee": knee,
            f"{side}_ankle": knee + 0.235 * _direction(figure.shin[i]),
        }
    sole = max(joints["left_ankle"][1], joints["right_ankle"][1]) + 0.04
    origin = np.array([figure.ground[0] * width, figure.ground[1] * height])
    unit = figure.height * height
    return {name: origin + (point - (0, sole)) * unit for name, point in joints.items()}


def _direction(degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    return np.array([np.sin(angle), np.cos(angle)])


def _extent(joints: Joints, unit: float) -> np.ndarray:
    """Box around the body: its joints, with a margin for hair, hands and shoes."""
    points = np.array(list(joints.values()))
    margin = unit * 0.06
    return np.concatenate([points.min(axis=0) - margin, points.max(axis=0) + np.array([margin, 0.045 * unit])])


def _background(width: int, height: int) -> np.ndarray:
    """Sky, hills, a wall with windows, and paved ground; all a little out of focus."""
    rng = np.random.default_rng(7)
    canvas = np.empty((height, width, 3), np.float32)
    horizon = int(height * 0.56)
    sky = np.linspace(0, 1, horizon)[:, None, None]
    canvas[:horizon] = np.array([226, 188, 150]) * (1 - sky) + np.array([240, 232, 222]) * sky
    ground = np.linspace(0, 1, height - horizon)[:, None, None]
    canvas[horizon:] = np.array([150, 160, 166]) * (1 - ground) + np.array([108, 118, 126]) * ground
    image = canvas.astype(np.uint8)
    x = np.linspace(0, width, 60)
    for base, swing, color in ((0.46, 0.05, (178, 170, 150)), (0.51, 0.035, (128, 146, 122))):
        y = (base + swing * np.sin(x / width * rng.uniform(5, 9) + rng.uniform(0, 6))) * height
        outline = np.concatenate([np.stack([x, y], axis=1), [[width, horizon], [0, horizon]]]).astype(np.int32)
        cv2.fillPoly(image, [outline], color, cv2.LINE_AA)
    left, right, top = int(width * 0.50), int(width * 0.78), int(height * 0.16)
    cv2.rectangle(image, (left, top), (right, horizon), (168, 182, 196), cv2.FILLED)
    cv2.rectangle(image, (left - 12, top - 16), (right + 12, top), (120, 130, 146), cv2.FILLED)
    for column in range(5):
        for row in range(3):
            corner = (left + int((column + 0.25) * (right - left) / 5), top + int((row + 0.3) * (horizon - top) / 3.2))
            far = (corner[0] + int((right - left) / 10), corner[1] + int((horizon - top) / 6))
            cv2.rectangle(image, corner, far, (138, 118, 98), cv2.FILLED)
            cv2.rectangle(image, corner, far, (206, 212, 218), 4, cv2.LINE_AA)
    for share in (0.02, 0.1, 0.26, 0.33, 0.46, 0.84, 0.93, 1.0):
        foot, crown = np.array([share * width, horizon + 4]), rng.uniform(0.10, 0.16) * height
        _capsule(image, foot, foot - (0, crown * 1.4), crown * 0.09, crown * 0.06, (62, 84, 104))
        for _ in range(14):
            leaf = foot - (0, crown * 1.6) + rng.normal(0, crown * 0.30, 2)
            shade = rng.uniform(0.75, 1.1)
            _capsule(image, leaf, leaf, crown * 0.26, crown * 0.26, _shaded((72, 124, 86), shade))
    for k in range(-8, 9):  # paving
        far_x = width * (0.5 + k * 0.07)
        near_x = width * (0.5 + k * 0.24)
        cv2.line(image, (int(far_x), horizon), (int(near_x), height), (120, 130, 138), 2, cv2.LINE_AA)
    for depth in (0.03, 0.08, 0.16, 0.28, 0.46, 0.72):
        row = int(horizon + depth * (height - horizon))
        cv2.line(image, (0, row), (width, row), (120, 130, 138), 2, cv2.LINE_AA)
    return cv2.GaussianBlur(image, (0, 0), 4.0)


def _draw_shadow(canvas: np.ndarray, joints: Joints, unit: float) -> None:
    feet = np.array([joints["left_ankle"], joints["right_ankle"]])
    center = (int(feet[:, 0].mean() + 0.05 * unit), int(feet[:, 1].max() + 0.03 * unit))
    axes = (int(np.ptp(feet[:, 0]) / 2 + 0.16 * unit), int(0.035 * unit))
    mask = np.zeros(canvas.shape[:2], np.float32)
    cv2.ellipse(mask, center, axes, 0, 0, 360, 0.5, cv2.FILLED, cv2.LINE_AA)
    soft = cv2.GaussianBlur(mask, (0, 0), 0.02 * unit)[..., None]
    canvas[...] = (canvas * (1 - soft)).astype(np.uint8)


def _draw_figure(canvas: np.ndarray, figure: Figure, joints: Joints, unit: float) -> None:
    """From the back to the front: hair, legs, trunk, arms, head."""
    if figure.long_hair:
        _limb(canvas, joints["head"], joints["neck"] - DOWN * 0.005 * unit, 0.058 * unit, 0.06 * unit, figure.hair)
    for side in ("right", "left"):
        _draw_leg(canvas, figure, joints, side, unit)
    _draw_trunk(canvas, figure, joints, unit)
    for side in ("right", "left"):
        _draw_arm(canvas, figure, joints, side, unit)
    _draw_head(canvas, figure, joints, unit)


def _draw_leg(canvas: np.ndarray, figure: Figure, joints: Joints, side: str, unit: float) -> None:
    hip, knee, ankle = (joints[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
    outward = 0.03 if side == "left" else -0.03
    toe = ankle + np.array([outward, 0.022]) * unit
    _limb(canvas, ankle + DOWN * 0.012 * unit, toe, 0.022 * unit, 0.020 * unit, (52, 48, 58))
    lower = figure.skin if figure.shorts else figure.trousers
    _limb(canvas, knee, ankle, 0.036 * unit, 0.024 * unit, lower)
    _limb(canvas, hip, knee, 0.056 * unit, 0.039 * unit, figure.skin if figure.shorts else figure.trousers)
    if figure.shorts:
        _limb(canvas, hip, hip + 0.75 * (knee - hip), 0.058 * unit, 0.052 * unit, figure.trousers)


def _draw_trunk(canvas: np.ndarray, figure: Figure, joints: Joints, unit: float) -> None:
    _limb(canvas, joints["neck"], joints["chin"], 0.030 * unit, 0.028 * unit, _shaded(figure.skin, 0.88))
    hips = [(joints[f"{side}_hip"], 0.050 * unit) for side in ("left", "right")]
    waist = [(joints["waist"] + (sign * 0.045 * unit, 0), 0.045 * unit) for sign in (-1, 1)]
    shoulders = [(joints[f"{side}_shoulder"] + DOWN * 0.012 * unit, 0.040 * unit) for side in ("left", "right")]
    _hull(canvas, [*hips, *waist], figure.trousers)
    belt = [(point + DOWN * 0.055 * unit, radius) for point, radius in waist]
    _hull(canvas, [*belt, *waist, *shoulders], _shaded(figure.shirt, 0.9))
    light = np.array([-0.012, -0.004]) * unit
    _hull(canvas, [(p + light, r * 0.8) for p, r in (*belt, *waist, *shoulders)], figure.shirt)
    collar = [(joints["neck"] + (sign * 0.018 * unit, -0.012 * unit), 0.022 * unit) for sign in (-1, 1)]
    _hull(canvas, collar, figure.skin)


def _draw_arm(canvas: np.ndarray, figure: Figure, joints: Joints, side: str, unit: float) -> None:
    shoulder, elbow, wrist = (joints[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist"))
    hand = wrist + 0.28 * (wrist - elbow) / max(float(np.linalg.norm(wrist - elbow)), 1e-6) * 0.145 * unit
    _limb(canvas, wrist, hand, 0.019 * unit, 0.021 * unit, figure.skin)
    _limb(canvas, elbow, wrist, 0.027 * unit, 0.019 * unit, figure.shirt if figure.long_sleeves else figure.skin)
    sleeve = elbow if figure.long_sleeves else shoulder + 0.6 * (elbow - shoulder)
    _limb(canvas, shoulder, elbow, 0.033 * unit, 0.027 * unit, figure.skin)
    _limb(canvas, shoulder, sleeve, 0.038 * unit, 0.034 * unit, figure.shirt)


def _draw_head(canvas: np.ndarray, figure: Figure, joints: Joints, unit: float) -> None:
    head, up = joints["head"], (joints["head"] - joints["neck"]) / (0.088 * unit)
    for side in ("left", "right"):
        _capsule(canvas, joints[f"{side}_ear"], joints[f"{side}_ear"], 0.011 * unit, 0.011 * unit, figure.skin)
    _capsule(canvas, head + 0.026 * unit * up, head + 0.004 * unit * up, 0.054 * unit, 0.050 * unit, figure.hair)
    jaw = head - 0.026 * unit * up
    _limb(canvas, head + 0.010 * unit * up, jaw, 0.044 * unit, 0.033 * unit, figure.skin)
    dark = _shaded(figure.skin, 0.72)
    for side in ("left", "right"):
        eye = joints[f"{side}_eye"]
        _capsule(canvas, eye, eye, 0.0068 * unit, 0.0068 * unit, (236, 238, 240))
        _capsule(canvas, eye, eye, 0.0044 * unit, 0.0044 * unit, (40, 36, 40))
        brow, half = eye + 0.014 * unit * up, np.array([0.008 * unit, 0])
        _capsule(canvas, brow - half, brow + half, 0.0028 * unit, 0.0028 * unit, figure.hair)
    _capsule(canvas, joints["nose"] + 0.010 * unit * up, joints["nose"], 0.004 * unit, 0.0065 * unit, dark)
    mouth = head - 0.026 * unit * up
    lip = np.array([0.012 * unit, 0])
    _capsule(canvas, mouth - lip, mouth + lip, 0.0036 * unit, 0.0036 * unit, (92, 88, 168))


def _limb(canvas: np.ndarray, start: np.ndarray, end: np.ndarray, first: float, last: float, color: Color) -> None:
    """A tapered capsule lit from the upper left."""
    _capsule(canvas, start, end, first, last, _shaded(color, 0.8))
    light = np.array([-0.16, -0.07]) * min(first, last)
    _capsule(canvas, start + light, end + light, first * 0.82, last * 0.82, color)
    _capsule(canvas, start + 2.2 * light, end + 2.2 * light, first * 0.4, last * 0.4, _shaded(color, 1.08))


def _capsule(canvas: np.ndarray, start: np.ndarray, end: np.ndarray, first: float, last: float, color: Color) -> None:
    _hull(canvas, [(start, first), (end, last)], color)


def _hull(canvas: np.ndarray, circles: list[tuple[np.ndarray, float]], color: Color) -> None:
    """The convex hull of circles (center, radius)."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    ring = np.stack([np.cos(turn), np.sin(turn)], axis=1)  # (48, 2)
    points = np.concatenate([np.asarray(center) + radius * ring for center, radius in circles])
    outline = cv2.convexHull((points * (1 << _SHIFT)).round().astype(np.int32))
    cv2.fillConvexPoly(canvas, outline, color, cv2.LINE_AA, _SHIFT)


def _shaded(color: Color, factor: float) -> Color:
    blue, green, red = (min(round(channel * factor), 255) for channel in color)
    return blue, green, red
