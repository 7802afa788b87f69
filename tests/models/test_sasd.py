"""The one-stage networks: published sizes, published features, and what training adds and inference drops."""

from __future__ import annotations

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from edgepose.models import build  # noqa: E402
from edgepose.models.macs import macs_true, parameters  # noqa: E402
from edgepose.models.sasd import SASD, Staggered  # noqa: E402
from edgepose.models.shufflenet import ShuffleBlock, ShuffleNetV2  # noqa: E402
from edgepose.models.yolo import CSPDarknet  # noqa: E402
from edgepose.train.anchor_loss import distance  # noqa: E402
from tests.goldens import golden  # noqa: E402

pytestmark = pytest.mark.torch

NAMES = ["sasd-xs", "sasd-xs-eq", "sasd-e", "sasd-s", "sasd-m", "sasd-l"]


@pytest.mark.parametrize(
    ("name", "skeleton", "size", "count", "published"),
    [
        ("sasd-xs", "coco", 1_608_837, 1.194, 1.2),
        ("sasd-xs", "crowdpose", 1_596_660, 1.182, None),
        ("sasd-xs-eq", "coco", 1_660_613, 1.897, None),
        ("sasd-e", "coco", 2_388_128, 5.021, 5.0),
        ("sasd-s", "coco", 8_297_793, 10.113, 10.1),
        ("sasd-m", "coco", 22_907_553, 28.067, None),  # 27.7 in the paper, 1.3 % less, which no known layout gives
        ("sasd-l", "coco", 49_099_393, 60.911, None),  # 61.7, 1.3 % more
    ],
)
def test_sizes(name: str, skeleton: str, size: int, count: float, published: float | None) -> None:
    with torch.device("meta"):
        spec, network = build(name, skeleton=skeleton)
    assert parameters(network) == size
    giga = macs_true(network, spec.input_size) / 1e9
    assert giga == pytest.approx(count, abs=5e-4)
    assert published is None or giga == pytest.approx(published, rel=0.01)


def test_parts_of_xs_and_what_training_adds() -> None:
    with torch.device("meta"):
        network = build("sasd-xs")[1]
        extra = Staggered(network)
    assert isinstance(network, SASD)
    assert [parameters(part) for part in (network.backbone, network.neck, network.heads)] == [777_668, 754_048, 77_121]
    assert parameters(network) + parameters(extra) - parameters(extra.adapters) == 2_388_128
    assert parameters(extra.adapters) == 64 * 128 + 128 + 128 * 256 + 256


@pytest.mark.parametrize("name", NAMES)
def test_maps_of_every_level_at_any_size(name: str) -> None:
    with torch.device("meta"):
        spec, network = build(name, input_size=(192, 128))
        outputs = network(torch.zeros(2, 3, 128, 192))
    strides = spec.codec_args["strides"]
    assert strides == [8, 16, 32, 64][: len(strides)] and (len(strides) == 4) is (name == "sasd-e")
    assert [tuple(o.shape) for o in outputs] == [(2, 171, 128 // s, 192 // s) for s in strides]
    anchors = torch.tensor(spec.codec_args["anchors"])
    assert torch.equal(anchors[1:], 2 * anchors[:-1]), "levels share their targets one level on"


def test_a_size_that_the_fourth_level_cannot_halve_is_refused() -> None:
    with pytest.raises(ValueError, match="sasd-e with input_size 96x96: expected multiples of 64"):
        build("sasd-e", input_size=(96, 96))


def test_features_are_the_published_ones() -> None:
    """YOLOv5-Lite-s, whose first stage has 120 channels: its own weights, by its own names."""
    stored = golden("nets/yolov5lite_s_416")
    network = SASD(ShuffleNetV2((120, 232, 464)), 17, (64, 128, 256)).eval()
    names = {
        "backbone.stem": "model.0.conv", "backbone.stage1.0": "model.1", "backbone.stage2.0": "model.3",
        "backbone.stage3.0": "model.5", "neck.lateral5": "model.7", "neck.down4": "model.10",
        "neck.lateral4": "model.11", "neck.down3": "model.14", "neck.stride3": "model.15", "neck.up4": "model.17",
        "neck.stride4": "model.18", "neck.up5": "model.20",
    }  # fmt: skip
    names |= {f"backbone.stage{s}.{i + 1}": f"model.{2 * s}.{i}" for s in (1, 2, 3) for i in range(7)}
    weights = stored.state()
    state = {}
    for key in network.state_dict():
        prefix = max((p for p in names if key.startswith(p + ".")), key=len, default=None)
        if prefix is not None:
            state[key] = torch.from_numpy(weights[names[prefix] + key.removeprefix(prefix)])
    assert {key for key in network.state_dict() if not key.startswith("heads.")} == state.keys()
    network.load_state_dict(state, strict=False)
    with torch.no_grad():
        levels, _ = network.features(torch.from_numpy(stored.input()))
    assert parameters(network) == 1_611_969
    for level, expected in zip(levels, stored.info["outputs"], strict=False):
        assert list(level.shape) == expected["shape"]
        found = level.reshape(-1)[:: expected["stride"]].numpy()
        apart = abs(found - stored.arrays[f"out.{expected['name']}"])
        assert apart.max() <= 3e-4 * expected["std"] and apart.mean() <= 3e-5 * expected["std"]


def test_the_stem_is_the_focus_layer() -> None:
    """Offsets (0,0), (0,1), (1,0), (1,1) of 2x2 pixels as channels, then 3x3."""
    stem = CSPDarknet(0.25, 0.33).stem
    images = torch.randn(1, 3, 32, 48)
    focus = torch.cat([images[..., row::2, column::2] for row in (0, 1) for column in (0, 1)], dim=1)
    weight = stem.conv.weight  # (C, 3, 6, 6)
    narrow = torch.cat([weight[..., row::2, column::2] for row in (0, 1) for column in (0, 1)], dim=1)
    torch.testing.assert_close(F.conv2d(focus, narrow, padding=1), stem.conv(images), rtol=1e-4, atol=1e-5)


def test_a_shuffle_interleaves_both_halves() -> None:
    block = ShuffleBlock(8, 8).eval()
    x = torch.arange(8.0).view(1, 8, 1, 1)
    kept, worked = x[:, :4], block.branch2(x[:, 4:])
    expected = torch.stack([kept, worked], dim=2).flatten(1, 2)
    assert torch.equal(block(x), expected)
    with pytest.raises(ValueError, match="keeps its channels"):
        ShuffleBlock(8, 16)


def lively(module: nn.Module) -> nn.Module:
    """Norms as after some training, so that nothing is the same by accident."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -0.3, 0.3)
            nn.init.uniform_(part.running_var, 0.05, 0.2)
    return module


@pytest.fixture(scope="module")
def pair() -> tuple[SASD, Staggered]:
    torch.manual_seed(0)
    network = build("sasd-xs", input_size=(64, 64))[1]
    assert isinstance(network, SASD)
    extra = Staggered(network, alone=2)
    lively(network), lively(extra)
    return network.eval(), extra.eval()


@torch.no_grad()
def test_pruned_outputs_are_bit_equal(pair: tuple[SASD, Staggered]) -> None:
    network, extra = pair
    images = torch.rand(2, 3, 64, 64)
    levels, outputs = extra.unpruned(network, images)
    pruned = network(images)
    assert len(outputs) == 4 and outputs[-1].shape == (2, 171, 1, 1) and len(levels) == 4
    assert all(torch.equal(a, b) for a, b in zip(pruned, outputs[:3], strict=True))
    assert all(output.std() > 0.01 for output in outputs)
    assert not any(name.startswith(("level", "adapters")) for name in network.state_dict())


def test_the_second_phase_begins_after_its_steps_and_resumes(pair: tuple[SASD, Staggered]) -> None:
    network, extra = pair
    images = torch.rand(2, 3, 64, 64)
    extra.train()
    try:
        lengths = [len(extra(network, images)) for _ in range(4)]
    finally:
        extra.eval()
    assert lengths == [3, 3, 12, 12]
    assert len(extra(network, images)) == 12 and int(extra.steps) == 4, "only training counts"
    other = Staggered(network, alone=2)
    other.load_state_dict(extra.state_dict())
    assert len(other(network, images)) == 12
    with pytest.raises(ValueError, match="alone=-1"):
        Staggered(network, alone=-1)


@torch.no_grad()
def test_the_large_pass_meets_the_small_one_level_by_level(pair: tuple[SASD, Staggered]) -> None:
    network, extra = pair
    images = torch.rand(1, 3, 64, 64)
    found: tuple[Tensor, ...] = extra(network, images)
    own, theirs, students, teachers = found[:3], found[3:6], found[6:9], found[9:]
    large = F.interpolate(images, size=(128, 128), mode="bilinear", align_corners=False)
    levels, outputs = extra.unpruned(network, large)
    assert all(torch.equal(a, b) for a, b in zip(own, network(images), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(theirs, outputs[1:], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(teachers, levels[1:], strict=True))
    assert [o.shape for o in own] == [o.shape for o in theirs]
    assert [s.shape for s in students] == [t.shape for t in teachers]


def test_what_each_pass_teaches(pair: tuple[SASD, Staggered]) -> None:
    """The last level learns from the large pass' people alone: neither from the small pass nor from the features."""
    network, extra = pair
    images = torch.rand(1, 3, 64, 64)

    def taught_by(loss_of: Callable[[tuple[Tensor, ...]], Tensor]) -> set[str]:
        extra.zero_grad(), network.zero_grad()
        loss_of(extra(network, images)).backward()
        named = [*extra.named_parameters(), *network.named_parameters(prefix="network")]
        return {name.split(".")[0] for name, p in named if p.grad is not None and p.grad.abs().sum() > 0}

    assert taught_by(lambda found: sum(output.square().sum() for output in found[:3])) == {"network"}
    assert taught_by(lambda found: sum(o.square().sum() for o in found[3:6])) == {"network", "level", "head"}
    assert taught_by(lambda found: distance(found[6:9], found[9:])) == {"network", "adapters"}


@torch.no_grad()
def test_e_learns_from_a_fifth_level() -> None:
    network = build("sasd-e", input_size=(64, 64))[1].eval()
    assert isinstance(network, SASD)
    found = Staggered(network).eval()(network, torch.zeros(1, 3, 64, 64))
    assert len(found) == 16 and [tuple(o.shape[2:]) for o in found[:4]] == [tuple(o.shape[2:]) for o in found[4:8]]


@torch.no_grad()
def test_before_training_hardly_anything_is_a_person_and_the_class_is_given() -> None:
    for name in ("sasd-xs", "sasd-s"):
        outputs = build(name, input_size=(64, 64))[1].eval()(torch.rand(1, 3, 64, 64))
        for output, stride in zip(outputs, (8, 16, 32), strict=True):
            maps = output.unflatten(1, (3, -1))
            assert maps[:, :, 4].sigmoid().mean() == pytest.approx(8 / (640 / stride) ** 2, rel=0.7)
            torch.testing.assert_close(maps[:, :, 5], torch.full_like(maps[:, :, 5], 4.0943446))


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_every_pruned_network_is_bit_equal_to_the_unpruned_one(name: str) -> None:
    """Features and outputs of what is deployed, which never builds the last level, beside those with it."""
    torch.manual_seed(0)
    network = build(name, input_size=(64, 64))[1].eval()
    assert isinstance(network, SASD)
    extra = Staggered(network).eval()
    lively(network), lively(extra)
    images = torch.rand(2, 3, 64, 64)
    levels, outputs = extra.unpruned(network, images)
    features, _ = network.features(images)
    pruned = network(images)
    assert len(pruned) == len(features) == len(outputs) - 1 == len(levels) - 1
    assert all(torch.equal(a, b) for a, b in zip(pruned, outputs, strict=False))
    assert all(torch.equal(a, b) for a, b in zip(features, levels, strict=False))
    assert all(output.isfinite().all() and output.std() > 1e-3 for output in outputs)
    for parameter in [*extra.level.parameters(), *extra.head.parameters()]:
        parameter.fill_(7.0)  # whatever the last level is
    assert all(torch.equal(a, b) for a, b in zip(pruned, network(images), strict=True))
    assert not torch.equal(outputs[-1], extra.unpruned(network, images)[1][-1])
