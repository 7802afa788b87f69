"""The command line: one command per verb. Each imports what it needs when it is called, so that `--help` is quick."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from edgepose.commands.data import data_app

if TYPE_CHECKING:
    from edgepose.runtime.estimator import Estimator

# Packages of the extras, and what to install for them.
EXTRAS = {
    "torch": "train", "onnx": "train", "onnxscript": "train", "safetensors": "train", "tensorboard": "train",
    "scipy": "train", "pnnx": "train", "openvino": "openvino", "ncnn": "ncnn", "hotcoco": "evaluate",
    "fastapi": "serve", "uvicorn": "serve", "h11": "serve", "python_multipart": "serve", "websockets": "serve",
    "prometheus_client": "serve",
}  # fmt: skip


# click's own or, in newer typers, their copy of it
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


class _Commands(TyperGroup):
    """All commands, with errors as one sentence on stderr: status 1 failed, 2 wrong use, 130 interrupted."""

    def make_context(self, *args: Any, **more: Any) -> Any:
        with _wrong_use():
            return super().make_context(*args, **more)

    def invoke(self, ctx: Any) -> Any:
        try:
            with _wrong_use():
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


@contextmanager
def _wrong_use() -> Iterator[None]:
    """What click says of it in several lines and a frame, in one."""
    try:
        yield
    except UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # no error but the help, which click prints
            raise
        context = getattr(error, "ctx", None)
        command = "edgepose" if context is None else context.command_path
        message = " ".join(error.format_message().split()).replace("Value error, ", "").rstrip(".")  # type: ignore[attr-defined]
        typer.echo(f"error: {message[:1].lower()}{message[1:]} (see `{command} --help`)", err=True)
        raise typer.Exit(2) from None


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
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Real-time 2D multi-person pose estimation on the CPU you have.",
)


class Format(str, Enum):
    """Formats of result files; `edgepose.runtime.results.FORMATS` writes them."""

    jsonl = "jsonl"
    coco = "coco"
    csv = "csv"
    openpose = "openpose"


class Preset(str, Enum):
    """Presets of `edgepose.runtime.smoothing`."""

    steady = "steady"
    default = "default"
    quick = "quick"


class Backend(str, Enum):
    """What runs the networks."""

    onnxruntime = "onnxruntime"
    openvino = "openvino"
    ncnn = "ncnn"


class Target(str, Enum):
    """What `edgepose export` writes; `edgepose.commands.train.ENDINGS`."""

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
    box = "box"
    head = "head"


class Move(str, Enum):
    """Of `edgepose.data.synthetic.camera.MOVES`."""

    static = "static"
    pan = "pan"
    zoom = "zoom"
    track = "track"
    orbit = "orbit"
    handheld = "handheld"


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
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Threshold = Annotated[float, typer.Option("--threshold", help="Least score of the keypoints drawn in overlays.")]


def _load(model: str | None, detector: str, backend: Backend | None, threads: int | None) -> Estimator:
    """`edgepose.load`, with words for its None: "default" models, and "none" for no detector."""
    from edgepose.runtime.load import load

    name = None if model == "default" else model
    finder = None if detector == "none" else detector
    return load(name, detector=finder, backend=None if backend is None else backend.value, threads=threads)


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
        typer.Argument(metavar="SOURCE", help="Pictures, folders, patterns, videos, camera numbers, URLs."),
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
    backend: Runner = None,
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
def track(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE", help="Videos, folders of frames, camera numbers, URLs.")
    ],
    model: Model = None,
    detector: Detector = "default",
    detect_every: Annotated[
        str, typer.Option("--detect-every", metavar="K|adaptive", help="Frames between two runs of the detector.")
    ] = "5",
    smooth: Annotated[bool, typer.Option("--smooth/--no-smooth", help="Steady the keypoints over time.")] = True,
    preset: Annotated[Preset, typer.Option("--preset", help="How much to smooth.")] = Preset.default,
    follow: Annotated[int | None, typer.Option("--follow", min=1, metavar="ID", help="Only this person.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to write results to, or an overlay video (.mp4).")
    ] = None,
    kind: Annotated[
        Format | None, typer.Option("--format", "-f", help="Of the file in --out; JSON lines if not said.")
    ] = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Also draw people with identities and trails, into --out.")
    ] = False,
    as_json: Json = False,
    max_latency: Annotated[
        float | None, typer.Option("--max-latency", metavar="MS", help="Work on a frame may take so long.")
    ] = None,
    fps: Annotated[float | None, typer.Option("--fps", help="Frames per second to reach.")] = None,
    live: Annotated[
        bool | None,
        typer.Option("--live/--no-live", help="Keep only the newest frame.", show_default="as the source is"),
    ] = None,
    reconnect: Annotated[
        bool, typer.Option("--reconnect/--no-reconnect", help="Join a live source again when it breaks.")
    ] = True,
    give_up: Annotated[
        float | None, typer.Option("--give-up", metavar="SECONDS", help="Without a frame for so long, stop trying.")
    ] = None,
    backend: Runner = None,
    threads: Threads = None,
    threshold: Threshold = 0.3,
) -> None:
    """Follow people through videos and live sources: identities, steady keypoints.

    Videos keep every frame and its time. Of a camera or a URL only the newest frame counts, the others are dropped and
    counted, and a broken connection is joined again. Several sources share the models. Prints a line per source, or
    one JSON object per frame with --json; what happens to a source goes to stderr, with --json as objects too. When
    --max-latency or --fps cannot be kept, the detector runs less often, then each frame looks at some of the people.
    Ctrl-C finishes the files that are open.
    """
    if out is None and (overlay or kind is not None):
        option = "--overlay" if overlay else "--format"
        raise typer.BadParameter("it writes files, so say where: add --out FOLDER", param_hint=option)
    if detect_every != "adaptive" and not (detect_every.isdecimal() and int(detect_every) >= 1):
        hint = f"expected a number of frames from 1, or adaptive, got {detect_every!r}"
        raise typer.BadParameter(hint, param_hint="--detect-every")
    from edgepose.commands.screen import Screen
    from edgepose.commands.track import run

    estimator = _load(model, detector, backend, threads)
    with Screen() as screen:
        failed = run(
            sources, estimator, screen, out=out, kind=(kind or Format.jsonl).value, overlay=overlay,
            print_json=as_json, threshold=threshold, live=live, reconnect=reconnect, give_up=give_up,
            detect_every=detect_every if detect_every == "adaptive" else int(detect_every),
            smooth=preset.value if smooth else None, follow=follow, fps=fps,
            max_latency=None if max_latency is None else max_latency / 1000,
        )  # fmt: skip
    if failed:
        raise typer.Exit(1)


@app.command()
def demo(
    source: Annotated[
        str | None, typer.Argument(metavar="SOURCE", help="What to look at; a drawn scene if not said.")
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
    recipe: Annotated[
        str, typer.Argument(help="Name of a recipe, or of a network that was searched; a wrong one lists them all.")
    ],
    settings: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="See above.")] = None,
    as_json: Json = False,
) -> None:
    """Train a network, or go on with a run that was stopped.

    data=ANNOTATIONS:PICTURES[,more]  labels (see `edgepose data check`) and a folder or zip; several sets join by
    keypoint name

    data='A.json:PICTURES*4,B.json:PICTURES'  the same with the first set listed 4 times, read and decoded once; with
    sampling=balanced these are weights: every set gets its share of each epoch, whatever its size

    data='coco=A.json:PICTURES,aic=B.json:PICTURES'  the sets of a recipe with a mix, or of mix=aic-coco|body7|body8

    on_bad=refuse|skip  pictures that are missing or cannot be read; what is skipped is named and in the log

    val=ANNOTATIONS.json:PICTURES  validate with the deployed estimator: poses in true boxes, or a detector's boxes

    teacher=FILE  learn from another network's outputs too (teacher_weight=1): for a detector an ONNX file, for a
    bottom-up network a checkpoint or an ONNX file with both its outputs

    out=FOLDER  checkpoint, log.jsonl (runs/RECIPE if not said); a run found there goes on

    device=cpu|cuda, tensorboard=1, and every field of the recipe: epochs=10 batch=64 lr=1e-3 ...

    Under `torchrun` the processes share every batch.
    """
    from edgepose.commands.train import train as run

    run(recipe, settings or [], as_json)


@app.command()
def search(
    checkpoint: Annotated[Path, typer.Option("--checkpoint", help="Of `edgepose train litepose-supernet`.")],
    macs: Annotated[str, typer.Option("--macs", help="Most multiply-accumulates of one picture, such as 886M, 1.2G.")],
    data: Annotated[
        str, typer.Option("--data", metavar="A.json:PICTURES", help="Training pictures, to count batch statistics on.")
    ],
    val: Annotated[str, typer.Option("--val", metavar="B.json:PICTURES", help="Labelled pictures to compare on.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder; a search found there goes on.")] = Path(
        "runs/search"
    ),
    population: Annotated[int, typer.Option("--population", help="Networks in the first generation, children.")] = 40,
    generations: Annotated[int, typer.Option("--generations", help="After the first.")] = 40,
    parents: Annotated[float, typer.Option("--parents", help="Share that has children: the best.")] = 0.25,
    mutants: Annotated[float, typer.Option("--mutants", help="Share of the children with one parent.")] = 0.5,
    change: Annotated[float, typer.Option("--change", help="Probability that a gene of those is drawn again.")] = 0.1,
    calibrate: Annotated[int, typer.Option("--calibrate", help="Training views to count batch statistics on.")] = 256,
    sides: Annotated[
        str | None, typer.Option("--sides", help="Of the input, such as 256,320.", show_default="as it was trained")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed finds the same.")] = 0,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Find the best part of a super-net under a budget, by evolution, and write it as a checkpoint of its own.

    Writes OUT/search.json (every generation, the best network for each cost), OUT/MODEL.safetensors, which `edgepose
    export` and `edgepose train MODEL init=` take, and OUT/scores.jsonl. The budget is of true multiply-accumulates
    (`edgepose macs`); the published search counted deconvolutions four times.
    """
    from edgepose.commands import search as command
    from edgepose.commands.train import parse

    try:
        budget = command.parse_macs(macs)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--macs") from None
    if device.partition(":")[0] not in ("cpu", "cuda"):
        raise typer.BadParameter(f"{device!r} is neither cpu nor cuda", param_hint="--device")
    given = [] if sides is None else sides.split(",")
    if not all(side.isdecimal() for side in given):
        raise typer.BadParameter(f"{sides!r}: expected sides such as 256,320", param_hint="--sides")
    from edgepose.train.evolution import Evolution

    sets, _ = parse("search", [f"data={data}", f"val={val}", f"out={out}", f"device={device}"])
    evolution = Evolution(population, generations, parents, mutants, change, seed)
    plan = command.Plan(checkpoint, sets, budget, evolution, calibrate, tuple(int(side) for side in given))
    command.search(plan, threads, as_json)


@app.command()
def export(
    checkpoint: Annotated[
        Path, typer.Argument(help="Checkpoint of `edgepose train`, such as runs/NAME/last.safetensors.")
    ],
    to: Annotated[Target, typer.Option("--to", help="Format.")] = Target.onnx,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="File to write; NAME.onnx, .xml or .ncnn.param beside the checkpoint if not said."
        ),
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Store the weights as float16: half the size, same speed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a trained network as a file that `edgepose.load` runs, after comparing its results with torch's.

    For OpenVINO these are two, NAME.xml and NAME.bin (the weights), for ncnn three, NAME.ncnn.param, .bin (the
    weights) and .json (the spec); they stay together.
    """
    from edgepose.commands.train import export as run

    run(checkpoint, to.value, out, half, as_json)


@app.command()
def evaluate(
    data: Annotated[
        Path, typer.Option("--data", help="Labels in any format that training reads (JSON or joints.mat).")
    ],
    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="Model name or file; may be repeated.")
    ] = None,
    images: Annotated[Path | None, typer.Option("--images", help="Folder or zip of the pictures.")] = None,
    predictions: Annotated[
        Path | None, typer.Option("--predictions", help="A COCO results file instead of a model.")
    ] = None,
    boxes: Annotated[str, typer.Option("--boxes", help="gt, detector, or a COCO detection file.")] = "gt",
    protocol: Annotated[
        Protocol | None, typer.Option("--protocol", help="How AP is counted.", show_default="by the labels")
    ] = None,
    flip_test: Annotated[
        bool, typer.Option("--flip-test", help="Average with the mirrored picture, as papers do.")
    ] = False,
    scales: Annotated[
        str,
        typer.Option(
            "--scales",
            help="Multi-scale test: average over sizes of the boxes, such as 0.75,1,1.25; of a bottom-up model over "
            "sizes of the picture, such as 0.5,1,2.",
        ),
    ] = "1",
    pck: Annotated[
        Size | None,
        typer.Option("--pck", help="Also PCK@0.2 and @0.05, AUC, EPE, NME, by this size; head: MPII's PCKh."),
    ] = None,
    bootstrap: Annotated[
        int | None,
        typer.Option(
            "--bootstrap",
            min=0,
            help="95% intervals from so many draws of the pictures.",
            show_default="1000 in a report",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Folder for MODEL.md and MODEL.json: all that follows.")
    ] = None,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="In the report, also figures on spoiled pictures: 21 more runs.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File for the results of the (last) model.")] = None,
    as_json: Json = False,
    detector: Detector = "default",
    backend: Runner = None,
    threads: Threads = None,
) -> None:
    """Measure models on labelled pictures, or a results file made elsewhere: AP, AR and more.

    --boxes gt gives a per-person model the labelled boxes, detector those of the whole pipeline.

    --report tells what kinds of mistakes are made and what each costs (good, jitter, inversion, swap, miss), AP by
    keypoint, by size, by people in the picture and by crowding, how sure the model may be of itself, and how sure the
    figures are.
    """
    if (predictions is None) == (not model):
        raise typer.BadParameter(
            "name --model MODEL or --predictions RESULTS.json, one of the two", param_hint="--model"
        )
    from edgepose.commands import evaluate as command

    if robustness and (report is None or predictions is not None):
        raise typer.BadParameter("it looks at pictures anew: add --model and --report", param_hint="--robustness")
    try:
        factors = command.parse_scales(scales)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--scales") from None
    measures = command.Measures(
        None if protocol is None else protocol.value, None if pck is None else pck.value, bootstrap, report, robustness
    )
    if predictions is not None:
        command.evaluate_results(predictions, data, measures, as_json)
        return
    if images is None:
        raise typer.BadParameter("the models look at pictures: add --images FOLDER_OR_ZIP", param_hint="--images")

    estimators = {}
    for name in model or []:
        estimator = _load(name, detector, backend, threads)
        at_size = command.network_of_sizes(name, estimator.spec, backend and backend.value, threads)
        estimators[name] = command.prepared(estimator, flip_test, factors, at_size)
    unreadable = command.evaluate_models(estimators, data, images, measures, boxes=boxes, out=out, as_json=as_json)
    if unreadable:
        raise typer.Exit(1)


@app.command()
def bench(
    names: Annotated[list[str], typer.Argument(metavar="MODEL", help="Names or files, such as default.")],
    people: Annotated[
        str | None,
        typer.Option("--people", help="Counts, such as 1,4,8,30, looked at whatever the detector finds."),
    ] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=0, help="Time for each row.")] = 3.0,
    detector: Detector = "default",
    backend: Runner = None,
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
    command.bench_models(estimators, counts, seconds=seconds, backend=backend and backend.value, as_json=as_json)


app.add_typer(data_app, name="data")


@app.command()
def compare(
    names: Annotated[list[str], typer.Argument(metavar="MODEL", help="Names or files, such as default.")],
    data: Annotated[Path, typer.Option("--data", help="Labels in any format that training reads.")],
    images: Annotated[Path, typer.Option("--images", help="Folder or zip of the pictures.")],
    boxes: Annotated[
        str, typer.Option("--boxes", help="detector: all of it is scored and timed; gt or a file: the pose network.")
    ] = "detector",
    detector: Detector = "default",
    people: Annotated[
        int | None, typer.Option("--people", min=0, help="Looked at per picture.", show_default="as labelled, the mean")
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="In each, every model is timed once.")] = 7,
    seconds: Annotated[float, typer.Option("--seconds", min=0, help="Of each model in each round.")] = 0.5,
    watts: Annotated[
        float | None,
        typer.Option("--watts", help="The machine's power under load.", show_default="measured if it can be"),
    ] = None,
    memory: Annotated[
        bool, typer.Option("--memory/--no-memory", help="Peak memory, in a process for each model.")
    ] = True,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for compare.md, .csv, .json, .svg and .png.")
    ] = None,
    backend: Runner = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Measure accuracy and speed of many models on this machine: a table, and a plot of AP against time.

    Files of others take part with a spec beside them (model.onnx, model.json). The models take turns, so that what else
    the machine does hits all alike. One that fails is named with its reason, the others go on, and the status is 1.
    """
    from edgepose.commands import compare as command
    from edgepose.commands.screen import Screen

    if watts is not None and not watts > 0:
        raise typer.BadParameter(f"{watts} is no power: expected a positive number", param_hint="--watts")
    runner = None if backend is None else backend.value
    plan = command.Plan(data, images, boxes, detector, people, rounds, seconds, watts, memory, runner, threads)
    with Screen() as screen:
        rows = command.compare(names, lambda name: _load(name, detector, backend, threads), plan, screen)
        for row in rows:
            if "error" in row:
                screen.complain(f"error: {row['model']}: {row['error']}")
    command.show(rows, as_json)
    if out is not None:
        command.write(out, rows, plan)
    if any("error" in row or row["unreadable"] for row in rows):
        raise typer.Exit(1)


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
    backend: Runner = None,
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
def macs(
    names: Annotated[list[str], typer.Argument(metavar="NETWORK", help="Such as litepose-xs, efficienthrnet-h-4.")],
    skeleton: Annotated[str, typer.Option("--skeleton", help="What it finds.")] = "coco",
    size: Annotated[str | None, typer.Option("--size", help="Input, such as 448x448; default: published.")] = None,
    as_json: Json = False,
) -> None:
    """Parameters and multiply-accumulates of networks, true and as each paper counted. Needs the train extra."""
    sides = None
    if size is not None:
        width, _, height = size.lower().partition("x")
        if not (width.isdecimal() and height.isdecimal()):
            raise typer.BadParameter(f"{size!r}: expected width x height, such as 448x448", param_hint="--size")
        sides = int(width), int(height)
    from edgepose.skeleton import SKELETONS

    if skeleton not in SKELETONS:
        hint = f"{skeleton!r} is not one of {', '.join(SKELETONS)}"
        raise typer.BadParameter(hint, param_hint="--skeleton")
    from edgepose.commands.macs import show_macs

    show_macs(names, skeleton, sides, as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what works on this machine and what to do about what does not. Writes nothing; status 1 when broken."""
    from edgepose.commands.doctor import doctor as run

    if not run(as_json):
        raise typer.Exit(1)


@data_app.command()
def synthesize(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make; it must be new or empty.")],
    people: Annotated[
        int | None,
        typer.Option(
            "--people",
            min=0,
            help="Pictures around one person each, or people in the video.",
            show_default="1000, or 10",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same people.")] = 0,
    video: Annotated[bool, typer.Option("--video", help="A video of one scene in place of pictures.")] = False,
    seconds: Annotated[float | None, typer.Option("--seconds", min=0, help="Of the video.", show_default="12")] = None,
    fps: Annotated[
        float | None, typer.Option("--fps", min=1, max=240, help="Frames per second of the video.", show_default="30")
    ] = None,
    move: Annotated[Move | None, typer.Option("--move", help="Camera of the video.", show_default="any")] = None,
    size: Annotated[
        tuple[int, int] | None,
        typer.Option("--size", metavar="WIDTH HEIGHT", help="Of the pictures.", show_default="288 384; video 1280 720"),
    ] = None,
    backgrounds: Annotated[
        Path | None,
        typer.Option("--backgrounds", exists=True, file_okay=False, help="Folder of pictures to put behind."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw people with exact keypoints: a training set in COCO's form, or a video with the truth of every frame.

    Writes OUT/annotations.json and OUT/pictures, or with --video OUT/video.mp4 and OUT/truth.jsonl. Needs no network.
    """
    from edgepose.commands import synthesize as command

    if video:
        command.synthesize_video(
            out, 10 if people is None else people, 12.0 if seconds is None else seconds, fps or 30.0, seed, size,
            None if move is None else move.value, backgrounds, as_json,
        )  # fmt: skip
        return
    for option, value in (("--seconds", seconds), ("--fps", fps), ("--move", move)):
        if value is not None:
            raise typer.BadParameter("it belongs to a video: add --video", param_hint=option)
    command.synthesize_people(out, 1000 if people is None else people, seed, size, backgrounds, as_json)


def main() -> None:
    """Entry point of `edgepose`."""
    app()
