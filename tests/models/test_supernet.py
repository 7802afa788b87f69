"""LitePose's super-net: parts of it, under names that say their widths, are networks of their own."""

import pytest

torch = pytest.importorskip("torch")

from edgepose.models import build  # noqa: E402
from edgepose.models.litepose import SIZES, WIDEST, Architecture, LitePose, Widths  # noqa: E402
from edgepose.models.macs import macs_true, parameters  # noqa: E402
from edgepose.models.supernet import by_importance, cut, handed_down, run_narrow, shape_of  # noqa: E402

pytestmark = pytest.mark.torch

SMALL = Widths(16, (16, 24, 16, 24), (16, 24, 16))
NARROW = Widths(8, (16, 8, 16, 16), (8, 16, 16))


def told_apart(network):
    """With weights and statistics that tell every channel from every other."""
    for value in network.state_dict().values():
        if value.is_floating_point():
            value += 0.1 * torch.rand_like(value)
    return network


@pytest.fixture(scope="module")
def supernet():
    """Of two blocks to a stage."""
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgepose.models.litepose.BLOCKS", (2, 2, 2, 2))
        yield told_apart(LitePose(17, SMALL))


def test_a_published_size_is_a_part_of_the_published_supernet():
    torch.manual_seed(0)
    network, widths = told_apart(LitePose(17, WIDEST)).eval(), SIZES["xs"][1]
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        pairs = zip(run_narrow(network, shape_of(network, widths), images), cut(network, widths)(images), strict=True)
        for ours, theirs in pairs:
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_names_say_widths_and_build_them():
    for size, (side, widths) in SIZES.items():
        name = Architecture(side, widths).name
        assert Architecture.named(name) == Architecture(side, widths)
        with torch.device("meta"):
            (spec, network), (published, same) = build(name), build(f"litepose-{size}")
        assert spec.name == name and spec.input_size == published.input_size == (side, side)
        assert network.widths == same.widths and parameters(network) == parameters(same)
    assert Architecture(*SIZES["xs"]).name == "litepose-256-16-16x32x48x80-16x24x24"
    with torch.device("meta"):
        spec, network = build("litepose-256-16-16x32x48x80-16x24x24", skeleton="crowdpose", input_size=(64, 96))
    assert spec.input_size == (64, 96) and network.keypoints == 14


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("litepose-250-16-16x32x48x80-16x24x24", "250 pixels: expected a multiple of 32"),
        ("litepose-256-16-16x32x48-16x24x24", "unknown model"),
        ("litepose-256-0-16x32x48x80-16x24x24", "at least one channel"),
        ("litepose-256-16-16x32x48x80-16x24x24x", "unknown model"),
    ],
)
def test_other_names_are_refused(name, said):
    with pytest.raises(ValueError, match=said):
        build(name)


def test_the_supernet_is_the_widest():
    with torch.device("meta"):
        spec, network = build("litepose-supernet")
    assert network.widths == WIDEST and spec.input_size == (448, 448)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("widths", [NARROW, SMALL, Widths(8, (8, 8, 8, 8), (8, 8, 8))])
def test_a_part_gives_what_a_network_with_its_weights_gives(supernet, widths, training):
    supernet.train(training)
    alone = cut(supernet, widths).train(training)
    images = torch.randn(2, 3, 64, 96)
    before = {key: value.clone() for key, value in supernet.state_dict().items()}
    with torch.no_grad():
        for ours, theirs in zip(run_narrow(supernet, shape_of(supernet, widths), images), alone(images), strict=True):
            assert ours.shape == theirs.shape and ours.std() > 0
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    after = alone.state_dict()
    for key, value in supernet.state_dict().items():  # batch statistics of the part are the super-net's
        part = value[tuple(slice(side) for side in after[key].shape)]
        torch.testing.assert_close(part, after[key], rtol=1e-4, atol=1e-5)
        assert training or torch.equal(value, before[key])
    supernet.load_state_dict(before)
    with torch.device("meta"):
        fresh = LitePose(17, widths)
    assert parameters(alone) == parameters(fresh) and macs_true(alone, (96, 64)) == macs_true(fresh, (96, 64))


def test_a_copy_shares_nothing(supernet):
    alone = cut(supernet, NARROW)
    with torch.no_grad():
        alone.first[2].weight.zero_()
    assert supernet.first[2].weight.abs().min() > 0


def test_gradients_reach_the_first_channels_alone(supernet):
    supernet.zero_grad()
    coarse, fine = run_narrow(supernet.train(), shape_of(supernet, NARROW), torch.randn(2, 3, 64, 64))
    (coarse.square().mean() + fine.square().mean()).backward()
    for key, parameter in supernet.named_parameters():
        assert parameter.grad is not None, key
    stem = supernet.first[2].weight.grad
    assert stem[: NARROW.stem].abs().max() > 0 and stem[NARROW.stem :].abs().max() == 0
    head = supernet.deconv_raw[0].weight.grad  # (in, out, 4, 4)
    assert head[:, :8].abs().max() > 0 and head[:, 8:].abs().max() == 0
    supernet.zero_grad()


def test_a_part_is_no_wider_than_the_whole(supernet):
    with pytest.raises(ValueError, match="expected none larger"):
        shape_of(supernet, Widths(16, (16, 24, 24, 24), (16, 24, 16)))


def test_channels_in_the_order_of_their_importance_compute_the_same(supernet):
    network = cut(supernet, SMALL).eval()
    images = torch.randn(1, 3, 64, 64)

    with torch.no_grad():
        before = network(images)
        sorted_ones = by_importance(dict(network.state_dict()))
        assert not torch.equal(sorted_ones["first.2.weight"], network.first[2].weight)
        network.load_state_dict(sorted_ones)
        for ours, theirs in zip(network(images), before, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    for stage in network.stage:
        sizes = stage[0].inv[0].weight.abs().sum((0, 2, 3))
        assert (sizes[:-1] >= sizes[1:]).all()


def test_what_is_handed_down(supernet):
    tensors = dict(supernet.state_dict())
    narrow = LitePose(14, NARROW)
    found = handed_down(tensors, narrow, sort=False)
    own = narrow.state_dict()
    assert found.keys() == {key for key in own if "deconv" not in key and "final" not in key}
    assert all(value.shape == own[key].shape for key, value in found.items())
    assert torch.equal(found["first.2.weight"], tensors["first.2.weight"][:8])
    wide = handed_down(tensors, LitePose(17, SMALL), sort=True)
    assert torch.equal(wide["first.2.weight"], by_importance(tensors)["first.2.weight"])
    with pytest.raises(ValueError, match="narrower than the one to train"):
        handed_down(dict(narrow.state_dict()), supernet, sort=True)
