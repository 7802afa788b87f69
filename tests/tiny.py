"""A model file of a few nodes that finds one person per picture, for tests of everything around the networks."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepose.spec import ModelSpec


def write_tiny_model(path: Path, per_person: bool = False, subject: str = "person") -> Path:
    """A heat-map network of COCO's keypoints, laid out as `edgepose export` does: uint8 BGR NHWC, spec inside."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    warp = "box" if per_person else "letterbox"
    spec = ModelSpec("tiny", "heatmap", (48, 64), codec_args={"kind": "msra"}, per_person=per_person, warp=warp,
                     categories=(subject,))  # fmt: skip
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Conv", ["small", "weights"], ["heatmaps"]),
    ]
    weights = helper.make_tensor("weights", TensorProto.FLOAT, [17, 3, 1, 1], [0.0001 * (i + 1) for i in range(51)])
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 64, 48, 3])
    heatmaps = helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, ["batch", 17, 16, 12])
    graph = helper.make_graph(nodes, "tiny", [images], [heatmaps], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    entry = model.metadata_props.add()
    entry.key, entry.value = "edgepose", spec.to_json()
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path
