"""Labels of pictures of another size than the given ones are no measurement."""

from __future__ import annotations

from typing import Any

import pytest

from edgepose.evaluate.nothing import of_another_size, refuse_pictures_of_another_size


@pytest.mark.parametrize(
    ("stated", "point", "size", "other"),
    [
        ((384, 288), (300, 100), (288, 384), True),  # labelled as stored, and EXIF turns it
        ((384, 288), (200, 300), (288, 384), False),  # the stated size alone is that of the stored picture
        (None, (300, 100), (288, 384), True),
        ((144, 192), (100, 150), (288, 384), True),  # labelled on a smaller copy
        ((144, 192), (200, 300), (288, 384), False),  # the stated size alone is wrong
        ((576, 768), (200, 300), (288, 384), False),
        ((576, 768), (500, 300), (288, 384), True),  # labelled on a larger one
        ((288, 383), (200, 300), (288, 384), False),
        ((288, 384), (200, 300), (288, 384), False),
    ],
)
def test_labels_of_another_size_are_told(stated: Any, point: Any, size: tuple[int, int], other: bool) -> None:
    image = {"id": 1, "file_name": "a.jpg"} | ({"width": stated[0], "height": stated[1]} if stated else {})
    assert of_another_size(image, [{"keypoints": [10, 10, 2, *point, 1]}], *size) == other
    assert not of_another_size(image, [{"keypoints": [10, 10, 0, *point, 0]}], *size)


def test_most_of_the_pictures_make_an_error() -> None:
    refuse_pictures_of_another_size(["a.jpg (9x9)"], 2, {})
    with pytest.raises(ValueError, match=r"2 of 3 pictures .* such as a\.jpg \(9x9\)"):
        refuse_pictures_of_another_size(["a.jpg (9x9)", "b.jpg (9x9)"], 3, {"path": "x.json"})
