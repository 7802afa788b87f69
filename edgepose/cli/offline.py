"""What `edgepose track` does with --offline, --angles and TRC files: its options checked, its frames found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edgepose.cli.screen import counted

if TYPE_CHECKING:
    import threading

    import numpy as np

    from edgepose.cli.screen import Screen, Task
    from edgepose.cli.track import Story
    from edgepose.media.live import Feed
    from edgepose.runtime.estimator import Estimator
    from edgepose.runtime.offline import Finished, Settings
    from edgepose.runtime.track import Tracked

VIDEOS = (".mp4", ".mov", ".mkv")  # media.video.WRITABLE
_INSTEAD = {"--preset": "--cutoff HZ", "--follow": "--person ID"}  # of what is for live sources


def settings_of(
    offline: bool, smooth: bool, given: Mapping[str, Any], sides: bool, live: Mapping[str, bool]
) -> Settings | None:
    """What the options say is done to finished files; None without --offline. Wrong use where they do not fit.

    given: field of `Settings` -> value, None where the option was not named
    live:  option that only live tracking has -> whether it was named
    """
    named = {f"--{name.replace('_', '-')}": value for name, value in given.items() if value is not None}
    if not offline:
        option = next(iter(named), None if sides else "--no-sides")
        if option == "--person":
            raise typer.BadParameter(
                "the whole file must be known: add --offline, or use --follow ID", param_hint=option
            )
        if option is not None:
            raise typer.BadParameter("it is about files that are gone through twice: add --offline", param_hint=option)
        return None
    from edgepose.runtime.offline import Settings

    option = next((name for name, was in live.items() if was), None)
    if option is not None:
        instead = _INSTEAD.get(option)
        raise typer.BadParameter(
            f"it is for live tracking, not for --offline: {f'use {instead}' if instead else 'leave it out'}",
            param_hint=option,
        )
    if not smooth and "--cutoff" in named:
        raise typer.BadParameter("--no-smooth leaves the filter out: name one of the two", param_hint="--cutoff")
    values = {name: value for name, value in given.items() if value is not None}
    if "person" in values and values["person"].isdecimal():
        values["person"] = int(values["person"])
    if not smooth:
        values["cutoff"] = None
    try:
        settings = Settings(sides=sides, **values)
    except ValueError as error:
        option = next((name for name in named if str(error).startswith(name[2:].replace("-", "_"))), "--offline")
        raise typer.BadParameter(str(error), param_hint=option) from None
    settings.require()
    return settings


def check_outputs(out: Path | None, kind: str | None, overlay: bool, angles: str | None, as_json: bool) -> None:
    """Wrong use where a file cannot hold what is asked of it."""
    if is_trc(out):
        if kind not in (None, "trc"):
            raise typer.BadParameter(f"{out} is a TRC file, got {kind}: name a folder", param_hint="--format")
        if overlay:
            raise typer.BadParameter(f"it is written to a folder, and {out} is a TRC file", param_hint="--overlay")
        kind = "trc"
    if angles is None:
        return
    results = out is not None and out.suffix.lower() not in VIDEOS
    if kind not in (None, "jsonl", "csv", "parquet") and not as_json:
        raise typer.BadParameter(
            f"{kind} files have no place for angles: use csv, jsonl or parquet", param_hint="--angles"
        )
    if not results and not as_json:
        raise typer.BadParameter("they go to results: add --out FOLDER, or --json", param_hint="--angles")


def is_trc(out: Path | None) -> bool:
    """Whether --out is the file of one person."""
    return out is not None and out.suffix.lower() == ".trc"


def check_feeds(feeds: list[Feed], settings: Settings) -> None:
    """ValueError where a source has no end, or one person is to be of several sources."""
    from edgepose.runtime.offline.files import refuse_live

    refuse_live(feeds)
    if isinstance(settings.person, int) and len(feeds) > 1:
        raise ValueError(
            f"person {settings.person} is somebody else in each of {len(feeds)} sources: expected one source, or "
            "largest, longest or all"
        )


def offline_frames(
    feeds: list[Feed],
    estimator: Estimator,
    settings: Settings,
    stories: list[Story],
    screen: Screen,
    bar: Task,
    *,
    images: bool,
    stop: threading.Event,
    smooth: Any = None,
    **options: Any,
) -> Iterator[Tracked]:
    """The frames of all files when all is known; what was done is told by the stories of their sources.

    images: whether the pictures are needed; smooth: of live tracking, which is not used
    """
    from edgepose.runtime.offline.files import shown
    from edgepose.runtime.track import track

    seen = 0

    def on_frame(frame: Tracked) -> None:
        nonlocal seen
        seen += 1
        bar.update(seen, f"{counted(len(frame.poses), estimator.spec.subject)}, first pass")

    def on_finished(lane: int, done: Finished) -> None:
        stories[lane].done = told(done)
        for note in done.notes:
            screen.complain(f"{feeds[lane].name}: {note}")

    frames = track(list(feeds), estimator, smooth=None, stop=stop, **options)
    return shown(feeds, frames, settings, images=images, stop=stop, on_frame=on_frame, on_finished=on_finished)


def told(done: Finished) -> str:
    """What was done to a file, in a few words."""
    people, points = done.filled
    return (
        f"{len(done.joined)} tracks joined to others, {done.exchanged} points put to their side, "
        f"{people} people and {points} points filled in"
    )


def size_of(frame: Tracked) -> tuple[int, int]:
    """(w, h) of a frame, whether its picture is there or not."""
    from edgepose.runtime.offline.files import TrackedOffline

    if isinstance(frame, TrackedOffline):
        return frame.size
    return frame.image.shape[1], frame.image.shape[0]


def fills_of(frame: Tracked, rows: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Which of these people, and points of theirs, were filled in; None of live tracking."""
    from edgepose.runtime.offline.files import TrackedOffline

    if isinstance(frame, TrackedOffline):
        return frame.filled[rows], frame.filled_keypoints[rows]
    return None, None
