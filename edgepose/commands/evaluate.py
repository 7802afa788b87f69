"""`edgepose evaluate`: a model over a labelled data set, or a results file made elsewhere, to one row of figures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepose.codec.associative import Associative
from edgepose.commands.screen import Screen, show_json, show_table
from edgepose.evaluate.boxes import MIN_BOX_SCORE, box_ap
from edgepose.evaluate.coco import PROTOCOLS, Protocol
from edgepose.evaluate.interval import intervals
from edgepose.evaluate.keypoints import Size as PersonSize
from edgepose.evaluate.keypoints import keypoint_metrics
from edgepose.evaluate.labels import (
    PARTS,
    Labels,
    Row,
    keypoints_in,
    read_labels,
    read_results,
    skeleton_of,
    without_keypoints,
)
from edgepose.evaluate.matching import match, pictures_of
from edgepose.evaluate.multiscale import MultiScale, Size, at_size
from edgepose.evaluate.report import RESAMPLES, markdown, report_on
from edgepose.evaluate.robustness import robustness
from edgepose.evaluate.run import Estimates, one_category, run, unmeasured
from edgepose.media.files import atomic_path, make_folder
from edgepose.runtime.estimator import Estimator, Options
from edgepose.runtime.load import Backend, find, open_model
from edgepose.runtime.network import Network
from edgepose.skeleton import COCO, WHOLEBODY
from edgepose.spec import ModelSpec

COLUMNS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "images", "people")


OF_KEYPOINTS = ("PCKh", "PCKh@0.1", "per_group", "heads", "PCK", "PCK@0.05", "per_joint", "AUC", "EPE", "NME")


@dataclass(frozen=True)
class Measures:
    """What is computed of result rows.

    Args:
        pck: the size that distances are divided by; None leaves PCK out.
        bootstrap: resamples of the pictures for `interval`; None: 1000 where a report is written, else no interval.
        report: folder for MODEL.md and MODEL.json.
        spoiled: the report also has the figures on spoiled pictures: the data set is run 21 more times.
    """

    protocol: Protocol | None = None
    pck: PersonSize | None = None
    bootstrap: int | None = None
    report: Path | None = None
    spoiled: bool = False

    def __post_init__(self) -> None:
        if self.spoiled and self.report is None:
            raise ValueError("--robustness is part of a report: say where with --report FOLDER")

    def of(
        self, model: str, rows: str | Path | Sequence[Row], labels: Labels, lacking: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The figures of one model; `lacking` keypoints, which it cannot find, are left out of them."""
        if isinstance(rows, (str, Path)) and (self.pck or self.bootstrap or skeleton_of(labels) is WHOLEBODY):
            rows = read_results(rows, labels)
        protocol = self.protocol or _protocol_of(labels, rows)
        if protocol not in PROTOCOLS:
            raise ValueError(f"unknown protocol {protocol!r}, expected one of {list(PROTOCOLS)}")
        against = without_keypoints(labels, lacking)
        figures: dict[str, Any] = {"model": model, "protocol": protocol} | PROTOCOLS[protocol](rows, against)
        if self.pck is not None:
            of_keypoints = keypoint_metrics(rows, labels, size=self.pck, leave_out=lacking)
            figures |= {name: of_keypoints[name] for name in OF_KEYPOINTS if name in of_keypoints}
        if self.bootstrap and self.report is None:
            figures["interval"] = intervals(match(pictures_of(rows, against, protocol)[0]), self.bootstrap)
        return _rounded(figures | ({"unmeasured": list(lacking)} if lacking else {}))

    def reported(self, rows: Sequence[Row], labels: Labels, figures: dict[str, Any]) -> dict[str, Any]:
        """The whole report of one model."""
        against = without_keypoints(labels, figures.get("unmeasured", ()))
        return report_on(rows, against, figures, resamples=RESAMPLES if self.bootstrap is None else self.bootstrap)

    def of_boxes(self, model: str, rows: Sequence[Row], labels: Labels) -> dict[str, Any]:
        """The figures of one detector."""
        return _rounded({"model": model, "task": "boxes"} | box_ap(rows, labels))


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in figures.items()}


def prepared(
    estimator: Estimator,
    flip_test: bool,
    scales: Sequence[float] = (1.0,),
    network_at: Callable[[Size], Network] | None = None,
) -> Estimates:
    """The estimator as papers evaluate: detectors' boxes from a score of 0.05, one-stage people from that of their
    codec; mirrored pictures and scales where asked for. Everything else is as deployed, but for the suppression of
    duplicates, which is left to `evaluate.run`: at an OKS of 0.9, as published.

    network_at: the model for another input size, which a bottom-up one needs for scales; see `network_of_sizes`.
    """
    if network_at is not None and tuple(scales) != (1.0,) and isinstance(estimator.codec, Associative):
        return MultiScale(estimator.spec, network_at, scales, flip_test)
    detects = estimator.detector is not None or len(estimator.spec.keypoints) == 0
    least = MIN_BOX_SCORE if detects else 0.0
    return estimator.replace(min_box_score=least, flip_test=flip_test, scales=scales, duplicate_oks=None)


def network_of_sizes(
    model: str, spec: ModelSpec, backend: Backend | None, threads: int | None
) -> Callable[[Size], Network]:
    """The file of a model, by name or path, as a network for any input size (w, h)."""

    def network_at(size: Size) -> Network:
        file = at_size(find(model)[0], spec, size)
        return open_model(file, dataclasses.replace(spec, input_size=size), backend, threads)

    return network_at


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
                against, lacking = comparable(labels, estimator, boxes)
                figures = measures.of(name, outcome.results, against, lacking) | {"boxes": boxes} | tests_of(estimator)
                if lacking:
                    screen.complain(f"{name} does not find {', '.join(lacking)}: they are left out of its figures")
                if measures.report is not None:
                    report = measures.reported(outcome.results, against, figures)
                    if measures.spoiled:
                        report["robustness"] = _robustness(
                            screen,
                            name,
                            estimator,
                            (labels, without_keypoints(against, lacking)),
                            images,
                            boxes,
                            figures,
                        )
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
    if measures.report is None:
        figures = measures.of(predictions.stem, predictions, labels)
    else:
        rows = read_results(predictions, labels)
        figures = measures.of(predictions.stem, rows, labels)
        report = measures.reported(rows, labels, figures)
        figures |= {"interval": report["interval"]} if "interval" in report else {}
        _write(measures.report, predictions.stem, report)
    if as_json:
        show_json(figures)
    else:
        _show([figures])


def comparable(labels: Labels, estimator: Estimates, boxes: str) -> tuple[Labels, list[str]]:
    """Labels to measure a model's results against, and the names of labelled keypoints that it cannot find.

    A model of COCO's 17 has no neck to find in CrowdPose. Categories (AP-10K's species) are kept where the labels'
    own boxes say what stands in them.
    """
    lacking = unmeasured(labels, estimator.spec.keypoints)
    stated = estimator.spec.per_person and boxes == "gt"
    return labels if stated else one_category(labels), lacking


def tests_of(estimator: Estimates) -> dict[str, Any]:
    """Which of the published evaluation's extras the estimator applies, where it does."""
    found: dict[str, Any] = {}
    tests = estimator.options if isinstance(estimator, Estimator) else estimator
    if isinstance(tests, (Options, MultiScale)):
        found |= {"flip_test": True} if tests.flip_test else {}
        found |= {"scales": list(tests.scales)} if tests.scales != (1.0,) else {}
    return found


def _robustness(
    screen: Screen,
    name: str,
    estimator: Estimates,
    labels: tuple[Labels, Labels],
    images: Path,
    boxes: str,
    plain: dict[str, Any],
) -> list[dict[str, Any]]:
    """labels: whom the model is shown, and what it is measured against."""
    shown, against = labels

    def figures_of(spoiled: Estimates) -> dict[str, Any]:
        with screen.task(f"{name}, {getattr(spoiled, 'kind', '')}", len(shown["images"])) as bar:
            rows = run(spoiled, shown, images, boxes, progress=bar.progress).results
        return _rounded(PROTOCOLS[plain["protocol"]](rows, against))

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


def _protocol_of(labels: Labels, rows: str | Path | Sequence[Row]) -> str:
    """The labels' own, but COCO's for the body alone of people labelled as a whole."""
    skeleton = skeleton_of(labels)
    if skeleton is None or skeleton.name not in PROTOCOLS:
        return "coco"
    if skeleton is not WHOLEBODY or isinstance(rows, (str, Path)) or not rows:
        return skeleton.name
    parted = any(field in rows[0] for field, _ in PARTS.values() if field != "keypoints")
    return "coco" if keypoints_in(rows) == len(COCO) and not parted else skeleton.name


def _show(rows: list[dict[str, Any]]) -> None:
    extra = [
        name
        for name in ("APS", "AP_easy", "AP_medium", "AP_hard", *OF_KEYPOINTS)
        if name in rows[0] and not isinstance(rows[0][name], dict)
    ]
    columns = [*COLUMNS[:-2], *extra, *COLUMNS[-2:]]
    show_table(["model", *columns], [[str(row["model"]), *(_cell(row.get(name)) for name in columns)] for row in rows])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "-" if value == -1 else f"{value:.4f}"
    return "-" if value is None else str(value)
