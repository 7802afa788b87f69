"""How many files of the package one picture, and one frame of a video, go through: what somebody new has to read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import edgepose
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


def test_one_picture_goes_through_ten_files(estimator: Estimator) -> None:
    image, entered = edgepose.example_image(), set[str]()
    sys.setprofile(watch(entered))
    try:
        people = estimator(image)
    finally:
        sys.setprofile(None)
    assert len(people) and {"runtime/estimator.py", "codec/boxes.py", "codec/distribution.py"} <= entered
    assert len(entered) <= 10, sorted(entered)
