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
    never does: what it pushes out is counted in `dropped`, and so is what comes after `shut` or `stop` and what was
    left inside. For every lane arrived = taken + dropped, exactly.
    """

    def __init__(self, newest: Sequence[bool], room: int = 4) -> None:
        self.arrived = [0] * len(newest)
        self.dropped = [0] * len(newest)
        self._newest, self._room = list(newest), room
        self._items: list[deque[T | End]] = [deque() for _ in newest]
        self._changed = threading.Condition()  # on a lock that its thread may take again
        self._turn = 0
        self._shut = [False for _ in newest]
        self._stopped = False

    def put(self, lane: int, item: T) -> bool:
        """Add an item; False where nothing goes in any more."""
        with self._changed:
            if not self._newest[lane]:
                self._changed.wait_for(lambda: self._shut[lane] or len(self._items[lane]) < self._room)
            self.arrived[lane] += 1
            if self._shut[lane]:
                self.dropped[lane] += 1
                return False
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
        """The next lane that has something, and its oldest item; None after `stop` or `patience` seconds."""
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

    def shut(self, lane: int) -> None:
        """Let nothing into a lane from now on, and drop what is in it; its `End` still comes."""
        with self._changed:
            self._shut[lane] = True
            ends = [item for item in self._items[lane] if isinstance(item, End)]
            self.dropped[lane] += len(self._items[lane]) - len(ends)
            self._items[lane] = deque(ends)
            self._changed.notify_all()

    def stop(self) -> None:
        """Shut every lane, and wake everybody who waits: nothing comes out any more."""
        with self._changed:
            self._stopped = True
            for lane in range(len(self._items)):
                self.shut(lane)
