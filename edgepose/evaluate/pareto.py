"""Accuracy against time: which models no other beats in both, and a plot of it as SVG or PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import escape

import cv2
import numpy as np

WIDTH, HEIGHT = 900, 600
LEFT, RIGHT, TOP, BOTTOM = 80, 40, 60, 70
INK, FAINT, FRONT, REST = (40, 40, 40), (225, 225, 225), (190, 90, 20), (150, 150, 150)  # BGR
LETTER = 7.2  # pixels that a letter of 13 pixels takes, on average


@dataclass(frozen=True)
class Point:
    """A model: milliseconds per picture, and its AP."""

    name: str
    ms: float
    ap: float


@dataclass(frozen=True)
class Line:
    """From end to end, in pixels."""

    start: tuple[float, float]
    end: tuple[float, float]
    color: tuple[int, int, int]
    width: float


@dataclass(frozen=True)
class Dot:
    """A disc."""

    at: tuple[float, float]
    color: tuple[int, int, int]


@dataclass(frozen=True)
class Text:
    """A line of letters; `anchor` is start, middle or end, `turned` reads upwards."""

    at: tuple[float, float]
    text: str
    anchor: str = "start"
    size: int = 13
    turned: bool = False


Shape = Line | Dot | Text


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
    """Write the plot to a path ending in .svg or .png."""
    suffix = Path(path).suffix
    shapes = drawing(points, title)
    if suffix == ".svg":
        Path(path).write_text(_svg(shapes), encoding="utf-8")
    elif suffix == ".png":
        done, data = cv2.imencode(".png", _pixels(shapes))
        if not done:
            raise ValueError(f"the plot cannot be written as {path}")
        Path(path).write_bytes(data.tobytes())
    else:
        raise ValueError(f"{path} ends in {suffix!r}, expected .svg or .png")


def drawing(points: Sequence[Point], title: str) -> list[Shape]:
    """Axes, the front as steps, dots and their names; time is logarithmic where it spans more than a factor of 4."""
    milliseconds = np.array([point.ms for point in points] or [1.0, 10.0])
    accuracies = np.array([point.ap for point in points] or [0.0, 1.0])
    logarithmic = bool(milliseconds.max() > 4 * milliseconds.min() > 0)
    x_ticks = _log_ticks(milliseconds) if logarithmic else _ticks(milliseconds)
    y_ticks = _ticks(accuracies)

    def place(ms: float, ap: float) -> tuple[float, float]:
        low, high, value = x_ticks[0], x_ticks[-1], ms
        if logarithmic:
            low, high, value = np.log(low), np.log(high), np.log(ms)
        x = LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - (ap - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (HEIGHT - TOP - BOTTOM)
        return float(x), float(y)

    shapes: list[Shape] = [Text((LEFT, TOP - 26), title, size=16)]
    for tick in x_ticks:
        x = place(tick, y_ticks[0])[0]
        shapes += [
            Line((x, TOP), (x, HEIGHT - BOTTOM), FAINT, 1),
            Text((x, HEIGHT - BOTTOM + 22), f"{tick:g}", "middle"),
        ]
    for tick in y_ticks:
        y = place(x_ticks[0], tick)[1]
        shapes += [Line((LEFT, y), (WIDTH - RIGHT, y), FAINT, 1), Text((LEFT - 10, y + 5), f"{tick:g}", "end")]
    scale = ", logarithmic" if logarithmic else ""
    shapes.append(
        Text(((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 20), f"milliseconds per picture (median{scale})", "middle")
    )
    shapes.append(Text((26, (TOP + HEIGHT - BOTTOM) / 2), "AP", "middle", turned=True))
    shapes += [Line((LEFT, TOP), (LEFT, HEIGHT - BOTTOM), INK, 1.5)]
    shapes += [Line((LEFT, HEIGHT - BOTTOM), (WIDTH - RIGHT, HEIGHT - BOTTOM), INK, 1.5)]
    best = front(points)
    corners = [place(points[i].ms, points[i].ap) for i in best]
    for (x1, y1), (x2, y2) in pairwise(corners):  # until the next model is affordable
        shapes += [Line((x1, y1), (x2, y1), FRONT, 2), Line((x2, y1), (x2, y2), FRONT, 2)]
    spots = [place(point.ms, point.ap) for point in points]
    shapes += [Dot(spot, FRONT if i in best else REST) for i, spot in enumerate(spots)]
    return shapes + _names(
        points, spots, [shape for shape in shapes if isinstance(shape, Line) and shape.color == FRONT]
    )


def _names(points: Sequence[Point], spots: list[tuple[float, float]], lines: list[Line]) -> list[Text]:
    """Each beside its dot, where it covers neither a dot nor a line nor another name as far as that is possible."""
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in spots]
    taken += [
        (min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1]))
        for a, b in ((s.start, s.end) for s in lines)
    ]
    names = []
    for point, (x, y) in zip(points, spots, strict=True):
        width = LETTER * len(point.name)
        choices: list[tuple[float, int, str, int, int, tuple[float, float, float, float]]] = []
        for dy in (-10, 18, 4, -26, 34, -42, 50):
            for anchor, dx in (("start", 10), ("end", -10), ("middle", 0)):
                if dy == 4 and anchor == "middle":
                    continue
                left = x + dx - {"start": 0, "end": width, "middle": width / 2}[anchor]
                box = (left, y + dy - 12, left + width, y + dy + 3)
                clashes = sum(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken)
                outside = box[0] < LEFT + 2 or box[2] > WIDTH - 4 or box[1] < TOP - 20 or box[3] > HEIGHT - BOTTOM - 2
                choices.append((clashes + 3 * outside, len(choices), anchor, dx, dy, box))
        _, _, anchor, dx, dy, box = min(choices)
        taken.append(box)
        names.append(Text((x + dx, y + dy), point.name, anchor))
    return names


def _ticks(values: np.ndarray) -> list[float]:
    """About six round numbers around the values, over a fifth of the largest at least, lest little looks much."""
    low, high = float(values.min()), float(values.max())
    spread = max(high - low, abs(high) * 0.2, 1e-3)
    low, high = min(low, (low + high - spread) / 2), max(high, (low + high + spread) / 2)
    raw = spread / 5
    unit = 10 ** np.floor(np.log10(raw))
    step = unit * next(m for m in (1, 2, 5, 10) if m * unit >= raw * 0.999)
    first, last = np.floor(low / step - 0.1), np.ceil(high / step + 0.1)
    if values.min() >= 0:
        first = max(first, 0.0)
    return [float(f"{i * step:.6g}") for i in np.arange(first, last + 1)]


def _log_ticks(values: np.ndarray) -> list[float]:
    """1, 2, 5, 10, 20 ... around the values."""
    steps = [m * 10.0**e for e in range(-3, 6) for m in (1, 2, 5)]
    first = max(i for i, step in enumerate(steps) if step <= values.min() or i == 0)
    last = min(i for i, step in enumerate(steps) if step >= values.max() or i == len(steps) - 1)
    return [float(f"{step:.6g}") for step in steps[first : last + 1]]


def _svg(shapes: Sequence[Shape]) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="Helvetica, Arial, sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for shape in shapes:
        if isinstance(shape, Line):
            (x1, y1), (x2, y2) = shape.start, shape.end
            lines.append(
                f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{_hex(shape.color)}" '
                f'stroke-width="{shape.width:g}"/>'
            )
        elif isinstance(shape, Dot):
            lines.append(f'<circle cx="{shape.at[0]:.1f}" cy="{shape.at[1]:.1f}" r="5" fill="{_hex(shape.color)}"/>')
        else:
            x, y = shape.at
            turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if shape.turned else ""
            lines.append(
                f'<text x="{x:.1f}" y="{y:.1f}" font-size="{shape.size}" text-anchor="{shape.anchor}" '
                f'fill="{_hex(INK)}"{turn}>{escape(shape.text)}</text>'
            )
    return "\n".join([*lines, "</svg>"]) + "\n"


def _hex(color: tuple[int, int, int]) -> str:
    return f"#{color[2]:02x}{color[1]:02x}{color[0]:02x}"


def _pixels(shapes: Sequence[Shape], zoom: int = 2) -> np.ndarray:
    """(H, W, 3) uint8 BGR, twice as large for sharp letters."""
    image = np.full((HEIGHT * zoom, WIDTH * zoom, 3), 255, np.uint8)
    for shape in shapes:
        if isinstance(shape, Line):
            ends = [(round(x * zoom), round(y * zoom)) for x, y in (shape.start, shape.end)]
            cv2.line(image, ends[0], ends[1], shape.color, max(1, round(shape.width * zoom)), cv2.LINE_AA)
        elif isinstance(shape, Dot):
            x, y = shape.at
            cv2.circle(image, (round(x * zoom), round(y * zoom)), 5 * zoom, shape.color, -1, cv2.LINE_AA)
        else:
            _write(image, shape, zoom)
    return image


def _write(image: np.ndarray, text: Text, zoom: int) -> None:
    """OpenCV knows only upright ASCII: letters are drawn apart, turned where asked for, and multiplied in."""
    letters = text.text.encode("ascii", "replace").decode()
    scale, thick = 0.035 * text.size * zoom, zoom
    (width, height), below = cv2.getTextSize(letters, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    patch = np.full((height + below + 4, width + 4, 3), 255, np.uint8)
    cv2.putText(patch, letters, (2, height + 1), cv2.FONT_HERSHEY_SIMPLEX, scale, INK, thick, cv2.LINE_AA)
    x, y = text.at[0] * zoom, text.at[1] * zoom
    shift = {"start": 0.0, "middle": width / 2, "end": float(width)}[text.anchor]
    left, top = round(x - shift), round(y - height)
    if text.turned:
        patch = np.ascontiguousarray(np.rot90(patch))
        left, top = round(x - height), round(y + shift - width)
    rows = slice(max(top, 0), min(top + patch.shape[0], image.shape[0]))
    columns = slice(max(left, 0), min(left + patch.shape[1], image.shape[1]))
    part = patch[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    image[rows, columns] = np.minimum(image[rows, columns], part)
