"""What every codec of people must do: decode inverts encode, nobody is a value, shapes are checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgepose.codec import CODECS, codec_of
from edgepose.skeleton import SKELETONS
from edgepose.spec import ModelSpec

SIZE = (192, 256)
# codec, its arguments, the names of its targets that stand for outputs, half a bin in input pixels
PER_PERSON = [
    ("simcc", {}, ("simcc_x", "simcc_y"), 0.25),
    ("simcc", {"split": 1.0}, ("simcc_x", "simcc_y"), 0.5),
    ("simcc", {"sigma": [6.0, 6.93]}, ("simcc_x", "simcc_y"), 0.25),
    ("heatmap", {"kind": "msra"}, ("heatmaps",), 2.0),
    ("heatmap", {"kind": "dark"}, ("heatmaps",), 2.0),
    ("heatmap", {"kind": "dark", "stride": 8, "sigma": 1.0, "blur": 5}, ("heatmaps",), 4.0),
    ("heatmap", {"kind": "udp"}, ("heatmaps",), 2.0),
    ("heatmap", {"kind": "dark", "centered": True}, ("heatmaps",), 2.0),
]
every_codec = pytest.mark.parametrize(("codec", "arguments", "names", "half_bin"), PER_PERSON)


def spec_of(codec: str, arguments: dict[str, Any], skeleton: str = "coco") -> ModelSpec:
    return ModelSpec("mine", codec, SIZE, skeleton=skeleton, codec_args=arguments, per_person=True)


@every_codec
@pytest.mark.parametrize("skeleton", ["coco", "crowdpose", "halpe26"])
def test_decode_inverts_encode(
    codec: str, arguments: dict[str, Any], names: tuple[str, ...], half_bin: float, skeleton: str
) -> None:
    k = len(SKELETONS[skeleton])
    keypoints = np.random.default_rng(0).uniform(8, np.array(SIZE) - 8, (4, k, 2))
    made = codec_of(spec_of(codec, arguments, skeleton))
    targets = made.encode(keypoints, np.ones((4, k)))
    poses = made.decode([targets[name] for name in names])
    assert np.abs(poses.keypoints - keypoints).max() <= half_bin + 1e-4
    assert (targets["weights"] == 1).all() and len(poses) == 4 and poses.skeleton.name == skeleton
    assert {target.dtype for target in targets.values()} == {np.dtype(np.float32)}


@every_codec
def test_unlabelled_and_outside_keypoints_carry_no_weight(
    codec: str, arguments: dict[str, Any], names: tuple[str, ...], half_bin: float
) -> None:
    keypoints, visible = np.full((1, 17, 2), 50.0), np.ones((1, 17))
    keypoints[0, 0], keypoints[0, 1], visible[0, 2] = (-500, 50), (50, 900), 0
    targets = codec_of(spec_of(codec, arguments)).encode(keypoints, visible)
    assert targets["weights"][0].tolist() == [0, 0, 0, *[1] * 14]
    for name in names:
        assert (targets[name][0, :3] == 0).all() and np.isfinite(targets[name]).all()
        assert np.isclose(targets[name][0, 3:].max(-1).max(), 1, atol=0.1)


@every_codec
def test_nobody(codec: str, arguments: dict[str, Any], names: tuple[str, ...], half_bin: float) -> None:
    made = codec_of(spec_of(codec, arguments))
    targets = made.encode(np.zeros((0, 17, 2)), np.zeros((0, 17)))
    assert targets["weights"].shape == (0, 17)
    poses = made.decode([targets[name] for name in names])
    assert len(poses) == 0 and poses.keypoints.shape == (0, 17, 2)
    assert all(len(o) == 0 for o in made.merge_flipped([targets[n] for n in names], [targets[n] for n in names]))


@every_codec
def test_the_flip_test_of_a_mirrored_person_is_that_person(
    codec: str, arguments: dict[str, Any], names: tuple[str, ...], half_bin: float
) -> None:
    made = codec_of(spec_of(codec, arguments))
    grid = 8.0 if codec == "heatmap" else 1.0
    keypoints = np.random.default_rng(1).integers(2, 20, (2, 17, 2)) * grid
    # The output axis is mirrored about its last entry: 191.5 for two SimCC bins a pixel, cell w - 1 for a map.
    last = made.bins[0] / made.split - 1 / made.split if codec == "simcc" else (made.size[0] - 1) * made.scale[0]
    mirrored = np.stack([last - keypoints[..., 0], keypoints[..., 1]], axis=-1)[:, made.skeleton.flip]
    visible = np.ones((2, 17))
    plain, flipped = ([t[n] for n in names] for t in (made.encode(keypoints, visible), made.encode(mirrored, visible)))
    merged = made.merge_flipped(plain, flipped)
    if arguments.get("kind") != "msra":  # its published shift by a cell makes up for a misaligned warp
        assert all(np.allclose(m, p, atol=1e-5) for m, p in zip(merged, plain, strict=True))
    assert np.abs(made.decode(merged).keypoints - keypoints).max() <= 2 * half_bin


def test_the_table_and_its_errors() -> None:
    assert {"simcc", "heatmap", "boxes"} <= set(CODECS)
    with pytest.raises(ValueError, match=r"spec of mine: unknown codec 'magic', expected one of \['"):
        codec_of(spec_of("magic", {}))
    with pytest.raises(ValueError, match=r"spec of mine: codec_args {'splitt': 3} do not fit simcc"):
        codec_of(spec_of("simcc", {"splitt": 3}))


def test_arguments_from_a_file_give_the_same_codec() -> None:
    spec = ModelSpec("detector", "boxes", (320, 320), skeleton="box", codec_args={"strides": (8, 16, 32)})
    assert codec_of(ModelSpec.from_json(spec.to_json())) == codec_of(spec)
    spec = spec_of("simcc", {"sigma": (4.9, 5.66)})
    assert codec_of(ModelSpec.from_json(spec.to_json())) == codec_of(spec)
