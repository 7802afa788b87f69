"""Whether a quantized file may be kept: it must find what the float32 file finds, on pictures it was not made with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgepose.evaluate.agreement import agreement
from edgepose.evaluate.labels import Labels
from edgepose.poses import Poses
from edgepose.quantize.calibration import Calibration
from edgepose.runtime.estimator import Detector, Estimator
from edgepose.runtime.network import Network

AGREES = 0.98  # with the float32 file, from which a file without labels to judge by is kept


@dataclass(frozen=True)
class Verdict:
    """Figures of a candidate on the held-out pictures.

    agreement: with the float32 file; ap: of the labelled people, 0 to 1, None without labels
    reason: why it may not be kept, "" where it may
    """

    agreement: float
    ap: float | None
    reason: str

    @property
    def holds(self) -> bool:
        """Whether the file may be kept."""
        return not self.reason


class Guard:
    """What the float32 model finds on the held-out pictures, to judge others by.

    Args:
        labels: of all pictures, those of the held-out ones count; None: agreement decides.
        max_drop: points of AP (hundredths) that may be lost.

    Raises ValueError where the labels or the float32 model have nobody there: that would be a measurement of nothing.
    """

    def __init__(
        self,
        estimator: Estimator,
        calibration: Calibration,
        labels: Labels | None,
        images: str | Path,
        max_drop: float,
    ) -> None:
        self._held, self._images, self._max_drop = calibration.held, images, max_drop
        detector = None if estimator.detector is None else _remembered(estimator.detector)
        # everybody: a small change of a score near the least one is no other person
        self._estimator = estimator.replace(detector=detector, min_score=0.0)
        self.reference = [self._estimator(picture) for picture in self._held]
        if not any(map(len, self.reference)):
            raise ValueError(
                f"the float32 model finds nobody on {len(self._held)} held-out pictures, so there is nothing to judge "
                "by: give more pictures of what it is for"
            )
        self._labels = None if labels is None else _held_out(labels, calibration.names, images)
        self.ap = None if self._labels is None else self._ap(estimator.network)
        if self.ap is not None and self.ap <= 0:
            raise ValueError(
                f"the float32 model has an AP of {self.ap:.3f} on the labels of the held-out pictures, so there is "
                "nothing to judge by: give the labels of these pictures"
            )

    @property
    def people(self) -> int:
        """How many the float32 model finds."""
        return sum(map(len, self.reference))

    @property
    def labelled(self) -> int:
        """Held-out pictures with labels."""
        return 0 if self._labels is None else len(self._labels["images"])

    def judge(self, network: Network) -> Verdict:
        """A candidate's figures, and whether they are good enough."""
        estimator = self._estimator.replace(network=network)
        alike = agreement(self.reference, [estimator(picture) for picture in self._held])
        if self.ap is None:
            few = (
                "" if alike >= AGREES else f"agreement with the float32 file is {alike:.3f}, expected {AGREES} or more"
            )
            return Verdict(alike, None, few)
        ap = self._ap(network)
        lost = 100 * (self.ap - ap)
        limit = f"expected {self._max_drop:g} or less"
        return Verdict(alike, ap, "" if lost <= self._max_drop else f"AP falls by {lost:.1f} points, {limit}")

    def _ap(self, network: Network) -> float:
        from edgepose.evaluate.measures import evaluated, prepared

        estimates = prepared(self._estimator.replace(network=network), flip_test=False)
        assert self._labels is not None
        figures, _ = evaluated(network.spec.name, estimates, self._labels, self._images)
        return float(figures["AP"])


def _remembered(detector: Detector) -> Callable[[np.ndarray], Poses]:
    """The detector, asked once for each of the held-out pictures, which stay in memory."""
    known: dict[int, tuple[np.ndarray, Poses]] = {}

    def detect(image: np.ndarray) -> Poses:
        if id(image) not in known:
            known[id(image)] = (image, detector(image))
        return known[id(image)][1]

    return detect


def _held_out(labels: Labels, names: list[str], images: str | Path) -> Labels:
    """The labels of the held-out pictures; ValueError where there are none."""
    held = {Path(name).name for name in names}
    kept = [image for image in labels["images"] if Path(image["file_name"]).name in held]
    ids = {image["id"] for image in kept}
    people = [row for row in labels["annotations"] if row["image_id"] in ids]
    if not kept or not people:
        raise ValueError(
            f"the labels have nobody on the {len(held)} held-out pictures of {images}: expected labels of these "
            "pictures; without labels leave --data out"
        )
    return labels | {"images": kept, "annotations": people}
