"""The published multi-scale test of bottom-up models (HigherHRNet's tools/valid.py and lib/core/inference.py).

A picture keeps its aspect and is seen at several sizes, for each of which the network gets an input of its own; heat is
averaged over sizes and mirror images, tags are those of scale 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from edgepose.codec import codec_of
from edgepose.codec.associative import Associative, aggregate
from edgepose.geometry import area, clip_boxes, middle_matrix, whole_size
from edgepose.poses import Poses
from edgepose.runtime.load import Backend, find, open_model
from edgepose.runtime.network import Network
from edgepose.runtime.views import Views, back
from edgepose.spec import ModelSpec

Size = tuple[int, int]  # w, h

STRIDE = 32  # of the deepest maps: inputs are multiples of it
KEPT = 32  # networks of different sizes that are kept ready; COCO's pictures ask for about ten at each scale


class MultiScale:
    """A bottom-up network at several sizes of each picture, to be evaluated in place of an Estimator.

    Args:
        spec: of the network; the shorter side of its input is the size at scale 1.
        network_at: the network for pictures of an input size.
        scales: 1 must be among them.
        flip_test: also the mirror image, at each scale.
    """

    def __init__(
        self, spec: ModelSpec, network_at: Callable[[Size], Network], scales: Sequence[float], flip_test: bool = False
    ) -> None:
        codec = codec_of(spec)
        if not isinstance(codec, Associative):
            raise ValueError(f"{spec.name} (codec {spec.codec}) is no bottom-up model and has no multi-scale test")
        if 1.0 not in scales:
            raise ValueError(f"scales {list(scales)}: expected 1 among them, at which tags are read")
        self.spec, self.scales, self.flip_test = spec, tuple(scales), flip_test
        self._codec = codec
        self._at = lru_cache(KEPT)(network_at)

    def __call__(
        self, image: np.ndarray, boxes: np.ndarray | None = None, box_scores: np.ndarray | None = None
    ) -> Poses:
        """People of a picture (H, W, 3), best first."""
        if boxes is not None:
            raise ValueError(f"{self.spec.name} finds people by itself, expected no boxes but the picture alone")
        picture = (image.shape[1], image.shape[0])
        sizes = {scale: self._size(picture, scale) for scale in self.scales}
        passes = [(scale, self._passes(image, size)) for scale, size in sizes.items()]
        codec = replace(self._codec, input_size=sizes[1.0])
        heat, tags = aggregate(passes, self.spec.keypoints.flip.tolist(), sizes[1.0] if codec.project else None)
        poses = codec.decode_maps(heat, tags)
        matrix = middle_matrix(picture, sizes[1.0])
        found = clip_boxes(back(poses.boxes.reshape(-1, 2, 2), matrix).reshape(-1, 4), picture)
        kept = area(found) > 0
        keypoints = back(poses.keypoints[kept], matrix)
        return Poses(keypoints, poses.scores[kept], found[kept], poses.person_scores[kept], poses.skeleton)

    def _size(self, picture: Size, scale: float) -> Size:
        """Input size (w, h) for a picture (w, h)."""
        size = whole_size(picture, min(self.spec.input_size), scale, min(self.scales))
        if size[0] % STRIDE or size[1] % STRIDE:
            raise ValueError(
                f"scales {list(self.scales)} make an input of {size[0]}x{size[1]}, expected multiples of {STRIDE}: "
                "choose others, such as 0.5, 1, 2"
            )
        return size

    def _passes(self, image: np.ndarray, size: Size) -> list[list[np.ndarray]]:
        """Outputs of the picture, and of its mirror image where that is asked for."""
        network = self._at(size)
        batch, _ = Views(network.spec).whole(image)
        outputs = [network(batch)]
        if self.flip_test:
            mirrored = batch[:, :, ::-1] if network.spec.layout == "nhwc" else batch[..., ::-1]
            outputs.append(network(np.ascontiguousarray(mirrored)))
        return outputs


def at_size(model: Path, spec: ModelSpec, size: Size) -> bytes:
    """An exported bottom-up model for inputs of another size (w, h): its maps alone, as peaks are tied to its own."""
    import onnx

    if model.suffix != ".onnx":
        raise ValueError(f"{model} has a fixed input size: the multi-scale test needs the ONNX file")
    graph_of = onnx.load(str(model))
    graph, dims = graph_of.graph, (size[1], size[0], 3) if spec.layout == "nhwc" else (3, size[1], size[0])
    for place, side in enumerate(dims, start=1):
        graph.input[0].type.tensor_type.shape.dim[place].dim_value = side
    maps = list(graph.output[:2])
    needed, kept = {value.name for value in maps}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    del graph.node[:], graph.output[:], graph.value_info[:]
    graph.node.extend(reversed(kept))
    for value in maps:
        value.type.tensor_type.ClearField("shape")
    graph.output.extend(maps)
    del graph_of.metadata_props[:]
    return bytes(graph_of.SerializeToString())


def network_of_sizes(
    model: str, spec: ModelSpec, backend: Backend | None, threads: int | None
) -> Callable[[Size], Network]:
    """The file of a model, by name or path, as a network for any input size (w, h)."""

    def network_at(size: Size) -> Network:
        file = at_size(find(model)[0], spec, size)
        return open_model(file, replace(spec, input_size=size), backend, threads)

    return network_at
