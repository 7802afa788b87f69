"""What to say of a name that nobody knows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

FEW = 20  # names that are all listed; of more, only some
SOME = 3


def meant(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` with the known name nearest to a mistyped one, to put behind it; else nothing."""
    near = nearest(name, known)
    return "" if near is None else f" (did you mean {near!r}?)"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a mistyped one is most like, whatever the case; None where none is like it."""
    spelled = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), list(spelled), n=1, cutoff=0.75)
    return spelled[near[0]] if near else None


def expected(name: object, known: Iterable[str], listed: str = "") -> str:
    """What follows an unknown name in an error: the nearest known name, then all of them if they are few.

    ` (did you mean 'track'?), expected one of ['predict', 'track']`. Of many a few are named, nearest first, and
    `listed` says where to read the others, such as "`edgepose models` lists them".
    """
    known = list(known)
    start = f"{meant(str(name), known)}, expected "
    if len(known) <= FEW:
        return f"{start}one of {known}"
    near = difflib.get_close_matches(str(name).lower(), known, n=SOME, cutoff=0.6)
    some = [*near, *(each for each in known if each not in near)][:SOME]
    return f"{start}one of {len(known)} such as {', '.join(map(repr, some))}" + (f"; {listed}" if listed else "")
