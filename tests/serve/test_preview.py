"""The page in a real browser: a picture, a video and a camera, on a desk and on a phone, and all that goes wrong.

EDGEPOSE_SCREENSHOTS names a folder for pictures of the page.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgepose.media.example import scaled_example
from edgepose.media.video import Frame, VideoWriter
from edgepose.runtime.estimator import Estimator
from edgepose.serve.limits import Access, Limits
from tests.runtime.small import BrightSpot
from tests.serve.serving import Gate

pytest.importorskip("uvicorn", reason="needs the serve extra")
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "chromium-headless-shell")
CHROMIUM = next((path for path in map(shutil.which, NAMES) if path), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")

TOKEN = "a-token/of+enough~letters=="
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 375, "height": 740}


class Star(BrightSpot):
    """Keypoints in a ring, wherever one looks: long limbs to see."""

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        outputs = [np.zeros_like(output) for output in super().__call__(batch)]
        for k in range(17):
            angle = 2.4 * k
            outputs[0][:, k, int(48 + 30 * np.cos(angle))] = 0.5
            outputs[1][:, k, int(64 + 40 * np.sin(angle))] = 0.5
        return outputs


class Served:
    """A server in a thread, on a port of its own."""

    def __init__(
        self, estimator: Estimator | dict[str, Estimator], limits: Limits | None = None, access: Access | None = None
    ) -> None:
        import uvicorn

        from edgepose.serve.app import create_app
        from edgepose.serve.server import config

        app = create_app(estimator, limits, access)
        self.service = app.state.service
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/"
        self.server = uvicorn.Server(config(app, self.service))
        self.thread = threading.Thread(target=self.server.run, args=([self.listener],), daemon=True)

    def __enter__(self) -> Served:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.should_exit = True
        self.thread.join(120)
        assert not self.thread.is_alive(), "the server does not end"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    camera = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    image = scaled_example((320, 240))
    camera.write_bytes(b"".join(cv2.imencode(".jpg", np.roll(image, 4 * i, 1))[1].tobytes() for i in range(10)))
    arguments = [
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--disable-gpu",
        "--disable-dev-shm-usage", f"--use-file-for-fake-video-capture={camera}",
    ]  # fmt: skip
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=arguments, chromium_sandbox=os.geteuid() != 0)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with Served(Estimator(Star())) as served:
        yield served


@pytest.fixture
def page(browser: Any, server: Served) -> Iterator[Any]:
    yield from opened(browser, server.url)


def opened(browser: Any, url: str, size: dict[str, int] = DESK) -> Iterator[Any]:
    """A page without a single message in its console."""
    context = browser.new_context(viewport=size)
    page = context.new_page()
    page.set_default_timeout(120_000)
    said: list[str] = []
    page.said = said
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if elsewhere(request.url, url) else None)
    page.goto(url)
    yield page
    said = [text for text in said if "willReadFrequently" not in text]  # which only `colors` does
    context.close()  # a connection that is being made then fails, with a message
    assert not said, said


def elsewhere(address: str, url: str) -> bool:
    return not address.startswith(("blob:", "data:", url))


def shot(page: Any, name: str) -> None:
    folder = os.environ.get("EDGEPOSE_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def wait_for(page: Any, expression: str) -> None:
    """Until it is true; the browser's own waiting evaluates strings, which the page's policy forbids."""
    for _ in range(2000):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(30)
    raise AssertionError(f"never: {expression}; the page says {page.inner_text('main')!r}")


def colors(page: Any) -> int:
    """How many pixels of the canvas have the colors of skeletons."""
    return int(
        page.evaluate(
            """() => {
              const canvas = document.getElementById("canvas");
              const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
              const wanted = [[110, 226, 196], [255, 176, 56], [84, 132, 244], [236, 232, 224]];
              let count = 0;
              for (let i = 0; i < data.length; i += 4)
                if (wanted.some((rgb) => rgb.every((value, k) => Math.abs(value - data[i + k]) < 3))) count += 1;
              return count;
            }"""
        )
    )


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "scene.png"
    image = np.full((180, 320, 3), 90, np.uint8)
    image[88:93, 158:163] = 255  # where the network sees every keypoint
    cv2.imwrite(str(path), image)
    return path


def test_a_picture_and_its_people(page: Any, picture: Path) -> None:
    wait_for(page, "document.getElementById('model').textContent.includes('17 keypoints')")
    shot(page, "empty")
    page.set_input_files("#file", str(picture))
    wait_for(page, "document.getElementById('people').textContent === '1'")
    assert page.inner_text("#status") == "scene.png, 320 \u00d7 180."
    assert page.get_attribute("#canvas", "aria-label") == "1 person with skeletons drawn over them"
    assert page.evaluate("[canvas.width, canvas.height]") == [320, 180] and colors(page) > 10
    page.fill("#threshold", "0.9")
    assert page.inner_text("#threshold-value") == "0.90" and colors(page) == 0, "the score is 0.5"
    page.check("#boxes")
    assert page.evaluate("canvas.getContext('2d').getImageData(0, 90, 1, 1).data[0]") != 90
    assert not page.is_visible("#error")


def test_a_camera_from_start_to_stop(page: Any, server: Served) -> None:
    page.click("#camera")
    wait_for(page, "Number(document.getElementById('fps').textContent) > 0")
    wait_for(page, "document.getElementById('people').textContent === '1'")
    assert page.is_enabled("#stop") and page.is_checked("#mirror") and colors(page) > 10
    assert float(page.inner_text("#latency")) > 0 and int(page.inner_text("#dropped")) >= 0
    page.click("#stop")
    assert page.inner_text("#status") == "Stopped." and page.is_disabled("#stop")
    wait_for(page, "document.getElementById('video').srcObject === null")
    while server.service.connections.taken:
        page.wait_for_timeout(10)
    page.click("#camera")  # and again
    wait_for(page, "!document.getElementById('stop').disabled")
    wait_for(page, "document.getElementById('status').textContent.includes('camera.mjpeg')")


def test_a_video_to_its_end(page: Any, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    image = scaled_example((160, 96))
    with VideoWriter(clip) as video:  # of a minute, so that it cannot end before the first answer
        for index in range(600):
            video.write(Frame(image, index / 10, index))
    page.set_input_files("#file", str(clip))
    wait_for(page, "document.getElementById('people').textContent === '1'")
    page.evaluate("() => { const video = document.getElementById('video'); video.currentTime = video.duration - 1; }")
    wait_for(page, "document.getElementById('status').textContent === 'clip.mp4 has ended.'")
    assert colors(page) > 10 and not page.is_visible("#error")


def test_everything_can_be_done_with_the_keyboard(page: Any) -> None:
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", f"no focus to be seen on {reached[-1]}"
    assert reached == ["camera", "open", "least", "threshold", "mirror", "boxes"]
    page.evaluate(
        """() => document.getElementById("file").addEventListener("click", (event) => {
          event.preventDefault();
          document.body.dataset.asked = "for a file";
        })"""
    )
    page.focus("#open")
    page.keyboard.press("Enter")
    wait_for(page, "document.body.dataset.asked === 'for a file'")
    page.focus("#camera")
    page.keyboard.press("Space")
    wait_for(page, "!document.getElementById('stop').disabled")
    page.focus("#stop")
    page.keyboard.press("Enter")
    assert page.inner_text("#status") == "Stopped."


def saved(page: Any, button: str) -> tuple[str, bytes]:
    """The name and the bytes of what a button gives to the browser to save."""
    with page.expect_download() as waiting:
        page.click(button)
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()


def test_results_and_overlay_are_saved(page: Any, picture: Path) -> None:
    assert page.is_disabled("#save-png") and page.is_disabled("#save-json") and page.is_disabled("#save-csv")
    page.set_input_files("#file", str(picture))
    wait_for(page, "document.getElementById('people').textContent === '1'")
    name, data = saved(page, "#save-json")
    line = json.loads(data)
    assert name == f"{picture.stem}-results.jsonl" and line["source"] == picture.name
    assert (line["width"], line["height"], line["time"]) == (320, 180, None) and len(line["people"]) == 1
    name, data = saved(page, "#save-csv")
    header, row = csv.reader(data.decode().splitlines())
    assert name == f"{picture.stem}-results.csv"
    assert header[:8] == ["source", "frame", "time", "width", "height", "person", "id", "score"]
    assert header[12:15] == ["nose_x", "nose_y", "nose_score"] and len(row) == len(header) == 12 + 17 * 3 + 1
    assert [float(value) for value in row[12:15]] == line["people"][0]["keypoints"][0]
    name, data = saved(page, "#save-png")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert name == f"{picture.stem}-overlay.png" and image.shape == (180, 320, 3)
    assert (image != cv2.imread(str(picture))).any()


def test_frames_of_a_camera_are_saved_one_by_one(page: Any) -> None:
    page.click("#camera")
    wait_for(page, "Number(document.getElementById('fps').textContent) > 0")
    wait_for(page, "document.getElementById('people').textContent === '1'")
    page.click("#stop")
    _, data = saved(page, "#save-json")
    lines = [json.loads(line) for line in data.decode().splitlines()]
    assert (
        len(lines) > 1 and all(a["time"] < b["time"] for a, b in pairwise(lines)) and lines[0]["people"][0]["id"] == 1
    )


def test_people_below_the_least_score_are_neither_shown_nor_saved(page: Any, picture: Path) -> None:
    page.set_input_files("#file", str(picture))
    wait_for(page, "document.getElementById('people').textContent === '1'")
    drawn = colors(page)
    page.evaluate(
        "() => { const s = document.getElementById('least'); s.value = 0.95; s.dispatchEvent(new Event('input')); }"
    )
    assert page.inner_text("#people") == "0" and page.inner_text("#least-value") == "0.95"
    assert colors(page) < drawn
    assert json.loads(saved(page, "#save-json")[1])["people"] == []
    page.set_input_files("#file", str(picture))  # what was set stays for the next picture
    wait_for(page, "document.getElementById('status').textContent.includes('320')")
    assert page.inner_text("#least-value") == "0.95" and page.inner_text("#people") == "0"


def test_one_of_several_models_is_chosen(browser: Any, picture: Path) -> None:
    with Served({"star": Estimator(Star()), "mine.onnx": Estimator(BrightSpot())}) as served:
        for page in opened(browser, served.url):
            wait_for(page, "document.getElementById('model').textContent.startsWith('star ')")
            assert page.locator("#choice option").all_inner_texts() == ["star", "mine.onnx"]
            page.set_input_files("#file", str(picture))
            wait_for(page, "document.getElementById('people').textContent === '1'")
            first = json.loads(saved(page, "#save-json")[1])["people"]
            shot(page, "models")
            page.select_option("#choice", "mine.onnx")  # which looks at the same picture again
            wait_for(page, "document.getElementById('model').textContent.startsWith('mine.onnx ')")
            wait_for(page, "document.getElementById('status').textContent.includes('320')")
            second = json.loads(saved(page, "#save-json")[1])["people"]
            assert first and second and first[0]["keypoints"] != second[0]["keypoints"]


def failed(page: Any, pattern: str) -> None:
    """The alert says so, and the browser's own notes on refused requests are taken back."""
    page.wait_for_selector("#error:not([hidden])", timeout=120_000)
    assert pattern in page.inner_text("#error"), page.inner_text("#error")
    page.said[:] = [text for text in page.said if "Failed to load resource" not in text and "WebSocket" not in text]


def test_bad_files_are_told_in_words(page: Any, server: Served, picture: Path, tmp_path: Path) -> None:
    for name, content, pattern in (
        ("notes.txt", b"hello", "notes.txt is neither a picture nor a video."),
        ("broken.png", b"hello", "This browser cannot show broken.png."),
        ("broken.mp4", b"hello", "This browser cannot play broken.mp4."),
        ("large.png", b"x" * (17 << 20), "large.png is too large: this server takes pictures of at most 16777216"),
    ):
        (tmp_path / name).write_bytes(content)
        page.set_input_files("#file", str(tmp_path / name))
        failed(page, pattern)
        page.evaluate("document.getElementById('error').hidden = true")
    limits = server.service.limits
    server.service.limits = replace(limits, pixels=100)
    page.set_input_files("#file", str(picture))
    failed(page, "The server refused: the picture of")
    assert "its header says 320 x 180" in page.inner_text("#error")
    server.service.limits = limits


def test_a_camera_that_is_not_to_be_had(page: Any) -> None:
    for name, pattern in (("NotAllowedError", "is not allowed"), ("NotFoundError", "No camera"),
                          ("NotReadableError", "in use by another program")):  # fmt: skip
        fails = f"async () => {{ throw new DOMException('x', '{name}'); }}"
        page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {fails}; }}")
        page.click("#camera")
        failed(page, pattern)
    page.evaluate("Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
    page.click("#camera")
    failed(page, "localhost or over HTTPS only")


def test_a_token_is_asked_for_and_used(browser: Any, picture: Path) -> None:
    with Served(Estimator(Star()), access=Access(token=TOKEN)) as served:
        for page in opened(browser, served.url):
            page.wait_for_selector("#token-form:not([hidden])")
            failed(page, "The token is missing or wrong.")
            shot(page, "token")
            page.fill("#token", "wrong")
            page.keyboard.press("Enter")
            page.wait_for_selector("#token-form:not([hidden])")
            failed(page, "The token is missing or wrong.")
            page.fill("#token", TOKEN)
            page.keyboard.press("Enter")
            wait_for(page, "document.getElementById('model').textContent.includes('keypoints')")
            assert not page.is_visible("#error") and not page.is_visible("#token-form")
            page.set_input_files("#file", str(picture))
            wait_for(page, "document.getElementById('people').textContent === '1'")
            page.click("#camera")
            wait_for(page, "Number(document.getElementById('fps').textContent) > 0")


def test_a_server_that_is_full_slow_or_gone(browser: Any) -> None:
    gate = Gate()
    gate.released.release(2)
    with Served(Estimator(gate), Limits(connections=1)) as served:
        for page in opened(browser, served.url):
            limits = served.service.limits
            served.service.limits = replace(limits, seconds=1)  # for this answer alone: the others may take longer
            page.click("#camera")
            failed(page, "The server ended the connection: the model gave no answer within 1 s.")
            served.service.limits = limits
            assert page.is_disabled("#stop")
            gate.released.release(10_000)
            while served.service.connections.taken:
                page.wait_for_timeout(10)
            with served.service.connections.one():  # somebody else looks
                page.click("#camera")
                failed(page, "The server takes no more viewers now.")
            page.click("#camera")
            wait_for(page, "Number(document.getElementById('fps').textContent) > 0")
            assert not page.is_visible("#error")
            served.__exit__()
            failed(page, "The server ended the connection: it has stopped, or the network has.")
            page.click("#camera")
            failed(page, "The server cannot be reached.")


@pytest.mark.parametrize("size", [DESK, PHONE, {"width": 320, "height": 600}])
def test_nothing_is_cut_off_at_any_width(browser: Any, server: Served, picture: Path, size: dict[str, int]) -> None:
    for page in opened(browser, server.url, size):
        page.set_input_files("#file", str(picture))
        wait_for(page, "document.getElementById('people').textContent === '1'")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for target in page.query_selector_all("button:visible"):
            assert target.bounding_box()["height"] >= 44
        shot(page, f"small-{size['width']}")
