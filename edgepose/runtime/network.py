"""What the runtime asks of a network, and the checks that every kind of session shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgepose.codec import codec_of
from edgepose.spec import ModelSpec

Run = Callable[[np.ndarray], list[np.ndarray]]


class Network(Protocol):
    """Anything that runs a batch: a session of some runtime, or a torch module while training."""

    @property
    def spec(self) -> ModelSpec:
        """What the runtime must know about it."""

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """(B, h, w, 3) uint8, or (B, 3, h, w) float32 where `spec.layout` says nchw -> raw outputs, B first in each."""


@dataclass(frozen=True)
class Port:
    """A graph's input: numpy's name of its type, and its shape with None where it is free."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


def label(model: str | Path | bytes) -> str:
    """How errors name a model."""
    return f"the model of {len(model)} bytes" if isinstance(model, bytes) else str(model)


def require_file(model: str | Path | bytes) -> None:
    """Say so where a model's file is not there."""
    if isinstance(model, bytes):
        return
    path = Path(model)
    if path.is_dir():
        raise ValueError(f"{path} is a folder, expected a model file such as model.onnx")
    if not path.is_file():
        raise FileNotFoundError(f"no model at {path}: expected a file; check the path, or list names: edgepose models")


def spec_for(model: str | Path | bytes, stated: ModelSpec | None, inside: str | None) -> ModelSpec:
    """The spec stated by the caller, else the one inside the file, else ``model.json`` beside it."""
    if stated is not None:
        return stated
    if inside is not None:
        return ModelSpec.from_json(inside, f"the spec inside {label(model)}")
    beside = None if isinstance(model, bytes) else ModelSpec.beside(Path(model))
    if beside is None:
        raise ValueError(
            f"{label(model)} carries no model spec: export it with `edgepose export`, pass spec=, or write the spec's "
            f"fields to a .json file beside it"
        )
    return beside


def fixed_batch(inputs: list[Port], spec: ModelSpec, source: str) -> int | None:
    """The batch size that a graph insists on, None where it takes any; ValueError where its input does not fit."""
    width, height = spec.input_size
    expected = ("uint8", (height, width, 3)) if spec.layout == "nhwc" else ("float32", (3, height, width))
    if len(inputs) != 1:
        raise ValueError(f"{source} has {len(inputs)} inputs, expected one picture batch; it is no model of this kind")
    port = inputs[0]
    sides = zip(port.shape[1:], expected[1], strict=False)
    if len(port.shape) != 4 or any(side not in (None, wanted) for side, wanted in sides):
        shown = tuple("?" if side is None else side for side in port.shape)
        raise ValueError(
            f"{source} takes {shown}, its spec says (B, {', '.join(map(str, expected[1]))}) "
            f"({spec.layout}, input_size {spec.input_size}): correct the spec"
        )
    if port.dtype != expected[0]:
        raise ValueError(f"{source} takes {port.dtype}, its spec says {expected[0]} ({spec.layout}): correct the spec")
    size = port.shape[0]
    if size is not None and size != 1 and not spec.per_person:
        raise ValueError(f"{source} takes {size} pictures at a time, expected 1 or any number: export it again")
    return size


def any_batch(run: Run, batch: np.ndarray, spec: ModelSpec, source: str, fixed: int | None = None) -> list[np.ndarray]:
    """Any number of rows, if they are what the spec says, through `run`, which takes some, or exactly `fixed`."""
    batch = _checked(batch, spec, source)
    if len(batch) == 0:  # the outputs' shapes, with nothing in them
        one = np.zeros((1, *batch.shape[1:]), batch.dtype)
        return [output[:0] for output in any_batch(run, one, spec, source, fixed)]
    if fixed is not None and fixed != len(batch):
        return _in_groups(run, batch, fixed)
    return run(batch)


def _checked(batch: np.ndarray, spec: ModelSpec, source: str) -> np.ndarray:
    """The batch itself, contiguous, if the spec's graph takes it."""
    width, height = spec.input_size
    kind, sides = (np.uint8, (height, width, 3)) if spec.layout == "nhwc" else (np.float32, (3, height, width))
    if batch.dtype != kind or batch.shape[1:] != sides:
        raise ValueError(f"{source} takes {np.dtype(kind)} batches (B, {sides}), got {batch.dtype} {batch.shape}")
    return np.ascontiguousarray(batch)


def _in_groups(run: Run, batch: np.ndarray, size: int) -> list[np.ndarray]:
    """Any number of rows through a graph that takes exactly `size`; a short last group is filled up with zeros."""
    parts = []
    for start in range(0, len(batch), size):
        group = batch[start : start + size]
        missing = np.zeros((size - len(group), *batch.shape[1:]), batch.dtype)
        full = np.concatenate([group, missing]) if len(missing) else group
        parts.append([output[: len(group)] for output in run(full)])
    return [np.concatenate(level) for level in zip(*parts, strict=True)] if len(parts) > 1 else parts[0]


def as_arrays(outputs: list[Any], source: str) -> list[np.ndarray]:
    """Outputs of a runtime as arrays, half precision widened; ValueError for NaN and infinity, which are no people."""
    for output in outputs:
        if not isinstance(output, np.ndarray) or output.ndim == 0 or output.dtype.kind not in "fiu":
            raise ValueError(f"{source} gives {type(output).__name__}, expected number tensors: it is no pose model")
        if output.dtype.kind == "f" and output.size and not (np.isfinite(output.min()) and np.isfinite(output.max())):
            raise ValueError(f"{source} gives numbers that are not finite: its weights, or mean and std, are wrong")
    return [output.astype(np.float32) if output.dtype == np.float16 else output for output in outputs]


def try_out(network: Network, source: str) -> list[np.ndarray]:
    """Run one black picture and decode it, so that a wrong spec is found here; it is also the warm-up.

    Returns the outputs.
    """
    spec = network.spec
    codec = codec_of(spec)
    width, height = spec.input_size
    shape = (1, height, width, 3) if spec.layout == "nhwc" else (1, 3, height, width)
    outputs = network(np.zeros(shape, np.uint8 if spec.layout == "nhwc" else np.float32))
    try:
        codec.decode(outputs)
    except (ValueError, TypeError, ArithmeticError, LookupError, MemoryError) as error:
        shapes = [output.shape for output in outputs]
        raise ValueError(f"{source} does not fit its spec, codec {spec.codec}, outputs {shapes}: {error}") from error
    return outputs
