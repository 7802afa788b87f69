"""The published mixes of data sets: which sets, and how often each is listed.

RTMPose (Jiang et al., 2023; the published configs): COCO three times beside AI Challenger once, and seven sets of one
pass each. The models called "body-8" are trained on the same seven; the eighth, OCHuman, is for testing alone. Sets
meet by keypoint name (`edgepose.data.people.union`), which gives the published index maps and, for skeletons that have
them, also MPII's pelvis. For Halpe's 26 keypoints the COCO set is COCO-WholeBody, whose feet are labelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Set = TypeVar("Set")

_BODY7 = ("coco", "aic", "crowdpose", "mpii", "jhmdb", "halpe", "posetrack18")
MIXES: dict[str, dict[str, int]] = {
    "aic-coco": {"aic": 1, "coco": 3},
    "body7": dict.fromkeys(_BODY7, 1),
    "body8": dict.fromkeys(_BODY7, 1),
}


def mixed(mix: str, names: Sequence[str], sets: Sequence[Set]) -> list[tuple[Set, int]]:
    """The data sets of a mix, in its order, each with how often it is listed.

    names: what the caller calls each of `sets`; all of the mix's names and no others.
    """
    if mix not in MIXES:
        raise ValueError(f"unknown mix {mix!r}, expected one of {list(MIXES)}")
    wanted = MIXES[mix]
    repeated = sorted({name for name in names if names.count(name) > 1})
    missing = [name for name in wanted if name not in names]
    strange = [name for name in names if name not in wanted]
    if missing or strange or repeated:
        faults = [f"{what} {which}" for what, which in (("lacks", missing), ("has no use for", strange),
                                                       ("names twice", repeated)) if which]  # fmt: skip
        expected = ",".join(f"{name}=ANNOTATIONS:PICTURES" for name in wanted)
        raise ValueError(f"the mix {mix} {', '.join(faults)}: expected data={expected}")
    return [(sets[list(names).index(name)], factor) for name, factor in wanted.items()]
