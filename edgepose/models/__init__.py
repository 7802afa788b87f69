"""Torch networks by name, each with its spec, and the loading of published checkpoints into them."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgepose.models.deconvpose import (
    ENCODERS,
    RECONSTRUCTION,
    DeconvPose,
    Design,
    build_deconvpose,
    without_classifier,
)
from edgepose.models.efficienthrnet import EfficientHRNet, build_efficienthrnet
from edgepose.models.hrnet import build_higherhrnet, build_hrnet
from edgepose.models.litepose import Architecture, build_architecture, build_litepose
from edgepose.models.rtmdet import MMYOLO_KEYS, RTMDet, build_rtmdet
from edgepose.models.rtmpose import build_cspnext_context, build_cspnext_lateral, build_cspnext_udp, build_rtmpose
from edgepose.models.sasd import build_sasd
from edgepose.names import expected
from edgepose.skeleton import SKELETONS, Skeleton
from edgepose.spec import ModelSpec

Size = tuple[int, int]  # width, height

# Called with the skeleton or its name and the input size, None for the published one.
POSE_NETWORKS: dict[str, Callable[[str | Skeleton, Size | None], tuple[ModelSpec, nn.Module]]] = {
    "rtmpose-t": partial(build_rtmpose, "t"),
    "rtmpose-s": partial(build_rtmpose, "s"),
    "rtmpose-m": partial(build_rtmpose, "m"),
    "rtmpose-l": partial(build_rtmpose, "l"),
    "rtmpose-x": partial(build_rtmpose, "x"),
    "cspnext-lateral-t": partial(build_cspnext_lateral, "t"),
    "cspnext-lateral-s": partial(build_cspnext_lateral, "s"),
    "cspnext-context-t": partial(build_cspnext_context, "t"),
    "cspnext-udp-t": partial(build_cspnext_udp, "t"),
    "cspnext-udp-s": partial(build_cspnext_udp, "s"),
    "cspnext-udp-m": partial(build_cspnext_udp, "m"),
    "cspnext-udp-l": partial(build_cspnext_udp, "l"),
    "cspnext-udp-x": partial(build_cspnext_udp, "x"),
    "litepose-xs": partial(build_litepose, "xs"),
    "litepose-s": partial(build_litepose, "s"),
    "litepose-m": partial(build_litepose, "m"),
    "litepose-l": partial(build_litepose, "l"),
    "litepose-supernet": partial(build_litepose, "supernet"),
    "efficienthrnet-h0": partial(build_efficienthrnet, "h0"),
    "efficienthrnet-h-1": partial(build_efficienthrnet, "h-1"),
    "efficienthrnet-h-2": partial(build_efficienthrnet, "h-2"),
    "efficienthrnet-h-3": partial(build_efficienthrnet, "h-3"),
    "efficienthrnet-h-4": partial(build_efficienthrnet, "h-4"),
    **{
        name: partial(build_deconvpose, name, Design(encoder))
        for name, encoder in ((RECONSTRUCTION, ENCODERS[0]), *((f"{RECONSTRUCTION}-{each}", each) for each in ENCODERS))
    },
    "hrnet-w32": partial(build_hrnet, "w32"),
    "hrnet-w48": partial(build_hrnet, "w48"),
    "higherhrnet-w32": partial(build_higherhrnet, "w32"),
    "sasd-xs": partial(build_sasd, "xs"),
    "sasd-xs-eq": partial(build_sasd, "xs-eq"),
    "sasd-e": partial(build_sasd, "e"),
    "sasd-s": partial(build_sasd, "s"),
    "sasd-m": partial(build_sasd, "m"),
    "sasd-l": partial(build_sasd, "l"),
}

# Called with the number of classes and the input size, None for the published one.
DETECTORS: dict[str, Callable[[int, Size | None], tuple[ModelSpec, nn.Module]]] = {
    "rtmdet-nano": partial(build_rtmdet, "nano"),
    "rtmdet-tiny": partial(build_rtmdet, "tiny"),
    "rtmdet-s": partial(build_rtmdet, "s"),
    "rtmdet-m": partial(build_rtmdet, "m"),
    "rtmdet-l": partial(build_rtmdet, "l"),
    "rtmdet-x": partial(build_rtmdet, "x"),
}

MODELS: dict[str, Callable[..., tuple[ModelSpec, nn.Module]]] = {**POSE_NETWORKS, **DETECTORS}


def build(
    name: str, *, skeleton: str | Skeleton = "coco", input_size: Size | None = None, classes: int = 1
) -> tuple[ModelSpec, nn.Module]:
    """A network with fresh weights and the spec that its files will carry.

    Args:
        name: of `MODELS`, of a LitePose of other widths, as `edgepose search` names what it finds, or of a DeconvPose
            with other deconvolutions: deconvpose-ENCODER-CHANNELS-CHANNELS..., such as deconvpose-resnet18-64-64-64.
        skeleton: what a pose network finds, a built-in one by name or one of your own; a detector has none.
        input_size: width and height, multiples of 32; the published size by default.
        classes: what a detector tells apart: 1 (person) or 80 (COCO).
    """
    free = _free(name)
    if name not in MODELS and free is None:
        raise ValueError(f"unknown model {name!r}{expected(name, MODELS, '`edgepose models` lists them')}")
    size = None if input_size is None else _checked(name, input_size)
    if name in DETECTORS:
        if skeleton not in ("coco", "box"):
            raise ValueError(f"{name} finds boxes, not the keypoints of {skeleton!r}: leave skeleton out")
        if classes < 1:
            raise ValueError(f"{name} with classes={classes}: expected 1 (person) or more, such as 80 (COCO)")
        return DETECTORS[name](classes, size)
    if classes != 1:
        raise ValueError(f"{name} is a pose network and takes no classes (got {classes}): only {list(DETECTORS)} do")
    if len(skeleton) == 0 if isinstance(skeleton, Skeleton) else skeleton not in SKELETONS or skeleton == "box":
        known = [key for key in SKELETONS if key != "box"]
        raise ValueError(f"{name} with unknown skeleton {skeleton!r}{expected(skeleton, known)}, or a Skeleton")
    make = free or POSE_NETWORKS[name]
    return make(skeleton, size)


def _free(name: str) -> Callable[[str | Skeleton, Size | None], tuple[ModelSpec, nn.Module]] | None:
    """What builds a network whose name says its widths; None for other names."""
    searched, design = Architecture.named(name), Design.named(name)
    if searched is not None:
        return partial(build_architecture, searched)
    return None if design is None else partial(build_deconvpose, name, design)


def _checked(name: str, size: Size) -> Size:
    pair = isinstance(size, (tuple, list)) and len(size) == 2 and all(isinstance(side, int) for side in size)
    if not pair or min(size) <= 0 or size[0] % 32 or size[1] % 32:
        raise ValueError(f"{name} with input_size {size}: expected (width, height), both multiples of 32")
    return size[0], size[1]


def load_reference(network: nn.Module, state_dict: Mapping[str, Any]) -> None:
    """Copy a published checkpoint into a network, by the checkpoint's own key names and strictly.

    Takes the tensors themselves or the dictionary that holds them under "state_dict" or "best_state_dict"; prefixes of
    data-parallel training and the entries of the published pre-processing are ignored, mmyolo's names of RTMDet's
    layers are known, and the second tag maps of the released EfficientHRNet-H0 are left out. Of a classifier with a
    DeconvPose's encoder (torchvision's MobileNetV2 or ResNet-18, or a compact EfficientNet) the encoder is taken and
    the deconvolutions stay as they are. Nothing is copied unless everything fits.
    """
    tensors = _tensors(state_dict)
    if isinstance(network, DeconvPose):
        tensors = without_classifier(network, tensors)
    if isinstance(network, EfficientHRNet):
        tensors = _without_second_tags(tensors, network.keypoints)
    mmyolo = any(key.startswith("bbox_head.head_module.") for key in tensors)
    if isinstance(network, RTMDet):
        tensors = {_renamed(key, MMYOLO_KEYS): tensor for key, tensor in tensors.items()}
    own = network.state_dict()
    # counted by no torch before 0.4.1, and of no effect on results
    tensors |= {k: v for k, v in own.items() if k.endswith(".num_batches_tracked") and k not in tensors}
    problems = [
        _listed("missing", [key for key in own if key not in tensors]),
        _listed("unexpected", [key for key in tensors if key not in own]),
        _listed(
            "of wrong shape",
            [
                f"{key} {tuple(tensors[key].shape)}, expected {tuple(value.shape)}"
                for key, value in own.items()
                if key in tensors and tensors[key].shape != value.shape
            ],
        ),
    ]
    if not any(problems):
        problems.append(_listed("different where the network shares one tensor", _torn(network, tensors)))
    if any(problems):
        found = "; ".join(problem for problem in problems if problem)
        raise ValueError(f"the checkpoint does not fit this {type(network).__name__}: {found}")
    network.load_state_dict(tensors)
    if isinstance(network, RTMDet) and mmyolo:
        network.bbox_head.exp = False  # mmyolo regresses distances in every size, mmdetection logarithms in m, l and x


def _tensors(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The network's tensors in a checkpoint, without wrappers around their names."""
    if not isinstance(checkpoint, Mapping):
        raise ValueError(f"a checkpoint is a dictionary of tensors by key, got a {type(checkpoint).__name__}")
    values = checkpoint.get("state_dict", checkpoint.get("best_state_dict", checkpoint))
    if not isinstance(values, Mapping):
        raise ValueError(f"the checkpoint's state_dict is a {type(values).__name__}, expected a dictionary of tensors")
    # LitePose's training wraps the network in a sequence, of which it is the second
    wrapper = "1." if values and all(str(key).startswith("1.") for key in values) else ""
    tensors = {}
    for key, value in values.items():
        name = str(key).removeprefix(wrapper).removeprefix("module.")
        if name.startswith("data_preprocessor."):
            continue
        try:
            tensors[name] = value if isinstance(value, Tensor) else torch.tensor(value)
        except (TypeError, ValueError, RuntimeError):
            kind = type(value).__name__
            raise ValueError(f"the checkpoint holds a {kind} under {name!r}, expected tensors only") from None
    return tensors


def _without_second_tags(tensors: dict[str, Tensor], keypoints: int) -> dict[str, Tensor]:
    """EfficientHRNet's released H0 was trained with tags at both scales, of which the second are not used."""
    last = ("final_layers.1.weight", "final_layers.1.bias")
    return {k: v[:keypoints] if k in last and len(v) == 2 * keypoints else v for k, v in tensors.items()}


def _renamed(key: str, prefixes: Mapping[str, str]) -> str:
    for old, new in prefixes.items():
        if key.startswith(old):
            return new + key.removeprefix(old)
    return key


def _torn(network: nn.Module, tensors: Mapping[str, Tensor]) -> list[str]:
    """Keys of one shared parameter whose tensors differ in the checkpoint: it is from a network that did not share."""
    first: dict[int, str] = {}
    torn = []
    for key, parameter in network.named_parameters(remove_duplicate=False):
        other = first.setdefault(id(parameter), key)
        if other != key and not torch.equal(tensors[key], tensors[other]):
            torn.append(f"{key} and {other}")
    return torn


def _listed(what: str, keys: list[str], shown: int = 5) -> str:
    """One clause naming the first few of the keys, empty when there are none."""
    if not keys:
        return ""
    more = f" and {len(keys) - shown} more" if len(keys) > shown else ""
    return f"{len(keys)} {what}: {', '.join(keys[:shown])}{more}"


class _Nothing:
    """Stands for a class named in a pickle: takes any argument, keeps and does nothing."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


# What mmengine stores beside the weights (statistics of the data set, the history of the losses). `_Nothing` stands
# in for these names, so they are never imported or called; a file that names anything else is refused.
_HARMLESS: list[Any] = [
    (_Nothing, name)
    for name in (
        "builtins.getattr",
        "mmengine.logging.history_buffer.HistoryBuffer",
        "numpy.core.multiarray._reconstruct",
        "numpy._core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
        "numpy.dtype",
        "numpy.ndarray",
    )
]


# What torch.load raises on damaged files and on files of another kind.
_UNREADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError)


def load_checkpoint_file(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a .pth or .safetensors file, on the CPU; code inside a .pth is never run."""
    if Path(path).suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} is not a readable safetensors file: {error}") from None
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        # torch's own message is a page long and recommends to run the code
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused:
            raise ValueError(
                f"{path} asks for {refused[1]}, and code from a checkpoint is never run: "
                "save its state_dict alone, with torch.save or as .safetensors"
            ) from None
        raise ValueError(
            f"{path} is not a readable checkpoint: expected .safetensors or a .pth of torch.save"
        ) from None
    return _tensors(checkpoint)
