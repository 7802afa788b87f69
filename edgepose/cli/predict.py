"""`edgepose predict`: sources in, people out, as lines, files and overlays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, nullcontext
from fractions import Fraction
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, cast

import typer

from edgepose.cli.options import (
    MAX_PIXELS,
    Best,
    Data,
    Detector,
    DetectorSize,
    Device,
    End,
    Every,
    Format,
    Ignore,
    Json,
    MaxPeople,
    MaxPixels,
    MinScore,
    Model,
    Quickest,
    RegionOption,
    Results,
    Show,
    ShowPort,
    Start,
    Threads,
    Threshold,
    Tiles,
    chosen_part,
    chosen_places,
    chosen_size,
    kind_of,
    load_estimator,
    load_for_frames,
    require_folder,
    surest,
)
from edgepose.cli.outputs import Outcome, Outputs, attended, interrupted, shown
from edgepose.cli.screen import Screen, counted

if TYPE_CHECKING:
    import numpy as np

    from edgepose.media.part import Part
    from edgepose.media.results import Known
    from edgepose.media.sources import Source
    from edgepose.media.video import Frame
    from edgepose.poses import Poses
    from edgepose.skeleton import Skeleton

    Estimate = Callable[[np.ndarray], Poses]


def predict(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE", help="Pictures, folders, patterns, videos, camera numbers, video URLs."),
    ],
    model: Model = None,
    detector: Detector = "default",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to write results to, or a .parquet file.")
    ] = None,
    kind: Results = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Also draw the poses over what was read, into --out.")
    ] = False,
    as_json: Json = False,
    backend: Quickest = "auto",
    threads: Threads = None,
    device: Device = "auto",
    threshold: Threshold = None,
    min_score: MinScore = None,
    max_people: MaxPeople = None,
    best: Best = None,
    data: Data = None,
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
    """Find people and their keypoints.

    Prints one line per source, or one JSON object per frame with --json. With --out it writes results.jsonl (or
    results.json, results.csv, results.parquet, openpose/) and, with --overlay, NAME_overlay.jpg, .png or .mp4. A bad
    picture is named, the others are still done, and the exit status is 1. Ctrl-C keeps what is finished. COCO results
    take the pictures' ids from --data; results-images.json beside them says which picture has which. Small people:
    edgepose predict crowd.jpg --tiles auto. Parts: edgepose predict street.mp4 --region 0,200,900,500 --ignore
    0%,0%,20%,20% --start 0:01:30 --end 0:02:00 --every 0.5s. To look on: edgepose predict clip.mp4 --show. Coordinates,
    times and frame numbers stay those of the whole picture and video.
    """
    require_folder(out, kind, overlay)
    kind = cast("Format | None", kind_of(out, kind, overlay))
    if data is not None and kind != "coco":
        raise typer.BadParameter("it gives COCO results their ids: add --format coco", param_hint="--data")
    part = chosen_part(start, end, every)
    search = {"detector_size": chosen_size(detector_size), **chosen_places(tiles, region, ignore)} | {
        "min_score": min_score
    }
    if len(sources) == 1 and Path(sources[0]).suffix.lower() in (".jpg", ".jpeg", ".png"):  # nothing side by side
        estimator, workers = load_estimator(model, detector, backend, threads, max_people, **search), 1
    else:
        estimator, workers = load_for_frames(model, detector, backend, threads, max_people, **search)

    def estimate(image: np.ndarray) -> Poses:
        return surest(estimator(image), best)

    with Screen() as screen:
        failed = run(
            sources, estimate, screen, out=out, kind=kind or "jsonl", overlay=overlay,
            print_json=as_json, threshold=threshold, max_pixels=max_pixels,
            known=None if data is None else known_pictures(data, estimator.skeleton),
            subject=estimator.spec.subject, reads=[word for word in (model, detector, data) if word is not None],
            workers=workers, part=part, show=show, show_port=show_port,
        )  # fmt: skip
    if failed:
        raise typer.Exit(1)


def run(
    sources: list[str],
    estimate: Estimate,
    screen: Screen,
    *,
    out: Path | None = None,
    kind: Format = "jsonl",
    overlay: bool = False,
    print_json: bool = False,
    threshold: float | None = None,
    known: Known | None = None,
    subject: str = "person",
    max_pixels: int = MAX_PIXELS,
    reads: Sequence[str | Path] = (),
    workers: int = 1,
    show: bool = False,
    show_port: int | None = None,
    part: Part | None = None,
) -> int:
    """Run every source; bad ones are named and the others still done. Returns how many failed.

    Ctrl-C ends the source at hand, and what was finished until then is kept. Nothing that is read is replaced, `reads`
    (models, labels) neither. `workers` frames of files are looked at side by side. Of videos `part` is read.
    """
    from edgepose.media.files import alone_in, make_folder, refuse_sources
    from edgepose.media.results import images_of, is_parquet, writer

    found, outcomes = _expanded(sources)
    if overlay:
        found = _without_overlays(found, screen)
    if known is not None:
        used = set[int]()
        found = [source for source in found if _has_number(source, known, used, outcomes)]
    for outcome in outcomes:
        screen.complain(f"error: {outcome.error}")
    if not found:
        return len(outcomes)
    results, path = None, None
    if out is not None:
        make_folder(out.parent if is_parquet(out) else out)
        apart = len({_camera(source) for source in found}) > 1
        results, path = writer(kind, out, known, apart, subject)
        beside = [Path(model).with_suffix(".json") for model in reads]  # a model's spec
        refuse_sources([path, images_of(path)], [*sources, *(source.location for source in found), *reads, *beside])
    outputs = Outputs(
        screen, results, out if overlay else None, threshold,
        print_json=print_json, sources=[source.location for source in found],
        from_zero=part is not None and part.start is not None,
    )  # fmt: skip
    seen = 0
    with interrupted() as stop:
        alone = nullcontext() if out is None or is_parquet(out) else alone_in(out)
        with alone, outputs, ExitStack() as stack:
            viewer = stack.enter_context(shown(show, show_port, outputs, stop, screen, out))
            bar = stack.enter_context(screen.task("sources", len(found))) if len(found) > 1 else None
            look = _Look(estimate, max_pixels, workers, [source for source in found if source.kind == "picture"], part)
            stack.callback(look.close)
            if viewer is not None:
                look.paused = viewer.listen
            for number, source in enumerate(found):
                if stop.is_set():
                    break
                if bar is not None:
                    bar.update(number)
                outcome = run_source(source, look, outputs, screen, stop, subject)
                outcomes.append(outcome)
                seen += 1
                if outcome.frames and not print_json:
                    screen.say(outcome.sentence())
                if outcome.error:
                    screen.complain(f"error: {outcome.error}")
            if viewer is not None and found[-1].kind == "picture" and attended():
                viewer.linger()  # a picture is done before anybody has looked
        if not print_json:
            _close(outcomes, path, screen)
        left, cut = len(found) - seen, [outcome for outcome in outcomes if outcome.stopped]
        if left or cut:
            ends = [f"{cut[0].source} ends after frame {cut[0].frames}"] if cut else []
            waiting = [f"{left} of {len(found)} sources were not begun"] if left else []
            quit_ = viewer is not None and viewer.quit
            screen.complain(f"{'ended by q' if quit_ else 'interrupted'}: {'; '.join(ends + waiting)}")
            if not quit_:
                raise KeyboardInterrupt
    return sum(1 for outcome in outcomes if outcome.error)


def _without_overlays(found: list[Source], screen: Screen) -> list[Source]:
    """Of several sources, as a shell's pattern gives them, those that no earlier run has drawn."""
    from edgepose.media.marks import is_overlay

    others = [source for source in found if not is_overlay(source.location)]
    if not others or len(others) == len(found):
        return found
    screen.complain(f"{len(found) - len(others)} overlays of an earlier run are passed over")
    return others


def _has_number(source: Source, known: Known, used: set[int], outcomes: list[Outcome]) -> bool:
    """Whether the labels say what a source's id is; before the work, because its results would have to be refused."""
    try:
        if source.kind != "picture":
            raise ValueError(f"{source.name} is a {source.kind}: expected pictures, which {known.source} names")
        number = known.id_of(source.name)
        if number in used:
            raise ValueError(f"{source.name} is picture {number} of {known.source} for the second time")
        used.add(number)
    except ValueError as error:
        outcomes.append(Outcome(source.name, error=str(error)))
        return False
    return True


def _camera(source: Source) -> str:
    """What one camera has taken: the pictures of a folder, or a video."""
    return str(Path(source.name).parent) if source.kind == "picture" else source.name


def known_pictures(data: Path, skeleton: Skeleton) -> Known:
    """The ids of the pictures in a label file, and the category whose keypoints are the model's."""
    from edgepose.data.coco import labelled_skeleton
    from edgepose.evaluate.labels import picture_ids, read_labels
    from edgepose.media.results import Known

    labels = read_labels(data, annotated=False)
    categories = labels.get("categories") or [{"id": 1}]
    own = [c["id"] for c in categories if labelled_skeleton(c, (), data) == skeleton]
    people = [c["id"] for c in categories if c.get("name") == "person"]
    category = (own or people or [categories[0]["id"]])[0]
    return Known(picture_ids(labels, data), category, str(data))


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


def run_source(
    source: Source,
    estimate: Estimate | _Look,
    outputs: Outputs,
    screen: Screen,
    stop: Event,
    subject: str = "person",
) -> Outcome:
    """All frames of one source to the outputs, until `stop` is set."""
    from edgepose.media.live import is_live
    from edgepose.media.results import Result
    from edgepose.media.video import without_password

    name = without_password(source.name)
    outcome = Outcome(name, subject=subject)
    if outputs.viewer is not None:
        outputs.viewer.waits = not is_live(source)
    look = estimate if isinstance(estimate, _Look) else _Look(estimate)
    with ExitStack() as stack:
        bar, rate = None, None
        if source.kind != "picture":
            bar = stack.enter_context(screen.task(Path(name).name, frame_count(source, look.part)))
            rate = _rate(source)
        for frame, poses in look.people(source, outcome):
            height, width = frame.image.shape[:2]
            outputs.write(Result(name, frame.index, frame.time, width, height, poses), frame, outcome, rate)
            if bar is not None:
                bar.update(outcome.frames, counted(len(poses), subject))
            if stop.is_set() and source.kind != "picture":
                outcome.stopped = True
                break
    outputs.close(outcome)
    return outcome


class _Look:
    """Frames with their people: one after the other or, of files, `workers` side by side and in their order.

    pictures: the sources among all that are one picture each, in the order in which `people` will be asked for them.
    """

    def __init__(
        self,
        estimate: Estimate,
        max_pixels: int = MAX_PIXELS,
        workers: int = 1,
        pictures: Sequence[Source] = (),
        part: Part | None = None,
    ) -> None:
        from edgepose.runtime.ahead import ahead

        self.part = part

        self._estimate, self._max_pixels, self._workers = estimate, max_pixels, workers
        self.paused: Callable[[], bool] = lambda: False  # what a camera gives meanwhile is passed over
        self._pictures = ahead(self._picture, pictures, workers) if workers > 1 and pictures else None

    def people(self, source: Source, outcome: Outcome) -> Iterator[tuple[Frame, Poses]]:
        """Until the source ends or breaks; what broke it goes into the outcome.

        Only reading and estimating is guarded here: a result that cannot be written concerns all sources.
        """
        try:
            yield from self._frames(source)
        except (ValueError, OSError) as error:
            outcome.fail(str(error))

    def close(self) -> None:
        """No more pictures."""
        if self._pictures is not None:
            self._pictures.close()

    def _frames(self, source: Source) -> Iterator[tuple[Frame, Poses]]:
        from edgepose.media.live import is_live
        from edgepose.media.sources import frames
        from edgepose.runtime.ahead import ahead

        def one(frame: Frame) -> tuple[Frame, Poses]:
            return self._one(frame, source)

        if source.kind == "picture" and self._pictures is not None:
            found = next(self._pictures)
            if isinstance(found, Exception):
                raise found
            yield found
        elif source.kind == "video" and self._workers > 1:
            with closing(ahead(one, frames(source, self._max_pixels, self.part), self._workers)) as pairs:
                yield from pairs
        else:  # a camera's frame is not to wait for the next one
            for frame in frames(source, self._max_pixels, self.part):
                if not (is_live(source) and self.paused()):
                    yield one(frame)

    def _one(self, frame: Frame, source: Source) -> tuple[Frame, Poses]:
        from edgepose.media.video import without_password

        try:
            return frame, self._estimate(frame.image)
        except ValueError as error:
            raise ValueError(f"{without_password(source.name)}: {error}") from error

    def _picture(self, source: Source) -> tuple[Frame, Poses] | Exception:
        """What came of a picture, so that a bad one does not end the others."""
        from edgepose.media.sources import frames

        try:
            return self._one(next(iter(frames(source, self._max_pixels, self.part))), source)
        except (ValueError, OSError) as error:
            return error


def _close(outcomes: list[Outcome], path: Path | None, screen: Screen) -> None:
    failed = sum(1 for outcome in outcomes if outcome.error)
    if len(outcomes) > 1:
        frames_read = sum(outcome.frames for outcome in outcomes)
        screen.say(f"{len(outcomes)} sources, {frames_read} frames, {failed} failed")
    if path is not None:
        screen.say(f"wrote {path}")
    overlays = [overlay for outcome in outcomes for overlay in outcome.overlays if overlay.exists()]
    if overlays:
        screen.say(f"wrote {overlays[0]}" + (f" and {len(overlays) - 1} more" if len(overlays) > 1 else ""))


def _rate(source: Source) -> Fraction:
    """Frames per second of a video without times; 30 where the file says nothing."""
    if source.kind != "video" or source.member is not None:
        return Fraction(30)
    from edgepose.media.video import stream_facts

    return stream_facts(source.location)[0]


def frame_count(source: Source, part: Part | None = None) -> int | None:
    """How many frames the file says it, or a part of it, has, None where it does not: for the progress bar only."""
    from edgepose.media.video import stream_facts

    if source.kind != "video" or source.member is not None:
        return None
    rate, total = stream_facts(source.location)
    return total if part is None else part.count(total, float(rate))
