"""Checkpoints: tensors in one safetensors file, everything else as JSON in its header. No pickle anywhere.

A checkpoint is replaced in one step, so a killed run always leaves the previous one whole.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor, nn

from edgepose.media.files import atomic_path
from edgepose.models import build
from edgepose.spec import OLD_NAMES, ModelSpec
from edgepose.train.options import OPTIONS
from edgepose.train.recipes import Recipe, from_dict

Parts = dict[str, dict[str, Tensor]]  # state dicts by the name of their part
MOST_CLASSES = 10_000
FORMAT = "2"  # of 1, `load` gives the parts and the recipe their names of today


def save(path: str | Path, parts: Parts, facts: dict[str, Any]) -> None:
    """Write named parts (each a state dict) and JSON-able facts to `path`."""
    tensors = {}
    for part, state in parts.items():
        for name, value in state.items():
            # clone: tensors that share memory (RTMDet's heads) are refused by the format, and cost little twice
            tensors[f"{part}/{name}"] = value.detach().to("cpu", copy=True).contiguous()
    content = serialize(tensors, metadata={"edgepose": FORMAT, "facts": json.dumps(facts)})
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(content)  # save_file would make it readable for its owner alone


def load(path: str | Path) -> tuple[Parts, dict[str, Any]]:
    """What `save` wrote: (parts, facts)."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: expected a checkpoint written by `edgepose train`")
    parts: Parts = {}
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("edgepose") not in ("1", FORMAT):
                raise ValueError(
                    f"{path} is no edgepose checkpoint of format 1 or {FORMAT}: its header says {metadata}"
                )
            for key in file.keys():  # noqa: SIM118, the handle is no dict
                part, _, name = key.partition("/")
                parts.setdefault(part, {})[name] = file.get_tensor(key)
    except SafetensorError as error:
        raise ValueError(f"{path} is no whole safetensors file ({error}): it is damaged or of another kind") from error
    try:
        facts = json.loads(metadata.get("facts", ""))
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict):
        raise ValueError(f"{path} is damaged: expected an object of facts in its header; take an earlier checkpoint")
    return (parts, facts) if metadata["edgepose"] == FORMAT else renamed(parts, facts)


def renamed(parts: Parts, facts: dict[str, Any]) -> tuple[Parts, dict[str, Any]]:
    """What a checkpoint of format 1 holds, under the names of today. (Its spec is read by `ModelSpec.from_json`.)"""
    stated = facts.get("recipe", {})
    recipe = {OLD_NAMES.get(name, name): value for name, value in stated.items()} if isinstance(stated, dict) else {}
    return {OLD_NAMES.get(name, name): part for name, part in parts.items()}, facts | {"recipe": recipe}


def for_others(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts as a file that others get may state them: where its recipe (`init`, `teacher`) names a place of this
    machine, the name of the file alone.
    """
    return facts | {"recipe": {name: _file_name(value) for name, value in facts["recipe"].items()}}


def _file_name(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if PureWindowsPath(value).drive:
        return PureWindowsPath(value).name
    outside = value.startswith(("/", "~", ".."))
    return PurePosixPath(value).name if outside else value


def stated(facts: Mapping[str, Any], path: str | Path) -> tuple[ModelSpec, Mapping[str, Any]]:
    """The spec and the recipe's fields, as they stand in a checkpoint's facts; ValueError where they do not."""
    spec, recipe = facts.get("spec"), facts.get("recipe")
    if not isinstance(spec, str) or not isinstance(recipe, Mapping) or not isinstance(recipe.get("model"), str):
        raise ValueError(f"{path} is damaged: expected a spec, and a recipe with its model; take an earlier checkpoint")
    return ModelSpec.from_json(spec, str(path)), recipe


def recipe_of(facts: Mapping[str, Any], path: str | Path) -> Recipe:
    """The recipe that a checkpoint's facts hold; those of older ones say the family by their spec alone."""
    spec, recipe = stated(facts, path)
    return from_dict(recipe, str(path), OPTIONS.get(spec.codec))


def network_of(path: str | Path) -> tuple[ModelSpec, nn.Module]:
    """The network that a checkpoint of `edgepose train` holds (the averaged weights where there are any).

    Raises ValueError where its tensors are not those of its model.
    """
    parts, facts = load(path)
    then, recipe = stated(facts, path)
    classes = then.codec_args.get("classes", 1) if then.skeleton == "box" else 1
    if type(classes) is not int or not 1 <= classes <= MOST_CLASSES:
        raise ValueError(f"{path} is damaged: expected 1 to {MOST_CLASSES} classes, its spec says {str(classes)[:60]}")
    # Today's spec: what a codec's arguments are called may have changed since.
    spec, network = build(recipe["model"], skeleton=then.skeleton, input_size=then.input_size, classes=classes)
    spec = dataclasses.replace(
        spec, categories=then.categories, calibration=then.calibration, box_exponent=then.box_exponent
    )
    tensors = parts.get("average") or parts.get("network", {})
    wanted = network.state_dict()
    wrong = [name for name, value in wanted.items() if name not in tensors or tensors[name].shape != value.shape]
    wrong += [name for name in tensors if name not in wanted]
    if wrong:
        raise ValueError(
            f"{path} does not hold the tensors of {spec.name}, {len(wrong)} are missing, unknown or of another shape, "
            f"such as {wrong[0]}: it was written by another version of edgepose, or changed since"
        )
    network.load_state_dict(tensors)
    return spec, network.eval()


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's tensors by `index.name`; its settings come from the recipe again."""
    states = optimizer.state_dict()["state"]
    return {f"{i}.{name}": torch.as_tensor(value) for i, state in states.items() for name, value in state.items()}


def load_optimizer_state(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_state` took out."""
    states: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        states.setdefault(int(index), {})[name] = value
    whole = optimizer.state_dict()
    expected = sum(len(group["params"]) for group in whole["param_groups"])
    if states and max(states) >= expected:
        raise ValueError(f"the checkpoint's optimizer has {max(states) + 1} tensors, this network has {expected}")
    optimizer.load_state_dict(whole | {"state": states})
