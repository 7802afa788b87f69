"""The part of bottom-up decoding inside the graph, and the way through export, file and Estimator."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

import edgepose  # noqa: E402
from edgepose.codec import codec_of  # noqa: E402
from edgepose.codec.grouping import find_peaks  # noqa: E402
from edgepose.export import export_onnx, random_views  # noqa: E402
from edgepose.models import build, load_reference  # noqa: E402
from edgepose.models.associative import Peaks, associative_spec  # noqa: E402
from edgepose.models.deployed import TorchNetwork, deployed_spec  # noqa: E402
from edgepose.runtime.estimator import Estimator  # noqa: E402
from tests.codec.scenes import maps_of, people_of  # noqa: E402
from tests.goldens import golden  # noqa: E402

pytestmark = pytest.mark.torch


def test_peaks_of_the_graph_are_those_of_the_codec():
    spec = associative_spec("x", "coco", (256, 192))
    codec = codec_of(spec)
    outputs = maps_of(codec, people_of(5, 17, (256, 192)))
    noise = np.random.default_rng(0).normal(0, 0.02, outputs[1].shape).astype(np.float32)
    outputs[1] = outputs[1] + noise
    inside = [o.numpy() for o in Peaks(30, 5)(*(torch.from_numpy(o) for o in outputs))]
    heat, tags = codec.maps(outputs)
    np.testing.assert_allclose(inside[0][0], heat, atol=1e-6)
    np.testing.assert_array_equal(inside[1], tags)
    values, cells = find_peaks(inside[0][0], 30, 5, 0.1)
    high = inside[2][0] > 0.1
    np.testing.assert_array_equal(np.where(high, inside[2][0], 0), values)
    np.testing.assert_array_equal(np.where(high, inside[3][0], 0), cells)
    a, b = codec.decode(outputs), codec.decode(inside)
    np.testing.assert_allclose(a.keypoints, b.keypoints, atol=1e-3)
    assert len(Peaks(9, 5)(*(torch.from_numpy(o) for o in outputs))[2][0, 0]) == 9
    wide = Peaks(30, 9)(*(torch.from_numpy(o) for o in outputs))[2]
    assert wide.sum() < inside[2].sum()


class Tiny(torch.nn.Module):
    """Outputs like the real ones, of two layers: exporting the real ones takes half a minute each."""

    def __init__(self):
        super().__init__()
        self.coarse = torch.nn.Conv2d(3, 34, 9, stride=4, padding=4)
        self.fine = torch.nn.Conv2d(3, 17, 9, stride=2, padding=4)
        for layer in (self.coarse, self.fine):
            torch.nn.init.normal_(layer.weight, std=0.06)
        with torch.no_grad():
            self.coarse.weight[17:] *= 50  # tags far apart: else who has which keypoint would hang on the last digit

    def forward(self, images):
        return self.coarse(images), self.fine(images)


def test_a_file_has_its_peaks_inside_and_goes_through_the_estimator(tmp_path):
    torch.manual_seed(0)
    spec, network = associative_spec("tiny", "coco", (128, 96)), Tiny().eval()
    report = export_onnx(spec, network, tmp_path / "net.onnx")
    assert report.mean <= 0.1 and report.scores < 1e-3 and report.points == 8 * 300
    model = onnx.load(str(tmp_path / "net.onnx"))
    assert [o.name for o in model.graph.output] == list(codec_of(spec).output_names)
    assert {"MaxPool", "TopK"} <= {node.op_type for node in model.graph.node}
    compare(spec, network, tmp_path / "net.onnx")


def compare(spec, network, path):
    """Torch and the file through the same Estimator: each person of one has the same in the other, whatever its rank.

    Random weights give everybody about the same score and tags, so a few hang on the last digit.
    """
    estimator, reference = edgepose.load(path), Estimator(TorchNetwork(spec, network))
    assert estimator.spec == deployed_spec(spec)
    for view in random_views(spec, 2):
        picture = np.ascontiguousarray(view[: view.shape[0] * 3 // 4])
        ours, theirs = reference(picture), estimator(picture)
        assert len(ours) > 0 and abs(len(ours) - len(theirs)) <= 1
        apart = np.linalg.norm(ours.keypoints[:, None] - theirs.keypoints[None], axis=-1).mean(-1)
        assert np.median(apart.min(1)) <= 0.1


CASES = [
    ("litepose-xs", "litepose_xs_256_k17", (128, 96)),
    ("litepose-s", "litepose_s_448_k17", None),
    ("efficienthrnet-h-4", "efficienthrnet_h4_384_k17", (128, 96)),
    ("efficienthrnet-h-2", "efficienthrnet_h2_448_k17", None),
    ("higherhrnet-w32", "higherhrnet_w32_512_k17", (128, 96)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "case", "size"), CASES)
def test_files_give_what_torch_gives_through_the_same_estimator(name, case, size, tmp_path):
    spec, network = build(name, input_size=size)
    load_reference(network, golden(f"nets/{case}").state())
    report = export_onnx(spec, network.eval(), tmp_path / "net.onnx")
    assert report.mean <= 0.1 and report.scores < 1e-3
    compare(spec, network, tmp_path / "net.onnx")


def test_the_middle_of_a_picture_is_where_it_was(tmp_path):
    """A network that paints one person in the middle of its input, through the Estimator, for pictures of any shape."""
    spec = associative_spec("painted", "coco", (256, 192))

    class Painted:
        def __init__(self):
            self.spec = deployed_spec(spec)

        def __call__(self, batch):
            assert batch.shape == (1, 192, 256, 3)
            return maps_of(codec_of(spec), np.full((1, 17, 2), (128.5, 96.5)))

    for height, width in ((480, 640), (300, 100), (192, 256)):
        poses = Estimator(Painted())(np.zeros((height, width, 3), np.uint8))
        assert len(poses) == 1
        scale = max(width / 256, height / 192)
        np.testing.assert_allclose(poses.keypoints[0], np.tile([width / 2, height / 2], (17, 1)), atol=1.5 * scale)
    assert len(Estimator(Painted(), min_box_score=2.0)(np.zeros((480, 640, 3), np.uint8))) == 0
