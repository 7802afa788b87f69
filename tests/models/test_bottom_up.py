"""LitePose, EfficientHRNet and compact EfficientNet against published sizes and outputs."""

import pytest

torch = pytest.importorskip("torch")

from edgepose.models import build, efficientnet, load_reference  # noqa: E402
from edgepose.models.cspnext import divisible  # noqa: E402
from edgepose.models.efficientnet import EfficientNet  # noqa: E402
from edgepose.models.litepose import SIZES, WIDEST, LitePose, Widths  # noqa: E402
from edgepose.models.macs import macs_true, parameters  # noqa: E402
from tests.goldens import golden  # noqa: E402

pytestmark = pytest.mark.torch

# name, skeleton, parameters, true multiply-accumulates in G at the published size
PUBLISHED = [
    ("litepose-xs", "coco", 1675912, 0.886),
    ("litepose-xs", "crowdpose", 1675552, None),
    ("litepose-s", "coco", 2731624, 3.624),
    ("litepose-s", "crowdpose", 2731240, None),
    ("litepose-m", "coco", 3534336, 5.276),
    ("litepose-m", "crowdpose", 3533808, None),
    ("litepose-l", "coco", 5738672, 9.979),
    ("litepose-l", "crowdpose", 5738120, None),
    ("efficienthrnet-h0", "coco", 19725359, 23.958),
    ("efficienthrnet-h-1", "coco", 13004446, 13.130),
    ("efficienthrnet-h-2", "coco", 8263495, 7.030),
    ("efficienthrnet-h-3", "coco", 5360390, 3.759),
    ("efficienthrnet-h-4", "coco", 2764706, 1.807),
]
CASES = [
    ("litepose_xs_256_k14", "litepose-xs", "crowdpose"),
    ("litepose_xs_256_k17", "litepose-xs", "coco"),
    ("efficienthrnet_h4_384_k17", "efficienthrnet-h-4", "coco"),
    *(
        pytest.param(case, name, "coco", marks=pytest.mark.slow)
        for case, name in (
            ("litepose_s_448_k17", "litepose-s"),
            ("litepose_m_448_k17", "litepose-m"),
            ("efficienthrnet_h3_416_k17", "efficienthrnet-h-3"),
            ("efficienthrnet_h2_448_k17", "efficienthrnet-h-2"),
            ("efficienthrnet_h1_480_k17", "efficienthrnet-h-1"),
            ("efficienthrnet_h0_512_k17", "efficienthrnet-h0"),
        )
    ),
]
# Parameters in millions with 1000 and 100 classes, true multiply-accumulates in G, of the features in millions.
CLASSIFIERS = {
    "b0": (5.289, 4.136, 0.386, 3.595),
    "b-1": (4.548, 3.503, 0.254, 3.051),
    "b-2": (3.464, 2.512, 0.148, 2.126),
    "b-3": (2.796, 1.931, 0.088, 1.603),
    "b-4": (2.056, 1.271, 0.046, 0.993),
}


@pytest.mark.parametrize(("name", "skeleton", "expected", "giga"), PUBLISHED)
def test_sizes_are_the_published_ones(name, skeleton, expected, giga):
    with torch.device("meta"):
        spec, network = build(name, skeleton=skeleton)
    assert parameters(network) == expected
    if giga is not None:
        assert macs_true(network, spec.input_size) / 1e9 == pytest.approx(giga, rel=0.005)


@pytest.mark.parametrize(("case", "name", "skeleton"), CASES)
def test_outputs_are_the_references(case, name, skeleton):
    reference = golden(f"nets/{case}")
    height, width = reference.info["input"]["shape"][2:]
    spec, network = build(name, skeleton=skeleton, input_size=(width, height))
    assert spec.input_size == (width, height)
    own = [[key, list(value.shape)] for key, value in network.state_dict().items()]
    assert own == reference.info["state_dict"]
    assert parameters(network) == reference.info["parameters"]
    assert macs_true(network, (width, height)) == reference.info["macs_true_one_image"]["conv_deconv_linear"]
    load_reference(network, reference.state())
    with torch.no_grad():
        outputs = network.eval()(torch.from_numpy(reference.input()))
    reference.compare([output.numpy() for output in outputs])


@pytest.mark.parametrize("size", efficientnet.SIZES)
def test_classifiers_have_the_published_sizes(size):
    imagenet, cifar, giga, features = CLASSIFIERS[size]
    with torch.device("meta"):
        network, small = EfficientNet(size), EfficientNet(size, classes=100)
    assert parameters(network) / 1e6 == pytest.approx(imagenet, abs=6e-4)
    assert parameters(small) / 1e6 == pytest.approx(cifar, abs=6e-4)
    assert parameters(network.features) / 1e6 == pytest.approx(features, abs=6e-4)
    side = efficientnet.SIZES[size][2]
    assert macs_true(network, (side, side)) / 1e9 == pytest.approx(giga, abs=6e-4)


def test_a_classifier_takes_any_size_and_drops_blocks_in_training_only():
    torch.manual_seed(0)
    network = EfficientNet("b-4", classes=10)
    images = torch.randn(2, 3, 33, 47)
    network.eval()
    with torch.no_grad():
        (first,), (second,) = network(images), network(images)
        assert first.shape == (2, 10) and torch.equal(first, second)
        block = next(m for m in network.features if getattr(m, "residual", False)).train()
        x = torch.randn(64, block.conv[0][1].in_channels, 4, 4)
        kept = (block(x) != x).flatten(1).any(1)
    assert 32 < kept.sum() < 64
    with pytest.raises(ValueError, match="unknown EfficientNet 'b7', expected one of"):
        EfficientNet("b7")
    with pytest.raises(ValueError, match="expected 2 or more"):
        EfficientNet("b0", classes=1)


@pytest.mark.parametrize(
    ("name", "size"), [("litepose-xs", (96, 64)), ("efficienthrnet-h-4", (96, 64)), ("efficienthrnet-h-3", (64, 64))]
)
@pytest.mark.parametrize("skeleton", ["coco", "crowdpose"])
def test_every_parameter_learns(name, size, skeleton):
    torch.manual_seed(0)
    _, network = build(name, skeleton=skeleton, input_size=size)
    coarse, fine = network.train()(torch.randn(4, 3, size[1], size[0]))
    k = 17 if skeleton == "coco" else 14
    assert coarse.shape == (4, 2 * k, size[1] // 4, size[0] // 4) and fine.shape == (4, k, size[1] // 2, size[0] // 2)
    (coarse.square().mean() + fine.square().mean()).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), key


def test_any_widths_make_a_network():
    with torch.device("meta"):
        widest = LitePose(17, WIDEST)
        narrow = LitePose(17, Widths(8, (8, 16, 24, 40), (16, 16, 8)))
        small = LitePose(17, SIZES["xs"][1], kernel=3)
        assert narrow(torch.zeros(1, 3, 64, 96))[1].shape == (1, 17, 32, 48)
    shapes = {key: value.shape for key, value in widest.state_dict().items()}
    for key, value in narrow.state_dict().items():
        assert all(own <= most for own, most in zip(value.shape, shapes[key], strict=True)), key
    assert parameters(small) < parameters(LitePose(17, SIZES["xs"][1]))
    with torch.device("meta"):
        whole, plain = LitePose(17, SIZES["xs"][1]), LitePose(17, SIZES["xs"][1], fusion=False)
        assert [map_.shape for map_ in plain(torch.zeros(1, 3, 64, 96))] == [(1, 34, 16, 24), (1, 17, 32, 48)]
    gone = {name for name in whole.state_dict() if name not in plain.state_dict()}
    assert gone and all(name.startswith(("deconv_raw.", "final_raw.")) for name in gone)
    assert not any(name.startswith(("deconv_raw.", "final_raw.")) for name in plain.state_dict())
    with pytest.raises(ValueError, match="4 stages and 3 deconvolutions"):
        Widths(16, (16, 32), (16, 24, 24))
    with pytest.raises(ValueError, match="at least one channel"):
        Widths(16, (16, 0, 48, 80), (16, 24, 24))
    with pytest.raises(ValueError, match="kernel=4: expected an odd size"):
        LitePose(17, WIDEST, kernel=4)


@pytest.mark.parametrize("wrapping", ["state_dict", "best_state_dict", "module", "sequence"])
def test_published_wrappings_load(wrapping):
    torch.manual_seed(0)
    _, source = build("litepose-xs")
    _, network = build("litepose-xs")
    tensors = dict(source.state_dict())
    given = {
        "state_dict": {"epoch": 3, "state_dict": tensors},
        "best_state_dict": {"best_state_dict": tensors},
        "module": {f"module.{key}": value for key, value in tensors.items()},
        "sequence": {f"1.{key}": value for key, value in tensors.items()},
    }[wrapping]
    load_reference(network, given)
    assert all(torch.equal(value, tensors[key]) for key, value in network.state_dict().items())


def test_second_tags_of_the_released_h0_are_left_out():
    _, network = build("efficienthrnet-h-4")
    tensors = {key: torch.randn_like(v) if v.is_floating_point() else v for key, v in network.state_dict().items()}
    given = dict(tensors)
    for key in ("final_layers.1.weight", "final_layers.1.bias"):
        given[key] = torch.cat([tensors[key], torch.full_like(tensors[key], 9.0)])
    load_reference(network, given)
    assert all(torch.equal(value, tensors[key]) for key, value in network.state_dict().items())
    given["final_layers.1.bias"] = torch.zeros(3)
    with pytest.raises(ValueError, match=r"final_layers.1.bias \(3,\), expected \(17,\)"):
        load_reference(network, given)


def test_channels_are_rounded_as_published():
    assert [divisible(v) for v in (3, 12, 21.9, 24 * 0.909, 1280 * 0.684, 11)] == [8, 16, 24, 24, 872, 16]
    assert divisible(10) == 16 and divisible(9, by=4) == 12
