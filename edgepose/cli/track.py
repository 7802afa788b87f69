"""`edgepose track`: videos and live sources in, people with identities out, as lines, files and overlays."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from edgepose.cli.offline import check_feeds, check_outputs, fills_of, is_trc, offline_frames, settings_of, size_of
from edgepose.cli.options import (
    MAX_PIXELS,
    Best,
    Detector,
    DetectorSize,
    Device,
    End,
    Every,
    Ignore,
    Json,
    MaxPeople,
    MaxPixels,
    MinScore,
    Model,
    Preset,
    Quickest,
    RegionOption,
    Show,
    ShowPort,
    Start,
    Threads,
    Tiles,
    TrackFormat,
    chosen,
    chosen_part,
    chosen_places,
    chosen_size,
    kind_of,
    load_estimator,
    require_folder,
)
from edgepose.cli.outputs import Outcome, Outputs, interrupted, shown
from edgepose.cli.predict import frame_count
from edgepose.cli.screen import Screen, counted

if TYPE_CHECKING:
    from edgepose.media.live import Event, Feed
    from edgepose.media.part import Part
    from edgepose.media.results import Writer
    from edgepose.runtime.estimator import Estimator
    from edgepose.runtime.offline import Settings
    from edgepose.runtime.track import Tracked

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
    keep_sides: Annotated[
        bool,
        typer.Option(
            "--keep-sides/--no-keep-sides", help="Exchange left and right back where the network mixes them up."
        ),
    ] = True,
    follow: Annotated[int | None, typer.Option("--follow", min=1, metavar="ID", help="Only this person.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder to write results to, an overlay video (.mp4), a .parquet file or a person's .trc.",
        ),
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
    offline: Annotated[
        bool, typer.Option("--offline", help="Of files: go through all of it once more, without delay.")
    ] = False,
    max_gap: Annotated[
        str | None,
        typer.Option(
            "--max-gap",
            metavar="N|SECONDSs",
            help="Fill gaps of so many frames, or seconds (0.5s); 0: none.",
            show_default="0.5s",
        ),
    ] = None,
    cutoff: Annotated[
        float | None,
        typer.Option("--cutoff", metavar="HZ", help="Of the Butterworth filter, run forth and back.", show_default="4"),
    ] = None,
    order: Annotated[
        int | None, typer.Option("--order", help="Of the filter, both runs together: 2, 4, 6 or 8.", show_default="4")
    ] = None,
    join: Annotated[
        float | None,
        typer.Option(
            "--join", metavar="SECONDS", help="Join tracks of one person over so much; 0: never.", show_default="2"
        ),
    ] = None,
    sides: Annotated[
        bool, typer.Option("--sides/--no-sides", help="With --offline, put exchanged left and right points back.")
    ] = True,
    person: Annotated[
        str | None,
        typer.Option("--person", metavar="largest|longest|ID|all", help="Of whom results are.", show_default="all"),
    ] = None,
    angles: Annotated[
        str | None,
        typer.Option("--angles", metavar="NAMES", help="Columns of angles: standard, or left_knee,left_hip:left_knee."),
    ] = None,
    backend: Quickest = "auto",
    threads: Threads = None,
    device: Device = "auto",
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            help="Least score of keypoints in overlays, TRC files and angles.",
            show_default="0.5 where scores are calibrated, else 0.3",
        ),
    ] = None,
    min_score: MinScore = None,
    max_people: MaxPeople = None,
    best: Best = None,
    max_pixels: MaxPixels = MAX_PIXELS,
    show: Show = False,
    show_port: ShowPort = None,
    detector_size: DetectorSize = None,
    tiles: Tiles = None,
    region: RegionOption = None,
    ignore: Ignore = None,
    start: Start = None,
    end: End = None,
    every: Every = None,
) -> None:
    """Follow people through videos and live sources: identities, steady keypoints.

    Videos keep every frame and its time. Of a camera or a URL only the newest frame counts, the others are dropped and
    counted, and a broken connection is joined again. Several sources share the models. Prints a line per source, or
    one JSON object per frame with --json; what happens to a source goes to stderr, with --json as objects too. When
    --max-latency or --fps cannot be kept, the detector runs less often, then each frame looks at some of the people.
    Ctrl-C finishes the files that are open.

    With --offline a file is gone through again when all of it is known: tracks of one person are joined, short runs of
    exchanged left and right put back, gaps filled and marked, and points smoothed without delay (needs the extra
    offline). --person, --max-gap, --cutoff, --order, --join and --no-sides belong to it:

    `edgepose track clip.mp4 --offline --person largest --cutoff 6 --out clip.trc`

    `edgepose track clip.mp4 --offline --angles standard,left_hip:left_knee --format csv --out results`

    Small people: edgepose track pitch.mp4 --tiles 2x3. Parts: edgepose track street.mp4 --region 0,200,900,500 --ignore
    0%,0%,20%,20% --start 0:01:30 --end 0:02:00 --every 0.2s. Coordinates, times and frame numbers stay those of the
    whole picture and video; overlays begin at 0.

    To look on: edgepose track clip.mp4 --show. A table of a long video: edgepose track clip.mp4 --out clip.parquet
    """
    settings = settings_of(
        offline, smooth, {"max_gap": max_gap, "cutoff": cutoff, "order": order, "join": join, "person": person}, sides,
        {"--preset": preset != "default", "--follow": follow is not None, "--max-latency": max_latency is not None,
         "--fps": fps is not None, "--live": bool(live), "--give-up": give_up is not None,
         "--no-reconnect": not reconnect},
    )  # fmt: skip
    check_outputs(out, kind, overlay, angles, as_json)
    require_folder(out, kind, overlay)
    kind = cast("TrackFormat | None", kind_of(out, kind, overlay))
    if detect_every != "adaptive" and not (detect_every.isdecimal() and int(detect_every) >= 1):
        hint = f"expected a number of frames from 1, or adaptive, got {detect_every!r}"
        raise typer.BadParameter(hint, param_hint="--detect-every")
    for option, value in (("--max-latency", max_latency), ("--fps", fps), ("--give-up", give_up)):
        if value is not None and not 0 < value < math.inf:
            raise typer.BadParameter(f"expected a positive number, got {value:g}", param_hint=option)
    part = chosen_part(start, end, every)
    search = {"detector_size": chosen_size(detector_size), **chosen_places(tiles, region, ignore)}
    estimator = load_estimator(model, detector, backend, threads, max_people, **search)
    with Screen() as screen:
        failed = run(
            sources, estimator, screen, out=out, kind=kind or "jsonl", overlay=overlay,
            print_json=as_json, threshold=threshold, live=live, reconnect=reconnect, give_up=give_up,
            detect_every=detect_every if detect_every == "adaptive" else int(detect_every),
            smooth=preset if smooth else None, keep_sides=keep_sides, follow=follow, fps=fps,
            max_latency=None if max_latency is None else max_latency / 1000,
            min_score=min_score, best=best, max_pixels=max_pixels, settings=settings, angles=angles, part=part,
            show=show, show_port=show_port,
            reads=[word for word in (model, detector) if word is not None],
        )  # fmt: skip
    if failed:
        raise typer.Exit(1)


@dataclass
class Story(Outcome):
    """What became of one source, and who was there."""

    identities: set[int] = field(default_factory=set)
    dropped: int = 0
    done: str = ""  # by --offline

    def sentence(self) -> str:
        """One line for people."""
        text = f"{super().sentence()}, {len(self.identities)} identities"
        text = f"{text}, {self.dropped} frames dropped" if self.dropped else text
        return f"{text}; {self.done}" if self.done else text


def run(
    sources: list[str],
    estimator: Estimator,
    screen: Screen,
    *,
    out: Path | None = None,
    kind: TrackFormat = "jsonl",
    overlay: bool = False,
    print_json: bool = False,
    threshold: float | None = None,
    live: bool | None = None,
    min_score: float | None = None,
    best: int | None = None,
    max_pixels: int = MAX_PIXELS,
    reads: Sequence[str | Path] = (),
    show: bool = False,
    show_port: int | None = None,
    settings: Settings | None = None,
    angles: str | None = None,
    part: Part | None = None,
    **options: Any,
) -> int:
    """Follow the people of all sources at once; returns how many sources failed.

    settings: of `--offline`; None: everything is written as it comes
    angles: words of `--angles`

    Ctrl-C ends the sources and keeps what came until then. `options` are those of `edgepose.track`. Nothing that is
    read is replaced, `reads` (models) neither.
    """
    from edgepose.angles import angles_of, measured
    from edgepose.media.files import alone_in, make_folder, refuse_sources
    from edgepose.media.results import LiveJsonLines, Result, images_of, is_parquet
    from edgepose.media.tracks import track_writer
    from edgepose.media.trails import Trails
    from edgepose.media.trc import Trc
    from edgepose.media.video import WRITABLE
    from edgepose.runtime.track import feeds_of, track

    threshold = estimator.spec.thresholds.drawn if threshold is None else threshold
    feeds = feeds_of(list(sources), live, max_pixels=max_pixels, part=part)
    if settings is not None:
        check_feeds(feeds, settings)
    stories = [Story(feed.name, subject=estimator.spec.subject) for feed in feeds]
    trails = [Trails() for _ in feeds]
    told = set[str]()
    wanted = angles_of(angles, estimator.skeleton) if angles else []
    video = out is not None and out.suffix.lower() in WRITABLE
    single = video or is_trc(out)
    if single and len(feeds) > 1:
        what = "video" if video else "person's file"
        raise ValueError(f"{out} is one {what}, got {len(feeds)} sources: expected a folder in --out")
    read = [*sources, *(feed.name for feed in feeds), *reads, *(Path(model).with_suffix(".json") for model in reads)]
    if single and out is not None:
        refuse_sources([out], read)
    writer: Writer | None = None
    path: Path | None = None
    if out is not None and not video and single:
        writer, path = Trc(out.parent, out, threshold), out
    elif out is not None and not single:
        make_folder(out.parent if is_parquet(out) else out)
        writer, path = track_writer(
            kind, out, apart=len(feeds) > 1, subject=estimator.spec.subject, threshold=threshold
        )
        refuse_sources([path, images_of(path)], read)
        if kind == "jsonl" and any(feed.live for feed in feeds):
            writer = LiveJsonLines(path)
    outputs = Outputs(
        screen, writer, out if overlay or video else None, threshold,
        print_json=print_json, sources=[*sources, *(feed.name for feed in feeds)],
        from_zero=part is not None and part.start is not None,
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
        alone = nullcontext() if out is None or single or is_parquet(out) else alone_in(out)
        seen = shown(show, show_port, outputs, stop, screen, out, len(feeds))
        with alone, outputs, seen as viewer, screen.task(Path(feeds[0].name).name, _total(feeds, part)) as bar:
            try:
                if settings is None:
                    frames: Iterator[Tracked] = track(
                        list(feeds), estimator, on_event=tell, stop=stop, min_score=min_score, **options
                    )
                else:
                    frames = offline_frames(
                        feeds, estimator, settings, stories, screen, bar,
                        images=outputs.overlays is not None or viewer is not None,
                        on_event=tell, stop=stop, min_score=min_score, **options,
                    )  # fmt: skip
                for done, frame in enumerate(frames, 1):
                    story, rows = stories[frame.lane], chosen(frame.poses, best)
                    poses, guessed = frame.poses[rows], frame.guessed[rows]
                    result = Result(
                        frame.source, frame.index, frame.time, *size_of(frame), poses, guessed, *fills_of(frame, rows),
                        measured(poses, wanted, threshold) if wanted else None,
                    )  # fmt: skip
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
                elif settings is not None and not any(message.endswith(str(error)) for message in told):
                    raise  # of the second pass; what ended the first one has been told
            for story in stories:
                outputs.close(story)
        for story in stories:
            if story.error and story.error not in told:
                screen.complain(f"error: {story.error}")
        if not print_json:
            for story in stories:
                screen.say(story.sentence())
            overlays = [overlay for story in stories for overlay in story.overlays]
            results = writer.written if single and isinstance(writer, Trc) else [] if path is None else [path]
            for written in (results, overlays):
                for one in written:
                    if one.exists():
                        screen.say(f"wrote {one}")
        if stop.is_set() and not (viewer is not None and viewer.quit):
            raise KeyboardInterrupt
    return sum(1 for story in stories if story.error)


def _total(feeds: list[Feed], part: Part | None) -> int | None:
    """How many frames will come, None where nobody knows: for the progress bar only."""
    if len(feeds) > 1 or feeds[0].live or not Path(feeds[0].name).is_file():
        return None
    from edgepose.media.sources import Source

    return frame_count(Source(feeds[0].name, "video"), part)
