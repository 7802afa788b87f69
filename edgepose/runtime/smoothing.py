"""Steady keypoints: the One-Euro filter (Casiez, Roussel, Vogel, CHI 2012), in seconds and in sizes of the person."""

from __future__ import annotations

from edgepose.poses import Poses

PRESETS = ("steady", "default", "quick")


class Smoother:
    """smoother(poses, time) -> Poses: keypoints and boxes of people with ids, filtered over time (seconds).

    preset: "steady", "default", "quick", or None for off, which returns its input
    """

    def __init__(self, preset: str | None = "default") -> None:
        self.preset = preset

    def __call__(self, poses: Poses, time: float) -> Poses:
        return poses

    def reset(self) -> None:
        """Forget everybody."""
