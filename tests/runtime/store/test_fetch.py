"""Fetching from a server on this machine: interruptions, damage, races, and archives that mean no good."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgepose.runtime.store import fetch as fetching
from edgepose.runtime.store.fetch import PUBLISHED, Published, cache_dir, cached, fetch
from tests.runtime.small import SIMCC

ROOT = Path(__file__).resolve().parents[3]
MODEL = bytes(range(256)) * 2000  # 512 kB; what is in it does not matter here
SHA = hashlib.sha256(MODEL).hexdigest()


def archive(*members: tuple[str, bytes]) -> bytes:
    """A zip, stored, so that its size is that of what is in it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as opened:
        for name, data in members or (("20230504/m/end2end.onnx", MODEL), ("20230504/m/detail.json", b"{}")):
            opened.writestr(name, data)
    return out.getvalue()


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`, and remembers the path of every request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.states_length = True
        self.fail_with: list[int] = []  # statuses of the next answers
        self.stop_after: list[int] = []  # bytes of the body that the next answers send before they hang up
        self.stall_after: list[int] = []  # bytes of the body that the next answers send before they say nothing more
        self.delay = 0.0  # seconds before every 16 kB
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are part of the tests."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        body = self.server.files.get(self.path.lstrip("/"))
        if body is None or self.server.fail_with:
            self.send_error(self.server.fail_with.pop(0) if self.server.fail_with else 404)
            return
        self.send_response(200)
        if self.server.states_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.stop_after:
            body = body[: self.server.stop_after.pop(0)]
        stall = self.server.stall_after.pop(0) if self.server.stall_after else len(body)
        for at in range(0, stall, 1 << 14):
            self.server.ended.wait(self.server.delay)
            self.wfile.write(body[at : min(at + (1 << 14), stall)])
        if stall < len(body):
            self.server.ended.wait()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(PUBLISHED, "small", Published("sdk/small.zip", SIMCC))
    made.files["sdk/small.zip"] = archive()
    yield made
    made.ended.set()
    made.shutdown()
    made.server_close()
    thread.join()


def get(server: Server, **options: Any) -> Path:
    return fetch("small", mirrors=[server.url], **options)


def left(cache: Path) -> set[str]:
    """Files in the cache that are no locks."""
    return {path.name for path in cache.iterdir() if path.suffix != ".lock"}


def test_fetched_once_and_checked_ever_after(server: Server) -> None:
    assert cached("small") is None
    seen: list[tuple[int, int | None]] = []
    path = get(server, progress=lambda done, total: seen.append((done, total)))
    size = len(server.files["sdk/small.zip"])
    assert path == cache_dir() / "small.onnx" and path.read_bytes() == MODEL and seen[-1] == (size, size)
    assert left(cache_dir()) == {"small.onnx", "small.json", "manifest.json"}
    assert json.loads((cache_dir() / "manifest.json").read_text()) == {"small": SHA}
    assert json.loads((cache_dir() / "small.json").read_text())["name"] == SIMCC.name
    assert get(server) == cached("small") == path and len(server.requests) == 1


def test_one_flipped_bit_is_refused_and_repaired(server: Server) -> None:
    path = get(server)
    data = bytearray(MODEL)
    data[1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"is not what was fetched: expected sha256 .*edgepose models --fetch small"):
        cached("small")
    assert get(server).read_bytes() == MODEL and cached("small") == path
    path.write_bytes(data)
    server.files["sdk/small.zip"] = archive(("end2end.onnx", MODEL + b"!"))
    with pytest.raises(ValueError, match="is not the model on record"):
        get(server)
    assert path.read_bytes() == data, "what is refused replaces nothing"


def test_a_stated_hash_counts_from_the_first_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PUBLISHED, "small", Published("sdk/small.zip", SIMCC, "0" * 64))
    with pytest.raises(ValueError, match=f"expected sha256 000000000000..., got {SHA[:12]}..."):
        get(server)
    assert left(cache_dir()) == set()
    monkeypatch.setitem(PUBLISHED, "small", Published("sdk/small.zip", SIMCC, SHA))
    assert get(server).read_bytes() == MODEL


def test_a_cut_body_is_asked_for_again(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    server.stop_after = [100_000, 0]
    seen: list[tuple[int, int | None]] = []
    assert get(server, progress=lambda done, total: seen.append((done, total))).read_bytes() == MODEL
    whole = len(server.files["sdk/small.zip"])
    assert len(server.requests) == 3 and seen[-1] == (whole, whole) and all(done <= whole for done, _ in seen)
    assert capfd.readouterr() == ("", ""), "the progress bar is ours"


def test_a_server_that_breaks_off_each_time_is_given_up(server: Server) -> None:
    server.stop_after = [100_000] * fetching.ATTEMPTS
    with pytest.raises(ConnectionError, match=r"could not fetch small \(.*small\.zip: the connection broke off\); try"):
        get(server)
    assert cached("small") is None and left(cache_dir()) == set()
    assert get(server).read_bytes() == MODEL


def test_a_failing_server_is_asked_again_and_a_refusing_one_is_not(server: Server) -> None:
    server.fail_with = [503, 503]
    assert get(server).read_bytes() == MODEL and len(server.requests) == 3
    (cache_dir() / "small.onnx").unlink()
    server.fail_with = [403, 403]
    with pytest.raises(ConnectionError, match=r"small\.zip: HTTP 403\); try"):
        get(server)
    assert len(server.requests) == 4


def test_a_size_that_is_not_stated_is_not_guessed(server: Server) -> None:
    server.states_length = False
    seen: list[tuple[int, int | None]] = []
    assert get(server, progress=lambda done, total: seen.append((done, total))).read_bytes() == MODEL
    assert seen[-1] == (len(server.files["sdk/small.zip"]), None)


def test_a_killed_download_leaves_nothing_in_the_way(server: Server) -> None:
    server.stall_after = [100_000]
    with child(server) as process:
        wait_until(lambda: any(cache_dir().rglob("tmp*")))
        process.send_signal(signal.SIGKILL)
    assert cached("small") is None and not (cache_dir() / "small.onnx").exists()
    assert get(server).read_bytes() == MODEL
    assert left(cache_dir()) == {"small.onnx", "small.json", "manifest.json"}


def test_two_processes_fetch_it_once(server: Server) -> None:
    server.delay = 0.01
    with child(server) as first, child(server) as second:
        outputs = [process.communicate(timeout=300)[0] for process in (first, second)]
    assert outputs == [f"{cache_dir() / 'small.onnx'}\n"] * 2
    assert len(server.requests) == 1 and cached("small") is not None


def child(server: Server) -> subprocess.Popen[str]:
    script = f"""
from edgepose.runtime.store.fetch import PUBLISHED, Published, fetch
from edgepose.spec import ModelSpec
PUBLISHED["small"] = Published("sdk/small.zip", ModelSpec.from_json({SIMCC.to_json()!r}))
print(fetch("small", mirrors=[{server.url!r}]))
"""
    return subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def wait_until(reached: Any) -> None:
    end = time.monotonic() + 300
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_second_mirror_is_tried(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "ATTEMPTS", 1)
    nobody = "http://127.0.0.1:1/"
    assert fetch("small", mirrors=[nobody, f"{server.url}elsewhere/", server.url]).read_bytes() == MODEL
    (cache_dir() / "small.onnx").unlink()
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:1/.*refused.*elsewhere/sdk/small\.zip: HTTP 404"):
        fetch("small", mirrors=[nobody, f"{server.url}elsewhere/"])


def test_a_stalled_server_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "ATTEMPTS", 1)
    server.delay = 100
    start = time.monotonic()
    with pytest.raises(ConnectionError, match="timed out"):
        get(server, timeout=0.2)
    assert time.monotonic() - start < 60


def test_a_server_that_sends_drop_by_drop_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """It never runs into the time-out between two bytes."""
    monkeypatch.setattr(fetching, "MAX_SECONDS", 0.5)
    server.delay = 0.2  # 512 kB take 6 s
    with pytest.raises(ConnectionError, match=r"could not fetch small within 0 s"):
        get(server, timeout=60)
    assert not (cache_dir() / "small.onnx").exists()


def test_a_server_that_cuts_and_refuses_to_go_on_is_asked_a_few_times(server: Server) -> None:
    server.stop_after = [100_000] * 50
    with pytest.raises(ConnectionError, match="the connection broke off"):
        get(server, timeout=5)
    assert len(server.requests) == fetching.ATTEMPTS


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<html>not found</html>", "broken archive"),
        (b"", "broken archive"),
        (archive(("readme.txt", b"")), "found 0"),
        (archive(("a/end2end.onnx", MODEL), ("b/end2end.onnx", MODEL)), "found 2"),
        (archive()[:-100], "broken archive"),
        (archive().replace(MODEL[:500], b"x" * 500, 1), "broken archive.*CRC"),
    ],
)
def test_bad_archives_are_refused(server: Server, data: bytes, message: str) -> None:
    server.files["sdk/small.zip"] = data
    with pytest.raises(ValueError, match=message):
        get(server)
    assert left(cache_dir()) == set()
    server.files["sdk/small.zip"] = archive()
    assert get(server).read_bytes() == MODEL


def test_names_in_an_archive_lead_nowhere(server: Server, tmp_path: Path) -> None:
    server.files["sdk/small.zip"] = archive(("../../../escaped.onnx", MODEL))
    assert get(server).read_bytes() == MODEL
    assert not list(tmp_path.rglob("escaped*")) and left(cache_dir()) == {"small.onnx", "small.json", "manifest.json"}


def test_there_is_a_limit_to_what_is_kept(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("end2end.onnx", bytes(3_000_000))
    server.files["sdk/small.zip"] = bomb.getvalue()
    monkeypatch.setattr(fetching, "MAX_BYTES", 2_000_000)
    with pytest.raises(ValueError, match="small is too large"):
        get(server)
    server.files["sdk/small.zip"] = archive()
    monkeypatch.setattr(fetching, "MAX_BYTES", 200_000)
    with pytest.raises(ConnectionError, match="it is too large"):
        get(server)
    assert left(cache_dir()) == set()


def test_only_web_addresses_and_known_names(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected an https address"):
        fetch("small", mirrors=[tmp_path.as_uri() + "/"])
    with pytest.raises(ValueError, match=r"unknown model 'small-ish', expected one of .* such as 'small'"):
        fetch("small-ish")


def test_a_damaged_manifest_is_one_sentence(server: Server) -> None:
    get(server)
    for text in ("{", "[]", '{"small": 1}'):
        (cache_dir() / "manifest.json").write_text(text)
        with pytest.raises(ValueError, match=r"manifest\.json is damaged"):
            cached("small")


def test_reading_the_cache_writes_nothing(server: Server) -> None:
    path = get(server)
    before = {file: file.stat().st_mtime_ns for file in (cache_dir(), *cache_dir().iterdir())}
    server.files.clear()
    assert get(server) == cached("small") == path
    assert {file: file.stat().st_mtime_ns for file in (cache_dir(), *cache_dir().iterdir())} == before


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions bind neither root nor Windows")
def test_a_read_only_cache(server: Server) -> None:
    path = get(server)
    cache_dir().chmod(0o555)
    try:
        assert get(server) == path
        path.write_bytes(b"damaged")
        with pytest.raises(PermissionError, match="set EDGEPOSE_CACHE"):
            get(server)
    finally:
        cache_dir().chmod(0o755)


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("EDGEPOSE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_dir() == tmp_path / "xdg" / "edgepose"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_dir().parts[-3:] == ("Library", "Caches", "edgepose")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_dir() == tmp_path / "local" / "edgepose" / "cache"
