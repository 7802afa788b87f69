"""The loop learns, resumes exactly, and refuses what it cannot continue."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgepose.data.sampling import Balanced
from edgepose.spec import ModelSpec
from edgepose.train import checkpoint
from edgepose.train.loop import Plan, Step, _gathered, train
from edgepose.train.options import TopDown
from edgepose.train.recipes import Recipe
from edgepose.train.start import initialize

pytestmark = pytest.mark.torch

SPEC = ModelSpec("tiny", "simcc", (8, 8), layout="nchw", color="rgb", mean=(1, 2, 3), std=(4, 5, 6))


class Tiny(nn.Module):
    """A convolution with a norm and a linear layer: every kind of state a checkpoint has."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.SiLU())
        self.head = nn.Linear(4, 1)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        return (self.head(self.backbone(images).mean((2, 3))),)


class Brightness:
    """Pictures of one level each; the target is the level."""

    def __len__(self) -> int:
        return 24

    def batch(self, seed: tuple[int, ...], rows: np.ndarray, stage: int) -> tuple[np.ndarray, dict[str, Any]]:
        noise = np.random.default_rng(seed).integers(0, 5, (len(rows), 8, 8, 3))
        images = (noise + rows[:, None, None, None] * 10).astype(np.uint8)
        return images, {"level": (rows / 24).astype(np.float32)}


def loss_of(outputs: tuple[Tensor, ...], targets: dict[str, Any]) -> dict[str, Tensor]:
    return {"square": (outputs[0][:, 0].float() - targets["level"]).square().mean()}


def recipe(**changes: Any) -> Recipe:
    values: dict[str, Any] = {"epochs": 6, "batch": 8, "lr": 0.02, "stage2": 2, "precision": "fp32", "warmup": 2}
    return Recipe("tiny", **(values | changes))


def run(folder: Path, chosen: Recipe, stop_after: int = 0) -> list[Step]:
    torch.manual_seed(0)
    steps: list[Step] = []

    def report(step: Step) -> None:
        steps.append(step)
        if stop_after and step.iteration == stop_after:
            raise KeyboardInterrupt

    folder.mkdir(exist_ok=True)
    train(chosen, SPEC, Tiny(), Brightness(), loss_of, folder, report=report)
    return steps


def same(one: Path, other: Path) -> bool:
    """Whether the checkpoints of two runs have the same tensors, bit for bit."""
    whole, killed = (checkpoint.load(folder / "last.safetensors")[0] for folder in (one, other))
    assert whole.keys() == killed.keys() == {"network", "optimizer", "average"}
    return all(
        torch.equal(value, killed[part][name]) for part, tensors in whole.items() for name, value in tensors.items()
    )


def test_it_learns(tmp_path: Path) -> None:
    """To between a hundredth and an eleventh of the first loss, by the seed; float32 and bfloat16."""
    steps = run(tmp_path / "a", recipe(epochs=40))
    assert steps[-1].losses["square"] < steps[0].losses["square"] / 4


def test_a_killed_run_resumes_to_exactly_the_same_weights(tmp_path: Path) -> None:
    run(tmp_path / "whole", recipe())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", recipe(), stop_after=8)  # in the middle of the third epoch
    resumed = run(tmp_path / "killed", recipe())
    assert resumed[0].iteration == 7, "the run goes on after the last whole epoch"
    assert same(tmp_path / "whole", tmp_path / "killed")


class Staged(nn.Module):
    """A network with a backbone in parts, as CSPNeXt is."""

    def __init__(self) -> None:
        super().__init__()
        layers = {name: [nn.Conv2d(c, 4, 3, padding=1), nn.BatchNorm2d(4)] for name, c in (("stem", 3), ("stage1", 4))}
        self.backbone = nn.Sequential()
        for name, parts in layers.items():
            self.backbone.add_module(name, nn.Sequential(*parts))
        self.head = nn.Linear(4, 1)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        return (self.head(self.backbone(images).mean((2, 3))),)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_frozen_stages_stay_as_they_were(tmp_path: Path, count: int) -> None:
    """Weights and statistics, also after the network was validated; the rest learns, and a killed run resumes."""
    start = tmp_path / "start.safetensors"
    before = Staged().state_dict()
    checkpoint.save(start, {"network": before}, {"recipe": {"model": "staged"}})
    chosen = recipe(options=TopDown(frozen_stages=count), init=str(start), validate_every=1)

    def trained(name: str, stop_after: int = 0) -> dict[str, Tensor]:
        def report(step: Step) -> None:
            if step.iteration == stop_after:
                raise KeyboardInterrupt

        (tmp_path / name).mkdir(exist_ok=True)
        path = train(chosen, SPEC, Staged(), Brightness(), loss_of, tmp_path / name, report=report,
                     validate=lambda network: {"even": float(network.eval().training)})  # fmt: skip
        return checkpoint.load(path)[0]["network"]

    after = trained("whole")
    learnt = {name for name, value in after.items() if not torch.equal(value, before[name])}
    parts = ["backbone.stem", "backbone.stage1", "head"]
    for i, part in enumerate(parts):
        of_part = {name for name in after if name.startswith(part)}
        assert of_part & learnt == (set() if i < count else of_part), part
    with pytest.raises(KeyboardInterrupt):
        trained("killed", stop_after=8)
    resumed = trained("killed")
    assert all(torch.equal(value, resumed[name]) for name, value in after.items())


def test_frozen_stages_need_weights_to_keep(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen_stages=1 needs init=CHECKPOINT"):
        train(recipe(options=TopDown(frozen_stages=1)), SPEC, Staged(), Brightness(), loss_of, tmp_path)


def test_balanced_batches_are_the_same_after_resuming() -> None:
    """Sets of 20 and 4 people with equal shares."""
    seen: list[list[int]] = []

    class Watched(Brightness):
        def batch(self, seed: tuple[int, ...], rows: np.ndarray, stage: int) -> tuple[np.ndarray, dict[str, Any]]:
            seen.append(rows.tolist())
            return super().batch(seed, rows, stage)

    order = Balanced(np.repeat([0, 1], [20, 4]), (1, 1))
    for numbers in (range(9), range(5, 9)):
        plan = Plan(Watched(), recipe(), order=order)
        for number in numbers:
            _ = plan[number]
    assert seen[9:] == seen[5:9], "batch i depends on the seed and on i alone"
    assert all(3 <= sum(row >= 20 for row in rows) <= 5 for rows in seen)


def test_a_finished_run_does_nothing_more(tmp_path: Path) -> None:
    run(tmp_path / "a", recipe())
    assert run(tmp_path / "a", recipe()) == []


def test_other_settings_are_not_continued_but_threads_are_free(tmp_path: Path) -> None:
    run(tmp_path / "a", recipe())
    with pytest.raises(ValueError, match=r"other settings of \['lr'\]"):
        run(tmp_path / "a", recipe(lr=0.5))
    run(tmp_path / "a", recipe(threads=1))


def test_a_finished_run_goes_on_with_more_epochs_at_the_rates_of_the_longer_one(tmp_path: Path) -> None:
    short, long = recipe(), recipe(epochs=recipe().epochs + 2)
    first = run(tmp_path / "a", short)
    more = run(tmp_path / "a", long)
    whole = run(tmp_path / "b", long)
    assert [step.iteration for step in more] == [step.iteration for step in whole[len(first) :]]
    assert [step.lr for step in more] == [step.lr for step in whole[len(first) :]]
    assert run(tmp_path / "a", long) == []
    with pytest.raises(ValueError, match=r"other settings of \['epochs'\].*only be raised"):
        run(tmp_path / "a", short)


def test_a_run_that_goes_on_longer_says_so(tmp_path: Path) -> None:
    lines: list[str] = []
    for epochs in (recipe().epochs, recipe().epochs + 1):
        train(recipe(epochs=epochs), SPEC, Tiny(), Brightness(), loss_of, tmp_path, say=lines.append)
    assert len(lines) == 1 and f"goes on as one of {recipe().epochs + 1} from step" in lines[0]


def test_a_loss_that_explodes_is_told(tmp_path: Path) -> None:
    def infinite(outputs: tuple[Tensor, ...], targets: dict[str, Any]) -> dict[str, Tensor]:
        return {"square": outputs[0].sum() * float("inf")}

    with pytest.raises(ValueError, match="not finite"):
        train(recipe(), SPEC, Tiny(), Brightness(), infinite, tmp_path)


def test_processes_share_every_batch_without_overlap() -> None:
    plans = [Plan(Brightness(), recipe(), process, 2) for process in (0, 1)]
    for number in range(len(plans[0])):
        levels = [plan[number][1]["level"] for plan in plans]
        assert len(torch.cat(levels).unique()) == 8


def test_an_epoch_sees_every_sample_once_and_stages_follow(tmp_path: Path) -> None:
    seen: list[tuple[int, np.ndarray]] = []

    class Spy(Brightness):
        def batch(self, seed: tuple[int, ...], rows: np.ndarray, stage: int) -> tuple[np.ndarray, dict[str, Any]]:
            seen.append((stage, rows))
            return super().batch(seed, rows, stage)

    train(recipe(), SPEC, Tiny(), Spy(), loss_of, tmp_path)
    assert [stage for stage, _ in seen] == [1] * 12 + [2] * 6
    assert sorted(np.concatenate([rows for _, rows in seen[:3]]).tolist()) == list(range(24))


def test_overfitting_uses_few_samples_without_augmentation() -> None:
    plan = Plan(Brightness(), recipe(overfit=4))
    assert plan.per_epoch == 1 and len(plan[0][1]["level"]) == 4


def test_workers_give_the_same_batches(tmp_path: Path) -> None:
    """In a process of their own, as `edgepose train` is one: workers are forked, and threads of other tests do not
    survive that.
    """
    script = (
        "import sys; from pathlib import Path; from tests.train.test_loop import recipe, run\n"
        "run(Path(sys.argv[1]) / 'alone', recipe(epochs=3))\n"
        "run(Path(sys.argv[1]) / 'helped', recipe(epochs=3, workers=1))\n"
    )
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=root, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    a, b = (checkpoint.load(tmp_path / name / "last.safetensors")[0]["network"] for name in ("alone", "helped"))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_backbone_is_taken_from_a_checkpoint_and_a_foreign_one_refused(tmp_path: Path) -> None:
    run(tmp_path / "a", recipe())
    path = tmp_path / "a" / "last.safetensors"
    fresh = Tiny()
    initialize(fresh, str(path))
    trained = checkpoint.load(path)[0]["average"]
    assert torch.equal(fresh.state_dict()["backbone.0.weight"], trained["backbone.0.weight"])
    other = Tiny()
    other.backbone[0] = nn.Conv2d(3, 5, 3)
    with pytest.raises(ValueError, match="does not fit the backbone"):
        initialize(other, str(path))


def test_damaged_checkpoints_are_refused_in_one_sentence(tmp_path: Path) -> None:
    run(tmp_path / "a", recipe())
    path = tmp_path / "a" / "last.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="damaged or of another kind"):
        checkpoint.load(path)
    with pytest.raises(FileNotFoundError, match="expected a checkpoint"):
        checkpoint.load(tmp_path / "nothing")


def test_every_process_is_asked_what_it_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each name once, those of the first process first."""

    def gather(parts: list[Any], mine: Any) -> None:
        parts[:] = [mine, (other, ["b.png", "a.png"])]

    mine, other = {"square": [1.0, 4]}, {"square": [3.0, 2]}
    monkeypatch.setattr("torch.distributed.all_gather_object", gather)
    assert _gathered(mine, ["a.png"], 2) == ([mine, other], ["a.png", "b.png"])
    assert _gathered(mine, ["a.png"], 1) == ([mine], ["a.png"])


@pytest.mark.slow
def test_two_processes_name_what_either_skips(tmp_path: Path) -> None:
    """The first of two writes the log, and half of the pictures are read by the other."""
    script = (
        "import sys, torch.distributed as dist\n"
        "from pathlib import Path\n"
        "from edgepose.__main__ import end_at_once\n"
        "from tests.train.test_loop import SPEC, Brightness, Tiny, loss_of, recipe\n"
        "from edgepose.train.loop import train\n"
        "class Broken(Brightness):\n"
        "    def batch(self, seed, rows, stage):\n"
        "        images, targets = super().batch(seed, rows, stage)\n"
        "        return images, targets | {'skipped': [f'{seed[-1]}.png']}\n"
        "folder, rank = Path(sys.argv[1]), int(sys.argv[2])\n"
        "dist.init_process_group('gloo', init_method=f'file://{folder}/meet', rank=rank, world_size=2)\n"
        "rows = []\n"
        "train(recipe(epochs=1, stage2=0), SPEC, Tiny(), Broken(), loss_of, folder, record=rows.append)\n"
        "assert [row['skipped'] for row in rows] == ([['0.png', '1.png']] if rank == 0 else []), rows\n"
        "end_at_once(dist.destroy_process_group)\n"
    )
    root = Path(__file__).resolve().parents[2]
    words = [sys.executable, "-c", script, str(tmp_path)]
    started = [
        subprocess.Popen([*words, str(rank)], cwd=root, stderr=subprocess.PIPE, text=True, env=os.environ)
        for rank in (0, 1)
    ]
    told = [process.communicate(timeout=600)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], told
