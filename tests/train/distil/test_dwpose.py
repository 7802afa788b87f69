"""DWPose's losses against the published implementation, and both of its stages."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

import torch.nn.functional as F  # noqa: E402

from edgepose.export import export_onnx, random_views  # noqa: E402
from edgepose.models import build  # noqa: E402
from edgepose.train import checkpoint  # noqa: E402
from edgepose.train.distil.crops import CropTeacher  # noqa: E402
from edgepose.train.distil.dwpose import WithFeatures, feature_loss, has_features, logit_loss, with_features  # noqa: E402
from edgepose.train.distil.teacher import Teacher  # noqa: E402
from edgepose.train.families import prepare  # noqa: E402
from edgepose.train.loop import Learner, Normalize, Plan, train  # noqa: E402
from edgepose.train.options import TopDown  # noqa: E402
from edgepose.train.recipes import RECIPES, Recipe, override, to_dict  # noqa: E402
from edgepose.train.task import Task, WithImages  # noqa: E402
from tests.data.test_people import dataset  # noqa: E402
from tests.goldens import algorithm_cases  # noqa: E402

pytestmark = pytest.mark.torch

SIZE = (64, 64)
WORDS = ["input_size=64x64", "batch=2", "overfit=2", "precision=fp32", "threads=1", "average=0", "warmup=0"]


def test_losses_are_the_published() -> None:
    cases = algorithm_cases("algo/dwpose_distillation_losses")
    assert {case.params["kind"] for case in cases} == {"logit", "feature"}
    for case in cases:
        read = {name: torch.from_numpy(value) for name, value in case.inputs.items()}
        if case.params["kind"] == "logit":
            ours, theirs = ([read[f"{who}_{axis}"] for axis in "xy"] for who in ("student", "teacher"))
            loss = case.params["weight"] * logit_loss(ours, theirs, case.params["beta"])
        else:
            translated = F.conv2d(read["student"], read["align_weight"], read["align_bias"])
            loss = case.params["alpha_fea"] * feature_loss(translated, read["teacher"])
        assert loss.item() == pytest.approx(float(case.outputs["loss"]), rel=1e-5), case.name


def test_features_of_another_size_are_brought_to_the_students() -> None:
    torch.manual_seed(0)
    small = torch.randn(2, 3, 4, 3)
    flat = torch.ones(2, 3, 8, 6) * torch.arange(3)[:, None, None]
    assert feature_loss(flat[:, :, :4, :3], flat).item() == pytest.approx(0, abs=1e-6)
    assert feature_loss(small, small + 2).item() == pytest.approx(4 * 3 * 4 * 3)


def written(path: Path, name: str, size: tuple[int, int] = SIZE, *, lively: bool = False) -> Path:
    """A checkpoint with fresh weights; lively: with statistics of its own and last layers that are far from zero."""
    torch.manual_seed(5)
    spec, network = build(name, input_size=size)
    if lively:
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None  # the mean of what was seen
        with torch.no_grad():
            network.train()(torch.randn(8, 3, *size[::-1]))
        for key, value in network.named_parameters():
            if key.startswith(("head.cls_", "head.final_layer.", "final_layer.")):
                torch.nn.init.normal_(value, std=0.02 if "cls" in key else 0.2)
    facts = {"recipe": to_dict(Recipe(name, 1, 1, 1.0)), "spec": spec.to_json()}
    checkpoint.save(path, {"network": network.state_dict()}, facts)
    return path


def told(name: str, *words: str) -> Recipe:
    return override(RECIPES[name], [*WORDS, *words])


def losses(task: Task, recipe: Recipe, number: int = 0) -> dict[str, float]:
    images, targets, _ = Plan(task.samples, recipe)[number]
    torch.manual_seed(3)
    outputs = Learner(task.network, task.extra).train()(Normalize(task.spec)(images))
    return {name: value.item() for name, value in task.loss_of(outputs, targets).items()}


@pytest.mark.parametrize("heatmaps", ["0", "0.5"])
def test_the_first_stage_learns_logits_and_features_and_their_share_falls(tmp_path: Path, heatmaps: str) -> None:
    path, data = written(tmp_path / "teacher.safetensors", "rtmpose-s", (96, 96)), [(*dataset(tmp_path), 2)]
    words = [f"heatmap_weight={heatmaps}", "epochs=4"]
    plain = told("rtmpose-t", *words)
    stage = told("rtmpose-t", *words, f"teacher={path}", "teacher_weight=0.1", "feature_weight=7e-5")
    task = prepare(stage, data)
    alone, both = losses(prepare(plain, data), plain), losses(task, stage)
    assert both.keys() == alone.keys() | {"teacher_logits", "teacher_features"}
    assert {name: both[name] for name in alone} == pytest.approx(alone)
    falling = override(stage, ["teacher_falls=1"])
    fallen = losses(prepare(falling, data), falling, 3)  # the last batch, one per epoch
    for name, value in losses(task, stage, 3).items():
        assert fallen[name] == pytest.approx((0.25 if name.startswith("teacher") else 1) * value, rel=1e-4), name
    samples = WithImages.of(task.samples, falling)
    shares = [Plan(samples, falling)[number][1]["share"].item() for number in range(4)]
    assert shares == [1.0, 0.75, 0.5, 0.25]


def test_the_first_stages_features_come_nearer_and_what_translates_them_is_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "teacher.safetensors", "cspnext-lateral-s")
    words = [f"teacher={path}", "teacher_weight=0", "label_weight=0", "feature_weight=1e-3", "epochs=12", "lr=2e-3"]
    recipe = told("rtmpose-t", *words)
    task = prepare(recipe, [(*dataset(tmp_path), 2)])
    assert isinstance(task.extra, WithFeatures)
    rows: list[dict[str, Any]] = []
    path = train(
        recipe, task.spec, task.network, task.samples, task.loss_of, tmp_path, extra=task.extra, record=rows.append
    )
    assert rows[-1]["teacher_features"] < 0.8 * rows[0]["teacher_features"]
    checkpoint.network_of(path)  # has the network's own tensors and no others


@pytest.mark.parametrize(
    "name",
    [
        "rtmpose-t",
        "cspnext-udp-t",
        "cspnext-context-t",
        "deconvpose",
        pytest.param("hrnet-w32", marks=pytest.mark.slow),
    ],
)
def test_the_second_stage_teaches_a_new_head_on_the_backbone_that_rests(tmp_path: Path, name: str) -> None:
    before = written(tmp_path / "stage1.safetensors", name, lively=True)
    recipe = Recipe(name, 8, 2, 1e-3, options=TopDown(
        teacher=str(before), teacher_weight=1.0, label_weight=0.0, fresh_head=True, frozen_stages=5
    ))  # fmt: skip
    recipe = override(replace(recipe, init=str(before)), WORDS)
    task = prepare(recipe, [(*dataset(tmp_path), 2)])
    fresh = {key: value.clone() for key, value in task.network.state_dict().items()}
    rows: list[dict[str, Any]] = []
    path = train(recipe, task.spec, task.network, task.samples, task.loss_of, tmp_path, record=rows.append)
    first, after = (checkpoint.load(file)[0]["network"] for file in (before, path))
    heads = ("head.", "deconv_layers.", "final_layer.")
    for key, value in after.items():
        if not key.startswith(heads):
            assert torch.equal(value, first[key]), "the backbone rests, and so do the statistics of its norms"
    weights = [key for key in after if key.startswith(heads) and key.endswith("weight") and after[key].dim() > 1]
    assert weights and not all(key.startswith(heads) for key in after)
    for key in weights:
        assert not torch.equal(after[key], first[key]) and not torch.equal(after[key], fresh[key]), key
    teacher = [key for key in rows[0] if key.startswith("teacher_")]
    assert len(teacher) == 1 and rows[-1][teacher[0]] < rows[0][teacher[0]]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(5)
    spec, network = build("rtmpose-t", input_size=SIZE)
    path = tmp_path_factory.mktemp("teacher") / "teacher.onnx"
    export_onnx(spec, network.eval(), path, random_views(spec, 1))
    return path


def test_a_named_inner_map_of_an_onnx_file_is_learnt_as_features(exported: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    spec, network = build("rtmpose-t", input_size=SIZE)  # what was exported
    graph = onnx.load(str(exported)).graph
    head = next(node for node in graph.node if node.op_type == "Conv" and 17 in shape_of(graph, node.input[1]))
    source = CropTeacher(Teacher(exported), spec, features=True, feature_map=head.input[0])
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8))
    targets, features = source(images)
    with torch.no_grad():
        x, _, wanted = with_features(network.eval(), Normalize(spec)(images))
    assert features is not None and source.channels == wanted.shape[1] == 384
    torch.testing.assert_close(features, wanted, rtol=1e-2, atol=1e-2 * wanted.std().item())
    torch.testing.assert_close(targets["simcc_x"], x, rtol=1e-2, atol=1e-2 * x.std().item())


@pytest.mark.parametrize("heads", [("final_layer",), ("deconv_layers", "final_layer")])
def test_without_a_backbone_features_are_what_the_head_is_given(heads: tuple[str, ...]) -> None:
    """As in SimpleBaseline and HRNet."""

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = torch.nn.Conv2d(3, 6, 4, stride=4)
            for name in heads:
                self.add_module(name, torch.nn.Conv2d(6, 6, 1))

        def forward(self, images: Any) -> Any:
            x = self.stem(images)
            for name in heads:
                x = self.get_submodule(name)(x)
            return (x,)

    network, images = Plain(), torch.randn(2, 3, 64, 64)
    output, features = with_features(network, images)
    torch.testing.assert_close(features, network.stem(images))
    torch.testing.assert_close(output, network(images)[0])
    student = WithFeatures(network, 9)
    assert student(network, images)[-1].shape == (2, 9, 16, 16)
    assert not has_features(torch.nn.Sequential(network.stem)) and has_features(network)


def shape_of(graph: Any, name: str) -> list[int]:
    return next((list(value.dims) for value in graph.initializer if value.name == name), [])


def test_features_that_nobody_shows_are_refused(exported: Path, tmp_path: Path) -> None:
    data = [(*dataset(tmp_path), 2)]
    for words, message in (
        (
            [f"teacher={exported}"],
            r"teacher\.onnx cannot teach: an ONNX file shows its outputs alone, no features:",
        ),
        ([f"teacher={exported}", "feature_map=neck"], r"cannot teach: it has no inner map 'neck' \(feature_map=\)"),
        (
            [f"teacher={exported}", "feature_map=simcc_x"],
            r"feature_map=simcc_x is of shape .*, expected \(B, C,",
        ),
        ([], r"^feature_weight=0\.1 needs a teacher to learn from: give teacher=FILE"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            prepare(told("rtmpose-t", "feature_weight=0.1", *words), data)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("word", ["label_weight=0.5", "teacher_falls=1", "teacher_gives=keypoints", "feature_map=x"])
def test_settings_of_a_teacher_need_one(tmp_path: Path, word: str) -> None:
    with pytest.raises(ValueError, match=rf"^{word.partition('=')[0]}=.* needs a teacher to learn from"):
        prepare(told("rtmpose-t", word), [(*dataset(tmp_path), 2)])


def test_a_new_head_needs_a_backbone_to_start_from(tmp_path: Path) -> None:
    recipe = told("rtmpose-t", "fresh_head=1", "epochs=1")
    with pytest.raises(ValueError, match="fresh_head=true needs init=CHECKPOINT"):
        prepare(recipe, [(*dataset(tmp_path), 2)])


def test_recipes_with_a_teacher_are_stored_whole() -> None:
    recipe = told("rtmpose-t", "teacher=a.onnx", "teacher_falls=1", "label_weight=0.5", "feature_map=x")
    assert json.loads(json.dumps(to_dict(recipe)))["label_weight"] == 0.5
