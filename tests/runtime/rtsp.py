"""A network camera that speaks RTSP (RFC 2326): H.264 in RTP packets (RFC 3984) between its answers."""

from __future__ import annotations

import base64
import itertools
import socket
import struct
import threading
from contextlib import suppress
from fractions import Fraction
from functools import cache

import av
import numpy as np

from tests.runtime.blobs import SIZE, scene
from tests.runtime.server import Camera

PASSWORD = base64.b64encode(b"user:secret").decode()


@cache
def pictures(count: int = 30) -> tuple[tuple[bytes, ...], ...]:
    """The parts (NAL units) of each picture of a loop that starts with a key frame."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height = SIZE
    encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 30)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(count)}
    units = []
    for number in range(count):
        image = np.ascontiguousarray(scene((40 + 5 * number, 100)))
        packets = encoder.encode(av.VideoFrame.from_ndarray(image, format="bgr24"))
        data = b"".join(bytes(packet) for packet in packets).replace(b"\0\0\0\1", b"\0\0\1")
        units.append(tuple(part for part in data.split(b"\0\0\1") if part))
    return tuple(units)


class RtspCamera(Camera):
    """`manner`: "well"; "silent", which never answers; "stuck", which sends ten pictures and no more."""

    @property
    def url(self) -> str:
        return f"rtsp://user:secret@127.0.0.1:{self.port}/live"

    def _serve(self, connection: socket.socket, gone: threading.Event) -> None:
        with suppress(OSError), connection.makefile("rb") as requests:
            if self.manner == "silent":
                gone.wait(30)
                return
            while line := requests.readline():
                verb, address = line.decode().split()[:2]
                fields = dict(
                    head.decode().rstrip().lower().split(": ", 1)
                    for head in itertools.takewhile(lambda text: text.strip(), requests)
                )
                self._answer(connection, verb, address, fields)
                if verb == "PLAY":
                    self._play(connection, gone)
                    return

    def _answer(self, connection: socket.socket, verb: str, address: str, fields: dict[str, str]) -> None:
        status, heads, body = "200 OK", {"CSeq": fields["cseq"]}, ""
        if verb != "OPTIONS" and fields.get("authorization", "") != f"basic {PASSWORD.lower()}":
            status = "401 Unauthorized"
            heads["WWW-Authenticate"] = 'Basic realm="camera"'
        elif verb == "DESCRIBE":
            tables = ",".join(base64.b64encode(unit).decode() for unit in pictures()[0] if unit[0] & 31 in (7, 8))
            lines = (
                "v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=camera", "c=IN IP4 127.0.0.1", "t=0 0", "m=video 0 RTP/AVP 96",
                "a=rtpmap:96 H264/90000", f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={tables}",
                "a=control:track1",
            )  # fmt: skip
            body = "".join(f"{line}\r\n" for line in lines)
            heads |= {"Content-Type": "application/sdp", "Content-Base": f"{address}/"}
        elif verb in ("SETUP", "PLAY"):
            heads |= {"Session": "1", "Transport": "RTP/AVP/TCP;unicast;interleaved=0-1"}
        heads["Content-Length"] = str(len(body))
        text = "".join(f"{name}: {value}\r\n" for name, value in heads.items())
        connection.sendall(f"RTSP/1.0 {status}\r\n{text}\r\n{body}".encode())

    def _play(self, connection: socket.socket, gone: threading.Event) -> None:
        sequence = 0
        for number, units in enumerate(itertools.cycle(pictures())):
            if gone.wait(30 if self.manner == "stuck" and number == 10 else self.interval):
                return
            for unit in units:
                last = unit is units[-1]
                head = struct.pack(">BBHII", 0x80, 96 | last << 7, sequence & 0xFFFF, number * 3000, 1)
                connection.sendall(struct.pack(">cBH", b"$", 0, len(head) + len(unit)) + head + unit)
                sequence += 1
            self.sent += 1
