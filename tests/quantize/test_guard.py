from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepose.quantize.calibration import Calibration
from edgepose.quantize.guard import Guard
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.load import load
from edgepose.runtime.network import Network
from edgepose.spec import ModelSpec
from tests.quantize.small import spot, write_small_model, write_spots


class Moved:
    """A network whose heat-maps are those of another, a number of cells further right, on some of its calls."""

    def __init__(self, network: Network, cells: int, every: int = 1) -> None:
        self.network, self.cells, self.every, self.calls = network, cells, every, 0

    @property
    def spec(self) -> ModelSpec:
        return self.network.spec

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        self.calls += 1
        shift = self.cells if self.calls % self.every == 0 else 0
        return [np.roll(output, shift, axis=3) for output in self.network(batch)]


@pytest.fixture
def estimator(tmp_path: Path) -> Estimator:
    return load(write_small_model(tmp_path / "small.onnx"))


def held(count: int) -> Calibration:
    return Calibration([], [spot(i)[0] for i in range(count)], [f"{i}.png" for i in range(count)], "")


def test_the_float32_file_itself_holds(estimator: Estimator) -> None:
    guard = Guard(estimator, held(10), None, "", 1.0)
    verdict = guard.judge(estimator.network)
    assert (verdict.agreement, verdict.ap, verdict.holds) == (1.0, None, True)
    assert guard.people == 10


def test_without_labels_it_takes_an_agreement_of_98_hundredths(estimator: Estimator) -> None:
    guard = Guard(estimator, held(50), None, "", 1.0)
    lost = guard.judge(Moved(estimator.network, 6, every=25))  # two of 50 people are elsewhere: 48 / 52
    assert lost.agreement == pytest.approx(48 / 52)
    assert lost.reason == "agreement with the float32 file is 0.923, expected 0.98 or more"
    assert guard.judge(Moved(estimator.network, 6, every=60)).holds


def test_with_labels_the_points_of_ap_decide(tmp_path: Path, estimator: Estimator) -> None:
    pytest.importorskip("hotcoco")
    labels = write_spots(tmp_path / "spots", 20)
    few = Guard(estimator, held(10), labels, tmp_path / "spots", 1.0)
    assert few.labelled == 10  # the other ten pictures are not held out
    assert few.ap == pytest.approx(1, abs=0.05)
    same = few.judge(estimator.network)
    assert same.ap == few.ap and same.holds
    worse = few.judge(Moved(estimator.network, 6))
    assert worse.ap is not None and worse.ap < 0.2 and worse.agreement < 0.2
    assert worse.reason.startswith("AP falls by ") and "expected 1 or less" in worse.reason
    patient = Guard(estimator, held(10), labels, tmp_path / "spots", 100)
    assert patient.judge(Moved(estimator.network, 6)).holds  # labels count, not the agreement


def test_labels_of_other_pictures_are_refused(tmp_path: Path, estimator: Estimator) -> None:
    labels = write_spots(tmp_path / "spots", 5)
    other = Calibration([], [spot(9)[0]], ["elsewhere/9.png"], "")
    with pytest.raises(ValueError, match="nobody on the 1 held-out pictures"):
        Guard(estimator, other, labels, tmp_path / "spots", 1.0)


def test_nobody_to_judge_by_is_an_error(tmp_path: Path) -> None:
    nobody = load(write_small_model(tmp_path / "small.onnx"), min_box_score=0.99).replace(max_people=0)
    with pytest.raises(ValueError, match="finds nobody on 3 held-out pictures"):
        Guard(nobody, held(3), None, "", 1.0)
