"""Multiply-accumulates as each paper counted its own networks."""

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from edgepose.models import build  # noqa: E402
from edgepose.models.macs import count, parameters_as_hrnet_counts  # noqa: E402

pytestmark = pytest.mark.torch

# name, convention, published G, and half of its last digit; COCO's LitePose-L is printed as 13.8, CrowdPose's as 13.7
PUBLISHED = [
    ("litepose-xs", "ptflops (LitePose)", 1.205, 6e-4),
    ("litepose-s", "ptflops (LitePose)", 4.992, 6e-4),
    ("litepose-m", "ptflops (LitePose)", 7.854, 6e-4),
    ("litepose-l", "ptflops (LitePose)", 13.730, 6e-4),
    ("efficienthrnet-h0", "hrnet (EfficientHRNet, HRNet)", 25.6, 0.05),
    ("efficienthrnet-h-1", "hrnet (EfficientHRNet, HRNet)", 14.2, 0.05),
    ("efficienthrnet-h-2", "hrnet (EfficientHRNet, HRNet)", 7.7, 0.05),
    ("efficienthrnet-h-3", "hrnet (EfficientHRNet, HRNet)", 4.2, 0.05),
    ("efficienthrnet-h-4", "hrnet (EfficientHRNet, HRNet)", 2.1, 0.05),
    ("rtmpose-m", "mmengine (RTMPose)", 1.93, 0.005),
    ("rtmpose-l", "mmengine (RTMPose)", 4.16, 0.005),
]
DOUBLED = {"h0": 23.3, "h-1": 16.0, "h-2": 10.3, "h-3": 6.9, "h-4": 3.7}  # the paper cuts digits off


@pytest.mark.parametrize(("name", "convention", "giga", "half"), PUBLISHED)
def test_published_figures_come_out_of_their_own_convention(name, convention, giga, half):
    with torch.device("meta"):
        spec, network = build(name)
    assert count(network, spec.input_size).conventions()[convention] / 1e9 == pytest.approx(giga, abs=half)


@pytest.mark.parametrize("size", DOUBLED)
def test_the_backbone_counts_twice_in_the_papers_parameters(size):
    with torch.device("meta"):
        _, network = build(f"efficienthrnet-{size}")
    assert DOUBLED[size] <= parameters_as_hrnet_counts(network) / 1e6 < DOUBLED[size] + 0.1


def test_the_command_shows_every_convention(capsys):
    import json

    from edgepose.commands.macs import show_macs

    show_macs(["litepose-xs", "efficienthrnet-h-4"], "crowdpose", (128, 64), True)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["model"] for row in rows] == ["litepose-xs", "efficienthrnet-h-4"]
    assert rows[0]["parameters"] == 1675552 and rows[0]["input"] == "128x64" and rows[0]["true"] < 2e8
    show_macs(["sasd-l", "sasd-s"], "coco", None, True)
    large, small = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert "61.7 G" in large["note"] and "note" not in small
    show_macs(["sasd-m"], "coco", None, False)
    assert "the paper prints 27.7 G" in capsys.readouterr().out
    show_macs(["litepose-xs"], "coco", None, False)
    shown = capsys.readouterr().out
    assert "0.886 G" in shown and "1.205 G" in shown and "1.676 M" in shown


def test_every_kind_of_arithmetic_is_counted_once():
    class Everything(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Conv2d(3, 4, 3, padding=1)
            self.b = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.SiLU())
            self.c = nn.ConvTranspose2d(4, 2, 4, stride=2, padding=1, bias=False)
            self.pool, self.d = nn.AdaptiveAvgPool2d(1), nn.Linear(2, 5)

        def forward(self, images):
            x = self.c(self.b(self.a(images)))
            matrices = x[:, 0] @ x[:, 1].transpose(1, 2)
            return self.d(self.pool(x).flatten(1)) + matrices.mean()

    network = Everything().train()
    found = count(network, (8, 4))
    assert network.training
    assert (found.products, found.biases) == (32 * 4 * 27 + 10, 32 * 4 + 5)
    assert (found.transposed, found.outputs) == (32 * 4 * 32, 4 * 32 * 4 * 32)
    assert found.matrices == 8 * 8 * 16 and found.pooled == 16 * 8 * 2
    assert (found.normalized, found.rectified, found.activated) == (128, 128, 256)
    assert found.true == found.products + found.transposed
    thop = found.conventions()["thop (SASD, YOLO-Pose)"]
    assert thop == found.products
