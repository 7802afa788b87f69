"""Crops and letterboxes against the published code's, and against themselves."""

from __future__ import annotations

import dataclasses
import tracemalloc

import cv2
import numpy as np
import pytest

from edgepose.geometry import invert, letterbox_size, transform
from edgepose.runtime.views import Views, back
from edgepose.spec import ModelSpec
from tests.goldens import algorithm_cases
from tests.runtime.small import DETECTOR, RTMDET, SIMCC, picture

RTMPOSE = dataclasses.replace(
    SIMCC, layout="nchw", color="rgb", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
)


def test_letterbox_is_rtmdets() -> None:
    table, case = algorithm_cases("algo/rtmdet_preprocess")
    for (height, width, side), (h, w, _, _) in zip(table.inputs["table_in"], table.outputs["table_out"], strict=True):
        assert letterbox_size((int(width), int(height)), (int(side), int(side))) == (w, h)
    side = case.params["S"]
    floats = dataclasses.replace(RTMDET, input_size=(side, side))
    batch, matrix = Views(floats).whole(case.inputs["image"])
    np.testing.assert_allclose(batch[0], case.outputs["network"], atol=1e-5)
    np.testing.assert_allclose(matrix[[0, 1], [0, 1]], case.outputs["scale_factor"], rtol=1e-6)
    pixels, _ = Views(dataclasses.replace(floats, layout="nhwc")).whole(case.inputs["image"])
    assert pixels.dtype == np.uint8 and (pixels[0] == case.outputs["padded"]).all()


def test_crops_are_mmposes() -> None:
    seen = 0
    for case in algorithm_cases("algo/topdown_warp"):
        if case.params.get("rotation_deg"):
            continue
        seen += 1
        spec = dataclasses.replace(
            SIMCC,
            input_size=tuple(case.params["input_size_wh"]),
            padding=case.params["padding"],
            warp="udp" if case.params["use_udp"] else "box",
        )
        views = Views(spec)
        crop = views.crops([case.inputs["image"]], views.matrices(case.inputs["bbox"]))[0]
        kinds = [value for name, value in case.outputs.items() if name.startswith("crop")]  # of OpenCV 5 and 4
        apart = [np.abs(crop.astype(int) - kind) for kind in kinds]
        assert min(difference.mean() for difference in apart) <= 0.1, case.name
        assert min(difference.max() for difference in apart) <= 4, case.name
    assert seen >= 3


def test_normalized_in_the_networks_color_order() -> None:
    image, boxes = picture(), np.array([[10, 20, 60, 110], [-30, -10, 40, 70]])
    plain = Views(SIMCC)
    matrices = plain.matrices(boxes)
    pixels = plain.crops([image, image], matrices).copy()
    floats = Views(RTMPOSE).crops([image, image], matrices)
    expected = (pixels[..., ::-1].astype(np.float64) - RTMPOSE.mean) / RTMPOSE.std
    assert floats.dtype == np.float32 and floats.flags.c_contiguous
    np.testing.assert_allclose(floats, np.moveaxis(expected, -1, 1), atol=1e-5)
    raw = Views(dataclasses.replace(SIMCC, layout="nchw")).crops([image, image], matrices)
    assert (raw == np.moveaxis(pixels, -1, 1)).all()


def test_outside_the_picture_is_the_border() -> None:
    views = Views(dataclasses.replace(SIMCC, border=77))
    crop = views.crops([picture()], views.matrices(np.array([[500, 500, 600, 700]])))
    assert (crop == 77).all()


@pytest.mark.parametrize("size", [(640, 480), (33, 400), (400, 33), (1, 1), (64, 64)])
def test_a_letterbox_leaves_no_trace_of_the_one_before(size: tuple[int, int]) -> None:
    views = Views(DETECTOR)
    views.whole(np.full((50, 200, 3), 250, np.uint8))
    views.whole(np.full((200, 50, 3), 250, np.uint8))
    batch, _ = views.whole(picture(size=size))
    width, height = letterbox_size(size, (64, 64))
    assert (batch[0, height:] == 114).all() and (batch[0, :, width:] == 114).all()
    assert (batch[0, :height, :width] == cv2.resize(picture(size=size), (width, height))).all()


@pytest.mark.parametrize("warp", ["box", "udp", "dark"])
def test_back_is_the_inverse(warp: str) -> None:
    matrices = Views(dataclasses.replace(SIMCC, warp=warp)).matrices(np.array([[3, 4, 50, 90.5], [0, 0, 1, 1]]))
    points = np.random.default_rng(0).uniform(-20, 80, (2, 17, 2)).astype(np.float32)
    expected = transform(points.astype(np.float64), invert(matrices))
    np.testing.assert_allclose(back(points, matrices), expected, rtol=1e-9)


def test_views_of_several_pictures_share_a_batch() -> None:
    images = [picture(seed, (100 + seed, 90)) for seed in range(3)]
    views = Views(RTMPOSE)
    matrices = views.matrices(np.array([[5, 5, 50, 80]] * 3))
    together = views.crops(images, matrices).copy()
    for i, image in enumerate(images):
        assert (views.crops([image], matrices[i : i + 1])[0] == together[i]).all()


def test_a_crop_is_cheap() -> None:
    """No array of a crop's size is made anew: float64 arithmetic, which took ten times as long, would make some."""
    spec = ModelSpec("s", "simcc", (192, 256), per_person=True, layout="nchw", mean=RTMPOSE.mean, std=RTMPOSE.std)
    views, images = Views(spec), [picture(size=(1920, 1080))] * 8
    matrices = views.matrices(np.array([[300, 100, 800, 1000]] * 8))
    first = views.crops(images, matrices)
    tracemalloc.start()
    try:
        again = views.crops(images, matrices)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert again.dtype == np.float32 and np.shares_memory(first, again)
    assert most < again[0].nbytes / 2
