"""Data sets in words: labels of every tool, with their pictures or without where they say where those are."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from edgepose.train.words import parse

pytestmark = pytest.mark.torch


def test_labels_of_tools_are_data_sets(tmp_path: Path) -> None:
    files = ("a.json", "a.json.gz", "a.xml", "a.csv", "data.yaml", "joints.mat")
    for name in files:
        (tmp_path / name).touch()
    (tmp_path / "p").mkdir()
    (tmp_path / "p.zip").touch()
    for name in files:
        settings, rest = parse("rtmpose-t", [f"data={tmp_path / name}:{tmp_path / 'p.zip'}*3", "epochs=2"])
        assert settings.data == [(tmp_path / name, tmp_path / "p.zip", 3)] and rest == ["epochs=2"]
    pictures = tmp_path / "p"
    settings, _ = parse("x", [f"data=coco={tmp_path / 'a.json'}:{pictures},{tmp_path / 'a.xml'}:{pictures}"])
    assert settings.names == ["coco", ""] and len(settings.data) == 2


def test_a_folder_and_a_data_yaml_say_where_their_pictures_are(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").touch()
    settings, _ = parse("x", [f"data={tmp_path / 'data.yaml'}", f"val={tmp_path}*1"])
    assert settings.data == [(tmp_path / "data.yaml", tmp_path, 1)] and settings.val == [(tmp_path, tmp_path, 1)]


@pytest.mark.parametrize("word", ["a.json", "a.json:", "a.json:p*0", ""])
def test_what_names_no_data_set_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match=r"expected ANNOTATIONS\.json:PICTURES"):
        parse("x", [f"data={word}"])
