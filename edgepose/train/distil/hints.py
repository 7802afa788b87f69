"""A detector's inner maps as targets beside its outputs (hints: Romero et al., FitNets, 2015, section 2.2).

The outputs of a teacher are a narrow view of what it has learnt; its inner maps say at every depth what is worth
seeing. Three kinds of maps are found in any export of an RTMDet without knowing its names: the last one of every stride
on the way to the deepest (the backbone's stages, and what the neck makes of the last), the last one of the strides
between that all outputs depend on (the two that flow down the neck), and for each level the last one that its classes
and its boxes have in common (what the neck gives to the head).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgepose.models.rtmdet import RTMDet
from edgepose.train.shares import over_all

DEEPEST = 32  # stride
BEFORE = (2, 4, 8, 16)  # strides of the maps on the way to the deepest
SHARED = (16, 8)  # strides of those after it that all outputs depend on
# The parts of our network that make the maps up to the deepest, each from the map before.
IN_A_ROW = (
    ("backbone.stem",), ("backbone.stage1",), ("backbone.stage2",), ("backbone.stage3",),
    ("backbone.stage4", "neck.reduce_layers.0"),
)  # fmt: skip
# The same maps of our network, those and then the neck's.
MODULES = (
    *(parts[-1] for parts in IN_A_ROW), "neck.reduce_layers.1", "neck.top_down_blocks.1",
    "neck.out_convs.0", "neck.out_convs.1", "neck.out_convs.2",
)  # fmt: skip


class WithHints(nn.Module):
    """A detector that shows its inner maps, each with as many channels as the teacher's.

    Args:
        channels: of the teacher's maps, in the order of MODULES. Where the network's own are as many, they are compared
            as they are; elsewhere a 1x1 convolution learns to translate, and is dropped after training.
        depth: run no further than the first so many maps, at most to the deepest, and show these alone; 0: all.
    """

    def __init__(self, network: RTMDet, channels: Sequence[int], depth: int = 0) -> None:
        super().__init__()
        self.depth = depth
        count = depth or len(MODULES)
        own, channels = _channels(network)[:count], channels[:count]
        self.translate = nn.ModuleList(
            nn.Identity() if mine == theirs else nn.Conv2d(mine, theirs, 1)
            for mine, theirs in zip(own, channels, strict=True)
        )

    def forward(self, network: RTMDet, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, h, w) -> the network's six outputs, then its inner maps; at a `depth` only the first inner maps."""
        outputs: tuple[Tensor, ...] = ()
        if self.depth:
            inner = _first(network, images, self.depth)
        else:
            outputs, inner = _inner(network, images)
        return (*outputs, *(layer(maps) for layer, maps in zip(self.translate, inner, strict=True)))


def hint_loss(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """1 - Pearson's correlation of every channel over batch and places (Cao et al., PKD, 2022, section 3.2), the mean
    over channels and then over maps -> scalar. Scale and shift of a channel are the network's own affair, so that its
    norms need not grow to the teacher's before it learns. The batch is that of all processes (`train.shares`).

    Both: (B, C, h, w) per map.
    """
    apart = []
    for ours, theirs in zip(student, teacher, strict=True):
        if ours.shape != theirs.shape:
            raise ValueError(f"the teacher's inner map is {tuple(theirs.shape)}, the network's {tuple(ours.shape)}")
        apart.append(1 - _correlation(ours.float(), theirs).mean())
    return torch.stack(apart).mean()


def _correlation(ours: Tensor, theirs: Tensor) -> Tensor:
    """Maps (B, C, h, w) twice -> (C,) of each channel, 0 where either is constant.

    All comes from sums, which can be those of several processes. Means are taken off first: that changes no correlation
    and keeps what is summed small, but a mean that was taken off is no function of the network, hence `drift`.
    """
    places = (0, 2, 3)
    count = over_all(ours.new_tensor(ours.numel() // ours.shape[1]))
    means = over_all(torch.stack([ours.detach().sum(places), theirs.sum(places)])) / count  # (2, C)
    x, y = ours - means[0][:, None, None], theirs - means[1][:, None, None]
    sums = over_all(torch.stack([part.sum(places) for part in (x, x.square(), x * y, y.square())]))
    drift, square, product, square_theirs = sums / count  # (C,) each
    return product / ((square - drift.square() + 1e-6).sqrt() * (square_theirs + 1e-6).sqrt())


def inner_names(model: Any, strides: Sequence[int]) -> list[str]:
    """Names of an ONNX model's inner maps in the order of MODULES; ValueError where it is built in another way.

    model: of fixed height and width, whose outputs are classes and distances per level, apart or joined by a Concat.
    """
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    height = graph.input[0].type.tensor_type.shape.dim[2].dim_value
    sides = {
        value.name: value.type.tensor_type.shape.dim[2].dim_value
        for value in graph.value_info
        if len(value.type.tensor_type.shape.dim) == 4
    }
    made_by = {name: node for node in graph.node for name in node.output}
    order = {name: place for place, node in enumerate(graph.node) for name in node.output}
    before: dict[str, frozenset[str]] = {}
    for node in graph.node:  # ONNX lists nodes after what they read
        found = frozenset().union(*(before.get(name, frozenset()) | {name} for name in node.input if name in made_by))
        before |= {name: found for name in node.output}
    last = [_shared_last(pair, before, order) for pair in _pairs(graph, made_by, len(strides))]
    everyone = frozenset.intersection(*(before[name] | {name} for name in last))

    def latest(among: frozenset[str], stride: int) -> str:
        candidates = [name for name in among if sides.get(name) == height // stride]
        if not candidates:
            raise ValueError(f"it has no inner map of stride {stride} that all outputs depend on, so no hint to take")
        return max(candidates, key=order.__getitem__)

    deepest = latest(everyone, DEEPEST)
    on_the_way = [latest(before[deepest], stride) for stride in BEFORE]
    return [*on_the_way, deepest, *(latest(everyone, stride) for stride in SHARED), *last]


def _shared_last(pair: Sequence[str], before: Mapping[str, frozenset[str]], order: Mapping[str, int]) -> str:
    """The last of what the classes and the boxes of a level depend on."""
    common = frozenset.intersection(*(before.get(name, frozenset()) for name in pair))
    if len(pair) < 2 or not common:
        raise ValueError("its classes and its boxes have no inner map in common, so no hint to take")
    return max(common, key=order.__getitem__)


def _pairs(graph: Any, made_by: Mapping[str, Any], levels: int) -> list[tuple[str, ...]]:
    """Names of the classes and the boxes of every level."""
    ends = [output.name for output in graph.output]
    if len(ends) == levels:
        return [_joined(made_by, end) for end in ends]
    return list(zip(ends[0::2], ends[1::2], strict=True))


def _joined(made_by: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """What the Concat at an output joins."""
    while name in made_by and made_by[name].op_type in ("Transpose", "Identity"):
        name = made_by[name].input[0]
    node = made_by.get(name)
    return tuple(node.input) if node is not None and node.op_type == "Concat" else (name,)


def with_inner(network: RTMDet, images: Tensor) -> list[Tensor]:
    """(B, 3, h, w) -> a network's six outputs, then its inner maps in the order of MODULES."""
    outputs, inner = _inner(network, images)
    return [*outputs, *inner]


def _inner(network: RTMDet, images: Tensor) -> tuple[tuple[Tensor, ...], list[Tensor]]:
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        return lambda _module, _inputs, output: seen.__setitem__(name, output)

    handles = [network.get_submodule(name).register_forward_hook(keep(name)) for name in MODULES]
    try:
        outputs = network(images)
    finally:
        for handle in handles:
            handle.remove()
    return outputs, [seen[name] for name in MODULES]


def _first(network: RTMDet, images: Tensor, depth: int) -> list[Tensor]:
    """The first maps, each of which is made from the one before."""
    maps = [images]
    for parts in IN_A_ROW[:depth]:
        inner = maps[-1]
        for name in parts:
            inner = network.get_submodule(name)(inner)
        maps.append(inner)
    return maps[1:]


def _channels(network: RTMDet) -> list[int]:
    training = network.training
    with torch.no_grad():
        _, inner = _inner(network.eval(), torch.zeros(1, 3, 64, 64))
    network.train(training)
    return [maps.shape[1] for maps in inner]
