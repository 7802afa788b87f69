"""A journal beside a file that takes hours to make: one line for each part that is done, kept until the file is there.

Whoever is stopped at any moment, by SIGKILL too, goes on after the last whole line. Only one process at a time writes
it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Any


class Journal:
    """Lines of JSON behind a first one that says what run they belong to; used in a `with` block.

    run: whatever tells one run from another, as JSON. Within the block `done` is what earlier runs wrote, in their
    order. ValueError where the file belongs to another run, or another process is writing it.
    """

    def __init__(self, path: Path, run: dict[str, Any]) -> None:
        self.path = path
        self._head = json.dumps({"run": run}, sort_keys=True).encode() + b"\n"
        self.done: list[Any] = []

    def __enter__(self) -> Journal:
        try:
            self._file = self.path.open("a+b")  # makes it where there is none, and keeps what is there
        except FileNotFoundError:
            raise FileNotFoundError(
                f"cannot write {self.path}: expected a folder {self.path.parent}, which is not there; create it"
            ) from None
        try:
            if not _locked(self._file):
                raise ValueError(
                    f"another run is writing {self.path} at this moment: wait for it, or write to another file"
                )
            self._go_on()
        except BaseException:
            self._file.close()
            raise
        return self

    def _go_on(self) -> None:
        """Read what is done, and cut off what is not whole."""
        self._file.seek(0)
        lines = self._file.read().split(b"\n")[:-1]  # a last line without an end was cut off
        if lines and lines[0] + b"\n" != self._head:
            raise ValueError(
                f"{self.path} is the journal of a run with other models, pictures, boxes or options: go on with the "
                f"command of that run, or delete the file to begin anew"
            )
        whole = sum(len(line) + 1 for line in lines[:1])
        for line in lines[1:]:
            try:
                self.done.append(json.loads(line))
            except ValueError:  # the machine itself went down: what comes from here on never reached the disk
                break
            whole += len(line) + 1
        self._file.truncate(whole)
        if not whole:
            self._file.write(self._head)
            self._file.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, part: Any) -> None:
        """Add a part; with the system from when this returns."""
        self._file.write(json.dumps(part, allow_nan=False).encode() + b"\n")
        self._file.flush()


def _locked(file: IO[bytes]) -> bool:
    """Whether no other process had it locked; the system lets go of the lock of one that dies."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(1 << 40)  # a byte far behind the content, since Windows keeps others from reading what is locked
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # as POSIX and as Windows say it
        return False
    except OSError:  # a file system without locks
        return True
    return True
