"""Which files count as smaller forms of a model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from edgepose.runtime.tune.here import parts_of
from edgepose.runtime.tune.small import KEY, smaller_forms
from tests.tiny import write_tiny_model


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "models").mkdir()
    return write_tiny_model(tmp_path / "models" / "tiny.onnx", per_person=True)


def write_form(model: Path, path: Path, inside: dict[str, Any] | None = None, **changes: Any) -> Path:
    """A file that says it is a form of `model`, with its card beside it; `inside`: another card in the file."""
    import onnx

    card = {"to": "int8", "source_sha256": hashlib.sha256(model.read_bytes()).hexdigest(), "agreement": 0.99} | changes
    made = onnx.load(str(model))
    entry = made.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(card if inside is None else inside)
    onnx.save(made, str(path))
    path.with_suffix(".card.json").write_text(json.dumps(card), encoding="utf-8")
    return path


def test_forms_beside_and_in_the_cache(model: Path, tmp_path: Path) -> None:
    assert smaller_forms(model) == []
    beside = write_form(model, model.with_name("tiny-int8.onnx"))
    half = write_form(model, tmp_path / "cache" / "half.onnx", to="fp16")
    assert smaller_forms(model) == [(beside, "int8"), (half, "fp16")]
    ways = [(way.backend, way.precision, way.file) for way in parts_of(str(model), "none")[0].forms]
    assert ways[0] == ("onnxruntime", "f32", str(model))
    assert {("onnxruntime", "int8", str(beside)), ("onnxruntime", "fp16", str(half))} <= set(ways)


@pytest.mark.parametrize("why", ["other source", "other kind", "no file", "no card", "other card inside", "no model"])
def test_what_is_none(model: Path, why: str) -> None:
    path = model.with_name("tiny-int8.onnx")
    changes = {"other source": {"source_sha256": "0" * 64}, "other kind": {"to": "int4"}}.get(why, {})
    write_form(model, path, {"to": "int8"} if why == "other card inside" else None, **changes)
    if why == "no file":
        path.unlink()
    if why == "no card":
        path.with_suffix(".card.json").write_text("{", encoding="utf-8")
    if why == "no model":
        path.write_bytes(b"no model")
    assert smaller_forms(model) == []


def test_a_model_that_changes_has_no_forms_any_more(model: Path) -> None:
    write_form(model, model.with_name("tiny-int8.onnx"))
    write_tiny_model(model)
    assert smaller_forms(model) == []
