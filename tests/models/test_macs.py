"""Multiply-accumulates as each paper counted its networks: HRNet's way in the library, all others in benchmarks."""

import json
import runpy
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from edgepose.models import build  # noqa: E402
from edgepose.models.macs import count, parameters_as_hrnet_counts  # noqa: E402

pytestmark = pytest.mark.torch

SCRIPT = str(Path(__file__).resolve().parents[2] / "benchmarks" / "macs_conventions.py")
CONVENTIONS = runpy.run_path(SCRIPT)
HRNET = "hrnet (EfficientHRNet, HRNet)"

# name, convention, published G, and half of its last digit; COCO's LitePose-L is printed as 13.8, CrowdPose's as 13.7
PUBLISHED = [
    ("litepose-xs", "ptflops (LitePose)", 1.205, 6e-4),
    ("litepose-s", "ptflops (LitePose)", 4.992, 6e-4),
    ("litepose-m", "ptflops (LitePose)", 7.854, 6e-4),
    ("litepose-l", "ptflops (LitePose)", 13.730, 6e-4),
    ("efficienthrnet-h0", HRNET, 25.6, 0.05),
    ("efficienthrnet-h-1", HRNET, 14.2, 0.05),
    ("efficienthrnet-h-2", HRNET, 7.7, 0.05),
    ("efficienthrnet-h-3", HRNET, 4.2, 0.05),
    ("efficienthrnet-h-4", HRNET, 2.1, 0.05),
    ("hrnet-w32", HRNET, 7.12 * 1.024**3, 0.006),  # HRNet's own tables are in units of 2^30
    ("hrnet-w48", HRNET, 14.61 * 1.024**3, 0.006),
    ("higherhrnet-w32", HRNET, 47.9, 0.05),
    ("rtmpose-m", "mmengine (RTMPose)", 1.93, 0.005),
    ("rtmpose-l", "mmengine (RTMPose)", 4.16, 0.005),
]
DOUBLED = {"h0": 23.3, "h-1": 16.0, "h-2": 10.3, "h-3": 6.9, "h-4": 3.7}  # the paper cuts digits off


@pytest.mark.parametrize(("name", "convention", "giga", "half"), PUBLISHED)
def test_published_figures_come_out_of_their_own_convention(name, convention, giga, half):
    with torch.device("meta"):
        spec, network = build(name)
    found = {HRNET: count(network, spec.input_size).hrnet, **CONVENTIONS["conventions"](network, spec.input_size)}
    assert found[convention] / 1e9 == pytest.approx(giga, abs=half)


@pytest.mark.parametrize("size", DOUBLED)
def test_the_backbone_counts_twice_in_the_papers_parameters(size):
    with torch.device("meta"):
        _, network = build(f"efficienthrnet-{size}")
    assert DOUBLED[size] <= parameters_as_hrnet_counts(network) / 1e6 < DOUBLED[size] + 0.1


def test_the_command_shows_the_true_number_and_hrnets(capsys):
    from edgepose.cli.macs import show_macs

    show_macs(["litepose-xs", "efficienthrnet-h-4"], "crowdpose", (128, 64), True)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["model"] for row in rows] == ["litepose-xs", "efficienthrnet-h-4"]
    assert rows[0]["parameters"] == 1675552 and rows[0]["input"] == "128x64" and rows[0]["true"] < 2e8
    assert all(row["true"] < row["hrnet"] for row in rows), "both have transposed convolutions"
    show_macs(["litepose-xs", "efficienthrnet-h-4"], "coco", None, False)
    shown = capsys.readouterr().out
    assert "0.886 G" in shown and "1.676 M" in shown and "2.105 G" in shown and "1.205" not in shown


def test_the_benchmark_shows_every_convention(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", [SCRIPT, "sasd-l", "litepose-xs", "--json"])
    CONVENTIONS["main"]()
    large, small = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert "61.7 G" in large["note"] and "note" not in small
    assert len(small) == 8 and small["ptflops (LitePose)"] / 1e9 == pytest.approx(1.205, abs=6e-4)
    monkeypatch.setattr("sys.argv", [SCRIPT, "sasd-m", "--size", "640x640"])
    CONVENTIONS["main"]()
    assert "sasd-m: the paper prints 27.7 G" in capsys.readouterr().out


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
    assert found.products == 32 * 4 * 27 + 10
    assert (found.transposed, found.outputs) == (32 * 4 * 32, 4 * 32 * 4 * 32)
    assert (found.true, found.hrnet) == (found.products + found.transposed, found.products + found.outputs)
    assert CONVENTIONS["others"](network, (8, 4)) == {
        "biases": 32 * 4 + 5, "normalized": 128, "rectified": 128, "activated": 256, "pooled": 16 * 8 * 2,
        "matrices": 8 * 8 * 16,
    }  # fmt: skip
    assert network.training and CONVENTIONS["conventions"](network, (8, 4))["thop (SASD, YOLO-Pose)"] == found.products
