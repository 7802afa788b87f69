"""Options that several commands share, and the values of those with a choice."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgepose.runtime.estimator import Estimator


class Format(str, Enum):
    """Formats of result files; `edgepose.media.results.FORMATS` writes them."""

    jsonl = "jsonl"
    coco = "coco"
    csv = "csv"
    openpose = "openpose"


class Preset(str, Enum):
    """Presets of `edgepose.runtime.tracker.smoothing`."""

    steady = "steady"
    default = "default"
    quick = "quick"


class Backend(str, Enum):
    """What runs the networks."""

    onnxruntime = "onnxruntime"
    openvino = "openvino"
    ncnn = "ncnn"


class Target(str, Enum):
    """What `edgepose export` writes; `edgepose.export.ENDINGS`."""

    onnx = "onnx"
    openvino = "openvino"
    ncnn = "ncnn"


class Protocol(str, Enum):
    """Of `edgepose.evaluate.coco.PROTOCOLS`."""

    coco = "coco"
    crowdpose = "crowdpose"
    wholebody = "wholebody"


class Size(str, Enum):
    """Of `edgepose.evaluate.keypoints.SIZES`."""

    torso = "torso"
    trunk = "trunk"
    box = "box"
    head = "head"


class Move(str, Enum):
    """Of `edgepose.synthetic.camera.MOVES`."""

    static = "static"
    pan = "pan"
    zoom = "zoom"
    track = "track"
    orbit = "orbit"
    handheld = "handheld"


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
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.", show_default="as many as help")]
Device = Annotated[
    str, typer.Option("--device", callback=_device, help="cpu or auto: what runs the networks is the CPU.")
]
Results = Annotated[Format | None, typer.Option("--format", "-f", help="Of the file in --out; JSON lines if not said.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Threshold = Annotated[float, typer.Option("--threshold", help="Least score of the keypoints drawn in overlays.")]


def load_estimator(model: str | None, detector: str, backend: Backend | None, threads: int | None) -> Estimator:
    """`edgepose.load` with the words of the command line, which are its own."""
    from edgepose.runtime.load import load

    return load(model, detector=detector, backend=None if backend is None else backend.value, threads=threads)


def require_folder(out: Path | None, kind: Format | None, overlay: bool) -> None:
    """Refuse, as wrong use, an option that writes files without the folder to write to."""
    if out is None and (overlay or kind is not None):
        option = "--overlay" if overlay else "--format"
        raise typer.BadParameter("it writes files, so say where: add --out FOLDER", param_hint=option)
