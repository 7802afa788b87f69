"""The left half imports and runs where torch cannot be imported."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.tiny import write_tiny_model

ROOT = Path(__file__).resolve().parents[1]

BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "onnx", "onnxscript", "safetensors"):
            raise ImportError(f"{name} is blocked by the test")

sys.meta_path.insert(0, Blocked())
"""

IMPORT_ALL = """
import importlib, pathlib
for path in sorted(pathlib.Path("edgepose").rglob("*.py")):
    parts = path.with_suffix("").parts
    if parts[1] in ("models", "data", "train", "evaluate", "compress", "export", "__main__") or parts[-1] in REFUSED:
        continue
    importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
"""

# Extras: the sessions of openvino and ncnn. Need torch: exports to both, and the commands `train`, `search`, `macs`.
NEEDS_EXTRAS = (
    'REFUSED = ("session_openvino", "session_ncnn", "export_ncnn", "export_openvino", "train", "search", "macs")\n'
)

RUN = """
import numpy as np, edgepose
from edgepose.runtime.session import Session
from edgepose.runtime.estimator import Estimator
estimator = Estimator(Session(MODEL))
poses = estimator(np.zeros((64, 48, 3), np.uint8))
print(type(poses).__name__, poses.keypoints.shape)
"""


def run(script: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=300)


def test_every_left_module_imports() -> None:
    result = run(BLOCK + NEEDS_EXTRAS + IMPORT_ALL)
    assert result.returncode == 0, result.stderr


def test_a_planted_import_is_noticed(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "edgepose", tmp_path / "edgepose", ignore=shutil.ignore_patterns("__pycache__", "*.onnx"))
    with (tmp_path / "edgepose" / "geometry.py").open("a", encoding="utf-8") as planted:
        planted.write("\nimport torch\n")
    result = run(BLOCK + NEEDS_EXTRAS + IMPORT_ALL, tmp_path)
    assert result.returncode == 1 and "torch is blocked by the test" in result.stderr


def test_an_onnx_file_runs(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.onnx")
    result = run(BLOCK + f"MODEL = {str(path)!r}\n" + RUN)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[0] == "Poses"
