"""Codecs: people <-> network outputs, in numpy.

`encode` makes training targets of labels, `decode` makes Poses of raw outputs; both work in pixels of the network's
input. One frozen dataclass per representation, one file each; the spec names it.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from edgepose.codec.anchors import Anchors
from edgepose.codec.associative import Associative
from edgepose.codec.boxes import Boxes
from edgepose.codec.distribution import Distribution
from edgepose.codec.heatmap import Heatmap
from edgepose.codec.simcc import SimCC
from edgepose.poses import Poses
from edgepose.spec import ModelSpec

CODECS: dict[str, Any] = {
    "simcc": SimCC,
    "heatmap": Heatmap,
    "distribution": Distribution,
    "anchors": Anchors,
    "associative": Associative,
    "boxes": Boxes,
}


class Codec(Protocol):
    """What every codec can do."""

    def decode(self, outputs: list[np.ndarray]) -> Poses:
        """Raw outputs -> people, in pixels of the network's input.

        A per-person network's batch of B crops gives B people, in order; any other network's outputs are those of one
        picture (batch 1) and give the people found in it.
        """


def codec_of(spec: ModelSpec) -> Any:
    """The codec that a spec names, with its arguments."""
    if spec.codec not in CODECS:
        raise ValueError(f"spec of {spec.name}: unknown codec {spec.codec!r}, expected one of {sorted(CODECS)}")
    try:
        return CODECS[spec.codec](input_size=spec.input_size, skeleton=spec.keypoints, **spec.codec_args)
    except TypeError as error:
        raise ValueError(
            f"spec of {spec.name}: codec_args {dict(spec.codec_args)} do not fit {spec.codec}: {error}"
        ) from error
