"""Which picture a label file means: names that are written otherwise than the file is called, where that is certain.

Labels travel between machines. `images\\Photo%201.JPG` of one is `images/Photo 1.jpg` of another, and the folder that a
name begins with may be there, or not, or twice.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

UPLOAD = re.compile(r"^[0-9a-f]{8}-(?=.)")  # Label Studio puts this before the names of files that are given to it
ALIKE = 0.85  # of two names, by their letters, from which one may be meant by the other
SEARCHED = 20_000  # names among which the nearest is looked for


class Held:
    """Names of the files of a folder or zip, by / and relative to it."""

    def __init__(self, names: Iterable[str]) -> None:
        self.by_last: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        for name in names:
            for reading in {name, unquote(name)}:
                parts = plain(reading)
                if parts:
                    self.by_last.setdefault(parts[-1], []).append((parts, name))
        self._folded: dict[str, list[str]] | None = None

    def match(self, name: str, *, here: bool = False) -> str | None:
        """The one file that a name means; None where there is none or there are several: `fitting`."""
        files = self.fitting(name, here=here)
        return files[0] if len(files) == 1 else None

    def fitting(self, name: str, *, here: bool = False) -> list[str]:
        """The files that a name may mean.

        \\ is /, composed letters are the same as decomposed ones, %20 is a space in either name, spaces around a name
        are none, and the case of the suffix does not matter. One of the two names may have more folders in front. The
        folders of a name that is absolute, a URL, or begins with .. are another machine's and say nothing, unless it is
        a path of this one (`here`).
        """
        several: list[str] = []
        foreign = _is_foreign(name) and not here
        for parts in _readings(name):
            for wanted in (parts, (*parts[:-1], UPLOAD.sub("", parts[-1]))):
                candidates = self.by_last.get(wanted[-1], [])
                fitting = [(min(len(own), len(wanted)), file) for own, file in candidates if _ends_alike(own, wanted)]
                longest = max((length for length, _ in fitting), default=0)
                best = list(dict.fromkeys(file for length, file in fitting if length == longest))
                if not best and foreign and len(candidates) == 1:
                    best = [candidates[0][1]]
                if len(best) == 1:
                    return best
                several = several or best
        return several

    def nearest(self, name: str) -> str | None:
        """The file whose name looks most like this one's."""
        parts = next(iter(_readings(name)), ("",))
        same = self.by_last.get(parts[-1])
        if same:
            return same[0][1]
        stem = parts[-1].rpartition(".")[0] or parts[-1]
        same_stem = self._alike(parts[-1]) or self._alike(stem, stem=True)
        if same_stem:
            return same_stem[0]
        some = list(self.by_last)[:SEARCHED]
        close = difflib.get_close_matches(parts[-1], some, 1, ALIKE)
        return self.by_last[close[0]][0][1] if close else None

    def _alike(self, last: str, stem: bool = False) -> list[str]:
        """Files whose name, without folders, differs in the case of letters alone; stem: or also in the suffix."""
        if self._folded is None:
            self._folded = {}
            for key, files in self.by_last.items():
                for own in {key.casefold(), "stem:" + (key.rpartition(".")[0] or key).casefold()}:
                    self._folded.setdefault(own, []).extend(dict.fromkeys(file for _, file in files))
        return self._folded.get(f"stem:{last}".casefold() if stem else last.casefold(), [])


def plain(name: str) -> tuple[str, ...]:
    """The parts of a name as they are compared; none of "", . and .."""
    parts = unicodedata.normalize("NFC", name.replace("\\", "/")).split("/")
    parts = [part for part in parts if part not in ("", ".", "..")]
    if parts:
        stem, dot, suffix = parts[-1].rpartition(".")
        parts[-1] = f"{stem}{dot}{suffix.lower()}" if dot else suffix
    return tuple(parts)


def is_inside(name: str) -> bool:
    """Whether a name, as it stands, stays within the folder that it is looked for in."""
    parts = name.replace("\\", "/").split("/")
    absolute = name.startswith(("/", "\\")) or _drive(name)
    return bool(name) and ".." not in parts and "\0" not in name and not absolute


def _readings(name: str) -> Iterable[tuple[str, ...]]:
    """A name's parts as written, and with its %20 decoded."""
    name = urlsplit(name).path if "://" in name and not name.startswith("://") else name
    name = name.rpartition("?d=")[2] if "?d=" in name else name  # Label Studio's local files
    for reading in dict.fromkeys((name, unquote(name), name.strip(), unquote(name).strip())):
        parts = plain(reading[2:] if _drive(reading) else reading)
        if parts:
            yield parts


def _ends_alike(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    n = min(len(one), len(other))
    return one[-n:] == other[-n:]


def _is_foreign(name: str) -> bool:
    return not is_inside(name) or "://" in name


def _drive(name: str) -> bool:
    return len(name) > 1 and name[1] == ":" and name[0].isalpha()
