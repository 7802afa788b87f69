"""`edgepose predict`: sources in, people out, as lines, files and overlays."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgepose.cli.options import (
    Detector,
    Device,
    Format,
    Json,
    Model,
    Results,
    Runner,
    Threads,
    Threshold,
    load_estimator,
    require_folder,
)
from edgepose.cli.screen import Screen

if TYPE_CHECKING:
    import numpy as np

    from edgepose.media.results import Result, Writer
    from edgepose.media.sources import Source
    from edgepose.media.video import Frame, VideoWriter
    from edgepose.poses import Poses

    Estimate = Callable[[np.ndarray], Poses]

LIVE = ("camera", "stream")


def predict(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE", help="Pictures, folders, patterns, videos, camera numbers, video URLs."),
    ],
    model: Model = None,
    detector: Detector = "default",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder to write results to.")] = None,
    kind: Results = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Also draw the poses over what was read, into --out.")
    ] = False,
    as_json: Json = False,
    backend: Runner = None,
    threads: Threads = None,
    device: Device = "auto",
    threshold: Threshold = 0.3,
) -> None:
    """Find people and their keypoints.

    Prints one line per source, or one JSON object per frame with --json. With --out it writes results.jsonl (or
    results.json, results.csv, openpose/) and, with --overlay, NAME_overlay.jpg, .png or .mp4. A bad picture is named,
    the others are still done, and the exit status is 1.
    """
    require_folder(out, kind, overlay)
    estimator = load_estimator(model, detector, backend, threads)
    with Screen() as screen:
        failed = run(
            sources, estimator, screen, out=out, kind=kind or "jsonl", overlay=overlay,
            print_json=as_json, threshold=threshold,
        )  # fmt: skip
    if failed:
        raise typer.Exit(1)


@dataclass
class Outcome:
    """What became of one source."""

    source: str
    frames: int = 0
    most: int = 0  # people on one frame
    least: int = 0
    seconds: float | None = None
    overlay: Path | None = None
    results: Path | None = None  # file of this source alone (demo)
    error: str = ""
    stopped: bool = False  # a live source, by the user

    def add(self, result: Result) -> None:
        """Count one frame."""
        people = len(result.poses)
        self.least = people if self.frames == 0 else min(self.least, people)
        self.most = max(self.most, people)
        self.frames += 1
        self.seconds = result.time

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        paths = {"overlay": self.overlay, "results": self.results}
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
        people = f"{spread} {'person' if self.most == 1 else 'people'}"
        if self.seconds is None and self.frames == 1:
            return f"{self.source}: {people}"
        length = "" if self.seconds is None else f", {self.seconds:.1f} s"
        return f"{self.source}: {self.frames} frames{length}, {people}"


@dataclass
class Sinks:
    """Where results go. `overlays` is the folder for pictures and videos with the poses drawn over them."""

    writer: Writer | None = None
    overlays: Path | None = None
    threshold: float = 0.3
    suffix: str = ""  # of picture overlays; by default PNG stays PNG and everything else becomes JPEG
    print_json: bool = False
    _names: dict[str, str] = field(default_factory=dict)

    def overlay_path(self, source: Source) -> Path | None:
        """Where the overlay of a source goes, None when no overlay is wanted."""
        if self.overlays is None:
            return None
        from edgepose.media.files import unique_name

        stem = Path(source.location).stem if source.kind in ("picture", "video") else source.kind
        name = unique_name(f"{stem}_overlay", source.location, self._names)
        own = ".png" if Path(source.location).suffix.lower() == ".png" else ".jpg"
        return self.overlays / (name + ((self.suffix or own) if source.kind == "picture" else ".mp4"))


def run(
    sources: list[str],
    estimate: Estimate,
    screen: Screen,
    *,
    out: Path | None = None,
    kind: Format = "jsonl",
    overlay: bool = False,
    print_json: bool = False,
    threshold: float = 0.3,
) -> int:
    """Run every source; bad ones are named and the others still done. Returns how many failed."""
    from edgepose.media.files import make_folder
    from edgepose.media.results import writer

    found, outcomes = _expanded(sources)
    for outcome in outcomes:
        screen.complain(f"error: {outcome.error}")
    if not found:
        return len(outcomes)
    with ExitStack() as stack:
        sinks = Sinks(overlays=out if overlay else None, threshold=threshold, print_json=print_json)
        path = None
        if out is not None:
            make_folder(out)
            results, path = writer(kind, out)
            sinks.writer = stack.enter_context(results)
        bar = stack.enter_context(screen.task("sources", len(found))) if len(found) > 1 else None
        for number, source in enumerate(found):
            if bar is not None:
                bar.update(number)
            outcome = run_source(source, estimate, sinks, screen)
            outcomes.append(outcome)
            if outcome.frames and not print_json:
                screen.say(outcome.sentence())
            if outcome.error:
                screen.complain(f"error: {outcome.error}")
            if outcome.stopped:
                break
    if not print_json:
        _close(outcomes, path, screen)
    if any(outcome.stopped for outcome in outcomes):
        raise KeyboardInterrupt
    return sum(1 for outcome in outcomes if outcome.error)


def _expanded(sources: list[str]) -> tuple[list[Source], list[Outcome]]:
    """What the sources stand for, and what became of those that stand for nothing."""
    from edgepose.media.sources import expand
    from edgepose.media.video import without_password

    found, refused = [], []
    for source in sources:
        try:
            found += expand(source)
        except (ValueError, OSError) as error:
            refused.append(Outcome(without_password(source), error=str(error)))
    return found, refused


def run_source(source: Source, estimate: Estimate, sinks: Sinks, screen: Screen) -> Outcome:
    """All frames of one source to the sinks. Ctrl-C ends a camera or a stream and keeps what came until then."""
    from edgepose.media.results import Result
    from edgepose.media.video import VideoWriter, without_password

    shown = without_password(source.location)
    outcome = Outcome(shown)
    with ExitStack() as stack:
        bar = None
        if source.kind != "picture":
            bar = stack.enter_context(screen.task(Path(shown).name, frame_count(source)))
        path = outcome.overlay = sinks.overlay_path(source)
        video: VideoWriter | None = None
        try:
            for frame, poses in _poses(source, estimate, outcome):
                height, width = frame.image.shape[:2]
                result = Result(shown, frame.index, frame.time, width, height, poses)
                outcome.add(result)
                if video is None and path is not None and source.kind != "picture":
                    video = stack.enter_context(VideoWriter(path, _rate(source)))
                _write(result, frame, sinks, screen, path, video)
                if bar is not None:
                    bar.update(outcome.frames, f"{len(poses)} people")
        except KeyboardInterrupt:
            if source.kind not in LIVE:
                raise
            outcome.stopped = True
    return outcome


def _poses(source: Source, estimate: Estimate, outcome: Outcome) -> Iterator[tuple[Frame, Poses]]:
    """Frames with their people until the source ends or breaks; what broke it goes into the outcome.

    Only reading and estimating is guarded here: a result that cannot be written concerns all sources.
    """
    from edgepose.media.sources import frames

    try:
        for frame in frames(source):
            yield frame, estimate(frame.image)
    except (ValueError, OSError) as error:
        outcome.error = str(error)


def _write(
    result: Result, frame: Frame, sinks: Sinks, screen: Screen, path: Path | None, video: VideoWriter | None
) -> None:
    from edgepose.media.draw import draw
    from edgepose.media.images import write_image
    from edgepose.media.results import as_dict

    if sinks.print_json:
        screen.say(json.dumps(as_dict(result), allow_nan=False))
    if sinks.writer is not None:
        sinks.writer.write(result)
    if path is None:
        return
    image = draw(frame.image, result.poses, threshold=sinks.threshold)
    if video is not None:
        video.write(replace(frame, image=image))
    else:
        write_image(path, image)


def _close(outcomes: list[Outcome], path: Path | None, screen: Screen) -> None:
    failed = sum(1 for outcome in outcomes if outcome.error)
    if len(outcomes) > 1:
        frames_read = sum(outcome.frames for outcome in outcomes)
        screen.say(f"{len(outcomes)} sources, {frames_read} frames, {failed} failed")
    if path is not None:
        screen.say(f"wrote {path}")
    overlays = [outcome.overlay for outcome in outcomes if outcome.overlay is not None and outcome.frames]
    if overlays:
        screen.say(f"wrote {overlays[0]}" + (f" and {len(overlays) - 1} more" if len(overlays) > 1 else ""))


def _rate(source: Source) -> Fraction:
    """Frames per second of a video without times; 30 where the file says nothing."""
    if source.kind != "video":
        return Fraction(30)
    from edgepose.media.video import stream_facts

    return stream_facts(source.location)[0]


def frame_count(source: Source) -> int | None:
    """How many frames the file says it has, None where it does not: for the progress bar only."""
    from edgepose.media.video import stream_facts

    return stream_facts(source.location)[1] if source.kind == "video" else None
