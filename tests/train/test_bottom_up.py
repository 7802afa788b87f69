"""Training of the bottom-up families end to end: recipe to samples to loss to validation through the Estimator."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("hotcoco")

from torch import Tensor, nn  # noqa: E402

import edgepose  # noqa: E402
from edgepose.data.augment import Strength  # noqa: E402
from edgepose.data.whole import Whole  # noqa: E402
from edgepose.export import export_onnx  # noqa: E402
from edgepose.media.images import read_image  # noqa: E402
from edgepose.models import POSE_NETWORKS, build  # noqa: E402
from edgepose.models.deployed import TorchNetwork  # noqa: E402
from edgepose.runtime.estimator import Estimator  # noqa: E402
from edgepose.skeleton import COCO, CROWDPOSE, Skeleton  # noqa: E402
from edgepose.train.families import prepare  # noqa: E402
from edgepose.train.loop import train  # noqa: E402
from edgepose.train.options import BottomUp  # noqa: E402
from edgepose.train.recipes import RECIPES, Recipe, override  # noqa: E402
from edgepose.train.validation import validation  # noqa: E402
from tests.people import four_people  # noqa: E402
from tests.runtime.small import shared  # noqa: E402

pytestmark = pytest.mark.torch
SIZES = [
    name
    for name in POSE_NETWORKS
    if name.startswith(("litepose-", "efficienthrnet-", "higherhrnet-")) and name != "litepose-supernet"
]


def labelled(
    folder: Path, skeleton: Skeleton, pictures: list[np.ndarray], shapes: np.ndarray | None = None
) -> tuple[Path, Path, int]:
    """A data set of these pictures of 128 x 96, two people on each.

    Their keypoints are anywhere in their boxes, or where `shapes` (N, K, 2) has them, in shares of the box.
    """
    rng = np.random.default_rng(1)
    k = len(skeleton)
    annotations = []
    for i, image in enumerate(pictures):
        cv2.imwrite(str(folder / f"{i}.png"), image)
        for person in range(2):
            corner = np.array([8 + 60 * person, 8])
            shape = rng.uniform(size=(k, 2)) if shapes is None else shapes[2 * i + person]
            points = np.concatenate([corner + shape * (48, 76), np.full((k, 1), 2)], axis=1)
            annotations.append(
                {"id": len(annotations) + 1, "image_id": i, "category_id": 1, "iscrowd": 0, "num_keypoints": k,
                 "bbox": [*corner.tolist(), 48, 76], "area": 3648.0, "keypoints": points.ravel().tolist()}
            )  # fmt: skip
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 128, "height": 96} for i in range(len(pictures))],
        "categories": [{"id": 1, "name": "person", "keypoints": list(skeleton.names)}],
        "annotations": annotations,
    }
    (folder / "labels.json").write_text(json.dumps(content))
    return folder / "labels.json", folder, 1


@pytest.fixture
def data(tmp_path: Path) -> tuple[Path, Path, int]:
    """Two drawn pictures."""
    rng = np.random.default_rng(1)
    coarse = [rng.integers(0, 256, (6, 8, 3)).astype(np.uint8) for _ in range(2)]
    drawn = [cv2.resize(image, (128, 96), interpolation=cv2.INTER_CUBIC) for image in coarse]
    return labelled(tmp_path, COCO, drawn)


def figures(count: int) -> np.ndarray:
    """Bodies (count, 17, 2) in shares of their boxes."""
    drawn = four_people()[1].keypoints[:count]
    low, high = drawn.min(1, keepdims=True), drawn.max(1, keepdims=True)
    return (drawn - low) / (high - low)


def photographs(count: int) -> list[np.ndarray]:
    """Real pictures of 128 x 96."""
    folder = shared("coco_mini", "train2017")
    found = [read_image(path) for path in sorted(folder.glob("*.jpg"))[:count]]
    return [cv2.resize(image, (128, 96), interpolation=cv2.INTER_AREA) for image in found]


class Remembered(nn.Module):
    """Maps that are learnt as they are, one for the brighter and one for the darker of two pictures."""

    middle = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.coarse = nn.Parameter(torch.zeros(2, 34, 24, 32))
        self.fine = nn.Parameter(torch.zeros(2, 17, 48, 64))
        self.entry = nn.Conv2d(3, 1, 1, bias=False)
        nn.init.constant_(self.entry.weight, 1.0)
        self.entry.requires_grad_(False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        which = (self.entry(images).mean((1, 2, 3)) > self.middle).long()
        return self.coarse[which], self.fine[which]


def test_maps_learnt_with_this_loss_decode_to_the_labels(data: tuple[Path, Path, int], tmp_path: Path) -> None:
    recipe = override(RECIPES["litepose-xs"], ["input_size=128x96", "overfit=2", "batch=2", "epochs=100", "lr=0.1",
                                               "precision=fp32", "channels_last=0"])  # fmt: skip
    task = prepare(recipe, [data])
    assert isinstance(task.samples, Whole) and task.spec.name == "litepose-xs"
    network = Remembered()
    images, _ = task.samples.batch((0,), np.arange(2), 0)
    brightness = [((image[..., ::-1] - task.spec.mean) / task.spec.std).sum(-1).mean() for image in images]
    network.middle = float(np.mean(brightness))
    torch.manual_seed(0)
    nn.init.normal_(network.coarse, std=0.1)  # tags that are all alike stay so: nothing pushes them apart
    train(recipe, task.spec, network, task.samples, task.loss_of, tmp_path)
    figures = validation(task.spec, [data])(network)
    assert figures.keys() == {"AP", "AP50", "AP75", "AR"}
    assert figures["AP"] > 0.95


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "skeleton"), [(name, COCO) for name in SIZES] + [(name, CROWDPOSE) for name in SIZES[:4]]
)
def test_every_size_learns_one_batch_by_heart_and_its_file_finds_the_same(
    name: str, skeleton: Skeleton, tmp_path: Path
) -> None:
    pictures = photographs(6)
    # H-4 has fewer channels (14) than keypoints before its last, linear layer: it can learn bodies, not any 17 places
    smallest = name == "efficienthrnet-h-4"
    data = labelled(tmp_path, skeleton, pictures[:2], figures(4) if smallest else None)
    steps = 360 if smallest else 120
    once = steps if name == "higherhrnet-w32" else 1  # a checkpoint of 340 MB at the end of one epoch, not of each step
    recipe = Recipe(
        name, epochs=steps // once, batch=2, lr=2e-3, input_size=(128, 96), skeleton=skeleton.name,
        warmup=20, flat=0.5, stage2=0, average=False, precision="fp32", overfit=2 * once, clip=10.0, options=BottomUp(),
    )  # fmt: skip
    task = prepare(recipe, [(*data[:2], once)])
    train(recipe, task.spec, task.network, task.samples, task.loss_of, tmp_path)
    # H-4 skips blocks by chance in a batch of two, and ends at .96 to 1 by the draws and the processor's rounding
    assert validation(task.spec, [data])(task.network)["AP"] == pytest.approx(1.0, abs=0.1 if smallest else 1e-3)
    report = export_onnx(task.spec, task.network.eval(), tmp_path / "net.onnx", np.stack(pictures))
    assert report.mean <= 0.1 and report.scores < 1e-3
    estimators = Estimator(TorchNetwork(task.spec, task.network)), edgepose.load(tmp_path / "net.onnx")
    found = 0
    for picture in (*pictures, *(cv2.flip(picture, 1) for picture in pictures[:2])):
        ours, theirs = (estimator(picture) for estimator in estimators)
        assert len(ours) == len(theirs)
        found += len(ours)
        if len(ours):
            apart = np.linalg.norm(ours.keypoints - theirs.keypoints, axis=-1)[ours.scores > 0]
            assert apart.mean() <= 0.1 and np.abs(ours.scores - theirs.scores).max() < 1e-3
    assert found >= 4


def test_recipes_have_the_published_settings() -> None:
    for name in SIZES:
        for data, skeleton in (("", "coco"), ("-crowdpose", "crowdpose")):
            recipe = RECIPES[name + data]
            assert (recipe.model, recipe.skeleton) == (name, skeleton)
            assert (recipe.weight_decay, recipe.average, recipe.warmup) == (0.0, False, 0)
            drops = [round(recipe.epochs * drop) for drop in recipe.drops]
            litepose = name.startswith("litepose")
            expected = (500, 4e-3, [350, 480]) if litepose else (300, 1e-3, [200, 260])
            assert (recipe.epochs, recipe.lr, drops) == expected
            with torch.device("meta"):
                build(recipe.model, skeleton=recipe.skeleton)
    assert [RECIPES[f"efficienthrnet-{s}"].batch for s in ("h0", "h-1", "h-2", "h-3", "h-4")] == [1, 6, 8, 10, 48]
    assert RECIPES["higherhrnet-w32"].batch == 48
    assert {RECIPES[name].batch for name in SIZES if name.startswith("litepose")} == {16}


def test_settings_of_other_families_are_refused(data: tuple[Path, Path, int]) -> None:
    with pytest.raises(ValueError, match=r"mosaic=0\.5 is for bottom-up networks, rtmpose-t is a top-down network"):
        override(RECIPES["rtmpose-t"], ["mosaic=0.5"])
    with pytest.raises(ValueError, match="blur=2 is for top-down networks, litepose-xs is a bottom-up network and has"):
        override(RECIPES["litepose-xs"], ["blur=2"])
    with pytest.raises(ValueError, match=r"mosaic=2\.0, expected a probability"):
        override(RECIPES["litepose-xs"], ["mosaic=2"])
    with pytest.raises(ValueError, match="expected shares of the run"):
        Recipe("litepose-xs", 1, 1, 1.0, drops=(200,))
    task = prepare(override(RECIPES["litepose-xs"], ["mosaic=0.5", "input_size=64x64"]), [data])
    assert task.samples.mosaic == 0.5
    calm = override(RECIPES["litepose-xs"], ["whole.rotation=20", "whole.scale=0.8,1.25", "input_size=64x64"])
    assert prepare(calm, [data]).samples.strength == Strength((0.8, 1.25), 20, shift=0.2, cutout=0, half_body=0)
