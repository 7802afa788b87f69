"""DeepLabCut's tables: their header and cells, read back as its users do."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from edgepose.media.results import Result, writer
from edgepose.poses import Poses
from edgepose.skeleton import COCO, CROWDPOSE, Skeleton


def people(count: int, ids: list[int] | None = None, skeleton: Skeleton = COCO) -> Poses:
    rng = np.random.default_rng(count)
    keypoints = (rng.random((count, len(skeleton), 2)) * 300).round(2)
    boxes = np.tile(np.float32([0, 0, 300, 300]), (count, 1))
    return Poses(keypoints, rng.random((count, len(skeleton))).round(4), boxes, np.ones(count), skeleton, ids)


def write(folder: Path, *results: Result) -> Path:
    made, path = writer("dlc", folder)
    with made:
        for one in results:
            made.write(one)
    return path


def table(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_one_person_has_three_rows_of_header(tmp_path: Path) -> None:
    alone = people(1)
    path = write(
        tmp_path,
        Result("in/mouse.mp4", 0, 0.0, 640, 480, alone),
        Result("in/mouse.mp4", 1, 0.1, 640, 480, Poses.nobody()),
    )
    assert [file.name for file in path.iterdir()] == ["mouse.csv"]
    scorer, bodyparts, coords, first, second = table(path / "mouse.csv")
    assert scorer == ["scorer"] + ["edgepose"] * 51
    assert bodyparts[:5] == ["bodyparts", "nose", "nose", "nose", "left_eye"]
    assert coords[:4] == ["coords", "x", "y", "likelihood"]
    assert first[0] == "0" and second == ["1"] + [""] * 51
    found = np.array(first[1:], float).reshape(17, 3)
    np.testing.assert_allclose(found[:, :2], alone.keypoints[0], atol=0.0051)
    np.testing.assert_allclose(found[:, 2], alone.scores[0], atol=0.000051)


def test_identities_are_columns_and_videos_are_tables(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        Result("a/clip.mp4", 0, 0.0, 640, 480, people(2, [7, 12])),
        Result("b/clip.mp4", 0, 0.0, 640, 480, people(1, [3])),
        Result("a/clip.mp4", 1, 0.1, 640, 480, people(1, [12])),
    )
    assert sorted(file.name for file in path.iterdir()) == ["clip-2.csv", "clip.csv"]
    rows = table(path / "clip.csv")
    assert rows[1] == ["individuals"] + ["individual7"] * 51 + ["individual12"] * 51
    assert [row[0] for row in rows] == ["scorer", "individuals", "bodyparts", "coords", "0", "1"]
    assert rows[5][1:52] == [""] * 51 and float(rows[5][52]) == pytest.approx(people(1).keypoints[0, 0, 0], abs=0.0051)
    assert [row[0] for row in table(path / "clip-2.csv")] == ["scorer", "bodyparts", "coords", "0"]


def test_pictures_share_a_table(tmp_path: Path) -> None:
    results = [Result(f"in/{name}.jpg", 0, None, 64, 48, people(1)) for name in ("a", "b")]
    assert [row[0] for row in table(write(tmp_path, *results) / "pictures.csv")[3:]] == ["in/a.jpg", "in/b.jpg"]


def test_a_second_skeleton_is_refused_and_the_rest_is_kept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one file per skeleton"):
        write(
            tmp_path,
            Result("a.jpg", 0, None, 64, 48, people(1)),
            Result("b.jpg", 0, None, 64, 48, people(1, None, CROWDPOSE)),
        )
    assert len(table(tmp_path / "dlc" / "pictures.csv")) == 4
    assert [file.name for file in (tmp_path / "dlc").iterdir()] == ["pictures.csv"]
