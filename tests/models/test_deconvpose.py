"""DeconvPose: its budgets, its names, and classifiers that start its encoders."""

import dataclasses
import itertools

import pytest

torch = pytest.importorskip("torch")

from edgepose.models import build, load_reference  # noqa: E402
from edgepose.models.deconvpose import DECODER, ENCODERS, Design  # noqa: E402
from edgepose.models.efficientnet import EfficientNet  # noqa: E402
from edgepose.models.macs import count, parameters  # noqa: E402
from edgepose.spec import ModelSpec  # noqa: E402
from edgepose.train.families import recipe_of  # noqa: E402
from edgepose.train.recipes import RECIPES  # noqa: E402
from edgepose.train.start import initialize  # noqa: E402

pytestmark = pytest.mark.torch

# name, parameters in M, multiply-accumulates in G: true, and as HRNet counts; percents of HRNet-W48's (256 x 192, K=17)
BUDGETS = [
    ("deconvpose-resnet18-256-256-256", "15.38", "2.897", "6.22", "39.6"),
    ("deconvpose-resnet18-64-64-64", "11.83", "1.868", "2.132", "13.6"),
    ("deconvpose-resnet18-half-64-64-64", "3.19", "0.552", "0.778", "5.0"),
    ("deconvpose-resnet18-half-32-32-32", "2.96", "0.497", "0.563", "3.6"),
    ("deconvpose-mobilenet_v2-128-64-32", "2.63", "0.357", "0.603", "3.84"),
    ("deconvpose-mobilenet_v2-64-64-64", "2.27", "0.356", "0.592", "3.77"),
    ("deconvpose-mobilenet_v2-128-128-128", "2.99", "0.564", "1.413", "9.0"),
    ("deconvpose-mobilenet_v2-32-32-32", "2.01", "0.299", "0.370", "2.4"),
    ("deconvpose-efficientnet-b0-128-64-32", "4.42", "0.440", "0.686", "4.4"),
    ("deconvpose-efficientnet-b0-64-32-32", "3.97", "0.393", "0.497", "3.2"),
    ("deconvpose", "2.63", "0.357", "0.603", "3.84"),
]


def printed(value, like):
    """With as many digits as the table has, rounded half up: 0.4405 is printed as 0.440 or 0.441."""
    return abs(value - float(like)) <= 0.5 * 10.0 ** -len(like.partition(".")[2]) + 1e-4


@pytest.fixture(scope="module")
def largest():
    with torch.device("meta"):
        spec, network = build("hrnet-w48")
    return count(network, spec.input_size).hrnet


@pytest.mark.parametrize(("name", "millions", "true", "hrnet", "share"), BUDGETS)
def test_budgets(name, millions, true, hrnet, share, largest):
    with torch.device("meta"):
        spec, network = build(name)
    found = count(network, spec.input_size)
    values = (parameters(network) / 1e6, found.true / 1e9, found.hrnet / 1e9, 100 * found.hrnet / largest)
    assert all(printed(value, like) for value, like in zip(values, (millions, true, hrnet, share), strict=True)), values
    assert spec.name == name and ModelSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("name", "design", "stride"),
    [
        ("deconvpose", Design("mobilenet_v2", (128, 64, 32)), 4),
        *((f"deconvpose-{encoder}", Design(encoder, (128, 64, 32)), 4) for encoder in ENCODERS),
        ("deconvpose-resnet18-7", Design("resnet18", (7,)), 16),
        ("deconvpose-resnet18-half-16-8", Design("resnet18-half", (16, 8)), 8),
        ("deconvpose-efficientnet-b0-8-8-8-8-4", Design("efficientnet-b0", (8, 8, 8, 8, 4)), 1),
    ],
)
def test_names_say_the_deconvolutions(name, design, stride):
    with torch.device("meta"):
        spec, network = build(name, input_size=(64, 96), skeleton="crowdpose")
        (maps,) = network.eval()(torch.zeros(2, 3, 96, 64))
    assert network.design == design and spec.name == name
    assert maps.shape == (2, 14, 96 // stride, 64 // stride)
    assert spec.codec_args["stride"] == stride and (spec.warp, spec.codec_args["kind"]) == ("dark", "dark")
    recipe = recipe_of(name)
    assert recipe == dataclasses.replace(RECIPES["deconvpose"], model=name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("deconvpose-vgg", "unknown model 'deconvpose-vgg', expected deconvpose-ENCODER-CHANNELS.* mobilenet_v2, res"),
        ("deconvpose-128-64-32", "unknown model 'deconvpose-128-64-32', expected deconvpose-ENCODER"),
        ("deconvpose-resnet18-064", "unknown model 'deconvpose-resnet18-064'.*such as deconvpose-resnet18-64-64-64"),
        ("deconvpose-resnet18-", "unknown model 'deconvpose-resnet18-' .did you mean 'deconvpose-resnet18'"),
        ("deconvpose-resnet18-64-0", r"deconvolutions of \[64, 0\] channels: expected 1 to 5 of them, of 1 to 2048 ch"),
        ("deconvpose-resnet18-99999999", r"of \[99999999\] channels: expected 1 to 5 of them, of 1 to 2048 channels"),
        ("deconvpose-resnet18-8-8-8-8-8-8", "expected 1 to 5 of them"),
    ],
)
def test_wrong_names_are_refused_in_one_sentence(name, said):
    with pytest.raises(ValueError, match=said) as caught:
        build(name)
    assert "\n" not in str(caught.value)


def norm(name, channels):
    shapes = {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}
    return shapes | {f"{name}.num_batches_tracked": ()}


def torchvision_resnet18():
    """Keys and shapes of its state_dict."""
    shapes = {"conv1.weight": (64, 3, 7, 7)} | norm("bn1", 64)
    before = 64
    for stage, channels in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            at, entering = f"layer{stage}.{block}", before if block == 0 else channels
            shapes |= {f"{at}.conv1.weight": (channels, entering, 3, 3)} | norm(f"{at}.bn1", channels)
            shapes |= {f"{at}.conv2.weight": (channels, channels, 3, 3)} | norm(f"{at}.bn2", channels)
            if entering != channels:
                shapes |= {f"{at}.downsample.0.weight": (channels, entering, 1, 1)}
                shapes |= norm(f"{at}.downsample.1", channels)
        before = channels
    return shapes | {"fc.weight": (1000, 512), "fc.bias": (1000,)}


def torchvision_mobilenet_v2():
    """Keys and shapes of its state_dict."""
    shapes = {"features.0.0.weight": (32, 3, 3, 3)} | norm("features.0.1", 32)
    shapes |= {"features.1.conv.0.0.weight": (32, 1, 3, 3)} | norm("features.1.conv.0.1", 32)
    shapes |= {"features.1.conv.1.weight": (16, 32, 1, 1)} | norm("features.1.conv.2", 16)
    widths = [16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320]
    for number, (channels, out) in enumerate(itertools.pairwise(widths), start=2):
        at, inner = f"features.{number}.conv", 6 * channels
        shapes |= {f"{at}.0.0.weight": (inner, channels, 1, 1)} | norm(f"{at}.0.1", inner)
        shapes |= {f"{at}.1.0.weight": (inner, 1, 3, 3)} | norm(f"{at}.1.1", inner)
        shapes |= {f"{at}.2.weight": (out, inner, 1, 1)} | norm(f"{at}.3", out)
    shapes |= {"features.18.0.weight": (1280, 320, 1, 1)} | norm("features.18.1", 1280)
    return shapes | {"classifier.1.weight": (1000, 1280), "classifier.1.bias": (1000,)}


def drawn(shapes):
    torch.manual_seed(3)
    counter = torch.zeros((), dtype=torch.int64)
    return {key: counter.clone() if shape == () else torch.randn(shape) for key, shape in shapes.items()}


CLASSIFIERS = {
    "deconvpose-resnet18": (torchvision_resnet18, 11689512),
    "deconvpose-mobilenet_v2": (torchvision_mobilenet_v2, 3504872),
}


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_torchvisions_classifiers_start_the_encoder(name, counted, tmp_path):
    """By `load_reference`, and as the file that torch saved by `init=`; old files count no batches."""
    keys, published = CLASSIFIERS[name]
    tensors = drawn(keys())
    learnt = [value.numel() for key, value in tensors.items() if "running" not in key and "num_batches" not in key]
    assert sum(learnt) == published
    if not counted:
        tensors = {key: value for key, value in tensors.items() if "num_batches" not in key}
    torch.save(tensors, tmp_path / "imagenet.pth")
    for load in (load_reference, lambda network, _: initialize(network, str(tmp_path / "imagenet.pth"))):
        _, network = build(name)
        before = {key: value.clone() for key, value in network.state_dict().items()}
        load(network, tensors)
        taken = 0
        for key, value in network.state_dict().items():
            if key.startswith(DECODER) or key not in tensors:
                assert torch.equal(value, before[key]), key
            else:
                assert torch.equal(value, tensors[key]), key
                taken += value.numel()
        assert taken > 1e6


def test_an_efficientnet_of_ours_starts_the_encoder_and_others_are_refused(tmp_path):
    source = EfficientNet("b0", classes=10).state_dict()
    _, network = build("deconvpose-efficientnet-b0")
    load_reference(network, source)
    assert all(torch.equal(value, source[key]) for key, value in network.state_dict().items() if key in source)
    assert sum(key in source for key in network.state_dict()) > 200
    resnet = drawn(torchvision_resnet18())
    with pytest.raises(ValueError, match=r"does not fit this DeconvPose: .* missing: features.0.1.weight"):
        load_reference(network, resnet)
    torch.save(resnet, tmp_path / "resnet.pth")
    with pytest.raises(ValueError, match=r"resnet.pth does not fit the backbone: .'features.0"):
        initialize(network, str(tmp_path / "resnet.pth"))
    with pytest.raises(FileNotFoundError, match=r"^init=nowhere.pth does not exist: expected a checkpoint"):
        initialize(network, "nowhere.pth")
    _, half = build("deconvpose-resnet18-half")
    with pytest.raises(ValueError, match=r"of wrong shape: conv1\.weight"):
        load_reference(half, resnet)


def test_a_whole_network_is_loaded_strictly():
    torch.manual_seed(0)
    (_, source), (_, network) = build("deconvpose"), build("deconvpose-mobilenet_v2")
    load_reference(network, source.state_dict())
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in network.state_dict().items())
    given = dict(source.state_dict())
    del given["final_layer.bias"]
    with pytest.raises(ValueError, match=r"1 missing: final_layer\.bias"):
        load_reference(network, given)


@pytest.mark.parametrize("name", [f"deconvpose-{encoder}-16-8" for encoder in ENCODERS])
def test_every_parameter_learns(name):
    torch.manual_seed(0)
    _, network = build(name, input_size=(64, 64))
    (maps,) = network.train()(torch.randn(4, 3, 64, 64))
    maps.square().mean().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), key
