"""Regions: what they are written as, who is inside, and that results stay in pixels of the whole picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgepose.runtime.estimator import Estimator
from edgepose.runtime.follow import Follower
from edgepose.runtime.region import region_of, regions_of
from tests.runtime.blobs import SIZE, Finder, Shape, scene

LEFT, RIGHT = (80, 120), (240, 120)


def looking(**options: Any) -> Estimator:
    finder = Finder()
    return Estimator(Shape(), lambda view: finder(np.ascontiguousarray(view)), **options)


def middles(estimator: Estimator, *people: tuple[float, float]) -> list[float]:
    boxes = estimator(scene(*people)).boxes
    return sorted(((boxes[:, 0] + boxes[:, 2]) / 2).round(-1).tolist())


WAYS: list[Any] = ["160,0,160,240", "50%,0%,50%,100%", (160, 0, 160, 240), [(160, 0), (320, 0), (320, 240), (160, 240)],
                   "160,0 320,0 320,240 160,240", np.array([160, 0, 160, 240])]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=[str(i) for i in range(len(WAYS))])
def test_ways_to_write_one(way: Any) -> None:
    assert middles(looking(region=way), LEFT, RIGHT) == [240]
    assert middles(looking(ignore=way), LEFT, RIGHT) == [80]


def test_several_to_ignore() -> None:
    estimator = looking(ignore=["0,0,100,240", "200,0,100,240"])
    assert middles(estimator, LEFT, (150, 120), RIGHT) == [150]
    assert len(regions_of([(0, 0, 10, 10), (20, 20, 10, 10)])) == 2 == len(regions_of(np.ones((2, 4)) * 5))
    assert regions_of(None) == () and len(regions_of((0, 0, 10, 10))) == 1


def test_only_the_rectangle_is_shown_to_the_detector() -> None:
    shapes = list[tuple[int, ...]]()
    finder = Finder()

    def detector(view: np.ndarray) -> Any:
        shapes.append(view.shape)
        return finder(np.ascontiguousarray(view))

    people = Estimator(Shape(), detector, region="200,60 280,60 280,180 200,180")(scene(LEFT, RIGHT))
    assert shapes == [(120, 80, 3)] and len(people) == 1
    assert people.boxes[0] == pytest.approx([225, 90, 255, 150], abs=2)
    assert people.keypoints[0].mean(0) == pytest.approx(RIGHT, abs=4)


def test_a_polygon_drops_who_is_in_its_rectangle_alone() -> None:
    """The lower left triangle of the picture: the center of the box counts."""
    estimator = looking(region="0,0 320,240 0,240")
    assert middles(estimator, (60, 200), (260, 60)) == [60]
    assert middles(looking(ignore="0,0 320,240 0,240"), (60, 200), (260, 60)) == [260]


def test_a_region_may_stick_out_of_the_picture_and_not_be_outside() -> None:
    assert middles(looking(region="160,-50,1000,1000"), LEFT, RIGHT) == [240]
    with pytest.raises(ValueError, match="region 320,0,50,50 lies outside the picture, which has 320 x 240 pixels"):
        looking(region="320,0,50,50")(scene(LEFT))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("1,2,3", "expected x,y,w,h or"),
        ("", "expected x,y,w,h or"),
        ("a,b,c,d", "expected x,y,w,h or"),
        ("10,10 50,50", "expected x,y,w,h or"),
        ("1,2,3,4,5,6", "expected x,y,w,h or"),
        ("0.1,0.1,0.5,0.5", "looks like parts of 1.*such as 25%"),
        ("0,0 1,0 1,1", "looks like parts of 1"),
        ("10%,10,50%,50", "pixels and percent mixed"),
        ("10,10,0,50", "is 0 wide and 50 high"),
        ("10,10,-5,50", "is -5 wide"),
        ("0,0 100,100 200,200", "no area"),
        ((10, 10, float("nan"), 50), "not finite"),
        ([[0, 0, 0], [1, 1, 1]], "expected x,y,w,h or"),
        (5, "expected x,y,w,h or"),
        ([[1, 2], [3]], "expected x,y,w,h or"),
    ],
)
def test_what_is_none_or_could_be_two(value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        region_of(value)


def test_tiles_are_of_the_region() -> None:
    calls = list[tuple[int, int]]()
    finder = Finder()

    def detector(view: np.ndarray) -> Any:
        calls.append(view.shape[:2])
        return finder(np.ascontiguousarray(view))

    estimator = Estimator(Shape(), detector, region="160,0,160,240", tiles="1x2")
    assert middles(estimator, LEFT, RIGHT) == [240] and len(calls) == 3 and calls[-1] == (240, 160)


def test_who_is_followed_is_lost_where_people_are_ignored() -> None:
    """Somebody walks from the left into the ignored right half; the detector runs in the first frame alone."""
    follower = Follower(looking(ignore=f"160,0,160,{SIZE[1]}"), detect_every=100)
    seen = [len(follower(scene((80 + 10 * i, 120)), i / 30)) for i in range(16)]
    assert seen[:6] == [1] * 6 and seen[-5:] == [0] * 5


def test_boxes_of_the_caller_are_theirs() -> None:
    estimator = looking(region="0,0,100,100")
    assert len(estimator(scene(RIGHT), boxes=[[220, 90, 260, 150]])) == 1
