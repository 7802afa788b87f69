from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepose.evaluate.pareto import HEIGHT, WIDTH, Dot, Line, Point, Text, drawing, front, write_plot

POINTS = [Point("quick", 5, 0.4), Point("middle", 20, 0.6), Point("beaten", 30, 0.55), Point("slow & sure", 100, 0.7)]


def test_the_front() -> None:
    assert front(POINTS) == [0, 1, 3]
    assert front([]) == []
    same = [Point("a", 5, 0.4), Point("b", 5, 0.4), Point("c", 5, 0.3), Point("d", 6, 0.4)]
    assert front(same) == [0, 1]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), max_size=12))
def test_nobody_on_the_front_is_beaten(pairs: list[tuple[int, int]]) -> None:
    points = [Point("", ms, ap) for ms, ap in pairs]

    def beaten(a: Point) -> bool:
        return any(b.ms <= a.ms and b.ap >= a.ap and (b.ms, b.ap) != (a.ms, a.ap) for b in points)

    assert sorted(front(points)) == [i for i, point in enumerate(points) if not beaten(point)]


def test_everything_is_inside_and_every_model_is_named() -> None:
    shapes = drawing(POINTS, "title")
    names = {shape.text for shape in shapes if isinstance(shape, Text)}
    assert {"quick", "middle", "beaten", "slow & sure", "title", "AP", "5", "100", "0.4"} <= names
    dots = [shape for shape in shapes if isinstance(shape, Dot)]
    assert len(dots) == 4 and len({dot.color for dot in dots}) == 2
    for shape in shapes:
        for x, y in (shape.start, shape.end) if isinstance(shape, Line) else (shape.at,):
            assert 0 <= x <= WIDTH and 0 <= y <= HEIGHT
    quick, middle, beaten, slow = (dot.at for dot in dots)
    assert quick[0] < middle[0] < beaten[0] < slow[0] and slow[1] < middle[1] < beaten[1] < quick[1]


@pytest.mark.parametrize(
    "points",
    [[], POINTS[:1], [Point("a", 3, 0.0), Point("b", 3, 0.0)], [Point("x" * 60, 1e4, 1.0), Point("y", 1e-3, -1.0)],
     [Point(f"model-{i}", 10 + 0.01 * i, 0.5 + 0.001 * i) for i in range(30)]],
)  # fmt: skip
def test_odd_sets_are_drawn(points: list[Point], tmp_path: Path) -> None:
    write_plot(tmp_path / "plot.svg", points, "odd <set>")
    write_plot(tmp_path / "plot.png", points, "odd <set>")
    root = ElementTree.parse(tmp_path / "plot.svg").getroot()
    assert len(root.findall("{*}circle")) == len(points)
    picture = cv2.imread(str(tmp_path / "plot.png"))
    assert picture.shape == (2 * HEIGHT, 2 * WIDTH, 3) and np.unique(picture).size > 3


def test_other_formats(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected \.svg or \.png"):
        write_plot(tmp_path / "plot.pdf", POINTS, "")
