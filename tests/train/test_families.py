"""Runs of whole-picture networks, killed and resumed, and shared by two processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edgepose.train import checkpoint  # noqa: E402
from edgepose.train.families import prepare  # noqa: E402
from edgepose.train.loop import Step, train  # noqa: E402
from edgepose.train.recipes import RECIPES, override  # noqa: E402
from tests.people import four_people  # noqa: E402

pytestmark = pytest.mark.torch

ROOT = Path(__file__).resolve().parents[2]
WORDS = ["epochs=3", "batch=2", "input_size=64x64", "precision=fp32", "threads=1", "warmup=1", "clip=10"]
FAMILIES = {
    "sasd-xs": ["alone=1", "average=1", "optimizer=sgd", "lr=0.01"],  # two steps alone, then four beside itself
    "litepose-xs": ["lr=0.001", "average=1"],
    "efficienthrnet-h-4": ["lr=0.001"],
}


@pytest.fixture
def data(tmp_path: Path) -> tuple[Path, Path, int]:
    """Four pictures of some drawn people each."""
    annotations = []
    for i in range(4):
        image, poses = four_people((160 + 16 * i, 120))
        assert cv2.imwrite(str(tmp_path / f"{i}.png"), image)
        for keypoints, (x1, y1, x2, y2) in zip(poses.keypoints[i % 2 :: 2], poses.boxes[i % 2 :: 2], strict=True):
            points = [float(v) for x, y in keypoints for v in (x, y, 2)]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": i, "category_id": 1, "iscrowd": 0, "num_keypoints": 17,
                 "bbox": [float(x1), float(y1), float(x2 - x1), float(y2 - y1)],
                 "area": float((x2 - x1) * (y2 - y1)), "keypoints": points}
            )  # fmt: skip
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 160 + 16 * i, "height": 120} for i in range(4)],
        "categories": [{"id": 1, "name": "person", "keypoints": list(poses.skeleton.names)}],
        "annotations": annotations,
    }
    (tmp_path / "labels.json").write_text(json.dumps(content))
    return tmp_path / "labels.json", tmp_path, 1


def run(name: str, data: tuple[Path, Path, int], folder: Path, stop_after: int = 0) -> list[Step]:
    torch.manual_seed(0)
    recipe = override(RECIPES[name], [*WORDS, *FAMILIES[name]])
    task = prepare(recipe, [data])
    steps: list[Step] = []

    def report(step: Step) -> None:
        steps.append(step)
        if step.iteration == stop_after:
            raise KeyboardInterrupt

    folder.mkdir(exist_ok=True)
    train(
        recipe, task.spec, task.network, task.samples, task.loss_of, folder, extra=task.extra, order=task.order,
        report=report,
    )  # fmt: skip
    return steps


@pytest.mark.parametrize("name", ["sasd-xs", "litepose-xs", "efficienthrnet-h-4"])
def test_a_killed_run_resumes_to_exactly_the_same_tensors(
    name: str, data: tuple[Path, Path, int], tmp_path: Path
) -> None:
    whole = run(name, data, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(name, data, tmp_path / "killed", stop_after=3)  # in the middle of the second epoch
    resumed = run(name, data, tmp_path / "killed")
    assert [step.iteration for step in resumed] == [3, 4, 5, 6]
    assert [step.losses for step in resumed] == [step.losses for step in whole[2:]]
    if name == "sasd-xs":
        assert "align" not in whole[1].losses and whole[2].losses["align"] > 0, "the second phase begins on resuming"
    parts, others = (checkpoint.load(tmp_path / folder / "last.safetensors")[0] for folder in ("whole", "killed"))
    assert parts.keys() == others.keys() >= {"network", "optimizer"}
    assert ("extra" in parts) is (name == "sasd-xs") and ("average" in parts) is (name != "efficienthrnet-h-4")
    for part, tensors in parts.items():
        assert tensors.keys() == others[part].keys()
        for key, value in tensors.items():
            assert torch.equal(value, others[part][key]), f"{part}/{key}"


SHARED = """
import hashlib, json, sys
from pathlib import Path
import torch
from edgepose.__main__ import end_at_once
from edgepose.train.loop import processes_of_torchrun, train
from edgepose.train.recipes import RECIPES, override
from edgepose.train.families import prepare

labels, folder, name, *words = sys.argv[1:]
seen = []

class Watched:
    def __init__(self, samples):
        self.samples = samples
    def __len__(self):
        return len(self.samples)
    def batch(self, seed, rows, stage):
        seen.append(rows.tolist())
        return self.samples.batch(seed, rows, stage)

def digest(module):
    return hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in module.parameters())).hexdigest()

torch.set_num_threads(1)
with processes_of_torchrun("cpu") as device:
    rank = torch.distributed.get_rank()
    recipe = override(RECIPES[name], words)
    task = prepare(recipe, [(Path(labels), Path(labels).parent, 1)])
    torch.manual_seed(rank)
    before = digest(task.network)
    losses = []
    train(recipe, task.spec, task.network, Watched(task.samples), task.loss_of, Path(folder), device=device,
          extra=task.extra, order=task.order, report=lambda step: losses.append(sorted(step.losses)))
    Path(folder, f"rank{rank}").write_text(json.dumps((before, digest(task.network), seen, losses[-1])))
end_at_once(list)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sasd-xs", "litepose-xs"])
def test_two_processes_share_every_batch_and_stay_the_same(
    name: str, data: tuple[Path, Path, int], tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "shared.py").write_text(SHARED)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = [str(tmp_path / "shared.py"), str(data[0]), str(tmp_path / "run"), name, *WORDS, *FAMILIES[name]]
    result = subprocess.run([*command, *words], cwd=ROOT, capture_output=True, text=True, timeout=500,
                            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    ranks = [json.loads((tmp_path / "run" / f"rank{rank}").read_text()) for rank in (0, 1)]
    (before, after, first, losses), (_, other, second, _) = ranks
    assert before != after == other, "both learn, and the same"
    for a, b in zip(first, second, strict=True):
        assert len(a) == len(b) == 1 and a != b
    assert sorted(first[0] + first[1] + second[0] + second[1]) == [0, 1, 2, 3], "each picture once an epoch"
    assert ("align" in losses) is (name == "sasd-xs")
    parts, facts = checkpoint.load(tmp_path / "run" / "last.safetensors")
    assert facts["iteration"] == 6 and all(np.isfinite(value.numpy()).all() for value in parts["network"].values())
