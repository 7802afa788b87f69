"""What a server accepts, how much, and from whom; what is refused is an HTTPException with one sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from time import monotonic

from fastapi import HTTPException

from edgepose.media.images import MAX_PIXELS

MIN_TOKEN = 16  # characters: with fewer, guessing pays
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1: what a header can carry unchanged


@dataclass(frozen=True)
class Limits:
    """How much is accepted.

    body_bytes:  of a request and of a WebSocket message
    pixels:      of a picture, as its header says
    concurrency: requests at one time, from the last byte of the body to the answer; and as many full bodies are held
    connections: WebSockets at one time; each has at most one frame in work and one waiting
    rate:        requests and frames per second of one client, in bursts of at most a second's; 0: as many as come
    seconds:     for a request's head, for its body, and for its answer, each
    idle:        seconds without a frame after which a WebSocket is closed
    """

    body_bytes: int = 16 << 20
    pixels: int = MAX_PIXELS
    concurrency: int = 8
    connections: int = 8
    rate: float = 0.0
    seconds: float = 30.0
    idle: float = 60.0

    def __post_init__(self) -> None:
        for name in ("body_bytes", "pixels", "concurrency", "connections", "seconds", "idle"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a positive number")
        if not 0 <= self.rate < math.inf:
            raise ValueError(f"rate is {self.rate}, expected requests per second, or 0 for no limit")


@dataclass(frozen=True)
class Access:
    """Who may use the server.

    token:   what every request for people must bring (`Authorization: Bearer ...`); None: nothing
    origins: addresses of other sites whose pages may use the server, such as "https://example.org"; "*" is all
    hosts:   names under which the server is reached, beside localhost and IP addresses; "*" is all
    """

    token: str | None = field(default=None, repr=False)
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.token is not None and (len(self.token) < MIN_TOKEN or not _TOKEN.fullmatch(self.token)):
            raise ValueError(f"the token does not fit: expected {MIN_TOKEN} or more of A-Z a-z 0-9 - . _ ~ + / =")
        for origin in self.origins:
            scheme, _, host = origin.partition("://")
            if origin not in ("*", "null") and (scheme not in ("http", "https") or not host or "/" in host):
                raise ValueError(f"{origin!r} is no origin, expected one such as https://example.org, without a path")


class Slots:
    """So many at a time, for use on one event loop: `with slots:` inside, or 503 when all are taken."""

    def __init__(self, count: int, what: str) -> None:
        self.count, self.what, self.taken = count, what, 0

    def check(self) -> None:
        """503 when all are taken."""
        if self.taken >= self.count:
            raise HTTPException(503, f"busy with {self.taken} {self.what}, try again shortly", {"Retry-After": "1"})

    @contextmanager
    def one(self) -> Iterator[None]:
        """A place for the time of the block."""
        self.check()
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


class Space:
    """Bytes of bodies that are held at one time, for use on one event loop."""

    def __init__(self, most: int) -> None:
        self.most, self.used = most, 0

    def take(self, count: int) -> None:
        """So many bytes more, or 503 where there is no room; who takes them gives them back."""
        if self.used + count > self.most:
            raise HTTPException(503, "busy with other pictures, try again shortly", {"Retry-After": "1"})
        self.used += count

    def give_back(self, count: int) -> None:
        """So many bytes less."""
        self.used -= count


class Rate:
    """Token buckets: each client may do `rate` things a second, and a second's worth at once after a pause."""

    MOST = 10_000  # clients remembered

    def __init__(self, rate: float, clock: Callable[[], float] = monotonic) -> None:
        self.rate, self.clock = rate, clock
        self._buckets: dict[str, tuple[float, float]] = {}  # client -> things it may do, and when that was counted

    def wait(self, client: str) -> float:
        """0 when the client may go on, which counts; otherwise the seconds until it may."""
        if self.rate == 0:
            return 0.0
        now, full = self.clock(), max(1.0, self.rate)
        left, then = self._buckets.pop(client, (full, now))
        left = min(full, left + (now - then) * self.rate)
        allowed = left >= 1 - 1e-9
        self._buckets[client] = (left - 1 if allowed else left, now)
        if len(self._buckets) > self.MOST:  # the one seen longest ago; buckets are in the order of their last use
            del self._buckets[next(iter(self._buckets))]
        return 0.0 if allowed else (1 - left) / self.rate

    def check(self, client: str) -> None:
        """Raises 429 for a client that is too quick."""
        seconds = self.wait(client)
        if seconds > 0:
            detail = f"too many requests: at most {self.rate:g} per second, try again in {seconds:.1f} s"
            raise HTTPException(429, detail, {"Retry-After": str(math.ceil(seconds))})


def client_of(host: str | None) -> str:
    """Whom a rate is counted for: an IPv4 address, or the /64 network that one IPv6 customer usually has."""
    try:
        address = ip_address((host or "").partition("%")[0])
    except ValueError:
        return host or "unknown"
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(getattr(address, "ipv4_mapped", None) or address)
