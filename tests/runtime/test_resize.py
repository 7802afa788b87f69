"""A detector at other input sizes: the same network, whatever runs it."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

import edgepose
from edgepose.geometry import iou
from edgepose.media.example import example_image
from edgepose.runtime.load import find, open_model
from edgepose.runtime.resize import check_fits, resized, resized_spec, size_of
from edgepose.spec import ModelSpec

BACKENDS = ["onnxruntime"] + (["openvino"] if importlib.util.find_spec("openvino") else [])
DETECTOR = find("default-detector")[0]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [640, "416x256", (256, 352)])
def test_the_same_person_at_any_size(backend: Any, size: Any) -> None:
    image = example_image()
    usual = edgepose.load(backend=backend).detect(image)
    estimator = edgepose.load(backend=backend, detector_size=size)
    assert isinstance(estimator.detector, edgepose.Estimator)
    assert estimator.detector.spec.input_size == size_of(size)
    found = estimator.detect(image)
    assert iou(found.boxes[:1], usual.boxes[:1])[0, 0] > 0.7


@pytest.mark.skipif("openvino" not in BACKENDS, reason="needs the extra openvino")
def test_backends_agree() -> None:
    batch = np.random.default_rng(0).integers(0, 255, (1, 384, 512, 3), dtype=np.uint8)
    ours, theirs = (open_model(DETECTOR, backend=backend, size=(512, 384)) for backend in ("onnxruntime", "openvino"))
    tolerance = 1e-2 if getattr(theirs, "precision", "") == "f32" else 1.0
    for left, right in zip(ours(batch)[::2], theirs(batch)[::2], strict=True):
        assert left.shape == right.shape and np.abs(left - right).max() < tolerance


def test_the_own_size_changes_nothing() -> None:
    batch = np.random.default_rng(0).integers(0, 255, (1, 320, 320, 3), dtype=np.uint8)
    usual, same = open_model(DETECTOR), open_model(DETECTOR, size=(320, 320))
    for left, right in zip(usual(batch), same(batch), strict=True):
        assert np.abs(left - right).max() < 1e-3


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (650, "multiples of 32, from 32 to 4096, such as 640x640"),
        ("640x100", "such as 640x96"),
        (8192, "from 32 to 4096"),
        (0, "from 32"),
        ("640,640", "expected pixels such as 640, or 640x384"),
        (640.0, "expected pixels"),
        ((640,), "expected pixels"),
    ],
)
def test_sizes_that_cannot_be(size: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        edgepose.load(detector_size=size)


def test_more_pixels_have_room_for_more_people() -> None:
    spec = open_model(DETECTOR).spec
    assert resized_spec(spec, (640, 640)).codec_args["limit"] == 400
    assert resized_spec(spec, (160, 160)).codec_args["limit"] == 100


def test_who_has_no_size_to_choose() -> None:
    with pytest.raises(ValueError, match="no detector"):
        edgepose.load(detector="none", detector_size=640)
    with pytest.raises(ValueError, match="finds people by itself"):
        edgepose.load("default-detector", detector_size=640)
    spec = ModelSpec("end2end", "boxes", (320, 320), skeleton="box", codec_args={"format": "detections"})
    with pytest.raises(ValueError, match="suppresses boxes inside its graph"):
        resized_spec(spec, (640, 640))
    with pytest.raises(ValueError, match="is no detector"):
        resized_spec(edgepose.load().spec, (640, 640))


def test_a_graph_that_keeps_its_size_is_refused() -> None:
    spec = ModelSpec("fixed", "boxes", (640, 640), skeleton="box", codec_args={"format": "rtmdet"})
    outputs = [np.zeros((1, channels, 320 // stride, 320 // stride)) for stride in (8, 16, 32) for channels in (1, 4)]
    with pytest.raises(ValueError, match=r"expected maps of \(80, 80\) at stride 8, got \(40, 40\)"):
        check_fits(spec, outputs, "fixed.onnx")


def test_a_file_that_is_none() -> None:
    spec = resized_spec(open_model(DETECTOR).spec, (640, 640))
    with pytest.raises(ValueError, match="no ONNX file"):
        resized(DETECTOR.read_bytes()[:5000], spec)
