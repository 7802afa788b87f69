"""Tracks of one person that were two, and people who are two."""

from __future__ import annotations

import numpy as np
import pytest

from edgepose.poses import Poses
from edgepose.runtime.offline import Settings, finished
from edgepose.runtime.offline.recording import Recording, trunk_colors
from edgepose.skeleton import COCO
from tests.runtime.offline.motion import SIZE, recorded, somebody, walker

TIMES = np.arange(120) / 30
TRACK = walker(11, TIMES, "idle") + (TIMES * 30)[:, None, None] * (1, 0)  # is moved along
GAP = range(50, 60)


def identities(recording: Recording, settings: Settings | None = None) -> list[list[int]]:
    done = finished(recording, settings or Settings(cutoff=None))
    return [[] if moment.poses.ids is None else moment.poses.ids.tolist() for moment in done]


def split(track: np.ndarray, gap: range = GAP) -> Recording:
    """One person whose track breaks in a gap."""
    return recorded(track, TIMES, missing=gap, ids=np.where(np.arange(120) < gap.stop, 1, 2))


def test_a_person_in_two_pieces_is_one() -> None:
    assert identities(split(TRACK)) == [[1]] * 120
    done = finished(split(TRACK), Settings(cutoff=None))
    assert done.joined == {2: 1} and done.filled[0] == 10
    assert identities(split(TRACK), Settings(cutoff=None, join=0)) == [[1]] * 50 + [[]] * 10 + [[2]] * 60


def test_three_pieces_are_one_too() -> None:
    ids = np.where(np.arange(120) < 40, 3, np.where(np.arange(120) < 80, 4, 9))
    recording = recorded(TRACK, TIMES, missing=(38, 39, 78, 79), ids=ids)
    assert identities(recording) == [[3]] * 120
    assert finished(recording, Settings(cutoff=None)).joined == {4: 3, 9: 3}


SIZE_OF = float(np.sqrt(np.ptp(TRACK, axis=1).prod(1)).mean())


@pytest.mark.parametrize("change", ["elsewhere", "larger", "later"])
def test_somebody_else_is_not(change: str) -> None:
    track, gap = TRACK.copy(), GAP
    middle = track[60:].mean((0, 1))
    if change == "elsewhere":
        track[60:, :, 0] += 1.5 * SIZE_OF
    elif change == "larger":
        track[60:] = middle + 1.5 * (track[60:] - middle)
    else:
        gap = range(30, 100)
    assert {identity for ids in identities(split(track, gap)) for identity in ids} == {1, 2}


def test_another_color_is_somebody_else() -> None:
    for color, expected in (((40, 40, 200), {1}), ((200, 120, 30), {1, 2})):
        recording = Recording(COCO)
        for t, time in enumerate(TIMES.tolist()):
            image = np.full((SIZE[1], SIZE[0], 3), (40, 40, 200) if t < 60 else color, np.uint8)
            poses = Poses.nobody() if t in GAP else somebody(TRACK[t], 1 if t < 60 else 2)
            recording.add(t, time, poses, image)
        assert {identity for ids in identities(recording) for identity in ids} == expected


def test_where_two_could_go_on_nobody_is_joined() -> None:
    recording = Recording(COCO)
    for t, time in enumerate(TIMES.tolist()):
        aside = 0 if t < 60 else 0.1 * SIZE_OF
        one, other = somebody(TRACK[t] - (0, aside), 1 if t < 60 else 2), somebody(TRACK[t] + (0, aside), 3)
        people = [] if t in GAP else [one] if t < 60 else [one, other]
        recording.add(t, time, Poses.concatenate(people) if people else Poses.nobody(), size=SIZE)
    assert {identity for ids in identities(recording) for identity in ids} == {1, 2, 3}


def test_who_is_there_at_once_is_never_joined() -> None:
    recording = Recording(COCO)
    for t, time in enumerate(TIMES.tolist()):
        people = [somebody(TRACK[t], 1)] if t < 70 else []
        people += [somebody(TRACK[t] + 5, 2)] if t >= 60 else []
        recording.add(t, time, Poses.concatenate(people), size=SIZE)
    assert {identity for ids in identities(recording) for identity in ids} == {1, 2}


def three() -> Recording:
    """Person 1 small and there throughout, 2 large for half of the time, 3 huge for four frames."""
    recording = Recording(COCO)
    for t, time in enumerate(TIMES.tolist()):
        people = [somebody(TRACK[t] / 4, 1)]
        people += [somebody(TRACK[t], 2)] if t < 60 else []
        people += [somebody(TRACK[t] * 3, 3)] if 100 <= t < 104 else []
        recording.add(t, time, Poses.concatenate(people), size=SIZE)
    return recording


@pytest.mark.parametrize(("person", "expected"), [("longest", {1}), ("largest", {2}), (3, {3}), ("all", {1, 2, 3})])
def test_the_person_is_chosen(person: str | int, expected: set[int]) -> None:
    settings = Settings(cutoff=None, person=person)  # type: ignore[arg-type]
    assert {identity for ids in identities(three(), settings) for identity in ids} == expected


def test_a_person_who_is_not_there_and_one_by_a_later_name() -> None:
    with pytest.raises(ValueError, match="there is no person 8: expected largest, longest, all or one of 1, 2, 3"):
        finished(three(), Settings(cutoff=None, person=8))
    assert identities(split(TRACK), Settings(cutoff=None, person=2)) == [[1]] * 120


def test_colors_are_taken_between_shoulders_and_hips() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    points = TRACK[0]
    x, y = points[[5, 6, 11, 12]].mean(0).round().astype(int)
    image[y - 60 : y + 60, x - 60 : x + 60] = (0, 0, 255)
    red = trunk_colors(image, somebody(points))[0]
    assert red == pytest.approx([53.2, 80.1, 67.2], abs=1)
    assert np.isnan(trunk_colors(image, somebody(points + 5000))).all()
    assert trunk_colors(image, Poses.nobody()).shape == (0, 3)


def test_times_that_step_back_and_people_without_identities() -> None:
    recording = Recording(COCO)
    for index, time in enumerate((0.0, 0.1, 0.05, 0.05, 0.2)):
        recording.add(index, time, somebody(TRACK[index]), size=SIZE)
    assert (np.diff(recording.clock) > 0).all()
    assert [moment.time for moment in finished(recording)] == [0.0, 0.1, 0.05, 0.05, 0.2]
    nameless = Poses(TRACK[:1], np.ones((1, 17)), [[0, 0, 9, 9]], [1])
    with pytest.raises(ValueError, match="expected tracked people"):
        recording.add(5, 0.3, nameless, size=SIZE)
