"""What to say of a name that nobody knows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def meant(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` with the known name nearest to a mistyped one, to put behind it; else nothing."""
    near = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.75)
    return f" (did you mean {near[0]!r}?)" if near else ""
