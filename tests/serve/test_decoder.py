"""Decoding in other processes: the same pictures and errors, and what becomes of a process that fails."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from edgepose.media.images import MAX_PIXELS, PictureTooLarge, read_image
from tests.serve.serving import encoded

pytest.importorskip("fastapi", reason="needs the serve extra")

from edgepose.serve.decoder import Decoders, TooSlow


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    made = Decoders()
    yield made
    made.stop()


def decode(decoders: Decoders, data: bytes, pixels: int = MAX_PIXELS, seconds: float = 60.0) -> np.ndarray:
    return asyncio.run(decoders.decode(data, pixels, seconds))


def test_pictures_and_errors_are_those_of_read_image(decoders: Decoders) -> None:
    for suffix in (".png", ".jpg", ".webp", ".tiff", ".bmp"):
        data = encoded(suffix)
        np.testing.assert_array_equal(decode(decoders, data), read_image(data))
    with pytest.raises(PictureTooLarge, match="its header says 160 x 120"):
        decode(decoders, encoded(), pixels=160 * 120 - 1)
    data = encoded(".png")
    with pytest.raises(ValueError, match="its pixels do not decode"):
        decode(decoders, data[:33] + b"\0\0\0\0IDAT\x35\xaf\x06\x1e" + data[-12:])
    np.testing.assert_array_equal(decode(decoders, data), read_image(data))
    assert len(decoders._processes) <= 3


def test_a_process_that_ends_is_replaced(decoders: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    decode(decoders, encoded())
    (process,) = decoders._processes
    from edgepose.serve import decoder

    ask = decoder._ask

    def crash(child: subprocess.Popen[bytes], data: bytes, pixels: int) -> np.ndarray:
        os.kill(child.pid, signal.SIGSEGV if sys.platform != "win32" else signal.SIGTERM)
        child.wait()
        return ask(child, data, pixels)

    monkeypatch.setattr(decoder, "_ask", crash)
    with pytest.raises(ValueError, match="its decoder ends on it"):
        decode(decoders, encoded())
    monkeypatch.setattr(decoder, "_ask", ask)
    assert decode(decoders, encoded()).shape == (120, 160, 3)
    assert process not in decoders._processes


@pytest.mark.skipif(sys.platform == "win32", reason="stops a process as POSIX does")
def test_a_process_that_hangs_is_killed(decoders: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgepose.serve import decoder

    ask = decoder._ask

    def hang(child: subprocess.Popen[bytes], data: bytes, pixels: int) -> np.ndarray:
        os.kill(child.pid, signal.SIGSTOP)
        return ask(child, data, pixels)

    monkeypatch.setattr(decoder, "_ask", hang)
    with pytest.raises(TooSlow, match=r"does not decode within 0.1 s"):
        decode(decoders, encoded(), seconds=0.1)
    monkeypatch.setattr(decoder, "_ask", ask)
    assert decode(decoders, encoded()).shape == (120, 160, 3)


def test_stop_ends_the_processes(decoders: Decoders) -> None:
    decode(decoders, encoded())
    (process,) = decoders._processes
    decoders.stop()
    assert process.poll() is not None and not decoders._processes
