"""`edgepose data convert`: labels of any known form as another tool reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from edgepose.cli.options import Category, Json, SkeletonFile, choice_of
from edgepose.cli.screen import show

To = Literal["coco", "yolo", "cvat", "label-studio"]  # data.convert.To


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Labels in any form that training reads.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File to write; for yolo a folder.")],
    to: Annotated[To, typer.Option("--to", help="The form to write.")] = "coco",
    images: Annotated[
        Path | None,
        typer.Option(
            "--images", help="Folder or zip of the pictures: for sizes that are not stated, and copied for yolo."
        ),
    ] = None,
    served: Annotated[
        str | None,
        typer.Option(
            "--served", help="What stands before pictures' names in Label Studio.", show_default="/data/local-files/?d="
        ),
    ] = None,
    skeleton: SkeletonFile = None,
    category: Category = None,
    as_json: Json = False,
) -> None:
    """Write labels as COCO's form, a YOLO-pose folder, CVAT's XML for images, or Label Studio's tasks.

    With the results of `edgepose predict --format coco-labels` as IN, people correct what a model found. Label Studio
    gets OUT and, beside it, the labelling configuration that fits.
    """
    if served is not None and to != "label-studio":
        raise typer.BadParameter("it belongs to --to label-studio", param_hint="--served")
    taken = out.is_dir() and any(out.iterdir()) if to == "yolo" else out.is_dir() or out == source
    if taken or (to == "yolo" and out.is_file()):
        expected = "a new or empty folder" if to == "yolo" else "a file other than IN"
        raise typer.BadParameter(f"{out} is there: expected {expected}", param_hint="OUT")
    from edgepose.data.convert import SERVED, write_coco, write_cvat, write_label_studio, write_yolo
    from edgepose.evaluate.labels import read_labels, skeleton_of
    from edgepose.media.files import refuse_sources
    from edgepose.skeleton import BOX

    config = out.with_name(f"{out.stem}-config.xml")  # of Label Studio
    refuse_sources([out, config], [source, *([] if images is None else [images])])
    labels = read_labels(source, choice=choice_of(skeleton, category), pictures=images)
    for note in labels["notes"]:
        typer.echo(note, err=True)
    names = skeleton_of(labels) or BOX
    written = [out]
    if to == "coco":
        write_coco(labels, names, out)
    elif to == "yolo":
        write_yolo(labels, names, out, images)
    elif to == "cvat":
        write_cvat(labels, names, out, images)
    else:
        written.append(write_label_studio(labels, names, out, images, SERVED if served is None else served))
    counts = {"images": len(labels["images"]), "annotations": len(labels["annotations"])}
    facts = {"to": to, "files": [str(path) for path in written], **counts}
    sentence = f"wrote {', '.join(map(str, written))}: {counts['images']} pictures, {counts['annotations']} labels"
    show(facts, sentence, as_json)
