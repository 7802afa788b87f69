"""People followed from frame to frame: the detector runs now and then, boxes come from the last poses in between.

As RTMPose's pipeline does it (Jiang et al., 2023; mmdeploy's pose tracker): detections and the boxes of known people
are merged, each is looked at once, poses of one person twice are suppressed by OKS, and the tracker gives identities.
"""

from __future__ import annotations

import time as clocks
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgepose.geometry import area, clip_boxes, iou
from edgepose.poses import Poses
from edgepose.runtime.budget import Budget
from edgepose.runtime.cuts import Cuts
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.load import DUPLICATE_OKS
from edgepose.runtime.schedule import Schedule
from edgepose.runtime.smoothing import Smoother
from edgepose.runtime.tracker import Tracker

# The extent of a person's keypoints times this is the person's box: mean IoU with the labelled boxes of coco_mini train
# .59 at 1, .76 at 1.2, .77 at 1.25, .73 at 1.4, .64 at 1.56. The network then pads it as it pads a detector's box, so
# the crop is what it would be with a detection; mmdeploy and rtmlib do the same two steps.
GROWTH = 1.25
CONFIDENT = 0.3  # score of a keypoint that counts for the box; with fewer than half of them the tracker's box is taken
SAME_BOX = 0.3  # IoU from which a detection is a known person's
COVERED = 0.7  # IoU with a detection from which an unconfirmed known person is left out (mmdeploy's box suppression)
COLLAPSED = 0.5  # part of a person's usual mean keypoint score below which nobody is there any more
UNCONFIRMED = 1.0  # seconds that a person is followed although the detector looked and did not find them


@dataclass(frozen=True)
class Standing:
    """What is remembered of a person besides the track."""

    box_score: float  # of the detector, when it last found them
    confirmed: float  # time of that
    missed: int  # times that it did not find them since
    looked: float  # time when the network last looked at them
    sure: float  # running mean of their mean keypoint score
    margins: np.ndarray | None  # (4,) from their keypoints to the detector's boxes, in sizes of the person
    shown: bool  # whether they are somebody, as far as one can tell


@dataclass(frozen=True, eq=False)
class Candidates:
    """Boxes to look at in a frame: (N, 4), the detector's score, identity (0: new), and whether it found them now."""

    boxes: np.ndarray
    scores: np.ndarray
    owners: np.ndarray
    confirmed: np.ndarray

    def __getitem__(self, rows: Any) -> Candidates:
        return Candidates(self.boxes[rows], self.scores[rows], self.owners[rows], self.confirmed[rows])


class Follower:
    """follower(image, time) -> Poses with ids, in their order; one call per frame of one source.

    Networks that find people by themselves look at every whole frame. Not for several threads at once; the estimator
    may be shared.

    Args:
        detect_every: frames from one run of the detector to the next, or "adaptive" (`Schedule`).
        tracker, smoother: by default `Tracker()` and `Smoother()`; `Smoother(None)` changes nothing.
        max_latency, fps: limits of time (`Budget`), off by default. People who are not looked at in a frame move on as
            the tracker expects; `guessed` says who.
        report: called with a kind ("behind", "caught up"), a sentence and facts when the budget begins or ceases to
            cost something.
        clock: measures what things cost, in seconds.
    """

    def __init__(
        self,
        estimator: Estimator,
        *,
        detect_every: int | str = 5,
        tracker: Tracker | None = None,
        smoother: Smoother | None = None,
        max_latency: float | None = None,
        fps: float | None = None,
        report: Callable[[str, str, dict[str, Any]], None] | None = None,
        clock: Callable[[], float] = clocks.perf_counter,
    ) -> None:
        self.estimator = estimator
        self.tracker = Tracker() if tracker is None else tracker
        self.smoother = Smoother() if smoother is None else smoother
        self.schedule = Schedule(detect_every)
        self.budget = Budget(max_latency=max_latency, fps=fps)
        self.guessed = np.zeros(0, bool)  # (N,) of the last result: not looked at in that frame
        self.detected = False  # whether the last frame was searched for people
        self._cuts = Cuts()
        self._report, self._clock = report, clock
        self._state, self._told = "", -np.inf
        self._forget()

    def _forget(self) -> None:
        self._standing: dict[int, Standing] = {}
        self._waiting = _no_candidates()
        self._lost = False

    def __call__(self, image: np.ndarray, time: float) -> Poses:
        """The people of the next frame; `time` in seconds must rise."""
        start = self._clock()
        if self._cuts(image):
            self.tracker.cut()
            self.smoother.reset()
            self.schedule.restart()
            self._forget()
        if self.estimator.spec.per_person and self.estimator.detector is not None:
            tracked = self._followed(image, time, start)
        else:
            people = self.estimator(image)
            self.detected = True
            self.budget.spent(None, 1, self._clock() - start, 0.0)
            tracked = self.tracker.update(people, time)
            tracked = tracked[np.argsort(_ids(tracked))]
            self.guessed = np.zeros(len(tracked), bool)
            if self.budget.limited:
                self._tell(time, "too slow" if self.budget.short() else "", 1, 1)
        return self.smoother(tracked, time)

    def _followed(self, image: np.ndarray, time: float, start: float) -> Poses:
        """One frame of a network that looks at one person at a time."""
        size = (image.shape[1], image.shape[0])
        expected = self.tracker.predicted(time)
        known = self._known(expected, time, size)
        self.budget.every = self.schedule.every
        stretched = self.budget.interval(len(known.boxes)) if self.budget.limited else 1
        stretched = 1 if stretched <= self.schedule.every else stretched
        self.detected = self.schedule.due(image, time, known.boxes, self._lost, stretched)
        found, detecting = _no_candidates(), None
        if self.detected:
            before = self._clock()
            people = self.estimator.detect(image)
            detecting = self._clock() - before
            n = len(people)
            found = Candidates(people.boxes, people.person_scores, np.zeros(n, np.int64), np.ones(n, bool))
        elif len(self._waiting.boxes):
            found = self._waiting
        candidates = merged(found, known)
        if self.detected:
            self.schedule.detected(image, time, bool((candidates.owners == 0).any()))
        order = self._oldest_first(candidates)
        most = self.estimator.max_people
        order = order if most is None else order[:most]
        crops = self.budget.crops(len(order), self.detected) if self.budget.limited else len(order)
        now, later = candidates[order[:crops]], candidates[order[crops:]]
        self._waiting = later[later.owners == 0]
        before = self._clock()
        poses = self.estimator(image, now.boxes, now.scores)
        looking = self._clock() - before
        poses, now = self._kept(poses, now)
        held = expected[np.isin(_ids(expected), later.owners[later.owners > 0])]
        tracked = self._tracked(poses, now, held, later[later.confirmed], time)
        self.budget.spent(detecting, crops, looking, self._clock() - start - looking - (detecting or 0.0))
        if self.budget.limited:
            state = "too slow" if self.budget.short() else "rotating" if crops < len(order) else ""
            self._tell(time, state or ("stretched" if stretched > 1 else ""), crops, len(order))
        return tracked

    def _known(self, expected: Poses, time: float, size: tuple[int, int]) -> Candidates:
        """Boxes of the people seen in the last frame, where they are expected now."""
        ids = _ids(expected)
        standing = [self._standing.get(int(i)) for i in ids]
        boxes = clip_boxes(pose_boxes(expected, [None if s is None else s.margins for s in standing]), size)
        scores = np.array([1.0 if s is None else s.box_score for s in standing], np.float32)
        stay = np.array([s is None or not s.missed or time - s.confirmed <= UNCONFIRMED for s in standing], bool)
        return Candidates(boxes, scores, ids, np.zeros(len(ids), bool))[stay & (area(boxes) >= 16)]

    def _oldest_first(self, candidates: Candidates) -> np.ndarray:
        """Candidates in the order in which they need a look: new people, then who was not looked at for longest."""
        looked = [self._standing[i].looked if i in self._standing else -np.inf for i in candidates.owners.tolist()]
        return np.lexsort((-candidates.scores, np.array(looked)))

    def _kept(self, poses: Poses, candidates: Candidates) -> tuple[Poses, Candidates]:
        """Without poses in which nobody is left, and without the second of two poses of one person."""
        usual = np.array([self._standing[i].sure if i in self._standing else 0.0 for i in candidates.owners.tolist()])
        gone = ~candidates.confirmed & (_sure(poses) < COLLAPSED * usual)
        rows = np.flatnonzero(~gone)
        alone = self.estimator.distinct(replace(poses[rows], ids=rows), self.estimator.duplicate_oks or DUPLICATE_OKS)
        rows = _ids(alone)
        return poses[rows], candidates[rows]

    def _tracked(self, poses: Poses, candidates: Candidates, held: Poses, found: Candidates, time: float) -> Poses:
        """Identities of people looked at and of those `held` (some `found` by the detector), and what to remember."""
        n = len(poses)
        everyone = poses if not len(held) else _joined(poses, held)
        before = set(self._standing)
        owners = np.append(candidates.owners, _ids(held))
        tracked = self.tracker.update(everyone, time, owners)
        rows = np.arange(len(tracked))
        if len(tracked) != len(everyone):  # it follows one person only
            rows = (tracked.keypoints[:, None] == everyone.keypoints[None]).all((-1, -2)).argmax(1)
        sure = _sure(poses)
        margins = margins_of(poses, candidates.boxes)
        standing = {}
        for row, identity in zip(rows.tolist(), _ids(tracked).tolist(), strict=True):
            old = self._standing.get(identity) or Standing(1.0, time, 0, -np.inf, 0.0, None, False)
            seen = bool(candidates.confirmed[row]) if row < n else identity in found.owners
            new = replace(old, confirmed=time, missed=0) if seen else replace(old, missed=old.missed + self.detected)
            if row < n:
                usual = old.sure + 0.2 * (sure[row] - old.sure) if old.sure else sure[row]
                new = replace(new, box_score=float(candidates.scores[row]), looked=time, sure=float(usual))
                if seen:
                    new = replace(new, margins=_blended(old.margins, margins[row]))
                    sure_of = candidates.scores[row] >= NEW_SCORE or sure[row] >= NEW_SURE
                    new = replace(new, shown=bool(new.shown or identity in before or sure_of))
            standing[identity] = new
        self._standing = standing
        self._lost = bool(before - set(standing))
        order = np.argsort(_ids(tracked))
        order = order[[standing[i].shown for i in _ids(tracked)[order].tolist()]]
        self.guessed = (rows >= n)[order]
        return tracked[order]

    def _tell(self, time: float, state: str, crops: int, people: int) -> None:
        """Report a change of what the budget costs, at most once a second."""
        if state == self._state or time - self._told < 1.0 or self._report is None:
            return
        every = self.budget.interval(people)
        facts = {"detect_every": every, "looked_at": crops, "people": people}
        sentences = {
            "": "there is time for everybody again",
            "stretched": f"too little time: people are searched for in every {every}th frame",
            "rotating": f"too little time: {crops} of {people} people are looked at per frame, the others guessed",
            "too slow": "too little time even for one person in a frame: the limit cannot be kept",
        }
        self._report("behind" if state else "caught up", sentences[state], facts)
        self._state, self._told = state, time


def pose_boxes(poses: Poses, margins: list[np.ndarray | None] | None = None) -> np.ndarray:
    """(N, 4) boxes of people by their confident keypoints; the poses' own boxes where these are too few."""
    extent = poses.keypoint_boxes(CONFIDENT)
    middle, half = (extent[:, :2] + extent[:, 2:]) / 2, (extent[:, 2:] - extent[:, :2]) / 2 * GROWTH
    grown = np.concatenate([middle - half, middle + half], axis=1)
    if margins is not None:
        sizes = (extent[:, 2:] - extent[:, :2]).max(1)
        for i, m in enumerate(margins):
            if m is not None:
                grown[i] = extent[i] + m * sizes[i] * SIDES
    return np.where(_enough(poses)[:, None], grown, poses.boxes)


SIDES = np.array([-1, -1, 1, 1])
RATE = 0.3
NEW_SCORE, NEW_SURE = 0.5, 0.7


def _enough(poses):
    seen = poses.scores >= CONFIDENT
    return seen.sum(1) >= (seen.shape[1] + 1) // 2


def margins_of(poses, boxes):
    extent = poses.keypoint_boxes(CONFIDENT)
    sizes = (extent[:, 2:] - extent[:, :2]).max(1, keepdims=True)
    m = (boxes - extent) * SIDES / np.maximum(sizes, 1)
    m = np.where(_enough(poses)[:, None], np.clip(m, 0, 0.3), np.nan)
    return m


def _blended(old, new):
    if np.isnan(new).any(): return old
    return new if old is None else old + RATE * (new - old)


def merged(found: Candidates, known: Candidates) -> Candidates:
    """Detections and known people as one list in which nobody stands twice.

    A detection of a known person takes over the identity and brings the better box; a known person without one stays,
    unless a detection covers them.
    """
    overlaps = iou(found.boxes, known.boxes)  # (F, N)
    owners, confirmed = found.owners.copy(), known.confirmed.copy()
    left = overlaps.copy()
    while left.size and left.max() >= SAME_BOX:
        i, j = np.unravel_index(left.argmax(), left.shape)
        owners[i], confirmed[j] = known.owners[j], True
        left[i], left[:, j] = -1, -1
    stay = ~confirmed & (overlaps.max(0, initial=0) < COVERED)
    rest = known[stay]
    return Candidates(
        np.concatenate([found.boxes, rest.boxes]),
        np.concatenate([found.scores, rest.scores]),
        np.concatenate([owners, rest.owners]),
        np.concatenate([found.confirmed, rest.confirmed]),
    )


def _no_candidates() -> Candidates:
    return Candidates(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros(0, bool))


def _joined(poses: Poses, held: Poses) -> Poses:
    return Poses(
        np.concatenate([poses.keypoints, held.keypoints]),
        np.concatenate([poses.scores, held.scores]),
        np.concatenate([poses.boxes, held.boxes]),
        np.concatenate([poses.person_scores, held.person_scores]),
        poses.skeleton,
    )


def _sure(poses: Poses) -> np.ndarray:
    """(N,) mean keypoint scores."""
    return poses.scores.mean(1) if len(poses.skeleton) else np.ones(len(poses))


def _ids(poses: Poses) -> np.ndarray:
    return np.zeros(len(poses), np.int64) if poses.ids is None else poses.ids
