"""Pictures from URLs: what is not on the open internet cannot be reached, by any road."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fastapi", reason="needs the serve extra")

from fastapi import HTTPException

from edgepose.serve.urls import MAX_HOPS, Fetcher, Streams, _Target, connect, is_public

PUBLIC = ("93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:8.8.8.8", "64:ff9b::808:808")
HIDDEN = (
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::7f00:1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:808:808::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "fe80::1", "fe80::1%eth0", "2606:2800::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1",
    "4000::1",
)  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_addresses_of_the_open_internet(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", HIDDEN)
def test_addresses_that_are_not(address: str) -> None:
    assert not is_public(address)


@given(st.ip_addresses(v=4))
def test_an_address_hides_in_no_other_form(address: object) -> None:
    number = int(address)  # type: ignore[call-overload]
    assert is_public(f"::ffff:{number >> 16:x}:{number & 0xFFFF:x}") == is_public(str(address))
    assert is_public(f"64:ff9b::{number >> 16:x}:{number & 0xFFFF:x}") == is_public(str(address))
    assert not is_public(f"2002:{number >> 16:x}:{number & 0xFFFF:x}::1")


@pytest.mark.parametrize(
    "url",
    [
        "", "photo.jpg", "//host/a", "ftp://host/a", "file:///etc/passwd", "gopher://host/", "data:image/png;base64,AA",
        "http://", "http:///a", "http://user@host/", "http://user:secret@host/a", "http://@host/", "http://ho st/",
        "http://host/a\r\nX: y", "http://host\\@evil/", "http://host:99999/", "http://host:abc/", "http://[::1/",
        "http://host:22/", "http://host:25/", "https://host:993/", "http://" + "a" * 3000, "http://..../", "\x00http://a",
    ],
)  # fmt: skip
def test_only_plain_urls_are_asked_for(url: str) -> None:
    with pytest.raises(HTTPException) as refused:
        _Target.of(url)
    assert refused.value.status_code == 422 and "secret" not in refused.value.detail


def test_urls_taken_apart() -> None:
    assert _Target.of("HTTP://Example.org") == _Target(False, "example.org", 80, "/")
    assert _Target.of("https://example.org:8443/a b".replace(" ", "%20") + "?q=1#f").path == "/a%20b?q=1"
    assert _Target.of("http://bücher.example/ü?ü").host == "xn--bcher-kva.example"
    assert _Target.of("http://bücher.example/ü?ü").path == "/%C3%BC?%C3%BC"
    assert _Target.of("http://[2606:2800::1]:8080/").authority == "[2606:2800::1]:8080"
    assert _Target.of("https://example.org:443/").authority == "example.org"


@given(st.text(max_size=60))
def test_any_text_is_a_url_or_refused(text: str) -> None:
    for url in (text, "http://" + text, "http://host/" + text):
        with contextlib.suppress(HTTPException):
            target = _Target.of(url)
            assert target.path.isascii() and target.path.isprintable() and " " not in target.path
            assert target.authority.isascii() and target.port in (80, 443, *range(1024, 65536))


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]).encode() + body


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def everybody_else() -> None:
    """Until no connection of this loop is in work: one that is left open when the loop ends is a warning."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)


class Web:
    """Names with addresses, and one local server that plays all of them; every look-up and connection is noted."""

    def __init__(self, names: dict[str, list[str]], pages: dict[str, bytes]) -> None:
        self.names, self.pages = names, pages
        self.looked: list[str] = []
        self.connected: list[str] = []
        self.asked: list[bytes] = []

    async def resolve(self, host: str, port: int) -> list[str]:
        self.looked.append(host)
        answers = self.names[host]
        return [answers.pop(0)] if len(answers) > 1 else answers

    async def connect(self, address: str, port: int, name: str | None) -> Streams:
        self.connected.append(address)
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):  # clients that go away are part of the tests
            request = await reader.readuntil(b"\r\n\r\n")
            self.asked.append(request)
            page = self.pages.get(request.split()[1].decode())
            if page is None:  # a server that says nothing
                await reader.read()
            else:
                writer.write(page)
        await closed(writer)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self.handle, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            await everybody_else()


def fetched(web: Web, url: str, most: int = 1000, seconds: float = 20) -> tuple[bytes, str]:
    async def scene() -> tuple[bytes, str]:
        async with web.serving():
            return await Fetcher(most, seconds, web.resolve, web.connect)(url)

    return asyncio.run(scene())


def refused(web: Web, url: str, status: int, **limits: int | float) -> str:
    with pytest.raises(HTTPException) as error:
        fetched(web, url, **limits)  # type: ignore[arg-type]
    assert error.value.status_code == status and "\n" not in error.value.detail
    return str(error.value.detail)


SITE = {"photos.example": ["93.184.215.14"]}


def test_a_picture_comes_with_its_name() -> None:
    web = Web(dict(SITE), {"/a/b%20c.png?key=secret": answer(b"picture")})
    assert fetched(web, "http://photos.example/a/b%20c.png?key=secret") == (b"picture", "b c.png")
    assert web.connected == ["93.184.215.14"]
    assert b"Host: photos.example\r\n" in web.asked[0] and b"ookie" not in web.asked[0]
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\npic\r\n0\r\n\r\n"
    assert fetched(Web(dict(SITE), {"/": chunked}), "http://photos.example")[0] == b"pic"
    assert fetched(Web(dict(SITE), {"/": b"HTTP/1.0 200 OK\r\n\r\nold"}), "http://photos.example")[0] == b"old"


@pytest.mark.parametrize("address", HIDDEN)
def test_names_of_hidden_addresses_are_refused_before_anything_is_sent(address: str) -> None:
    for addresses in ([address], ["93.184.215.14", address]):
        web = Web({"inside.example": []}, {})

        async def resolve(host: str, port: int, found: list[str] = addresses) -> list[str]:
            return found

        with pytest.raises(HTTPException, match="open internet") as error:
            asyncio.run(replace(Fetcher(100, 20, connect=web.connect), resolve=resolve)("http://inside.example/"))
        assert error.value.status_code == 403 and not web.connected


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "0x7f.0.0.1", "2130706433", "017700000001", "[::1]", "[::ffff:127.0.0.1]", "0"]
)
def test_spellings_of_this_machine_are_refused(host: str) -> None:
    async def never(address: str, port: int, name: str | None) -> Streams:
        raise AssertionError(f"connected to {address}")

    with pytest.raises(HTTPException) as error:
        asyncio.run(Fetcher(100, 20, connect=never)(f"http://{host}:8000/"))
    assert error.value.status_code in (403, 502)  # refused, or no address at all where the system knows no such form


def test_the_address_that_was_checked_is_the_one_connected_to() -> None:
    web = Web({"rebinding.example": ["93.184.215.14", "127.0.0.1"]}, {"/": answer(b"picture")})
    assert fetched(web, "http://rebinding.example/")[0] == b"picture"
    assert web.looked == ["rebinding.example"] and web.connected == ["93.184.215.14"], "one look-up, one address"


def test_every_hop_of_a_redirect_is_checked_again() -> None:
    def to(where: str, status: str = "302 Found") -> bytes:
        return answer(b"", status, f"Location: {where}")

    web = Web(dict(SITE), {"/a": to("/b", "307 Temporary Redirect"), "/b": answer(b"picture")})
    assert fetched(web, "http://photos.example/a") == (b"picture", "b")
    inside = dict(SITE, inside=["169.254.169.254"])
    assert "open internet" in refused(Web(inside, {"/": to("http://inside/")}), "http://photos.example/", 403)
    web = Web({"photos.example": ["93.184.215.14", "10.0.0.1"]}, {"/": to("/again")})
    refused(web, "http://photos.example/", 403)
    assert web.connected == ["93.184.215.14"]
    for where in ("file:///etc/passwd", "http://user:secret@photos.example/"):
        web = Web(dict(SITE), {"/": to(where)})
        assert "expected an http" in refused(web, "http://photos.example/", 422)
    web = Web(dict(SITE), {"/": to("/")})
    assert "redirects more than" in refused(web, "http://photos.example/", 502)
    assert len(web.connected) == MAX_HOPS + 1


@pytest.mark.parametrize(
    ("page", "status", "reason"),
    [
        (answer(b"x" * 1001), 413, "too large"),
        (b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 1001, 413, "too large"),
        (answer(b"", "404 Not Found"), 502, "answered 404"),
        (answer(b"", "302 Found"), 502, "answered 302"),
        (answer(b"", "200 OK", "Content-Encoding: gzip"), 502, "encoding"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", 502, "does not speak HTTP"),
        (b"", 502, "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", 502, "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000, 502, "does not speak HTTP"),
    ],
)
def test_bad_answers_are_sentences(page: bytes, status: int, reason: str) -> None:
    assert reason in refused(Web(dict(SITE), {"/?key=secret": page}), "http://photos.example/?key=secret", status)


def test_a_server_that_says_nothing_is_given_up() -> None:
    assert "within 0.05 s" in refused(Web(dict(SITE), {}), "http://photos.example/", 504, seconds=0.05)


def test_names_and_servers_that_are_not_there() -> None:
    async def nobody(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    async def closed(address: str, port: int, name: str | None) -> Streams:
        raise ConnectionRefusedError(f"cannot reach {address}")

    web = Web(dict(SITE), {})
    for fetcher in (Fetcher(9, 9, resolve=nobody), Fetcher(9, 9, web.resolve, closed)):
        with pytest.raises(HTTPException, match="could not be reached") as error:
            asyncio.run(fetcher("http://photos.example/?key=secret"))
        assert error.value.status_code == 502 and "secret" not in error.value.detail


def test_https_is_spoken_under_the_name_of_the_url() -> None:
    """The local server speaks no TLS at all, so the handshake fails, as with a certificate that is not the name's."""

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"no TLS here " * 9)
        with contextlib.suppress(OSError):
            await reader.read()
        await closed(writer)

    async def scene() -> None:
        server = await asyncio.start_server(babble, "127.0.0.1", 0)

        async def there(address: str, port: int, name: str | None) -> Streams:
            assert (address, port, name) == ("93.184.215.14", 443, "photos.example")
            return await connect("127.0.0.1", server.sockets[0].getsockname()[1], name)

        try:
            await Fetcher(9, 20, Web(dict(SITE), {}).resolve, there)("https://photos.example/")
        finally:
            server.close()
            await everybody_else()

    with pytest.raises(HTTPException, match="no valid certificate") as error:
        asyncio.run(scene())
    assert error.value.status_code == 502
