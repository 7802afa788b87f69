"""How many files of the package one picture, and one frame of a video, go through: what somebody new has to read."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import edgepose
from edgepose.media.video import VideoWriter
from edgepose.runtime.estimator import Estimator

PACKAGE = str(Path(edgepose.__file__).parent)


@pytest.fixture(scope="module")
def estimator() -> Estimator:
    """The default models, run once, so that what only the first picture needs is not counted."""
    estimator = edgepose.load()
    estimator(edgepose.example_image())
    return estimator


def watch(entered: set[str]) -> Callable[[FrameType, str, Any], None]:
    """A profiler that notes the file of every function of the package that is called."""

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            entered.add(Path(frame.f_code.co_filename).relative_to(PACKAGE).as_posix())

    return note


def test_one_picture_goes_through_eleven_files(estimator: Estimator) -> None:
    image, entered = edgepose.example_image(), set[str]()
    sys.setprofile(watch(entered))
    try:
        people = estimator(image)
    finally:
        sys.setprofile(None)
    assert len(people) and {"runtime/estimator.py", "codec/boxes.py", "codec/distribution.py"} <= entered
    assert len(entered) <= 11, sorted(entered)


def test_a_frame_of_a_video_goes_through_nineteen(estimator: Estimator, tmp_path: Path) -> None:
    """One person who walks; where it is open who is who, the search for the cheapest assignment and OKS join in."""
    image, entered, walk = edgepose.example_image(), set[str](), set[str]()
    with VideoWriter(tmp_path / "walk.mp4") as video:
        for i in range(32):
            video.write(np.roll(image, 2 * i, axis=1))
    threading.setprofile(watch(entered))
    sys.setprofile(watch(entered))
    try:
        for i, frame in enumerate(edgepose.track(tmp_path / "walk.mp4", estimator)):
            if i == 8:  # what only the first frames need is not counted, nor what only the end does
                entered.clear()
            if i == 20:
                walk = set(entered)
            assert frame.poses.ids is not None and frame.poses.ids.tolist() == [1]
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    assert {"media/video.py", "runtime/track.py", "runtime/tracker/tracks.py", "codec/boxes.py"} <= walk
    assert len(walk) <= 19, sorted(walk)
