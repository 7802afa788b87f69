"""Files import only from the left of one written order; torch is imported right of the bar, runtimes in sessions."""

from __future__ import annotations

import ast
import functools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "edgepose"
LEFT = [
    "names", "spelling", "skeleton", "skeleton_file", "geometry", "hungarian", "scores", "poses", "angles", "oks",
    "spec",
    "codec", "media", "runtime", "__init__", "data", "synthetic", "evaluate", "quantize", "serve",
]  # fmt: skip
RIGHT = ["models", "train", "export"]  # torch begins here
COMMAND_LINE = ["api", "cli", "__main__"]
ORDER = LEFT + RIGHT + COMMAND_LINE
RUNTIMES = {"onnxruntime", "openvino", "ncnn"}
TOOLS = ("onnxruntime.quantization", "onnxruntime.transformers")
TORCH = {"torch", "torchvision", "safetensors", "onnxscript", "tensorboard"}


def files(package: Path) -> list[Path]:
    return sorted(path for path in package.rglob("*.py") if "__pycache__" not in path.parts)


def place(path: Path, package: Path) -> str:
    """The name in ORDER that a file belongs to."""
    return path.relative_to(package).parts[0].removesuffix(".py")


@functools.cache
def statements(text: str) -> list[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Every import of a file, and whether it runs when the file is imported: outside functions and TYPE_CHECKING."""
    found = []
    waiting: list[tuple[ast.AST, bool]] = [(ast.parse(text), True)]
    while waiting:
        node, at_once = waiting.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found.append((node, at_once))
        later = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or (
            isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        )
        waiting += [(child, at_once and not later) for child in ast.iter_child_nodes(node)]
    return found


def imported(path: Path, package: Path) -> Iterator[tuple[int, str, bool]]:
    """(line, dotted name, whether at once) of every import in a file; `from edgepose import x` is edgepose.x."""
    for node, at_once in statements(path.read_text(encoding="utf-8")):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, at_once) for alias in node.names)
        else:
            base = ["edgepose", *path.relative_to(package).parts[: -node.level]] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            if module != "edgepose":
                yield node.lineno, module, at_once
                continue
            for alias in node.names:
                submodule = (package / f"{alias.name}.py").exists() or (package / alias.name).is_dir()
                yield node.lineno, f"edgepose.{alias.name if submodule else '__init__'}", at_once


def violations(package: Path) -> list[str]:
    found = []
    for path in files(package):
        here = place(path, package)
        shown = path.relative_to(package)
        if here not in ORDER:
            found.append(f"{shown} has no place in the order")
            continue
        for line, name, at_once in imported(path, package):
            top, _, rest = name.partition(".")
            target = rest.partition(".")[0] or "__init__"
            if (here, name) == ("__init__", "edgepose.api"):  # named for type checkers, imported when it is asked for
                continue
            if top == "edgepose" and (target not in ORDER or ORDER.index(target) > ORDER.index(here)):
                found.append(f"{shown}:{line} may not import {name}")
            if top in TORCH and here not in RIGHT:
                found.append(f"{shown}:{line} is not in {', '.join(RIGHT)} and may not import {name}")
            if here in COMMAND_LINE and at_once and top == "edgepose" and target in RIGHT:
                found.append(f"{shown}:{line} may import {name} inside functions only")
            rounds = here == "quantize" and name.startswith(TOOLS)  # makes files, and runs none
            if top in RUNTIMES and not rounds and not (here == "runtime" and path.name.startswith("session")):
                found.append(f"{shown}:{line} is no session and may not import {name}")
    return found


def test_imports_point_left() -> None:
    assert files(PACKAGE)
    assert violations(PACKAGE) == []


def test_the_training_loop_knows_no_family() -> None:
    names = {name for _, name, _ in imported(PACKAGE / "train" / "loop.py", PACKAGE)}
    families = {"topdown", "bottomup", "detector", "onestage", "classifier", "families", "litepose", "options"}
    assert not {name for name in names if name.startswith("edgepose.models")}
    assert not names & {f"edgepose.train.{family}" for family in families}


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("geometry.py", "from edgepose.poses import Poses"),
        ("geometry.py", "from .poses import Poses"),
        ("codec/simcc.py", "def f():\n    import torch"),
        ("media/draw.py", "from edgepose.models import build"),
        ("media/draw.py", "from edgepose import train"),
        ("media/draw.py", "import onnxruntime as ort"),
        ("data/coco.py", "import onnxruntime.quantization"),
        ("quantize/static.py", "import onnxruntime"),
        ("train/loop.py", "from edgepose.cli import app"),
        ("models/cspnext.py", "import openvino"),
        ("spec.py", "import edgepose"),
        ("data/coco.py", "import torch"),
        ("data/crops.py", "def f():\n    from torch.utils.data import Dataset"),
        ("data/coco.py", "from edgepose.models import build"),
        ("data/coco.py", "from edgepose.evaluate.coco import coco_ap"),
        ("evaluate/coco.py", "import torch"),
        ("evaluate/run.py", "from edgepose.models.deployed import TorchNetwork"),
        ("evaluate/run.py", "def f():\n    from safetensors.numpy import load_file"),
        ("serve/app.py", "from edgepose.train.recipes import RECIPES"),
        ("cli/evaluate.py", "def f():\n    import torch"),
        ("cli/evaluate.py", "from edgepose.train.words import parse"),
        ("cli/train.py", "from edgepose.train.recipes import RECIPES"),
        ("api.py", "def f():\n    from edgepose.cli.screen import Screen"),
        ("evaluate/compare.py", "from edgepose.cli.screen import Screen"),
        ("cli/options.py", "import torch"),
        ("__init__.py", "from edgepose.train.loop import train"),
        ("media/draw.py", "from edgepose.api import train_model"),
        ("utils.py", ""),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, file: str, line: str) -> None:
    copy = tmp_path / "edgepose"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    with (copy / file).open("a", encoding="utf-8") as planted:
        planted.write(f"\n{line}\n")
    assert any(violation.startswith(file) for violation in violations(copy))


def test_the_command_line_may_import_what_needs_torch_inside_functions(tmp_path: Path) -> None:
    copy = tmp_path / "edgepose"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    with (copy / "cli" / "train.py").open("a", encoding="utf-8") as planted:
        planted.write("\n\ndef f() -> None:\n    from edgepose.models import build\n")
        planted.write("\n\nif TYPE_CHECKING:\n    from edgepose.models import build\n")
    assert violations(copy) == []


def test_types_are_loose_only_where_torch_is() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has none")
    settings = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    loose = [name for row in settings["overrides"] if row.get("strict") is False for name in row["module"]]
    assert settings["strict"] is True and loose
    assert {name.removeprefix("edgepose.").removesuffix(".*") for name in loose} <= set(RIGHT)
