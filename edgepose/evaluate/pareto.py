"""Accuracy against time: which models no other beats in both, and a plot of it as SVG or PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE, DPI = (9, 6), 100  # inches; a PNG has twice as many pixels per inch, for sharp letters
INK, FAINT, FRONT, REST = "#282828", "#e1e1e1", "#145abe", "#969696"
# Where a name may stand, in points from its dot: beside it, above, below, then farther away.
OFFSETS = [(x, y) for y in (7, -7, 0, 18, -18, 30, -30) for x in (8, -8, 0) if (x, y) != (0, 0)]


@dataclass(frozen=True)
class Point:
    """A model: milliseconds per picture, and its AP."""

    name: str
    ms: float
    ap: float


def front(points: Sequence[Point]) -> list[int]:
    """Indices of the points that no other beats (as quick and more accurate, or quicker and as accurate), quickest
    first; of equal ones all stay."""
    order = sorted(range(len(points)), key=lambda i: (points[i].ms, -points[i].ap))
    kept: list[int] = []
    for i in order:
        best = points[kept[-1]] if kept else None
        if best is None or points[i].ap > best.ap or (points[i].ap, points[i].ms) == (best.ap, best.ms):
            kept.append(i)
    return kept


def write_plot(path: str | Path, points: Sequence[Point], title: str) -> None:
    """Write the plot to a path ending in .svg or .png; the same points give the same file.

    Raises ModuleNotFoundError without matplotlib.
    """
    suffix = Path(path).suffix
    if suffix not in (".svg", ".png"):
        raise ValueError(f"{path} ends in {suffix!r}, expected .svg or .png")
    figure = drawing(points, title)
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "edgepose", "svg.fonttype": "none"}):  # same names, letters as text
        if suffix == ".svg":
            figure.savefig(path, format="svg", metadata={"Date": None})
        else:
            figure.savefig(path, format="png", dpi=2 * DPI)


def drawing(points: Sequence[Point], title: str) -> Figure:
    """Axes, the front as steps, dots and their names; time is logarithmic where it spans more than a factor of 4."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("plots need matplotlib: pip install edgepose[evaluate]") from error
    milliseconds = np.array([point.ms for point in points] or [1.0, 10.0])
    accuracies = np.array([point.ap for point in points] or [0.0, 1.0])
    logarithmic = bool(milliseconds.max() > 4 * milliseconds.min() > 0)
    best = front(points)

    figure = Figure(figsize=SIZE, dpi=DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.09, 0.11, 0.87, 0.79))
    axes.set_title(title, loc="left", color=INK, pad=14, parse_math=False)
    axes.set_xlabel("milliseconds per picture (median" + (", logarithmic)" if logarithmic else ")"), color=INK)
    axes.set_ylabel("AP", color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_ylim(*_limits(accuracies))
    if logarithmic:
        axes.set_xscale("log")
        axes.set_xlim(milliseconds.min() / 1.3, milliseconds.max() * 1.3)
        decades = np.log10(milliseconds.max() / milliseconds.min())
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 3 else (1,)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(*_limits(milliseconds))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))

    steps = [points[i] for i in best]  # level until the next model is affordable
    axes.plot([p.ms for p in steps], [p.ap for p in steps], color=FRONT, drawstyle="steps-post", label="front")
    colors = [FRONT if i in best else REST for i in range(len(points))]
    axes.scatter([p.ms for p in points], [p.ap for p in points], s=45, c=colors, zorder=3, clip_on=False)
    _name(axes, points, best)
    return figure


def _name(axes: Axes, points: Sequence[Point], best: list[int]) -> None:
    """Each name beside its dot, where it covers no dot, no line and no other name as far as that is possible."""
    from matplotlib.transforms import Bbox

    def place(ms: float, ap: float) -> np.ndarray:
        return np.asarray(axes.transData.transform((ms, ap)))  # pixels

    renderer = axes.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    spots = [place(point.ms, point.ap) for point in points]
    taken = [Bbox([spot - 6, spot + 6]) for spot in spots]
    for i, j in pairwise(best):
        (x1, y1), (x2, y2) = spots[i], spots[j]
        taken += [Bbox([(x1, y1 - 1), (x2, y1 + 1)]), Bbox([(x2 - 1, y1), (x2 + 1, y2)])]
    inside, whole = axes.get_window_extent(renderer), axes.figure.bbox
    room = Bbox([(inside.x0 + 2, inside.y0 + 2), (whole.x1 - 4, inside.y1 + 8)])
    for point in points:
        text = axes.annotate(
            point.name, (point.ms, point.ap), xytext=(0, 0), textcoords="offset points", fontsize=9, color=INK,
            va="center", parse_math=False, annotation_clip=False,
        )  # fmt: skip
        choices = []
        for number, (x, y) in enumerate(OFFSETS):
            side: Literal["left", "right", "center"] = "left" if x > 0 else "right" if x < 0 else "center"
            text.set_horizontalalignment(side)
            text.xyann = (x, y + np.sign(y) * 4 * (x == 0))
            box = text.get_window_extent(renderer)
            out = box.x0 < room.x0 or box.x1 > room.x1 or box.y0 < room.y0 or box.y1 > room.y1
            choices.append((box.count_overlaps(taken) + 3 * out, number, side, text.xyann, box))
        _, _, side, text.xyann, box = min(choices, key=lambda choice: choice[:2])
        text.set_horizontalalignment(side)
        taken.append(box)


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Around the values, over a fifth of the largest at least, lest little looks much; below 0 only where they are."""
    low, high = float(values.min()), float(values.max())
    spread = max(high - low, abs(high) * 0.2, 0.02)
    middle = (low + high) / 2
    bottom, top = middle - 0.6 * spread, middle + 0.6 * spread
    return (max(bottom, 0.0) if low >= 0 else bottom), top
