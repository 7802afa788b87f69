from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepose.quantize.graph import fitting, layers_of, plain, read_graph, store_half
from edgepose.runtime.session import raw
from tests.quantize.small import SIZE, small_graph

onnx = pytest.importorskip("onnx")


def pictures(count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE[1], SIZE[0], 3), dtype=np.uint8)


def test_a_layer_is_a_node_with_weights_and_what_works_on_its_outputs() -> None:
    layers = layers_of(plain(small_graph()))
    assert [(layer.name, layer.nodes) for layer in layers] == [
        ("first", ("first_conv", "first_relu")),
        ("wide", ("wide_conv", "wide_relu")),
        ("next", ("next_conv", "next_relu")),
        ("head", ("head_conv",)),
    ]
    assert [layer.name for layer in layers if layer.final] == ["head"]


def test_where_two_layers_meet_the_later_one_takes_the_node() -> None:
    model = small_graph()
    add = onnx.helper.make_node("Add", ["wide_in", "next_in"], ["sum"], name="sum")
    model.graph.node.insert(len(model.graph.node) - 3, add)  # in front of next_conv
    next(node for node in model.graph.node if node.name == "next_conv").input[0] = "sum"
    assert [layer.nodes for layer in layers_of(plain(model))][1] == ("wide_conv", "wide_relu", "sum")


def test_stored_halves_become_plain_constants_and_every_node_gets_a_name() -> None:
    model = small_graph()
    store_half(model.graph)  # head alone has 64 weights or more
    for node in model.graph.node:
        node.name = ""
    kinds = [tensor.data_type for tensor in model.graph.initializer]
    assert onnx.TensorProto.FLOAT16 in kinds
    simple = plain(model)
    assert {tensor.data_type for tensor in simple.graph.initializer} == {onnx.TensorProto.FLOAT}
    names = [node.name for node in simple.graph.node]
    assert all(names) and len(set(names)) == len(names)
    batch = pictures()
    before, after = (raw(each.SerializeToString())(batch)[0] for each in (model, simple))
    np.testing.assert_allclose(after, before, rtol=1e-5)
    assert [tensor.data_type for tensor in model.graph.initializer] == kinds  # the copy alone has changed


def test_an_older_opset_is_brought_up() -> None:
    model = plain(small_graph(opset=11))
    assert model.opset_import[0].version == 17
    assert [layer.name for layer in layers_of(model)] == ["first", "wide", "next", "head"]


def test_a_quantized_file_is_refused(tmp_path: Path) -> None:
    model = small_graph()
    model.graph.node[0].op_type = "DequantizeLinear"
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="is quantized already: expected the float32 file"):
        read_graph(path)


def test_batches_are_of_the_size_that_a_graph_insists_on() -> None:
    model = small_graph()
    parts = [pictures(3), pictures(2)]
    assert [len(part) for part in fitting(model, parts)] == [3, 2]
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    fixed = fitting(model, parts)
    assert [len(part) for part in fixed] == [2, 2]
    np.testing.assert_array_equal(np.concatenate(fixed), np.concatenate(parts)[:4])
