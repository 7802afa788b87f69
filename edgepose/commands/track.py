"""`edgepose track`: videos and live sources in, people with identities out, as lines, files and overlays."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from edgepose.commands.predict import Outcome, frame_count
from edgepose.commands.screen import Screen
from edgepose.media.draw import draw
from edgepose.media.live import Event, Feed
from edgepose.media.results import Format, LiveJsonLines, Result, Writer, as_dict, unique_name, writer
from edgepose.media.sources import Source
from edgepose.media.trails import Trails
from edgepose.media.video import WRITABLE, VideoWriter
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.track import Tracked, feeds_of, track


@dataclass
class Story(Outcome):
    """What became of one source, and who was there."""

    identities: set[int] = field(default_factory=set)
    dropped: int = 0

    def sentence(self) -> str:
        """One line for people."""
        text = f"{super().sentence()}, {len(self.identities)} identities"
        return f"{text}, {self.dropped} frames dropped" if self.dropped else text


class Outputs:
    """Where frames go: lines, a results file, and videos with the poses drawn over them. Files appear when it closes.

    out: folder for `results.*` and overlays, or the video file of the only overlay; None: nothing is written
    """

    def __init__(self, feeds: list[Feed], out: Path | None, kind: Format, overlay: bool, threshold: float) -> None:
        self._video = out if out is not None and out.suffix.lower() in WRITABLE else None
        if self._video is not None and len(feeds) > 1:
            raise ValueError(f"{out} is one video, got {len(feeds)} sources: expected a folder in --out")
        self._folder = None if self._video is not None else out
        self._overlay, self._threshold = overlay or self._video is not None, threshold
        self._names: dict[str, str] = {}
        self._videos: dict[int, tuple[VideoWriter, tuple[int, ...]]] = {}
        self._trails = [Trails() for _ in feeds]
        self._stack = ExitStack()
        self._writer: Writer | None = None
        self.paths: list[Path] = []
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._writer, path = writer(kind, self._folder)
            if kind == "jsonl" and any(feed.live for feed in feeds):
                self._writer = LiveJsonLines(path)
            self.paths.append(path)

    def __enter__(self) -> Outputs:
        if self._writer is not None:
            self._stack.enter_context(self._writer)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write(self, frame: Tracked, result: Result) -> None:
        """Add one frame."""
        if self._writer is not None:
            self._writer.write(result)
        if not self._overlay or (self._folder is None and self._video is None):
            return
        trails = self._trails[frame.lane]
        trails.update(frame.poses, frame.time or 0.0, frame.guessed)
        image = draw(trails.draw(frame.image), frame.poses, threshold=self._threshold)
        size = image.shape[:2]
        if frame.lane not in self._videos or self._videos[frame.lane][1] != size:  # live sources may change their size
            video = VideoWriter(self._path(frame, len(self.paths)))
            self._videos[frame.lane] = (self._stack.enter_context(video), size)
        self._videos[frame.lane][0].write(replace(frame, image=image))

    def _path(self, frame: Tracked, number: int) -> Path:
        """A name for the next overlay of a source."""
        if self._video is not None:
            path = self._video.with_stem(unique_name(self._video.stem, str(number), self._names))
        else:
            stem = Path(frame.source).stem
            stem = "camera" if frame.source.isdecimal() else "stream" if "://" in frame.source else stem
            name = unique_name(f"{stem}_overlay", f"{frame.lane} {number}", self._names)
            path = (self._folder or Path()) / f"{name}.mp4"
        self.paths.append(path)
        return path


def run(
    sources: list[str],
    estimator: Estimator,
    screen: Screen,
    *,
    out: Path | None = None,
    kind: Format = "jsonl",
    overlay: bool = False,
    print_json: bool = False,
    threshold: float = 0.3,
    live: bool | None = None,
    **options: Any,
) -> int:
    """Follow the people of all sources at once; returns how many sources failed.

    Ctrl-C ends the sources and keeps what came until then. `options` are those of `edgepose.track`.
    """
    feeds = feeds_of(list(sources), live)
    stories = [Story(feed.name) for feed in feeds]
    failed = set[str]()

    def tell(event: Event) -> None:
        lane = next((i for i, feed in enumerate(feeds) if feed.name == event.source), 0)
        if event.kind == "failed":
            failed.add(event.source)
        if event.kind == "ended":
            stories[lane].dropped = event.facts["dropped"] if feeds[lane].live else 0
        if print_json:
            screen.complain(json.dumps(event.as_dict(), allow_nan=False))
        elif event.kind != "ended":
            screen.complain(f"error: {event.message}" if event.kind == "failed" else event.message)

    with ExitStack() as stack:
        outputs = stack.enter_context(Outputs(feeds, out, kind, overlay, threshold))
        bar = stack.enter_context(screen.task(Path(feeds[0].name).name, _total(feeds)))
        stop = stack.enter_context(interrupted())
        try:
            for done, frame in enumerate(track(list(feeds), estimator, on_event=tell, stop=stop, **options), 1):
                height, width = frame.image.shape[:2]
                result = Result(frame.source, frame.index, frame.time, width, height, frame.poses, frame.guessed)
                stories[frame.lane].add(result)
                if frame.poses.ids is not None:
                    stories[frame.lane].identities.update(frame.poses.ids.tolist())
                if print_json:
                    screen.say(json.dumps(as_dict(result), allow_nan=False))
                outputs.write(frame, result)
                bar.update(done, f"{len(frame.poses)} people")
        except (ValueError, OSError) as error:
            if not any(story.frames for story in stories) and not feeds[0].live and len(feeds) == 1:
                raise
            if len(feeds) == 1:
                failed.add(feeds[0].name)
                screen.complain(f"error: {error}")
    if not print_json:
        for story in stories:
            screen.say(story.sentence())
        for path in outputs.paths:
            screen.say(f"wrote {path}")
    if stop.is_set():
        raise KeyboardInterrupt
    return len(failed)


@contextmanager
def interrupted() -> Iterator[threading.Event]:
    """An event that Ctrl-C (or a polite kill) sets instead of raising, so that no file is left half written."""
    asked = threading.Event()

    def ask(number: int, _: object) -> None:
        if asked.is_set():  # for the second time
            raise KeyboardInterrupt
        asked.set()

    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, ask) for number in signals]
    try:
        yield asked
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _total(feeds: list[Feed]) -> int | None:
    """How many frames will come, None where nobody knows: for the progress bar only."""
    if len(feeds) > 1 or feeds[0].live or not Path(feeds[0].name).is_file():
        return None
    return frame_count(Source(feeds[0].name, "video"))
