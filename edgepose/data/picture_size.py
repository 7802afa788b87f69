"""Labels of pictures of another size than those that are given: shrunk since, or labelled before EXIF turned them.

Training looks at some pictures' headers, `data check` and evaluation at every picture that they decode anyway; what
they say of it is said here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgepose.data.images import Pictures

OUTSIDE = 0.02  # of the picture's side, by which somebody may have guessed a keypoint outside
OTHER = 0.5  # share of the pictures with people, above which their labels are of others
ROUNDED = 0.02  # of a side, by which a stated size may differ
LOOKED_AT = 200  # pictures whose headers training reads
NAMED = 3  # pictures that a sentence lists

Size = tuple[int, int]  # w, h

# What is found, and what to do about it; the worst first.
KINDS = {
    "turned": (
        "pictures that EXIF turns, labelled as stored",
        "label them as viewers show them, or take the EXIF orientation out; a stated size alone is to be exchanged",
    ),
    "other_labels": (
        "pictures whose labels fit the stated size, not their own",
        "take the pictures that were labelled, or scale the labels",
    ),
    "other_size": ("pictures of another size than stated", "correct `width` and `height`, or take other pictures"),
}


def of_another_size(stated: Size | None, seen: Size, points: np.ndarray) -> bool:
    """Whether a picture is not the one that its people were labelled on.

    Their keypoints leave it by far; or it is not of the stated size, nor that turned, and their keypoints fit that.

    Args:
        stated: as the labels have it.
        seen: of the picture as viewers, and `read_image`, show it.
        points: (n, 2) labelled keypoints of everybody on it, or middles of boxes.
    """
    if not len(points):
        return False
    if (points > np.array(seen) * (1 + OUTSIDE)).any():
        return True
    if stated is None or _alike(stated, seen) or stated == seen[::-1]:
        return False
    return _fits(points, stated) and max(stated) < max(seen)


def size_doubt(stated: Size | None, seen: Size, orientation: int, points: np.ndarray) -> tuple[str, str] | None:
    """What is odd about the size of a picture: one of KINDS, and a sentence; None for nothing.

    Args: those of `of_another_size`.
        orientation: EXIF's, of which 5 and above exchange width and height.
    """
    width, height = seen
    if orientation >= 5 and len(points) and not _fits(points, seen) and _fits(points, seen[::-1]):
        return "turned", f"keypoints leave it as EXIF turns it, {width}x{height}, and fit it as stored"
    if stated is None or stated == seen:
        return None
    if orientation >= 5 and stated == seen[::-1]:
        return "turned", f"stated {stated[0]}x{stated[1]}, EXIF turns it to {width}x{height}"
    other = of_another_size(stated, seen, points) and _fits(points, stated)
    return "other_labels" if other else "other_size", f"{width}x{height}, stated {stated[0]}x{stated[1]}"


def refuse_pictures_of_another_size(names: Sequence[str], labelled: int, labels: str) -> None:
    """ValueError where most of the pictures with people are `of_another_size`; names: those. labels: their file."""
    if len(names) > OTHER * labelled:
        raise ValueError(
            f"{len(names)} of {labelled} pictures with labelled people are not of the size that {labels} was "
            f"made on, such as {names[0]}: give the pictures that were labelled, label them as viewers show them "
            "(EXIF may turn them), or scale the labels"
        )


def checked_sizes(
    names: Sequence[str], sizes: np.ndarray, points: Sequence[np.ndarray], source: Pictures, labels: str
) -> list[str]:
    """Sentences about pictures of another size than that of their labels; ValueError where most of them are.

    Only headers are read, of at most LOOKED_AT pictures; those that are missing or bad are told by who reads them.

    Args:
        names: of pictures with people, their stated sizes (N, 2), 0 where unknown, and labelled points (n, 2) each.
        labels: names their file.
    """
    others: list[str] = []
    found: dict[str, list[str]] = {}
    looked = 0
    for i in np.unique(np.linspace(0, len(names) - 1, min(len(names), LOOKED_AT)).round().astype(int)):
        try:
            width, height, orientation = source.size(names[i])
        except (OSError, ValueError):
            continue
        looked += 1
        seen = (height, width) if orientation >= 5 else (width, height)
        stated = (int(sizes[i][0]), int(sizes[i][1])) if sizes[i].min() > 0 else None
        if of_another_size(stated, seen, points[i]):
            others.append(f"{names[i]} ({seen[0]}x{seen[1]})")
        doubt = size_doubt(stated, seen, orientation, points[i])
        if doubt is not None:
            found.setdefault(doubt[0], []).append(f"{names[i]}: {doubt[1]}")
    refuse_pictures_of_another_size(others, looked, labels)
    return [
        f"{labels}: {what}: {len(found[kind])} of {looked} looked at ({'; '.join(found[kind][:NAMED])}): {advice}"
        for kind, (what, advice) in KINDS.items()
        if kind in found
    ]


def _alike(stated: Size, seen: Size) -> bool:
    return all(abs(own - other) <= ROUNDED * own for own, other in zip(seen, stated, strict=True))


def _fits(points: np.ndarray, size: Size) -> bool:
    return bool((points <= np.array(size) + 0.5).all())
