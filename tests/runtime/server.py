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
    """Sends a picture to everybody connected, again and again, until it is killed; `start` uses the same port again.

    manner: "well"; "silent", which accepts and sends nothing more; "garbage"; "cut", half a picture and then the end
    """

    def __init__(self, manner: str = "well", interval: float = 0.01) -> None:
        self.manner, self.interval, self.port = manner, interval, 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://user:secret@127.0.0.1:{self.port}/live"

    def start(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._gone = threading.Event()
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, args=(self._listener, self._gone), daemon=True)]
        self._threads[0].start()

    def kill(self) -> None:
        self._gone.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self, listener: socket.socket, gone: threading.Event) -> None:
        while not gone.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection, gone), daemon=True))
            self._threads[-1].start()

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
                if not whole:
                    connection.shutdown(socket.SHUT_RDWR)
                    return
