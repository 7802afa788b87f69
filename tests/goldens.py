"""Inputs and outputs of the published implementations, kept beside the checkout; tests skip where they are absent."""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def folder() -> Path:
    """`goldens` in EDGEPOSE_SHARED, or in `shared` within or beside the checkout."""
    checkout = Path(__file__).resolve().parents[1]
    stated = os.environ.get("EDGEPOSE_SHARED")
    places = [Path(stated)] if stated else [checkout / "shared", checkout.parent / "shared"]
    for place in places:
        if (place / "goldens").is_dir():
            return place / "goldens"
    pytest.skip(f"golden vectors are not in {' or '.join(map(str, places))}: set EDGEPOSE_SHARED")


@dataclass(frozen=True)
class Golden:
    """One golden: `info` is its JSON, `arrays` its npz."""

    info: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def state(self) -> dict[str, np.ndarray]:
        """The weights that the reference network had, by its key names."""
        weights = self.info["weights"]
        return golden_state(self.info["state_dict"], weights["gains"], weights["tied"], weights["not_rebuilt"])

    def input(self) -> np.ndarray:
        """The images that the reference network saw."""
        shape, seed = self.info["input"]["shape"], self.info["input"]["seed"]
        return np.random.Generator(np.random.PCG64(seed)).standard_normal(shape).astype(np.float32)

    def compare(self, outputs: list[np.ndarray]) -> None:
        """Fail unless every output is the reference's: largest and mean difference in units of its spread."""
        assert [list(o.shape) for o in outputs] == [expected["shape"] for expected in self.info["outputs"]]
        for output, expected in zip(outputs, self.info["outputs"], strict=True):
            reference = self.arrays[f"out.{expected['name']}"].reshape(-1)
            difference = np.abs(output.reshape(-1)[:: expected["stride"]] - reference)
            relative = np.sqrt((difference**2).sum() / (reference**2).sum())
            assert difference.max() <= 3e-4 * expected["std"], expected["name"]
            assert difference.mean() <= 3e-5 * expected["std"], expected["name"]
            assert relative <= 1e-4, expected["name"]


@cache
def golden(name: str) -> Golden:
    """The golden at this path in the folder, such as ``nets/rtmpose_t_256x192_k17``."""
    path = folder() / f"{name}.json"
    arrays = path.with_suffix(".npz")
    with np.load(arrays) as stored:
        return Golden(json.loads(path.read_text(encoding="utf-8")), dict(stored))


def golden_state(
    shapes: list[tuple[str, list[int]]], gains: list[tuple[str, float]], tied: dict[str, str], skip: list[str]
) -> dict[str, np.ndarray]:
    """Weights drawn from a generator seeded with each key's name (the rule of the goldens' README)."""
    gain_of = dict(map(tuple, gains))
    state: dict[str, np.ndarray] = {}
    for key, shape in shapes:
        if key in skip:
            continue
        source = tied.get(key, key)  # shared tensors take the values of another key
        rng = np.random.Generator(np.random.PCG64(zlib.crc32(source.encode())))
        last = source.rsplit(".", 1)[-1]
        if last == "num_batches_tracked":
            state[key] = np.zeros(shape, np.int64)
        elif last == "weight" and len(shape) >= 2:  # convolution, transposed convolution, linear
            prefix = max((p for p in gain_of if source.startswith(p)), key=len, default=None)
            gain = 1.0 if prefix is None else gain_of[prefix]
            state[key] = (rng.standard_normal(shape) * (gain / np.sqrt(np.prod(shape[1:])))).astype(np.float32)
        elif last in ("bias", "running_mean"):
            state[key] = (rng.standard_normal(shape) * 0.1).astype(np.float32)
        else:  # weight of a norm, running_var, gamma, beta, g, scale
            state[key] = rng.uniform(0.5, 1.5, shape).astype(np.float32)
    return state


@dataclass(frozen=True)
class Case:
    """One case of an algorithm: its parameters and the arrays that went in and came out."""

    name: str
    description: str
    params: dict[str, Any]
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


def algorithm_cases(name: str) -> list[Case]:
    """The cases of the golden at this path, such as ``algo/simcc_decode``."""
    stored = golden(name)

    def arrays(listed: dict[str, str]) -> dict[str, np.ndarray]:
        return {key: stored.arrays[entry.split(" ", 1)[0]] for key, entry in listed.items()}

    return [
        Case(c["id"], c["description"], c.get("params", {}), arrays(c["inputs"]), arrays(c["outputs"]))
        for c in stored.info["cases"]
    ]
