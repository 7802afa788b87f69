"""SIGTERM and Ctrl-C while a run trains: the step at hand ends, its state is saved, and only then the run stops."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether the run is to stop. As a context manager it listens to the signals; without, `number` stays 0.

    A second Ctrl-C stops a run of one process at once. With several, as under `torchrun`, each gets the first one
    twice, from the terminal and from torchrun, and the second means nothing.

    number: of the signal that came, 0 as long as none has.
    """

    def __init__(self, processes: int = 1) -> None:
        self.number = 0
        self._processes = processes
        self._saved = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():  # no other may
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:  # as a shell starts what runs in its background
                    self._before[number] = signal.signal(number, self._came)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """While all is saved nothing needs to end first: a signal raises KeyboardInterrupt where the program is."""
        self._saved = True
        try:
            if self.number:
                raise KeyboardInterrupt
            yield
        finally:
            self._saved = False

    def _came(self, number: int, frame: FrameType | None) -> None:
        again = number == self.number == signal.SIGINT and self._processes == 1
        self.number = int(number)
        if self._saved or again:
            raise KeyboardInterrupt


def stopped(number: int, done: int, total: int, path: Path) -> BaseException:
    """What to raise after a signal, once `path` has the state: KeyboardInterrupt for Ctrl-C, else InterruptedError."""
    if number == signal.SIGTERM:
        return InterruptedError(
            f"stopped by SIGTERM after iteration {done} of {total}: {path} has the state, the same command goes on "
            "from there"
        )
    return KeyboardInterrupt()


def deaf(worker: int) -> None:
    """Worker processes leave signals to the process that trains: without them it could not end its step."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
