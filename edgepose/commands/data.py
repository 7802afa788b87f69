"""`edgepose data`: look at labelled data sets, and make others of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from edgepose.commands.screen import Screen, show_json
from edgepose.data.check import KINDS, check, overlap
from edgepose.data.columns import load_json
from edgepose.data.sheet import contact_sheet
from edgepose.data.single import single_person
from edgepose.media.files import atomic_path
from edgepose.media.images import write_image


def keep_single(source: Path, target: Path, as_json: bool) -> None:
    """Write the pictures of a COCO-style file with one annotated person alone as another one."""
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
