"""Smaller forms of a model file that `edgepose quantize` made: known by their cards, which only files have that passed.

NAME.card.json lies beside NAME.onnx, which has the same card inside; it says of which contents the file is a form.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgepose.runtime.session import metadata
from edgepose.runtime.store.fetch import cache_dir
from edgepose.runtime.tune.kept import sha256_of

KEY, ENDING = "edgepose-card", ".card.json"


def smaller_forms(model: Path) -> list[tuple[Path, str]]:
    """(file, "int8" or "fp16") of every form of these very contents, beside the file or in the cache folder."""
    folders = dict.fromkeys(folder.resolve() for folder in (model.parent, cache_dir()))
    cards = [card for folder in folders for card in sorted(folder.glob(f"*{ENDING}"))]
    if not cards:
        return []
    contents = sha256_of(model)
    found = []
    for card in cards:
        file = card.with_name(card.name.removesuffix(ENDING) + ".onnx")
        facts = _facts(card.read_text(encoding="utf-8", errors="replace"))
        if facts.get("source_sha256") == contents and file.is_file() and _inside(file) == facts:
            found.append((file, str(facts["to"])))
    return found


def _inside(file: Path) -> dict[str, Any]:
    """The card in a file; {} where it has none or cannot be read."""
    try:
        return _facts(metadata(file).get(KEY, ""))
    except ValueError:
        return {}


def _facts(text: str) -> dict[str, Any]:
    try:
        facts = json.loads(text)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) and facts.get("to") in ("int8", "fp16") else {}
