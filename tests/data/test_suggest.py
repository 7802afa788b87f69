"""Frames on which a network contradicts itself come first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from edgepose.data import suggest as module
from edgepose.data.suggest import between_frames, between_views, disagreements, suggest
from edgepose.media.sources import Source
from edgepose.media.video import Frame
from edgepose.poses import Poses
from edgepose.skeleton import COCO
from edgepose.spec import ModelSpec

WIDTH, HEIGHT = 200, 120


def person(x: float, score: float = 0.9) -> Poses:
    """COCO's keypoints around x, whose mirror image is that of a person around 199 - x."""
    rng = np.random.default_rng(0)
    offsets = rng.uniform(-20, 20, (17, 2))
    keypoints = np.float32([x, 60]) + offsets
    box = np.float32([[x - 25, 30, x + 25, 90]])
    return Poses(keypoints[None], np.full((1, 17), score), box, np.ones(1), COCO)


def mirrored(poses: Poses) -> Poses:
    keypoints = poses.keypoints[:, COCO.flip] * [-1, 1] + [WIDTH - 1, 0]
    boxes = poses.boxes[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [WIDTH - 1, 0, WIDTH - 1, 0]
    return Poses(keypoints, poses.scores[:, COCO.flip], boxes, poses.person_scores, COCO)


class Fake:
    """Finds what a frame's number, in its corner, says; the corner's second channel tells the mirror image."""

    def __init__(self, plain: list[Poses], seen_mirrored: list[Poses], per_person: bool = True) -> None:
        self.plain, self.mirror = plain, seen_mirrored
        warp = "box" if per_person else "letterbox"
        self.spec = replace(ModelSpec("fake", "simcc", (192, 256)), per_person=per_person, warp=warp)

    def __call__(self, image: np.ndarray, boxes: np.ndarray | None = None) -> Poses:
        if image[0, 0, 1]:
            return self.plain[image[0, 0, 0]]
        return self.mirror[image[0, -1, 0]]


def video(count: int) -> Iterator[Frame]:
    rng = np.random.default_rng(5)
    for index in range(count):
        image = np.kron(rng.integers(0, 255, (12, 20, 3)), np.ones((10, 10, 1))).astype(np.uint8)
        image[0, 0], image[0, -1] = (index, 255, 0), (0, 0, 0)
        yield Frame(image, index / 10, index)


def test_a_network_that_agrees_with_itself_has_nothing_to_learn() -> None:
    still = person(90)
    fake = Fake([still] * 3, [mirrored(still)] * 3)
    assert [round(d, 6) for _, d in disagreements(video(3), fake)] == [0, 0, 0]


def test_views_that_differ_and_swapped_sides() -> None:
    image = next(video(1)).image
    moved = mirrored(person(90))
    moved = Poses(moved.keypoints + np.float32([0, 30]), moved.scores, moved.boxes, moved.person_scores, COCO)
    swapped = mirrored(person(90))
    swapped = Poses(swapped.keypoints[:, COCO.flip], swapped.scores, swapped.boxes, swapped.person_scores, COCO)
    for other, least in ((moved, 0.9), (swapped, 0.3)):
        assert between_views(Fake([person(90)], [other]), image, person(90))[0] > least
    nobody = Fake([person(90)], [Poses.nobody()], per_person=False)
    assert between_views(nobody, image, person(90)).tolist() == [1.0]


def test_a_jump_between_frames() -> None:
    there, away = person(90), person(96)
    assert between_frames(there, there, there)[0] == pytest.approx(0, abs=1e-6)
    assert between_frames(away, there, there)[0] > 0.05
    assert between_frames(person(90), person(84), person(96))[0] == pytest.approx(0, abs=1e-6)  # even motion
    assert between_frames(there, person(190), person(10)).tolist() == [0]  # nobody to compare with


def test_the_largest_first_and_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = [person(90)] * 30
    other = [mirrored(person(90 + (25 if i in (4, 5, 20) else 0) + (3 if i == 20 else 0))) for i in range(30)]
    monkeypatch.setattr(module, "frames", lambda source: video(30))
    found = suggest([Source("clip.mp4", "video")], Fake(plain, other), 2)
    assert [one.frame for one in found] == [20, 4]
    assert found[0].disagreement > found[1].disagreement > 0.5 and found[0].time == 2.0
    assert len(suggest([Source("clip.mp4", "video")], Fake(plain, other), 30, apart=0)) == 30
    every = suggest([Source("clip.mp4", "video")], Fake(plain, other), 30, every=5, apart=0)
    assert sorted(one.frame for one in every) == [0, 5, 10, 15, 20, 25]


def test_frames_without_people_and_frames_that_look_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "frames", lambda source: video(3))
    assert suggest([Source("clip.mp4", "video")], Fake([Poses.nobody()] * 3, []), 2) == []
    image = next(video(1)).image
    still = [Frame(image, i / 10, i) for i in range(3)]
    monkeypatch.setattr(module, "frames", lambda source: iter(still))
    fake = Fake([person(90)], [mirrored(person(99))])
    assert len(suggest([Source("clip.mp4", "video")], fake, 3, apart=0)) == 1
    with pytest.raises(ValueError, match="count 0, every 1, apart 10: expected 1, 1 and 0 or more"):
        suggest([], fake, 0)
