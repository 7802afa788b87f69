"""A window of OpenCV's, where the OpenCV that is installed has windows and the machine a screen."""

from __future__ import annotations

import subprocess
import sys
import time

import cv2

from edgepose.media.images import Image
from edgepose.media.show import KEYS, QUIT

TITLE = "edgepose"
RATE = 30.0  # pictures per second that are drawn at most: eyes see no more, and the run goes on
PATIENCE = 20.0  # seconds for a trial
_TRIAL = "import cv2; cv2.namedWindow('edgepose'); cv2.waitKey(1); cv2.destroyAllWindows()"


def has_windows() -> bool:
    """Whether a window opens, tried in a process of its own.

    Without windows OpenCV raises (opencv-python-headless); with windows but without a screen, Qt ends the process.
    """
    try:
        trial = subprocess.run([sys.executable, "-c", _TRIAL], capture_output=True, timeout=PATIENCE, check=False)
    except (subprocess.TimeoutExpired, OSError):
        return False
    return trial.returncode == 0


class Window:
    """Pictures in a window that can be resized; closing it is q. For the main thread."""

    greeting = f"shown in a window: {KEYS}"

    def __init__(self) -> None:
        cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        self._sized, self._last = False, 0.0

    def wanted(self) -> bool:
        """Whether it is time for another picture."""
        return time.monotonic() - self._last >= 1 / RATE

    def put(self, image: Image) -> None:
        """Show a picture; the first says how large the window is."""
        if not self._sized:
            height, width = image.shape[:2]
            scale = min(1.0, 1280 / max(height, width))
            cv2.resizeWindow(TITLE, max(1, round(width * scale)), max(1, round(height * scale)))
        cv2.imshow(TITLE, image)
        self._sized, self._last = True, time.monotonic()

    def pressed(self) -> list[str]:
        """What was pressed, and q where the window was closed."""
        pressed = []
        while (code := cv2.pollKey()) >= 0:
            pressed.append(chr(code & 0xFF).lower())
        if self._sized and cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
            pressed.append(QUIT)
        return pressed

    def tell(self, note: str, paused: bool) -> None:
        """In the title."""
        cv2.setWindowTitle(TITLE, f"{TITLE}: {note}" if note else TITLE)

    def close(self) -> None:
        """Close the window."""
        cv2.destroyAllWindows()
