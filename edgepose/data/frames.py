"""Frames of a video to label: those that differ most in appearance.

The frames are looked at as thumbnails and put into as many clusters as frames are wanted (k-means, as DeepLabCut's
users choose theirs: Nath et al., Nature Protocols 2019); of each cluster comes the frame nearest to its middle.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgepose.media.files import frame_name, make_folder
from edgepose.media.images import MAX_PIXELS, write_image
from edgepose.media.sources import Source, frames
from edgepose.media.video import Frame

SIDE = 16  # of a thumbnail
MOST = 4000  # frames that are compared; of longer videos every 2nd, 4th, 8th ...


@dataclass(frozen=True)
class Chosen:
    """The numbers of some frames of a video, how many frames it has, and what is wrong with it ("" for nothing)."""

    indices: tuple[int, ...]
    of: int
    problem: str = ""


def distinct_frames(source: Source, count: int, *, seed: int = 0, max_pixels: int = MAX_PIXELS) -> Chosen:
    """At most `count` frames of a video that differ in appearance, in order; fewer where fewer differ at all.

    A damaged video gives of its good frames, and says in `problem` what is wrong; ValueError where no frame is good.
    """
    if count < 1:
        raise ValueError(f"count is {count}, expected the number of frames to choose, 1 or more")
    thumbnails: list[np.ndarray] = []
    places: list[int] = []
    step, last, problem = 1, -1, ""
    try:
        for frame in frames(source, max_pixels):
            last += 1
            if last % step:
                continue
            thumbnails.append(_thumbnail(frame))
            places.append(frame.index)
            if len(places) >= 2 * MOST:
                thumbnails, places, step = thumbnails[::2], places[::2], 2 * step
    except ValueError as error:
        if not places:
            raise
        problem = str(error)
    rows = _apart(np.stack(thumbnails), min(count, len(places)), seed)
    return Chosen(tuple(places[row] for row in sorted(rows)), last + 1, problem)


def write_frames(
    source: Source, indices: Collection[int], folder: str | Path, name: str | None = None, max_pixels: int = MAX_PIXELS
) -> list[Path]:
    """Write frames of a video as pictures, whose names hold the frame's number and its time.

    The names are NAME_f000123_t004100ms.jpg, NAME being the video's unless it is given.
    """
    make_folder(folder)
    written = []
    for frame in _until(source, set(indices), max_pixels):
        path = Path(folder) / frame_name(name or Path(source.location).stem, frame.index, frame.time)
        write_image(path, frame.image)
        written.append(path)
    return written


def _until(source: Source, wanted: set[int], max_pixels: int) -> Iterator[Frame]:
    """The wanted frames; what comes after the last of them is not read."""
    left = len(wanted)
    reader = frames(source, max_pixels)
    with suppress(ValueError):  # damage, which was told when the frames were chosen
        while left:
            frame = next(reader, None)
            if frame is None:
                return
            if frame.index in wanted:
                left -= 1
                yield frame


def _thumbnail(frame: Frame) -> np.ndarray:
    return cv2.resize(frame.image, (SIDE, SIDE), interpolation=cv2.INTER_AREA).reshape(-1)


def _apart(thumbnails: np.ndarray, count: int, seed: int) -> list[int]:
    """Rows of (N, D) uint8 that stand for `count` clusters; one of each kind where there are no more."""
    kinds, first = np.unique(thumbnails, axis=0, return_index=True)
    if len(kinds) <= count:
        return [int(row) for row in first]
    points = thumbnails.astype(np.float32)
    cv2.setRNGSeed(seed)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.1)
    _, labels, centers = cv2.kmeans(points, count, None, stop, 1, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    far = np.square(points - centers[labels[:, 0]]).sum(axis=1)
    return [int(min(np.flatnonzero(labels[:, 0] == k), key=far.__getitem__)) for k in np.unique(labels)]
