from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from edgepose.media.video import read_video
from edgepose.runtime.follow.cuts import Cuts
from tests.goldens import folder


def scene(seed: int, shift: int = 0) -> np.ndarray:
    """Colored patches (240, 320, 3) that move to the left by `shift` pixels."""
    patches = np.random.default_rng(seed).integers(0, 256, (6, 40, 3), np.uint8)
    wide = patches.repeat(40, axis=0).repeat(40, axis=1)
    return np.ascontiguousarray(wide[:, shift : shift + 320])


def found(frames: list[np.ndarray], cuts: Cuts | None = None) -> list[int]:
    cuts = Cuts() if cuts is None else cuts
    return [i for i, frame in enumerate(frames) if cuts(frame)]


def test_a_cut() -> None:
    assert found([scene(0)] * 3 + [scene(1)] * 6 + [scene(0)] * 2) == [3, 9]
    assert found([scene(0)]) == []


def test_motion_is_no_cut() -> None:
    assert found([scene(0, 3 * i) for i in range(60)]) == []  # a pan
    assert found([scene(0, 60 * i) for i in range(20)]) == [1]  # one too fast to follow is one cut, not nineteen


def test_light_is_no_cut() -> None:
    dark = (scene(0) // 3).astype(np.uint8)
    assert found([dark] * 3 + [dark + 120] * 3) == []


def test_noise_is_no_cut() -> None:
    rng = np.random.default_rng(0)
    noisy = [np.clip(scene(0) + rng.normal(0, 40, (240, 320, 3)), 0, 255).astype(np.uint8) for _ in range(20)]
    assert found(noisy) == []


def test_difference_and_reset() -> None:
    half = scene(0).copy()
    half[:, 160:] = scene(1)[:, 160:]
    assert found([scene(0)] * 3 + [half], Cuts(0.05)) == [3]
    assert found([scene(0)] * 3 + [half], Cuts(0.5)) == []
    cuts = Cuts()
    cuts(scene(0))
    cuts.reset()
    assert not cuts(scene(1))
    for wrong in (0, 1, -0.1, float("nan")):
        with pytest.raises(ValueError, match="difference must be between 0 and 1"):
            Cuts(wrong)


def test_any_size() -> None:
    for size in ((1, 1), (7, 400), (1080, 1920), (2000, 30)):
        black, gray = np.zeros((*size, 3), np.uint8), np.full((*size, 3), 9, np.uint8)
        assert found([black, black, gray]) == []


def clip(name: str, frames: int) -> list[np.ndarray]:
    path: Path = folder().parent / "data" / "clips" / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return [frame.image for frame in islice(read_video(path), frames)]


def test_real_clips_have_a_cut_where_they_are_joined_and_nowhere_else() -> None:
    class_, walk, single = (
        clip(name, 45) for name in ("exercise_class_pexels.mp4", "sports2d_demo.mp4", "one-by-one-person-detection.mp4")
    )
    assert found(class_ + walk + single) == [45, 90]
    assert found(single + class_) == [45]
