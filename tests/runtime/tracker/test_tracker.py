from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgepose
from edgepose.evaluate.tracking import evaluate_identities
from edgepose.hungarian import assignment
from edgepose.poses import Poses
from edgepose.runtime.tracker import Tracker, assign
from edgepose.skeleton import BOX
from tests.runtime.crowd import STANDING, Moment, Scene, crowd


def people(*places: tuple[float, float], height: float = 200.0, score: float = 0.9) -> Poses:
    """Standing people with the middle of their feet at these (x, y)."""
    keypoints = np.array([(STANDING - [0, 1]) * height + place for place in places]).reshape(-1, 17, 2)
    n = len(places)
    boxes = np.concatenate([keypoints.min(1, initial=1e9), keypoints.max(1, initial=-1e9)], axis=1)
    return Poses(keypoints, np.full((n, 17), 0.9), boxes, np.full(n, score))


def ids(poses: Poses) -> list[int]:
    assert poses.ids is not None and poses.ids.dtype == np.int64
    return poses.ids.tolist()


def tracked(moments: list[Moment], tracker: Tracker | None = None) -> list[np.ndarray]:
    tracker = Tracker() if tracker is None else tracker
    results = [tracker.update(moment.detections, moment.time) for moment in moments]
    return [np.array(ids(result)) for result in results]


def idf1(moments: list[Moment], found: list[np.ndarray]) -> float:
    """Of the identities given to the detections that are people."""
    truth, tracks = [], []
    for moment, given_ids in zip(moments, found, strict=True):
        real = moment.owners >= 0
        boxes = moment.detections[real]
        truth.append(replace(boxes, ids=moment.owners[real]))
        tracks.append(replace(boxes, ids=given_ids[real]))
    return evaluate_identities(truth, tracks).idf1


def test_four_people_who_stand_are_four_whatever_their_order() -> None:
    rng = np.random.default_rng(0)
    standing = people((100, 300), (250, 310), (400, 300), (550, 305))
    for jitter in (0.0, 2.0):
        tracker, names, seen = edgepose.runtime.tracker.Tracker(keep_sides=False), [], set()  # eyes are 3 pixels apart
        for frame in range(40):
            order = rng.permutation(4)
            moved = standing.keypoints[order] + rng.normal(0, 1, (4, 17, 2)) * jitter
            result = tracker.update(replace(standing[order], keypoints=moved), time=frame / 30)
            np.testing.assert_array_equal(result.keypoints, moved.astype(np.float32))
            names.append([ids(result)[i] for i in np.argsort(order)])
            seen.update(ids(result))
        assert names == [names[0]] * 40
        assert seen == {1, 2, 3, 4}


@pytest.mark.parametrize("count", [1, 2, 5, 10, 20])
@pytest.mark.parametrize("fps", [10.0, 30.0])
def test_a_crowd_keeps_its_identities(count: int, fps: float) -> None:
    moments = crowd(Scene(people=count, fps=fps, frames=150, false=0.02, seed=count))
    found = tracked(moments)
    assert idf1(moments, found) >= 0.95
    assert all(len(set(frame.tolist())) == len(frame) for frame in found)


@pytest.mark.parametrize(
    "difference",
    [
        {"box_only": True},
        {"boxes": "keypoints"},
        {"half": 0.3},
        {"noise": 0.03},
        {"vary": 0.6},
        {"fps": 60.0},
        {"layout": "row", "people": 12},
        {"build": 0.0, "same_height": True},
        {"turn": 0.5, "blink": 0.12},
        {"height": (50.0, 80.0), "size": (640, 360)},
        {"speed": (1.0, 2.0)},
    ],
    ids=str,
)
def test_crowds_of_all_kinds(difference: dict[str, object]) -> None:
    moments = crowd(replace(Scene(people=5, frames=200, false=0.02, seed=5), **difference))  # type: ignore[arg-type]
    assert idf1(moments, tracked(moments)) >= 0.95


def crossing(tracker: Tracker, hidden: float, fps: float = 30.0, back: bool = False, seed: int = 0) -> list[list[int]]:
    """Two like people walk towards each other; the second cannot be seen for `hidden` seconds about the meeting.

    Identities per frame by person, 0 where not seen.
    """
    rng = np.random.default_rng(seed)
    result = []
    for i in range(int(4 * fps)):
        t = i / fps
        a, b = 100 + 150 * t, 700 - 150 * t
        if back and t > 1.8:
            b = 700 - 270 + 150 * (t - 1.8)  # and now goes 60 pixels in front of the other
        both = people((a, 300), (b, 300))
        keypoints = both.keypoints + rng.normal(0, 1.5, (2, 17, 2))
        both = replace(both, keypoints=keypoints)
        shown = np.array([0]) if abs(t - 2) < hidden / 2 else rng.permutation(2)
        found = ids(tracker.update(both[shown], t))
        row = [0, 0]
        for person, identity in zip(shown, found, strict=True):
            row[person] = identity
        result.append(row)
    return result


@pytest.mark.parametrize("fps", [10.0, 25.0, 60.0])
@pytest.mark.parametrize("hidden", [0.0, 0.4, 1.0, 1.5])
def test_people_who_cross_do_not_exchange_identities(hidden: float, fps: float) -> None:
    for seed in range(3):
        rows = crossing(Tracker(), hidden, fps, seed=seed)
        assert rows[-1] == rows[0]
        wrong = [row for row in rows if row not in (rows[0], [rows[0][0], 0])]
        assert len(wrong) <= fps / 30 + 1  # while one stands exactly on the other, nobody could tell


def test_somebody_who_turns_round_while_hidden_is_known_again() -> None:
    rows = crossing(Tracker(), 0.8, back=True)
    assert rows[-1] == rows[0]


def test_an_outlier_keypoint_does_not_move_the_person() -> None:
    # The gate of the filter at work: a wrist that is elsewhere for a frame changes nothing that is predicted.
    clean, spoilt = Tracker(), Tracker()
    standing = people((100, 300))
    wild = standing.keypoints.copy()
    wild[0, 9] += 150
    for i in range(20):
        clean.update(standing, i / 30)
        spoilt.update(replace(standing, keypoints=wild) if i == 19 else standing, i / 30)
    expected, result = clean.predicted(20 / 30), spoilt.predicted(20 / 30)
    assert np.abs(result.keypoints - expected.keypoints).max() < 1.0


def test_whose_place_a_pose_is_from_counts_when_nothing_else_does() -> None:
    tracker = Tracker()
    assert ids(tracker.update(people((100, 300), (400, 300)), 0.0)) == [1, 2]
    far = people((800, 900), (405, 300))
    assert ids(tracker.update(far, 0.1, np.array([1, 1]))) == [1, 2], "who fits somebody is that one"
    assert ids(tracker.update(far, 0.2, np.array([2, 0]))) == [1, 2]
    assert ids(Tracker().update(far, 0.0, np.array([1, 2]))) == [1, 2], "nobody yet"
    far = people((1500, 100), (2000, 900))
    assert ids(tracker.update(far, 0.3, np.array([9, 2]))) == [3, 2], "nobody has identity 9"


def test_predicted() -> None:
    tracker = Tracker()
    assert len(tracker.predicted(0.0)) == 0
    for i in range(30):
        tracker.update(people((100 + 4 * i, 300), (600, 300 - 2 * i)), i / 30)
    for ahead in (1, 5):
        expected = people((100 + 4 * (29 + ahead), 300), (600, 300 - 2 * (29 + ahead)))
        result = tracker.predicted((29 + ahead) / 30)
        assert ids(result) == [1, 2]
        assert np.abs(result.keypoints - expected.keypoints).max() < 3
        assert np.abs(result.boxes - expected.boxes).max() < 3
        np.testing.assert_allclose(result.scores, expected.scores)
        np.testing.assert_allclose(result.person_scores, expected.person_scores)
    again = tracker.predicted(30 / 30)
    np.testing.assert_array_equal(again.keypoints, tracker.predicted(30 / 30).keypoints)  # nothing changed
    tracker.update(people((600, 300 - 2 * 30)), 1.0)
    assert ids(tracker.predicted(1.0)) == [2]  # only those seen last
    with pytest.raises(ValueError, match=r"expected seconds from the last update at 1\.0 onwards"):
        tracker.predicted(0.9)


def test_lost_found_and_forgotten() -> None:
    tracker = Tracker(memory=2.0)
    here, other = people((100, 300)), people((500, 300))
    assert tracker.lost.tolist() == []
    for i in range(10):
        tracker.update(people((100, 300), (500, 300)), i / 10)
    assert tracker.lost.tolist() == []
    assert ids(tracker.update(other, 1.0)) == [2]
    assert tracker.lost.tolist() == [1]
    assert ids(tracker.update(people((110, 300), (500, 300)), 2.0)) == [1, 2]
    assert tracker.lost.tolist() == []
    for now in (2.1, 3.2, 4.3):
        tracker.update(other, now)
    assert tracker.lost.tolist() == []
    assert ids(tracker.update(here, 4.4)) == [3]  # forgotten, and 1 is not used again
    assert ids(Tracker().update(Poses.nobody())) == []


def test_nobody_for_a_while() -> None:
    tracker = Tracker()
    for _ in range(5):
        tracker.update(people((100, 300)))
    for _ in range(30):
        result = tracker.update(Poses.nobody())
        assert ids(result) == [] and tracker.lost.tolist() == [1]
    assert ids(tracker.update(people((100, 300)))) == [1]
    for _ in range(95):
        tracker.update(Poses.nobody())
    assert tracker.lost.tolist() == []


def test_rows_say_who_of_the_input_each_person_is() -> None:
    """Two people; the first is away for three frames, in which the second stands in row 0 of the input."""
    tracker = Tracker(hold=0.5)
    assert tracker.rows.tolist() == []
    for i in range(10):
        tracker.update(people((100 + 3 * i, 300), (600, 300)), i / 30)
        assert tracker.rows.tolist() == [0, 1]
    far = replace(people((600, 300)), person_scores=np.array([0.4]), scores=np.full((1, 17), 0.45))
    for i in range(10, 13):
        shown = tracker.update(far, i / 30)
        assert ids(shown) == [2, 1] and tracker.rows.tolist() == [0, -1]
        assert shown.person_scores.tolist() == [np.float32(0.4), people((1, 1)).person_scores[0]], "each has its own"
        assert np.abs(shown.keypoints[1] - people((100 + 3 * i, 300)).keypoints[0]).max() < 3
    back = tracker.update(people((600, 300), (139, 300)), 13 / 30)
    assert ids(back) == [2, 1] and tracker.rows.tolist() == [0, 1]
    tracker.follow(1)
    assert ids(tracker.update(people((600, 300), (142, 300)), 14 / 30)) == [1] and tracker.rows.tolist() == [1]
    assert ids(tracker.update(far, 15 / 30)) == [1] and tracker.rows.tolist() == [-1]
    assert ids(tracker.update(far, 2.0)) == [] and tracker.rows.tolist() == []


def test_hold_bridges_what_the_detector_missed() -> None:
    tracker = Tracker(hold=0.2)
    for i in range(20):
        tracker.update(people((100 + 3 * i, 300), (600, 300)), i / 30)
    shown = tracker.update(people((600, 300)), 20 / 30)
    assert ids(shown) == [2, 1]  # those given come first
    assert np.abs(shown.keypoints[1] - people((160, 300)).keypoints[0]).max() < 3
    assert tracker.lost.tolist() == [1]
    assert ids(tracker.update(Poses.nobody(BOX), 21 / 30)) == [1, 2]
    tracker.follow(2)
    assert ids(tracker.update(Poses.nobody(), 22 / 30)) == [2]
    assert ids(tracker.update(Poses.nobody(), 1.0)) == []
    tracker.follow(None)
    assert ids(tracker.update(people((700, 900)), 1.1)) == [3]
    assert ids(tracker.update(Poses.nobody(), 1.2)) == []  # seen once: maybe never there
    with pytest.raises(ValueError, match="hold must be a number of seconds"):
        Tracker(hold=-1)


def test_a_slip_of_the_detector_is_soon_forgotten() -> None:
    tracker = Tracker()
    tracker.update(people((100, 300)), 0.0)
    tracker.update(Poses.nobody(), 0.5)
    assert tracker.lost.tolist() == []
    assert ids(tracker.update(people((100, 300)), 0.6)) == [2]


def test_a_false_pose_near_somebody_lost_does_not_keep_their_identity() -> None:
    # A walker is hidden; a false pose to the left is taken for them for one frame; then they appear where they must be.
    tracker = Tracker()
    for i in range(30):
        tracker.update(people((300 + 5 * i, 300)), i / 30)
    for i in range(30, 60):
        false = people((300 + 5 * 29 - 60, 320)) if i == 58 else Poses.nobody()
        assert ids(tracker.update(false, i / 30)) in ([], [1])
    assert ids(tracker.update(people((300 + 5 * 60, 300)), 60 / 30)) == [1]


@pytest.mark.parametrize("side", [-1, 1])
def test_the_layout_tells_who_was_hidden(side: int) -> None:
    # One arm out to the side; the stranger is the mirror image, so no limb is longer or shorter.
    def reaching(x: float, direction: int) -> Poses:
        poses = people((x, 300))
        keypoints = poses.keypoints.copy()
        keypoints[0, [7, 9], 0] += [40, 90]
        keypoints[..., 0] = x + direction * (keypoints[..., 0] - x)
        return replace(poses, keypoints=keypoints)

    tracker = Tracker()
    for i in range(20):
        tracker.update(reaching(400, 1), i / 30)
    stranger, back = reaching(400 - 50 * side, -1), reaching(400 + 50 * side, 1)
    both = replace(
        people((0, 0), (0, 0)),
        keypoints=np.concatenate([stranger.keypoints, back.keypoints]),
        boxes=np.concatenate([stranger.boxes, back.boxes]),
    )
    assert ids(tracker.update(both, 35 / 30)) == [2, 1]  # as near as the stranger


def test_limb_lengths_tell_who_is_who_after_both_were_hidden() -> None:
    def two(first: float, second: float) -> Poses:
        tall, small = people((first, 300), height=210), people((second, 300), height=190)
        names = ("keypoints", "scores", "boxes", "person_scores")
        return Poses(*(np.concatenate([getattr(tall, name), getattr(small, name)]) for name in names))

    tracker = Tracker()
    for i in range(30):
        assert ids(tracker.update(two(300, 345), i / 30)) == [1, 2]
    assert ids(tracker.update(two(345, 300), 2.0)) == [1, 2]  # they changed places


def test_unsure_poses_come_second() -> None:
    def second(**options: float) -> list[int]:
        tracker = Tracker(**options)  # type: ignore[arg-type]
        for i in range(10):
            tracker.update(people((300, 300)), i / 30)
        both = people((301, 300), (308, 300))
        return ids(tracker.update(replace(both, person_scores=np.array([0.2, 0.9])), 10 / 30))

    assert second() == [2, 1]  # the sure one is a little farther away
    assert second(sure=0.1) == [1, 2]
    tracker = Tracker()
    for i in range(10):
        assert ids(tracker.update(people((300, 300), score=0.1), i / 30)) == [1]  # scores may be low all over
    assert ids(tracker.update(people((302, 300), (600, 300), score=0.05), 10 / 30)) == [1, 2]


def test_keypoints_scored_low_are_not_used() -> None:
    def moved(**options: float) -> float:
        tracker = Tracker(**options)  # type: ignore[arg-type]
        for i in range(20):
            poses = people((100, 300))
            keypoints, scores = poses.keypoints.copy(), poses.scores.copy()
            keypoints[0, 9, 0] += 10 * i
            scores[0, 9] = 0.15
            tracker.update(replace(poses, keypoints=keypoints, scores=scores), i / 30)
        return float(tracker.predicted(19 / 30).keypoints[0, 9, 0] - people((100, 300)).keypoints[0, 9, 0])

    assert moved(keypoint_score=0.1) > 150
    assert abs(moved()) < 60  # where the middle of the body is: never seen


def test_follow() -> None:
    tracker = Tracker()
    for i in range(10):
        tracker.update(people((100, 300), (400, 300)), i / 30)
    tracker.follow(2)
    assert tracker.followed == 2
    result = tracker.update(people((100, 300), (400, 300)), 10 / 30)
    assert ids(result) == [2] and result.keypoints[0, 0, 0] == 400
    assert ids(tracker.predicted(0.5)) == [2]
    # Hidden for longer than anybody else is remembered; a stranger far away is not taken for them.
    for i in range(11, 200):
        assert ids(tracker.update(people((100, 300), (900, 300)), i / 30)) == []
    assert tracker.lost.tolist() == [2]
    assert ids(tracker.update(people((100, 300), (402, 300), (900, 300)), 200 / 30)) == [2]
    tracker.follow(None)
    assert ids(tracker.update(people((100, 300), (402, 300), (900, 300)), 201 / 30)) == [1, 2, 3]


def test_follow_in_doubt_returns_nobody() -> None:
    tracker = Tracker(follow=1)
    for i in range(10):
        assert ids(tracker.update(people((400, 300)), i / 30)) == [1]
    # Two people alike appear, as far to the left as to the right of where the one was.
    assert ids(tracker.update(people((350, 300), (450, 300)), 2.0)) == []


def test_follow_never_switches_in_a_crowd() -> None:
    for seed in range(2):
        moments = crowd(Scene(people=6, frames=240, blink=0.1, false=0.02, seed=seed))
        tracker = Tracker()
        first = next(m for m in moments if 0 in m.owners)
        start = moments.index(first)
        tracker.update(first.detections, first.time)
        identity = int(tracker.predicted(first.time).ids[list(first.owners).index(0)])  # type: ignore[index]
        tracker.follow(identity)
        right = wrong = shown = 0
        for moment in moments[start + 1 :]:
            result = tracker.update(moment.detections, moment.time)
            own = moment.detections[moment.owners == 0]
            shown += len(own)
            assert len(result) <= 1
            if len(result):
                same = len(own) == 1 and moment.owners[tracker.rows[0]] == 0
                right, wrong = right + same, wrong + (not same)
        assert wrong <= 2
        assert right >= 0.9 * shown


def test_somebody_fast_who_turns_on_the_spot_is_kept() -> None:
    # Half a body height per frame at 10 frames a second, thrown back by walls: the velocity must open again.
    tracker = Tracker()
    x, speed = 500.0, 100.0
    for i in range(60):
        x += speed
        if not 100 < x < 1500:
            speed = -speed
            x += 1.5 * speed
        assert ids(tracker.update(people((x, 300)), i / 10)) == [1]


def test_follow_somebody_who_is_yet_to_come() -> None:
    tracker = Tracker(follow=2)
    assert ids(tracker.update(people((100, 300)), 0.0)) == []
    assert ids(tracker.update(people((100, 300), (400, 300)), 0.1)) == [2]


def test_follow_refuses_what_cannot_come() -> None:
    tracker = Tracker()
    for wrong in (0, -1, True, 1.0, "1"):
        with pytest.raises(ValueError, match="expected an identity"):
            tracker.follow(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected an identity"):
        Tracker(follow=0)
    tracker.update(people((100, 300)), 0.0)
    tracker.cut()
    with pytest.raises(ValueError, match="cannot follow 1: that identity has ended"):
        tracker.follow(1)


def test_cut_and_reset() -> None:
    tracker = Tracker()
    for i in range(5):
        tracker.update(people((100, 300)), i / 30)
    tracker.cut()
    assert tracker.lost.tolist() == []
    assert len(tracker.predicted(1.0)) == 0
    assert ids(tracker.update(people((100, 300)), 5 / 30)) == [2]
    with pytest.raises(ValueError, match="time must be seconds above"):
        tracker.update(people((100, 300)), 0.0)
    tracker.reset()
    assert tracker.time is None
    assert ids(tracker.update(people((100, 300)), 0.0)) == [3]
    tracker.reset()
    box = Poses(np.zeros((1, 0, 2)), np.zeros((1, 0)), [[0, 0, 10, 20]], [1], BOX)
    assert ids(tracker.update(box, 0.0)) == [4]


def test_time() -> None:
    tracker = Tracker(interval=0.5)
    for _ in range(3):
        tracker.update(people((100, 300)))
    assert tracker.time == 1.0
    for wrong in (1.0, 0.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"time must be seconds above 1\.0"):
            tracker.update(people((100, 300)), wrong)
    assert tracker.time == 1.0  # a refused frame leaves no trace
    assert ids(tracker.update(people((100, 300)), 1.1)) == [1]
    with pytest.raises(ValueError, match="memory must be a positive"):
        Tracker(memory=0)
    with pytest.raises(ValueError, match="interval must be a positive"):
        Tracker(interval=float("nan"))


def test_the_frame_rate_does_not_matter() -> None:
    moments = crowd(Scene(people=4, frames=240, fps=60.0, missed=0.0, blink=0.0, false=0.0, seed=3))
    names = [
        {int(o): int(i) for o, i in zip(m.owners, f, strict=True)}
        for m, f in zip(moments[::4], tracked(moments[::4]), strict=True)
    ]
    first: dict[int, int] = {}
    for name in names:
        for owner, identity in name.items():
            assert first.setdefault(owner, identity) == identity


def test_refusals() -> None:
    tracker = Tracker()
    tracker.update(people((100, 300)), 0.0)
    box = Poses(np.zeros((1, 0, 2)), np.zeros((1, 0)), [[0, 0, 10, 20]], [1], BOX)
    with pytest.raises(ValueError, match="people with skeleton coco are tracked, got box"):
        tracker.update(box, 0.1)
    assert ids(tracker.update(Poses.nobody(BOX), 0.1)) == []  # nobody has any skeleton
    nowhere = replace(people((100, 300)), boxes=np.array([[5.0, 5, 5, 5]]), scores=np.zeros((1, 17)))
    with pytest.raises(ValueError, match="person 0 is nowhere"):
        tracker.update(nowhere, 0.2)
    assert ids(tracker.update(people((100, 300)), 0.2)) == [1]


def test_without_boxes_the_keypoints_do() -> None:
    tracker = Tracker()
    for i in range(5):
        poses = people((100 + 3 * i, 300))
        keypoints = poses.keypoints.copy()
        keypoints[0, 3] = np.nan
        assert ids(tracker.update(replace(poses, keypoints=keypoints, boxes=np.zeros((1, 4))), i / 30)) == [1]
    assert np.isfinite(tracker.predicted(0.2).keypoints).all()


def test_assign_leaves_out_what_costs_too_much() -> None:
    costs = np.array([[1.0, 9.0, np.inf], [1.5, np.inf, np.inf]])
    rows, columns = assign(costs, 10.0)
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 1), (1, 0)]
    rows, columns = assign(costs, 8.0)
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 0)]
    assert assign(np.zeros((0, 3)), 1.0)[0].tolist() == []
    assert assign(np.full((2, 2), np.inf), 1.0)[0].tolist() == []


def test_assign_searches_only_where_somebody_has_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []
    monkeypatch.setattr(
        edgepose.runtime.tracker, "assignment", lambda costs: searched.append(costs) or assignment(costs)
    )
    rng = np.random.default_rng(0)
    for _ in range(300):
        costs = rng.uniform(0, 1, rng.integers(1, 5, 2))
        rows, columns = assign(costs, 0.3)
        wanted = assignment(np.minimum(costs, 0.3))
        assert sorted(costs[rows, columns]) == sorted(c for c in costs[wanted] if c < 0.3)
    assert 50 < len(searched) < 200


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), frames=st.integers(1, 15), boxes=st.booleans())
def test_identities_are_given_once_whatever_comes(seed: int, frames: int, boxes: bool) -> None:
    """Random people: everybody gets one identity, none twice in a frame, none after it ended, nothing blows up."""
    rng = np.random.default_rng(seed)
    tracker = Tracker(memory=0.5)
    time, highest = 0.0, 0
    last_seen: dict[int, float] = {}
    for _ in range(frames):
        n = int(rng.integers(0, 6))
        keypoints = rng.uniform(0, 300, (n, 1, 2)) + rng.normal(0, 30, (n, 17, 2))
        low, high = keypoints.min(1), keypoints.max(1)
        poses = Poses(keypoints, rng.uniform(0, 1, (n, 17)), np.concatenate([low, high], 1), rng.uniform(0, 1, n))
        if boxes:
            none = np.zeros((n, 0, 2))
            poses = Poses(none, none[..., 0], poses.boxes, poses.person_scores, BOX)
        given_ids = ids(tracker.update(poses, time))
        assert len(given_ids) == n == len(set(given_ids))
        for identity in given_ids:
            if identity in last_seen:
                assert time - last_seen[identity] <= 0.5
            else:
                assert identity > highest
            last_seen[identity] = time
        highest = max([highest, *given_ids])
        predicted = tracker.predicted(time + 0.1)
        assert np.isfinite(predicted.keypoints).all() and np.isfinite(predicted.boxes).all()
        time += float(rng.choice([0.001, 0.033, 0.2, 1.0]))


def test_scipy_is_imported_late() -> None:
    code = "import json, sys, edgepose.runtime.tracker; print(json.dumps('scipy' in sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) is False


@pytest.mark.parametrize("name", edgepose.skeleton.SKELETONS)
def test_every_skeleton_is_tracked(name: str) -> None:
    skeleton = edgepose.skeleton.SKELETONS[name]
    rng = np.random.default_rng(1)
    layout = rng.uniform(0, 100, (2, len(skeleton), 2))
    layout[1, :, 0] += 150
    boxes = np.array([[0, 0, 100, 100], [150, 0, 250, 100]])
    tracker = Tracker()
    first = tracker.update(Poses(layout, np.ones((2, len(skeleton))), boxes, [1, 1], skeleton), 0.0)
    assert ids(first) == [1, 2]
    for i in range(1, 5):
        poses = Poses(layout + 2 * i, np.ones((2, len(skeleton))), boxes + 2 * i, [1, 1], skeleton)
        order = rng.permutation(2)
        assert ids(tracker.update(poses[order], i / 30)) == (order + 1).tolist()
