from __future__ import annotations

import numpy as np
import pytest

from edgepose.codec.heatmap import KINDS, Heatmap, blurred_to_same_peak
from edgepose.geometry import crop_matrices, invert, transform
from edgepose.skeleton import COCO, Skeleton
from tests.goldens import Case, algorithm_cases

OURS = {"quarter": "msra", "msra": "msra", "dark": "dark", "dark_udp": "udp", "udp": "udp"}


def codec_for(case: Case, keypoints: int) -> Heatmap:
    names = tuple(f"point_{i}" for i in range(keypoints))
    skeleton = Skeleton("golden", names, (), (1.0,) * keypoints)
    size, kind = tuple(case.params["input_size_wh"]), OURS[case.params["kind"]]
    codec = Heatmap(size, skeleton, kind, 4, case.params["sigma"], case.params.get("blur_kernel_size", 11))
    assert codec.size == tuple(case.params["heatmap_size_wh"])
    return codec


def test_published_decoding() -> None:
    for case in algorithm_cases("algo/heatmap_decode"):
        if case.params["kind"] == "flip_merge":
            continue
        maps = case.inputs["heatmaps"]
        codec = codec_for(case, len(maps))
        poses = codec.decode([maps[None]])
        assert np.array_equal(poses.scores, case.outputs["scores"]), case.name
        keypoints = poses.keypoints.astype(np.float64)
        rows = np.ones(len(maps), bool)
        if codec.kind == "udp":  # published cells are stretched by input / (input - 1), see Heatmap.decode
            keypoints *= np.array(codec.input_size) / (np.array(codec.input_size) - 1)
            rows = case.outputs["scores"][0] > 0  # the published step from the cell (-1, -1) is an artefact
        assert np.allclose(keypoints[0, rows], case.outputs["keypoints"][0, rows], atol=1e-4), case.name


def test_published_flip_test() -> None:
    cases = [c for c in algorithm_cases("algo/heatmap_decode") if c.params["kind"] == "flip_merge"]
    assert {c.params["shift_heatmap"] for c in cases} == {False, True}
    for case in cases:
        maps, mirrored = case.inputs["heatmaps"][None], case.inputs["heatmaps_of_mirrored_image"][None]
        before = mirrored.copy()
        shifted = case.params["shift_heatmap"]
        for kind in KINDS:
            usual = shifted == (kind == "msra")
            codec = Heatmap((96, 128), COCO, kind, flip_shift=None if usual else shifted)
            merged = codec.merge_flipped([maps], [mirrored])[0]
            assert np.allclose(merged[0], case.outputs["merged"], atol=1e-7), (case.name, kind)
        assert np.array_equal(before, mirrored)


def test_a_wrong_word_for_the_shift() -> None:
    with pytest.raises(ValueError, match="flip_shift is 'one', expected true, false or null"):
        Heatmap((96, 128), COCO, "dark", flip_shift="one")  # type: ignore[arg-type]


def test_published_encoding() -> None:
    for case in algorithm_cases("algo/heatmap_encode"):
        keypoints, visible = case.inputs["keypoints"], case.inputs["visible"]
        targets = codec_for(case, keypoints.shape[1]).encode(keypoints, visible)
        assert np.allclose(targets["heatmaps"][0], case.outputs["heatmaps"], atol=2e-6), case.name
        assert np.array_equal(targets["weights"], case.outputs["weights"]), case.name


def test_the_codec_of_darkpose() -> None:
    """With its crop: labels reach the maps, and what is decoded the picture, as if maps were views of their own."""
    for case in algorithm_cases("algo/darkpose_transform_and_decode"):
        maps, params = case.inputs["heatmaps"], case.params
        skeleton, size = Skeleton("golden", tuple("abcd"), (), (1.0,) * 4), tuple(params["input_size_wh"])
        codec = Heatmap(size, skeleton, "dark", 4, params["sigma"], params["blur_kernel"], centered=True)
        x, y, width, height = case.inputs["box_xywh"]
        crop = crop_matrices(np.array([[x, y, x + width, y + height]]), size, warp="dark")
        poses = codec.decode([maps])
        found = transform(poses.keypoints.astype(np.float64), invert(crop))
        assert np.allclose(found, case.outputs["preds"], atol=1e-3), case.name
        assert np.array_equal(poses.scores, case.outputs["maxvals"][..., 0]), case.name
        cells, visible = case.inputs["joints_heatmap_px"][None, :, :2], case.inputs["joints_vis"][None, :, 0]
        labels = transform(transform(cells, invert(case.outputs["affine_heatmap"])), crop)
        targets, expected = codec.encode(labels, visible), case.outputs["target"]
        assert np.allclose(targets["heatmaps"][0, : len(expected)], expected, atol=1e-5), case.name
        assert np.array_equal(targets["weights"][0], case.outputs["target_weight"][:, 0]), case.name
        plain = Heatmap(size, skeleton, "dark", 4, params["sigma"], params["blur_kernel"])
        cells_found = plain.decode([maps]).keypoints.astype(np.float64) / plain.scale
        in_picture = transform(cells_found, invert(case.outputs["affine_heatmap"]))
        assert np.allclose(in_picture, case.outputs["preds"], atol=1e-4), case.name


@pytest.mark.parametrize(("sigma", "blur", "size"), [(2.0, 11, (192, 256)), (3.0, 17, (288, 384)), (2.0, 11, (96, 64))])
@pytest.mark.parametrize("centered", [False, True])
def test_dark_recovers_where_between_cells_a_gaussian_is(
    sigma: float, blur: int, size: tuple[int, int], centered: bool
) -> None:
    """Within 0.02 cells, for 4000 shifts: any place that is as far from the rim as the blur reaches."""
    codec = Heatmap(size, kind="dark", sigma=sigma, blur=blur, centered=centered)
    rng, far = np.random.default_rng(0), 3 * sigma + blur // 2
    most = np.array(codec.size) - 1 - far
    assert (most > far).all() or size == (96, 64)
    cells = rng.uniform(np.minimum(far, most), np.maximum(far, most), (4000 // 17, 17, 2))
    if size == (96, 64):  # a small map, of which the blur reaches over the rim
        cells = rng.uniform(5, np.array(codec.size) - 6, cells.shape)
    poses = codec.decode([codec.encode(cells * codec.scale + codec.origin, np.ones(cells.shape[:2]))["heatmaps"]])
    found = (poses.keypoints.astype(np.float64) - codec.origin) / codec.scale
    assert np.abs(found - cells).max() < 0.02


def test_the_flip_test_moves_maps_only_where_it_is_told_to() -> None:
    maps = np.random.default_rng(0).random((1, 17, 32, 24), np.float32)
    mirrored = maps[:, COCO.flip, :, ::-1]
    still = Heatmap((96, 128), COCO, "dark").merge_flipped([maps], [mirrored])[0]
    assert np.allclose(still, maps)
    moved = [
        Heatmap((96, 128), COCO, "dark", flip_shift=True).merge_flipped([maps], [mirrored])[0],
        Heatmap((96, 128), COCO, "msra").merge_flipped([maps], [mirrored])[0],
    ]
    assert np.array_equal(*moved) and np.allclose(moved[0][..., 1:], (maps[..., 1:] + maps[..., :-1]) / 2)
    assert np.allclose(Heatmap((96, 128), COCO, "msra", flip_shift=False).merge_flipped([maps], [mirrored])[0], maps)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_half_seen_keypoints(kind: str) -> None:
    """As published: below 0.5 no target, but the weight stays; outside, a keypoint that is seen has none."""
    codec = Heatmap((192, 256), Skeleton("five", tuple("abcde"), (), (1.0,) * 5), kind)
    keypoints = np.full((1, 5, 2), 90.0)
    keypoints[0, 3:] = -80
    targets = codec.encode(keypoints, np.array([[0.3, 0.5, 2.0, 1.0, 0.0]]))
    assert targets["weights"].tolist() == [[np.float32(0.3), 0.5, 1, 0, 0]]
    assert (targets["heatmaps"].max((0, 2, 3)) > 0).tolist() == [False, True, True, False, False]


@pytest.mark.parametrize(("kind", "error"), [("msra", 2.0), ("dark", 0.08), ("udp", 0.08)])
def test_decoding_finds_the_center_of_a_gaussian(kind: str, error: float) -> None:
    """DARK's promise: less than 0.02 cells, here 4 pixels each; the quarter step is within half a cell."""
    codec = Heatmap((192, 256), kind=kind)
    keypoints = np.random.default_rng(0).uniform((20, 20), (170, 230), (3, 17, 2))
    targets = codec.encode(keypoints, np.ones((3, 17)))
    poses = codec.decode([targets["heatmaps"]])
    assert np.abs(poses.keypoints - keypoints).max() < error
    assert poses.boxes.tolist() == [[0, 0, 192, 256]] * 3


@pytest.mark.parametrize("kind", KINDS)
def test_maps_without_a_peak(kind: str) -> None:
    codec = Heatmap((192, 256), kind=kind)
    for level in (0.0, -1.0):
        poses = codec.decode([np.full((1, 17, 64, 48), level, np.float32)])
        assert np.allclose(poses.keypoints, -codec.scale) and (poses.scores == level).all()
        assert poses.person_scores.tolist() == [0]
    constant = codec.decode([np.ones((1, 17, 64, 48), np.float32)])
    assert np.isfinite(constant.keypoints).all()


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_maps(kind: str) -> None:
    codec = Heatmap((192, 256), kind=kind)
    maps = codec.encode(np.full((1, 17, 2), 100.0), np.ones((1, 17)))["heatmaps"]
    assert np.abs(codec.decode([maps.astype(np.float16)]).keypoints - 100).max() < 2


def test_the_blur_keeps_the_peak() -> None:
    heatmap = np.zeros((16, 12), np.float32)
    heatmap[0, 0] = 0.7
    assert np.isclose(blurred_to_same_peak(heatmap, 11).max(), 0.7)
    assert (blurred_to_same_peak(np.zeros((16, 12), np.float32), 11) == 0).all()
    assert np.array_equal(blurred_to_same_peak(heatmap, 1), heatmap)


def test_wrong_shapes_and_arguments() -> None:
    with pytest.raises(ValueError, match=r"one output \(B, \(17, 64, 48\)\), got \[\(1, 17, 48, 64\)\]"):
        Heatmap((192, 256)).decode([np.zeros((1, 17, 48, 64), np.float32)])
    with pytest.raises(ValueError, match="decodes one output"):
        Heatmap((192, 256)).decode([])
    with pytest.raises(ValueError, match="unknown heat-map kind 'round', expected one of"):
        Heatmap((192, 256), kind="round")
    with pytest.raises(ValueError, match="odd and positive, got 4"):
        Heatmap((192, 256), blur=4)
    with pytest.raises(ValueError, match=r"at least 2 cells wide and not of kind udp, got \(48, 64\), udp"):
        Heatmap((192, 256), centered=True)
