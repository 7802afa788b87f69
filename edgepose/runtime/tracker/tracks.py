"""What is remembered of tracked people, one row per person in every array, and where they will be.

Motion is a constant-velocity Kalman filter per person and per point. A person is a body that moves steadily (position,
velocity), a layout of points around it that swings (offset, swing) and a size, the square root of the box area, in
which all lengths are measured: what is written here for 100 pixels holds for 1000. The points are the keypoints and two
corners of the box, so that a detector's boxes are tracked by the same arithmetic. A state belongs to the moment when
the person was last seen and is carried forward from there when asked, so that gaps and variable frame rates need no
special case. Variances are per axis, in squared sizes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from edgepose.geometry import boxes_of
from edgepose.poses import Poses

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Table = TypeVar("Table", bound="DataclassInstance")  # of arrays, or of such tables, with one row per person in each
ESTABLISHED = 3  # sightings after which somebody is more than a slip of the detector
SETTLED = 3  # sightings in a row after which a recovered person is believed to be the right one
CORNER_SIGMA = 0.1  # of a corner of the box, as the OKS sigma of a keypoint
KEYPOINT_GATE = BODY_GATE = 9.21  # chi-square, 2 degrees of freedom, 99 %

_JERK = 1.0  # white acceleration of the body, sizes^2/s^3: a walker stops or starts in about a third of a second
_SPEED = 1.5  # standard deviation of the speed of somebody seen once, sizes/s
_BODY_NOISE = 0.02  # what the mean of the points says about the body, sizes
_SWING, _SWING_TIME = 1.0, 0.2  # standard deviation (sizes/s) and memory (s) of a limb's own speed
_LAYOUT = 0.3  # standard deviation of a point about the body when nothing is known, sizes
_GROWTH, _SHRINKING = 0.3, 2.0  # time constants (s): boxes shrink when somebody is half hidden, and grow back
_LIMB_SPREAD = 0.1  # standard deviation of a limb's logarithm at first, and 0.04 of one that never changes
_LIMB_TIME = 2.0  # seconds over which the look of a limb is remembered


@dataclass(frozen=True, eq=False)
class Seen:
    """N people of one frame as the tracker sees them; P = K keypoints + 2 box corners.

    points: (N, P, 2) float64 pixels       known: (N, P) bool
    noise:  (P,) variance of a point, squared sizes
    sizes:  (N,) pixels
    """

    points: np.ndarray
    known: np.ndarray
    noise: np.ndarray
    sizes: np.ndarray

    @staticmethod
    def of(poses: Poses, threshold: float) -> Seen:
        """People with the keypoints scored above `threshold`; raises ValueError for one who is nowhere."""
        keypoints = poses.keypoints.astype(np.float64)
        known = (poses.scores > threshold) & np.isfinite(keypoints).all(-1)
        boxes = poses.boxes.astype(np.float64)
        good = np.asarray(np.isfinite(boxes).all(-1) & (boxes[:, 2:] > boxes[:, :2]).all(-1))
        if not good.all():
            nowhere = np.flatnonzero(~good & (known.sum(1) < 2))
            if len(nowhere):
                raise ValueError(
                    f"person {nowhere[0]} is nowhere: expected a box with an area or two keypoints scored above "
                    f"{threshold}, got box {poses.boxes[nowhere[0]].tolist()}; leave such people out"
                )
            boxes = np.where(good[:, None], boxes, boxes_of(np.where(known[..., None], keypoints, 0), known))
        points = np.concatenate([np.where(known[..., None], keypoints, 0), boxes.reshape(-1, 2, 2)], axis=1)
        known = np.concatenate([known, np.ones((len(boxes), 2), bool)], axis=1)
        sides = boxes[:, 2:] - boxes[:, :2]
        sides = np.maximum(sides, np.maximum(0.3 * sides.max(1, keepdims=True), 1.0))  # a lying or thin person
        noise = (np.append(poses.skeleton.sigmas, [CORNER_SIGMA] * 2) / 2) ** 2 + 1e-4  # half of what OKS forgives
        return Seen(points, known, noise, np.sqrt(sides.prod(1)))

    def __getitem__(self, people: np.ndarray) -> Seen:
        return Seen(self.points[people], self.known[people], self.noise, self.sizes[people])


@dataclass(eq=False)
class States:
    """T tracked people, each as last seen. Spreads hold the variances (position, covariance, velocity).

    times (T,) seconds; sizes (T,) pixels; bodies, velocities (T, 2) pixels and pixels/s, body_spreads (T, 3);
    offsets, swings (T, P, 2) pixels and pixels/s, offset_spreads (T, P, 3); known (T, P): points ever seen
    """

    times: np.ndarray
    sizes: np.ndarray
    bodies: np.ndarray
    velocities: np.ndarray
    body_spreads: np.ndarray
    offsets: np.ndarray
    swings: np.ndarray
    offset_spreads: np.ndarray
    known: np.ndarray

    @staticmethod
    def new(seen: Seen, time: float) -> States:
        """People seen for the first time, at rest but maybe fast."""
        n, p = seen.known.shape
        bodies = seen.points[:, -2:].mean(1)  # any point of the body would do
        body_spreads = np.tile([_BODY_NOISE**2, 0.0, _SPEED**2], (n, 1))
        offset_spreads = np.empty((n, p, 3))
        offset_spreads[..., 0] = np.where(seen.known, seen.noise, _LAYOUT**2)
        offset_spreads[..., 1], offset_spreads[..., 2] = 0.0, _SWING**2
        offsets = np.where(seen.known[..., None], seen.points - bodies[:, None], 0.0)
        zeros = np.zeros_like(offsets)
        return States(
            np.full(n, time), seen.sizes, bodies, zeros[:, 0], body_spreads, offsets, zeros, offset_spreads, seen.known
        )

    def __len__(self) -> int:
        return len(self.times)

    def points(self) -> np.ndarray:
        """(T, P, 2) pixels."""
        return self.bodies[:, None] + self.offsets

    def ahead(self, time: float, limit: float = np.inf) -> States:
        """The same people at `time`, as far as one can tell; they stand still after `limit` seconds."""
        dt = np.minimum(time - self.times, limit)
        pp, pv, vv = self.body_spreads.T
        q = _JERK
        body_spreads = np.stack(
            [pp + dt * (2 * pv + dt * (vv + dt * q / 3)), pv + dt * (vv + dt * q / 2), vv + dt * q], axis=1
        )
        # A limb swings back: its own speed is forgotten (an Ornstein-Uhlenbeck process).
        kept = np.exp(-dt / _SWING_TIME)
        reach = _SWING_TIME * (1 - kept)
        kept_, reach_ = kept[:, None], reach[:, None]
        op, ov, ow = np.moveaxis(self.offset_spreads, -1, 0)
        s2 = _SWING**2
        grown = s2 * _SWING_TIME**2 * (2 * dt / _SWING_TIME - 3 + 4 * kept - kept**2)
        spread = np.stack(
            [
                np.minimum(op + reach_ * (2 * ov + reach_ * ow) + grown[:, None], _LAYOUT**2),
                kept_ * (ov + reach_ * ow) + (s2 * _SWING_TIME * (1 - kept) ** 2)[:, None],
                kept_**2 * ow + (s2 * (1 - kept**2))[:, None],
            ],
            axis=-1,
        )
        return States(
            np.full(len(self), time),
            self.sizes,
            self.bodies + self.velocities * dt[:, None],
            self.velocities,
            body_spreads,
            self.offsets + self.swings * reach[:, None, None],
            self.swings * kept[:, None, None],
            spread,
            self.known,
        )

    def corrected(self, seen: Seen, dt: np.ndarray) -> States:
        """States predicted for the moment of `seen` -> states that know it; `dt` (T,) seconds since the last time.

        Points outside their chi-square gate (a left and a right exchanged, a limb of somebody else) are left out
        unless most are.
        """
        sizes = self.sizes[:, None]
        errors = (seen.points - self.points()) / sizes[..., None]  # (T, P, 2) sizes
        op, ov, ow = np.moveaxis(self.offset_spreads, -1, 0)
        pp, pv, vv = self.body_spreads.T
        both = seen.known & self.known
        inside = both & ((errors**2).sum(-1) < KEYPOINT_GATE * (pp[:, None] + op + seen.noise))
        inside = np.where((2 * inside.sum(1) >= both.sum(1))[:, None], inside, both)
        shift, noise = mean_shift(errors, inside, op + seen.noise)
        # Further off than chance allows: the body has stopped or turned, at once or still. Its velocity is open again.
        square = (shift**2).sum(1)
        jump = np.where(square > BODY_GATE * (pp + noise), square / 2, 0.0)
        pp, pv, vv = pp + jump, pv + jump / dt, vv + jump / dt**2
        gain = pp / (pp + noise)
        gain_v = pv / (pp + noise)
        body_spreads = np.stack([pp * (1 - gain), pv * (1 - gain), vv - gain_v * pv + jump / dt**2], axis=1)
        moved = shift * gain[:, None]  # (T, 2) sizes
        bodies = self.bodies + moved * sizes
        velocities = self.velocities + shift * gain_v[:, None] * sizes

        errors = errors - moved[:, None]
        fresh = seen.known & ~self.known
        weight = np.where(inside, op / (op + seen.noise), 0.0)
        weight_v = np.where(inside, ov / (op + seen.noise), 0.0)
        offsets = self.offsets + errors * weight[..., None] * sizes[..., None]
        swings = self.swings + errors * weight_v[..., None] * sizes[..., None]
        spread = np.stack([op * (1 - weight), ov * (1 - weight), ow - weight_v * ov], axis=-1)
        if fresh.any():
            offsets = np.where(fresh[..., None], seen.points - bodies[:, None], offsets)
            fresh_spread = np.stack([seen.noise, 0 * seen.noise, np.full_like(seen.noise, _SWING**2)], axis=-1)
            spread = np.where(fresh[..., None], fresh_spread, spread)
        rate = np.where(seen.sizes > self.sizes, _GROWTH, _SHRINKING)
        grown = self.sizes + (seen.sizes - self.sizes) * (1 - np.exp(-dt / rate))
        return States(self.times, grown, bodies, velocities, body_spreads, offsets, swings, spread, self.known | fresh)


def mean_shift(errors: np.ndarray, known: np.ndarray, variances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far whole bodies moved: errors (..., P, 2) of points `known` (..., P) -> (..., 2) and its variance (...)."""
    weights = known / variances
    total = weights.sum(-1)
    shift = np.einsum("...p,...pd->...d", weights, errors) / total[..., None]
    return shift, 1 / total + _BODY_NOISE**2


@dataclass(eq=False)
class Tracks:
    """T tracked people.

    states: where they were when last seen     anchors: where they were before they were last lost
    ids, hits, runs: (T,) identity, sightings, sightings in a row since the anchor
    limbs, limb_spreads: (T, L) mean and variance of the logarithms of limb lengths; NaN and inf where never seen
    scores, person_scores: (T, K), (T,) as last seen
    sides: (T, P) log-odds that the left and right of each pair of mirrored keypoints are right (sides.py)
    """

    states: States
    anchors: States
    ids: np.ndarray
    hits: np.ndarray
    runs: np.ndarray
    limbs: np.ndarray
    limb_spreads: np.ndarray
    scores: np.ndarray
    person_scores: np.ndarray
    sides: np.ndarray

    @staticmethod
    def new(poses: Poses, seen: Seen, limbs: np.ndarray, ids: np.ndarray, time: float, pairs: int = 0) -> Tracks:
        """People seen for the first time; `limbs` (N, L) may hold NaN."""
        states = States.new(seen, time)
        once, settled = np.ones(len(ids), np.int64), np.full(len(ids), SETTLED)
        spreads = np.where(np.isnan(limbs), np.inf, _LIMB_SPREAD**2)
        sides = np.zeros((len(ids), pairs))
        return Tracks(states, states, ids, once, settled, limbs, spreads, poses.scores, poses.person_scores, sides)

    def __len__(self) -> int:
        return len(self.ids)

    def seen(
        self,
        poses: Poses,
        seen: Seen,
        limbs: np.ndarray,
        ahead: States,
        gaps: np.ndarray,
        missed: np.ndarray,
        sides: np.ndarray,
    ) -> Tracks:
        """The same people after another sighting: person i is poses[i], `gaps` (T,) seconds after the one before.

        `missed` (T,) marks those whom the frame before did not show. They may be somebody else, so their old state is
        kept until a few sightings in a row agree.
        """
        rate = 1 - np.exp(-np.minimum(gaps, 0.5) / _LIMB_TIME)
        rate = np.maximum(rate, 1 / (self.hits + 1))[:, None]
        known, first = ~np.isnan(limbs), np.isnan(self.limbs)
        change = np.where(known & ~first, limbs - self.limbs, 0.0)
        means = np.where(first, limbs, self.limbs + rate * change)
        steady = np.where(np.isinf(self.limb_spreads), _LIMB_SPREAD**2, self.limb_spreads)
        spreads = np.where(known & ~first, (1 - rate) * (steady + rate * change**2), steady)
        spreads = np.where(first & ~known, np.inf, np.maximum(spreads, 0.04**2))
        return Tracks(
            states=ahead.corrected(seen, gaps),
            anchors=mixed(missed, self.states, self.anchors),
            ids=self.ids,
            hits=self.hits + 1,
            runs=np.where(missed, 1, self.runs + 1),
            limbs=means,
            limb_spreads=spreads,
            scores=poses.scores,
            person_scores=poses.person_scores,
            sides=sides,
        )

    def doubted(self, people: np.ndarray) -> Tracks:
        """Those of `people` (T,) bool who vanish again right after being found are put back to where they were lost."""
        doubtful = people & (self.runs < SETTLED)
        states = mixed(doubtful, self.anchors, self.states)
        return replace(self, states=states, runs=np.where(people, SETTLED, self.runs))


def limb_lengths(seen: Seen, limbs: tuple[tuple[int, int], ...]) -> np.ndarray:
    """(N, L + 1) logarithms of the lengths in pixels of limbs and box diagonal; NaN where an end is not known."""
    corners = seen.points.shape[1] - 2
    pairs = np.array([*limbs, (corners, corners + 1)])
    ends = seen.points[:, pairs]  # (N, L + 1, 2, 2)
    lengths = np.hypot(*np.moveaxis(ends[:, :, 0] - ends[:, :, 1], -1, 0))
    return np.where(seen.known[:, pairs].all(-1), np.log(np.maximum(lengths, 1.0)), np.nan)


def taken(table: Table, rows: np.ndarray) -> Table:
    """The people of an index array or mask."""
    values: list[Any] = [getattr(table, field.name) for field in fields(table)]
    values = [value[rows] if isinstance(value, np.ndarray) else taken(value, rows) for value in values]
    return type(table)(*values)


def joined(tables: list[Table]) -> Table:
    """The people of all tables, in order."""
    columns: list[list[Any]] = [[getattr(table, field.name) for table in tables] for field in fields(tables[0])]
    values: list[Any] = [np.concatenate(c) if isinstance(c[0], np.ndarray) else joined(c) for c in columns]
    return type(tables[0])(*values)


def mixed(first: np.ndarray, a: States, b: States) -> States:
    """Row by row, `a` where `first` (T,) and `b` elsewhere."""
    if not first.any():
        return b
    pairs = ((getattr(a, field.name), getattr(b, field.name)) for field in fields(States))
    return States(*(np.where(first.reshape(-1, *[1] * (x.ndim - 1)), x, y) for x, y in pairs))
