"""A detector's recipe put together: its data, its losses, and teachers at any size."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from edgepose.data.detection import Detections, read_boxes  # noqa: E402
from edgepose.spec import ModelSpec  # noqa: E402
from edgepose.train.distil.boxes import BoxTeacher  # noqa: E402
from edgepose.train.distil.teacher import Teacher  # noqa: E402
from edgepose.train.families import prepare  # noqa: E402
from edgepose.train.options import Detector  # noqa: E402
from edgepose.train.recipes import Recipe  # noqa: E402
from edgepose.train.task import WithImages  # noqa: E402
from tests.runtime.small import RTMDET, model, pose_model, shared  # noqa: E402

pytestmark = pytest.mark.torch

MEAN, STD = (100.0, 110.0, 120.0), (50.0, 60.0, 70.0)
STRIDES = (8, 16, 32)


def teacher_spec(size: int, kind: str = "rtmdet", layout: str = "nchw") -> ModelSpec:
    """A detector of people (class 1) and another thing."""
    args = {"format": kind, "classes": 2, "person": 1}
    norm: dict[str, Any] = {"mean": MEAN, "std": STD, "color": "rgb"} if layout == "nchw" else {}
    return ModelSpec("small", "boxes", (size, size), "box", args, warp="letterbox", layout=layout, **norm)


def teacher_model(spec: ModelSpec, tied: str = "", inside: bool = True) -> bytes:
    """RTMDet's outputs from means over cells, in a graph of fixed size and a batch of one.

    tied: "batch", all maps hold the mean of the whole batch; "size", the input is cut to the spec's size.
    """
    size, kind = spec.input_size[0], spec.codec_args["format"]
    rng = np.random.default_rng(0)
    constants = {f"w{s}": (rng.standard_normal((6, 3, 1, 1)) * 0.02).astype(np.float32) for s in STRIDES}
    constants |= {"start": np.array([0, 0]), "end": np.array([size, size]), "axes": np.array([2, 3])}
    constants |= {"two": np.array([2, 4])}
    outputs: dict[str, list[Any]] = {}
    for s in STRIDES:
        if kind == "rtmdet":
            outputs |= {f"logits{s}": [1, 2, size // s, size // s], f"distances{s}": [1, 4, size // s, size // s]}
        else:
            outputs[f"maps{s}"] = [1, size // s, size // s, 6]

    def nodes(helper: Any) -> list[Any]:
        made = [
            helper.make_node("Slice", ["planes", "start", "end", "axes"], ["cut"])
            if tied == "size"
            else helper.make_node("Identity", ["planes"], ["cut"]),
            helper.make_node("ReduceMean", ["cut"], ["mean"], axes=[0, 1, 2, 3] if tied == "batch" else [1, 2, 3]),
            helper.make_node("Add", ["cut", "mean"], ["seen"]),
        ]
        for s in STRIDES:
            made.append(helper.make_node("AveragePool", ["seen"], [f"p{s}"], kernel_shape=[s, s], strides=[s, s]))
            made.append(helper.make_node("Conv", [f"p{s}", f"w{s}"], [f"planes{s}"]))
            if kind == "rtmdet":
                names = [f"logits{s}", f"distances{s}"]
                made.append(helper.make_node("Split", [f"planes{s}", "two"], names, axis=1))
            else:
                made.append(helper.make_node("Transpose", [f"planes{s}"], [f"maps{s}"], perm=[0, 2, 3, 1]))
        return made

    return model(spec, nodes, outputs, constants, 1, inside)


def views(size: int, count: int = 3) -> np.ndarray:
    """(B, S, S, 3) uint8."""
    rng = np.random.default_rng(size)
    small = rng.integers(0, 256, (count, 6, 6, 3), np.uint8)
    return np.stack([cv2.resize(view, (size, size), interpolation=cv2.INTER_CUBIC) for view in small])


def direct(content: bytes, images: np.ndarray, spec: ModelSpec) -> list[np.ndarray]:
    """What onnxruntime gives, one picture at a time, with the arithmetic written out."""
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    if spec.layout == "nchw":
        ordered = images[..., ::-1] if spec.color == "rgb" else images
        mean, std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
        images = np.ascontiguousarray(((ordered - mean) / std).transpose(0, 3, 1, 2), np.float32)
    parts = [session.run(None, {session.get_inputs()[0].name: view[None]}) for view in images]
    return [np.concatenate(level) for level in zip(*parts, strict=True)]


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("kind", ["rtmdet", "rtmdet-nhwc"])
@pytest.mark.parametrize("size", [64, 96])
def test_maps_are_those_of_the_file_at_any_size(tmp_path: Path, size: int, kind: str, layout: str) -> None:
    (tmp_path / "teacher.onnx").write_bytes(teacher_model(teacher_spec(64, kind, layout)))
    images = views(size)
    found = BoxTeacher(Teacher(tmp_path / "teacher.onnx", threads=1), (size, size))(torch.from_numpy(images))
    spec = teacher_spec(size, kind, layout)
    outputs = direct(teacher_model(spec), images, spec)
    if kind == "rtmdet":
        logits, distances = [o[:, 1:2] for o in outputs[0::2]], outputs[1::2]
    else:
        planes = [o.transpose(0, 3, 1, 2) for o in outputs]
        logits, distances = [p[:, 1:2] for p in planes], [p[:, 2:] for p in planes]
    for ours, theirs in zip(found, [*logits, *distances], strict=True):
        assert theirs.std() > 0
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-4)


@pytest.mark.parametrize("size", [320, 192])
def test_maps_of_the_published_detector(tmp_path: Path, size: int) -> None:
    content = shared("weights", "rtmdet-nano.onnx").read_bytes()
    (tmp_path / "nano.onnx").write_bytes(content)
    (tmp_path / "nano.json").write_text(RTMDET.to_json(), encoding="utf-8")  # the spec lies beside
    freed = onnx.ModelProto.FromString(content)
    del freed.graph.value_info[:]
    for value in (*freed.graph.input, *freed.graph.output):
        for i, side in enumerate(value.type.tensor_type.shape.dim):
            side.dim_param = f"{value.name}{i}"
    folder = shared("coco_mini")
    records = read_boxes(folder / "annotations" / "person_keypoints_train2017.json", folder / "train2017")
    images, _ = Detections(records[:4], size).batch((0,), range(4), 1)
    found = BoxTeacher(Teacher(tmp_path / "nano.onnx", threads=1), (size, size))(torch.from_numpy(images))
    planes = [o.transpose(0, 3, 1, 2) for o in direct(freed.SerializeToString(), images, RTMDET)]
    assert [tuple(level.shape[2:]) for level in found[:3]] == [(size // s, size // s) for s in STRIDES]
    for ours, theirs in zip(found, [*(p[:, :1] for p in planes), *(p[:, 1:] for p in planes)], strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-3, atol=0.02)  # logits, and distances in pixels


@pytest.mark.parametrize(
    ("size", "tied", "message"),
    [
        (96, "size", "cannot teach at 96x96: its maps have another size"),
        (64, "batch", "cannot teach at 64x64: it gives other maps for two pictures at once"),
    ],
)
def test_tied_graphs_are_refused(tmp_path: Path, size: int, tied: str, message: str) -> None:
    (tmp_path / "teacher.onnx").write_bytes(teacher_model(teacher_spec(64), tied))
    with pytest.raises(ValueError, match=message) as caught:
        BoxTeacher(Teacher(tmp_path / "teacher.onnx"), (size, size))
    assert "\n" not in str(caught.value)


def test_what_cannot_teach_is_named(tmp_path: Path) -> None:
    (tmp_path / "pose.onnx").write_bytes(pose_model())
    (tmp_path / "text.onnx").write_text("hello")
    (tmp_path / "nameless.onnx").write_bytes(teacher_model(teacher_spec(64), inside=False))
    for name, message in (("pose", "expected a detector"), ("text", "expected an ONNX"), ("nameless", "no model spec")):
        with pytest.raises(ValueError, match=f"{name}.onnx .*{message}"):
            BoxTeacher(Teacher(tmp_path / f"{name}.onnx"), (64, 64))
    with pytest.raises(FileNotFoundError, match=r"missing\.onnx"):
        BoxTeacher(Teacher(tmp_path / "missing.onnx"), (64, 64))


@pytest.fixture
def data(tmp_path: Path) -> tuple[Path, Path]:
    """Three pictures with a person each."""
    images, people = [], []
    for i in range(3):
        picture = np.full((60, 80, 3), 40 * i, np.uint8)
        picture[10:50, 20:60] = (0, 200, 90)
        cv2.imwrite(str(tmp_path / f"{i}.png"), picture)
        images.append({"id": i, "file_name": f"{i}.png", "width": 80, "height": 60})
        people.append({"id": i, "image_id": i, "category_id": 1, "iscrowd": 0, "bbox": [20, 10, 40, 40], "area": 1600})
    labels = {"images": images, "annotations": people, "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    return tmp_path / "labels.json", tmp_path


RECIPE = Recipe("rtmdet-nano", epochs=1, batch=2, lr=1e-3, input_size=(64, 64), threads=1, options=Detector())


def told(**options: Any) -> Recipe:
    return dataclasses.replace(RECIPE, options=Detector(**options))


def losses(recipe: Recipe, data: tuple[Path, Path]) -> dict[str, float]:
    torch.manual_seed(0)
    task = prepare(recipe, [(*data, 1)])
    spec, network, samples, loss_of = task.spec, task.network, task.samples, task.loss_of
    images, targets = samples.batch((0,), np.arange(2), 1)
    given = {
        name: [torch.from_numpy(v) for v in value] if isinstance(value, list) else torch.from_numpy(value)
        for name, value in targets.items()
    }
    planes = (torch.from_numpy(images).permute(0, 3, 1, 2).float() - torch.tensor(spec.mean)[:, None, None]) / 57
    found = loss_of(network.train()(planes), given)
    torch.stack(list(found.values())).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    return {name: value.item() for name, value in found.items()}


def test_the_teachers_terms_and_their_weight(tmp_path: Path, data: tuple[Path, Path]) -> None:
    (tmp_path / "teacher.onnx").write_bytes(teacher_model(teacher_spec(96)))  # of another size than the views
    alone = losses(RECIPE, data)
    taught = losses(told(teacher=str(tmp_path / "teacher.onnx")), data)
    doubly = losses(told(teacher=str(tmp_path / "teacher.onnx"), teacher_weight=2.0), data)
    unheard = losses(told(teacher=str(tmp_path / "teacher.onnx"), teacher_weight=0.0), data)
    assert alone.keys() == unheard.keys() == {"quality", "box"}
    assert taught.keys() == {"quality", "box", "teacher_quality", "teacher_box"}
    for name, value in taught.items():
        assert value > 0
        if name in alone:
            assert alone[name] == unheard[name] == pytest.approx(value) == pytest.approx(doubly[name])
        else:
            assert doubly[name] == pytest.approx(2 * value)


def test_sets_are_listed_and_decoded(data: tuple[Path, Path]) -> None:
    samples = prepare(RECIPE, [(*data, 4)]).samples
    assert isinstance(samples, Detections) and len(samples) == 12
    samples.load()
    pictures = {id(samples.picture(row)[0]) for row in range(12)}
    assert len(pictures) == 3, "every picture is in memory once"
    assert all(np.array_equal(samples.picture(row)[1], samples.picture(row % 3)[1]) for row in range(12))
    alone = prepare(RECIPE, [(*data, 1)]).samples.batch((1,), np.arange(3), 2)
    assert np.array_equal(alone[0], samples.batch((1,), np.arange(3), 2)[0])


def test_views_of_the_recipe_before_the_published(tmp_path: Path, data: tuple[Path, Path]) -> None:
    assert prepare(RECIPE, [(*data, 1)]).samples.ratio == (0.5, 1.5)
    (tmp_path / "teacher.onnx").write_bytes(teacher_model(teacher_spec(64)))
    recipe = told(views=(0.6, 2.0), teacher=str(tmp_path / "teacher.onnx"))
    samples = prepare(recipe, [(*data, 1)]).samples
    assert isinstance(samples, WithImages) and samples.samples.ratio == (0.6, 2.0)
    images, targets = samples.batch((0,), np.arange(2), 1)
    assert targets["images"] is images and len(samples) == 3


def test_unusable_settings_are_named(tmp_path: Path, data: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match="detectors are trained on squares, such as 64x64"):
        prepare(dataclasses.replace(RECIPE, input_size=(64, 96)), [(*data, 1)])
    (tmp_path / "empty.json").write_text('{"images": [], "annotations": [], "categories": []}')
    with pytest.raises(ValueError, match="names no picture"):
        prepare(RECIPE, [(tmp_path / "empty.json", tmp_path, 1)])
    with pytest.raises(ValueError, match="teacher_weight=-1"):
        told(teacher_weight=-1.0)
