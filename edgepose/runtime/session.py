"""Networks run by onnxruntime."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as state

from edgepose.runtime.cores import thread_count
from edgepose.runtime.network import Port, any_batch, as_arrays, fixed_batch, label, require_file, spec_for, try_out
from edgepose.runtime.resize import Size, check_fits, resized, resized_spec
from edgepose.spec import ModelSpec

# What onnxruntime raises about a file: its own kinds derive from Exception alone, and bindings add Python's.
_KINDS = (
    "EPFail", "EngineError", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "ModelLoaded", "NoModel",
    "NoSuchFile", "NotFound", "NotImplemented", "RuntimeException",
)  # fmt: skip
ERRORS: tuple[type[Exception], ...] = (
    *(getattr(state, kind) for kind in _KINDS if hasattr(state, kind)), RuntimeError, MemoryError, UnicodeDecodeError
)  # fmt: skip

# Worker threads wait at most this long in a busy loop between two layers, and not at all between two runs. A detector
# and a pose network in one process then never fight for the cores, without a process-wide pool (which would break
# every other onnxruntime session of the process). Measured on 2 cores, RTMDet-nano then RTMPose-s on 8 people, ms:
# default 73, shared pool 37, this 37; with two busy neighbors: default 156, no spinning 81, this 89.
SPIN_MICROSECONDS = 20

# Crops per run. RTMPose-s on 2 cores, ms per crop at 1, 2, 4, 6, 8, 10, 15 and 30: 4.18, 4.03, 3.81, 3.74, 3.74, 3.80,
# 4.03, 4.22 (larger batches leave the caches). One-thread sessions side by side, a crop each: 4.2.
CHUNK = 8

_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")


class Session:
    """An ONNX file as a `Network`. Threads may share it.

    `backend`, `precision` and `threads` say how it runs, `why` who wanted it so, `chunk` how many crops it takes.

    Args:
        model: a file, or its bytes.
        spec: what the file is, where it does not say so itself; a stated one counts before the file's own.
        threads: of this network; by default EDGEPOSE_THREADS, or the cores that the process may use.
        size: (w, h) of the input, of detectors, where it is not to be the file's own.

    Raises FileNotFoundError for no such file, ValueError for everything that is not such a model.
    """

    def __init__(
        self,
        model: str | Path | bytes,
        spec: ModelSpec | None = None,
        *,
        threads: int | None = None,
        size: Size | None = None,
    ) -> None:
        require_file(model)
        self._source = label(model)
        self.backend, self.precision, self.threads = "onnxruntime", "f32", thread_count(threads)
        self._session = _open(model, self._source, self.threads)
        try:
            inside = self._session.get_modelmeta().custom_metadata_map.get("edgepose")
            inputs = [_port(value) for value in self._session.get_inputs()]
        except ERRORS as error:
            raise _unreadable(self._source, error) from error
        self.why, self.workers = "", 1
        self.spec = spec_for(model, spec, inside)
        self.chunk = CHUNK
        if size is not None:
            self.spec = resized_spec(self.spec, size)
            content = model if isinstance(model, bytes) else Path(model).read_bytes()
            self._session = _open(resized(content, self.spec), self._source, self.threads)
            inputs = [_port(value) for value in self._session.get_inputs()]
        self._fixed = fixed_batch(inputs, self.spec, self._source)
        self._input = inputs[0].name
        outputs = try_out(self, self._source)
        if size is not None:
            check_fits(self.spec, outputs, self._source)

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """(B, h, w, 3) uint8, or (B, 3, h, w) float32 where the spec says nchw -> raw outputs, in the graph's order."""
        return any_batch(self._run, batch, self.spec, self._source, self._fixed)

    def _run(self, batch: np.ndarray) -> list[np.ndarray]:
        try:
            outputs = self._session.run(None, {self._input: batch})
        except ERRORS as error:
            raise ValueError(f"{self._source} cannot be run on a batch {batch.shape}: {_detail(error)}") from error
        return as_arrays(outputs, self._source)


def raw(model: bytes, threads: int | None = None) -> Callable[[np.ndarray], list[np.ndarray]]:
    """A graph as it is, whatever its outputs are: a batch -> all of them, in the graph's order."""
    session = _open(model, label(model), thread_count(threads))
    name = session.get_inputs()[0].name
    return lambda batch: as_arrays(session.run(None, {name: batch}), label(model))


def metadata(model: Path) -> dict[str, str]:
    """What an ONNX file says of itself; ValueError where onnxruntime cannot run it."""
    return dict(_open(model, label(model), 1).get_modelmeta().custom_metadata_map)


def _open(model: str | Path | bytes, source: str, threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what is wrong is raised, not printed
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("session.intra_op.spin_duration_us", str(SPIN_MICROSECONDS))
    try:
        file = model if isinstance(model, bytes) else str(model)
        return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except ERRORS as error:
        raise _unreadable(source, error) from error


def _unreadable(source: str, error: Exception) -> ValueError:
    return ValueError(f"{source} is no model that onnxruntime can run: expected an ONNX file, but {_detail(error)}")


def _detail(error: Exception) -> str:
    """The heart of what onnxruntime says, on one line of bounded length."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = _PREFIX.sub("", text)
    return text if len(text) <= 200 else text[:200] + " ..."


def _port(value: Any) -> Port:
    """Of onnxruntime's description, whose types read "tensor(float)" and whose free sides are names or None."""
    kind = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}.get(value.type, value.type)
    shape = tuple(side if isinstance(side, int) and side >= 0 else None for side in value.shape)
    return Port(value.name, kind, shape)
