"""What people do: joint angles as functions of time.

A motion is drawn once (`random_motion`) and then deterministic: the same second always gives the same pose. Angles stay
within the joints' limits. Gait is a few harmonics per joint, fitted by eye to the usual curves of level walking
(Winter); its phase follows the distance covered, so that feet do not slide far.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from edgepose.synthetic.body import ANGLE, LIMITS, within_limits

MOTIONS = ("idle", "walk", "run", "wave", "sit", "reach", "exercise")
Angles = dict[str, float]


@dataclass(frozen=True, eq=False)
class Motion:
    """One person's movement.

    kind:   one of MOTIONS, or "pose" for a posture that is held
    speed:  metres per second over the ground
    base:   (28,) habitual angles, added everywhere
    sway:   (28, 3) small wandering of every joint: degrees, rounds per second, phase
    """

    kind: str
    speed: float = 0.0
    tempo: float = 1.0  # rounds per second of what repeats
    phase: float = 0.0
    variant: int = 0
    amount: float = 1.0
    base: np.ndarray = field(default_factory=lambda: np.zeros(len(LIMITS)))
    sway: np.ndarray = field(default_factory=lambda: np.zeros((len(LIMITS), 3)))

    def angles(self, time: float) -> np.ndarray:
        """(28,) degrees at a time in seconds."""
        sway = self.sway[:, 0] * np.sin(2 * np.pi * (self.sway[:, 1] * time + self.sway[:, 2]))
        result = self.base + sway
        for name, value in _SHAPES[self.kind](self, 2 * np.pi * (self.tempo * time + self.phase)).items():
            if name in ANGLE:
                result[ANGLE[name]] += value
            else:  # of both sides
                result[ANGLE[f"left_{name}"]] += value
                result[ANGLE[f"right_{name}"]] += value
        return within_limits(result)

    def lift(self, time: float) -> float:
        """How far the lowest part of the body is off the ground, metres: a run has flights."""
        if self.kind != "run":
            return 0.0
        return 0.05 * self.amount * max(0.0, float(np.sin(4 * np.pi * (self.tempo * time + self.phase) + 0.6)))


_CHANCES = (0.16, 0.41, 0.53, 0.63, 0.75, 0.86)  # cumulated, of all motions but the last


def random_motion(rng: np.random.Generator, kind: str | None = None) -> Motion:
    """A motion of a kind, or of any kind."""
    if kind is not None and kind not in _SHAPES:
        raise ValueError(f"unknown motion {kind!r}, expected one of {[*MOTIONS, 'pose']}")
    chosen = kind or MOTIONS[bisect(_CHANCES, rng.random())]
    speeds = {"walk": (0.8, 1.7), "run": (2.2, 4.5)}
    speed = rng.uniform(*speeds.get(chosen, (0, 0)))
    tempo = {"walk": 0.45 + 0.38 * speed, "run": 0.95 + 0.13 * speed, "wave": rng.uniform(0.8, 1.8)}
    count = len(LIMITS)
    sway = np.array([rng.uniform(0, 3, count), rng.uniform(0.05, 0.35, count), rng.random(count)]).T
    base = rng.normal(0, 4, count)
    relax = {"shoulder_abduct": rng.uniform(4, 16), "elbow_flex": rng.uniform(6, 24), "forearm_turn": 10,
             "hip_abduct": rng.uniform(1, 7), "hip_rotate": rng.uniform(0, 12), "knee_flex": rng.uniform(1, 8),
             }  # fmt: skip
    for name, value in relax.items():
        base[ANGLE[f"left_{name}"]] += value
        base[ANGLE[f"right_{name}"]] += value
    if chosen == "pose":
        base = _free_pose(rng)
    return Motion(chosen, speed, tempo.get(chosen, rng.uniform(0.25, 0.6)), rng.random(), int(rng.integers(64)),
                  rng.uniform(0.7, 1.1), base, sway)  # fmt: skip


def _free_pose(rng: np.random.Generator) -> np.ndarray:
    """Any posture that joints allow, mostly in the middle of their ranges: gymnasts, climbers, dancers."""
    middle = {"shoulder_flex": 40, "shoulder_abduct": 40, "elbow_flex": 50, "hip_flex": 30, "hip_abduct": 14,
              "knee_flex": 35}  # fmt: skip
    spread = {"shoulder_flex": 55, "shoulder_abduct": 40, "shoulder_rotate": 25, "elbow_flex": 38, "hip_flex": 34,
              "hip_abduct": 13, "hip_rotate": 12, "knee_flex": 34, "spine_flex": 17, "spine_bend": 10,
              "spine_twist": 12, "neck_flex": 10, "neck_twist": 20, "neck_bend": 8}  # fmt: skip
    names = [name.removeprefix("left_").removeprefix("right_") for name in LIMITS]
    center = np.array([middle.get(name, 0) for name in names], float)
    width = np.array([spread.get(name, 10) for name in names], float)
    return within_limits(center + width * rng.normal(0, 1, len(names)))


def _ease(x: float) -> float:
    """A swing from 0 to 1 and back over a round, resting at both ends."""
    s = 0.5 - 0.5 * float(np.cos(x))
    return s * s * (3 - 2 * s)


def _idle(m: Motion, x: float) -> Angles:
    """Standing; arms at the sides, on the hips, crossed, behind, or holding something."""
    shift = 3 * np.sin(0.4 * x)
    result: Angles = {"spine_bend": shift, "left_hip_abduct": shift, "right_hip_abduct": -shift}
    arms: tuple[Angles, ...] = (
        {},
        {"shoulder_abduct": 42, "shoulder_flex": -18, "shoulder_rotate": 58, "elbow_flex": 80},
        {"shoulder_flex": 26, "shoulder_rotate": 62, "elbow_flex": 88, "shoulder_abduct": -6},
        {"right_shoulder_flex": 32, "right_elbow_flex": 92, "right_shoulder_rotate": 22},
        {"shoulder_flex": 22, "elbow_flex": 68, "shoulder_rotate": 20},
        {"left_shoulder_flex": 48, "left_elbow_flex": 112, "left_shoulder_rotate": 28, "neck_flex": 18},
    )
    return result | arms[m.variant % 6]


def _walk(m: Motion, x: float) -> Angles:
    result: Angles = {"spine_flex": 3, "spine_twist": 5 * np.cos(x), "neck_twist": -5 * np.cos(x)}
    for side, shift in (("left", 0.0), ("right", np.pi)):
        p = x + shift
        result |= {
            f"{side}_hip_flex": m.amount * (8 + 24 * np.cos(p)),
            f"{side}_knee_flex": m.amount * (22 - 24 * np.cos(p - 1.4) + 8 * np.cos(2 * p - 0.8)),
            f"{side}_ankle_flex": m.amount * (1 + 6 * np.sin(p - 0.4)),
            f"{side}_shoulder_flex": m.amount * (-2 - 22 * np.cos(p)),
            f"{side}_elbow_flex": 10 - 10 * np.cos(p),
        }
    if m.variant % 4 == 0:  # something in the hand
        result |= {"right_elbow_flex": 85, "right_shoulder_flex": 20}
    return result


def _run(m: Motion, x: float) -> Angles:
    result: Angles = {"spine_flex": 12, "spine_twist": 9 * np.cos(x), "neck_twist": -9 * np.cos(x), "neck_flex": -8}
    for side, shift in (("left", 0.0), ("right", np.pi)):
        p = x + shift
        result |= {
            f"{side}_hip_flex": m.amount * (22 + 42 * np.cos(p)),
            f"{side}_knee_flex": m.amount * (58 - 46 * np.cos(p - 1.3)),
            f"{side}_ankle_flex": -6 + 12 * np.sin(p - 0.4),
            f"{side}_shoulder_flex": m.amount * (-2 - 40 * np.cos(p)),
            f"{side}_elbow_flex": 80 - 10 * np.cos(p),
            f"{side}_shoulder_rotate": 16,
        }
    return result


def _wave(m: Motion, x: float) -> Angles:
    side = "left" if m.variant % 2 else "right"
    high = 40 if m.variant % 4 < 2 else 0
    swing = 24 * np.sin(x)
    one: Angles = {f"{side}_shoulder_abduct": 82 + high + 0.3 * swing, f"{side}_shoulder_rotate": -65,
                   f"{side}_elbow_flex": 72 - high + swing}  # fmt: skip
    if m.variant % 5 == 0:
        other = "right" if side == "left" else "left"
        one |= {name.replace(side, other): value for name, value in one.items()}
    return one


def _sit(m: Motion, x: float) -> Angles:
    lean = 4 * np.sin(0.5 * x)
    result: Angles = {"hip_flex": 84, "knee_flex": 82, "spine_flex": (0, 8, 24, 38)[m.variant % 4] + lean,
                      "hip_abduct": (2, 10, 16)[m.variant % 3]}  # fmt: skip
    arms: tuple[Angles, ...] = (
        {"shoulder_flex": 32, "elbow_flex": 52, "shoulder_rotate": 10},
        {"shoulder_flex": 52, "elbow_flex": 72, "shoulder_rotate": 26},
        {"left_shoulder_flex": 28, "left_elbow_flex": 50, "right_shoulder_flex": 62, "right_elbow_flex": 108},
        {"shoulder_abduct": 16, "shoulder_flex": -8, "elbow_flex": 20},
    )
    return result | arms[m.variant // 4 % 4]


def _reach(m: Motion, x: float) -> Angles:
    """Stretching for something high, ahead, aside or on the ground, and back."""
    s, side = _ease(x), "left" if m.variant % 2 else "right"
    sign = 1 if side == "left" else -1
    ways: tuple[Angles, ...] = (
        {f"{side}_shoulder_flex": 160, "spine_bend": -8.0 * sign, "neck_flex": -28, "ankle_flex": -18},
        {f"{side}_shoulder_flex": 88, "spine_flex": 22, "spine_twist": -18.0 * sign},
        {f"{side}_shoulder_abduct": 92, "spine_bend": 22.0 * sign},
        {"shoulder_flex": 82, "spine_flex": 62, "hip_flex": 62, "knee_flex": 18},
        {"shoulder_flex": 62, "spine_flex": 22, "hip_flex": 100, "knee_flex": 118, "ankle_flex": 12},
        {"shoulder_flex": 165, "neck_flex": -20},
    )
    return {name: s * value for name, value in ways[m.variant // 2 % 6].items()}


def _exercise(m: Motion, x: float) -> Angles:
    """Squats, jumping jacks, lunges, arm circles, side bends, high knees, balance."""
    s = _ease(x)
    which = m.variant % 7
    if which == 0:
        return {"hip_flex": 105 * s, "knee_flex": 112 * s, "spine_flex": 24 * s, "ankle_flex": 18 * s,
                "shoulder_flex": 82 * s, "hip_abduct": 12, "hip_rotate": 10}  # fmt: skip
    if which == 1:
        return {"shoulder_abduct": 148 * s, "hip_abduct": 28 * s, "elbow_flex": 6}
    if which == 2:
        return {"left_hip_flex": 76 * s, "left_knee_flex": 82 * s, "right_hip_flex": -20 * s, "right_knee_flex": 62 * s,
                "shoulder_abduct": 34, "shoulder_rotate": 50, "elbow_flex": 78}  # fmt: skip
    if which == 3:
        return {"shoulder_abduct": 86 + 20 * np.sin(x), "shoulder_flex": 24 * np.cos(x), "hip_abduct": 8}
    if which == 4:
        return {"spine_bend": 32 * np.sin(x), "left_shoulder_abduct": 150 * (0.5 - 0.5 * np.sin(x)),
                "right_shoulder_abduct": 150 * (0.5 + 0.5 * np.sin(x)), "hip_abduct": 14}  # fmt: skip
    if which == 5:
        left, right = max(0.0, np.sin(x)), max(0.0, -np.sin(x))
        return {"left_hip_flex": 96 * left, "left_knee_flex": 100 * left, "right_hip_flex": 96 * right,
                "right_knee_flex": 100 * right, "left_shoulder_flex": 60 * right, "right_shoulder_flex": 60 * left,
                "elbow_flex": 75}  # fmt: skip
    return {"left_hip_abduct": 42 * s, "spine_bend": -18 * s, "shoulder_abduct": 84, "left_knee_flex": 4}


_SHAPES: dict[str, Callable[[Motion, float], Angles]] = {
    "idle": _idle, "walk": _walk, "run": _run, "wave": _wave, "sit": _sit, "reach": _reach, "exercise": _exercise,
    "pose": lambda m, x: {},
}  # fmt: skip
