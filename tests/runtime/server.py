"""A camera on the network that can be told to fail: MJPEG over HTTP, in threads of this process."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

import cv2
import numpy as np

from tests.runtime.blobs import scene

HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"


def jpeg(image: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".jpg", image)[1])


class Camera:
    """Sends a picture to everybody connected, again and again, until it is killed.

    manner: "well"; "silent", which accepts and sends nothing more; "garbage"; "cut", half a picture and then the end
    joined: set as soon as somebody has connected
    sent: pictures so far, to everybody together
    """

    def __init__(self, manner: str = "well", interval: float = 0.01) -> None:
        self.manner, self.interval, self.sent = manner, interval, 0
        self.joined = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._begin()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def url(self) -> str:
        return f"http://user:secret@127.0.0.1:{self.port}/live"

    def drop(self) -> None:
        """Every connection ends, and it can be joined again at once: nobody else can take the port meanwhile."""
        with self._lock:
            gone, connections, threads = self._gone, self._connections, self._threads
            self._begin()
        gone.set()
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in threads:
            thread.join(60)

    def kill(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(60)  # before it is looked at who is connected
        self.drop()

    def _begin(self) -> None:
        self._gone = threading.Event()
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                thread = threading.Thread(target=self._serve, args=(connection, self._gone), daemon=True)
                self._connections.append(connection)
                self._threads.append(thread)
                thread.start()
            self.joined.set()

    def _serve(self, connection: socket.socket, gone: threading.Event) -> None:
        with suppress(OSError):
            connection.recv(4096)
            connection.sendall(HEAD if self.manner != "garbage" else b"\x00\xff" * 5000)
            number = 0
            while not gone.wait(self.interval):
                if self.manner in ("silent", "garbage"):
                    continue
                data = jpeg(scene((40 + number % 200, 100)))
                whole = not (self.manner == "cut" and number == 10)
                part = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data)
                connection.sendall(part + (data + b"\r\n" if whole else data[: len(data) // 2]))
                number += 1
                self.sent += 1
                if not whole:
                    connection.shutdown(socket.SHUT_RDWR)
                    return
