"""What a checkpoint says when others get it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from edgepose.models import build  # noqa: E402
from edgepose.train import checkpoint  # noqa: E402

pytestmark = pytest.mark.torch

ROOT = Path(__file__).resolve().parents[2]
HOME = "/".join(("", "home", "me"))  # in parts, since no file of the repository holds a path like this one
WINDOWS = "\\".join(("C:", "Users", "me"))


@pytest.mark.parametrize(
    ("stated", "kept"),
    [
        (f"{HOME}/runs/last.safetensors", "last.safetensors"),
        ("~/teacher.onnx", "teacher.onnx"),
        ("../elsewhere/teacher.onnx", "teacher.onnx"),
        (f"{WINDOWS}\\teacher.onnx", "teacher.onnx"),
        ("runs/neck/last.safetensors", "runs/neck/last.safetensors"),
        ("", ""),
        ([0.6, 1.4], [0.6, 1.4]),
    ],
)
def test_places_of_a_machine_become_file_names(stated: Any, kept: Any) -> None:
    facts = {"recipe": {"model": "rtmpose-t", "init": stated}, "iteration": 3}
    assert checkpoint.for_others(facts) == {"recipe": {"model": "rtmpose-t", "init": kept}, "iteration": 3}
    assert facts["recipe"]["init"] == stated, "a run goes on from what it was given"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "training" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_goes_into_the_repository_names_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, network = build("rtmdet-nano", classes=1, input_size=(64, 64))
    recipe = {"model": "rtmdet-nano", "teacher": f"{HOME}/teacher.onnx", "init": str(tmp_path / "start.safetensors")}
    facts = {"recipe": recipe, "spec": spec.to_json(), "iteration": 1, "updates": 0}
    checkpoint.save(tmp_path / "last.safetensors", {"network": network.state_dict()}, facts)
    (tmp_path / "facts.json").write_text("{}")
    monkeypatch.syspath_prepend(ROOT / "training")  # as for a script that is run
    package = script("package")
    monkeypatch.setattr(package, "read", lambda *paths: None)
    monkeypatch.setattr(package, "real_views", lambda *of: None)
    monkeypatch.setattr(package, "export_onnx", lambda *of, **how: type("Report", (), {"mean": 0.0, "pictures": 0}))
    package.main("default-x", tmp_path / "last.safetensors", tmp_path / "facts.json", "labels.json:pictures", tmp_path)
    assert "default-x" in (tmp_path / "SHA256SUMS").read_text()
    written = tmp_path / "default-x.safetensors"
    parts, found = checkpoint.load(written)
    assert found["recipe"] == {"model": "rtmdet-nano", "teacher": "teacher.onnx", "init": "start.safetensors"}
    assert (
        json.loads(found["spec"]) == json.loads(spec.to_json())
        and parts["network"].keys() == network.state_dict().keys()
    )
    assert str(tmp_path).encode() not in written.read_bytes() and b"/home/" not in written.read_bytes()


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ("", "expected an object of facts in its header"),
        ("[" * 100_000, "expected an object of facts in its header"),
        ("[1]", "expected an object of facts in its header"),
        ('{"recipe": {"model": "rtmdet-nano"}}', "expected a spec, and a recipe with its model"),
        ('{"spec": {}, "recipe": {"model": "rtmdet-nano"}}', "expected a spec, and a recipe with its model"),
        ('{"spec": "{}", "recipe": {"model": ["rtmdet-nano"]}}', "expected a spec, and a recipe with its model"),
        ('{"spec": "{}", "recipe": {"model": "rtmdet-nano"}}', "lacks"),
    ],
)
def test_a_damaged_header_is_told(facts: str, message: str, tmp_path: Path) -> None:
    from safetensors.torch import save

    path = tmp_path / "last.safetensors"
    path.write_bytes(save({"network/a": torch.zeros(1)}, metadata={"edgepose": checkpoint.FORMAT, "facts": facts}))
    with pytest.raises(ValueError, match=message):
        checkpoint.network_of(path)
