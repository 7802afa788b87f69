"""Settings are checked; slots and rates count right."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fastapi", reason="needs the serve extra")

from fastapi import HTTPException

from edgepose.serve.limits import Access, Limits, Rate, Slots, client_of
from tests.serve.serving import Clock


@pytest.mark.parametrize("name", ["body_bytes", "pixels", "concurrency", "connections", "seconds", "idle"])
@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_a_limit_is_a_positive_number(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is .*, expected a positive number"):
        Limits(**{name: value})  # type: ignore[arg-type]


def test_a_rate_may_be_nothing_but_not_less() -> None:
    assert Limits(rate=0).rate == 0
    for value in (-1, math.inf, math.nan):
        with pytest.raises(ValueError, match="rate is"):
            Limits(rate=value)


def test_tokens_are_long_and_never_shown() -> None:
    assert "correct-horse" not in repr(Access(token="correct-horse-battery"))
    for token in ("", "xq9", "tab\tin-a-token-of-letters", "a token with spaces", "tokenwithünicode", "=" * 20):
        with pytest.raises(ValueError, match="expected 16 or more") as error:
            Access(token=token)
        assert not token or token not in str(error.value)


@pytest.mark.parametrize("origin", ["example.org", "https://", "https://example.org/", "ftp://example.org"])
def test_an_origin_has_a_scheme_and_no_path(origin: str) -> None:
    with pytest.raises(ValueError, match="is no origin"):
        Access(origins=(origin,))


def test_slots_are_given_back_whatever_happens() -> None:
    slots = Slots(1, "requests")
    with slots.one(), pytest.raises(HTTPException) as refused, slots.one():
        pass
    assert refused.value.status_code == 503 and refused.value.headers == {"Retry-After": "1"}
    with pytest.raises(KeyError), slots.one():
        raise KeyError
    assert slots.taken == 0


def test_a_client_may_do_so_many_things_and_then_waits() -> None:
    clock = Clock()
    rate = Rate(2.0, clock)
    assert [rate.wait("a") for _ in range(3)] == [0, 0, 0.5]
    assert rate.wait("b") == 0, "another client is not concerned"
    clock.now += 0.25
    assert rate.wait("a") == pytest.approx(0.25)
    clock.now += 0.25
    assert rate.wait("a") == 0
    clock.now += 1000
    assert [rate.wait("a") for _ in range(3)] == [0, 0, 0.5], "a pause saves up a second's worth, not more"
    assert all(Rate(0.0, clock).wait("a") == 0 for _ in range(1000))


@given(st.floats(0.1, 50), st.lists(st.floats(0, 3), max_size=60))
def test_never_more_than_the_rate_and_one_burst(per_second: float, pauses: list[float]) -> None:
    clock = Clock()
    rate, done, start = Rate(per_second, clock), 0, clock.now
    for pause in pauses:
        clock.now += pause
        done += rate.wait("a") == 0
    assert done <= (clock.now - start) * per_second + max(1, per_second) + 1e-6


def test_the_clients_seen_longest_ago_are_forgotten() -> None:
    rate = Rate(1.0, Clock())
    rate.MOST = 3  # type: ignore[misc]
    for client in "abcd":
        rate.wait(client)
    assert rate.wait("d") > 0 and rate.wait("b") > 0
    assert rate.wait("a") == 0 and len(rate._buckets) == 3


def test_whom_a_rate_is_counted_for() -> None:
    assert client_of("192.0.2.7") == client_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert client_of("2001:db8:1:2:aaaa::1") == client_of("2001:db8:1:2:bbbb::2") != client_of("2001:db8:1:3::1")
    assert client_of("fe80::1%eth0") == "fe80::"
    assert client_of("testclient") == "testclient" and client_of(None) == "unknown"
