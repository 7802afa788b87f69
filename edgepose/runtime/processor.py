"""What this machine runs networks with: its processor, how many cores, and which runtimes are installed."""

from __future__ import annotations

import importlib.util
import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from edgepose.runtime.cores import usable_cores

# What matters for speed: vectors, and products of 8-bit and bfloat16 numbers.
INSTRUCTIONS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16",
                "asimd", "asimddp", "i8mm", "bf16")  # fmt: skip
BFLOAT16 = {"amx_bf16", "avx512_bf16"}  # products of such numbers in one instruction, on x86-64
RUNTIMES = ("onnxruntime", "openvino", "ncnn")


@cache
def cpuinfo() -> dict[str, str]:
    """What Linux says of the first processor; {} elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    found: dict[str, str] = {}
    for key, _, value in pairs:
        found.setdefault(key.strip(), value.strip())
    return found


def processor_name() -> str:
    """As the processor calls itself."""
    return cpuinfo().get("model name") or platform.processor() or platform.machine()


def instructions() -> list[str]:
    """Those of `INSTRUCTIONS` that Linux lists; [] elsewhere."""
    flags = (cpuinfo().get("flags") or cpuinfo().get("Features", "")).split()
    return [name for name in INSTRUCTIONS if name in flags]


def installed(package: str) -> bool:
    """Whether a runtime can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def machine() -> dict[str, Any]:
    """All that decides what is quickest here: results of another machine, or with other runtimes, do not carry over."""
    facts: dict[str, Any] = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
        "instructions": " ".join(instructions()),
        "cores": usable_cores(),
    }
    return facts | {package: _version(package) for package in RUNTIMES}


def _version(package: str) -> str | None:
    if not installed(package):
        return None
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # a build under another name
        return "unknown"
