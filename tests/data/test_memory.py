"""Pictures of several data sets share one budget of memory."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgepose.codec.simcc import SimCC
from edgepose.data import memory
from edgepose.data.coco import read_coco
from edgepose.data.crops import Crops
from edgepose.data.detection import Detections, read_boxes
from edgepose.data.images import Pictures
from edgepose.data.memory import Budget, available, limit
from edgepose.data.people import People, union
from edgepose.skeleton import COCO
from edgepose.spec import ModelSpec

BYTES = 60 * 50 * 3  # of one decoded picture


@pytest.fixture
def sets(tmp_path: Path) -> list[tuple[Path, Path]]:
    """Three data sets of four pictures with one person each."""
    found = []
    rng = np.random.default_rng(0)
    for name in "abc":
        folder = tmp_path / name
        folder.mkdir()
        for i in range(4):
            cv2.imwrite(str(folder / f"{i}.png"), rng.integers(0, 255, (60, 50, 3), np.uint8))
        people = [{"id": i + 1, "image_id": i, "category_id": 1, "bbox": [5, 5, 30, 40], "keypoints": [9, 9, 2] * 17}
                  for i in range(4)]  # fmt: skip
        images = [{"id": i, "file_name": f"{i}.png", "width": 50, "height": 60} for i in range(4)]
        category = {"id": 1, "name": "person", "keypoints": list(COCO.names)}
        labels = tmp_path / f"{name}.json"
        labels.write_text(json.dumps({"images": images, "annotations": people, "categories": [category]}))
        found.append((labels, folder))
    return found


def everybody(sets: list[tuple[Path, Path]]) -> People:
    return union([read_coco(*pair) for pair in sets], COCO)


@pytest.mark.parametrize("pictures", [0, 1, 5, 12])
def test_several_sets_keep_no_more_than_the_budget_and_views_are_the_same(
    sets: list[tuple[Path, Path]], process: Budget, pictures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, codec = ModelSpec("t", "simcc", (48, 64), per_person=True), SimCC((48, 64))
    process.size = 100 * BYTES
    expected, _ = Crops(everybody(sets), spec, codec).batch((0,), np.arange(12), 1)
    process.size, process.used = BYTES * (pictures + 0.5), 0
    decoded: list[str] = []
    data = Pictures.data
    monkeypatch.setattr(Pictures, "data", lambda self, name: (decoded.append(name), data(self, name))[1])
    samples = Crops(everybody(sets), spec, codec)
    for again in (False, True):
        decoded.clear()
        found, _ = samples.batch((0,), np.arange(12), 1)
        np.testing.assert_array_equal(found, expected)
        assert process.used == BYTES * pictures <= process.size
        assert len(decoded) == (12 - pictures if again else 12), "what is kept is not decoded again"


def test_a_detectors_pictures_count_too(sets: list[tuple[Path, Path]], process: Budget) -> None:
    rows = [record for pair in sets for record in read_boxes(*pair)]
    process.size = 100 * BYTES
    expected, _ = Detections(rows, 64).batch((0,), range(12), 1)
    process.size, process.used = BYTES * 4.5, 0
    people = everybody(sets)
    people.pictures[0].read("0.png")
    samples = Detections(rows, 64)
    for _ in range(2):
        np.testing.assert_array_equal(samples.batch((0,), range(12), 1)[0], expected)
        assert process.used == 4 * BYTES


def test_pictures_that_go_give_their_memory_back(sets: list[tuple[Path, Path]], process: Budget) -> None:
    process.size = 2 * BYTES
    first, second = (Pictures(folder) for _, folder in sets[:2])
    first.read("0.png")
    first.read("1.png")
    second.read("0.png")
    assert process.used == 2 * BYTES
    del first
    assert process.used == 0
    second.read("1.png")
    assert process.used == BYTES


def test_a_copy_in_a_worker_process_has_one_budget_too(sets: list[tuple[Path, Path]]) -> None:
    """Sets that are sent together share the budget that went with them."""
    budget = Budget(2 * BYTES)
    sent = [Pictures(folder, budget) for _, folder in sets]
    copies = pickle.loads(pickle.dumps(sent))
    for pictures in copies:
        pictures.read("0.png")
    assert copies[0]._kept._budget.used == 2 * BYTES and budget.used == 0


def test_processes_that_each_keep_pictures_share_what_is_given(
    process: Budget, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(6, copies=4)
    assert process.size == 1.5e9
    monkeypatch.setattr(memory, "available", lambda: 8e9)
    limit(0, copies=2)
    assert process.size == 1e9, "a quarter, in two parts"
    undecided = Budget()
    assert undecided.take(int(2e9)) and not undecided.take(1)


def test_memory_is_the_machines_or_the_containers(tmp_path: Path) -> None:
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    assert available(tmp_path) == 8000 * 1024
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("700000\n")
    assert available(tmp_path) == 8000 * 1024
    (group / "memory.max").write_text("1000000\n")
    assert available(tmp_path) == 300_000
    (group / "memory.stat").write_text("anon 500000\ninactive_file 200000\n")
    assert available(tmp_path) == 500_000, "pages of files are given up"
    assert available() > 1e6
