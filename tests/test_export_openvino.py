"""Export to OpenVINO: two files that give what torch gives, or none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("openvino")
pytest.importorskip("onnxscript")

from torch import Tensor, nn  # noqa: E402

import edgepose  # noqa: E402
from edgepose.cli import app  # noqa: E402
from edgepose.export_openvino import export_openvino  # noqa: E402
from edgepose.models.deployed import TorchNetwork, deployed_spec  # noqa: E402
from edgepose.runtime.session_openvino import OpenVinoSession  # noqa: E402
from edgepose.train import checkpoint  # noqa: E402
from tests.lively import lively  # noqa: E402

pytestmark = pytest.mark.torch

Made = tuple[Any, nn.Module, np.ndarray]


@pytest.fixture(scope="module")
def network() -> Made:
    return lively("rtmpose-t", (64, 96))


def test_the_file_says_what_it_is_and_finds_what_torch_finds(network: Made, tmp_path: Path) -> None:
    spec, module, views = network
    report = export_openvino(spec, module, tmp_path / "small.xml", views)
    assert report.path == tmp_path / "small.xml" and report.mean <= 0.01 and report.points == 3 * 17
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.bin", "small.xml"]
    ours = edgepose.load(tmp_path / "small.xml", detector=None)
    assert isinstance(ours.network, OpenVinoSession) and ours.spec == deployed_spec(spec)
    exact = edgepose.Estimator(OpenVinoSession(tmp_path / "small.xml", precision="f32"))
    image = cv2.resize(views[0], (200, 150))
    boxes = np.array([[10, 20, 90, 140], [50, 5, 190, 140]])
    found, expected = exact(image, boxes), edgepose.Estimator(TorchNetwork(spec, module))(image, boxes)
    np.testing.assert_allclose(found.keypoints, expected.keypoints, atol=0.01)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)


class Other(nn.Module):
    """The same outputs in another order of keypoints, which only a comparison notices."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(output.roll(3, 1) for output in self.inner(images))


def test_nothing_is_written_when_results_differ(network: Made, tmp_path: Path, monkeypatch: Any) -> None:
    spec, module, views = network
    (tmp_path / "old.xml").write_bytes(b"as it was")
    monkeypatch.setattr("edgepose.export_openvino.TorchNetwork", lambda spec, net: TorchNetwork(spec, Other(net)))
    with pytest.raises(ValueError, match=r"old.xml was not written: the exported graph moves results by .* px"):
        export_openvino(spec, module, tmp_path / "old.xml", views)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"as it was"]


def test_what_does_not_fit_is_refused_in_one_sentence(network: Made, tmp_path: Path) -> None:
    spec, module, views = network
    with pytest.raises(ValueError, match=r"expected a name that ends in \.xml"):
        export_openvino(spec, module, tmp_path / "a.onnx", views)
    with pytest.raises(ValueError, match=r"expected pictures \(N, 96, 64, 3\) uint8"):
        export_openvino(spec, module, tmp_path / "a.xml", views[:, :32])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("half", [False, True])
def test_from_a_checkpoint_by_the_command_line(half: bool, network: Made, tmp_path: Path) -> None:
    spec, module, _ = network
    facts = {"spec": spec.to_json(), "recipe": {"model": "rtmpose-t"}}
    checkpoint.save(tmp_path / "last.safetensors", {"network": module.state_dict()}, facts)
    words = ["export", str(tmp_path / "last.safetensors"), "--to", "openvino", "--json", *(["--half"] if half else [])]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    row = json.loads(result.stdout)
    sizes = {ending: (tmp_path / f"rtmpose-t.{ending}").stat().st_size for ending in ("xml", "bin")}
    assert row["path"] == str(tmp_path / "rtmpose-t.xml") and row["bytes"] == sum(sizes.values())
    learned = sum(parameter.numel() for parameter in module.parameters())
    assert sizes["bin"] == pytest.approx((2 if half else 4) * learned, rel=0.05)
    assert edgepose.load(row["path"], detector=None).spec.name == "rtmpose-t"
