"""A page (HTML, one file) of what `check` found: a table, and the worst pictures with their labels drawn in."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Sequence
from html import escape
from typing import Any

import cv2
import numpy as np

from edgepose.data.check import HARMFUL, KINDS, Report
from edgepose.media.draw import draw
from edgepose.poses import Poses

WORST = 50  # pictures that are shown
SIDE = 480  # pixels of the longer side of each
LISTED = 20  # entries of a finding that the table names
OF_BOXES = ("empty_boxes", "tiny_boxes", "out_of_frame")
BY_ID = (*OF_BOXES, "points_out_of_frame", "points_out_of_box", "swaps", "limbs", "twins")
BY_NAME = (*OF_BOXES, "turned", "other_size", "repeated_names", "unlabelled", "duplicates")
REASONS, SAID = 6, 4  # kinds of findings beneath a picture, and entries of each
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1080px;padding:0 1rem;color:#1c1c1c}"
    "table{border-collapse:collapse;width:100%;table-layout:fixed;margin-bottom:1.5rem}"
    "td,th{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid #ddd}"
    "th:nth-child(1){width:21%}th:nth-child(2),td:nth-child(2){width:5.8rem;text-align:right}th:nth-child(4){width:27%}"
    "td{overflow-wrap:break-word}td:nth-child(3){overflow-wrap:anywhere}"
    "@media(max-width:700px){th:nth-child(1),th:nth-child(4){width:25%}th:nth-child(2),td:nth-child(2){width:2.5rem}}"
    "tr.bad td:first-child{border-left:4px solid #c62828}"
    ".shown{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:1.25rem 1rem}figure{margin:0}"
    "img{width:100%;height:auto;background:#eee}figcaption{font-size:13px;overflow-wrap:anywhere}.why{color:#b71c1c}"
    "code{background:#f0f0f0;padding:0 .2em}"
)
LEGEND = (
    "White boxes are the labelled ones, gray ones crowds and those without keypoints, red ones what the detector sees "
    "and nobody labelled."
)


def page_of(reports: Sequence[Report], shared: Sequence[str] = ()) -> str:
    """The page of one or several reports, made with pictures; `shared` are those that stand in more than one file."""
    parts = [_section(report) for report in reports]
    twice = f"<p class=why>In more than one file: {escape(_some(shared))}</p>" if shared else ""
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>edgepose data check</title><style>{STYLE}</style><h1>What the labels hold</h1>{twice}{''.join(parts)}"
        "</html>\n"
    )


def worst(report: Report) -> list[tuple[int, dict[str, list[str]]]]:
    """(row of the picture, what was found there by kind) of up to WORST pictures: those of harmful findings first, then
    by their number.
    """
    people = report.people
    of_id: dict[str, int] = dict(zip(map(str, people.ids.tolist()), people.picture.tolist(), strict=True))
    of_name = {name: row for row, (_, name) in enumerate(people.files)}
    reasons: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    weight: dict[int, int] = defaultdict(int)
    for kind in dict.fromkeys((*BY_ID, *BY_NAME)):
        for entry in report.found[kind]:
            for row, said in _places(kind, entry, of_id, of_name):
                reasons[row][kind].append(said)
                weight[row] += 1000 if kind in HARMFUL else 1
    order = sorted(reasons, key=lambda row: (-weight[row], row))
    return [(row, dict(reasons[row])) for row in order[:WORST]]


def _places(kind: str, entry: Any, of_id: dict[str, int], of_name: dict[str, int]) -> list[tuple[int, str]]:
    """Rows of the pictures that an entry is about, and what it says of each."""
    words = [str(part) for part in entry] if isinstance(entry, list) else [str(entry)]
    rows = {}
    for word in words:
        said = " = ".join(words) if kind in BY_ID else _alike(words, word)
        if kind in BY_ID and word.split(":")[0] in of_id:
            rows[of_id[word.split(":")[0]]] = said
        elif kind in BY_NAME:
            names = (word, word.rpartition(": ")[0], word.partition(": ")[0])
            name = next((name for name in names if name in of_name), None)
            if name is not None:
                rows[of_name[name]] = said.removeprefix(f"{name}: ")
    return list(rows.items())


def _alike(words: Sequence[str], word: str) -> str:
    """What an entry says of one of its pictures: the others that are like it, or all of it."""
    others = [other for other in words if other != word]
    return _some(others, SAID) if others else word


def _section(report: Report) -> str:
    facts = report.as_dict()
    rows = "".join(
        f"<tr{' class=bad' if f['harmful'] else ''}><td>{escape(f['what'])}<td>{f['count']}"
        f"<td>{_code(_some(f['which']))}<td>{_code(f['do'])}"
        for f in facts["findings"]
    )
    head = "<tr><th>found<th>how many<th>which<th>what to do"
    table = f"<table>{head}{rows}</table>" if rows else "<p>Nothing is odd.</p>"
    found = worst(report) if report.people.pictures else []
    shown = "".join(_figure(report, row, why) for row, why in found)
    legend = f"<p>{LEGEND}</p>" if shown else ""
    return (
        f"<h2>{escape(facts['path'])}</h2><p>{escape(facts['format'])} form, {escape(facts['skeleton'])}: "
        f"{facts['images']} pictures, {facts['people']} {escape(facts['subject'])} with keypoints, "
        f"{facts['unlabeled']} more without, {facts['crowds']} crowds</p>{table}{legend}<div class=shown>{shown}</div>"
    )


def _figure(report: Report, row: int, why: dict[str, list[str]]) -> str:
    people = report.people
    source, name = people.files[row]
    caption = f"<b>{escape(name)}</b>"
    for kind in sorted(why, key=list(KINDS).index)[:REASONS]:
        sentence = escape(f"{KINDS[kind][0]}: {_some(list(dict.fromkeys(why[kind])), SAID)}")
        caption += f"<br><span{' class=why' if kind in HARMFUL else ''}>{sentence}</span>"
    try:
        image = people.pictures[source].read(name)
    except (OSError, ValueError) as error:
        return f"<figure><figcaption>{caption}<br>{escape(str(error))}</figcaption></figure>"
    here = people[np.flatnonzero(people.picture == row)]
    poses = Poses(here.keypoints, here.visible, here.boxes, np.ones(len(here)), people.skeleton, ids=here.ids)
    scale = min(SIDE / max(image.shape[:2]), 1.0)
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    matrix = np.array([[scale, 0, 0.5 * scale - 0.5], [0, scale, 0.5 * scale - 0.5]])
    drawn = draw(small, poses.mapped(matrix))
    regions = people.unlabelled[people.unlabelled_picture == row]
    for boxes, color in (
        (here.boxes, (255, 255, 255)),
        (regions, (160, 160, 160)),
        (_seen(report, name), (40, 40, 230)),
    ):
        for x1, y1, x2, y2 in (boxes * scale).tolist():
            cv2.rectangle(drawn, (round(x1), round(y1)), (round(x2), round(y2)), color, 1)
    data = base64.b64encode(cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()).decode()
    shown = f"<img alt='{escape(name, quote=True)}' src='data:image/jpeg;base64,{data}'>"
    return f"<figure>{shown}<figcaption>{caption}</figcaption></figure>"


def _seen(report: Report, name: str) -> np.ndarray:
    """(N, 4) boxes of people on a picture whom nobody labelled."""
    found = [entry.rpartition(": ") for entry in report.found["unlabelled"]]
    return np.array([words.split() for where, _, words in found if where == name], np.float64).reshape(-1, 4)


def _some(entries: Sequence[Any], most: int = LISTED) -> str:
    words = [_joined(entry) if isinstance(entry, list) else str(entry) for entry in entries[:most]]
    return ", ".join(words) + (f" and {len(entries) - most} more" if len(entries) > most else "")


def _joined(entry: Sequence[Any]) -> str:
    """Things that are the same, of many the first ones."""
    more = f" = {len(entries) - SAID} more" if len(entries := list(map(str, entry))) > SAID + 1 else ""
    return " = ".join(entries[: SAID if more else None]) + more


def _code(text: str) -> str:
    """Escaped, with what stands between backticks set as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 and i < len(parts) - 1 else part for i, part in enumerate(parts))
