"""The low-pass filter: no lag, the cut-off that it says, and every kind of track."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepose.runtime.offline import Settings, finished
from edgepose.runtime.offline.smoothing import Butterworth, require_scipy
from edgepose.runtime.tracker.smoothing import Smoother
from tests.runtime.offline.motion import recorded, somebody, walker


def lag(result: np.ndarray, truth: np.ndarray, times: np.ndarray) -> float:
    """Seconds by which the truth (T, K, 2) has to be delayed to fit the result best, without the ends."""
    inner = (times > times[0] + 0.5) & (times < times[-1] - 0.5)
    delays = np.arange(-0.05, 0.101, 0.005)

    def off(delay: float) -> float:
        moved = [np.interp(times[inner] - delay, times, column) for column in truth.reshape(len(truth), -1).T]
        return float(((result[inner].reshape(inner.sum(), -1).T - moved) ** 2).sum())

    return float(delays[int(np.argmin([off(delay) for delay in delays]))])


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("kind", ["walk", "run"])
def test_no_lag_and_less_jitter_and_error_than_live(seed: int, kind: str) -> None:
    """Of somebody who moves, with points as noisy as a network's."""
    rng, times = np.random.default_rng(seed), np.arange(120) / 30
    truth = walker(seed, times, kind)
    size = float(np.sqrt(np.ptp(truth, axis=1).prod(1)).mean())
    raw = truth + rng.normal(0, 0.012 * size, truth.shape)
    smoother = Smoother()
    live = np.concatenate([smoother(somebody(points), time).keypoints for points, time in zip(raw, times, strict=True)])
    offline = np.concatenate([moment.poses.keypoints for moment in finished(recorded(raw, times))])

    def error(found: np.ndarray) -> float:
        return float(np.linalg.norm(found - truth, axis=-1).mean())

    def jitter(found: np.ndarray) -> float:
        return float(np.linalg.norm(np.diff(found - truth, axis=0), axis=-1).mean())

    assert error(offline) < 0.95 * min(error(live), error(raw))
    assert jitter(offline) < 0.8 * jitter(live) < jitter(raw)
    clean = np.concatenate([moment.poses.keypoints for moment in finished(recorded(truth, times))])
    assert lag(clean, truth, times) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("order", [2, 4, 6, 8])
@pytest.mark.parametrize("rate", [25.0, 60.0, 240.0])
def test_half_of_the_power_passes_at_the_cutoff(order: int, rate: float) -> None:
    times = np.arange(int(8 * rate)) / rate
    for hertz, least, most in ((5.0, 0.7, 0.715), (0.5, 0.98, 1.001), (11.0, 0.0, 0.4)):
        wave = np.sin(2 * np.pi * hertz * times)[:, None]
        passed = Butterworth(5.0, order)(wave, times)[len(times) // 4 : -len(times) // 4]
        assert least <= np.sqrt(2) * passed.std() <= most, hertz


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([2, 4, 6, 8]), st.floats(0.2, 40))
def test_what_moves_steadily_stays_as_it_is(seed: int, count: int, order: int, cutoff: float) -> None:
    """Also where it is shorter than what the filter remembers, and at uneven times."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.01, 0.06, count)) if seed % 2 else np.arange(count) / 30
    values = rng.uniform(-100, 100, 2) * times[:, None] + rng.uniform(0, 1000, 2)
    assert np.abs(Butterworth(cutoff, order)(values, times) - values).max() < 0.01


@given(st.integers(0, 2**32 - 1), st.floats(0.5, 10))
def test_reversed_time_gives_the_reversed_result(seed: int, cutoff: float) -> None:
    """There is no direction in it, and so no delay."""
    rng = np.random.default_rng(seed)
    values, times = np.cumsum(rng.normal(0, 1, (90, 2)), axis=0), np.arange(90) / 30
    smooth = Butterworth(cutoff)
    inner = slice(30, 60)
    difference = smooth(values[::-1], times)[::-1] - smooth(values, times)
    assert np.abs(difference[inner]).max() < 0.05 * np.ptp(values)


def test_uneven_times() -> None:
    """A wave at 1 Hz among frames of 1/60 and 1/15 s is found again."""
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.choice([1 / 60, 1 / 30, 1 / 15], 200))
    wave = 100 * np.sin(2 * np.pi * times)[:, None]
    smooth = Butterworth(6.0)(wave + rng.normal(0, 3, wave.shape), times)
    assert np.abs(smooth - wave)[10:-10].mean() < 2.0
    assert lag(smooth[:, None], wave[:, None], times) == pytest.approx(0, abs=1e-9)
    far = np.array([0.0, 1e-6, 2e-6, 1e6, 1e6 + 1e-6])  # no grid for a file that says such a thing
    assert Butterworth(6.0)(np.ones((5, 2)), far) == pytest.approx(1)


def test_frames_that_come_too_slowly_are_told() -> None:
    times = np.arange(20) / 6
    truth = walker(1, times)
    done = finished(recorded(truth, times))
    assert len(done.notes) == 1 and "4 Hz needs more than 8 frames per second, found 6" in done.notes[0]
    found = np.concatenate([moment.poses.keypoints for moment in done])
    assert np.abs(found - truth).max() < 0.01
    assert finished(recorded(truth, times), Settings(cutoff=2.0)).notes == ()


def test_scipy_is_needed_for_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    times = np.arange(10) / 30
    recording = recorded(walker(1, times), times)
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'edgepose\[offline\]'"):
        require_scipy()
    with pytest.raises(ModuleNotFoundError):
        finished(recording)
    assert len(list(finished(recording, Settings(cutoff=None)))) == 10


@pytest.mark.parametrize(
    "wrong",
    [{"cutoff": 0}, {"cutoff": math.nan}, {"order": 3}, {"max_gap": "x"}, {"max_gap": -1}, {"join": -1},
     {"person": "me"}, {"max_gap": "1.5"}],
)  # fmt: skip
def test_wrong_settings(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings(**wrong)  # type: ignore[arg-type]
