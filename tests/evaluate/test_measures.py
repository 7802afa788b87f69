"""`edgepose evaluate` on the original files of other data sets, with the embedded pose model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from edgepose.cli import app
from edgepose.codec.heatmap import Heatmap
from edgepose.evaluate import measures as library
from edgepose.evaluate.measures import Measures, prepared
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.load import load
from edgepose.skeleton import COCO
from edgepose.spec import ModelSpec
from tests.evaluate.test_coco import labels_of, truth_as_results
from tests.evaluate.test_run import write_set
from tests.goldens import folder
from tests.tiny import write_tiny_model

pytest.importorskip("hotcoco")

# File, pictures, protocol, people, labelled keypoints that a model of COCO's 17 does not find.
ORIGINALS = {
    "coco/test_coco.json": ("coco", "coco", 12, 0),
    "coco/test_coco_wholebody.json": ("coco", "coco", 12, 0),
    "crowdpose/test_crowdpose.json": ("crowdpose", "crowdpose", 4, 2),
    "aic/test_aic.json": ("aic", "coco", 9, 2),
    "ochuman/test_ochuman.json": ("ochuman", "coco", 5, 0),
    "ap10k/test_ap10k.json": ("ap10k", "coco", 2, 6),
    "halpe/test_halpe.json": ("coco", "coco", 12, 0),
    "mpii/test_mpii.json": ("mpii", "coco", 5, 4),
}


def scraps() -> Path:
    path = folder().parent / "data" / "scraps"
    if not path.is_dir():
        pytest.skip(f"the original annotation files are not in {path}")
    return path


def evaluated(labels: Path, pictures: Path, *more: str) -> tuple[dict[str, Any], str]:
    words = ["evaluate", "--model", "default-pose", "--data", str(labels), "--images", str(pictures), "--json", *more]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout), result.stderr


@pytest.mark.parametrize("name", ORIGINALS)
def test_the_original_files_give_figures(name: str) -> None:
    pictures, protocol, people, lacking = ORIGINALS[name]
    figures, told = evaluated(scraps() / name, scraps() / pictures, "--boxes", "gt", "--pck", "torso")
    assert (figures["protocol"], figures["people"]) == (protocol, people)
    assert len(figures.get("unmeasured", [])) == lacking and ("does not find" in told) == bool(lacking)
    assert 0 <= figures["AP"] <= 1 and 0 <= figures["AUC"] <= 1
    animals = name.startswith("ap10k")
    assert figures["AP50"] > (-1 if animals else 0), "somebody is found by a model of people"
    assert not set(figures["per_joint"]) & set(figures.get("unmeasured", []))


def test_mpii_has_its_own_measure(tmp_path: Path) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    path = tmp_path / "mpii_val.json"
    path.write_bytes((scraps() / "mpii" / "test_mpii.json").read_bytes())
    by_neck, _ = evaluated(path, scraps() / "mpii", "--pck", "head")
    assert by_neck["heads"] == "neck to top" and 0 < by_neck["PCKh@0.1"] < by_neck["PCKh"] <= 1
    boxes = np.zeros((2, 2, 5))
    boxes[1] = 1e4  # so large a head forgives everything
    scipy_io.savemat(tmp_path / "mpii_gt_val.mat", {"headboxes_src": boxes})
    by_box, _ = evaluated(path, scraps() / "mpii", "--pck", "head")
    assert by_box["heads"] == "boxes" and by_box["PCKh"] == by_box["PCKh@0.1"] == 1
    assert by_box["per_group"]["shoulder"] == 1 and by_box["per_group"]["head"] == -1, "COCO labels no neck"


def test_keypoints_of_their_own_are_read_and_what_is_missing_is_told() -> None:
    words = ["evaluate", "--model", "default-pose", "--data", str(scraps() / "mpii" / "test_mpii_trb.json")]
    result = CliRunner().invoke(app, [*words, "--images", str(scraps() / "mpii")])
    assert result.exit_code == 1
    note, error = result.stderr.splitlines()
    assert "AP counts with a sigma of 0.05 for every keypoint" in note
    assert error.startswith("error: person 26901 on picture 4645041 has no bbox of 4 numbers")


def test_the_body_of_people_labelled_as_a_whole_is_measured_as_cocos() -> None:
    labels = labels_of(np.random.default_rng(3), 6)
    for person in labels["annotations"]:
        person |= {"foot_kpts": [0] * 18, "face_kpts": [0] * 204, "lefthand_kpts": [0] * 63, "righthand_kpts": [0] * 63}
    rows = truth_as_results(labels)
    assert Measures().of("mine", rows, labels)["protocol"] == "coco"
    whole = [row | {"keypoints": [*row["keypoints"], *[0.0] * 3 * (133 - len(COCO))]} for row in rows]
    assert Measures().of("mine", whole, labels)["protocol"] == "wholebody"


def test_figures_of_a_file_are_those_of_its_rows(tmp_path: Path) -> None:
    labels = labels_of(np.random.default_rng(3), 6)
    real = [a for a in labels["annotations"] if a["num_keypoints"] and not a["iscrowd"]]
    labels["annotations"] = list({a["image_id"]: a for a in real}.values())  # PCK pairs them with their pictures
    rows = truth_as_results(labels)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    for measures in (Measures(), Measures(pck="torso"), Measures(bootstrap=5)):
        assert measures.of("mine", path, labels) == measures.of("mine", rows, labels)


def test_a_model_is_measured_from_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the report that was asked for, on spoiled pictures too, and not a word on any stream."""
    (tmp_path / "set").mkdir()
    labels = write_set(tmp_path / "set")
    model = load(write_tiny_model(tmp_path / "tiny.onnx"), threads=1)
    told: list[tuple[str, int, int]] = []
    measures = Measures(bootstrap=5, report=tmp_path / "reports", spoiled=True)
    figures, outcome = library.evaluated(
        "mine", prepared(model, False), labels, tmp_path / "set", "gt", measures, lambda *now: told.append(now)
    )
    assert capsys.readouterr() == ("", "")
    assert figures == Measures(bootstrap=5).of("mine", outcome.results, labels) | {"boxes": "gt"}
    report = json.loads((tmp_path / "reports" / "mine.json").read_text())
    assert (tmp_path / "reports" / "mine.md").is_file() and report["interval"] == figures["interval"]
    count = len(labels["images"])
    assert told[: count + 1] == [("mine", done, count) for done in range(count + 1)]
    spoiled = dict.fromkeys(what for what, _, _ in told[count + 1 :])
    assert next(iter(spoiled)).startswith("mine, ") and len(told) == (count + 1) * (1 + len(report["robustness"]))


class Maps:
    """A network of crops that sees the same heat-maps in everything."""

    def __init__(self, **codec_args: object) -> None:
        self.spec = ModelSpec("maps", "heatmap", (96, 128), codec_args=codec_args, per_person=True)
        self.maps = np.random.default_rng(0).random((1, 17, 32, 24), np.float32)

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        return [np.repeat(self.maps, len(batch), axis=0)]


@pytest.mark.parametrize(("kind", "published"), [("dark", False), ("msra", True)])
def test_the_flip_test_can_be_told_to_move_maps_or_not(kind: str, published: bool) -> None:
    image, box = np.zeros((128, 96, 3), np.uint8), np.array([[0.0, 0.0, 95.0, 127.0]])
    network = Maps(kind=kind)
    scores = {
        shift: Heatmap((96, 128), COCO, kind, flip_shift=shift)
        .merge_flipped([network.maps], [network.maps])[0]
        .max((2, 3))
        for shift in (False, True)
    }
    assert not np.allclose(scores[False], scores[True])
    for model, told, shift in (
        (network, None, published),
        (network, True, True),
        (network, False, False),
        (Maps(kind=kind, flip_shift=not published), None, not published),
    ):
        found = prepared(Estimator(model), True, flip_shift=told)(image, box)
        np.testing.assert_allclose(found.scores, scores[shift], rtol=1e-6)
    with pytest.raises(ValueError, match=r"codec distribution. has no heat-maps to move in the flip test"):
        prepared(load(), True, flip_shift=True)


def test_results_of_the_only_kind_are_of_the_labels_only_category(tmp_path: Path) -> None:
    labels = labels_of(np.random.default_rng(3), 6)
    rows = truth_as_results(labels)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    figures = library.evaluated_results(path, labels, Measures())
    for person in labels["annotations"]:
        person["category_id"] = 5
    labels["categories"][0]["id"] = 5
    again = library.evaluated_results(path, labels, Measures())
    assert "has results of category 1: taken for the labels' only one, 5" in again.pop("notes")[0]
    assert again == figures and figures["AP"] > 0.9
    labels["annotations"][0]["category_id"] = 6
    labels["categories"].append(labels["categories"][0] | {"id": 6})
    with pytest.raises(ValueError, match=r"nothing but results of category 1, the labels have 5, 6"):
        library.evaluated_results(path, labels, Measures())


def test_labels_of_nobody_are_not_measured(tmp_path: Path) -> None:
    labels = labels_of(np.random.default_rng(3), 6)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(truth_as_results(labels)), encoding="utf-8")
    for person in labels["annotations"]:
        person["keypoints"] = [0] * 51
    with pytest.raises(ValueError, match="nobody is labelled in the labels: none of its"):
        library.evaluated_results(path, labels, Measures())
