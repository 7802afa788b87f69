"""The multi-scale test of bottom-up models: sizes, what is averaged, and files that take other sizes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgepose.evaluate import measures
from edgepose.evaluate.measures import prepared
from edgepose.evaluate.multiscale import MultiScale, at_size, network_of_sizes
from edgepose.geometry import whole_size
from edgepose.runtime.estimator import Estimator
from edgepose.skeleton import COCO
from edgepose.spec import ModelSpec

SPEC = ModelSpec("discs", "associative", (128, 128), warp="middle")
SIDES = np.array([(1 if name.startswith("left") else -1 if name.startswith("right") else 0) for name in COCO.names])
OFFSETS = np.stack([10.0 * SIDES, np.linspace(-14, 14, 17)], axis=1)  # in pixels of the input at scale 1
OFFSETS[:, 1] = (OFFSETS[:, 1] + OFFSETS[list(COCO.flip), 1]) / 2  # symmetric, so that a mirror image looks the same
PICTURE = np.zeros((180, 240, 3), np.uint8)
cv2.circle(PICTURE, (60, 90), 9, (100, 100, 100), -1)
cv2.circle(PICTURE, (170, 70), 9, (200, 200, 200), -1)


class Discs:
    """A network that sees a person around each disc, whose tag is its brightness at scale 1 and noise elsewhere."""

    def __init__(self, size: tuple[int, int], base: tuple[int, int], heat: float, calls: list) -> None:
        self.spec = dataclasses.replace(SPEC, input_size=size)
        self.scale, self.heat, self.calls = size[0] / base[0], heat, calls

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        width, height = self.spec.input_size
        assert batch.shape == (1, height, width, 3)
        self.calls.append((width, height))
        gray = batch[0, ..., 0]
        count, labels = cv2.connectedComponents((gray > 40).astype(np.uint8))
        heat = np.zeros((17, height // 2, width // 2), np.float32)
        tags = np.zeros((17, height // 4, width // 4), np.float32)
        y, x = np.mgrid[: height // 2, : width // 2]
        for n in range(1, count):
            center = np.argwhere(labels == n)[:, ::-1].mean(0)
            tag = gray[labels == n].max() / 10.0 if self.scale == 1 else 7.0
            for k, (u, v) in enumerate((center + OFFSETS * self.scale) / 2):
                bump = np.exp(-((x + 0.4 - u) ** 2 + (y + 0.4 - v) ** 2) / (2 * (2 * self.scale) ** 2))
                heat[k] = np.maximum(heat[k], self.heat * bump)
            here = labels[::4, ::4] == n
            tags[:, cv2.dilate(here.astype(np.uint8), np.ones((15, 15))) > 0] = tag
        return [heat[None], tags[None]]


def test_heat_is_averaged_and_tags_are_those_of_scale_one() -> None:
    base, calls = whole_size((240, 180), 128, 1.0, 0.5), []
    heats = {64: 0.3, 128: 0.6, 256: 0.9}
    test = MultiScale(SPEC, lambda size: Discs(size, base, heats[size[1]], calls), (0.5, 1.0, 2.0))
    poses = test(PICTURE)
    assert calls == [whole_size((240, 180), 128, scale, 0.5) for scale in (0.5, 1.0, 2.0)]
    assert [min(size) for size in calls] == [64, 128, 256]
    assert len(poses) == 2
    factor = 180 / 128
    for center in ((60, 90), (170, 70)):
        expected = np.array(center) + OFFSETS * factor
        apart = np.linalg.norm(poses.keypoints - expected, axis=-1).mean(-1)
        assert apart.min() < 1.5
    assert 0.45 < poses.scores.max() <= 0.6  # the mean of .3, .6 and .9
    one = MultiScale(SPEC, lambda size: Discs(size, base, 0.9, calls), (1.0,))(PICTURE)
    assert one.scores.max() > 0.8
    assert len(test(np.zeros((180, 240, 3), np.uint8))) == 0


def test_mirror_images_are_looked_at_at_every_scale() -> None:
    base, calls = whole_size((240, 180), 128, 1.0, 0.5), []
    test = MultiScale(SPEC, lambda size: Discs(size, base, 0.9, calls), (0.5, 1.0), flip_test=True)
    poses = test(PICTURE)
    assert len(calls) == 4 and len(poses) == 2
    left, right = COCO.names.index("left_wrist"), COCO.names.index("right_wrist")
    assert (poses.keypoints[:, left, 0] > poses.keypoints[:, right, 0] + 20).all()


def test_a_network_is_made_once_for_each_size() -> None:
    base, made = whole_size((240, 180), 128, 1.0, 0.5), []

    def network_at(size: tuple[int, int]) -> Discs:
        made.append(size)
        return Discs(size, base, 0.9, [])

    test = MultiScale(SPEC, network_at, (0.5, 1.0))
    test(PICTURE)
    test(PICTURE)
    assert len(made) == 2
    test(np.ascontiguousarray(PICTURE.transpose(1, 0, 2)))
    assert len(made) == 4


def test_what_does_not_fit_is_refused() -> None:
    def never(size: tuple[int, int]) -> Discs:
        raise AssertionError(size)

    with pytest.raises(ValueError, match=r"scales \[0.5, 2.0\]: expected 1 among them"):
        MultiScale(SPEC, never, (0.5, 2.0))
    with pytest.raises(ValueError, match="is no bottom-up model"):
        MultiScale(ModelSpec("boxes", "boxes", (64, 64), skeleton="box"), never, (1.0, 2.0))
    with pytest.raises(ValueError, match=r"make an input of \d+x\d+, expected multiples of 32"):
        MultiScale(SPEC, never, (0.7, 1.0))(PICTURE)
    with pytest.raises(ValueError, match="expected no boxes"):
        MultiScale(SPEC, never, (0.5, 1.0))(PICTURE, np.zeros((1, 4)))
    with pytest.raises(ValueError, match="has a fixed input size"):
        at_size(Path("model.xml"), SPEC, (64, 64))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Maps that are means of the picture's brightness, with an output that is tied to the size of 64 x 64."""
    pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    spec = dataclasses.replace(SPEC, input_size=(64, 64), name="means")
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["half"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("AveragePool", ["planes"], ["quarter"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Conv", ["half", "weights"], ["heatmaps"]),
        helper.make_node("Conv", ["quarter", "weights"], ["tags"]),
        helper.make_node("Reshape", ["heatmaps", "flat"], ["rows"]),
        helper.make_node("TopK", ["rows", "few"], ["peak_scores", "peak_cells"]),
    ]
    stored = [
        helper.make_tensor("weights", TensorProto.FLOAT, [17, 3, 1, 1], [0.001] * 51),
        helper.make_tensor("flat", TensorProto.INT64, [3], [1, 17, 1024]),
        helper.make_tensor("few", TensorProto.INT64, [1], [30]),
    ]
    value = helper.make_tensor_value_info
    outputs = [
        value("heatmaps", TensorProto.FLOAT, [1, 17, 32, 32]), value("tags", TensorProto.FLOAT, [1, 17, 16, 16]),
        value("peak_scores", TensorProto.FLOAT, [1, 17, 30]), value("peak_cells", TensorProto.INT64, [1, 17, 30]),
    ]  # fmt: skip
    images = value("images", TensorProto.UINT8, [1, 64, 64, 3])
    graph = helper.make_graph(nodes, "means", [images], outputs, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    entry = model.metadata_props.add()
    entry.key, entry.value = "edgepose", spec.to_json()
    path = tmp_path / "means.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_a_file_is_opened_for_other_sizes(file: Path) -> None:
    import edgepose

    estimator = edgepose.load(file)
    assert len(estimator(np.zeros((64, 64, 3), np.uint8))) == 0
    network = network_of_sizes(str(file), estimator.spec, "onnxruntime", 1)((128, 96))
    batch = np.random.default_rng(0).integers(0, 255, (1, 96, 128, 3), np.uint8)
    heat, tags = network(batch)
    assert heat.shape == (1, 17, 48, 64) and tags.shape == (1, 17, 24, 32)
    expected = cv2.resize(batch[0].astype(np.float32), (64, 48), interpolation=cv2.INTER_AREA).sum(-1) * 0.001
    np.testing.assert_allclose(heat[0, 3], expected, rtol=1e-4)
    assert isinstance(prepared(estimator, False, (1.0,), lambda size: network), Estimator)
    both = prepared(estimator, True, (1.0, 2.0), network_of_sizes(str(file), estimator.spec, "onnxruntime", 1))
    assert isinstance(both, MultiScale) and measures.tests_of(both) == {"flip_test": True, "scales": [1.0, 2.0]}
    both(PICTURE)


def test_evaluate_takes_scales_of_a_bottom_up_file(file: Path, tmp_path: Path) -> None:
    pytest.importorskip("hotcoco")
    from typer.testing import CliRunner

    from edgepose.cli import app

    cv2.imwrite(str(tmp_path / "a.png"), PICTURE)
    person = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "num_keypoints": 17, "bbox": [20, 20, 90, 90],
              "area": 4000.0, "keypoints": [60, 60, 2] * 17}  # fmt: skip
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 240, "height": 180}], "annotations": [person],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.names)}],
    }  # fmt: skip
    (tmp_path / "labels.json").write_text(json.dumps(content))
    words = ["evaluate", "--model", str(file), "--data", str(tmp_path / "labels.json"), "--images", str(tmp_path)]
    done = CliRunner().invoke(app, [*words, "--json", "--scales", "1,2", "--flip-test"])
    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout)
    assert row["scales"] == [1.0, 2.0] and row["flip_test"] is True and row["images"] == 1
    wrong = CliRunner().invoke(app, [*words, "--scales", "0.5,2"])
    assert wrong.exit_code == 1 and "expected 1 among them" in wrong.output.replace("\n", " ")
