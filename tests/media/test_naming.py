"""Which picture a name means: separators, accents, %20, suffixes, folders; and when it is not certain."""

from __future__ import annotations

import unicodedata
import zipfile
from pathlib import Path

import pytest

from edgepose.data.images import Pictures
from edgepose.media.naming import Held, is_inside

ACCENT = "Übung é.jpg"


# The name in the labels, the files that are there, the one that is meant.
NAMES = {
    "backslash": ("images\\x.jpg", ["images/x.jpg"], "images/x.jpg"),
    "suffix": ("a/x.JPG", ["a/x.jpg"], "a/x.jpg"),
    "suffix of the file": ("x.png", ["x.PNG"], "x.PNG"),
    "percent": ("my%20photo%201.jpg", ["my photo 1.jpg"], "my photo 1.jpg"),
    "percent in the name itself": ("100%25.jpg", ["100%25.jpg", "100%.jpg"], "100%25.jpg"),
    "decomposed": (ACCENT, [unicodedata.normalize("NFD", ACCENT)], unicodedata.normalize("NFD", ACCENT)),
    "composed": (unicodedata.normalize("NFD", ACCENT), [ACCENT], ACCENT),
    "folder doubled": ("pictures/x.jpg", ["x.jpg"], "x.jpg"),
    "folder missing": ("x.jpg", ["val2017/x.jpg"], "val2017/x.jpg"),
    "folder missing twice": ("b/x.jpg", ["a/b/x.jpg", "a/c/x.jpg"], "a/b/x.jpg"),
    "another folder": ("cam1/x.jpg", ["cam2/x.jpg"], None),
    "two": ("x.jpg", ["a/x.jpg", "b/x.jpg"], None),
    "another machine's": ("..\\..\\label-studio\\media\\x.jpg", ["images/x.jpg"], "images/x.jpg"),
    "absolute": ("/datasets/x.jpg", ["images/x.jpg"], "images/x.jpg"),
    "drive": ("C:\\data\\x.jpg", ["images/x.jpg"], "images/x.jpg"),
    "address": ("https://host/a/x.jpg?token=1", ["images/x.jpg"], "images/x.jpg"),
    "another machine's, two": ("/datasets/x.jpg", ["a/x.jpg", "b/x.jpg"], None),
    "upload": ("/data/upload/1/0a1b2c3d-x.jpg", ["x.jpg"], "x.jpg"),
    "local files": ("/data/local-files/?d=set/x%20y.jpg", ["set/x y.jpg"], "set/x y.jpg"),
    "nothing": ("y.jpg", ["x.jpg"], None),
    "other letter case": ("X.jpg", ["x.jpg"], None),
    "encoded on the disk": ("a+b c.jpg", ["set/a%2Bb%20c.jpg", "d.jpg"], "set/a%2Bb%20c.jpg"),
    "spaces around": (" x.jpg ", ["x.jpg"], "x.jpg"),
}


@pytest.mark.parametrize("case", NAMES)
def test_the_file_that_a_name_means(case: str, tmp_path: Path) -> None:
    name, files, meant = NAMES[case]
    assert Held(files).match(name) == (meant if case != "percent in the name itself" else "100%25.jpg")
    for file in files:
        (tmp_path / "p" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "p" / file).write_bytes(file.encode())
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for file in files:
            archive.writestr(file, file)
    for source in ("p", "p.zip"):
        if meant is not None:
            pictures = Pictures(tmp_path / source)
            assert pictures.missing([name]) == [] and pictures.data(name) == meant.encode()
        elif case != "two" or source == "p":  # a zip says which two it holds
            pictures = Pictures(tmp_path / source)
            assert pictures.missing([name]) == [name]
            with pytest.raises(FileNotFoundError, match="holds no picture"):
                pictures.data(name)


def test_two_names_never_mean_one_file(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"")
    pictures = Pictures(tmp_path)
    assert pictures.missing(["cam1/x.jpg", "cam2/x.jpg"]) == ["cam2/x.jpg"]
    with pytest.raises(FileNotFoundError, match=r"'x\.jpg' is meant by 'cam1/x\.jpg' already"):
        pictures.data("cam2/x.jpg")
    own = Pictures(tmp_path)
    assert own.missing(["cam1/x.jpg", "x.jpg"]) == ["cam1/x.jpg"], "whoever is called so has it"
    assert own.renamed == {} and Pictures(tmp_path).renamed == {}


def test_the_nearest_name_is_told(tmp_path: Path) -> None:
    (tmp_path / "img_0012.jpg").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"holds no picture 'img_012\.jpg'; the nearest is 'img_0012\.jpg'"):
        Pictures(tmp_path).data("img_012.jpg")


def test_nothing_outside_the_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (tmp_path / "in").mkdir()
    pictures = Pictures(tmp_path / "in")
    for name in ("../secret.jpg", str(tmp_path / "secret.jpg"), "a/../../secret.jpg", "..\\secret.jpg"):
        assert not is_inside(name) and pictures.missing([name]) == [name]
        with pytest.raises(FileNotFoundError, match="holds no picture"):
            pictures.data(name)


@pytest.mark.parametrize("name", ["IMG_0007.JPG", "img_0007", "img_0007.png", "a/Img_0007"])
def test_the_nearest_has_other_letters_or_another_suffix(name: str) -> None:
    assert Held(["b/img_0007.jpg", "b/other.jpg"]).nearest(name) == "b/img_0007.jpg"
