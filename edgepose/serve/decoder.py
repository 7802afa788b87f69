"""Pictures decoded in processes of their own, so that a bad one costs nobody else more than its share of the processor.

A decoder is C code that reads what strangers send. Where it takes too long, too much memory, or crashes, its process
ends and a new one is started; large pictures have a process of their own, and wait for each other alone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO

import numpy as np

from edgepose.media.images import PictureTooLarge, inspect_header, read_image

LARGE = 16_000_000  # pixels from which a picture waits for other large ones
SMALL_ONES = 3  # processes for all others
SPARE = 256 << 20  # bytes of memory that a process may take beside the pixels
PER_PIXEL = 20  # `read_image` takes 16
_REQUEST = struct.Struct(">QQ")  # bytes of the picture, most pixels
_ANSWER = struct.Struct(">cQQ")  # kind, then width and height, or the length of a sentence
PICTURE, BAD, TOO_LARGE = b"P", b"B", b"L"


class TooSlow(ValueError):
    """A picture that does not decode in time."""


class Decoders:
    """`decode` from any task of one event loop; `stop` after use. Processes are started when they are needed."""

    def __init__(self) -> None:
        self._lanes = {
            False: ThreadPoolExecutor(SMALL_ONES, "edgepose-decode"),
            True: ThreadPoolExecutor(1, "edgepose-decode-large"),
        }
        self._own = threading.local()
        self._processes: set[subprocess.Popen[bytes]] = set()

    async def decode(self, data: bytes, pixels: int, seconds: float) -> np.ndarray:
        """`read_image` of the bytes, or its errors; TooSlow where it takes longer than `seconds`."""
        header, _ = await asyncio.to_thread(inspect_header, data, f"the picture of {len(data)} bytes")
        lane = self._lanes[min(header.pixels, pixels) > LARGE]
        return await asyncio.get_running_loop().run_in_executor(lane, self._exchange, data, pixels, seconds)

    def stop(self) -> None:
        """End the processes, whatever they do."""
        for lane in self._lanes.values():
            lane.shutdown(wait=False, cancel_futures=True)
        for process in list(self._processes):
            self._end(process)

    def _exchange(self, data: bytes, pixels: int, seconds: float) -> np.ndarray:
        """One picture there and back, through the process of this thread."""
        process: subprocess.Popen[bytes] | None = getattr(self._own, "process", None)
        if process is None or process.poll() is not None:
            process = self._own.process = self._start()
        late = threading.Event()

        def cut() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(seconds, cut)
        timer.daemon = True
        timer.start()
        try:
            return _ask(process, data, pixels)
        except (BrokenPipeError, EOFError):
            self._end(process)
            if late.is_set():
                raise TooSlow(f"the picture does not decode within {seconds:g} s") from None
            raise ValueError("the picture is damaged: its decoder ends on it; get a fresh copy") from None
        finally:
            timer.cancel()

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "edgepose.serve.decoder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        self._processes.add(process)
        return process

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):
                if stream is not None:
                    stream.close()
        process.wait()
        self._processes.discard(process)


def _ask(process: subprocess.Popen[bytes], data: bytes, pixels: int) -> np.ndarray:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(_REQUEST.pack(len(data), pixels))
    process.stdin.write(data)
    process.stdin.flush()
    kind, width, height = _ANSWER.unpack(_exactly(process.stdout, _ANSWER.size))
    if kind == PICTURE:
        return np.frombuffer(_exactly(process.stdout, 3 * width * height), np.uint8).reshape(height, width, 3)
    sentence = _exactly(process.stdout, width).decode()
    raise PictureTooLarge(sentence) if kind == TOO_LARGE else ValueError(sentence)


def _exactly(stream: IO[bytes], count: int) -> bytearray:
    """So many bytes; EOFError where the other side has ended."""
    found = bytearray(count)
    view, at = memoryview(found), 0
    while at < count:
        read = stream.readinto(view[at:])  # type: ignore[attr-defined]
        if not read:
            raise EOFError
        at += read
    return found


def main() -> None:
    """Decode what comes on standard input until it ends."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they are for the server, which ends us
        signal.signal(number, signal.SIG_IGN)
    stream, out = sys.stdin.buffer, sys.stdout.buffer
    while True:
        try:
            length, pixels = _REQUEST.unpack(_exactly(stream, _REQUEST.size))
            data = bytes(_exactly(stream, length))
        except EOFError:
            return
        _limit_memory(len(data), pixels)
        try:
            image = read_image(data, pixels)
        except (ValueError, MemoryError) as error:
            kind = TOO_LARGE if isinstance(error, PictureTooLarge) else BAD
            sentence = str(error) or "the picture takes too much memory to decode"
            out.write(_ANSWER.pack(kind, len(sentence.encode()), 0) + sentence.encode())
        else:
            out.write(_ANSWER.pack(PICTURE, image.shape[1], image.shape[0]))
            out.write(image.data)
        out.flush()


_base = 0


def _limit_memory(length: int, pixels: int) -> None:
    """Of this process, where the system can: what it has now, and what a picture of so many pixels takes."""
    global _base
    if not sys.platform.startswith("linux"):
        return
    import resource

    if not _base:
        with open("/proc/self/statm", encoding="ascii") as file:
            _base = int(file.read().split()[0]) * resource.getpagesize()
    most = _base + SPARE + 3 * length + PER_PIXEL * pixels
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))


if __name__ == "__main__":
    main()
