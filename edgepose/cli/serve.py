"""`edgepose serve`: the server, from its options to its end."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgepose.cli.errors import UsageError
from edgepose.cli.options import Detector, Device, Json, MinScore, Quickest, Threads, load_estimator
from edgepose.cli.screen import show

if TYPE_CHECKING:
    from edgepose.runtime.estimator import Estimator
    from edgepose.serve.limits import Access, Limits

VARIABLE = "EDGEPOSE_TOKEN"


def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="Model name or file; several times for more, of which clients choose by ?model=NAME.",
            show_default="the default",
        ),
    ] = None,
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
    backend: Quickest = "auto",
    threads: Threads = None,
    device: Device = "auto",
    min_score: MinScore = None,
) -> None:
    """Answer over HTTP: POST /predict, WebSocket /frames, a page with the camera, /metrics, /healthz.

    Prints one line when it listens, JSON with --json, and serves until Ctrl-C or SIGTERM. /openapi.json describes it.
    Several models, between which the page has a choice: edgepose serve -m default-pose -m mine.onnx
    """
    if allow_urls:
        raise UsageError("--allow-urls is gone: the server fetches no URLs; fetch the picture and POST its bytes")
    import edgepose.serve.app  # noqa: F401  (where the extra is missing, that is said first)
    from edgepose.serve.limits import Access, Limits

    try:
        size = max_mb * (1 << 20)
        limits = Limits(
            int(size) if math.isfinite(size) else 0, max_pixels, concurrency, connections, rate, timeout, idle
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    access = Access(token_from(token_file), tuple(allow_origin or ()), tuple(allow_host or ()))
    models = {
        name: load_estimator(word, detector, backend, threads, min_score=min_score)
        for name, word in names_of(model or [None]).items()
    }
    answer(models, limits, access, host=host, port=port, as_json=as_json)


def token_from(path: Path | None) -> str | None:
    """The first line of a file, else EDGEPOSE_TOKEN, else None; never from the command line, which others can see."""
    if path is not None:
        lines = path.read_text(encoding="utf-8").splitlines()
        if not lines or not lines[0].strip():
            raise ValueError(f"{path} is empty: expected the token in its first line")
        return lines[0].strip()
    return os.environ.get(VARIABLE) or None


def names_of(words: Sequence[str | None]) -> dict[str, str | None]:
    """What clients call each model: as the user does; a file by its name, or by its path where two are alike.

    ValueError for a model that is named twice.
    """
    from edgepose.runtime.load import DEFAULT_POSE

    plain = [DEFAULT_POSE if word in (None, "default") else str(word) for word in words]
    short = [Path(word).name if "/" in word or os.sep in word else word for word in plain]
    names = [word if short.count(name) > 1 else name for word, name in zip(plain, short, strict=True)]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"--model names {name} twice: expected different models")
    return dict(zip(names, words, strict=True))


def answer(
    models: dict[str, Estimator], limits: Limits, access: Access, *, host: str, port: int, as_json: bool
) -> None:
    """Answer requests until the end, which SIGTERM or Ctrl-C makes."""
    from edgepose.serve.app import create_app
    from edgepose.serve.server import bind, run

    hosts = access.hosts if _is_address(host) else (*access.hosts, host)
    app = create_app(models, limits, replace(access, hosts=hosts))
    with bind(host, port) as listener:
        bound, number = listener.getsockname()[:2]
        shown = "localhost" if bound in ("0.0.0.0", "::") else bound
        url = f"http://[{shown}]:{number}" if ":" in shown else f"http://{shown}:{number}"

        def ready() -> None:
            names = list(models)
            sentence = f"{', '.join(names)} at {url} (page, POST /predict, WebSocket /frames); Ctrl-C ends"
            show({"url": url, "model": names[0], "models": names, "pid": os.getpid()}, sentence, as_json)

        if access.token is None and not (_is_address(bound) and ip_address(bound).is_loopback):
            print(
                f"warning: other machines can use this server; set a token in {VARIABLE}", file=sys.stderr, flush=True
            )
        run(app, listener, ready)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
