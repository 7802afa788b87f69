"""Honest timing of an estimator: the whole call, and where its time goes, on given pictures or a made-up one."""

from __future__ import annotations

import copy
import functools
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import numpy as np

from edgepose.poses import Poses
from edgepose.runtime.estimator import Estimator


@dataclass(frozen=True)
class Timing:
    """Wall time of one call, in milliseconds.

    stages: medians of "detect pre", "detect run", "detect post", and the same of "pose": making the network's input,
            running it, and all the rest. They are taken inside the calls that are timed, so they add up.
    people: found per picture, on average, or asked for.
    """

    model: str
    image_size: tuple[int, int]
    people: float
    calls: int
    ms_median: float
    ms_p95: float
    ms_p99: float
    fps: float
    stages: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def bench(
    estimator: Estimator,
    images: Sequence[np.ndarray] = (),
    *,
    people: int | None = None,
    seconds: float = 3.0,
    image_size: tuple[int, int] = (1280, 720),
    boxes: np.ndarray | None = None,
) -> Timing:
    """Call the estimator for about `seconds`, after two calls per picture that do not count.

    Args:
        images: taken in turn; without any, one of smooth noise of `image_size`.
        people: so many are looked at in every picture, whatever the detector finds. It runs all the same, and its time
            counts.
        boxes: (N, 4), repeated until there are `people`; by default spread over the picture.
    """
    if people is not None and (people < 0 or not estimator.spec.per_person):
        raise ValueError(f"people is {people}, expected a count, and a model that looks at one person at a time")
    watch = Stopwatch(estimator, images, people=people, image_size=image_size, boxes=boxes)
    end = time.perf_counter() + seconds
    while watch.calls < len(watch.pictures) or time.perf_counter() < end:
        watch.call()
    return watch.timing()


class Stopwatch:
    """One estimator, called picture by picture when it is told to, so that several can take turns; see `bench`."""

    def __init__(
        self,
        estimator: Estimator,
        images: Sequence[np.ndarray] = (),
        *,
        people: int | None = None,
        image_size: tuple[int, int] = (1280, 720),
        boxes: np.ndarray | None = None,
    ) -> None:
        self.pictures = list(images) or [noise(image_size)]
        self._name, self._part = estimator.spec.name, _part(estimator)
        self._spent: dict[str, float] = {}
        self._timed = _instrumented(estimator, self._spent, people, boxes)
        self._totals: list[float] = []
        self._stages: dict[str, list[float]] = defaultdict(list)
        found = [len(self._timed(picture)) for _ in range(2) for picture in self.pictures][-len(self.pictures) :]
        self._people = float(np.mean(found) if people is None else people)  # of those asked for, duplicates may go

    @property
    def calls(self) -> int:
        """Calls that count so far."""
        return len(self._totals)

    def call(self) -> float:
        """Look at the next picture; milliseconds."""
        picture = self.pictures[self.calls % len(self.pictures)]
        self._spent.clear()
        start = time.perf_counter()
        self._timed(picture)
        self._totals.append((time.perf_counter() - start) * 1e3)
        for stage, value in _split(self._spent, self._totals[-1] / 1e3, self._part).items():
            self._stages[stage].append(value * 1e3)
        return self._totals[-1]

    def timing(self) -> Timing:
        """Of all calls that counted; ValueError before the first."""
        if not self._totals:
            raise ValueError(f"{self._name} was not called yet: expected at least one call before its timing")
        median = float(np.median(self._totals))
        return Timing(
            model=self._name,
            image_size=(self.pictures[0].shape[1], self.pictures[0].shape[0]),
            people=self._people,
            calls=len(self._totals),
            ms_median=round(median, 3),
            ms_p95=round(float(np.percentile(self._totals, 95)), 3),
            ms_p99=round(float(np.percentile(self._totals, 99)), 3),
            fps=round(1e3 / median, 2),
            stages={stage: round(float(np.median(values)), 3) for stage, values in self._stages.items()},
        )


def noise(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """A picture (H, W, 3) of soft colored blobs, the same every time."""
    import cv2

    coarse = np.random.default_rng(seed).integers(0, 256, (size[1] // 40 + 2, size[0] // 40 + 2, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def spread(count: int, size: tuple[int, int]) -> np.ndarray:
    """(count, 4) upright boxes in rows over a picture of `size`, as large as fit side by side."""
    columns = max(1, int(np.ceil(np.sqrt(count * size[0] / size[1] * 2))))
    rows = max(1, -(-count // columns))
    index = np.arange(count)
    corner = np.stack([index % columns * size[0] / columns, index // columns * size[1] / rows], axis=-1)
    side = np.array([size[0] / columns, size[1] / rows])
    return np.concatenate([corner, corner + side], axis=-1)


def _instrumented(
    estimator: Estimator, spent: dict[str, float], people: int | None = None, boxes: np.ndarray | None = None
) -> Estimator:
    """A copy whose parts add what they take to `spent`; `people` replaces the detector's answer."""
    timed: Any = copy.copy(estimator)
    part = _part(estimator)
    timed.network = _Timed(estimator.network, spent, f"{part} run")
    timed.views = _Timed(estimator.views, spent, f"{part} pre", methods=("crops", "whole"))
    detector: Any = estimator.detector
    if isinstance(detector, Estimator):
        detector = _instrumented(detector, spent)
    if detector is not None:
        detector = _Timed(detector, spent, "detect")
    timed.detector = detector if people is None else Rehearsed(detector, people, boxes)
    return cast(Estimator, timed)


def _part(estimator: Estimator) -> str:
    return "detect" if len(estimator.skeleton) == 0 else "pose"


def _split(spent: dict[str, float], total: float, part: str) -> dict[str, float]:
    """Time of every stage in seconds; what is neither input nor network is "post"."""
    stages: dict[str, float] = {}
    whole = {part: total - spent.get("detect", 0.0)}
    if "detect" in spent:
        whole = {"detect": spent["detect"], **whole}
    for name, seconds in whole.items():
        pre, run = spent.get(f"{name} pre", 0.0), spent.get(f"{name} run", 0.0)
        stages |= {f"{name} pre": pre, f"{name} run": run, f"{name} post": seconds - pre - run}
    return stages


class _Timed:
    """Something whose calls (or only those of the methods named) add their time to an entry of `spent`."""

    def __init__(self, inner: Any, spent: dict[str, float], entry: str, methods: tuple[str, ...] = ()) -> None:
        self._inner, self._spent, self._entry, self._methods = inner, spent, entry, methods

    def __call__(self, *arguments: Any) -> Any:
        return self._measured(self._inner, *arguments)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        return functools.partial(self._measured, value) if name in self._methods else value

    def _measured(self, call: Any, *arguments: Any) -> Any:
        start = time.perf_counter()
        result = call(*arguments)
        self._spent[self._entry] = self._spent.get(self._entry, 0.0) + time.perf_counter() - start
        return result


@dataclass(frozen=True)
class Rehearsed:
    """A detector that is run, and then answers with boxes known beforehand."""

    detector: Any
    people: int
    boxes: np.ndarray | None

    def __call__(self, image: np.ndarray) -> Poses:
        if self.detector is not None:
            self.detector(image)
        if self.boxes is None or len(self.boxes) == 0:
            boxes = spread(self.people, (image.shape[1], image.shape[0]))
        else:
            boxes = np.resize(self.boxes, (self.people, 4))
        return Poses.of_boxes(boxes, np.ones(self.people))
