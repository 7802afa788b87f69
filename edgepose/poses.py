"""Poses: the one result type. A detector's result is Poses with no keypoints, an empty picture Poses with no people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np

from edgepose.geometry import area, boxes_of, inclined, transform, turned
from edgepose.names import expected
from edgepose.scores import Thresholds, thresholds
from edgepose.skeleton import BOX, COCO, Skeleton


@dataclass(frozen=True, eq=False, repr=False)
class Poses:
    """N people found in one picture, in pixels of that picture.

    keypoints:     (N, K, 2) float32 x, y
    scores:        (N, K)    float32, higher is surer
    boxes:         (N, 4)    float32 x1, y1, x2, y2
    person_scores: (N,)      float32
    ids:           (N,)      int64 track identities, or None when nobody was tracked
    calibrated:    whether both scores are probabilities, .5 as likely right as not (`edgepose.scores.Calibration`);
                   otherwise they are a network's own, near 0..1 but without a meaning (SimCC's can exceed 1; a person's
                   are, top-down, box score x mean of the keypoint scores above 0.2)
    """

    keypoints: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    person_scores: np.ndarray
    skeleton: Skeleton = COCO
    ids: np.ndarray | None = None
    calibrated: bool = False

    def __post_init__(self) -> None:
        n, k = len(np.atleast_1d(self.person_scores)), len(self.skeleton)
        for name, shape in (("keypoints", (n, k, 2)), ("scores", (n, k)), ("boxes", (n, 4)), ("person_scores", (n,))):
            object.__setattr__(self, name, _checked(name, getattr(self, name), shape, np.float32))
        if self.ids is not None:
            object.__setattr__(self, "ids", _checked("ids", self.ids, (n,), np.int64))

    @staticmethod
    def nobody(skeleton: Skeleton = COCO) -> Poses:
        """The result for a picture without people."""
        k = len(skeleton)
        return Poses(np.zeros((0, k, 2)), np.zeros((0, k)), np.zeros((0, 4)), np.zeros(0), skeleton)

    @staticmethod
    def of_boxes(boxes: np.ndarray, scores: np.ndarray) -> Poses:
        """People known by their boxes (N, 4) and scores (N,) alone, as a detector finds them."""
        n = len(boxes)
        return Poses(np.zeros((n, 0, 2)), np.zeros((n, 0)), boxes, scores, BOX)

    @staticmethod
    def concatenate(parts: Sequence[Poses]) -> Poses:
        """The people of several Poses of one skeleton, in their order. Identities stay where everybody has one.

        Raises ValueError for no Poses at all, since nobody says of which skeleton, and for different skeletons.
        """
        if not parts:
            raise ValueError("expected at least one Poses to concatenate, got none: use Poses.nobody(skeleton)")
        skeleton = parts[0].skeleton
        for part in parts:
            if part.skeleton != skeleton:
                raise ValueError(
                    f"expected Poses of one skeleton, got {skeleton.name!r} and {part.skeleton.name!r}: bring the "
                    f"keypoints into one order first"
                )
        ids = [part.ids for part in parts if part.ids is not None]
        everybody = bool(ids) and sum(len(each) for each in ids) == sum(len(part) for part in parts)
        return Poses(
            keypoints=np.concatenate([part.keypoints for part in parts]),
            scores=np.concatenate([part.scores for part in parts]),
            boxes=np.concatenate([part.boxes for part in parts]),
            person_scores=np.concatenate([part.person_scores for part in parts]),
            skeleton=skeleton,
            ids=np.concatenate(ids) if everybody else None,
            calibrated=all(part.calibrated for part in parts),
        )

    def __repr__(self) -> str:
        """One line: how many people of which skeleton, and how sure they are."""
        people = "1 person" if len(self) == 1 else f"{len(self)} people"
        sure = ""
        if len(self):
            low, high = f"{self.person_scores.min():.2f}", f"{self.person_scores.max():.2f}"
            sure = f", score {high}" if low == high else f", scores {low} to {high}"
        tracked = "" if self.ids is None else ", tracked"
        return f"<Poses: {people}, {len(self.skeleton)} keypoints of {self.skeleton.name!r}{sure}{tracked}>"

    def __len__(self) -> int:
        return len(self.person_scores)

    @property
    def thresholds(self) -> Thresholds:
        """From which of these scores on people and keypoints count, unless the user says otherwise."""
        return thresholds(self.calibrated)

    @overload
    def __getitem__(self, people: str) -> np.ndarray: ...

    @overload
    def __getitem__(self, people: int | slice | Sequence[int] | np.integer[Any] | np.ndarray) -> Poses: ...

    def __getitem__(self, people: Any) -> Poses | np.ndarray:
        """The people of an index, index array, mask or slice, as Poses; of a keypoint's name, that keypoint of all.

        `poses["left_wrist"]` is (N, 3) float32: x, y, score. Raises KeyError for a name that the skeleton lacks.
        """
        if isinstance(people, str):
            k = self._index(people)
            return np.concatenate([self.keypoints[:, k], self.scores[:, k, None]], axis=1)  # (N, 3)
        if isinstance(people, (int, np.integer)):
            if not -len(self) <= people < len(self):  # also what ends `for person in poses`
                raise IndexError(f"person {people} of {len(self)}")
            people = [people]
        return replace(
            self,
            keypoints=self.keypoints[people],
            scores=self.scores[people],
            boxes=self.boxes[people],
            person_scores=self.person_scores[people],
            ids=None if self.ids is None else self.ids[people],
        )

    def to_dict(self) -> dict[str, list[dict[str, Any]]]:
        """Plain Python numbers: `{"people": [{"id", "score", "box", "keypoints"}, ...]}`, the `people` of a JSON line.

        `id` is None for who is not tracked, `box` [x1, y1, x2, y2], `keypoints` K times [x, y, score]. Coordinates are
        rounded to 0.01 pixel, scores to 0.0001. Every number is finite: a coordinate that is not becomes 0, and so does
        its score.
        """
        finite = np.isfinite(self.keypoints).all(axis=-1)  # (N, K)
        points = np.where(finite[..., None], self.keypoints, 0).astype(np.float64).round(2)
        scores = _finite(np.where(finite, self.scores, 0), 4)
        keypoints = np.concatenate([points, scores[..., None]], axis=-1).tolist()  # N x K x 3
        boxes, person_scores = _finite(self.boxes, 2).tolist(), _finite(self.person_scores, 4).tolist()
        ids = [None] * len(self) if self.ids is None else self.ids.tolist()
        return {
            "people": [
                {"id": ids[i], "score": person_scores[i], "box": boxes[i], "keypoints": keypoints[i]}
                for i in range(len(self))
            ]
        }

    def rows(self, **first: Any) -> list[dict[str, Any]]:
        """A flat dictionary per person, for `pandas.DataFrame(poses.rows())` and its like.

        person (its place), id, score, x1, y1, x2, y2, then NAME_x, NAME_y, NAME_score of each keypoint: the columns of
        `results.csv`, rounded like them. `first` comes before: `poses.rows(frame=frame.index, time=frame.time)`.
        """
        table = []
        for i, person in enumerate(self.to_dict()["people"]):
            row = {**first, "person": i, "id": person["id"], "score": person["score"]}
            row |= zip(("x1", "y1", "x2", "y2"), person["box"], strict=True)
            for name, point in zip(self.skeleton.names, person["keypoints"], strict=True):
                row |= zip((f"{name}_x", f"{name}_y", f"{name}_score"), point, strict=True)
            table.append(row)
        return table

    def to_supervision(self, boxes: bool = False) -> Any:
        """supervision's `KeyPoints`, of people without keypoints its `Detections`; `boxes` asks for these of everybody.

        Every person is of class 0. Identities are `tracker_id` of Detections; of KeyPoints they are `data["id"]` and
        the people's scores `data["score"]`. Raises ModuleNotFoundError where supervision is not installed.
        """
        try:
            import supervision
        except ModuleNotFoundError as error:
            if error.name != "supervision":
                raise
            raise ModuleNotFoundError(
                "supervision is not installed, which this needs: pip install supervision"
            ) from None
        classes = np.zeros(len(self), int)
        if boxes or not len(self.skeleton):
            return supervision.Detections(
                xyxy=self.boxes, confidence=self.person_scores, class_id=classes, tracker_id=self.ids
            )
        finite = np.isfinite(self.keypoints).all(axis=-1)  # (N, K)
        points = np.where(finite[..., None], self.keypoints, 0).astype(np.float32)
        data = {"score": self.person_scores} | ({} if self.ids is None else {"id": self.ids})
        # the third argument is named differently from version to version
        return supervision.KeyPoints(points, classes, np.where(finite, self.scores, 0).astype(np.float32), data=data)

    def to_json(self) -> str:
        """`to_dict` as one line of JSON."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def mapped(self, matrices: np.ndarray) -> Poses:
        """Keypoints and boxes through one affine map (2, 3), or one per person (N, 2, 3).

        Boxes stay upright: the extent of their mapped corners.
        """
        x1, y1, x2, y2 = self.boxes.T
        corners = np.stack([x1, y1, x2, y1, x2, y2, x1, y2], axis=1).reshape(-1, 4, 2)
        corners = transform(corners, matrices)
        boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        return replace(self, keypoints=transform(self.keypoints, matrices), boxes=boxes)

    def areas(self) -> np.ndarray:
        """(N,) area of each person's box in square pixels."""
        return area(self.boxes)

    def keypoint_boxes(self, threshold: float = 0.0) -> np.ndarray:
        """(N, 4) extent of each person's keypoints scored above `threshold`."""
        return boxes_of(self.keypoints, self.scores > threshold)

    def angle(self, first: str, vertex: str, last: str, threshold: float | None = None) -> np.ndarray:
        """(N,) float32 degrees, 0 to 180, between the lines from one keypoint to two others: 180 is stretched out.

        `poses.angle("left_hip", "left_knee", "left_ankle")` is the left knee. It is the angle in the picture, which is
        that of the joint where its plane is parallel to the picture's. NaN where one of the three points is scored
        below `threshold` (None: that from which it is drawn), or two lie in one place. Raises KeyError for a name that
        the skeleton lacks.
        """
        points, known = self._chosen((first, vertex, last), threshold)
        return turned(points[:, 0] - points[:, 1], points[:, 2] - points[:, 1], known)

    def segment_angle(self, start: str, end: str, threshold: float | None = None) -> np.ndarray:
        """(N,) float32 degrees, above -180 to 180, of the line from one keypoint to another against the horizontal.

        0 points to the right of the picture, 90 up, -90 down. NaN and KeyError as in `angle`.
        """
        points, known = self._chosen((start, end), threshold)
        return inclined(points[:, 1] - points[:, 0], known)

    def _chosen(self, names: Sequence[str], threshold: float | None) -> tuple[np.ndarray, np.ndarray]:
        """(N, P, 2) float64 keypoints of these names, and (N,) whether all of them are good enough to be used."""
        at = [self._index(name) for name in names]
        points = self.keypoints[:, at].astype(np.float64)
        threshold = self.thresholds.drawn if threshold is None else threshold
        return points, np.asarray(((self.scores[:, at] >= threshold) & np.isfinite(points).all(-1)).all(-1))

    def _index(self, name: str) -> int:
        names = self.skeleton.names
        if name in names:
            return names.index(name)
        raise KeyError(f"skeleton {self.skeleton.name!r} has no keypoint {name!r}{expected(name, names)}")


def confidence(scores: np.ndarray, threshold: float = 0.2) -> np.ndarray:
    """(N, K) keypoint scores -> (N,) mean of those above `threshold`, 0 where none is (the published rescoring)."""
    sure = scores > threshold
    counts = sure.sum(-1)
    return np.divide((scores * sure).sum(-1), counts, out=np.zeros(len(scores), np.float32), where=counts > 0)


def _finite(values: np.ndarray, digits: int) -> np.ndarray:
    return np.nan_to_num(values.astype(np.float64), nan=0, posinf=0, neginf=0).round(digits)


def _checked(name: str, values: Any, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    array: np.ndarray = np.asarray(values, dtype)
    if array.shape != shape:
        raise ValueError(f"Poses.{name} must have shape {shape}, got {array.shape}")
    return array
