"""Heat-maps of a larger bottom-up network as second targets."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

import torch.nn.functional as F  # noqa: E402

from edgepose.models import build  # noqa: E402
from edgepose.models.associative import associative_spec  # noqa: E402
from edgepose.skeleton import COCO, SKELETONS  # noqa: E402
from edgepose.spec import ModelSpec  # noqa: E402
from edgepose.train import checkpoint  # noqa: E402
from edgepose.train.distil.teacher import Teacher  # noqa: E402
from edgepose.train.distil.whole import MapTeacher  # noqa: E402
from edgepose.train.families import prepare  # noqa: E402
from edgepose.train.loop import Normalize, Plan  # noqa: E402
from edgepose.train.recipes import RECIPES, Recipe, override, to_dict  # noqa: E402
from edgepose.train.task import Task  # noqa: E402
from tests.runtime.small import model, pose_model  # noqa: E402

pytestmark = pytest.mark.torch

NAME = "litepose-96-8-8x8x8x8-8x8x8"
STUDENT = associative_spec("student", "coco", (64, 64))


@pytest.fixture(autouse=True)
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """LitePose of five blocks in place of 34."""
    monkeypatch.setattr("edgepose.models.litepose.BLOCKS", (1, 2, 1, 1))


def written(path: Path, name: str = NAME, skeleton: str = "coco", size: tuple[int, int] | None = None) -> Path:
    """A checkpoint with fresh weights."""
    torch.manual_seed(5)
    spec, network = build(name, skeleton=skeleton, input_size=size)
    recipe = Recipe(name, 1, 1, 1.0, skeleton)
    facts = {"recipe": to_dict(recipe), "spec": spec.to_json()}
    checkpoint.save(path, {"network": network.state_dict()}, facts)
    return path


def views(count: int = 2, size: int = 64) -> torch.Tensor:
    small = np.random.default_rng(0).integers(0, 256, (count, 6, 6, 3), np.uint8)
    return torch.from_numpy(np.stack([cv2.resize(view, (size, size), interpolation=cv2.INTER_CUBIC) for view in small]))


def test_a_checkpoint_teaches_at_its_own_size(tmp_path: Path) -> None:
    path = written(tmp_path / "teacher.safetensors", skeleton="coco19")
    images = views()
    coarse, fine = MapTeacher(Teacher(path), STUDENT)(images)
    assert coarse.shape == (2, 17, 24, 24) and fine.shape == (2, 17, 48, 48) and not fine.requires_grad
    spec, network = checkpoint.network_of(path)
    near = F.interpolate(Normalize(spec)(images), size=(96, 96), mode="nearest")
    with torch.no_grad():
        theirs = network(near)
    own = [SKELETONS["coco19"].names.index(name) for name in COCO.names]
    torch.testing.assert_close(coarse, theirs[0][:, own])
    torch.testing.assert_close(fine, theirs[1][:, own])
    rough = MapTeacher(Teacher(path, "bf16"), STUDENT)(images)[1]
    assert rough.dtype == torch.float32 and not torch.equal(rough, fine)
    torch.testing.assert_close(rough, fine, rtol=0.1, atol=0.02)


def test_the_device_of_the_views_decides_on_bfloat16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "teacher.safetensors", skeleton="coco19")
    asked: list[tuple[str, str]] = []
    answers = iter([True, False])

    def answer(precision: str, device: str) -> bool:
        asked.append((precision, device))
        return next(answers)

    monkeypatch.setattr("edgepose.train.distil.teacher.uses_bf16", answer)
    teacher = MapTeacher(Teacher(path, "auto"), STUDENT)
    assert not asked, "no views yet, so no device"
    rough, fine = teacher(views())[1], teacher(views())[1]
    assert asked == [("auto", "cpu")] * 2 and not torch.equal(rough, fine)


def onnx_teacher(path: Path, spec: ModelSpec, exported: bool = False) -> Path:
    """Convolutions of small pictures; exported: mean maps and peaks, as `edgepose export` lays them out."""
    rng = np.random.default_rng(0)
    k, (width, height) = len(spec.keypoints), spec.input_size
    constants = {
        f"w{s}": (rng.standard_normal((n, 3, 1, 1)) * 0.01).astype(np.float32) for s, n in ((4, 2 * k), (2, k))
    }
    coarse, fine = [1, 2 * k, height // 4, width // 4], [1, k, height // 2, width // 2]
    outputs = {"coarse": coarse, "fine": fine}
    if exported:
        constants |= {"start": np.array([0]), "half": np.array([k]), "axis": np.array([1])}
        constants |= {"flat": np.array([1, k, -1]), "count": np.array([30])}
        outputs = {"fine": fine, "tags": [1, k, *coarse[2:]], "scores": [1, k, 30], "cells": [1, k, 30]}

    def nodes(helper: Any) -> list[Any]:
        made = []
        for s, name in ((4, "coarse"), (2, "fine")):
            made.append(helper.make_node("AveragePool", ["planes"], [f"p{s}"], kernel_shape=[s, s], strides=[s, s]))
            made.append(helper.make_node("Conv", [f"p{s}", f"w{s}"], [name]))
        if exported:
            made.append(helper.make_node("Slice", ["coarse", "start", "half", "axis"], ["tags"]))
            made.append(helper.make_node("Reshape", ["fine", "flat"], ["rows"]))
            made.append(helper.make_node("TopK", ["rows", "count"], ["scores", "places"]))
            made.append(helper.make_node("Cast", ["places"], ["cells"], to=1))
        return made

    path.write_bytes(model(spec, nodes, outputs, constants, 1))
    return path


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_a_file_with_both_outputs_teaches(tmp_path: Path, layout: str) -> None:
    spec = associative_spec("teacher", "coco", (96, 96))
    if layout == "nhwc":
        spec = dataclasses.replace(spec, layout="nhwc", color="bgr", mean=(0, 0, 0), std=(1, 1, 1))
    path = onnx_teacher(tmp_path / "teacher.onnx", spec)
    images = views()
    coarse, fine = MapTeacher(Teacher(path, threads=1), STUDENT)(images)
    near = F.interpolate(images.permute(0, 3, 1, 2), size=(96, 96), mode="nearest").permute(0, 2, 3, 1)
    planes = Normalize(spec)(near) if layout == "nchw" else near.permute(0, 3, 1, 2).float()
    rng = np.random.default_rng(0)
    weights = [torch.from_numpy((rng.standard_normal((n, 3, 1, 1)) * 0.01).astype(np.float32)) for n in (34, 17)]
    torch.testing.assert_close(coarse, F.conv2d(F.avg_pool2d(planes, 4), weights[0])[:, :17], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(fine, F.conv2d(F.avg_pool2d(planes, 2), weights[1]), rtol=1e-3, atol=1e-3)


def test_what_cannot_teach_is_named(tmp_path: Path) -> None:
    spec = associative_spec("teacher", "coco", (64, 64))
    (tmp_path / "pose.onnx").write_bytes(pose_model())
    for path, student, said in (
        (
            onnx_teacher(tmp_path / "exported.onnx", spec, exported=True),
            STUDENT,
            "give the checkpoint that it was made",
        ),
        (tmp_path / "pose.onnx", STUDENT, "expected a bottom-up network's heat-maps and tags, got simcc"),
        (
            written(tmp_path / "pose.safetensors", "cspnext-lateral-t"),
            STUDENT,
            "expected a bottom-up network's heat-maps",
        ),
        (written(tmp_path / "wide.safetensors", size=(96, 64)), STUDENT, "looks at 96x64, .* the views, 64x64"),
        (
            written(tmp_path / "own.safetensors"),
            associative_spec("crowd", "crowdpose", (64, 64)),
            "does not know .*'neck'",
        ),
    ):
        with pytest.raises(ValueError, match=f"{path.name} cannot teach: .*{said}") as caught:
            MapTeacher(Teacher(path), student)
        assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"missing\.safetensors does not exist"):
        MapTeacher(Teacher(tmp_path / "missing.safetensors"), STUDENT)


@pytest.fixture
def data(tmp_path: Path) -> tuple[Path, Path, int]:
    """A picture of a person, and a crowd in one corner of it."""
    cv2.imwrite(str(tmp_path / "0.png"), views(1)[0].numpy())
    points = np.concatenate([np.random.default_rng(1).uniform(10, 54, (17, 2)), np.full((17, 1), 2)], axis=1)
    people = [
        {"id": 1, "image_id": 0, "category_id": 1, "iscrowd": 0, "num_keypoints": 17, "bbox": [8, 8, 48, 48],
         "area": 2304.0, "keypoints": points.ravel().tolist()},
        {"id": 2, "image_id": 0, "category_id": 1, "iscrowd": 1, "num_keypoints": 0, "bbox": [0, 0, 32, 32],
         "area": 1024.0, "keypoints": [0] * 51},
    ]  # fmt: skip
    content = {
        "images": [{"id": 0, "file_name": "0.png", "width": 64, "height": 64}],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.names)}],
        "annotations": people,
    }
    (tmp_path / "labels.json").write_text(json.dumps(content))
    return tmp_path / "labels.json", tmp_path, 1


def losses(task: Task, recipe: Recipe, side: int = 64) -> tuple[dict[str, float], torch.Tensor, dict[str, Any]]:
    """Of outputs that are all 0.5."""
    _, targets, _ = Plan(task.samples, recipe)[0]
    outputs = [torch.full((1, c, side // s, side // s), 0.5, requires_grad=True) for c, s in ((34, 4), (17, 2))]
    found = task.loss_of(tuple(outputs), targets)
    torch.stack([found[name] for name in found if name.startswith("teacher")] or [outputs[0].sum()]).sum().backward()
    assert outputs[0].grad is not None
    return {name: value.item() for name, value in found.items()}, outputs[0].grad, targets


@pytest.mark.parametrize("student", ["litepose-xs", "efficienthrnet-h-4"])
def test_the_teachers_terms_and_their_weight(tmp_path: Path, data: tuple[Path, Path, int], student: str) -> None:
    path = written(tmp_path / "teacher.safetensors")
    words = ["input_size=64x64", "overfit=1", "batch=1", "precision=fp32"]
    alone, taught, doubly, unheard = (
        override(RECIPES[student], [*words, *more])
        for more in (
            [],
            [f"teacher={path}"],
            [f"teacher={path}", "teacher_weight=2"],
            [f"teacher={path}", "teacher_weight=0"],
        )
    )
    plain, _, _ = losses(prepare(alone, [data]), alone)
    assert losses(prepare(unheard, [data]), unheard)[0] == plain
    found, gradient, targets = losses(prepare(taught, [data]), taught)
    twice, _, _ = losses(prepare(doubly, [data]), doubly)
    assert found.keys() == plain.keys() | {"teacher_heat_4", "teacher_heat_2"}
    for name, value in found.items():
        if name in plain:
            assert value == plain[name] == twice[name]
        else:
            assert value > 0 and twice[name] == pytest.approx(2 * value)
    assert gradient[:, 17:].abs().max() == 0, "tags learn nothing"
    assert targets["masks_4"].min() == 0
    assert gradient[:, :17][:, :, targets["masks_4"][0] == 0].abs().max() == 0, "nor does what is masked"
    for maps, stride in zip(MapTeacher(Teacher(path), STUDENT)(targets["images"]), (4, 2), strict=True):
        wanted = F.interpolate(maps, size=(64 // stride, 64 // stride), mode="nearest")
        error = ((0.5 - wanted).square() * targets[f"masks_{stride}"][:, None]).mean().item()
        assert found[f"teacher_heat_{stride}"] == pytest.approx(error, rel=1e-5)


def test_a_supernet_may_have_a_teacher_too(tmp_path: Path, data: tuple[Path, Path, int]) -> None:
    path = written(tmp_path / "teacher.safetensors")
    words = ["input_size=64x64", "overfit=1", "batch=1", "sides=32,64", f"teacher={path}"]
    recipe = override(RECIPES["litepose-supernet"], words)
    task = prepare(recipe, [data])
    for side in (32, 64):
        found, _, _ = losses(task, recipe, side)
        assert {"teacher_heat_4", "teacher_heat_2"} <= found.keys() and all(np.isfinite(v) for v in found.values())


def test_settings_that_mean_nothing_are_refused(data: tuple[Path, Path, int]) -> None:
    for name, word, said in (
        (
            "sasd-xs",
            "teacher=x",
            "teacher=x is for top-down and detector and bottom-up networks, sasd-xs is a one-stage network",
        ),
        ("litepose-xs", "sides=64", r"sides=\(64,\) is for litepose-supernet"),
    ):
        with pytest.raises(ValueError, match=said):
            prepare(override(RECIPES[name], [word]), [data])
    with pytest.raises(ValueError, match="a super-net is trained on squares"):
        prepare(override(RECIPES["litepose-supernet"], ["input_size=64x96"]), [data])
    with pytest.raises(ValueError, match="on one side or more"):
        prepare(override(RECIPES["litepose-supernet"], ["sides="]), [data])
