from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgepose import geometry
from edgepose.geometry import (
    area,
    box_centers,
    boxes_of,
    clip_boxes,
    compose,
    crop_matrices,
    fixed_aspect,
    invert,
    iou,
    letterbox_matrix,
    letterbox_size,
    middle_matrix,
    mirror,
    nms,
    transform,
    view_matrices,
    whole_size,
)
from tests.goldens import algorithm_cases, golden

SIZE = (192, 256)
WARPS = ("box", "udp", "dark")
coordinates = st.floats(-1000, 1000)
sides = st.floats(1, 1000)
view_sizes = st.tuples(st.integers(8, 400), st.integers(8, 400))


@st.composite
def boxes_strategy(draw: st.DrawFn, most: int = 12) -> np.ndarray:
    """Up to `most` boxes on a coarse grid, so that some touch, coincide or are empty."""
    n = draw(st.integers(0, most))
    corners = draw(arrays(np.float64, (n, 2), elements=st.integers(-20, 20)))
    extent = draw(arrays(np.float64, (n, 2), elements=st.integers(0, 20)))
    return np.concatenate([corners, corners + extent], axis=1)


@st.composite
def views(draw: st.DrawFn) -> np.ndarray:
    """One view matrix (2, 3) with a turn, of either kind."""
    center = np.array([[draw(coordinates), draw(coordinates)]])
    scale = fixed_aspect(np.array([[draw(sides), draw(sides)]]), SIZE)
    return view_matrices(center, scale, np.array([draw(st.floats(-180, 180))]), SIZE, draw(st.sampled_from(WARPS)))[0]


def test_published_crops() -> None:
    for case in algorithm_cases("algo/topdown_affine"):
        size, warp = tuple(case.params["input_size_wh"]), "udp" if case.params["use_udp"] else "box"
        box = case.inputs["bbox"].astype(np.float64)
        scales = fixed_aspect((box[:, 2:] - box[:, :2]) * case.params["padding"], size)
        centers = (box[:, :2] + box[:, 2:]) / 2
        matrix = view_matrices(centers, scales, np.array([case.params["rotation_deg"]]), size, warp)[0]
        assert np.allclose(scales[0], case.outputs["fixed_scale"], rtol=1e-5), case.name
        assert np.allclose(matrix, case.outputs["matrix"], rtol=1e-5, atol=1e-3), case.name
        assert np.allclose(transform(case.inputs["keypoints"], matrix), case.outputs["keypoints"], atol=1e-2), case.name
        if case.params["rotation_deg"] == 0:
            assert np.allclose(crop_matrices(box, size, case.params["padding"], warp)[0], matrix), case.name


def test_darkposes_crops() -> None:
    """Of the network's input and, as views of their own, of its maps."""
    for case in algorithm_cases("algo/darkpose_transform_and_decode"):
        x, y, width, height = case.inputs["box_xywh"]
        box = np.array([[x, y, x + width, y + height]])
        assert np.allclose(box_centers(box, "dark")[0], case.outputs["center"]), case.name
        for name in ("input", "heatmap"):
            size, expected = tuple(case.params[f"{name}_size_wh"]), case.outputs[f"affine_{name}"]
            assert np.allclose(crop_matrices(box, size, 1.25, "dark")[0], expected, rtol=1e-5, atol=1e-3), case.name
        size = tuple(case.params["input_size_wh"])
        scales = fixed_aspect((box[:, 2:] - box[:, :2]) * 1.25, size)
        assert np.allclose(scales[0], 200 * case.outputs["scale_200"], rtol=1e-6), case.name
        turned = view_matrices(box_centers(box, "dark"), scales, np.array([25.0]), size, "dark")[0]
        assert np.allclose(turned, case.outputs["affine_input_rot25"], rtol=1e-5, atol=1e-2), case.name


def test_published_way_back_to_the_image() -> None:
    for case in algorithm_cases("algo/topdown_back_projection"):
        matrices = crop_matrices(case.inputs["bbox"], tuple(case.params["input_size_wh"]))
        back = transform(case.inputs["keypoints"], invert(matrices))
        assert np.allclose(back, case.outputs["keypoints"], rtol=1e-5, atol=1e-4), case.name


def test_published_warp() -> None:
    stored = golden("algo/topdown_warp")
    for case in algorithm_cases("algo/topdown_warp"):
        size, warp = tuple(case.params["input_size_wh"]), "udp" if case.params["use_udp"] else "box"
        box = case.inputs["bbox"].astype(np.float64)
        scales = fixed_aspect((box[:, 2:] - box[:, :2]) * case.params["padding"], size)
        centers = (box[:, :2] + box[:, 2:]) / 2
        matrix = view_matrices(centers, scales, np.array([case.params["rotation_deg"]]), size, warp)[0]
        crop = cv2.warpAffine(case.inputs["image"], matrix, size, flags=cv2.INTER_LINEAR).astype(int)
        variants = [case.outputs["crop"], stored.arrays[f"{case.name}.out.crop_opencv4"]]
        differences = [np.abs(crop - v.astype(int)) for v in variants]
        assert any(d.max() <= 1 and d.mean() < 1e-3 for d in differences), case.name


@given(views(), arrays(np.float64, (3, 5, 2), elements=coordinates))
@settings(deadline=None, max_examples=50)
def test_the_inverse_map_undoes_the_map(matrix: np.ndarray, points: np.ndarray) -> None:
    assert np.allclose(transform(transform(points, matrix), invert(matrix)), points, atol=1e-5)
    assert np.allclose(compose(invert(matrix), matrix), np.eye(2, 3), atol=1e-6)


@given(views(), views(), arrays(np.float64, (2, 4, 2), elements=coordinates))
@settings(deadline=None, max_examples=50)
def test_compose_applies_the_first_then_the_second(first: np.ndarray, second: np.ndarray, points: np.ndarray) -> None:
    expected = transform(transform(points, first), second)
    assert np.allclose(transform(points, compose(second, first)), expected, rtol=1e-6, atol=1e-4)


@given(coordinates, coordinates, sides, sides, view_sizes, st.floats(1, 2))
@settings(deadline=None, max_examples=100)
def test_where_a_box_lands(x: float, y: float, w: float, h: float, size: tuple[int, int], padding: float) -> None:
    box = np.array([[x, y, x + w, y + h]])
    center = np.array([[[x + w / 2, y + h / 2]]])
    grown = fixed_aspect(np.array([[w, h]]) * padding, size)[0]
    corner = center - grown / 2
    plain, udp = (crop_matrices(box, size, padding, kind) for kind in ("box", "udp"))
    assert np.allclose(transform(center, plain), np.array(size) / 2, atol=1e-6)
    assert np.allclose(transform(corner, plain), 0, atol=1e-6)
    assert np.allclose(transform(corner + grown, plain), size, atol=1e-6)
    assert np.allclose(transform(center, udp), (np.array(size) - 1) / 2, atol=1e-6)
    assert np.allclose(transform(corner, udp), 0, atol=1e-6)
    assert np.allclose(transform(corner + grown, udp), np.array(size) - 1, atol=1e-6)


@pytest.mark.parametrize("warp", WARPS)
def test_an_empty_box_still_has_a_finite_crop(warp: str) -> None:
    matrices = crop_matrices(np.array([[5.0, 5.0, 5.0, 5.0], [9.0, 9.0, 3.0, 3.0]]), SIZE, warp=warp)
    assert np.isfinite(matrices).all() and np.isfinite(invert(matrices)).all()


@pytest.mark.parametrize(("warp", "turned"), [("box", (0.0, 1.0)), ("udp", (0.0, -1.0)), ("dark", (0.0, 1.0))])
def test_the_unbiased_crop_turns_the_other_way(warp: str, turned: tuple[float, float]) -> None:
    center = np.array([[50.0, 50.0]])
    matrix = view_matrices(center, np.array([[100.0, 100.0]]), np.array([90.0]), (101, 101), warp)[0]
    moved = transform(np.array([[[60.0, 50.0]]]), matrix)[0, 0] - transform(center[None], matrix)[0, 0]
    direction = moved / np.abs(moved).max()
    assert np.allclose(direction, (turned[0], -turned[1]), atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_transform_keeps_the_dtype_of_floats(dtype: type) -> None:
    assert transform(np.ones((2, 3, 2), dtype), np.eye(2, 3)).dtype == dtype
    assert transform(np.ones((2, 3, 2), int), np.eye(2, 3) * 1.5).dtype == np.float64


def test_mirror_is_its_own_inverse_and_matches_the_picture() -> None:
    assert np.allclose(compose(mirror(7), mirror(7)), np.eye(2, 3))
    image = np.arange(21, dtype=np.uint8).reshape(3, 7)
    assert np.array_equal(cv2.warpAffine(image, mirror(7), (7, 3)), image[:, ::-1])


@given(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), view_sizes)
@settings(deadline=None, max_examples=100)
def test_the_letterbox_fits_and_keeps_corners(image_size: tuple[int, int], size: tuple[int, int]) -> None:
    resized = letterbox_size(image_size, size)
    assert 1 <= resized[0] <= size[0] and 1 <= resized[1] <= size[1]
    assert resized[0] == size[0] or resized[1] == size[1]
    outer = np.array([[[-0.5, -0.5], [image_size[0] - 0.5, image_size[1] - 0.5]]])  # outer corners of corner pixels
    expected = [[-0.5, -0.5], [resized[0] - 0.5, resized[1] - 0.5]]
    assert np.allclose(transform(outer, letterbox_matrix(image_size, size)), expected)


def test_the_letterbox_is_opencv_resize() -> None:
    image = np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)
    width, height = letterbox_size((70, 50), (140, 140))
    matrix = letterbox_matrix((70, 50), (140, 140))
    warped = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    assert np.abs(warped.astype(int) - resized.astype(int)).max() <= 4


@given(boxes_strategy(), boxes_strategy())
@settings(deadline=None, max_examples=100)
def test_iou_is_bounded_symmetric_and_one_with_itself(a: np.ndarray, b: np.ndarray) -> None:
    overlaps = iou(a, b)
    assert overlaps.shape == (len(a), len(b))
    assert ((overlaps >= 0) & (overlaps <= 1)).all()
    assert np.array_equal(overlaps, iou(b, a).T)
    assert np.allclose(np.diag(iou(a, a)), area(a) > 0)


def test_iou_of_whole_numbers() -> None:
    assert iou(np.array([[0, 0, 2, 2]]), np.array([[1, 0, 3, 2], [2, 2, 4, 4]])).tolist() == [[1 / 3, 0]]


def naive_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(iou(boxes[i : i + 1], boxes[j : j + 1])[0, 0] <= threshold for j in kept):
            kept.append(i)
    return kept


@given(boxes_strategy(), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]))
@settings(deadline=None, max_examples=100)
def test_nms_equals_a_naive_loop(boxes: np.ndarray, seed: int, threshold: float) -> None:
    scores = np.random.default_rng(seed).integers(0, 5, len(boxes)) / 4  # with ties
    assert nms(boxes, scores, threshold).tolist() == naive_nms(boxes, scores, threshold)


def test_boxes_of_keypoints_that_count() -> None:
    points = np.array([[[1, 2], [5, 9], [100, 100]], [[1, 2], [5, 9], [100, 100]]], np.float32)
    weights = np.array([[1, 0.5, 0], [0, 0, 0]])
    assert boxes_of(points, weights).tolist() == [[1, 2, 5, 9], [0, 0, 0, 0]]


def test_clip_and_area() -> None:
    boxes = np.array([[-5.0, -5.0, 50.0, 50.0], [30.0, 30.0, 20.0, 20.0]])
    assert clip_boxes(boxes, (40, 30)).tolist() == [[0, 0, 40, 30], [30, 30, 20, 20]]
    assert area(boxes).tolist() == [55 * 55, 0]


def test_nothing_in_nothing_out() -> None:
    none = np.zeros((0, 4))
    assert crop_matrices(none, SIZE).shape == invert(crop_matrices(none, SIZE)).shape == (0, 2, 3)
    assert transform(np.zeros((0, 17, 2)), np.zeros((0, 2, 3))).shape == (0, 17, 2)
    assert transform(np.zeros((3, 0, 2)), np.eye(2, 3)).shape == (3, 0, 2)
    assert iou(none, np.ones((2, 4))).shape == (0, 2) and nms(none, np.zeros(0), 0.5).shape == (0,)
    assert area(none).shape == (0,) and clip_boxes(none, (4, 4)).shape == (0, 4)
    assert boxes_of(np.zeros((0, 17, 2)), np.zeros((0, 17))).shape == (0, 4)
    assert boxes_of(np.zeros((2, 0, 2)), np.zeros((2, 0))).tolist() == [[0] * 4] * 2
    assert geometry.fixed_aspect(np.zeros((0, 2)), SIZE).shape == (0, 2)


def test_sizes_and_views_of_whole_pictures_are_the_published() -> None:
    sizes, warp, other = algorithm_cases("algo/ae_geometry")
    for row, expected in zip(sizes.inputs["sizes_in"], sizes.outputs["sizes_out"], strict=True):
        picture = (int(row[0]), int(row[1]))
        size = whole_size(picture, int(row[2]), row[3], row[4])
        assert size == tuple(expected[:2].astype(int))
        factor, center = expected[0] / (expected[4] * 200), expected[2:4]
        matrix = np.concatenate([np.eye(2) * factor, (expected[:2] / 2 - factor * center)[:, None]], axis=1)
        np.testing.assert_allclose(middle_matrix(picture, size), matrix, atol=1e-9)
    for case in (warp, other):
        height, width = case.inputs["image"].shape[:2]
        size = case.outputs["warp"].shape[1::-1]
        np.testing.assert_allclose(middle_matrix((width, height), size), case.outputs["matrix"], atol=1e-9)


def test_a_picture_of_any_shape_is_in_the_middle_and_whole() -> None:
    for picture, size in (((640, 480), (256, 256)), ((100, 400), (256, 192)), ((7, 5), (64, 64))):
        matrix = middle_matrix(picture, size)
        corners = transform(np.array([[[0.0, 0.0], picture]]), matrix)[0]
        assert (corners >= -1.0 * matrix[0, 0]).all() and (corners <= np.array(size) + matrix[0, 0]).all()
        assert matrix[0, 0] == matrix[1, 1] and matrix[0, 0] == min(size[0] / picture[0], size[1] / picture[1])


def test_a_box_without_size_is_seen_as_one_pixel() -> None:
    point = np.array([[40.0, 30.0, 40.0, 30.0]])
    for size in ((192, 256), (64, 64)):
        (matrix,) = crop_matrices(point, size)
        assert matrix[0, 0] == matrix[1, 1] == size[0], "one pixel of the picture fills the view's width"
        assert np.allclose(matrix @ [40, 30, 1], np.array(size) / 2)
