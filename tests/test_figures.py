"""One figure, one value: README, cards, docs/accuracy.md and the specs inside the model files say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgepose.runtime.load import embedded, open_model

ROOT = Path(__file__).resolve().parents[1]
README, ACCURACY, FOREIGN = "README.md", "docs/accuracy.md", "docs/foreign-models.md"
POSE, DETECTOR = "edgepose/weights/default-pose.md", "edgepose/weights/default-detector.md"
POSE_SPEC, DETECTOR_SPEC = "the spec inside default-pose.onnx", "the spec inside default-detector.onnx"
PAGES = (README, ACCURACY, FOREIGN, POSE, DETECTOR)

NUMBER = r"(\d*\.\d+|\d[\d,]*)"
# What is stated -> where, and the words around it; every match in a place counts, and there must be one.
FIGURES: dict[str, dict[str, str]] = {
    "AP of default-pose, true boxes": {
        README: rf"`default-pose` .*\| {NUMBER} with true boxes",
        ACCURACY: rf"^\| default-pose \| true \| {NUMBER}",
        POSE: rf"^\| true boxes \| {NUMBER}",
        POSE_SPEC: rf'AP, true boxes[^"]*": {NUMBER}',
    },
    "AP of default-pose, boxes of default-detector": {
        README: rf"`default-pose` .*boxes, {NUMBER} with the detector's",
        ACCURACY: rf"^\| default-pose \| default-detector \| {NUMBER}",
        POSE: rf"^\| boxes of default-detector \| {NUMBER}",
        POSE_SPEC: rf'AP with default-detector[^"]*": {NUMBER}',
    },
    "AP of default-pose, flip test": {
        ACCURACY: rf"^\| default-pose, flip test \| true \| {NUMBER}",
        POSE: rf"^\| true boxes, flip test \| {NUMBER}",
    },
    "AP of the default before, true boxes": {
        ACCURACY: rf"^\| default of 2026-11-29 \| true \| {NUMBER}",
        POSE: rf"^\| default of 2026-11-29, true boxes \| {NUMBER}",
    },
    "AP of the default before, boxes of default-detector": {
        ACCURACY: rf"^\| default of 2026-11-29 \| default-detector \| {NUMBER}",
        POSE: rf"^\| default of 2026-11-29, boxes of default-detector \| {NUMBER}",
    },
    "AP of PP-TinyPose, true boxes": {
        README: rf"PP-TinyPose has {NUMBER} and ",
        ACCURACY: rf"^\| PP-TinyPose 256x192 \| true \| {NUMBER}",
        POSE: rf"^\| PP-TinyPose, true boxes \| {NUMBER}",
        FOREIGN: rf"and {NUMBER}\s+without its mirror image",
    },
    "AP of PP-TinyPose, flip test": {
        ACCURACY: rf"^\| PP-TinyPose 256x192, flip test \| true \| {NUMBER}",
        FOREIGN: rf"this one has AP {NUMBER}\s+with it",
    },
    "AP of PP-TinyPose, detected boxes": {
        README: rf"PP-TinyPose has [\d.]+ and {NUMBER}",
        ACCURACY: rf"^\| PP-TinyPose 256x192 \| published RTMDet-nano, 320 \| {NUMBER}",
        POSE: rf"^\| PP-TinyPose, boxes of the published RTMDet-nano \| {NUMBER}",
    },
    "precision of people at the default": {
        ACCURACY: rf"of those shown a part\s+of {NUMBER} is there and right",
        POSE: rf"people shown a part of {NUMBER} is there and right",
    },
    "recall of people at the default": {
        ACCURACY: rf"these are {NUMBER} of the 507 labelled people",
        POSE: rf"they are {NUMBER} of the 507 labelled",
    },
    "pictures of the reporting half": {
        README: rf"`default-pose` .*\({NUMBER} pictures",
        ACCURACY: rf"the {NUMBER} pictures with odd ids",
        POSE: rf"\(the {NUMBER} with odd ids",
        POSE_SPEC: rf"\({NUMBER} pictures",
    },
    "people of the reporting half": {
        README: rf"`default-pose` .* pictures, {NUMBER} people",
        ACCURACY: rf"with {NUMBER} people who\s+have keypoints",
        POSE: rf"(?:\| |odd ids, ){NUMBER} people",
        POSE_SPEC: rf"pictures, {NUMBER} people\)",
    },
    "box AP of default-detector": {
        README: rf"`default-detector` .*\| person boxes \| {NUMBER}",
        DETECTOR: rf"^\| box AP / AP50 on coco_mini val2017.*?\| {NUMBER} /",
        DETECTOR_SPEC: rf'box AP[^"]*": {NUMBER}',
    },
    "people the detector is measured on": {
        README: rf"`default-detector` .* pictures, {NUMBER} people",
        DETECTOR: rf"^\| box AP / AP50.* pictures, {NUMBER} people",
        DETECTOR_SPEC: rf"\(n={NUMBER}\)",
    },
    "pictures the detector is measured on": {
        README: rf"`default-detector` .*\({NUMBER} pictures",
        DETECTOR: rf"^\| box AP / AP50.*\| {NUMBER} pictures",
    },
    "pictures of Stanford 40 in the detector's training": {
        DETECTOR: rf"^\| Stanford 40 Actions, training split.*?\| {NUMBER} \|",
        DETECTOR_SPEC: rf"Stanford 40 \({NUMBER} pictures",
    },
    "pictures of LSPET in the detector's training": {
        DETECTOR: rf"^\| Leeds Sports Pose Extended.*?\| {NUMBER} \|",
        DETECTOR_SPEC: rf"LSPET \({NUMBER} pictures",
    },
    "people of COCO in the training of default-pose": {
        POSE: rf"^\| COCO train2017, a slice.*?\| [\d,]+ \| {NUMBER} \|",
        POSE_SPEC: rf"a slice \({NUMBER} people",
    },
    "people of LSPET in the training of default-pose": {
        POSE: rf"^\| Leeds Sports Pose Extended.*?\| [\d,]+ \| {NUMBER} \|",
        POSE_SPEC: rf"LSPET \({NUMBER} people",
    },
    "people of the sport pictures in the training of default-pose": {
        POSE: rf"^\| sport pictures.*?\| [\d,]+ \| {NUMBER} \|",
        POSE_SPEC: rf"sport pictures \({NUMBER} people",
    },
    "megabytes of default-pose": {README: rf"`default-pose` .*\| {NUMBER} MB", "default-pose.onnx": NUMBER},
    "megabytes of default-detector": {README: rf"`default-detector` .*\| {NUMBER} MB", "default-detector.onnx": NUMBER},
}
# Rows of docs/accuracy.md and the card's that say the same, in the columns that the card has.
ROWS = {
    "| default-pose | true |": "| true boxes |",
    "| default-pose, flip test | true |": "| true boxes, flip test |",
    "| default-pose | default-detector |": "| boxes of default-detector |",
    "| default of 2026-11-29 | true |": "| default of 2026-11-29, true boxes |",
    "| default of 2026-11-29 | default-detector |": "| default of 2026-11-29, boxes of default-detector |",
    "| PP-TinyPose 256x192 | true |": "| PP-TinyPose, true boxes |",
    "| PP-TinyPose 256x192 | published RTMDet-nano, 320 |": "| PP-TinyPose, boxes of the published RTMDet-nano |",
}
COLUMNS = (0, 1, 2, 5)  # AP AP50 AP75 (APM APL) AR


def stated() -> dict[str, str]:
    """Every place with a text: pages, the specs inside the files as JSON, the files' sizes."""
    texts = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
    for name, path in embedded().items():
        texts[f"the spec inside {name}.onnx"] = open_model(path).spec.to_json()
        texts[f"{name}.onnx"] = f"{path.stat().st_size / 1e6:.1f}"
    return texts


def contradictions(texts: dict[str, str]) -> list[str]:
    """A sentence for each figure that is missing from a place or differs between two."""
    found = []
    for name, places in FIGURES.items():
        values: dict[float, list[str]] = {}
        for place, pattern in places.items():
            matches = re.findall(pattern, texts[place], re.MULTILINE)
            if not matches:
                found.append(f"{name}: not in {place}")
            for match in matches:
                values.setdefault(float(match.replace(",", "")), []).append(place)
        if len(values) > 1:
            found.append(f"{name}: {', '.join(f'{value} in {place[0]}' for value, place in values.items())}")
    for first, second in ROWS.items():
        ours, cards = _row(texts[ACCURACY], first), _row(texts[POSE], second)
        if [ours[i] for i in COLUMNS if i < len(ours)] != cards[:4]:
            found.append(f"{first} of {ACCURACY} is {ours}, {second} of {POSE} {cards}")
    return found


def _row(text: str, label: str) -> list[str]:
    """The cells of the table row that begins so."""
    (line,) = [line for line in text.splitlines() if line.startswith(label)] or [label]
    return [cell.strip() for cell in line.removeprefix(label).strip(" |").split("|")]


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return stated()


def test_every_figure_has_one_value(texts: dict[str, str]) -> None:
    assert contradictions(texts) == []


@pytest.mark.parametrize(("name", "place"), [(name, place) for name, places in FIGURES.items() for place in places])
def test_planted_figures(name: str, place: str, texts: dict[str, str]) -> None:
    match = re.search(FIGURES[name][place], texts[place], re.MULTILINE)
    assert match
    changed = texts[place][: match.start(1)] + "77777" + texts[place][match.end(1) :]
    assert any(sentence.startswith(f"{name}: ") for sentence in contradictions(texts | {place: changed}))


def test_planted_rows(texts: dict[str, str]) -> None:
    changed = re.sub(r"^(\| true boxes \| .*? \| )0\.\d+", r"\g<1>0.001", texts[POSE], flags=re.MULTILINE)
    (sentence,) = contradictions(texts | {POSE: changed})
    assert sentence.startswith("| default-pose | true | of docs/accuracy.md is ['0.")
