"""docs/security.md states the numbers that the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgepose.data import columns
from edgepose.media import images
from edgepose.runtime import cores
from edgepose.runtime.store import fetch
from edgepose.spec import LARGEST, MOST_SIDE

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "security.md").read_text(encoding="utf-8")


def numbers(row: str) -> list[int]:
    """The numbers in the second column of a table's row."""
    (line,) = [line for line in TEXT.splitlines() if line.startswith(f"| {row} |")]
    return [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", line.split("|")[2])]


def test_bounds_of_files() -> None:
    assert numbers("pixels of a picture or frame") == [images.MAX_PIXELS]
    assert numbers("scans of a JPEG") == [images.MAX_SCANS]
    assert numbers("tags of a TIFF") == [images.MAX_TAGS]
    (mib,) = numbers("bytes of a picture, in a file or unpacked from a zip")
    assert abs((mib << 20) - images.largest_file(images.MAX_PIXELS)) < 30 << 20
    gib, unsuspected, ratio = numbers("bytes of labels and results")
    assert (gib << 30, unsuspected << 20, ratio) == (columns.LARGEST, columns.UNSUSPECTED, columns.RATIO)
    assert [n << 20 for n in numbers("bytes of a description beside a model")] == [LARGEST]
    assert numbers("sides of a network's input") == [MOST_SIDE]
    assert numbers("threads of a network") == [cores.MOST]
    assert numbers("download of a model") == [fetch.MAX_BYTES >> 30, fetch.ATTEMPTS, int(fetch.MAX_SECONDS)]


def test_bounds_of_the_server() -> None:
    pytest.importorskip("uvicorn", reason="needs the serve extra")
    from edgepose.serve import body, decoder, server
    from edgepose.serve.limits import Limits

    limits = Limits()
    assert [n << 20 for n in numbers("bytes of a picture")] == [limits.body_bytes]
    assert numbers("pixels of a picture") == [limits.pixels]
    assert numbers("requests in work, from the last byte of the body on") == [limits.concurrency, 503]
    assert numbers("WebSockets") == [limits.connections, 503]
    assert numbers("seconds without a frame") == [limits.idle]
    row = "seconds for a head, a body, a decoded picture, an answer, and for answers to be read"
    assert numbers(row) == [limits.seconds]
    busy = 8 * (limits.concurrency + limits.connections) + 256
    assert numbers("connections") == [busy, 503, 2 * busy, server.SPARE_FILES]
    assert [n << 10 for n in numbers("bytes of requests sent ahead")] == [server.PIPELINED]
    assert [n << 10 for n in numbers("bytes that wait for the reader of a WebSocket")] == [server.UNREAD]
    assert numbers("frames of a WebSocket's message, and pings between two messages") == [server.PIECES]
    assert numbers("parts of a form") == [body.MAX_PARTS, 422]
    assert numbers("pieces of a chunked body") == [server.LINES // 2, 2 * server.LINE]
    assert f"up to {decoder.LARGE:,} pixels" in TEXT and decoder.SMALL_ONES == 3 and "three for those" in TEXT
    assert f"requests in work have {0.7 * server.GRACE:.1f} s" in TEXT
