"""HRNet and DeconvPose, which are trained as DarkPose is: recipe, crops, loss, and one batch learnt by heart."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

import edgepose  # noqa: E402
from edgepose.codec import codec_of  # noqa: E402
from edgepose.codec.heatmap import Heatmap  # noqa: E402
from edgepose.data.augment import HRNET, random_view  # noqa: E402
from edgepose.data.crops import Crops  # noqa: E402
from edgepose.export import export_onnx  # noqa: E402
from edgepose.geometry import crop_matrices, transform  # noqa: E402
from edgepose.models import build  # noqa: E402
from edgepose.models.deconvpose import ENCODERS  # noqa: E402
from edgepose.models.deployed import TorchNetwork  # noqa: E402
from edgepose.runtime.estimator import Estimator  # noqa: E402
from edgepose.skeleton import COCO  # noqa: E402
from edgepose.train.distil.cells import grid  # noqa: E402
from edgepose.train.families import prepare  # noqa: E402
from edgepose.train.loop import Plan, Step, _rate, train  # noqa: E402
from edgepose.train.losses import heatmap_loss, joints_loss  # noqa: E402
from edgepose.train.options import TopDown  # noqa: E402
from edgepose.train.recipes import NOTES, RECIPES, Recipe, override  # noqa: E402
from edgepose.train.validation import validation  # noqa: E402
from tests.people import four_people  # noqa: E402

pytestmark = pytest.mark.torch
DECONVPOSE = ["deconvpose", *(f"deconvpose-{encoder}" for encoder in ENCODERS)]
NAMES = ["hrnet-w32", "hrnet-w48", *DECONVPOSE]


@pytest.fixture
def data(tmp_path: Path) -> tuple[Path, Path, int]:
    """A picture of four drawn people."""
    image, poses = four_people()
    assert cv2.imwrite(str(tmp_path / "1.png"), image)
    people = [
        {"id": i + 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "num_keypoints": 17,
         "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1),
         "keypoints": [float(v) for x, y in poses.keypoints[i] for v in (x, y, 2)]}
        for i, (x1, y1, x2, y2) in enumerate(poses.boxes.tolist())
    ]  # fmt: skip
    content = {
        "images": [{"id": 1, "file_name": "1.png", "width": image.shape[1], "height": image.shape[0]}],
        "annotations": people,
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.names)}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(content))
    return tmp_path / "labels.json", tmp_path, 1


@pytest.mark.parametrize("name", NAMES)
def test_recipes_have_the_published_settings(name: str) -> None:
    recipe = RECIPES[name]
    assert (recipe.model, recipe.epochs, recipe.batch, recipe.lr, recipe.weight_decay) == (name, 210, 128, 1e-3, 0)
    assert (recipe.optimizer, recipe.warmup, recipe.stage2, recipe.average) == ("adamw", 0, 0, False)
    assert [round(recipe.epochs * drop) for drop in recipe.drops] == [170, 200]
    assert recipe.options == TopDown(strong=HRNET, mild=HRNET)
    assert (name in NOTES) is name.startswith("deconvpose")


def test_the_run_follows_its_recipe(data: tuple[Path, Path, int]) -> None:
    """Rates, crops, maps and loss of what `edgepose train deconvpose` would do."""
    task = prepare(override(RECIPES["deconvpose"], ["batch=2"]), [data])
    plan = Plan(task.samples, override(RECIPES["deconvpose"], ["batch=2"]))
    assert plan.per_epoch == 2 and len(plan) == 420
    rates = {_rate(plan, iteration) for iteration in range(2 * 170)}
    assert rates == {1e-3}
    assert [_rate(plan, i) for i in (340, 399, 400, 419)] == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5])
    assert isinstance(task.samples, Crops) and task.samples.strong == HRNET
    assert task.loss_of is joints_loss
    image, keypoints, visible, _ = task.samples.view(np.random.default_rng(0), 0, None)
    box = task.samples.people.boxes[:1]
    crop = crop_matrices(box, (192, 256), 1.25, "dark")
    assert np.allclose(keypoints, transform(task.samples.people.keypoints[:1], crop)[0], atol=1e-3)
    codec = codec_of(task.spec)
    found = codec.decode([codec.encode(keypoints[None], visible[None])["heatmaps"]]).keypoints[0]
    assert np.abs(found - keypoints).max() < 0.02 * 4.1 and image.shape == (256, 192, 3)
    udp = prepare(override(RECIPES["cspnext-udp-t"], ["skeleton=coco"]), [data])
    assert udp.loss_of is heatmap_loss, "the pre-training's loss is mmpose's"


def test_views_are_drawn_as_hrnets_code_draws_them() -> None:
    """Factors N(1, .35) between .65 and 1.35, turns N(0, 45) up to 90 degrees in six of ten, limits reached."""
    box, rng, nothing = np.array([30.0, 40.0, 90.0, 160.0]), np.random.default_rng(0), (np.zeros((17, 2)), np.zeros(17))
    drawn = [random_view(rng, box, *nothing, COCO, (192, 256), HRNET, "dark") for _ in range(4000)]
    matrices = np.stack([matrix for matrix, flipped in drawn if not flipped])
    sides = 1 + 191 / np.sqrt(np.linalg.det(matrices[:, :, :2]))
    factors = sides / (120 * 1.25 * 0.75)
    assert factors.min() == pytest.approx(0.65) and factors.max() == pytest.approx(1.35)
    assert 0.12 < np.isclose(factors, 0.65).mean() < 0.2, "a sixth of a normal distribution is beyond one deviation"
    degrees = np.rad2deg(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    turned = degrees[np.abs(degrees) > 1e-9]
    assert 0.55 < len(turned) / len(degrees) < 0.65 and np.abs(turned).max() == pytest.approx(90)
    assert 40 < turned.std() < 46 and 0.02 < np.isclose(np.abs(turned), 90).mean() < 0.08
    middle = transform(np.tile((box[:2] + box[2:] - 1) / 2, (len(matrices), 1, 1)), matrices)
    assert np.allclose(middle, (191 / 2, 255 / 2), atol=1e-6), "no shifts, and the middle of the box's pixels"


def test_colors_stay_as_they_are(data: tuple[Path, Path, int]) -> None:
    task = prepare(override(RECIPES["hrnet-w32"], ["model=deconvpose", "batch=2"]), [data])
    picture = np.full((180, 320, 3), (10, 120, 200), np.uint8)
    for seed in range(20):
        view = task.samples.view(np.random.default_rng(seed), 1, HRNET, picture)[0]
        whole = view[80:176, 60:132]  # the middle, which no view turns out of the picture
        assert (whole == (10, 120, 200)).all()


def test_cells_that_a_teacher_moves_are_where_the_codec_has_them() -> None:
    """Centered maps do not begin at the first pixel: their cells' middles are where peaks are decoded."""
    codec = Heatmap((192, 256), kind="dark", centered=True)
    maps = np.zeros((1, 17, 64, 48), np.float32)
    maps[:, :, 40, 1] = 1  # beside the rim, where no step is taken
    found = codec.decode([maps]).keypoints[0, 0]
    middles = [grid(codec, axis).centers for axis in (0, 1)]
    assert found == pytest.approx([middles[0][1], middles[1][40]], abs=1e-3)
    assert middles[0][0] == pytest.approx(0) and middles[1][0] == pytest.approx(127.5 - 31.5 * 191 / 47)


@pytest.mark.parametrize("word", ["frozen_stages=1", "blur=2", "heatmap_weight=1"])
def test_settings_that_would_do_nothing_are_refused(data: tuple[Path, Path, int], word: str) -> None:
    with pytest.raises(ValueError, match=f"^{word.partition('=')[0]}=.* deconvpose has no use for it: leave it out"):
        prepare(override(RECIPES["deconvpose"], [word]), [data])


def test_one_step_of_the_recipe(data: tuple[Path, Path, int], tmp_path: Path) -> None:
    words = ["epochs=1", "batch=4", "input_size=64x96", "precision=fp32", "threads=1"]
    recipe = override(RECIPES["deconvpose"], words)
    task, steps = prepare(recipe, [data]), list[Step]()
    (tmp_path / "run").mkdir()
    train(recipe, task.spec, task.network, task.samples, task.loss_of, tmp_path / "run", report=steps.append)
    assert len(steps) == 1 and set(steps[0].losses) == {"heatmap"} and steps[0].lr == 1e-3
    spec, fresh = build("deconvpose", input_size=(64, 96))
    assert spec == task.spec
    assert not torch.equal(task.network.final_layer.weight, fresh.final_layer.weight)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hrnet-w32", *DECONVPOSE, "deconvpose-mobilenet_v2-64-32"])
def test_a_batch_is_learnt_by_heart_and_the_file_finds_the_same(
    name: str, data: tuple[Path, Path, int], tmp_path: Path
) -> None:
    """All steps are one epoch, at whose end a checkpoint is written. EfficientNet skips blocks by chance meanwhile."""
    size, steps = (96, 128), 160
    recipe = Recipe(
        name, epochs=1, batch=4, lr=2e-3, input_size=size, warmup=10, flat=0.6, stage2=0, average=False,
        precision="fp32", overfit=4 * steps, clip=10.0, options=TopDown(strong=HRNET, mild=HRNET),
    )  # fmt: skip
    task = prepare(recipe, [(*data[:2], steps)])
    (tmp_path / "run").mkdir()
    train(recipe, task.spec, task.network, task.samples, task.loss_of, tmp_path / "run")
    assert validation(task.spec, [data])(task.network)["AP"] == pytest.approx(1.0, abs=1e-6)
    image, labels = four_people()
    crops = Estimator(TorchNetwork(task.spec, task.network.eval()))
    views = np.stack([task.samples.view(np.random.default_rng(0), row, None)[0] for row in range(4)])
    report = export_onnx(task.spec, task.network, tmp_path / "net.onnx", views)
    assert report.mean < 0.01 and report.scores < 1e-3
    file = edgepose.load(tmp_path / "net.onnx", detector=None)
    for flip_test in (False, True):
        ours, theirs = (estimator.replace(flip_test=flip_test)(image, labels.boxes) for estimator in (crops, file))
        apart = np.linalg.norm(ours.keypoints - theirs.keypoints, axis=-1)
        assert apart.shape == (4, 17) and apart.mean() < 0.02 and np.abs(ours.scores - theirs.scores).max() < 1e-3
    plain = crops(image, labels.boxes)
    assert np.linalg.norm(plain.keypoints - labels.keypoints, axis=-1).mean() < 1.5
