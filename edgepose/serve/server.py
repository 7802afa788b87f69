"""uvicorn, set up so that slow clients are cut off and the end comes quickly."""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from edgepose.serve.service import Service

GRACE = 1  # seconds that requests in work have when the server ends
READ = 16 << 10  # bytes that are read from one connection before others have their turn
PIPELINED = 64 << 10  # bytes of requests behind the one in work
UNREAD = 256 << 10  # bytes that wait for a WebSocket's client
LINES, LINE = 2000, 256  # lines of a chunked body, two for each piece: so many, and one for so many bytes
PIECES = 1000  # frames of one message, and pings between two messages
SPARE_FILES = 128  # descriptors that connections leave to others

log = logging.getLogger("edgepose.serve")


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
    most = _raise_file_limit()
    server = _Server(config(app, service, most), ready, service)
    # uvicorn raises the signals that it got again when it has ended; SIGTERM has then done all that it should.
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        server.run([listener])
    finally:
        signal.signal(signal.SIGTERM, before)
    if service.busy:  # a thread inside the network, which would abort the interpreter's end
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(130 if server.interrupted else 0)


_told: dict[str, float] = {}  # what strangers can make the server say as often as they like -> when it was said
_OFTEN = ("Exceeded concurrency limit.", "Invalid HTTP request received.", "Unsupported upgrade request.")


def _is_news(record: logging.LogRecord) -> bool:
    """uvicorn 0.54 calls a WebSocket that was refused with a proper answer an error; some are told each minute."""
    message = record.getMessage()
    if message in _OFTEN:
        last, _told[message] = _told.get(message, -math.inf), record.created
        if record.created < last + 60:
            _told[message] = last
            return False
    return message != "ASGI callable returned without completing handshake."


def _raise_file_limit() -> int:
    """How many connections there can be at once: as the system allows descriptors, of which it is asked for more."""
    if sys.platform == "win32":
        return 512
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(hard, 4096)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return max(8, (4096 if soft == resource.RLIM_INFINITY else soft) - SPARE_FILES)


def config(app: FastAPI, service: Service, most: int = 512) -> uvicorn.Config:
    """uvicorn's settings: no access log, which would have addresses and queries; no trust in forwarded headers."""
    limits = service.limits

    busy = 8 * (limits.concurrency + limits.connections) + 256  # connections, not requests: silent ones count too

    class Protocol(_Patient):
        patience = limits.seconds
        most_connections = min(2 * busy, most)

    class Socket(_PatientSocket):
        patience = limits.seconds

    return uvicorn.Config(
        app,
        http=Protocol,
        ws=Socket,
        ws_max_size=limits.body_bytes,
        ws_max_queue=1,
        ws_per_message_deflate=False,  # pictures are compressed already, and a bomb would be too
        lifespan="on",
        log_config=None,
        log_level="warning",  # below that there are addresses with their queries
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=busy,
        timeout_graceful_shutdown=GRACE,
    )


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], service: Service) -> None:
        super().__init__(config)
        self._ready, self._service = ready, service

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C made the end."""
        return signal.SIGINT in self._captured_signals

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(_told_once())
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Requests in work have most of the grace; then they are answered 503, before uvicorn would break them off."""
        if self._service.ending is not None:
            asyncio.get_running_loop().call_later(0.7 * GRACE, self._service.ending.set)
        await super().shutdown(sockets)


def _told_once() -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """What asyncio says where the system has no descriptors left: one line a minute, not pages a second.

    For every connection that it could not take it tries again a second later, and complains where the server has ended
    by then.
    """
    last = -math.inf

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal last
        error = context.get("exception")
        if isinstance(error, ValueError) and "_start_serving" in str(context.get("message")):
            return
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
            loop.default_exception_handler(context)
        elif loop.time() > last + 60:
            last = loop.time()
            log.warning("no more connections: the system gives this process no more files (ulimit -n)")

    return handle


class _Patient(H11Protocol):
    """HTTP/1.1 that cuts off who

    - takes longer than `patience` seconds for a request's head, or keeps sending a body that was refused (the body of a
      request in work is timed where it is read),
    - does not read its answers for as long,
    - sends requests ahead, or a body in tiny pieces, which cost more than they bring,
    - comes when there are `most_connections` already.
    """

    patience = 30.0
    most_connections = 512
    _deadline: asyncio.TimerHandle | None = None
    _watch: _Watch | None = None
    _chunked, _lines, _bytes = False, 0, 0

    def connection_made(self, transport: Any) -> None:
        if len(self.connections) >= self.most_connections:
            transport.abort()
            return
        super().connection_made(transport)
        transport.max_size = READ  # of asyncio's own; other loops ignore it
        self._watch = _Watch(transport, self.patience)
        self._time()

    def data_received(self, data: bytes) -> None:
        if self.transport is None:
            return
        if self._chunked:
            self._lines, self._bytes = self._lines + data.count(b"\r\n"), self._bytes + len(data)
            if self._lines > LINES + self._bytes // LINE:
                self.transport.abort()
                return
        cycle = self.cycle
        super().data_received(data)
        if self.cycle is not cycle:
            self._chunked = any(name == b"transfer-encoding" for name, _ in self.headers)
            self._lines = self._bytes = 0
        if self.conn.their_state is h11.DONE and len(self.conn.trailing_data[0]) > PIPELINED:
            self.transport.abort()
        self._time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        if self._watch is None:  # refused when it came
            return
        self._watch.stop()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """The WebSocket has a watch of its own."""
        if self._watch is not None:
            self._watch.stop()
        super().handle_websocket_upgrade(event)

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


class _PatientSocket(WebSocketsSansIOProtocol):
    """A WebSocket that cuts off who does not read, or sends a message in thousands of pieces, or thousands of pings."""

    patience = 30.0
    _watch: _Watch | None = None
    _pings = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch = _Watch(transport, self.patience)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        unread = self.transport.get_write_buffer_size() > UNREAD  # answers to pings pile up
        if unread or len(self.frames) > PIECES or self._pings > PIECES:
            self.transport.abort()

    def handle_ping(self) -> None:
        self._pings += 1
        super().handle_ping()

    def handle_bytes(self, event: Frame) -> None:
        self._pings = 0
        super().handle_bytes(event)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.stop()
        super().connection_lost(exc)


class _Watch:
    """Cuts off a connection where something waits to be read at each of two looks `patience` seconds apart."""

    def __init__(self, transport: Any, patience: float) -> None:
        self._transport, self._patience, self._waited = transport, patience, False
        self._again()

    def _again(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._patience, self._look)

    def _look(self) -> None:
        waits = self._transport.get_write_buffer_size() > 0
        if waits and self._waited:
            self._transport.abort()
            return
        self._waited = waits
        self._again()

    def stop(self) -> None:
        """The connection has ended."""
        self._timer.cancel()
