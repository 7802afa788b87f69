"""RTMPose and its pre-training network against published sizes and outputs."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edgepose.models import build, load_reference, rtmpose  # noqa: E402
from edgepose.models.macs import macs_true, parameters  # noqa: E402
from tests.goldens import golden  # noqa: E402

pytestmark = pytest.mark.torch

CROP, LARGE, SQUARE = (192, 256), (288, 384), (256, 256)

# name, skeleton, input size, parameters, multiply-accumulates in G (None where nothing is published)
PUBLISHED = [
    ("rtmpose-t", "coco", CROP, 3337007, 0.355),
    ("rtmpose-s", "coco", CROP, 5473251, 0.676),
    ("rtmpose-m", "coco", CROP, 13587611, 1.917),
    ("rtmpose-l", "coco", CROP, 27660339, 4.142),
    ("rtmpose-x", "coco", CROP, 49304235, None),
    ("rtmpose-m", "coco", LARGE, 13717659, 4.301),
    ("rtmpose-l", "coco", LARGE, 27790387, 9.306),
    ("rtmpose-x", "coco", LARGE, 49434283, 17.160),
    ("rtmpose-m", "ap10k", SQUARE, 13624475, 2.553),
    ("rtmpose-t", "halpe26", CROP, 3506360, 0.369),
    ("rtmpose-s", "halpe26", CROP, 5699052, 0.693),
    ("rtmpose-m", "halpe26", CROP, 13926308, 1.940),
    ("rtmpose-l", "halpe26", CROP, 28111932, 4.170),
    ("rtmpose-m", "halpe26", LARGE, 14056356, 4.345),
    ("rtmpose-l", "halpe26", LARGE, 28241980, 9.362),
    ("rtmpose-x", "halpe26", LARGE, 49998772, 17.228),
    ("rtmpose-t", "wholebody", CROP, 5519779, 0.537),
    ("rtmpose-s", "wholebody", CROP, 8383575, 0.893),
    ("rtmpose-m", "wholebody", CROP, 17953039, 2.204),
    ("rtmpose-l", "wholebody", CROP, 33480871, 4.499),
    ("rtmpose-l", "wholebody", LARGE, 33610919, 10.027),
    ("rtmpose-x", "wholebody", LARGE, 56709919, 18.038),
    ("cspnext-udp-t", "coco", CROP, 6024621, 1.4234),
]

BACKBONES = {"t": 2348700, "s": 4378320, "m": 12279432, "l": 26138912, "x": 47569560}
UDP_MILLIONS = {
    "t": (6.025, 1.425),
    "s": (8.579, 1.767),
    "m": (17.529, 3.048),
    "l": (32.437, 5.313),
    "x": (54.916, None),
}


def on_meta(name, skeleton="coco", input_size=None):
    """The network without storage: counting needs shapes only."""
    with torch.device("meta"):
        return build(name, skeleton=skeleton, input_size=input_size)[1]


@pytest.mark.parametrize(("name", "skeleton", "input_size", "expected", "giga"), PUBLISHED)
def test_sizes_are_the_published_ones(name, skeleton, input_size, expected, giga):
    network = on_meta(name, skeleton, input_size)
    assert parameters(network) == expected
    if giga is not None:
        assert macs_true(network, input_size) / 1e9 == pytest.approx(giga, rel=0.005)


@pytest.mark.parametrize("size", rtmpose.SIZES)
def test_backbone_and_pre_training_network_have_published_sizes(size):
    network = on_meta(f"cspnext-udp-{size}", "coco19")
    millions, giga = UDP_MILLIONS[size]
    assert parameters(network.backbone) == BACKBONES[size]
    assert parameters(network) / 1e6 == pytest.approx(millions, abs=6e-4)
    if giga is not None:
        assert macs_true(network, CROP) / 1e9 == pytest.approx(giga, rel=0.005)


def test_head_of_m_has_the_published_size():
    assert parameters(on_meta("rtmpose-m").head) == 1308179


@pytest.mark.parametrize(
    ("case", "name", "skeleton", "input_size"),
    [
        ("rtmpose_t_256x192_k17", "rtmpose-t", "coco", CROP),
        ("rtmpose_s_256x192_k17", "rtmpose-s", "coco", CROP),
        ("rtmpose_s_256x192_k26", "rtmpose-s", "halpe26", CROP),
        ("rtmpose_m_256x192_k17", "rtmpose-m", "coco", CROP),
        ("rtmpose_m_256x192_k133", "rtmpose-m", "wholebody", CROP),
        ("rtmpose_m_256x256_k17", "rtmpose-m", "ap10k", SQUARE),
        ("cspnext_udp_tiny_256x192_k17", "cspnext-udp-t", "coco", CROP),
    ],
)
def test_outputs_are_the_references(case, name, skeleton, input_size):
    reference = golden(f"nets/{case}")
    _, network = build(name, skeleton=skeleton, input_size=input_size)
    own = [[key, list(value.shape)] for key, value in network.state_dict().items()]
    assert own == reference.info["state_dict"]
    assert parameters(network) == reference.info["parameters"]
    assert macs_true(network, input_size) == reference.info["macs_true_one_image"]["conv_deconv_linear"]
    load_reference(network, reference.state())
    with torch.no_grad():
        outputs = network.eval()(torch.from_numpy(reference.input()))
    reference.compare([output.numpy() for output in outputs])


def test_the_goldens_notice_another_batch_norm_epsilon():
    reference = golden("nets/rtmpose_t_256x192_k17")
    _, network = build("rtmpose-t")
    load_reference(network, reference.state())
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-3
    with torch.no_grad():
        outputs = network.eval()(torch.from_numpy(reference.input()))
    with pytest.raises(AssertionError):
        reference.compare([output.numpy() for output in outputs])


@pytest.mark.parametrize("name", ["rtmpose-t", "rtmpose-s", "cspnext-udp-t"])
@pytest.mark.parametrize("skeleton", ["coco", "crowdpose"])
def test_every_parameter_learns(name, skeleton):
    torch.manual_seed(0)
    _, network = build(name, skeleton=skeleton, input_size=(64, 96))
    outputs = network.train()(torch.randn(2, 3, 96, 64))
    sum(output.square().mean() for output in outputs).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("batch", [1, 3])
def test_shapes(batch):
    _, network = build("rtmpose-t", skeleton="crowdpose", input_size=(96, 64))
    x, y = network.eval()(torch.randn(batch, 3, 64, 96))
    assert x.shape == (batch, 14, 192) and y.shape == (batch, 14, 128)
    _, network = build("cspnext-udp-t", skeleton="crowdpose", input_size=(96, 64))
    (heatmaps,) = network.eval()(torch.randn(batch, 3, 64, 96))
    assert heatmaps.shape == (batch, 14, 16, 24)


def test_channels_last_gives_the_same():
    torch.manual_seed(0)
    _, network = build("rtmpose-t", input_size=(64, 96))
    images = torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        plain = network.eval()(images)
        other = network.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
    for a, b in zip(plain, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_scale_norm_of_zeros_is_zero():
    assert not rtmpose.ScaleNorm(8)(torch.zeros(1, 2, 8)).any()
    torch.testing.assert_close(rtmpose.ScaleNorm(4)(torch.full((1, 4), 3.0)), torch.ones(1, 4))


def test_start_is_as_published():
    torch.manual_seed(0)
    head = build("rtmpose-m")[1].head
    assert head.final_layer.weight.std().item() == pytest.approx(0.001, rel=0.02)
    assert head.cls_x.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert head.gau.uv.weight.abs().max().item() == pytest.approx(math.sqrt(6 / (256 + 1152)), rel=0.01)
    assert not head.final_layer.bias.any()


@pytest.mark.parametrize("input_size", [CROP, LARGE, SQUARE])
def test_spec_of_simcc(input_size):
    spec, _ = build("rtmpose-t", input_size=input_size)
    published = {192: 4.9, 256: 5.66, 288: 6.0, 384: 6.93}
    assert spec.codec == "simcc" and spec.per_person and spec.warp == "box"
    assert spec.codec_args == {"split": 2.0, "sigma": [published[side] for side in input_size]}
    assert (spec.padding, spec.border, spec.layout, spec.color) == (1.25, 0, "nchw", "rgb")
    np.testing.assert_allclose(spec.mean + spec.std, (123.675, 116.28, 103.53, 58.395, 57.12, 57.375))


def test_spec_of_the_pre_training_network():
    spec, _ = build("cspnext-udp-t", skeleton="coco19")
    assert spec.codec == "heatmap" and spec.per_person and spec.warp == "udp" and spec.skeleton == "coco19"
    assert spec.codec_args == {"kind": "udp", "sigma": 2.0, "stride": 4}
