"""Export: what the file holds and gives, what is refused, and that nothing is left behind then."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

import edgepose  # noqa: E402
from edgepose import export as exporting  # noqa: E402
from edgepose.codec import codec_of  # noqa: E402
from edgepose.export import export_onnx, random_views  # noqa: E402
from edgepose.models import build, load_reference  # noqa: E402
from edgepose.models.deployed import TorchNetwork, deployed_spec  # noqa: E402
from edgepose.runtime.session import Session  # noqa: E402
from edgepose.spec import ModelSpec  # noqa: E402
from edgepose.train.distil.boxes import BoxTeacher  # noqa: E402
from edgepose.train.distil.teacher import Teacher  # noqa: E402
from tests.goldens import golden  # noqa: E402

pytestmark = pytest.mark.torch

SPEC = ModelSpec(
    "tiny", "simcc", (48, 64), per_person=True, layout="nchw", color="rgb", mean=(120, 110, 100), std=(50, 60, 70),
    license="none",
)  # fmt: skip


class TinyPose(nn.Module):
    """SimCC of a few layers, with what is hard to export right: pooling of the whole map, a free batch, padding."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 5, stride=4, padding=2)
        self.gate = nn.Conv2d(32, 32, 1)
        self.maps = nn.Conv2d(32, 17, 1)
        self.x, self.y = nn.Linear(12 * 16, 96), nn.Linear(12 * 16, 128)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = F.silu(self.stem(images))
        x = x * F.hardsigmoid(self.gate(F.adaptive_avg_pool2d(x, 1)))
        flat = self.maps(x).flatten(2)
        return self.x(flat), self.y(flat)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    network = TinyPose()
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter, nonlinearity="linear")
    return network.eval()


@pytest.fixture(scope="module")
def exported(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "tiny.onnx"
    report = export_onnx(SPEC, network, path)
    assert report.path == path and (report.pictures, report.points) == (8, 8 * 17)
    assert report.mean <= 0.01 and report.scores < 1e-4
    return path


def decoded(spec: ModelSpec, run: Callable[[np.ndarray], list[np.ndarray]], views: np.ndarray) -> np.ndarray:
    return np.asarray(codec_of(spec).decode(run(views)).keypoints)


def test_the_file_tells_what_it_is(exported: Path) -> None:
    model = onnx.load(str(exported))
    (entry,) = model.metadata_props
    assert entry.key == "edgepose" and ModelSpec.from_json(entry.value) == deployed_spec(SPEC)
    (images,) = model.graph.input
    shape = [side.dim_value or side.dim_param for side in images.type.tensor_type.shape.dim]
    assert images.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert isinstance(shape[0], str) and shape[1:] == [64, 48, 3]
    assert [output.name for output in model.graph.output] == ["simcc_x", "simcc_y"] == list(codec_of(SPEC).output_names)
    assert not model.graph.value_info and not any(node.metadata_props for node in model.graph.node)
    kinds = {node.op_type for node in model.graph.node}
    assert not kinds & {"Gather", "Range", "Shape"}, "pooling is exported as pooling"


def test_it_gives_what_torch_gives_whatever_the_batch(exported: Path, network: nn.Module) -> None:
    views = random_views(SPEC, 7)
    session, reference = Session(exported), TorchNetwork(SPEC, network)
    for ours, theirs in zip(reference(views), session(views), strict=True):
        assert ours.std() > 0.1
        np.testing.assert_allclose(theirs, ours, atol=1e-4)
    points = decoded(session.spec, session, views)
    assert np.linalg.norm(points - decoded(session.spec, reference, views), axis=-1).mean() <= 0.1
    assert np.ptp(points, axis=0).max() > 5, "views differ in their results"
    alone = np.concatenate([decoded(session.spec, session, view[None]) for view in views])
    assert np.linalg.norm(points - alone, axis=-1).mean() <= 0.1
    assert len(edgepose.load(exported, detector=None)(views[0])) == 1


class Heard(logging.Handler):
    """Messages of a logger and those below it."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def test_half_the_size_and_the_same_results_without_a_word(
    exported: Path, network: nn.Module, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    half, logger, heard = tmp_path / "half.onnx", logging.getLogger("torch.onnx"), Heard()
    level = logger.level
    logger.addHandler(heard)
    try:
        report = export_onnx(SPEC, network, half, half=True)
    finally:
        logger.removeHandler(heard)
    assert heard.messages == [] and logger.level == level
    assert capfd.readouterr() == ("", "")
    assert report.mean <= 0.1 and list(tmp_path.iterdir()) == [half]
    views = random_views(SPEC, 7)
    a, b = Session(exported), Session(half)
    assert np.linalg.norm(decoded(SPEC, a, views) - decoded(SPEC, b, views), axis=-1).mean() <= 0.1
    weights = 2 * sum(p.numel() for p in network.parameters())
    assert exported.stat().st_size - half.stat().st_size == pytest.approx(weights, rel=0.05)


@pytest.fixture
def written(exported: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Let the exporter write this file instead of exporting anew."""

    def write(content: bytes) -> None:
        monkeypatch.setattr(exporting, "_write", lambda module, spec, path, half: path.write_bytes(content))

    return write


def test_nothing_is_written_when_results_differ(
    exported: Path, network: nn.Module, written: Callable[[bytes], None], tmp_path: Path
) -> None:
    model = onnx.load(str(exported))
    for tensor in model.graph.initializer:
        if tensor.name.endswith("maps.weight"):
            values = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values[::-1].copy(), tensor.name))  # keypoints change places
    written(model.SerializeToString())
    before = tmp_path / "old.onnx"
    before.write_bytes(b"as it was")
    for target in (before, tmp_path / "new.onnx"):
        with pytest.raises(ValueError, match=r"was not written: the exported graph moves results by \d+\.\d+ px"):
            export_onnx(SPEC, network, target)
    assert list(tmp_path.iterdir()) == [before] and before.read_bytes() == b"as it was"


def test_the_limits_are_the_stated_ones(
    exported: Path, network: nn.Module, written: Callable[[bytes], None], tmp_path: Path, monkeypatch
) -> None:
    written(exported.read_bytes())
    export_onnx(SPEC, network, tmp_path / "kept.onnx")
    for name in ("TOLERANCE", "SCORE_TOLERANCE"):
        with monkeypatch.context() as patch, pytest.raises(ValueError, match="was not written") as caught:
            patch.setattr(exporting, name, -1.0)
            export_onnx(SPEC, network, tmp_path / "refused.onnx")
        assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.onnx"]


def test_what_does_not_fit_is_refused_in_one_sentence(network: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected pictures \(N, 64, 48, 3\) uint8, got"):
        export_onnx(SPEC, network, tmp_path / "a.onnx", np.zeros((2, 48, 64, 3), np.uint8))
    with pytest.raises(FileNotFoundError, match="which is not there; create it"):
        export_onnx(SPEC, network, tmp_path / "nowhere" / "a.onnx")
    with pytest.raises(ValueError, match="already takes uint8 pictures"):
        export_onnx(deployed_spec(SPEC), network, tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


class Undecided(TinyPose):
    """What it computes depends on what it sees, which no graph can say."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(images if images.sum() > 0 else -images)


@pytest.mark.slow
def test_what_torch_cannot_export_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="torch cannot export tiny to ONNX: ") as caught:
        export_onnx(SPEC, Undecided().eval(), tmp_path / "a.onnx")
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("rtmpose-t", "rtmpose_t_256x192_k17"),
        ("rtmdet-nano", "rtmdet_nano_320_person"),
        pytest.param("hrnet-w32", "hrnet_w32_256x192_k17", marks=pytest.mark.slow),
    ],
)
def test_published_networks(name: str, case: str, tmp_path: Path) -> None:
    spec, network = build(name)
    load_reference(network, golden(f"nets/{case}").state())
    report = export_onnx(spec, network.eval(), tmp_path / "whole.onnx")
    assert report.mean <= 0.01 and report.scores < 1e-4
    session = Session(tmp_path / "whole.onnx")
    assert session.spec == deployed_spec(spec)
    model = onnx.load(str(tmp_path / "whole.onnx"))
    assert [output.name for output in model.graph.output] == list(codec_of(spec).output_names)
    for view in random_views(spec, 2):
        ours, theirs = (codec_of(spec).decode(run(view[None])) for run in (TorchNetwork(spec, network), session))
        assert len(ours) == len(theirs) > 0
        points = (ours.keypoints, theirs.keypoints) if spec.per_person else (ours.boxes, theirs.boxes)
        assert np.abs(points[0] - points[1]).mean() <= 0.1
    half = onnx.ModelProto.FromString((tmp_path / "whole.onnx").read_bytes())
    exporting.store_half(half.graph)
    (tmp_path / "half.onnx").write_bytes(half.SerializeToString())
    sizes = [(tmp_path / f"{kind}.onnx").stat().st_size for kind in ("half", "whole")]
    assert sizes[0] < 0.55 * sizes[1]
    narrow = Session(tmp_path / "half.onnx")
    for a, b in zip(session(random_views(spec, 1)), narrow(random_views(spec, 1)), strict=True):
        assert np.abs(a - b).mean() < 0.01 * a.std()
    if not spec.per_person:
        BoxTeacher(
            Teacher(tmp_path / "whole.onnx"), (192, 192)
        )  # which checks that neither size nor batch is in the graph


def test_a_one_stage_network_finds_the_same_people(tmp_path: Path) -> None:
    torch.manual_seed(0)
    spec, network = build("sasd-xs", skeleton="crowdpose", input_size=(96, 64))
    views = random_views(spec, 3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():  # norms of these pictures, and heads that find people in them
        network.train()(torch.from_numpy(views).permute(0, 3, 1, 2) / 255)
        for head in network.eval().heads:
            nn.init.normal_(head.convs[0].weight, std=0.1)
            head.convs[0].bias.view(3, -1)[:, 4] += 4
    report = export_onnx(spec, network, tmp_path / "sasd.onnx", views)
    assert report.points == 3 * 300 * (14 + 2) and report.mean <= 0.01 and report.scores < 1e-3
    session = Session(tmp_path / "sasd.onnx")
    assert session.spec == deployed_spec(spec) and codec_of(spec).output_names == (
        "anchors_8",
        "anchors_16",
        "anchors_32",
    )
    ours, theirs = (edgepose.Estimator(n)(views[0]) for n in (TorchNetwork(spec, network), session))
    assert len(ours) == len(theirs) > 0 and (ours.person_scores >= 0.3).all()
    np.testing.assert_allclose(theirs.keypoints, ours.keypoints, rtol=1e-3, atol=0.05)
    loaded = edgepose.load(tmp_path / "sasd.onnx")(views[0])
    np.testing.assert_allclose(loaded.keypoints, theirs.keypoints, atol=0.01)
    everybody = edgepose.Estimator(session, min_box_score=0.0)(views[0])
    assert len(everybody) > len(theirs) and everybody.person_scores.min() < 0.3
    flipped = edgepose.Estimator(session, flip_test=True, min_box_score=0.0)
    mirrored = flipped(np.ascontiguousarray(views[0][:, ::-1]))  # both views are looked at, whichever comes first
    straight = flipped(views[0])
    np.testing.assert_allclose(mirrored.person_scores[:3], straight.person_scores[:3], atol=1e-3)
    turned = mirrored.keypoints[:3, spec.keypoints.flip] * [-1, 1] + [95, 0]
    np.testing.assert_allclose(turned, straight.keypoints[:3], rtol=1e-3, atol=0.1)


def test_one_stage_outputs_are_compared_cell_by_cell() -> None:
    codec = codec_of(ModelSpec("mine", "anchors", (64, 64)))
    rng = np.random.default_rng(0)
    ours = [rng.standard_normal((1, 171, h, w)).astype(np.float32) for w, h in codec.grids]
    distances, scores = codec.apart(ours, ours)
    assert len(distances) == 252 * 19 and len(scores) == 252 * 18 and not distances.any() and not scores.any()
    theirs = [level.copy() for level in ours]
    theirs[0].reshape(3, 57, -1)[:, 6] += 0.5  # a keypoint's x by 2 * 0.5 cells of 8 pixels
    distances, _ = codec.apart(ours, theirs)
    np.testing.assert_allclose(np.unique(np.round(distances, 3)), [0, 8], atol=1e-2)
    theirs[1].reshape(3, 57, -1)[:, 8] += 1
    _, scores = codec.apart(ours, theirs)
    assert (scores > 0).sum() == 3 * 16
