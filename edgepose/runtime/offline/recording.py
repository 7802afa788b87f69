"""What a pass over a file found, frame by frame and person by person, in a temporary file instead of memory."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Any

import cv2
import numpy as np

from edgepose.poses import Poses
from edgepose.skeleton import Skeleton
from edgepose.spelling import folded

RATE = 30.0  # frames per second where times stand still or step back
_PATCH = 5  # color is taken at so many by so many points of the trunk
_TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")


def row_type(keypoints: int) -> np.dtype[Any]:
    """A person in a frame: `frame` is its place in the recording, `color` the trunk's in CIELAB, NaN if not known.

    filled: the person was not seen in this frame; filled_keypoints: these points were not
    """
    return np.dtype(
        [
            ("frame", np.int64), ("id", np.int64), ("keypoints", np.float32, (keypoints, 2)),
            ("scores", np.float32, (keypoints,)), ("box", np.float32, (4,)), ("score", np.float32),
            ("color", np.float32, (3,)), ("filled", np.bool_), ("filled_keypoints", np.bool_, (keypoints,)),
        ]
    )  # fmt: skip


def known_points(track: np.ndarray, score: float) -> np.ndarray:
    """(T, K) which points of a track were seen, or filled from such."""
    return np.asarray((track["scores"] >= score) & np.isfinite(track["keypoints"]).all(-1))


class Rows:
    """Rows of one type in a temporary file, which goes with the object. First all are added, then they are read."""

    def __init__(self, kind: np.dtype[Any]) -> None:
        self.kind, self.count = kind, 0
        self._file: IO[bytes] = TemporaryFile(prefix="edgepose-")  # noqa: SIM115

    def add(self, rows: np.ndarray) -> None:
        """Behind those that are there."""
        self._file.write(rows.tobytes())
        self.count += len(rows)

    def read(self) -> np.ndarray:
        """(count,) of the file, which the system loads where they are looked at."""
        if not self.count:
            return np.zeros(0, self.kind)
        self._file.flush()
        return np.memmap(self._file, self.kind, mode="r", shape=(self.count,))

    def close(self) -> None:
        """Free the disk, but for what is still being read."""
        self._file.close()

    def __del__(self) -> None:
        self.close()


@dataclass(frozen=True, eq=False)
class Moment:
    """A frame of a recording without its picture.

    index, time: as the source counts them, seconds
    size:        (w, h)
    filled:      (N,) bool, people who were not seen in this frame: all of them lies between the frames around
    filled_keypoints: (N, K) bool, points that were not
    """

    index: int
    time: float
    size: tuple[int, int]
    poses: Poses
    filled: np.ndarray
    filled_keypoints: np.ndarray


class Recording:
    """The frames of one source and the tracked people in them.

    A person in a frame of COCO's keypoints takes 310 bytes on the disk, a frame 40 bytes of memory.
    """

    def __init__(self, skeleton: Skeleton) -> None:
        self.skeleton = skeleton
        self._calibrated = False  # scores of the people
        self.rows = Rows(row_type(len(skeleton)))
        self._indices, self._widths, self._heights = array("q"), array("q"), array("q")
        self._times, self._clock = array("d"), array("d")
        self._shift = 0.0

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def clock(self) -> np.ndarray:
        """(frames,) seconds that always rise, also where the file's times do not."""
        return np.array(self._clock)

    def add(
        self, index: int, time: float, poses: Poses, image: np.ndarray | None = None, size: tuple[int, int] = (0, 0)
    ) -> None:
        """Add a frame with people who have identities; of its picture, where it is given, the colors of their trunks.

        ValueError for people without identities or of another skeleton.
        """
        if len(poses) and (poses.ids is None or poses.skeleton != self.skeleton):
            raise ValueError(
                f"expected tracked people of {self.skeleton.name!r}, got {poses!r}: give them to a Tracker"
            )
        if self._clock and time + self._shift <= self._clock[-1]:
            self._shift = self._clock[-1] + 1 / RATE - time
        frame = len(self._indices)
        width, height = size if image is None else (image.shape[1], image.shape[0])
        self._indices.append(index)
        self._times.append(time)
        self._clock.append(time + self._shift)
        self._widths.append(width)
        self._heights.append(height)
        rows = np.zeros(len(poses), self.rows.kind)
        rows["frame"] = frame
        if len(poses):
            self._calibrated = poses.calibrated
            rows["id"], rows["keypoints"], rows["scores"] = poses.ids, poses.keypoints, poses.scores
            rows["box"], rows["score"] = poses.boxes, poses.person_scores
            rows["color"] = np.nan if image is None else trunk_colors(image, poses)
            self.rows.add(rows)

    def moment(self, frame: int, rows: np.ndarray) -> Moment:
        """A frame with these people."""
        poses = Poses(
            rows["keypoints"], rows["scores"], rows["box"], rows["score"], self.skeleton, rows["id"], self._calibrated
        )
        size = (self._widths[frame], self._heights[frame])
        filled, points = np.array(rows["filled"]), np.array(rows["filled_keypoints"])
        return Moment(self._indices[frame], self._times[frame], size, poses, filled, points)

    def moments(self, rows: np.ndarray) -> Iterator[Moment]:
        """All frames with the people of these rows, in the order of their identities."""
        order = np.lexsort((rows["id"], rows["frame"]))
        ends = np.searchsorted(rows["frame"][order], np.arange(len(self) + 1))
        for frame in range(len(self)):
            yield self.moment(frame, rows[order[ends[frame] : ends[frame + 1]]])


def trunk_colors(image: np.ndarray, poses: Poses) -> np.ndarray:
    """(N, 3) mean CIELAB of people between their shoulders and hips, or in the middle of their boxes."""
    colors = np.full((len(poses), 3), np.nan, np.float32)
    height, width = image.shape[:2]
    u, v = (grid.ravel()[:, None] for grid in np.meshgrid(*[np.linspace(0.2, 0.8, _PATCH)] * 2))
    own = {folded(name): k for k, name in enumerate(poses.skeleton.names)}
    trunk = [own[name] for name in _TRUNK if name in own]
    for i in range(len(poses)):
        if len(trunk) == len(_TRUNK):
            corners = poses.keypoints[i, trunk].astype(np.float64)
        else:
            x1, y1, x2, y2 = poses.boxes[i].astype(np.float64)
            a, b, c, d = x1 + (x2 - x1) / 3, y1 + (y2 - y1) / 4, x1 + (x2 - x1) * 2 / 3, y1 + (y2 - y1) / 2
            corners = np.array([(a, b), (c, b), (a, d), (c, d)])
        if not np.isfinite(corners).all() or math.isinf(np.abs(corners).max()):
            continue
        points = (1 - v) * ((1 - u) * corners[0] + u * corners[1]) + v * ((1 - u) * corners[2] + u * corners[3])
        inside = ((points >= 0) & (points <= (width - 1, height - 1))).all(1)
        if inside.sum() < _PATCH:
            continue
        x, y = points[inside].round().astype(int).T
        patch = np.ascontiguousarray(image[y, x][None], np.float32) / 255
        colors[i] = cv2.cvtColor(patch, cv2.COLOR_BGR2LAB)[0].mean(0)
    return colors
