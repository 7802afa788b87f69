"""Looking on: nothing is drawn while nobody looks, keys pause, save and end, and a page serves this machine alone."""

from __future__ import annotations

import http.client
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import cv2
import numpy as np
import pytest

from edgepose.media import page as page_module
from edgepose.media import show as show_module
from edgepose.media import window
from edgepose.media.marks import is_overlay
from edgepose.media.page import Page
from edgepose.media.show import Viewer, open_surface, side_by_side


def flat(value: int, width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


class Screen:
    """A surface that somebody looks at or not, with keys pressed one after the other."""

    greeting = "here"

    def __init__(self, looking: bool = True, keys: str = "") -> None:
        self.looking, self.waiting, self.images, self.notes, self.closed = looking, list(keys), [], [], False

    def wanted(self) -> bool:
        return self.looking

    def put(self, image: np.ndarray) -> None:
        self.images.append(int(image[0, 0, 0]))

    def pressed(self) -> list[str]:
        return [self.waiting.pop(0)] if self.waiting else []

    def tell(self, note: str, paused: bool) -> None:
        self.notes.append(note)

    def close(self) -> None:
        self.closed = True


def viewer(screen: Screen, folder: Path = Path(), lanes: int = 1) -> tuple[Viewer, threading.Event, list[str]]:
    stop, said = threading.Event(), list[str]()
    return Viewer(screen, stop, said.append, folder, lanes), stop, said


def test_nothing_is_drawn_while_nobody_looks() -> None:
    screen = Screen(looking=False)
    looked, _, said = viewer(screen)
    drawn: list[int] = []

    def make() -> np.ndarray:
        drawn.append(1)
        return flat(9)

    for i in range(5):
        looked.show(make, "clip.mp4", i)
    assert drawn == [] and said == ["here"]
    screen.looking = True
    looked.show(make, "clip.mp4", 5)
    assert drawn == [1] and screen.images == [9]
    looked.listen()
    assert drawn == [1], "each frame once"


def test_a_pause_holds_a_file_up_and_not_a_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show_module, "POLL", 0.001)
    screen = Screen(keys="  ")
    looked, stop, _ = viewer(screen)
    looked.show(lambda: flat(1), "clip.mp4", 0)  # pauses, and goes on with the second key
    assert screen.notes == ["paused", ""] and not looked.paused and not stop.is_set()
    screen.waiting = [" "]
    looked.waits = False
    looked.show(lambda: flat(2), "0", 1)
    assert looked.paused, "it came back while there is a pause"
    assert looked.listen()
    screen.waiting = [" "]
    assert not looked.listen()


def test_q_ends_the_run_also_in_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show_module, "POLL", 0.001)
    looked, stop, _ = viewer(Screen(keys=" q"))
    looked.show(lambda: flat(1), "clip.mp4", 0)
    assert looked.quit and stop.is_set()
    looked, stop, _ = viewer(Screen(keys="xxq"))
    looked.linger()
    assert looked.quit


def test_s_saves_what_is_shown_and_says_where(tmp_path: Path) -> None:
    looked, _, said = viewer(Screen(keys="sss"), tmp_path / "new")
    for _ in range(2):
        looked.show(lambda: flat(7), "a/clip.mp4", 3)
    first, second = (tmp_path / "new" / f"clip-000003_overlay{end}.png" for end in ("", "-2"))
    assert said == ["here", f"saved {first}", f"saved {second}"]
    assert is_overlay(first) and is_overlay(second), "no later run takes them for pictures to look at"
    assert (cv2.imread(str(first)) == 7).all()
    (tmp_path / "file").write_text("")
    looked, _, said = viewer(Screen(keys="s"), tmp_path / "file")
    looked.show(lambda: flat(7), "clip.mp4", 3)
    assert said[1].startswith(f"cannot save the picture in {tmp_path / 'file'}: ")


def test_several_sources_share_one_picture() -> None:
    screen = Screen()
    looked, _, _ = viewer(screen, lanes=3)
    looked.show(lambda: flat(50), "0", 0, lane=0)
    looked.show(lambda: flat(90, 32, 32), "1", 0, lane=2)
    grid = side_by_side([flat(50), flat(70, 32, 32), flat(90)])
    assert grid.shape == (96, 128, 3)
    assert grid[0, 0, 0] == 50 and grid[0, 64, 0] == 70 and grid[48, 0, 0] == 90 and grid[95, 127, 0] == 0
    assert screen.images == [50, 50]


def ask(page: Page, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", int(page.url.rpartition(":")[2].strip("/")), timeout=60)
    connection.request(method, path, headers={name.capitalize(): value for name, value in headers.items()})
    answer = connection.getresponse()
    answer.body = answer.read()  # type: ignore[attr-defined]
    connection.close()
    return answer


def test_a_page_waits_for_the_next_picture() -> None:
    page = Page()
    try:
        assert b"<title>edgepose</title>" in ask(page, "/").body  # type: ignore[attr-defined]
        assert not page.wanted()
        got: list[http.client.HTTPResponse] = []
        browser = threading.Thread(target=lambda: got.append(ask(page, "/frame?after=0")))
        browser.start()
        while not page.wanted():
            pass
        page.put(flat(200))
        browser.join(60)
        picture = cv2.imdecode(np.frombuffer(got[0].body, np.uint8), cv2.IMREAD_COLOR)  # type: ignore[attr-defined]
        assert got[0].status == 200 and abs(int(picture[0, 0, 0]) - 200) < 3 and got[0].headers["X-Version"] == "1"
        page.tell("saved ä.png", True)
        answer = ask(page, "/frame?after=1")
        assert unquote(answer.headers["X-Note"]) == "saved ä.png" and answer.headers["X-Paused"] == "1"
        for name in ("q", "space", "s"):
            assert ask(page, f"/key?name={name}", "POST").status == 204
        assert page.pressed() == ["q", " ", "s"] and page.pressed() == []
        assert ask(page, "/key?name=x", "POST").status == 404 and ask(page, "/other").status == 404
    finally:
        page.close()
    with pytest.raises(OSError):
        ask(page, "/")


def test_who_waits_at_the_end_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page()
    got: list[int] = []
    browser = threading.Thread(target=lambda: got.append(page.after(0)[0]))
    browser.start()
    while not page.wanted():
        pass
    page.close()
    browser.join(60)
    assert got == [410]
    monkeypatch.setattr(page_module, "PATIENCE", 0.001)
    page = Page()
    assert page.after(0)[0] == 204, "nothing came"
    page.close()


def test_other_sites_and_names_are_turned_away() -> None:
    page = Page()
    try:
        assert ask(page, "/", host="evil.example").status == 403
        assert ask(page, "/frame", host="evil.example:80").status == 403
        assert ask(page, "/key?name=q", "POST", origin="http://evil.example").status == 403
        assert page.pressed() == []
        assert ask(page, "/", host="localhost:1").status == 200, "as a forwarded port is called"
    finally:
        page.close()


def test_a_used_port_is_one_sentence() -> None:
    page = Page()
    number = int(page.url.rpartition(":")[2].strip("/"))
    try:
        with pytest.raises(OSError, match=f"cannot show a page on 127.0.0.1 port {number}: .*--show-port"):
            Page(number)
    finally:
        page.close()


def test_no_window_means_a_page_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "has_windows", lambda: False)
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(page_module, "has_screen", lambda: False)
    page = open_surface()
    page.close()
    assert page.greeting.startswith("no window can be opened here, look at http://127.0.0.1:") and not opened
    monkeypatch.setattr(page_module, "has_screen", lambda: True)
    page = open_surface()
    page.close()
    assert isinstance(page, Page) and opened == [page.url]


def test_windows_are_tried_in_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[object] = [0, 1, -6, subprocess.TimeoutExpired("x", 1), OSError("no fork")]

    def run(command: list[str], **_: object) -> SimpleNamespace:
        assert command[0] == sys.executable and "namedWindow" in command[2]
        code = codes.pop(0)
        if isinstance(code, Exception):
            raise code
        return SimpleNamespace(returncode=code)

    monkeypatch.setattr(subprocess, "run", run)
    assert [window.has_windows() for _ in range(5)] == [True, False, False, False, False]


def test_a_window_that_is_closed_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    codes = [ord("S"), -1, -1]
    for name in ("namedWindow", "resizeWindow", "imshow", "setWindowTitle", "destroyAllWindows"):
        monkeypatch.setattr(cv2, name, lambda *_, name=name: calls.append(name))
    monkeypatch.setattr(cv2, "pollKey", lambda: codes.pop(0))
    visible = [1.0, 0.0]
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: visible.pop(0))
    shown = window.Window()
    assert shown.wanted()
    shown.put(flat(3))
    assert not shown.wanted(), "no more pictures than eyes see"
    assert shown.pressed() == ["s"] and shown.pressed() == ["q"]
    shown.tell("paused", True)
    shown.close()
    assert calls == ["namedWindow", "resizeWindow", "imshow", "setWindowTitle", "destroyAllWindows"]
