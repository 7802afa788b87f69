"""Bounded queues side by side, one per source, that hand items from one thread to another."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class End:
    """The last item of a lane, and what ended it."""

    error: BaseException | None = None


class Lanes(Generic[T]):
    """One queue per source. Items leave in turn, one lane after the other, so that no lane waits for a busy one.

    A lane holds at most `room` items. One of a file makes `put` wait for room; one that keeps the newest (`newest[i]`)
    never does: what it pushes out is counted in `dropped`. Once `stop` was called nothing goes in or out, and what was
    left inside counts as dropped; so for every lane arrived = taken + dropped, exactly.
    """

    def __init__(self, newest: Sequence[bool], room: int = 4) -> None:
        self.arrived = [0] * len(newest)
        self.dropped = [0] * len(newest)
        self._newest, self._room = list(newest), room
        self._items: list[deque[T | End]] = [deque() for _ in newest]
        self._changed = threading.Condition()
        self._turn = 0
        self._stopped = False

    def put(self, lane: int, item: T) -> bool:
        """Add an item; False when it was not taken because of `stop`."""
        with self._changed:
            if not self._newest[lane]:
                self._changed.wait_for(lambda: self._stopped or len(self._items[lane]) < self._room)
            if self._stopped:
                return False
            self.arrived[lane] += 1
            self._items[lane].append(item)
            if self._newest[lane] and len(self._items[lane]) > 1:
                self._items[lane].popleft()
                self.dropped[lane] += 1
            self._changed.notify_all()
            return True

    def finish(self, lane: int, error: BaseException | None = None) -> None:
        """No more items: `End` follows the last one. Never waits."""
        with self._changed:
            self._items[lane].append(End(error))
            self._changed.notify_all()

    def take(self, patience: float | None = None) -> tuple[int, T | End] | None:
        """The next lane that has something, and its oldest item; None after `stop`, or `patience` seconds of nothing."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or any(self._items), patience)
            if self._stopped:
                return None
            for step in range(len(self._items)):
                lane = (self._turn + step) % len(self._items)
                if self._items[lane]:
                    self._turn = lane + 1
                    self._changed.notify_all()
                    return lane, self._items[lane].popleft()
            return None

    def stop(self) -> None:
        """Wake everybody who waits, and let nothing in or out from now on."""
        with self._changed:
            self._stopped = True
            for lane, items in enumerate(self._items):
                self.dropped[lane] += sum(not isinstance(item, End) for item in items)
                items.clear()
            self._changed.notify_all()
