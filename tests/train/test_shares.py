"""Several processes learn what one would learn from the batch of all: every loss, and one step of every family."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.distributed as dist  # noqa: E402
from torch import Tensor  # noqa: E402

from edgepose.codec.anchors import Anchors  # noqa: E402
from edgepose.codec.boxes import Boxes  # noqa: E402
from edgepose.train import checkpoint  # noqa: E402
from edgepose.train.anchor_loss import AnchorLoss  # noqa: E402
from edgepose.train.associative_loss import associative_loss  # noqa: E402
from edgepose.train.auxiliary import auxiliary_loss  # noqa: E402
from edgepose.train.classifier import classifier_loss  # noqa: E402
from edgepose.train.detection_loss import detection_loss, teacher_loss  # noqa: E402
from edgepose.train.distil.crops import learn_crops  # noqa: E402
from edgepose.train.distil.dwpose import logit_loss  # noqa: E402
from edgepose.train.distil.hints import hint_loss  # noqa: E402
from edgepose.train.distil.teacher import taught  # noqa: E402
from edgepose.train.distil.whole import learn_maps  # noqa: E402
from edgepose.train.families import prepare  # noqa: E402
from edgepose.train.litepose.supernet import at_any_size  # noqa: E402
from edgepose.train.loop import train  # noqa: E402
from edgepose.train.losses import heatmap_loss, simcc_loss, spatial_loss  # noqa: E402
from edgepose.train.recipes import RECIPES, override  # noqa: E402
from tests.codec.test_anchors import encoded  # noqa: E402
from tests.people import four_people  # noqa: E402
from tests.train.test_loop import SPEC, Brightness, Tiny, loss_of, recipe  # noqa: E402

pytestmark = pytest.mark.torch

ROOT = Path(__file__).resolve().parents[2]
SHARES = ([0], [1, 2, 3])  # pictures of each process; picture 0 shows nobody
PICTURES, K = 4, 3


class Case(NamedTuple):
    """A loss, and outputs and targets of all pictures."""

    loss_of: Callable[[Any, Any], dict[str, Tensor]]
    outputs: list[Tensor]
    targets: dict[str, Any]


def noise(*shape: int) -> Tensor:
    return torch.randn(PICTURES, *shape)


def labelled(*shape: int) -> Tensor:
    """Which are labelled: none of picture 0, some of the others."""
    seen = (torch.rand(PICTURES, *shape) < 0.7).float()
    seen[0], seen[1] = 0, 1
    return seen


def simcc() -> Case:
    targets = {"simcc_x": noise(8).expand(K, PICTURES, 8).movedim(0, 1), "simcc_y": noise(K, 6), "weights": labelled(K)}
    return Case(simcc_loss, [noise(K, 8), noise(K, 6)], targets)


def maps(loss_of: Callable[[Any, Any], dict[str, Tensor]], weight: float = 1.0) -> Case:
    targets = {"heatmaps": noise(K, 4, 3).abs(), "weights": weight * labelled(K)}
    return Case(loss_of, [noise(K, 4, 3)], targets)


def auxiliary() -> Case:
    _, outputs, targets = simcc()
    more = {"fine": noise(K, 4, 3).abs(), "coarse": noise(K, 2, 2).abs()}
    weights = {"fine_weights": labelled(K), "coarse_weights": labelled(K)}
    return Case(auxiliary_loss(0.5, 0.25), [*outputs, noise(K, 4, 3), noise(K, 2, 2)], {**targets, **more, **weights})


def associative(side: int = 4) -> Case:
    """Maps of `side` and twice as many cells; targets are of 4 and 8."""
    cells = torch.randint(0, K * 16, (PICTURES, 3, K))
    joints = torch.stack([cells, labelled(3, K).long()], dim=-1)
    targets = {
        "heatmaps_4": noise(K, 4, 4), "heatmaps_2": noise(K, 8, 8), "masks_4": labelled(4, 4),
        "masks_2": labelled(8, 8), "joints_4": joints,
    }  # fmt: skip
    return Case(at_any_size(associative_loss), [noise(2 * K, side, side), noise(K, 2 * side, 2 * side)], targets)


def from_maps() -> Case:
    """Bottom-up networks with a teacher."""
    _, outputs, targets = associative()
    learn = learn_maps(lambda images: (images[..., ::2, ::2], images), 0.5)
    loss_of = taught(associative_loss, learn, label_weight=0.25)
    return Case(loss_of, outputs, targets | {"images": noise(K, 8, 8)})


def logits() -> Case:
    """DWPose's loss of SimCC."""
    _, outputs, _ = simcc()
    teacher = {"x": noise(K, 8), "y": noise(K, 6)}
    return Case(lambda o, t: {"logits": logit_loss(o, [t["x"], t["y"]])}, outputs, teacher)


def from_crops() -> Case:
    """Heat-maps with a teacher whose features are learnt too, at half its share."""
    loss_of, outputs, targets = maps(heatmap_loss)
    features = noise(5, 2, 2)

    def teacher(images: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        return {"heatmaps": images[:, :K]}, images[:, K:, :2, :2]

    teacher.by_logits = False  # type: ignore[attr-defined]
    teacher.student = None  # type: ignore[attr-defined]
    labels = lambda o, t: loss_of(o[:1], t)  # noqa: E731
    learn = learn_crops(teacher, "heatmap", 0.5, 0.25)  # type: ignore[arg-type]
    images = {"images": noise(K + 5, 4, 3), "share": torch.full((PICTURES,), 0.5)}
    return Case(
        lambda o, t: taught(labels, learn, 0.75)(o, t | {"share": t["share"][0]}), [*outputs, features],
        targets | images,
    )  # fmt: skip


def levels(*channels: int) -> list[Tensor]:
    """Maps at strides 8, 16 and 32 of pictures of 64 pixels."""
    return [noise(count, side, side) for side in (8, 4, 2) for count in channels]


BOXES = ([], [(4, 4, 40, 60)], [(2, 2, 20, 30), (30, 10, 60, 50), (8, 40, 20, 62)], [(10, 10, 50, 50), (0, 0, 9, 9)])


def detector() -> Case:
    boxes = [torch.tensor(rows, dtype=torch.float32).reshape(-1, 4) for rows in BOXES]
    ignore = [torch.tensor([i == 1 for i in range(len(rows))]) for rows in BOXES]  # the second of a picture
    outputs = [maps + 8 * (maps.shape[1] == 4) for maps in levels(1, 4)]
    codec = Boxes((64, 64))
    return Case(lambda o, t: detection_loss(o, t, codec), outputs, {"boxes": boxes, "ignore": ignore})


def taught_detector() -> Case:
    sure = [maps - 20 * (torch.arange(PICTURES) == 0).float()[:, None, None, None] for maps in levels(1)]
    teacher = dict(enumerate([*sure, *(maps + 8 for maps in levels(4))]))
    outputs = [maps + 8 * (maps.shape[1] == 4) for maps in levels(1, 4)]
    codec = Boxes((64, 64))
    return Case(lambda o, t: teacher_loss(o, list(t.values()), codec), outputs, {str(i): m for i, m in teacher.items()})


def hints() -> Case:
    """Pictures of different brightness, so that statistics of a share are not those of the batch."""
    brightness = torch.arange(PICTURES)[:, None, None, None]
    students = [maps + brightness for maps in levels(K)]
    teachers = {str(i): 3 * maps - brightness.square() for i, maps in enumerate(levels(K))}
    return Case(lambda o, t: {"hints": hint_loss(o, list(t.values()))}, students, teachers)


def anchors(oks: str, norm: str) -> Case:
    codec = Anchors((64, 64))
    people = [encoded(codec, *rows) if rows else encoded(codec, (0.0, 0.0, 9.0, 9.0)) for rows in BOXES]
    people[0] = codec.encode(np.zeros((0, 4)), np.zeros((0, 17, 2)), np.zeros((0, 17)))
    targets = {name: [torch.from_numpy(picture[name]) for picture in people] for name in people[0]}
    for picture, rows in enumerate(targets["visible"]):
        targets["visible"][picture] = (torch.rand(rows.shape) < 0.6).float()
    targets["ignore"][2] = torch.tensor([[0.0, 0.0, 30.0, 30.0]], dtype=targets["ignore"][2].dtype)
    loss_of = AnchorLoss(codec, oks, limbs=0.5, far=0.5, align=0.1, norm=norm)
    return Case(loss_of, [*levels(3 * (6 + 3 * 17)), *levels(3 * (6 + 3 * 17)), *levels(K), *levels(K)], targets)


def classes() -> Case:
    return Case(classifier_loss, [noise(7)], {"classes": torch.tensor([0, 3, 6, 3])})


CASES: dict[str, Callable[[], Case]] = {
    "simcc": simcc,
    "heatmap": lambda: maps(heatmap_loss),
    "spatial": lambda: maps(spatial_loss),
    "spatial, weights of sum below 1": lambda: maps(spatial_loss, 0.05),
    "auxiliary": auxiliary,
    "associative": associative,
    "associative of a smaller part": lambda: associative(2),
    "associative, teacher": from_maps,
    "logits, teacher": logits,
    "heatmap, teacher with features": from_crops,
    "detection": detector,
    "detection, teacher": taught_detector,
    "hints": hints,
    "anchors": lambda: anchors("code", "l2"),
    "anchors as in the paper": lambda: anchors("paper", "mse"),
    "classes": classes,
}
Found = dict[str, tuple[Tensor, list[Tensor]]]  # by the loss's name: its value, and its gradient by each output


def learnt(name: str, rows: Sequence[int]) -> Found:
    """What a process finds that has these pictures."""
    torch.manual_seed(7)
    case = CASES[name]()
    outputs = [maps[list(rows)].clone().requires_grad_() for maps in case.outputs]
    targets = {
        key: [value[i] for i in rows] if isinstance(value, list) else value[list(rows)]
        for key, value in case.targets.items()
    }
    found = {}
    for term, loss in case.loss_of(outputs, targets).items():
        gradients = torch.autograd.grad(loss, outputs, retain_graph=True, allow_unused=True)
        whole = [torch.zeros_like(o) if g is None else g for o, g in zip(outputs, gradients, strict=True)]
        found[term] = loss.detach(), whole
    return found


def in_two_processes(call: str, folder: Path) -> None:
    """Run `call` of this file, with `folder` and `rank`, in two processes that know each other."""
    script = (
        "import sys, torch, torch.distributed as dist; from pathlib import Path\n"
        "from edgepose.__main__ import end_at_once\n"
        "from tests.train import test_shares\n"
        "folder, rank = Path(sys.argv[1]), int(sys.argv[2])\n"
        "torch.set_num_threads(1)\n"
        "dist.init_process_group('gloo', init_method=f'file://{folder}/meet', rank=rank, world_size=2)\n"
        f"test_shares.{call}(folder, rank)\n"
        "end_at_once(dist.destroy_process_group)\n"
    )
    words = [sys.executable, "-c", script, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen([*words, str(rank)], cwd=ROOT, stderr=subprocess.PIPE, text=True, env=environment)
        for rank in (0, 1)
    ]
    told = [process.communicate(timeout=590)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], told


def learn_share(folder: Path, rank: int) -> None:
    torch.save({name: learnt(name, SHARES[rank]) for name in CASES}, folder / f"{rank}.pt")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Found]]:
    folder = tmp_path_factory.mktemp("shares")
    in_two_processes("learn_share", folder)
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("name", CASES)
def test_two_processes_find_the_loss_and_the_gradient_of_one(name: str, shared: list[dict[str, Found]]) -> None:
    """Shares of one picture with nobody and of three with people; DDP then takes half the sum of both gradients."""
    whole = learnt(name, range(PICTURES))
    first, second = (found[name] for found in shared)
    assert whole.keys() == first.keys() == second.keys()
    for term, (loss, gradients) in whole.items():
        assert loss > 0 and any(gradient.abs().max() > 0 for gradient in gradients), term
        torch.testing.assert_close(first[term][0], loss, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(second[term][0], loss, rtol=1e-4, atol=1e-6)
        for one, *parts in zip(gradients, first[term][1], second[term][1], strict=True):
            near = 1e-4 * max(one.abs().max().item(), 1e-6)
            torch.testing.assert_close(torch.cat(parts) / 2, one, rtol=1e-3, atol=near)


def test_a_batch_smaller_than_the_processes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody would learn nothing, or the same as another."""
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    monkeypatch.setattr(dist, "get_world_size", lambda: 3)
    with pytest.raises(ValueError, match="batches of 2 cannot be shared by 3 processes"):
        train(recipe(overfit=2), SPEC, Tiny(), Brightness(), loss_of, tmp_path)


FAMILIES = {
    "rtmpose-t": [],
    "rtmdet-nano": [],
    "sasd-xs": ["alone=0"],
    "litepose-xs": [],
}
WORDS = ["epochs=1", "batch=4", "overfit=4", "optimizer=sgd", "lr=0.001", "weight_decay=0", "warmup=0", "flat=1",
         "clip=0", "average=0", "input_size=64x64", "precision=fp32", "threads=1"]  # fmt: skip


def in_double(module: torch.nn.Module) -> None:
    """Compute in float64, whose rounding is not to be seen: a fresh network's norms divide by variances near 0."""
    module.double().register_forward_pre_hook(lambda _, given: (*given[:-1], given[-1].double()))


def one_step(name: str, folder: Path, out: Path) -> None:
    torch.manual_seed(0)
    recipe = override(RECIPES[name], [*WORDS, *FAMILIES[name]])
    task = prepare(recipe, [(folder / "labels.json", folder, 4)])
    for module in (task.network, *([task.extra] if task.extra is not None else [])):
        in_double(module)
    checkpoint.save(out / "before.safetensors", {"network": task.network.state_dict()}, {})
    train(recipe, task.spec, task.network, task.samples, task.loss_of, out, extra=task.extra, order=task.order)


def step_of_two(folder: Path, rank: int) -> None:
    for name in FAMILIES:
        (folder / f"{name}-{rank}").mkdir()
        one_step(name, folder, folder / f"{name}-{rank}")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As the processes have, which would otherwise wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_one_step_on_two_processes_is_one_step_on_one(tmp_path: Path) -> None:
    """The same picture four times, so that batch normalization sees the same in every share."""
    image, poses = four_people((160, 120))
    assert cv2.imwrite(str(tmp_path / "0.png"), image)
    x1, y1, x2, y2 = (float(v) for v in poses.boxes[0])
    points = [float(v) for x, y in poses.keypoints[0] for v in (x, y, 2)]
    person = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "num_keypoints": 17, "keypoints": points,
              "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}  # fmt: skip
    content = {
        "images": [{"id": 1, "file_name": "0.png", "width": 160, "height": 120}],
        "categories": [{"id": 1, "name": "person", "keypoints": list(poses.skeleton.names)}],
        "annotations": [person],
    }
    (tmp_path / "labels.json").write_text(json.dumps(content))
    in_two_processes("step_of_two", tmp_path)
    for name in FAMILIES:
        alone = tmp_path / name
        alone.mkdir()
        one_step(name, tmp_path, alone)
        moved = []
        for folder in (alone, tmp_path / f"{name}-0"):
            before, after = (
                checkpoint.load(folder / f"{file}.safetensors")[0]["network"] for file in ("before", "last")
            )
            weights = [key for key in before if key.endswith(("weight", "bias"))]
            moved.append(torch.cat([(after[key] - before[key]).flatten() for key in weights]))
        one, two = moved
        assert one.norm() > 0
        assert ((two - one).norm() / one.norm()).item() < 1e-3, name
