"""`edgepose data synthesize`: drawn people with exact labels, as a training set or a video."""

from __future__ import annotations

from pathlib import Path

from edgepose.commands.screen import Screen, show_json
from edgepose.synthetic.camera import Move
from edgepose.synthetic.places import read_backgrounds
from edgepose.synthetic.write import write_people, write_video


def synthesize_people(
    out: Path, people: int, seed: int, size: tuple[int, int] | None, backgrounds: Path | None, as_json: bool
) -> None:
    """Write a training set and say how to name it."""
    pictures = read_backgrounds(backgrounds) if backgrounds else ()
    with Screen() as screen, screen.task("drawing", people) as task:
        counts = write_people(out, people, seed, size or (288, 384), pictures, task.update)
    data = f"{out / 'annotations.json'}:{out / 'pictures'}"
    if as_json:
        show_json({"out": str(out), "data": data, "seed": seed, **counts})
    else:
        print(f"{counts['people']} people on {counts['pictures']} pictures; train with data={data}")


def synthesize_video(
    out: Path, people: int, seconds: float, rate: float, seed: int, size: tuple[int, int] | None, move: Move | None,
    backgrounds: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Write a video with the truth of its frames."""
    pictures = read_backgrounds(backgrounds) if backgrounds else ()
    with Screen() as screen, screen.task("filming", round(seconds * rate)) as task:
        counts = write_video(out, people, seconds, rate, seed, size or (1280, 720), move, pictures, task.update)
    if as_json:
        show_json({"out": str(out), "video": str(out / "video.mp4"), "truth": str(out / "truth.jsonl"), "seed": seed,
                   **counts})  # fmt: skip
    else:
        print(f"{counts['people']} people in {counts['frames']} frames: {out / 'video.mp4'}, {out / 'truth.jsonl'}")
