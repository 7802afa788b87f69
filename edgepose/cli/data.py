"""`edgepose data`: look at labelled data sets, make others of them, draw people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgepose.cli.options import Json, Move

data_app = typer.Typer(no_args_is_help=True, help="Check labelled data sets, make others of them, draw people.")


@data_app.command()
def check(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Annotation files of any known format.")],
    images: Annotated[
        list[Path] | None,
        typer.Option("--images", help="Folder or zip of the pictures; once, or once per file in the same order."),
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Write a contact sheet here (.jpg, .png); needs --images.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Count what a data set holds and say what is odd about it.

    Formats are recognized by content: COCO's and its relatives (WholeBody, CrowdPose, AP-10K, Halpe, Human-Art ...),
    the original files of AI Challenger, MPII and OCHuman, and LSP's joints.mat. Several files are also compared by the
    names of their pictures, as train and val should be. Exit status 1 where training would refuse a file, or lose
    people or pictures of it.
    """
    if sheet is not None and not images:
        raise typer.BadParameter("it shows pictures: add --images FOLDER_OR_ZIP", param_hint="--sheet")
    if images and len(images) not in (1, len(paths)):
        raise typer.BadParameter(f"given {len(images)} times for {len(paths)} files", param_hint="--images")
    given = images or []
    sources = [given[min(i, len(given) - 1)] if given else None for i in range(len(paths))]
    from edgepose.commands.data import check_files

    if check_files(paths, sources, sheet, as_json):
        raise typer.Exit(1)


@data_app.command()
def single_person(
    source: Annotated[Path, typer.Argument(metavar="IN.json", help="A COCO-style annotation file.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.json", help="The file to write.")],
    as_json: Json = False,
) -> None:
    """Keep the pictures with exactly one annotated person: COCO-SinglePerson.

    A picture stays when its only annotation is a person with labelled keypoints, and no crowd.
    """
    from edgepose.commands.data import keep_single

    keep_single(source, target, as_json)


@data_app.command()
def synthesize(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make; it must be new or empty.")],
    people: Annotated[
        int | None,
        typer.Option(
            "--people",
            min=0,
            help="Pictures around one person each, or people in the video.",
            show_default="1000, or 10",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same people.")] = 0,
    video: Annotated[bool, typer.Option("--video", help="A video of one scene in place of pictures.")] = False,
    seconds: Annotated[float | None, typer.Option("--seconds", min=0, help="Of the video.", show_default="12")] = None,
    fps: Annotated[
        float | None, typer.Option("--fps", min=1, max=240, help="Frames per second of the video.", show_default="30")
    ] = None,
    move: Annotated[Move | None, typer.Option("--move", help="Camera of the video.", show_default="any")] = None,
    size: Annotated[
        tuple[int, int] | None,
        typer.Option("--size", metavar="WIDTH HEIGHT", help="Of the pictures.", show_default="288 384; video 1280 720"),
    ] = None,
    backgrounds: Annotated[
        Path | None,
        typer.Option("--backgrounds", exists=True, file_okay=False, help="Folder of pictures to put behind."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw people with exact keypoints: a training set in COCO's form, or a video with the truth of every frame.

    Writes OUT/annotations.json and OUT/pictures, or with --video OUT/video.mp4 and OUT/truth.jsonl. Needs no network.
    """
    from edgepose.commands import synthesize as command

    if video:
        command.synthesize_video(
            out, 10 if people is None else people, 12.0 if seconds is None else seconds, fps or 30.0, seed, size,
            None if move is None else move.value, backgrounds, as_json,
        )  # fmt: skip
        return
    for option, value in (("--seconds", seconds), ("--fps", fps), ("--move", move)):
        if value is not None:
            raise typer.BadParameter("it belongs to a video: add --video", param_hint=option)
    command.synthesize_people(out, 1000 if people is None else people, seed, size, backgrounds, as_json)
