"""DeepLabCut's tables of labels (CollectedData_*.csv): one row for each picture, x and y of every body part."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

from edgepose.data.columns import Row, read_bounded
from edgepose.data.formats.layout import Picture, Someone, as_coco, ordered
from edgepose.skeleton import COCO

LARGEST = 1 << 30  # bytes
HEADER = ("scorer", "individuals", "bodyparts", "coords")


def is_deeplabcut(head: str) -> bool:
    """Whether a text file begins as such a table does."""
    return head.lstrip("\ufeff").startswith("scorer,")


def read_deeplabcut(path: str | Path) -> Row:
    """The content of the table in COCO's form; whoever has an empty place for a body part does not show it.

    Pictures are named by the first column, or by the first three (labeled-data, video, picture). With several
    individuals each is somebody of their own.
    """
    text = read_bounded(path, LARGEST).decode("utf-8-sig", errors="replace")
    try:
        rows = [(number, row) for number, row in enumerate(csv.reader(io.StringIO(text)), start=1) if any(row)]
    except csv.Error as error:
        raise ValueError(
            f"{path} is no table in CSV's form ({error}): expected DeepLabCut's CollectedData_*.csv"
        ) from None
    head = {row[0]: row for _, row in rows[:4] if row[0] in HEADER}
    if not {"scorer", "bodyparts", "coords"} <= set(head):
        raise ValueError(
            f"{path}: expected the rows scorer, bodyparts and coords of DeepLabCut's tables, got {list(head)}"
        )
    parts, coords = head["bodyparts"], head["coords"]
    who = head.get("individuals", [""] * len(parts))
    first = next((i for i, word in enumerate(coords) if i and word in ("x", "y")), 0)
    if "likelihood" in coords:
        raise ValueError(
            f"{path} is a table of results (it has `likelihood`), not labels: expected CollectedData_*.csv"
        )
    if not first or len(parts) != len(coords) or len(who) != len(coords) or set(coords[first:]) - {"x", "y"}:
        raise ValueError(f"{path}: expected a column x and one y for every body part, got {coords[first : first + 6]}")
    names = ordered(parts[first:])
    label = "person" if len(set(names) & set(COCO.names)) >= len(names) / 2 else "animal"
    pictures = []
    for number, row in rows:
        if row[0] in HEADER:
            continue
        if len(row) != len(coords):
            raise ValueError(f"{path}: line {number} has {len(row)} columns, the header {len(coords)}")
        found: dict[str, dict[str, dict[str, float]]] = {}
        for part, individual, axis, cell in zip(parts[first:], who[first:], coords[first:], row[first:], strict=True):
            value = _number(cell, path, number)
            if value is not None:
                found.setdefault(individual, {}).setdefault(part, {})[axis] = value
        people = [
            Someone(label, {part: (at["x"], at["y"], 2) for part, at in places.items() if len(at) == 2})
            for places in found.values()
        ]
        name = "/".join(word.replace("\\", "/") for word in row[:first] if word)
        pictures.append(Picture(name, 0, 0, [someone for someone in people if someone.points]))
    return as_coco(pictures, names={label: names})


def _number(cell: str, path: str | Path, line: int) -> float | None:
    if not cell.strip():
        return None
    try:
        value = float(cell)
    except ValueError:
        raise ValueError(f"{path}: line {line} has {cell[:40]!r}, expected a number or nothing") from None
    return None if math.isnan(value) else value
