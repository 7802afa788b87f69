"""`edgepose bench`: milliseconds per frame and per stage, on this machine, now."""

from __future__ import annotations

from typing import Any

from edgepose.commands.screen import Screen, show_json, show_table
from edgepose.media.example import scaled_example
from edgepose.runtime.bench import bench
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.load import Backend, backend_of


def bench_models(
    estimators: dict[str, Estimator],
    people: list[int],
    *,
    size: tuple[int, int] = (1280, 720),
    seconds: float = 3.0,
    backend: Backend | None = None,
    as_json: bool = False,
) -> None:
    """Time every model on the photo in the package, scaled to `size` (w, h).

    Per-person models are timed once for each count in `people`, if there are any.
    """
    image = scaled_example(size)
    rows: list[dict[str, Any]] = []
    with Screen() as screen:
        for name, estimator in estimators.items():
            counts: list[int | None] = [*people] if estimator.spec.per_person and people else [None]
            for count in counts:
                with screen.task(f"{name}, {count or 'own'} people", None):
                    timing = bench(estimator, [image], people=count, seconds=seconds)
                row = timing.as_dict() | {"model": name, "backend": backend_of(name, backend)}
                rows.append(row)
                if as_json:
                    show_json(row)
    if not as_json:
        _show(rows)


def parse_counts(text: str) -> list[int]:
    """`1,4,8` -> [1, 4, 8]."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words):
        raise ValueError(f"{text!r}: expected counts of people separated by commas, such as 1,4,8,30")
    return [int(word) for word in words]


def _show(rows: list[dict[str, Any]]) -> None:
    stages = list(dict.fromkeys(stage for row in rows for stage in row["stages"]))
    cells = [
        [
            row["model"],
            f"{row['people']:g}",
            *(f"{row[key]:.1f}" for key in ("ms_median", "ms_p95", "ms_p99", "fps")),
            *(f"{row['stages'][stage]:.1f}" if stage in row["stages"] else "-" for stage in stages),
        ]
        for row in rows
    ]
    show_table(["model", "people", "ms", "p95", "p99", "fps", *stages], cells)
