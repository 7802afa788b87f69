"""`/frames`: pictures in over a WebSocket, people with identities out; a slow model sees the newest frame only."""

from __future__ import annotations

import asyncio
import logging
from asyncio import sleep
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from fastapi import HTTPException, WebSocket, WebSocketDisconnect

from edgepose.media.results import Result
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.follow import Follower
from edgepose.serve.limits import client_of
from edgepose.serve.service import Service, encode

PROTOCOL = "edgepose"
# RFC 6455, section 7.4.1, and the registry it names.
DONE, UNSUPPORTED, INVALID, TOO_BIG, FAILED, LATER = 1000, 1003, 1007, 1009, 1011, 1013
CODES = {413: TOO_BIG, 415: UNSUPPORTED, 422: INVALID, 504: LATER}

log = logging.getLogger("edgepose.serve")


class Close(Exception):
    """The end of a connection, with the code and the reason that the client is told."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason.encode()[:120].decode("utf-8", "ignore")  # 123 bytes fit


@dataclass
class Inbox:
    """The newest frame that waits: (number, seconds since the first frame, bytes)."""

    clock: Callable[[], float]
    received: int = 0
    dropped: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _newest: tuple[int, float, bytes] | None = None
    _first: float = 0.0
    _last: float = 0.0

    def put(self, data: bytes) -> None:
        """A frame, in place of one that still waits."""
        now = self.clock()
        if self.received == 0:
            self._first = now
            self._last = -1e-6
        self._last = max(now - self._first, self._last + 1e-6)  # times rise, whatever the clock's steps are
        if self._newest is not None:
            self.dropped += 1
        self._newest = (self.received, self._last, data)
        self.received += 1
        self.arrived.set()

    def take(self) -> tuple[int, float, bytes]:
        """The frame that waits; `arrived` says that there is one."""
        assert self._newest is not None
        frame, self._newest = self._newest, None
        self.arrived.clear()
        return frame


async def talk(socket: WebSocket, service: Service, estimator: Estimator) -> None:
    """One connection, from the handshake to its end."""
    with service.connections.one(), service.metrics.connections.track_inprogress():
        await socket.accept(PROTOCOL if PROTOCOL in socket.scope.get("subprotocols", []) else None)
        conversation = Conversation(socket, service, estimator)
        tasks = [asyncio.create_task(conversation.listen()), asyncio.create_task(conversation.answer())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except WebSocketDisconnect:
            pass
        except Close as close:
            await _close(socket, close, service.limits.seconds)
        except Exception:
            log.exception("a WebSocket failed")
            failed = Close(FAILED, "the server failed on this frame; its log says why")
            await _close(socket, failed, service.limits.seconds)
        finally:
            for task in tasks:
                task.cancel()
            try:
                await asyncio.wait(tasks)  # gather would forget who cancelled it
            finally:  # also when the server ends, which cancels the waiting
                conversation.settle()
            for task in tasks:
                if not task.cancelled():
                    task.exception()  # told above, where it was the first


async def _close(socket: WebSocket, close: Close, seconds: float) -> None:
    """Say goodbye; a client that does not read is left to the server, which cuts it off."""
    with suppress(RuntimeError, WebSocketDisconnect, asyncio.TimeoutError):  # the client may have gone meanwhile
        await asyncio.wait_for(socket.close(close.code, close.reason), seconds)


class Conversation:
    """A connection's frames and who is followed in them; the detector runs as often as what happens there asks for."""

    def __init__(self, socket: WebSocket, service: Service, estimator: Estimator) -> None:
        self.socket, self.service = socket, service
        self.inbox = Inbox(service.clock)
        self.follower = Follower(estimator, detect_every="adaptive")
        self.client = client_of(socket.client.host if socket.client else None)
        self.answered = 0

    async def listen(self) -> None:
        """Frames in, until the client goes or breaks the rules."""
        limits, metrics = self.service.limits, self.service.metrics
        while True:
            try:
                message = await asyncio.wait_for(self.socket.receive(), limits.idle)
            except asyncio.TimeoutError:
                raise Close(DONE, f"no frame for {limits.idle:g} s") from None
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", DONE))
            data = message.get("bytes")
            if data is None:
                raise Close(UNSUPPORTED, "expected binary messages, each one picture, got text")
            if len(data) > limits.body_bytes:
                raise Close(TOO_BIG, f"the frame is too large: expected at most {limits.body_bytes} bytes")
            before = self.inbox.dropped
            self.inbox.put(data)
            metrics.frames_received.inc()
            metrics.frames_dropped.inc(self.inbox.dropped - before)

    async def answer(self) -> None:
        """People out, for the newest frame that there is."""
        service, inbox = self.service, self.inbox
        while True:
            await inbox.arrived.wait()
            pause = service.rate.wait(self.client)
            if pause > 0:
                await sleep(pause)
                continue
            number, time, data = inbox.take()
            began = service.clock()
            try:
                image = await service.decode(data)
                text = await service.run(lambda: self.look(number, time, image))  # noqa: B023 - waited for right here
                await asyncio.wait_for(self.socket.send_text(text.decode()), service.limits.seconds)
            except HTTPException as error:
                raise Close(CODES.get(error.status_code, FAILED), str(error.detail)) from None
            except asyncio.TimeoutError:
                raise Close(LATER, "the answers are not being read") from None
            self.answered += 1
            service.metrics.frames_answered.inc()
            service.metrics.frame_seconds.observe(service.clock() - began)

    def look(self, number: int, time: float, image: np.ndarray) -> bytes:
        """The people of one frame, with identities, as JSON. For the worker: one frame of a connection at a time."""
        poses = self.service.timed(lambda: self.follower(image, time))
        result = Result("frames", number, time, image.shape[1], image.shape[0], poses)
        return encode(result, dropped=self.inbox.dropped)

    def settle(self) -> None:
        """At the end: what was neither answered nor dropped is dropped now, so that the counters add up."""
        lost = self.inbox.received - self.inbox.dropped - self.answered
        self.inbox.dropped += lost
        self.service.metrics.frames_dropped.inc(lost)
