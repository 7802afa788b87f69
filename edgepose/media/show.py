"""Frames shown while they are worked on, in a window or a page, with keys to pause, save and end.

Looking costs a run what drawing costs, and only while somebody looks: a frame is drawn when there is a screen that can
take it, and what comes meanwhile is passed over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from edgepose.media.images import Image

KEYS = "q ends, space pauses, s saves the picture"
QUIT, PAUSE, SAVE = "q", " ", "s"
POLL = 0.03  # seconds between two looks for keys while nothing else happens


class Surface(Protocol):
    """Something that shows pictures: `window.Window`, `page.Page`. All of it for one thread."""

    greeting: str  # a sentence on where to look

    def wanted(self) -> bool:
        """Whether a picture that is put now would be looked at."""

    def put(self, image: Image) -> None:
        """Show a picture."""

    def pressed(self) -> list[str]:
        """What was pressed since the last call."""

    def tell(self, note: str, paused: bool) -> None:
        """Say something beside the picture."""

    def close(self) -> None:
        """Nothing more will be shown."""


def open_surface(port: int | None = None) -> Surface:
    """A window where there can be one and no port is asked for, else a page; OSError for a port that is in use."""
    from edgepose.media.page import Page
    from edgepose.media.window import Window, has_windows

    if port is None and has_windows():
        return Window()
    return Page(port or 0, "" if port is not None else "no window can be opened here, ")


class Viewer:
    """What is shown of a run, and what its keys do. For the thread of the run alone; `close` after use.

    stop: set when somebody presses q, which ends the run as Ctrl-C does; `quit` tells the two apart
    tell: takes the sentences for the terminal
    folder: where pictures are saved
    lanes: sources that are shown side by side
    """

    def __init__(
        self, surface: Surface, stop: threading.Event, tell: Callable[[str], None], folder: Path, lanes: int = 1
    ) -> None:
        self.surface, self.quit, self.paused = surface, False, False
        self.waits = True  # a pause holds the run up: of a live source it must not, or its frames would pile up
        self._stop, self._tell, self._folder = stop, tell, folder
        self._lanes = {lane: np.zeros((1, 1, 3), np.uint8) for lane in range(lanes)} if lanes > 1 else {}
        self._newest: tuple[Callable[[], Image], int] | None = None  # not drawn yet
        self._name = ""  # of the newest
        self._shown: tuple[Image, str] | None = None  # and its name
        tell(surface.greeting)

    def show(self, make: Callable[[], Image], source: str, index: int, lane: int = 0) -> None:
        """The next frame; `make` draws it if somebody looks. Comes back when a pause ends, at once if not `waits`."""
        self._newest, self._name = (make, lane), f"{_stem(source)}-{index:06d}"
        self.listen()
        while self.paused and self.waits and not self._stop.wait(POLL):
            self.listen()

    def listen(self) -> bool:
        """Do what was pressed, and show the newest frame where it is wanted. Returns whether there is a pause."""
        if self._newest is not None and self.surface.wanted():
            self._put()
        for key in self.surface.pressed():
            if key == QUIT:
                self.quit = True
                self._stop.set()
            elif key == PAUSE:
                self.paused = not self.paused
                self.surface.tell("paused" if self.paused else "", self.paused)
            elif key == SAVE:
                self._save()
        return self.paused

    def linger(self) -> None:
        """Keep the last picture until somebody presses q, or Ctrl-C."""
        self._tell("the last picture stays until q or Ctrl-C")
        while not self._stop.wait(POLL):
            self.listen()

    def close(self) -> None:
        """Close the window or the page."""
        self.surface.close()

    def _put(self) -> None:
        if self._newest is None:
            return
        (make, lane), self._newest = self._newest, None
        image = make()
        if self._lanes:
            self._lanes[lane] = image
            image = side_by_side(list(self._lanes.values()))
        self._shown = image, self._name
        self.surface.put(image)

    def _save(self) -> None:
        from edgepose.media.files import atomic_path, make_folder
        from edgepose.media.images import encoded_image
        from edgepose.media.marks import marked

        if self._shown is None:
            self._put()
        if self._shown is None:
            return
        image, name = self._shown
        try:
            make_folder(self._folder)
            path = self._folder / f"{name}_overlay.png"
            number = 2
            while path.exists():
                path, number = self._folder / f"{name}_overlay-{number}.png", number + 1
            with atomic_path(path) as temporary:
                temporary.write_bytes(marked(encoded_image(path, image)))
            note = f"saved {path}"
        except (OSError, ValueError) as error:
            note = f"cannot save the picture in {self._folder}: {error}"
        self._tell(note)
        self.surface.tell(note, self.paused)


def side_by_side(images: list[Image]) -> Image:
    """Pictures (H, W, 3) of any sizes as cells of one grid, as large as the first, wider than high."""
    height, width = max((image.shape[:2] for image in images), key=lambda size: size[0] * size[1])
    columns = int(np.ceil(np.sqrt(len(images))))
    grid = np.zeros((-(-len(images) // columns) * height, columns * width, 3), np.uint8)
    for i, image in enumerate(images):
        scale = min(height / image.shape[0], width / image.shape[1])
        size = max(1, int(image.shape[1] * scale)), max(1, int(image.shape[0] * scale))
        top, left = i // columns * height, i % columns * width
        grid[top : top + size[1], left : left + size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return grid


def _stem(source: str) -> str:
    from edgepose.media.files import fitting_stem

    return "camera" if source.isdecimal() else "stream" if "://" in source else fitting_stem(Path(source).stem)
