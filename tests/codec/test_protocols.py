"""What every codec can do, what only some can, and how far apart two outputs of the same input are."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

import edgepose
from edgepose.codec import CODECS, FlipMerge, Guided, Thresholded, codec_of
from edgepose.codec.anchors import Anchors
from edgepose.codec.associative import Associative
from edgepose.codec.boxes import FORMATS, Boxes, Format
from edgepose.codec.simcc import SimCC
from edgepose.spec import ModelSpec

PACKAGE = Path(edgepose.__file__).parent
SIZE = (96, 64)  # w, h
SKELETON = {"boxes": "box"}
# codec: (flip test, threshold of its own, guided decoding), names of its outputs
ABILITIES = {
    "simcc": ((True, False, False), ("simcc_x", "simcc_y")),
    "heatmap": ((True, False, False), ("heatmaps",)),
    "distribution": ((True, False, True), ("heatmaps",)),
    "center": ((True, False, False), ("heatmaps", "centers", "displacements", "offsets")),
    "anchors": ((True, True, False), ("anchors_8", "anchors_16", "anchors_32")),
    "associative": ((True, False, False), ("heatmaps", "tags", "peak_scores", "peak_cells")),
    "boxes": (
        (False, True, False),
        ("logits_8", "distances_8", "logits_16", "distances_16", "logits_32", "distances_32"),
    ),
}


def made(name: str, **arguments: Any) -> Any:
    return codec_of(ModelSpec("mine", name, SIZE, skeleton=SKELETON.get(name, "coco"), codec_args=arguments))


def outputs_of(name: str, seed: int = 0) -> list[np.ndarray]:
    """Outputs of one input in the shapes that the codec decodes; boxes have sides, whatever the noise."""
    w, h = SIZE
    grids = [(h // stride, w // stride) for stride in (8, 16, 32)]
    shapes: dict[str, list[tuple[int, ...]]] = {
        "simcc": [(1, 17, 2 * w), (1, 17, 2 * h)],
        "heatmap": [(1, 17, h // 4, w // 4)],
        "distribution": [(1, 17, h // 8, w // 8)],
        "center": [(1, planes, h // 4, w // 4) for planes in (17, 1, 34, 34)],
        "anchors": [(1, 3 * 57, *grid) for grid in grids],
        "associative": [(1, 34, h // 4, w // 4), (1, 17, h // 2, w // 2)],
        "boxes": [(1, channels, *grid) for grid in grids for channels in (1, 4)],
    }
    rng = np.random.default_rng(seed)
    return [rng.random(shape).astype(np.float32) for shape in shapes[name]]


@pytest.mark.parametrize("name", CODECS)
def test_what_each_codec_can_do(name: str) -> None:
    codec = made(name)
    abilities = tuple(isinstance(codec, kind) for kind in (FlipMerge, Thresholded, Guided))
    assert (abilities, codec.output_names) == ABILITIES[name]
    assert codec.input_size == SIZE and codec.skeleton.name == SKELETON.get(name, "coco")
    assert callable(codec.encode) and len(codec.decode(outputs_of(name)).skeleton) == len(codec.skeleton)


@pytest.mark.parametrize("name", CODECS)
def test_outputs_are_not_apart_from_themselves_but_from_others(name: str) -> None:
    codec, ours, theirs = made(name), outputs_of(name), outputs_of(name, 1)
    distances, scores = codec.apart(ours, ours)
    assert len(distances) and len(scores) and not distances.any() and not scores.any()
    distances, scores = codec.apart(ours, theirs)
    assert distances.max() > 0 and scores.max() > 0
    theirs = [output * np.nan for output in ours]
    if name in ("boxes", "anchors", "associative"):  # what is no number is no agreement
        assert not codec.apart(ours, theirs)[1].mean() <= 1e9


def test_keypoints_moved_by_a_bin_are_half_a_pixel_apart() -> None:
    ours = outputs_of("simcc")
    distances, scores = made("simcc").apart(ours, [np.roll(ours[0], 1, axis=-1), ours[1]])
    at_the_rim = ours[0].argmax(-1) == 2 * SIZE[0] - 1
    np.testing.assert_allclose(distances[~at_the_rim.ravel()], 0.5, atol=1e-6)
    assert len(distances) == 17 and not scores.any()


def test_boxes_are_compared_cell_by_cell_where_the_first_are_surest() -> None:
    """1 is added to the left side of every box of the first level: that corner moves by a pixel, the other does not."""
    codec, ours = made("boxes"), outputs_of("boxes")
    ours[0] += 5  # the first level, 96 cells, is surest; all of the 126 cells are compared
    theirs = [output.copy() for output in ours]
    theirs[1][:, 0] += 1
    theirs[4] += 0.25
    distances, scores = codec.apart(ours, theirs)
    assert distances.shape == (252,) and scores.shape == (126,)
    np.testing.assert_allclose(distances[:192].reshape(-1, 2), np.tile([1, 0], (96, 1)), atol=1e-4)
    assert not distances[192:].any() and (scores > 0).sum() == 6
    everything = codec.everywhere(ours)
    chosen = made("boxes", score=1e-6, iou=1.0, limit=1000).decode(ours)
    order = np.argsort(-everything.person_scores, kind="stable")
    np.testing.assert_allclose(everything.boxes[order], chosen.boxes, atol=1e-4)


@pytest.mark.parametrize("form", FORMATS)
def test_everything_that_a_detector_says_comes_in_the_same_order(form: Format) -> None:
    rng = np.random.default_rng(0)
    cells = sum((SIZE[1] // s) * (SIZE[0] // s) for s in (8, 16, 32))
    outputs = {
        "rtmdet": outputs_of("boxes"),
        "rtmdet-nhwc": [rng.random((1, SIZE[1] // s, SIZE[0] // s, 5)).astype(np.float32) for s in (8, 16, 32)],
        "yolox": [rng.random((1, cells, 6)).astype(np.float32)],
        "detections": [rng.random((1, 7, 5)).astype(np.float32), np.arange(7)[None] % 2],
    }[form]
    codec = made("boxes", format=form, score=0.9)
    assert len(codec.everywhere(outputs)) == (7 if form == "detections" else cells)
    assert len(codec.output_names) == len(outputs)
    distances, scores = codec.apart(outputs, outputs)
    assert not distances.any() and not scores.any()


def test_peaks_found_in_the_graph_and_by_the_codec_are_the_same_peaks() -> None:
    codec = made("associative")
    raw = outputs_of("associative")
    heat, tags = codec.maps(raw)
    values, cells = codec._peaks(raw, heat)
    exported = [heat[None], tags.reshape(1, 17, *tags.shape[2:]), values[None], cells[None]]
    for ours, theirs in ((exported, raw), (raw, exported), (exported, exported)):
        distances, scores = codec.apart(ours, theirs)
        assert len(distances) == 300 and not distances.any() and not scores.any()
    warmer = [exported[0] + 0.25, *exported[1:]]
    distances, scores = codec.apart(exported, warmer)
    np.testing.assert_allclose(scores[:300], 0.25, atol=1e-6)


@pytest.mark.parametrize("name", ["anchors", "boxes"])
def test_a_threshold_is_only_ever_raised(name: str) -> None:
    codec = made(name, score=0.2)
    assert isinstance(codec, Thresholded)
    assert [codec.at_least(score).score for score in (0.0, 0.1, 0.3, 1.0, 7.0)] == [0.2, 0.2, 0.3, 0.99, 0.99]
    assert codec.score == 0.2


def test_a_codec_of_a_kind() -> None:
    spec = ModelSpec("mine", "simcc", (96, 64), per_person=True)
    assert codec_of(spec, SimCC) == codec_of(spec)
    for kind, name in ((Associative, "associative"), (Boxes, "boxes"), (Anchors, "anchors")):
        with pytest.raises(ValueError, match=f"^spec of mine: its codec is 'simcc', expected {name}$"):
            codec_of(spec, kind)
    assert set(get_args(Format)) == set(FORMATS)


def test_nobody_but_this_package_asks_for_a_codec_by_name_or_attribute() -> None:
    """No `spec.codec == ...`, no `hasattr(codec, ...)` and no `Any` for a codec outside codec/."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.parent.name == "codec":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = ast.unparse(node) if isinstance(node, (ast.Compare, ast.Call, ast.AnnAssign, ast.arg)) else ""
            compared = isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.Eq, ast.NotEq))
            named = compared and any(
                isinstance(s, ast.Attribute) and s.attr == "codec" for s in (node.left, *node.comparators)
            )
            asked = text.startswith(("hasattr(", "getattr(")) and "codec" in text
            untyped = isinstance(node, (ast.AnnAssign, ast.arg)) and "codec: Any" in text
            if named or asked or untyped:
                found.append(f"{path.relative_to(PACKAGE)}:{node.lineno}: {text}")
    assert not found
