"""RTMDet against published sizes and outputs."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edgepose.models import build, load_reference, rtmdet  # noqa: E402
from edgepose.models.macs import macs_true, parameters  # noqa: E402
from tests.goldens import golden  # noqa: E402

pytestmark = pytest.mark.torch

# name, classes, parameters, multiply-accumulates in G at the default input size (None where nothing is published)
PUBLISHED = [
    ("rtmdet-nano", 1, 994423, 0.308),
    ("rtmdet-tiny", 1, 4873179, 7.972),
    ("rtmdet-tiny", 80, 4896168, 8.036),
    ("rtmdet-s", 1, 8856351, 14.676),
    ("rtmdet-s", 80, 8886924, 14.761),
    ("rtmdet-m", 1, 24663447, 38.939),
    ("rtmdet-m", 80, 24709188, 39.066),
    ("rtmdet-l", 80, 52315804, 79.899),
    ("rtmdet-x", 80, 94855572, 141.190),
]

# backbone, neck, head
PARTS = {
    ("rtmdet-nano", 1): (545128, 389184, 60111),
    ("rtmdet-tiny", 80): (2348700, 2188944, 358524),
    ("rtmdet-s", 80): (4378320, 3883200, 625404),
    ("rtmdet-m", 80): (12279432, 11049408, 1380348),
    ("rtmdet-l", 80): (26138912, 23746688, 2430204),
    ("rtmdet-x", 80): (47569560, 43511040, 3774972),
}


def on_meta(name, classes):
    """Spec and network without storage: counting needs shapes only."""
    with torch.device("meta"):
        return build(name, classes=classes)


@pytest.mark.parametrize(("name", "classes", "expected", "giga"), PUBLISHED)
def test_sizes_are_the_published_ones(name, classes, expected, giga):
    spec, network = on_meta(name, classes)
    assert parameters(network) == expected
    assert macs_true(network, spec.input_size) / 1e9 == pytest.approx(giga, rel=0.005)


@pytest.mark.parametrize(("name", "classes"), PARTS)
def test_parts_have_the_published_sizes(name, classes):
    _, network = on_meta(name, classes)
    assert tuple(map(parameters, (network.backbone, network.neck, network.bbox_head))) == PARTS[name, classes]


@pytest.mark.parametrize(
    ("case", "name", "classes"),
    [
        ("rtmdet_nano_320_person", "rtmdet-nano", 1),
        ("rtmdet_s_416_person", "rtmdet-s", 1),
        ("rtmdet_tiny_640_coco80", "rtmdet-tiny", 80),
    ],
)
def test_outputs_are_the_references(case, name, classes):
    reference = golden(f"nets/{case}")
    height, width = reference.info["input"]["shape"][2:]
    _, network = build(name, input_size=(width, height), classes=classes)
    own = [[key, list(value.shape)] for key, value in network.state_dict().items()]
    assert own == reference.info["state_dict"]
    assert parameters(network) == reference.info["parameters"]
    assert macs_true(network, (width, height)) == reference.info["macs_true_one_image"]["conv_deconv_linear"]
    load_reference(network, reference.state())
    with torch.no_grad():
        outputs = network.eval()(torch.from_numpy(reference.input()))
    reference.compare([output.numpy() for output in outputs])


@pytest.mark.parametrize("exp", [False, True])
def test_regression_becomes_distances_as_in_the_reference(exp):
    reference = golden("algo/rtmdet_decode")
    case = next(c for c in reference.info["cases"] if c["params"].get("exp_on_reg") is exp)
    head = rtmdet.SeparatedBNHead(4, 1, exp=exp).eval()
    head.reg_convs = torch.nn.ModuleList(torch.nn.Identity() for _ in rtmdet.STRIDES)
    head.rtm_reg = torch.nn.ModuleList(torch.nn.Identity() for _ in rtmdet.STRIDES)
    arrays = reference.arrays
    features = [torch.from_numpy(arrays[f"{case['id']}.in.reg_s{stride}"]) for stride in rtmdet.STRIDES]
    with torch.no_grad():
        distances = head(features)[1::2]
    for stride, found in zip(rtmdet.STRIDES, distances, strict=True):
        np.testing.assert_allclose(found.numpy(), arrays[f"{case['id']}.out.dist_s{stride}"], rtol=1e-6)


@pytest.mark.parametrize("name", ["rtmdet-nano", "rtmdet-tiny", "rtmdet-s"])
@pytest.mark.parametrize("classes", [1, 80])
def test_every_parameter_learns(name, classes):
    torch.manual_seed(0)
    _, network = build(name, input_size=(128, 96), classes=classes)
    outputs = network.train()(torch.randn(2, 3, 96, 128))
    sum(output.square().mean() for output in outputs).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.abs().sum() > 0, key


def test_shapes():
    _, network = build("rtmdet-nano", input_size=(128, 96), classes=3)
    outputs = network.eval()(torch.randn(2, 3, 96, 128))
    assert [tuple(output.shape) for output in outputs] == [
        (2, 3, 12, 16), (2, 4, 12, 16), (2, 3, 6, 8), (2, 4, 6, 8), (2, 3, 3, 4), (2, 4, 3, 4)
    ]  # fmt: skip


def test_levels_share_convolutions_and_not_statistics():
    head = on_meta("rtmdet-s", 1)[1].bbox_head
    assert head.cls_convs[0][1].conv.weight is head.cls_convs[2][1].conv.weight
    assert head.cls_convs[0][0].conv.weight is not head.cls_convs[0][1].conv.weight
    assert head.cls_convs[0][0].conv.weight is not head.reg_convs[0][0].conv.weight
    assert head.cls_convs[0][1].bn.weight is not head.cls_convs[2][1].bn.weight
    keys = set(head.state_dict())
    assert {f"cls_convs.{level}.1.conv.weight" for level in range(3)} <= keys
    nano = on_meta("rtmdet-nano", 1)[1].bbox_head
    first, last = nano.cls_convs[0][0].pointwise_conv.conv, nano.cls_convs[2][0].pointwise_conv.conv
    assert first.weight is not last.weight


@pytest.mark.parametrize("size", rtmdet.SIZES)
def test_spec(size):
    spec, network = on_meta(f"rtmdet-{size}", 80)
    exp = size in ("m", "l", "x")
    assert network.bbox_head.exp is exp
    assert spec.codec == "boxes" and spec.skeleton == "box" and not spec.per_person
    assert spec.codec_args == {"format": "rtmdet", "strides": [8, 16, 32], "classes": 80}
    assert spec.input_size == ((320, 320) if size == "nano" else (640, 640))
    assert (spec.warp, spec.border, spec.layout, spec.color) == ("letterbox", 114, "nchw", "bgr")
    np.testing.assert_allclose(spec.mean + spec.std, (103.53, 116.28, 123.675, 57.375, 57.12, 58.395))


def test_start_is_as_published():
    torch.manual_seed(0)
    head = build("rtmdet-tiny", classes=80)[1].bbox_head
    assert head.cls_convs[1][0].conv.weight.std().item() == pytest.approx(0.01, rel=0.02)
    for cls, reg in zip(head.rtm_cls, head.rtm_reg, strict=True):
        assert cls.weight.std().item() == pytest.approx(0.01, rel=0.05)
        torch.testing.assert_close(cls.bias, torch.full((80,), -math.log(99)))
        torch.testing.assert_close(reg.bias, torch.ones(4))
