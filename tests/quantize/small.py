"""A network of four layers that finds the bright spot of a picture, and pictures with one, for tests of quantizing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgepose.spec import ModelSpec

SIZE = (48, 64)  # w, h
CHANNELS = 6
OUTLIER = 3000.0  # how much larger one channel is than all others, in a network that does not survive all in INT8


def small_graph(outlier: float = 1.0, layout: str = "nhwc", opset: int = 17) -> Any:
    """An onnx.ModelProto: first, wide, next, head, with an activation behind each but the last.

    outlier: factor of the first channel of `wide`, which `next` does not look at.
    """
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    shapes = {
        "first": (CHANNELS, 3),
        "wide": (CHANNELS, CHANNELS),
        "next": (CHANNELS, CHANNELS),
        "head": (17, CHANNELS),
    }
    weights = {name: rng.uniform(0.1, 0.3, (*shape, 1, 1)).astype(np.float32) for name, shape in shapes.items()}
    weights["first"] /= 100  # of pixels up to 255
    weights["wide"][0] *= outlier
    weights["next"][:, 0] = 0
    picture = ["batch", SIZE[1], SIZE[0], 3] if layout == "nhwc" else ["batch", 3, SIZE[1], SIZE[0]]
    kind = TensorProto.UINT8 if layout == "nhwc" else TensorProto.FLOAT
    nodes = []
    if layout == "nhwc":
        nodes = [
            helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        ]
    planes = "planes" if layout == "nhwc" else "images"
    nodes.append(helper.make_node("AveragePool", [planes], ["first_in"], kernel_shape=[4, 4], strides=[4, 4]))
    following = {"first": "wide", "wide": "next", "next": "head"}
    for name in weights:
        out = "heatmaps" if name == "head" else f"{name}_out"
        nodes.append(helper.make_node("Conv", [f"{name}_in", f"{name}.weight"], [out], name=f"{name}_conv"))
        if name != "head":
            nodes.append(helper.make_node("Relu", [out], [f"{following[name]}_in"], name=f"{name}_relu"))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", kind, picture)],
        [helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, ["batch", 17, SIZE[1] // 4, SIZE[0] // 4])],
        [numpy_helper.from_array(value, f"{name}.weight") for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def small_spec(layout: str = "nhwc") -> ModelSpec:
    """What the network is: heat-maps of one person in a whole picture."""
    return ModelSpec("small", "heatmap", SIZE, codec_args={"kind": "msra"}, warp="letterbox", layout=layout)  # type: ignore[arg-type]


def write_small_model(path: Path, outlier: float = 1.0) -> Path:
    """As `edgepose export` writes it."""
    model = small_graph(outlier)
    entry = model.metadata_props.add()
    entry.key, entry.value = "edgepose", small_spec().to_json()
    path.write_bytes(model.SerializeToString())
    return path


def spot(i: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Picture (64, 48, 3) number i: a bright spot on soft noise, and where its middle is."""
    rng = np.random.default_rng(i)
    image = rng.integers(0, 60, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    x, y = 2 + 4 * int(rng.integers(1, 11)), 2 + 4 * int(rng.integers(1, 15))
    cv2.circle(image, (x, y), 6, (255, 255, 255), -1, cv2.LINE_AA)
    return image, (x, y)


def write_spots(folder: Path, count: int) -> dict[str, Any]:
    """So many pictures, and their labels: all keypoints on the spot."""
    folder.mkdir()
    images, annotations = [], []
    for i in range(count):
        image, (x, y) = spot(i)
        cv2.imwrite(str(folder / f"{i}.png"), image)
        images.append({"id": i + 1, "file_name": f"{i}.png", "width": SIZE[0], "height": SIZE[1]})
        annotations.append(
            {
                "id": i + 1, "image_id": i + 1, "category_id": 1, "iscrowd": 0, "num_keypoints": 17,
                "bbox": [0, 0, SIZE[0], SIZE[1]], "area": SIZE[0] * SIZE[1], "keypoints": [x, y, 2] * 17,
            }
        )  # fmt: skip
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
