"""`edgepose data`: look at labelled data sets, and make others of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

data_app = typer.Typer(no_args_is_help=True, help="Check labelled data sets, make others of them, draw people.")


@data_app.command("check")
def check_command(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Annotation files of any known format.")],
    images: Annotated[
        list[Path] | None,
        typer.Option("--images", help="Folder or zip of the pictures; once, or once per file in the same order."),
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Write a contact sheet here (.jpg, .png); needs --images.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Count what a data set holds and say what is odd about it.

    Formats are recognised by content: COCO's and its relatives (WholeBody, CrowdPose, AP-10K, Halpe, Human-Art ...),
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
    if check_files(paths, sources, sheet, as_json):
        raise typer.Exit(1)


@data_app.command("single-person")
def single_person_command(
    source: Annotated[Path, typer.Argument(metavar="IN.json", help="A COCO-style annotation file.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.json", help="The file to write.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Keep the pictures with exactly one annotated person: COCO-SinglePerson.

    A picture stays when its only annotation is a person with labelled keypoints, and no crowd.
    """
    from edgepose.commands.screen import show_json
    from edgepose.data.columns import load_json
    from edgepose.data.single import single_person
    from edgepose.runtime.atomic import atomic_path

    content = load_json(source, outlines=True)
    kept = single_person(content, source)
    with atomic_path(target) as temporary:
        temporary.write_text(json.dumps(kept), encoding="utf-8")
    count, total = len(kept["images"]), len(content["images"])
    if as_json:
        show_json({"path": str(target), "images": count, "of": total})
    else:
        typer.echo(f"wrote {target}: {count} of {total} pictures have one person alone")


def check_files(paths: Sequence[Path], sources: Sequence[Path | None], sheet: Path | None, as_json: bool) -> bool:
    """Check files, print what was found, draw the sheet; whether training would refuse or lose something."""
    from edgepose.commands.screen import Screen, show_json
    from edgepose.data.check import check, overlap
    from edgepose.data.sheet import contact_sheet
    from edgepose.runtime.pictures import write_image

    reports = []
    for path, source in zip(paths, sources, strict=True):
        with Screen() as screen, screen.task(f"pictures of {path.name}", None) as task:
            reports.append(check(path, source, task.progress))
    shared = overlap(reports)
    for report in reports:
        if as_json:
            show_json(report.as_dict() | {"shared_pictures": shared})
        else:
            for line in describe(report.as_dict()):
                typer.echo(line)
    if shared and not as_json:
        typer.echo(f"listed in more than one file: {_some(shared)}")
    if sheet is not None:
        for report in reports:
            several = len(reports) > 1
            target = sheet.with_name(f"{sheet.stem}_{Path(report.path).stem}{sheet.suffix}") if several else sheet
            write_image(target, contact_sheet(report))
            if not as_json:
                typer.echo(f"wrote {target}")
    return any(report.harmful for report in reports)


def describe(report: dict[str, Any]) -> list[str]:
    """A report (`Report.as_dict`) in lines for people."""
    from edgepose.data.check import KINDS

    lines = [
        f"{report['path']}: {report['format']} form, {report['skeleton']}, {report['images']} pictures, "
        f"{report['people']} people, {report['unlabelled']} more without keypoints, {report['crowds']} crowds"
    ]
    total = max(report["people"], 1)
    names = list(report["keypoints"].items())
    for name, counts in names[:30]:
        share = 100 * (counts["seen"] + counts["hidden"]) / total
        lines.append(f"  {name:<18} {counts['seen']:>8} seen {counts['hidden']:>8} hidden  {share:5.1f} %")
    if len(names) > 30:
        lines.append(f"  ... and {len(names) - 30} more keypoints (--json has all)")
    lines += [f"  {words}: {_some(report['found'][kind])}" for kind, words in KINDS.items() if report["found"][kind]]
    return lines


def _some(entries: Sequence[Any], shown: int = 5) -> str:
    listed = ", ".join(" = ".join(map(str, e)) if isinstance(e, list) else str(e) for e in entries[:shown])
    return f"{len(entries)} ({listed}{', ...' if len(entries) > shown else ''})"
