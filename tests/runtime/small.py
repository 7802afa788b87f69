"""Model files of a few nodes, and networks of a few lines, for the tests of the runtime."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.spec import ModelSpec

SIMCC = ModelSpec("small-pose", "simcc", (48, 64), per_person=True)
DETECTOR = ModelSpec(
    "small-detector", "boxes", (64, 64), skeleton="box", codec_args={"format": "detections"}, warp="letterbox",
    border=114,
)  # fmt: skip
FOUND = np.array([[8, 4, 24, 40, 0.9], [30, 10, 50, 44, 0.6], [2, 2, 6, 6, 0.2]], np.float32)  # in network pixels
RTMDET = ModelSpec(
    "rtmdet-nano", "boxes", (320, 320), skeleton="box", codec_args={"format": "rtmdet-nhwc"}, warp="letterbox",
    border=114, layout="nchw", mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395),
)  # fmt: skip
YOLOX = ModelSpec(
    "yolox-nano", "boxes", (416, 416), skeleton="box", codec_args={"format": "yolox", "classes": 80}, warp="letterbox",
    border=114, layout="nchw",
)  # fmt: skip


def shared(*parts: str) -> Path:
    """A path in the data folder beside the checkout, or in EDGEPOSE_SHARED; the test is skipped where it is absent."""
    base = Path(os.environ.get("EDGEPOSE_SHARED") or Path(__file__).resolve().parents[3] / "shared")
    path = base.joinpath("data", *parts)
    if not path.exists():
        pytest.skip(f"{path} is not there: set EDGEPOSE_SHARED")
    return path


def model(
    spec: ModelSpec, nodes: Callable[[Any], list[Any]], outputs: dict[str, list[Any]], constants: dict[str, np.ndarray],
    batch: int | str = "batch", inside: bool = True,
) -> bytes:  # fmt: skip
    """An ONNX file whose nodes start from `planes`, the picture as float NCHW."""
    pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    width, height = spec.input_size
    nhwc = spec.layout == "nhwc"
    shape = [batch, height, width, 3] if nhwc else [batch, 3, height, width]
    first = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
    ]
    graph = helper.make_graph(
        (first if nhwc else [helper.make_node("Identity", ["images"], ["planes"])]) + nodes(helper),
        "small",
        [helper.make_tensor_value_info("images", TensorProto.UINT8 if nhwc else TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    if inside:
        entry = made.metadata_props.add()
        entry.key, entry.value = "edgepose", spec.to_json()
    return bytes(made.SerializeToString())


def pose_model(spec: ModelSpec = SIMCC, batch: int | str = "batch", inside: bool = True) -> bytes:
    """A linear SimCC network with random weights: its keypoints depend on every part of the crop."""
    rng = np.random.default_rng(0)
    (width, height), k = spec.input_size, len(spec.keypoints)
    cells = 3 * (width // 16) * (height // 16)
    bins = {"simcc_x": 2 * width, "simcc_y": 2 * height}
    constants: dict[str, np.ndarray] = {}
    for name, count in bins.items():
        constants[f"{name}_weights"] = (rng.standard_normal((cells, k * count)) * 1e-4).astype(np.float32)
        constants[f"{name}_shape"] = np.array([0, k, count])

    def nodes(helper: Any) -> list[Any]:
        made = [
            helper.make_node("AveragePool", ["planes"], ["pooled"], kernel_shape=[16, 16], strides=[16, 16]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
        ]
        for name in bins:
            made.append(helper.make_node("MatMul", ["flat", f"{name}_weights"], [f"{name}_flat"]))
            made.append(helper.make_node("Reshape", [f"{name}_flat", f"{name}_shape"], [name]))
        return made

    return model(spec, nodes, {name: [batch, k, count] for name, count in bins.items()}, constants, batch, inside)


def detector_model(spec: ModelSpec = DETECTOR, found: np.ndarray = FOUND, inside: bool = True) -> bytes:
    """A detector that finds `found` (N, 5) in every picture."""

    def nodes(helper: Any) -> list[Any]:
        return [
            helper.make_node("ReduceMean", ["planes"], ["mean"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
            helper.make_node("Add", ["found", "nothing"], ["dets"]),
        ]

    constants = {"zero": np.zeros(1, np.float32), "found": found[None]}
    return model(spec, nodes, {"dets": [1, len(found), 5]}, constants, 1, inside)


def picture(seed: int = 0, size: tuple[int, int] = (160, 120)) -> np.ndarray:
    """Soft random blobs, (H, W, 3) uint8."""
    from edgepose.runtime.bench import noise

    return noise(size, seed)


class BrightSpot:
    """A network without a file: every keypoint is the brightest pixel of the crop, as SimCC peaks of height 0.5."""

    def __init__(self, spec: ModelSpec = SIMCC) -> None:
        self.spec = spec
        self.batches: list[int] = []

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        assert len(batch) > 0, "an empty batch was run"
        self.batches.append(len(batch))
        planes = batch if self.spec.layout == "nhwc" else np.moveaxis(batch, 1, -1)
        (width, height), k = self.spec.input_size, len(self.spec.keypoints)
        outputs = [np.zeros((len(batch), k, 2 * width), np.float32), np.zeros((len(batch), k, 2 * height), np.float32)]
        for i, view in enumerate(planes):
            y, x = np.unravel_index(view.sum(-1).argmax(), (height, width))
            outputs[0][i, :, 2 * x] = 0.5
            outputs[1][i, :, 2 * y] = 0.5
        return outputs
