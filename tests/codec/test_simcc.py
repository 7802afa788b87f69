from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepose.codec.simcc import SimCC
from edgepose.skeleton import COCO, Skeleton
from tests.goldens import Case, algorithm_cases


def codec_for(case: Case, keypoints: int) -> SimCC:
    names = tuple(f"point_{i}" for i in range(keypoints))
    skeleton = Skeleton("golden", names, (), (1.0,) * keypoints)
    dark = case.params.get("use_dark", False)
    return SimCC(tuple(case.params["input_size_wh"]), skeleton, sigma=tuple(case.params["sigma_xy"]), dark=dark)


def test_published_decoding() -> None:
    for case in algorithm_cases("algo/simcc_decode"):
        outputs = [case.inputs["simcc_x"], case.inputs["simcc_y"]]
        poses = codec_for(case, outputs[0].shape[1]).decode(outputs)
        assert np.allclose(poses.keypoints, case.outputs["keypoints"], rtol=0, atol=1e-4 * case.params["use_dark"])
        assert np.array_equal(poses.scores, case.outputs["scores"]), case.name


def test_published_encoding() -> None:
    for case in algorithm_cases("algo/simcc_encode"):
        keypoints, visible = case.inputs["keypoints"], case.inputs["visible"]
        targets = codec_for(case, keypoints.shape[1]).encode(keypoints, visible)
        assert np.allclose(targets["simcc_x"], case.outputs["x_labels"], atol=1e-6), case.name
        assert np.allclose(targets["simcc_y"], case.outputs["y_labels"], atol=1e-6), case.name
        assert np.array_equal(targets["weights"], case.outputs["weights"]), case.name


def test_published_flip_test() -> None:
    for case in algorithm_cases("algo/simcc_flip_merge"):
        codec, arrays = SimCC((192, 256)), case.inputs
        assert COCO.flip.tolist() == case.params["flip_indices"]
        merged = codec.merge_flipped([arrays["x"], arrays["y"]], [arrays["x_flip"], arrays["y_flip"]])
        assert np.allclose(merged[0], case.outputs["merged_x"], atol=1e-6)
        assert np.allclose(merged[1], case.outputs["merged_y"], atol=1e-6)
        poses = codec.decode(merged)
        assert np.array_equal(poses.keypoints, case.outputs["keypoints"])
        assert np.allclose(poses.scores, case.outputs["scores"], atol=1e-6)


@pytest.mark.parametrize(
    ("size", "bins", "sigma"),
    [
        ((192, 256), (384, 512), (4.9, 5.66)),
        ((288, 384), (576, 768), (6.0, 6.93)),
        ((256, 256), (512, 512), (5.66, 5.66)),
    ],
)
def test_bins_and_default_sigmas(size: tuple[int, int], bins: tuple[int, int], sigma: tuple[float, float]) -> None:
    codec = SimCC(size)
    assert codec.bins == bins and np.allclose(codec.sigmas, sigma, atol=0.005)


@given(
    st.lists(st.tuples(st.integers(0, 383), st.integers(0, 511)), min_size=17, max_size=17),
    st.sampled_from([1.0, 2.0]),
)
@settings(deadline=None, max_examples=20)
def test_grid_points_come_back_exactly(cells: list[tuple[int, int]], split: float) -> None:
    codec = SimCC((192, 256), split=split)
    keypoints = np.floor(np.array(cells, np.float32)[None] * split / 2) / np.float32(split)  # a bin of this codec
    targets = codec.encode(keypoints, np.ones((1, 17)))
    poses = codec.decode([targets["simcc_x"], targets["simcc_y"]])
    assert np.array_equal(poses.keypoints, keypoints) and (poses.scores == 1).all()


@given(st.floats(30, 160), st.floats(40, 210))
@settings(deadline=None, max_examples=20)
def test_dark_finds_a_center_between_bins(x: float, y: float) -> None:
    """On Gaussians around (x, y) itself, which the targets round to whole bins."""
    codec, rounded = SimCC((192, 256), dark=True), SimCC((192, 256))
    curves = [
        np.exp(-((np.arange(bins) - 2 * place) ** 2) / (2 * sigma**2)).astype(np.float32)[None, None].repeat(17, 1)
        for bins, place, sigma in zip(codec.bins, (x, y), codec.sigmas, strict=True)
    ]
    found, whole = codec.decode(curves), rounded.decode(curves)
    assert np.abs(found.keypoints - [x, y]).max() < 0.02
    assert np.abs(whole.keypoints - [x, y]).max() <= 0.251 and np.array_equal(found.scores, whole.scores)


def test_dark_leaves_what_is_not_there_and_what_is_flat_in_place() -> None:
    codec = SimCC((192, 256), dark=True)
    flat = [np.full((2, 17, bins), 0.5, np.float32) for bins in codec.bins]
    flat[0][1] = -0.5
    poses = codec.decode(flat)
    assert np.isfinite(poses.keypoints).all() and (poses.keypoints[1] == -0.5).all()
    assert codec.decode([each[:0] for each in flat]).keypoints.shape == (0, 17, 2)


def test_score_and_place_of_a_keypoint_that_is_not_there() -> None:
    codec = SimCC((192, 256))
    x, y = np.full((1, 17, 384), -1.0, np.float32), np.full((1, 17, 512), 0.5, np.float32)
    poses = codec.decode([x, y])
    assert (poses.scores == -1).all() and (poses.keypoints == -0.5).all() and poses.person_scores.tolist() == [0]
    assert poses.boxes.tolist() == [[0, 0, 192, 256]]


def test_half_precision_outputs() -> None:
    codec = SimCC((192, 256))
    targets = codec.encode(np.full((1, 17, 2), 20.0), np.ones((1, 17)))
    poses = codec.decode([targets[axis].astype(np.float16) for axis in ("simcc_x", "simcc_y")])
    assert (poses.keypoints == 20).all() and poses.scores.dtype == np.float32


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(1, 17, 384)], r"two outputs \(simcc_x, simcc_y\), got 1"),
        ([(1, 17, 512), (1, 17, 384)], r"simcc_x of shape \(B, 17, 384\), got \(1, 17, 512\): check the spec"),
        ([(1, 17, 384), (1, 26, 512)], r"simcc_y of shape \(B, 17, 512\), got \(1, 26, 512\)"),
        ([(17, 384), (17, 512)], r"simcc_x of shape \(B, 17, 384\), got \(17, 384\)"),
    ],
)
def test_wrong_shapes(shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SimCC((192, 256)).decode([np.zeros(shape, np.float32) for shape in shapes])


@pytest.mark.parametrize(
    ("split", "sigma", "message"),
    [(0.0, None, "positive split, got 0.0"), (-2.0, None, "positive split"), (2.0, (0.0, 1.0), "positive sigma")],
)
def test_wrong_arguments(split: float, sigma: tuple[float, float] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SimCC((192, 256), split=split, sigma=sigma)
