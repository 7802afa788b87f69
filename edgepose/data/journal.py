"""A journal beside a file that takes hours to make: one line for each part that is done, kept until the file is there.

Whoever is stopped at any moment, by SIGKILL too, goes on after the last whole line.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any


class Journal:
    """Lines of JSON behind a first one that says what run they belong to; used in a `with` block.

    run: whatever tells one run from another, as JSON. ValueError where the file belongs to another run.
    """

    def __init__(self, path: Path, run: dict[str, Any]) -> None:
        self.path = path
        self._head = json.dumps({"run": run}, sort_keys=True).encode() + b"\n"
        self.done: list[Any] = []  # what earlier runs wrote, in their order
        whole = 0
        if path.exists():
            lines = path.read_bytes().split(b"\n")[:-1]  # a last line without an end was cut off
            if lines and lines[0] + b"\n" != self._head:
                raise ValueError(
                    f"{path} is the journal of a run with other models, pictures, boxes or options: go on with the "
                    f"command of that run, or delete the file to begin anew"
                )
            whole = sum(len(line) + 1 for line in lines[:1])
            for line in lines[1:]:
                try:
                    self.done.append(json.loads(line))
                except ValueError:  # the machine itself went down: what comes from here on never reached the disk
                    break
                whole += len(line) + 1
        self._whole = whole

    def __enter__(self) -> Journal:
        try:
            self._file = self.path.open("r+b" if self.path.exists() else "w+b")
        except FileNotFoundError:
            raise FileNotFoundError(
                f"cannot write {self.path}: expected a folder {self.path.parent}, which is not there; create it"
            ) from None
        self._file.truncate(self._whole)
        self._file.seek(self._whole)
        if not self._whole:
            self._file.write(self._head)
            self._file.flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, part: Any) -> None:
        """Add a part; with the system from when this returns."""
        self._file.write(json.dumps(part, allow_nan=False).encode() + b"\n")
        self._file.flush()
