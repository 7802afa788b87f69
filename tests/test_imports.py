"""Files import only from the left of one written order; torch stays right of the bar, runtimes in their sessions."""

from __future__ import annotations

import ast
import functools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "edgepose"
LEFT = ["skeleton", "geometry", "assignment", "poses", "oks", "spec", "codec", "runtime", "__init__"]
RIGHT = [
    "data", "evaluate", "models", "train", "compress", "export", "export_ncnn", "export_openvino", "serve",
    "commands", "cli", "__main__",
]  # fmt: skip
ORDER = LEFT + RIGHT
RUNTIMES = {"onnxruntime", "openvino", "ncnn"}
TORCH = {"torch", "torchvision", "safetensors", "onnx", "onnxscript", "tensorboard"}


def files(package: Path) -> list[Path]:
    return sorted(path for path in package.rglob("*.py") if "__pycache__" not in path.parts)


def place(path: Path, package: Path) -> str:
    """The name in ORDER that a file belongs to."""
    return path.relative_to(package).parts[0].removesuffix(".py")


@functools.cache
def statements(text: str) -> list[ast.Import | ast.ImportFrom]:
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.Import, ast.ImportFrom))]


def imported(path: Path, package: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import in a file, inside functions too; `from edgepose import x` is edgepose.x."""
    for node in statements(path.read_text(encoding="utf-8")):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        else:
            base = ["edgepose", *path.relative_to(package).parts[: -node.level]] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            if module != "edgepose":
                yield node.lineno, module
                continue
            for alias in node.names:
                submodule = (package / f"{alias.name}.py").exists() or (package / alias.name).is_dir()
                yield node.lineno, f"edgepose.{alias.name if submodule else '__init__'}"


def violations(package: Path) -> list[str]:
    found = []
    for path in files(package):
        here = place(path, package)
        shown = path.relative_to(package)
        if here not in ORDER:
            found.append(f"{shown} has no place in the order")
            continue
        for line, name in imported(path, package):
            top, _, rest = name.partition(".")
            target = rest.partition(".")[0] or "__init__"
            if top == "edgepose" and (target not in ORDER or ORDER.index(target) > ORDER.index(here)):
                found.append(f"{shown}:{line} may not import {name}")
            if top in TORCH and here in LEFT:
                found.append(f"{shown}:{line} is left of the bar and may not import {name}")
            if top in RUNTIMES and not (here == "runtime" and path.name.startswith("session")):
                found.append(f"{shown}:{line} is no session and may not import {name}")
    return found


def test_imports_point_left() -> None:
    assert files(PACKAGE)
    assert violations(PACKAGE) == []


def test_the_training_loop_knows_no_family() -> None:
    names = {name for _, name in imported(PACKAGE / "train" / "loop.py", PACKAGE)}
    families = {"topdown", "bottomup", "detector", "onestage", "classifier", "families", "options"}
    assert not {name for name in names if name.startswith("edgepose.models")}
    assert not names & {f"edgepose.train.{family}" for family in families}


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("geometry.py", "from edgepose.poses import Poses"),
        ("geometry.py", "from .poses import Poses"),
        ("codec/simcc.py", "def f():\n    import torch"),
        ("runtime/draw.py", "from edgepose.models import build"),
        ("runtime/draw.py", "from edgepose import train"),
        ("runtime/draw.py", "import onnxruntime as ort"),
        ("train/loop.py", "from edgepose.cli import app"),
        ("models/layers.py", "import openvino"),
        ("spec.py", "import edgepose"),
        ("utils.py", ""),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, file: str, line: str) -> None:
    copy = tmp_path / "edgepose"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    with (copy / file).open("a", encoding="utf-8") as planted:
        planted.write(f"\n{line}\n")
    assert any(violation.startswith(file) for violation in violations(copy))
