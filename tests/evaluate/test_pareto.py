from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepose.evaluate.pareto import DPI, FRONT, REST, SIZE, Point, drawing, front, write_plot

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
    colors = pytest.importorskip("matplotlib.colors")
    figure = drawing(POINTS, "title $5")
    (axes,) = figure.axes
    assert (axes.get_title(loc="left"), axes.get_ylabel(), axes.get_xscale()) == ("title $5", "AP", "log")
    assert axes.get_xlabel() == "milliseconds per picture (median, logarithmic)"
    assert [text.get_text() for text in axes.texts] == [point.name for point in POINTS]
    (dots,) = axes.collections
    assert dots.get_offsets().tolist() == [[point.ms, point.ap] for point in POINTS]
    assert [colors.to_hex(color) for color in dots.get_facecolors()] == [FRONT, FRONT, REST, FRONT]
    (steps,) = axes.lines
    assert steps.get_xydata().tolist() == [[5, 0.4], [20, 0.6], [100, 0.7]] and steps.get_drawstyle() == "steps-post"
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert all(0 <= box.x0 < box.x1 <= DPI * SIZE[0] and 0 <= box.y0 < box.y1 <= DPI * SIZE[1] for box in boxes)
    shown = {text.get_text() for text in (*axes.get_xticklabels(), *axes.get_yticklabels())}
    assert {"5", "100", "0.4"} <= shown


def test_names_of_close_models_cover_no_other_name_or_dot() -> None:
    pytest.importorskip("matplotlib")
    points = [Point(f"model-{i}", 10 + 0.05 * i, 0.5 + 0.004 * (i % 3)) for i in range(6)]
    figure = drawing(points, "")
    (axes,) = figure.axes
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    dots = axes.transData.transform([(point.ms, point.ap) for point in points])
    assert not any(box.contains(x, y) for box in boxes for x, y in dots)


@pytest.mark.parametrize(
    "points",
    [[], POINTS[:1], [Point("a", 3, 0.0), Point("b", 3, 0.0)], [Point("x" * 60, 1e4, 1.0), Point("y", 1e-3, -1.0)],
     [Point(f"model-{i}", 10 + 0.01 * i, 0.5 + 0.001 * i) for i in range(30)]],
)  # fmt: skip
def test_odd_sets_are_drawn(points: list[Point], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    write_plot(tmp_path / "plot.svg", points, "odd <set>")
    write_plot(tmp_path / "plot.png", points, "odd <set>")
    root = ElementTree.parse(tmp_path / "plot.svg").getroot()
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"odd <set>", *(point.name for point in points)} <= set(words)
    picture = cv2.imread(str(tmp_path / "plot.png"))
    assert picture.shape == (2 * DPI * SIZE[1], 2 * DPI * SIZE[0], 3) and np.unique(picture).size > 3


def test_the_same_points_give_the_same_file(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for kind in ("svg", "png"):
        files = [tmp_path / f"{i}.{kind}" for i in range(2)]
        for file in files:
            write_plot(file, POINTS, "title")
        assert files[0].read_bytes() == files[1].read_bytes()


def test_other_formats(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected \.svg or \.png"):
        write_plot(tmp_path / "plot.pdf", POINTS, "")


def test_without_matplotlib_a_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r"plots need matplotlib: pip install edgepose\[evaluate\]"):
        write_plot(tmp_path / "plot.svg", POINTS, "")
