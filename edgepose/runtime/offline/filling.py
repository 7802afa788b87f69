"""Short gaps of a track filled: people between two frames that show them, points between two that were seen."""

from __future__ import annotations

import numpy as np

from edgepose.runtime.offline.recording import known_points


def filled_track(
    track: np.ndarray, clock: np.ndarray, score: float, most: float, most_frames: int | None
) -> np.ndarray:
    """The rows of a track with those that were missing, and with points between those that were seen.

    score: least one of a point that was seen; most, most_frames: as of `filled_runs`
    """
    first, last = int(track["frame"][0]), int(track["frame"][-1])
    there = np.zeros(last - first + 1, bool)
    there[track["frame"] - first] = True
    times = clock[first : last + 1]
    numbers = np.arange(first, last + 1)
    added = filled_runs(there, numbers, times, most, most_frames)
    whole = np.zeros(len(there), track.dtype)
    whole[there] = track
    whole["frame"], whole["id"], whole["color"][~there] = numbers, track["id"][0], np.nan
    for name in ("keypoints", "scores", "box", "score"):
        values = whole[name].reshape(len(whole), -1).astype(np.float64)
        whole[name] = between(values, there, times, added).reshape(whole[name].shape)
    before = np.maximum.accumulate(np.where(there, np.arange(len(there)), 0))[added]
    after = np.minimum.accumulate(np.where(there, np.arange(len(there)), len(there))[::-1])[::-1][added]
    for name in ("scores", "score"):  # no surer than the less sure of the two around
        whole[name][added] = np.minimum(whole[name][before], whole[name][after])
    whole["filled"], whole["filled_keypoints"] = added, added[:, None]
    whole, times = whole[there | added], times[there | added]
    seen = known_points(whole, score) & ~whole["filled"][:, None]
    for k in np.flatnonzero(seen.any(0) & ~seen.all(0)):
        runs = filled_runs(seen[:, k], whole["frame"], times, most, most_frames)
        places = np.flatnonzero(runs)
        if not len(places):
            continue
        whole["keypoints"][:, k] = between(whole["keypoints"][:, k].astype(np.float64), seen[:, k], times, runs)
        known = np.flatnonzero(seen[:, k])
        after = np.searchsorted(known, places)
        whole["scores"][places, k] = np.minimum(whole["scores"][known[after - 1], k], whole["scores"][known[after], k])
        whole["filled_keypoints"][places, k] = True
    return whole


def filled_runs(
    known: np.ndarray, frames: np.ndarray, times: np.ndarray, most: float, most_frames: int | None
) -> np.ndarray:
    """(T,) bool: where something is not known (T,), in a gap short enough to be filled.

    frames, times: (T,) numbers and seconds of the frames; most: seconds between the frames around a gap; most_frames:
    or frames in it
    """
    places = np.flatnonzero(known)
    missing, seconds = np.diff(frames[places]) - 1, np.diff(times[places])
    short = (missing > 0) & (missing <= most_frames if most_frames is not None else seconds <= most + 1e-6)
    result = np.zeros(len(known), bool)
    for gap in np.flatnonzero(short):
        result[places[gap] + 1 : places[gap + 1]] = True
    return result


def between(values: np.ndarray, known: np.ndarray, times: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Values (T, D) with those `wanted` (T,) on the straight line, in time, between the known ones around them."""
    result = values.copy()
    for d in range(values.shape[1]):
        result[wanted, d] = np.interp(times[wanted], times[known], values[known, d])
    return result
