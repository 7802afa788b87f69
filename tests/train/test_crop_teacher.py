"""A top-down network's outputs as second targets of another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edgepose.codec import codec_of  # noqa: E402
from edgepose.codec.distribution import Distribution  # noqa: E402
from edgepose.codec.heatmap import Heatmap  # noqa: E402
from edgepose.models import build  # noqa: E402
from edgepose.spec import ModelSpec  # noqa: E402
from edgepose.train import checkpoint  # noqa: E402
from edgepose.train.crop_teacher import CropTeacher, moved_maps, taught_crops  # noqa: E402
from edgepose.train.families import prepare  # noqa: E402
from edgepose.train.losses import LOSSES  # noqa: E402
from edgepose.train.recipes import RECIPES, Recipe, override, to_dict  # noqa: E402
from tests.data.test_people import dataset  # noqa: E402

pytestmark = pytest.mark.torch

SIZE = (96, 128)
POINTS = np.random.default_rng(3).uniform((12, 12), (84, 116), (5, 17, 2)).astype(np.float32)
SEEN = np.ones((5, 17), np.float32)


def written(path: Path, name: str, skeleton: str = "coco", size: tuple[int, int] = SIZE) -> Path:
    """A checkpoint with fresh weights."""
    torch.manual_seed(5)
    spec, network = build(name, skeleton=skeleton, input_size=size)
    recipe = Recipe(name, 1, 1, 1.0, skeleton)
    facts = {"recipe": to_dict(recipe), "spec": spec.to_json()}
    checkpoint.save(path, {"network": network.state_dict()}, facts)
    return path


def crops(count: int = 3) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, *SIZE[::-1], 3), np.uint8))


@pytest.mark.parametrize("kind", ["dark", "udp", "msra"])
@pytest.mark.parametrize(("stride", "theirs"), [(8, 4), (4, 4), (8, 8)])
def test_maps_keep_their_places_in_the_cells_of_the_student(kind: str, stride: int, theirs: int) -> None:
    """What the student decodes of a teacher's maps is where the keypoints are, to a tenth of its cells."""
    student = Distribution(SIZE, stride=stride)
    codec = Heatmap(SIZE, kind=kind, stride=theirs, sigma=stride / theirs)  # as wide as its own targets
    targets = moved_maps(codec, student, codec.encode(POINTS, SEEN)["heatmaps"], list(range(17)))
    moved, sure = targets["heatmaps"], targets["weights"]
    assert moved.shape == (5, 17, student.size[1], student.size[0])
    np.testing.assert_allclose(moved.sum((2, 3)), 1, atol=1e-5)
    found = student.decode([np.log(moved + 1e-9)]).keypoints
    rounded = theirs / 2 if kind == "msra" else 0.0  # whose centers are whole cells
    assert np.abs(found - POINTS).max() < rounded + 0.3 * stride
    assert np.abs((found - POINTS).mean((0, 1))).max() < 0.05 * stride + 0.3 * rounded
    assert (sure > 0.7).all()


def test_a_teacher_of_the_same_kind_gives_its_own_soft_max(tmp_path: Path) -> None:
    path = written(tmp_path / "teacher.safetensors", "cspnext-context-t", "coco19")
    spec, network = checkpoint.network_of(path)
    student, _ = build("cspnext-context-t", input_size=SIZE)
    images = crops()
    targets = CropTeacher(path, student)(images)
    from edgepose.train.loop import Normalize

    with torch.no_grad():
        logits = network(Normalize(spec)(images))[0][:, :17]
    torch.testing.assert_close(
        targets["heatmaps"], logits.flatten(2).softmax(-1).reshape(logits.shape), atol=1e-5, rtol=1e-4
    )
    scores = codec_of(student).decode([logits.numpy()]).scores
    np.testing.assert_allclose(targets["weights"].numpy(), scores, atol=1e-5)


@pytest.mark.parametrize("student", ["rtmpose-t", "cspnext-udp-t", "cspnext-context-t"])
@pytest.mark.parametrize("teacher", ["rtmpose-t", "cspnext-udp-t", "cspnext-lateral-t"])
def test_every_top_down_network_teaches_every_other(tmp_path: Path, student: str, teacher: str) -> None:
    spec, network = build(student, input_size=SIZE)
    torch.manual_seed(1)
    path = written(tmp_path / "teacher.safetensors", teacher, size=(192, 256))
    taught = CropTeacher(path, spec)
    images = crops()
    targets = taught(images)
    labels = codec_of(spec).encode(POINTS[:3], SEEN[:3])
    assert {name: value.shape for name, value in targets.items()} == {name: v.shape for name, v in labels.items()}
    outputs = network(torch.rand(3, 3, *SIZE[::-1]))
    plain = LOSSES[spec.codec](outputs, {name: torch.from_numpy(value) for name, value in labels.items()})
    both = taught_crops(LOSSES[spec.codec], taught, spec.codec, 0.5)(
        outputs, {name: torch.from_numpy(value) for name, value in labels.items()} | {"images": images}
    )
    name = next(iter(plain))
    torch.testing.assert_close(both[name], plain[name])
    expected = 0.5 * LOSSES[spec.codec](outputs, targets)[name]
    torch.testing.assert_close(both[f"teacher_{name}"], expected)


def test_the_keypoints_of_a_larger_teacher_come_in_pixels_of_the_student() -> None:
    """A pixel's center is at a whole number at both sizes."""
    student, _ = build("rtmpose-t", input_size=SIZE)
    teacher = CropTeacher.__new__(CropTeacher)
    teacher.codec, teacher.student = Heatmap((192, 256), kind="dark"), codec_of(student)
    teacher.zoom, teacher.joints = 2.0, list(range(17))
    maps = teacher.codec.encode((POINTS + 0.5) * 2 - 0.5, SEEN)["heatmaps"]
    found = codec_of(student).decode([teacher._points([maps])[name] for name in ("simcc_x", "simcc_y")])
    assert np.abs(found.keypoints - POINTS).max() < 0.5


def test_a_recipe_learns_from_its_teacher(tmp_path: Path) -> None:
    path = written(tmp_path / "teacher.safetensors", "cspnext-lateral-t")
    recipe = override(RECIPES["default-pose"], [f"teacher={path}", "teacher_weight=2", "input_size=96x128"])
    task = prepare(recipe, [(*dataset(tmp_path), 1)])
    images, targets = task.samples.batch((0,), np.array([0, 0]), 1)
    np.testing.assert_array_equal(targets["images"], images)
    outputs = task.network(torch.rand(2, 3, 128, 96))
    losses = task.loss_of(outputs, {name: torch.from_numpy(value) for name, value in targets.items()})
    assert set(losses) == {"spatial", "teacher_spatial"} and losses["teacher_spatial"].item() > 0


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("rtmdet-nano", (96, 96), "expected a network of one person's crop"),
        ("rtmpose-t", (96, 96), "it looks at 96x96, which is of another shape than the crops, 96x128"),
    ],
)
def test_what_cannot_teach_says_why(tmp_path: Path, name: str, size: tuple[int, int], message: str) -> None:
    path = written(tmp_path / "teacher.safetensors", name, size=size) if "rtmdet" not in name else _detector(tmp_path)
    student = build("rtmpose-t", input_size=SIZE)[0]
    with pytest.raises(ValueError, match=message):
        CropTeacher(path, student)


def test_a_teacher_of_other_keypoints_says_which_are_missing(tmp_path: Path) -> None:
    path = written(tmp_path / "teacher.safetensors", "rtmpose-t")
    student: ModelSpec = build("rtmpose-t", skeleton="coco19", input_size=SIZE)[0]
    with pytest.raises(ValueError, match=r"it does not know .*neck"):
        CropTeacher(path, student)


def _detector(folder: Path) -> Path:
    spec, network = build("rtmdet-nano", input_size=SIZE[:1] * 2)
    path = folder / "detector.safetensors"
    facts = {"recipe": to_dict(Recipe("rtmdet-nano", 1, 1, 1.0)), "spec": spec.to_json()}
    checkpoint.save(path, {"network": network.state_dict()}, facts)
    return path
