"""Work on several items at the same time whose results are wanted in the order of the items."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Generator[Result, None, None]:
    """function(item) of every item, in order, from `workers` threads; at most one more item waits than they work on.

    Items are taken in the caller's thread, between two results, so that reading them, the work, and what the caller
    does with a result go on side by side. What `function` or `items` raises comes in its turn, and ends it.
    """
    pool = ThreadPoolExecutor(workers, "edgepose")
    waiting: deque[Future[Result]] = deque()
    try:
        source, broken = iter(items), None
        while True:
            try:
                while len(waiting) <= workers:
                    waiting.append(pool.submit(function, next(source)))
            except StopIteration:
                break
            except Exception as error:  # after the results of the items before it
                broken = error
                break
            yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
        if broken is not None:
            raise broken
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
