"""The server as a process: started, used, abused and ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edgepose.cli import app
from tests.processes import ctrl_c_works
from tests.serve.serving import encoded
from tests.tiny import write_tiny_model

pytest.importorskip("uvicorn", reason="needs the serve extra")

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

TOKEN = "a-token-of-enough-letters"


@contextlib.contextmanager
def server(model: Path, *options: str, token: str | None = None) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`edgepose serve` on a free port -> the process, and the port."""
    command = [sys.executable, "-m", "edgepose", "serve", "--model", str(model), "--port", "0", "--json", *options]
    environment = {**os.environ, "EDGEPOSE_THREADS": "1"} | ({} if token is None else {"EDGEPOSE_TOKEN": token})
    with ctrl_c_works():
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
            cwd=Path(__file__).resolve().parents[2],
        )  # fmt: skip
    try:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert line, process.stderr.read()
        said = json.loads(line)
        assert said["model"] == "tiny.onnx" and said["pid"] == process.pid
        host, _, port = said["url"].removeprefix("http://").rpartition(":")
        assert host == "127.0.0.1"
        yield process, int(port)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


def exchange(port: int, *parts: bytes) -> tuple[int, dict[str, Any]]:
    """One request, byte by byte as given -> status and JSON."""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        for part in parts:
            connection.sendall(part)
        with connection.makefile("rb") as answer:
            status = int(answer.readline().split()[1])
            length = 0
            while line := answer.readline().strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            return status, json.loads(answer.read(length))


def head(length: int, *more: str) -> bytes:
    lines = ["POST /predict HTTP/1.1", "Host: localhost", "Content-Type: image/png", f"Content-Length: {length}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def socket_to(port: int, **options: Any) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{port}/frames", proxy=None, compression=None, open_timeout=120, **options)


def test_a_server_from_its_start_to_sigterm(model: Path) -> None:
    data = encoded()
    with server(model, "--max-mb", "1") as (process, port):
        status, answer = exchange(port, head(len(data)), data[:50], data[50:])
        assert status == 200 and answer["width"] == 160
        # a client that sends all of a body that is too large hears why, and is not cut off in the middle
        status, answer = exchange(port, head(4 << 20), *[b"x" * (1 << 20)] * 4)
        assert status == 413 and "at most 1048576 bytes" in answer["detail"]
        with pytest.raises(InvalidStatus) as refused:
            socket_to(port, origin="http://evil.example")
        assert refused.value.response.status_code == 403
        with socket_to(port) as frames:
            # Only the message's head: a server that closes while a body is still coming resets the connection at times.
            frames.socket.sendall(b"\x82\xff" + (2 << 20).to_bytes(8, "big") + bytes(4))
            with pytest.raises(ConnectionClosed) as closed:
                frames.recv(120)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009
        with socket_to(port) as frames, socket.create_connection(("127.0.0.1", port)) as idle:
            frames.send(data)
            assert json.loads(frames.recv(120))["people"]
            idle.sendall(b"GET /he")
            process.send_signal(signal.SIGTERM)
            assert process.wait(120) == 0, "open connections do not keep it"
        assert process.stderr is not None and process.stderr.read() == ""


def test_slow_clients_are_cut_off(model: Path) -> None:
    """What is in time here is sent in one go, so that two seconds are enough for it on any machine."""
    with server(model, "--timeout", "2") as (_, port), socket.create_connection(("127.0.0.1", port), 120) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: loc")  # and never the rest
        status, _ = exchange(port, head(100) + b"x")
        assert status == 408
        with contextlib.suppress(ConnectionResetError):
            assert slow.recv(100) == b"", "a request whose head does not come is cut off"


def test_ctrl_c_and_a_token_that_nobody_sees(model: Path, tmp_path: Path) -> None:
    with server(model, token=TOKEN) as (process, port):
        status, _ = exchange(port, head(0))
        assert status == 401
        status, answer = exchange(port, head(0, "Authorization: Bearer wrong?token=secret"))
        assert status == 401
        status, answer = exchange(port, head(0, f"Authorization: Bearer {TOKEN}"))
        assert status == 422 and "is empty" in answer["detail"]
        exchange(port, f"GET /model?token={TOKEN} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
        assert process.stdout is not None and process.stderr is not None
        assert TOKEN not in process.stdout.read() + process.stderr.read()


def refusal(*words: str, status: int = 1, **environment: str) -> str:
    result = CliRunner().invoke(app, ["serve", *words], env=environment)
    assert result.exit_code == status and "Traceback" not in result.output, result.output
    return result.stderr


def test_bad_options_are_sentences(model: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    for option, name in (("--max-mb", "body_bytes"), ("--max-pixels", "pixels"), ("--concurrency", "concurrency"),
                         ("--connections", "connections"), ("--timeout", "seconds"), ("--idle", "idle")):  # fmt: skip
        assert f"error: {name} is 0" in refusal(option, "0", status=2)
    assert "error: rate is -1" in refusal("--rate", "-1", status=2)
    assert "expected the token in its first line" in refusal("--token-file", str(empty))
    assert "No such file" in refusal("--token-file", str(tmp_path / "none"))
    assert "expected 16 or more" in refusal(EDGEPOSE_TOKEN="short")
    assert "is no origin" in refusal("--allow-origin", "example.org")
    assert "no-model.onnx" in refusal("--model", "no-model.onnx")
    refusal("--port", "70000", status=2)
    said = refusal("--allow-urls", "--model", str(model), status=2)
    assert said.startswith(
        "error: --allow-urls is gone: the server fetches no URLs; fetch the picture and POST its bytes"
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = refusal("--model", str(model), "--port", port)
        assert said.startswith(f"error: cannot listen on 127.0.0.1 port {port}: ") and "--port" in said


def test_every_option_arrives(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgepose.cli import serve as command
    from edgepose.serve.limits import Access, Limits

    seen: dict[str, Any] = {}
    monkeypatch.setattr(command, "answer", lambda estimator, limits, access, **more: seen.update(
        limits=limits, access=access, **more))  # fmt: skip
    token = tmp_path / "token"
    token.write_text(f"  {TOKEN} \nsecond line\n")
    words = (
        "--max-mb 0.5 --max-pixels 7 --concurrency 3 --connections 4 --rate 1.5 --timeout 6 --idle 9 "
        f"--token-file {token} --allow-origin https://a.example --allow-host b --host ::1 --port 5 --json "
        f"--model {model}"
    ).split()
    result = CliRunner().invoke(app, ["serve", *words])
    assert result.exit_code == 0, result.output
    assert seen["limits"] == Limits(1 << 19, 7, 3, 4, 1.5, 6, 9)
    assert seen["access"] == Access(TOKEN, ("https://a.example",), ("b",))
    assert (seen["host"], seen["port"], seen["as_json"]) == ("::1", 5, True)
    CliRunner().invoke(app, ["serve", "--model", str(model)])
    assert (seen["limits"], seen["access"]) == (Limits(), Access()), "the defaults are the same in both places"


def test_an_open_server_without_a_token_is_warned_about(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import edgepose
    from edgepose.cli import serve as command
    from edgepose.serve.limits import Access, Limits

    apps = []

    def run(app: Any, listener: socket.socket, ready: Any) -> None:
        apps.append(app)
        ready()

    monkeypatch.setattr("edgepose.serve.server.run", run)
    estimator = edgepose.load(model, threads=1)
    for host, token, warned in (("0.0.0.0", None, True), ("0.0.0.0", TOKEN, False), ("localhost", None, False)):
        command.answer({"mine": estimator}, Limits(), Access(token), host=host, port=0, as_json=False)
        said = capsys.readouterr()
        assert ("other machines can use this server" in said.err) == warned
        assert said.out.startswith("mine at http://") and "Ctrl-C ends" in said.out
    assert apps[2].state.service.access.hosts == ("localhost",)


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    for name in [name for name in sys.modules if name.startswith("edgepose.serve")]:
        monkeypatch.delitem(sys.modules, name)
    assert "pip install 'edgepose[serve]'" in refusal()


def test_retries_for_a_closed_server_say_nothing_and_other_errors_all() -> None:
    from edgepose.serve.server import _told_once

    said: list[object] = []
    loop = asyncio.new_event_loop()
    try:
        loop.default_exception_handler = said.append  # type: ignore[method-assign, assignment]
        handle = _told_once()
        closed = ValueError("Invalid file descriptor: -1")
        handle(
            loop, {"message": "Exception in callback BaseSelectorEventLoop._start_serving(...)", "exception": closed}
        )
        assert said == []
        other = {"message": "Exception in callback somewhere()", "exception": ValueError("a fault")}
        handle(loop, other)
        assert said == [other]
    finally:
        loop.close()
