"""A page of this machine that shows pictures, for where there is no window: nothing else is needed than a browser.

The page asks for the next picture when it has shown the last, so nothing piles up on the way and nothing is drawn or
encoded while nobody looks.
"""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import cv2
import numpy as np

from edgepose.media.images import Image
from edgepose.media.show import KEYS, PAUSE, QUIT, SAVE

LONGEST = 1920  # pixels of the longer side that is sent
QUALITY = 85
PATIENCE = 15.0  # seconds for which a request waits for the next picture
_NAMES = {"q": QUIT, "space": PAUSE, "s": SAVE}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src blob:; connect-src 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Page:
    """Pictures at 127.0.0.1, for browsers of this machine alone. Port 0 is any free one; OSError for a used one.

    reason: why this is no window, before the address
    """

    def __init__(self, port: int = 0, reason: str = "") -> None:
        self._changed = threading.Condition()
        self._image: Image | None = None
        self._version, self._encoded = 0, (-1, b"")
        self._note, self._paused, self._ended = "", False, False
        self._waiting = 0  # requests for the next picture
        self._pressed: deque[str] = deque(maxlen=100)
        page = self

        class Handler(_Handler):
            owner = page

        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        except OSError as error:
            raise OSError(
                f"cannot show a page on 127.0.0.1 port {port}: {error.strerror}; choose another with --show-port"
            ) from None
        self._server.daemon_threads = True
        number = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{number}/"
        far = f"from another machine first: ssh -L {number}:127.0.0.1:{number} THIS-ONE"
        self.greeting = f"{reason}look at {self.url} ({KEYS}; {far})"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        if has_screen():
            webbrowser.open(self.url)

    def wanted(self) -> bool:
        """Whether a browser waits for a picture."""
        return self._waiting > 0

    def put(self, image: Image) -> None:
        """The next picture."""
        with self._changed:
            self._image, self._version = image, self._version + 1
            self._changed.notify_all()

    def pressed(self) -> list[str]:
        """What was pressed in any browser."""
        pressed = []
        while self._pressed:
            pressed.append(self._pressed.popleft())
        return pressed

    def tell(self, note: str, paused: bool) -> None:
        """Below the picture."""
        with self._changed:
            self._note, self._paused, self._version = note, paused, self._version + 1
            self._changed.notify_all()

    def close(self) -> None:
        """Tell browsers that it is over, and close the port."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def press(self, name: str) -> bool:
        """A key by the name that the page gives it; False for one that does nothing."""
        if name in _NAMES:
            self._pressed.append(_NAMES[name])
        return name in _NAMES

    def after(self, version: int) -> tuple[int, bytes, dict[str, str]]:
        """(status, JPEG, headers) of what is newer than `version`: 204 where nothing came, 410 at the end."""
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: self._ended or self._news(version), PATIENCE)
            finally:
                self._waiting -= 1
            if self._ended:
                return 410, b"", {}
            if not self._news(version):
                return 204, b"", {}
            image, current, note, paused = self._image, self._version, self._note, self._paused
        assert image is not None
        if self._encoded[0] != current:  # two browsers may do it twice, which harms nobody
            self._encoded = current, _jpeg(image)
        headers = {"X-Version": str(current), "X-Note": quote(note), "X-Paused": str(int(paused))}
        return 200, self._encoded[1], headers

    def _news(self, version: int) -> bool:
        return self._image is not None and self._version > version


def has_screen() -> bool:
    """Whether a browser can open here by itself; without a screen a text browser would take the terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _jpeg(image: Image) -> bytes:
    scale = min(1.0, LONGEST / max(image.shape[:2]))
    if scale < 1:
        size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes())


class _Handler(BaseHTTPRequestHandler):
    """`/` is the page, `/frame?after=N` the next picture, POST `/key?name=q` a key."""

    owner: Page
    protocol_version = "HTTP/1.1"
    timeout = 60.0  # of a connection that says nothing

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if not self._ours():
            self._answer(403, b"this page is for browsers of this machine")
        elif url.path == "/":
            self._answer(200, files("edgepose.media").joinpath("page.html").read_bytes(), "text/html; charset=utf-8")
        elif url.path == "/frame":
            after = parse_qs(url.query).get("after", ["0"])[0]
            status, body, headers = self.owner.after(int(after) if after.isdecimal() else 0)
            self._answer(status, body, "image/jpeg", headers)
        else:
            self._answer(404, b"there is only /")

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        if not self._ours():
            self._answer(403, b"this page is for browsers of this machine")
        elif url.path == "/key" and self.owner.press(parse_qs(url.query).get("name", [""])[0]):
            self._answer(204)
        else:
            self._answer(404, b"the keys are q, space and s")

    def log_message(self, *_: Any) -> None:
        """Nothing: the terminal belongs to the run."""

    def _ours(self) -> bool:
        """Whether the browser reached us as this machine, and from our own page: others could read it or press keys."""
        host = self.headers.get("Host", "")
        name = (urlsplit(f"//{host}").hostname or "").lower()
        origin = self.headers.get("Origin")
        return name in ("127.0.0.1", "localhost") and origin in (None, f"http://{host}")

    def _answer(
        self, status: int, body: bytes = b"", kind: str = "text/plain", more: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        headers = {**_HEADERS, "Content-Type": kind, **(more or {})}
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
