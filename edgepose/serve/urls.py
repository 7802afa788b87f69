"""Pictures from URLs: fetched from public addresses only, whatever the name, the redirect or the next look-up says."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network, ip_address
from urllib.parse import quote, unquote, urljoin, urlsplit

import h11
from fastapi import HTTPException

from edgepose.serve.body import plain_name

MAX_HOPS = 5
MAX_URL = 2048
REDIRECTS = (301, 302, 303, 307, 308)
_NAT64 = IPv6Network("64:ff9b::/96")  # how networks without IPv4 reach it: the address is in the last 32 bits
_UNICAST = IPv6Network("2000::/3")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def is_public(address: str) -> bool:
    """Whether an address is one of the open internet; no private, local, shared, reserved or multicast one is.

    IPv6 addresses that stand for an IPv4 address count as that one, and tunnels (6to4, Teredo) are never public.
    """
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip in _NAT64:
            return is_public(str(ip_address(int(ip) & 0xFFFFFFFF)))
        if ip.sixtofour is not None or ip.teredo is not None or ip.scope_id is not None or ip not in _UNICAST:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name. In a thread of its own: a look-up cannot be stopped, and must not delay the end."""
    found: Future[list[str]] = Future()
    found.set_running_or_notify_cancel()

    def look() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.set_result([str(answer[4][0]) for answer in answers])
        except (OSError, UnicodeError) as error:
            found.set_exception(OSError(str(error)))

    threading.Thread(target=look, name="edgepose-resolve", daemon=True).start()
    return await asyncio.wrap_future(found)


async def connect(address: str, port: int, name: str | None) -> Streams:
    """A connection to an address; over TLS, with a certificate for `name`, unless that is None."""
    context = None if name is None else ssl.create_default_context()
    return await asyncio.open_connection(address, port, ssl=context, server_hostname=name)


@dataclass(frozen=True)
class Fetcher:
    """fetcher(url) -> the bytes behind it and its file name, or an HTTPException that repeats nothing of the URL.

    body_bytes: at most, counted as they come
    seconds:    for everything, redirects too
    """

    body_bytes: int
    seconds: float
    resolve: Callable[[str, int], Awaitable[list[str]]] = resolve
    connect: Callable[[str, int, str | None], Awaitable[Streams]] = connect
    permitted: Callable[[str], bool] = is_public

    async def __call__(self, url: str) -> tuple[bytes, str]:
        try:
            return await asyncio.wait_for(self._follow(url), self.seconds)
        except asyncio.TimeoutError:
            raise HTTPException(504, f"the URL gave no picture within {self.seconds:g} s") from None
        except ssl.SSLError:
            raise HTTPException(502, "the URL's server has no valid certificate") from None
        except (OSError, EOFError):
            raise HTTPException(502, "the URL's server could not be reached") from None
        except h11.ProtocolError:
            raise HTTPException(502, "the URL's server does not speak HTTP as expected") from None

    async def _follow(self, url: str) -> tuple[bytes, str]:
        for _ in range(MAX_HOPS + 1):
            target = _Target.of(url)
            body, location = await self._get(target)
            if location is None:
                return body, plain_name(unquote(urlsplit(url).path))
            url = urljoin(url, location)
        raise HTTPException(502, f"the URL redirects more than {MAX_HOPS} times")

    async def _get(self, target: _Target) -> tuple[bytes, str | None]:
        """The body, or where it is instead."""
        addresses = await self.resolve(target.host, target.port)
        if not addresses or not all(self.permitted(address) for address in addresses):
            raise HTTPException(403, "the URL is not on the open internet: private and local addresses are refused")
        # The address that was checked, not the name: a second look-up could say something else.
        reader, writer = await self.connect(addresses[0], target.port, target.host if target.secure else None)
        try:
            return await self._exchange(target, reader, writer)
        finally:
            writer.transport.abort()

    async def _exchange(
        self, target: _Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[bytes, str | None]:
        http = h11.Connection(h11.CLIENT)
        headers = [("Host", target.authority), ("User-Agent", "edgepose"), ("Accept", "image/*"),
                   ("Accept-Encoding", "identity"), ("Connection", "close")]  # fmt: skip
        writer.write(http.send(h11.Request(method="GET", target=target.path, headers=headers)) or b"")
        writer.write(http.send(h11.EndOfMessage()) or b"")
        await writer.drain()
        body = bytearray()
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await reader.read(1 << 16))
            elif isinstance(event, h11.Response):
                location = _location(event)
                if location is not None:
                    return b"", location
            elif isinstance(event, h11.Data):
                body.extend(event.data)
                if len(body) > self.body_bytes:
                    detail = f"the picture behind the URL is too large: expected at most {self.body_bytes} bytes"
                    raise HTTPException(413, detail)
            elif isinstance(event, h11.EndOfMessage):
                return bytes(body), None


def _location(response: h11.Response) -> str | None:
    """Where a response sends us, None when it brings the picture itself."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
    if response.status_code in REDIRECTS and "location" in headers:
        return headers["location"]
    if response.status_code != 200:
        raise HTTPException(502, f"the URL's server answered {response.status_code}, expected 200 and a picture")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(502, "the URL's server sends a content encoding that was not asked for")
    return None


@dataclass(frozen=True)
class _Target:
    """A URL that may be asked for, taken apart."""

    secure: bool
    host: str
    port: int
    path: str  # with the query

    @staticmethod
    def of(url: str) -> _Target:
        """Raises 422 for everything that is not a plain http or https URL."""
        refusal = HTTPException(422, "expected an http or https URL of a picture, without a user name and password")
        if len(url) > MAX_URL or any(letter <= " " or letter == "\x7f" for letter in url) or "\\" in url:
            raise refusal
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
            if ":" not in host:
                host = host.encode("idna").decode("ascii")
        except (ValueError, UnicodeError):
            raise refusal from None
        if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
            raise refusal
        secure = parts.scheme == "https"
        port = (443 if secure else 80) if port is None else port
        if port < 1024 and port not in (80, 443):
            raise HTTPException(422, "expected a URL with port 80, 443 or one from 1024 up")
        safe = "/%:@!$&'()*+,;=~-._?"
        query = f"?{quote(parts.query, safe=safe)}" if parts.query else ""
        return _Target(secure, host, port, (quote(parts.path, safe=safe[:-1]) or "/") + query)

    @property
    def authority(self) -> str:
        """As the Host header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"
