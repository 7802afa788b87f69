"""`edgepose track`: videos and live sources in, people with identities out, as lines, files and overlays."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from edgepose.cli.options import (
    MAX_PIXELS,
    Best,
    Detector,
    Device,
    Json,
    MaxPeople,
    MaxPixels,
    MinScore,
    Model,
    Preset,
    Quickest,
    Show,
    ShowPort,
    Threads,
    Threshold,
    TrackFormat,
    chosen,
    kind_of,
    load_estimator,
    require_folder,
)
from edgepose.cli.outputs import Outcome, Outputs, interrupted, shown
from edgepose.cli.predict import frame_count
from edgepose.cli.screen import Screen, counted

if TYPE_CHECKING:
    from edgepose.media.live import Event, Feed
    from edgepose.runtime.estimator import Estimator

RATE = Fraction(30)  # of frames that have no times


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
        Path | None,
        typer.Option("--out", "-o", help="Folder to write results to, or an overlay video (.mp4), or a .parquet file."),
    ] = None,
    kind: Annotated[
        TrackFormat | None, typer.Option("--format", "-f", help="Of the file in --out; JSON lines if not said.")
    ] = None,
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
    backend: Quickest = "auto",
    threads: Threads = None,
    device: Device = "auto",
    threshold: Threshold = 0.3,
    min_score: MinScore = 0.0,
    max_people: MaxPeople = None,
    best: Best = None,
    max_pixels: MaxPixels = MAX_PIXELS,
    show: Show = False,
    show_port: ShowPort = None,
) -> None:
    """Follow people through videos and live sources: identities, steady keypoints.

    Videos keep every frame and its time. Of a camera or a URL only the newest frame counts, the others are dropped and
    counted, and a broken connection is joined again. Several sources share the models. Prints a line per source, or
    one JSON object per frame with --json; what happens to a source goes to stderr, with --json as objects too. When
    --max-latency or --fps cannot be kept, the detector runs less often, then each frame looks at some of the people.
    Ctrl-C finishes the files that are open.
    """
    require_folder(out, kind, overlay)
    kind = cast("TrackFormat | None", kind_of(out, kind, overlay))
    if detect_every != "adaptive" and not (detect_every.isdecimal() and int(detect_every) >= 1):
        hint = f"expected a number of frames from 1, or adaptive, got {detect_every!r}"
        raise typer.BadParameter(hint, param_hint="--detect-every")
    for option, value in (("--max-latency", max_latency), ("--fps", fps), ("--give-up", give_up)):
        if value is not None and not 0 < value < math.inf:
            raise typer.BadParameter(f"expected a positive number, got {value:g}", param_hint=option)
    estimator = load_estimator(model, detector, backend, threads, max_people)
    with Screen() as screen:
        failed = run(
            sources, estimator, screen, out=out, kind=kind or "jsonl", overlay=overlay,
            print_json=as_json, threshold=threshold, live=live, reconnect=reconnect, give_up=give_up,
            detect_every=detect_every if detect_every == "adaptive" else int(detect_every),
            smooth=preset if smooth else None, follow=follow, fps=fps,
            max_latency=None if max_latency is None else max_latency / 1000,
            min_score=min_score, best=best, max_pixels=max_pixels, show=show, show_port=show_port,
            reads=[word for word in (model, detector) if word is not None],
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


def run(
    sources: list[str],
    estimator: Estimator,
    screen: Screen,
    *,
    out: Path | None = None,
    kind: TrackFormat = "jsonl",
    overlay: bool = False,
    print_json: bool = False,
    threshold: float = 0.3,
    live: bool | None = None,
    min_score: float = 0.0,
    best: int | None = None,
    max_pixels: int = MAX_PIXELS,
    reads: Sequence[str | Path] = (),
    show: bool = False,
    show_port: int | None = None,
    **options: Any,
) -> int:
    """Follow the people of all sources at once; returns how many sources failed.

    Ctrl-C ends the sources and keeps what came until then. `options` are those of `edgepose.track`. Nothing that is
    read is replaced, `reads` (models) neither.
    """
    from edgepose.media.files import alone_in, make_folder, refuse_sources
    from edgepose.media.results import LiveJsonLines, Result, images_of, is_parquet
    from edgepose.media.tracks import track_writer
    from edgepose.media.trails import Trails
    from edgepose.media.video import WRITABLE
    from edgepose.runtime.track import feeds_of, track

    feeds = feeds_of(list(sources), live, max_pixels=max_pixels)
    stories = [Story(feed.name, subject=estimator.spec.subject) for feed in feeds]
    trails = [Trails() for _ in feeds]
    told = set[str]()
    video = out is not None and out.suffix.lower() in WRITABLE
    if video and len(feeds) > 1:
        raise ValueError(f"{out} is one video, got {len(feeds)} sources: expected a folder in --out")
    read = [*sources, *(feed.name for feed in feeds), *reads, *(Path(model).with_suffix(".json") for model in reads)]
    if video and out is not None:
        refuse_sources([out], read)
    writer, path = None, None
    if out is not None and not video:
        make_folder(out.parent if is_parquet(out) else out)
        writer, path = track_writer(kind, out, apart=len(feeds) > 1, subject=estimator.spec.subject)
        refuse_sources([path, images_of(path)], read)
        if kind == "jsonl" and any(feed.live for feed in feeds):
            writer = LiveJsonLines(path)
    outputs = Outputs(
        screen, writer, out if overlay or video else None, threshold,
        print_json=print_json, sources=[*sources, *(feed.name for feed in feeds)],
    )  # fmt: skip

    def tell(event: Event) -> None:
        lane = next((i for i, feed in enumerate(feeds) if feed.name == event.source), 0)
        if event.kind == "failed":
            stories[lane].fail(event.message)
            told.add(event.message)
        if event.kind == "ended":
            stories[lane].dropped = event.facts["dropped"] if feeds[lane].live else 0
        if print_json:
            screen.complain(json.dumps(event.as_dict(), allow_nan=False))
        elif event.kind != "ended":
            screen.complain(f"error: {event.message}" if event.kind == "failed" else event.message)

    with interrupted() as stop:
        alone = nullcontext() if out is None or video or is_parquet(out) else alone_in(out)
        seen = shown(show, show_port, outputs, stop, screen, out, len(feeds))
        with alone, outputs, seen as viewer, screen.task(Path(feeds[0].name).name, _total(feeds)) as bar:
            try:
                for done, frame in enumerate(track(list(feeds), estimator, on_event=tell, stop=stop, **options), 1):
                    story, rows = stories[frame.lane], chosen(frame.poses, min_score, best)
                    poses, guessed = frame.poses[rows], frame.guessed[rows]
                    height, width = frame.image.shape[:2]
                    result = Result(frame.source, frame.index, frame.time, width, height, poses, guessed)
                    if poses.ids is not None:
                        story.identities.update(poses.ids.tolist())
                    trails[frame.lane].update(poses, frame.time or 0.0, guessed)
                    outputs.write(result, frame, story, RATE, trails[frame.lane].draw, frame.lane)
                    bar.update(done, counted(len(poses), estimator.spec.subject))
            except BrokenPipeError:
                raise
            except (ValueError, OSError) as error:
                if not any(story.frames for story in stories) and not feeds[0].live and len(feeds) == 1:
                    raise
                if len(feeds) == 1:
                    stories[0].fail(str(error))
            for story in stories:
                outputs.close(story)
        for story in stories:
            if story.error and story.error not in told:
                screen.complain(f"error: {story.error}")
        if not print_json:
            for story in stories:
                screen.say(story.sentence())
            overlays = [overlay for story in stories for overlay in story.overlays]
            for written in ([] if path is None else [path], overlays):
                for one in written:
                    if one.exists():
                        screen.say(f"wrote {one}")
        if stop.is_set() and not (viewer is not None and viewer.quit):
            raise KeyboardInterrupt
    return sum(1 for story in stories if story.error)


def _total(feeds: list[Feed]) -> int | None:
    """How many frames will come, None where nobody knows: for the progress bar only."""
    if len(feeds) > 1 or feeds[0].live or not Path(feeds[0].name).is_file():
        return None
    from edgepose.media.sources import Source

    return frame_count(Source(feeds[0].name, "video"))
