"""Skeletons: what the keypoints are called, how they are joined, mirrored and scored.

Orders, flips and sigmas of the built-in ones are those of the data sets' published metadata. Two skeletons meet by
keypoint *name* (`shared`), never by index: LSP's left ankle is COCO's left ankle wherever it stands, and however it is
spelled (`edgepose.spelling`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from edgepose.names import expected
from edgepose.spelling import folded, mirrored_by_name, side_of

# Published names that mean the same point of the body.
SYNONYMS = {"top_head": "head_top", "head": "head_top", "upper_neck": "neck", "hip": "pelvis"}


# OKS fall-off of a keypoint of which nothing is known: between COCO's eyes (.025) and hips (.107), whose points people
# place better and worse than the tips, corners and joints that own skeletons are made of. A point that is off by
# .118 sqrt(area) then has a similarity of one half.
DEFAULT_SIGMA = 0.05
LONGEST = 200  # signs of a name
MOST = 1000  # keypoints, and limbs for each: more is a mistake, or a file meant to do harm


@dataclass(frozen=True)
class Skeleton:
    """K keypoints of one kind of body or thing.

        Skeleton("tool", ("grip", "left_tip", "right_tip"), limbs=((0, 1), (0, 2)))

    Lists are taken for tuples. ValueError for what does not fit together.

    names:      K different names; sides are the person's or animal's own
    limbs:      pairs of indices to draw; there need not be any
    oks_sigmas: K OKS fall-offs, in units of the square root of the person's area. Where none are given: those of the
                built-in skeleton that has all these names, else DEFAULT_SIGMA for each
    upper:      indices above the waist; the rest is lower (half-body augmentation)
    pairs:      indices of keypoints that are each other's mirror image; None: found by name (left_eye and right_eye)
    """

    name: str
    names: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...] = ()
    oks_sigmas: tuple[float, ...] = ()
    upper: tuple[int, ...] = ()
    pairs: tuple[tuple[int, int], ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        for field in ("limbs", "pairs"):
            if getattr(self, field) is not None:
                object.__setattr__(self, field, tuple((a, b) for a, b in getattr(self, field)))
        object.__setattr__(self, "upper", tuple(self.upper))
        k = len(self.names)
        if k > MOST or len(self.limbs) > MOST * max(k, 1):
            raise ValueError(f"skeleton {self.name}: {k} keypoints, {len(self.limbs)} limbs, expected at most {MOST}")
        for name in (self.name, *self.names):
            if not isinstance(name, str) or not name.strip() or len(name) > LONGEST or not name.isprintable():
                raise ValueError(
                    f"skeleton {self.name!r}: a name is {str(name)[:LONGEST]!r}, expected text of 1 to {LONGEST} signs "
                    "on one line"
                )
        if len(set(self.names)) != k:
            raise ValueError(f"skeleton {self.name}: keypoint names repeat: {self.names}")
        object.__setattr__(self, "oks_sigmas", tuple(self.oks_sigmas) or _default_sigmas(self.names))
        if len(self.oks_sigmas) != k:
            raise ValueError(f"skeleton {self.name}: {len(self.oks_sigmas)} sigmas for {k} keypoints")
        if not all(math.isfinite(sigma) and sigma > 0 for sigma in self.oks_sigmas):
            raise ValueError(f"skeleton {self.name}: sigmas are {self.oks_sigmas}, expected positive numbers")
        if any(not 0 <= i < k for limb in self.limbs for i in limb):
            raise ValueError(f"skeleton {self.name}: a limb names a keypoint beyond {k - 1}")
        if any(not 0 <= i < k for i in self.upper):
            raise ValueError(f"skeleton {self.name}: upper names a keypoint beyond {k - 1}")
        if self.pairs is not None:
            _check_pairs(self.name, self.names, self.pairs)

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def sigmas(self) -> np.ndarray:
        """(K,) float64."""
        return np.array(self.oks_sigmas, np.float64)

    @cached_property
    def flip(self) -> np.ndarray:
        """(K,) int: index of each keypoint's mirror image, as `pairs` say, else by name (left_x <-> right_x)."""
        if self.pairs is None:
            return _flip_by_name(self.names)
        mirror = np.arange(len(self))
        for a, b in self.pairs:
            mirror[a], mirror[b] = b, a
        return mirror

    @cached_property
    def lower(self) -> tuple[int, ...]:
        """Indices that are not `upper`."""
        return tuple(i for i in range(len(self)) if i not in self.upper)

    @property
    def built_in(self) -> bool:
        """Whether it is one of SKELETONS."""
        return SKELETONS.get(self.name) == self

    def index(self, keypoint: int | str) -> int:
        """Which keypoint a name means; a number within 0 to K - 1 is itself. ValueError for any other."""
        if isinstance(keypoint, str):
            if keypoint in self.names:
                return self.names.index(keypoint)
            raise ValueError(f"skeleton {self.name!r} has no keypoint {keypoint!r}{expected(keypoint, self.names)}")
        if not 0 <= keypoint < len(self):
            raise ValueError(f"skeleton {self.name!r} has keypoints 0 to {len(self) - 1}, got {keypoint}")
        return int(keypoint)

    def reordered(self, order: Sequence[int]) -> Skeleton:
        """The same keypoints in another order, `order[i]` the index here of the new keypoint i; sides and limbs go
        along.
        """
        place = {old: new for new, old in enumerate(order)}
        pairs = [(int(i), int(j)) for i, j in enumerate(self.flip) if i < j]
        return replace(
            self,
            names=tuple(self.names[i] for i in order),
            limbs=tuple((place[a], place[b]) for a, b in self.limbs if a in place and b in place),
            oks_sigmas=tuple(self.oks_sigmas[i] for i in order),
            upper=tuple(sorted(place[i] for i in self.upper if i in place)),
            pairs=tuple((place[a], place[b]) for a, b in pairs if a in place and b in place),
        )


def _check_pairs(skeleton: str, names: Sequence[str], pairs: Sequence[tuple[int, int]]) -> None:
    """ValueError, naming the pair, for pairs out of range, of one keypoint, told twice, or against the names."""
    by_name = _flip_by_name(names)
    seen: set[int] = set()
    for a, b in pairs:
        if not (0 <= a < len(names) and 0 <= b < len(names)):
            raise ValueError(f"skeleton {skeleton}: the pair {a}, {b} names a keypoint beyond {len(names) - 1}")
        shown = f"skeleton {skeleton}: the pair {names[a]}, {names[b]}"
        if a == b or {a, b} & seen:
            raise ValueError(f"{shown} repeats a keypoint: each has one mirror image")
        seen |= {a, b}
        for i, j in ((a, b), (b, a)):
            if by_name[i] not in (i, j):
                raise ValueError(
                    f"{shown} is against the names: the mirror image of {names[i]} is {names[by_name[i]]}; correct "
                    "the pair, or rename the keypoints"
                )
        side = side_of(names[a])
        if side is not None and side == side_of(names[b]):
            raise ValueError(f"{shown} is against the names: both are on the {side}")


def _default_sigmas(names: Sequence[str]) -> tuple[float, ...]:
    """What `Skeleton` says of sigmas that nobody gave."""
    if not names:
        return ()
    wanted = [meaning(name) for name in names]
    for known in SKELETONS.values():
        sigma = {meaning(name): value for name, value in zip(known.names, known.oks_sigmas, strict=True)}
        if set(wanted) <= set(sigma) and len(set(wanted)) == len(wanted):
            return tuple(sigma[name] for name in wanted)
    return (DEFAULT_SIGMA,) * len(names)


def meaning(name: str) -> str:
    """What names of one point of the body have in common, however they are spelled."""
    plain = folded(name)
    return SYNONYMS.get(plain, plain)


def shared(source: Skeleton, target: Skeleton) -> list[tuple[int, int]]:
    """(index in source, index in target) of every keypoint that both have, matched by name."""
    index = _places(target)
    pairs = ((i, index.get(name)) for i, name in enumerate(_keys(source)))
    return [(i, j) for i, j in pairs if j is not None]


def _places(skeleton: Skeleton) -> dict[str, int]:
    return {name: i for i, name in enumerate(_keys(skeleton))}


def _keys(skeleton: Skeleton) -> list[str]:
    """What each keypoint means, or its name as it is where two names of the skeleton would mean the same."""
    keys = [meaning(name) for name in skeleton.names]
    return keys if len(set(keys)) == len(keys) else list(skeleton.names)


# The 68 face points mirror within themselves (iBUG order); `face_i` -> `face_j`.
_FACE_MIRROR = (
    *range(16, -1, -1), 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 27, 28, 29, 30, 35, 34, 33, 32, 31,
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40, 54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55,
    64, 63, 62, 61, 60, 67, 66, 65,
)  # fmt: skip


_FACE_NAMES = [f"face_{i}" for i in range(len(_FACE_MIRROR))]


def _flip_by_name(names: Sequence[str]) -> np.ndarray:
    mirror = mirrored_by_name(names)
    if set(_FACE_NAMES) <= set(names):
        index = {name: i for i, name in enumerate(names)}
        for name, image in zip(_FACE_NAMES, _FACE_MIRROR, strict=True):
            mirror[index[name]] = index[f"face_{image}"]
    return np.array(mirror, np.int64)


_HEAD = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
_BODY = (
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
_COCO_NAMES = _HEAD + _BODY
_COCO_LIMBS = (
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10),
    (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
)  # fmt: skip
_BODY_SIGMAS = (0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089)
_COCO_SIGMAS = (0.026, 0.025, 0.025, 0.035, 0.035, *_BODY_SIGMAS)

COCO = Skeleton("coco", _COCO_NAMES, _COCO_LIMBS, _COCO_SIGMAS, upper=tuple(range(11)))

CROWDPOSE = Skeleton(
    "crowdpose",
    (*_BODY, "top_head", "neck"),
    ((10, 8), (8, 6), (11, 9), (9, 7), (6, 7), (0, 6), (1, 7), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (12, 13),
     (1, 13), (0, 13)),
    (*_BODY_SIGMAS, 0.079, 0.079),
    upper=(0, 1, 2, 3, 4, 5, 12, 13),
)  # fmt: skip

MPII = Skeleton(
    "mpii",
    ("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax", "upper_neck",
     "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
    ((0, 1), (1, 2), (2, 6), (6, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9), (8, 12), (12, 11), (11, 10), (8, 13),
     (13, 14), (14, 15)),
    (0.089, 0.083, 0.107, 0.107, 0.083, 0.089, 0.026, 0.026, 0.026, 0.026, 0.062, 0.072, 0.179, 0.179, 0.072, 0.062),
    upper=(7, 8, 9, 10, 11, 12, 13, 14, 15),
)  # fmt: skip

AIC = Skeleton(
    "aic",
    ("right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist", "right_hip",
     "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "head_top", "neck"),
    ((2, 1), (1, 0), (0, 13), (13, 3), (3, 4), (4, 5), (8, 7), (7, 6), (6, 9), (9, 10), (10, 11), (12, 13), (0, 6),
     (3, 9)),
    (0.01388152, 0.01515228, 0.01057665, 0.01417709, 0.01497891, 0.01402144, 0.03909642, 0.03686941, 0.01981803,
     0.03843971, 0.03412318, 0.02415081, 0.01291456, 0.01236173),
    upper=(0, 1, 2, 3, 4, 5, 12, 13),
)  # fmt: skip

# LSP states no sigmas; COCO's for the same joints, and CrowdPose's for head and neck.
LSP = Skeleton(
    "lsp",
    ("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist", "right_elbow",
     "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck", "head_top"),
    ((0, 1), (1, 2), (3, 4), (4, 5), (2, 3), (6, 7), (7, 8), (9, 10), (10, 11), (8, 12), (9, 12), (12, 13), (2, 8),
     (3, 9)),
    (0.089, 0.087, 0.107, 0.107, 0.087, 0.089, 0.062, 0.072, 0.079, 0.079, 0.072, 0.062, 0.079, 0.079),
    upper=(6, 7, 8, 9, 10, 11, 12, 13),
)  # fmt: skip

# COCO-17 with neck and head top: what AIC, CrowdPose, MPII and LSP add (RTMPose's pre-training set; here in the
# order of the LSPET file of this project's data, neck before head_top).
COCO19 = Skeleton(
    "coco19",
    (*_COCO_NAMES, "neck", "head_top"),
    (*_COCO_LIMBS, (17, 18)),
    (*_COCO_SIGMAS, 0.079, 0.079),
    upper=(*range(11), 17, 18),
)

HALPE26 = Skeleton(
    "halpe26",
    (*_COCO_NAMES, "head", "neck", "hip", "left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe",
     "left_heel", "right_heel"),
    ((15, 13), (13, 11), (11, 19), (16, 14), (14, 12), (12, 19), (17, 18), (18, 19), (18, 5), (5, 7), (7, 9), (18, 6),
     (6, 8), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6), (15, 20), (15, 22), (15, 24), (16, 21),
     (16, 23), (16, 25)),
    (*_COCO_SIGMAS, 0.026, 0.026, 0.066, 0.079, 0.079, 0.079, 0.079, 0.079, 0.079),
    upper=(*range(11), 17, 18),
)  # fmt: skip

# As the sets are labelled for RTMPose's body-7 mix; sigmas as published ("adapted from COCO").
JHMDB = Skeleton(
    "jhmdb",
    ("neck", "belly", "head", "right_shoulder", "left_shoulder", "right_hip", "left_hip", "right_elbow", "left_elbow",
     "right_knee", "left_knee", "right_wrist", "left_wrist", "right_ankle", "left_ankle"),
    ((13, 9), (9, 5), (5, 1), (1, 6), (6, 10), (10, 14), (1, 0), (0, 2), (0, 3), (3, 7), (7, 11), (0, 4), (4, 8),
     (8, 12)),
    (0.025, 0.107, 0.025, 0.079, 0.079, 0.107, 0.107, 0.072, 0.072, 0.087, 0.087, 0.062, 0.062, 0.089, 0.089),
    upper=(0, 1, 2, 3, 4, 7, 8, 11, 12),
)  # fmt: skip

POSETRACK18 = Skeleton(
    "posetrack18",
    ("nose", "head_bottom", "head_top", "left_ear", "right_ear", *_BODY),
    ((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10),
     (0, 1), (0, 2), (1, 5), (1, 6)),
    _COCO_SIGMAS,
    upper=tuple(range(11)),
)  # fmt: skip

AP10K = Skeleton(
    "ap10k",
    ("left_eye", "right_eye", "nose", "neck", "root_of_tail", "left_shoulder", "left_elbow", "left_front_paw",
     "right_shoulder", "right_elbow", "right_front_paw", "left_hip", "left_knee", "left_back_paw", "right_hip",
     "right_knee", "right_back_paw"),
    ((0, 1), (0, 2), (1, 2), (2, 3), (3, 4), (3, 5), (5, 6), (6, 7), (3, 8), (8, 9), (9, 10), (4, 11), (11, 12),
     (12, 13), (4, 14), (14, 15), (15, 16)),
    (0.025, 0.025, 0.026, 0.035, 0.035, 0.079, 0.072, 0.062, 0.079, 0.072, 0.062, 0.107, 0.087, 0.089, 0.107, 0.087,
     0.089),
    upper=(0, 1, 2, 3, 5, 6, 7, 8, 9),  # the right front paw is "lower" in the published metadata; kept
)  # fmt: skip

_FINGERS = tuple(f"{finger}_{i}" for finger in ("thumb", "fore", "middle", "ring", "pinky") for i in range(1, 5))
_HAND_SIGMAS = (
    0.029, 0.022, 0.035, 0.037, 0.047, 0.026, 0.025, 0.024, 0.035, 0.018, 0.024, 0.022, 0.026, 0.017, 0.021, 0.021,
    0.032, 0.020, 0.019, 0.022, 0.031,
)  # fmt: skip
_FACE_SIGMAS = (
    0.042, 0.043, 0.044, 0.043, 0.040, 0.035, 0.031, 0.025, 0.020, 0.023, 0.029, 0.032, 0.037, 0.038, 0.043, 0.041,
    0.045, 0.013, 0.012, 0.011, 0.011, 0.012, 0.012, 0.011, 0.011, 0.013, 0.015, 0.009, 0.007, 0.007, 0.007, 0.012,
    0.009, 0.008, 0.016, 0.010, 0.017, 0.011, 0.009, 0.011, 0.009, 0.007, 0.013, 0.008, 0.011, 0.012, 0.010, 0.034,
    0.008, 0.008, 0.009, 0.008, 0.008, 0.007, 0.010, 0.008, 0.009, 0.009, 0.009, 0.007, 0.007, 0.008, 0.011, 0.008,
    0.008, 0.008, 0.010, 0.008,
)  # fmt: skip


def _hand_limbs(root: int) -> tuple[tuple[int, int], ...]:
    chains = [(root, *range(root + first, root + first + 4)) for first in (1, 5, 9, 13, 17)]
    return tuple((a, b) for chain in chains for a, b in pairwise(chain))


WHOLEBODY = Skeleton(
    "wholebody",
    (
        *_COCO_NAMES,
        *(f"{side}_{part}" for side in ("left", "right") for part in ("big_toe", "small_toe", "heel")),
        *(f"face_{i}" for i in range(68)),
        *(f"{side}_hand_{part}" for side in ("left", "right") for part in ("root", *_FINGERS)),
    ),
    (*_COCO_LIMBS, (15, 17), (15, 18), (15, 19), (16, 20), (16, 21), (16, 22), *_hand_limbs(91), *_hand_limbs(112)),
    (*_COCO_SIGMAS, 0.068, 0.066, 0.066, 0.092, 0.094, 0.094, *_FACE_SIGMAS, *_HAND_SIGMAS, *_HAND_SIGMAS),
    upper=(*range(11), *range(23, 133)),
)

# Halpe-26 with the face and hands of the whole-body set. The published file scores every face and hand point alike.
HALPE136 = Skeleton(
    "halpe136",
    (*HALPE26.names, *WHOLEBODY.names[23:]),
    (*HALPE26.limbs, *_hand_limbs(94), *_hand_limbs(115)),
    (*_COCO_SIGMAS, 0.08, 0.08, 0.08, *[0.089] * 6, *[0.015] * 110),
    upper=(*HALPE26.upper, *range(26, 136)),
)

# A detector's result: people as boxes, no keypoints.
BOX = Skeleton("box", (), (), ())

SKELETONS: dict[str, Skeleton] = {
    s.name: s
    for s in (COCO, CROWDPOSE, MPII, AIC, LSP, COCO19, HALPE26, AP10K, WHOLEBODY, BOX, JHMDB, POSETRACK18, HALPE136)
}


def named_skeleton(names: Sequence[str]) -> Skeleton | None:
    """The known skeleton with these keypoint names (or synonyms, or other spellings of them), in their order.

    In the order of a known one it is that one; otherwise a copy of it whose keypoints are reordered.
    """
    wanted = [meaning(name) for name in names]  # AI Challenger writes "Head top"
    if not wanted or len(set(wanted)) != len(wanted):
        return None
    known = [(skeleton, [meaning(name) for name in skeleton.names]) for skeleton in SKELETONS.values()]
    for skeleton, meanings in known:
        if meanings == wanted:
            return skeleton
    for skeleton, meanings in known:
        if set(meanings) == set(wanted):
            return skeleton.reordered([meanings.index(name) for name in wanted])
    return None


def as_skeleton(value: str | Skeleton) -> Skeleton:
    """A skeleton, or the built-in one of a name; ValueError for any other name."""
    if isinstance(value, Skeleton):
        return value
    if value not in SKELETONS:
        raise ValueError(f"unknown skeleton {value!r}{expected(value, SKELETONS)}, or a Skeleton of your own")
    return SKELETONS[value]
