"""Fit what a pose model's scores mean on labelled pictures, and write it into the model.

    python training/calibrate.py MODEL CHOOSING.json:PICTURES [REPORTING.json:PICTURES] [--only-report]

MODEL is a name in the package or an ONNX file with a spec inside. The fit (`edgepose.evaluate.calibrate`) goes into the
file; into the checkpoint MODEL.safetensors beside it; into quantized files beside it that were made from just this
file, with their cards; and into SHA256SUMS, in the package and where there is one. Then it prints, as a table in
Markdown, how well it holds on the second set, which must have had no part in any choice. With --only-report nothing is
fitted or written.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from pathlib import Path

import onnx

from edgepose.evaluate.calibrate import Measured, fitted, measured
from edgepose.evaluate.labels import Labels, read_labels
from edgepose.media.files import atomic_path
from edgepose.quantize.card import KEY, beside, card_in
from edgepose.quantize.static import described
from edgepose.runtime.load import WEIGHTS, find, load
from edgepose.spec import ModelSpec
from edgepose.train import checkpoint

SUMS = "SHA256SUMS"


def calibrate(model: str | Path, data: str) -> ModelSpec:
    """Fit and write, as above; returns the new spec."""
    path = find(model)[0]
    if path.suffix != ".onnx":
        raise ValueError(f"{path} is no ONNX file: expected one, from which other formats are made")
    labels, pictures = _set(data)
    spec = fitted(load(path), labels, pictures, _told)
    before = _digest(path)
    quantized = [file for file in path.parent.glob(f"{path.stem}-*.onnx") if _source(file) == (path.name, before)]
    _write_spec(path, spec)
    for file in quantized:
        _write_spec(file, spec, _digest(path))
    trained = path.with_suffix(".safetensors")
    if trained.is_file():
        parts, facts = checkpoint.load(trained)
        then = ModelSpec.from_json(facts["spec"], str(trained))
        then = dataclasses.replace(then, calibration=spec.calibration, box_exponent=spec.box_exponent)
        checkpoint.save(trained, parts, facts | {"spec": then.to_json()})
    if path.parent == WEIGHTS or (path.parent / SUMS).is_file():
        write_sums(path.parent)
    return spec


def write_sums(folder: Path) -> None:
    """SHA256SUMS of the models in a folder, the package's or one like it."""
    files = sorted([*folder.glob("*.onnx"), *folder.glob("*.safetensors")])
    with atomic_path(folder / SUMS) as path:
        path.write_text("".join(f"{_digest(file)}  {file.name}\n" for file in files), encoding="utf-8")


def report(model: str | Path, data: str) -> Measured:
    """How well the scores of a calibrated model hold on other pictures."""
    labels, pictures = _set(data)
    estimator = load(model)
    if estimator.spec.calibration is None:
        raise ValueError(f"{model} is not calibrated: leave --only-report out, and name the set to fit on")
    return measured(estimator, labels, pictures, _told)


def table(found: Measured, least: float) -> str:
    """Reliability in bins, and precision and recall from the least score on, in Markdown."""
    lines = [
        "| scores | people | mean score | right | keypoints | mean score | right |",
        "| --- " + "| ---: " * 6 + "|",
    ]
    people = {row[0]: row for row in found.people.reliability()}
    keypoints = {row[0]: row for row in found.keypoints.reliability()}
    for start in sorted({*people, *keypoints}):
        cells = [_cells(part.get(start)) for part in (people, keypoints)]
        lines.append(f"| {start:.1f} to {start + 0.1:.1f} | {cells[0]} | {cells[1]} |")
    for name, part in (("people", found.people), ("keypoints", found.keypoints)):
        precision, recall = part.at(least)
        lines.append(
            f"\n{name} from {least:g} on: precision {precision:.3f}, recall {recall:.3f} ({part.labelled} labelled)"
        )
    return "\n".join(lines)


def _cells(row: tuple[float, float, int, float, float] | None) -> str:
    return "0 | - | -" if row is None else f"{row[2]} | {row[3]:.2f} | {row[4]:.2f}"


def _set(data: str) -> tuple[Labels, Path]:
    annotations, _, pictures = data.partition(":")
    if not pictures:
        raise ValueError(f"{data}: expected LABELS.json:PICTURES")
    return read_labels(annotations, pictures=pictures), Path(pictures)


def _write_spec(path: Path, spec: ModelSpec, source: str | None = None) -> None:
    """Put the calibration of `spec` into a file. source: sha256 of the file that a quantized one was made from."""
    model = onnx.load(str(path))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    then = ModelSpec.from_json(metadata["edgepose"], str(path))
    then = dataclasses.replace(then, calibration=spec.calibration, box_exponent=spec.box_exponent)
    metadata["edgepose"] = then.to_json()
    if source is not None:
        metadata[KEY] = json.dumps(json.loads(metadata[KEY]) | {"source_sha256": source})
        with atomic_path(beside(path)) as text:
            text.write_text(metadata[KEY] + "\n", encoding="utf-8")
    described(model, metadata)
    with atomic_path(path) as file:
        file.write_bytes(model.SerializeToString())


def _source(path: Path) -> tuple[str, str] | None:
    """Name and sha256 of what a quantized file was made from, None of any other file."""
    card = card_in(path)
    return None if card is None else (card["source"], card["source_sha256"])


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _told(what: str, done: int, total: int) -> None:
    if sys.stderr.isatty() or done == total:
        print(f"{what}: {done} of {total}", file=sys.stderr, end="\n" if done == total else "\r")


def main(words: list[str]) -> None:
    only = "--only-report" in words
    model, *sets = [word for word in words if word != "--only-report"] or [""]
    if not model or not 1 <= len(sets) <= (1 if only else 2):
        raise SystemExit(str(__doc__).partition("\n\nMODEL")[0])
    if not only:
        spec = calibrate(model, sets.pop(0))
        print(f"box exponent {spec.box_exponent:g}, {spec.calibration}")
    for data in sets:
        print(table(report(model, data), load(model).spec.thresholds.person))


if __name__ == "__main__":
    main(sys.argv[1:])
