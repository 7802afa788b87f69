"""uvicorn, set up so that slow clients are cut off and the end comes quickly."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from edgepose.serve.service import Service

GRACE = 1  # seconds that requests in work have when the server ends


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is any free one. Raises OSError with a sentence."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"cannot listen on {host} port {port}: {reason}; choose another with --host and --port") from None


def run(app: FastAPI, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM, which is a good end, or Ctrl-C, which raises KeyboardInterrupt. `ready` is called once."""
    service: Service = app.state.service
    server = _Server(config(app, service), ready)
    # uvicorn raises the signals that it got again when it has ended; SIGTERM has then done all that it should.
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        server.run([listener])
    finally:
        signal.signal(signal.SIGTERM, before)


def _is_news(record: logging.LogRecord) -> bool:
    """uvicorn 0.54 calls a WebSocket that was refused with a proper answer an error."""
    return record.getMessage() != "ASGI callable returned without completing handshake."


def config(app: FastAPI, service: Service) -> uvicorn.Config:
    """uvicorn's settings: no access log, which would have addresses and queries; no trust in forwarded headers."""
    limits = service.limits

    class Protocol(_Patient):
        patience = limits.seconds

    return uvicorn.Config(
        app,
        http=Protocol,
        ws="websockets-sansio",
        ws_max_size=limits.body_bytes,
        ws_max_queue=1,
        ws_per_message_deflate=False,  # pictures are compressed already, and a bomb would be too
        lifespan="on",
        log_config=None,
        log_level="warning",  # below that there are addresses with their queries
        access_log=False,
        proxy_headers=False,
        server_header=False,
        # Connections, not requests: those that send nothing count too.
        limit_concurrency=8 * (limits.concurrency + limits.connections) + 64,
        timeout_graceful_shutdown=GRACE,
    )


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


class _Patient(H11Protocol):
    """HTTP/1.1 that cuts off who takes longer than `patience` seconds for a request's head, or keeps sending a body
    that was refused. The body of a request in work is timed where it is read.
    """

    patience = 30.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._time()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _time(self) -> None:
        in_work = self.cycle is not None and not self.cycle.response_complete
        if in_work or self.transport.get_protocol() is not self:  # a WebSocket by now
            self._stop()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.patience, self._cut)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cut(self) -> None:
        self._deadline = None
        if self.conn.their_state is h11.IDLE or self.conn.our_state is h11.DONE:
            self.transport.abort()
