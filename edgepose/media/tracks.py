"""Results of tracking as other tools measure and read them: MOT challenge files, PoseTrack18's JSON, OpenSim's TRC."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, get_args

from edgepose.media.files import fitting_stem, make_folder, unique_name
from edgepose.media.results import FORMATS, Result, TextFile, Writer, marks, writer
from edgepose.media.trc import Trc
from edgepose.names import expected
from edgepose.skeleton import POSETRACK18, Skeleton, shared


class MotText(TextFile):
    """`frame,id,left,top,width,height,score,-1,-1,-1`; frames count from 1, and who was filled in has score 0."""

    def _text(self, result: Result) -> str:
        rows = []
        for person, mark in zip(result.poses.to_dict()["people"], marks(result), strict=True):
            x1, y1, x2, y2 = person["box"]
            score = 0.0 if "filled" in mark else person["score"]
            size = f"{round(x2 - x1, 2)},{round(y2 - y1, 2)}"
            identity = -1 if person["id"] is None else person["id"]
            rows.append(f"{result.frame + 1},{identity},{x1},{y1},{size},{score},-1,-1,-1\n")
        return "".join(rows)


class PoseTrackJson(TextFile):
    """`images`, `annotations` with `track_id` and a score per keypoint, and `categories`, as PoseTrack18 has them.

    People in keypoints that share names with PoseTrack18's come in its order, with 0, 0, 0 for what the model does not
    find; any others in their own. `frame_id` is the number of the frame, from 0.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._images: list[str] = []  # what comes behind the annotations; a line per frame
        self._people = 0
        self._skeleton = POSETRACK18

    def _text(self, result: Result) -> str:
        own = result.poses.skeleton
        pairs = shared(own, POSETRACK18)
        self._skeleton = POSETRACK18 if pairs else own
        number = len(self._images) + 1
        image = {"id": number, "frame_id": result.frame, "file_name": result.source, "width": result.width}
        image |= {"height": result.height, "is_labeled": True}
        image |= {} if result.time is None else {"time": round(result.time, 6)}
        self._images.append(json.dumps(image, allow_nan=False))
        text = "" if self._whole else '{"annotations": ['
        for person, mark in zip(result.poses.to_dict()["people"], marks(result), strict=True):
            row = self._row(person, number, own) | mark
            text += ("," if self._people else "") + "\n" + json.dumps(row, allow_nan=False)
            self._people += 1
        return text

    def _row(self, person: dict[str, Any], image: int, own: Skeleton) -> dict[str, Any]:
        points = person["keypoints"]
        if self._skeleton is not own:
            points = [[0.0, 0.0, 0.0]] * len(self._skeleton)
            for i, j in shared(own, self._skeleton):
                points[j] = person["keypoints"][i]
        x1, y1, x2, y2 = person["box"]
        return {
            "id": self._people + 1, "image_id": image, "category_id": 1, "track_id": person["id"],
            "score": person["score"], "bbox": [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)],
            "keypoints": [value for x, y, score in points for value in (x, y, int(score > 0))],
            "scores": [score for _, _, score in points],
        }  # fmt: skip

    def _end(self) -> str:
        category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(self._skeleton.names)}
        start = "" if self._whole else '{"annotations": ['
        images = ",\n".join(self._images)
        return f'{start}\n], "images": [\n{images}\n], "categories": [{json.dumps(category)}]}}\n'


class Sequences:
    """A folder with a file per source, as the benchmarks want it: `NAME.txt` or `NAME.json`."""

    def __init__(self, folder: Path, make: type[MotText] | type[PoseTrackJson], suffix: str) -> None:
        self._folder, self._make, self._suffix = folder, make, suffix
        self._names: dict[str, str] = {}
        self._files: dict[str, MotText | PoseTrackJson] = {}

    def __enter__(self) -> Sequences:
        make_folder(self._folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as stack:  # one that fails keeps no other from being finished
            for file in self._files.values():
                stack.callback(file.__exit__, kind, error, trace)

    def write(self, result: Result) -> None:
        """Add the people of one frame to the file of its source."""
        if result.source not in self._files:
            name = unique_name(fitting_stem(Path(result.source).stem) or "source", result.source, self._names)
            file = self._make(self._folder / f"{name}{self._suffix}")
            file.__enter__()
            self._files[result.source] = file
        self._files[result.source].write(result)


TrackFormat = Literal["jsonl", "coco", "csv", "openpose", "dlc", "coco-labels", "parquet", "mot", "posetrack", "trc"]
# Those with identities -> (what makes a file, its suffix).
SEQUENCES: dict[str, tuple[type[MotText] | type[PoseTrackJson], str]] = {
    "mot": (MotText, ".txt"),
    "posetrack": (PoseTrackJson, ".json"),
}


def track_writer(
    kind: TrackFormat, folder: str | Path, apart: bool = False, subject: str = "person", threshold: float | None = None
) -> tuple[Writer, Path]:
    """`results.writer` with the formats for identities too, whose path is a folder with a file per source.

    threshold: least score of a keypoint in TRC files
    """
    if kind == "trc":
        return Trc(Path(folder) / kind, threshold=threshold), Path(folder) / kind
    if kind == "mot" or kind == "posetrack":
        path = Path(folder) / kind
        return Sequences(path, *SEQUENCES[kind]), path
    if kind not in FORMATS:
        raise ValueError(f"unknown format {kind!r}{expected(kind, get_args(TrackFormat))}")
    return writer(kind, folder, apart=apart, subject=subject)
