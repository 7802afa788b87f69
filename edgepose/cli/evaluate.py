"""`edgepose evaluate`: models over a labelled data set, or a results file made elsewhere, as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgepose.cli.options import (
    Category,
    Detector,
    Device,
    Json,
    Protocol,
    Runner,
    Size,
    SkeletonFile,
    Threads,
    choice_of,
    load_estimator,
)
from edgepose.cli.outputs import interrupted
from edgepose.cli.screen import Cells, Screen, show_json, show_rows, show_table

if TYPE_CHECKING:
    from edgepose.data.columns import Choice
    from edgepose.evaluate.labels import Labels, Row
    from edgepose.evaluate.measures import Measures, Progress
    from edgepose.evaluate.run import Estimates

COLUMNS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "images", "people")


def evaluate(
    data: Annotated[
        Path, typer.Option("--data", help="Labels in any format that training reads (JSON or joints.mat).")
    ],
    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="Model name or file; may be repeated.")
    ] = None,
    images: Annotated[Path | None, typer.Option("--images", help="Folder or zip of the pictures.")] = None,
    predictions: Annotated[
        Path | None, typer.Option("--predictions", help="A COCO results file instead of a model.")
    ] = None,
    tracks: Annotated[
        Path | None,
        typer.Option(
            "--tracks",
            help="Results of track instead (results.jsonl, or mot and posetrack): IDF1, HOTA, MOTA against a "
            "PoseTrack18 file or MOT's gt.txt in --data.",
        ),
    ] = None,
    boxes: Annotated[str, typer.Option("--boxes", help="gt, detector, or a COCO detection file.")] = "gt",
    protocol: Annotated[
        Protocol | None, typer.Option("--protocol", help="How AP is counted.", show_default="by the labels")
    ] = None,
    flip_test: Annotated[
        bool, typer.Option("--flip-test", help="Average with the mirrored picture, as papers do.")
    ] = False,
    flip_shift: Annotated[
        bool | None,
        typer.Option(
            "--flip-shift/--no-flip-shift",
            help="Whether --flip-test moves mirrored heat-maps by one cell.",
            show_default="as the model's spec says",
        ),
    ] = None,
    scales: Annotated[
        str,
        typer.Option(
            "--scales",
            help="Multi-scale test: average over sizes of the boxes, such as 0.75,1,1.25; of a bottom-up model over "
            "sizes of the picture, such as 0.5,1,2.",
        ),
    ] = "1",
    pck: Annotated[
        Size | None,
        typer.Option("--pck", help="Also PCK@0.2 and @0.05, AUC, EPE, NME, by this size; head: MPII's PCKh."),
    ] = None,
    bootstrap: Annotated[
        int | None,
        typer.Option(
            "--bootstrap",
            min=0,
            help="95% intervals from so many draws of the pictures.",
            show_default="1000 in a report",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Folder for MODEL.md and MODEL.json: all that follows.")
    ] = None,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="In the report, also figures on spoiled pictures: 21 more runs.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File for the results of the (last) model.")] = None,
    skeleton: SkeletonFile = None,
    category: Category = None,
    as_json: Json = False,
    detector: Detector = "default",
    backend: Runner = None,
    threads: Threads = None,
    device: Device = "auto",
) -> None:
    """Measure models on labelled pictures, or a results file made elsewhere: AP, AR and more.

    --boxes gt gives a per-person model the labelled boxes, detector those of the whole pipeline. Of
    two people more alike than OKS 0.9 the better one counts, as published; deployed it is 0.5.

    --report tells what kinds of mistakes are made and what each costs (good, jitter, inversion, swap, miss), AP by
    keypoint, by size, by people in the picture and by crowding, how sure the model may be of itself, and how sure the
    figures are.
    """
    if [bool(model), predictions is not None, tracks is not None].count(True) != 1:
        raise typer.BadParameter(
            "name --model MODEL or --predictions RESULTS.json, one of the two, or --tracks", param_hint="--model"
        )
    if robustness and (report is None or not model):
        raise typer.BadParameter("it looks at pictures anew: add --model and --report", param_hint="--robustness")
    if flip_shift is not None and not flip_test:
        raise typer.BadParameter("it is for the flip test: add --flip-test", param_hint="--flip-shift")
    try:
        factors = parse_scales(scales)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--scales") from None
    if tracks is not None:
        from edgepose.evaluate.sequences import evaluated_tracks

        show_rows([evaluated_tracks(tracks, data)], as_json, _track_cells)
        return
    from edgepose.evaluate.labels import read_labels
    from edgepose.evaluate.measures import Measures, evaluated_results, file_stem, prepared
    from edgepose.evaluate.multiscale import network_of_sizes
    from edgepose.media.files import refuse_sources

    read = [path for path in (data, images, predictions, *(model or []), boxes, detector) if path is not None]
    reports = [report / (file_stem(name) + ".json") for name in (model or [str(predictions)]) if report is not None]
    refuse_sources([*reports, *([] if out is None else [out])], read)
    measures = Measures(protocol, pck, bootstrap, report, robustness)
    choice = choice_of(skeleton, category)
    if predictions is not None:
        figures = evaluated_results(predictions, read_labels(data, choice=choice), measures)
        with Screen() as screen:
            tell_notes(figures, screen, set())
        show_rows([figures], as_json, _cells)
        return
    if images is None:
        raise typer.BadParameter("the models look at pictures: add --images FOLDER_OR_ZIP", param_hint="--images")

    estimators = {}
    for name in model or []:
        estimator = load_estimator(name, detector, backend, threads, boxed=boxes != "detector")
        at_size = network_of_sizes(name, estimator.spec, backend, threads)
        estimators[name] = prepared(estimator, flip_test, factors, at_size, flip_shift)
    if _evaluate_models(estimators, data, images, measures, choice, boxes=boxes, out=out, as_json=as_json):
        raise typer.Exit(1)


def parse_scales(text: str) -> tuple[float, ...]:
    """`0.75,1,1.25` -> (0.75, 1.0, 1.25)."""
    try:
        scales = tuple(float(word) for word in text.split(","))
    except ValueError:
        scales = ()
    if not scales or not all(0.1 <= scale <= 10 for scale in scales):
        raise ValueError(f"{text!r}: expected factors from 0.1 to 10 separated by commas, such as 0.75,1,1.25")
    return scales


def _evaluate_models(
    estimators: Mapping[str, Estimates],
    annotations: Path,
    images: Path,
    measures: Measures,
    choice: Choice,
    *,
    boxes: str,
    out: Path | None,
    as_json: bool,
) -> int:
    """Every model over the data set; prints the figures and returns how many pictures could not be read."""
    from edgepose.evaluate.labels import read_labels
    from edgepose.evaluate.measures import Measures, evaluated
    from edgepose.runtime.estimator import Estimator
    from edgepose.runtime.load import ran

    detectors = [name for name, estimator in estimators.items() if len(estimator.spec.keypoints) == 0]
    if detectors and measures != Measures():
        raise ValueError(
            f"{detectors[0]} is a detector and finds no keypoints: leave out --protocol, --pck, "
            "--bootstrap and --report"
        )
    labels = read_labels(annotations, choice=choice, pictures=images, annotated=False)
    if not labels["annotations"]:
        if out is None:
            raise ValueError(f"{annotations} labels nobody: nothing to measure; add --out FILE for the results alone")
        if boxes == "gt" and any(estimator.spec.per_person for estimator in estimators.values()):
            raise ValueError(f"{annotations} labels nobody, so it has no boxes: add --boxes detector")
    rows: list[dict[str, Any]] = []
    unreadable: dict[str, str] = {}
    told: set[str] = set()
    with Screen() as screen, interrupted() as stop:
        if len(detectors) < len(estimators):  # what is said of detectors comes with their figures
            tell_notes(labels, screen, told)
        try:
            for name, estimator in estimators.items():
                figures, outcome = evaluated(
                    name, estimator, labels, images, boxes, measures, until_stopped(screen.stage, stop)
                )
                if isinstance(estimator, Estimator):
                    figures["ran"] = {role: str(how) for role, how in ran(estimator).items()}
                unreadable |= outcome.unreadable
                if lacking := figures.get("unmeasured"):
                    screen.complain(f"{name} does not find {', '.join(lacking)}: they are left out of its figures")
                tell_notes(figures, screen, told)
                rows.append(figures)
                if as_json:
                    show_json(figures)
                if out is not None:
                    _write_results(out, outcome.results, labels)
        finally:  # what is finished is shown, whatever the next one does
            if rows and not as_json:
                show_table(*_cells(rows))
        if not labels["annotations"]:
            screen.complain(f"{annotations} labels nobody: results without figures")
        for name, reason in unreadable.items():
            screen.complain(f"error: {name} was counted as without result: {reason}")
    return len(unreadable)


def _write_results(out: Path, rows: Sequence[Row], labels: Labels) -> None:
    """COCO results under the category that has keypoints; a list of pictures beside them is made to fit."""
    from edgepose.media.files import atomic_path
    from edgepose.media.results import images_of

    categories = [category["id"] for category in labels.get("categories") or () if category.get("keypoints")]
    if len(categories) == 1:
        rows = [row | {"category_id": categories[0]} for row in rows]
    with atomic_path(out) as temporary:
        temporary.write_text(json.dumps(rows), encoding="utf-8")
    if images_of(out).is_file():  # of results that were there before
        images = [{"id": image["id"], "file_name": image["file_name"]} for image in labels["images"]]
        with atomic_path(images_of(out)) as temporary:
            temporary.write_text(json.dumps({"images": images}), encoding="utf-8")


def _track_cells(rows: Sequence[dict[str, Any]]) -> Cells:
    columns = ["by", "IDF1", "HOTA", "MOTA", "DetA", "AssA", "switches", "fragments", "frames", "people", "identities"]
    return ["tracks", *columns], [[str(row["tracks"]), *(_cell(row[name]) for name in columns)] for row in rows]


def until_stopped(progress: Progress, stop: Event) -> Progress:
    """Progress that ends the work at hand with KeyboardInterrupt once somebody has asked for it."""

    def told(what: str, done: int, total: int) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        progress(what, done, total)

    return told


def tell_notes(figures: Mapping[str, Any], screen: Screen, told: set[str]) -> None:
    """What was repaired or left out before these figures were made, each once."""
    for note in figures.get("notes", ()):
        if note not in told:
            screen.complain(note)
        told.add(note)


def _cells(rows: Sequence[dict[str, Any]]) -> Cells:
    from edgepose.evaluate.measures import OF_KEYPOINTS

    extra = [
        name
        for name in ("APS", "AP_easy", "AP_medium", "AP_hard", *OF_KEYPOINTS)
        if name in rows[0] and not isinstance(rows[0][name], dict)
    ]
    columns = [*COLUMNS[:-2], *extra, *COLUMNS[-2:]]
    return ["model", *columns], [[str(row["model"]), *(_cell(row.get(name)) for name in columns)] for row in rows]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "-" if value == -1 else f"{value:.4f}"
    return "-" if value is None else str(value)
