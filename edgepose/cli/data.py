"""`edgepose data`: look at labelled data sets, make others of them, draw people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgepose.cli.options import Category, Json, Move, SkeletonFile, choice_of, load_estimator
from edgepose.cli.outputs import interrupted
from edgepose.cli.screen import Screen, show, show_json

if TYPE_CHECKING:
    from edgepose.data.check import Finder

MOST_SIDE = 8192  # of a drawn picture
SURE = 0.5  # score from which a detector's box is somebody whom nobody labelled

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
    page: Annotated[
        Path | None,
        typer.Option("--page", help="Write the worst fifty pictures with their findings here (.html); needs --images."),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option("--detector", help="Look for people whom nobody labelled, with this detector; needs --images."),
    ] = None,
    skeleton: SkeletonFile = None,
    category: Category = None,
    as_json: Json = False,
) -> None:
    """Count what a data set holds and say what is odd about it.

    Formats are recognized by content: COCO's and its relatives (WholeBody, CrowdPose, AP-10K, Halpe, Human-Art ...),
    what labelling tools write (YOLO-pose's data.yaml, CVAT's XML, labelme, Label Studio, DeepLabCut's CSV), the
    original files of AI Challenger, MPII and OCHuman, and LSP's joints.mat. Several files are also compared by the
    names and looks of their pictures, as train and val should be. Exit status 1 where training would refuse a file,
    lose people or pictures of it, learn what is wrong, or validate on what it trains on.
    """
    for option, value in (("--sheet", sheet), ("--page", page), ("--detector", detector)):
        if value is not None and not images:
            raise typer.BadParameter("it looks at pictures: add --images FOLDER_OR_ZIP", param_hint=option)
    if images and len(images) not in (1, len(paths)):
        raise typer.BadParameter(f"given {len(images)} times for {len(paths)} files", param_hint="--images")
    given = images or []
    sources = [given[min(i, len(given) - 1)] if given else None for i in range(len(paths))]
    from edgepose.data.check import check as checked
    from edgepose.data.check import overlap
    from edgepose.data.page import page_of
    from edgepose.data.sheet import contact_sheet
    from edgepose.media.files import atomic_path, refuse_sources
    from edgepose.media.images import write_image

    refuse_sources([path for path in (sheet, page) if path is not None], [*paths, *given])
    finder = None if detector is None else _finder(detector)
    reports = []
    for path, source in zip(paths, sources, strict=True):
        with Screen() as screen, screen.task(f"pictures of {path.name}", None) as task:
            reports.append(checked(path, source, task.progress, choice_of(skeleton, category), finder))
    shared = overlap(reports)
    for report in reports:
        if as_json:
            show_json(report.as_dict() | {"shared_pictures": shared})
        else:
            for line in _describe(report.as_dict()):
                typer.echo(line)
    if shared and not as_json:
        typer.echo(f"in more than one file: {_some(shared)}: train and validate on different pictures")
    if sheet is not None:
        for report in reports:
            several = len(reports) > 1
            target = sheet.with_name(f"{sheet.stem}_{Path(report.path).stem}{sheet.suffix}") if several else sheet
            refuse_sources([target], [*paths, *given])
            write_image(target, contact_sheet(report))
            if not as_json:
                typer.echo(f"wrote {target}")
    if page is not None:
        with atomic_path(page) as temporary:
            temporary.write_text(page_of(reports, shared), encoding="utf-8")
        if not as_json:
            typer.echo(f"wrote {page}")
    if shared or any(report.harmful for report in reports):
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
    from edgepose.data.columns import load_json
    from edgepose.data.single import single_person as alone
    from edgepose.media.files import atomic_path, refuse_sources

    refuse_sources([target], [source])
    content = load_json(source, outlines=True)
    kept = alone(content, source)
    with atomic_path(target) as temporary:
        temporary.write_text(json.dumps(kept), encoding="utf-8")
    count, total = len(kept["images"]), len(content["images"])
    sentence = f"wrote {target}: {count} of {total} pictures have one person alone"
    show({"path": str(target), "images": count, "of": total}, sentence, as_json)


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
    Ctrl-C keeps what is drawn.
    """
    for option, value in (("--seconds", seconds), ("--fps", fps), ("--move", move)):
        if value is not None and not video:
            raise typer.BadParameter("it belongs to a video: add --video", param_hint=option)
    if size is not None and not all(1 <= side <= MOST_SIDE for side in size):
        raise typer.BadParameter(f"expected sides of 1 to {MOST_SIDE} pixels, got {size}", param_hint="--size")
    from edgepose.synthetic.places import read_backgrounds
    from edgepose.synthetic.write import write_people, write_video

    seconds, fps = 12.0 if seconds is None else seconds, fps or 30.0
    count = people if people is not None else 10 if video else 1000
    pictures = read_backgrounds(backgrounds) if backgrounds else ()
    with Screen() as screen, interrupted() as stop:
        if video:
            with screen.task("filming", round(seconds * fps)) as task:
                size = size or (1280, 720)
                made = write_video(out, count, seconds, fps, seed, size, move, pictures, task.update, stop)
        else:
            with screen.task("drawing", count) as task:
                made = write_people(out, count, seed, size or (288, 384), pictures, task.update, stop)
    if video:
        files = {"video": str(out / "video.mp4"), "truth": str(out / "truth.jsonl")}
        sentence = f"{made['people']} people in {made['frames']} frames: {files['video']}, {files['truth']}"
    else:
        files = {"data": f"{out / 'annotations.json'}:{out / 'pictures'}"}
        sentence = f"{made['people']} people on {made['pictures']} pictures; train with data={files['data']}"
    show({"out": str(out), **files, "seed": seed, **made}, sentence, as_json)
    if stop.is_set():
        raise KeyboardInterrupt


@data_app.command()
def sigmas(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Labels of the same pictures, by another person or day each."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the skeleton with these sigmas here, for --skeleton.")
    ] = None,
    skeleton: SkeletonFile = None,
    category: Category = None,
    as_json: Json = False,
) -> None:
    """Estimate the sigmas of OKS, and so what AP forgives, from repeated labels of the same pictures.

    COCO's were found so: the sigma of a keypoint is the spread of its labels, in units of the square root of the
    person's area. Pictures meet by name, people by their boxes. Keypoints with fewer than 10 repeated labels keep the
    sigma that they have.
    """
    if len(paths) < 2:
        raise typer.BadParameter("name two files or more, labels of the same pictures", param_hint="FILE")
    from edgepose.data.agreement import agreement
    from edgepose.data.read import read
    from edgepose.media.files import atomic_path, refuse_sources
    from edgepose.skeleton_file import fields_of

    refuse_sources([] if out is None else [out], paths)
    choice = choice_of(skeleton, category)
    found = agreement([read(path, choice=choice) for path in paths])
    if out is not None:
        with atomic_path(out) as temporary:
            temporary.write_text(json.dumps(fields_of(found.skeleton), indent=1) + "\n", encoding="utf-8")
    if as_json:
        show_json(found.as_dict())
        return
    for name, sigma, count in zip(found.skeleton.names, found.skeleton.oks_sigmas, found.counts, strict=True):
        kept = "" if count >= found.fewest else "  too few, kept as it was"
        typer.echo(f"  {name:<18} sigma {sigma:.4f}  {count} repeated labels{kept}")
    typer.echo(f"{found.people} people labelled more than once" + (f"; wrote {out}" if out is not None else ""))


def _describe(report: dict[str, Any]) -> list[str]:
    """A report (`Report.as_dict`) in lines for people."""
    lines = [
        f"{report['path']}: {report['format']} form, {report['skeleton']}, {report['images']} pictures, "
        f"{report['people']} {report['subject']} with keypoints, {report['unlabeled']} more without, "
        f"{report['crowds']} crowds"
    ]
    total = max(report["people"], 1)
    if not report["built_in"]:
        pairs = ", ".join(" and ".join(pair) for pair in report["pairs"][:8]) or "none"
        pairs += f" and {len(report['pairs']) - 8} pairs more" if len(report["pairs"]) > 8 else ""
        lines.append(f"  keypoints of its own: {len(report['limbs'])} limbs; left and right: {pairs}")
    names = list(report["keypoints"].items())
    for name, counts in names[:30]:
        share = 100 * (counts["seen"] + counts["hidden"]) / total
        lines.append(f"  {name:<18} {counts['seen']:>8} seen {counts['hidden']:>8} hidden  {share:5.1f} %")
    if len(names) > 30:
        lines.append(f"  ... and {len(names) - 30} more keypoints (--json has all)")
    for finding in report["findings"]:
        advice = f": {finding['do']}" if finding["do"] else ""
        lines.append(f"  {finding['what']}: {_some(finding['which'])}{advice}")
    return lines


def _finder(name: str) -> Finder:
    """Boxes of people on a picture, of whom a detector is sure."""
    estimator = load_estimator(name, "default", None, None)
    if len(estimator.spec.keypoints):
        raise typer.BadParameter(f"{name} finds keypoints: expected a detector", param_hint="--detector")
    sure = estimator.replace(min_box_score=SURE)
    return lambda image: sure(image).boxes


def _some(entries: Sequence[Any], shown: int = 5) -> str:
    listed = ", ".join(_joined(e, shown) if isinstance(e, list) else str(e) for e in entries[:shown])
    return f"{len(entries)} ({listed}{', ...' if len(entries) > shown else ''})"


def _joined(entry: Sequence[Any], shown: int) -> str:
    more = len(entry) - shown
    return " = ".join(map(str, entry[: shown if more > 0 else None])) + (f" = {more} more" if more > 0 else "")
