from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgepose.evaluate.breakdown import by_crowd, by_keypoint, by_people, by_size, calibration, crowd_index
from edgepose.evaluate.matching import Picture, match, pictures_of
from edgepose.skeleton import COCO
from tests.evaluate.test_matching import crowded_set


def person(image: int, box: tuple[float, float, float, float], area: float | None = None) -> dict[str, Any]:
    """Keypoints in rows over their box."""
    x, y, w, h = box
    index = np.arange(17)
    points = np.stack([x + (index % 5 + 0.5) * w / 5, y + (index // 5 + 0.5) * h / 4, np.full(17, 2)], axis=-1)
    return {"image_id": image, "category_id": 1, "iscrowd": 0, "bbox": list(box), "area": area or w * h,
            "keypoints": points.ravel().tolist(), "num_keypoints": 17}  # fmt: skip


def pictures(
    people: list[dict[str, Any]], wrong: tuple[int, ...] = (), scores: dict[int, float] | None = None, **image: Any
) -> list[Picture]:
    """The truth as results, but for those who are `wrong`: theirs is far away."""
    images = [{"id": i, **image} for i in sorted({p["image_id"] for p in people})]
    annotations = [p | {"id": i + 1} for i, p in enumerate(people)]
    rows = []
    for i, each in enumerate(people):
        points = np.array(each["keypoints"]).reshape(17, 3) + (5000 if i in wrong else 0)
        score = (scores or {}).get(i, 0.9)
        rows.append({"image_id": each["image_id"], "score": score, "keypoints": points.ravel().tolist()})
    labels = {"images": images, "annotations": annotations, "categories": [{"id": 1, "keypoints": list(COCO.names)}]}
    return pictures_of(rows, labels)[0]


def test_sizes() -> None:
    people = [person(i, (50, 50, side, side)) for i, side in enumerate((20, 40, 80, 150, 300, 500))]
    rows = by_size(pictures(people, wrong=(2, 4)))
    assert [row["people"] for row in rows] == [1] * 6
    assert [(row["from"], row["to"]) for row in rows] == [
        (0, 32),
        (32, 64),
        (64, 96),
        (96, 192),
        (192, 384),
        (384, None),
    ]
    assert [row["AR"] for row in rows] == [1, 1, 0, 1, 0, 1]
    assert [row["AP"] for row in by_size(pictures(people[:1]))] == pytest.approx([1, -1, -1, -1, -1, -1])


def test_counts_of_people() -> None:
    people = [person(0, (0, 0, 90, 90))]
    people += [person(1, (200 * i, 0, 90, 90)) for i in range(3)] + [person(2, (200 * i, 0, 90, 90)) for i in range(9)]
    rows = by_people(pictures(people, wrong=(0, 1)))
    assert [(row["images"], row["people"]) for row in rows] == [(1, 1), (1, 3), (0, 0), (1, 9), (0, 0)]
    assert [row["AR"] for row in rows] == pytest.approx([0, 2 / 3, -1, 1, -1], abs=1e-6)


def test_crowd_index() -> None:
    apart = pictures([person(0, (0, 0, 90, 90)), person(0, (500, 0, 90, 90))])
    same = pictures([person(0, (0, 0, 90, 90)), person(0, (0, 0, 90, 90))])
    assert crowd_index(apart[0]) == 0 and crowd_index(same[0]) == 1
    trio = pictures([person(0, (0, 0, 90, 90))] * 3)
    assert crowd_index(trio[0]) == 1, "at most 1"
    half = pictures([person(0, (0, 0, 100, 100)), person(0, (0, 50, 100, 100))])  # two rows of five in common, less
    assert crowd_index(half[0]) == pytest.approx((7 / 17 + 10 / 17) / 2)
    assert crowd_index(pictures([person(0, (0, 0, 90, 90))], crowdIndex=0.7)[0]) == 0.7
    crowd = [person(0, (0, 0, 90, 90)), person(0, (0, 0, 90, 90)) | {"iscrowd": 1}]
    assert crowd_index(pictures(crowd)[0]) == 0, "crowds are nobody"


def test_crowd_levels() -> None:
    people = [
        person(0, (0, 0, 90, 90)),
        person(1, (0, 0, 90, 90)),
        person(1, (0, 0, 90, 90)),
        person(2, (0, 0, 90, 90)),
    ]
    rows = by_crowd(pictures(people, wrong=(0,)))
    assert [row["level"] for row in rows] == ["easy", "medium", "hard"]
    assert [(row["images"], row["people"]) for row in rows] == [(2, 2), (0, 0), (1, 2)]
    assert [row["AR"] for row in rows] == pytest.approx([0.5, -1, 1])


def test_keypoints() -> None:
    people = [person(0, (0, 0, 100, 100)), person(1, (0, 0, 100, 100)), person(2, (0, 0, 100, 100))]
    people[1]["keypoints"][2] = 0  # no nose
    found = pictures(people, wrong=(2,))
    found[0].found[0, 0, 0] += 10  # the nose is out by a tenth of the person's size
    nose, eye = by_keypoint(found, COCO)[:2]
    assert (nose["labeled"], nose["unfound"], eye["labeled"], eye["unfound"]) == (1, 1, 2, 1)
    assert nose["distance"] == pytest.approx(10) and eye["distance"] == 0
    assert nose["similarity"] == pytest.approx(np.exp(-100 / (2 * 1e4 * 0.052**2)), abs=1e-6)
    assert (nose["good"], nose["near"], eye["good"], eye["near"]) == (0, 0, 1, 1)
    assert by_keypoint([], COCO)[0] == {"keypoint": "nose", "labeled": 0, "unfound": 0}


def test_calibration() -> None:
    people = [person(i, (0, 0, 100, 100)) for i in range(4)]
    table = calibration(pictures(people, wrong=(3,), scores={0: 0.95, 1: 1.2, 2: 0.55, 3: 0.52}))
    assert [row["results"] for row in table["bins"]] == [0, 0, 0, 0, 0, 2, 0, 0, 0, 2]
    last, middle = table["bins"][9], table["bins"][5]
    assert (last["score"], last["OKS"], last["right"]) == (pytest.approx(1.075), pytest.approx(1), 1)
    assert (middle["score"], middle["OKS"], middle["right"]) == (pytest.approx(0.535), pytest.approx(0.5), 0.5)
    assert table["ECE"] == pytest.approx((2 * 0.075 + 2 * 0.035) / 4, abs=1e-6) and table["results"] == 4
    crowd = calibration(pictures([person(0, (0, 0, 100, 100)) | {"iscrowd": 1}]))
    assert crowd["results"] == 0 and crowd["ECE"] == -1


def test_parts_of_random_sets_hold_everybody_once() -> None:
    labels, rows = crowded_set(5)
    found = pictures_of(rows, labels)[0]
    everybody = int(match(found).people[0].sum())
    for table in (by_size(found), by_people(found), by_crowd(found)):
        assert sum(row["people"] for row in table) == everybody
