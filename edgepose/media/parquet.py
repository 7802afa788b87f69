"""Results as a Parquet file: the columns of `results.csv` with types, written in groups of rows.

source string, frame int64, time double (null of a picture), width and height int32, person int32 (its place in the
frame), id int64 (null of who is not tracked), score, x1, y1, x2, y2 and, for each keypoint of the skeleton, NAME_x,
NAME_y, NAME_score, all float32; NAME_angle of the angles that were asked for, float32, null where it is not known; of
offline results filled bool and filled_keypoints list of string; then guessed bool. A row per person per frame; a frame
without people has none. The file's metadata has `edgepose`, JSON with the skeleton's name, names and limbs.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepose.media.files import atomic_path

if TYPE_CHECKING:
    from edgepose.media.results import Result
    from edgepose.skeleton import Skeleton

ROWS = 20_000  # of a group: what is held in memory until it is written


class Parquet:
    """A Parquet file that appears when its block ends, with every frame that was written until then.

    Only an error before the first frame leaves no file. Needs pyarrow, which the extra `parquet` brings. A process that
    is killed outright leaves no file, since a Parquet file is read from its end: `results.jsonl` of a live source does.
    """

    def __init__(self, path: str | Path, rows: int = ROWS) -> None:
        self.path, self._most = Path(path), rows
        self._stack = ExitStack()
        self._skeleton: Skeleton | None = None
        self._angles: tuple[str, ...] = ()
        self._fills = False
        self._waiting: list[Result] = []  # with people
        self._count = 0  # of their people
        self._frames = 0
        self._writer: Any = None

    def __enter__(self) -> Parquet:
        import pyarrow.parquet  # noqa: F401  (what is missing is said before the work)

        self._temporary = self._stack.enter_context(atomic_path(self.path))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and self._frames == 0:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            self._flush()
            self._writer.close()

    def write(self, result: Result) -> None:
        """Add the people of one frame."""
        skeleton = result.poses.skeleton
        if self._skeleton is None:
            self._skeleton = skeleton
            self._angles, self._fills = tuple(result.angles or ()), result.filled is not None
        if skeleton != self._skeleton:
            raise ValueError(
                f"{self.path} has columns for {self._skeleton.name}, got people of {skeleton.name}: use one file per "
                "skeleton"
            )
        self._frames += 1
        if len(result.poses):
            self._waiting.append(result)
            self._count += len(result.poses)
        if self._count >= self._most:
            self._flush()

    def _flush(self) -> None:
        """Write what waits as one group of rows."""
        import pyarrow as arrow
        from pyarrow.parquet import ParquetWriter

        from edgepose.skeleton import BOX

        skeleton = BOX if self._skeleton is None else self._skeleton
        schema = _schema(skeleton, self._angles, self._fills)
        if self._writer is None:
            self._writer = ParquetWriter(str(self._temporary), schema, compression="zstd")
        if self._waiting:
            arrays = _columns(self._waiting, skeleton, self._angles)
            table = arrow.table({name: arrow.array(arrays[name], schema.field(name).type) for name in schema.names})
            self._writer.write_table(table.replace_schema_metadata(schema.metadata), row_group_size=self._count)
        self._waiting, self._count = [], 0


def _schema(skeleton: Skeleton, angles: tuple[str, ...], fills: bool) -> Any:
    import pyarrow as arrow

    small = arrow.float32()
    points = [(f"{name}_{part}", small) for name in skeleton.names for part in ("x", "y", "score")]
    degrees = [(f"{name}_angle", small) for name in angles]
    filled = [("filled", arrow.bool_()), ("filled_keypoints", arrow.list_(arrow.string()))] if fills else []
    fields = [
        ("source", arrow.string()), ("frame", arrow.int64()), ("time", arrow.float64()), ("width", arrow.int32()),
        ("height", arrow.int32()), ("person", arrow.int32()), ("id", arrow.int64()), ("score", small), ("x1", small),
        ("y1", small), ("x2", small), ("y2", small), *points, *degrees, *filled, ("guessed", arrow.bool_()),
    ]  # fmt: skip
    shown = {"name": skeleton.name, "names": list(skeleton.names), "limbs": [list(pair) for pair in skeleton.limbs]}
    facts = {"skeleton": shown}
    return arrow.schema(fields, metadata={"edgepose": json.dumps(facts)})


def _columns(results: list[Result], skeleton: Skeleton, angles: tuple[str, ...]) -> dict[str, Any]:
    """Values of the rows by column, rounded as in every other format."""
    from edgepose.media.results import marks

    said = [mark for result in results for mark in marks(result)]  # what was not seen, by person
    counts = [len(result.poses) for result in results]

    def repeated(values: list[Any]) -> list[Any]:
        return [value for value, count in zip(values, counts, strict=True) for _ in range(count)]

    points = np.concatenate([result.poses.keypoints for result in results])  # (N, K, 2)
    finite = np.isfinite(points).all(axis=-1)
    scores = np.where(finite, np.concatenate([result.poses.scores for result in results]), 0)
    points = np.where(finite[..., None], points, 0)
    boxes = np.concatenate([result.poses.boxes for result in results])
    columns: dict[str, Any] = {
        "source": repeated([_text(result.source) for result in results]),
        "frame": repeated([result.frame for result in results]),
        "time": repeated([None if result.time is None else round(result.time, 6) for result in results]),
        "width": repeated([result.width for result in results]),
        "height": repeated([result.height for result in results]),
        "person": [i for count in counts for i in range(count)],
        "id": [i for result in results for i in _ids(result)],
        "score": _rounded(np.concatenate([result.poses.person_scores for result in results]), 4),
        "guessed": ["guessed" in mark for mark in said],
        "filled": ["filled" in mark for mark in said],
        "filled_keypoints": [mark.get("filled_keypoints", []) for mark in said],
    }
    columns |= {name: _rounded(boxes[:, i], 2) for i, name in enumerate(("x1", "y1", "x2", "y2"))}
    for name in angles:
        values = np.concatenate([np.asarray((result.angles or {})[name], float) for result in results]).round(2)
        columns[f"{name}_angle"] = [value if np.isfinite(value) else None for value in values.tolist()]
    for k, name in enumerate(skeleton.names):
        columns |= {f"{name}_x": _rounded(points[:, k, 0], 2), f"{name}_y": _rounded(points[:, k, 1], 2)}
        columns[f"{name}_score"] = _rounded(scores[:, k], 4)
    return columns


def _text(source: str) -> str:
    """Names of files may be no Unicode."""
    return source.encode("utf-8", "backslashreplace").decode()


def _ids(result: Result) -> list[int | None]:
    return [None] * len(result.poses) if result.poses.ids is None else result.poses.ids.tolist()


def _rounded(values: np.ndarray, digits: int) -> np.ndarray:
    return np.nan_to_num(values.astype(np.float64), nan=0, posinf=0, neginf=0).round(digits).astype(np.float32)
