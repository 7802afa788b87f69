"""Results in order from several threads, bounded, and errors in their turn."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from edgepose.runtime.ahead import ahead


def test_order_is_kept_whoever_is_first() -> None:
    later = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert later.wait(60)
        if number == 1:
            later.set()
        return number * 10

    assert list(ahead(work, range(20), 2)) == [number * 10 for number in range(20)]
    assert list(ahead(work, [], 3)) == []


def test_as_many_work_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=60)
    assert len(list(ahead(lambda _: meeting.wait(), range(6), 3))) == 6


def test_it_reads_no_further_than_it_works() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = ahead(lambda number: number, items(), 2)
    assert taken == []
    for number in range(5):
        assert next(results) == number and len(taken) == number + 3
    results.close()
    assert len(taken) == 7


def test_an_error_comes_in_its_turn() -> None:
    got: list[int] = []
    with pytest.raises(ZeroDivisionError):
        for value in ahead(lambda number: 6 // (3 - number), range(9), 2):
            got.append(value)
    assert got == [2, 3, 6]


def test_what_came_before_a_broken_source_is_kept() -> None:
    def items() -> Iterator[int]:
        yield from range(4)
        raise ValueError("broken")

    got: list[int] = []
    with pytest.raises(ValueError, match="broken"):
        for value in ahead(lambda number: number, items(), 3):
            got.append(value)
    assert got == [0, 1, 2, 3]
