"""INT8 forms of an ONNX graph: weights with a scale for each channel, activations with the ranges of calibration.

The nodes that round are put in by onnxruntime.quantization: QuantizeLinear and DequantizeLinear around every node, that
runtimes join into integer arithmetic.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgepose.quantize.graph import Layer, store_half
from edgepose.quantize.ranges import Range

# What is calculated in integers. Everything else, such as a soft-max or the choice of the best peaks, stays in float.
OPERATIONS = (
    "Conv", "Gemm", "MatMul", "Add", "Mul", "Sigmoid", "Relu", "LeakyRelu", "Clip", "Concat", "Split", "Resize",
    "MaxPool", "AveragePool", "GlobalAveragePool",
)  # fmt: skip


class Form:
    """A float32 graph of which INT8 forms are made, all with the same ranges.

    Args:
        model: as `graph.plain` gives it.
        ranges: by tensor.
        bits: of the weights: 7 where the processor adds up products of 8 bits in 16 (AVX2 without VNNI), else 8.
    """

    def __init__(self, model: Any, layers: Collection[Layer], ranges: Mapping[str, Range], bits: int) -> None:
        self._layers, self._bits = tuple(layers), bits
        self._metadata = {entry.key: entry.value for entry in model.metadata_props}
        self._inside = {name for layer in layers for name in layer.nodes}
        self._model = _shaped(model)
        self._ranges = _tensors(ranges)

    def int8(self, floats: Collection[Layer] = ()) -> Any:
        """The graph (onnx.ModelProto) in INT8, but for some layers, whose weights are stored as float16."""
        import onnx
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        copy = onnx.ModelProto()
        copy.CopyFrom(self._model)
        kept = {name for layer in floats for name in layer.nodes}
        quantized = [
            node.name
            for node in copy.graph.node
            if node.op_type in OPERATIONS and node.name in self._inside and node.name not in kept
        ]
        if not quantized:
            raise ValueError("no layer is left to quantize: expected convolutions or matrix products with weights")
        quantizer = QDQQuantizer(
            copy, True, self._bits < 8, QuantType.QInt8, QuantType.QUInt8, self._ranges, quantized, [],
            list(OPERATIONS), {"ActivationSymmetric": False, "WeightSymmetric": True},
        )  # fmt: skip
        with _quiet():
            quantizer.quantize_model()
        made = quantizer.model.model
        del made.graph.value_info[:]
        store_half(made.graph)
        described(made, self._metadata)
        return made


def described(model: Any, metadata: Mapping[str, str]) -> None:
    """Put metadata into a model in place of all that it has."""
    del model.metadata_props[:]
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value


def _shaped(model: Any) -> Any:
    """With the shapes of its tensors, as the quantizer wants it; it reads them from files alone."""
    import onnx
    from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

    with tempfile.TemporaryDirectory(prefix="edgepose-quantize-") as folder, _quiet():
        path = Path(folder) / "model.onnx"
        onnx.save(model, str(path))
        return load_model_with_shape_infer(path)


def _tensors(ranges: Mapping[str, Range]) -> Any:
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData

    limits = {name: (np.array(low, np.float32), np.array(high, np.float32)) for name, (low, high) in ranges.items()}
    return TensorsData(CalibrationMethod.MinMax, limits)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what the quantizer says of every node."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
