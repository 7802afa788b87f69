"""A low-pass filter without delay: forth and back over the whole track."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import numpy as np

from edgepose.runtime.offline.recording import known_points

_UNEVEN = 0.1  # part of a frame by which steps may differ before a track is resampled
_FINER = 2  # the even grid has so many points for each frame, so that reading between them costs nothing
_FULLEST = 16  # but at most so many, whatever the times are
_REMEMBERED, _LONGEST_PAD = 3.0, 100_000  # ends are continued for so many periods of the cut-off, and frames at most
_FEWEST = 3  # frames; fewer say nothing about what is noise


def require_scipy() -> None:
    """ModuleNotFoundError, with what to do, where the filter cannot be had."""
    if importlib.util.find_spec("scipy") is None:
        raise ModuleNotFoundError(
            "smoothing a finished file needs scipy: pip install 'edgepose[offline]', or leave it out with --no-smooth "
            "(cutoff=None)"
        )


class Butterworth:
    """A low-pass filter that is run forth and back, so that nothing is delayed.

    cutoff: Hz, at which both runs together let 1/sqrt(2) through (Winter's correction for two runs)
    order:  of both together, even: the field's "fourth-order zero-lag" is a second-order filter run twice
    """

    def __init__(self, cutoff: float, order: int = 4) -> None:
        self.cutoff, self.order = cutoff, order

    def works_at(self, rate: float) -> bool:
        """Whether there is anything to take away at so many frames per second."""
        return self.cutoff < rate / 2

    def __call__(self, values: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Values (T, D) at times (T,), smoothed. Uneven times are resampled to an even grid and back, both linearly.

        Fewer than 3 frames stay as they are, and so does what comes too slowly for the cut-off.
        """
        count = len(values)
        if count < _FEWEST:
            return values
        steps = np.diff(times)
        usual = float(np.median(steps))
        if np.abs(steps - usual).max() <= _UNEVEN * usual:
            return self._even(values, (count - 1) / float(times[-1] - times[0]))
        if not self.works_at(1 / usual):
            return values
        span = float(times[-1] - times[0])
        points = min(math.ceil(span / usual * _FINER), _FULLEST * count) + 1
        grid = np.linspace(times[0], times[-1], points)
        even = np.stack([np.interp(grid, times, column) for column in values.T], axis=1)
        smooth = self._even(even, (points - 1) / span)
        return np.stack([np.interp(times, grid, column) for column in smooth.T], axis=1)

    def _even(self, values: np.ndarray, rate: float) -> np.ndarray:
        from scipy.signal import sosfiltfilt

        if not self.works_at(rate):
            return values
        # Both ends are continued by the track turned about its end, over and over where it is short, for longer than
        # the filter remembers: what moves steadily stays as it is.
        pad = min(math.ceil(_REMEMBERED * rate / self.cutoff) + 20, _LONGEST_PAD)
        padded = np.pad(values, ((pad, pad), (0, 0)), "reflect", reflect_type="odd")
        smooth = sosfiltfilt(self._sections(rate), padded, axis=0, padtype=None, padlen=0)
        return np.asarray(smooth[pad : pad + len(values)])

    def _sections(self, rate: float) -> Any:
        from scipy.signal import butter

        once = self.order // 2
        warped = math.tan(math.pi * self.cutoff / rate) / (math.sqrt(2) - 1) ** (1 / (2 * once))
        return butter(once, math.atan(warped) * rate / math.pi, fs=rate, output="sos")


def smooth_track(track: np.ndarray, clock: np.ndarray, score: float, low_pass: Butterworth) -> str:
    """Smooth a track in place; returns what has to be said about it."""
    times = clock[track["frame"]]
    breaks = np.flatnonzero(np.diff(track["frame"]) > 1) + 1
    known = known_points(track, score)
    slow = ""
    for part in np.split(np.arange(len(track)), breaks):
        if len(part) > 2:
            rate = 1 / float(np.median(np.diff(times[part])))
            if not low_pass.works_at(rate):
                slow = (
                    f"not everything is smoothed: a cut-off of {low_pass.cutoff:g} Hz needs more than "
                    f"{2 * low_pass.cutoff:g} frames per second, found {rate:.3g}; a lower --cutoff smooths it"
                )
                continue
        track["box"][part] = low_pass(track["box"][part].astype(np.float64), times[part])
        for k in range(known.shape[1]):
            for run in _runs(known[part, k]):
                at = part[run]
                track["keypoints"][at, k] = low_pass(track["keypoints"][at, k].astype(np.float64), times[at])
    return slow


def _runs(known: np.ndarray) -> list[slice]:
    """Where known (T,) is true without a break."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
    return [slice(a, b) for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)]
