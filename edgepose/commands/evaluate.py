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
from edgepose.evaluate.keypoints import keypoint_metrics
from edgepose.evaluate.labels import Labels, Row, read_labels, skeleton_of
from edgepose.evaluate.run import Estimates, run
from edgepose.runtime.atomic import atomic_path
from edgepose.runtime.estimator import Estimator

COLUMNS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "images", "people")


@dataclass(frozen=True)
class Measures:
    """What is computed of result rows. `pck` names the size that distances are divided by, None leaves PCK out."""

    protocol: str | None = None
    pck: str | None = None

    def of(self, model: str, rows: str | Path | Sequence[Row], labels: Labels) -> dict[str, Any]:
        """The figures of one model."""
        protocol = self.protocol or _protocol_of(labels)
        if protocol not in PROTOCOLS:
            raise ValueError(f"unknown protocol {protocol!r}, expected one of {list(PROTOCOLS)}")
        figures = {"model": model, "protocol": protocol} | PROTOCOLS[protocol](rows, labels)
        if self.pck is not None:
            of_keypoints = keypoint_metrics(rows, labels, size=self.pck)
            figures |= {name: of_keypoints[name] for name in ("PCK", "per_joint", "AUC", "EPE", "NME")}
        return _rounded(figures)

    def of_boxes(self, model: str, rows: Sequence[Row], labels: Labels) -> dict[str, Any]:
        """The figures of one detector."""
        return _rounded({"model": model, "task": "boxes"} | box_ap(rows, labels))


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in figures.items()}


def prepared(estimator: Estimator, flip_test: bool) -> Estimator:
    """The estimator as papers evaluate: detectors' boxes from a score of 0.05, one-stage people from that of their
    codec, and the mirrored picture where asked for.
    """
    detects = estimator.detector is not None or len(estimator.spec.keypoints) == 0
    return Estimator(
        estimator.network,
        estimator.detector,
        min_box_score=MIN_BOX_SCORE if detects else 0.0,
        flip_test=flip_test,
    )


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
    if detectors and (measures.protocol is not None or measures.pck is not None):
        raise ValueError(f"{detectors[0]} is a detector and finds no keypoints: leave out --protocol and --pck")
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
                figures = measures.of(name, outcome.results, labels) | {"boxes": boxes}
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
    figures = measures.of(predictions.stem, predictions, read_labels(annotations))
    if as_json:
        show_json(figures)
    else:
        _show([figures])


def _protocol_of(labels: Labels) -> str:
    skeleton = skeleton_of(labels)
    return skeleton.name if skeleton is not None and skeleton.name in PROTOCOLS else "coco"


def _show(rows: list[dict[str, Any]]) -> None:
    extra = [name for name in ("APS", "AP_easy", "AP_medium", "AP_hard", "PCK", "AUC", "EPE", "NME") if name in rows[0]]
    columns = [*COLUMNS[:-2], *extra, *COLUMNS[-2:]]
    show_table(["model", *columns], [[str(row["model"]), *(_cell(row.get(name)) for name in columns)] for row in rows])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "-" if value == -1 else f"{value:.4f}"
    return "-" if value is None else str(value)
