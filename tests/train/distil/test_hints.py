"""Inner maps of a detector's teacher: found in its file, shown by the student, compared."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from edgepose.export import export_onnx, random_views  # noqa: E402
from edgepose.models import build  # noqa: E402
from edgepose.models.rtmdet import RTMDet  # noqa: E402
from edgepose.train import checkpoint  # noqa: E402
from edgepose.train.distil.boxes import BoxTeacher  # noqa: E402
from edgepose.train.distil.hints import IN_A_ROW, MODULES, WithHints, hint_loss, inner_names  # noqa: E402
from edgepose.train.distil.teacher import Teacher  # noqa: E402
from edgepose.train.families import prepare  # noqa: E402
from edgepose.train.loop import Learner, Normalize, train  # noqa: E402
from edgepose.train.options import Detector  # noqa: E402
from edgepose.train.recipes import RECIPES, Recipe, override, to_dict  # noqa: E402

pytestmark = pytest.mark.torch

SIDE = 64
CHANNELS = [16, 32, 64, 128, 128, 64, 64, 64, 64, 64]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, RTMDet]:
    """RTMDet-nano with made-up statistics, as a file and as it is."""
    torch.manual_seed(3)
    spec, network = build("rtmdet-nano", input_size=(SIDE, SIDE))
    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean of what was seen
    with torch.no_grad():
        network(torch.randn(8, 3, SIDE, SIDE))
    path = tmp_path_factory.mktemp("teacher") / "teacher.onnx"
    export_onnx(spec, network.eval(), path, random_views(spec, 1))
    assert isinstance(network, RTMDet)
    return path, spec, network


def views(side: int = SIDE) -> Any:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, side, side, 3), np.uint8))


@pytest.mark.parametrize("side", [SIDE, 96])
def test_the_teachers_maps_are_the_networks_own(exported: tuple[Path, Any, RTMDet], side: int) -> None:
    path, spec, network = exported
    teacher = BoxTeacher(Teacher(path, threads=1), (side, side), inner=True)
    assert teacher.channels == CHANNELS
    images = views(side)
    maps = teacher(images)
    assert len(maps) == 6 + len(MODULES)
    assert len(BoxTeacher(Teacher(path, threads=1), (side, side))(images)) == 6, "only where they are asked for"
    student = WithHints(network, teacher.channels)
    assert not list(student.parameters()), "as many channels need no translation"
    outputs = student(network, Normalize(spec)(images))
    assert len(outputs) == 6 + len(MODULES)
    for ours, theirs in zip(outputs[6:], maps[6:], strict=True):
        assert ours.shape == theirs.shape
        assert torch.corrcoef(torch.stack([ours.flatten(), theirs.flatten()]))[0, 1] > 0.999
    # channels of a network that learnt nothing hardly vary, so that rounding is a part of them
    assert hint_loss(outputs[6:], maps[6:]).item() < 0.1
    assert hint_loss([o.flip(1) for o in outputs[6:]], maps[6:]).item() > 0.5
    for plain, shown in zip(network(Normalize(spec)(images)), outputs[:6], strict=True):
        torch.testing.assert_close(plain, shown)


def test_a_checkpoint_teaches_what_its_file_does(exported: tuple[Path, Any, RTMDet], tmp_path: Path) -> None:
    """Outputs and inner maps, at another size than its own."""
    file, spec, network = exported
    path = tmp_path / "teacher.safetensors"
    facts = {"recipe": to_dict(Recipe("rtmdet-nano", 1, 1, 1.0, options=Detector())), "spec": spec.to_json()}
    checkpoint.save(path, {"network": network.state_dict()}, facts)
    ours, theirs = (BoxTeacher(Teacher(source, threads=1), (96, 96), inner=True) for source in (path, file))
    assert ours.channels == theirs.channels == CHANNELS
    for mine, other in zip(ours(views(96)), theirs(views(96)), strict=True):
        assert mine.shape == other.shape and not mine.requires_grad
        assert (mine - other).abs().mean() < 0.01 * other.abs().mean()


def test_scale_and_shift_of_a_channel_are_free_and_the_sign_is_not() -> None:
    maps = [torch.randn(2, 3, 8, 8), torch.randn(2, 5, 4, 4)]
    other = [m * torch.tensor([0.1, 2.0, 30.0, 4.0, 5.0])[: m.shape[1], None, None] - 7 for m in maps]
    assert hint_loss(other, maps).item() == pytest.approx(0, abs=1e-3)
    assert hint_loss([-m for m in maps], maps).item() == pytest.approx(2, abs=1e-3)
    assert hint_loss([torch.randn(64, 3, 32, 32)], [torch.randn(64, 3, 32, 32)]).item() == pytest.approx(1, abs=0.02)
    flat = hint_loss([torch.ones(2, 3, 4, 4, requires_grad=True)], [torch.randn(2, 3, 4, 4)])
    assert flat.item() == pytest.approx(1)
    with pytest.raises(ValueError, match="inner map is"):
        hint_loss([torch.zeros(1, 3, 4, 4)], [torch.zeros(1, 4, 4, 4)])


def test_a_student_of_other_widths_translates(exported: tuple[Path, Any, RTMDet]) -> None:
    _, _, network = exported
    student = WithHints(network, [c + 1 for c in CHANNELS])
    outputs = student(network, torch.randn(1, 3, SIDE, SIDE))
    assert [maps.shape[1] for maps in outputs[6:]] == [c + 1 for c in CHANNELS]
    assert len(list(student.parameters())) == 2 * len(CHANNELS)


@pytest.mark.parametrize("depth", range(1, len(IN_A_ROW) + 1))
def test_a_student_may_run_only_as_far_as_it_learns(exported: tuple[Path, Any, RTMDet], depth: int) -> None:
    _, _, network = exported
    images = torch.randn(2, 3, SIDE, SIDE).to(next(network.parameters()).device)
    whole = WithHints(network, CHANNELS)(network, images)[6:]
    student = WithHints(network, [c + 1 for c in CHANNELS], depth)
    assert len(student(network, images)) == depth == len(student.translate)
    short, reached = WithHints(network, CHANNELS, depth), set[str]()
    handles = [
        module.register_forward_hook(lambda *_, name=name: reached.add(name))
        for name, module in network.named_modules()
    ]
    first = short(network, images)
    for handle in handles:
        handle.remove()
    for ours, theirs in zip(first, whole[:depth], strict=True):
        torch.testing.assert_close(ours, theirs)
    assert {name for part in IN_A_ROW[:depth] for name in part} <= reached
    assert not reached & {name for part in IN_A_ROW[depth:] for name in part} and "bbox_head" not in reached


def test_classes_and_boxes_may_be_joined(exported: tuple[Path, Any, RTMDet]) -> None:
    """As files of other tools have them: one output per level, channels last."""
    model = onnx.load(str(exported[0]))
    apart = inner_names(fixed(model), (8, 16, 32))
    ends = [output.name for output in model.graph.output]
    del model.graph.output[:]
    for level in range(3):
        pair = ends[2 * level : 2 * level + 2]
        model.graph.node.append(onnx.helper.make_node("Concat", pair, [f"both{level}"], axis=1))
        model.graph.node.append(
            onnx.helper.make_node("Transpose", [f"both{level}"], [f"out{level}"], perm=[0, 2, 3, 1])
        )
        model.graph.output.append(onnx.ValueInfoProto(name=f"out{level}"))
    assert inner_names(fixed(model), (8, 16, 32)) == apart


def fixed(model: Any) -> Any:
    """A copy whose input has a batch of one."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    copied.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    return copied


def chain(*stages: tuple[str, list[str], list[str]], outputs: list[str]) -> Any:
    """Nodes without weights on a picture of 64 pixels."""
    pool: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        onnx.helper.make_node(kind, sources, made, **(pool if kind == "MaxPool" else {}))
        for kind, sources, made in stages
    ]
    picture = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs]
    return onnx.helper.make_model(onnx.helper.make_graph(nodes, "chain", [picture], ends))


def test_files_without_such_maps_are_refused() -> None:
    alone = chain(("Relu", ["x"], ["a"]), ("Relu", ["x"], ["b"]), outputs=["a", "b"])
    with pytest.raises(ValueError, match="in common"):
        inner_names(alone, (8,))
    short = chain(("MaxPool", ["x"], ["s"]), ("Relu", ["s"], ["a"]), ("Relu", ["s"], ["b"]), outputs=["a", "b"])
    with pytest.raises(ValueError, match="stride 32"):
        inner_names(short, (8,))
    joined = chain(("Relu", ["x"], ["a"]), outputs=["a"])
    with pytest.raises(ValueError, match="in common"):
        inner_names(joined, (8,))


def test_hints_are_a_term_of_the_loss(exported: tuple[Path, Any, RTMDet], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((SIDE, SIDE, 3), 90, np.uint8))
    person = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 30, 40], "area": 1200, "iscrowd": 0}
    labels = {
        "images": [{"id": 1, "file_name": "a.png", "width": SIDE, "height": SIDE}],
        "annotations": [person],
        "categories": [{"id": 1, "name": "person"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(labels))
    found = {}
    for weight in (0.0, 2.0, 6.0):
        recipe = Recipe("rtmdet-nano", epochs=1, batch=1, lr=1e-3, input_size=(SIDE, SIDE), threads=1,
                        options=Detector(teacher=str(exported[0]), hint_weight=weight))  # fmt: skip
        task = prepare(recipe, [(tmp_path / "a.json", tmp_path, 1)])
        images, targets = task.samples.batch((0,), np.zeros(1, int), 1)
        targets = {k: [torch.from_numpy(v) for v in t] if isinstance(t, list) else torch.from_numpy(t)
                   for k, t in targets.items()}  # fmt: skip
        learner = Learner(task.network, task.extra).train()
        losses = task.loss_of(learner(Normalize(task.spec)(torch.from_numpy(images))), targets)
        found[weight] = losses["teacher_hints"].item() if weight else 0.0
        assert ("teacher_hints" in losses) == bool(weight) == (task.extra is not None)
    assert found[6.0] == pytest.approx(3 * found[2.0], rel=1e-4)
    assert found[2.0] > 0.5, "a network that learnt nothing is unlike the teacher"


def test_a_part_may_learn_alone(exported: tuple[Path, Any, RTMDet], tmp_path: Path) -> None:
    """The first stage by its hint, with the stem at rest: nothing else moves, and it comes nearer to the teacher."""
    generator = np.random.default_rng(0)
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"{name}.png"), generator.integers(0, 256, (SIDE, SIDE, 3), np.uint8))
    person = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 30, 40], "area": 1200, "iscrowd": 0}
    pictures = [{"id": i, "file_name": f"{n}.png", "width": SIDE, "height": SIDE} for i, n in enumerate("ab")]
    labels = {"images": pictures, "annotations": [person], "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "a.json").write_text(json.dumps(labels))
    spec, start = build("rtmdet-nano", input_size=(SIDE, SIDE))
    recipe = Recipe(
        "rtmdet-nano", epochs=20, batch=2, lr=1e-2, input_size=(SIDE, SIDE), threads=1, warmup=1, average=False,
        precision="fp32", overfit=2,
        options=Detector(teacher=str(exported[0]), hint_weight=1.0, hint_depth=2, frozen_stages=1),
    )  # fmt: skip
    checkpoint.save(
        tmp_path / "start.safetensors",
        {"network": start.state_dict()},
        {"recipe": to_dict(recipe), "spec": spec.to_json(), "iteration": 0},
    )
    recipe = dataclasses.replace(recipe, init=str(tmp_path / "start.safetensors"))
    task = prepare(recipe, [(tmp_path / "a.json", tmp_path, 1)])
    rows: list[dict[str, Any]] = []
    path = train(
        recipe, task.spec, task.network, task.samples, task.loss_of, tmp_path, extra=task.extra, record=rows.append
    )
    before, (after, _) = start.state_dict(), checkpoint.load(path)
    moved = {name for name, value in after["network"].items() if not torch.equal(value, before[name])}
    assert moved and all(name.startswith("backbone.stage1.") for name in moved)
    assert not {"quality", "box", "teacher_quality"} & set(rows[0])
    assert rows[-1]["teacher_hints"] < 0.95 * rows[0]["teacher_hints"]


def test_hints_need_a_teacher_and_a_detector(tmp_path: Path) -> None:
    recipe = Recipe("rtmdet-nano", epochs=1, batch=1, lr=1e-3, options=Detector(hint_weight=1.0))
    with pytest.raises(ValueError, match="needs a teacher"):
        prepare(recipe, [])
    with pytest.raises(
        ValueError, match="rtmpose-t is a top-down network, but its recipe has the options of a detector"
    ):
        prepare(dataclasses.replace(recipe, model="rtmpose-t"), [])
    with pytest.raises(ValueError, match=r"hint_weight=-1"):
        Detector(hint_weight=-1.0)
    for weight, depth in ((1.0, -1), (1.0, 6), (0.0, 1)):
        with pytest.raises(ValueError, match=f"hint_depth={depth}, expected"):
            Detector(hint_weight=weight, hint_depth=depth)
    for word in ("hint_weight=1", "hint_depth=1"):
        with pytest.raises(
            ValueError, match=f"{word} is for detector networks, rtmpose-t is a top-down network and has no"
        ):
            override(RECIPES["rtmpose-t"], [word])
