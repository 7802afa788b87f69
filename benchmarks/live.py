"""Live sources for minutes: how old a shown frame is, whether every frame is accounted for, memory, and restarts.

    python benchmarks/live.py --minutes 5 --restarts 20

First a source of 60 frames per second with a network that takes 1/15 s: age of a frame when it comes out (p50 and p95
in multiples of the inference time; the bar is 2), frames in, out and dropped, and memory per minute. Then an MJPEG
server on this machine that is killed and started again: seconds until the next frame (the bar is 5), threads and open
descriptors before and after. No model is needed: the network only waits.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from edgepose.runtime.estimator import Estimator
from edgepose.runtime.live import Event, Feed
from edgepose.runtime.track import track
from edgepose.runtime.video import Frame
from edgepose.spec import ModelSpec

SPEC = ModelSpec("waiting", "heatmap", (48, 64), codec_args={"kind": "msra"}, warp="letterbox")


class Waiting:
    """A network that takes its time."""

    spec = SPEC

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        time.sleep(self.seconds)
        return [np.full((len(batch), 17, 16, 12), 0.5, np.float32)]


def main() -> None:
    """Parse the command line and run both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--source-fps", type=float, default=60.0)
    parser.add_argument("--model-fps", type=float, default=15.0)
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 720), metavar=("WIDTH", "HEIGHT"))
    options = parser.parse_args()
    shape = (options.size[1], options.size[0], 3)
    good = age(options.minutes * 60, options.source_fps, 1 / options.model_fps, shape)
    good &= restarts(options.restarts)
    sys.exit(0 if good else 1)


def age(seconds: float, rate: float, inference: float, shape: tuple[int, ...]) -> bool:
    """Age of shown frames, and the count of all."""
    sent = 0

    def camera() -> Iterator[Frame]:
        nonlocal sent
        start = time.monotonic()
        while (now := time.monotonic()) - start < seconds:
            time.sleep(max(0.0, start + sent / rate - now))
            image = np.full(shape, sent % 256, np.uint8)
            sent += 1
            yield Frame(image, None, sent)

    events: list[Event] = []
    ages, memory = [], [(0.0, resident())]
    began = time.monotonic()
    estimator = Estimator(Waiting(inference))
    for frame in track(Feed("camera", camera, live=True), estimator, reconnect=False, on_event=events.append):
        now = time.monotonic()
        ages.append(now - frame.captured)
        if now - began > 5 and now - began - memory[-1][0] > 1:
            memory.append((now - began, resident()))
    p50, p95 = np.percentile(ages, [50, 95]) / inference
    counts = events[-1].facts
    exact = counts["in"] == sent == counts["out"] + counts["dropped"]
    slope = np.polyfit(*np.array(memory[1:]).T, 1)[0] * 60 / 1e6 if len(memory) > 3 else float("nan")
    print(f"age p50 {p50:.2f}, p95 {p95:.2f} inference times of {inference * 1000:.0f} ms over {len(ages)} frames")
    print(f"in {counts['in']} (sent {sent}) = out {counts['out']} + dropped {counts['dropped']}: {exact}")
    print(f"memory {memory[-1][1] / 1e6:.0f} MB, {slope:+.2f} MB per minute")
    return bool(p95 <= 2 and exact)


def restarts(count: int) -> bool:
    """Seconds from the restart of a server to the next frame, and what is left behind."""
    before = (threading.active_count(), descriptors())
    server, back, events = Server(), list[float](), list[Event]()
    started = time.monotonic()
    connections = 0
    frames = track(f"http://127.0.0.1:{server.port}/live", Estimator(Waiting(0.0)), on_event=events.append)
    for _ in frames:
        joined = sum(event.kind == "connected" for event in events)
        if joined == connections:
            continue
        connections = joined
        if joined > 1:
            back.append(time.monotonic() - started)
        if joined > count:
            break
        server.stop()
        time.sleep(0.5 * (joined % 4))  # away for up to 1.5 s
        server = Server(server.port)
        started = time.monotonic()
    frames.close()  # type: ignore[attr-defined]
    server.stop()
    time.sleep(0.5)
    after = (threading.active_count(), descriptors())
    kinds = [event.kind for event in events]
    print(f"{len(back)} restarts: back within {max(back, default=0):.2f} s, median {np.median(back or [0]):.2f} s")
    print(f"connected {kinds.count('connected')}, disconnected {kinds.count('disconnected')}")
    print(f"threads {before[0]} -> {after[0]}, descriptors {before[1]} -> {after[1]}")
    return max(back, default=0) <= 5 and after[0] <= before[0] and after[1] <= before[1]


class Server:
    """MJPEG over HTTP, 25 frames per second, on a thread per connection."""

    def __init__(self, port: int = 0) -> None:
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self._gone, self._open, self._threads = threading.Event(), list[socket.socket](), list[threading.Thread]()
        self._threads.append(threading.Thread(target=self._accept, daemon=True))
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n")
            number = 0
            while not self._gone.wait(0.04):
                number += 1
                data = bytes(cv2.imencode(".jpg", np.full((240, 320, 3), number % 256, np.uint8))[1])
                head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data)
                connection.sendall(head + data + b"\r\n")

    def stop(self) -> None:
        """As if it were killed: connections break."""
        self._gone.set()
        for connection in (self._listener, *self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(5)


def resident() -> int:
    """Bytes of memory of this process; 0 where the system does not say."""
    path = Path("/proc/self/statm")
    return int(path.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if path.exists() else 0


def descriptors() -> int:
    """Open file descriptors of this process; 0 where the system does not say."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


if __name__ == "__main__":
    main()
