"""What only one family of networks can be told about its training: a small dataclass for each family.

`Recipe.options` is one of these, and `edgepose.train.families` has the task of each. What two families share, such as
the teacher, stands in both, so that each can be read alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from edgepose.data.augment import MILD, STRONG, WHOLE, Strength
from edgepose.data.mixes import MIXES

Sampling = Literal["all", "balanced"]
OksForm = Literal["code", "paper"]
Norm = Literal["l2", "mse"]
Gives = Literal["auto", "outputs", "keypoints"]
GIVES: tuple[Gives, ...] = get_args(Gives)
SAMPLINGS: tuple[Sampling, ...] = get_args(Sampling)


@dataclass(frozen=True)
class TopDown:
    """Networks of one person's crop: RTMPose, CSPNeXt with heat-maps and our lateral heads."""

    family: ClassVar[str] = "top-down"

    strong: Strength = STRONG  # how far crops are moved
    mild: Strength = MILD  # and in the last `stage2` epochs
    mix: str = ""  # of edgepose.data.mixes: which named data sets, and how often each is listed
    sampling: Sampling = "all"  # people once per listing and epoch; balanced: every set its share, listings are weights
    frozen_stages: int = 0  # parts of the backbone that stay as `init` has them: 1 the stem, 2 stage 1 too; 5 all
    blur: float = 1.0  # factor on the width of SimCC's targets
    heatmap_weight: float = 0.0  # of an auxiliary heat-map head on RTMPose's backbone, dropped after training
    inner_weight: float = 0.0  # of heat-maps asked of RTMPose's own head before its classifiers
    fresh_head: bool = False  # of `init` take the backbone alone
    teacher: str = ""  # whom is learnt from as well: an ONNX file or a checkpoint (train/distil/crops.py)
    teacher_weight: float = 1.0  # of what it gives
    teacher_gives: Gives = "auto"  # its outputs, the keypoints it decodes; auto: outputs where they fit the network's
    teacher_falls: bool = False  # its share of the loss falls to nothing over the run, evenly from epoch to epoch
    label_weight: float = 1.0  # of the labels' loss beside the teacher's
    feature_weight: float = 0.0  # of the backbone's last features being like the teacher's
    feature_map: str = ""  # where a teacher's ONNX file has them, by its name there; a checkpoint needs none

    def __post_init__(self) -> None:
        _at_least_zero(self, "teacher_weight", "label_weight", "feature_weight")
        _of_a_backbone(self.frozen_stages)
        if self.teacher_gives not in GIVES:
            raise ValueError(f"teacher_gives={self.teacher_gives!r}, expected one of {list(GIVES)}")
        if self.sampling not in SAMPLINGS:
            raise ValueError(f"sampling={self.sampling!r}, expected one of {list(SAMPLINGS)}")
        if self.mix and self.mix not in MIXES:
            raise ValueError(f"mix={self.mix!r}, expected one of {list(MIXES)}")


@dataclass(frozen=True)
class Detector:
    """RTMDet."""

    family: ClassVar[str] = "detector"

    views: tuple[float, float] | None = None  # random resize; the published range of the size by default
    frozen_stages: int = 0  # parts of the backbone that stay as `init` has them: 1 the stem, 2 stage 1 too, and so on
    teacher: str = ""  # whose maps are learnt from as well: an ONNX file or a checkpoint
    teacher_weight: float = 1.0  # of what is learnt from it
    teacher_falls: bool = False  # its share of the loss falls to nothing over the run, evenly from epoch to epoch
    label_weight: float = 1.0  # of the labels' loss beside the teacher's
    hint_weight: float = 0.0  # of the inner maps being like the teacher's (train/distil/hints.py)
    hint_depth: int = 0  # learn the first so many of them and nothing else: 1 the stem's, 2 stage 1's too ...; 0: all

    def __post_init__(self) -> None:
        _at_least_zero(self, "teacher_weight", "label_weight", "hint_weight")
        _of_a_backbone(self.frozen_stages)
        if not 0 <= self.hint_depth <= 5 or (self.hint_depth and not self.hint_weight):
            raise ValueError(f"hint_depth={self.hint_depth}, expected 0 (all) to 5, and a hint_weight")
        if self.views is not None:
            low, high = self.views
            if not 0 < low <= high < math.inf:
                raise ValueError(f"views={low},{high}: expected a smallest and a largest factor above 0")
            object.__setattr__(self, "views", (low, high))


@dataclass(frozen=True)
class BottomUp:
    """LitePose, with its super-net, and EfficientHRNet: heat-maps and tags of whole pictures."""

    family: ClassVar[str] = "bottom-up"

    whole: Strength = WHOLE  # how far pictures are moved
    mosaic: float = 0.0  # probability that a view shows four pictures at once
    teacher: str = ""  # whose maps are learnt from as well: an ONNX file or a checkpoint
    teacher_weight: float = 1.0  # of what is learnt from it
    teacher_falls: bool = False  # its share of the loss falls to nothing over the run, evenly from epoch to epoch
    label_weight: float = 1.0  # of the labels' loss beside the teacher's
    sides: tuple[int, ...] = ()  # of the square views of a super-net, one of which is drawn at every step

    def __post_init__(self) -> None:
        _at_least_zero(self, "teacher_weight", "label_weight")
        if not 0 <= self.mosaic <= 1:
            raise ValueError(f"mosaic={self.mosaic}, expected a probability between 0 and 1")
        object.__setattr__(self, "sides", tuple(self.sides))
        if not all(isinstance(side, int) and side > 0 and side % 32 == 0 for side in self.sides):
            raise ValueError(f"sides={self.sides}, expected multiples of 32 such as 256,320")


@dataclass(frozen=True)
class OneStage:
    """SASD."""

    family: ClassVar[str] = "one-stage"

    alone: int = 0  # first epochs without the large pass; all of them: never with it
    oks: OksForm = "code"  # form of the keypoint loss, that of YOLO-Pose's code or of the "paper"
    limb_weight: float = 0.0  # of the skeleton loss
    align_weight: float = 0.0  # of the distance between the features of the two passes
    align_norm: Norm = "l2"  # of that distance; or "mse"
    far_weight: float = 0.0  # of the keypoint loss with wide sigmas as well: ours, for networks that start from nothing

    def __post_init__(self) -> None:
        if self.alone < 0:
            raise ValueError(f"alone={self.alone}, expected a number of epochs, 0 or more")


@dataclass(frozen=True)
class Classifier:
    """Compact EfficientNet, the backbone of EfficientHRNet: nothing but what every recipe has."""

    family: ClassVar[str] = "classifier"


Options = TopDown | Detector | BottomUp | OneStage | Classifier

# The family of a network, by the codec that its spec names; "classes" is a classifier's, whose outputs are no people.
OPTIONS: dict[str, type[Options]] = {
    "simcc": TopDown,
    "heatmap": TopDown,
    "distribution": TopDown,
    "boxes": Detector,
    "associative": BottomUp,
    "anchors": OneStage,
    "classes": Classifier,
}
FAMILIES: dict[str, type[Options]] = {options.family: options for options in OPTIONS.values()}


def _at_least_zero(options: Options, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(options, name) < math.inf:
            raise ValueError(f"{name}={getattr(options, name)}, expected 0 or more")


def _of_a_backbone(frozen_stages: int) -> None:
    if not 0 <= frozen_stages <= 5:
        raise ValueError(f"frozen_stages={frozen_stages}, expected 0 (none) to 5 (all)")
