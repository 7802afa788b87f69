"""`edgepose serve`: the server, from its options to its end."""

from __future__ import annotations

import os
import sys
from ipaddress import ip_address
from pathlib import Path

from edgepose.commands.screen import show_json
from edgepose.runtime.estimator import Estimator
from edgepose.serve.app import create_app
from edgepose.serve.limits import Access, Limits
from edgepose.serve.server import bind, run

VARIABLE = "EDGEPOSE_TOKEN"


def token_from(path: Path | None) -> str | None:
    """The first line of a file, else EDGEPOSE_TOKEN, else None; never from the command line, which others can see."""
    if path is not None:
        lines = path.read_text(encoding="utf-8").splitlines()
        if not lines or not lines[0].strip():
            raise ValueError(f"{path} is empty: expected the token in its first line")
        return lines[0].strip()
    return os.environ.get(VARIABLE) or None


def serve(estimator: Estimator, limits: Limits, access: Access, *, host: str, port: int, as_json: bool) -> None:
    """Answer requests until the end, which SIGTERM or Ctrl-C makes."""
    hosts = access.hosts if _is_address(host) else (*access.hosts, host)
    app = create_app(estimator, limits, Access(access.token, access.origins, hosts))
    with bind(host, port) as listener:
        bound, number = listener.getsockname()[:2]
        shown = "localhost" if bound in ("0.0.0.0", "::") else bound
        url = f"http://[{shown}]:{number}" if ":" in shown else f"http://{shown}:{number}"

        def ready() -> None:
            if as_json:
                show_json({"url": url, "model": estimator.spec.name, "pid": os.getpid()})
            else:
                print(
                    f"{estimator.spec.name} at {url} (page, POST /predict, WebSocket /frames); Ctrl-C ends", flush=True
                )

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
