"""Networks run by OpenVINO (the `openvino` extra)."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import openvino

from edgepose.runtime.cores import thread_count
from edgepose.runtime.network import Port, any_batch, as_arrays, fixed_batch, label, require_file, spec_for, try_out
from edgepose.runtime.resize import Size, check_fits, resized_spec
from edgepose.runtime.signal_stack import kept_signal_stack
from edgepose.spec import ModelSpec

Precision = Literal["bf16", "f32"]
ERRORS = (RuntimeError, MemoryError, UnicodeDecodeError, TypeError)  # OpenVINO has no kinds of its own

# Crops per run. Whole calls with 30 people on 2 cores, in ms, with 4, 6, 8, 10, 15 and 30 at a time: 95, 85, 88, 80,
# 79, 79. Sizes that change from run to run cost a little too.
CHUNK = 16


class OpenVinoSession:
    """An ONNX file, or an OpenVINO one (.xml), as a `Network`. Threads may share it.

    Arithmetic is bfloat16 where the processor has it (1.3-2.0x faster, RTMDet-nano's AP .427 -> .425), else float32;
    `precision` says which. One request at a time with all threads, unless `streams` says otherwise: for one picture two
    requests of one thread each in an asynchronous queue were no faster (RTMDet-nano, then RTMPose-s on 8 people, 2
    cores: one batch 20.6 ms, queue 21.8, one by one 22.5). A batch size seen for the first time takes some 45 ms
    longer. OpenVINO's runtime sends no telemetry.

    Args:
        precision: "bf16" or "f32"; by default what the processor is best at.
        streams: as many threads of the caller can run it at the same time, and share its own threads.
        size: (w, h) of the input, of detectors, where it is not to be the file's own.

    Raises FileNotFoundError for no such file, ValueError for everything that is not such a model.
    """

    def __init__(
        self,
        model: str | Path | bytes,
        spec: ModelSpec | None = None,
        *,
        threads: int | None = None,
        precision: Precision | None = None,
        streams: int = 1,
        size: Size | None = None,
    ) -> None:
        require_file(model)
        self._source = label(model)
        if precision is not None and precision not in get_args(Precision):
            raise ValueError(
                f"precision is {precision!r}, expected one of {list(get_args(Precision))}, or None for the best here"
            )
        self.backend, self.threads = "openvino", thread_count(threads)
        with kept_signal_stack():
            inputs = self._compile(model, spec, precision, streams, size)
        self.why, self.workers = "", 1
        self.chunk = CHUNK
        self._fixed = fixed_batch(inputs, self.spec, self._source)
        self._requests = threading.local()  # a request holds one run's tensors
        outputs = try_out(self, self._source)
        if size is not None:
            check_fits(self.spec, outputs, self._source)

    def _compile(
        self,
        model: str | Path | bytes,
        spec: ModelSpec | None,
        precision: Precision | None,
        streams: int,
        size: Size | None,
    ) -> list[Port]:
        """Find the spec and make the network ready to run; returns its inputs."""
        core = openvino.Core()
        self.precision = precision or precisions(core)[0]
        options = {
            "INFERENCE_PRECISION_HINT": self.precision, "INFERENCE_NUM_THREADS": self.threads, "NUM_STREAMS": streams,
        }  # fmt: skip
        try:
            graph = core.read_model(model if isinstance(model, bytes) else str(model))
            inside = _metadata(graph)
        except ERRORS as error:
            raise ValueError(
                f"{self._source} is no model that OpenVINO can run: expected an ONNX or .xml file, but {_detail(error)}"
            ) from error
        self.spec = spec_for(model, spec, inside)
        if size is not None:
            self.spec = resized_spec(self.spec, size)
        try:
            if size is not None:
                dims = (size[1], size[0], 3) if self.spec.layout == "nhwc" else (3, size[1], size[0])
                graph.reshape([graph.inputs[0].partial_shape[0], *dims])
            self._compiled = core.compile_model(graph, "CPU", options)
            return [_port(value) for value in graph.inputs]
        except ERRORS as error:
            raise ValueError(
                f"{self._source} is no model that OpenVINO can run: expected an ONNX or .xml file, but {_detail(error)}"
            ) from error

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """(B, h, w, 3) uint8, or (B, 3, h, w) float32 where the spec says nchw -> raw outputs, in the graph's order."""
        return any_batch(self._run, batch, self.spec, self._source, self._fixed)

    def _run(self, batch: np.ndarray) -> list[np.ndarray]:
        if not hasattr(self._requests, "own"):
            self._requests.own = self._compiled.create_infer_request()
        request = self._requests.own
        try:
            request.infer({0: batch}, share_inputs=True)
            outputs = [np.array(request.get_output_tensor(i).data) for i in range(len(self._compiled.outputs))]
        except ERRORS as error:
            raise ValueError(f"{self._source} cannot be run on a batch {batch.shape}: {_detail(error)}") from error
        return as_arrays(outputs, self._source)


def precisions(core: Any = None) -> tuple[Precision, ...]:
    """What this processor can calculate in, quickest first."""
    able = "BF16" in (core or openvino.Core()).get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("bf16", "f32") if able else ("f32",)


def convert(source: Path, target: Path, half: bool = False) -> None:
    """An ONNX file as OpenVINO's own, `target` (.xml) and its .bin; what it says of itself comes along.

    half: store the weights as float16.
    """
    openvino.save_model(openvino.Core().read_model(source), target, compress_to_fp16=half)


def _metadata(graph: Any) -> str | None:
    """The spec that an ONNX file's metadata, or an OpenVINO file's own information, carries."""
    for path in (["framework", "edgepose"], ["edgepose"]):
        if graph.has_rt_info(path):
            value = graph.get_rt_info(path)
            return str(getattr(value, "value", value))
    return None


def _port(value: Any) -> Port:
    kind = {"f32": "float32", "u8": "uint8"}.get(value.element_type.get_type_name(), value.element_type.get_type_name())
    if value.partial_shape.rank.is_dynamic:
        return Port(value.any_name, kind, ())
    shape = tuple(None if side.is_dynamic else side.get_length() for side in value.partial_shape)
    return Port(value.any_name, kind, shape)


def _detail(error: Exception) -> str:
    """The last thing OpenVINO says, which is the cause, on one line of bounded length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[-1] if lines else type(error).__name__
    return text if len(text) <= 200 else text[:200] + " ..."
