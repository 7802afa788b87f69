from __future__ import annotations

import json
import re

import numpy as np
import pytest

from edgepose.evaluate.coco import coco_ap
from edgepose.evaluate.report import markdown, report_on, table
from edgepose.skeleton import CROWDPOSE
from tests.evaluate.test_matching import crowded_set

pytest.importorskip("hotcoco")


def test_all_parts_agree() -> None:
    labels, rows = crowded_set(0)
    figures = {"model": "mine|yours", "protocol": "coco", "boxes": "gt"} | coco_ap(rows, labels)
    report = report_on(rows, labels, figures, resamples=20)
    assert list(report) == [
        "figures", "interval", "sizes", "people", "crowding", "keypoints", "errors", "calibration"
    ]  # fmt: skip
    assert report == json.loads(json.dumps(report, allow_nan=False))
    assert report["errors"]["AP"] == pytest.approx(figures["AP"], abs=1e-6)
    labelled = report["errors"]["people"]["labeled"]
    assert labelled == figures["people"] == sum(row["people"] for row in report["sizes"])
    kinds = report["errors"]["counts"]
    assert sum(kinds.values()) == sum(row["labeled"] for row in report["keypoints"])
    assert "interval" not in report_on(rows, labels, figures, resamples=0)


def test_markdown_is_made_of_whole_tables() -> None:
    labels, rows = crowded_set(1)
    report = report_on(rows, labels, {"model": "mine", "protocol": "coco"} | coco_ap(rows, labels), resamples=5)
    report["robustness"] = [
        {"kind": "jpeg", "grade": g, "strength": s, "AP": 0.1 / g, "AR": 0.2, "kept": 0.5 / g}
        for g, s in ((1, 30), (2, 10), (3, 5))
    ]
    text = markdown(report)
    assert text.startswith("# mine\n") and "Ronchi & Perona" in text and "nan" not in text
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1
    assert "| jpeg | quality | 30: 0.100 (50 %) | 10: 0.050 (25 %) | 5: 0.033 (17 %) |" in text
    assert f"| AP | {report['figures']['AP']:.3f} | {report['interval']['AP'][0]:.3f} to " in text
    assert markdown(report_on([], labels, {"model": "none", "protocol": "coco"} | coco_ap([], labels), resamples=0))


def test_crowdpose_has_its_own_rules() -> None:
    labels, rows = crowded_set(2, CROWDPOSE)
    from edgepose.evaluate.coco import crowdpose_ap

    figures = {"model": "mine", "protocol": "crowdpose"} | crowdpose_ap(rows, labels)
    report = report_on(rows, labels, figures, resamples=0)
    assert report["errors"]["AP"] == pytest.approx(figures["AP"], abs=1e-6)
    assert [row["keypoint"] for row in report["keypoints"]] == list(CROWDPOSE.names)


def test_cells_cannot_break_a_table() -> None:
    text = table(["a", "b"], [["x|y", "two\nlines"], [1, np.float64(0.5)]])
    assert text.splitlines() == ["| a | b |", "| --- | ---: |", "| x\\|y | two lines |", "| 1 | 0.5 |"]
