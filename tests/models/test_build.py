"""Building networks by name, and loading checkpoints into them."""

import os
import types

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edgepose.models import DETECTORS, MODELS, build, load_checkpoint_file, load_reference  # noqa: E402
from edgepose.models.macs import macs_true, parameters  # noqa: E402
from edgepose.models.rtmdet import MMYOLO_KEYS  # noqa: E402
from edgepose.spec import ModelSpec  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("name", MODELS)
def test_every_name_builds_with_a_spec_that_survives_json(name):
    with torch.device("meta"):
        spec, network = build(name)
    assert spec.name == name
    assert parameters(network) > 0
    back = ModelSpec.from_json(spec.to_json())
    assert back == spec
    assert (spec.skeleton == "box") is (name in DETECTORS)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"name": "rtmpose-xxl"},
            "'rtmpose-xxl' .did you mean 'rtmpose-x'.*, expected one of .* such as 'rtmpose-x', .*`edgepose models`",
        ),
        ({"name": "rtmpose-t", "classes": 80}, "rtmpose-t is a pose network and takes no classes"),
        (
            {"name": "rtmpose-t", "skeleton": "cocoo"},
            "unknown skeleton 'cocoo' .did you mean 'coco'.*, expected one of .*'crowdpose'",
        ),
        ({"name": "rtmpose-t", "skeleton": "box"}, "unknown skeleton 'box'"),
        ({"name": "rtmdet-s", "skeleton": "crowdpose"}, "rtmdet-s finds boxes, not the keypoints of 'crowdpose'"),
        ({"name": "rtmdet-s", "classes": 0}, "rtmdet-s with classes=0"),
        ({"name": "rtmpose-t", "input_size": (190, 256)}, r"input_size \(190, 256\): .* multiples of 32"),
        ({"name": "rtmdet-s", "input_size": (640, 0)}, "multiples of 32"),
        ({"name": "rtmdet-s", "input_size": 640}, "multiples of 32"),
        ({"name": "rtmdet-s", "input_size": (640.0, 640.0)}, "multiples of 32"),
    ],
)
def test_unusable_options_are_named_in_one_sentence(options, said):
    with pytest.raises(ValueError, match=said) as caught:
        build(**options)
    assert "\n" not in str(caught.value)


def test_a_list_is_a_size_too():
    with torch.device("meta"):
        assert build("rtmpose-t", input_size=[96, 128])[0].input_size == (96, 128)


@pytest.fixture(scope="module")
def checkpoint():
    """Tensors of a small detector, by the published names; copy before changing."""
    torch.manual_seed(1)
    return build("rtmdet-nano")[1].state_dict()


@pytest.fixture
def network():
    torch.manual_seed(2)
    return build("rtmdet-nano")[1]


def same(network, tensors):
    return all(torch.equal(value, tensors[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("wrapping", ["none", "published", "parallel", "mmyolo", "numpy", "half"])
def test_published_wrappings_load(network, checkpoint, wrapping):
    given = dict(checkpoint)
    expected = checkpoint
    if wrapping == "published":
        given = {"meta": {"epoch": 300}, "state_dict": given | {"data_preprocessor.mean": torch.zeros(3)}}
    elif wrapping == "parallel":
        given = {f"module.{key}": value for key, value in (given | {"data_preprocessor.std": torch.ones(3)}).items()}
    elif wrapping == "mmyolo":
        back = {new: old for old, new in MMYOLO_KEYS.items()}
        prefixes = {key: next((p for p in back if key.startswith(p)), "") for key in given}
        given = {back.get(p, "") + key.removeprefix(p): given[key] for key, p in prefixes.items()}
        assert "neck.top_down_layers.0.1.conv.weight" in given
    elif wrapping == "numpy":
        given = {key: value.numpy() for key, value in given.items()}
    elif wrapping == "half":
        given = {key: value.half() if value.is_floating_point() else value for key, value in given.items()}
        expected = {key: value.float() if value.is_floating_point() else value for key, value in given.items()}
    assert not same(network, expected)
    load_reference(network, given)
    assert same(network, expected)


@pytest.mark.parametrize("mmyolo", [False, True])
def test_mmyolo_detectors_do_not_exponentiate(network, checkpoint, mmyolo):
    network.bbox_head.exp = True
    prefix = "bbox_head.head_module." if mmyolo else "bbox_head."
    load_reference(network, {key.replace("bbox_head.", prefix): value for key, value in checkpoint.items()})
    assert network.bbox_head.exp is not mmyolo


def test_what_does_not_fit_is_named_and_nothing_is_copied(network, checkpoint):
    before = {key: value.clone() for key, value in network.state_dict().items()}
    given = dict(checkpoint)
    del given["neck.out_convs.0.pointwise_conv.conv.weight"]
    given["neck.extra.weight"] = torch.zeros(1)
    given["bbox_head.rtm_cls.0.bias"] = torch.zeros(80)
    with pytest.raises(ValueError) as caught:
        load_reference(network, given)
    assert str(caught.value) == (
        "the checkpoint does not fit this RTMDet: 1 missing: neck.out_convs.0.pointwise_conv.conv.weight; "
        "1 unexpected: neck.extra.weight; 1 of wrong shape: bbox_head.rtm_cls.0.bias (80,), expected (1,)"
    )
    assert same(network, before)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "missing: backbone.stem.0.conv.weight, .* and [0-9]+ more"),
        ([1, 2], "a checkpoint is a dictionary of tensors by key, got a list"),
        ({"state_dict": 3}, "state_dict is a int"),
        ({"backbone.stem.0.conv.weight": "x"}, "holds a str under 'backbone.stem.0.conv.weight'"),
    ],
)
def test_what_is_no_checkpoint_is_refused(network, given, said):
    with pytest.raises(ValueError, match=said):
        load_reference(network, given)


def test_levels_that_should_share_but_differ_are_refused():
    _, tiny = build("rtmdet-tiny")
    given = dict(tiny.state_dict())
    key = "bbox_head.cls_convs.1.0.conv.weight"
    given[key] = given[key] + 1
    with pytest.raises(ValueError, match=f"shares one tensor: {key} and bbox_head.cls_convs.0.0.conv.weight"):
        load_reference(tiny, given)


def test_pth_with_mmengines_meta_loads(tmp_path, network, checkpoint):
    meta = {"sigmas": np.arange(17.0), "best": np.float64(0.4), "names": np.array(["a", None], dtype=object)}
    torch.save({"meta": meta, "state_dict": dict(checkpoint)}, tmp_path / "published.pth")
    load_reference(network, load_checkpoint_file(tmp_path / "published.pth"))
    assert same(network, checkpoint)


def test_safetensors_load(tmp_path, network, checkpoint):
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(dict(checkpoint), tmp_path / "net.safetensors")
    load_reference(network, load_checkpoint_file(str(tmp_path / "net.safetensors")))
    assert same(network, checkpoint)


class Canary:
    """Unpickling this makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("under", ["state_dict", "meta"])
def test_code_in_a_pth_is_not_run(tmp_path, checkpoint, zipped, under):
    content = {"state_dict": dict(checkpoint), "meta": {}}
    content[under]["canary"] = Canary(tmp_path / "sang")
    torch.save(content, tmp_path / "evil.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"evil.pth asks for \w+.mkdir, and code .* is never run") as caught:
        load_checkpoint_file(tmp_path / "evil.pth")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sang").exists()
    torch.load(tmp_path / "evil.pth", weights_only=False)  # the canary would have sung
    assert (tmp_path / "sang").exists()


def test_getattr_in_a_pth_reaches_nothing(tmp_path):
    class Reach:
        def __reduce__(self):
            return getattr, (types.SimpleNamespace, "__init__")

    torch.save({"state_dict": {"a": torch.ones(1)}, "meta": Reach()}, tmp_path / "reach.pth")
    with pytest.raises(ValueError, match=r"asks for types\.SimpleNamespace"):
        load_checkpoint_file(tmp_path / "reach.pth")


@pytest.mark.parametrize("name", ["text.pth", "empty.pth", "cut.pth", "text.safetensors"])
def test_damaged_files_are_named(tmp_path, name):
    torch.save({"a": torch.ones(100)}, tmp_path / "whole.pth")
    contents = {"empty.pth": b"", "cut.pth": (tmp_path / "whole.pth").read_bytes()[:300]}
    (tmp_path / name).write_bytes(contents.get(name, b"hello world"))
    with pytest.raises(ValueError, match=f"{name} is not a readable"):
        load_checkpoint_file(tmp_path / name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
        load_checkpoint_file(tmp_path / "nowhere.pth")


def test_counting_leaves_the_network_as_it_was():
    _, network = build("rtmpose-t", input_size=(64, 64))
    network.train()
    network.backbone.stem.eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert macs_true(network, (64, 64)) == macs_true(network, (64, 64))
    assert network.training and not network.backbone.stem.training and network.backbone.stage1.training
    assert same(network, before)
    assert not any(module._forward_hooks for module in network.modules())


def test_counting_by_hand():
    assert macs_true(torch.nn.Conv2d(3, 4, 3, padding=1, bias=True), (5, 6)) == 5 * 6 * 4 * 3 * 9
    assert macs_true(torch.nn.Conv2d(3, 6, 3, padding=1, groups=3), (5, 6)) == 5 * 6 * 6 * 9
    assert macs_true(torch.nn.ConvTranspose2d(3, 4, 4, stride=2, padding=1), (5, 6)) == 5 * 6 * 3 * 4 * 16
    assert macs_true(torch.nn.Linear(5, 7), (5, 6)) == 3 * 6 * 5 * 7
