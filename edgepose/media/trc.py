"""Tracked people as OpenSim reads markers: a TRC file ("track row column") for each of them, in pixels."""

from __future__ import annotations

import csv
import io
import json
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepose.media.files import atomic_path, fitting_stem, hidden_folder_prefix, make_folder, unique_name

if TYPE_CHECKING:
    from edgepose.media.results import Result

RATE = 30.0  # frames per second where there are no times


class Trc:
    """A folder of NAME_personID.trc, one for each person of each source; or, of one person, the file `path`.

    Markers are the keypoints, under their names. X is to the right and Y up, in pixels from the left and the bottom row
    of the picture (Y = height - 1 - y), Z is 0; the header says `px` where others say mm or m. There is a row for every
    frame from a person's first to the last; a keypoint scored below `threshold` (None: that from which it is drawn),
    and all of a person who was not seen in a frame, has empty cells. Frames count from 1. TRC has no place for a mark,
    so NAME_personID_filled.csv (frame, time, keypoint) lists the points that were filled in, where there are any.

    How long somebody is there is known at the end only, so until then rows wait in files beside the result.

    path: of several people, path_personID.trc; of nobody, a ValueError at the end of the block
    """

    def __init__(self, folder: str | Path, path: str | Path | None = None, threshold: float | None = None) -> None:
        self.folder, self._path = Path(folder), None if path is None else Path(path)
        self._threshold = threshold
        self.written: list[Path] = []  # when the block has ended
        self._names: dict[str, str] = {}
        self._people: dict[tuple[str, int], tuple[str, ...]] = {}  # (source, identity) -> names of the markers
        self._frames: dict[str, tuple[array[int], array[float]]] = {}  # source -> numbers and times of its frames

    def __enter__(self) -> Trc:
        make_folder(self.folder)
        self._waiting = TemporaryDirectory(dir=self.folder, prefix=hidden_folder_prefix())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._waiting:
            for (name, identity), markers in self._people.items():
                self._write(name, identity, markers)
        if kind is None and self._path is not None and not self._people:
            raise ValueError(f"nobody was found, so {self._path} is not written")

    def write(self, result: Result) -> None:
        """Add one frame. ValueError for people without identities, or whose keypoints change."""
        poses = result.poses
        if len(poses) and poses.ids is None:
            raise ValueError("a TRC file is one person's, got people without identities: use edgepose track")
        name = unique_name(fitting_stem(Path(result.source).stem) or "source", result.source, self._names)
        numbers, times = self._frames.setdefault(name, (array("q"), array("d")))
        place = len(numbers)
        numbers.append(result.frame + 1)
        times.append(result.frame / RATE if result.time is None else result.time)
        markers = tuple(poses.skeleton.names)
        points = poses.keypoints.astype(np.float64)
        threshold = poses.thresholds.drawn if self._threshold is None else self._threshold
        known = (poses.scores >= threshold) & np.isfinite(points).all(-1)
        if result.guessed is not None:
            known &= ~result.guessed[:, None]
        for i, identity in enumerate(() if poses.ids is None else poses.ids.tolist()):
            if self._people.setdefault((name, identity), markers) != markers:
                raise ValueError(f"person {identity} of {result.source} has other keypoints than before: use two files")
            places = [[round(x, 3), round(result.height - 1 - y, 3)] if seen else None
                      for (x, y), seen in zip(points[i].tolist(), known[i].tolist(), strict=True)]  # fmt: skip
            filled = [] if result.filled_keypoints is None else np.flatnonzero(result.filled_keypoints[i]).tolist()
            with self._rows(name, identity).open("a", encoding="utf-8") as file:
                file.write(json.dumps([place, places, filled]) + "\n")

    def _rows(self, name: str, identity: int) -> Path:
        return Path(self._waiting.name) / f"{name}_{identity}"

    def _write(self, name: str, identity: int, markers: tuple[str, ...]) -> None:
        numbers, times = self._frames[name]
        path = self.folder / f"{name}_person{identity}.trc"
        if self._path is not None:
            path = self._path if len(self._people) == 1 else self._path.with_stem(f"{self._path.stem}_person{identity}")
        places = [row[0] for row in self._lines(name, identity)]
        first, last = places[0], places[-1]
        filled = io.StringIO(newline="")
        rows = csv.writer(filled)
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(path))
            file = stack.enter_context(temporary.open("w", encoding="utf-8", newline="\n"))
            file.write(_header(path.name, markers, numbers[first], np.array(times[first : last + 1])))
            nothing, expected = "\t\t\t" * len(markers), first
            for place, points, marked in self._lines(name, identity):
                for missing in range(expected, place):
                    file.write(f"{numbers[missing]}\t{times[missing]:.6f}{nothing}\n")
                cells = "".join("\t\t\t" if point is None else f"\t{point[0]}\t{point[1]}\t0.0" for point in points)
                file.write(f"{numbers[place]}\t{times[place]:.6f}{cells}\n")
                rows.writerows((numbers[place], f"{times[place]:.6f}", markers[k]) for k in marked)
                expected = place + 1
        self.written.append(path)
        if filled.getvalue():
            self.written.append(path.with_name(f"{path.stem}_filled.csv"))
            with atomic_path(self.written[-1]) as temporary:
                temporary.write_text("frame,time,keypoint\r\n" + filled.getvalue(), encoding="utf-8", newline="")

    def _lines(self, name: str, identity: int) -> Iterator[Any]:
        with self._rows(name, identity).open(encoding="utf-8") as file:
            yield from map(json.loads, file)


def _header(name: str, markers: tuple[str, ...], first: int, times: np.ndarray) -> str:
    rate = 1 / float(np.median(np.diff(times))) if len(times) > 1 and np.median(np.diff(times)) > 0 else RATE
    names = "".join(f"{marker}\t\t\t" for marker in markers)
    axes = "".join(f"\tX{i}\tY{i}\tZ{i}" for i in range(1, len(markers) + 1))
    return (
        f"PathFileType\t4\t(X/Y/Z)\t{name}\n"
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames\n"
        f"{rate:.6g}\t{rate:.6g}\t{len(times)}\t{len(markers)}\tpx\t{rate:.6g}\t{first}\t{len(times)}\n"
        f"Frame#\tTime\t{names}\n"
        f"\t{axes}\n"
        "\n"
    )
