"""A crowd that walks, turns, hides and is badly detected: poses with known identities, for tests and benchmarks.

Everything follows from the seed. Lengths are in pixels, times in seconds, speeds in body heights per second.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgepose.poses import Poses
from edgepose.skeleton import BOX, COCO

# A standing person seen from the side-front in body heights, x to the right from the middle, y down from the top.
STANDING = np.array(
    [
        (0.00, 0.07), (0.02, 0.05), (-0.02, 0.05), (0.04, 0.06), (-0.04, 0.06), (0.11, 0.18), (-0.11, 0.18),
        (0.14, 0.33), (-0.14, 0.33), (0.15, 0.47), (-0.15, 0.47), (0.07, 0.50), (-0.07, 0.50), (0.07, 0.73),
        (-0.07, 0.73), (0.07, 0.96), (-0.07, 0.96),
    ]
)  # fmt: skip
# How far each keypoint swings to and fro with the steps, in body heights (left arm with the right leg).
_SWING = np.array([0, 0, 0, 0, 0, 0, 0, 0.04, -0.04, 0.11, -0.11, 0, 0, -0.06, 0.06, -0.14, 0.14])


@dataclass(frozen=True)
class Scene:
    """What happens. `people` walk in a picture `size`; `missed` of the visible detections are absent."""

    people: int = 5
    frames: int = 300
    fps: float = 30.0
    size: tuple[int, int] = (1280, 720)
    height: tuple[float, float] = (150.0, 320.0)
    speed: tuple[float, float] = (0.0, 1.0)
    turn: float = 0.15  # turns, stops and starts per second and person
    noise: float = 0.01  # of keypoints, body heights
    missed: float = 0.1
    hide: float = 0.85  # a person whose box is covered this much by a nearer one is not detected
    blink: float = 0.05  # further disappearances of 0.3 to 1.5 s per second and person
    false: float = 0.05  # false detections per frame
    vary: float = 0.0  # frame times jitter by this part of a frame
    layout: str = "walk"  # "walk", "cross" (two columns meet), "row" (standing close together)
    same_height: bool = False
    build: float = 0.05  # how much proportions differ between people; 0: everybody has the same
    half: float = 0.0  # part of the people whose legs are cut off, for seconds at a time
    boxes: str = "detector"  # or "keypoints"
    box_only: bool = False
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Moment:
    """One frame.

    truth:      everybody, with ids 0, 1, ...       visible: (people,) bool, not hidden
    detections: what the tracker gets                owners: (N,) id of each detection, -1 for a false one
    """

    time: float
    truth: Poses
    visible: np.ndarray
    detections: Poses
    owners: np.ndarray


def crowd(scene: Scene) -> list[Moment]:
    """All frames of a scene."""
    rng = np.random.default_rng(scene.seed)
    n = scene.people
    width, height = scene.size
    steps = np.full(scene.frames, 1 / scene.fps)
    if scene.vary:
        steps *= 1 + rng.uniform(-scene.vary, scene.vary, scene.frames)
    times = np.cumsum(steps)
    heights = rng.uniform(*scene.height, n)
    if scene.same_height:
        heights[:] = heights.mean()
    places, velocities, targets = _start(scene, rng, heights)
    nearer = rng.normal(0, 5, n)  # lower in the picture is nearer, more or less
    facing = np.where(velocities[:, 0] < 0, -1.0, 1.0)
    build = 1 + rng.normal(0, scene.build, (n, 17, 2))
    phase = rng.uniform(0, 2 * np.pi, n)
    gone_until = np.zeros(n)
    half_until = np.zeros(n)
    moments = []
    for time, dt in zip(times, steps, strict=True):
        turning = rng.random(n) < scene.turn * dt
        for i in np.flatnonzero(turning):
            targets[i] = _velocity(scene, rng, heights[i])
        velocities += (targets - velocities) * (1 - np.exp(-dt / 0.25))
        places += velocities * dt
        for axis, (low, high) in enumerate(((0, width), (0.35 * height, height))):
            out = (places[:, axis] < low) & (velocities[:, axis] < 0)
            out |= (places[:, axis] > high) & (velocities[:, axis] > 0)
            velocities[out, axis] *= -1
            targets[out, axis] *= -1
        pace = np.hypot(*velocities.T) / heights
        phase += dt * 2 * np.pi * np.minimum(0.4 + 1.2 * pace, 2.0)
        swing = np.sin(phase)[:, None] * _SWING * np.minimum(pace / 0.4, 1)[:, None]
        facing += (np.where(velocities[:, 0] < 0, -1.0, 1.0) - facing) * (1 - np.exp(-dt / 0.15))
        turned = 0.35 + 0.65 * (1 - np.minimum(pace / 0.4, 1))  # a walker shows the side
        shape = STANDING * build
        x = shape[:, :, 0] * turned[:, None] + (swing + 0.03 * (np.arange(17) == 0)) * facing[:, None]
        keypoints = np.stack([x, shape[:, :, 1] - 1], -1) * heights[:, None, None] + places[:, None]
        truth = replace(_poses(keypoints, heights, scene, rng, 0.0), ids=np.arange(n))
        visible = _uncovered(truth.boxes, places[:, 1] + nearer) > 1 - scene.hide
        start = (rng.random(n) < scene.blink * dt) & (time > gone_until)
        gone_until[start] = time + rng.uniform(0.3, 1.5, start.sum())
        visible &= time >= gone_until
        cut = (rng.random(n) < scene.half * dt) & (time > half_until)
        half_until[cut] = time + rng.uniform(0.5, 2, cut.sum())
        moments.append(_moment(scene, rng, time, truth, visible, heights, time < half_until))
    return moments


def _velocity(scene: Scene, rng: np.random.Generator, height: float) -> np.ndarray:
    if rng.random() < 0.25 and scene.speed[0] == 0:
        return np.zeros(2)
    angle = rng.uniform(0, 2 * np.pi)
    return rng.uniform(*scene.speed) * height * np.array([np.cos(angle), 0.3 * np.sin(angle)])


def _start(scene: Scene, rng: np.random.Generator, heights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n, (width, height) = scene.people, scene.size
    if scene.layout == "row":
        places = np.stack([np.linspace(0.1, 0.9, n) * width, np.full(n, 0.8 * height)], 1)
        targets = np.zeros((n, 2))
    elif scene.layout == "cross":
        side = np.where(np.arange(n) % 2, 1, -1)
        places = np.stack([width / 2 - side * rng.uniform(0.1, 0.45, n) * width, np.full(n, 0.8 * height)], 1)
        targets = np.stack([side * rng.uniform(*scene.speed, n) * heights, np.zeros(n)], 1)
    else:
        places = rng.uniform((0, 0.4 * height), (width, height), (n, 2))
        targets = np.array([_velocity(scene, rng, h) for h in heights]).reshape(n, 2)
    return places, targets.copy(), targets


def _uncovered(boxes: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """(N,) share of each box that no nearer box covers (the largest cover counts)."""
    corners = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    covered = np.prod(np.maximum(corners, 0), -1) / np.prod(boxes[:, 2:] - boxes[:, :2], -1)[:, None]
    return 1 - (covered * (depth[None] > depth[:, None])).max(1, initial=0)


def _poses(keypoints: np.ndarray, heights: np.ndarray, scene: Scene, rng: np.random.Generator, noise: float) -> Poses:
    n = len(keypoints)
    low, high = keypoints.min(1), keypoints.max(1)
    boxes = np.concatenate([low, high], 1)
    if scene.boxes == "detector":
        margin = np.array([-0.05, -0.06, 0.05, 0.04]) * heights[:, None]
        boxes = boxes + margin + rng.normal(0, 1, (n, 4)) * 2 * noise * heights[:, None]
    return Poses(keypoints, np.ones((n, keypoints.shape[1])), boxes, np.ones(n))


def _moment(
    scene: Scene,
    rng: np.random.Generator,
    time: float,
    truth: Poses,
    visible: np.ndarray,
    heights: np.ndarray,
    halved: np.ndarray,
) -> Moment:
    """Detections of those visible, and false ones, in any order."""
    rows = np.flatnonzero(visible & (rng.random(len(visible)) >= scene.missed))
    noisy = truth.keypoints[rows] + rng.normal(0, 1, (len(rows), 17, 2)) * scene.noise * heights[rows, None, None]
    false = rng.poisson(scene.false)
    ghosts = rng.uniform((0, 0), scene.size, (false, 2))
    ghost_heights = rng.uniform(*scene.height, false)
    ghost_points = (STANDING - [0, 0.5]) * ghost_heights[:, None, None] + ghosts[:, None]
    ghost_points += rng.normal(0, 0.06, (false, 17, 2)) * ghost_heights[:, None, None]
    points = np.concatenate([noisy, ghost_points])
    tall = np.concatenate([heights[rows], ghost_heights])
    poses = _poses(points, tall, scene, rng, scene.noise)
    scores = np.clip(rng.normal(0.8, 0.1, (len(points), 17)), 0.3, 1)
    scores[rng.random(scores.shape) < 0.05] = 0.05
    people = np.concatenate([rng.uniform(0.4, 0.9, len(rows)), rng.uniform(0.2, 0.6, false)])
    boxes = poses.boxes.copy()
    cut = np.concatenate([halved[rows], np.zeros(false, bool)])
    scores[cut, 13:] = 0.05
    boxes[cut, 3] = points[cut, 11:13, 1].mean(1)
    order = rng.permutation(len(points))
    owners = np.concatenate([rows, np.full(false, -1)]).astype(np.int64)
    if scene.box_only:
        none = np.zeros((len(points), 0, 2))
        found = Poses(none, none[..., 0], boxes, people, BOX)
    else:
        found = Poses(points, scores, boxes, people, COCO)
    return Moment(float(time), truth, visible, found[order], owners[order])
