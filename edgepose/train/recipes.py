"""Recipes: one frozen dataclass per run, overridden by strict key=value words.

The published recipes carry the published numbers (MMPose's projects/rtmpose and MMDetection's configs/rtmdet; batch
and learning rate belong together), and there is one for each file of weights in the package. The steps before those,
and runs on small data, are files in `training/recipes/`. What only one family of networks can be told is in its options
(`edgepose.train.options`); words and stored recipes are flat, so that nobody needs to know which is where.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from edgepose.data.augment import HRNET, STRONG, Strength
from edgepose.names import expected
from edgepose.skeleton import Skeleton
from edgepose.skeleton_file import fields_of, skeleton_of_fields
from edgepose.train.options import FAMILIES, BottomUp, Classifier, Detector, OneStage, Options, TopDown

Precision = Literal["auto", "bf16", "fp32"]
Optimizer = Literal["adamw", "sgd"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)
T = TypeVar("T")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run, apart from the data."""

    model: str  # name for edgepose.models.build
    epochs: int
    batch: int  # pictures per step, over all processes together
    lr: float  # for `batch`; scale both together
    skeleton: str | Skeleton = "coco"  # a built-in one by name, or one's own
    input_size: tuple[int, int] | None = None  # w, h; the model's own by default
    weight_decay: float = 0.0  # none on norms and biases
    warmup: int = 1000  # iterations
    warmup_epochs: int = 0  # and as many epochs
    flat: float = 0.5  # share of the run before the cosine
    drops: tuple[float, ...] = ()  # shares of the run at which the rate falls to a tenth, in place of the cosine
    stage2: int = 30  # last epochs with mild augmentation (a detector's: without mosaic and mix-up)
    average: bool = True  # keep and validate the moving average of the weights
    average_momentum: float = 2e-4  # share of the weights as they are in each update of it, for long runs
    average_gamma: float = 2000  # updates in which that share falls from 1 by a factor of e
    clip: float = 0.0  # largest gradient norm, 0 = unlimited
    init: str = ""  # checkpoint whose fitting tensors start the network, e.g. a pre-trained backbone
    optimizer: Optimizer = "adamw"
    momentum: float = 0.937  # of sgd
    seed: int = 21
    precision: Precision = "auto"  # of convolutions and products: bf16 where it is quick; all else stays float32
    channels_last: bool = True
    threads: int = 0  # torch threads, 0 = all cores
    workers: int = 0  # processes that load and augment
    memory: float = 0.0  # GB of decoded pictures to keep, over all sets and processes; 0 = a quarter of what is free
    validate_every: int = 10  # epochs
    save_every: float = 300.0  # seconds between checkpoints within an epoch, 0 = only when an epoch ends
    overfit: int = 0  # > 0: this many samples only, without augmentation, to check that a network can learn
    options: Options = field(default_factory=TopDown)  # of the network's family

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"recipe {self.model}: {name}={getattr(self, name)}, expected at least 1")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"recipe {self.model}: lr={self.lr}, expected a positive learning rate")
        if not 0 <= self.flat <= 1:
            raise ValueError(f"recipe {self.model}: flat={self.flat}, expected a share between 0 and 1")
        if self.precision not in PRECISIONS:
            raise ValueError(f"recipe {self.model}: precision={self.precision!r}, expected one of {list(PRECISIONS)}")
        if not all(0 < drop < 1 for drop in self.drops):
            raise ValueError(f"recipe {self.model}: drops={self.drops}, expected shares of the run between 0 and 1")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"recipe {self.model}: optimizer={self.optimizer!r}, expected one of {list(OPTIMIZERS)}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"recipe {self.model}: momentum={self.momentum}, expected a share from 0 to below 1")
        if self.momentum != 0.937 and self.optimizer != "sgd":
            raise ValueError(f"recipe {self.model}: momentum={self.momentum} is for optimizer=sgd, leave it out")
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
        for name in (
            "weight_decay", "warmup", "warmup_epochs", "stage2", "clip", "seed", "threads", "workers", "overfit"
        ):  # fmt: skip
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"recipe {self.model}: {name}={getattr(self, name)}, expected 0 or more")
        for name in ("input_size", "drops"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, tuple(getattr(self, name)))


# Crops of people who are seen in part, for the pose weights in the package, and crops as the runtime makes them.
_TURNED = Strength(scale=(0.7, 1.3), rotation=60, shift=0.1, cutout=0.3, half_body=0.25)
_NEAR = Strength(scale=(0.85, 1.15), rotation=30, shift=0.05, cutout=0.0, half_body=0.1)

# Stage two of every published pose recipe keeps the person in the middle.
_LARGE = Strength(scale=(0.5, 1.5), rotation=90, shift=0.16, cutout=1.0)
_LARGE_MILD = replace(_LARGE, shift=0.0, cutout=0.5)

_SASD = partial(
    Recipe, epochs=400, batch=64, lr=1e-2, weight_decay=5e-4, flat=0.0, stage2=0, optimizer="sgd",
    options=OneStage(alone=100, limb_weight=0.1, align_weight=0.02),
)  # fmt: skip


def _bottom_up(model: str, skeleton: str, epochs: int, batch: int, lr: float, drops: tuple[float, ...]) -> Recipe:
    """Published runs of the bottom-up families: the full rate from the first step, no second stage, no average."""
    return Recipe(
        model, epochs, batch, lr, skeleton, warmup=0, drops=drops, stage2=0, average=False, options=BottomUp()
    )


def _darkpose(model: str) -> Recipe:
    """DarkPose's runs of HRNet on COCO: Adam (which is AdamW without decay), a tenth at 170 and 200 of 210 epochs, 32
    people on each of 4 devices, no second stage, no average.
    """
    return Recipe(
        model, epochs=210, batch=128, lr=1e-3, warmup=0, drops=(170 / 210, 200 / 210), stage2=0, average=False,
        options=TopDown(strong=HRNET, mild=HRNET),
    )  # fmt: skip


DECONVPOSE_NOTE = (
    "The layers of Yamazaki & Mori (arXiv 2111.04226) are not public. DeconvPose is a reconstruction: what speaks for "
    "it is the published budget, 3.8 % of HRNet-W48's multiply-accumulates as HRNet counts them, which MobileNetV2 "
    "with deconvolutions of 128-64-32 channels has (3.84 %)."
)
_DECONVPOSE = (
    "deconvpose", "deconvpose-mobilenet_v2", "deconvpose-resnet18", "deconvpose-resnet18-half",
    "deconvpose-efficientnet-b0",
)  # fmt: skip
NOTES = dict.fromkeys(_DECONVPOSE, DECONVPOSE_NOTE)  # on recipes, for who reads the list of models

# fmt: off
RECIPES: dict[str, Recipe] = {
    # The weights in the package, on two CPU cores: the last step of each, which starts from the one before (`init=`);
    # the cards say which those were.
    "default-pose": Recipe(
        "cspnext-context-t", epochs=3, batch=64, lr=8e-4, weight_decay=0.05, warmup=100, flat=0.2, stage2=3,
        average_momentum=2e-3, average_gamma=200, clip=35.0, threads=1, validate_every=1, seed=25,
        options=TopDown(strong=_TURNED, mild=_NEAR),
    ),
    # The person detector learns from a teacher's inner maps too (`teacher=`).
    "default-detector": Recipe(
        "rtmdet-nano", epochs=2, batch=16, lr=2e-3, weight_decay=0.05, warmup=50, flat=0.2, stage2=1, threads=2,
        workers=1, validate_every=1, options=Detector(hint_weight=20.0, frozen_stages=2),
    ),
    # RTMPose on COCO or AIC+COCO: 420 epochs, 1024 people a step, flat-cosine from 4e-3 (RTMPose, table 2; the
    # published AP with flip test is .682 .716 .746 .758 for t s m l on COCO).
    "rtmpose-t": Recipe("rtmpose-t", epochs=420, batch=1024, lr=4e-3, average=False),
    "rtmpose-s": Recipe("rtmpose-s", epochs=420, batch=1024, lr=4e-3),
    "rtmpose-m": Recipe("rtmpose-m", epochs=420, batch=1024, lr=4e-3, weight_decay=0.05),
    "rtmpose-l": Recipe("rtmpose-l", epochs=420, batch=1024, lr=4e-3, weight_decay=0.05),
    "rtmpose-x": Recipe(
        "rtmpose-x", 700, 1024, 4e-3, "coco", (288, 384), 0.05, stage2=20,
        options=TopDown(strong=_LARGE, mild=_LARGE_MILD),
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
            options=BottomUp(sides=(256, 320, 384, 448, 512)),
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
    # HRNet of crops as DarkPose trains it (AP of w32 at 192x256 with flip test and detected boxes on COCO's val: .756),
    # and DeconvPose likewise, since its paper says no more than that it does; HigherHRNet on whole pictures (.671).
    **{name: _darkpose(name) for name in ("hrnet-w32", "hrnet-w48", *_DECONVPOSE)},
    **{
        f"higherhrnet-w32{data}": _bottom_up("higherhrnet-w32", skeleton, 300, 48, 1e-3, (2 / 3, 13 / 15))
        for data, skeleton in (("", "coco"), ("-crowdpose", "crowdpose"))
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
            optimizer="sgd",
            momentum=0.9,
            options=Classifier(),
        )
        for size in ("b0", "b-1", "b-2", "b-3", "b-4")
        for data, side in (("", None), ("-cifar", (32, 32)))
    },
    # RTMDet: 300 epochs, 256 pictures a step, last 20 epochs without mosaic and mix-up.
    **{
        f"rtmdet-{size}": Recipe(
            f"rtmdet-{size}", epochs=300, batch=256, lr=4e-3, weight_decay=0.05, stage2=20, options=Detector()
        )
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
}
# fmt: on


def _told(name: str, changes: Mapping[str, Any], **common: Any) -> Recipe:
    """A recipe with other top-down options, and other settings."""
    recipe = RECIPES[name]
    return replace(recipe, options=replace(recipe.options, **changes), **common)


# The published mixes of data sets, named on the command line: data='coco=A.json:PICTURES,aic=B.json:PICTURES'. The
# published body-8 runs distort colors once more (photometric distortion), which is left out here.
_FAR = {"strong": _LARGE, "mild": _LARGE_MILD}
RECIPES |= {f"rtmpose-{size}-aic-coco": _told(f"rtmpose-{size}", {"mix": "aic-coco"}) for size in "tsml"}
RECIPES |= {f"rtmpose-{size}-body8": _told(f"rtmpose-{size}", {"mix": "body8"}, stage2=20) for size in "ts"}
RECIPES |= {f"rtmpose-{size}-body8": _told(f"rtmpose-{size}", {"mix": "body8", **_FAR}, stage2=20) for size in "mlx"}
# Halpe's 26 keypoints of the same mix: 700 epochs, one strength of scale and rotation in both stages.
RECIPES |= {
    f"rtmpose-{size}-halpe26": _told(
        f"rtmpose-{size}",
        {"mix": "body8", **({"mild": replace(STRONG, shift=0.0, cutout=0.5)} if size in "ts" else _FAR)},
        skeleton="halpe26", epochs=700, clip=35.0,
    )
    for size in "tsmlx"
}  # fmt: skip
RECIPES |= {f"{name}-{mix}": _told(name, {"mix": mix}) for mix in ("aic-coco", "body7")
            for name in [f"cspnext-udp-{size}" for size in "tsmlx"]}  # fmt: skip


def override(recipe: Recipe, words: list[str]) -> Recipe:
    """The recipe with `key=value` words applied: `strong.rotation=40` for what is nested, `views=` for a default.

    Raises ValueError for unknown keys, those of another family, and values of the wrong type.
    """
    settings = _settings(Recipe) | _settings(type(recipe.options))
    changes: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or key not in settings:
            raise ValueError(_unknown(word, recipe, list(settings)))
        changes[key] = _parse(key, text, settings[key])
    common = {key: value for key, value in changes.items() if key in _settings(Recipe)}
    own = {key: value for key, value in changes.items() if key not in common}
    return replace(recipe, options=_changed(recipe.options, own), **common)


def _settings(kind: type) -> dict[str, Any]:
    """Names of what words can set, and their types: "strong.rotation" of what is nested."""
    hints = typing.get_type_hints(kind)
    found: dict[str, Any] = {}
    for name in (f.name for f in dataclasses.fields(kind) if f.name != "options"):
        nested = dataclasses.is_dataclass(hints[name])
        found |= {f"{name}.{k}": v for k, v in _settings(hints[name]).items()} if nested else {name: hints[name]}
    return found


def _unknown(word: str, recipe: Recipe, names: list[str]) -> str:
    key, equals, _ = word.partition("=")
    families = [name for name, options in FAMILIES.items() if key in _settings(options)]
    if equals and families:
        return (
            f"{word} is for {' and '.join(families)} networks, {recipe.model} is a {recipe.options.family} network and "
            "has no use for it: leave it out"
        )
    known = expected(key, names, "docs/training.md has them")
    return f"{word!r} is no setting of a recipe{known}, as key=value"


def _changed(value: T, changes: Mapping[str, Any]) -> T:
    """A dataclass with changes by name, "strong.rotation" of what is nested."""
    whole = {key: change for key, change in changes.items() if "." not in key}
    for name in {key.partition(".")[0] for key in changes if "." in key}:
        inner = {key.partition(".")[2]: change for key, change in changes.items() if key.startswith(f"{name}.")}
        try:
            whole[name] = _changed(getattr(value, name), inner)
        except ValueError as error:
            raise ValueError(f"{name}.{error}") from None
    return replace(value, **whole)  # type: ignore[type-var]


def _parse(key: str, text: str, kind: Any) -> object:
    """A value by its type; nothing stands for None and for an empty tuple."""
    if isinstance(kind, types.UnionType):  # of a tuple and None
        return _parse(key, text, get_args(kind)[0]) if text else None
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
    return _several(key, text, get_args(kind))


_WANTED = {
    "input_size": "width x height, such as 192x256",
    "sides": "sides of squares separated by commas, such as 256,320,384",
    "drops": "shares of the run separated by commas, such as 0.7,0.9, or nothing for a cosine",
}


def _several(key: str, text: str, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    """`0.7,0.9`, or `192x256` of two whole numbers; kinds: (int, ...) or one for each."""
    any_number = kinds[-1] is ...
    parts = text.lower().split("x") if kinds == (int, int) else text.split(",") if text else []
    try:
        values = tuple(kinds[0](part) for part in parts)
    except ValueError:
        values = None
    if values is None or not (any_number or len(values) == len(kinds)):
        wanted = _WANTED.get(key, f"{len(kinds)} numbers separated by a comma, such as 0.7,1.3")
        raise ValueError(f"{key}={text}: expected {wanted}")
    return values


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """A recipe as plain JSON values, which is how checkpoints hold it; `from_dict` reads it back.

    Flat as words are: common fields and the family's own side by side, and the name of the family.
    """
    values = {"family": recipe.options.family, **dataclasses.asdict(recipe)}
    own = values.pop("options")
    if isinstance(recipe.skeleton, Skeleton):
        values["skeleton"] = fields_of(recipe.skeleton)
    plain: dict[str, Any] = json.loads(json.dumps(values | own))
    return plain


def from_dict(values: Mapping[str, Any], source: str, family: type[Options] | None = None) -> Recipe:
    """The recipe that `to_dict` wrote to `source`. Fields that are not there have their defaults.

    family: of what says none, as recipes of before 2026-12 did; then the fields of other families are left out, which
        those recipes all had.
    Raises ValueError for fields that this edgepose does not know, and for what a recipe refuses.
    """
    source = f"the recipe of {source}"
    values = {"epochs": 1, "batch": 1, "lr": 1.0, **values}
    name = values.pop("family", None)
    kind = family if name is None else FAMILIES.get(name)
    if kind is None:
        raise ValueError(f"{source} has family={name!r}, expected one of {list(FAMILIES)}")
    own = {f.name for f in dataclasses.fields(kind)}
    if name is None:
        strange = {f.name for options in FAMILIES.values() for f in dataclasses.fields(options)} - own
        values = {key: value for key, value in values.items() if key not in strange}
    common = {f.name for f in dataclasses.fields(Recipe)} - {"options"}
    unknown = sorted(set(values) - common - own)
    if unknown:
        known = [*(f.name for f in dataclasses.fields(Recipe) if f.name != "options"), *sorted(own)]
        raise ValueError(f"{source} has unknown fields {unknown}{expected(unknown[0], known)}: update edgepose")
    options = _read(kind, {key: value for key, value in values.items() if key in own}, source)
    recipe = {key: value for key, value in values.items() if key in common}
    if isinstance(recipe.get("skeleton"), Mapping):
        recipe["skeleton"] = skeleton_of_fields(recipe["skeleton"], f"{source}, skeleton")
    return typing.cast(Recipe, _read(Recipe, recipe | {"options": options}, source))


def read_recipe(path: Path) -> Recipe:
    """A recipe from a JSON file: model, family, epochs, batch, lr and what is not as by default."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: expected a recipe's JSON file")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON ({error}): expected the fields of a recipe") from error
    needed = ("model", "family", "epochs", "batch", "lr")
    if not isinstance(values, dict) or not set(needed) <= set(values):
        lacking = f", it lacks {[name for name in needed if name not in values]}" if isinstance(values, dict) else ""
        raise ValueError(
            f"{path} is no recipe: expected an object with {', '.join(needed)} and other fields of one{lacking}; "
            f"a family is one of {list(FAMILIES)}"
        )
    return from_dict(values, str(path))


def _read(kind: type, values: Mapping[str, Any], source: str) -> object:
    """A dataclass of JSON values: lists become tuples, objects the dataclasses that the fields hold.

    What such an object leaves out is as the field has it by default.
    """
    hints = typing.get_type_hints(kind)
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise ValueError(f"{source} has unknown fields {unknown}{expected(unknown[0], hints)}: update edgepose")
    read = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and dataclasses.is_dataclass(hints[name]):
            default = defaults[name]
            rest = dataclasses.asdict(default) if dataclasses.is_dataclass(default) else {}  # type: ignore[arg-type]
            read[name] = _read(hints[name], rest | dict(value), f"{source}, {name},")
        else:
            read[name] = _as_tuple(value)
        if not _is_a(hints[name], read[name]):
            wanted = getattr(hints[name], "__name__", hints[name])
            raise ValueError(f"{source} has {name}={value!r}, expected a value of type {wanted}")
    try:
        return kind(**read)
    except TypeError as error:
        raise ValueError(f"{source} has a field of the wrong type, or lacks one: {error}") from error


def _is_a(kind: Any, value: object) -> bool:
    """Whether a JSON value is of a field's type; which of its words a Literal is, the recipe checks."""
    if isinstance(kind, types.UnionType):
        return any(_is_a(each, value) for each in get_args(kind))
    if get_origin(kind) is Literal:
        return isinstance(value, str)
    if get_origin(kind) is tuple:
        if not isinstance(value, tuple):
            return False
        each = get_args(kind)
        kinds = [each[0]] * len(value) if each[-1] is ... else each
        return len(kinds) == len(value) and all(map(_is_a, kinds, value))
    if isinstance(value, bool) or kind is bool:
        return kind is bool and isinstance(value, bool)
    return isinstance(value, (int, float) if kind is float else kind)


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(each) for each in value) if isinstance(value, list) else value
