"""training/distillation.py: runs with and without a teacher, and what their table says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from edgepose.train.recipes import from_dict
from tests.data.test_people import dataset
from tests.tiny import write_tiny_model
from training.distillation import RECIPE, main, table

pytestmark = pytest.mark.torch


def test_both_arms_are_trained_alike_but_for_the_teacher(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels, pictures = dataset(tmp_path)
    teacher = write_tiny_model(tmp_path / "teacher.onnx", per_person=True)
    words = ["input_size=96x128", "epochs=1", "batch=2", "overfit=2", "frozen_stages=0", "fresh_head=0",
             "precision=fp32", "stage2=0", "with:teacher_falls=1", f"data={labels}:{pictures}*2",
             f"val={labels}:{pictures}"]  # fmt: skip
    main([str(teacher), *words, "--seeds", "3", "--out", str(tmp_path / "out")])
    shown = capsys.readouterr().out
    rows: list[dict[str, Any]] = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert [row["teacher"] for row in rows] == ["", "teacher.onnx"]
    without, taught = (from_dict(row["recipe"], "results.json") for row in rows)
    differ = {name for name, value in rows[0]["recipe"].items() if rows[1]["recipe"][name] != value}
    assert differ == {"teacher", "teacher_weight", "label_weight", "teacher_falls"}
    assert without.seed == taught.seed == 3 and rows[0]["views"] == rows[1]["views"] == 2
    log = json.loads((tmp_path / "out" / "with-3" / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert log["teacher_spatial"] > 0 and log["AP"] == rows[1]["AP"]
    assert str(tmp_path) not in json.dumps(rows), "no place of this machine"
    main(["--show", str(tmp_path / "out" / "results.json")])
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize(("second", "verdict"), [(0.35, "better with every seed"), (0.2, "not better with every seed")])
def test_the_table_compares_seed_by_seed(second: float, verdict: str) -> None:
    figures = {"AP50": 0.5, "AP75": 0.5, "AR": 0.5, "PCK": 0.5}
    rows = [
        {"teacher": teacher, "seed": seed, "views": 8, "AP": ap, **figures}
        for teacher, seed, ap in (("", 21, 0.2), ("t.onnx", 21, 0.3), ("", 22, 0.25), ("t.onnx", 22, second))
    ]
    last = table(rows).splitlines()[-1]
    mean = (0.1 + second - 0.25) / 2
    assert last.startswith(f"with the teacher against without: AP {mean:+.4f}; +0.1000 (seed 21)")
    assert last.endswith(f": {verdict}")


def test_the_recipe_is_that_of_the_page() -> None:
    recipe = json.loads(RECIPE.read_text(encoding="utf-8"))
    page = (RECIPE.parents[1] / "README.md").read_text(encoding="utf-8")
    people = 10687  # of COCO's slice
    views = recipe["epochs"] * (people // recipe["batch"]) * recipe["batch"]
    assert f"{views:,} views, {recipe['batch']} a step" in " ".join(page.split())
