"""A top-down network's outputs as second targets of another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edgepose.codec import codec_of  # noqa: E402
from edgepose.codec.distribution import Distribution  # noqa: E402
from edgepose.codec.heatmap import Heatmap, Kind  # noqa: E402
from edgepose.codec.simcc import SimCC  # noqa: E402
from edgepose.models import build  # noqa: E402
from edgepose.spec import ModelSpec  # noqa: E402
from edgepose.train import checkpoint  # noqa: E402
from edgepose.train.distil.cells import marginals, moved_heights, moved_logits, moved_maps  # noqa: E402
from edgepose.train.distil.crops import CropTeacher, learn_crops  # noqa: E402
from edgepose.train.distil.dwpose import logit_loss  # noqa: E402
from edgepose.train.distil.teacher import Teacher, taught  # noqa: E402
from edgepose.train.families import prepare  # noqa: E402
from edgepose.train.loop import Normalize  # noqa: E402
from edgepose.train.losses import LOSSES  # noqa: E402
from edgepose.train.options import Gives  # noqa: E402
from edgepose.train.recipes import RECIPES, Recipe, override, to_dict  # noqa: E402
from tests.data.test_people import dataset  # noqa: E402
from tests.tiny import write_tiny_model  # noqa: E402

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
    targets = CropTeacher(Teacher(path), student)(images)[0]
    with torch.no_grad():
        logits = network(Normalize(spec)(images))[0][:, :17]
    torch.testing.assert_close(
        targets["heatmaps"], logits.flatten(2).softmax(-1).reshape(logits.shape), atol=1e-5, rtol=1e-4
    )
    scores = codec_of(student).decode([logits.numpy()]).scores
    np.testing.assert_allclose(targets["weights"].numpy(), scores, atol=1e-5)


@pytest.mark.parametrize("student", ["rtmpose-t", "cspnext-udp-t", "cspnext-context-t"])
@pytest.mark.parametrize("teacher", ["rtmpose-t", "cspnext-udp-t", "cspnext-lateral-t"])
@pytest.mark.parametrize("gives", ["auto", "keypoints"])
def test_every_top_down_network_teaches_every_other(tmp_path: Path, student: str, teacher: str, gives: Gives) -> None:
    spec, network = build(student, input_size=SIZE)
    torch.manual_seed(1)
    path = written(tmp_path / "teacher.safetensors", teacher, size=(192, 256))
    source = CropTeacher(Teacher(path), spec, gives)
    images = crops()
    targets, features = source(images)
    assert features is None
    labels = {name: torch.from_numpy(v) for name, v in codec_of(spec).encode(POINTS[:3], SEEN[:3]).items()}
    labels["weights"][0, :5] = 0
    same = student == teacher and gives == "auto"
    own_weights = {"weights"} if not same else set()  # the same kind of outputs is learnt as the labels are, or whole
    assert targets.keys() == labels.keys() - {"weights"} | own_weights
    assert all(value.shape == labels[name].shape for name, value in targets.items())
    outputs = network(torch.rand(3, 3, *SIZE[::-1]))
    plain = LOSSES[spec.codec](outputs, labels)
    learn = learn_crops(source, spec.codec, 0.5)
    both = taught(LOSSES[spec.codec], learn, 0.75)(outputs, labels | {"images": images})
    (name,) = plain
    torch.testing.assert_close(both.pop(name), 0.75 * plain[name])
    if same and student == "rtmpose-t":
        expected = {"teacher_logits": 0.5 * logit_loss(outputs, [targets["simcc_x"], targets["simcc_y"]])}
    else:
        expected = {f"teacher_{name}": 0.5 * LOSSES[spec.codec](outputs, labels | targets)[name]}
    assert expected.keys() == both.keys()
    torch.testing.assert_close(next(iter(both.values())), next(iter(expected.values())))


@pytest.mark.parametrize("student", ["cspnext-udp-t", "rtmpose-t"])
def test_a_teacher_of_the_same_size_and_kind_gives_its_outputs_as_they_are(tmp_path: Path, student: str) -> None:
    path = written(tmp_path / "teacher.safetensors", student, "coco19")
    spec, network = checkpoint.network_of(path)
    images = crops()
    targets, _ = CropTeacher(Teacher(path), build(student, input_size=SIZE)[0])(images)
    with torch.no_grad():
        outputs = network(Normalize(spec)(images))
    names = ("heatmaps",) if student == "cspnext-udp-t" else ("simcc_x", "simcc_y")
    for name, output in zip(names, outputs, strict=True):
        assert torch.equal(targets[name], output[:, :17])


@pytest.mark.parametrize("kind", ["dark", "udp"])
@pytest.mark.parametrize(("stride", "zoom"), [(4, 1.0), (4, 2.0), (2, 1.0), (8, 2.0)])
def test_heights_of_a_teachers_maps_come_to_the_cells_of_the_student(kind: Kind, stride: int, zoom: float) -> None:
    """A Gaussian as wide in pixels, at the same place, whatever cells it was sampled in."""
    student = Heatmap(SIZE, kind="dark", stride=4, sigma=2.0)
    teacher = Heatmap((int(96 * zoom), int(128 * zoom)), kind=kind, stride=stride, sigma=2.0 * 4 * zoom / stride)
    maps = teacher.encode((POINTS + 0.5) * zoom - 0.5, SEEN)["heatmaps"]
    moved = moved_heights(teacher, student, maps, list(range(17)), zoom)["heatmaps"]
    wanted = student.encode(POINTS, SEEN)["heatmaps"]
    assert moved.shape == wanted.shape
    assert np.abs(moved - wanted).max() < (0.12 if teacher.size[0] == student.size[0] else 0.06)


@pytest.mark.parametrize("split", [1.0, 2.0])
@pytest.mark.parametrize("zoom", [1.0, 2.0])
@pytest.mark.parametrize("teacher", ["heatmap", "distribution"])
def test_columns_and_rows_of_maps_are_targets_of_simcc(teacher: str, zoom: float, split: float) -> None:
    student = SimCC(SIZE, split=split)
    size = (int(96 * zoom), int(128 * zoom))
    codec = Heatmap(size, kind="dark") if teacher == "heatmap" else Distribution(size)
    maps = codec.encode((POINTS + 0.5) * zoom - 0.5, SEEN)["heatmaps"]
    if isinstance(codec, Distribution):
        maps = np.log(maps + 1e-9)
    targets = marginals(codec, student, maps, list(range(17)), zoom)
    assert targets["simcc_x"].shape == (5, 17, student.bins[0]) and targets["simcc_y"].shape == (5, 17, student.bins[1])
    assert targets["weights"].min() > 0.7
    for axis, name in enumerate(("simcc_x", "simcc_y")):
        np.testing.assert_allclose(targets[name].max(-1), 1, atol=1e-6)
        sharp = np.maximum(targets[name] - 0.2, 0)  # a Gaussian's middle, which the crop does not cut off
        middle = (sharp * np.arange(student.bins[axis])).sum(-1) / sharp.sum(-1) / split
        assert np.abs(middle - POINTS[..., axis]).max() < 1.5


@pytest.mark.parametrize(("split", "zoom"), [(2.0, 2.0), (1.0, 1.0), (3.0, 1.5)])
def test_logits_over_other_bins_are_read_where_the_students_are(split: float, zoom: float) -> None:
    student = SimCC(SIZE, split=2.0, sigma=(6.0, 6.0))
    width = 6.0 * zoom * split / 2.0
    teacher = SimCC((int(96 * zoom), int(128 * zoom)), split=split, sigma=(width, width))
    logits = teacher.encode((POINTS + 0.5) * zoom - 0.5, SEEN)
    moved = moved_logits(teacher, student, [logits["simcc_x"], logits["simcc_y"]], list(range(17)), zoom)
    wanted = student.encode(POINTS, SEEN)
    for name in ("simcc_x", "simcc_y"):  # labels are rounded to a bin, in both
        assert np.abs(moved[name] - wanted[name]).max() < 0.61 * (0.5 + 0.5 * 2 / (zoom * split)) / 6 + 0.03


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
        ("rtmpose-t", (96, 96), "it looks at 96x96, which is of another shape than the crops, 96x128: give an inp"),
    ],
)
def test_what_cannot_teach_says_why(tmp_path: Path, name: str, size: tuple[int, int], message: str) -> None:
    path = written(tmp_path / "teacher.safetensors", name, "box" if "rtmdet" in name else "coco", size)
    student = build("rtmpose-t", input_size=SIZE)[0]
    with pytest.raises(ValueError, match=f"teacher.safetensors cannot teach: {message}") as caught:
        CropTeacher(Teacher(path), student)
    assert "\n" not in str(caught.value)


def test_a_teacher_of_other_keypoints_says_which_are_missing(tmp_path: Path) -> None:
    path = written(tmp_path / "teacher.safetensors", "rtmpose-t")
    student: ModelSpec = build("rtmpose-t", skeleton="coco19", input_size=SIZE)[0]
    with pytest.raises(ValueError, match=r"it does not know .*neck"):
        CropTeacher(Teacher(path), student)


@pytest.mark.parametrize("kind", ["onnx", "safetensors"])
@pytest.mark.parametrize("part", [0.0, 0.5, 0.999])
def test_a_damaged_file_is_named_in_one_sentence(tmp_path: Path, kind: str, part: float) -> None:
    path = written(tmp_path / "whole.safetensors", "rtmpose-t")
    if kind == "onnx":
        path = write_tiny_model(tmp_path / "whole.onnx", per_person=True)
    content = path.read_bytes()
    damaged = tmp_path / f"damaged.{kind}"
    damaged.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match=rf"damaged\.{kind} .*(damaged|expected)") as caught:
        Teacher(damaged)
    assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="missing"):
        Teacher(tmp_path / f"missing.{kind}")


def test_outputs_that_do_not_fit_are_refused_where_they_are_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path / "teacher.safetensors", "rtmpose-t")
    student = build("cspnext-udp-t", input_size=SIZE)[0]
    with pytest.raises(
        ValueError, match="outputs of simcc do not fit the heatmap of cspnext-udp-t: use teacher_gives=keypoints"
    ):
        CropTeacher(Teacher(path), student, "outputs")


def test_weights_of_the_package_teach_by_their_name() -> None:
    recipe = override(RECIPES["deconvpose"], ["teacher=default-pose", "threads=1"])
    teacher = CropTeacher(Teacher.of(recipe), build("deconvpose", input_size=(96, 128))[0])
    heights = teacher(crops()[:, :128, :96])[0]["heatmaps"]
    assert heights.shape == (3, 17, 32, 24) and heights.max() > 0
    with pytest.raises(FileNotFoundError, match=r"^teacher=default-poes does not exist: .* default-pose, whose"):
        Teacher.of(override(recipe, ["teacher=default-poes"]))
