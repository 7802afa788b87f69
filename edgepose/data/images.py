"""Pictures of a data set: a folder or a zip that is never unpacked, decoded once and kept in memory when they fit."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from edgepose.data.memory import PROCESS, Budget, Kept
from edgepose.media.images import read_image

OnBad = Literal["refuse", "skip"]  # what to do with pictures that are missing or cannot be read
ON_BAD: tuple[OnBad, ...] = get_args(OnBad)


class Pictures:
    """Pictures by file name.

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

    def data(self, name: str) -> bytes:
        """The file's bytes."""
        if self.source.is_dir():
            return (self.source / name).read_bytes()
        member = self._member(name)
        if member is None:
            raise FileNotFoundError(f"{self.source} holds no picture {name!r}")
        try:
            return self._opened().read(member)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # damaged, or encrypted
            raise ValueError(f"it cannot be unpacked: {error}") from error

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of the names that the folder or zip does not hold. Nothing is decoded."""
        if not self.source.is_dir():
            return [name for name in names if self._member(name) is None]
        held: dict[str, set[str]] = {}  # one listing per folder: looking for each of 118,000 files takes far longer
        found = []
        for name in names:
            folder, _, last = name.rpartition("/")
            if folder not in held:
                try:
                    held[folder] = set(os.listdir(self.source / folder))
                except (FileNotFoundError, NotADirectoryError):
                    held[folder] = set()
            if last not in held[folder]:
                found.append(name)
        return found

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
