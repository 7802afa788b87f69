from __future__ import annotations

import numpy as np
import pytest

from edgepose.evaluate.interval import intervals
from edgepose.evaluate.matching import match, pictures_of
from tests.evaluate.test_matching import OURS, crowded_set


def test_the_figure_lies_inside_and_more_pictures_are_surer() -> None:
    labels, rows = crowded_set(0)
    matches = match(pictures_of(rows, labels)[0])
    found = intervals(matches, 200)
    assert set(found) == {*OURS, "resamples", "level"}
    for name, value in matches.figures().items():
        low, high = found[name]
        assert 0 <= low <= value <= high <= 1, name
    narrow = intervals(matches, 200, level=0.5)["AP"]
    assert found["AP"][0] < narrow[0] < narrow[1] < found["AP"][1]


def test_seeds() -> None:
    labels, rows = crowded_set(1)
    matches = match(pictures_of(rows, labels)[0])
    assert intervals(matches, 30) == intervals(matches, 30) != intervals(matches, 30, seed=1)


def test_a_set_of_one_picture_has_no_spread() -> None:
    labels, rows = crowded_set(2)
    picture = max(pictures_of(rows, labels)[0], key=lambda p: p.people())
    matches = match([picture])
    assert intervals(matches, 10)["AP"] == pytest.approx([matches.figures()["AP"]] * 2, abs=1e-6)


def test_nobody() -> None:
    assert intervals(match([]), 5)["AP"] == [-1, -1]
    labels, rows = crowded_set(3)
    small = labels | {"annotations": [a | {"area": 2000.0} for a in labels["annotations"]]}
    found = intervals(match(pictures_of(rows, small)[0]), 5)
    assert found["APL"] == [-1, -1] and np.isfinite(found["APM"]).all()


@pytest.mark.parametrize(("resamples", "level"), [(0, 0.9), (5, 1.0), (5, 0.0)])
def test_wrong_settings(resamples: int, level: float) -> None:
    with pytest.raises(ValueError, match="at least 1 resample and a level between 0 and 1"):
        intervals(match([]), resamples, level=level)
