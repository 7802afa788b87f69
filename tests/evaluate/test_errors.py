"""Hand-made people with one mistake each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgepose.evaluate.errors import (
    GOOD,
    GOOD_SIMILARITY,
    INVERSION,
    JITTER,
    JITTER_SIMILARITY,
    KINDS,
    MISS,
    SWAP,
    UNLABELLED,
    corrected,
    diagnose,
    error_report,
    keypoint_similarity,
)
from edgepose.evaluate.matching import Picture, match, pictures_of
from edgepose.skeleton import COCO

AREA = 10000.0
LEFT_KNEE, RIGHT_KNEE, NOSE, LEFT_ANKLE = 13, 14, 0, 15


def body(x: float) -> np.ndarray:
    """Keypoints (17, 2) far from each other, so that nothing is near by chance."""
    index = np.arange(17)
    return np.stack([x + index % 5 * 150.0, 100 + index // 5 * 150.0], axis=-1)


def scene(
    found: list[np.ndarray], bodies: int = 2, unlabelled: tuple[int, ...] = (), scores: list[float] | None = None
) -> Picture:
    """Two people 2000 pixels apart, and results."""
    people = []
    for i in range(bodies):
        points = np.concatenate([body(2000.0 * i), np.full((17, 1), 2.0)], axis=1)
        points[list(unlabelled)] = 0
        people.append({"id": i + 1, "image_id": 1, "category_id": 1, "bbox": [2000.0 * i, 100, 700, 600], "area": AREA,
                       "iscrowd": 0, "keypoints": points.ravel().tolist()})  # fmt: skip
    labels = {"images": [{"id": 1}], "annotations": people, "categories": [{"id": 1, "keypoints": list(COCO.names)}]}
    sure = scores or [0.9 - 0.1 * i for i in range(len(found))]
    rows: list[dict[str, Any]] = [
        {"image_id": 1, "score": score, "keypoints": np.concatenate([each, np.ones((17, 1))], axis=1).ravel().tolist()}
        for each, score in zip(found, sure, strict=True)
    ]
    return pictures_of(rows, labels)[0][0]


def away(keypoint: int, similarity: float) -> float:
    """The distance at which a keypoint has this similarity with its true place."""
    return float(np.sqrt(-2 * np.log(similarity) * AREA) * 2 * COCO.sigmas[keypoint])


@pytest.mark.parametrize(
    ("similarity", "kind"), [(1.0, GOOD), (0.86, GOOD), (0.84, JITTER), (0.51, JITTER), (0.49, MISS), (0.001, MISS)]
)
def test_distance_decides_between_good_jitter_and_miss(similarity: float, kind: int) -> None:
    for keypoint in (NOSE, LEFT_KNEE):
        found = body(0)
        found[keypoint, 1] += away(keypoint, similarity)
        (diagnosis,) = diagnose([scene([found])], COCO)
        expected = np.full(17, GOOD)
        expected[keypoint] = kind
        assert diagnosis.kinds.tolist() == [expected.tolist()], (similarity, KINDS[kind])
        assert diagnosis.similar[0, keypoint] == pytest.approx(similarity)


def test_inversion_is_the_other_side_of_the_same_person() -> None:
    found = body(0)
    found[[LEFT_KNEE, RIGHT_KNEE]] = found[[RIGHT_KNEE, LEFT_KNEE]]
    (diagnosis,) = diagnose([scene([found])], COCO)
    assert [diagnosis.kinds[0, i] for i in (LEFT_KNEE, RIGHT_KNEE, LEFT_ANKLE)] == [INVERSION, INVERSION, GOOD]
    one = body(0)
    one[LEFT_KNEE] = one[RIGHT_KNEE]  # both knees in one place
    (diagnosis,) = diagnose([scene([one])], COCO)
    assert [diagnosis.kinds[0, i] for i in (LEFT_KNEE, RIGHT_KNEE)] == [INVERSION, GOOD]
    (diagnosis,) = diagnose([scene([one], unlabelled=(RIGHT_KNEE,))], COCO)
    assert [diagnosis.kinds[0, i] for i in (LEFT_KNEE, RIGHT_KNEE)] == [MISS, UNLABELLED], "nothing says where it is"


def test_swap_is_somebody_else() -> None:
    for part in (LEFT_KNEE, RIGHT_KNEE):  # the other's left knee, and their right one
        found = body(0)
        found[LEFT_KNEE] = body(2000)[part]
        (diagnosis,) = diagnose([scene([found])], COCO)
        assert diagnosis.kinds[0, LEFT_KNEE] == SWAP
        (alone,) = diagnose([scene([found], bodies=1)], COCO)
        assert alone.kinds[0, LEFT_KNEE] == MISS
    found = body(0)
    found[LEFT_KNEE] = body(2000)[LEFT_ANKLE]  # another part of somebody else is no swap
    assert diagnose([scene([found])], COCO)[0].kinds[0, LEFT_KNEE] == MISS


def test_results_about_nobody_have_no_kinds() -> None:
    (diagnosis,) = diagnose([scene([body(0), body(9000)])], COCO)
    assert diagnosis.person.tolist() == [0, -1] and (diagnosis.kinds[1] == UNLABELLED).all()


@pytest.mark.parametrize(
    ("kind", "target"), [(JITTER, GOOD_SIMILARITY), (MISS, JITTER_SIMILARITY), (INVERSION, None), (SWAP, None)]
)
def test_corrections_reach_what_the_paper_says(kind: int, target: float | None) -> None:
    found = body(0)
    if kind == JITTER:
        found[LEFT_KNEE, 0] += away(LEFT_KNEE, 0.6)
    elif kind == MISS:
        found[LEFT_KNEE, 0] += away(LEFT_KNEE, 0.001)
    else:  # a little beside the wrong place, and after that as much beside the right one
        found[LEFT_KNEE] = body(0)[RIGHT_KNEE] if kind == INVERSION else body(2000)[LEFT_KNEE]
        found[LEFT_KNEE, 1] += away(LEFT_KNEE, 0.7)
        target = 0.7
    picture = scene([found])
    (diagnosis,) = diagnose([picture], COCO)
    assert diagnosis.kinds[0, LEFT_KNEE] == kind
    better = corrected(picture, diagnosis, [kind])
    assert keypoint_similarity(better, better.found[0])[0, LEFT_KNEE] == pytest.approx(target)
    rest = np.arange(17) != LEFT_KNEE
    assert np.array_equal(better.found[0, rest], picture.found[0, rest])
    others = [k for k in (JITTER, INVERSION, SWAP, MISS) if k != kind]
    assert np.array_equal(corrected(picture, diagnosis, others).found, picture.found)


def test_the_report_adds_up() -> None:
    inverted = body(0)
    inverted[5:] = inverted[COCO.flip[5:]]
    report = error_report([scene([inverted, body(9000)])], COCO)
    assert report["counts"] == {"good": 5, "jitter": 0, "inversion": 12, "swap": 0, "miss": 0}
    assert report["keypoints"] == 17 and sum(report["shares"].values()) == pytest.approx(1, abs=1e-5)


def test_gains() -> None:
    half = body(0)
    half[5:13] = half[COCO.flip[5:13]]
    picture = scene([half, body(9000)], scores=[0.5, 0.9])
    report = error_report([picture], COCO)
    assert report["counts"]["inversion"] == 8 and report["counts"]["good"] == 9
    assert report["by_keypoint"]["left_elbow"]["inversion"] == 1 and report["by_keypoint"]["nose"]["good"] == 1
    assert report["people"] == {"results": 2, "about_somebody": 1, "about_nobody": 1, "labeled": 2, "unfound": 1}
    gains, ap = report["gains"], report["AP"]
    assert ap == pytest.approx(match([picture]).figures()["AP"], abs=1e-6) and 0 < ap < 0.1
    assert gains["jitter"] == gains["swap"] == gains["miss"] == 0 and gains["inversion"] == gains["all four"]
    # Corrected, one of two people is found at every threshold, behind a stranger: half of half the recalls.
    assert gains["inversion"] + ap == pytest.approx(0.5 * 51 / 101, abs=1e-6)
    assert gains["score"] > 0 and gains["background"] == pytest.approx(gains["score"]) and gains["unfound"] > 0


def test_nothing_to_say() -> None:
    report = error_report([], COCO)
    assert report["keypoints"] == 0 and report["AP"] == -1 and set(report["gains"].values()) == {0.0}
    report = error_report([scene([])], COCO)
    assert report["people"]["unfound"] == 2 and report["counts"]["miss"] == 0
