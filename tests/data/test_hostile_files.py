"""What a label file names is a regular file of bounded size within its folder; nothing else is opened."""

from __future__ import annotations

import gzip
import json
import os
import sys
import zipfile
from pathlib import Path

import pytest

from edgepose.data import columns
from edgepose.data import images as data_images
from edgepose.data.images import Pictures
from edgepose.data.memory import Budget
from edgepose.evaluate.labels import read_labels
from edgepose.media.example import scaled_example
from edgepose.media.images import write_image

posix = pytest.mark.skipif(sys.platform == "win32", reason="devices and pipes as POSIX has them")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    write_image(folder / "a.png", scaled_example((32, 32)))
    write_image(tmp_path / "outside.png", scaled_example((32, 32)))
    return folder


@posix
@pytest.mark.parametrize("name", ["/dev/zero", "../outside.png", "pipe.png", "zero.png", "../../etc/passwd"])
def test_a_name_opens_no_device_no_pipe_and_nothing_outside(name: str, folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    with pytest.raises((ValueError, FileNotFoundError), match=r"device|holds no picture"):
        Pictures(folder, Budget(0)).read(name)


def test_a_member_of_a_zip_is_unpacked_up_to_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_images, "largest_file", lambda pixels: 10_000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("fits.png", bytes(10_000))
        archive.writestr("bomb.png", bytes(50_000_000))
    pictures = Pictures(tmp_path / "a.zip", Budget(0))
    assert len(pictures.data("fits.png")) == 10_000
    with pytest.raises(ValueError, match="too large for a picture: more than 10000 bytes unpacked"):
        pictures.data("bomb.png")


def test_a_gzip_file_that_unpacks_to_a_thousand_times_its_size_is_no_label_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "UNSUSPECTED", 1 << 20)
    labels = {"images": [{"id": i, "file_name": f"{i}.jpg", "width": 9, "height": 9} for i in range(20_000)]}
    text = json.dumps(labels | {"annotations": [], "categories": []}).encode()
    assert len(text) > 1 << 20
    (tmp_path / "labels.json.gz").write_bytes(gzip.compress(text))
    assert len(read_labels(tmp_path / "labels.json.gz", annotated=False)["images"]) == 20_000
    (tmp_path / "bomb.json.gz").write_bytes(gzip.compress(text[:-1] + b" " * (20 << 20) + b"}"))
    with pytest.raises(ValueError, match=r"holds more than [0-9]+ bytes unpacked"):
        read_labels(tmp_path / "bomb.json.gz", annotated=False)


@posix
def test_labels_are_no_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "labels.json")
    with pytest.raises(ValueError, match="a device or a pipe: expected an annotation file"):
        read_labels(tmp_path / "labels.json")
