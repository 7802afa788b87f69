"""How a network starts: from the tensors of a checkpoint, and with parts that stay as they are."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from edgepose.models import load_checkpoint_file
from edgepose.models.deconvpose import DeconvPose
from edgepose.models.hrnet import HighResolutionTrunk
from edgepose.models.litepose import SUPERNET, LitePose
from edgepose.models.supernet import handed_down
from edgepose.train import checkpoint
from edgepose.train.options import Detector, TopDown
from edgepose.train.recipes import Recipe

PARTS = ("stem", "stage1", "stage2", "stage3", "stage4")  # of a CSPNeXt backbone, in the order of `frozen_stages`
BACKBONES = ("backbone.", "features.")  # of EfficientHRNet the latter
# An HRNet, and an encoder with deconvolutions, are all backbone but for these.
HEADS = ("deconv_layers.", "final_layer.", "final_layers.")
FOREIGN = (".pth", ".pt")


def freeze(network: nn.Module, recipe: Recipe) -> nn.ModuleList:
    """The first `frozen_stages` parts of the backbone, which learn no more; all of it with as many as PARTS.

    The caller keeps them in eval mode, so that their norms keep their statistics too.
    """
    options = recipe.options
    count = options.frozen_stages if isinstance(options, (TopDown, Detector)) else 0
    if count and not recipe.init:
        raise ValueError(f"frozen_stages={count} needs init=CHECKPOINT, whose weights are to stay")
    if count < len(PARTS):
        parts = [f"backbone.{part}" for part in PARTS[:count]]
    elif _is_backbone_and_head(network):
        parts = [name for name, _ in network.named_children() if not f"{name}.".startswith(HEADS)]
    else:
        parts = ["backbone"]
    known = dict(network.named_modules())
    missing = [part for part in parts if part not in known]
    if missing:
        raise ValueError(f"frozen_stages={count}: {recipe.model} has no {missing[0]}, leave it out")
    return nn.ModuleList(known[part] for part in parts).requires_grad_(False)


WEIGHTS = Path(__file__).resolve().parents[1] / "weights"  # in the package


def checkpoint_of(init: str, field: str = "init") -> Path:
    """The file that `init=` or another field names: a checkpoint, or by name the weights of a model in the package."""
    inside = {path.stem: path for path in sorted(WEIGHTS.glob("*.safetensors"))}
    if init in inside and not Path(init).exists():
        return inside[init]
    path = Path(init)
    if not path.is_file():
        raise FileNotFoundError(
            f"{field}={init} does not exist: expected a checkpoint written by `edgepose train`, or one of "
            f"{', '.join(inside)}, whose weights are in the package"
        )
    return path


def has_fresh_head(recipe: Recipe) -> bool:
    """Whether the backbone alone starts from `init`."""
    return isinstance(recipe.options, TopDown) and recipe.options.fresh_head


def initialize(
    network: nn.Module, path: str, extra: nn.Module | None = None, model: str = "", *, fresh_head: bool = False
) -> str:
    """Start a network from the tensors of a checkpoint that fit it by name and shape: at least its backbone.

    The checkpoint is one of `edgepose train`, or what others saved with torch (.pth, .pt): weights of ImageNet for the
    encoder of a DeconvPose (torchvision's) or for an HRNet, by their own names. Returns what starts anew because the
    checkpoint has nothing of its name and shape, such as "3 tensors of head".

    A head that learnt beside the checkpoint's network counts too: a lateral head can become the network's own. A
    LitePose starts from a super-net as published (models.supernet), and so does a super-net from another network.

    fresh_head: take the backbone and nothing else.
    """
    foreign = Path(path).suffix in FOREIGN
    file = checkpoint_of(path)
    parts, facts = ({"network": load_checkpoint_file(file)}, {}) if foreign else checkpoint.load(file)
    found = (parts.get("average") or parts["network"]) | parts.get("extra", {})
    if not foreign and isinstance(network, LitePose) and SUPERNET in (model, facts["recipe"]["model"]):
        found = handed_down(found, network, sort=model == SUPERNET)
    if fresh_head:
        found = {name: value for name, value in found.items() if _in_backbone(network, name)}
    fitting = _fitting(network, found)
    missing = [name for name in _backbone(network) if name not in fitting]
    if missing or not fitting:
        more = max(len(missing) - 3, 0)
        raise ValueError(
            f"{path} does not fit the backbone: {missing[:3]} and {more} more are missing; give weights of the same "
            "network or encoder, or leave init out"
        )
    network.load_state_dict(fitting, strict=False)
    if extra is not None and not fresh_head:
        extra.load_state_dict(_fitting(extra, parts.get("extra", {})), strict=False)
    return _listed([name for name in _counted(network) if name not in fitting])


def _listed(names: list[str]) -> str:
    """`head.final.weight`, `head.final.bias` -> "2 tensors of head.final"; nothing for nothing."""
    parts = list(dict.fromkeys(name.rpartition(".")[0] or name for name in names))
    if not parts:
        return ""
    more = f" and {len(parts) - 3} more parts" if len(parts) > 3 else ""
    return f"{len(names)} tensors of {', '.join(parts[:3])}{more}"


def _counted(network: nn.Module) -> list[str]:
    """Names of its tensors; counts of batches are without effect and may be missing."""
    return [name for name in network.state_dict() if not name.endswith(".num_batches_tracked")]


def _backbone(network: nn.Module) -> list[str]:
    """Names of the tensors that a checkpoint has to have."""
    return [name for name in _counted(network) if _in_backbone(network, name)]


def _is_backbone_and_head(network: nn.Module) -> bool:
    """Whether a network's backbone is no part of its own, but all that is not of HEADS."""
    return isinstance(network, (DeconvPose, HighResolutionTrunk))


def _in_backbone(network: nn.Module, name: str) -> bool:
    if _is_backbone_and_head(network):
        return not name.startswith(HEADS)
    return name.startswith(BACKBONES)


def _fitting(module: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    own = module.state_dict()
    return {name: value for name, value in tensors.items() if name in own and own[name].shape == value.shape}
