"""`edgepose doctor`: what works on this machine, and what to do about what does not. It writes nothing."""

from __future__ import annotations

import hashlib
import importlib
import os
import platform
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from edgepose.commands.screen import show_json, show_table

if TYPE_CHECKING:
    from edgepose.runtime.load import Backend

NEEDED = ("numpy", "opencv-python-headless", "onnxruntime", "av", "typer", "rich")
MODULES = {"opencv-python-headless": "cv2", "onnxruntime": "edgepose.runtime.session"}
EXTRAS = {"torch": "train", "onnx": "train", "onnxscript": "train", "safetensors": "train", "tensorboard": "train",
          "pnnx": "train", "hotcoco": "evaluate", "openvino": "openvino", "ncnn": "ncnn"}  # fmt: skip
OPENCVS = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
INSTRUCTIONS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16",
                "asimd", "asimddp", "i8mm", "bf16")  # fmt: skip


@dataclass(frozen=True)
class Check:
    """One line of the report. `ok` is None where nothing is wrong and nothing is there."""

    what: str
    ok: bool | None
    found: str
    cure: str = ""


def doctor(as_json: bool) -> bool:
    """Print the report; True when nothing is broken."""
    checks = [_python(), *map(_needed, NEEDED), *_opencvs(), *_extras(), _cores(), _instructions(), *_models()]
    broken = [check for check in checks if check.ok is False]
    if as_json:
        rows = [{"what": c.what, "ok": c.ok, "found": c.found, "cure": c.cure or None} for c in checks]
        show_json({"ok": not broken, "checks": rows})
        return not broken
    signs = {True: "ok", False: "BROKEN", None: "-"}
    show_table(["", "", ""], [[check.what, signs[check.ok], check.found] for check in checks], left=3)
    for check in broken:
        print(f"{check.what}: {check.cure}")
    print("everything needed works" if not broken else f"{len(broken)} broken")
    return not broken


def _python() -> Check:
    version = platform.python_version()
    right = (3, 10) <= sys.version_info[:2] <= (3, 13)
    found = f"{version}, {platform.system()} {platform.machine()}"
    return Check("python", True if right else None, found + ("" if right else ", not tested: expected 3.10 to 3.13"))


def _needed(package: str) -> Check:
    version = _version(package)
    module = MODULES.get(package, package)
    cure = f"pip install --force-reinstall {package}"
    try:
        importlib.import_module(module)
    except (ImportError, OSError, AttributeError) as error:
        return Check(package, False, f"{version or 'not installed'}; {_short(error)}", cure)
    return Check(package, True, version or "present, version unknown")


def _opencvs() -> list[Check]:
    """Two OpenCV wheels write over each other's files."""
    found = [package for package in OPENCVS if _version(package)]
    if len(found) < 2:
        return []
    cure = f"pip uninstall -y {' '.join(found)} && pip install opencv-python-headless"
    return [Check("opencv", False, f"{' and '.join(found)} are installed over each other", cure)]


def _extras() -> list[Check]:
    checks = []
    for package, extra in EXTRAS.items():
        version = _version(package)
        found = version or f"not installed; pip install 'edgepose[{extra}]'"
        checks.append(Check(package, True if version else None, found))
    return checks


def _cores() -> Check:
    from edgepose.runtime.cores import VARIABLE, thread_count

    try:
        count = thread_count()
    except ValueError as error:
        return Check("threads", False, _short(error), f"unset {VARIABLE}")
    stated = f" ({VARIABLE})" if os.environ.get(VARIABLE) else ""
    return Check("threads", True, f"{count} used{stated}, {os.cpu_count()} processors here")


def _instructions() -> Check:
    """What matters for speed: vectors, and products of 8-bit and bfloat16 numbers."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        flags = next((line for line in lines if line.startswith(("flags", "Features"))), "").split()
        found = [name for name in INSTRUCTIONS if name in flags]
    except OSError:  # not Linux
        import cv2

        found = [word.strip("*") for word in cv2.getCPUFeaturesLine().split() if not word.endswith("?")]
    slow = "no vector instructions are known here: expect a few frames per second"
    return Check("instructions", True if found else None, " ".join(found) or slow)


def _models() -> list[Check]:
    """The models in the package: what they should be, and that each backend runs them on a picture with people."""
    from edgepose.runtime.load import DEFAULT_DETECTOR, DEFAULT_POSE, WEIGHTS, embedded

    found = embedded()
    cure = "pip install --force-reinstall edgepose"
    missing = [name for name in (DEFAULT_POSE, DEFAULT_DETECTOR) if name not in found]
    checks = [Check(f"model {name}", False, f"not in {WEIGHTS}", cure) for name in missing]
    known = _hashes(WEIGHTS / "SHA256SUMS")
    for name, path in found.items():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        stated = known.get(path.name)
        detail = f"{path.stat().st_size / 1e6:.1f} MB, sha256 {digest[:12]}"
        if stated is None:
            checks.append(Check(f"model {name}", False, f"{detail}, and SHA256SUMS does not list it", cure))
        else:
            wrong = "" if digest == stated else f", expected {stated[:12]}"
            checks.append(Check(f"model {name}", not wrong, detail + wrong, cure))
    if any(check.ok is False for check in checks):
        return checks
    return [*checks, _backend("onnxruntime"), _backend("openvino")]


def _hashes(path: Path) -> dict[str, str]:
    """File name -> sha256, as `sha256sum` writes them."""
    lines = path.read_text(encoding="ascii").splitlines() if path.is_file() else []
    return {name.strip().lstrip("*"): digest for digest, _, name in (line.partition(" ") for line in lines)}


def _backend(name: Backend) -> Check:
    """The default pipeline on the drawn scene."""
    from edgepose.runtime.load import load
    from edgepose.runtime.scene import draw_scene

    image, people = draw_scene()
    try:
        estimator = load(backend=name)
        estimator(image)
        start = time.perf_counter()
        count = len(estimator(image))
    except ModuleNotFoundError as error:
        return Check(f"backend {name}", None, f"{error.name} is not installed")
    except (ValueError, OSError, ImportError) as error:
        return Check(f"backend {name}", False, _short(error), f"pip install --force-reinstall {name}")
    milliseconds = (time.perf_counter() - start) * 1000
    found = f"{milliseconds:.0f} ms for the drawn scene, {count} people found where {len(people)} are drawn"
    return Check(f"backend {name}", count > 0, found, "report it with the output of edgepose doctor --json")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) < 160 else text[:160] + " ..."
