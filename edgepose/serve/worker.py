"""One thread that does one thing after another, so that the event loop never waits for a network."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """Runs functions in the order they came. What nobody waits for any more is not begun.

    How many can wait is for the callers to limit: each waits for its own.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._waiting: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self._began: float | None = None
        # A daemon: a network that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name="edgepose-worker", daemon=True)
        self._thread.start()

    async def run(self, function: Callable[[], T], seconds: float) -> T:
        """What the function returns or raises; asyncio.TimeoutError when that takes longer than `seconds`.

        A function that has begun goes on after a time-out, and delays the next ones.
        """
        entry: tuple[Callable[[], Any], Future[Any]] = (function, Future())
        with self._changed:
            if self._stopped:
                raise RuntimeError("the worker has stopped, expected no more work for it")
            self._waiting.append(entry)
            self._changed.notify()
        try:
            return await asyncio.wait_for(asyncio.wrap_future(entry[1]), seconds)
        finally:
            with self._changed:
                if entry in self._waiting:  # given up: what it holds, a picture, must not wait for its turn
                    self._waiting.remove(entry)

    @property
    def waiting(self) -> int:
        """Functions not yet begun."""
        return len(self._waiting)

    @property
    def busy(self) -> float:
        """Seconds for which the function that runs now has been running; 0 when none is."""
        began = self._began
        return 0.0 if began is None else self._clock() - began

    def stop(self, seconds: float) -> bool:
        """Begin nothing any more and wait for what runs; False when it takes longer than `seconds`."""
        with self._changed:
            self._stopped = True
            for _, future in self._waiting:
                future.cancel()
            self._waiting.clear()
            self._changed.notify()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._stopped:
                    self._changed.wait()
                if self._stopped:
                    return
                function, future = self._waiting.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            self._began = self._clock()
            try:
                result = function()
            except BaseException as error:  # the caller's, whatever it is: this thread has to go on
                self._began = None
                future.set_exception(error)
            else:
                self._began = None
                future.set_result(result)
            del function, future  # what they hold must not stay until the next one comes
