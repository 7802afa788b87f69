"""Results files that hotcoco reads by itself give the figures of their rows; all others are read row by row."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.evaluate.coco import coco_ap, crowdpose_ap
from edgepose.evaluate.matching import match, pictures_of
from edgepose.evaluate.result_file import ResultFile, plain_results
from edgepose.skeleton import COCO, CROWDPOSE
from tests.evaluate.test_coco import NAMES, labels_of, results_near

pytest.importorskip("hotcoco")
KNOWN = {0, 7, 14}


def row(**changes: Any) -> dict[str, Any]:
    return {"image_id": 7, "category_id": 1, "keypoints": [1.5] * 51, "score": 0.5} | changes


def written(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def numbered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"category_id": 1} | row for row in rows]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":")])
def test_a_file_gives_the_figures_of_its_rows(tmp_path: Path, seed: int, separators: tuple[str, str]) -> None:
    rng = np.random.default_rng(seed)
    labels = labels_of(rng, 12)
    rows = numbered(results_near(rng, labels, 30.0))
    path = written(tmp_path / "results.json", json.dumps(rows, separators=separators))
    assert plain_results(path, {image["id"] for image in labels["images"]}) == ResultFile(path, len(rows), len(COCO))
    assert coco_ap(path, labels) == coco_ap(rows, labels)
    assert coco_ap(path, written(tmp_path / "labels.json", labels)) == coco_ap(rows, labels)


def test_crowdpose_by_level_from_a_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    labels = labels_of(rng, 12, CROWDPOSE)
    for image, index in zip(labels["images"], np.linspace(0, 0.7, 12), strict=True):
        image["crowdIndex"] = index  # none is hard
    rows = numbered(results_near(rng, labels, 20.0))
    figures = crowdpose_ap(written(tmp_path / "results.json", rows), labels)
    assert figures == crowdpose_ap(rows, labels) and figures["AP_hard"] == -1
    easy = [image["id"] for image in labels["images"] if image["crowdIndex"] < 0.2]
    of_easy = coco_ap(rows, labels, image_ids=easy, use_area=False)
    assert figures["AP_easy"] == pytest.approx(of_easy["AP"], abs=1e-4) and figures["AP_easy"] > 0


@pytest.mark.parametrize(
    "rows",
    [
        [],
        {},
        [row(score=None)],
        [row(image_id=8)],
        [row(image_id="7")],
        [row(keypoints=[1.5] * 50)],
        [row(), row(keypoints=[1.5] * 48)],
        [row(keypoints=[])],
        [row(keypoints=[[1.5] * 51])],
        [row(bbox=[0, 0, 9])],
        [row(bbox=[0, 0, 9, 9]), row()],
        [row(id=4)],
        [row(area=7.0)],
        [row(person={"name": "x"})],
        [{"image_id": 7, "category_id": 1, "keypoints": [1.5] * 51, "rank": 1}],
        {"rows": [row()]},
        [[row()]],
    ],
    ids=str,
)
def test_whatever_is_unusual_is_left_to_who_reads_rows(tmp_path: Path, rows: Any) -> None:
    assert plain_results(written(tmp_path / "results.json", rows), KNOWN) is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(), row(score=float("nan"))], r"results\.json: row 1 \(picture 7\) holds what is not a finite number"),
        ([row(keypoints=[1.5] * 50 + [float("inf")])], r"row 0 \(picture 7\) holds what is not a finite number"),
        ([row(keypoints=["a"] * 51)], "holds what is not a finite number"),
        ([row(score="high")], "holds what is not a finite number"),
        ([row(image_id=8)], "1 rows of pictures that the annotations lack, such as 8"),
        ([row(), row(keypoints=[1.5] * 48)], r"rows of \[48, 51\] numbers"),
        ([row(keypoints=[1.5] * 42)], r"results of 14 keypoints do not fit annotations of coco"),
        ([row(bbox=[1, 2, 3, 4]), row()], r"row 1 lacks \['bbox'\]"),
        ([row(bbox=[1, 2, 3])], r"boxes of \[3\] numbers, expected x, y, w, h"),
        ([{"image_id": 7, "category_id": 1, "keypoints": [1.5] * 51, "rank": 1}], r"row 0 lacks \['score'\]"),
        ("[{", r"results\.json is not JSON .*: expected a COCO-style results file"),
    ],
)
def test_what_is_wrong_is_named_as_for_rows(tmp_path: Path, rows: Any, message: str) -> None:
    labels = labels_of(np.random.default_rng(0), 3)
    with pytest.raises(ValueError, match=message):
        coco_ap(written(tmp_path / "results.json", rows), labels)


@pytest.mark.parametrize("more", [{"annotation_id": 3}, {"bbox": [1, 2, 3, 4]}, {"file": '{"score": null} '}], ids=str)
def test_other_fields_do_not_make_it_slow(tmp_path: Path, more: dict[str, Any]) -> None:
    path = written(tmp_path / "results.json", [row(**more), row(score=0.1) | more])
    assert plain_results(path, KNOWN) == (None if "file" in more else ResultFile(path, 2, 17)), "a brace is in doubt"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.filterwarnings("ignore")  # of pycocotools
def test_results_with_boxes_have_their_size_as_in_pycocotools(tmp_path: Path, seed: int) -> None:
    reference = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(seed)
    labels = labels_of(rng, 12)
    labels["annotations"] = [a | {"id": a["id"] + 1} for a in labels["annotations"]]
    rows = numbered(results_near(rng, labels, 30.0))
    rows = [r | {"bbox": [5.0, 5.0, *rng.uniform(1, 200, 2).tolist()]} for r in rows]
    path = written(tmp_path / "results.json", rows)
    assert plain_results(path, {image["id"] for image in labels["images"]}) is not None
    figures = coco_ap(path, labels)
    assert figures == coco_ap(rows, labels)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = reference.COCO()
        truth.dataset = labels
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes([dict(r) for r in rows]), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    np.testing.assert_allclose([figures[name] for name in NAMES], evaluation.stats, atol=1e-6)
    without = coco_ap([{k: v for k, v in r.items() if k != "bbox"} for r in rows], labels)
    assert any(figures[name] != without[name] for name in ("APM", "APL", "ARM", "ARL"))
    ours = match(pictures_of(rows, labels)[0]).figures()
    np.testing.assert_allclose([ours[name] for name in NAMES[:6]], evaluation.stats[:6], atol=1e-6)
