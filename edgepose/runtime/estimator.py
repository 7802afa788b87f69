"""Estimator: pictures in, people out, for every family."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edgepose.codec import Codec, FlipMerge, Guided, Thresholded, codec_of
from edgepose.geometry import area, clip_boxes, fixed_aspect
from edgepose.media.images import ImageLike, as_image
from edgepose.oks import oks_nms
from edgepose.poses import Poses
from edgepose.runtime.network import Network
from edgepose.runtime.region import Region, region_of, regions_of
from edgepose.runtime.tiles import Grid, grid_for, look, tiles_of
from edgepose.runtime.views import Views, back, forth
from edgepose.skeleton import Skeleton
from edgepose.spec import ModelSpec

Detector = Callable[[np.ndarray], Poses]

# On coco_mini's training pictures, F1 of boxes above 0.2, 0.3, 0.35, 0.4 and 0.5: RTMDet-nano 0.31, 0.46, 0.49, 0.49,
# 0.35; YOLOX-nano 0.54, 0.57, 0.54, 0.54, 0.53.
MIN_BOX_SCORE = 0.3
CHUNK = 16  # crops per run of a network that does not say what it likes best


@dataclass(frozen=True)
class Options:
    """What an Estimator does besides running its networks.

    min_box_score: people that a whole-picture network scores lower are dropped. It goes to the detector where that is
        an Estimator too. None: 0.3 for detectors and one-stage networks, whose published evaluations take 0.05 and
        0.001, and 0 for others (0 means: all that the codec decodes).
    min_score: people who are found and score lower in the end are left out; None: .5 where the model's scores are
        calibrated, else 0. People in boxes given by the caller all stay.
    max_people: keep at most this many people, best first.
    flip_test: also look at the mirror image, and average: twice the time, about 1 AP.
    scales: multi-scale test: look at each box at these multiples of its size, and average the keypoints, each weighed
        by its score, and the scores; the time grows with their number. For networks that look at one person at a time.
    duplicate_oks: of two detected people more alike than this OKS the one scored lower goes (papers take 0.9). People
        in boxes given by the caller all stay.
    chunk: crops per run of the network; None: what its session is fastest with.
    tiles: also look for people in so many rows and columns of overlapping tiles, (2, 3) or "2x3", or "auto": as many as
        the picture's size asks for. Finds small people; the search costs one run more for every tile.
    region: where people are looked for: "x,y,w,h", or the corners of a polygon, "x,y x,y x,y", in pixels of the whole
        picture, or with % after every number; numbers and pairs of them too. The network is shown the rectangle around
        it. Results stay in pixels of the whole picture.
    ignore: regions whose people are left out: one, or several of them.
    """

    min_box_score: float | None = None
    max_people: int | None = None
    flip_test: bool = False
    scales: tuple[float, ...] = (1.0,)
    duplicate_oks: float | None = None
    chunk: int | None = None
    tiles: Grid | str | None = None
    region: Any = None
    ignore: Any = ()
    min_score: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "tiles", tiles_of(self.tiles))
        object.__setattr__(self, "region", None if self.region is None else region_of(self.region))
        object.__setattr__(self, "ignore", regions_of(self.ignore))
        object.__setattr__(self, "scales", tuple(self.scales))
        if self.min_score is not None and not 0 <= self.min_score < np.inf:
            raise ValueError(
                f"min_score is {self.min_score}, expected a person's least score such as 0.5, or 0 for all"
            )
        if not self.scales or not all(0 < scale < np.inf for scale in self.scales):
            raise ValueError(f"scales are {list(self.scales)}, expected positive factors such as 0.75, 1, 1.25")
        if (self.chunk is not None and self.chunk < 1) or (self.max_people is not None and self.max_people < 0):
            raise ValueError(f"expected chunk >= 1 and max_people >= 0 or None, got {self.chunk} and {self.max_people}")


class Estimator:
    """A network that finds people, or one that looks at one person at a time with something that finds them.

    The network may be a session or a torch module behind the same protocol. Threads may share an estimator, and the
    same picture gives the same numbers in every one of them.

    Args:
        network: of a detector, of a whole-picture pose family, or of a per-person family.
        detector: for per-person networks that are called without boxes: an Estimator of a detector's network, or any
            function that makes Poses of a picture. None: the whole picture is the box of one person.
        min_box_score, max_people, flip_test, scales, duplicate_oks, chunk, tiles, region, ignore, min_score: kept in
            `Options`, which see. Of these `tiles`, `region` and `ignore` are for the search for people: who is in boxes
            that the caller gives is looked at wherever they are.
    """

    def __init__(
        self,
        network: Network,
        detector: Detector | None = None,
        *,
        min_box_score: float | None = None,
        max_people: int | None = None,
        flip_test: bool = False,
        scales: Sequence[float] = (1.0,),
        duplicate_oks: float | None = None,
        chunk: int | None = None,
        tiles: Grid | str | None = None,
        region: Any = None,
        ignore: Any = (),
        min_score: float | None = None,
    ) -> None:
        self.options = Options(
            min_box_score, max_people, flip_test, tuple(scales), duplicate_oks, chunk, tiles, region, ignore, min_score
        )
        if isinstance(network, Estimator) or not isinstance(getattr(network, "spec", None), ModelSpec):
            raise TypeError(
                f"expected a network, a function of a batch with a spec, got {type(network).__name__}; edgepose.load "
                "gives an estimator of a name or file, and its network is load(...).network"
            )
        self.network = network
        # In force; by default not where nobody is looked for, since then the caller knows that there is somebody.
        looked = detector is not None or not network.spec.per_person
        usual = network.spec.thresholds.person if looked else 0.0
        self.min_score: float = usual if min_score is None else min_score
        if network.spec.calibration is not None and self.min_score > 1:
            raise ValueError(f"min_score is {self.min_score:g}, which no probability reaches: expected 0 to 1")
        self.codec: Codec = codec_of(network.spec)
        self.views = Views(network.spec)
        self.detector = _detector(detector, network.spec, min_box_score)
        self._check_tiles()
        self.chunk: int = getattr(network, "chunk", CHUNK) if chunk is None else chunk  # crops per run, in force
        self._least = min_box_score or 0.0  # person score in a whole picture
        self._merge = self.codec if flip_test and isinstance(self.codec, FlipMerge) else None
        if flip_test and self._merge is None:
            raise ValueError(f"{network.spec.name} (codec {network.spec.codec}) has no flip test, expected False")
        if self.options.scales != (1.0,) and not network.spec.per_person:
            raise ValueError(
                f"{network.spec.name} sees the whole picture and has no multi-scale test: leave scales out"
            )
        if isinstance(self.codec, Thresholded):
            self._least = MIN_BOX_SCORE if min_box_score is None else min_box_score
            self.codec = self.codec.at_least(self._least)  # low scores never win, so they need not be decoded

    def __repr__(self) -> str:
        detector = "" if self.detector is None else f", detector={self.detector!r}"
        scores = ", calibrated scores" if self.spec.calibration is not None else ", uncalibrated scores"
        scores = scores if len(self.skeleton) else ""  # of boxes nobody expects it
        return f"<Estimator of {self.spec.name!r}, {self.skeleton.name}{scores}{detector}>"

    @property
    def spec(self) -> ModelSpec:
        """The network's."""
        return self.network.spec

    @property
    def skeleton(self) -> Skeleton:
        """What the keypoints of the result are; `skeleton.BOX` for a detector."""
        return self.codec.skeleton

    def __call__(
        self,
        image: ImageLike,
        boxes: ArrayLike | None = None,
        box_scores: ArrayLike | None = None,
        expected: np.ndarray | None = None,
        *,
        rgb: bool = False,
    ) -> Poses:
        """People of a picture, surest box first; of given boxes (N, 4), one person each, in order.

        The picture is an array (H, W, 3) uint8 BGR, or RGB with `rgb=True`, the path of a file, or a Pillow image.
        A given box counts with its score (N,) in the person's score, or with 1. `expected`, for given boxes: (N, K, 2)
        pixels where the keypoints are expected, NaN for anywhere; where the codec can, they decide between places
        about as likely.
        """
        given = None if boxes is None else [_given(boxes, box_scores, self.spec)]
        if expected is not None:
            shape = (0 if given is None else len(given[0]), len(self.skeleton), 2)
            if given is None or expected.shape != shape:
                raise ValueError(
                    f"{self.spec.name}: expected keypoints {shape} for as many given boxes, got {expected.shape}"
                )
        return self._estimate([as_image(image, rgb)], given, expected)[0]

    def batch(
        self, images: Sequence[ImageLike], boxes: Sequence[ArrayLike] | None = None, *, rgb: bool = False
    ) -> list[Poses]:
        """As one call per picture; crops of several pictures share runs of the network."""
        if isinstance(images, (str, Path)):
            raise TypeError(f"expected a sequence of pictures, got the path {images}: put it into a list")
        given = None if boxes is None else [_given(each, None, self.spec) for each in boxes]
        if given is not None and len(given) != len(images):
            raise ValueError(f"expected the boxes of {len(images)} pictures, got those of {len(given)}")
        return self._estimate([as_image(image, rgb) for image in images], given)

    def detect(self, image: np.ndarray) -> Poses:
        """Where the people of a picture are, for networks that look at one person at a time: boxes, no keypoints."""
        return self._limited(self._searched(image, self._detected))

    def _detected(self, image: np.ndarray) -> Poses:
        if self.detector is None:
            return Poses.of_boxes(np.array([[0, 0, image.shape[1], image.shape[0]]]), np.ones(1))
        found = self.detector(image)
        if not isinstance(found, Poses):
            raise TypeError(
                f"the detector returned {type(found).__name__}, expected Poses: wrap a network as Estimator(network)"
            )
        return found

    def wanted(self, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """(N,) bool: the people in boxes (N, 4) of a picture of `size` (w, h) whom `region` and `ignore` leave.

        The center counts: for `region` that of the part of the box inside the rectangle around it, which is all that
        the network is shown, for `ignore` that of the box.
        """
        keep, region = np.ones(len(boxes), bool), self.options.region
        if isinstance(region, Region):
            bounds = np.array(region.bounds(size))
            cut = np.clip(boxes, np.tile(bounds[:2], 2), np.tile(bounds[2:], 2))
            keep = region.holds(cut, size) & (area(cut) > 0)
        for ignored in self.options.ignore:
            keep &= ~ignored.holds(boxes, size)
        return keep

    def _searched(self, image: np.ndarray, find: Callable[[np.ndarray], Poses]) -> Poses:
        """The people that `find` sees in what the options say of a picture, in pixels of the whole."""
        options, size = self.options, (image.shape[1], image.shape[0])
        if options.tiles is None and options.region is None and not options.ignore:
            return find(image)
        x1, y1, x2, y2 = (0, 0, *size) if options.region is None else options.region.bounds(size)
        part = image[y1:y2, x1:x2]
        grid = options.tiles if isinstance(options.tiles, tuple) else None
        if options.tiles == "auto":
            grid = grid_for((x2 - x1, y2 - y1), self._shown())
        found = find(part) if grid is None else look(part, find, grid)
        found = found.mapped(np.array([[1.0, 0, x1], [0, 1.0, y1]]))
        return found[self.wanted(found.boxes, size)]

    def _shown(self) -> tuple[int, int]:
        """(w, h) at which the network that finds people sees a picture."""
        finder = self.detector if self.spec.per_person else self
        assert isinstance(finder, Estimator)
        return finder.spec.input_size

    def _check_tiles(self) -> None:
        if self.options.tiles is None or not self.spec.per_person:
            return
        if self.detector is None:
            raise ValueError(f"{self.spec.name} has no detector, so there is nothing to find in tiles: leave tiles out")
        if self.options.tiles == "auto" and not isinstance(self.detector, Estimator):
            raise ValueError(
                'tiles are "auto" and the detector is a function of your own, whose input size nobody knows: expected '
                "rows and columns, such as 2x3"
            )

    def replace(self, **changes: Any) -> Estimator:
        """The same with other `Options`, `network` or `detector`; TypeError for what is none of them."""
        network, detector = changes.pop("network", self.network), changes.pop("detector", self.detector)
        options = dataclasses.replace(self.options, **changes)
        return Estimator(network, detector, **vars(options))

    def _estimate(
        self, images: list[np.ndarray], given: list[Poses] | None, expected: np.ndarray | None = None
    ) -> list[Poses]:
        if not self.spec.per_person:
            if given is not None:
                raise ValueError(f"{self.spec.name} finds people by itself, expected no boxes but the picture alone")
            return [self._good(self._limited(self._searched(image, self._whole))) for image in images]
        found = given if given is not None else [self.detect(image) for image in images]
        people = list(self._persons(images, found, expected))
        alike = self.options.duplicate_oks
        if given is not None:
            return people
        if alike is not None:
            people = [poses[distinct(poses, self.spec, alike)] for poses in people]
        return [self._good(poses) for poses in people]

    def _persons(self, images: list[np.ndarray], found: list[Poses], expected: np.ndarray | None) -> Iterator[Poses]:
        """One person per box of `found` for each picture, from as few runs as there are chunks of crops."""
        sources = [image for image, poses in zip(images, found, strict=True) for _ in range(len(poses))]
        if not sources:
            yield from (Poses.nobody(self.skeleton) for _ in images)
            return
        boxes = np.concatenate([poses.boxes for poses in found])
        views = [
            self._seen(sources, self.views.matrices(_scaled(boxes, scale)), expected) for scale in self.options.scales
        ]
        keypoints, scores, sure = views[0] if len(views) == 1 else _averaged(views)
        start = 0
        for poses in found:
            rows = slice(start, start + len(poses))
            start = rows.stop
            raw = poses.person_scores**self.spec.box_exponent * sure[rows]
            yield self._calibrated(Poses(keypoints[rows], scores[rows], poses.boxes, raw, self.skeleton))

    def _seen(
        self, sources: list[np.ndarray], matrices: np.ndarray, expected: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Keypoints (N, K, 2) in the picture, their scores (N, K) and the people's (N,) through crops (N, 2, 3)."""
        parts = []
        for chunk in _even(len(sources), self.chunk):
            outputs = self._outputs(self.views.crops(sources[chunk], matrices[chunk]))
            if expected is not None and isinstance(self.codec, Guided):
                parts.append(self.codec.decode_near(outputs, forth(expected[chunk], matrices[chunk])))
            else:
                parts.append(self.codec.decode(outputs))
        keypoints = back(np.concatenate([part.keypoints for part in parts]), matrices)
        scores = np.concatenate([part.scores for part in parts])
        return keypoints, scores, np.concatenate([part.person_scores for part in parts])

    def _whole(self, image: np.ndarray) -> Poses:
        """People that a whole-picture network finds, best first; boxes are cut to the picture."""
        batch, matrix = self.views.whole(image)
        poses = self.codec.decode(self._outputs(batch))
        size = (image.shape[1], image.shape[0])
        # published detectors scale the edges of boxes, not the centers of pixels
        edges = matrix * [1, 1, 0] if self.spec.warp == "letterbox" else matrix
        boxes = clip_boxes(back(poses.boxes.reshape(-1, 2, 2), edges).reshape(-1, 4), size)
        kept = (poses.person_scores >= self._least) & (area(boxes) > 0)
        keypoints = back(poses.keypoints[kept], matrix)
        raw = Poses(keypoints, poses.scores[kept], boxes[kept], poses.person_scores[kept], self.skeleton)
        return self._calibrated(raw)

    def _calibrated(self, poses: Poses) -> Poses:
        """The same people with probabilities for scores, where the spec knows them."""
        known = self.spec.calibration
        if known is None:
            return poses
        scores, sure = known.of_keypoints(poses.scores), known.of_people(poses.person_scores)
        return dataclasses.replace(poses, scores=scores, person_scores=sure, calibrated=True)

    def _good(self, poses: Poses) -> Poses:
        """Those who score high enough."""
        return poses if self.min_score <= 0 else poses[poses.person_scores >= self.min_score]

    def _outputs(self, batch: np.ndarray) -> list[np.ndarray]:
        outputs = self.network(batch)
        if self._merge is None:
            return outputs
        mirrored = batch[:, :, ::-1] if self.spec.layout == "nhwc" else batch[..., ::-1]
        return self._merge.merge_flipped(outputs, self.network(np.ascontiguousarray(mirrored)))

    def _limited(self, poses: Poses) -> Poses:
        """At most `max_people`, the best, in their order."""
        most = self.options.max_people
        if most is None or len(poses) <= most:
            return poses
        return poses[np.sort(np.argsort(-poses.person_scores, kind="stable")[:most])]


def distinct(poses: Poses, spec: ModelSpec, threshold: float) -> np.ndarray:
    """Indices (M,), rising, of the people of a per-person network who stay: without those whose OKS with somebody
    scored higher exceeds `threshold`. The published measure of size is the crop's area.
    """
    if len(poses) < 2:
        return np.arange(len(poses))
    sides = fixed_aspect((poses.boxes[:, 2:] - poses.boxes[:, :2]) * spec.padding, spec.input_size)
    kept = oks_nms(poses.keypoints, poses.person_scores, sides.prod(-1), poses.skeleton.sigmas, threshold)
    return np.sort(kept)


def _detector(detector: Detector | None, spec: ModelSpec, min_box_score: float | None) -> Detector | None:
    """What finds the people for the network of `spec`, as a function of the picture."""
    if detector is None:
        return None
    if not spec.per_person:
        raise ValueError(f"{spec.name} finds people by itself, expected detector=None")
    if not callable(detector):
        raise TypeError(f"{spec.name}: expected a detector of pictures, or None, got {type(detector).__name__}")
    if not isinstance(detector, Estimator):
        return detector
    if detector.spec.per_person:
        raise ValueError(f"{detector.spec.name} cannot detect: it looks at one person at a time, expected a detector")
    return detector if min_box_score is None else detector.replace(min_box_score=min_box_score)


def _given(boxes: ArrayLike, scores: ArrayLike | None, spec: ModelSpec) -> Poses:
    """Boxes and scores of the caller, checked."""
    rows = np.asarray(boxes, np.float32)
    rows = rows.reshape(0, 4) if rows.size == 0 else rows
    expected = f"{spec.name}: expected boxes (N, 4) as x1, y1, x2, y2 in pixels"
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise ValueError(f"{expected}, got shape {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError(f"{expected}, got numbers that are not finite")
    if (rows[:, 2:] < rows[:, :2]).any():
        bad = int(np.flatnonzero((rows[:, 2:] < rows[:, :2]).any(axis=1))[0])
        raise ValueError(f"{expected}, got {rows[bad].tolist()}, which ends before it starts; is it x, y, w, h?")
    sure = np.ones(len(rows)) if scores is None else np.asarray(scores, np.float32)
    if sure.shape != (len(rows),):
        raise ValueError(f"{spec.name}: expected one score per box ({len(rows)}), got shape {sure.shape}")
    return Poses.of_boxes(rows, sure)


def _scaled(boxes: np.ndarray, scale: float) -> np.ndarray:
    """Boxes (N, 4) about their centers."""
    if scale == 1:
        return boxes
    centers, halves = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) * (scale / 2)
    return np.concatenate([centers - halves, centers + halves], axis=1)


def _averaged(
    views: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keypoints weighed by their scores, and mean scores; where no view saw anything, the plain mean."""
    keypoints, scores, sure = (np.stack(each) for each in zip(*views, strict=True))
    weights = np.maximum(scores, 0)
    total = weights.sum(axis=0)
    weights = np.where(total > 0, weights / np.where(total > 0, total, 1), 1 / len(views))
    return (keypoints * weights[..., None]).sum(axis=0), scores.mean(axis=0), sure.mean(axis=0)


def _even(total: int, most: int) -> Iterator[slice]:
    """`total` rows as the fewest slices of at most `most`, as even as can be."""
    count = -(-total // most)
    for i in range(count):
        yield slice(i * total // count, (i + 1) * total // count)
