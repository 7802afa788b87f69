"""Pictures of a data set: a folder or a zip that is never unpacked, decoded once and kept in memory when they fit."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from edgepose.data.memory import PROCESS, Budget, Kept
from edgepose.media.images import MAX_PIXELS, largest_file, read_file, read_image, stored_size
from edgepose.media.naming import Held, is_inside, plain

OnBad = Literal["refuse", "skip"]  # what to do with pictures that are missing or cannot be read
ON_BAD: tuple[OnBad, ...] = get_args(OnBad)
MOST = 2_000_000  # files that a folder is searched for when a name is not there as it is written


class Pictures:
    """Pictures by file name, as label files write it: `edgepose.media.naming.Held.match` says what else is understood.

    Nothing outside the folder is read, whatever a name says.

    Args:
        source: folder or zip.
        budget: what decoded pictures may take, by default that of all data sets of the process together. Those that
            no longer fit are decoded anew each time. Worker processes forked after `load` share what is kept.
    """

    def __init__(self, source: str | Path, budget: Budget = PROCESS) -> None:
        self.source = Path(source)
        if not self.source.exists():
            raise FileNotFoundError(f"{self.source} does not exist: expected a folder or a zip of pictures")
        self._kept: Kept[np.ndarray] = Kept(budget)
        self._zip: zipfile.ZipFile | None = None
        self._members: dict[str, list[str]] = {}
        self._index: Held | None = None
        self._resolved: dict[str, str | None] = {}  # names that are not there as written, by what they mean
        self._taken: dict[str, str] = {}  # files by the name that means them
        if self.source.is_file() and not zipfile.is_zipfile(self.source):
            raise ValueError(f"{self.source} is a file but not a zip: expected a folder or a zip of pictures")

    def read(self, name: str) -> np.ndarray:
        """The picture (H, W, 3) uint8 BGR; never to be written into. OSError or ValueError where it is bad."""
        kept = self._kept.get(name)
        if kept is not None:
            return kept
        try:
            image = read_image(self.data(name))
        except ValueError as error:
            raise ValueError(f"{name} of {self.source}: {error}") from error
        self._kept.put(name, image, image.nbytes)
        return image

    def size(self, name: str) -> tuple[int, int, int]:
        """Width and height as stored, and EXIF's orientation (5 and above exchange the two); nothing is decoded."""
        return stored_size(self.data(name), f"{name} of {self.source}")

    def data(self, name: str) -> bytes:
        """The file's bytes; ValueError for what is no regular file, or larger than any picture is."""
        if self.source.is_dir():
            if is_inside(name):
                try:
                    return read_file(self.source / name)
                except FileNotFoundError:
                    pass
            member = self._meant(name)
            if member is None:
                raise FileNotFoundError(self._nothing(name))
            return read_file(self.source / member)
        member = self._member(name) or self._meant(name)
        if member is None:
            raise FileNotFoundError(self._nothing(name))
        try:
            with self._opened().open(member) as opened:
                data = opened.read(largest_file(MAX_PIXELS) + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # damaged, or encrypted
            raise ValueError(f"it cannot be unpacked: {error}") from error
        if len(data) > largest_file(MAX_PIXELS):
            raise ValueError(f"it is too large for a picture: more than {largest_file(MAX_PIXELS)} bytes unpacked")
        return data

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of the names that the folder or zip does not hold. Nothing is decoded."""
        names = list(names)
        if not self.source.is_dir():
            lost = {name for name in names if self._member(name) is None}
        else:
            held: dict[str, set[str]] = {}  # one listing per folder: looking for each of 118,000 files takes far longer
            lost = set()
            for name in names:
                folder, _, last = name.rpartition("/")
                if folder not in held:
                    try:
                        held[folder] = set(os.listdir(self.source / folder)) if is_inside(name) else set()
                    except (FileNotFoundError, NotADirectoryError):
                        held[folder] = set()
                if last not in held[folder] or not is_inside(name):
                    lost.add(name)
        self._taken |= {name: name for name in names if name not in lost} if lost else {}
        return [name for name in names if name in lost and self._meant(name) is None]

    @property
    def renamed(self) -> dict[str, str]:
        """Names that were asked for and are written otherwise, by the file that each means."""
        return {name: file for name, file in self._resolved.items() if file is not None}

    def nearest(self, name: str) -> str | None:
        """The file whose name looks most like one that is missing."""
        return self._held().nearest(name)

    def _nothing(self, name: str) -> str:
        near = self.nearest(name)
        claimed = self._held().match(name)
        if claimed is not None:
            other = self._taken.get(claimed)
            return f"{self.source} holds no picture {name!r}: {claimed!r} is meant by {other!r} already"
        return f"{self.source} holds no picture {name!r}{f'; the nearest is {near!r}' if near else ''}"

    def _meant(self, name: str) -> str | None:
        """The file that a name means which is not there as it is written; None where that is not certain."""
        if name in self._resolved:
            return self._resolved[name]
        member = self._held().match(name)
        if member is not None and plain(self._taken.setdefault(member, name)) != plain(name):
            member = None  # another name means it already
        self._resolved[name] = member
        return member

    def _held(self) -> Held:
        if self._index is None:
            self._index = Held(islice(self._listed(), MOST))
        return self._index

    def _listed(self) -> Iterator[str]:
        if not self.source.is_dir():
            yield from (name for name in self._opened().namelist() if not name.endswith("/"))
            return
        for folder, _, files in os.walk(self.source):
            base = Path(folder).relative_to(self.source).as_posix()
            yield from (file if base == "." else f"{base}/{file}" for file in files)

    def _member(self, name: str) -> str | None:
        """The name of a picture within the zip; None where it is not there.

        Official archives hold val2017/x.jpg where their annotations say x.jpg.
        """
        archive = self._opened()
        try:
            return archive.getinfo(name).filename
        except KeyError:
            pass
        fitting = [member for member in self._members.get(Path(name).name, ()) if member.endswith(f"/{name}")]
        if len(fitting) > 1:
            raise ValueError(f"{self.source} holds {name!r} {len(fitting)} times, as {fitting[0]!r} and {fitting[1]!r}")
        return fitting[0] if fitting else None

    def _opened(self) -> zipfile.ZipFile:
        if self._zip is None:
            self._zip = zipfile.ZipFile(self.source)
            for member in self._zip.namelist():
                self._members.setdefault(Path(member).name, []).append(member)
        return self._zip

    def __getstate__(self) -> dict[str, object]:
        # An open zip cannot cross into a worker process; it is opened again there.
        return self.__dict__ | {"_zip": None, "_members": {}}
