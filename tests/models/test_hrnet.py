"""HRNet and HigherHRNet against published sizes and outputs."""

import dataclasses

import pytest

torch = pytest.importorskip("torch")

from edgepose.models import build, load_reference  # noqa: E402
from edgepose.models.macs import count, parameters  # noqa: E402
from tests.goldens import golden  # noqa: E402

pytestmark = pytest.mark.torch

# name, input, parameters, multiply-accumulates in G: true, and as HRNet's paper counts (which prints 2^30 of them)
PUBLISHED = [
    ("hrnet-w32", (192, 256), 28536113, 7.645, 7.645),
    ("hrnet-w32", (288, 384), 28536113, 17.201, 17.201),
    ("hrnet-w48", (192, 256), 63595745, 15.692, 15.692),
    ("hrnet-w48", (288, 384), 63595745, 35.307, 35.307),
    ("higherhrnet-w32", (512, 512), 28645331, 46.203, 47.864),
]
CASES = [
    ("hrnet_w32_256x192_k17", "hrnet-w32"),
    pytest.param("higherhrnet_w32_512_k17", "higherhrnet-w32", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "size", "expected", "true", "hrnet"), PUBLISHED)
def test_sizes_are_the_published_ones(name, size, expected, true, hrnet):
    with torch.device("meta"):
        _, network = build(name, input_size=size)
    found = count(network, size)
    assert parameters(network) == expected
    assert (round(found.true / 1e9, 3), round(found.hrnet / 1e9, 3)) == (true, hrnet)


@pytest.mark.parametrize(("case", "name"), CASES)
def test_outputs_are_the_references(case, name):
    reference = golden(f"nets/{case}")
    height, width = reference.info["input"]["shape"][2:]
    _, network = build(name, input_size=(width, height))
    own = [[key, list(value.shape)] for key, value in network.state_dict().items()]
    assert own == reference.info["state_dict"]
    assert parameters(network) == reference.info["parameters"]
    assert count(network, (width, height)).true == reference.info["macs_true_one_image"]["conv_deconv_linear"]
    load_reference(network, reference.state())
    with torch.no_grad():
        outputs = network.eval()(torch.from_numpy(reference.input()))
    reference.compare([output.numpy() for output in outputs])


def test_specs_are_darkposes_and_higherhrnets():
    with torch.device("meta"):
        spec, _ = build("hrnet-w32")
        large, _ = build("hrnet-w48", input_size=(288, 384))
        whole, _ = build("higherhrnet-w32", skeleton="crowdpose")
        _, other = build("hrnet-w32", skeleton="crowdpose")
    assert (spec.input_size, spec.warp, spec.padding, spec.color) == ((192, 256), "dark", 1.25, "rgb")
    expected = {"kind": "dark", "stride": 4, "sigma": 2.0, "blur": 11, "centered": True}
    assert spec.codec_args == expected and spec.per_person
    assert large.codec_args == expected | {"sigma": 3.0, "blur": 17}
    assert dataclasses.replace(large, input_size=(192, 256)).input_size == spec.input_size
    assert (whole.codec, whole.input_size, whole.skeleton) == ("associative", (512, 512), "crowdpose")
    assert other.final_layer.out_channels == 14


@pytest.mark.parametrize("name", ["hrnet-w32", "higherhrnet-w32"])
def test_every_parameter_learns(name):
    torch.manual_seed(0)
    _, network = build(name, input_size=(64, 96))
    outputs = network.train()(torch.randn(2, 3, 96, 64))
    shapes = [tuple(output.shape) for output in outputs]
    assert shapes == ([(2, 17, 24, 16)] if name == "hrnet-w32" else [(2, 34, 24, 16), (2, 17, 48, 32)])
    sum(output.square().mean() for output in outputs).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), key
