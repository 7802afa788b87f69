"""What is kept of a tuning: when it counts, when it does not and says so, and the rule in its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.runtime.ahead import ahead
from edgepose.runtime.load import load, load_for_many, open_choice, open_model, ran
from edgepose.runtime.tune import kept
from edgepose.runtime.tune.kept import Choice, chosen, keep, ruled, tuned
from tests.tiny import write_tiny_model

HERE = {"processor": "Test 3000", "instructions": "avx2", "cores": 2, "onnxruntime": "1.0", "openvino": None}
CHOICE = Choice("onnxruntime", "f32", threads=1, chunk=3, workers=2)


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A machine that the test may change, an empty cache, and nothing that the user says."""
    facts = dict(HERE)
    monkeypatch.setattr(kept, "machine", lambda: dict(facts))
    monkeypatch.setattr(kept, "instructions", lambda: facts["instructions"].split())
    monkeypatch.setattr(kept, "installed", lambda package: facts[package] is not None)
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "cache"))
    for variable in ("EDGEPOSE_BACKEND", "EDGEPOSE_THREADS"):
        monkeypatch.delenv(variable, raising=False)
    return facts


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.onnx", per_person=True)


def test_what_is_kept_comes_back(model: Path) -> None:
    assert tuned(model) == (None, "not tuned here: edgepose tune")
    path = keep(model, CHOICE, "2026-11-30", {"agreement": 0.9991})
    assert path.parent == Path(kept.cache_dir()) / "tuned" and json.loads(path.read_text())["agreement"] == 0.9991
    choice, why = tuned(model)
    assert why == "tuned 2026-11-30"
    assert choice == Choice("onnxruntime", "f32", threads=1, chunk=3, workers=2, why="tuned 2026-11-30")
    assert list(path.parent.iterdir()) == [path], "written whole, and nothing left beside it"
    other = write_tiny_model(model.with_name("other.onnx"))
    assert tuned(other)[0] is None


def test_another_version_is_not_used(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(model, CHOICE, "2026-11-30", {})
    monkeypatch.setattr(kept, "version_here", lambda: "99.0")
    choice, why = tuned(model)
    assert choice is None and why.startswith("tuned by edgepose ") and "this is 99.0, so not used" in why


@pytest.mark.parametrize(
    ("fact", "value"), [("processor", "Test 4000"), ("cores", 4), ("onnxruntime", "2.0"), ("openvino", "2026.4")]
)
def test_another_machine_or_runtime_is_not_used(model: Path, here: dict[str, Any], fact: str, value: Any) -> None:
    keep(model, CHOICE, "2026-11-30", {})
    here[fact] = value
    choice, why = tuned(model)
    assert choice is None
    assert why == f"tuned on another machine ({fact} {HERE[fact]}, here {value}), so not used: tune again"
    keep(model, Choice("onnxruntime"), "2026-12-01", {})
    assert tuned(model)[1] == "tuned 2026-12-01"
    here[fact] = HERE[fact]
    assert tuned(model)[1] == "tuned 2026-11-30", "both machines keep their own in a shared folder"


def test_a_changed_file_is_not_used(model: Path) -> None:
    keep(model, CHOICE, "2026-11-30", {})
    write_tiny_model(model, per_person=False)
    assert tuned(model) == (None, "tiny.onnx has changed since it was tuned, so that is not used: tune again")


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_changed_small_file_is_not_used(model: Path, damage: str) -> None:
    small = model.with_name("tiny-int8.onnx")
    small.write_bytes(model.read_bytes())
    keep(model, Choice("onnxruntime", "int8", file=str(small)), "2026-11-30", {})
    found = tuned(model)[0]
    assert found is not None and found.file == str(small)
    small.write_bytes(b"another") if damage == "changed" else small.unlink()
    assert tuned(model) == (None, "tiny-int8.onnx, which was quickest, has changed or is gone: tune again")


def test_weights_beside_a_file_count(tmp_path: Path) -> None:
    file, weights = tmp_path / "net.ncnn.param", tmp_path / "net.ncnn.bin"
    file.write_text("7767517")
    weights.write_bytes(b"one")
    keep(file, Choice("ncnn"), "2026-11-30", {})
    assert tuned(file)[0] is not None
    weights.write_bytes(b"two")
    assert "has changed since" in tuned(file)[1]


def test_a_damaged_result_is_not_used(model: Path) -> None:
    path = keep(model, CHOICE, "2026-11-30", {})
    for text in ("{", "[]", "{}", '{"choice": 3}'):
        path.write_text(text)
        choice, why = tuned(model)
        assert choice is None and "is damaged, and not used" in why, text


@pytest.mark.parametrize(
    ("own", "per_person", "instructions", "openvino", "expected"),
    [
        ("onnxruntime", True, "avx2 amx_bf16", "2026.4", ("openvino", "bf16")),
        ("onnxruntime", True, "avx512f avx512_bf16", "2026.4", ("openvino", "bf16")),
        ("onnxruntime", True, "avx2 amx_bf16", None, ("onnxruntime", None)),
        ("onnxruntime", True, "avx2 avx512_vnni", "2026.4", ("onnxruntime", None)),
        ("onnxruntime", False, "avx2 amx_bf16", "2026.4", ("onnxruntime", None)),  # what finds people
        ("ncnn", True, "avx2 amx_bf16", "2026.4", ("ncnn", None)),
        ("openvino", True, "avx2", "2026.4", ("openvino", None)),
    ],
)  # fmt: skip
def test_the_rule(
    here: dict[str, Any], own: Any, per_person: bool, instructions: str, openvino: str | None, expected: Any
) -> None:
    here |= {"instructions": instructions, "openvino": openvino}
    choice = ruled(own, per_person, "not tuned")
    assert (choice.backend, choice.precision) == expected
    assert choice.why.startswith("by rule: ") and choice.why.endswith("; not tuned") and choice.workers == 1


def test_auto_takes_what_was_tuned(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(model, CHOICE, "2026-11-30", {})
    estimator = load(model, detector=None, backend="auto")
    assert (str(ran(estimator)["pose"]), estimator.chunk) == ("onnxruntime, f32, 1 threads (tuned 2026-11-30)", 3)
    assert load(model, detector=None).chunk == 8 and ran(load(model, detector=None))["pose"].why == "", "by default not"
    assert ran(load(model, detector=None, backend="auto", threads=2))["pose"].threads == 2, "the user's word counts"
    assert load_for_many(model, "none", "auto", None)[1] == 2
    assert load_for_many(model, "none", "auto", 2)[1] == load_for_many(model, "none", "onnxruntime", None)[1] == 1
    monkeypatch.setenv("EDGEPOSE_THREADS", "2")
    assert ran(load(model, detector=None, backend="auto"))["pose"].threads == 2
    assert load_for_many(model, "none", "auto", None)[1] == 1


def test_side_by_side_goes_for_the_detector_too(model: Path) -> None:
    keep(model, CHOICE, "2026-11-30", {})
    estimator, workers = load_for_many(model, "default", "auto", None)
    detector: Any = estimator.detector
    assert workers == detector.network.workers == 2 and ran(estimator)["detector"].threads == 1
    assert ran(estimator)["detector"].why == "by rule: what the file is for; not tuned here: edgepose tune"


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_several_threads_may_run_it_at_the_same_time(model: Path, backend: Any) -> None:
    pytest.importorskip(backend)
    alone = open_choice(model, None, Choice(backend, "f32", threads=1))
    several: Any = open_choice(model, None, Choice(backend, "f32", threads=1, workers=2))
    assert several.workers == 2 and several.threads == (2 if backend == "openvino" else 1)
    batches = np.random.default_rng(0).integers(0, 256, (12, 3, 64, 48, 3), dtype=np.uint8)
    for batch, outputs in zip(batches, ahead(several, batches, 2), strict=True):
        assert np.allclose(outputs[0], alone(batch)[0], atol=1e-5)


def test_auto_by_rule(model: Path, here: dict[str, Any]) -> None:
    pytest.importorskip("openvino")
    assert ran(load(model, backend="auto"))["pose"].backend == "onnxruntime"
    here |= {"instructions": "avx2 amx_bf16", "openvino": "2026.4"}
    networks = ran(load(model, backend="auto"))
    assert (networks["pose"].backend, networks["detector"].backend) == ("openvino", "onnxruntime")
    assert networks["pose"].why == (
        "by rule: OpenVINO is installed and the processor has amx_bf16; not tuned here: edgepose tune"
    )
    whole = write_tiny_model(model.with_name("whole.onnx"))
    assert ran(load(whole, backend="auto"))["model"].backend == "onnxruntime", "it finds people"
    assert ran(load(model))["pose"].backend == "onnxruntime", "nothing changes for who does not ask"


def test_what_openvino_cannot_run_stays(model: Path, here: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    session = pytest.importorskip("edgepose.runtime.session_openvino")
    here |= {"instructions": "amx_bf16", "openvino": "2026.4"}

    def broken(*args: Any, **more: Any) -> None:
        raise ValueError("OpenVINO does not know an operator")

    monkeypatch.setattr(session, "OpenVinoSession", broken)
    assert open_model(model, backend="auto").backend == "onnxruntime"  # type: ignore[attr-defined]
    (model.parent / "no.onnx").write_bytes(b"no model")
    with pytest.raises(ValueError, match="no model that onnxruntime can run"):
        open_model(model.parent / "no.onnx", backend="auto")


def test_the_environment_can_say_which(model: Path, here: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    keep(model, CHOICE, "2026-11-30", {})
    monkeypatch.setenv("EDGEPOSE_BACKEND", "onnxruntime")
    assert chosen(model, "onnxruntime") == (Choice("onnxruntime", why="EDGEPOSE_BACKEND says so"), "")
    assert chosen(model.with_suffix(".xml"), "openvino")[0] is None, "an .xml file has one runtime"
    monkeypatch.setenv("EDGEPOSE_BACKEND", "tensorrt")
    with pytest.raises(ValueError, match="EDGEPOSE_BACKEND is 'tensorrt', expected one of"):
        chosen(model, "onnxruntime")
