"""`edgepose data frames`, `split` and `suggest`: from videos to labels, and to the labels that help next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from edgepose.cli.options import Detector, Json, Model, Runner, Threads, load_estimator
from edgepose.cli.screen import Screen, show, show_json

By = Literal["video", "picture"]  # data.split.By


def frames(
    videos: Annotated[list[str], typer.Argument(metavar="VIDEO...", help="Video files, or folders of them.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pictures.")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Frames of each video.")] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another one starts the clusters elsewhere.")] = 0,
    as_json: Json = False,
) -> None:
    """Take frames of videos that differ in appearance, to label them.

    Thumbnails of all frames are put into clusters, and of each the frame nearest to its middle is written as
    NAME_f000123_t004100ms.jpg: the number of the frame and its time. Exit status 1 where a video is damaged; its good
    frames are written all the same.
    """
    from edgepose.data.frames import distinct_frames, write_frames
    from edgepose.media.files import refuse_sources, unique_name
    from edgepose.media.sources import expand

    taken: dict[str, str] = {}
    broken = 0
    found = [source for video in videos for source in expand(video)]
    refuse_sources([out], [source.location for source in found])
    with Screen() as screen:
        for source in found:
            if source.kind != "video":
                raise typer.BadParameter(
                    f"{source.location} is a {source.kind}: expected a video file", param_hint="VIDEO"
                )
            stem = unique_name(Path(source.location).stem, source.location, taken)
            with screen.task(source.location, None):
                try:
                    chosen = distinct_frames(source, count, seed=seed)
                except (ValueError, OSError) as error:
                    screen.complain(f"error: {error}")
                    broken += 1
                    continue
                files = write_frames(source, chosen.indices, out, stem)
            if chosen.problem:
                screen.complain(f"error: {chosen.problem}")
                broken += 1
            facts = {"source": source.location, "frames": chosen.of, "files": [str(file) for file in files]}
            some = "" if len(files) == count else ", the others look the same as these"
            show(facts, f"{source.location}: {len(files)} of {chosen.of} frames in {out}{some}", as_json)
    if broken:
        raise typer.Exit(1)


def split(
    labels: Annotated[Path, typer.Argument(metavar="LABELS.json", help="A COCO-style annotation file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for train.json and val.json.")],
    val: Annotated[float, typer.Option("--val", help="Share of the pictures to validate on.")] = 0.1,
    by: Annotated[
        By, typer.Option("--by", help="What stays together: the pictures of one video, or each picture alone.")
    ] = "video",
    images: Annotated[
        Path | None,
        typer.Option("--images", help="Folder or zip of the pictures: such as look the same stay together too."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another one chooses others.")] = 0,
    as_json: Json = False,
) -> None:
    """Divide labels into those to train on and those to validate on, so that nothing is in both.

    Videos are told apart by a field of the pictures (video_id, vid_id, video, video_name) or by what their names have
    in common before a number: clip-a_f000123_t004100ms.jpg, labeled-data/mouse1/img0042.png, cam2/000017.jpg.
    """
    from edgepose.data.columns import load_json, rows_of
    from edgepose.data.split import same_pictures
    from edgepose.data.split import split as divided
    from edgepose.media.files import atomic_path, make_folder, refuse_sources

    refuse_sources([out / "train.json", out / "val.json"], [labels])
    content = load_json(labels, outlines=True)
    if not isinstance(content, dict) or not {"images", "annotations"} <= set(content):
        raise ValueError(f"{labels} lacks `images` or `annotations`: expected a COCO-style annotation file")
    same = []
    if images is not None:
        with Screen() as screen, screen.task("pictures", None) as task:
            same = same_pictures(rows_of(content, "images", labels), images, task.progress)
    parts = divided(content, val, by=by, seed=seed, same=same, name=str(labels))
    make_folder(out)
    facts = {}
    for name, part in zip(("train", "val"), parts, strict=True):
        with atomic_path(out / f"{name}.json") as temporary:
            temporary.write_text(json.dumps(part), encoding="utf-8")
        facts[name] = {"images": len(part["images"]), "annotations": len(part["annotations"])}
    counts = ", ".join(f"{name}.json {n['images']} pictures, {n['annotations']} labels" for name, n in facts.items())
    alike = f"; {len(same)} pairs of pictures look the same" if images is not None else ""
    show({"out": str(out), **facts, "same": len(same)}, f"wrote to {out}: {counts}{alike}", as_json)


def suggest(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="Videos, pictures, or folders of them.")],
    model: Model = None,
    detector: Detector = "default",
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Frames to suggest.")] = 50,
    every: Annotated[int, typer.Option("--every", min=1, help="Look at each so many'th frame of a video.")] = 1,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the frames of videos as pictures to this folder.")
    ] = None,
    backend: Runner = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Name the frames that a model is least sure of, to label them next.

    It looks for those where its keypoints differ most between a picture and its mirror image, and between a frame and
    the ones before and after; 0 is full agreement, 1 none. A picture without people is not named, nor what looks the
    same as a named one or is within ten looked-at frames of it.
    """
    from edgepose.data.frames import write_frames
    from edgepose.data.suggest import suggest as suggested
    from edgepose.media.files import refuse_sources, unique_name
    from edgepose.media.sources import expand

    media = [source for each in sources for source in expand(each)]
    for source in media:
        if source.kind not in ("video", "picture"):
            raise typer.BadParameter(
                f"{source.location} is a {source.kind}: expected files, which can be read again", param_hint="SOURCE"
            )
    refuse_sources([] if out is None else [out], [source.location for source in media])
    estimator = load_estimator(model, detector, backend, threads, min_score=0.0)  # the least sure count most
    with Screen() as screen, screen.task("frames", None) as task:
        seen = 0

        def told(source: object, frame: int) -> None:
            nonlocal seen
            seen += 1
            task.progress(seen, None)

        found = suggested(media, estimator, count, every=every, told=told)
    if not found:
        raise ValueError(f"{estimator.spec.name} found nobody in {seen} frames, so there is nothing to suggest")
    if len(found) < min(count, seen):
        typer.echo(
            f"{len(found)} of {seen} frames: the others show nobody, look the same as these, or are within ten of them",
            err=True,
        )
    taken: dict[str, str] = {}
    written = 0
    for source in media if out is not None else ():
        wanted = [one.frame for one in found if one.source == source]
        if wanted and source.kind == "video" and out is not None:
            stem = unique_name(Path(source.location).stem, source.location, taken)
            written += len(write_frames(source, wanted, out, stem))
    for one in found:
        row = {"source": one.source.location, "frame": one.frame, "time": one.time, "disagreement": one.disagreement}
        if as_json:
            show_json(row)
        else:
            at = "" if one.time is None else f"  frame {one.frame} at {one.time:.2f} s"
            typer.echo(f"{one.disagreement:.3f}  {one.source.location}{at}")
    if out is not None and not as_json:
        pictures = len(found) - written
        also = f"; {pictures} of these are pictures already" if pictures else ""
        typer.echo(f"wrote {written} frames of videos to {out}{also}" if written else f"wrote nothing to {out}{also}")
