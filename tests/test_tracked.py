"""What is in the repository is for everybody: no citation that nobody can follow, no path of somebody's machine."""

from __future__ import annotations

import gzip
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Notes that this project was begun with and that are not in it: the paper, or a published file, is cited instead.
UNSEEN = re.compile(
    r"\bfacts \d[\d.]*\d|\bfacts \d|(?<=\s)\(facts(?:\)|[;:] | of )|\bdesign page\b|\bshared/(?:facts|design)\b"
    r"|\b(?:DESIGN|HOUSE|STYLE|FIELD|BASELINES|ARCHITECTURES)\.md"
)
# Absolute, in the folders where people and machines keep their work; not a part of a URL or of a relative path.
PLACE = re.compile(
    rb"(?<![\w.$}/~-])/(?:work|home|root|tmp|var|mnt|opt|srv|scratch|workspace|Users|private)/[\w.-]+"
    rb"|\b[A-Za-z]:\\{1,4}Users\\"
)


def tracked() -> list[Path]:
    """Every file of the repository but this one, which has examples of what it looks for."""
    try:
        found = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout: {error}")
    paths = [ROOT / name for name in found.decode().split("\0") if name]
    return [path for path in paths if path.is_file() and path != Path(__file__).resolve()]


def content(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def citations(text: str) -> list[str]:
    return UNSEEN.findall(text)


def places(data: bytes) -> list[str]:
    return [match.group().decode(errors="replace") for match in PLACE.finditer(data)]


def test_nothing_is_cited_that_a_reader_does_not_have() -> None:
    files = [path for path in tracked() if path.suffix in (".py", ".md", ".toml", ".txt", ".js", "")]
    assert len(files) > 200
    found = {str(p.relative_to(ROOT)): citations(p.read_text(encoding="utf-8")) for p in files}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_no_file_names_a_place_of_a_machine() -> None:
    """Binary files too: the header of a checkpoint, the metadata of a model file, what is packed."""
    files = tracked()
    assert {".safetensors", ".onnx", ".gz", ".jsonl", ".py"} <= {path.suffix for path in files}
    found = {str(path.relative_to(ROOT)): places(content(path)) for path in files}
    assert {name: paths for name, paths in found.items() if paths} == {}


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("the parser (Newell et al., 2017; facts 3.6).", ["facts 3.6"]),
        ("0.308 G (facts), counted", ["(facts)"]),
        ("as published (facts of mmpose)", ["(facts of "]),
        ("black frames (facts: FIELD.md 2)", ["(facts: ", "FIELD.md"]),
        ("where the design page is departed from", ["design page"]),
        ("see DESIGN.md, ../shared/facts/x", ["DESIGN.md", "shared/facts"]),
        ("list(facts), f(facts | more), ARCHITECTURE.md, shared/data/lspet, by design", []),
    ],
)
def test_planted_citations_are_found(text: str, cited: list[str]) -> None:
    assert citations(text) == cited


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b'{"teacher": "/tmp/w/t/net.onnx"}', ["/tmp/w"]),
        (b'\0\x0a{\\"init\\": \\"/home/me/runs/last.safetensors\\"}\xff', ["/home/me"]),
        (b"D=/work/shared/data", ["/work/shared"]),
        (b'"C:\\\\Users\\\\me"', ["C:\\\\Users\\"]),
        (b"https://example.com/home/me runs/tmp/a ../work/a $D/tmp/a ~/work/a /predict", []),
    ],
)
def test_planted_places_are_found(data: bytes, named: list[str]) -> None:
    assert places(data) == named


def test_packed_files_are_looked_into(tmp_path: Path) -> None:
    path = tmp_path / "labels.json.gz"
    path.write_bytes(gzip.compress(b'{"images": "/home/me/pictures"}'))
    assert places(path.read_bytes()) == [] and places(content(path)) == ["/home/me"]
