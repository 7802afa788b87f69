"""Tiles: they cover the picture, and whoever is seen in several of them is one person."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import edgepose
from edgepose.media.example import scaled_example
from edgepose.poses import Poses
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.tiles import MOST_AUTO, OVERLAP, cut_sides, grid_for, look, merged, tiles_of, views
from edgepose.skeleton import COCO
from tests.runtime.blobs import Finder, Shape, scene

SIZE = (1000, 600)


@pytest.mark.parametrize("grid", [(1, 1), (2, 2), (1, 5), (7, 3)])
def test_tiles_cover_the_picture_and_overlap(grid: tuple[int, int]) -> None:
    boxes = views(SIZE, grid)
    assert len(boxes) == (1 if grid == (1, 1) else grid[0] * grid[1] + 1) and boxes[-1].tolist() == [0, 0, *SIZE]
    seen = np.zeros(SIZE[::-1], int)
    for x1, y1, x2, y2 in boxes[:-1] if len(boxes) > 1 else boxes:
        seen[y1:y2, x1:x2] += 1
    assert seen.min() == 1
    sides = np.sort(np.unique(boxes[:-1, [0, 2]], axis=0), axis=0)
    for first, second in pairwise(sides):
        assert first[1] - second[0] >= OVERLAP * (first[1] - first[0]) - 2


def test_auto_goes_by_the_picture() -> None:
    assert grid_for((400, 320), (320, 320)) == (1, 1)
    assert grid_for((3840, 2160), (320, 320)) == (7, 13)
    assert grid_for((3840, 2160), (640, 640)) == (4, 7)
    rows, columns = grid_for((40_000, 1000), (320, 320))
    assert rows * columns <= MOST_AUTO


@pytest.mark.parametrize(
    "word", ["0x0", "0x3", "2", "2x", "x", "-1x2", "100x100", "many", (0, 2), (2.0, 2), (1, 2, 3), 4]
)
def test_what_is_no_tiling(word: Any) -> None:
    with pytest.raises(ValueError, match="expected rows x columns such as 2x3"):
        tiles_of(word)


def test_two_ways_to_write_them() -> None:
    assert tiles_of("2x3") == tiles_of((2, 3)) == tiles_of([2, 3]) == (2, 3)
    assert tiles_of("auto") == "auto" and tiles_of(None) is None


def boxes(*rows: tuple[float, ...]) -> Poses:
    """x1, y1, x2, y2, score each."""
    return Poses.of_boxes(np.array([row[:4] for row in rows]), np.array([row[4] for row in rows]))


def cut(*rows: str) -> np.ndarray:
    return np.array([[side in row for side in "ltrb"] for row in rows])


def test_a_part_of_somebody_goes_though_it_scores_higher() -> None:
    """Half of a person at the edge of a tile has an IoU of 0.4 with the whole one: no suppression by IoU finds it."""
    people = boxes((100, 100, 200, 400, 0.5), (100, 100, 140, 400, 0.9))
    assert merged(people, cut("", "r"), np.array([1, 0])).boxes.tolist() == [[100, 100, 200, 400]]
    assert len(merged(people, cut("", ""), np.array([1, 0]))) == 2  # a child in front of somebody


def test_two_halves_are_one() -> None:
    people = boxes((100, 100, 200, 400, 0.5), (180, 110, 300, 405, 0.7), (180, 500, 300, 590, 0.6))
    found = merged(people, cut("r", "l", "l"), np.array([0, 1, 1]))
    assert found.boxes.tolist() == [[100, 100, 300, 405], [180, 500, 300, 590]]
    assert found.person_scores.tolist() == pytest.approx([0.7, 0.6])


def test_the_codec_decides_within_a_view() -> None:
    people = boxes((100, 100, 200, 400, 0.9), (110, 100, 210, 400, 0.8))
    assert len(merged(people, cut("", ""), np.array([0, 0]))) == 2
    assert merged(people, cut("", ""), np.array([0, 1])).person_scores.tolist() == pytest.approx([0.9])


def test_the_border_of_the_picture_cuts_nobody() -> None:
    view = np.array([0, 0, 500, 300])
    assert cut_sides(np.array([[0.0, 0, 100, 300], [300, 0, 500, 200]]), view, (1000, 300)).tolist() == [
        [False, False, False, False],
        [False, False, True, False],
    ]


def test_poses_meet_by_their_keypoints() -> None:
    """One person whole and, from another tile, the upper half with guesses for the rest; and a neighbor."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1, (17, 2)) * [80, 200] + [100, 100]
    part, scores = points.copy(), np.full((3, 17), 0.9)
    part[8:], scores[1, 8:] = [140, 200], 0.1
    keypoints = np.stack([points, part, points + np.array([90, 0])])
    outer = np.array([[90, 90, 190, 310], [90, 90, 190, 200], [180, 90, 280, 310]], np.float32)
    people = Poses(keypoints, scores, outer, np.array([0.6, 0.8, 0.7]), COCO)
    found = merged(people, cut("", "b", ""), np.array([0, 1, 0]))
    assert found.person_scores.tolist() == pytest.approx([0.7, 0.6])


def test_everybody_is_found_once_in_a_large_picture() -> None:
    """White people everywhere, some of them across the edges of tiles, and one larger than a tile."""
    image = np.full((900, 1200, 3), 60, np.uint8)
    places = [(x, y) for x in range(60, 700, 160) for y in range(60, 880, 130)]
    for x, y in places:
        image[y - 24 : y + 24, x - 12 : x + 12] = 255
    image[20:880, 800:1150] = 255
    finder = Finder()
    people = look(image, lambda view: finder(np.ascontiguousarray(view)), (3, 4))
    assert finder.calls == 13 and len(people) == len(places) + 1
    centers = ((people.boxes[:, :2] + people.boxes[:, 2:]) / 2).tolist()
    for place in [*places, (975, 450)]:
        assert min(np.hypot(x - place[0], y - place[1]) for x, y in centers) < 3


def test_the_estimator_looks_in_tiles() -> None:
    finder = Finder()
    estimator = Estimator(Shape(), lambda view: finder(np.ascontiguousarray(view)), tiles="2x2", max_people=2)
    people = estimator(scene((60, 60), (160, 120), (250, 200)))
    assert finder.calls == 5 and len(people) == 2
    assert estimator.replace(tiles=None).options.tiles is None
    with pytest.raises(ValueError, match="function of your own"):
        Estimator(Shape(), finder, tiles="auto")
    with pytest.raises(ValueError, match="no detector"):
        Estimator(Shape(), tiles="2x2")


def test_the_detector_in_the_package_finds_somebody_far_away() -> None:
    """The example photograph, shrunk to a corner of a large picture, where its person has 75 pixels."""
    image = np.full((1080, 1920, 3), 114, np.uint8)
    photo = scaled_example((160, 90))
    image[700:790, 1300:1460] = photo
    assert not len(edgepose.load()(image))
    people = edgepose.load(tiles="auto")(image)
    assert len(people) == 1
    x1, y1, x2, y2 = people.boxes[0]
    assert 1300 <= x1 < x2 <= 1460 and 700 <= y1 < y2 <= 792 and y2 - y1 > 60
