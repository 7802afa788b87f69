"""Export to ncnn: three files that give what torch and ONNX Runtime give, or none."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

torch = pytest.importorskip("torch")
pytest.importorskip("ncnn")
pytest.importorskip("pnnx")
pytest.importorskip("onnxscript")

from torch import Tensor, nn  # noqa: E402

import edgepose  # noqa: E402
from edgepose.cli import app  # noqa: E402
from edgepose.export import export_onnx  # noqa: E402
from edgepose.export.ncnn import export_ncnn  # noqa: E402
from edgepose.models.deployed import TorchNetwork, deployed_spec  # noqa: E402
from edgepose.runtime.session import Session  # noqa: E402
from edgepose.runtime.session_ncnn import NcnnSession  # noqa: E402
from edgepose.skeleton import COCO  # noqa: E402
from edgepose.train import checkpoint  # noqa: E402
from tests.lively import lively  # noqa: E402
from tests.runtime.small import shared  # noqa: E402

pytestmark = pytest.mark.torch

ENDINGS = ("bin", "json", "param")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """On a busy machine two threads of ncnn wait for each other after every layer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEPOSE_THREADS", "1")
        yield


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def network() -> tuple[Any, nn.Module, np.ndarray]:
    return lively("sasd-xs", (96, 64))


@pytest.fixture(scope="module")
def files(network: tuple[Any, nn.Module, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same network for ncnn and as ONNX."""
    folder = tmp_path_factory.mktemp("exported")
    spec, module, views = network
    report = export_ncnn(spec, module, folder / "small.ncnn.param", views)
    assert report.path == folder / "small.ncnn.param" and report.points == 3 * 300 * (17 + 2)
    assert report.mean <= 0.01 and report.scores < 1e-4
    assert sorted(path.name for path in folder.iterdir()) == [f"small.ncnn.{ending}" for ending in ENDINGS]
    export_onnx(spec, module, folder / "small.onnx", views)
    return folder / "small.ncnn.param", folder / "small.onnx"


def test_a_one_stage_network_finds_the_same_people(
    network: tuple[Any, nn.Module, np.ndarray], files: tuple[Path, Path]
) -> None:
    spec, module, views = network
    ours, theirs = edgepose.load(files[0]), edgepose.load(files[1])
    assert isinstance(ours.network, NcnnSession) and ours.spec == theirs.spec == deployed_spec(spec)
    image = cv2.resize(views[0], (200, 150))
    for expected in (theirs(image), edgepose.Estimator(TorchNetwork(spec, module))(image)):
        found = ours(image)
        assert len(found) == len(expected) > 3
        for name in ("keypoints", "boxes"):  # of hundreds of pixels: fresh weights are no quiet network
            apart = np.abs(getattr(found, name) - getattr(expected, name))
            assert apart.mean() <= 0.05 and apart.max() <= 0.5
        np.testing.assert_allclose(found.person_scores, expected.person_scores, atol=1e-4)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "size", "outputs"),
    [
        ("litepose-xs", (64, 64), 2),
        ("rtmdet-nano", (64, 64), 6),
        pytest.param("sasd-e", (128, 128), 4, marks=SLOW),
        pytest.param("sasd-s", (128, 128), 3, marks=SLOW),
        pytest.param("sasd-m", (128, 128), 3, marks=SLOW),
        pytest.param("rtmpose-t", (96, 128), 2, marks=SLOW),
        pytest.param("efficienthrnet-h-4", (128, 128), 2, marks=SLOW),
        pytest.param("hrnet-w32", (64, 96), 1, marks=SLOW),
        *(
            pytest.param(f"deconvpose-{encoder}", (64, 96), 1, marks=SLOW)
            for encoder in ("mobilenet_v2", "resnet18", "resnet18-half", "efficientnet-b0")
        ),
    ],
)
def test_every_family_converts(name: str, size: tuple[int, int], outputs: int, tmp_path: Path) -> None:
    spec, module, views = lively(name, size)
    report = export_ncnn(spec, module, tmp_path / "x.ncnn.param", views)
    assert report.mean <= 0.01 and report.scores < 1e-3, "far below what is allowed"
    session = edgepose.load(tmp_path / "x.ncnn.param", detector=None).network
    found = session(views)
    assert len(found) == outputs and all(len(output) == 3 for output in found)
    for i in range(3):
        for whole, alone in zip(found, session(views[i : i + 1]), strict=True):
            assert np.array_equal(whole[i : i + 1], alone)


class Other(nn.Module):
    """The same outputs in another order of keypoints, which only a comparison notices."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(output.roll(3, 1) for output in self.inner(images))


def test_nothing_is_written_when_results_differ(
    network: tuple[Any, nn.Module, np.ndarray], files: tuple[Path, Path], tmp_path: Path, monkeypatch: Any
) -> None:
    spec, module, views = network
    old = tmp_path / "old.ncnn.param"
    old.write_bytes(b"as it was")
    monkeypatch.setattr("edgepose.export.ncnn.TorchNetwork", lambda spec, net: TorchNetwork(spec, Other(net)))
    with pytest.raises(ValueError, match=r"was not written: the exported graph moves results by .* px") as caught:
        export_ncnn(spec, module, old, views)
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == [old] and old.read_bytes() == b"as it was"


class Unknown(nn.Module):
    """What ncnn has no layer for."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.special.bessel_j0(output) for output in self.inner(images))


def test_what_does_not_fit_is_refused_in_one_sentence(
    network: tuple[Any, nn.Module, np.ndarray], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spec, module, views = network
    with pytest.raises(ValueError, match=r"expected a name that ends in \.ncnn\.param"):
        export_ncnn(spec, module, tmp_path / "a.onnx", views)
    with pytest.raises(ValueError, match=r"expected pictures \(N, 64, 96, 3\) uint8"):
        export_ncnn(spec, module, tmp_path / "a.ncnn.param", views[:, :32])
    with pytest.raises(FileNotFoundError, match="which is not there; create it"):
        export_ncnn(spec, module, tmp_path / "nowhere" / "a.ncnn.param", views)
    with pytest.raises(ValueError, match=r"no model that ncnn can run: .*bessel_j0") as caught:
        export_ncnn(spec, Unknown(module).eval(), tmp_path / "a.ncnn.param", views)
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.fixture(scope="module")
def trained() -> dict[str, tuple[Any, nn.Module]]:
    """The networks in the package, whose training weights lie beside them."""
    folder = Path(__file__).resolve().parents[2] / "edgepose" / "weights"
    return {name: checkpoint.network_of(folder / f"default-{name}.safetensors") for name in ("detector", "pose")}


def test_half_the_size(trained: dict[str, tuple[Any, nn.Module]], tmp_path: Path) -> None:
    spec, module = trained["pose"]
    report = export_ncnn(spec, module, tmp_path / "pose.ncnn.param", half=True)
    assert 0.001 < report.mean <= 0.1, "as float32 it is below 0.0001"
    size = report.path.with_suffix(".bin").stat().st_size
    assert size == pytest.approx(2 * sum(parameter.numel() for parameter in module.parameters()), rel=0.05)


def test_from_a_checkpoint_by_the_command_line(network: tuple[Any, nn.Module, np.ndarray], tmp_path: Path) -> None:
    spec, module, _ = network
    facts = {"spec": spec.to_json(), "recipe": {"model": "sasd-xs"}}
    checkpoint.save(tmp_path / "last.safetensors", {"network": module.state_dict()}, facts)
    result = run("export", tmp_path / "last.safetensors", "--to", "ncnn", "--json")
    assert result.exit_code == 0, result.output
    row = json.loads(result.stdout)
    assert row["path"] == str(tmp_path / "sasd-xs.ncnn.param") and row["mean"] <= 0.01
    sizes = [(tmp_path / f"sasd-xs.ncnn.{ending}").stat().st_size for ending in ENDINGS]
    assert row["bytes"] == sum(sizes) and edgepose.load(row["path"]).spec.name == "sasd-xs"
    wrong = run("export", tmp_path / "last.safetensors", "--to", "tflite")
    assert wrong.exit_code == 2 and "'tflite' is not one of 'onnx', 'openvino', 'ncnn'" in wrong.stderr


@pytest.mark.parametrize(("package", "extra"), [("pnnx", "train"), ("ncnn", "ncnn")])
def test_without_the_packages_it_says_what_to_install(
    package: str, extra: str, network: tuple[Any, nn.Module, np.ndarray], tmp_path: Path, monkeypatch: Any
) -> None:
    spec, module, _ = network
    facts = {"spec": spec.to_json(), "recipe": {"model": "sasd-xs"}}
    checkpoint.save(tmp_path / "last.safetensors", {"network": module.state_dict()}, facts)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "edgepose.runtime.session_ncnn", raising=False)
    result = run("export", tmp_path / "last.safetensors", "--to", "ncnn")
    assert result.exit_code == 1 and result.stderr.count("\n") == 1
    assert f"{package} is not installed" in result.stderr and f"pip install 'edgepose[{extra}]'" in result.stderr


@pytest.fixture
def picture(network: tuple[Any, nn.Module, np.ndarray], tmp_path: Path) -> Path:
    path = tmp_path / "view.png"
    assert cv2.imwrite(str(path), network[2][0])
    return path


def people(result: Result) -> list[Any]:
    assert result.exit_code == 0, result.output
    return [[person["box"], *person["keypoints"]] for person in json.loads(result.stdout)["people"]]


def test_the_commands_take_the_file_as_any_other(files: tuple[Path, Path], picture: Path, tmp_path: Path) -> None:
    pytest.importorskip("hotcoco")
    ours, theirs = (people(run("predict", picture, "--model", file, "--json")) for file in files)
    assert len(ours) == len(theirs) > 3
    for a, b in zip(ours, theirs, strict=True):
        apart = np.abs(np.concatenate(a) - np.concatenate(b))
        assert apart.mean() <= 0.05 and apart.max() <= 0.5
    row = json.loads(run("bench", files[0], "--seconds", "0.05", "--threads", "1", "--json").stdout)
    assert row["backend"] == "ncnn" and row["ms_median"] > 0 and {"pose run", "pose post"} <= row["stages"].keys()
    best = json.loads(run("predict", picture, "--model", files[1], "--json").stdout)["people"][0]
    inside = [(x, y, 2 * (0 <= x < 64 and 0 <= y < 96)) for x, y, _ in best["keypoints"]]
    points = [value for point in inside for value in point]
    x1, y1, x2, y2 = best["box"]
    labels = {
        "images": [{"id": 1, "file_name": picture.name, "width": 64, "height": 96}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [x1, y1, x2 - x1, y2 - y1],
             "area": (x2 - x1) * (y2 - y1), "keypoints": points, "num_keypoints": sum(points[2::3]) // 2}
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.names)}],
    }  # fmt: skip
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    words = ["--data", tmp_path / "labels.json", "--images", tmp_path, "--json"]
    figures = [json.loads(run("evaluate", "--model", file, *words).stdout) for file in files]
    assert figures[0]["AP"] == pytest.approx(figures[1]["AP"], abs=1e-6) and figures[0]["AP"] == pytest.approx(1.0)


def test_a_backend_runs_its_own_files(files: tuple[Path, Path], picture: Path) -> None:
    assert people(run("predict", picture, "--model", files[0], "--backend", "ncnn", "--json"))
    for file, backend in ((files[0], "onnxruntime"), (files[1], "ncnn")):
        result = run("predict", picture, "--model", file, "--backend", backend)
        assert result.exit_code == 1 and result.stderr.count("\n") == 1
        assert f"is no file for {backend}: ncnn runs .param files" in result.stderr
    result = run("predict", picture, "--backend", "ncnn")
    assert result.exit_code == 1 and "default-pose.onnx is no file for ncnn" in result.stderr


def test_real_pictures_through_the_whole_pipeline(trained: dict[str, tuple[Any, nn.Module]], tmp_path: Path) -> None:
    for name, pair in trained.items():
        export_ncnn(*pair, tmp_path / f"{name}.ncnn.param")
    ours = edgepose.load(tmp_path / "pose.ncnn.param", detector=tmp_path / "detector.ncnn.param")
    pose, detector = (TorchNetwork(*trained[name]) for name in ("pose", "detector"))
    theirs = edgepose.Estimator(pose, edgepose.Estimator(detector), duplicate_oks=ours.options.duplicate_oks)
    apart = []
    for path in sorted(shared("coco_mini", "train2017").glob("*.jpg"))[:6]:
        image = cv2.imread(str(path))
        found, expected = ours(image), theirs(image)
        assert len(found) == len(expected)
        apart.append(np.linalg.norm(found.keypoints - expected.keypoints, axis=-1).ravel())
    assert len(np.concatenate(apart)) > 3 * 17 and np.concatenate(apart).mean() <= 0.1


def test_a_stated_spec_counts(files: tuple[Path, Path]) -> None:
    stated = dataclasses.replace(Session(files[1]).spec, name="stated")
    assert edgepose.load(files[0], spec=stated).spec == stated
