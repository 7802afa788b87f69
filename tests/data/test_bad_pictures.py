"""Pictures that are missing or broken: named, and skipped or refused as asked, also while training."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgepose.cli import app
from edgepose.codec import codec_of
from edgepose.codec.anchors import Anchors
from edgepose.codec.simcc import SimCC
from edgepose.data.coco import read_coco
from edgepose.data.crops import Crops
from edgepose.data.detection import Detections, read_boxes
from edgepose.data.images import Pictures
from edgepose.data.mosaics import Mosaics, read_mosaics
from edgepose.data.whole import Whole, read_whole
from edgepose.skeleton import COCO
from edgepose.spec import ModelSpec


@pytest.fixture
def data(tmp_path: Path) -> tuple[Path, Path]:
    """Four pictures with one person each: 0 and 3 fine, 1 broken, 2 missing."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    image = np.random.default_rng(0).integers(0, 255, (60, 50, 3), np.uint8)
    for i in (0, 3):
        cv2.imwrite(str(folder / f"{i}.png"), image)
    (folder / "1.png").write_bytes((folder / "0.png").read_bytes()[:500])
    people = [{"id": i + 1, "image_id": i, "category_id": 1, "bbox": [5, 5, 30, 40], "keypoints": [9, 9, 2] * 17}
              for i in range(4)]  # fmt: skip
    images = [{"id": i, "file_name": f"{i}.png", "width": 50, "height": 60} for i in range(4)]
    category = {"id": 1, "name": "person", "keypoints": list(COCO.names)}
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"images": images, "annotations": people, "categories": [category]}))
    return labels, folder


def test_missing_pictures_are_refused_or_left_out_by_name(data: tuple[Path, Path]) -> None:
    people = read_coco(*data)
    with pytest.raises(FileNotFoundError, match=r"lacks 1 of 4 labelled pictures, such as 2\.png"):
        people.held()
    held, missing = people.held("skip")
    assert missing == ["2.png"] and held.ids.tolist() == [1, 2, 4]
    with pytest.raises(ValueError, match="expected one of"):
        people.held("ignore")


def test_broken_pictures_are_replaced_by_the_next_and_named(data: tuple[Path, Path]) -> None:
    people = read_coco(*data).held("skip")[0]
    spec, codec = ModelSpec("t", "simcc", (48, 64), per_person=True), SimCC((48, 64))
    rows = np.arange(3)
    with pytest.raises(ValueError, match=r"1\.png of .*pictures"):
        Crops(people, spec, codec).batch((0,), rows, 1)
    samples = Crops(people, spec, codec, on_bad="skip")
    images, targets = samples.batch((0,), rows, 0)
    assert targets["skipped"] == ["1.png"] and images.shape == (3, 64, 48, 3)
    np.testing.assert_array_equal(images[1], images[2])
    again, _ = samples.batch((0,), rows, 0)
    np.testing.assert_array_equal(images, again)
    assert "skipped" not in samples.batch((0,), rows[[0, 2]], 0)[1]
    with pytest.raises(ValueError, match="not one of the 1 pictures"):
        Crops(people[1:2], spec, codec, on_bad="skip").batch((0,), np.arange(1), 0)


def test_a_detectors_pictures_too(data: tuple[Path, Path]) -> None:
    records = read_boxes(*data)
    with pytest.raises((ValueError, FileNotFoundError)):
        Detections(records, 64).batch((0,), range(4), 2)
    samples = Detections(records, 64, on_bad="skip")
    images, targets = samples.batch((0,), range(4), 0)
    assert len(images) == 4 and set(targets["skipped"]) == {"1.png", "2.png"} and len(targets["boxes"]) == 4
    assert "skipped" not in samples.batch((0,), [0, 3], 0)[1]
    with pytest.raises(ValueError, match="not one of the 2 pictures"):
        Detections(records[1:3], 64, on_bad="skip").batch((0,), range(2), 0)
    with pytest.raises(ValueError, match="expected one of"):
        Detections(records, 64, on_bad="never mind")


def test_zips_are_searched_by_the_end_of_the_path(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for name in ("set/a/1.jpg", "set/b/1.jpg", "set/b/2.jpg"):
            file.writestr(name, name)
    pictures = Pictures(tmp_path / "a.zip")
    assert pictures.data("2.jpg") == pictures.data("b/2.jpg") == b"set/b/2.jpg" and pictures.data("a/1.jpg")
    assert pictures.missing(["a/1.jpg", "c/1.jpg", "2.jpg"]) == ["c/1.jpg"]
    with pytest.raises(ValueError, match=r"holds '1\.jpg' 2 times"):
        pictures.data("1.jpg")


def test_a_damaged_member_of_a_zip_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("1.jpg", bytes(range(256)) * 40)
    content = bytearray(path.read_bytes())
    content[60:80] = bytes(20)
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"1\.jpg of .*a\.zip: it cannot be unpacked"):
        Pictures(path).read("1.jpg")


SPEC = ModelSpec("w", "associative", (96, 64), warp="udp")


def of_whole_pictures(kind: str, labels: Path, folder: Path, on_bad: str = "refuse") -> Whole | Mosaics:
    if kind == "whole":
        return read_whole([(labels, folder, 1)], COCO, SPEC, codec_of(SPEC), 0.5, on_bad=on_bad)
    return read_mosaics([(labels, folder, 1)], COCO, Anchors((128, 96)), on_bad)


@pytest.mark.parametrize("kind", ["whole", "mosaics"])
def test_whole_pictures_too(data: tuple[Path, Path], kind: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"lacks 1 of 4 labelled pictures, such as 2\.png"):
        of_whole_pictures(kind, *data)
    samples = of_whole_pictures(kind, *data, "skip")
    assert samples.missing == ("2.png",) and samples.rows.tolist() == [0, 1, 3]
    images, targets = samples.batch((0,), np.arange(3), 0)
    assert targets["skipped"] == ["1.png"]
    np.testing.assert_array_equal(images[1], images[2])
    for name, column in targets.items():
        if name != "skipped":
            np.testing.assert_array_equal(column[1], column[2])
    assert set(samples.batch((0,), np.arange(3), 1)[1].get("skipped", [])) == {"1.png"}
    assert "skipped" not in samples.batch((0,), np.array([0, 2]), 0)[1]
    (data[1] / "2.png").write_bytes((data[1] / "0.png").read_bytes())
    with pytest.raises(ValueError, match=r"1\.png of .*pictures"):
        of_whole_pictures(kind, *data).batch((0,), np.arange(4), 0)
    for name in ("0.png", "2.png", "3.png"):
        (data[1] / name).unlink()
    with pytest.raises(ValueError, match="not one of the 1 pictures can be read"):
        of_whole_pictures(kind, *data, "skip").batch((0,), np.arange(1), 0)
    (data[1] / "1.png").unlink()
    with pytest.raises(ValueError, match=r"not one of 4 listed pictures is there, such as 0\.png"):
        of_whole_pictures(kind, *data, "skip")


def test_whole_pictures_of_other_formats(tmp_path: Path) -> None:
    """MPII's list has no outlines and nobody whose box alone is known."""
    person = {"image": "a.png", "joints": [[9.0 + i, 20.0] for i in range(16)], "joints_vis": [1] * 16,
              "center": [20, 30], "scale": 0.2}  # fmt: skip
    (tmp_path / "mpii.json").write_text(json.dumps([person]))
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((60, 50, 3), np.uint8))
    for kind in ("whole", "mosaics"):
        samples = of_whole_pictures(kind, tmp_path / "mpii.json", tmp_path)
        assert len(samples) == 1 and len(samples.ignored[0]) == 0 and samples.people.visible.sum() == 12


@pytest.mark.torch
@pytest.mark.parametrize(
    ("recipe", "size"), [("rtmpose-t", "64x64"), ("litepose-xs", "128x128"), ("sasd-xs", "128x128")]
)
def test_a_run_names_what_it_skips_in_its_log(data: tuple[Path, Path], tmp_path: Path, recipe: str, size: str) -> None:
    pytest.importorskip("torch")
    words = [f"data={data[0]}:{data[1]}", f"out={tmp_path / 'run'}", "epochs=1", "batch=3", f"input_size={size}",
             "precision=fp32", "threads=1", "stage2=0"]  # fmt: skip
    words += ["alone=1"] if recipe == "sasd-xs" else []
    result = CliRunner().invoke(app, ["train", recipe, *words])
    assert result.exit_code == 1 and "such as 2.png" in result.stderr and "on_bad=skip" in result.stderr
    result = CliRunner().invoke(app, ["train", recipe, *words, "on_bad=skip"])
    assert result.exit_code == 0, result.output
    row = json.loads((tmp_path / "run" / "log.jsonl").read_text())
    assert row["skipped_count"] == 2 and row["skipped"] == ["2.png", "1.png"]
    assert "skipped 1.png" in result.stderr and "skipped 2.png" in result.stderr
    result = CliRunner().invoke(app, ["train", "rtmpose-t", *words, "on_bad=maybe"])
    assert result.exit_code == 2 and "on_bad=maybe" in result.stderr
