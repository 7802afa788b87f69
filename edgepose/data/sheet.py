"""A contact sheet: pictures of a data set with their people drawn in, those that look wrong first."""

from __future__ import annotations

import cv2
import numpy as np

from edgepose.data.check import Report
from edgepose.data.people import People
from edgepose.geometry import letterbox_matrix
from edgepose.media.draw import draw
from edgepose.poses import Poses

TILE = (320, 240)  # w, h
CAPTION = 20  # pixels below each
GRAY = 32
SUSPECTS = {"swaps": "left/right?", "twins": "twice?", "empty_boxes": "empty box", "out_of_frame": "out of frame",
            "points_out_of_frame": "point outside"}  # fmt: skip


def contact_sheet(report: Report, columns: int = 6, rows: int = 4) -> np.ndarray:
    """(H, W, 3) uint8 BGR: tiles of pictures with skeletons and annotation ids.

    Up to half of the tiles show pictures with something suspicious, named in red; the others are spread evenly over the
    data set. Needs a report that was made with pictures.
    """
    people = report.people
    if not people.pictures:
        raise ValueError("a contact sheet shows pictures: check with their folder or zip")
    bad = set(report.found["missing"]) | set(report.found["corrupt"])
    reasons = _reasons(report)
    usable = [i for i in np.unique(people.picture) if people.files[i][1] not in bad]
    first = [i for i in usable if i in reasons][: columns * rows // 2]
    rest = [i for i in usable if i not in first]
    spread = np.linspace(0, max(len(rest) - 1, 0), columns * rows - len(first)).round().astype(int)
    tiles = [_tile(people, i, reasons.get(i, "")) for i in [*first, *(rest[i] for i in np.unique(spread) if rest)]]
    if not tiles:
        raise ValueError(f"{report.path}: no picture with people can be shown")
    width = min(columns, len(tiles))
    blank = np.full_like(tiles[0], GRAY)
    tiles += [blank] * (-len(tiles) % width)
    return np.vstack([np.hstack(tiles[i : i + width]) for i in range(0, len(tiles), width)])


def _reasons(report: Report) -> dict[int, str]:
    """Why a picture is suspicious, by its row."""
    picture = dict(zip(report.people.ids.tolist(), report.people.picture.tolist(), strict=True))
    found: dict[int, str] = {}
    for kind, words in SUSPECTS.items():
        for entry in report.found[kind]:
            identity = entry[0] if isinstance(entry, list) else entry
            found.setdefault(picture[identity], f"{identity}: {words}")
    return found


def _tile(people: People, file: int, reason: str) -> np.ndarray:
    source, name = people.files[file]
    image = people.pictures[source].read(name)
    here = people[np.flatnonzero(people.picture == file)]
    poses = Poses(
        here.keypoints, here.visible, here.boxes, np.ones(len(here)), people.skeleton, ids=here.ids
    )  # fmt: skip
    matrix = letterbox_matrix((image.shape[1], image.shape[0]), TILE)
    small = cv2.warpAffine(image, matrix, TILE, flags=cv2.INTER_AREA, borderValue=(GRAY, GRAY, GRAY))
    tile = cv2.copyMakeBorder(
        draw(small, poses.mapped(matrix)), 0, CAPTION, 0, 0, cv2.BORDER_CONSTANT, value=(GRAY, GRAY, GRAY)
    )
    text, color = (reason, (80, 80, 255)) if reason else (name[-44:], (220, 220, 220))
    place = (6, TILE[1] + CAPTION - 6)
    cv2.putText(tile, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, color, 1, cv2.LINE_AA)
    return tile
