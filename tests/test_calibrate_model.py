"""`training/calibrate.py`: what is fitted goes into every file of the model, and only into those."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("torch")

from edgepose.evaluate.calibrate import Measured, Outcomes
from edgepose.quantize.card import beside, card_in
from edgepose.runtime.load import WEIGHTS, open_model
from edgepose.scores import Calibration
from edgepose.spec import ModelSpec
from edgepose.train import checkpoint
from training import calibrate

MADE = Calibration(person=((0.0, 0.0), (0.3, 0.5)), keypoint=((0.0, 0.0), (0.6, 0.7)))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The packaged files in a folder of their own, with a fit that is known."""
    for file in WEIGHTS.iterdir():
        if file.name.startswith("default-pose"):
            shutil.copyfile(file, tmp_path / file.name)
    shutil.copyfile(tmp_path / "default-pose-int8.onnx", tmp_path / "default-pose-strange.onnx")  # of other weights
    model = calibrate.onnx.load(str(tmp_path / "default-pose-strange.onnx"))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    card = json.loads(metadata[calibrate.KEY]) | {"source_sha256": "0" * 64}
    calibrate.described(model, metadata | {calibrate.KEY: json.dumps(card)})
    (tmp_path / "default-pose-strange.onnx").write_bytes(model.SerializeToString())

    def fitted(estimator: Any, *_: Any) -> ModelSpec:
        return dataclasses.replace(estimator.spec, calibration=MADE, box_exponent=0.25)

    monkeypatch.setattr(calibrate, "fitted", fitted)
    monkeypatch.setattr(calibrate, "_set", lambda data: ({}, Path()))
    return tmp_path


def test_every_file_of_the_model_has_it_and_nothing_else_changes(weights: Path) -> None:
    strange = (weights / "default-pose-strange.onnx").read_bytes()
    before = {name: open_model(weights / f"{name}.onnx") for name in ("default-pose", "default-pose-int8")}
    spec = calibrate.calibrate(weights / "default-pose.onnx", "LABELS.json:PICTURES")
    assert spec.calibration == MADE
    views = np.random.default_rng(0).integers(0, 256, (1, 256, 192, 3), np.uint8)
    for name, network in before.items():
        after = open_model(weights / f"{name}.onnx")
        assert after.spec == dataclasses.replace(network.spec, calibration=MADE, box_exponent=0.25)
        assert np.array_equal(after(views)[0], network(views)[0])
    card = card_in(weights / "default-pose-int8.onnx")
    assert card is not None and card["source_sha256"] == digest(weights / "default-pose.onnx")
    assert json.loads(beside(weights / "default-pose-int8.onnx").read_text(encoding="utf-8")) == card
    assert (weights / "default-pose-strange.onnx").read_bytes() == strange
    trained = checkpoint.network_of(weights / "default-pose.safetensors")[0]  # an export of which is calibrated too
    assert trained.calibration == MADE and trained.box_exponent == 0.25


def test_the_packaged_pose_models_are_calibrated_alike() -> None:
    specs = [open_model(name).spec for name in ("default-pose", "default-pose-int8")]
    assert specs[0].calibration is not None and specs[0] == specs[1]
    assert checkpoint.network_of(WEIGHTS / "default-pose.safetensors")[0].calibration == specs[0].calibration


def test_the_report_is_a_table(weights: Path) -> None:
    people = Outcomes(np.array([0.05, 0.55, 0.9]), np.array([False, True, True]), 4)
    text = calibrate.table(Measured(people, Outcomes(np.array([0.95]), np.array([True]), 1)), 0.5)
    assert "| 0.5 to 0.6 | 1 | 0.55 | 1.00 | 0 | - | - |" in text
    assert "people from 0.5 on: precision 1.000, recall 0.500 (4 labelled)" in text


@pytest.mark.parametrize(
    "words", [[], ["default-pose"], ["m", "a:b", "c:d", "e:f"], ["m", "a:b", "c:d", "--only-report"]]
)
def test_wrong_use_says_how(words: list[str]) -> None:
    with pytest.raises(SystemExit, match=r"python training/calibrate\.py MODEL CHOOSING"):
        calibrate.main(words)
