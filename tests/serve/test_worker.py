"""One thread, in order, and nothing of what was given up stays behind."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from edgepose.serve.worker import Worker
from tests.serve.serving import Clock


def run(scene: Callable[[Worker], Coroutine[Any, Any, None]]) -> None:
    worker = Worker()
    try:
        asyncio.run(asyncio.wait_for(scene(worker), 30))
    finally:
        worker.stop(5)


def test_results_errors_and_their_order() -> None:
    async def scene(worker: Worker) -> None:
        order: list[int] = []
        threads: set[int] = set()

        def note(number: int) -> int:
            order.append(number)
            threads.add(threading.get_ident())
            return number

        assert await asyncio.gather(*(worker.run(lambda i=i: note(i), 20) for i in range(9))) == list(range(9))
        assert order == list(range(9)) and len(threads) == 1 and threading.get_ident() not in threads
        with pytest.raises(KeyError):
            await worker.run(lambda: {}[1], 20)
        with pytest.raises(SystemExit):  # not even that ends the thread
            await worker.run(lambda: exit(3), 20)
        assert await worker.run(lambda: 5, 20) == 5

    run(scene)


def test_what_nobody_waits_for_is_not_begun_and_not_kept() -> None:
    async def scene(worker: Worker) -> None:
        class Picture:
            pass

        entered, released, begun = threading.Event(), threading.Event(), []

        def hold() -> bool:
            entered.set()
            return released.wait(20)

        first = asyncio.create_task(worker.run(hold, 20))
        while not entered.is_set():
            await asyncio.sleep(0)
        picture = Picture()
        kept = weakref.ref(picture)
        with pytest.raises(asyncio.TimeoutError):
            await worker.run(lambda picture=picture: begun.append(picture), 0.01)  # type: ignore[misc]
        assert worker.waiting == 0
        del picture
        gc.collect()
        assert kept() is None, "a picture that was given up is still in memory"
        released.set()
        assert await first
        assert await worker.run(lambda: 1, 20) == 1 and not begun

    run(scene)


def test_the_event_loop_goes_on_while_the_network_works() -> None:
    async def scene(worker: Worker) -> None:
        released = threading.Event()
        task = asyncio.create_task(worker.run(lambda: released.wait(20), 20))
        while worker.busy == 0:
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not task.done()
        released.set()
        assert await task

    run(scene)


def test_how_long_one_thing_has_taken() -> None:
    clock = Clock()
    worker = Worker(clock)
    entered, released = threading.Event(), threading.Event()

    async def scene() -> None:
        task = asyncio.create_task(worker.run(lambda: (entered.set(), released.wait(20)), 20))
        while not entered.is_set():
            await asyncio.sleep(0)
        clock.now += 7
        assert worker.busy == 7
        released.set()
        await task
        assert worker.busy == 0

    asyncio.run(asyncio.wait_for(scene(), 30))
    assert worker.stop(5)


def test_stopping_waits_for_what_runs_but_not_for_ever() -> None:
    async def scene() -> None:
        worker, entered, released = Worker(), threading.Event(), threading.Event()
        running = asyncio.create_task(worker.run(lambda: (entered.set(), released.wait(20)), 20))
        while not entered.is_set():
            await asyncio.sleep(0)
        queued = asyncio.create_task(worker.run(lambda: 1, 20))
        await asyncio.sleep(0)
        assert not worker.stop(0.01)
        with pytest.raises(asyncio.CancelledError):
            await queued
        with pytest.raises(RuntimeError, match="has stopped"):
            await worker.run(lambda: 1, 20)
        released.set()
        assert worker.stop(5)
        await running

    asyncio.run(asyncio.wait_for(scene(), 30))
