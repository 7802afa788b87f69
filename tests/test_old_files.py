"""Files that earlier versions wrote are read under the names of today: one of each kind lies in tests/files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgepose.spec import ModelSpec

FILES = Path(__file__).resolve().parent / "files"


def test_a_model_file_of_format_1_runs() -> None:
    from edgepose.runtime.session import Session

    session = Session(FILES / "format-1.onnx")
    assert session.spec == ModelSpec("tiny", "heatmap", (48, 64), codec_args={"kind": "msra"}, per_person=True)
    assert session(np.zeros((1, 64, 48, 3), np.uint8))[0].shape == (1, 17, 16, 12)


def test_a_description_of_format_1_is_read() -> None:
    text = (FILES / "format-1.json.txt").read_text(encoding="utf-8")
    assert '"colour": "rgb"' in text and '"licence": "Apache-2.0"' in text
    spec = ModelSpec.from_json(text)
    assert (spec.color, spec.license) == ("rgb", "Apache-2.0")
    again = json.loads(spec.to_json())
    assert again["edgepose"] == 2 and "colour" not in again and ModelSpec.from_json(spec.to_json()) == spec


def test_old_names_are_for_old_files_alone() -> None:
    values = json.loads((FILES / "format-1.json.txt").read_text(encoding="utf-8"))
    by_hand = {name: value for name, value in values.items() if name != "edgepose"}
    assert ModelSpec.from_json(json.dumps(by_hand)).color == "rgb"  # written by hand, before or now
    with pytest.raises(ValueError, match=r"has unknown fields \['colour', 'licence'\]"):
        ModelSpec.from_json(json.dumps(values | {"edgepose": 2}))
    with pytest.raises(ValueError, match="has format 3, this edgepose reads up to 2: update edgepose"):
        ModelSpec.from_json(json.dumps(values | {"edgepose": 3}))


@pytest.mark.torch
def test_a_checkpoint_of_format_1_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from edgepose.train import checkpoint

    with pytest.raises(
        ValueError, match=r"format-1\.safetensors does not hold the tensors of litepose.* such as stage"
    ):
        checkpoint.network_of(FILES / "format-1.safetensors")  # a LitePose of today has more blocks
    monkeypatch.setattr("edgepose.models.litepose.BLOCKS", (1, 1, 1, 1))  # as when it was written
    parts, facts = checkpoint.load(FILES / "format-1.safetensors")
    assert set(parts) == {"network", "optimizer"}
    assert facts["recipe"]["optimizer"] == "adamw" and "optimiser" not in facts["recipe"]
    recipe = checkpoint.recipe_of(facts, "it")
    assert (recipe.model, recipe.optimizer, recipe.batch, recipe.drops) == (
        "litepose-96-8-8x8x8x8-8x8x8", "adamw", 16, (0.7, 0.96)
    )  # fmt: skip
    spec, network = checkpoint.network_of(FILES / "format-1.safetensors")
    assert spec.color == "rgb"
    with torch.no_grad():
        outputs = network(torch.zeros(1, 3, 96, 96))
    assert [tuple(output.shape) for output in outputs] == [(1, 34, 24, 24), (1, 17, 48, 48)]
    state = checkpoint.load_optimizer_state
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    state(optimizer, parts["optimizer"])
    assert len(optimizer.state) == len({key.split(".")[0] for key in parts["optimizer"]})
