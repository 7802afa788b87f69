"""Request bodies: read within limits, and the picture in them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import python_multipart
from fastapi import HTTPException, Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from edgepose.serve.limits import Limits, Space

PICTURES = ("image/jpeg", "image/png", "image/webp", "image/bmp", "image/tiff", "image/gif")
RAW = (*PICTURES, "image/jpg", "image/x-ms-bmp", "application/octet-stream")
FIELDS = ("image", "file")
MAX_PARTS = 16
MAX_NAME = 200


class Room:
    """What one body takes of a `Space`."""

    def __init__(self, space: Space) -> None:
        self.space, self.taken = space, 0

    def take(self, count: int) -> None:
        """So many bytes more, or 503."""
        self.space.take(count)
        self.taken += count


@contextmanager
def held_body(space: Space) -> Iterator[Room]:
    """Room for a body, given back at the end of the block."""
    room = Room(space)
    try:
        yield room
    finally:
        space.give_back(room.taken)


async def read_body(request: Request, limits: Limits, room: Room) -> bytes:
    """The whole body, or 413 as soon as it is known to be too large, 408 when it takes too long, 503 without room."""
    most = limits.body_bytes
    refusal = HTTPException(413, f"the body is too large: expected at most {most} bytes")
    stated = request.headers.get("content-length", "0")
    if stated.isdecimal() and int(stated) > most:
        raise refusal
    body = bytearray()

    async def read() -> None:
        async for chunk in request.stream():
            if len(body) + len(chunk) > most:
                raise refusal
            room.take(len(chunk))
            body.extend(chunk)

    try:
        await asyncio.wait_for(read(), limits.seconds)
    except asyncio.TimeoutError:
        raise HTTPException(408, f"the body did not come within {limits.seconds:g} s") from None
    except ClientDisconnect:
        raise HTTPException(400, "the body ended early") from None
    return bytes(body)


def media_type(request: Request) -> str:
    """`image/jpeg`, say; "" where the request does not state it."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_media_type(request: Request) -> None:
    """Raises 415 for what is no picture and no form, 403 for JSON with a URL, before any of the body is read."""
    kind = media_type(request)
    if kind == "application/json":
        raise HTTPException(403, "this server fetches no pictures from URLs: send the bytes of the picture itself")
    if kind not in (*RAW, "multipart/form-data"):
        raise HTTPException(415, f"expected a picture ({', '.join(PICTURES)}) or multipart/form-data as content type")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(415, "expected a body without a content encoding: pictures are compressed already")


@dataclass
class _Part:
    """A part of a form as it comes in."""

    headers: dict[str, bytes] = field(default_factory=dict)
    name: bytes = b""
    value: bytes = b""
    data: bytearray = field(default_factory=bytearray)


def picture_in_form(body: bytes, content_type: str) -> tuple[bytes, str]:
    """The picture in the field `image` or `file` of multipart/form-data, and its file name.

    Takes a moment for a hostile body, so it runs in the worker; nothing is written to disk.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise HTTPException(422, "the form has no boundary: expected multipart/form-data; boundary=...")
    found = []
    for part in _parts(body, boundary):
        options = parse_options_header(part.headers.get("content-disposition", b""))[1]
        if options.get(b"name", b"").decode("utf-8", "replace") in FIELDS:
            found.append((part, options.get(b"filename", b"").decode("utf-8", "replace")))
    if len(found) != 1:
        raise HTTPException(422, f"expected one picture in the field {' or '.join(FIELDS)}, got {len(found)}")
    part, name = found[0]
    kind = part.headers.get("content-type", b"application/octet-stream").decode("latin-1").partition(";")[0].strip()
    if kind.lower() not in RAW:
        raise HTTPException(415, f"expected a picture ({', '.join(PICTURES)}) in the form")
    return bytes(part.data), plain_name(name)


def _parts(body: bytes, boundary: bytes) -> list[_Part]:
    parts: list[_Part] = []

    def begin() -> None:
        if len(parts) == MAX_PARTS:
            raise HTTPException(422, f"the form has too many parts: expected at most {MAX_PARTS}")
        parts.append(_Part())

    def name(data: bytes, start: int, end: int) -> None:
        parts[-1].name += data[start:end]

    def value(data: bytes, start: int, end: int) -> None:
        parts[-1].value += data[start:end]

    def header() -> None:
        part = parts[-1]
        part.headers[part.name.decode("latin-1").lower()] = part.value
        part.name = part.value = b""

    ended = False

    def end() -> None:
        nonlocal ended
        ended = True

    try:
        parser = python_multipart.MultipartParser(
            boundary,
            {
                "on_part_begin": begin,
                "on_header_field": name,
                "on_header_value": value,
                "on_header_end": header,
                "on_part_data": lambda data, start, stop: parts[-1].data.extend(memoryview(data)[start:stop]),
                "on_end": end,
            },
        )
        parser.write(body)
        parser.finalize()
    except FormParserError:
        ended = False
    if not ended:
        raise HTTPException(422, "the form is broken: expected multipart/form-data that ends with its boundary")
    return parts


def plain_name(name: str) -> str:
    """A file name as a browser gave it, without folders and control characters; "image" where nothing is left."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in last if letter.isprintable())[:MAX_NAME].strip() or "image"
