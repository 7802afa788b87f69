"""Forms and what hides in them."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fastapi", reason="needs the serve extra")

from fastapi import HTTPException

from edgepose.serve.body import MAX_NAME, MAX_PARTS, picture_in_form, plain_name

TYPE = "multipart/form-data; boundary=xyz"


def part(data: bytes, name: str = "image", file: str = 'filename="a.png"', kind: str = "image/png") -> bytes:
    head = f'--xyz\r\nContent-Disposition: form-data; name="{name}"; {file}\r\nContent-Type: {kind}\r\n\r\n'
    return head.encode() + data + b"\r\n"


def test_the_picture_is_found_among_other_fields() -> None:
    body = part(b"note", "remark", "", "text/plain") + part(b"\x00\r\n--xy\r\nz") + b"--xyz--\r\n"
    assert picture_in_form(body, TYPE) == (b"\x00\r\n--xy\r\nz", "a.png")
    assert picture_in_form(part(b"p", "file", 'filename="C:\\\\me\\\\b.jpg"') + b"--xyz--\r\n", TYPE)[1] == "b.jpg"
    assert picture_in_form(part(b"", file="x=y") + b"--xyz--\r\n", TYPE) == (b"", "image")


@pytest.mark.parametrize(
    ("body", "content_type", "status", "reason"),
    [
        (b"", TYPE, 422, "broken"),
        (part(b"p"), TYPE, 422, "broken"),
        (part(b"p")[:-9], TYPE, 422, "broken"),
        (b"--xyz--\r\n", TYPE, 422, "got 0"),
        (part(b"p", "photo") + b"--xyz--\r\n", TYPE, 422, "got 0"),
        (part(b"p") + part(b"q", "file") + b"--xyz--\r\n", TYPE, 422, "got 2"),
        (part(b"p", kind="text/html") + b"--xyz--\r\n", TYPE, 415, "expected a picture"),
        (part(b"p") + b"--xyz--\r\n", "multipart/form-data", 422, "no boundary"),
        (part(b"p") + b"--xyz--\r\n", "multipart/form-data; boundary=" + "b" * 3000, 422, "broken"),
        (part(b"p", "x") * (MAX_PARTS + 1) + b"--xyz--\r\n", TYPE, 422, "too many parts"),
        (b"--xyz\r\n" + b"A: b\r\n" * 5000 + b"\r\n\r\n--xyz--\r\n", TYPE, 422, "broken"),
        (b"--xyz\r\nA: " + b"b" * 100_000, TYPE, 422, "broken"),
    ],
)
def test_other_forms_are_refused(body: bytes, content_type: str, status: int, reason: str) -> None:
    with pytest.raises(HTTPException, match=reason) as refused:
        picture_in_form(body, content_type)
    assert refused.value.status_code == status and "\n" not in refused.value.detail


@given(st.binary(max_size=300), st.binary(max_size=80), st.integers(0, 400))
def test_any_bytes_give_a_picture_or_a_refusal(data: bytes, noise: bytes, at: int) -> None:
    body = part(data) + b"--xyz--\r\n"
    for hostile in (data, body[:at], body[:at] + noise + body[at:], body[:at] + noise):
        with contextlib.suppress(HTTPException):
            picture, name = picture_in_form(hostile, TYPE)
            assert isinstance(picture, bytes) and name


@given(st.binary(max_size=200).filter(lambda data: b"--xyz" not in data))
def test_every_picture_comes_out_as_it_went_in(data: bytes) -> None:
    assert picture_in_form(part(data) + b"--xyz--\r\n", TYPE)[0] == data


@pytest.mark.parametrize("filler", [b"\r\n--xy", b"\r", b"\r\n-", b"--xyz", b"\r\n\r\n"])
def test_bodies_made_to_be_slow_are_not(filler: bytes) -> None:
    began = time.thread_time()
    with contextlib.suppress(HTTPException):
        picture_in_form(part(filler * ((2 << 20) // len(filler))) + b"--xyz--\r\n", TYPE)
    assert time.thread_time() - began < 5


@given(st.text(max_size=400))
def test_names_are_plain(name: str) -> None:
    plain = plain_name(name)
    assert 0 < len(plain) <= MAX_NAME and plain.isprintable() and not set(plain) & {"/", "\\"}


def test_names_that_are_paths() -> None:
    assert plain_name("../../etc/passwd") == "passwd" and plain_name("a\r\nb.png") == "ab.png"
    assert plain_name("") == plain_name("/") == "image"
