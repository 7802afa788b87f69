"""The line behind a person: where the hips were in the last second, in the color of the identity."""

from __future__ import annotations

import numpy as np

from edgepose.media.style import PEOPLE
from edgepose.media.trails import Trails
from edgepose.poses import Poses

DARK = np.zeros((100, 200, 3), np.uint8)


def person(x: float, identity: int = 3) -> Poses:
    return Poses(np.full((1, 17, 2), [x, 50.0]), np.ones((1, 17)), [[0, 0, 9, 9]], [1.0], ids=[identity])


def drawn(trails: Trails) -> np.ndarray:
    """Columns of the picture in which something is drawn."""
    return np.flatnonzero(trails.draw(DARK).any((0, 2)))


def test_a_trail_is_a_second_long_in_the_color_of_the_person() -> None:
    trails = Trails()
    for i in range(16):
        trails.update(person(10.0 + 10 * i), i / 10)
    columns = drawn(trails)
    assert 55 <= columns.min() <= 60 and 160 <= columns.max() <= 163
    assert trails.draw(DARK)[50, 150].tolist() == list(PEOPLE[3]) and not DARK.any()


def test_who_is_gone_leaves_no_trail_and_no_memory() -> None:
    trails = Trails(seconds=0.5)
    for i in range(2000):
        trails.update(person(10.0 + i % 100, identity=i), i / 10)
    assert len(trails._points) <= 6
    trails.update(Poses.nobody(), 1000.0)
    trails.update(person(5.0), 1000.0)
    assert len(trails._points) == 1


def test_where_somebody_is_guessed_to_be_there_is_no_trail() -> None:
    trails = Trails()
    for i in range(5):
        trails.update(person(20.0 + 2 * i), i / 10)
    for i in range(5):
        trails.update(person(100.0 + 10 * i), 0.5 + i / 100, np.array([True]))
    assert 25 <= drawn(trails).max() <= 31
    trails.update(person(40.0), 0.6, np.array([False]))
    assert 40 <= drawn(trails).max() <= 43


def test_time_that_steps_back_and_people_without_a_place() -> None:
    trails = Trails()
    trails.update(person(50.0), 10.0)
    trails.update(person(60.0), 2.0)
    assert drawn(trails).size == 0
    trails.update(person(np.nan), 2.1)
    trails.update(person(1e30), 2.2)
    assert trails.draw(DARK).shape == DARK.shape
