"""The report card of a quantized file: how it was made, what it lost and gained. It travels inside the file."""

from __future__ import annotations

import dataclasses
import json
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, cast

KEY = "edgepose-card"  # of the file's metadata
Target = Literal["avx2", "vnni", "arm"]


@dataclass(frozen=True)
class Card:
    """What is known of a quantized file.

    source, source_sha256: the float32 file
    to: "int8" or "fp16"; method: of the ranges; target: the processors it is for; bits: of the weights
    calibration: sha256 of the pictures that the ranges were taken from; pictures, views: how many, and how many inputs
    held_out: pictures that it was judged on; people: found there by the float32 file
    agreement: mean OKS (IoU for boxes) with the float32 file's people, on the held-out pictures
    ap_before, ap_after: on their labels, 0 to 1; None without labels
    ms_before, ms_after: medians of `rounds` runs in turn on `batch` inputs at a time, on `processor`, with `threads`
    layers: with weights; float_layers: names of those left in float
    """

    name: str
    source: str
    source_sha256: str
    to: str
    method: str
    target: str
    bits: int
    calibration: str
    pictures: int
    views: int
    held_out: int
    people: int
    agreement: float
    ap_before: float | None
    ap_after: float | None
    ms_before: float
    ms_after: float
    batch: int
    rounds: int
    threads: int
    processor: str
    bytes_before: int
    bytes_after: int
    layers: int
    float_layers: tuple[str, ...]
    versions: dict[str, str]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """One line."""
        return json.dumps(self.as_dict(), allow_nan=False)


def card_in(model: Path) -> dict[str, Any] | None:
    """The card inside an ONNX file, None where it has none."""
    import onnx

    metadata = {entry.key: entry.value for entry in onnx.load(str(model), load_external_data=False).metadata_props}
    return cast("dict[str, Any] | None", json.loads(metadata[KEY])) if KEY in metadata else None


def beside(out: Path) -> Path:
    """Where the card of a file lies."""
    return out.with_suffix(".card.json")


def processor() -> str:
    """Its name, as Linux says it, else what Python says."""
    return _cpu("model name") or platform.processor() or platform.machine()


def target_here() -> Target:
    """What INT8 files are made for on this machine: avx2 where nothing better is known."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return "arm"
    flags = _cpu("flags").split()
    return "vnni" if any("vnni" in flag or flag == "amx_int8" for flag in flags) else "avx2"


def versions() -> dict[str, str]:
    """Of what had a hand in it."""
    found = {"python": platform.python_version()}
    for name in ("edgepose", "onnxruntime", "onnx", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def _cpu(field: str) -> str:
    """A field of the first processor in /proc/cpuinfo, "" where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == field:
            return value.strip()
    return ""
