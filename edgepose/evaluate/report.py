"""A report on one model: one dictionary, and the same as Markdown for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgepose.evaluate.breakdown import by_crowd, by_keypoint, by_people, by_size, calibration
from edgepose.evaluate.errors import KINDS, error_report
from edgepose.evaluate.interval import intervals
from edgepose.evaluate.labels import Labels, Row
from edgepose.evaluate.matching import match, pictures_of
from edgepose.evaluate.robustness import KINDS as SPOILED

RESAMPLES = 1000


def report_on(
    results: str | Path | Sequence[Row], labels: Labels, figures: dict[str, Any], *, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """Everything that result rows tell, beside the figures that were measured of them.

    Keys: figures, interval (none with 0 resamples), sizes, people, crowding, keypoints, errors, calibration.
    """
    pictures, skeleton = pictures_of(results, labels, figures.get("protocol", "coco"))
    report: dict[str, Any] = {"figures": figures}
    if resamples:
        report["interval"] = intervals(match(pictures), resamples)
    return report | {
        "sizes": by_size(pictures),
        "people": by_people(pictures),
        "crowding": by_crowd(pictures),
        "keypoints": by_keypoint(pictures, skeleton),
        "errors": error_report(pictures, skeleton),
        "calibration": calibration(pictures),
    }


def markdown(report: dict[str, Any]) -> str:
    """The report in tables, each with a sentence on how to read it."""
    figures = report["figures"]
    parts = [f"# {figures['model']}", _figures(figures, report.get("interval"))]
    parts.append(_people_tables(report))
    parts.append(_errors(report["errors"]))
    parts.append(_keypoints(report["keypoints"]))
    parts.append(_calibration(report["calibration"]))
    if "robustness" in report:
        parts.append(_robustness(report["robustness"], figures["AP"]))
    return "\n\n".join(parts) + "\n"


def _figures(figures: dict[str, Any], interval: dict[str, Any] | None) -> str:
    facts = [f"{figures['images']} pictures, {figures['people']} people, protocol {figures['protocol']}"]
    facts += [f"{name}: {figures[name]}" for name in ("boxes", "flip_test", "scales") if name in figures]
    if "unmeasured" in figures:
        facts.append(f"the model does not find {', '.join(figures['unmeasured'])}: left out")
    rows = []
    for name in (
        "AP",
        "AP50",
        "AP75",
        "APM",
        "APL",
        "AR",
        "AP_easy",
        "AP_medium",
        "AP_hard",
        "PCKh",
        "PCKh@0.1",
        "PCK",
        "PCK@0.05",
    ):
        if name in figures:
            ends = (interval or {}).get(name)
            rows.append([name, _number(figures[name]), "-" if ends is None else " to ".join(map(_number, ends))])
    columns = ["figure", "value", f"{interval['level']:.0%} interval" if interval else "interval"]
    text = "; ".join(facts) + ".\n\n" + table(columns, rows)
    if interval:
        text += f"\n\nIntervals: percentiles of {interval['resamples']} draws of the pictures with replacement."
    return text


def _people_tables(report: dict[str, Any]) -> str:
    sizes = [[_between(row, " px"), row["people"], _number(row["AP"]), _number(row["AR"])] for row in report["sizes"]]
    counts = [[_count(row), row["images"], row["people"], _number(row["AP"]), _number(row["AR"])]
              for row in report["people"]]  # fmt: skip
    crowds = [[f"{row['level']} ({_between(row)})", row["images"], row["people"], _number(row["AP"]),
               _number(row["AR"])] for row in report["crowding"]]  # fmt: skip
    return "\n\n".join(
        [
            "## By size\n\nSquare root of the person's area.",
            table(["size", "people", "AP", "AR"], sizes),
            "## By people in the picture",
            table(["labelled people", "pictures", "people", "AP", "AR"], counts),
            "## By crowding\n\nCrowdPose's index: others' keypoints in a person's box for each of their own.",
            table(["crowd index", "pictures", "people", "AP", "AR"], crowds),
        ]
    )


def _errors(errors: dict[str, Any]) -> str:
    people, total = errors["people"], errors["keypoints"]
    meaning = {
        "good": "within 0.85 of its place", "jitter": "0.5 to 0.85 of its place",
        "inversion": "on the other side of the body", "swap": "on somebody else", "miss": "near nothing",
    }  # fmt: skip
    rows = [[kind, meaning[kind], errors["counts"][kind], f"{100 * errors['shares'][kind]:.1f} %",
             _gain(errors["gains"].get(kind))] for kind in KINDS]  # fmt: skip
    rows.append(["all four", "", "", "", _gain(errors["gains"]["all four"])])
    rows.append(["score", "people ranked by their OKS", "", "", _gain(errors["gains"]["score"])])
    rows.append(["background", "results about nobody left out", people["about_nobody"], "",
                 _gain(errors["gains"]["background"])])  # fmt: skip
    rows.append(["unfound", "people not found left out", people["unfound"], "", _gain(errors["gains"]["unfound"])])
    return "\n\n".join(
        [
            "## Mistakes\n\n"
            f"Of {people['labeled']} labelled people {people['labeled'] - people['unfound']} have a result that is "
            f"about them (OKS at least 0.1); their {total} labelled keypoints are sorted as Ronchi & Perona (ICCV "
            "2017) do. The last column is how much AP would rise if this kind alone were put right.",
            table(["kind", "keypoint is", "count", "share", "AP gain"], rows, left=2),
        ]
    )


def _keypoints(rows: list[dict[str, Any]]) -> str:
    cells = [
        [row["keypoint"], row["labeled"], *(_number(row.get(key)) for key in ("similarity", "good", "near")),
         f"{row['distance']:.1f}" if "distance" in row else "-", row["unfound"]]
        for row in rows
    ]  # fmt: skip
    return "\n\n".join(
        [
            "## By keypoint\n\nOf people that results are about: mean similarity, share above 0.85 and from 0.5, and "
            "median distance in hundredths of the square root of the person's area; last, labels of people not found.",
            table(["keypoint", "labeled", "similarity", "good", "near", "distance", "not found"], cells),
        ]
    )


def _calibration(found: dict[str, Any]) -> str:
    rows = [[f"{row['from']:.1f} to {row['to']:.1f}", row["results"],
             *(_number(row.get(key)) for key in ("score", "OKS", "right"))] for row in found["bins"]]  # fmt: skip
    return "\n\n".join(
        [
            f"## Confidence\n\nExpected calibration error {_number(found['ECE'])} over {found['results']} results: "
            f"mean score {_number(found['score'])}, mean OKS {_number(found['OKS'])}. Right: OKS at least 0.5.",
            table(["score", "results", "mean score", "mean OKS", "right"], rows),
        ]
    )


def _robustness(rows: list[dict[str, Any]], plain: float) -> str:
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    cells = []
    for kind in kinds:
        of_kind = [row for row in rows if row["kind"] == kind]
        grades = [f"{row['strength']:g}: {_number(row['AP'])} ({_percent(row['kept'])})" for row in of_kind]
        cells.append([kind, SPOILED[kind][0], *grades])
    kept = [row["kept"] for row in rows if row["kept"] is not None]
    mean = f"{100 * sum(kept) / len(kept):.0f} %" if kept else "-"
    return "\n\n".join(
        [
            f"## Robustness\n\nAP on spoiled pictures, and the share of {_number(plain)} that is left; {mean} in the "
            "mean of all. Each cell begins with the strength.",
            table(["kind", "strength is", "grade 1", "grade 2", "grade 3"], cells, left=2),
        ]
    )


def table(columns: Sequence[Any], rows: Sequence[Sequence[Any]], left: int = 1) -> str:
    """A Markdown table, the first `left` columns to the left, numbers to the right."""
    lines = [
        list(map(_cell, columns)),
        ["---"] * left + ["---:"] * (len(columns) - left),
        *(list(map(_cell, r)) for r in rows),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _number(value: float | None) -> str:
    return "-" if value is None or value == -1 else f"{value:.3f}"


def _gain(value: float | None) -> str:
    return "" if value is None else f"{value:+.3f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def _between(row: dict[str, Any], unit: str = "") -> str:
    return f"{row['from']:g}{unit} and more" if row["to"] is None else f"{row['from']:g} to {row['to']:g}{unit}"


def _count(row: dict[str, Any]) -> str:
    if row["to"] is None:
        return f"{row['from']} and more"
    return str(row["from"]) if row["from"] == row["to"] else f"{row['from']} to {row['to']}"
