"""People followed from frame to frame: the detector runs now and then, boxes come from the last poses in between.

As RTMPose's pipeline does it (Jiang et al., 2023; mmdeploy's pose tracker): detections and the boxes of known people
are merged, each is looked at once, poses of one person twice are suppressed by OKS, and the tracker gives identities.
"""

from __future__ import annotations

import math
import time as clocks
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edgepose.geometry import area, clip_boxes, iou
from edgepose.media.images import check_image
from edgepose.poses import Poses
from edgepose.runtime.estimator import Estimator, distinct
from edgepose.runtime.follow.timing import Budget, BudgetReport, Cuts, Every, Schedule
from edgepose.runtime.load import DUPLICATE_OKS
from edgepose.runtime.tracker import Tracker
from edgepose.runtime.tracker.smoothing import Smoother
from edgepose.runtime.tracker.tracks import joined, taken
from edgepose.scores import Thresholds

# A mean keypoint score of Thresholds.steady x the person's usual one, which is that in the detector's boxes, lets them
# be followed for so many seconds though the detector looked and did not find them.
UNCONFIRMED = 1.0
USUAL_TIME = 0.3  # seconds over which the usual score is averaged
# A newcomer is believed at once with such a box score or a mean keypoint score of Thresholds.pose, anybody else when
# the detector finds them again so many seconds later: its slips last for a few alike frames, and a pose of nobody
# scores low.
SURE_BOX = 0.5
DOUBTED = 0.15
# Shown is who is believed and has scored `min_score`, for as long as the score stays above this part of it: what is
# surely there in one frame does not vanish because of the next one.
HELD_ON = 0.5
# The extent of a person's keypoints times this is the box of somebody for whom the detector never gave one: mean IoU
# with the labelled boxes of coco_mini train .59 at 1, .76 at 1.2, .77 at 1.25, .73 at 1.4, .64 at 1.56. The network
# then pads it as it pads a detector's box; mmdeploy and rtmlib do the same two steps.
GROWTH = 1.25
# Otherwise the box keeps the distances that the detector's boxes have to the keypoints. Boxes by growth alone drift
# from look to look: with RTMDet-nano's boxes on coco_mini train AP is .467, with boxes by growth around these poses
# .407, around those .360.
FURTHEST = 0.3  # such a distance is at most this part of the longer side of the keypoints' extent, out- or inwards
# Seconds for which the distances and the boxes themselves are remembered against new detections: the same whether the
# detector runs in every frame or now and then, so the boxes are nearly the same too. Half or double the times, or more,
# change figures on the clips by chance alone.
MARGIN_TIME, BOX_TIME = 0.4, 0.15
# Part of the keypoints in a box, the rest being where the body has moved it: all in the box follows one keypoint that
# strays to a neighbor, and none does not grow with raised arms.
FOLLOWED = 0.5
SAME_BOX = 0.3  # IoU from which a detection is a known person's
# From this IoU a detection only corrects the box in which a known person is expected; otherwise it replaces it.
ALIKE = 0.5
COVERED = 0.7  # IoU with a detection from which an unconfirmed known person is left out (mmdeploy's box suppression)
_OUT = np.array([-1.0, -1.0, 1.0, 1.0])  # x1, y1, x2, y2


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
    believed: bool = False  # to be more than a slip of the detector
    good: bool = False  # whether they have scored high enough to be shown

    def gain(self, time: float, memory: float) -> float:
        """Weight of a new detection against what is remembered for `memory` seconds; the first ones are averaged."""
        return float(max(1 - np.exp((self.confirmed - time) / memory), 1 / (self.times + 1)))

    def patience(self, least: Thresholds) -> float:
        """Seconds for which to follow them without the detector; with a weak pose, hardly longer than it found them."""
        if not self.usual:
            return UNCONFIRMED
        most = UNCONFIRMED if self.sure >= least.pose else min(UNCONFIRMED, self.confirmed - self.first + DOUBTED)
        return most * min(1.0, max(0.0, (self.sure / self.usual - least.collapsed) / (least.steady - least.collapsed)))


@dataclass(frozen=True, eq=False)
class Candidates:
    """Where to look in a frame.

    boxes: (N, 4) to look at            scores: (N,) the detector's
    owners: (N,) identity, 0 for new    confirmed: (N,) whether the detector found them now
    detected: (N, 4) boxes as the detector gave them, for those confirmed
    """

    boxes: np.ndarray
    scores: np.ndarray
    owners: np.ndarray
    confirmed: np.ndarray
    detected: np.ndarray

    def __getitem__(self, rows: Any) -> Candidates:
        return taken(self, rows)

    @staticmethod
    def none() -> Candidates:
        """Nobody to look at."""
        return Candidates.found(Poses.nobody())

    @staticmethod
    def found(people: Poses) -> Candidates:
        """What a detector found."""
        n = len(people)
        return Candidates(people.boxes, people.person_scores, np.zeros(n, np.int64), np.ones(n, bool), people.boxes)


class Follower:
    """follower(image, time) -> Poses with ids, in their order; one call per frame of one source.

        follower = edgepose.Follower(edgepose.load())
        poses = follower(image, time)   # in your own loop: ROS, GStreamer, Qt, a queue

    What `edgepose.track` does between reading a frame and giving it out, by this class. Networks that find people by
    themselves look at every whole frame. Not for several threads at once; the estimator may be shared.

    Args:
        detect_every: frames from one run of the detector to the next, or "adaptive" (`Schedule`).
        min_score: people are shown from when their score first reaches this, for as long as it stays above half of it;
            None: the estimator's own. People are followed whatever they score.
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
        min_score: float | None = None,
        tracker: Tracker | None = None,
        smoother: Smoother | None = None,
        max_latency: float | None = None,
        fps: float | None = None,
        report: BudgetReport | None = None,
        clock: Callable[[], float] = clocks.perf_counter,
    ) -> None:
        if not isinstance(estimator, Estimator):
            raise TypeError(
                f"expected an estimator, got {type(estimator).__name__}: edgepose.load(...) gives one of a name or file"
            )
        self.min_score = estimator.min_score if min_score is None else min_score
        # People are left out here and not there, so that nobody loses the identity in a weak frame.
        self.estimator = estimator.replace(min_score=0.0) if estimator.min_score > 0 else estimator
        self.tracker = Tracker() if tracker is None else tracker
        self.smoother = Smoother() if smoother is None else smoother
        self.schedule = Schedule(detect_every)
        self.budget = Budget(max_latency=max_latency, fps=fps, report=report)
        self.guessed = np.zeros(0, bool)  # (N,) of the last result: not seen in that frame, but expected there
        self.detected = False  # whether the last frame was searched for people
        self._clock = clock
        self._begin()

    def reset(self) -> None:
        """A new source: everybody is forgotten and time may start anywhere. Identities are not used again."""
        self.tracker.reset()
        self.smoother.reset()
        self.schedule.restart()
        self.budget.restart()
        self._begin()

    def _begin(self) -> None:
        self._cuts = Cuts()
        self._shape: tuple[int, ...] | None = None  # of the last picture
        self._time = -math.inf
        self._forget()

    def _forget(self) -> None:
        self._standing: dict[int, Standing] = {}
        self._held: dict[int, Standing] = {}  # of people whom the last frame did not show and the tracker holds
        self._waiting = Candidates.none()
        self._lost = False
        self._good = set[int]()  # identities in the last result of a network that finds people by itself

    def __call__(self, image: np.ndarray, time: float, passed: int = 1) -> Poses:
        """The people of the next frame (H, W, 3) uint8 BGR; a picture of another size is another scene.

        Raises ValueError, and changes nothing, where `time` in seconds does not rise from call to call.

        passed: frames of the source since the last call, more than 1 where some are left out on purpose.
        """
        start = self._clock()
        image = check_image(image)
        time = float(time)
        if not self._time < time < math.inf:
            last = f"more than {self._time:g} s, the last frame's" if math.isfinite(self._time) else "seconds"
            raise ValueError(f"time is {time!r}, expected {last}; call reset() for a new source")
        self._time = time
        before, self._shape = self._shape, image.shape
        if self._cuts(image) or before not in (None, image.shape):
            self.tracker.cut()
            self.smoother.reset()
            self.schedule.restart()
            self._forget()
        if self.estimator.spec.per_person and self.estimator.detector is not None:
            tracked, held = self._followed(image, time, start, passed)
        else:
            people = self.estimator(image)
            self.detected = True
            self.budget.spent(None, 1, self._clock() - start, 0.0)
            tracked = self.tracker.update(people, time)
            self._good = {
                identity
                for identity, score in zip(_ids(tracked).tolist(), tracked.person_scores.tolist(), strict=True)
                if self._still_good(identity in self._good, score)
            }
            order = np.argsort(_ids(tracked))
            order = order[[identity in self._good for identity in _ids(tracked)[order].tolist()]]
            tracked, held = tracked[order], self.tracker.rows[order] < 0
            self.guessed = held
            self.budget.tell(time, 1, 1)
        return self.smoother(tracked, time, held)

    def _still_good(self, before: bool, score: float) -> bool:
        """Whether somebody's score is good enough to be shown."""
        return score >= self.min_score * (HELD_ON if before else 1)

    def _followed(self, image: np.ndarray, time: float, start: float, passed: int) -> tuple[Poses, np.ndarray]:
        """One frame of a network that looks at one person at a time; and (N,) bool, whom the tracker holds."""
        size = (image.shape[1], image.shape[0])
        expected = self.tracker.predicted(time)
        known = self._known(expected, time, size)
        self.budget.every = self.schedule.every
        stretched = self.budget.interval(len(known.boxes)) if self.budget.limited else 1
        stretched = 1 if stretched <= self.schedule.every else stretched
        self.detected = self.schedule.due(image, time, known.boxes, self._lost, stretched, passed)
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
        self.budget.tell(time, crops, len(order), stretched > 1)
        return tracked, rows < 0

    def _known(self, expected: Poses, time: float, size: tuple[int, int]) -> Candidates:
        """Boxes of the people seen in the last frame, where they are expected now."""
        expected = expected[[i in self._standing for i in _ids(expected).tolist()]]
        ids = _ids(expected)
        standing = [self._standing[i] for i in ids.tolist()]
        margins = np.array([s.margins for s in standing]).reshape(-1, 4)
        boxes = clip_boxes(pose_boxes(expected, margins), size)
        scores = np.array([s.box_score for s in standing], np.float32)
        stay = np.array([not s.missed or time - s.confirmed <= s.patience(expected.thresholds) for s in standing], bool)
        stay &= self.estimator.wanted(boxes, size)
        return Candidates(boxes, scores, ids, np.zeros(len(ids), bool), boxes)[stay & (area(boxes) >= 16)]

    def _oldest_first(self, candidates: Candidates) -> np.ndarray:
        """Candidates in the order in which they need a look: new people, then who was not looked at for longest."""
        looked = [self._standing[i].looked if i in self._standing else -np.inf for i in candidates.owners.tolist()]
        return np.lexsort((-candidates.scores, np.array(looked)))

    def _kept(self, poses: Poses, candidates: Candidates) -> tuple[Poses, Candidates]:
        """Without poses in which nobody is left, and without the second of two poses of one person."""
        usual = np.array([self._standing[i].usual if i in self._standing else 0.0 for i in candidates.owners.tolist()])
        gone = ~candidates.confirmed & (_sure(poses) < poses.thresholds.collapsed * usual)
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
        scores = tracked.person_scores.tolist()
        for row, identity, score in zip(rows.tolist(), _ids(tracked).tolist(), scores, strict=True):
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
                new = replace(new, good=self._still_good(old.good, score))
            if row < n and seen:
                usual = old.usual + old.gain(time, USUAL_TIME) * (sure[row] - old.usual)
                believed = old.believed or candidates.scores[row] >= SURE_BOX or sure[row] >= poses.thresholds.pose
                believed = bool(believed or time - old.first >= DOUBTED)
                new = replace(
                    new,
                    usual=float(usual),
                    margins=blended(old.margins, margins[row], old.gain(time, MARGIN_TIME)),
                    believed=believed,
                )
            standing[identity] = new
        self._standing, self._held = standing, held
        self._lost = bool(before - set(standing))
        shown = {identity for identity, person in (standing | held).items() if person.believed and person.good}
        order = np.argsort(_ids(tracked))
        order = order[[identity in shown for identity in _ids(tracked)[order].tolist()]]
        return tracked[order], rows[order]


def _places(expected: Poses, owners: np.ndarray, keypoints: int) -> np.ndarray:
    """(N, keypoints, 2) where those of `owners` (N,) are expected; NaN of new people and of what last scored low."""
    places = np.full((len(owners), keypoints, 2), np.nan)
    if not len(expected):  # maybe of another skeleton
        return places
    candidates, people = (owners[:, None] == _ids(expected)).nonzero()
    known = expected.scores[people] > expected.thresholds.used
    places[candidates] = np.where(known[..., None], expected.keypoints[people], np.nan)
    return places


def _sure(poses: Poses) -> np.ndarray:
    """(N,) mean keypoint scores."""
    return poses.scores.mean(1) if len(poses.skeleton) else np.ones(len(poses))


def _ids(poses: Poses) -> np.ndarray:
    return np.zeros(len(poses), np.int64) if poses.ids is None else poses.ids


def pose_boxes(poses: Poses, margins: np.ndarray | None = None) -> np.ndarray:
    """(N, 4) boxes of people by their confident keypoints; the poses' own boxes where these are too few.

    margins: (N, 4) as `margins_of` gives them, NaN where they are not known.
    """
    extent = poses.keypoint_boxes(poses.thresholds.confident)
    middle, half = (extent[:, :2] + extent[:, 2:]) / 2, (extent[:, 2:] - extent[:, :2]) / 2 * GROWTH
    boxes = np.concatenate([middle - half, middle + half], axis=1)
    if margins is not None:
        around = extent + margins * _OUT * _longer(extent)
        boxes = np.where(np.isnan(margins), boxes, FOLLOWED * around + (1 - FOLLOWED) * poses.boxes)
    return np.where(_enough(poses)[:, None], boxes, poses.boxes)


def margins_of(poses: Poses, boxes: np.ndarray) -> np.ndarray:
    """(N, 4) distances from the confident keypoints' extent to boxes (N, 4), outwards, in longer sides of the extent.

    NaN where too few keypoints are confident.
    """
    extent = poses.keypoint_boxes(poses.thresholds.confident)
    margins = np.clip((boxes - extent) * _OUT / np.maximum(_longer(extent), 1.0), -FURTHEST, FURTHEST)
    return np.where(_enough(poses)[:, None], margins, np.nan)


def blended(margins: np.ndarray, new: np.ndarray, rate: float) -> np.ndarray:
    """Running mean of margins (4,) with new ones of weight `rate`; of NaN the other counts."""
    mean = margins + rate * (new - margins)
    return np.where(np.isnan(margins), new, np.where(np.isnan(new), margins, mean))


def merged(found: Candidates, known: Candidates, gains: np.ndarray) -> Candidates:
    """Detections and known people as one list in which nobody stands twice.

    A detection of a known person takes over the identity and moves the box towards its own, by the person's part of
    `gains` (N,), or all the way where the two have little in common; a known person without one stays, unless a
    detection covers them.
    """
    overlaps = iou(found.boxes, known.boxes)  # (F, N)
    owners, confirmed, boxes = found.owners.copy(), known.confirmed.copy(), found.boxes.copy()
    left = overlaps.copy()
    while left.size and left.max() >= SAME_BOX:
        i, j = np.unravel_index(left.argmax(), left.shape)
        owners[i], confirmed[j] = known.owners[j], True
        if overlaps[i, j] >= ALIKE:
            boxes[i] = known.boxes[j] + gains[j] * (boxes[i] - known.boxes[j])
        left[i], left[:, j] = -1, -1
    stay = ~confirmed & (overlaps.max(0, initial=0) < COVERED)
    return joined([replace(found, boxes=boxes, owners=owners), known[stay]])


def _enough(poses: Poses) -> np.ndarray:
    """(N,) whether at least half of the keypoints are confident."""
    return np.asarray((poses.scores >= poses.thresholds.confident).sum(1) >= (poses.scores.shape[1] + 1) // 2)


def _longer(boxes: np.ndarray) -> np.ndarray:
    """(N, 1) longer sides of boxes (N, 4)."""
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True, initial=0))
