from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.evaluate.coco import PROTOCOLS, coco_ap, crowdpose_ap, wholebody_ap
from edgepose.evaluate.labels import PARTS, named_skeleton
from edgepose.skeleton import AIC, COCO, COCO19, CROWDPOSE, WHOLEBODY
from tests.goldens import folder, golden

pytest.importorskip("hotcoco")
NAMES = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")


def labels_of(rng: np.random.Generator, pictures: int, skeleton: Any = COCO) -> dict[str, Any]:
    """Random people, some without labels, some crowds, some pictures empty."""
    images = [{"id": 7 * i, "width": 640, "height": 480, "file_name": f"{i}.jpg"} for i in range(pictures)]
    annotations = []
    for image in images:
        for _ in range(rng.integers(0, 4)):
            x, y, w, h = rng.uniform(0, 300), rng.uniform(0, 200), rng.uniform(20, 300), rng.uniform(20, 280)
            k = len(skeleton)
            points = np.stack([rng.uniform(x, x + w, k), rng.uniform(y, y + h, k), rng.integers(0, 3, k)], axis=-1)
            if rng.random() < 0.2:
                points[:] = 0
            annotations.append(
                {
                    "id": len(annotations),  # from 0, which pycocotools would miss
                    "image_id": image["id"],
                    "category_id": 1,
                    "bbox": [x, y, w, h],
                    "area": 0.5 * w * h,
                    "iscrowd": int(rng.random() < 0.1),
                    "num_keypoints": int((points[:, 2] > 0).sum()),
                    "keypoints": points.ravel().round(2).tolist(),
                }
            )
    category = {"id": 1, "name": "person", "keypoints": list(skeleton.names)}
    return {"images": images, "annotations": annotations, "categories": [category]}


def results_near(rng: np.random.Generator, labels: dict[str, Any], noise: float) -> list[dict[str, Any]]:
    rows = []
    for annotation in labels["annotations"]:
        for _ in range(rng.integers(0, 3)):
            points = np.array(annotation["keypoints"]).reshape(-1, 3)
            points[:, :2] += rng.normal(0, noise * rng.random(), points[:, :2].shape)
            points[:, 2] = rng.random(len(points))
            score = round(float(rng.random()), 1)  # with ties
            rows.append({"image_id": annotation["image_id"], "keypoints": points.ravel().tolist(), "score": score})
    return rows


def truth_as_results(labels: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"image_id": a["image_id"], "category_id": 1, "keypoints": a["keypoints"], "score": 1.0}
        for a in labels["annotations"]
        if a["num_keypoints"] and not a["iscrowd"]
    ]


def test_published_coco_figures() -> None:
    stats = golden("eval/coco_keypoints").arrays["c00.out.stats"]
    figures = coco_ap(folder() / "eval/coco_dt.json", folder() / "eval/coco_gt.json")
    assert np.allclose([figures[name] for name in NAMES], stats, atol=1e-9)
    assert figures["images"] == 14 and figures["people"] > 0


def test_published_crowdpose_figures() -> None:
    arrays = golden("eval/crowdpose_keypoints").arrays
    results, labels = folder() / "eval/crowdpose_dt.json", folder() / "eval/crowdpose_gt.json"
    figures = crowdpose_ap(results, labels)
    names = ("AP", "AP50", "AP75", "AR", "AR50", "AR75", "AP_easy", "AP_medium", "AP_hard")
    assert np.allclose([figures[name] for name in names], arrays["c00.out.stats"], atol=1e-9)
    by_mask = coco_ap(results, labels, sigmas=CROWDPOSE.sigmas)
    assert np.allclose([by_mask[name] for name in NAMES], arrays["c00.out.stats_with_coco_area_rule"], atol=1e-9)
    by_box = coco_ap(results, labels, sigmas=CROWDPOSE.sigmas, use_area=False)
    assert by_box["AP"] == figures["AP"]


def test_published_rescoring_and_suppression_end_to_end() -> None:
    """The surviving detections with their published scores give the published figures."""
    stored = golden("eval/topdown_rescore_nms")
    for case in stored.info["cases"]:
        arrays = {
            key: stored.arrays[entry.split()[0]] for part in ("inputs", "outputs") for key, entry in case[part].items()
        }
        rows = []
        for i, score in zip(arrays["kept"], arrays["kept_score"], strict=True):
            points = np.concatenate([arrays["keypoints"][i], arrays["keypoint_scores"][i, :, None]], axis=1)
            image_id = int(arrays["image"][i])
            rows.append({"image_id": image_id, "keypoints": points.ravel().tolist(), "score": float(score)})
        figures = coco_ap(rows, folder() / "eval/coco_gt.json")
        assert np.allclose([figures[name] for name in NAMES], arrays["stats"], atol=1e-6), case["id"]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.filterwarnings("ignore")  # of pycocotools
def test_random_results_equal_pycocotools(seed: int) -> None:
    reference = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(seed)
    labels = labels_of(rng, 12)
    rows = results_near(rng, labels, 30.0)
    figures = coco_ap(rows, labels)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = reference.COCO()
        truth.dataset = labels | {"annotations": [a | {"id": a["id"] + 1} for a in labels["annotations"]]}
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes([row | {"category_id": 1} for row in rows]), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert np.allclose([figures[name] for name in NAMES], evaluation.stats, atol=1e-6)


def test_the_truth_scores_one() -> None:
    labels = labels_of(np.random.default_rng(1), 20)
    figures = coco_ap(truth_as_results(labels), labels)
    assert all(np.isclose(figures[name], 1) for name in NAMES)
    expected = sum(a["num_keypoints"] > 0 and not a["iscrowd"] for a in labels["annotations"])
    assert figures["images"] == 20 and figures["people"] == expected


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nothing_found_is_zero_and_nobody_labelled_is_undefined(protocol: str) -> None:
    skeleton = CROWDPOSE if protocol == "crowdpose" else COCO
    labels = labels_of(np.random.default_rng(0), 5, skeleton)
    for image, index in zip(labels["images"], (0.1, 0.1, 0.5, 0.5, 0.5), strict=True):
        image["crowdIndex"] = index  # nothing is hard
    figures = PROTOCOLS[protocol]([], labels)
    assert figures["AP"] == figures["AR"] == 0 and figures["people"] > 0
    empty = labels | {"annotations": []}
    assert PROTOCOLS[protocol]([], empty)["AP"] == -1
    blank = [a | {"keypoints": [0] * len(a["keypoints"]), "num_keypoints": 0} for a in labels["annotations"]]
    figures = PROTOCOLS[protocol]([], labels | {"annotations": blank})
    assert figures["AP"] == -1 and figures["people"] == 0 and figures["images"] == 5


def test_only_some_pictures() -> None:
    rng = np.random.default_rng(2)
    labels = labels_of(rng, 10)
    rows = results_near(rng, labels, 20.0)
    some = {image["id"] for image in labels["images"][:4]}
    part = {
        "images": labels["images"][:4],
        "annotations": [a for a in labels["annotations"] if a["image_id"] in some],
        "categories": labels["categories"],
    }
    kept = [row for row in rows if row["image_id"] in some]
    assert coco_ap(rows, labels, image_ids=some) == coco_ap(kept, part)
    assert coco_ap(rows, labels, image_ids=some)["images"] == 4
    with pytest.raises(ValueError, match=r"no pictures with the ids \[5\]: 1 are unknown"):
        coco_ap(rows, labels, image_ids=[0, 5])


def test_annotations_with_more_keypoints_are_cut_to_the_results() -> None:
    """LSPET's 19 points begin with COCO's 17; whoever has only neck and head labelled is then nobody."""
    labels = labels_of(np.random.default_rng(3), 8, COCO19)
    labels["annotations"][0] |= {"keypoints": [0] * 51 + [5, 5, 2, 5, 9, 2], "num_keypoints": 2, "iscrowd": 0}
    rows = [row | {"keypoints": row["keypoints"][:51]} for row in truth_as_results(labels)[1:]]
    cut, whole = coco_ap(rows, labels), coco_ap(truth_as_results(labels), labels)
    assert np.isclose(cut["AP"], 1) and np.isclose(whole["AP"], 1) and cut["people"] == whole["people"] - 1


def test_sigmas_and_areas_can_be_stated() -> None:
    rng = np.random.default_rng(4)
    labels = labels_of(rng, 10, AIC)
    rows = results_near(rng, labels, 5.0)
    own = coco_ap(rows, labels)
    assert (
        own == coco_ap(rows, labels, sigmas=AIC.sigmas)
        and own["AP"] < coco_ap(rows, labels, sigmas=3 * AIC.sigmas)["AP"]
    )
    without = labels | {"annotations": [{k: v for k, v in a.items() if k != "area"} for a in labels["annotations"]]}
    assert coco_ap(rows, labels, use_area=False) == coco_ap(rows, without, use_area=False)
    assert coco_ap(rows, without) == coco_ap(rows, labels, use_area=False)
    areas = [0, None, -1] * len(labels["annotations"])
    nothing = labels | {"annotations": [a | {"area": areas[i]} for i, a in enumerate(labels["annotations"])]}
    assert coco_ap(rows, nothing) == coco_ap(rows, labels, use_area=False), "no area is as good as none stated"


def test_skeletons_are_known_by_their_names_however_written() -> None:
    assert named_skeleton([name.replace("_", " ").capitalize() for name in AIC.names]) is AIC
    assert named_skeleton([name.replace("top_head", "head") for name in CROWDPOSE.names]) is CROWDPOSE
    assert named_skeleton(["left_wing", "right_wing"]) is None and named_skeleton([]) is None


def test_whole_body_parts() -> None:
    rng = np.random.default_rng(5)
    labels = labels_of(rng, 6)
    real = [a for a in labels["annotations"] if a["num_keypoints"] and not a["iscrowd"]]
    labels["annotations"] = list({a["image_id"]: a for a in real}.values())  # one person a picture
    rows = []
    for annotation in labels["annotations"]:
        x, y, w, h = annotation["bbox"]
        row = {"image_id": annotation["image_id"], "score": 0.5, "keypoints": annotation["keypoints"]}
        for field, n in list(PARTS.values())[1:]:
            points = np.stack([rng.uniform(x, x + w, n), rng.uniform(y, y + h, n), np.full(n, 2)], axis=-1)
            row[field] = points.ravel().tolist()
            annotation[field] = (points * (1, 1, rng.random() < 0.7)).ravel().tolist()
        rows.append(row)
    joined = [
        {"image_id": r["image_id"], "score": 0.5, "keypoints": [v for field, _ in PARTS.values() for v in r[field]]}
        for r in rows
    ]
    figures = wholebody_ap(rows, labels)
    assert figures == wholebody_ap(joined, labels) and np.isclose(figures["AP"], 1)
    assert list(figures["parts"]) == list(PARTS)
    assert [round(part["AP"], 6) for part in figures["parts"].values()] == [1] * 5
    for row in joined:
        row["keypoints"] = [*row["keypoints"][:-63], *[1e4] * 63]
    figures = wholebody_ap(joined, labels)
    assert figures["parts"]["righthand"]["AP"] == 0 and np.isclose(figures["parts"]["face"]["AP"], 1)
    feet = sum(any(a["foot_kpts"][2::3]) and not a["iscrowd"] for a in labels["annotations"])
    assert figures["parts"]["foot"]["people"] == feet
    assert np.isclose(coco_ap(rows, labels, sigmas=COCO.sigmas)["AP"], figures["parts"]["body"]["AP"])
    assert len(WHOLEBODY) * 3 == len(joined[0]["keypoints"])
    with pytest.raises(ValueError, match="expected rows of 133 keypoints, or of keypoints, foot_kpts"):
        wholebody_ap(truth_as_results(labels), labels)


def test_files_are_read(tmp_path: Path) -> None:
    labels = labels_of(np.random.default_rng(6), 4)
    (tmp_path / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    (tmp_path / "results.json").write_text(json.dumps(truth_as_results(labels)), encoding="utf-8")
    assert np.isclose(coco_ap(tmp_path / "results.json", str(tmp_path / "labels.json"))["AP"], 1)


ROW = {"image_id": 0, "keypoints": [1.0] * 51, "score": 0.5}


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([{"image_id": 0, "score": 1.0}], r"row 0 lacks \['keypoints'\]"),
        ([ROW, ROW | {"score": float("nan")}], r"row 1 \(picture 0\) holds what is not a finite number"),
        ([ROW | {"keypoints": [float("inf")] * 51}], "not a finite number"),
        ([ROW | {"keypoints": None}], "not a finite number"),
        ([ROW | {"score": "high"}], "not a finite number"),
        ([ROW | {"image_id": 1}], "1 rows of pictures that the annotations lack, such as 1: give the annotations"),
        ([ROW, ROW | {"keypoints": [1.0] * 42}], r"rows of \[42, 51\] numbers, expected x, y, score"),
        ([ROW | {"keypoints": [1.0] * 42}], r"results of 14 keypoints do not fit annotations of coco \(17\)"),
        ([[1, 2]], "is not a list of results"),
    ],
)
def test_wrong_results(results: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        coco_ap(results, labels_of(np.random.default_rng(0), 3))


def test_wrong_files(tmp_path: Path) -> None:
    labels = labels_of(np.random.default_rng(0), 3)
    with pytest.raises(FileNotFoundError, match=r"missing\.json does not exist"):
        coco_ap(tmp_path / "missing.json", labels)
    broken = tmp_path / "broken.json"
    broken.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"broken\.json is not JSON"):
        coco_ap([], broken)
    with pytest.raises(ValueError, match="lacks `images` or `annotations`"):
        coco_ap([], {"images": []})
    unnamed = labels | {"categories": [{"id": 1, "name": "person"}]}
    assert coco_ap([], unnamed) == coco_ap([], labels)  # 17 keypoints are COCO's unless they say otherwise
    with pytest.raises(ValueError, match="name no known keypoints: pass sigmas"):
        coco_ap([ROW | {"keypoints": [1.0] * 63}], unnamed)
    with pytest.raises(ValueError, match="results of 17 keypoints do not fit 14 sigmas"):
        coco_ap([ROW], labels, sigmas=CROWDPOSE.sigmas)


def test_without_hotcoco_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hotcoco", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs hotcoco: pip install edgepose\[evaluate\]"):
        coco_ap([], labels_of(np.random.default_rng(0), 3))
