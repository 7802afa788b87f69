"""The matching in the open gives the figures of pycocotools and hotcoco, whole and in parts."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest

from edgepose.evaluate.coco import coco_ap, crowdpose_ap
from edgepose.evaluate.matching import MOST_FOUND, RANGES, match, pictures_of, with_found
from edgepose.skeleton import COCO, CROWDPOSE, Skeleton
from tests.goldens import folder

NAMES = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")
OURS = ("AP", "AP50", "AP75", "APM", "APL", "AR")


def crowded_set(seed: int, skeleton: Skeleton = COCO) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What goes wrong in evaluations: equal scores, equal OKS, crowds, people without keypoints, areas on the limits,
    pictures with nobody labelled, nobody found or more than 20 found, the same result twice."""
    rng = np.random.default_rng(seed)
    k = len(skeleton)
    images = [{"id": int(i), "width": 640, "height": 480, "file_name": f"{i}.jpg"} for i in rng.permutation(100)[:14]]
    annotations: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for place, image in enumerate(images):
        people = 0 if place == 0 else int(rng.integers(1, 7))
        for _ in range(people):
            x, y, w, h = rng.uniform(0, 300), rng.uniform(0, 200), rng.uniform(20, 200), rng.uniform(20, 200)
            points = np.stack([rng.uniform(x, x + w, k), rng.uniform(y, y + h, k), rng.integers(0, 3, k)], axis=-1)
            kind = rng.random()
            if kind < 0.15:
                points[:] = 0
            area = float(rng.choice([w * h / 2, 32**2, 96**2, 32**2 - 0.5, 96**2 + 0.5]))
            person = {
                "id": len(annotations) + 1, "image_id": image["id"], "category_id": 1, "bbox": [x, y, w, h],
                "area": area, "iscrowd": int(rng.random() < 0.15), "keypoints": points.round(1).ravel().tolist(),
                "num_keypoints": int((points[:, 2] > 0).sum()),
            }  # fmt: skip
            annotations.append(person)
            if rng.random() < 0.1:
                annotations.append(person | {"id": len(annotations) + 1})  # labelled twice: equal OKS
            for _ in range(0 if place == 1 else int(rng.integers(0, 9 if place == 2 else 4))):
                found = points.copy()
                found[:, :2] += rng.normal(0, 8 * rng.random(), (k, 2))
                if not points.any():
                    found[:, :2] = rng.uniform((x, y), (x + 2 * w, y + 2 * h), (k, 2))
                row = {"image_id": image["id"], "category_id": 1, "score": round(float(rng.random()), 1)}
                rows += [row | {"keypoints": found.round(1).ravel().tolist()}] * int(rng.integers(1, 3))
    for _ in range(30):  # strangers, all in one picture
        where = rng.uniform(0, 400, (k, 3))
        rows.append({"image_id": images[2]["id"], "category_id": 1, "score": 0.5, "keypoints": where.ravel().tolist()})
    rng.shuffle(rows)  # type: ignore[arg-type]
    category = {"id": 1, "name": "person", "keypoints": list(skeleton.names)}
    return {"images": images, "annotations": annotations, "categories": [category]}, rows


def reference(labels: dict[str, Any], rows: list[dict[str, Any]], sigmas: np.ndarray | None = None) -> list[float]:
    """pycocotools' ten figures."""
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO as Labels
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = Labels()
        truth.dataset = labels
        truth.createIndex()
        found = truth.loadRes(rows) if rows else Labels()
        if not rows:
            found.dataset = labels | {"annotations": []}
            found.createIndex()
        evaluation = COCOeval(truth, found, "keypoints")
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = sigmas
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.filterwarnings("ignore")  # of pycocotools
def test_both_equal_pycocotools(seed: int) -> None:
    pytest.importorskip("hotcoco")
    labels, rows = crowded_set(seed)
    assert max(np.bincount([row["image_id"] for row in rows])) > MOST_FOUND
    expected = dict(zip(NAMES, reference(labels, rows), strict=True))
    figures = coco_ap(rows, labels)
    assert [figures[name] for name in NAMES] == pytest.approx([expected[name] for name in NAMES], abs=1e-6)
    ours = match(pictures_of(rows, labels)[0]).figures()
    assert [ours[name] for name in OURS] == pytest.approx([expected[name] for name in OURS], abs=1e-9)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", ["nobody found", "nobody labelled", "only crowds", "no keypoints", "only small"])
def test_edges_equal_pycocotools(case: str) -> None:
    pytest.importorskip("hotcoco")
    labels, rows = crowded_set(1)
    if case == "nobody found":
        rows = []
    if case == "nobody labelled":
        labels = labels | {"annotations": []}
    change: dict[str, Any] = {
        "only crowds": {"iscrowd": 1}, "no keypoints": {"keypoints": [0] * 51, "num_keypoints": 0},
        "only small": {"area": 900.0},
    }.get(case, {})  # fmt: skip
    labels = labels | {"annotations": [a | change for a in labels["annotations"]]}
    expected = dict(zip(NAMES, reference(labels, rows), strict=True))
    figures, ours = coco_ap(rows, labels), match(pictures_of(rows, labels)[0]).figures()
    assert [figures[name] for name in NAMES] == pytest.approx([expected[name] for name in NAMES], abs=1e-6)
    assert [ours[name] for name in OURS] == pytest.approx([expected[name] for name in OURS], abs=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_crowdpose_is_coco_with_other_sigmas_areas_and_levels() -> None:
    """The tool's rules applied by pycocotools: 0.53 x box as area, levels from subsets of the pictures."""
    pytest.importorskip("hotcoco")
    labels, rows = crowded_set(3, CROWDPOSE)
    for i, image in enumerate(labels["images"]):
        image["crowdIndex"] = (0.0, 0.19, 0.2, 0.5, 0.79, 0.8, 1.0)[i % 7]
    areas = [0.53 * a["bbox"][2] * a["bbox"][3] for a in labels["annotations"]]
    boxed = [a | {"area": area} for a, area in zip(labels["annotations"], areas, strict=True)]
    expected = dict(zip(NAMES, reference(labels | {"annotations": boxed}, rows, CROWDPOSE.sigmas), strict=True))
    figures = crowdpose_ap(rows, labels)
    assert [figures[name] for name in NAMES] == pytest.approx([expected[name] for name in NAMES], abs=1e-6)
    ours = match(pictures_of(rows, labels, "crowdpose")[0]).figures()
    assert [ours[name] for name in OURS] == pytest.approx([expected[name] for name in OURS], abs=1e-9)
    for name, (low, high) in {"AP_easy": (-1, 0.2), "AP_medium": (0.2, 0.8), "AP_hard": (0.8, 9)}.items():
        kept = {image["id"] for image in labels["images"] if low <= image["crowdIndex"] < high}
        part = {
            "images": [image for image in labels["images"] if image["id"] in kept],
            "annotations": [a for a in boxed if a["image_id"] in kept], "categories": labels["categories"],
        }  # fmt: skip
        stats = reference(part, [row for row in rows if row["image_id"] in kept], CROWDPOSE.sigmas)
        assert figures[name] == pytest.approx(stats[0], abs=6e-5), name


def test_the_published_case() -> None:
    results, labels = folder() / "eval/crowdpose_dt.json", folder() / "eval/crowdpose_gt.json"
    ours = match(pictures_of(results, labels, "crowdpose")[0]).figures()
    assert ours["AP"] == pytest.approx(0.28508811700443515, abs=1e-12)
    assert ours["AR"] == pytest.approx(0.6096774193548387)


@pytest.mark.parametrize("seed", range(3))
def test_weights_count_pictures_as_often_as_they_say(seed: int) -> None:
    """As if the pictures were there that often, which is what a resample is (scores differ: ties have an order)."""
    labels, rows = crowded_set(seed)
    rows = [row | {"score": row["score"] + 1e-4 * i} for i, row in enumerate(rows)]
    weights = np.random.default_rng(seed).integers(0, 4, len(labels["images"]))
    images, annotations, results = [], [], []
    in_order = sorted(labels["images"], key=lambda image: image["id"])
    for copy in range(3):
        for image, weight in zip(in_order, weights, strict=True):
            if copy >= weight:
                continue
            identity = 10 * image["id"] + copy  # copies beside each other
            images.append(image | {"id": identity})
            annotations += [a | {"image_id": identity} for a in labels["annotations"] if a["image_id"] == image["id"]]
            results += [row | {"image_id": identity} for row in rows if row["image_id"] == image["id"]]
    copied = labels | {"images": images, "annotations": annotations}
    expected = match(pictures_of(results, copied)[0]).figures()
    assert match(pictures_of(rows, labels)[0]).figures(weights) == pytest.approx(expected, abs=1e-12)
    assert set(match(pictures_of(rows, labels)[0]).figures(0 * weights).values()) == {-1.0}


def test_nothing_at_all() -> None:
    assert match([]).figures() == dict.fromkeys(OURS, -1.0)
    labels, _ = crowded_set(0)
    assert set(match(pictures_of([], labels)[0]).figures().values()) == {0.0}


def test_other_results_for_the_same_people() -> None:
    labels, rows = crowded_set(4)
    picture = max(pictures_of(rows, labels)[0], key=lambda p: len(p.scores) * bool(len(p.labelled)))
    again = with_found(picture, picture.found[::-1], picture.scores[::-1], picture.rows[::-1])
    assert (np.diff(again.scores) <= 0).all() and sorted(again.rows) == sorted(picture.rows)
    assert match([again], ranges=RANGES[:1]).person.shape == (1, 10, len(picture.scores))


def test_what_cannot_be_matched() -> None:
    labels, rows = crowded_set(0)
    with pytest.raises(ValueError, match="17 keypoints do not fit crowdpose"):
        pictures_of(rows, labels, "crowdpose")
    labels["annotations"][0]["category_id"] = 2
    labels["categories"].append({"id": 2, "name": "dog"})
    with pytest.raises(ValueError, match="of 2 categories, a report is of one"):
        pictures_of(rows, labels)
