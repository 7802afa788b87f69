"""A model over a labelled data set, or a results file made elsewhere, to one row of figures and a report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgepose.codec.associative import Associative
from edgepose.codec.heatmap import Heatmap
from edgepose.data.columns import load_json, rows_of
from edgepose.data.sound import noted
from edgepose.evaluate.boxes import MIN_BOX_SCORE, box_ap
from edgepose.evaluate.coco import PROTOCOLS, Protocol
from edgepose.evaluate.interval import intervals
from edgepose.evaluate.keypoints import Size as PersonSize
from edgepose.evaluate.keypoints import keypoint_metrics
from edgepose.evaluate.labels import (
    PARTS,
    Labels,
    Row,
    checked_results,
    keypoints_in,
    picture_ids,
    read_labels,
    read_results,
    skeleton_of,
    without_keypoints,
)
from edgepose.evaluate.matching import match, pictures_of
from edgepose.evaluate.multiscale import MultiScale, Size
from edgepose.evaluate.nothing import refuse_nobody, refuse_other_sizes, refuse_unmatched
from edgepose.evaluate.report import RESAMPLES, markdown, report_on
from edgepose.evaluate.result_file import ResultFile
from edgepose.evaluate.robustness import robustness
from edgepose.evaluate.run import Estimates, Run, one_category, run, unmeasured
from edgepose.media.files import atomic_path, make_folder
from edgepose.media.results import Known, images_of
from edgepose.names import expected
from edgepose.runtime.estimator import Estimator, Options
from edgepose.runtime.network import Network
from edgepose.skeleton import COCO, WHOLEBODY
from edgepose.spec import ModelSpec

Progress = Callable[[str, int, int], None]  # what is done, how much of it, of how much

OF_KEYPOINTS = (
    "PCKh",
    "PCKh@0.1",
    "per_group",
    "heads",
    "PCK",
    "PCK@0.1",
    "PCK@0.05",
    "per_joint",
    "AUC",
    "EPE",
    "NME",
)


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
            raise ValueError("figures on spoiled pictures are part of a report: expected its folder in report")

    def of(
        self, model: str, rows: str | Path | Sequence[Row], labels: Labels, lacking: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The figures of one model; `lacking` keypoints, which it cannot find, are left out of them."""
        if isinstance(rows, (str, Path)) and (self.pck or self.bootstrap or skeleton_of(labels) is WHOLEBODY):
            rows = read_results(rows, labels)
        protocol = self.protocol or _protocol_of(labels, rows)
        if protocol not in PROTOCOLS:
            raise ValueError(f"unknown protocol {protocol!r}{expected(protocol, PROTOCOLS)}")
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
    flip_shift: bool | None = None,
) -> Estimates:
    """The estimator as papers evaluate: detectors' boxes from a score of 0.05, one-stage people from that of their
    codec, and everybody whatever they score; mirrored pictures and scales where asked for. Everything else is as
    deployed, but for the suppression of duplicates, which is left to `evaluate.run`: at an OKS of 0.9, as published,
    and not of labelled boxes.

    network_at: the model for another input size, which a bottom-up one needs for scales: `network_of_sizes`.
    flip_shift: whether the flip test moves mirrored heat-maps by one cell, in place of what the model's spec says.
    """
    if flip_shift is not None:
        if not isinstance(estimator.codec, Heatmap):
            raise ValueError(
                f"{estimator.spec.name} (codec {estimator.spec.codec}) has no heat-maps to move in the flip test: "
                "leave flip_shift out"
            )
        arguments = {**estimator.spec.codec_args, "flip_shift": flip_shift}
        network = Described(estimator.network, dataclasses.replace(estimator.spec, codec_args=arguments))
        estimator = Estimator(network, estimator.detector)
    if network_at is not None and tuple(scales) != (1.0,) and isinstance(estimator.codec, Associative):
        return MultiScale(estimator.spec, network_at, scales, flip_test)
    detects = estimator.detector is not None or len(estimator.spec.keypoints) == 0
    least = MIN_BOX_SCORE if detects else 0.0
    return estimator.replace(min_box_score=least, flip_test=flip_test, scales=scales, duplicate_oks=None, min_score=0.0)


@dataclass(frozen=True)
class Described:
    """A network under another spec than its own."""

    network: Network
    spec: ModelSpec

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        return self.network(batch)


def quiet(what: str, done: int, total: int) -> None:
    """No progress is shown."""


def evaluated(
    name: str,
    estimates: Estimates,
    labels: Labels,
    pictures: str | Path,
    boxes: str | Path = "gt",
    measures: Measures | None = None,
    progress: Progress = quiet,
) -> tuple[dict[str, Any], Run]:
    """The figures of a model called `name` on labelled pictures, and what it found; see `run` for boxes and pictures.

    Writes the report that `measures` asks for. `prepared` makes the estimates of an estimator comparable with papers'.
    """
    measures = Measures() if measures is None else measures
    labels = read_labels(labels, annotated=False)
    posed = len(estimates.spec.keypoints) > 0
    if labels["annotations"]:
        refuse_nobody(labels, posed)
    outcome = run(estimates, labels, pictures, boxes, progress=partial(progress, name))
    if not labels["annotations"]:  # of a test set
        return {"model": name, "images": outcome.images, "people": outcome.people, "boxes": str(boxes)}, outcome
    refuse_unmatched(outcome.results, labels, name, posed)
    notes = [note for note in noted(labels, outcome.notes)["notes"] if posed or "keypoint" not in note]
    said = {"notes": notes} if notes else {}
    if not posed:
        return measures.of_boxes(name, outcome.results, labels) | said, outcome
    against, lacking = comparable(labels, estimates, str(boxes))
    figures = measures.of(name, outcome.results, against, lacking) | {"boxes": str(boxes)} | tests_of(estimates) | said

    def figures_of(spoiled: Estimates) -> dict[str, Any]:
        kind = f"{name}, {getattr(spoiled, 'kind', '')}"
        rows = run(spoiled, labels, pictures, boxes, progress=partial(progress, kind)).results
        return _rounded(PROTOCOLS[figures["protocol"]](rows, without_keypoints(against, lacking)))

    if measures.report is None:
        return figures, outcome
    report = measures.reported(outcome.results, against, figures)
    if measures.spoiled:
        report["robustness"] = robustness(estimates, figures_of, figures)
    return figures | _written(measures.report, name, report), outcome


def evaluated_results(predictions: Path, labels: Labels, measures: Measures) -> dict[str, Any]:
    """The figures of a COCO results file, and its report where `measures` asks for one."""
    name = predictions.stem
    labels = read_labels(labels)
    refuse_nobody(labels)
    notes = list(labels["notes"])
    source = joined(predictions, labels)
    rows = checked_results(source, labels, notes=notes)
    if not isinstance(rows, ResultFile):
        refuse_unmatched(rows, labels, str(predictions))
    figures = measures.of(name, predictions if isinstance(rows, ResultFile) else rows, labels)
    if figures["AP"] <= 0:
        rows = read_results(predictions, labels) if isinstance(rows, ResultFile) else rows
        refuse_unmatched(rows, labels, str(predictions))
        refuse_other_sizes(rows, labels, str(predictions))
        notes.append(f"{predictions}: no result is near anybody who is labelled")
    figures |= {"notes": notes} if notes else {}
    if measures.report is None:
        return figures
    listed = read_results(predictions, labels) if isinstance(rows, ResultFile) else rows
    return figures | _written(measures.report, name, measures.reported(listed, labels, figures))


def joined(predictions: Path, labels: Labels) -> Path | list[Row]:
    """A results file, with the ids that the labels give its pictures where it has others.

    Which ids it has says the list beside it that `edgepose predict --format coco` writes; without one, or with one that
    lacks some of them, they are taken for the labels' own.
    """
    listed = images_of(predictions)
    if not listed.is_file():
        return predictions
    content = load_json(listed, kind="the list of the pictures of a results file")
    if not isinstance(content, dict) or "images" not in content:
        raise ValueError(f"{listed} is no list of pictures of {predictions.name}: expected `images`; move it elsewhere")
    images = rows_of(content, "images", listed)
    if any("frame" in image for image in images):  # of videos, which labels do not name
        return predictions
    rows = load_json(predictions, kind="a COCO-style results file")
    own = {identity: name for name, identity in picture_ids(content, listed).items()}
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row.get("image_id") in own for row in rows):
        return predictions
    used = {row["image_id"] for row in rows}
    known = Known(picture_ids(labels, "the labels"))
    meant = {identity: known.id_of(own[identity]) for identity in used}
    if all(a == b for a, b in meant.items()):
        return predictions
    return [row | {"image_id": meant[row["image_id"]]} for row in rows]


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


def _written(folder: Path, name: str, report: dict[str, Any]) -> dict[str, Any]:
    """MODEL.md and MODEL.json, the folder made where it is missing; returns the report's interval, where it has one."""
    make_folder(folder)
    stem = file_stem(name)
    for suffix, text in ((".md", markdown(report)), (".json", json.dumps(report, indent=1, allow_nan=False) + "\n")):
        with atomic_path(folder / f"{stem}{suffix}") as temporary:
            temporary.write_text(text, encoding="utf-8")
    return {"interval": report["interval"]} if "interval" in report else {}


def file_stem(name: str) -> str:
    """A model's name or path as the stem of a file name."""
    return Path(name).stem if name.endswith((".onnx", ".xml")) else Path(name).name


def _protocol_of(labels: Labels, rows: str | Path | Sequence[Row]) -> str:
    """The labels' own, but COCO's for the body alone of people labelled as a whole."""
    skeleton = skeleton_of(labels)
    if skeleton is None or skeleton.name not in PROTOCOLS or not skeleton.built_in:
        return "coco"
    if skeleton is not WHOLEBODY or isinstance(rows, (str, Path)) or not rows:
        return skeleton.name
    parted = any(field in rows[0] for field, _ in PARTS.values() if field != "keypoints")
    return "coco" if keypoints_in(rows) == len(COCO) and not parted else skeleton.name
