"""Recipes: one frozen dataclass per run, overridden by strict key=value words.

The published recipes carry the published numbers (MMPose's projects/rtmpose and MMDetection's configs/rtmdet; batch
and learning rate belong together). The `default-*` recipes made the weights in the package, sized for two CPU cores;
their cards state what came out.
"""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, get_args, get_origin

from edgepose.data.augment import MILD, STRONG, WHOLE, Strength
from edgepose.data.mixes import MIXES

Precision = Literal["auto", "bf16", "fp32"]
Sampling = Literal["all", "balanced"]
Optimiser = Literal["adamw", "sgd"]
OksForm = Literal["code", "paper"]
Norm = Literal["l2", "mse"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
SAMPLINGS: tuple[Sampling, ...] = get_args(Sampling)
OPTIMISERS: tuple[Optimiser, ...] = get_args(Optimiser)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run, apart from the data."""

    model: str  # name for edgepose.models.build
    epochs: int
    batch: int  # pictures per step, over all processes together
    lr: float  # for `batch`; scale both together
    skeleton: str = "coco"
    input_size: tuple[int, int] | None = None  # w, h; the model's own by default
    weight_decay: float = 0.0  # none on norms and biases
    warmup: int = 1000  # iterations
    warmup_epochs: int = 0  # and as many epochs
    flat: float = 0.5  # share of the run before the cosine
    drops: tuple[float, ...] = ()  # shares of the run at which the rate falls to a tenth, in place of the cosine
    stage2: int = 30  # last epochs with mild augmentation (a detector's: without mosaic and mix-up)
    strong: Strength = STRONG
    mild: Strength = MILD
    views: tuple[float, float] | None = None  # a detector's random resize; the size's published range by default
    average: bool = True  # keep and validate the moving average of the weights
    average_momentum: float = 2e-4  # share of the weights as they are in each update of it, for long runs
    average_gamma: float = 2000  # updates in which that share falls from 1 by a factor of e
    clip: float = 0.0  # largest gradient norm, 0 = unlimited
    mix: str = ""  # of edgepose.data.mixes: which named data sets, and how often each is listed
    sampling: Sampling = "all"  # people once per listing and epoch; balanced: every set its share, listings are weights
    init: str = ""  # checkpoint whose fitting tensors start the network, e.g. a pre-trained backbone
    frozen_stages: int = 0  # parts of the backbone that stay as `init` has them: 1 the stem, 2 stage 1 too, and so on
    sides: tuple[int, ...] = ()  # of the square views of a super-net, one of which is drawn at every step
    mosaic: float = 0.0  # of a bottom-up model: probability that a view shows four pictures at once
    whole: Strength = WHOLE  # how far its views are moved
    blur: float = 1.0  # factor on the width of SimCC's targets
    heatmap_weight: float = 0.0  # of an auxiliary heat-map head on RTMPose's backbone, dropped after training
    inner_weight: float = 0.0  # of heat-maps asked of RTMPose's own head before its classifiers
    teacher: str = ""  # whose maps are learnt from as well: an ONNX file, for bottom-up networks a checkpoint too
    teacher_weight: float = 1.0  # of what is learnt from it
    hint_weight: float = 0.0  # of a detector's inner maps being like its teacher's (train/hints.py)
    hint_depth: int = 0  # learn the first so many of them and nothing else: 1 the stem's, 2 stage 1's too ...; 0: all
    optimiser: Optimiser = "adamw"
    momentum: float = 0.937  # of sgd
    alone: int = 0  # first epochs of a one-stage network without its large pass; all of them: never with it
    oks: OksForm = "code"  # form of a one-stage network's keypoint loss, that of YOLO-Pose's code or of the "paper"
    limb_weight: float = 0.0  # of its skeleton loss
    align_weight: float = 0.0  # of the distance between the features of its two passes
    align_norm: Norm = "l2"  # of that distance; or "mse"
    far_weight: float = 0.0  # of its keypoint loss with wide sigmas as well: ours, for networks that start from nothing
    seed: int = 21
    precision: Precision = (
        "auto"  # of convolutions and products: bf16 where it is quick; losses and weights stay float32
    )
    channels_last: bool = True
    threads: int = 0  # torch threads, 0 = all cores
    workers: int = 0  # processes that load and augment
    memory: float = 0.0  # GB of decoded pictures to keep, over all sets and processes; 0 = a quarter of what is free
    validate_every: int = 10  # epochs
    save_every: float = 300.0  # seconds between checkpoints within an epoch, 0 = only when an epoch ends
    overfit: int = 0  # > 0: this many samples only, without augmentation, to check that a network can learn

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"recipe {self.model}: {name}={getattr(self, name)}, expected at least 1")
        if self.lr <= 0:
            raise ValueError(f"recipe {self.model}: lr={self.lr}, expected a positive learning rate")
        if self.teacher_weight < 0:
            raise ValueError(f"recipe {self.model}: teacher_weight={self.teacher_weight}, expected 0 or more")
        if self.hint_weight < 0:
            raise ValueError(f"recipe {self.model}: hint_weight={self.hint_weight}, expected 0 or more")
        if not 0 <= self.hint_depth <= 5 or (self.hint_depth and not self.hint_weight):
            raise ValueError(
                f"recipe {self.model}: hint_depth={self.hint_depth}, expected 0 (all) to 5, and a hint_weight"
            )
        if not 0 <= self.flat <= 1:
            raise ValueError(f"recipe {self.model}: flat={self.flat}, expected a share between 0 and 1")
        if self.sampling not in SAMPLINGS:
            raise ValueError(f"recipe {self.model}: sampling={self.sampling!r}, expected one of {list(SAMPLINGS)}")
        if self.mix and self.mix not in MIXES:
            raise ValueError(f"recipe {self.model}: mix={self.mix!r}, expected one of {list(MIXES)}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"recipe {self.model}: precision={self.precision!r}, expected one of {list(PRECISIONS)}")
        if not 0 <= self.mosaic <= 1:
            raise ValueError(f"recipe {self.model}: mosaic={self.mosaic}, expected a probability between 0 and 1")
        if not all(0 < drop < 1 for drop in self.drops):
            raise ValueError(f"recipe {self.model}: drops={self.drops}, expected shares of the run between 0 and 1")
        if self.optimiser not in OPTIMISERS:
            raise ValueError(f"recipe {self.model}: optimiser={self.optimiser!r}, expected one of {list(OPTIMISERS)}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"recipe {self.model}: momentum={self.momentum}, expected a share from 0 to below 1")
        if self.momentum != 0.937 and self.optimiser != "sgd":
            raise ValueError(f"recipe {self.model}: momentum={self.momentum} is for optimiser=sgd, leave it out")
        if not 0 < self.average_momentum <= 1:
            raise ValueError(
                f"recipe {self.model}: average_momentum={self.average_momentum}, expected a share above 0, up to 1"
            )
        if not 1 <= self.average_gamma < math.inf:
            raise ValueError(f"recipe {self.model}: average_gamma={self.average_gamma}, expected at least 1 update")
        for name, default in (("average_momentum", 2e-4), ("average_gamma", 2000)):
            if getattr(self, name) != default and not self.average:
                raise ValueError(f"recipe {self.model}: {name}={getattr(self, name)} is for average=true, leave it out")
        for name, unit in (("memory", "GB"), ("save_every", "seconds")):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"recipe {self.model}: {name}={getattr(self, name)}, expected 0 or more {unit}")
        if self.warmup_epochs < 0:
            raise ValueError(f"recipe {self.model}: warmup_epochs={self.warmup_epochs}, expected 0 or more")
        if not 0 <= self.frozen_stages <= 5:
            raise ValueError(f"recipe {self.model}: frozen_stages={self.frozen_stages}, expected 0 (none) to 5 (all)")
        if self.alone < 0:
            raise ValueError(f"recipe {self.model}: alone={self.alone}, expected a number of epochs, 0 or more")
        if not all(isinstance(side, int) and side > 0 and side % 32 == 0 for side in self.sides):
            raise ValueError(f"recipe {self.model}: sides={self.sides}, expected multiples of 32 such as 256,320")
        for name in ("input_size", "views", "drops", "sides"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, tuple(getattr(self, name)))


# For short runs on LSPET. Single runs of the lateral network at 96x128: PCK@0.2 .134 after 14,000 views so (without
# shift and half bodies, 30 degrees), .117 after 13,200 with the published mild stage.
_LIGHT = Strength(scale=(0.8, 1.25), rotation=40, shift=0.08, cutout=0.0, half_body=0.1)
_PARTS = Strength(scale=(0.7, 1.3), rotation=40, shift=0.1, cutout=0.0, half_body=0.25)
_TURNED = Strength(scale=(0.7, 1.3), rotation=60, shift=0.1, cutout=0.3, half_body=0.25)
_NEAR = Strength(scale=(0.85, 1.15), rotation=30, shift=0.05, cutout=0.0, half_body=0.1)

# Of the small bottom-up runs: people on 15,000 pixels show too little when they are moved as far as published.
_CALM = Strength(scale=(0.8, 1.25), rotation=20, shift=0.1, cutout=0.0, half_body=0.0)

# Stage two of every published pose recipe keeps the person in the middle.
_LARGE = Strength(scale=(0.5, 1.5), rotation=90, shift=0.16, cutout=1.0)
_LARGE_MILD = replace(_LARGE, shift=0.0, cutout=0.5)

_SASD = partial(
    Recipe, epochs=400, batch=64, lr=1e-2, weight_decay=5e-4, flat=0.0, stage2=0, optimiser="sgd", alone=100,
    limb_weight=0.1, align_weight=0.02,
)  # fmt: skip

_ABLATION = partial(
    Recipe, "sasd-xs", batch=32, input_size=(128, 128), weight_decay=0.05, flat=0.0, stage2=0, average=False,
    threads=1, validate_every=1,
)  # fmt: skip


# One part of a detector's backbone alone.
_PART = partial(
    Recipe, "rtmdet-nano", batch=32, lr=1e-2, warmup=100, flat=0.2, stage2=0, average=False, threads=2, workers=1,
    validate_every=1, hint_weight=1.0,
)  # fmt: skip


def _bottom_up(model: str, skeleton: str, epochs: int, batch: int, lr: float, drops: tuple[float, ...]) -> Recipe:
    """Published runs of the bottom-up families: the full rate from the first step, no second stage, no average."""
    return Recipe(model, epochs, batch, lr, skeleton, warmup=0, drops=drops, stage2=0, average=False)


def _small(model: str, side: int, batch: int, epochs: int, mosaic: float) -> Recipe:
    """Runs of about an hour on one core."""
    return Recipe(
        model, epochs, batch, 2e-3, input_size=(side, side), warmup=200, flat=0.3, stage2=0, whole=_CALM, clip=5.0,
        mosaic=mosaic, threads=1, validate_every=1,
    )  # fmt: skip


# fmt: off
RECIPES: dict[str, Recipe] = {
    # The pose weights in the package, on two CPU cores, each step from the one before (`init=`): the lateral heat-map
    # network on small crops, its backbone in RTMPose-t with heat-maps beside SimCC, and the lateral network again.
    "default-pose-pretrain": Recipe(
        "cspnext-lateral-t", epochs=10, batch=64, lr=2e-3, skeleton="coco19", warmup=100, flat=1.0, stage2=0,
        strong=_LIGHT, mild=_LIGHT, average=False, threads=1, validate_every=2,
    ),
    "default-pose-start": Recipe(
        "rtmpose-t", epochs=8, batch=64, lr=1.5e-3, warmup=150, flat=1.0, stage2=0, strong=_LIGHT, mild=_LIGHT,
        average=False, clip=35.0, threads=1, heatmap_weight=0.2, validate_every=2,
    ),
    "default-pose-middle": Recipe(
        "cspnext-lateral-t", epochs=2, batch=32, lr=1e-3, input_size=(192, 256), warmup=100, flat=1.0, stage2=0,
        strong=_LIGHT, mild=_LIGHT, average=False, clip=35.0, threads=1, validate_every=1,
    ),
    "default-pose-main": Recipe(
        "cspnext-lateral-t", epochs=16, batch=32, lr=1e-3, input_size=(192, 256), warmup=50, flat=0.0, stage2=0,
        strong=_LIGHT, mild=_LIGHT, average=False, clip=35.0, threads=1, validate_every=1,
    ),
    # Three times more from a high rate, with everyday people who are often seen in part (training/label_stanford.py):
    # wide views, views as they are when it runs, wide ones again.
    "default-pose-everyday": Recipe(
        "cspnext-lateral-t", epochs=20, batch=32, lr=1e-3, input_size=(192, 256), warmup=50, flat=0.0, stage2=0,
        strong=_PARTS, mild=_PARTS, average=False, clip=35.0, threads=1, validate_every=1,
    ),
    "default-pose-near": Recipe(
        "cspnext-lateral-t", epochs=5, batch=32, lr=4e-4, input_size=(192, 256), warmup=50, flat=0.0, stage2=0,
        strong=_NEAR, mild=_NEAR, average=False, clip=35.0, threads=2, validate_every=1,
    ),
    "default-pose": Recipe(
        "cspnext-lateral-t", epochs=5, batch=32, lr=5e-4, input_size=(192, 256), warmup=50, flat=0.0, stage2=0,
        strong=_PARTS, mild=_PARTS, average=False, clip=35.0, threads=2, validate_every=1,
    ),
    # Once more with a head that looks twice. What sees edges and textures rests, so that steps are shorter.
    "default-pose-context": Recipe(
        "cspnext-context-t", epochs=12, batch=32, lr=7e-4, weight_decay=0.05, warmup=100, flat=0.2, stage2=4,
        strong=_TURNED, mild=_NEAR, average=False, clip=35.0, threads=1, validate_every=1, frozen_stages=2,
    ),
    # The person detector: first on small views of larger pictures, where a step costs a third, then at full size.
    "default-detector-pretrain": Recipe(
        "rtmdet-nano", epochs=4, batch=24, lr=4e-3, input_size=(192, 192), weight_decay=0.05, warmup=200, flat=1.0,
        stage2=0, average=False, threads=1, validate_every=1, views=(0.6, 2.0), hint_weight=50.0,
    ),
    "default-detector": Recipe(
        "rtmdet-nano", epochs=4, batch=16, lr=3e-3, weight_decay=0.05, warmup=100, flat=0.3, stage2=1, threads=1,
        validate_every=1, hint_weight=20.0,
    ),
    # And longer: on views cut from pictures of the same scale, then at full size again.
    "default-detector-longer": Recipe(
        "rtmdet-nano", epochs=4, batch=24, lr=3e-3, input_size=(256, 256), weight_decay=0.05, warmup=100, flat=0.6,
        stage2=0, average=False, threads=1, validate_every=1, views=(0.625, 1.875), hint_weight=50.0, frozen_stages=2,
    ),
    "default-detector-last": Recipe(
        "rtmdet-nano", epochs=1, batch=16, lr=1.5e-3, weight_decay=0.05, warmup=50, flat=0.0, stage2=0, threads=1,
        validate_every=1, hint_weight=20.0, frozen_stages=2,
    ),
    # And from the front to the back: each part of the backbone alone, on what the parts before it see, by nothing but
    # the teacher's inner maps. Parts that see little of a picture learn on small views of it. Then the rest.
    "default-detector-stem": _PART(epochs=8, input_size=(96, 96), views=(1.667, 5.0), hint_depth=1, threads=1),
    "default-detector-stage1": _PART(
        epochs=4, input_size=(128, 128), views=(1.25, 3.75), hint_depth=2, frozen_stages=1,
    ),
    "default-detector-stage2": _PART(epochs=3, input_size=(160, 160), views=(1.0, 3.0), hint_depth=3, frozen_stages=2),
    "default-detector-stage3": _PART(
        epochs=3, input_size=(192, 192), views=(0.833, 2.5), hint_depth=4, frozen_stages=3,
    ),
    "default-detector-stage4": _PART(
        epochs=3, input_size=(256, 256), views=(0.625, 1.875), hint_depth=5, frozen_stages=4,
    ),
    "default-detector-neck": Recipe(
        "rtmdet-nano", epochs=3, batch=24, lr=4e-3, input_size=(256, 256), weight_decay=0.05, warmup=100, flat=0.4,
        stage2=0, average=False, threads=2, workers=1, validate_every=1, views=(0.625, 1.875), hint_weight=50.0,
        frozen_stages=5,
    ),
    "default-detector-end": Recipe(
        "rtmdet-nano", epochs=2, batch=16, lr=2e-3, weight_decay=0.05, warmup=50, flat=0.2, stage2=1, threads=2,
        workers=1, validate_every=1, hint_weight=20.0, frozen_stages=2,
    ),
    # RTMPose on COCO or AIC+COCO: 420 epochs, 1024 people a step, flat-cosine from 4e-3 (RTMPose, table 2; the
    # published AP with flip test is .682 .716 .746 .758 for t s m l on COCO).
    "rtmpose-t": Recipe("rtmpose-t", epochs=420, batch=1024, lr=4e-3, average=False),
    "rtmpose-s": Recipe("rtmpose-s", epochs=420, batch=1024, lr=4e-3),
    "rtmpose-m": Recipe("rtmpose-m", epochs=420, batch=1024, lr=4e-3, weight_decay=0.05),
    "rtmpose-l": Recipe("rtmpose-l", epochs=420, batch=1024, lr=4e-3, weight_decay=0.05),
    "rtmpose-x": Recipe(
        "rtmpose-x", 700, 1024, 4e-3, "coco", (288, 384), 0.05, stage2=20, strong=_LARGE, mild=_LARGE_MILD
    ),
    # The backbones' heat-map pre-training (CSPNeXt-UDP): 19 keypoints, 210 epochs.
    **{
        f"cspnext-udp-{size}": Recipe(f"cspnext-udp-{size}", 210, 1024, 4e-3, "coco19", average=size != "t")
        for size in ("t", "s")
    },
    **{
        f"cspnext-udp-{size}": Recipe(f"cspnext-udp-{size}", 210, 1024, 4e-3, "coco19", weight_decay=0.05)
        for size in ("m", "l", "x")
    },
    # LitePose: Adam without decay, 500 epochs, a tenth at 350 and 480; EfficientHRNet: 300, 200 and 260, with as many
    # pictures a step as its example configs have on one device. Each on COCO and on CrowdPose (train and validation
    # set together, as published: experiments/ of LitePose's code, Example Configs/ of EfficientHRNet's).
    **{
        f"litepose-{size}{data}": _bottom_up(f"litepose-{size}", skeleton, 500, 16, 4e-3, (0.7, 0.96))
        for size in ("xs", "s", "m", "l")
        for data, skeleton in (("", "coco"), ("-crowdpose", "crowdpose"))
    },
    # LitePose's super-net: 2400 epochs at the full rate, another width of every part and another side at each step.
    **{
        f"litepose-supernet{data}": Recipe(
            "litepose-supernet",
            epochs=2400,
            batch=16,
            lr=4e-3,
            skeleton=skeleton,
            input_size=(side, side),
            warmup=0,
            flat=1.0,
            stage2=0,
            average=False,
            sides=(256, 320, 384, 448, 512),
        )
        for data, skeleton, side in (("", "coco", 448), ("-crowdpose", "crowdpose", 512))
    },
    **{
        f"efficienthrnet-{size}{data}": _bottom_up(
            f"efficienthrnet-{size}", skeleton, 300, batch, 1e-3, (2 / 3, 13 / 15)
        )
        for size, batch in (("h0", 1), ("h-1", 6), ("h-2", 8), ("h-3", 10), ("h-4", 48))
        for data, skeleton in (("", "coco"), ("-crowdpose", "crowdpose"))
    },
    # The bottom-up families on two CPU cores and little data (LSPET, coco_mini), to see them learn: first one person at
    # a time on small views, then (`init=`) mosaics of four beside single pictures. training/NAME.md has the figures.
    **{
        f"{model}-small{step}": _small(model, side, batch, epochs, mosaic)
        for model, step, side, batch, epochs, mosaic in (
            ("litepose-xs", "-pretrain", 128, 32, 3, 0.0),
            ("litepose-xs", "", 256, 16, 4, 0.5),
            ("efficienthrnet-h-4", "-pretrain", 128, 32, 3, 0.0),
            ("efficienthrnet-h-4", "", 256, 16, 2, 0.5),
        )
    },
    # Compact EfficientNet on a folder with a sub-folder for each class, a backbone for EfficientHRNet (`init=`): SGD, 5
    # epochs of warm-up to 0.05, then 195 with a tenth after every 30 (EfficientHRNet, section 4.1; on ImageNet top-1 is
    # 75, 73.8, 71.3, 68.5, 65.6, on CIFAR-100 81.9, 81.4, 79.8, 78.2, 74.3). The paper states neither batch nor
    # momentum, nor the size of CIFAR's inputs.
    **{
        f"efficientnet-{size}{data}": Recipe(
            f"efficientnet-{size}",
            200,
            256,
            0.05,
            input_size=side,
            weight_decay=1e-4,
            warmup=0,
            warmup_epochs=5,
            drops=tuple(epoch / 200 for epoch in range(35, 200, 30)),
            stage2=0,
            average=False,
            optimiser="sgd",
            momentum=0.9,
        )
        for size in ("b0", "b-1", "b-2", "b-3", "b-4")
        for data, side in (("", None), ("-cifar", (32, 32)))
    },
    # RTMDet: 300 epochs, 256 pictures a step, last 20 epochs without mosaic and mix-up.
    **{
        f"rtmdet-{size}": Recipe(f"rtmdet-{size}", epochs=300, batch=256, lr=4e-3, weight_decay=0.05, stage2=20)
        for size in ("nano", "tiny", "s", "m", "l", "x")
    },
    # SASD: 100 epochs alone, then 300 beside itself at twice the size; SGD from 1e-2, cosine; its weights of the
    # skeleton and alignment losses. The paper's AP on COCO's val is .441 for xs, .572 for e and .635 .686 .701 for
    # s m l, on CrowdPose's test .504 for xs. Batches of 64 are YOLO-Pose's; the paper states none.
    **{f"sasd-{size}": _SASD(f"sasd-{size}") for size in ("xs", "xs-eq", "e", "s", "m", "l")},
    **{
        f"sasd-{size}-crowdpose": _SASD(f"sasd-{size}", skeleton="crowdpose")
        for size in ("xs", "xs-eq", "e", "s", "m", "l")
    },
    # SASD's table IV on two CPU cores (benchmarks/sasd_ablation.py, training/sasd-ablation.md): one start for all, with
    # wide sigmas beside OKS, on all of LSPET and then on its upright people; then every variant for as many views.
    "sasd-xs-ablation-pretrain": _ABLATION(epochs=16, lr=5e-3, warmup=100, flat=0.3, alone=16, far_weight=0.3),
    "sasd-xs-ablation-start": _ABLATION(epochs=20, lr=3e-3, warmup=50, flat=0.3, alone=20, far_weight=0.3),
    "sasd-xs-ablation": _ABLATION(epochs=8, lr=1e-3, warmup=50),
}
# fmt: on


# The published mixes of data sets, named on the command line: data='coco=A.json:PICTURES,aic=B.json:PICTURES'. The
# published body-8 runs distort colours once more (photometric distortion), which is left out here.
RECIPES |= {f"rtmpose-{size}-aic-coco": replace(RECIPES[f"rtmpose-{size}"], mix="aic-coco") for size in "tsml"}
RECIPES |= {f"rtmpose-{size}-body8": replace(RECIPES[f"rtmpose-{size}"], mix="body8", stage2=20) for size in "ts"}
RECIPES |= {
    f"rtmpose-{size}-body8": replace(
        RECIPES[f"rtmpose-{size}"], mix="body8", stage2=20, strong=_LARGE, mild=_LARGE_MILD
    )
    for size in "ml"
} | {"rtmpose-x-body8": replace(RECIPES["rtmpose-x"], mix="body8")}
# Halpe's 26 keypoints of the same mix: 700 epochs, one strength of scale and rotation in both stages.
RECIPES |= {
    f"rtmpose-{size}-halpe26": replace(
        RECIPES[f"rtmpose-{size}"], mix="body8", skeleton="halpe26", epochs=700, clip=35.0,
        strong=STRONG if size in "ts" else _LARGE,
        mild=replace(STRONG, shift=0.0, cutout=0.5) if size in "ts" else _LARGE_MILD,
    )
    for size in "tsmlx"
}  # fmt: skip
RECIPES |= {f"{name}-{mix}": replace(RECIPES[name], mix=mix) for mix in ("aic-coco", "body7")
            for name in RECIPES if name.startswith("cspnext-udp-")}  # fmt: skip


def override(recipe: Recipe, words: list[str]) -> Recipe:
    """The recipe with `key=value` words applied; unknown keys and values of the wrong type are refused."""
    types = typing.get_type_hints(Recipe)
    names = [f.name for f in dataclasses.fields(Recipe) if f.name not in ("strong", "mild", "whole", "views")]
    changes: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or key not in names:
            raise ValueError(f"{word!r} is no setting of a recipe, expected key=value with one of {names}")
        changes[key] = _parse(key, text, types[key])
    return replace(recipe, **changes)


def _parse(key: str, text: str, kind: object) -> object:
    if kind is bool:
        if text not in ("0", "1", "true", "false"):
            raise ValueError(f"{key}={text}: expected true or false")
        return text in ("1", "true")
    if kind in (int, float):
        try:
            return int(text) if kind is int else float(text)
        except ValueError:
            wanted = "a whole number" if kind is int else "a number"
            raise ValueError(f"{key}={text}: expected {wanted}") from None
    if kind is str or get_origin(kind) is Literal:  # which of the words it may be, the recipe checks
        return text
    if key == "sides":
        if not all(side.isdigit() for side in text.split(",")):
            raise ValueError(f"{key}={text}: expected sides of squares separated by commas, such as 256,320,384")
        return tuple(int(side) for side in text.split(","))
    if key == "drops":
        try:
            return tuple(float(share) for share in text.split(",") if text)
        except ValueError:
            wanted = "shares of the run separated by commas, such as 0.7,0.9, or nothing for a cosine"
            raise ValueError(f"drops={text}: expected {wanted}") from None
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdigit() for side in sides):
        raise ValueError(f"{key}={text}: expected width x height, such as 192x256")
    return int(sides[0]), int(sides[1])


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """A recipe as plain JSON values, which is how checkpoints hold it; `from_dict` reads it back."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(recipe)))
    return plain


def from_dict(values: Mapping[str, Any], source: str) -> Recipe:
    """The recipe that `to_dict` wrote to `source`. Fields that are not there have their defaults.

    Raises ValueError for fields that this edgepose does not know, and for what a recipe refuses.
    """
    return typing.cast(Recipe, _read(Recipe, {"epochs": 1, "batch": 1, "lr": 1.0, **values}, f"the recipe of {source}"))


def _read(kind: type, values: Mapping[str, Any], source: str) -> object:
    """A dataclass of JSON values: lists become tuples, objects the dataclasses that the fields hold."""
    types = typing.get_type_hints(kind)
    unknown = sorted(set(values) - set(types))
    if unknown:
        raise ValueError(f"{source} has unknown fields {unknown}, expected some of {list(types)}: update edgepose")
    read = {}
    for name, value in values.items():
        nested = isinstance(value, Mapping) and dataclasses.is_dataclass(types[name])
        read[name] = _read(types[name], value, f"{source}, {name},") if nested else _as_tuple(value)
    try:
        return kind(**read)
    except TypeError as error:
        raise ValueError(f"{source} has a field of the wrong type, or lacks one: {error}") from error


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(each) for each in value) if isinstance(value, list) else value
