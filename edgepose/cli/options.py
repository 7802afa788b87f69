"""Options that several commands share, and the values of those with a choice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    import numpy as np

    from edgepose.data.columns import Choice
    from edgepose.media.part import Part
    from edgepose.poses import Poses
    from edgepose.runtime.estimator import Estimator
    from edgepose.runtime.resize import Size as InputSize
    from edgepose.skeleton import Skeleton
    from edgepose.spec import ModelSpec


# The same words as the types and tables of the library, which take long to import.
Format = Literal["jsonl", "coco", "csv", "openpose", "dlc", "coco-labels", "parquet"]  # media.results.FORMATS
TrackFormat = Literal[  # media.tracks.TrackFormat
    "jsonl", "coco", "csv", "openpose", "dlc", "coco-labels", "parquet", "mot", "posetrack", "trc"
]
Preset = Literal["steady", "default", "quick"]  # runtime.tracker.smoothing.PRESETS
Backend = Literal["onnxruntime", "openvino", "ncnn"]  # runtime.load.BACKENDS
RunnerWord = Literal["onnxruntime", "openvino", "ncnn", "auto"]  # runtime.load.Runner
Target = Literal["onnx", "openvino", "ncnn"]  # export.ENDINGS
Protocol = Literal["coco", "crowdpose", "wholebody"]  # evaluate.coco.PROTOCOLS
Size = Literal["torso", "trunk", "box", "head"]  # evaluate.keypoints.SIZES
MAX_PIXELS = 64_000_000  # media.images.MAX_PIXELS
Move = Literal["static", "pan", "zoom", "track", "orbit", "handheld"]  # synthetic.camera.MOVES


def _device(value: str) -> str:
    from edgepose.runtime.load import check_device

    try:
        check_device(value)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--device") from None
    return value


Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Model name or file; `edgepose models` lists them.", show_default="the default"),
]
Detector = Annotated[
    str, typer.Option("--detector", "-d", help="Name or file, for models that need one; none: one person fills it.")
]
Runner = Annotated[
    Backend | None, typer.Option("--backend", help="What runs the networks.", show_default="what each file is for")
]
Quickest = Annotated[
    RunnerWord,
    typer.Option("--backend", help="What runs the networks; auto: as `edgepose tune` found quickest, else by rule."),
]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.", show_default="as many as help")]
Device = Annotated[
    str, typer.Option("--device", callback=_device, help="cpu or auto: what runs the networks is the CPU.")
]
Results = Annotated[Format | None, typer.Option("--format", "-f", help="Of the file in --out; JSON lines if not said.")]
SkeletonFile = Annotated[
    str | None,
    typer.Option(
        "--skeleton",
        metavar="FILE|NAME",
        help="What the labels' keypoints are, where they do not say it: a .json or .toml file, or a built-in skeleton.",
    ),
]
Category = Annotated[
    str | None,
    typer.Option("--category", help="Of the labels, where several have keypoints.", show_default="the most frequent"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
MinScore = Annotated[
    float | None,
    typer.Option(
        "--min-score",
        min=0,
        help="Leave people out whose score is less, of everything; 0: all.",
        show_default="0.5 where scores are calibrated, else 0",
    ),
]
MaxPeople = Annotated[
    int | None,
    typer.Option("--max-people", min=1, help="Look at no more people per frame, the surest boxes.", show_default="all"),
]
Best = Annotated[
    int | None,
    typer.Option("--best", min=1, help="Of the people found, only the surest N of each frame.", show_default="all"),
]
MaxPixels = Annotated[int, typer.Option("--max-pixels", min=1, help="Largest picture or frame that is read.")]
Data = Annotated[
    Path | None,
    typer.Option("--data", help="Labels that name the pictures: --format coco takes their ids.", show_default="none"),
]
Show = Annotated[
    bool,
    typer.Option(
        "--show",
        help="Look on in a window, or where none can be opened on a page of this machine; q ends and keeps the "
        "results, space pauses, s saves the picture.",
    ),
]
ShowPort = Annotated[
    int | None,
    typer.Option(
        "--show-port", min=1, max=65535, help="Port of that page, which is then shown in place of a window.",
        show_default="any free one",
    ),
]  # fmt: skip
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        help="Least score of the keypoints drawn in overlays.",
        show_default="0.5 where scores are calibrated, else 0.3",
    ),
]
DetectorSize = Annotated[
    str | None,
    typer.Option(
        "--detector-size",
        metavar="PX|WxH",
        help="Input of the detector, multiples of 32, such as 640: larger finds smaller people, slower.",
        show_default="as its file is",
    ),
]
Tiles = Annotated[
    str | None,
    typer.Option(
        "--tiles",
        metavar="RxC|auto",
        help="Look in overlapping tiles too, for small people: 2x3 is 2 rows of 3; auto: by the picture's size. Each "
        "tile costs one more search.",
    ),
]
RegionOption = Annotated[
    str | None,
    typer.Option(
        "--region",
        metavar="X,Y,W,H|POLYGON",
        help="Look for people only there: x,y,w,h or corners 'x,y x,y x,y' in pixels of the picture, or all numbers "
        "with %.",
    ),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore",
        metavar="X,Y,W,H|POLYGON",
        help="Leave out the people whose box's center is there, written as in --region; several times for more.",
    ),
]
Start = Annotated[
    str | None,
    typer.Option(
        "--start",
        metavar="TIME|FRAME",
        help="Begin videos there: 12.5s or 0:01:30 by the video's clock, or 300, a frame's number from 0.",
    ),
]
End = Annotated[
    str | None,
    typer.Option("--end", metavar="TIME|FRAME", help="End videos before that moment, written as in --start."),
]
Every = Annotated[
    str | None,
    typer.Option("--every", metavar="TIME|FRAMES", help="Of videos only one frame in so many, such as 5, or in 0.5s."),
]


def chosen_part(start: str | None, end: str | None, every: str | None) -> Part | None:
    """What `--start`, `--end` and `--every` say; wrong use where they say nothing sensible."""
    from edgepose.media.part import part_of

    try:
        return None if (start, end, every) == (None, None, None) else part_of(start, end, every)
    except ValueError as error:
        option = str(error).partition(" ")[0]
        raise typer.BadParameter(str(error), param_hint=f"--{option}") from None


def chosen_places(tiles: str | None, region: str | None, ignore: list[str] | None) -> dict[str, Any]:
    """What `--tiles`, `--region` and `--ignore` say, as `edgepose.load` takes it; wrong use where it is no sense."""
    from edgepose.runtime.region import region_of, regions_of
    from edgepose.runtime.tiles import tiles_of

    options: list[tuple[str, Callable[[Any], Any], Any]] = [
        ("tiles", tiles_of, tiles), ("region", region_of, region), ("ignore", regions_of, ignore)
    ]  # fmt: skip
    chosen = dict[str, Any]()
    for name, parse, word in options:
        try:
            chosen |= {} if word is None else {name: parse(word)}
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint=f"--{name}") from None
    return chosen


def chosen_size(word: str | None) -> InputSize | None:
    """What `--detector-size` says; wrong use where it is no size."""
    from edgepose.runtime.resize import size_of

    try:
        return size_of(word)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--detector-size") from None


def chosen_skeleton(word: str | None) -> Skeleton | None:
    """What `--skeleton` says; wrong use where it is no skeleton."""
    from edgepose.skeleton_file import skeleton_of_word

    try:
        return None if word is None else skeleton_of_word(word)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint="--skeleton") from None


def choice_of(skeleton: str | None, category: str | None) -> Choice:
    """What `--skeleton` and `--category` say of a label file."""
    from edgepose.data.columns import Choice

    return Choice(chosen_skeleton(skeleton), category or "")


def load_estimator(
    model: str | None,
    detector: str,
    backend: RunnerWord | None,
    threads: int | None,
    max_people: int | None = None,
    boxed: bool = False,
    **search: Any,
) -> Estimator:
    """`edgepose.load` with the words of the command line, which are its own.

    Says so where the whole picture is taken for one subject because the default detector would find people instead.

    boxed: boxes come from elsewhere, so that no detector is needed.
    search: detector_size, tiles, region, ignore.
    """
    from edgepose.runtime.load import load

    estimator = load(model, detector=detector, backend=backend, threads=threads, max_people=max_people, **search)
    tell_of_whole_pictures(estimator.spec, detector, boxed)
    return estimator


def load_for_frames(
    model: str | None, detector: str, backend: RunnerWord, threads: int | None, max_people: int | None, **search: Any
) -> tuple[Estimator, int]:
    """As `load_estimator`, for the frames of files, and how many of them to look at side by side."""
    from edgepose.runtime.load import load_for_many

    estimator, workers = load_for_many(model, detector, backend, threads, max_people, **search)
    tell_of_whole_pictures(estimator.spec, detector)
    return estimator, workers


def tell_of_whole_pictures(spec: ModelSpec, detector: str, boxed: bool = False) -> None:
    """Say so where the whole picture is taken for one subject."""
    if detector == "default" and spec.per_person and not spec.of_people and not boxed:
        found = ", ".join(spec.categories[:3])
        typer.echo(
            f"{spec.name} finds {found}, not people: the whole picture is taken for one; for several in a picture "
            "train rtmdet-nano on the same labels and name it with --detector",
            err=True,
        )


KINDS = {".csv": "csv", ".json": "coco", ".jsonl": "jsonl"}  # what somebody wants who names a file so


def kind_of(out: Path | None, kind: str | None, overlay: bool) -> str | None:
    """The format that `--format` or the name in `--out` says; wrong use where they, or overlays, do not fit."""
    from edgepose.media.results import is_parquet
    from edgepose.media.video import WRITABLE

    suffix = "" if out is None or out.is_dir() else out.suffix.lower()
    if suffix in WRITABLE and kind is not None:
        raise typer.BadParameter(
            f"{out} is a video, which holds no results: for both name a folder in --out and add --overlay",
            param_hint="--format",
        )
    if suffix in KINDS:
        raise typer.BadParameter(
            f"results are written to a folder, got {out}: expected a folder, and --format {KINDS[suffix]}",
            param_hint="--out",
        )
    if not is_parquet(out):
        return kind
    if kind not in (None, "parquet"):
        raise typer.BadParameter(f"{out} is a Parquet file: expected no --format, or parquet", param_hint="--format")
    if overlay:
        raise typer.BadParameter(
            f"{out} is a file for results alone: for overlays too name a folder in --out and add --format parquet",
            param_hint="--overlay",
        )
    return "parquet"


def require_folder(out: Path | None, kind: str | None, overlay: bool) -> None:
    """Refuse, as wrong use, an option that writes files without the folder to write to."""
    if out is None and (overlay or kind is not None):
        option = "--overlay" if overlay else "--format"
        raise typer.BadParameter("it writes files, so say where: add --out FOLDER", param_hint=option)


def surest(poses: Poses, best: int | None) -> Poses:
    """The `best` surest people, in the order they come."""
    return poses[chosen(poses, best)]


def chosen(poses: Poses, best: int | None) -> np.ndarray:
    """Their rows, in rising order."""
    import numpy as np

    return np.sort(np.argsort(-poses.person_scores, kind="stable")[:best])
