"""LitePose's super-network: one set of weights for every width, narrower networks being its first channels.

Wang et al., 2022, and weight_transfer.py of its code.

A narrower network is a `LitePose` of its own whose tensors are views of the widest one's: what holds for the views
holds for the copy that is taken out at the end.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from edgepose.models.litepose import LitePose, Widths

HEAD = ("deconv", "final")  # in the names of what a published run does not start from
# What of the head reads the stem's outputs, and those of each stage but the last.
_HEAD_READS = (("final_raw.1.",), ("final_raw.0.", "deconv_raw.2."), ("deconv_raw.1.",), ("deconv_raw.0.",))


def shape_of(network: LitePose, widths: Widths) -> LitePose:
    """A LitePose of `widths` without storage, otherwise like `network`; ValueError where one is wider than it."""
    most = network.widths
    pairs = zip(_flat(widths), _flat(most), strict=True)
    if any(width > limit for width, limit in pairs):
        raise ValueError(f"widths {_flat(widths)} do not fit a super-net of widths {_flat(most)}: expected none larger")
    with torch.device("meta"):
        return LitePose(network.keypoints, widths, network.kernel, network.fusion).train(network.training)


def run_narrow(network: LitePose, shape: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs of the narrower network of `shape_of`, run on views: gradients and batch statistics reach `network`."""
    return functional_call(shape, _views(network, shape), (images,))


def cut(network: LitePose, widths: Widths) -> LitePose:
    """A network of its own with the first channels of `network`."""
    shape = shape_of(network, widths)
    tensors = {key: value.detach().clone() for key, value in _views(network, shape).items()}
    narrow = shape.to_empty(device=next(network.parameters()).device)
    narrow.load_state_dict(tensors)
    return narrow


def _views(network: LitePose, shape: nn.Module) -> dict[str, Tensor]:
    whole = dict(network.named_parameters()) | dict(network.named_buffers())
    return {key: first_channels(whole[key], value) for key, value in shape.state_dict().items()}


def first_channels(tensor: Tensor, like: Tensor) -> Tensor:
    """The part of a tensor that a smaller one of the same layer inherits, as a view."""
    return tensor[tuple(slice(side) for side in like.shape)]


def handed_down(tensors: dict[str, Tensor], network: LitePose, *, sort: bool) -> dict[str, Tensor]:
    """Tensors of another LitePose -> those that `network` starts its training from, as published.

    The head starts anew. A narrower network gets the first channels; a super-net (`sort`) a backbone with its channels
    in the order of their importance, where that is as wide.
    """
    own = network.state_dict()
    body = {key: value for key, value in tensors.items() if key in own and not any(word in key for word in HEAD)}
    if any(
        least > side for key, value in body.items() for least, side in zip(own[key].shape, value.shape, strict=True)
    ):
        raise ValueError("the checkpoint's LitePose is narrower than the one to train: expected one as wide or wider")
    if sort and all(value.shape == own[key].shape for key, value in body.items()):
        body = by_importance(body)
    return {key: first_channels(value, own[key]) for key, value in body.items()}


def by_importance(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a LitePose, or of its backbone, with channels in the order in which a super-net is to keep them.

    The outputs of the stem and of every stage but the last are sorted by the sum of the weights' sizes in the layer
    that reads them first; whatever reads them follows, so that the network computes the same as before.
    """
    tensors = dict(tensors)
    stages = 1 + max(int(key.split(".")[1]) for key in tensors if key.startswith("stage."))
    for stage in range(stages):
        reader = f"stage.{stage}.0.inv.0.weight"  # of the stem's outputs, or of the stage before
        order = tensors[reader].abs().sum((0, 2, 3)).sort(descending=True, stable=True).indices
        if stage == 0:
            writers, readers = ["first.2", "first.3"], [reader]
        else:
            before = f"stage.{stage - 1}."
            blocks = sorted({key.split(".")[2] for key in tensors if key.startswith(before)}, key=int)
            writers = [f"{before}{b}.point_conv.{i}" for b in blocks for i in (0, 1)]
            readers = [reader, *(f"{before}{b}.inv.0.weight" for b in blocks[1:])]
        for name in writers:
            for part in ("weight", "bias", "running_mean", "running_var"):
                if f"{name}.{part}" in tensors:
                    tensors[f"{name}.{part}"] = tensors[f"{name}.{part}"][order]
        for name in readers:
            tensors[name] = tensors[name][:, order]
        for name in (key for key in tensors if key.startswith(_HEAD_READS[stage])):
            if tensors[name].ndim:  # not the count of batches
                along = name.endswith("conv.3.weight")  # the 1x1 reads them in its second dimension
                tensors[name] = tensors[name][:, order] if along else tensors[name][order]
    return tensors


def _flat(widths: Widths) -> tuple[int, ...]:
    return widths.stem, *widths.stages, *widths.deconvolutions
