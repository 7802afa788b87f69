"""Pictures that show the same are found, whatever was done to the file; others are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepose.data.alike import BITS, alike, groups, picture_hash
from edgepose.media.example import example_image


def changed(image: np.ndarray) -> list[np.ndarray]:
    height, width = image.shape[:2]
    coarse = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_COLOR)
    half = cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    bright = cv2.convertScaleAbs(image, alpha=0.9, beta=12)
    return [coarse, half, bright]


def test_copies_are_alike_and_parts_are_not() -> None:
    image = example_image()
    others = [image[:, ::-1], image[: image.shape[0] // 2], image[:, image.shape[1] // 3 :]]
    hashes = np.stack([picture_hash(one) for one in [image, *changed(image), *others]])
    assert alike(hashes) == [(i, j) for i in range(4) for j in range(i + 1, 4)]


@given(st.integers(0, 2**32), st.integers(0, 32))
def test_exactly_the_pairs_within_so_many_bits(seed: int, flips: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 2**16, (6, 16)).astype(np.uint16)
    bits = np.unpackbits(rows[:1].view(np.uint8))
    bits[rng.permutation(256)[:flips]] ^= 1
    rows[3] = np.packbits(bits).view(np.uint16)
    assert alike(rows) == ([(0, 3)] if flips <= BITS else [])


def test_no_distance_at_which_pairs_would_be_missed() -> None:
    with pytest.raises(ValueError, match="expected 0 to 15"):
        alike(np.zeros((2, 16), np.uint16), 16)


def test_groups_join_what_is_joined_by_others() -> None:
    assert groups(6, [(0, 3), (3, 5), (1, 2)]).tolist() == [0, 1, 1, 0, 2, 0]
    assert groups(2, []).tolist() == [0, 1]


def test_other_objects_on_a_plain_picture_are_other_pictures() -> None:
    """Cut-out objects on black, or a dark one on a white table, are the same only where they are the same."""
    pictures = []
    for place, size in ((60, 30), (300, 30), (60, 60), (60, 30)):
        picture = np.zeros((240, 480, 3), np.uint8)
        cv2.ellipse(picture, (place, 120), (size, 20), 0, 0, 360, (180, 160, 40), -1)
        pictures += [picture, 255 - picture]
    assert alike(np.stack([picture_hash(one) for one in pictures])) == [(0, 6), (1, 7)]
    assert alike(np.stack([picture_hash(np.zeros((240, 480, 3), np.uint8))] * 2)) == [(0, 1)]
