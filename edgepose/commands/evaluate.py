"""`edgepose evaluate`: a model over a labelled data set, or a results file made elsewhere, to one row of figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepose.commands.screen import Screen, show_json, show_table
from edgepose.evaluate.boxes import MIN_BOX_SCORE, box_ap
from edgepose.evaluate.coco import PROTOCOLS
from edgepose.evaluate.interval import intervals
from edgepose.evaluate.keypoints import keypoint_metrics
from edgepose.evaluate.labels import Labels, Row, read_labels, skeleton_of
from edgepose.evaluate.matching import match, pictures_of
from edgepose.evaluate.report import RESAMPLES, markdown, report_on
from edgepose.evaluate.robustness import robustness
from edgepose.evaluate.run import Estimates, run
from edgepose.runtime.atomic import atomic_path, make_folder
from edgepose.runtime.estimator import Estimator

COLUMNS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "images", "people")


@dataclass(frozen=True)
class Measures:
    """What is computed of result rows.

    Args:
        pck: the size that distances are divided by; None leaves PCK out.
        bootstrap: resamples of the pictures for `interval`; None: 1000 where a report is written, else no interval.
        report: folder for MODEL.md and MODEL.json.
        spoiled: the report also has the figures on spoiled pictures: the data set is run 21 more times.
    """

    protocol: str | None = None
    pck: str | None = None
    bootstrap: int | None = None
    report: Path | None = None
    spoiled: bool = False

    def __post_init__(self) -> None:
        if self.spoiled and self.report is None:
            raise ValueError("--robustness is part of a report: say where with --report FOLDER")

    def of(self, model: str, rows: str | Path | Sequence[Row], labels: Labels) -> dict[str, Any]:
        """The figures of one model."""
        protocol = self.protocol or _protocol_of(labels)
        if protocol not in PROTOCOLS:
            raise ValueError(f"unknown protocol {protocol!r}, expected one of {list(PROTOCOLS)}")
        figures: dict[str, Any] = {"model": model, "protocol": protocol} | PROTOCOLS[protocol](rows, labels)
        if self.pck is not None:
            of_keypoints = keypoint_metrics(rows, labels, size=self.pck)
            figures |= {name: of_keypoints[name] for name in ("PCK", "PCK@0.05", "per_joint", "AUC", "EPE", "NME")}
        if self.bootstrap and self.report is None:
            figures["interval"] = intervals(match(pictures_of(rows, labels, protocol)[0]), self.bootstrap)
        return _rounded(figures)

    def reported(self, rows: str | Path | Sequence[Row], labels: Labels, figures: dict[str, Any]) -> dict[str, Any]:
        """The whole report of one model."""
        return report_on(rows, labels, figures, resamples=RESAMPLES if self.bootstrap is None else self.bootstrap)

    def of_boxes(self, model: str, rows: Sequence[Row], labels: Labels) -> dict[str, Any]:
        """The figures of one detector."""
        return _rounded({"model": model, "task": "boxes"} | box_ap(rows, labels))


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in figures.items()}


def prepared(estimator: Estimator, flip_test: bool, scales: Sequence[float] = (1.0,)) -> Estimator:
    """The estimator as papers evaluate: detectors' boxes from a score of 0.05, one-stage people from that of their
    codec; mirrored pictures and scales where asked for.
    """
    detects = estimator.detector is not None or len(estimator.spec.keypoints) == 0
    return Estimator(
        estimator.network,
        estimator.detector,
        min_box_score=MIN_BOX_SCORE if detects else 0.0,
        flip_test=flip_test,
        scales=scales,
    )


def parse_scales(text: str) -> tuple[float, ...]:
    """`0.75,1,1.25` -> (0.75, 1.0, 1.25)."""
    try:
        scales = tuple(float(word) for word in text.split(","))
    except ValueError:
        scales = ()
    if not scales or not all(0.1 <= scale <= 10 for scale in scales):
        raise ValueError(f"{text!r}: expected factors from 0.1 to 10 separated by commas, such as 0.75,1,1.25")
    return scales


def evaluate_models(
    estimators: Mapping[str, Estimates],
    annotations: Path,
    images: Path,
    measures: Measures,
    *,
    boxes: str = "gt",
    out: Path | None = None,
    as_json: bool = False,
) -> int:
    """Every model over the data set; prints the figures and returns how many pictures could not be read."""
    detectors = [name for name, estimator in estimators.items() if len(estimator.spec.keypoints) == 0]
    if detectors and measures != Measures():
        raise ValueError(
            f"{detectors[0]} is a detector and finds no keypoints: leave out --protocol, --pck, "
            "--bootstrap and --report"
        )
    labels = read_labels(annotations)
    rows: list[dict[str, Any]] = []
    unreadable: dict[str, str] = {}
    with Screen() as screen:
        for name, estimator in estimators.items():
            with screen.task(name, len(labels["images"])) as bar:
                outcome = run(estimator, labels, images, boxes, progress=bar.progress)
            unreadable |= outcome.unreadable
            if name in detectors:
                figures = measures.of_boxes(name, outcome.results, labels)
            else:
                figures = measures.of(name, outcome.results, labels) | {"boxes": boxes} | tests_of(estimator)
                if measures.report is not None:
                    report = measures.reported(outcome.results, labels, figures)
                    if measures.spoiled:
                        report["robustness"] = _robustness(screen, name, estimator, labels, images, boxes, figures)
                    figures |= {"interval": report["interval"]} if "interval" in report else {}
                    _write(measures.report, name, report)
            rows.append(figures)
            if as_json:
                show_json(figures)
        for name, reason in unreadable.items():
            screen.complain(f"error: {name} was counted as without result: {reason}")
    if out is not None:
        with atomic_path(out) as temporary:
            temporary.write_text(json.dumps(outcome.results), encoding="utf-8")
    if not as_json:
        _show(rows)
    return len(unreadable)


def evaluate_results(predictions: Path, annotations: Path, measures: Measures, as_json: bool) -> None:
    """A COCO results file against the labels."""
    labels = read_labels(annotations)
    figures = measures.of(predictions.stem, predictions, labels)
    if measures.report is not None:
        report = measures.reported(predictions, labels, figures)
        figures |= {"interval": report["interval"]} if "interval" in report else {}
        _write(measures.report, predictions.stem, report)
    if as_json:
        show_json(figures)
    else:
        _show([figures])


def tests_of(estimator: Estimates) -> dict[str, Any]:
    """Which of the published evaluation's extras the estimator applies, where it does."""
    found: dict[str, Any] = {}
    if getattr(estimator, "flip_test", False):
        found["flip_test"] = True
    if getattr(estimator, "scales", (1.0,)) != (1.0,):
        found["scales"] = list(getattr(estimator, "scales", ()))
    return found


def _robustness(
    screen: Screen, name: str, estimator: Estimates, labels: Labels, images: Path, boxes: str, plain: dict[str, Any]
) -> list[dict[str, Any]]:
    def figures_of(spoiled: Estimates) -> dict[str, Any]:
        with screen.task(f"{name}, {getattr(spoiled, 'kind', '')}", len(labels["images"])) as bar:
            rows = run(spoiled, labels, images, boxes, progress=bar.progress).results
        return _rounded(PROTOCOLS[plain["protocol"]](rows, labels))

    return robustness(estimator, figures_of, plain)


def _write(folder: Path, name: str, report: dict[str, Any]) -> None:
    """MODEL.md and MODEL.json, the folder made where it is missing."""
    make_folder(folder)
    stem = file_stem(name)
    for suffix, text in ((".md", markdown(report)), (".json", json.dumps(report, indent=1, allow_nan=False) + "\n")):
        with atomic_path(folder / f"{stem}{suffix}") as temporary:
            temporary.write_text(text, encoding="utf-8")


def file_stem(name: str) -> str:
    """A model's name or path as the stem of a file name."""
    return Path(name).stem if name.endswith((".onnx", ".xml")) else Path(name).name


def _protocol_of(labels: Labels) -> str:
    skeleton = skeleton_of(labels)
    return skeleton.name if skeleton is not None and skeleton.name in PROTOCOLS else "coco"


def _show(rows: list[dict[str, Any]]) -> None:
    extra = [
        name
        for name in ("APS", "AP_easy", "AP_medium", "AP_hard", "PCK", "PCK@0.05", "AUC", "EPE", "NME")
        if name in rows[0]
    ]
    columns = [*COLUMNS[:-2], *extra, *COLUMNS[-2:]]
    show_table(["model", *columns], [[str(row["model"]), *(_cell(row.get(name)) for name in columns)] for row in rows])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "-" if value == -1 else f"{value:.4f}"
    return "-" if value is None else str(value)
