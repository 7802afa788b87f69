"""How large a model file is: parameters and multiply-accumulates, read from its ONNX graph.

For files of others, whose network nobody can build here. `models/macs.py` counts networks that are built.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

PRODUCTS = ("Conv", "ConvInteger", "ConvTranspose", "Gemm", "MatMul", "MatMulInteger", "QLinearConv", "QLinearMatMul")
# Where the weights are among the inputs; the others' are at 1.
WEIGHTS_AT = {"QLinearConv": 3, "QLinearMatMul": 3}


@dataclass(frozen=True)
class GraphSize:
    """Of one picture, or of one person where the network looks at persons.

    macs:             products with weights as the hardware does them (transposed convolutions on input positions)
    macs_output:      the same with transposed convolutions counted on output positions, as HRNet's counter does
    macs_activations: products of two activations, as in attention
    parameters:       values that take part in arithmetic; batch normalization is usually folded into them
    by_operator:      macs of each kind of node
    """

    macs: int
    macs_output: int
    macs_activations: int
    parameters: int
    by_operator: dict[str, int] = field(default_factory=dict)


def graph_size(model: str | Path | bytes, input_shape: tuple[int, ...] | None = None) -> GraphSize:
    """Count a file's nodes, inside branches and loops once each.

    Args:
        input_shape: of the picture, batch first; fills the sides that the file leaves free. The batch is 1 anyway.

    Raises ValueError where the shape of a product cannot be inferred: its count would be too low without a word.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("counting a graph needs onnx: pip install edgepose[evaluate]") from error
    source = f"the model of {len(model)} bytes" if isinstance(model, bytes) else str(model)
    try:
        loaded = onnx.load_from_string(model) if isinstance(model, bytes) else onnx.load(str(model))
    except FileNotFoundError:
        raise
    except Exception as error:  # protobuf's own kinds derive from Exception alone
        raise ValueError(f"{source} is no ONNX file: {' '.join(str(error).split())[:200]}") from error
    for value in loaded.graph.input:
        for i, side in enumerate(value.type.tensor_type.shape.dim):
            free = side.dim_param or side.dim_value == 0
            if free and (i == 0 or (input_shape is not None and i < len(input_shape))):
                side.dim_value = 1 if i == 0 or input_shape is None else input_shape[i]
    for value in [*loaded.graph.output, *loaded.graph.value_info]:  # stated for any batch, so that 1 would contradict
        value.type.tensor_type.ClearField("shape")
    try:
        loaded = onnx.shape_inference.infer_shapes(loaded, data_prop=True)
    except Exception as error:
        raise ValueError(f"{source}: its shapes contradict each other: {' '.join(str(error).split())[:200]}") from error
    counter = _Counter(source)
    counter.graph(loaded.graph, {}, {})
    return GraphSize(
        counter.macs, counter.macs_output, counter.macs_activations, counter.parameters, dict(counter.by_operator)
    )


class _Counter:
    def __init__(self, source: str) -> None:
        self.source = source
        self.macs = self.macs_output = self.macs_activations = self.parameters = 0
        self.by_operator: dict[str, int] = defaultdict(int)

    def graph(self, graph: Any, shapes: dict[str, list[int] | None], weights: dict[str, list[int]]) -> None:
        """Add a graph; `shapes` and `weights` are those that it sees from outside."""
        from onnx import TensorProto

        shapes, weights = dict(shapes), dict(weights)
        for value in [*graph.input, *graph.value_info, *graph.output]:
            shapes[value.name] = _shape(value)
        numbers = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.INT8, TensorProto.UINT8)
        for tensor in graph.initializer:
            shapes[tensor.name] = weights[tensor.name] = list(tensor.dims)
            if tensor.data_type in numbers:  # int64 is shapes and indices
                self.parameters += prod(tensor.dims)
        for node in graph.node:
            if node.op_type == "Constant":
                value = next((a.t for a in node.attribute if a.name == "value"), None)
                if value is not None:
                    shapes[node.output[0]] = weights[node.output[0]] = list(value.dims)
                    self.parameters += prod(value.dims) if value.data_type in numbers and value.dims else 0
            elif node.op_type in ("DequantizeLinear", "Cast", "Identity", "Transpose", "Reshape"):
                if node.input[0] in weights:  # stored in another form, weights all the same
                    weights[node.output[0]] = shapes.get(node.output[0]) or weights[node.input[0]]
            elif node.op_type in PRODUCTS:
                self.product(node, shapes, weights)
            for attribute in node.attribute:
                for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                    self.graph(inner, shapes, weights)

    def product(self, node: Any, shapes: dict[str, list[int] | None], weights: dict[str, list[int]]) -> None:
        """Add a convolution or matrix product."""
        kind = node.op_type
        at = WEIGHTS_AT.get(kind, 1)
        second, output = shapes.get(node.input[at]), shapes.get(node.output[0])
        first = shapes.get(node.input[0])
        if first is None or second is None or output is None:
            raise ValueError(f"{self.source}: the shapes of {kind} {node.name or node.output[0]!r} are not known")
        on_output = 0
        if kind == "ConvTranspose":
            count = prod(first) * prod(second[1:])  # every input value meets (out / groups, k, k) weights
            on_output = prod(output) // output[1] * prod(second)
        elif "Conv" in kind:
            count = prod(output) * prod(second[1:])  # every output value sums (in / groups, k, k) products
        elif kind == "Gemm":
            transposed = any(a.name == "transA" and a.i for a in node.attribute)
            count = prod(output) * first[0 if transposed else -1]
        else:
            count = prod(output) * first[-1]
        if kind not in ("Conv", "ConvTranspose") and not {node.input[0], node.input[at]} & set(weights):
            self.macs_activations += count
            return
        self.macs += count
        self.macs_output += on_output or count
        self.by_operator[kind] += count


def _shape(value: Any) -> list[int] | None:
    """The sides of a tensor, None where one is not known."""
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        return None
    sides = value.type.tensor_type.shape.dim
    return [side.dim_value for side in sides] if all(side.HasField("dim_value") for side in sides) else None
