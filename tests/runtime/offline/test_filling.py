"""Gaps: which are filled, with what, and that it is said."""

from __future__ import annotations

import numpy as np
import pytest

from edgepose.runtime.offline import Settings, finished
from edgepose.skeleton import COCO
from tests.runtime.offline.motion import recorded, walker

TIMES = np.arange(60) / 30
TRACK = walker(5, np.zeros(60)) + (TIMES * 60)[:, None, None]  # somebody stiff who is moved along
PLAIN = Settings(cutoff=None, sides=False)


def test_a_gap_is_filled_on_the_straight_line_and_marked() -> None:
    scores = np.full((60, 17), 0.9)
    scores[29], scores[38] = 0.8, 0.5
    moments = list(finished(recorded(TRACK, TIMES, scores, missing=range(30, 38)), PLAIN))
    assert [len(moment.poses) for moment in moments] == [1] * 60
    assert np.abs(np.concatenate([moment.poses.keypoints for moment in moments]) - TRACK).max() < 0.01
    for t, moment in enumerate(moments):
        inside = 30 <= t < 38
        assert moment.filled.tolist() == [inside] and (moment.filled_keypoints == inside).all()
        if inside:
            assert moment.poses.scores == pytest.approx(0.5), "no surer than what is around"
            assert moment.poses.ids is not None and moment.poses.ids.tolist() == [1]
            low = moment.poses.keypoints[0].min(0)
            assert moment.poses.boxes[0, :2] == pytest.approx(low, abs=0.01)


@pytest.mark.parametrize(
    ("most", "filled"),
    [(0.2, False), (9 / 30, True), (0.5, True), (7, False), ("8", True), (0, False), ("0.1s", False)],
)
def test_longer_gaps_stay(most: float | str, filled: bool) -> None:
    """Eight frames of 1/30 s are missing: 0.3 s between those that are there."""
    settings = Settings(cutoff=None, sides=False, max_gap=most)
    moments = list(finished(recorded(TRACK, TIMES, missing=range(30, 38)), settings))
    assert [len(moments[t].poses) for t in (29, 30, 37, 38)] == [1, int(filled), int(filled), 1]
    scores = np.full((60, 17), 0.9)
    scores[30:38, 9] = 0.1
    moments = list(finished(recorded(TRACK, TIMES, scores), settings))
    assert [moment.filled_keypoints[0, 9] for moment in moments] == [filled and 30 <= t < 38 for t in range(60)]


def test_points_that_were_not_seen_are_filled() -> None:
    scores, wrong = np.full((60, 17), 0.9), TRACK.copy()
    scores[10:15, 9], wrong[10:15, 9] = 0.1, 0.0
    scores[:3, 10] = 0.1  # nothing before it
    done = finished(recorded(wrong, TIMES, scores), PLAIN)
    moments = list(done)
    keypoints = np.concatenate([moment.poses.keypoints for moment in moments])
    assert np.abs(keypoints - TRACK).max() < 0.01 and done.filled == (0, 5)
    marks = np.concatenate([moment.filled_keypoints for moment in moments])
    assert np.argwhere(marks).tolist() == [[t, 9] for t in range(10, 15)]
    assert not any(moment.filled.any() for moment in moments)
    assert [moments[t].poses.scores[0, 10] for t in (0, 2, 3)] == pytest.approx([0.1, 0.1, 0.9])


def test_the_filter_does_not_reach_over_gaps_that_stay() -> None:
    """Somebody stands, is away for a second, and stands elsewhere."""
    track = np.repeat(TRACK[:1], 60, axis=0)
    track[45:] += 100
    moments = list(finished(recorded(track, TIMES, missing=range(15, 45)), Settings(join=0)))
    there = [t for t in range(60) if len(moments[t].poses)]
    assert there == [*range(15), *range(45, 60)]
    found = np.concatenate([moments[t].poses.keypoints for t in there])
    assert np.abs(found - track[there]).max() < 0.01
    points = np.full((60, 17), 0.9)
    points[15:45, 9] = 0.1
    found = np.concatenate([m.poses.keypoints for m in finished(recorded(track, TIMES, points), Settings(sides=False))])
    assert np.abs(found[:15, 9] - track[:15, 9]).max() < 0.01, "points likewise"


def test_nobody_and_frames_without_people() -> None:
    assert [len(moment.poses) for moment in finished(recorded(TRACK, TIMES, missing=range(60)))] == [0] * 60
    only = list(finished(recorded(TRACK[:1], TIMES[:1])))
    assert len(only) == 1 and only[0].poses.skeleton == COCO
    assert np.abs(only[0].poses.keypoints - TRACK[0]).max() < 0.01
    assert only[0].index == 0 and only[0].size == (640, 480)
