"""`edgepose track`: videos and live sources in, people with identities out, as lines, files and overlays."""

from __future__ import annotations

import json
import math
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgepose.cli.options import (
    Detector,
    Device,
    Format,
    Json,
    Model,
    Preset,
    Results,
    Runner,
    Threads,
    Threshold,
    load_estimator,
    require_folder,
)
from edgepose.cli.predict import Outcome, frame_count
from edgepose.cli.screen import Screen

if TYPE_CHECKING:
    from edgepose.media.live import Event, Feed
    from edgepose.media.results import Result, Writer
    from edgepose.media.video import VideoWriter
    from edgepose.runtime.estimator import Estimator
    from edgepose.runtime.track import Tracked


def track(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE", help="Videos, folders of frames, camera numbers, URLs.")
    ],
    model: Model = None,
    detector: Detector = "default",
    detect_every: Annotated[
        str, typer.Option("--detect-every", metavar="K|adaptive", help="Frames between two runs of the detector.")
    ] = "5",
    smooth: Annotated[bool, typer.Option("--smooth/--no-smooth", help="Steady the keypoints over time.")] = True,
    preset: Annotated[Preset, typer.Option("--preset", help="How much to smooth.")] = "default",
    follow: Annotated[int | None, typer.Option("--follow", min=1, metavar="ID", help="Only this person.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to write results to, or an overlay video (.mp4).")
    ] = None,
    kind: Results = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Also draw people with identities and trails, into --out.")
    ] = False,
    as_json: Json = False,
    max_latency: Annotated[
        float | None, typer.Option("--max-latency", metavar="MS", help="Work on a frame may take so long.")
    ] = None,
    fps: Annotated[float | None, typer.Option("--fps", help="Frames per second to reach.")] = None,
    live: Annotated[
        bool | None,
        typer.Option("--live/--no-live", help="Keep only the newest frame.", show_default="as the source is"),
    ] = None,
    reconnect: Annotated[
        bool, typer.Option("--reconnect/--no-reconnect", help="Join a live source again when it breaks.")
    ] = True,
    give_up: Annotated[
        float | None, typer.Option("--give-up", metavar="SECONDS", help="Without a frame for so long, stop trying.")
    ] = None,
    backend: Runner = None,
    threads: Threads = None,
    device: Device = "auto",
    threshold: Threshold = 0.3,
) -> None:
    """Follow people through videos and live sources: identities, steady keypoints.

    Videos keep every frame and its time. Of a camera or a URL only the newest frame counts, the others are dropped and
    counted, and a broken connection is joined again. Several sources share the models. Prints a line per source, or
    one JSON object per frame with --json; what happens to a source goes to stderr, with --json as objects too. When
    --max-latency or --fps cannot be kept, the detector runs less often, then each frame looks at some of the people.
    Ctrl-C finishes the files that are open.
    """
    require_folder(out, kind, overlay)
    if detect_every != "adaptive" and not (detect_every.isdecimal() and int(detect_every) >= 1):
        hint = f"expected a number of frames from 1, or adaptive, got {detect_every!r}"
        raise typer.BadParameter(hint, param_hint="--detect-every")
    for option, value in (("--max-latency", max_latency), ("--fps", fps), ("--give-up", give_up)):
        if value is not None and not 0 < value < math.inf:
            raise typer.BadParameter(f"expected a positive number, got {value:g}", param_hint=option)
    estimator = load_estimator(model, detector, backend, threads)
    with Screen() as screen:
        failed = run(
            sources, estimator, screen, out=out, kind=kind or "jsonl", overlay=overlay,
            print_json=as_json, threshold=threshold, live=live, reconnect=reconnect, give_up=give_up,
            detect_every=detect_every if detect_every == "adaptive" else int(detect_every),
            smooth=preset if smooth else None, follow=follow, fps=fps,
            max_latency=None if max_latency is None else max_latency / 1000,
        )  # fmt: skip
    if failed:
        raise typer.Exit(1)


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
        from edgepose.media.results import LiveJsonLines, writer
        from edgepose.media.trails import Trails
        from edgepose.media.video import WRITABLE

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
        from edgepose.media.draw import draw
        from edgepose.media.video import VideoWriter

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
        from edgepose.media.files import unique_name

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
    from edgepose.media.results import Result, as_dict
    from edgepose.runtime.track import feeds_of, track

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
    from edgepose.media.sources import Source

    return frame_count(Source(feeds[0].name, "video"))
