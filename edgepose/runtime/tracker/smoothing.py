"""Steady keypoints: the One-Euro filter (Casiez, Roussel and Vogel, CHI 2012), in seconds and in sizes of the person.

A low-pass filter that removes most jitter also lags, so two things are added to the published one. It runs in a frame
that drifts along with the point's own slow speed, where that speed is beyond doubt: steady motion is not delayed. And
the noise of each point is measured, from how far it strays from the line between its neighbors in time, and only speed
that noise does not explain opens the filter: one preset holds for quiet models and for noisy ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from edgepose.names import expected
from edgepose.poses import Poses
from edgepose.runtime.tracker.tracks import Seen, joined, taken


@dataclass(frozen=True)
class Preset:
    """How much to smooth.

    cutoff:  Hz, for a point that keeps its course; lower is steadier
    opening: Hz per size/s of speed off that course; higher lags less
    """

    cutoff: float
    opening: float

    def __post_init__(self) -> None:
        if not (self.cutoff > 0 and self.opening >= 0):
            raise ValueError(f"a preset needs a cutoff above 0 and an opening of at least 0 Hz, got {self}")


PresetName = Literal["steady", "default", "quick"]
PRESETS: dict[PresetName, Preset] = {
    "steady": Preset(cutoff=0.2, opening=10.0),
    "default": Preset(cutoff=0.5, opening=25.0),
    "quick": Preset(cutoff=1.5, opening=40.0),
}

_SPEED_CUTOFF = 2.0  # Hz, of the speed that opens the filter
_DRIFT_CUTOFF = 0.8  # Hz, of the speed that the filter follows
_DOUBT, _DRIFT_DOUBT = 2.2, 1.8  # speeds below this many times what noise alone looks like count for nothing
_NOISE, _NOISE_TIME = 0.01, 1.0  # noise until it is measured (sizes), and seconds over which it is measured
_SIZE_TIME = 1.0  # seconds over which a person's size is averaged
_RAYLEIGH = math.sqrt(math.pi / 2)  # mean length of a vector whose two coordinates have standard deviation 1


def weight(cutoff: np.ndarray | float, dt: np.ndarray | float) -> np.ndarray:
    """Weight of a new value, after `dt` seconds, in a low-pass filter with `cutoff` (Hz)."""
    rate = 2 * np.pi * np.asarray(cutoff) * dt
    return rate / (rate + 1)


def one_euro(
    value: np.ndarray,
    last: np.ndarray,
    slope: np.ndarray,
    dt: np.ndarray,
    cutoff: float,
    opening: float,
    speed_cutoff: float,
    ignored: np.ndarray | float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """One step of the published filter: values (..., 2), the last result and slope, dt (...) -> result and slope.

    The cut-off is `cutoff` + `opening` x speed, where the speed is the length of the slope less `ignored` (...).
    """
    a = weight(speed_cutoff, dt)[..., None]
    slope = a * (value - last) / dt[..., None] + (1 - a) * slope
    speed = np.maximum(np.linalg.norm(slope, axis=-1) - ignored, 0)
    a = weight(cutoff + opening * speed, dt)[..., None]
    return a * value + (1 - a) * last, slope


@dataclass(eq=False)
class _Memory:
    """What is remembered of N people with P points (keypoints and two box corners).

    ids (N,), sizes (N,) pixels, dates (N,) last seen; per point, (N, P, 2) in pixels: result, slope and drift (per
    second), raw and older, the last two values; (N, P): times and older_times of these, NaN for never, and noise, its
    variance in squared sizes
    """

    ids: np.ndarray
    sizes: np.ndarray
    dates: np.ndarray
    result: np.ndarray
    slope: np.ndarray
    drift: np.ndarray
    raw: np.ndarray
    older: np.ndarray
    times: np.ndarray
    older_times: np.ndarray
    noise: np.ndarray

    @staticmethod
    def new(ids: np.ndarray, seen: Seen, time: float) -> _Memory:
        never = np.full(seen.known.shape, np.nan)
        zero, noise = np.zeros_like(seen.points), np.full(never.shape, _NOISE**2)
        return _Memory(ids, seen.sizes, np.full(len(ids), time), zero, zero, zero, zero, zero, never, never, noise)


class Smoother:
    """Steadies people with identities, frame by frame.

        smoother = Smoother()
        poses = smoother(poses, time=frame.time)

    Keypoints and boxes are filtered, scores and ids stay. A keypoint scored low, and everything of a person who was not
    seen, keeps the place given and leaves no trace in what follows. Any frame rate, also a changing one. Not for
    several threads at once.

    preset:         "steady", "default", "quick", a Preset, or None for off, which gives back what came
    keypoint_score: keypoints scored no higher than this are left alone; None: as suits the scores (`Poses.thresholds`)
    forget:         seconds without being seen after which a person or a keypoint starts anew
    interval:       seconds between frames whose time is not given
    """

    def __init__(
        self,
        preset: PresetName | Preset | None = "default",
        *,
        keypoint_score: float | None = None,
        forget: float = 1.0,
        interval: float = 1 / 30,
    ) -> None:
        if isinstance(preset, str):
            if preset not in get_args(PresetName):
                raise ValueError(f"unknown preset {preset!r}{expected(preset, get_args(PresetName))}, a Preset or None")
            preset = PRESETS[preset]
        for name, value in (("forget", forget), ("interval", interval)):
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name} must be a positive number of seconds, got {value!r}")
        self.preset = preset
        self._keypoint_score, self._forget, self._interval = keypoint_score, forget, interval
        self._time: float | None = None
        self._memory: _Memory | None = None

    def reset(self) -> None:
        """Forget everybody, and the time."""
        self._time, self._memory = None, None

    def __call__(self, poses: Poses, time: float | None = None, held: np.ndarray | None = None) -> Poses:
        """The same people, steadied; `time` in seconds must rise, without it a frame takes `interval` seconds.

        held: (N,) bool, people who were not seen but are where a tracker expects them (`Tracker.rows` is -1).

        Raises ValueError for people without ids, for a time that does not rise, and for a person without a place.
        """
        if self.preset is None:
            return poses
        now = (0.0 if self._time is None else self._time + self._interval) if time is None else float(time)
        if not math.isfinite(now) or (self._time is not None and now <= self._time):
            raise ValueError(f"time must be seconds above the last frame's {self._time}, got {time!r}")
        if len(poses) and poses.ids is None:
            raise ValueError("people need ids to be smoothed: give them to Tracker.update first")
        self._time = now
        memory = self._memory
        if memory is not None:
            if len(poses) and memory.result.shape[1] != len(poses.skeleton) + 2:
                memory = None  # another skeleton
            else:
                memory = taken(memory, now - memory.dates <= self._forget)
        self._memory = memory
        if held is not None and held.any():
            return _merged(self._steadied(poses[~held], now), poses, ~held)
        return self._steadied(poses, now)

    def _steadied(self, poses: Poses, now: float) -> Poses:
        """People who were all seen."""
        if not len(poses) or self.preset is None:
            return poses
        memory = self._memory
        assert poses.ids is not None
        known = poses.thresholds.used if self._keypoint_score is None else self._keypoint_score
        seen = Seen.of(poses, known)
        before = {} if memory is None else {identity: row for row, identity in enumerate(memory.ids.tolist())}
        rows = np.array([before.get(identity, -1) for identity in poses.ids.tolist()])
        new = _Memory.new(poses.ids[rows < 0], seen[rows < 0], now)
        whole = new if memory is None else joined([new, memory])
        rows[rows >= 0] += len(new.ids)
        rows[rows < 0] = np.arange(len(new.ids))
        mine = _step(taken(whole, rows), seen, now, self.preset, self._forget)
        others = np.ones(len(whole.ids), bool)
        others[rows] = False
        self._memory = joined([mine, taken(whole, others)])
        keypoints = np.where(seen.known[:, :-2, None], mine.result[:, :-2], poses.keypoints)
        corners = mine.result[:, -2:]
        boxes = np.concatenate([corners.min(1), corners.max(1)], axis=1)
        return replace(poses, keypoints=keypoints, boxes=boxes)


def _merged(some: Poses, poses: Poses, rows: np.ndarray) -> Poses:
    """`poses` with those of `rows` (N,) bool replaced by `some`."""
    keypoints, boxes = poses.keypoints.copy(), poses.boxes.copy()
    keypoints[rows], boxes[rows] = some.keypoints, some.boxes
    return replace(poses, keypoints=keypoints, boxes=boxes)


def _step(memory: _Memory, seen: Seen, now: float, preset: Preset, forget: float) -> _Memory:
    """The memory of the same people after another sighting."""
    away = now - memory.dates
    sizes = memory.sizes + (seen.sizes - memory.sizes) * (1 - np.exp(-away / _SIZE_TIME))
    unit = sizes[:, None, None]
    with np.errstate(invalid="ignore"):
        goes_on = seen.known & (now - memory.times <= forget)  # False where never seen
        has_older = goes_on & (memory.times - memory.older_times <= forget)
    dt = np.where(goes_on, now - memory.times, 1.0)

    # Noise: how far the last value lies from the line through its neighbors.
    before = np.where(has_older, memory.times - memory.older_times, 1.0)
    part = before / (before + dt)
    stray = (memory.raw - memory.older - part[..., None] * (seen.points - memory.older)) / unit
    measured = (stray**2).mean(-1) / (1 + part**2 + (1 - part) ** 2)
    noise = memory.noise + np.where(has_older, (measured - memory.noise) * (1 - np.exp(-dt / _NOISE_TIME)), 0.0)
    usual = np.median(noise, axis=1, keepdims=True)
    spread = np.sqrt((np.minimum(noise, 9 * usual) + usual) / 2)  # a limb that swings looks noisy
    spread[:, -2:] = np.sqrt(np.maximum(noise[:, -2:], usual))  # a box does not swing, and is often noisier than limbs

    a = weight(_DRIFT_CUTOFF, dt)
    drift = a[..., None] * (seen.points - memory.raw) / dt[..., None] / unit + (1 - a[..., None]) * memory.drift / unit
    doubt = _DRIFT_DOUBT * _RAYLEIGH * spread * a * np.sqrt(2 / (2 - a)) / dt
    trust = np.maximum(1 - (doubt / np.maximum(np.linalg.norm(drift, axis=-1), 1e-9)) ** 2, 0)
    course = memory.result / unit + (drift * trust[..., None]) * dt[..., None]
    a = weight(_SPEED_CUTOFF, dt)
    doubt = _DOUBT * _RAYLEIGH * spread * np.sqrt(a / (2 - a)) / dt
    result, slope = one_euro(
        seen.points / unit, course, memory.slope / unit, dt, preset.cutoff, preset.opening, _SPEED_CUTOFF, doubt
    )

    def kept(values: np.ndarray, first: np.ndarray) -> np.ndarray:
        """New values where a point goes on, `first` where it starts, the old ones where it was not seen."""
        return np.where(goes_on[..., None], values, first)

    known = seen.known[..., None]
    return _Memory(
        ids=memory.ids,
        sizes=sizes,
        dates=np.full(len(memory.ids), now),
        result=np.where(known, kept(result * unit, seen.points), memory.result),
        slope=np.where(known, kept(slope * unit, np.zeros_like(slope)), memory.slope),
        drift=np.where(known, kept(drift * unit, np.zeros_like(drift)), memory.drift),
        raw=np.where(known, seen.points, memory.raw),
        older=np.where(known, memory.raw, memory.older),
        times=np.where(seen.known, now, memory.times),
        older_times=np.where(seen.known, memory.times, memory.older_times),
        noise=noise,
    )
