from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgepose.poses import Poses
from edgepose.quantize import calibration
from edgepose.quantize.calibration import Calibration, chosen
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.load import load
from edgepose.runtime.session import Session
from tests.quantize.small import SIZE, spot, write_small_model, write_spots
from tests.tiny import write_tiny_model


def quiet(what: str, done: int, total: int) -> None:
    assert done <= total, what


@pytest.fixture
def estimator(tmp_path: Path) -> Estimator:
    return load(write_small_model(tmp_path / "small.onnx"))


def looked_at(folder: Path, estimator: Estimator, labels: dict | None = None) -> Calibration:
    return chosen(folder, estimator, labels, quiet)


def test_every_fifth_picture_is_held_out_whatever_the_order(tmp_path: Path, estimator: Estimator) -> None:
    write_spots(tmp_path / "spots", 30)
    found = looked_at(tmp_path / "spots", estimator)
    assert len(found.held) == len(found.names) == 6
    assert len(found.batches) == found.views == 24
    assert [batch.shape for batch in found.batches] == [(1, SIZE[1], SIZE[0], 3)] * 24
    held = {Path(name).name for name in found.names}
    seen = [spot(i)[0] for i in range(30) if f"{i}.png" not in held]  # a letterbox of its own size changes nothing
    assert sorted(batch.tobytes() for batch in found.batches) == sorted(image.tobytes() for image in seen)
    assert any("judged on 6 held-out pictures" in note for note in found.notes)


def test_the_digest_is_of_what_is_on_the_pictures(tmp_path: Path, estimator: Estimator) -> None:
    write_spots(tmp_path / "a", 30)
    write_spots(tmp_path / "b", 30)
    same = looked_at(tmp_path / "b", estimator).digest
    assert looked_at(tmp_path / "a", estimator).digest == same
    held = looked_at(tmp_path / "b", estimator).names
    changed = next(path for path in sorted((tmp_path / "b").iterdir()) if str(path) not in held)
    cv2.imwrite(str(changed), 255 - cv2.imread(str(changed)))
    assert looked_at(tmp_path / "b", estimator).digest != same


def test_too_few_are_refused(tmp_path: Path, estimator: Estimator) -> None:
    write_spots(tmp_path / "five", 5)
    with pytest.raises(
        ValueError, match="has 5 different pictures with something on them to calibrate on, expected 25"
    ):
        looked_at(tmp_path / "five", estimator)
    write_spots(tmp_path / "enough", 25)
    assert len(looked_at(tmp_path / "enough", estimator).batches) == 20


def test_one_gray_picture_is_refused_however_often_it_is_there(tmp_path: Path, estimator: Estimator) -> None:
    (tmp_path / "gray").mkdir()
    for i in range(40):
        cv2.imwrite(str(tmp_path / "gray" / f"{i}.png"), np.full((64, 48, 3), 128, np.uint8))
    with pytest.raises(ValueError, match=r"has 0 different pictures .* \(40 pictures are of one color"):
        looked_at(tmp_path / "gray", estimator)


def test_copies_of_one_picture_are_one(tmp_path: Path, estimator: Estimator) -> None:
    (tmp_path / "copies").mkdir()
    for i in range(40):
        cv2.imwrite(str(tmp_path / "copies" / f"{i}.png"), spot(0)[0])
    with pytest.raises(ValueError, match=r"has 1 different pictures .* \(39 pictures are copies"):
        looked_at(tmp_path / "copies", estimator)


def test_damaged_pictures_are_left_out_and_told(tmp_path: Path, estimator: Estimator) -> None:
    write_spots(tmp_path / "spots", 30)
    (tmp_path / "spots" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    found = looked_at(tmp_path / "spots", estimator)
    assert len(found.held) + len(found.batches) == 29
    assert any(note.startswith("1 pictures cannot be read") for note in found.notes)


def found_on(share: float, count: int = 3, best: float = 0.9) -> Estimator:
    """A per-person model whose detector finds people on the first pictures that it is shown, `share` of 40."""
    shown = 0

    def detector(image: np.ndarray) -> Poses:
        nonlocal shown
        shown += 1
        n = count if shown <= share * 40 else 0
        boxes = np.array([[4, 4, 20 + i, 40] for i in range(n)]).reshape(n, 4)
        return Poses.of_boxes(boxes, np.linspace(0.3, best, n))

    return Estimator(Session(write_tiny_model(PER_PERSON[0], per_person=True)), detector)


PER_PERSON: list[Path] = []


@pytest.fixture(autouse=True)
def place(tmp_path: Path) -> None:
    PER_PERSON[:] = [tmp_path / "person.onnx"]


def test_pictures_of_something_else_are_refused(tmp_path: Path) -> None:
    write_spots(tmp_path / "spots", 40)
    with pytest.raises(ValueError, match="it finds somebody on 19 of 40 pictures, expected half"):
        looked_at(tmp_path / "spots", found_on(19 / 40))
    with pytest.raises(ValueError, match="it finds somebody on 0 of 40 pictures"):
        looked_at(tmp_path / "spots", found_on(0))
    with pytest.raises(ValueError, match="it finds somebody on 0 of 40 pictures"):
        looked_at(tmp_path / "spots", found_on(1, best=0.49))  # boxes that are none too sure


def test_pictures_with_people_alone_calibrate_and_must_be_enough(tmp_path: Path) -> None:
    write_spots(tmp_path / "spots", 40)
    found = looked_at(tmp_path / "spots", found_on(1, count=3))
    assert len(found.batches) == 32 and found.views == 96
    with pytest.raises(ValueError, match=r"has (1\d) pictures with somebody on them .* expected 20"):
        looked_at(tmp_path / "spots", found_on(21 / 40))


def test_crops_are_those_of_the_surest_and_no_more_than_a_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "CROPS", 2)
    write_spots(tmp_path / "spots", 30)
    estimator = found_on(1, count=3)
    found = looked_at(tmp_path / "spots", estimator)
    assert {len(batch) for batch in found.batches} == {2}
    held = {Path(name).name for name in found.names}
    images = [spot(i)[0] for i in range(30) if f"{i}.png" not in held]
    boxes = np.array([[4, 4, 22, 40], [4, 4, 21, 40]])  # the third, then the second
    crops = [estimator.views.crops([image] * 2, estimator.views.matrices(boxes)).tobytes() for image in images]
    assert sorted(batch.tobytes() for batch in found.batches) == sorted(crops)


def test_labelled_boxes_come_before_the_detectors(tmp_path: Path) -> None:
    labels = write_spots(tmp_path / "spots", 30)
    estimator = found_on(0)  # finds nobody
    found = looked_at(tmp_path / "spots", estimator, labels)
    assert found.views == 24
    held = {Path(name).name for name in found.names}
    images = [spot(i)[0] for i in range(30) if f"{i}.png" not in held]
    matrices = estimator.views.matrices(np.array([[0, 0, *SIZE]]))
    crops = [estimator.views.crops([image], matrices).tobytes() for image in images]
    assert sorted(batch.tobytes() for batch in found.batches) == sorted(crops)


def test_large_pictures_are_scaled_down(tmp_path: Path, estimator: Estimator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "LONGEST", 32)
    write_spots(tmp_path / "spots", 30)
    assert {picture.shape for picture in looked_at(tmp_path / "spots", estimator).held} == {(32, 24, 3)}


def test_pictures_beyond_those_that_are_needed_are_held_out_or_passed_over(
    tmp_path: Path, estimator: Estimator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "MOST", 20)
    write_spots(tmp_path / "spots", 110)
    found = looked_at(tmp_path / "spots", estimator)
    assert (len(found.batches), len(found.held)) == (20, 20)  # of the first hundred
