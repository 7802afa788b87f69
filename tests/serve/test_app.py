"""Every route, every status, every limit of a request."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgepose.media.results import Result, as_dict
from edgepose.poses import Poses
from edgepose.runtime.estimator import Estimator
from edgepose.serve.limits import Access, Limits
from edgepose.skeleton import BOX
from tests.runtime.small import BrightSpot, picture
from tests.serve.serving import DECODERS, FRAMES, Broken, Clock, Gate, encoded, metric, serving

pytest.importorskip("fastapi", reason="needs the serve extra")

from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse

from edgepose.serve.app import PAGE, ROUTES, create_app

TOKEN = "correct-horse/battery+staple~~=="
PNG = {"content-type": "image/png"}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with serving() as client:
        yield client


def expected(source: str) -> dict[str, Any]:
    image = picture()
    return as_dict(Result(source, 0, None, 160, 120, Estimator(BrightSpot())(image)))


def huge_png(width: int, height: int) -> bytes:
    """A file of a few bytes that claims to be enormous."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_picture_gives_the_json_of_predict(client: TestClient) -> None:
    data = encoded()
    for body in (
        {"content": data, "headers": PNG},
        {"content": data, "headers": {"content-type": "application/octet-stream"}},
        {"content": data, "headers": {"content-type": "IMAGE/PNG; charset=binary"}},
        {"content": iter([data[:100], data[100:]]), "headers": PNG},  # chunked
    ):
        response = client.post("/predict", **body)  # type: ignore[arg-type]
        assert response.status_code == 200 and response.headers["content-type"] == "application/json"
        assert response.json() == expected("image")
    for field in ("image", "file"):
        response = client.post("/predict", files={field: ("../me/photo.png", data, "image/png")})
        assert response.status_code == 200 and response.json() == expected("photo.png")


def test_an_empty_picture_of_people_is_an_answer() -> None:
    estimator = Estimator(BrightSpot(), lambda image: Poses.nobody(BOX))
    with TestClient(create_app(estimator), base_url="http://localhost") as client:
        response = client.post("/predict", content=encoded(), headers=PNG)
        assert response.status_code == 200 and response.json()["people"] == []


@pytest.mark.parametrize(
    ("content", "kind", "status", "reason"),
    [
        (b"", "image/png", 422, "is empty"),
        (b"no picture", "image/png", 422, "is not a picture"),
        (encoded()[:-20], "image/png", 422, "is damaged"),
        (encoded(".jpg")[:200], "image/jpeg", 422, "is damaged"),
        (encoded(), None, 415, "expected a picture"),
        (encoded(), "text/html", 415, "expected a picture"),
        (encoded(), "image/svg+xml", 415, "expected a picture"),
        (encoded(), "application/x-www-form-urlencoded", 415, "expected a picture"),
        (b"not a form", "multipart/form-data; boundary=x", 422, "form is broken"),
        (b"not a form", "multipart/form-data", 422, "no boundary"),
        (b'{"url": "http://example.org/a.png"}', "application/json", 403, "send the bytes of the picture itself"),
        (b"\0\0\0\x1cftypheic\0\0\0\0mif1heic", "application/octet-stream", 415, "send a JPEG"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "image/jpeg", 415, "send a JPEG"),
        (huge_png(50_000, 50_000), "image/png", 413, "its header says 50000 x 50000"),
    ],
)
def test_other_bodies_are_refused_in_one_line(
    client: TestClient, content: bytes, kind: str | None, status: int, reason: str
) -> None:
    response = client.post("/predict", content=content, headers={"content-type": kind} if kind else {})
    assert response.status_code == status, response.text
    assert list(response.json()) == ["detail"] and reason in response.json()["detail"]
    assert "\n" not in response.json()["detail"] and "Traceback" not in response.text


def test_an_encoded_body_is_refused(client: TestClient) -> None:
    response = client.post("/predict", content=encoded(), headers={**PNG, "content-encoding": "gzip"})
    assert response.status_code == 415 and "content encoding" in response.json()["detail"]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=200),
    st.sampled_from(["image/png", "application/octet-stream", "multipart/form-data; boundary=x", "application/json"]),
    st.booleans(),
    st.integers(0, 500),
)
def test_any_body_is_answered(client: TestClient, data: bytes, kind: str, start: bool, at: int) -> None:
    """Noise, and pictures with noise in them: an answer or a sentence, never a failure."""
    content = encoded(".jpg")[:at] + data if start else data
    response = client.post("/predict", content=content, headers={"content-type": kind})
    assert response.status_code in (200, 403, 415, 422), response.text
    assert response.status_code == 200 or isinstance(response.json()["detail"], str)


def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    data = encoded()
    with serving(body_bytes=len(data)) as client:
        assert client.post("/predict", content=data, headers=PNG).status_code == 200
        response = client.post("/predict", content=data + b"!", headers=PNG)
        assert response.status_code == 413 and f"at most {len(data)} bytes" in response.json()["detail"]


def asgi(client: TestClient, messages: list[dict[str, Any]], *headers: tuple[str, str]) -> tuple[int, str, int]:
    """A request, message by message -> (status, detail, how many messages were read)."""
    sent: list[dict[str, Any]] = []
    given = iter(messages)
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        message = next(given, None)
        if message is None:
            import asyncio

            await asyncio.get_running_loop().create_future()  # a client that says nothing more
        assert message is not None
        return message

    async def send(message: Any) -> None:
        sent.append(message)

    all_headers = [("host", "localhost"), ("content-type", "image/png"), *headers]
    scope = {
        "type": "http", "method": "POST", "path": "/predict", "raw_path": b"/predict", "query_string": b"",
        "http_version": "1.1", "scheme": "http", "root_path": "", "client": ("192.0.2.1", 1),
        "server": ("localhost", 80), "headers": [(name.encode(), value.encode()) for name, value in all_headers],
    }  # fmt: skip
    portal = client.portal
    assert portal is not None
    portal.call(client.app, scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])["detail"], read


def chunk(data: bytes) -> dict[str, Any]:
    return {"type": "http.request", "body": data, "more_body": True}


def test_how_much_of_a_large_body_is_read() -> None:
    with serving(body_bytes=1000) as client:
        status, _, read = asgi(client, [chunk(b"x" * 400)] * 50)
        assert (status, read) == (413, 3), "a chunked body is cut off at the limit"
        status, _, read = asgi(client, [chunk(b"x" * 400)] * 50, ("content-length", "20000"))
        assert (status, read) == (413, 0), "one that states its length is not read at all"


def test_a_body_that_stops_or_does_not_come() -> None:
    with serving(seconds=0.05) as client:
        status, detail, _ = asgi(client, [chunk(b"x")])
        assert status == 408 and "did not come within 0.05 s" in detail
    with serving() as client:
        status, detail, _ = asgi(client, [chunk(b"x"), {"type": "http.disconnect"}])
        assert status == 400 and "ended early" in detail
        assert metric(client, 'edgepose_requests_total{route="/predict",status="400"}') == 1


def test_pixels_are_counted_before_decoding() -> None:
    with serving(pixels=160 * 120) as client:
        assert client.post("/predict", content=encoded(), headers=PNG).status_code == 200
    with serving(pixels=160 * 120 - 1) as client:
        response = client.post("/predict", content=encoded(), headers=PNG)
        assert response.status_code == 413 and "its header says 160 x 120" in response.json()["detail"]
        assert metric(client, "edgepose_inference_seconds_count") == 0


def test_more_requests_than_places_get_503_at_once() -> None:
    gate = Gate()
    with serving(gate, concurrency=2) as client, ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(client.post, "/predict", content=encoded(), headers=PNG) for _ in range(2)]
        assert gate.entered.acquire(timeout=120)
        while metric(client, "edgepose_waiting") < 1:  # the second one has come in
            pass
        response = client.post("/predict", content=encoded(), headers=PNG)
        assert response.status_code == 503 and response.headers["retry-after"] == "1"
        assert "busy with 2 requests" in response.json()["detail"]
        assert metric(client, "edgepose_requests_in_flight") == 3, "these two, and /metrics itself"
        assert client.get("/healthz").status_code == 200, "the event loop is free"
        gate.released.release(2)
        assert [future.result(120).status_code for future in waiting] == [200, 200]
        gate.released.release()
        assert client.post("/predict", content=encoded(), headers=PNG).status_code == 200, "the places are free again"


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    gate = Gate()
    with serving(gate, seconds=2.0) as client:
        response = client.post("/predict", content=encoded(), headers=PNG)
        assert response.status_code == 504 and "no answer within 2 s" in response.json()["detail"]
        gate.released.release(9)
        assert metric(client, 'edgepose_requests_total{route="/predict",status="504"}') == 1


def test_each_client_has_its_rate() -> None:
    clock = Clock()
    app = create_app(Estimator(BrightSpot()), Limits(rate=2), clock=clock)
    with TestClient(app, base_url="http://localhost") as client:
        codes = [client.post("/predict", content=encoded(), headers=PNG).status_code for _ in range(3)]
        assert codes == [200, 200, 429]
        response = client.post("/predict", content=encoded(), headers=PNG)
        assert response.headers["retry-after"] == "1" and "at most 2 per second" in response.json()["detail"]
        with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect(FRAMES):
            pass
        assert denied.value.status_code == 429
        assert client.get("/metrics").status_code == 200, "figures are not limited"
        clock.now += 1
        assert client.post("/predict", content=encoded(), headers=PNG).status_code == 200


def test_failures_say_nothing_of_the_inside() -> None:
    with serving(Broken()) as client:
        response = client.post("/predict", content=encoded(), headers=PNG)
        assert response.status_code == 500 and "secret" not in response.text and "Traceback" not in response.text
        assert response.json() == {"detail": "the server failed on this request; its log says why"}
        assert response.headers["x-content-type-options"] == "nosniff"
        assert metric(client, 'edgepose_requests_total{route="/predict",status="500"}') == 1


@pytest.mark.parametrize("path", sorted(ROUTES - {"/frames", "/predict"}))
def test_every_route_answers_with_its_headers(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "unsafe" not in response.headers["content-security-policy"]
    assert response.headers["x-frame-options"] == "DENY" and response.headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in response.headers and "server" not in response.headers


def test_the_page_needs_nothing_from_elsewhere(client: TestClient) -> None:
    for path, (_, kind) in PAGE.items():
        response = client.get(path)
        assert response.headers["content-type"].startswith(kind)
        text = response.text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text and "https://" not in text and "innerHTML" not in text
        assert "<style" not in text and " style=" not in text and " onclick=" not in text


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), ("/static/preview.html", 404), ("/../app.py", 404),
                                              ("/docs", 404), ("/predict", 405), ("/frames", 404)])  # fmt: skip
def test_other_paths_are_refused(client: TestClient, path: str, status: int) -> None:
    response = client.get(path)
    assert response.status_code == status and list(response.json()) == ["detail"]


def test_the_description_tells_bodies_and_refusals(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    predict = described["paths"]["/predict"]["post"]
    assert {"image/jpeg", "multipart/form-data"} <= predict["requestBody"]["content"].keys()
    assert "application/json" not in predict["requestBody"]["content"], "URLs are not taken"
    assert {"200", "401", "413", "415", "422", "429", "503", "504"} <= predict["responses"].keys()
    answer = client.post("/predict", content=encoded(), headers=PNG).json()
    schemas = described["components"]["schemas"]
    assert set(schemas["Frame"]["properties"]) == set(answer)
    assert set(schemas["Person"]["properties"]) == set(answer["people"][0])
    model = client.get("/model").json()
    assert set(schemas["Model"]["properties"]) == set(model)
    assert model["skeleton"]["names"][0] == "nose" and [15, 13] in model["skeleton"]["limbs"]
    assert "/frames" in described["info"]["description"]


def test_metrics_count_what_happened() -> None:
    with serving() as client:
        for _ in range(3):
            client.post("/predict", content=encoded(), headers=PNG)
        client.post("/predict", content=b"", headers=PNG)
        client.get("/some/path/nobody/knows")
        response = client.get("/metrics")
        assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert metric(client, 'edgepose_requests_total{route="/predict",status="200"}') == 3
        assert metric(client, 'edgepose_requests_total{route="/predict",status="422"}') == 1
        assert metric(client, 'edgepose_requests_total{route="other",status="404"}') == 1
        assert metric(client, 'edgepose_request_seconds_count{route="/predict"}') == 4
        assert metric(client, "edgepose_inference_seconds_count") == metric(client, "edgepose_people_total") == 3
        assert 'model="small-pose"' in response.text and 'skeleton="coco"' in response.text
        assert "some/path" not in response.text, "labels are not the client's to choose"


def test_two_servers_count_apart() -> None:
    with serving() as one, serving() as other:
        one.post("/predict", content=encoded(), headers=PNG)
        assert metric(one, "edgepose_people_total") == 1 and metric(other, "edgepose_people_total") == 0


def test_health_is_lost_when_a_picture_hangs() -> None:
    gate, clock = Gate(), Clock()
    app = create_app(Estimator(gate), Limits(seconds=15), clock=clock)
    with TestClient(app, base_url="http://localhost") as client, ThreadPoolExecutor(1) as pool:
        assert client.get("/healthz").json() == {"status": "ok"}
        hanging = pool.submit(client.post, "/predict", content=encoded(), headers=PNG)
        assert gate.entered.acquire(timeout=120)
        clock.now += 14
        assert client.get("/healthz").status_code == 200
        clock.now += 2
        response = client.get("/healthz")
        assert response.status_code == 503 and "one picture for 16 s" in response.json()["detail"]
        gate.released.release()
        assert hanging.result(120).status_code == 200
        assert client.get("/healthz").status_code == 200


def test_a_token_is_asked_for() -> None:
    with serving(access=Access(token=TOKEN)) as client:
        right = {"authorization": b"Bearer " + TOKEN.encode()}
        for path in ("/model", "/metrics", "/openapi.json"):
            response = client.get(path)
            assert response.status_code == 401 and response.headers["www-authenticate"] == "Bearer"
            assert client.get(path, headers=right).status_code == 200
        for path in (*PAGE, "/healthz"):
            assert client.get(path).status_code == 200, "the page must load before it can ask for the token"
        for wrong in ("", "Bearer", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", f"Basic {TOKEN}", b"Bearer \xfc"):
            response = client.post("/predict", content=encoded(), headers={**PNG, "authorization": wrong})
            assert response.status_code == 401 and "correct" not in response.text
        assert client.post("/predict", content=encoded(), headers={**PNG, **right}).status_code == 200


def test_browsers_bring_the_token_as_a_protocol() -> None:
    text = base64.urlsafe_b64encode(TOKEN.encode()).decode().rstrip("=")
    with serving(access=Access(token=TOKEN)) as client:
        with client.websocket_connect(FRAMES, subprotocols=["edgepose", f"bearer.{text}"]) as socket:
            assert socket.accepted_subprotocol == "edgepose", "the token is not sent back"
        with client.websocket_connect(FRAMES, headers={"authorization": b"Bearer " + TOKEN.encode()}):
            pass
        for wrong in ("other", "bearer.", "bearer.!", "bearer.QUJD"):
            given = ["edgepose", wrong]
            with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect(FRAMES, given):
                pass
            assert denied.value.status_code == 401


@pytest.mark.parametrize(
    ("host", "origin", "allowed"),
    [
        ("localhost:8000", None, True),
        ("127.0.0.1:8000", None, True),
        ("[::1]:8000", None, True),
        ("192.168.1.5", None, True),
        ("app.localhost", None, True),
        ("LOCALHOST.:8000", None, True),
        ("named.example:8000", None, True),
        ("evil.example", None, False),
        ("localhost.evil.example", None, False),
        ("127.0.0.1.evil.example", None, False),
        ("", None, False),
        ("[::1", None, False),
        ("localhost:8000", "http://localhost:8000", True),
        ("localhost:8000", "http://LOCALHOST:8000", True),
        ("localhost:8000", "https://friend.example", True),
        ("localhost:8000", "http://localhost:3000", False),
        ("localhost:8000", "http://127.0.0.1:8000", False),
        ("localhost:8000", "https://evil.example", False),
        ("localhost:8000", "null", False),
        ("localhost:8000", "", False),
        ("localhost:8000", "http://[", False),
        ("evil.example", "http://evil.example", False),  # DNS rebinding
    ],
)
def test_pages_of_other_sites_are_turned_away(host: str, origin: str | None, allowed: bool) -> None:
    access = Access(origins=("https://friend.example",), hosts=("named.example",))
    headers = {"host": host} | ({} if origin is None else {"origin": origin})
    with serving(access=access) as client:
        response = client.post("/predict", content=encoded(), headers={**PNG, **headers})
        assert response.status_code == (200 if allowed else 403), response.text
        assert allowed or list(response.json()) == ["detail"]
        try:
            with client.websocket_connect(FRAMES, headers=headers):
                assert allowed
        except WebSocketDenialResponse as denied:
            assert not allowed and denied.status_code == 403


def test_stars_allow_everybody() -> None:
    with serving(access=Access(origins=("*",), hosts=("*",))) as client:
        assert client.get("/model", headers={"host": "any.example", "origin": "https://x.example"}).status_code == 200


def test_an_allowed_page_may_read_the_answers() -> None:
    friend = {"origin": "https://friend.example"}
    with serving(access=Access(token=TOKEN, origins=("https://friend.example",))) as client:
        asked = {**friend, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        response = client.options("/predict", headers=asked)
        assert response.status_code == 200 and response.headers["access-control-allow-origin"] == friend["origin"]
        assert client.get("/model", headers=friend).headers["access-control-allow-origin"] == friend["origin"]
        assert client.options("/predict", headers={**asked, "origin": "https://evil.example"}).status_code == 403


def test_many_clients_get_their_own_answers() -> None:
    images = [picture(seed, (96, 64)) for seed in range(12)]
    alone = [as_dict(Result("image", 0, None, 96, 64, Estimator(BrightSpot())(image))) for image in images]
    with serving(concurrency=99) as client, ThreadPoolExecutor(6) as pool:

        def ask(image: np.ndarray) -> Any:
            return client.post("/predict", content=encoded(image=image), headers=PNG).json()

        assert list(pool.map(ask, images)) == alone


def test_the_default_model_answers() -> None:
    """The real pipeline, once."""
    import edgepose

    image = edgepose.example_image()
    estimator = edgepose.load(threads=1)
    with TestClient(create_app(estimator), base_url="http://localhost") as client:
        answer = client.post("/predict", content=encoded(image=image), headers=PNG).json()
        assert answer == as_dict(Result("image", 0, None, 640, 360, estimator(image)))
        assert 'detector="' in client.get("/metrics").text


def test_several_models_and_one_that_is_not_served() -> None:
    small, other = Estimator(BrightSpot()), Estimator(BrightSpot())
    other_spec = other.spec
    app = create_app({"small": small, "mine.onnx": other}, decoders=DECODERS)
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/model").json()["model"] == "small"
        facts = client.get("/model?model=mine.onnx").json()
        assert facts["model"] == "mine.onnx" and facts["models"] == ["small", "mine.onnx"]
        assert facts["subject"] == other_spec.subject
        for query in ("", "?model=small", "?model=mine.onnx"):
            assert client.post(f"/predict{query}", content=encoded(), headers=PNG).json() == expected("image")
        refused = client.post("/predict?model=smal", content=encoded(), headers=PNG)
        assert refused.status_code == 404
        said = "no model 'smal' is served here (did you mean 'small'?), expected one of ['small', 'mine.onnx']"
        assert refused.json()["detail"] == said and client.get("/model?model=smal").json()["detail"] == said
        with pytest.raises(WebSocketDenialResponse) as caught, client.websocket_connect(f"{FRAMES}?model=smal"):
            pass
        assert caught.value.status_code == 404
        with client.websocket_connect(f"{FRAMES}?model=mine.onnx") as socket:
            socket.send_bytes(encoded())
            assert len(socket.receive_json()["people"]) == 1
        text = client.get("/metrics").text
        assert 'model="small"' in text and 'model="mine.onnx"' in text


def test_models_are_called_as_the_user_calls_them(tmp_path: Path) -> None:
    from edgepose.cli.serve import names_of

    assert names_of([None]) == {"default-pose": None}
    assert list(names_of(["rtmpose-m", "runs/a/mine.onnx"])) == ["rtmpose-m", "mine.onnx"]
    assert list(names_of(["runs/a/last.onnx", "runs/b/last.onnx"])) == ["runs/a/last.onnx", "runs/b/last.onnx"]
    with pytest.raises(ValueError, match="--model names default-pose twice"):
        names_of(["default", "default-pose"])
