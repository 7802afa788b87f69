"""training/weights.py: the steps to the weights in the package."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from edgepose.runtime.load import embedded
from edgepose.train.recipes import RECIPES, read_recipe

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "training" / "weights.py"


@pytest.fixture(scope="module")
def weights() -> ModuleType:
    spec = importlib.util.spec_from_file_location("weights", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["weights"] = module
    spec.loader.exec_module(module)
    return module


def test_every_file_that_is_trained_has_steps_and_each_step_starts_from_an_earlier_one(weights: ModuleType) -> None:
    trained = {name for name in embedded() if (ROOT / f"edgepose/weights/{name}.safetensors").is_file()}
    assert {file.name for file in weights.ALL} == trained
    for file in weights.ALL:
        assert file.steps[-1].name == file.name and file.steps[-1].recipe == file.name
        done: set[str] = set()
        for step in file.steps:
            assert step.start == "" or "/" in step.start or step.start in done, step
            done.add(step.name)
            recipe = read_recipe(ROOT / step.recipe) if step.recipe.endswith(".json") else RECIPES[step.recipe]
            assert recipe.epochs >= 1


def test_small_takes_the_first_labeled_images_of_a_set(weights: ModuleType, tmp_path: Path) -> None:
    images = [{"id": number, "file_name": f"{number}.jpg"} for number in range(200)]
    people = [{"id": n, "image_id": n, "iscrowd": int(n % 4 == 0)} for n in range(0, 200, 2)]
    (tmp_path / "all.json").write_text(json.dumps({"images": images, "annotations": people, "categories": []}))
    small = json.loads(weights.first(tmp_path / "all.json", tmp_path, tmp_path / "new" / "small.json").read_text())
    assert [image["id"] for image in small["images"]] == list(range(2, 2 + 4 * weights.SMALL, 4))
    assert [row["image_id"] for row in small["annotations"]] == [image["id"] for image in small["images"]]


def test_a_wrong_folder_and_missing_pictures_are_one_sentence(tmp_path: Path) -> None:
    words = [sys.executable, str(SCRIPT), str(tmp_path / "none"), str(tmp_path / "out")]
    result = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1 and result.stderr.startswith("error: ") and "data folder" in result.stderr
    assert result.stderr.count("\n") == 1 and not (tmp_path / "out").exists()
