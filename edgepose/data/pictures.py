"""Pictures of a data set: a folder or a zip that is never unpacked, decoded once and kept in memory when they fit."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from edgepose.runtime.pictures import read_image


class Pictures:
    """Pictures by file name.

    Args:
        source: folder or zip.
        keep: decoded pictures to keep in memory, in bytes; later ones are decoded anew each time. Worker processes
            forked after `load` share what is kept.
    """

    def __init__(self, source: str | Path, keep: float = 6e9) -> None:
        self.source = Path(source)
        if not self.source.exists():
            raise FileNotFoundError(f"{self.source} does not exist: expected a folder or a zip of pictures")
        self.keep = keep
        self._kept: dict[str, np.ndarray] = {}
        self._bytes = 0
        self._zip: zipfile.ZipFile | None = None
        self._members: dict[str, str] = {}
        if self.source.is_file() and not zipfile.is_zipfile(self.source):
            raise ValueError(f"{self.source} is a file but not a zip: expected a folder or a zip of pictures")

    def read(self, name: str) -> np.ndarray:
        """The picture (H, W, 3) uint8 BGR; never to be written into."""
        if name in self._kept:
            return self._kept[name]
        image = read_image(self.data(name))
        if self._bytes + image.nbytes <= self.keep:
            self._kept[name] = image
            self._bytes += image.nbytes
        return image

    def data(self, name: str) -> bytes:
        """The file's bytes."""
        if self.source.is_dir():
            return (self.source / name).read_bytes()
        if self._zip is None:
            self._zip = zipfile.ZipFile(self.source)
            # Official archives hold val2017/x.jpg where their annotations say x.jpg.
            self._members = {Path(member).name: member for member in self._zip.namelist()}
        try:
            return self._zip.read(name)
        except KeyError:
            member = self._members.get(name)
        if member is None:
            raise FileNotFoundError(f"{self.source} holds no picture {name!r}")
        return self._zip.read(member)

    def __getstate__(self) -> dict[str, object]:
        # An open zip cannot cross into a worker process; it is opened again there.
        return self.__dict__ | {"_zip": None}
