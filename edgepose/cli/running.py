"""Commands that find people: in pictures, in videos and live sources, for others over HTTP."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from edgepose.cli.errors import UsageError
from edgepose.cli.options import (
    Detector,
    Device,
    Format,
    Json,
    Model,
    Preset,
    Results,
    Runner,
    Threads,
    Threshold,
    load_estimator,
)


def predict(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE", help="Pictures, folders, patterns, videos, camera numbers, video URLs."),
    ],
    model: Model = None,
    detector: Detector = "default",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder to write results to.")] = None,
    kind: Results = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Also draw the poses over what was read, into --out.")
    ] = False,
    as_json: Json = False,
    backend: Runner = None,
    threads: Threads = None,
    device: Device = "auto",
    threshold: Threshold = 0.3,
) -> None:
    """Find people and their keypoints.

    Prints one line per source, or one JSON object per frame with --json. With --out it writes results.jsonl (or
    results.json, results.csv, openpose/) and, with --overlay, NAME_overlay.jpg, .png or .mp4. A bad picture is named,
    the others are still done, and the exit status is 1.
    """
    _require_folder(out, kind, overlay)
    from edgepose.commands.predict import predict as run
    from edgepose.commands.screen import Screen

    estimator = load_estimator(model, detector, backend, threads)
    with Screen() as screen:
        failed = run(
            sources, estimator, screen, out=out, kind=(kind or Format.jsonl).value, overlay=overlay,
            print_json=as_json, threshold=threshold,
        )  # fmt: skip
    if failed:
        raise typer.Exit(1)


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
    kind: Results = None,
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
    device: Device = "auto",
    threshold: Threshold = 0.3,
) -> None:
    """Follow people through videos and live sources: identities, steady keypoints.

    Videos keep every frame and its time. Of a camera or a URL only the newest frame counts, the others are dropped and
    counted, and a broken connection is joined again. Several sources share the models. Prints a line per source, or
    one JSON object per frame with --json; what happens to a source goes to stderr, with --json as objects too. When
    --max-latency or --fps cannot be kept, the detector runs less often, then each frame looks at some of the people.
    Ctrl-C finishes the files that are open.
    """
    _require_folder(out, kind, overlay)
    if detect_every != "adaptive" and not (detect_every.isdecimal() and int(detect_every) >= 1):
        hint = f"expected a number of frames from 1, or adaptive, got {detect_every!r}"
        raise typer.BadParameter(hint, param_hint="--detect-every")
    for option, value in (("--max-latency", max_latency), ("--fps", fps), ("--give-up", give_up)):
        if value is not None and not 0 < value < math.inf:
            raise typer.BadParameter(f"expected a positive number, got {value:g}", param_hint=option)
    from edgepose.commands.screen import Screen
    from edgepose.commands.track import run

    estimator = load_estimator(model, detector, backend, threads)
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


def demo(
    source: Annotated[
        str | None, typer.Argument(metavar="SOURCE", help="What to look at; a photo in the package if not said.")
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
    allow_urls: Annotated[bool, typer.Option("--allow-urls", hidden=True)] = False,
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
    device: Device = "auto",
) -> None:
    """Answer over HTTP: POST /predict, WebSocket /frames, a page with the camera, /metrics, /healthz.

    Prints one line when it listens, JSON with --json, and serves until Ctrl-C or SIGTERM. /openapi.json describes it.
    """
    if allow_urls:
        raise UsageError("--allow-urls is gone: the server fetches no URLs; fetch the picture and POST its bytes")
    from edgepose.commands import serve as command
    from edgepose.serve.limits import Access, Limits

    try:
        limits = Limits(int(max_mb * (1 << 20)), max_pixels, concurrency, connections, rate, timeout, idle)
    except ValueError as error:
        raise UsageError(str(error)) from None
    access = Access(command.token_from(token_file), tuple(allow_origin or ()), tuple(allow_host or ()))
    estimator = load_estimator(model, detector, backend, threads)
    command.serve(estimator, limits, access, host=host, port=port, as_json=as_json)


def _require_folder(out: Path | None, kind: Format | None, overlay: bool) -> None:
    if out is None and (overlay or kind is not None):
        option = "--overlay" if overlay else "--format"
        raise typer.BadParameter("it writes files, so say where: add --out FOLDER", param_hint=option)
