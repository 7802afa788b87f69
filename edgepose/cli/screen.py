"""What people see: results on stdout, errors and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

Cells = tuple[list[str], list[list[str]]]  # headings, and the cells of each row


class Screen:
    """One progress bar on stderr when stderr is a terminal, and lines on stdout that do not tear it."""

    def __init__(self) -> None:
        from rich import progress
        from rich.console import Console

        self._stage: tuple[str, Task] | None = None
        console = Console(stderr=True, highlight=False)
        self.progress = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),  # names of files
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[facts]}"),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
            console=console,
            disable=not sys.stderr.isatty(),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Screen:
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        if not self.progress.disable:  # rich 13 ends even a bar that never was with an empty line
            self.progress.stop()

    @property
    def shows_bars(self) -> bool:
        """Whether stderr is a terminal."""
        return not self.progress.disable

    def task(self, description: str, total: int | None) -> Task:
        """A bar, shown until it is closed."""
        return Task(self.progress, description, total)

    def stage(self, what: str, done: int, total: int, facts: str = "") -> None:
        """A bar for the work at hand: another one whenever it has another name, and none when all is done."""
        if self._stage is not None and self._stage[0] != what:
            self._stage[1].close()
            self._stage = None
        if self._stage is None:
            self._stage = what, self.task(what, total)
        self._stage[1].update(done, facts)
        if done == total:
            self._stage[1].close()
            self._stage = None

    def say(self, text: str) -> None:
        """A line for people or machines, on stdout."""
        if not self.progress.disable and sys.stdout.isatty():
            self.progress.console.print(text, markup=False, soft_wrap=True)  # the same terminal, above the bar
        else:
            print(text, flush=True)

    def complain(self, text: str) -> None:
        """A line on stderr."""
        if self.progress.disable:
            print(text, file=sys.stderr, flush=True)
        else:
            self.progress.console.print(text, markup=False, soft_wrap=True)


class Task:
    """One bar of a `Screen`, inside its `with` block."""

    def __init__(self, progress: Progress, description: str, total: int | None) -> None:
        self._progress = progress
        self._id = progress.add_task(description, total=total, facts="")

    def __enter__(self) -> Task:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Take it off the screen."""
        self._progress.remove_task(self._id)

    def update(self, done: int, facts: str = "", description: str | None = None) -> None:
        """How much is done, and a few words on it."""
        self._progress.update(self._id, completed=done, facts=facts, description=description)

    def progress(self, done: int, total: int | None) -> None:
        """How much is done, for those who count both."""
        self._progress.update(self._id, completed=done, total=total)


def counted(count: int, subject: str, shown: str = "") -> str:
    """`1 person`, `3 people`, `1 mouse`, `3 x mouse`, whose plural nobody here knows.

    shown: in place of the number, such as "0 to 3".
    """
    if subject == "person":
        return f"{shown or count} {'person' if count == 1 else 'people'}"
    return f"{shown or count} {'' if count == 1 else 'x '}{subject}"


def show_table(columns: list[str], rows: list[list[str]], left: int = 1) -> None:
    """Aligned columns on stdout, the first `left` of them to the left; never cut, whatever the width."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in [columns, *rows] if any(columns) else rows:
        pairs = enumerate(zip(row, widths, strict=True))
        cells = [cell.ljust(width) if i < left else cell.rjust(width) for i, (cell, width) in pairs]
        print("  ".join(cells).rstrip())


def show_json(value: Any) -> None:
    """One JSON object or list on one line of stdout."""
    print(json.dumps(value, allow_nan=False), flush=True)


def show(value: dict[str, Any], sentence: str, as_json: bool) -> None:
    """What a command has done, for machines or for people."""
    if as_json:
        show_json(value)
    else:
        print(sentence, flush=True)


def show_rows(
    rows: Sequence[dict[str, Any]], as_json: bool, cells: Callable[[Sequence[dict[str, Any]]], Cells]
) -> None:
    """Rows as one JSON object each, or as the table whose headings and cells `cells` gives."""
    if as_json:
        for row in rows:
            show_json(row)
    else:
        show_table(*cells(rows))
