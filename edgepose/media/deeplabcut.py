"""Results as DeepLabCut writes its predictions: one CSV per video, rows of frames under a header of several rows."""

from __future__ import annotations

import csv
import json
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepose.media.files import atomic_path, fitting_stem, hidden_folder_prefix, make_folder, unique_name

if TYPE_CHECKING:
    from edgepose.media.results import Result

SCORER = "edgepose"
PICTURES = "pictures"  # the table of all pictures; a video has one of its own


class DeepLabCut:
    """A folder of CSV files: NAME.csv for each video, pictures.csv for all pictures.

    The header has a row each for scorer, individuals (left out where no frame shows two people), bodyparts and coords
    (x, y, likelihood). The first column is the number of a video's frame, or the path of a picture. Individuals are
    the identities of a tracker; without one they are the people of each frame in their order, and not the same from
    frame to frame. Who was not seen in a frame has empty cells; points that were filled in have likelihood 0.

    How many people a video shows is known at its end only, so until then rows wait in a file beside the result.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._names: dict[str, str] = {}
        self._tables: dict[str, tuple[str, ...]] = {}  # table -> its body parts

    def __enter__(self) -> DeepLabCut:
        make_folder(self.folder)
        self._waiting = TemporaryDirectory(dir=self.folder, prefix=hidden_folder_prefix())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._waiting:
            for table, parts in self._tables.items():
                self._write(table, parts)

    def write(self, result: Result) -> None:
        """Add one frame."""
        video = result.time is not None
        source = result.source if video else PICTURES
        table = (
            unique_name(fitting_stem(Path(result.source).stem) or "source", source, self._names) if video else PICTURES
        )
        parts = tuple(result.poses.skeleton.names)
        if self._tables.setdefault(table, parts) != parts:
            raise ValueError(f"{table}.csv has columns for other keypoints: use one file per skeleton")
        people = list(enumerate(result.poses.to_dict()["people"]))
        if result.filled_keypoints is not None:
            for i, k in np.argwhere(result.filled_keypoints).tolist():
                people[i][1]["keypoints"][k][2] = 0.0
        seen = [(i, one) for i, one in people if result.guessed is None or not result.guessed[i]]
        named = {str(i if one["id"] is None else one["id"]): one["keypoints"] for i, one in seen}
        with (Path(self._waiting.name) / table).open("a", encoding="utf-8") as file:
            file.write(json.dumps([result.frame if video else result.source, named]) + "\n")

    def _write(self, table: str, parts: tuple[str, ...]) -> None:
        waiting = Path(self._waiting.name) / table
        individuals: dict[str, None] = {}
        crowded = False
        for _, people in _rows(waiting):
            individuals |= dict.fromkeys(people)
            crowded = crowded or len(people) > 1
        several = crowded or len(individuals) > 1
        order = sorted(individuals, key=int) or ["0"]
        cells = [(person, part, coord) for person in order for part in parts for coord in ("x", "y", "likelihood")]
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.folder / f"{table}.csv"))
            with temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                rows = csv.writer(file)
                rows.writerow(["scorer", *[SCORER] * len(cells)])
                if several:
                    rows.writerow(["individuals", *(f"individual{person}" for person, _, _ in cells)])
                rows.writerow(["bodyparts", *(part for _, part, _ in cells)])
                rows.writerow(["coords", *(coord for _, _, coord in cells)])
                nobody = [""] * 3 * len(parts)
                for frame, people in _rows(waiting):
                    found = (people.get(person) for person in order)
                    rows.writerow([frame, *(v for points in found for v in _flat(points, nobody))])


def _rows(path: Path) -> Any:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def _flat(points: list[list[float]] | None, nobody: list[str]) -> list[Any]:
    return nobody if points is None else [value for point in points for value in point]
