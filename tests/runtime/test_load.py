"""`edgepose.load`: names, files, bytes, detectors and backends; and what importing the package costs."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgepose
from edgepose.cli.options import load_estimator
from edgepose.runtime import load as loading
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.load import backend_of, embedded, find, load, open_model
from edgepose.runtime.session import Session
from edgepose.runtime.store import fetch as fetching
from tests.runtime.small import DETECTOR, SIMCC, detector_model, picture, pose_model

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with small models in it, and an empty cache."""
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "default-pose.onnx").write_bytes(pose_model())
    (weights / "default-detector.onnx").write_bytes(detector_model())
    (weights / "other-detector.onnx").write_bytes(detector_model(found=np.array([[1, 1, 9, 9, 0.9]], np.float32)))
    monkeypatch.setattr(loading, "WEIGHTS", weights)
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "cache"))
    return weights


def test_the_default_pair(package: Path) -> None:
    assert list(embedded()) == ["default-detector", "default-pose", "other-detector"]
    estimator = edgepose.load()
    assert isinstance(estimator, edgepose.Estimator) and estimator.spec == SIMCC
    poses = estimator(picture())
    assert isinstance(poses, edgepose.Poses) and len(poses) == 2
    assert load("default-detector").spec == DETECTOR and len(load("default-detector")(picture())) == 2


def test_default_is_a_name_wherever_one_is_taken(package: Path) -> None:
    assert find("default") == find(None) == find("default-pose") == (package / "default-pose.onnx", None)
    assert open_model("default").spec == open_model(None).spec == SIMCC
    estimator = load("default", detector="default")
    assert estimator.spec == SIMCC and isinstance(estimator.detector, Estimator)
    assert estimator.detector.spec == DETECTOR and len(estimator(picture())) == 2
    with pytest.raises(ValueError, match="cannot detect"):
        load("default", detector="default-pose")
    assert load_estimator("default", "none", None, None).detector is None
    assert isinstance(load_estimator(None, "default", None, None).detector, Estimator)
    assert backend_of("default") == backend_of(None) == "onnxruntime"


def test_every_way_to_name_a_detector(package: Path, tmp_path: Path) -> None:
    file = tmp_path / "det.onnx"
    file.write_bytes(detector_model(found=np.array([[1, 1, 9, 9, 0.9]], np.float32)))
    ready = Estimator(Session(file))
    for detector in ("other-detector", str(file), file, ready, ready.__call__):
        assert len(load(detector=detector)(picture())) == 1, detector
    assert len(load(detector=None)(picture())) == 1
    assert (load(detector=None)(picture()).boxes == [[0, 0, 160, 120]]).all()
    assert (load(detector="none")(picture()).boxes == [[0, 0, 160, 120]]).all()
    with pytest.raises(ValueError, match="finds people by itself"):
        load("default-detector", detector="other-detector")
    assert load("default-detector", detector="none").detector is None
    with pytest.raises(ValueError, match="cannot detect"):
        load(detector="default-pose")


def test_what_is_no_model_is_one_sentence(package: Path) -> None:
    with pytest.raises(ValueError, match=r"^unknown model 'defualt' \(did you mean 'default'\?\), expected one of"):
        load("defualt")
    with pytest.raises(ValueError, match=r"'rtmpose-S' \(did you mean 'rtmpose-s'\?\)"):
        load("rtmpose-S")
    with pytest.raises(ValueError, match=r"^unknown model 'hourglass', expected one of .*or a file"):
        load("hourglass")
    with pytest.raises(TypeError, match="expected the name of a model, its file or its bytes, got int"):
        load(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected a detector of pictures, or None, got int"):
        load(detector=3)  # type: ignore[arg-type]
    for network in ("default-pose", None, load(), lambda batch: [batch]):
        with pytest.raises(
            TypeError, match=r"^expected a network, a function of a batch with a spec, got .*load\(\.\.\.\)\.net"
        ):
            Estimator(network)


def test_the_first_options(package: Path) -> None:
    estimator = load(device="cpu", min_box_score=0.7, max_people=5, flip_test=True)
    assert len(estimator(picture())) == 1 < len(load(device="auto")(picture())), "of boxes of 0.9 and 0.6"
    assert len(load(min_box_score=0.7, detector=load("default-detector"))(picture())) == 1
    assert len(load(max_people=1)(picture())) == 1 and len(load(max_people=0)(picture())) == 0
    plain, mirrored = load()(picture()), load(flip_test=True)(picture())
    assert not np.array_equal(plain.scores, mirrored.scores)
    assert len(load("default-detector", min_box_score=0.7)(picture())) == 1
    assert len(load("default-detector", max_people=1)(picture())) == 1


@pytest.mark.parametrize("device", ["cuda", "gpu", "cuda:0", "CPU", ""])
def test_devices_that_there_are_not(package: Path, device: Any) -> None:
    with pytest.raises(
        ValueError, match=f"unknown device '{device}'.*, expected one of .'cpu', 'auto'.: models run on"
    ):
        load(device=device)


def test_a_threshold_that_nobody_would_look_at(package: Path) -> None:
    for detector, what in (
        (None, "no detector"),
        (lambda image: load("default-detector")(image), "a detector of your"),
    ):
        with pytest.raises(ValueError, match=f"min_box_score is for a detector that is a model, got {what}"):
            load(detector=detector, min_box_score=0.5)


def test_files_bytes_and_stated_specs(package: Path, tmp_path: Path) -> None:
    floats = dataclasses.replace(SIMCC, name="foreign", layout="nchw")
    path = tmp_path / "foreign.onnx"
    path.write_bytes(pose_model(floats, inside=False))
    assert load(path, spec=floats).spec == floats
    path.with_suffix(".json").write_text(floats.to_json(), encoding="utf-8")
    assert load(str(path)).spec == load(path).spec == floats
    assert load(pose_model()).spec == SIMCC


def test_backends(package: Path) -> None:
    pytest.importorskip("openvino")
    from edgepose.runtime.session_openvino import OpenVinoSession

    estimator = load(backend="openvino", threads=1)
    assert isinstance(estimator.network, OpenVinoSession) and isinstance(estimator.detector, Estimator)
    assert isinstance(estimator.detector.network, OpenVinoSession) and len(estimator(picture())) == 2
    with pytest.raises(ValueError, match="unknown backend 'tensorrt', expected one of"):
        load(backend="tensorrt")


def test_a_backend_that_is_not_installed(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delitem(sys.modules, "edgepose.runtime.session_openvino", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'edgepose\[openvino\]'") as caught:
        load(backend="openvino")
    assert caught.value.name == "openvino"


@pytest.mark.parametrize("name", ["last.safetensors", "best.pth"])
def test_checkpoints_are_to_be_exported(package: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"tensors")
    with pytest.raises(ValueError, match=rf"{name} is a checkpoint of training, expected .* with `edgepose export`"):
        load(tmp_path / name)


def test_names_that_are_not_there(package: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown model 'nonsense', expected one of \d+ such as.*default-pose"):
        load("nonsense")
    with pytest.raises(ValueError, match=r"rtmpose-t is not on this machine yet.*edgepose models --fetch rtmpose-t"):
        load("rtmpose-t")
    for path in ("nowhere.onnx", "no/where", tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match="no model at"):
            load(path)
    monkeypatch.setattr(loading, "WEIGHTS", tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="default-pose is missing"):
        load()


def test_a_fetched_model_brings_its_spec(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    floats = dataclasses.replace(SIMCC, name="rtmpose-x", layout="nchw")
    monkeypatch.setitem(fetching.PUBLISHED, "rtmpose-x", fetching.Published("rtmpose-x.zip", floats))
    cache = tmp_path / "cache"
    cache.mkdir()
    file = cache / "rtmpose-x.onnx"
    file.write_bytes(pose_model(floats, inside=False))
    fetching._record("rtmpose-x", fetching._sha256(file), cache)
    assert find("rtmpose-x") == (file, floats) and load("rtmpose-x").spec == floats
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match="is not what was fetched"):
        load("rtmpose-x")


def test_every_published_entry_is_sound() -> None:
    from edgepose.codec import codec_of

    for name, entry in fetching.PUBLISHED.items():
        assert name == entry.spec.name and entry.archive.endswith(".zip") and entry.spec.license
        assert entry.spec.layout == "nchw" and codec_of(entry.spec)
        assert entry.sha256 is None or (len(entry.sha256) == 64 and int(entry.sha256, 16))
        assert (entry.spec.skeleton == "box") != entry.spec.per_person
    hashes = [entry.sha256 for entry in fetching.PUBLISHED.values() if entry.sha256]
    assert len(set(hashes)) == len(hashes) >= 7


def python(script: str) -> str:
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_importing_is_cheap_and_lazy() -> None:
    """Counted in modules, since seconds depend on the processor and on what else runs."""
    script = """
import sys
before = set(sys.modules)
import edgepose
loaded = {name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names
assert loaded == {"edgepose"}, loaded
print(len([name for name in sys.modules if name.partition(".")[0] == "edgepose"]))
edgepose.load, edgepose.Estimator, edgepose.skeleton.COCO
heavy = {"torch", "onnxruntime", "openvino", "av", "pooch", "requests"} & set(sys.modules)
assert not heavy, heavy
assert edgepose.runtime.views.Views
"""
    assert int(python(script)) <= 3


def test_the_public_names() -> None:
    for name in edgepose.__all__:
        assert getattr(edgepose, name) is not None and name in dir(edgepose)
    with pytest.raises(AttributeError, match="edgepose has no 'nothing'"):
        _ = edgepose.nothing
    with pytest.raises(AttributeError, match="no module 'nothing'"):
        _ = edgepose.runtime.nothing


def test_predicting_with_the_package_s_models_loads_no_downloader() -> None:
    script = """
import sys, edgepose
edgepose.load()(edgepose.example_image())
assert not {"pooch", "requests", "torch"} & set(sys.modules)
"""
    assert python(script) == ""


def test_a_model_of_tools_is_not_shown_people(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tool = edgepose.Skeleton("tool", ("grip", "left_tip", "right_tip"))
    path = package.parent / "tool.onnx"
    path.write_bytes(pose_model(dataclasses.replace(SIMCC, skeleton=tool, categories=("tool",))))
    estimator = load(path)
    poses = estimator(picture())
    assert estimator.detector is None and len(poses) == 1 and poses.skeleton == tool
    assert poses["left_tip"].shape == (1, 3) and poses.boxes[0].tolist() == [0, 0, *picture().shape[1::-1]]
    assert len(load(path, detector="default-detector")(picture())) == 2  # whoever names one gets it
    load_estimator(str(path), "default", None, None)
    assert "small-pose finds tool, not people: the whole picture is taken for one" in capsys.readouterr().err
    load_estimator(str(path), "default", None, None, boxed=True)
    assert capsys.readouterr().err == ""
