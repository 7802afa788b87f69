"""One batch overfitted: every one-stage network, from a picture to average precision."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from edgepose.codec import codec_of  # noqa: E402
from edgepose.data.mosaics import read_mosaics  # noqa: E402
from edgepose.evaluate.coco import coco_ap  # noqa: E402
from edgepose.evaluate.run import results_of  # noqa: E402
from edgepose.models import build  # noqa: E402
from edgepose.models.deployed import TorchNetwork  # noqa: E402
from edgepose.models.sasd import SASD, Staggered  # noqa: E402
from edgepose.runtime.estimator import Estimator  # noqa: E402
from edgepose.skeleton import COCO  # noqa: E402
from edgepose.train.anchor_loss import AnchorLoss  # noqa: E402
from edgepose.train.loop import train  # noqa: E402
from edgepose.train.options import OneStage  # noqa: E402
from edgepose.train.recipes import Recipe  # noqa: E402
from tests.people import four_people  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.slow]

SIDE, STEPS = 128, 150
RATES = {"sasd-m": 2e-3, "sasd-l": 5e-4}


def labelled(folder: Path) -> Path:
    """A picture of two drawn people who share no cell, and their labels."""
    drawn, poses = four_people((2 * SIDE, 2 * SIDE))
    drawn = cv2.resize(drawn, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    image, people = np.full_like(drawn, 120), []
    for i in (int(poses.boxes[:, 0].argmin()), int(poses.boxes[:, 2].argmax())):
        x1, y1, x2, y2 = (poses.boxes[i] / 2).tolist()
        part = np.s_[int(y1) : int(y2), int(x1) : int(x2)]
        image[part] = drawn[part]
        seen = ((poses.keypoints[i] / 2 >= 0) & (poses.keypoints[i] / 2 <= SIDE - 1)).all(axis=-1)
        points = [
            float(v) for (x, y), shown in zip(poses.keypoints[i] / 2, 2 * seen, strict=True) for v in (x, y, shown)
        ]
        person = {"id": i + 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [x1, y1, x2 - x1, y2 - y1]}
        people.append(person | {"area": (x2 - x1) * (y2 - y1), "keypoints": points, "num_keypoints": int(seen.sum())})
    assert cv2.imwrite(str(folder / "1.png"), image)
    labels = {
        "images": [{"id": 1, "file_name": "1.png", "width": SIDE, "height": SIDE}],
        "annotations": people,
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.names)}],
    }
    (folder / "labels.json").write_text(json.dumps(labels))
    return folder / "labels.json"


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("sasd-xs", False),
        ("sasd-xs", True),
        ("sasd-xs-eq", False),
        ("sasd-e", False),
        ("sasd-s", False),
        ("sasd-m", False),
        ("sasd-l", False),
    ],
)
def test_a_batch_is_learnt_by_heart(tmp_path: Path, name: str, twin: bool) -> None:
    """Wide sigmas beside OKS, which has no gradient for a keypoint that is many sigmas away."""
    labels = labelled(tmp_path)
    torch.manual_seed(0)
    spec, network = build(name, input_size=(SIDE, SIDE))
    assert isinstance(network, SASD)
    codec = codec_of(spec)
    loss = AnchorLoss(codec, oks="paper", far=0.3)
    seen: set[str] = set()

    def loss_of(outputs: tuple[Tensor, ...], targets: dict[str, list[Tensor]]) -> dict[str, Tensor]:
        nonlocal step
        step += 1
        if step == 3 * STEPS // 5:  # the coarsest maps have 16 cells, whose running variance is a fifteenth too large
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        losses = loss(outputs, targets)
        seen.update(losses)
        return losses

    step = 0
    recipe = Recipe(
        name, epochs=1, batch=1, lr=RATES.get(name, 5e-3), warmup=20, flat=0.5, stage2=0, average=False,
        precision="fp32", channels_last=False, overfit=STEPS, clip=10.0, options=OneStage(),
    )  # fmt: skip
    (tmp_path / "run").mkdir()
    extra = Staggered(network, STEPS // 2) if twin else None
    samples = read_mosaics([(labels, tmp_path, STEPS)], COCO, codec)  # one epoch: a checkpoint only at the end
    train(recipe, spec, network, samples, loss_of, tmp_path / "run", extra=extra)
    assert ("large_keypoints" in seen) == ("align" in seen) == twin
    estimator = Estimator(TorchNetwork(spec, network.eval()), min_box_score=0.0)
    figures = coco_ap(results_of(estimator, labels, tmp_path), labels)
    assert figures["AP"] == pytest.approx(1.0, abs=1e-6)
