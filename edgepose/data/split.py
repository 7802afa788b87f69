"""A label file in COCO's form -> one to train on and one to validate on, with nothing in both that is the same.

Pictures of one video stay together, and so do pictures that look the same: otherwise a network is measured on what it
has learnt by heart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from edgepose.data.alike import alike, groups, picture_hash
from edgepose.data.columns import rows_of
from edgepose.data.images import Pictures

By = Literal["video", "picture"]
VIDEO_FIELDS = ("video_id", "vid_id", "video", "video_name")  # as PoseTrack, YouTube-VIS and others name it
_NUMBER = re.compile(r"[-_. ]*(?:f\d+(?:_t\d+ms)?|frame[-_ ]?\d+|img[-_ ]?\d+|\d+)$", re.IGNORECASE)


def split(
    content: dict[str, Any],
    share: float,
    *,
    by: By = "video",
    seed: int = 0,
    same: Sequence[tuple[int, int]] = (),
    name: str = "the label file",
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(training, validation) part of a file's content; what is neither picture nor annotation is in both.

    Args:
        share: of the pictures that validate, as near as whole groups allow.
        by: "video" keeps the pictures of one video together, by a field of the pictures (`VIDEO_FIELDS`) or by what
            their names have in common before a number; "picture" takes each alone.
        seed: another one chooses other groups.
        same: pairs of rows of `images` that show the same (`same_pictures`) and stay together too.
    """
    if not 0 < share < 1:
        raise ValueError(f"the share to validate on is {share}, expected one between 0 and 1, such as 0.1")
    images, annotations = rows_of(content, "images", name), rows_of(content, "annotations", name)
    keys = [video_of(image, name) if by == "video" else row for row, image in enumerate(images)]
    number: dict[Any, int] = {}
    together = [(number.setdefault(key, row), row) for row, key in enumerate(keys)]
    member = groups(len(images), [*together, *same])
    sizes = np.bincount(member)
    if len(sizes) < 2:
        hint = "; with --by picture each picture is taken alone" if by == "video" else ""
        raise ValueError(f"{name}: all {len(images)} pictures belong together, expected two groups or more{hint}")
    chosen = np.isin(member, _near(sizes, share * len(images), seed))
    validates = {image["id"] for image, is_chosen in zip(images, chosen.tolist(), strict=True) if is_chosen}

    def part(wanted: Callable[[Any], bool]) -> dict[str, Any]:
        return content | {
            "images": [image for image in images if wanted(image["id"])],
            "annotations": [row for row in annotations if wanted(row["image_id"])],
        }

    return part(lambda i: i not in validates), part(lambda i: i in validates)


def video_of(image: dict[str, Any], name: str = "the label file") -> str:
    """What tells the videos of pictures apart: a field, or folder and name without the number at their end."""
    for field in VIDEO_FIELDS:
        if image.get(field) is not None:
            return f"{field} {image[field]}"
    if not isinstance(image.get("file_name"), str):
        raise ValueError(f"{name}: picture {image.get('id')} has no file_name, expected the name of its file")
    path = PurePosixPath(image["file_name"].replace("\\", "/"))
    return str(path.parent / _NUMBER.sub("", path.stem))


def same_pictures(
    images: Sequence[dict[str, Any]], pictures: str | Path, told: Callable[[int, int], None] | None = None
) -> list[tuple[int, int]]:
    """Pairs of rows of `images` that look the same; every picture is read, and one that cannot be is an error."""
    source = Pictures(pictures)
    hashes = np.zeros((len(images), 16), np.uint16)
    for row, image in enumerate(images):
        hashes[row] = picture_hash(source.read(image["file_name"]))
        if told is not None:
            told(row + 1, len(images))
    return alike(hashes)


def _near(sizes: np.ndarray, target: float, seed: int) -> np.ndarray:
    """Groups whose sizes sum to about `target`, not all and not none of them."""
    order = np.random.default_rng(seed).permutation(len(sizes))
    chosen: list[int] = []
    total = 0
    for group in order.tolist():
        if abs(total + sizes[group] - target) < abs(total - target) and len(chosen) < len(sizes) - 1:
            chosen.append(group)
            total += sizes[group]
    return np.array(chosen or [int(sizes.argmin())])
