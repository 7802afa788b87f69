"""How a network starts: from the tensors of a checkpoint, and with parts that stay as they are."""

from __future__ import annotations

from torch import Tensor, nn

from edgepose.models.litepose import SUPERNET, LitePose
from edgepose.models.supernet import handed_down
from edgepose.train import checkpoint
from edgepose.train.options import Detector, TopDown
from edgepose.train.recipes import Recipe

PARTS = ("stem", "stage1", "stage2", "stage3", "stage4")  # of a CSPNeXt backbone, in the order of `frozen_stages`
BACKBONES = ("backbone.", "features.")  # of EfficientHRNet the latter


def freeze(network: nn.Module, recipe: Recipe) -> nn.ModuleList:
    """The first `frozen_stages` parts of the backbone, which learn no more.

    The caller keeps them in eval mode, so that their norms keep their statistics too.
    """
    options = recipe.options
    count = options.frozen_stages if isinstance(options, (TopDown, Detector)) else 0
    if count and not recipe.init:
        raise ValueError(f"frozen_stages={count} needs init=CHECKPOINT, whose weights are to stay")
    parts = ["backbone"] if count == len(PARTS) else [f"backbone.{part}" for part in PARTS[:count]]
    known = dict(network.named_modules())
    missing = [part for part in parts if part not in known]
    if missing:
        raise ValueError(f"frozen_stages={count}: {recipe.model} has no {missing[0]}, leave it out")
    return nn.ModuleList(known[part] for part in parts).requires_grad_(False)


def has_fresh_head(recipe: Recipe) -> bool:
    """Whether the backbone alone starts from `init`."""
    return isinstance(recipe.options, TopDown) and recipe.options.fresh_head


def initialize(
    network: nn.Module, path: str, extra: nn.Module | None = None, model: str = "", *, fresh_head: bool = False
) -> None:
    """Start a network from the tensors of a checkpoint that fit it by name and shape: at least its backbone.

    A head that learnt beside the checkpoint's network counts too: a lateral head can become the network's own. A
    LitePose starts from a super-net as published (models.supernet), and so does a super-net from another network.

    fresh_head: take the backbone and nothing else.
    """
    parts, facts = checkpoint.load(path)
    found = (parts.get("average") or parts["network"]) | parts.get("extra", {})
    if isinstance(network, LitePose) and SUPERNET in (model, facts["recipe"]["model"]):
        found = handed_down(found, network, sort=model == SUPERNET)
    if fresh_head:
        found = {name: value for name, value in found.items() if name.startswith(BACKBONES)}
    fitting = _fitting(network, found)
    missing = [name for name in network.state_dict() if name.startswith(BACKBONES) and name not in fitting]
    if missing or not fitting:
        more = max(len(missing) - 3, 0)
        raise ValueError(f"{path} does not fit the backbone: {missing[:3]} and {more} more are missing")
    network.load_state_dict(fitting, strict=False)
    if extra is not None and not fresh_head:
        extra.load_state_dict(_fitting(extra, parts.get("extra", {})), strict=False)


def _fitting(module: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    own = module.state_dict()
    return {name: value for name, value in tensors.items() if name in own and own[name].shape == value.shape}
