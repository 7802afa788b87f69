"""A server among clients that mean no good: silent ones, greedy ones, ones that do not read; and its end with work."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.serve.serving import encoded
from tests.serve.test_server import exchange, head, server
from tests.tiny import write_tiny_model

pytest.importorskip("uvicorn", reason="needs the serve extra")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="module")
def slow() -> bytes:
    """A picture of few bytes that takes seconds to decode."""
    image = np.zeros((7000, 7000, 4), np.uint16)
    image[..., 3] = 65535
    return bytes(cv2.imencode(".png", image)[1].tobytes())


def memory(process: subprocess.Popen[str]) -> int:
    """Bytes."""
    text = Path(f"/proc/{process.pid}/statm").read_text()
    return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")


def is_well(port: int) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=60) as answer:
        return bool(answer.status == 200)


@contextlib.contextmanager
def sockets(port: int, count: int, said: bytes) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 60)) for _ in range(count)]
        for one in opened:
            one.sendall(said)
        yield opened


def push(connection: socket.socket, data: bytes, most: int) -> int:
    """Send the same again and again, until so many bytes or until the server hangs up; how many went out."""
    sent = 0
    with contextlib.suppress(OSError):
        while sent < most:
            sent += connection.send(data)
    return sent


def handshake(port: int) -> socket.socket:
    """A WebSocket that reads little."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(60)
    connection.connect(("127.0.0.1", port))
    key = base64.b64encode(bytes(16)).decode()
    lines = [
        "GET /frames HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13",
    ]  # fmt: skip
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(1)
    if not answer.startswith(b"HTTP/1.1 101"):
        connection.close()
        raise ConnectionError(answer)
    return connection


def test_uploads_that_send_nothing_take_nobodys_place(model: Path) -> None:
    data = encoded()
    with server(model, "--concurrency", "2") as (_, port), sockets(port, 20, head(10_000) + b"x"):
        status, _ = exchange(port, head(len(data)) + data)
        assert status == 200


def test_bodies_have_room_for_so_many_full_ones(model: Path) -> None:
    """Uploads that stop at 700 kB; there is room for two of a megabyte."""
    data = encoded()
    with server(model, "--concurrency", "2", "--max-mb", "1", "--timeout", "20") as (_, port):
        with sockets(port, 3, head(1 << 20) + bytes(700_000)) as uploads:
            answered, _, _ = select.select(uploads, [], [], 120)
            assert len(answered) == 1 and answered[0].recv(12) == b"HTTP/1.1 503"
        end = time.monotonic() + 60
        while exchange(port, head(len(data)) + data)[0] != 200:
            assert time.monotonic() < end


@linux
def test_requests_sent_ahead_take_no_memory(model: Path) -> None:
    with server(model) as (process, port), sockets(port, 1, b"") as (greedy,):
        assert is_well(port)
        before = memory(process)
        reading = threading.Thread(target=lambda: push(greedy, b"", 0) or list(iter(lambda: read(greedy), b"")))
        reading.start()
        greedy.settimeout(5)
        push(greedy, b"GET /preview.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2000, 6 << 20)
        greedy.close()
        reading.join()
        assert memory(process) < before + (4 << 20) and is_well(port)


def read(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1 << 16)
    except OSError:
        return b""


def test_a_body_in_tiny_pieces_is_cut_off(model: Path) -> None:
    start = (
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with server(model) as (_, port), sockets(port, 1, start) as (pieces,):
        assert push(pieces, b"1\r\nA\r\n" * 1000, 100 << 20) < 100 << 20
        assert is_well(port)
        data = encoded()
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (data[:1000], data[1000:]))
        status, answer = exchange(port, start + chunks + b"0\r\n\r\n")
        assert status == 200 and answer["width"] == 160


def test_who_does_not_read_is_cut_off_and_frees_the_place(model: Path) -> None:
    ping = b"\x89\xfd" + bytes(4) + b"a" * 125
    with server(model, "--timeout", "1", "--idle", "2", "--connections", "1") as (_, port):
        deaf = handshake(port)
        deaf.settimeout(5)
        assert push(deaf, ping * 500, 500 << 20) < 500 << 20
        end = time.monotonic() + 120
        while True:  # the place is free again
            try:
                handshake(port).close()
                break
            except ConnectionError:
                assert time.monotonic() < end
                time.sleep(0.1)
        deaf.close()


@pytest.mark.parametrize("piece", [b"\x00\x80" + bytes(4), b"\x89\x80" + bytes(4)])
def test_a_message_in_thousands_of_pieces_and_thousands_of_pings_are_cut_off(piece: bytes, model: Path) -> None:
    with server(model) as (_, port):
        greedy = handshake(port)
        first = b"\x02\x80" + bytes(4) if piece.startswith(b"\0") else b""  # a message that goes on
        greedy.sendall(first)
        reader = threading.Thread(target=lambda: list(iter(lambda: read(greedy), b"")))
        reader.start()
        assert push(greedy, piece * 500, 10 << 20) < 10 << 20
        greedy.close()
        reader.join()
        assert is_well(port)


@linux
def test_answers_that_nobody_reads_hold_no_connection(model: Path) -> None:
    requests = b"GET /preview.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100
    with server(model, "--timeout", "1") as (process, port), sockets(port, 30, requests):
        end = time.monotonic() + 120
        while len(os.listdir(f"/proc/{process.pid}/fd")) > 20:
            assert time.monotonic() < end
            time.sleep(0.1)
        assert is_well(port)


@linux
def test_more_connections_than_descriptors_are_one_line_in_the_log(model: Path) -> None:
    import resource

    with server(model) as (process, port):
        assert is_well(port)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (40, 40))
        with sockets(port, 100, b""):
            time.sleep(3)  # asyncio tries again every second
        end = time.monotonic() + 120
        while True:  # those that wait to be accepted come first
            with contextlib.suppress(OSError):
                assert is_well(port)
                break
            assert time.monotonic() < end
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0 and process.stderr is not None
        assert len(process.stderr.read().splitlines()) <= 2


@pytest.mark.parametrize("count", [1, 3])
def test_sigterm_with_work_in_hand_answers_503(count: int, model: Path, slow: bytes) -> None:
    answers: list[tuple[int, object]] = []
    with server(model) as (process, port):

        def post() -> None:
            answers.append(exchange(port, head(len(slow)) + slow))

        threads = [threading.Thread(target=post) for _ in range(count)]
        for thread in threads:
            thread.start()
        text = ""
        while f"edgepose_requests_in_flight {count + 1:.1f}" not in text:  # the question itself is one
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as metrics:
                text = metrics.read().decode()
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
        for thread in threads:
            thread.join()
        assert answers == [(503, {"detail": "the server is ending"})] * count
        assert process.stderr is not None and process.stderr.read() == ""


def test_a_slow_picture_holds_up_large_ones_alone(model: Path, slow: bytes) -> None:
    data = encoded()
    with server(model) as (_, port):
        assert exchange(port, head(len(data)) + data)[0] == 200  # the process is there
        with sockets(port, 6, head(len(slow)) + slow) as waiting:
            for _ in range(3):
                assert exchange(port, head(len(data)) + data)[0] == 200
            for one in waiting:
                one.setblocking(False)
            answered = sum(bool(read(one)) for one in waiting)
            assert answered <= 3, "the small ones did not wait for all of the large ones"


def test_a_picture_that_takes_too_long_is_given_up(model: Path, slow: bytes) -> None:
    with server(model, "--timeout", "0.3") as (_, port):
        status, answer = exchange(port, head(len(slow)) + slow)
        assert status == 504 and "was not decoded within 0.3 s" in json.dumps(answer)
        assert is_well(port)
