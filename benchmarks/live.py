"""Live sources for minutes: how old a shown frame is, whether every frame is accounted for, memory, and restarts.

    python benchmarks/live.py --seconds 300 --restarts 20 --rounds 5 --tries 5 [--out FIGURES.json]

Four parts, each left out by a 0; exit status 1 where a bar is missed.

--seconds:  a source of 60 frames per second with a network that takes 67 ms: age of a frame when it comes out (p50 and
            p95 in multiples of the inference time; the bar is 2), frames in, out and dropped, and growth of memory.
--restarts: an MJPEG server on this machine that is killed and started again: seconds until the next frame (the bar is
            5), threads and open descriptors before and after.
--rounds:   three sources with and without a fourth that freezes, in turn: frame rate of the three (it may fall by 5 %).
--tries:    `edgepose track` on a live source and Ctrl-C, while frames come, while it waits to connect again, and while
            a read hangs: seconds until the process has ended (the bar is 1) and its exit status (130).

The first three need no model: the network only waits.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edgepose.media.live import Event, Feed
from edgepose.media.video import Frame
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.track import track
from edgepose.spec import ModelSpec

ROOT = Path(__file__).resolve().parents[1]
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
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--source-fps", type=float, default=60.0)
    parser.add_argument("--inference", type=float, default=0.067, help="seconds of the network")
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 720), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--round-seconds", type=float, default=6.0)
    parser.add_argument("--tries", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    figures: dict[str, dict[str, Any]] = {}
    if options.seconds:
        shape = (options.size[1], options.size[0], 3)
        figures["age"] = age(options.seconds, options.source_fps, options.inference, shape)
    if options.restarts:
        figures["restarts"] = restarts(options.restarts)
    if options.rounds:
        figures["frozen"] = frozen(options.rounds, options.round_seconds)
    if options.tries:
        figures["interrupts"] = interrupts(options.tries)
    if options.out is not None:
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    missed = [name for name, part in figures.items() if not part["good"]]
    print("bars missed: " + (", ".join(missed) or "none"))
    sys.exit(1 if missed else 0)


def camera(rate: float, seconds: float, shape: tuple[int, ...], sent: list[int]) -> Iterator[Frame]:
    """Frames at a steady rate; `sent` counts them."""
    start = time.monotonic()
    while (now := time.monotonic()) - start < seconds:
        time.sleep(max(0.0, start + sent[0] / rate - now))
        image = np.full(shape, sent[0] % 256, np.uint8)
        sent[0] += 1
        yield Frame(image, None, sent[0])


def age(seconds: float, rate: float, inference: float, shape: tuple[int, ...]) -> dict[str, Any]:
    """Age of shown frames, and the count of all."""
    sent, events = [0], list[Event]()
    ages, memory = [], list[tuple[float, float]]()
    began = time.monotonic()
    feed = Feed("camera", lambda: camera(rate, seconds, shape, sent), live=True)
    for frame in track(feed, Estimator(Waiting(inference)), reconnect=False, on_event=events.append):
        now = time.monotonic()
        ages.append(now - frame.captured)
        if now - began > min(10, seconds / 4) and now - began - (memory[-1][0] if memory else 0) > 0.5:
            memory.append((now - began, resident()))
    p50, p95 = (float(value) for value in np.percentile(ages, [50, 95]) / inference)
    counts = events[-1].facts
    exact = counts["in"] == sent[0] == counts["out"] + counts["dropped"]
    grown = (memory[-1][1] - memory[0][1]) / 1e6 if memory else float("nan")
    slope = float(np.polyfit(*np.array(memory).T, 1)[0]) * 60 / 1e6 if len(memory) > 3 else float("nan")
    print(f"age p50 {p50:.2f}, p95 {p95:.2f} inference times of {inference * 1000:.0f} ms over {len(ages)} frames")
    print(f"in {counts['in']} (sent {sent[0]}) = out {counts['out']} + dropped {counts['dropped']}: {exact}")
    print(f"memory {resident() / 1e6:.0f} MB, {grown:+.2f} MB since the first seconds, {slope:+.2f} MB per minute")
    good = p95 <= 2 and exact and not grown > 10
    return {"p50": p50, "p95": p95, **counts, "sent": sent[0], "grown_mb": grown, "mb_per_minute": slope, "good": good}


def restarts(count: int) -> dict[str, Any]:
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
    deadline = time.monotonic() + 5
    while (threading.active_count(), descriptors()) > before and time.monotonic() < deadline:
        time.sleep(0.1)
    after = (threading.active_count(), descriptors())
    worst, median = max(back, default=0), statistics.median(back or [0])
    print(f"{len(back)} restarts: back within {worst:.2f} s, median {median:.2f} s")
    print(f"threads {before[0]} -> {after[0]}, descriptors {before[1]} -> {after[1]}")
    good = len(back) == count and worst <= 5 and after[0] <= before[0] and after[1] <= before[1]
    return {"back": back, "threads": [before[0], after[0]], "descriptors": [before[1], after[1]], "good": good}


def frozen(rounds: int, seconds: float) -> dict[str, Any]:
    """Frame rate of three sources alone and beside a fourth that freezes, in turn."""
    ratios, rates = [], dict[bool, list[float]]({False: [], True: []})
    for number in range(rounds):
        for freeze in (False, True) if number % 2 else (True, False):
            rates[freeze].append(three(seconds, freeze))
        ratios.append(rates[True][-1] / rates[False][-1])
        print(f"three sources {rates[False][-1]:.1f} frames/s, beside a frozen one {rates[True][-1]:.1f}", flush=True)
    ratio = statistics.median(ratios)
    print(f"median of the ratios {ratio:.3f}")
    return {"alone": rates[False], "beside": rates[True], "ratio": ratio, "good": ratio >= 0.95}


def three(seconds: float, freeze: bool) -> float:
    """Frames per second of three live sources together; the network is the limit."""
    server = Server(stuck_after=5)
    feeds: list[Any] = [
        Feed(f"camera {i}", lambda: camera(60.0, seconds, (360, 640, 3), [0]), live=True) for i in range(3)
    ]
    frames = track(
        [*feeds, f"http://127.0.0.1:{server.port}/live"] if freeze else feeds,
        Estimator(Waiting(0.01)), reconnect=False, timeout=4.0,
    )  # fmt: skip
    stamps = list[float]()
    with suppress(OSError):  # the frozen one is given up at last
        stamps.extend(time.monotonic() for frame in frames if frame.lane < 3)
    server.stop()
    return (len(stamps) - 1) / (stamps[-1] - stamps[0])


def interrupts(tries: int) -> dict[str, Any]:
    """Seconds from Ctrl-C to the end of `edgepose track`, and its exit status, in three situations."""
    figures: dict[str, Any] = {"good": True}
    for situation, sign in (("playing", None), ("backing off", '"reconnecting"'), ("hanging", None)):
        spent, statuses = [], []
        for _ in range(tries):
            server = Server(stuck_after=5 if situation == "hanging" else None)
            process = subprocess.Popen(
                [sys.executable, "-m", "edgepose", "track", f"http://127.0.0.1:{server.port}/live", "--json"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
            )  # fmt: skip
            assert process.stdout is not None and process.stderr is not None
            process.stdout.readline()  # the first frame
            if sign is not None:
                server.stop()
                while sign not in process.stderr.readline():
                    pass
            time.sleep(0.8)  # by now a stuck one has sent its last frame
            start = time.monotonic()
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
            spent.append(time.monotonic() - start)
            statuses.append(process.returncode)
            server.stop()
        print(f"Ctrl-C while {situation}: ended within {max(spent):.2f} s, status {sorted(set(statuses))}", flush=True)
        figures[situation] = {"seconds": spent, "statuses": statuses}
        figures["good"] &= max(spent) <= 1 and set(statuses) == {130}
    return figures


class Server:
    """MJPEG over HTTP, 25 frames per second, on a thread per connection; `stuck_after` so many it sends no more."""

    def __init__(self, port: int = 0, stuck_after: int | None = None) -> None:
        self._stuck_after = stuck_after
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
            while not self._gone.wait(0.04 if number != self._stuck_after else None):
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
