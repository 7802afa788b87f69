"""Where the frames of `predict`, `track` and `demo` go, and how what is finished is kept whatever happens."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edgepose.cli.screen import counted

if TYPE_CHECKING:
    from edgepose.cli.screen import Screen
    from edgepose.media.images import Image
    from edgepose.media.results import Result, Writer
    from edgepose.media.show import Viewer
    from edgepose.media.video import Frame, VideoWriter

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Outcome:
    """What became of one source."""

    source: str
    frames: int = 0
    most: int = 0  # people on one frame
    least: int = 0
    seconds: float | None = None
    overlays: list[Path] = field(default_factory=list)
    results: Path | None = None  # file of this source alone (demo)
    error: str = ""
    stopped: bool = False  # by the user, before its end
    subject: str = "person"  # what is counted

    def add(self, result: Result) -> None:
        """Count one frame."""
        people = len(result.poses)
        self.least = people if self.frames == 0 else min(self.least, people)
        self.most = max(self.most, people)
        self.frames += 1
        self.seconds = result.time

    def fail(self, error: str) -> None:
        """Something went wrong; what came first is what is told."""
        self.error = self.error or error

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        paths = {"overlay": self.overlays[0] if self.overlays else None, "results": self.results}
        return {
            "source": self.source,
            "frames": self.frames,
            "people": self.most,
            **{name: None if path is None else str(path) for name, path in paths.items()},
            "error": self.error or None,
        }

    def sentence(self) -> str:
        """One line for people."""
        spread = str(self.most) if self.least == self.most else f"{self.least} to {self.most}"
        people = counted(self.most, self.subject, spread)
        if self.seconds is None and self.frames == 1:
            return f"{self.source}: {people}"
        length = "" if self.seconds is None else f", {self.seconds:.1f} s"
        return f"{self.source}: {self.frames} frames{length}, {people}"


class Outputs:
    """Where frames go: a results file, pictures and videos with the poses drawn over them, and lines of JSON.

    However its `with` block ends, the files hold all frames that were written. An overlay that cannot be written is an
    error of its source (`Outcome.fail`), whose results go on.

    Args:
        overlays: folder for overlays, or the video file of the only one; None: none are drawn.
        threshold: least score of the keypoints drawn; None: as suits the scores.
        suffix: of picture overlays; by default PNG stays PNG and everything else becomes JPEG.
        print_json: print every frame as a line too.
        sources: paths of what is read. Overlays replace nothing but overlays.
        from_zero: overlay videos begin at 0, whatever the time of their first frame.
    """

    def __init__(
        self,
        screen: Screen,
        writer: Writer | None = None,
        overlays: Path | None = None,
        threshold: float | None = None,
        suffix: str = "",
        print_json: bool = False,
        sources: Iterable[str] = (),
        from_zero: bool = False,
    ) -> None:
        from edgepose.media.files import identity

        self._screen, self._writer, self._print = screen, writer, print_json
        self.overlays, self._threshold, self._suffix = overlays, threshold, suffix
        self._sources = {identity(source) for source in sources}
        self._names: dict[str, str] = {}
        self._videos: dict[int, tuple[VideoWriter, tuple[int, ...]]] = {}  # by the id of the outcome
        self.viewer: Viewer | None = None  # shows frames as they come
        self._from_zero = from_zero
        self._began: dict[int, Frame] = {}  # first frames of the videos, without their images

    def __enter__(self) -> Outputs:
        if self._writer is not None:
            self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with unhurried():
            for key in list(self._videos):
                self._end(key)
            if self._writer is not None:
                self._writer.__exit__(kind, error, trace)

    def write(
        self,
        result: Result,
        frame: Frame,
        outcome: Outcome,
        rate: Fraction | None = None,
        under: Callable[[Image], Image] | None = None,
        lane: int = 0,
    ) -> None:
        """Add one frame of the source that `outcome` is about; comes back when a pause of the viewer ends.

        rate: frames per second of a video whose frames have no times; None: of a picture, which is one file
        under: draws what lies under the poses
        lane: which of several sources that are shown side by side
        """
        from edgepose.media.results import as_dict

        if self._writer is not None:
            self._writer.write(result)
        outcome.add(result)
        drawn = cache(lambda: self._drawn(result, frame, under))  # once, whoever wants it
        if self.overlays is not None and not outcome.error:
            with self._naming_what_fails(outcome):
                self._keep(drawn(), frame, outcome, rate)
        if self._print:
            self._screen.say(json.dumps(as_dict(result), allow_nan=False))
        if self.viewer is not None:
            self.viewer.show(drawn, outcome.source, frame.index, lane)

    def close(self, outcome: Outcome) -> None:
        """No more frames of this source."""
        with unhurried(), self._naming_what_fails(outcome):
            self._end(id(outcome))

    @contextmanager
    def _naming_what_fails(self, outcome: Outcome) -> Iterator[None]:
        import av

        kinds = (ValueError, OSError, av.FFmpegError)
        try:
            yield
        except kinds as error:
            with suppress(*kinds):  # its frames until then may be kept
                self._end(id(outcome))
            path = outcome.overlays[-1] if outcome.overlays else self.overlays
            outcome.fail(f"no more overlay of {outcome.source} in {path}, its results are whole: {error}")

    def _drawn(self, result: Result, frame: Frame, under: Callable[[Image], Image] | None) -> Image:
        from edgepose.media.draw import draw

        image = frame.image if under is None else under(frame.image)
        return draw(image, result.poses, threshold=self._threshold)

    def _keep(self, image: Image, frame: Frame, outcome: Outcome, rate: Fraction | None) -> None:
        from edgepose.media.files import atomic_path
        from edgepose.media.images import encoded_image
        from edgepose.media.marks import MARK, marked
        from edgepose.media.sources import sound_of
        from edgepose.media.video import VideoWriter

        if rate is None:
            path = self._path(outcome, False)
            data = marked(encoded_image(path, image))
            with atomic_path(path) as temporary:
                temporary.write_bytes(data)
            return
        key, size = id(outcome), image.shape[:2]
        if key not in self._videos or self._videos[key][1] != size:  # some sources change their size
            self._end(key)
            video = VideoWriter(
                self._path(outcome, True), rate, comment=MARK, sound=sound_of(outcome.source),
                sound_start=(frame.time or 0.0) if self._from_zero else 0.0,
            )  # fmt: skip
            video.__enter__()
            self._videos[key] = (video, size)
            self._began[key] = replace(frame, image=frame.image[:0])
        moved = _since(frame, self._began[key]) if self._from_zero else frame
        self._videos[key][0].write(replace(moved, image=image))

    def _end(self, key: int) -> None:
        if key in self._videos:
            video, _ = self._videos.pop(key)
            video.__exit__(None, None, None)
            if video.silent:
                self._screen.complain(f"warning: {video.silent}")

    def _path(self, outcome: Outcome, moving: bool) -> Path:
        """A name for the next overlay of a source."""
        from edgepose.media.files import fitting_stem, identity, unique_name
        from edgepose.media.marks import is_overlay
        from edgepose.media.video import WRITABLE

        folder, number = self.overlays or Path(), str(len(self._names))
        if folder.suffix.lower() in WRITABLE:  # the video itself
            path = folder.with_stem(unique_name(folder.stem, number, self._names))
        else:
            source = outcome.source
            stem = "camera" if source.isdecimal() else "stream" if "://" in source else Path(source).stem
            own = ".png" if Path(source).suffix.lower() == ".png" else ".jpg"
            name = unique_name(f"{fitting_stem(stem)}_overlay", number, self._names)
            path = folder / (name + (".mp4" if moving else self._suffix or own))
        asked_for = folder.suffix.lower() in WRITABLE and path == folder
        if os.path.lexists(path) and (identity(path) in self._sources or not (asked_for or is_overlay(path))):
            return self._path(outcome, moving)
        outcome.overlays.append(path)
        return path


def attended() -> bool:
    """Whether somebody sits at the terminal, who can end what waits."""
    return sys.stdin is not None and sys.stdin.isatty()


@contextmanager
def shown(
    wanted: bool,
    port: int | None,
    outputs: Outputs,
    stop: threading.Event,
    screen: Screen,
    out: Path | None,
    lanes: int = 1,
) -> Iterator[Viewer | None]:
    """Where the frames of `outputs` are looked at, for as long as the block lasts; None where nobody asked for it.

    wanted: `--show`; port: `--show-port`, which asks for it too; out: `--out`, in or beside which pictures are saved
    """
    if not wanted and port is None:
        yield None
        return
    from edgepose.media.show import Viewer, open_surface

    folder = Path() if out is None else out.parent if out.suffix and not out.is_dir() else out
    viewer = Viewer(open_surface(port), stop, screen.complain, folder, lanes)
    outputs.viewer = viewer
    try:
        yield viewer
    finally:
        outputs.viewer = None
        viewer.close()


def _since(frame: Frame, first: Frame) -> Frame:
    """A frame with its time and number counted from the first."""
    time = None if frame.time is None or first.time is None else frame.time - first.time
    pts = None if frame.pts is None or first.pts is None else frame.pts - first.pts
    return replace(frame, time=time, pts=pts, index=frame.index - first.index)


@contextmanager
def interrupted() -> Iterator[threading.Event]:
    """An event that Ctrl-C (or a polite kill) sets instead of raising, so that no file is left half written.

    The second raises: somebody does not want to wait for the frame at hand. What was finished is kept all the same.
    """
    asked = threading.Event()

    def ask(number: int, _: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    with _signals(ask):
        yield asked


@contextmanager
def unhurried() -> Iterator[None]:
    """Nothing interrupts what stands inside; a signal that comes meanwhile counts afterwards."""
    late: list[int] = []
    with _signals(lambda number, _: late.append(number)):
        yield
    if late:
        signal.raise_signal(late[0])


@contextmanager
def _signals(handler: Any) -> Iterator[None]:
    """Signals answered by `handler`, where this thread may say so."""
    before: list[tuple[int, Any]] = []
    with suppress(ValueError):  # not the main thread, which alone gets signals
        before = [(number, signal.signal(number, handler)) for number in SIGNALS]
    try:
        yield
    finally:
        for number, earlier in before:
            signal.signal(number, earlier)
