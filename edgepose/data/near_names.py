"""Names of keypoints that are nearly those of a built-in skeleton: a letter wrong, or something put before each."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from edgepose.skeleton import BOX, SKELETONS, Skeleton, meaning, named_skeleton
from edgepose.spelling import folded, words_of

SURE = 0.7  # share of the names that must be a built-in skeleton's own
WHOLE = 0.6  # share of a built-in skeleton's names that they must be
ALIKE, PART_ALIKE = 0.85, 0.78  # of the letters of two names; of what is left of them without left and right
NEARLY = "are nearly those of"
NAMED = 5  # names that a sentence lists


def near_skeleton(names: Sequence[str]) -> tuple[Skeleton, dict[str, str]] | None:
    """The built-in skeleton that names were meant to be of, and the keypoint that each of them means.

    None where they are of one as they are, or of none. Numbers, and words that all names begin or end with, say
    nothing; the names that are then left must be its own but for a few with a wrong letter.
    """
    if named_skeleton(names) is not None or not names:
        return None
    plain = _bare(names)
    best: tuple[Skeleton, dict[str, str]] | None = None
    for skeleton in SKELETONS.values():
        if skeleton is BOX:
            continue
        found = _meant(names, plain, skeleton)
        if found is not None and (best is None or len(skeleton) < len(best[0])):
            best = skeleton, found
    if best is not None and all(meaning(own) == meaning(known) for own, known in best[1].items()):
        return None  # some of its keypoints, rightly written
    return best


def nearly(names: Sequence[str]) -> str:
    """What to say of names that are nearly a built-in skeleton's; "" where there is nothing to say."""
    near = near_skeleton(names)
    if near is None:
        return ""
    skeleton, meant = near
    other = [(own, known) for own, known in meant.items() if meaning(own) != meaning(known)]
    some = ", ".join(f"{own!r} for {known}" for own, known in other[:NAMED])
    more = f" and {len(other) - NAMED} more" if len(other) > NAMED else ""
    return (
        f"names of keypoints {NEARLY} {skeleton.name} ({some}{more}): did you mean these? As written they are "
        f"keypoints of their own; rename them, or add --skeleton {skeleton.name} (skeleton={skeleton.name})"
    )


def _bare(names: Sequence[str]) -> list[str]:
    """Names without numbers and without the words that all of them begin or end with."""
    words = [[word for word in words_of(name) if not word.isdecimal()] for name in names]
    if len(names) > 1:
        for end in (0, -1):
            while all(len(each) > 1 for each in words) and len({each[end] for each in words}) == 1:
                words = [each[1:] if end == 0 else each[:-1] for each in words]
    return [meaning(" ".join(each)) for each in words]


def _meant(names: Sequence[str], plain: Sequence[str], skeleton: Skeleton) -> dict[str, str] | None:
    """The skeleton's keypoint for every name, or None where one means none."""
    known = {meaning(name): name for name in skeleton.names}
    found = {name: known[own] for name, own in zip(names, plain, strict=True) if own in known}
    if len(set(found.values())) < len(found) or len(found) < SURE * len(names):
        return None
    left = [each for each in skeleton.names if each not in found.values()]
    for name, own in zip(names, plain, strict=True):
        if name in found:
            continue
        near = [(_likeness(own, each), each) for each in left]
        likeness, best = max(near, default=(0.0, ""))
        if likeness == 0:
            return None
        found[name] = best
        left.remove(best)
    return {name: found[name] for name in names} if len(found) >= WHOLE * len(skeleton) else None


def _likeness(own: str, known: str) -> float:
    """How alike two names are, 0 where they are not alike enough."""
    known = folded(known)
    whole = difflib.SequenceMatcher(None, own, known).ratio()
    if whole >= ALIKE and _side(own) in (_side(known), ""):
        return whole
    if _side(own) != _side(known):
        return 0.0
    part = difflib.SequenceMatcher(None, own.removeprefix(_side(own)), known.removeprefix(_side(known))).ratio()
    return part if part >= PART_ALIKE else 0.0


def _side(name: str) -> str:
    return next((side for side in ("left_", "right_") if name.startswith(side)), "")
