"""Codecs: people <-> network outputs, in numpy.

`encode` makes training targets of labels, `decode` makes Poses of raw outputs; both work in pixels of the network's
input. One frozen dataclass per representation, one file each; the spec names it. `Codec` is what all of them can do,
`FlipMerge`, `Thresholded` and `Guided` what some can: `isinstance` tells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, overload, runtime_checkable

import numpy as np

from edgepose.codec.anchors import Anchors
from edgepose.codec.associative import Associative
from edgepose.codec.boxes import Boxes
from edgepose.codec.center import Center
from edgepose.codec.distribution import Distribution
from edgepose.codec.heatmap import Heatmap
from edgepose.codec.simcc import SimCC
from edgepose.names import expected
from edgepose.poses import Poses
from edgepose.skeleton import Skeleton
from edgepose.spec import ModelSpec


class Encoder(Protocol):
    """What makes training targets of labels."""

    @property
    def encode(self) -> Callable[..., dict[str, np.ndarray]]:
        """Labels of crops, or of one picture, in pixels of the network's input -> named targets.

        What the labels are depends on the representation: keypoints (N, K, 2) and visible (N, K), with boxes (N, 4)
        where it has some.
        """


class Codec(Encoder, Protocol):
    """What every codec can do."""

    @property
    def input_size(self) -> tuple[int, int]:
        """(w, h) of the network's input."""

    @property
    def skeleton(self) -> Skeleton:
        """What the keypoints are; `skeleton.BOX` where there are none."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """What the outputs are called in an exported file, in the network's order."""

    def decode(self, outputs: list[np.ndarray]) -> Poses:
        """Raw outputs -> people, in pixels of the network's input.

        A per-person network's batch of B crops gives B people, in order; any other network's outputs are those of one
        picture (batch 1) and give the people found in it.
        """

    def apart(self, ours: list[np.ndarray], theirs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """How far two networks' outputs of the same input are from each other, before suppression.

        Distances (n,) in pixels of the input, of keypoints, peaks or box corners; and differences (m,) of scores. Of a
        whole picture the candidates that `ours` scores best count (`comparison.BEST`).
        """


@runtime_checkable
class FlipMerge(Protocol):
    """A codec that has a flip test."""

    def merge_flipped(self, outputs: list[np.ndarray], flipped: list[np.ndarray]) -> list[np.ndarray]:
        """Outputs of an input and of its mirror image -> one list that `decode` takes: the mean of both."""


@runtime_checkable
class Thresholded(Protocol):
    """A codec that decodes nobody whom it scores below a threshold of its own."""

    @property
    def score(self) -> float:
        """The threshold."""

    def at_least(self, score: float) -> Codec:
        """The same codec with a threshold that is not below `score`."""


@runtime_checkable
class Guided(Protocol):
    """A codec that can take into account where keypoints are expected."""

    def decode_near(self, outputs: list[np.ndarray], expected: np.ndarray | None) -> Poses:
        """As `decode`, but of places about as likely, the one near `expected` (B, K, 2), NaN where nothing is."""


CODECS: dict[str, Callable[..., Codec]] = {
    "simcc": SimCC,
    "heatmap": Heatmap,
    "distribution": Distribution,
    "anchors": Anchors,
    "associative": Associative,
    "boxes": Boxes,
    "center": Center,
}

Kind = TypeVar("Kind")


@overload
def codec_of(spec: ModelSpec) -> Codec: ...


@overload
def codec_of(spec: ModelSpec, kind: type[Kind]) -> Kind: ...


def codec_of(spec: ModelSpec, kind: type[Any] | None = None) -> Any:
    """The codec that a spec names, with its arguments; ValueError where it is not of `kind`, a class of CODECS."""
    if spec.codec not in CODECS:
        raise ValueError(f"spec of {spec.name}: unknown codec {spec.codec!r}{expected(spec.codec, CODECS)}")
    try:
        codec = CODECS[spec.codec](input_size=spec.input_size, skeleton=spec.keypoints, **spec.codec_args)
    except (TypeError, AttributeError, ArithmeticError, LookupError) as error:
        given = str(dict(spec.codec_args))
        raise ValueError(f"spec of {spec.name}: codec_args {given[:200]} do not fit {spec.codec}: {error}") from error
    if kind is not None and not isinstance(codec, kind):
        wanted = [name for name, made in CODECS.items() if made is kind]
        raise ValueError(f"spec of {spec.name}: its codec is {spec.codec!r}, expected {wanted[0] if wanted else kind}")
    return codec
