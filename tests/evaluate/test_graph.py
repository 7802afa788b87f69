from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.evaluate.graph import graph_size
from tests.runtime.small import pose_model, shared

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


def model(nodes: list[Any], constants: dict[str, np.ndarray], shape: list[Any], free: bool = False) -> bytes:
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape] if free else [1, *shape])
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", [given], [output], tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(made.SerializeToString())


def weights(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def test_convolutions() -> None:
    plain = helper.make_node("Conv", ["x", "w", "b"], ["out"], strides=[2, 2], pads=[1, 1, 1, 1])
    size = graph_size(model([plain], {"w": weights(8, 4, 3, 3), "b": weights(8)}, [4, 16, 12], free=True))
    assert size.macs == 8 * 6 * (8 * 4 * 9) == size.macs_output and size.parameters == 8 * 4 * 9 + 8
    assert size.by_operator == {"Conv": size.macs} and size.macs_activations == 0
    grouped = helper.make_node("Conv", ["x", "w"], ["out"], group=4)
    assert graph_size(model([grouped], {"w": weights(4, 1, 3, 3)}, [4, 10, 10])).macs == 8 * 8 * 4 * 9


def test_transposed_convolutions_on_either_side() -> None:
    node = helper.make_node("ConvTranspose", ["x", "w"], ["out"], strides=[2, 2], pads=[1, 1, 1, 1])
    size = graph_size(model([node], {"w": weights(4, 6, 4, 4)}, [4, 8, 8]))
    assert size.macs == 8 * 8 * 4 * 6 * 16 and size.macs_output == 4 * size.macs


def test_matrix_products() -> None:
    linear = helper.make_node("Gemm", ["x", "w", "b"], ["out"], transB=1)
    assert graph_size(model([linear], {"w": weights(5, 7), "b": weights(5)}, [7])).macs == 35
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),  # (1, 6, 8) x (8, 3)
        helper.make_node("Transpose", ["y"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["y", "t"], ["out"]),  # (1, 6, 3) x (1, 3, 6)
    ]
    size = graph_size(model(nodes, {"w": weights(8, 3)}, [6, 8]))
    assert size.macs == 6 * 8 * 3 and size.macs_activations == 6 * 3 * 6


def test_weights_stored_in_another_form_are_weights() -> None:
    half = np.zeros((8, 3), np.float16)
    nodes = [
        helper.make_node("Cast", ["w"], ["v"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "v"], ["out"]),
    ]
    size = graph_size(model(nodes, {"w": half}, [6, 8]))
    assert size.macs == 6 * 8 * 3 and size.parameters == 24


def test_a_whole_file() -> None:
    size = graph_size(pose_model())
    cells = 3 * 3 * 4
    assert size.macs == cells * 17 * (96 + 128) == size.parameters and size.by_operator == {"MatMul": size.macs}


def test_free_sides_are_filled_or_refused() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["out"], name="first")
    free = model([node], {"w": weights(4, 3, 3, 3)}, [3, "height", "width"], free=True)
    assert graph_size(free, (1, 3, 10, 12)).macs == 8 * 10 * 4 * 27
    with pytest.raises(ValueError, match=r"the shapes of Conv 'first' are not known"):
        graph_size(free)


def test_published_detectors() -> None:
    """RTMDet-nano 320: 0.308 G, counted by hand; YOLOX-nano 416: 0.52 G (1.04 GFLOPs of two each in its table)."""
    assert graph_size(shared("weights", "rtmdet-nano.onnx")).macs == pytest.approx(0.308e9, rel=2e-3)
    assert graph_size(shared("weights", "yolox_nano.onnx")).macs == pytest.approx(0.52e9, rel=0.05)


def test_equal_to_the_count_of_the_network_itself(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from edgepose.models.macs import macs_true

    class Small(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1)
            self.up = torch.nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1)
            self.last = torch.nn.Linear(32, 5)

        def forward(self, images: Any) -> Any:
            return self.last(self.up(self.first(images)))

    network = Small()
    expected = macs_true(network, (32, 16))
    w = {name: value.detach().numpy() for name, value in network.named_parameters()}
    nodes = [
        helper.make_node("Conv", ["x", "first.weight", "first.bias"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("ConvTranspose", ["a", "up.weight", "up.bias"], ["b"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Transpose", ["last.weight"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["b", "t"], ["out"]),
    ]
    size = graph_size(model(nodes, w, [3, 16, 32]))
    assert size.macs == expected
    assert size.parameters == sum(value.size for value in w.values())


@pytest.mark.parametrize("content", [b"no model", b""])
def test_what_is_no_model(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    if content:
        with pytest.raises(ValueError, match=r"broken\.onnx is no ONNX file"):
            graph_size(path)
    with pytest.raises(FileNotFoundError):
        graph_size(tmp_path / "missing.onnx")
