"""The command line: one command per verb. Each imports what it needs when it is called, so that `--help` is quick."""

from __future__ import annotations

import os
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from edgepose.runtime.estimator import Estimator

# Packages of the extras, and what to install for them.
EXTRAS = {
    "torch": "train", "onnx": "train", "onnxscript": "train", "safetensors": "train", "tensorboard": "train",
    "openvino": "openvino", "hotcoco": "evaluate", "fastapi": "serve", "uvicorn": "serve", "h11": "serve",
    "python_multipart": "serve", "websockets": "serve", "prometheus_client": "serve",
}  # fmt: skip


class _Commands(TyperGroup):
    """All commands, with errors as one sentence on stderr: status 1 failed, 2 wrong use, 130 interrupted."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except BrokenPipeError:  # the reader of our output has gone, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if error.name is None:  # raised by ourselves, with a sentence
                _fail(_sentence(error))
            if package not in EXTRAS:
                raise
            _fail(f"{package} is not installed, which this needs: pip install 'edgepose[{EXTRAS[package]}]'")
        except (ValueError, OSError) as error:
            _fail(_sentence(error))


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _fail(message: str) -> None:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(1)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Real-time 2D multi-person pose estimation on the CPU you have.",
)


class Format(str, Enum):
    """Formats of result files; `edgepose.runtime.results.FORMATS` writes them."""

    jsonl = "jsonl"
    coco = "coco"
    csv = "csv"
    openpose = "openpose"


class Backend(str, Enum):
    """What runs the networks."""

    onnxruntime = "onnxruntime"
    openvino = "openvino"


Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Model name or file; `edgepose models` lists them.", show_default="the default"),
]
Detector = Annotated[
    str, typer.Option("--detector", "-d", help="Name or file, for models that need one; none: one person fills it.")
]
Runner = Annotated[Backend, typer.Option("--backend", help="What runs the networks.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.", show_default="as many as help")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Threshold = Annotated[float, typer.Option("--threshold", help="Least score of the keypoints drawn in overlays.")]


def _load(model: str | None, detector: str, backend: Backend, threads: int | None) -> Estimator:
    """`edgepose.load`, with words for its None: "default" models, and "none" for no detector."""
    from edgepose.runtime.load import load

    name = None if model == "default" else model
    return load(name, detector=None if detector == "none" else detector, backend=backend.value, threads=threads)


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    if version:
        from importlib.metadata import version as version_of

        typer.echo(f"edgepose {version_of('edgepose')}")
        raise typer.Exit


@app.command()
def predict(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE...", help="Pictures, folders, patterns, videos, camera numbers, URLs."),
    ],
    model: Model = None,
    detector: Detector = "default",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder to write results to.")] = None,
    kind: Annotated[
        Format | None, typer.Option("--format", "-f", help="Of the file in --out; JSON lines if not said.")
    ] = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Also draw the poses over what was read, into --out.")
    ] = False,
    as_json: Json = False,
    backend: Runner = Backend.onnxruntime,
    threads: Threads = None,
    threshold: Threshold = 0.3,
) -> None:
    """Find people and their keypoints.

    Prints one line per source, or one JSON object per frame with --json. With --out it writes results.jsonl (or
    results.json, results.csv, openpose/) and, with --overlay, NAME_overlay.jpg, .png or .mp4. A bad picture is named,
    the others are still done, and the exit status is 1.
    """
    if out is None and (overlay or kind is not None):
        option = "--overlay" if overlay else "--format"
        raise typer.BadParameter("it writes files, so say where: add --out FOLDER", param_hint=option)
    from edgepose.commands.predict import predict as run
    from edgepose.commands.screen import Screen

    estimator = _load(model, detector, backend, threads)
    with Screen() as screen:
        failed = run(
            sources, estimator, screen, out=out, kind=(kind or Format.jsonl).value, overlay=overlay,
            print_json=as_json, threshold=threshold,
        )  # fmt: skip
    if failed:
        raise typer.Exit(1)


@app.command()
def demo(
    source: Annotated[
        str | None, typer.Argument(metavar="[SOURCE]", help="What to look at; a drawn scene if not said.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the overlay and the JSON file.")] = Path(
        "edgepose-demo"
    ),
    as_json: Json = False,
    threshold: Threshold = 0.3,
) -> None:
    """Run the default models on one source and write an overlay and a JSON file; needs no network and no picture."""
    from edgepose import load
    from edgepose.commands.predict import demo as run
    from edgepose.commands.screen import Screen, show_json

    with Screen() as screen:
        outcomes = run(source, load(), screen, out, threshold=threshold, quiet=as_json)
    if as_json:
        for outcome in outcomes:
            show_json(outcome.as_dict())
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe; a wrong one lists them all.")],
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="data=... out=... [key=value]...", help="See above.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a network, or go on with a run that was stopped.

    data=ANNOTATIONS.json:PICTURES[,more]  COCO-style labels and a folder or zip; several sets join by keypoint name

    data='A.json:PICTURES*4,B.json:PICTURES'  the same with the first set listed 4 times, read and decoded once

    val=ANNOTATIONS.json:PICTURES  validate with the deployed estimator: poses in true boxes, or a detector's boxes

    teacher=FILE.onnx  for a detector: learn from another one's outputs too (teacher_weight=1)

    out=FOLDER  checkpoint, log.jsonl (runs/RECIPE if not said); a run found there goes on

    device=cpu|cuda, tensorboard=1, and every field of the recipe: epochs=10 batch=64 lr=1e-3 ...

    Under `torchrun` the processes share every batch.
    """
    from edgepose.commands.train import train as run

    run(recipe, settings or [], as_json)


@app.command()
def export(
    checkpoint: Annotated[
        Path, typer.Argument(help="Checkpoint of `edgepose train`, such as runs/NAME/last.safetensors.")
    ],
    to: Annotated[str, typer.Option("--to", help="Format: onnx.")] = "onnx",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write; NAME.onnx beside the checkpoint if not said.")
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Store the weights as float16: half the size, same speed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a trained network as a file that `edgepose.load` runs, after comparing its results with torch's."""
    from edgepose.commands.train import export as run

    run(checkpoint, to, out, half, as_json)


@app.command()
def evaluate(
    data: Annotated[Path, typer.Option("--data", help="Labels: a COCO-style JSON file.")],
    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="Model name or file; may be repeated.")
    ] = None,
    images: Annotated[Path | None, typer.Option("--images", help="Folder or zip of the pictures.")] = None,
    predictions: Annotated[
        Path | None, typer.Option("--predictions", help="A COCO results file instead of a model.")
    ] = None,
    boxes: Annotated[str, typer.Option("--boxes", help="gt, detector, or a COCO detection file.")] = "gt",
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="coco, crowdpose or wholebody.", show_default="by the labels")
    ] = None,
    flip_test: Annotated[
        bool, typer.Option("--flip-test", help="Average with the mirrored picture, as papers do.")
    ] = False,
    pck: Annotated[
        str | None, typer.Option("--pck", help="Also PCK@0.2, AUC, EPE, NME; sizes: torso, box or head.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File for the results of the (last) model.")] = None,
    as_json: Json = False,
    detector: Detector = "default",
    backend: Runner = Backend.onnxruntime,
    threads: Threads = None,
) -> None:
    """Measure models on labelled pictures, or a results file made elsewhere: AP, AR and more.

    --boxes gt gives a per-person model the labelled boxes, detector those of the whole pipeline.
    """
    if (predictions is None) == (not model):
        raise typer.BadParameter(
            "name --model MODEL or --predictions RESULTS.json, one of the two", param_hint="--model"
        )
    from edgepose.commands import evaluate as command

    measures = command.Measures(protocol, pck)
    if predictions is not None:
        command.evaluate_results(predictions, data, measures, as_json)
        return
    if images is None:
        raise typer.BadParameter("the models look at pictures: add --images FOLDER_OR_ZIP", param_hint="--images")

    estimators = {name: command.prepared(_load(name, detector, backend, threads), flip_test) for name in model or []}
    unreadable = command.evaluate_models(estimators, data, images, measures, boxes=boxes, out=out, as_json=as_json)
    if unreadable:
        raise typer.Exit(1)


@app.command()
def bench(
    names: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Model names or files; default: the default.")],
    people: Annotated[
        str | None,
        typer.Option("--people", help="Counts, such as 1,4,8,30, looked at whatever the detector finds."),
    ] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=0, help="Time for each row.")] = 3.0,
    detector: Detector = "default",
    backend: Runner = Backend.onnxruntime,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Time models on this machine: the whole frame, and how much of it each stage takes.

    The picture is the drawn scene of `edgepose demo` at 1280x720. A machine that is busy is slower: look at p95.
    """
    from edgepose.commands import bench as command

    try:
        counts = [] if people is None else command.parse_counts(people)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--people") from None
    estimators = {name: _load(name, detector, backend, threads) for name in names}
    command.bench_models(estimators, counts, seconds=seconds, backend=backend.value, as_json=as_json)


@app.command()
def serve(
    model: Model = None,
    detector: Detector = "default",
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; 0.0.0.0: all, so set a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0: any free one.")] = 8000,
    max_mb: Annotated[float, typer.Option("--max-mb", help="Largest picture in megabytes (2^20 bytes).")] = 16.0,
    max_pixels: Annotated[int, typer.Option("--max-pixels", help="Largest picture in pixels.")] = 64_000_000,
    concurrency: Annotated[int, typer.Option("--concurrency", help="Requests at one time; more get 503.")] = 8,
    connections: Annotated[int, typer.Option("--connections", help="WebSockets at one time; more get 503.")] = 8,
    rate: Annotated[float, typer.Option("--rate", help="Requests per second and client; 0: any.")] = 0.0,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds for a body, and for its answer.")] = 30.0,
    idle: Annotated[float, typer.Option("--idle", help="Seconds without a frame that end a WebSocket.")] = 60.0,
    allow_urls: Annotated[bool, typer.Option("--allow-urls", help="Fetch pictures from public URLs.")] = False,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="File with the token to ask for; else EDGEPOSE_TOKEN.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option("--allow-origin", help="Other site whose pages may use this; repeatable.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option("--allow-host", help="Name that this machine is reached by; repeatable.")
    ] = None,
    as_json: Json = False,
    backend: Runner = Backend.onnxruntime,
    threads: Threads = None,
) -> None:
    """Answer over HTTP: POST /predict, WebSocket /frames, a page with the camera, /metrics, /healthz.

    Prints one line when it listens, JSON with --json, and serves until Ctrl-C or SIGTERM. /openapi.json describes it.
    """
    from edgepose.commands import serve as command
    from edgepose.serve.limits import Access, Limits

    limits = Limits(int(max_mb * (1 << 20)), max_pixels, concurrency, connections, rate, timeout, idle)
    access = Access(command.token_from(token_file), tuple(allow_origin or ()), tuple(allow_host or ()), allow_urls)
    estimator = _load(model, detector, backend, threads)
    command.serve(estimator, limits, access, host=host, port=port, as_json=as_json)


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(help="Show the card of this one.")] = None,
    fetch: Annotated[str | None, typer.Option("--fetch", help="Download this published model into the cache.")] = None,
    as_json: Json = False,
) -> None:
    """List models: in the package, published (fetched or not), and recipes to train. Only --fetch uses the network."""
    from edgepose.commands import models as command

    if fetch is not None:
        command.fetch_model(fetch, as_json)
    elif name is not None:
        command.show_model(name, as_json)
    else:
        command.list_models(as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what works on this machine and what to do about what does not. Writes nothing; status 1 when broken."""
    from edgepose.commands.doctor import doctor as run

    if not run(as_json):
        raise typer.Exit(1)


def main() -> None:
    """Entry point of `edgepose`."""
    app()
