"""Frames over a WebSocket: identities, the newest only, and every way it ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgepose.runtime.estimator import Estimator
from edgepose.serve.limits import Limits
from tests.runtime import blobs
from tests.runtime.small import BrightSpot
from tests.serve.serving import FRAMES, Broken, Clock, Gate, encoded, metric, serving
from tests.serve.test_app import PNG, huge_png

pytest.importorskip("fastapi", reason="needs the serve extra")

from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from edgepose.serve import frames
from edgepose.serve.app import create_app
from edgepose.serve.frames import Inbox


def spot(x: int, y: int) -> bytes:
    """A picture with one bright spot, which is where the network sees everything."""
    image = np.zeros((120, 160, 3), np.uint8)
    image[y - 2 : y + 3, x - 2 : x + 3] = 255
    return encoded(image=image)


def test_frames_are_answered_with_identities_and_times() -> None:
    clock = Clock()
    app = create_app(Estimator(BrightSpot()), clock=clock)
    with TestClient(app, base_url="http://localhost") as client, client.websocket_connect(FRAMES) as socket:
        answers = []
        for _ in range(3):
            socket.send_bytes(spot(40, 60))
            answers.append(socket.receive_json())
            clock.now += 0.1
        assert [answer["frame"] for answer in answers] == [0, 1, 2]
        assert [answer["time"] for answer in answers] == pytest.approx([0, 0.1, 0.2])
        assert {answer["people"][0]["id"] for answer in answers} == {answers[0]["people"][0]["id"]}
        assert answers[0]["people"][0]["id"] is not None
        assert all(answer["source"] == "frames" and answer["dropped"] == 0 for answer in answers)
        single = client.post("/predict", content=spot(40, 60), headers=PNG).json()
        assert set(answers[0]) == {*single, "dropped"}


def test_the_detector_does_not_run_in_every_frame() -> None:
    whole, finder, shape = blobs.estimator()
    clock = Clock()
    with TestClient(create_app(whole, clock=clock), base_url="http://localhost") as client:
        with client.websocket_connect(FRAMES) as socket:
            answers = []
            for i in range(20):
                socket.send_bytes(encoded(image=blobs.scene((100 + i, 100))))
                answers.append(socket.receive_json()["people"])
                clock.now += 0.03
        assert metric(client, "edgepose_people_total") == 20
    assert [[person["id"] for person in people] for people in answers] == [[1]] * 20
    assert 1 < finder.calls < 8 and sum(shape.batches) == 20


def test_every_connection_has_a_tracker_of_its_own() -> None:
    with serving() as client, client.websocket_connect(FRAMES) as one, client.websocket_connect(FRAMES) as other:
        first = []
        for socket in (one, other):
            socket.send_bytes(spot(40, 60))
            first.append(socket.receive_json()["people"][0]["id"])
        assert first[0] == first[1]


def test_a_slow_model_sees_the_newest_frame_only() -> None:
    gate = Gate()
    with serving(gate) as client:
        with client.websocket_connect(FRAMES) as socket:
            socket.send_bytes(spot(10, 10))
            assert gate.entered.acquire(timeout=120)
            for x in range(20, 120, 10):
                socket.send_bytes(spot(x, 60))
            while metric(client, "edgepose_frames_received_total") < 11:
                pass
            gate.released.release(2)
            first, newest = socket.receive_json(), socket.receive_json()
            assert (first["frame"], newest["frame"], newest["dropped"]) == (0, 10, 9)
            assert newest["people"][0]["keypoints"][0][0] == pytest.approx(110, abs=4)
            assert metric(client, "edgepose_frames_dropped_total") == 9
            socket.send_bytes(spot(10, 10))  # a frame that nobody waits for when the connection ends
            gate.released.release(9)
        while metric(client, "edgepose_connections"):
            pass
        answered = metric(client, "edgepose_frames_answered_total")
        assert metric(client, "edgepose_frames_received_total") == 12
        assert answered + metric(client, "edgepose_frames_dropped_total") == 12


def ends(socket: Any, code: int, reason: str) -> None:
    with pytest.raises(WebSocketDisconnect) as end:
        socket.receive_json()
    assert end.value.code == code and reason in end.value.reason, end.value.reason
    assert len(end.value.reason.encode()) <= 123 and "\n" not in end.value.reason


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ("a text", 1003, "expected binary messages"),
        (b"", 1007, "is empty"),
        (b"no picture", 1007, "is not a picture"),
        (b"\0\0\0\x1cftypheic\0\0\0\0mif1heic", 1003, "send a JPEG"),
        (spot(9, 9)[:-9], 1007, "is damaged"),
        (huge_png(50_000, 50_000), 1009, "is too large"),
        (b"x" * 5001, 1009, "at most 5000 bytes"),
    ],
)
def test_other_messages_end_the_connection_with_a_reason(message: str | bytes, code: int, reason: str) -> None:
    with serving(body_bytes=5000) as client:
        with client.websocket_connect(FRAMES) as socket:
            if isinstance(message, str):
                socket.send_text(message)
            else:
                socket.send_bytes(message)
            ends(socket, code, reason)
        with client.websocket_connect(FRAMES) as socket:  # the place is free again
            socket.send_bytes(spot(9, 9))
            assert socket.receive_json()["frame"] == 0


def test_more_connections_than_places_are_denied() -> None:
    with serving(connections=1) as client:
        with client.websocket_connect(FRAMES):
            with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect(FRAMES):
                pass
            assert denied.value.status_code == 503 and denied.value.headers["retry-after"] == "1"
            assert denied.value.json()["detail"].startswith("busy with 1 connections")
        while metric(client, "edgepose_connections"):
            pass
        with client.websocket_connect(FRAMES):
            pass


def test_a_frame_that_takes_too_long_ends_the_connection() -> None:
    gate = Gate()
    with serving(gate, seconds=0.05) as client:
        with client.websocket_connect(FRAMES) as socket:
            socket.send_bytes(spot(9, 9))
            ends(socket, 1013, "no answer within 0.05 s")
        gate.released.release(9)


def test_a_silent_connection_is_ended() -> None:
    with serving(idle=0.05) as client, client.websocket_connect(FRAMES) as socket:
        ends(socket, 1000, "no frame for 0.05 s")


def test_a_failure_says_nothing_of_the_inside() -> None:
    with serving(Broken()) as client, client.websocket_connect(FRAMES) as socket:
        socket.send_bytes(spot(9, 9))
        ends(socket, 1011, "the server failed on this frame; its log says why")


def test_a_rate_paces_the_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pauses = Clock(), []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock.now += seconds

    monkeypatch.setattr(frames, "sleep", sleep)
    app = create_app(Estimator(BrightSpot()), Limits(rate=2), clock=clock)
    with TestClient(app, base_url="http://localhost") as client, client.websocket_connect(FRAMES) as socket:
        for _ in range(5):  # the handshake took one of the burst of two
            socket.send_bytes(spot(9, 9))
            socket.receive_json()
    assert len(pauses) == 4 and sum(pauses) == pytest.approx(2.0)


def test_a_client_that_goes_in_the_middle_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    with serving(gate) as client:
        with client.websocket_connect(FRAMES) as socket:
            socket.send_bytes(spot(9, 9))
            assert gate.entered.acquire(timeout=120)
        while metric(client, "edgepose_connections"):
            pass
        gate.released.release(9)
        assert client.post("/predict", content=spot(9, 9), headers=PNG).status_code == 200
        assert metric(client, "edgepose_frames_dropped_total") == 1
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_times_rise_even_where_the_clock_stands() -> None:
    inbox = Inbox(Clock())
    times = []
    for _ in range(5):
        inbox.put(b"x")
        times.append(inbox.take()[1])
    assert times == sorted(set(times)) and times[0] == 0
    assert (inbox.received, inbox.dropped) == (5, 0)
