"""ONNX graphs as quantization needs them: plain float32 constants, a name for every node, and what makes a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")  # what the multiplications are in
QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "ConvInteger")
OLDEST = 13  # opset from which weights can have a scale for each channel
OPSET = 17  # what older graphs are brought to
LARGE = 64  # numbers of a constant, from which it is stored as float16


@dataclass(frozen=True)
class Layer:
    """One node with weights, and the nodes without any that work on what it gives (activation, addition, ...).

    name: what its weights are called, else the node; nodes: names, the weighted one first
    final: whether it gives an output of the graph
    """

    name: str
    nodes: tuple[str, ...]
    final: bool


def read_graph(model: Path) -> Any:
    """The onnx.ModelProto of a file that a session could open; ValueError where it is quantized already."""
    import onnx

    proto = onnx.load(str(model))
    if any(node.op_type in QUANTIZED for node in proto.graph.node):
        raise ValueError(f"{model} is quantized already: expected the float32 file that it was made from")
    return proto


def plain(model: Any) -> Any:
    """A copy with float32 constants in place of stored float16 ones, a name of its own for every node, and an opset in
    which channels can have their own scales.
    """
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    version = next((entry.version for entry in copy.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if version < OLDEST:
        try:
            copy = onnx.version_converter.convert_version(copy, OPSET)
        except Exception as error:  # the converter raises bare RuntimeErrors, and others of its bindings
            raise ValueError(
                f"the graph is of ONNX opset {version} and cannot be brought to {OPSET} ({error}): export it again "
                f"with an opset of {OLDEST} or more"
            ) from error
    _widen(copy.graph)
    taken: set[str] = set()
    for i, node in enumerate(copy.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{i}_{node.output[0]}"
        taken.add(node.name)
    return copy


def layers_of(model: Any) -> list[Layer]:
    """The layers of a graph, in its order. Nodes before the first weights (pixels to floats, mean) are in none."""
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    outputs = {value.name for value in graph.output}
    owner: dict[str, int] = {}  # tensor -> layer
    names: list[str] = []
    nodes: list[list[str]] = []
    final: set[int] = set()
    for node in graph.node:
        known = [owner[name] for name in node.input if name in owner]
        weights = [name for name in node.input[1:2] if name in constants] if node.op_type in WEIGHTED else []
        if weights:
            names.append(weights[0].removesuffix(".weight"))
            nodes.append([node.name])
            place = len(names) - 1
        elif known:
            place = max(known)
            nodes[place].append(node.name)
        else:
            continue
        owner |= dict.fromkeys(node.output, place)
        if outputs & set(node.output):
            final.add(place)
    return [Layer(name, tuple(nodes[i]), i in final) for i, name in enumerate(names)]


def fitting(model: Any, batches: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The same views in batches of the size that a graph insists on, without those that fill none; as they are where it
    takes any.
    """
    first = model.graph.input[0].type.tensor_type.shape.dim[0]
    if not first.HasField("dim_value") or first.dim_value < 1:
        return list(batches)
    views, size = np.concatenate(batches), first.dim_value
    return [views[start : start + size] for start in range(0, len(views) - size + 1, size)]


def store_half(graph: Any) -> None:
    """Every large float32 constant becomes a float16 one with a Cast behind it, which loading folds back to float32."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < LARGE:
            continue
        half = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name + "_half")
        casts.append(helper.make_node("Cast", [half.name], [tensor.name], to=TensorProto.FLOAT))
        tensor.CopyFrom(half)
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend(casts + nodes)


def _widen(graph: Any) -> None:
    """Undo `store_half`: constants that a Cast makes float32 become float32 themselves."""
    from onnx import TensorProto, numpy_helper

    constants = {tensor.name: tensor for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        source = constants.get(node.input[0]) if _to_float(node) else None
        if source is None or source.data_type != TensorProto.FLOAT16:
            kept.append(node)
            continue
        wide = numpy_helper.to_array(source).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(wide, node.output[0]))
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in kept for name in node.input} | {value.name for value in graph.output}
    left = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(left)


def _to_float(node: Any) -> bool:
    from onnx import TensorProto

    return node.op_type == "Cast" and any(a.name == "to" and a.i == TensorProto.FLOAT for a in node.attribute)
