"""Which frames to label next: those on which a model does not agree with itself.

A model that is sure finds the same in the mirror image and in the frames before and after; where it does not, a label
teaches it most (the idea of active learning from disagreement: Liu & Ferrari, Active Learning for Human Pose
Estimation, 2017, with the views in place of the network's peaks).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from edgepose.data.alike import picture_hash, similar
from edgepose.data.consensus import mirrored_back, mirrored_boxes, seen_in_boxes
from edgepose.hungarian import assignment
from edgepose.media.sources import Source, frames
from edgepose.media.video import Frame
from edgepose.oks import oks
from edgepose.poses import Poses
from edgepose.runtime.estimator import Estimator

SEEN = 0.2  # score from which a keypoint counts
SAME = 0.3  # OKS from which people of two frames are one


@dataclass(frozen=True)
class Suggestion:
    """A frame and how little the model agrees with itself there, 0 (fully) to 1."""

    source: Source
    frame: int
    time: float | None
    disagreement: float


def suggest(
    sources: Iterable[Source],
    estimator: Estimator,
    count: int,
    *,
    every: int = 1,
    apart: int = 10,
    told: Callable[[Source, int], None] | None = None,
) -> list[Suggestion]:
    """The `count` frames of pictures and videos with the largest disagreement, largest first.

    Args:
        every: looks at each `every`-th frame of a video.
        apart: frames of one video that are nearer than this many looked-at frames to a chosen one are left out, and so
            is what looks the same as a chosen one (`data.alike`).
        told: called with each frame that was looked at.

    A frame without people has nothing to disagree about, and is not suggested.
    """
    if count < 1 or every < 1 or apart < 0:
        raise ValueError(f"count {count}, every {every}, apart {apart}: expected 1, 1 and 0 or more")
    found: list[tuple[Suggestion, np.ndarray]] = []
    for source in sources:
        for frame, disagreement in disagreements(_thinned(frames(source), every), estimator):
            if told is not None:
                told(source, frame.index)
            if disagreement is not None:
                one = Suggestion(source, frame.index, frame.time, disagreement)
                found.append((one, picture_hash(frame.image)))
    found.sort(key=lambda pair: -pair[0].disagreement)
    chosen: list[tuple[Suggestion, np.ndarray]] = []
    for one, look in found:
        if len(chosen) == count:
            break
        near = any(o.source == one.source and abs(o.frame - one.frame) < apart * every for o, _ in chosen)
        if not near and not any(similar(look[None], other).any() for _, other in chosen):
            chosen.append((one, look))
    return [one for one, _ in chosen]


def disagreements(video: Iterable[Frame], estimator: Estimator) -> Iterator[tuple[Frame, float | None]]:
    """Each frame with its disagreement, None where nobody is; one frame behind, as it looks ahead by one."""
    before: Poses | None = None
    held: tuple[Frame, Poses, np.ndarray] | None = None
    for frame in video:
        poses = estimator(frame.image)
        between = between_views(estimator, frame.image, poses)
        if held is not None:
            yield held[0], _largest(held[1], held[2], before, poses)
            before = held[1]
        held = frame, poses, between
    if held is not None:
        yield held[0], _largest(held[1], held[2], before, None)


def between_views(estimator: Estimator, image: np.ndarray, poses: Poses) -> np.ndarray:
    """(N,) 1 - OKS of each person and the same person in the mirror image; 1 for whom it does not show."""
    if not len(poses):
        return np.zeros(0)
    width = image.shape[1]
    mirrored = np.ascontiguousarray(image[:, ::-1])
    (other,) = seen_in_boxes(estimator, mirrored, mirrored_boxes(poses.boxes, width))
    keypoints, scores = mirrored_back(other, width)
    seen = (poses.scores >= SEEN) | (scores >= SEEN)
    similar = oks(poses.keypoints, keypoints, poses.areas(), poses.skeleton.sigmas, seen)
    return np.where(scores.any(axis=1), 1 - np.diagonal(similar), 1)


def between_frames(poses: Poses, before: Poses, after: Poses) -> np.ndarray:
    """(N,) 1 - OKS of each person and the same person midway between the frames around; 0 for whom it misses."""
    found = np.zeros(len(poses))
    earlier, later = _same(poses, before), _same(poses, after)
    for i in range(len(poses)):
        if i not in earlier or i not in later:
            continue
        middle = (before.keypoints[earlier[i]] + after.keypoints[later[i]]) / 2
        seen = poses.scores[i : i + 1] >= SEEN
        if seen.any():
            areas = poses.areas()[i : i + 1]
            similar = oks(poses.keypoints[i : i + 1], middle[None], areas, poses.skeleton.sigmas, seen)
            found[i] = 1 - similar[0, 0]
    return found


def _same(poses: Poses, others: Poses) -> dict[int, int]:
    """Rows of `others` that are the people of `poses`, by row."""
    if not len(poses) or not len(others):
        return {}
    similar = oks(poses.keypoints, others.keypoints, poses.areas(), poses.skeleton.sigmas)
    rows, columns = assignment(1 - similar)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return {i: j for i, j in pairs if similar[i, j] >= SAME}


def _largest(poses: Poses, between: np.ndarray, before: Poses | None, after: Poses | None) -> float | None:
    """Of both kinds of disagreement the larger of each person, averaged over people as sure as they are."""
    if not len(poses):
        return None
    if before is not None and after is not None:
        between = np.maximum(between, between_frames(poses, before, after))
    weights = np.maximum(poses.person_scores, 1e-6)
    return float((between * weights).sum() / weights.sum())


def _thinned(video: Iterable[Frame], every: int) -> Iterator[Frame]:
    return (frame for number, frame in enumerate(video) if number % every == 0)
