"""Export to OpenVINO: two files that give what torch gives, or none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
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
from edgepose.export import export_onnx  # noqa: E402
from edgepose.export.openvino import export_openvino  # noqa: E402
from edgepose.models.deployed import TorchNetwork, deployed_spec  # noqa: E402
from edgepose.runtime.session_openvino import OpenVinoSession  # noqa: E402
from edgepose.train.checkpoint import network_of  # noqa: E402
from tests.lively import lively  # noqa: E402

pytestmark = pytest.mark.torch

Made = tuple[Any, nn.Module, np.ndarray]


def test_from_a_checkpoint_by_the_command_line(tmp_path: Path) -> None:
    """Of the pose network in the package, with half the bytes; random weights would not survive that."""
    source = Path(__file__).resolve().parents[2] / "edgepose" / "weights" / "default-pose.safetensors"
    target = tmp_path / "pose.xml"
    words = ["export", str(source), "--to", "openvino", "--out", str(target), "--half", "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    row, sizes = json.loads(result.stdout), {path.suffix: path.stat().st_size for path in tmp_path.iterdir()}
    assert row["path"] == str(target) and 0.001 < row["mean"] <= 0.25, "as float32 it is far lower"
    assert row["bytes"] == sum(sizes.values()) and set(sizes) == {".xml", ".bin"}
    learned = sum(parameter.numel() for parameter in network_of(source)[1].parameters())
    assert sizes[".bin"] == pytest.approx(2 * learned, rel=0.05)
    assert edgepose.load(target, detector=None).spec.name == "cspnext-context-t"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A small network, whose ONNX file is made once for all tests of this file."""
    spec, module, views = lively("rtmpose-t", (64, 96))
    kept = tmp_path_factory.mktemp("once") / "small.onnx"
    export_onnx(spec, module, kept, views)
    with pytest.MonkeyPatch.context() as patch:
        copied = lambda spec, module, out, *_: shutil.copyfile(kept, out)  # noqa: E731
        patch.setattr("edgepose.export.openvino.export_onnx", copied)
        yield spec, module, views


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
    monkeypatch.setattr("edgepose.export.openvino.TorchNetwork", lambda spec, net: TorchNetwork(spec, Other(net)))
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
