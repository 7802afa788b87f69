"""What stands before every route: foreign pages are turned away, answers counted and given their headers."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import logging
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from ipaddress import ip_address
from time import perf_counter
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgepose.serve.limits import Access, client_of
from edgepose.serve.service import Service

log = logging.getLogger("edgepose.serve")

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def refusal(headers: Headers, access: Access) -> str | None:
    """Why a request may not come in at all; None when it may.

    A page of another site can make a browser talk to this server, under its own name for it too (DNS rebinding). The
    browser says which page asks, and which name it used. Programs that are no browsers send no origin.
    """
    host = headers.get("host", "")
    if "*" not in access.hosts and not _ours(host, access):
        return "this server is reached by its address: for another name, start it with --allow-host NAME"
    origin = headers.get("origin")
    if origin is None or origin in access.origins or "*" in access.origins:
        return None
    try:
        same = urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        same = False
    if not same:
        return "pages of other sites may not use this server: to let one in, start it with --allow-origin ORIGIN"
    return None


def _ours(host: str, access: Access) -> bool:
    """Whether a Host header names this server by an address, as localhost, or by a name that was allowed."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost") or name in access.hosts:
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


class Guard:
    """ASGI middleware around everything."""

    def __init__(self, app: ASGIApp, service: Service, routes: frozenset[str]) -> None:
        self.app, self.service, self.routes = app, service, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        metrics = self.service.metrics
        route = scope["path"] if scope["path"] in self.routes else "other"
        status, began, started = 500, perf_counter(), False

        async def answer(message: Message) -> None:
            nonlocal status, started
            started = True
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            elif message["type"] == "websocket.accept":
                status = 101
            await send(message)

        with metrics.in_flight.track_inprogress() if scope["type"] == "http" else nullcontext():
            try:
                detail = refusal(Headers(scope=scope), self.service.access)
                if detail is None:
                    await self._until_the_end(scope, receive, answer)
                    if not started and scope["type"] == "http":
                        await JSONResponse({"detail": "the server is ending"}, 503)(scope, receive, answer)
                else:
                    await JSONResponse({"detail": detail}, 403)(scope, receive, answer)
            except Exception:  # what nobody foresaw: the traceback goes to the log, and nothing of it to the client
                if started:
                    raise
                log.exception("a request to %s failed", route)
                detail = "the server failed on this request; its log says why"
                await JSONResponse({"detail": detail}, 500)(scope, receive, answer)
            finally:
                metrics.requests.labels(route=route, status=str(status)).inc()
                if scope["type"] == "http":
                    metrics.request_seconds.labels(route=route).observe(perf_counter() - began)

    async def _until_the_end(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, which is given up when the server ends."""
        ending = self.service.ending
        if ending is None or scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        work = asyncio.ensure_future(self.app(scope, receive, send))
        end = asyncio.ensure_future(ending.wait())
        try:
            await asyncio.wait((work, end), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            end.cancel()
            if not work.done():
                work.cancel()
                await asyncio.wait((work,))


def authorised(service: Service) -> Callable[[HTTPConnection], Awaitable[None]]:
    """A dependency that raises 401 for a request without the token, where there is one."""
    token = service.access.token

    async def check(connection: HTTPConnection) -> None:
        if token is not None and not hmac.compare_digest(_given(connection), token.encode()):
            raise HTTPException(
                401, "expected Authorization: Bearer and the server's token", {"WWW-Authenticate": "Bearer"}
            )

    return check


def _given(connection: HTTPConnection) -> bytes:
    """The token of a request; browsers cannot set headers of WebSockets, so there it may be a subprotocol too.

    As `bearer.` and base64url of the token, beside the protocol `edgepose`, which is the one that is answered.
    """
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip().encode("latin-1", "replace")
    for protocol in connection.scope.get("subprotocols", []):
        if protocol.startswith("bearer."):
            text = protocol.removeprefix("bearer.")
            try:
                return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            except (binascii.Error, ValueError):
                return b""
    return b""


def paced(service: Service) -> Callable[[HTTPConnection], Awaitable[None]]:
    """A dependency that raises 429 for a client that is too quick."""

    async def check(connection: HTTPConnection) -> None:
        service.rate.check(client_of(connection.client.host if connection.client else None))

    return check
