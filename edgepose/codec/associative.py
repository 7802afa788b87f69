"""Associative embedding: heat-maps at 1/4 and 1/2 of the input, and tags that say which keypoints belong together.

Newell et al., 2017; as in HigherHRNet (Cheng et al., 2020), LitePose (Wang et al., 2022) and EfficientHRNet
(Neff et al., 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np

from edgepose.codec import grouping
from edgepose.codec.comparison import BEST
from edgepose.codec.grouping import Peaks, quarters
from edgepose.geometry import boxes_of
from edgepose.names import expected
from edgepose.poses import Poses
from edgepose.skeleton import COCO, Skeleton

Grouping = Literal["fast", "published"]
GROUPINGS: tuple[Grouping, ...] = get_args(Grouping)
STRIDES = (4, 2)


@dataclass(frozen=True)
class Associative:
    """Everybody in a picture, from maps and tags.

    sigma: of the target Gaussians in cells, at both scales
    people: how many are looked for
    window: a peak has no higher neighbor in a square of so many cells
    threshold: heat that a peak needs
    tag_threshold: keypoints with tags farther apart than this are of different people
    grouping: "fast", or "published" for the published parser with its quirks
    project: group on maps enlarged to the input's size, as published evaluations do: many times slower
    refine: look for the keypoints that grouping did not find
    """

    input_size: tuple[int, int]  # w, h
    skeleton: Skeleton = COCO
    sigma: float = 2.0
    people: int = 30
    window: int = 5
    threshold: float = 0.1
    tag_threshold: float = 1.0
    grouping: Grouping = "fast"
    project: bool = False
    refine: bool = True

    def __post_init__(self) -> None:
        if self.input_size[0] % 32 or self.input_size[1] % 32:
            raise ValueError(f"Associative needs an input_size in multiples of 32, got {self.input_size}")
        if self.grouping not in GROUPINGS:
            raise ValueError(f"unknown grouping {self.grouping!r}{expected(self.grouping, GROUPINGS)}")
        if self.people < 1 or self.window < 1 or self.window % 2 == 0:
            raise ValueError(f"expected people >= 1 and an odd window, got {self.people} and {self.window}")
        if self.sigma <= 0 or self.threshold < 0 or self.tag_threshold <= 0:
            raise ValueError(
                f"expected sigma > 0, threshold >= 0 and tag_threshold > 0, got {self.sigma}, {self.threshold} and "
                f"{self.tag_threshold}"
            )

    @property
    def output_names(self) -> tuple[str, ...]:
        """Of an exported file, which finds the peaks itself; ncnn's has the network's two outputs."""
        return "heatmaps", "tags", "peak_scores", "peak_cells"

    def encode(self, keypoints: np.ndarray, visible: np.ndarray) -> dict[str, np.ndarray]:
        """People (N, K, 2) of one picture in input pixels, visible (N, K) -> targets of both scales.

        heatmaps_4 (K, h/4, w/4) and heatmaps_2 (K, h/2, w/2) float32; joints_4 (people, K, 2) int32: for each person,
        one after the other, the cells of its keypoints in all tag maps counted together, and 1; then zeros.

        Coordinates are rounded towards zero, as published, so what lies less than a cell outside the upper left counts
        as inside. Of more people than there are rows the first that have a keypoint in view are kept.
        """
        k = len(self.skeleton)
        targets: dict[str, np.ndarray] = {}
        for stride in STRIDES:
            width, height = self.input_size[0] // stride, self.input_size[1] // stride
            cells = np.trunc(np.asarray(keypoints, np.float64) / stride)
            inside = (cells >= 0).all(-1) & (cells[..., 0] < width) & (cells[..., 1] < height) & (visible > 0)
            cells = np.where(inside[..., None], cells, 0).astype(np.int64)
            targets[f"heatmaps_{stride}"] = _gaussians(cells, inside, (width, height), self.sigma)
            if stride == STRIDES[0]:
                flat = np.arange(k) * (width * height) + cells[..., 1] * width + cells[..., 0]  # (N, K)
                targets["joints_4"] = _packed(flat, inside, self.people)
        return targets

    def decode(self, outputs: list[np.ndarray]) -> Poses:
        """Outputs of one picture -> its people in input pixels, best first.

        They may be the network's (1, 2K, h/4, w/4) and (1, K, h/2, w/2), what `merge_flipped` gives, or an exported
        file's: heat-maps (1, K, h/2, w/2), tags (1, K, h/4, w/4), and scores and cells (1, K, M) of its peaks.
        A keypoint's score is its heat, a missing one's 0; a person's is the mean over all K keypoints before missing
        ones are looked for.
        """
        heat, tags = self.maps(outputs)
        inside = len(outputs) == 4 and not self.project  # the graph has found the peaks
        return self.decode_maps(heat, tags, self._peaks(outputs, heat) if inside else None)

    def decode_maps(
        self, heat: np.ndarray, tags: np.ndarray, found: tuple[np.ndarray, np.ndarray] | None = None
    ) -> Poses:
        """Heat-maps (K, H, W) and tags (T, K, h, w), as `maps` or `aggregate` gives them -> people, as `decode` does.

        found: scores and cells (K, M) of the peaks, where they are known.
        """
        if self.project:
            heat = resized(heat, self.input_size)
        size = (heat.shape[2], heat.shape[1])
        if (self.project or self.grouping == "published") and tags.shape[2:] != heat.shape[1:]:
            tags = np.stack([resized(resized(plane, self._fine), size) for plane in tags])
        values, cells = found or grouping.find_peaks(heat, self.people, self.window, self.threshold)
        y, x = np.divmod(cells, heat.shape[2])
        peaks = Peaks(x, y, values, sampled(tags, x, y, heat.shape[1:]))
        people, scores = self.parse(peaks, heat, tags)
        return self._poses(people, scores, (heat.shape[2], heat.shape[1]))

    def parse(self, peaks: Peaks, heat: np.ndarray, tags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Peaks of maps (K, H, W) with tags (T, K, h, w) -> people (P, K, 3 + T) in cells of `heat`, scores (P,)."""
        published = self.grouping == "published"
        if published:
            people = grouping.group_published(peaks, self.threshold, self.tag_threshold, self.people)
        else:
            diagonal = float(np.hypot(*heat.shape[1:]))
            people = grouping.group(peaks, self.threshold, self.tag_threshold, self.people, diagonal)
        people = grouping.adjust(people, heat)
        scores = people[..., 2].mean(1)
        if self.refine:
            people = (grouping.refine_published if published else grouping.refine)(people, heat, tags)
        return people, scores

    def maps(self, outputs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Any outputs that `decode` takes -> heat-maps (K, h/2, w/2) and tags (T, K, h/4, w/4) of one picture."""
        k, (fine_w, fine_h) = len(self.skeleton), self._fine
        shapes = [output.shape for output in outputs]
        coarse = (fine_h // 2, fine_w // 2)
        if shapes == [(1, 2 * k, *coarse), (1, k, fine_h, fine_w)]:
            return (resized(outputs[0][0, :k], self._fine) + outputs[1][0]) / 2, outputs[0][:, k:]
        merged = len(shapes) in (2, 4) and shapes[0] == (1, k, fine_h, fine_w) and shapes[1][2:] == coarse
        if not merged or shapes[1][0] != 1 or shapes[1][1] % k or shapes[1][1] == 0:
            raise ValueError(
                f"Associative decodes one picture at a time, (1, {2 * k}, {coarse[0]}, {coarse[1]}) and "
                f"(1, {k}, {fine_h}, {fine_w}), or an exported file's heat-maps, tags and peaks, got {shapes}"
            )
        if len(shapes) == 4 and (shapes[2] != shapes[3] or shapes[2][:2] != (1, k)):
            raise ValueError(f"Associative expects scores and cells (1, {k}, M) of peaks, got {shapes[2:]}")
        return outputs[0][0], outputs[1][0].reshape(-1, k, *coarse)

    def merge_flipped(self, outputs: list[np.ndarray], flipped: list[np.ndarray]) -> list[np.ndarray]:
        """Outputs of a picture and of its mirror image (flip test) -> mean heat-maps, and the tags of both.

        (1, K, h/2, w/2) and (1, 2K, h/4, w/4): tags are never averaged, since each pass has its own.
        """
        heat, tags = self.maps(outputs)
        other, more = (planes[..., self.skeleton.flip, :, ::-1] for planes in self.maps(flipped))
        both = np.concatenate([tags, more])  # (2, K, h/4, w/4)
        return [((heat + other) / 2)[None], both.reshape(1, -1, *both.shape[2:])]

    def apart(self, ours: list[np.ndarray], theirs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Distances of keypoints in pixels at the best peaks of `ours`, and differences of heat, of tags and of the
        scores of peaks; see `Codec.apart`.
        """
        (heat, tags), (other_heat, other_tags) = self.maps(ours), self.maps(theirs)
        (values, cells), (other_values, _) = self._peaks(ours, heat), self._peaks(theirs, other_heat)
        k, (height, width) = len(heat), heat.shape[1:]
        best = np.argsort(-values.ravel(), kind="stable")[:BEST]
        joint, cell = best // values.shape[1], cells.reshape(-1)[best]
        y, x = np.divmod(cell, width)
        moved = quarters(heat, joint, x, y) - quarters(other_heat, joint, x, y)  # (n, 2) cells
        distances = np.linalg.norm(moved, axis=-1) * self.input_size[0] / width
        found, other_found = (
            sampled(planes, x[None].repeat(k, 0), y[None].repeat(k, 0), (height, width))
            for planes in (tags, other_tags)
        )
        own = joint, np.arange(len(best))
        differences = (
            np.abs(heat[joint, y, x] - other_heat[joint, y, x]),
            np.abs(found[own] - other_found[own]).ravel(),
            np.abs(np.sort(values.ravel()) - np.sort(other_values.ravel())),  # equal ones may change places
        )
        return distances, np.concatenate(differences)

    def _peaks(self, outputs: list[np.ndarray], heat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores and cells (K, M) of the peaks that an exported file found, or of all peaks of maps (K, H, W)."""
        if len(outputs) == 4:
            return outputs[2][0].astype(np.float32), outputs[3][0].astype(np.int64)
        return grouping.find_peaks(heat, self.people, self.window, 0.0)

    @property
    def _fine(self) -> tuple[int, int]:
        """(w, h) of the finer maps."""
        return self.input_size[0] // STRIDES[1], self.input_size[1] // STRIDES[1]

    def _poses(self, people: np.ndarray, scores: np.ndarray, size: tuple[int, int]) -> Poses:
        """People in cells of a map of `size` -> Poses, best first. Boxes: the keypoints' extent and a tenth."""
        people, scores = people[np.argsort(-scores, kind="stable")], -np.sort(-scores)
        keypoints = people[..., :2] * (np.array(self.input_size) / size)
        boxes = boxes_of(keypoints, people[..., 2])
        margin = np.maximum(0.1 * (boxes[:, 2:] - boxes[:, :2]).max(1, initial=0, keepdims=True), STRIDES[0])
        boxes = boxes + margin * [-1, -1, 1, 1]
        return Poses(keypoints, people[..., 2], boxes, scores, self.skeleton)


def aggregate(
    scales: Sequence[tuple[float, Sequence[Sequence[np.ndarray]]]], flip: Sequence[int], size: tuple[int, int] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of one picture at several scales -> heat-maps (K, H, W) and tags (T, K, H, W) for grouping.

    The published multi-scale test, for callers that can run a network at several sizes: heat is averaged over scales
    and mirror images, tags are those of scale 1.

    Args:
        scales: (factor, passes) where passes is [outputs], or [outputs, outputs of the mirror image]; the network's, or
            an exported file's heat-maps and tags.
        flip: the skeleton's, for mirror images.
        size: (w, h) of the result, published the input's at scale 1; None: of the finer maps at the largest scale.
    """
    k = len(flip)
    heats: list[np.ndarray] = []
    tags: list[np.ndarray] = []
    for factor, passes in sorted(scales, key=lambda scale: -scale[0]):
        planes = []
        for mirrored, (first, second) in zip((False, True), (outputs[:2] for outputs in passes), strict=False):
            if first.shape[1] == 2 * k:  # of the network itself: coarse maps and tags, then fine maps
                fine_size = (second.shape[3], second.shape[2])
                pair = [(resized(first[0, :k], fine_size) + second[0]) / 2, resized(first[0, k:], fine_size)]
            else:
                fine_size = (first.shape[3], first.shape[2])
                pair = [first[0], resized(second[0], fine_size)]
            if mirrored:
                pair = [plane[list(flip), :, ::-1] for plane in pair]
            target = size or (fine_size if not heats else (heats[0].shape[2], heats[0].shape[1]))
            heat, tag = (resized(plane, target) for plane in pair)
            planes.append(heat)
            if factor == 1 or len(scales) == 1:
                tags.append(tag)
        heats.append(np.mean(planes, axis=0))
    if not tags:
        raise ValueError(f"expected a scale of 1 for the tags, got scales {[factor for factor, _ in scales]}")
    return np.mean(heats, axis=0), np.stack(tags)


def resized(planes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps (K, h, w) -> (K, H, W) of `size` (w, h), bilinear between the centers of cells."""
    if planes.shape[2:0:-1] == size:
        return planes
    each = (np.ascontiguousarray(plane, np.float32) for plane in planes)
    return np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in each])


def sampled(tags: np.ndarray, x: np.ndarray, y: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Tags (T, K, h, w) at cells (K, M) of maps of `shape` (H, W), bilinear -> (K, M, T) float32."""
    rows, columns = tags.shape[2:]
    joint = np.arange(len(x))[:, None]
    if (rows, columns) == tuple(shape):
        return np.moveaxis(tags[:, joint, y, x], 0, -1)
    u = np.clip((x + 0.5) * (columns / shape[1]) - 0.5, 0, columns - 1)
    v = np.clip((y + 0.5) * (rows / shape[0]) - 0.5, 0, rows - 1)
    left, top = u.astype(np.int64), v.astype(np.int64)
    right, below = np.minimum(left + 1, columns - 1), np.minimum(top + 1, rows - 1)
    across, down = (u - left).astype(np.float32), (v - top).astype(np.float32)
    upper = tags[:, joint, top, left] * (1 - across) + tags[:, joint, top, right] * across
    lower = tags[:, joint, below, left] * (1 - across) + tags[:, joint, below, right] * across
    return np.moveaxis(upper * (1 - down) + lower * down, 0, -1)  # (T, K, M) -> (K, M, T)


def _gaussians(cells: np.ndarray, inside: np.ndarray, size: tuple[int, int], sigma: float) -> np.ndarray:
    """(N, K, 2) cells, those inside -> (K, h, w) float32: squares of 6 sigma + 3 cells, the highest value counts."""
    width, height = size
    reach = int(3 * sigma + 1)
    line = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    patch = (line[:, None] * line).astype(np.float32)
    maps = np.zeros((cells.shape[1], height, width), np.float32)
    for n, k in zip(*np.nonzero(inside), strict=True):
        x, y = cells[n, k]
        x1, x2 = max(x - reach, 0), min(x + reach + 1, width)
        y1, y2 = max(y - reach, 0), min(y + reach + 1, height)
        view = maps[k, y1:y2, x1:x2]
        np.maximum(view, patch[y1 - y + reach : y2 - y + reach, x1 - x + reach : x2 - x + reach], out=view)
    return maps


def _packed(flat: np.ndarray, inside: np.ndarray, people: int) -> np.ndarray:
    """(N, K) cells, those inside -> (people, K, 2) int32, each person's at the front."""
    if len(flat) > people:
        some = inside.any(1)
        flat, inside = flat[some][:people], inside[some][:people]
    joints = np.zeros((people, flat.shape[1], 2), np.int32)
    for row, cells, seen in zip(joints, flat, inside, strict=False):
        row[: seen.sum()] = np.stack([cells[seen], np.ones(seen.sum())], axis=-1)
    return joints
