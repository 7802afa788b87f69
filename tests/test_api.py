"""The public names: found whatever was imported before, typed, and described one by one in docs/api.md."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgepose
from edgepose.media.results import CocoResults, Result
from edgepose.runtime.store import fetch as fetching

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE))
TORCH = ("train_model", "export_model")

EVERYTHING = """
import importlib, pkgutil, sys
import edgepose
for module in pkgutil.walk_packages(edgepose.__path__, "edgepose."):
    if not module.name.endswith(".__main__"):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:  # of an extra that is not installed
            assert not (error.name or "edgepose").startswith("edgepose"), error
print(len([name for name in sys.modules if name.startswith("edgepose.")]))
for name in edgepose.__all__:
    found = getattr(edgepose, name)
    assert callable(found) and found.__name__ == name and found.__module__.startswith("edgepose."), (name, found)
"""


def python(script: str, *, folder: Path = ROOT) -> str:
    result = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_no_module_hides_a_public_name() -> None:
    assert int(python(EVERYTHING)) > 100
    taken = {path.stem for path in (ROOT / "edgepose").iterdir()}
    assert not taken & set(edgepose.__all__)


@pytest.mark.torch
def test_functions_are_called_after_everything_was_imported() -> None:
    pytest.importorskip("torch")
    calls = """
for call, wanted in (
    (lambda: edgepose.train_model("nonsense", "a.json:b"), "nonsense"),
    (lambda: edgepose.export_model("a.safetensors", to="pytorch"), "cannot export to 'pytorch'"),
    (lambda: edgepose.evaluate_model("nonsense", "a.json", "b"), "unknown model 'nonsense'"),
    (lambda: edgepose.load("nonsense"), "unknown model 'nonsense'"),
    (lambda: edgepose.fetch("nonsense"), "unknown model 'nonsense'"),
    (lambda: edgepose.track([]), "no source"),
    (lambda: edgepose.write_image("a.txt", edgepose.example_image()), "cannot write a.txt"),
):
    try:
        call()
    except ValueError as error:
        assert wanted in str(error), error
    else:
        raise AssertionError(wanted)
image = edgepose.draw(edgepose.example_image(), edgepose.Poses.nobody())
assert image.shape == (360, 640, 3)
edgepose.Tracker(), edgepose.Smoother(), edgepose.VideoWriter("a.mp4"), edgepose.read_video("a.mp4")
"""
    python(EVERYTHING + calls)


def test_dir_shows_them() -> None:
    assert set(edgepose.__all__) <= set(dir(edgepose)) and edgepose.__version__ and "__version__" in dir(edgepose)
    assert sorted(edgepose.__all__) == edgepose.__all__


def test_the_page_lists_what_is_public() -> None:
    assert sorted(SECTIONS) == edgepose.__all__


@pytest.mark.parametrize("name", sorted(SECTIONS))
def test_a_section_has_the_signature_and_an_example(name: str) -> None:
    (text,) = re.findall(r"^```text\n(.*?)^```", SECTIONS[name], re.DOTALL | re.MULTILINE)
    assert text.startswith(f"{name}(")
    told = ast.parse(f"def {text.strip()}: ...").body[0].args  # type: ignore[attr-defined]
    fields = inspect.signature(getattr(edgepose, name)).parameters.values()
    by_place = [field.name for field in fields if field.kind == field.POSITIONAL_OR_KEYWORD]
    by_name = [field.name for field in fields if field.kind == field.KEYWORD_ONLY]
    assert [argument.arg for argument in told.args] == by_place
    assert [argument.arg for argument in told.kwonlyargs] == by_name
    defaults = dict(zip(by_place[::-1], told.defaults[::-1], strict=False))
    defaults |= {key: value for key, value in zip(by_name, told.kw_defaults, strict=True) if value is not None}
    real = {field.name: field.default for field in fields if field.default is not field.empty}
    assert defaults.keys() == real.keys()
    for key, shown in defaults.items():
        if isinstance(real[key], (str, int, float, bool, tuple, type(None))) and not isinstance(shown, ast.Name):
            assert eval(ast.unparse(shown)) == real[key], key
    assert any(f"edgepose.{name}" in code for code in examples(name))


def examples(name: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", SECTIONS[name], re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the examples name: a photo, a clip, labelled pictures, a cache that holds a fetched model."""
    folder = tmp_path_factory.mktemp("api")
    image = edgepose.example_image()
    edgepose.write_image(folder / "photo.jpg", image)
    with edgepose.VideoWriter(folder / "clip.mp4", fps=10, size=(320, 180)) as video:
        for _ in range(3):
            video.write(image)
    (folder / "pictures").mkdir()
    edgepose.write_image(folder / "pictures" / "1.jpg", image)
    person = edgepose.load()(image)[0].to_dict()["people"][0]
    x1, y1, x2, y2 = person["box"]
    points = [number for x, y, _ in person["keypoints"] for number in (x, y, 2)]
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [x1, y1, x2 - x1, y2 - y1]}
    annotation |= {"area": (x2 - x1) * (y2 - y1), "keypoints": points, "num_keypoints": 17}
    labels = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": image.shape[1], "height": image.shape[0]}],
        "annotations": [annotation],
        "categories": [{"id": 1, "name": "person", "keypoints": list(edgepose.load().skeleton.names)}],
    }
    (folder / "train.json").write_text(json.dumps(labels))
    (folder / "cache").mkdir()
    model = folder / "cache" / "rtmpose-m.onnx"
    model.write_bytes(b"a model")
    fetching._record("rtmpose-m", fetching._sha256(model), folder / "cache")
    return folder


def run(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("EDGEPOSE_CACHE", str(folder / "cache"))
    names: dict[str, Any] = {}
    exec(compile(code, "docs/api.md", "exec"), names)
    return names


@pytest.mark.parametrize(
    ("name", "number"),
    [(name, number) for name in SECTIONS if name not in TORCH for number in range(len(examples(name)))],
)
def test_examples_run(name: str, number: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = examples(name)[number]
    for package in ("pandas", "supervision"):
        if package in code and importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    names = run(code, folder, monkeypatch)
    if name == "evaluate_model":
        assert names["metrics"]["AP"] == 1 and names["metrics"]["boxes"] == "detector"
        assert names["metrics"]["model"] == "default-pose" and names["metrics"]["unreadable"] == {}
    if "results" in names:
        poses = names["poses"]
        with CocoResults(folder / "results.json") as writer:
            writer.write(Result("785.jpg", 0, None, 640, 360, poses))
        assert names["results"] == json.loads((folder / "results.json").read_text())
    if "table" in names:
        assert np.array_equal(names["table"]["left_wrist"].to_numpy(), names["poses"]["left_wrist"])


@pytest.mark.torch
def test_examples_of_training_and_export_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    (train,), (export,) = examples("train_model"), examples("export_model")
    assert run(train, folder, monkeypatch)["checkpoint"] == Path("runs/mine/last.safetensors")
    assert len((folder / "runs" / "mine" / "log.jsonl").read_text().splitlines()) == 1
    names = run(export, folder, monkeypatch)
    assert names["report"].path == Path("mine.onnx") and names["report"].largest < 1 and len(names["poses"]) == 1


@pytest.mark.torch
def test_settings_of_training_are_words_of_the_command_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from edgepose.train.run import Trained

    monkeypatch.chdir(folder)
    seen: list[Any] = []

    def trained(*given: Any, **told: Any) -> Trained:
        seen.extend(given)
        told["record"]({"iteration": 4, "epoch": 1, "lr": 0.1})
        return Trained(Path("x"), {})

    monkeypatch.setattr("edgepose.train.run.train_model", trained)
    data = [("train.json", Path("pictures")), "train.json:.*3"]
    edgepose.train_model(
        "rtmpose-t", data, val="train.json:pictures", average=False, input_size=(96, 128), drops=(0.5, 0.75), lr=1e-4,
        device="cpu", tensorboard=True,
    )  # fmt: skip
    recipe, settings = seen
    assert (recipe.average, recipe.input_size, recipe.drops, recipe.lr) == (False, (96, 128), (0.5, 0.75), 1e-4)
    assert [times for *_, times in settings.data] == [1, 3] and len(settings.val) == 1
    assert settings.tensorboard and settings.out == Path("runs/rtmpose-t")
    with pytest.raises(ValueError, match="'lrr=1' is no setting of a recipe"):
        edgepose.train_model("rtmpose-t", data, lrr=1)


def test_unreadable_pictures_are_named(folder: Path, tmp_path: Path) -> None:
    labels = json.loads((folder / "train.json").read_text())
    labels["images"].append(labels["images"][0] | {"id": 2, "file_name": "2.jpg"})
    labels["annotations"].append(labels["annotations"][0] | {"id": 2, "image_id": 2})
    (tmp_path / "val.json").write_text(json.dumps(labels))
    edgepose.write_image(tmp_path / "1.jpg", edgepose.example_image())
    (tmp_path / "2.jpg").write_bytes(b"no picture")
    metrics = edgepose.evaluate_model(edgepose.load(), tmp_path / "val.json", tmp_path, flip_test=True)
    assert list(metrics["unreadable"]) == ["2.jpg"] and metrics["model"] == edgepose.load().spec.name
    assert metrics["AR"] == 0.5 and metrics["flip_test"] and metrics["images"] == 2


def test_a_detector_is_measured_by_its_boxes(folder: Path) -> None:
    metrics = edgepose.evaluate_model("default-detector", folder / "train.json", folder / "pictures")
    assert metrics["task"] == "boxes" and 0.5 < metrics["AP"] <= 1


@pytest.mark.slow
def test_type_checkers_know_the_names(tmp_path: Path) -> None:
    lines = ["import edgepose", *(f"reveal_type(edgepose.{name})" for name in edgepose.__all__)]
    lines += ["poses = edgepose.load()('a.jpg')", "reveal_type(poses)", 'reveal_type(poses["nose"])']
    (tmp_path / "names.py").write_text("\n".join(lines) + "\n")
    words = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--cache-dir",
        str(tmp_path / "cache"),
        str(tmp_path / "names.py"),
    ]
    result = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=580)
    assert result.returncode == 0, result.stdout
    told = re.findall(r'Revealed type is "(.*)"', result.stdout)
    assert len(told) == len(lines) - 2 and not any(each == "Any" for each in told)
    assert told[-2].endswith("edgepose.poses.Poses") and "ndarray" in told[-1]
