"""`edgepose label`: keypoints by models for pictures that nobody labelled, as a COCO file to train on."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgepose.cli.evaluate import parse_scales
from edgepose.cli.options import Backend, Detector, Device, Json, Runner, Threads, load_estimator
from edgepose.cli.screen import Screen, counted, show

if TYPE_CHECKING:
    from edgepose.data.label import Labelled
    from edgepose.runtime.estimator import Estimator


def label(
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURES...", help="Folders, zips or single pictures.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The COCO file to write.")],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Model name or file; several are averaged.", show_default="the default"),
    ] = None,
    detector: Detector = "default",
    boxes: Annotated[
        Path | None,
        typer.Option("--boxes", help="COCO file with the people's boxes in place of a detector's; its ids are kept."),
    ] = None,
    flip: Annotated[bool, typer.Option("--flip/--no-flip", help="Average with the mirrored picture.")] = True,
    scales: Annotated[
        str, typer.Option("--scales", help="Average over sizes of the boxes; of whole-picture models there is one.")
    ] = "0.9,1,1.1",
    min_box_score: Annotated[float, typer.Option("--min-box-score", min=0, help="Of people who are found.")] = 0.45,
    min_height: Annotated[float, typer.Option("--min-height", min=0, help="Of a person's box, in pixels.")] = 32.0,
    min_score: Annotated[float, typer.Option("--min-score", min=0, help="Mean score of a keypoint.")] = 0.35,
    agreement: Annotated[
        float,
        typer.Option(
            "--agreement",
            min=0,
            help="How far the views may be from a keypoint on average, in sizes of the box; 0: any.",
        ),
    ] = 0.05,
    likely: Annotated[
        bool, typer.Option("--likely/--no-likely", help="Take out limbs far too long for the person's others.")
    ] = True,
    min_keypoints: Annotated[
        int, typer.Option("--min-keypoints", min=0, help="People with fewer are left without.")
    ] = 6,
    min_mean: Annotated[
        float, typer.Option("--min-mean", min=0, help="Mean score of the keypoints that a person has left.")
    ] = 0.5,
    as_json: Json = False,
    backend: Runner = None,
    threads: Threads = None,
    device: Device = "auto",
) -> None:
    """Label people's keypoints with one model or several, to train others on.

    Scores are kept (`kp_scores`, which training reads as weights). People whose labels are too weak stay in the file as
    boxes without keypoints. What is done is kept in OUT.journal: a run that was stopped, however, goes on by the same
    command to the same file. A picture that cannot be read is named, the others are labelled, and the status is 1.
    """
    if boxes is not None and detector != "default":
        raise typer.BadParameter("the boxes are given by --boxes: leave one of the two out", param_hint="--detector")
    try:
        sizes = parse_scales(scales)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--scales") from None
    from edgepose.data.label import Rules, fingerprints
    from edgepose.data.label import label as labelled
    from edgepose.data.unlabelled import find_pictures, with_boxes
    from edgepose.media.files import refuse_sources
    from edgepose.runtime.load import DEFAULT_DETECTOR, find

    work = find_pictures(pictures)
    rules = Rules(
        flip, sizes, min_box_score, min_height, min_score, agreement, likely, min_keypoints, min_mean
    )  # fmt: skip
    names = model or ["default"]
    estimators = [load_estimator(name, "none", backend, threads, min_score=0.0) for name in names]
    subject = estimators[0].spec.subject
    if boxes is not None:
        work = with_boxes(work, boxes, subject)
        for note in work.notes:
            typer.echo(note, err=True)
    files = [find(name)[0] for name in names]
    if boxes is None:
        detecting = _with_detector(estimators, detector, backend, threads, min_box_score)
        files += [find(detector, DEFAULT_DETECTOR)[0]] if detecting and detector != "none" else []
    found = [picture.pictures.source / picture.name for picture in work.pictures]
    refuse_sources(
        [out, out.with_name(out.name + ".journal")], [*pictures, *found, *files, *([boxes] if boxes else [])]
    )
    run = {
        "edgepose": version("edgepose"), "files": fingerprints([*files, *([boxes] if boxes else [])]),
        "backend": backend, "detector": detector,
    }  # fmt: skip
    with Screen() as screen:
        try:
            with screen.task("labelling", len(work.pictures)) as task:
                made = labelled(work, estimators, out, rules, run=run, progress=task.progress)
        except KeyboardInterrupt:
            screen.complain(f"stopped: the same command goes on from {out}.journal")
            raise
        _complain(screen, made, work.lost, boxes)
    facts = {
        "out": str(out), "pictures": len(work.pictures), "images": made.images, "boxes": made.boxes,
        "people": made.people, "keypoints": made.keypoints, "resumed": made.resumed, "removed": made.removed,
        "unreadable": made.unreadable, "missing": work.lost,
    }  # fmt: skip
    show(facts, _sentence(out, made, len(work.lost), work.root, subject), as_json)
    if made.unreadable or work.lost:
        raise typer.Exit(1)


def _with_detector(
    estimators: list[Estimator], detector: str, backend: Backend | None, threads: int | None, least: float
) -> bool:
    """Give the detector to the first model that needs one, in place; False where none does."""
    from edgepose.runtime.estimator import Estimator
    from edgepose.runtime.load import DEFAULT_DETECTOR, open_model

    place = next((i for i, estimator in enumerate(estimators) if estimator.spec.per_person), None)
    if place is None:
        if detector != "default":
            raise ValueError(f"{estimators[0].spec.name} finds people by itself: leave the detector out")
        return False
    if detector != "none":
        found = Estimator(open_model(detector, None, backend, threads, DEFAULT_DETECTOR), min_box_score=least)
        estimators[place] = estimators[place].replace(detector=found)
    return True


def _complain(screen: Screen, made: Labelled, lost: list[str], boxes: Path | None, shown: int = 20) -> None:
    for name, reason in made.unreadable.items():
        screen.complain(f"error: {name} was left out: {reason}")
    for name in lost[:shown]:
        screen.complain(f"error: {name} of {boxes} was left out: it is not among the pictures")
    if len(lost) > shown:
        screen.complain(f"error: and {len(lost) - shown} more pictures of {boxes} are not there")


def _sentence(out: Path, made: Labelled, lost: int, root: Path | None, subject: str) -> str:
    removed = ", ".join(f"{count} {why}" for why, count in made.removed.items())
    parts = [
        f"wrote {out}: {counted(made.people, subject)} with {made.keypoints} keypoints on {made.images} "
        f"pictures, {made.boxes - made.people} without",
        f"taken out: {removed}" if removed else "",
        f"{made.resumed} pictures were done before" if made.resumed else "",
        f"{len(made.unreadable) + lost} pictures were left out" if made.unreadable or lost else "",
        f"train with data={out}:{root}" if root is not None and made.people else "",
    ]
    return "; ".join(part for part in parts if part)
