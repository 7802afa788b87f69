"""The INT8 files in the package belong to the float32 ones beside them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from edgepose.media.example import example_image
from edgepose.quantize.card import beside, card_in
from edgepose.runtime.load import embedded, load

pytest.importorskip("onnx")
SHIPPED = [path for name, path in embedded().items() if name.endswith("-int8")]


def test_there_is_one() -> None:
    assert "default-pose-int8" in embedded()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_it_was_made_from_the_float32_file_that_is_there(path: Path) -> None:
    card = card_in(path)
    assert card is not None and json.loads(beside(path).read_text(encoding="utf-8")) == card
    source = path.with_name(card["source"])
    assert hashlib.sha256(source.read_bytes()).hexdigest() == card["source_sha256"], "quantize the new weights again"
    assert card["ap_before"] - card["ap_after"] <= 0.01
    assert card["bits"] == 7  # for every processor
    assert path.stat().st_size < 3e6


def test_its_poses_are_near_the_float32_ones() -> None:
    image = example_image()
    before, after = load("default-pose"), load("default-pose-int8")
    boxes = before.detect(image).boxes
    assert len(boxes)
    apart = np.linalg.norm(after(image, boxes).keypoints - before(image, boxes).keypoints, axis=-1)
    assert np.median(apart) < 0.01 * np.sqrt(before(image, boxes).areas()).min()
