"""Keypoint names as people write them: `leftEye`, `left-eye`, `L_Eye` and `eye left` are one name.

A name becomes lower-case words, sides spelled out; two names of one skeleton are mirror images where they differ in
their sides alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

SIDES = {"left": "left", "right": "right", "l": "left", "r": "right", "lt": "left", "rt": "right"}
OTHER = {"left": "right", "right": "left"}
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[^\W\d_A-Z]+|[A-Z]+|\d+")
_GLUED = re.compile(r"(left|right)(.{2,})|(.{2,}?)(left|right)")  # leftear, earleft
FEWEST = 2  # pairs such as lear and rear that a skeleton must have before a bare first letter is taken for a side


def words_of(name: str) -> tuple[str, ...]:
    """`LShoulder` -> (left, shoulder), `frontPaw.R` -> (front, paw, right), `leftear` -> (left, ear)."""
    found: list[str] = []
    for word in _WORD.findall(name.replace("左", " left ").replace("右", " right ")):
        lower = word.lower()
        glued = _GLUED.fullmatch(lower)
        parts = [part for part in glued.groups() if part] if glued else [lower]
        found += [SIDES.get(part, part) for part in parts]
    return tuple(found)


def folded(name: str) -> str:
    """A name in the spelling of the built-in skeletons: `leftEye`, `Left Eye` and `eye-l` are all `left_eye`."""
    words = words_of(name)
    sides = [word for word in words if word in OTHER]
    if len(sides) == 1:
        words = (sides[0], *(word for word in words if word not in OTHER))
    return "_".join(words)


def side_of(name: str) -> str | None:
    """ "left" or "right" where a name says one of them in a word of its own, else None."""
    sides = {word for word in words_of(name) if word in OTHER}
    return sides.pop() if len(sides) == 1 else None


def mirrored_by_name(names: Sequence[str]) -> list[int]:
    """(K,) index of each keypoint's mirror image, its own where the names tell none or several."""
    words = [words_of(name) for name in names]
    mirror = list(range(len(names)))
    _pair(mirror, words, [tuple(OTHER.get(word, word) for word in each) for each in words])
    # Sides at different ends: left_eye and eye_right.
    _pair(mirror, [tuple(sorted(each)) for each in words],
          [tuple(sorted(OTHER.get(word, word) for word in each)) for each in words])  # fmt: skip
    lower = ["_".join(each) for each in words]
    bare = list(range(len(names)))
    _pair(bare, lower, [{"l": "r", "r": "l"}.get(name[:1], name[:1]) + name[1:] for name in lower])
    found = [i for i, j in enumerate(bare) if i < j and mirror[i] == i and mirror[j] == j and len(lower[i]) > 2]
    if len(found) >= FEWEST:
        for i in found:
            mirror[i], mirror[bare[i]] = bare[i], i
    return mirror


def _pair(mirror: list[int], keys: Sequence[object], wanted: Sequence[object]) -> None:
    """Pair what has no mirror image yet where exactly one keypoint has the key that its image must have."""
    count = Counter(keys)
    index = {key: i for i, key in enumerate(keys)}
    for i, key in enumerate(wanted):
        j = index.get(key, i)
        if j != i and count[key] == 1 and count[keys[i]] == 1 and mirror[i] == i and mirror[j] == j:
            mirror[i], mirror[j] = j, i
