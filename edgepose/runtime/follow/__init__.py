"""People followed from frame to frame: the detector runs now and then, boxes come from the last poses in between.

As RTMPose's pipeline does it (Jiang et al., 2023; mmdeploy's pose tracker): detections and the boxes of known people
are merged, each is looked at once, poses of one person twice are suppressed by OKS, and the tracker gives identities.
"""

from __future__ import annotations

import time as clocks
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from edgepose.geometry import area, clip_boxes
from edgepose.poses import Poses
from edgepose.runtime.estimator import Estimator, distinct
from edgepose.runtime.follow.candidates import (
    BOX_TIME,
    MARGIN_TIME,
    Candidates,
    blended,
    margins_of,
    merged,
    pose_boxes,
)
from edgepose.runtime.follow.timing import Budget, Cuts, Every, Schedule
from edgepose.runtime.load import DUPLICATE_OKS
from edgepose.runtime.tracker import Tracker
from edgepose.runtime.tracker.smoothing import Smoother

# Parts of a person's usual mean keypoint score, which is that in the detector's boxes: below the first nobody is there
# any more, above the second they are followed for UNCONFIRMED seconds though the detector looked and did not find them.
COLLAPSED, STEADY = 0.5, 0.9
UNCONFIRMED = 1.0
USUAL_TIME = 0.3  # seconds over which the usual score is averaged
# A newcomer is shown at once with such a box score or mean keypoint score, anybody else when the detector finds them
# again so many seconds later: its slips last for a few alike frames, and a pose of nobody scores low.
SURE_BOX, SURE_POSE = 0.5, 0.7
DOUBTED = 0.15
BudgetEvent = Literal["behind", "caught up"]
EXPECTED_SCORE = 0.2  # last score above which a keypoint's expected place counts when the next pose is read


@dataclass(frozen=True, eq=False)
class Standing:
    """What is remembered of a person besides the track."""

    first: float  # time when they came
    confirmed: float = 0.0  # time when the detector last found them
    times: int = 0  # that it found them
    missed: int = 0  # times that it did not since
    box_score: float = 1.0  # of the detector, then
    looked: float = -np.inf  # time when the network last looked at them
    usual: float = 0.0  # running mean of their mean keypoint score in the detector's boxes
    sure: float = 0.0  # the last mean keypoint score
    margins: np.ndarray = field(default_factory=lambda: np.full(4, np.nan))  # from keypoints to the detector's boxes
    shown: bool = False  # whether they are in the results yet

    def gain(self, time: float, memory: float) -> float:
        """Weight of a new detection against what is remembered for `memory` seconds; the first ones are averaged."""
        return float(max(1 - np.exp((self.confirmed - time) / memory), 1 / (self.times + 1)))

    def patience(self) -> float:
        """Seconds for which to follow them without the detector; with a weak pose, hardly longer than it found them."""
        if not self.usual:
            return UNCONFIRMED
        most = UNCONFIRMED if self.sure >= SURE_POSE else min(UNCONFIRMED, self.confirmed - self.first + DOUBTED)
        return most * min(1.0, max(0.0, (self.sure / self.usual - COLLAPSED) / (STEADY - COLLAPSED)))


class Follower:
    """follower(image, time) -> Poses with ids, in their order; one call per frame of one source.

    Networks that find people by themselves look at every whole frame. Not for several threads at once; the estimator
    may be shared.

    Args:
        detect_every: frames from one run of the detector to the next, or "adaptive" (`Schedule`).
        tracker, smoother: by default `Tracker()` and `Smoother()`; `Smoother(None)` changes nothing.
        max_latency, fps: limits of time (`Budget`), off by default. People who are not looked at in a frame move on as
            the tracker expects; `guessed` says who. So it does of people whom the tracker holds (`Tracker(hold=...)`).
        report: called with a kind ("behind", "caught up"), a sentence and facts when the budget begins or ceases to
            cost something.
        clock: measures what things cost, in seconds.
    """

    def __init__(
        self,
        estimator: Estimator,
        *,
        detect_every: Every = 5,
        tracker: Tracker | None = None,
        smoother: Smoother | None = None,
        max_latency: float | None = None,
        fps: float | None = None,
        report: Callable[[BudgetEvent, str, dict[str, Any]], None] | None = None,
        clock: Callable[[], float] = clocks.perf_counter,
    ) -> None:
        self.estimator = estimator
        self.tracker = Tracker() if tracker is None else tracker
        self.smoother = Smoother() if smoother is None else smoother
        self.schedule = Schedule(detect_every)
        self.budget = Budget(max_latency=max_latency, fps=fps)
        self.guessed = np.zeros(0, bool)  # (N,) of the last result: not seen in that frame, but expected there
        self.detected = False  # whether the last frame was searched for people
        self._cuts = Cuts()
        self._shape: tuple[int, ...] | None = None  # of the last picture
        self._report, self._clock = report, clock
        self._state, self._told = "", -np.inf
        self._forget()

    def _forget(self) -> None:
        self._standing: dict[int, Standing] = {}
        self._held: dict[int, Standing] = {}  # of people whom the last frame did not show and the tracker holds
        self._waiting = Candidates.none()
        self._lost = False

    def __call__(self, image: np.ndarray, time: float) -> Poses:
        """The people of the next frame; `time` in seconds must rise. A picture of another size is another scene."""
        start = self._clock()
        before, self._shape = self._shape, image.shape
        if self._cuts(image) or before not in (None, image.shape):
            self.tracker.cut()
            self.smoother.reset()
            self.schedule.restart()
            self._forget()
        if self.estimator.spec.per_person and self.estimator.detector is not None:
            tracked, held = self._followed(image, time, start)
        else:
            people = self.estimator(image)
            self.detected = True
            self.budget.spent(None, 1, self._clock() - start, 0.0)
            tracked = self.tracker.update(people, time)
            order = np.argsort(_ids(tracked))
            tracked, held = tracked[order], self.tracker.rows[order] < 0
            self.guessed = held
            if self.budget.limited:
                self._tell(time, "too slow" if self.budget.short() else "", 1, 1)
        return self.smoother(tracked, time, held)

    def _followed(self, image: np.ndarray, time: float, start: float) -> tuple[Poses, np.ndarray]:
        """One frame of a network that looks at one person at a time; and (N,) bool, whom the tracker holds."""
        size = (image.shape[1], image.shape[0])
        expected = self.tracker.predicted(time)
        known = self._known(expected, time, size)
        self.budget.every = self.schedule.every
        stretched = self.budget.interval(len(known.boxes)) if self.budget.limited else 1
        stretched = 1 if stretched <= self.schedule.every else stretched
        self.detected = self.schedule.due(image, time, known.boxes, self._lost, stretched)
        found, detecting = Candidates.none(), None
        if self.detected:
            before = self._clock()
            people = self.estimator.detect(image)
            detecting = self._clock() - before
            found = Candidates.found(people)
        elif len(self._waiting.boxes):
            found = self._waiting
        gains = np.array([self._standing[i].gain(time, BOX_TIME) for i in known.owners.tolist()])
        candidates = merged(found, known, gains)
        if self.detected:
            self.schedule.detected(image, time, bool((candidates.owners == 0).any()))
        order = self._oldest_first(candidates)
        most = self.estimator.options.max_people
        order = order if most is None else order[:most]
        crops = self.budget.crops(len(order), self.detected) if self.budget.limited else len(order)
        now, later = candidates[order[:crops]], candidates[order[crops:]]
        self._waiting = later[later.owners == 0]
        before = self._clock()
        poses = self.estimator(
            image, now.boxes, now.scores, _places(expected, now.owners, len(self.estimator.skeleton))
        )
        looking = self._clock() - before
        poses, now = self._kept(poses, now)
        held = expected[np.isin(_ids(expected), later.owners[later.owners > 0])]
        tracked, rows = self._tracked(poses, now, held, later[later.confirmed], time)
        self.guessed = (rows < 0) | (rows >= len(poses))
        self.budget.spent(detecting, crops, looking, self._clock() - start - looking - (detecting or 0.0))
        if self.budget.limited:
            state = "too slow" if self.budget.short() else "rotating" if crops < len(order) else ""
            self._tell(time, state or ("stretched" if stretched > 1 else ""), crops, len(order))
        return tracked, rows < 0

    def _known(self, expected: Poses, time: float, size: tuple[int, int]) -> Candidates:
        """Boxes of the people seen in the last frame, where they are expected now."""
        expected = expected[[i in self._standing for i in _ids(expected).tolist()]]
        ids = _ids(expected)
        standing = [self._standing[i] for i in ids.tolist()]
        margins = np.array([s.margins for s in standing]).reshape(-1, 4)
        boxes = clip_boxes(pose_boxes(expected, margins), size)
        scores = np.array([s.box_score for s in standing], np.float32)
        stay = np.array([not s.missed or time - s.confirmed <= s.patience() for s in standing], bool)
        return Candidates(boxes, scores, ids, np.zeros(len(ids), bool), boxes)[stay & (area(boxes) >= 16)]

    def _oldest_first(self, candidates: Candidates) -> np.ndarray:
        """Candidates in the order in which they need a look: new people, then who was not looked at for longest."""
        looked = [self._standing[i].looked if i in self._standing else -np.inf for i in candidates.owners.tolist()]
        return np.lexsort((-candidates.scores, np.array(looked)))

    def _kept(self, poses: Poses, candidates: Candidates) -> tuple[Poses, Candidates]:
        """Without poses in which nobody is left, and without the second of two poses of one person."""
        usual = np.array([self._standing[i].usual if i in self._standing else 0.0 for i in candidates.owners.tolist()])
        gone = ~candidates.confirmed & (_sure(poses) < COLLAPSED * usual)
        rows = np.flatnonzero(~gone)
        alike = self.estimator.options.duplicate_oks or DUPLICATE_OKS
        rows = rows[distinct(poses[rows], self.estimator.spec, alike)]
        return poses[rows], candidates[rows]

    def _tracked(
        self, poses: Poses, candidates: Candidates, waiting: Poses, found: Candidates, time: float
    ) -> tuple[Poses, np.ndarray]:
        """Identities of people looked at and of those `waiting` (some `found` by the detector), and what to remember.

        Rows (N,): which of `poses` and then of `waiting` each person is, -1 for whom the tracker holds. Only the
        detector brings somebody new: who was looked for in the place of a person and fits nobody is dropped.
        """
        n = len(poses)
        everyone = Poses.concatenate([poses, waiting]) if len(waiting) else poses
        before = set(self._standing)
        known = self._standing | self._held
        tracked = self.tracker.update(everyone, time, np.append(candidates.owners, _ids(waiting)))
        rows = self.tracker.rows
        sure, margins = _sure(poses), margins_of(poses, candidates.detected)
        standing, held = dict[int, Standing](), dict[int, Standing]()
        for row, identity in zip(rows.tolist(), _ids(tracked).tolist(), strict=True):
            if row < 0:
                if identity in known:
                    held[identity] = known[identity]
                continue
            old = known.get(identity) or Standing(time)
            seen = bool(candidates.confirmed[row]) if row < n else identity in found.owners
            if identity not in known and not seen:
                continue
            new = (
                replace(old, confirmed=time, missed=0, times=old.times + 1)
                if seen
                else replace(old, missed=old.missed + self.detected)
            )
            if row < n:
                new = replace(new, box_score=float(candidates.scores[row]), looked=time, sure=float(sure[row]))
            if row < n and seen:
                usual = old.usual + old.gain(time, USUAL_TIME) * (sure[row] - old.usual)
                shown = old.shown or candidates.scores[row] >= SURE_BOX or sure[row] >= SURE_POSE
                shown = bool(shown or time - old.first >= DOUBTED)
                new = replace(
                    new,
                    usual=float(usual),
                    margins=blended(old.margins, margins[row], old.gain(time, MARGIN_TIME)),
                    shown=shown,
                )
            standing[identity] = new
        self._standing, self._held = standing, held
        self._lost = bool(before - set(standing))
        shown = {identity for identity, person in (standing | held).items() if person.shown}
        order = np.argsort(_ids(tracked))
        order = order[[identity in shown for identity in _ids(tracked)[order].tolist()]]
        return tracked[order], rows[order]

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


def _places(expected: Poses, owners: np.ndarray, keypoints: int) -> np.ndarray:
    """(N, keypoints, 2) where those of `owners` (N,) are expected; NaN of new people and of what last scored low."""
    places = np.full((len(owners), keypoints, 2), np.nan)
    if not len(expected):  # maybe of another skeleton
        return places
    candidates, people = (owners[:, None] == _ids(expected)).nonzero()
    known = expected.scores[people] > EXPECTED_SCORE
    places[candidates] = np.where(known[..., None], expected.keypoints[people], np.nan)
    return places


def _sure(poses: Poses) -> np.ndarray:
    """(N,) mean keypoint scores."""
    return poses.scores.mean(1) if len(poses.skeleton) else np.ones(len(poses))


def _ids(poses: Poses) -> np.ndarray:
    return np.zeros(len(poses), np.int64) if poses.ids is None else poses.ids
