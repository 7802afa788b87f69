"""ModelSpec: everything the runtime must know about a model file, and nothing else."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from edgepose.names import expected
from edgepose.scores import CALIBRATED, RAW, Calibration, Thresholds
from edgepose.skeleton import LONGEST, SKELETONS, Skeleton
from edgepose.skeleton_file import fields_of, skeleton_of_fields

FORMAT = 2  # raised when a field changes its name or meaning, so that an old runtime refuses a newer file
# What fields of specs, recipes and parts of checkpoints were called in format 1 -> now. Files alone may have old names.
OLD_NAMES = {"colour": "color", "licence": "license", "optimiser": "optimizer"}
Warp = Literal["box", "udp", "dark", "letterbox", "middle"]
Layout = Literal["nhwc", "nchw"]
Color = Literal["bgr", "rgb"]
WARPS: tuple[Warp, ...] = get_args(Warp)
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
COLORS: tuple[Color, ...] = get_args(Color)
MOST_SIDE = 4096  # of a network's input
MOST_PADDING = 1000.0
PERSON = ("person",)
LARGEST = 1 << 20  # bytes of a description beside a model
PEOPLE = {"person", "persons", "people", "human", "humans", "pedestrian", "pedestrians"}


@dataclass(frozen=True)
class ModelSpec:
    """What travels inside a model file (ONNX metadata key ``edgepose``) or beside it (``model.json``).

    Files exported by edgepose take uint8 BGR NHWC, so ``mean``/``std`` stay at 0/1; foreign files (the published
    RTMPose, RTMDet and YOLOX exports) take float NCHW, and the runtime normalizes as stated here.
    """

    name: str
    codec: str  # key of edgepose.codec.CODECS
    input_size: tuple[int, int]  # w, h of the network input
    # A key of SKELETONS ("box" for a detector), or one's own: a Skeleton, in files an object (`skeleton_of_fields`) or
    # the list of its keypoints' names.
    skeleton: str | Skeleton = "coco"
    codec_args: Mapping[str, Any] = field(default_factory=dict)
    per_person: bool = False  # True: the network sees one crop per person, False: the whole picture
    warp: Warp = "box"  # crops: box RTMPose's, udp unbiased, dark DarkPose's; whole, letterbox: top-left, middle
    padding: float = 1.25  # crop side / box side (per_person)
    border: int = 0  # gray level outside the picture
    layout: Layout = "nhwc"  # nhwc: uint8 as exported by edgepose; nchw: float32, normalized by the runtime
    color: Color = "bgr"  # order the network wants
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)  # subtracted, in the order of `color`
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)  # divided by, in the order of `color`
    license: str = ""
    training_data: tuple[str, ...] = ()
    accuracy: Mapping[str, float] = field(default_factory=dict)  # measured, e.g. {"coco_mini val AP, true boxes": 0.31}
    categories: tuple[str, ...] = PERSON  # what it finds, as the labels that it learnt from call it
    calibration: Calibration | None = None  # raw scores -> probabilities; None: scores are the network's own
    box_exponent: float = 1.0  # raw person score: box score to this power x mean of the keypoint scores (per_person)

    def __post_init__(self) -> None:
        for name in ("name", "codec", "license"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"spec of {_short(self.name)}: {name} is {_short(getattr(self, name))}, expected text")
        if not isinstance(self.per_person, bool):
            raise ValueError(f"spec of {self.name}: per_person is {_short(self.per_person)}, expected true or false")
        object.__setattr__(self, "input_size", _pair(self.name, self.input_size))
        object.__setattr__(self, "mean", _triple(self.name, "mean", self.mean))
        object.__setattr__(self, "std", _triple(self.name, "std", self.std))
        object.__setattr__(self, "training_data", _strings(self.name, "training_data", self.training_data))
        object.__setattr__(self, "categories", _strings(self.name, "categories", self.categories))
        if not all(name and len(name) <= LONGEST and name.isprintable() for name in self.categories):
            raise ValueError(f"spec of {self.name}: a category is empty, longer than {LONGEST} signs or no one line")
        for name in ("codec_args", "accuracy"):
            object.__setattr__(self, name, _plain(self.name, name, getattr(self, name)))
        object.__setattr__(self, "skeleton", _skeleton(self.name, self.skeleton))
        for name, allowed in (("warp", WARPS), ("layout", LAYOUTS), ("color", COLORS)):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"spec of {self.name}: {name} is {getattr(self, name)!r}, expected one of {list(allowed)}"
                )
        if not (_is_number(self.padding) and 0 < self.padding <= MOST_PADDING):
            raise ValueError(
                f"spec of {self.name}: padding is {_short(self.padding)}, expected a positive factor such as 1.25"
            )
        if not (isinstance(self.border, int) and 0 <= self.border <= 255):
            raise ValueError(f"spec of {self.name}: border is {_short(self.border)}, expected a gray level, 0 to 255")
        if not (_is_number(self.box_exponent) and 0 <= self.box_exponent <= 10):
            raise ValueError(
                f"spec of {self.name}: box_exponent is {_short(self.box_exponent)}, expected a power from 0 to 10"
            )
        if self.calibration is not None and not isinstance(self.calibration, Calibration):
            try:
                object.__setattr__(self, "calibration", Calibration.of(self.calibration))
            except ValueError as error:
                raise ValueError(f"spec of {self.name}: {error}") from error
        if min(self.std) <= 0:
            raise ValueError(f"spec of {self.name}: std is {self.std}, expected three positive numbers")

    @property
    def keypoints(self) -> Skeleton:
        """The skeleton itself, looked up by name where it is a built-in one."""
        return SKELETONS[self.skeleton] if isinstance(self.skeleton, str) else self.skeleton

    @property
    def thresholds(self) -> Thresholds:
        """From which of its scores on people and keypoints count, unless the user says otherwise."""
        return RAW if self.calibration is None else CALIBRATED

    @property
    def of_people(self) -> bool:
        """Whether what it finds are people, whom a person detector finds first."""
        return not self.categories or any(name.strip().lower() in PEOPLE for name in self.categories)

    @property
    def subject(self) -> str:
        """What it finds, in one word."""
        return "person" if self.of_people else self.categories[0]

    def to_json(self) -> str:
        """One line of JSON that `from_json` reads back to an equal spec."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if isinstance(self.skeleton, Skeleton):
            values["skeleton"] = fields_of(self.skeleton)
        if self.categories == PERSON:  # which runtimes of before took for granted
            del values["categories"]
        if self.calibration is None:  # which they do not know, like the next
            del values["calibration"]
        else:
            values["calibration"] = dataclasses.asdict(self.calibration)
        if self.box_exponent == 1:
            del values["box_exponent"]
        return json.dumps({"edgepose": FORMAT} | values)

    @staticmethod
    def from_json(text: str, source: str = "model spec") -> ModelSpec:
        """Read a spec; `source` names the file in errors. Unknown fields are refused: they are typing errors."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:  # no JSON, a number of thousands of digits, or nested too deep
            raise ValueError(f"{source} is not JSON ({error}); expected the fields of edgepose.ModelSpec") from error
        if not isinstance(values, dict):
            raise ValueError(
                f"{source} holds a {type(values).__name__}, expected a JSON object with ModelSpec's fields"
            )
        version = values.pop("edgepose", None)
        if version in (1, None):  # a description written by hand states none
            values = {OLD_NAMES.get(name, name): value for name, value in values.items()}
        elif version != FORMAT:
            raise ValueError(
                f"{source} has format {_short(version)}, this edgepose reads up to {FORMAT}: update edgepose"
            )
        known = {f.name: f for f in dataclasses.fields(ModelSpec)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"{source} has unknown fields {_short(unknown)}, expected some of {list(known)}")
        missing = [n for n in ("name", "codec", "input_size") if n not in values]
        if missing:
            raise ValueError(f"{source} lacks {missing}: state at least name, codec and input_size")
        try:
            return ModelSpec(**values)
        except TypeError as error:
            raise ValueError(f"{source} has a field of the wrong type: {error}") from error

    @staticmethod
    def beside(path: Path) -> ModelSpec | None:
        """The spec in ``model.json`` beside ``model.onnx``, or None when there is no such file."""
        side = path.with_suffix(".json")
        if not side.is_file():
            return None
        if side.stat().st_size > LARGEST:
            raise ValueError(f"{side} has more than {LARGEST} bytes: expected the fields of edgepose.ModelSpec")
        return ModelSpec.from_json(side.read_text(encoding="utf-8", errors="replace"), str(side))


def _pair(name: str, size: Any) -> tuple[int, int]:
    sides = size if isinstance(size, (tuple, list)) else ()
    if len(sides) != 2 or not all(type(v) is int and 0 < v <= MOST_SIDE for v in sides):
        raise ValueError(
            f"spec of {name}: input_size is {_short(size)}, expected (width, height) in pixels, {MOST_SIDE} at most"
        )
    return (sides[0], sides[1])


def _triple(name: str, what: str, values: Any) -> tuple[float, float, float]:
    numbers = list(values) if isinstance(values, (tuple, list)) else []
    if len(numbers) != 3 or not all(map(_is_number, numbers)):
        raise ValueError(f"spec of {name}: {what} is {_short(values)}, expected three numbers, one per color channel")
    return (float(numbers[0]), float(numbers[1]), float(numbers[2]))


def _strings(name: str, what: str, values: Any) -> tuple[str, ...]:
    if not isinstance(values, (tuple, list)) or not all(isinstance(v, str) for v in values):
        raise ValueError(f"spec of {name}: {what} is {_short(values)}, expected a list of names")
    return tuple(values)


def _skeleton(name: str, value: Any) -> str | Skeleton:
    """The name of a built-in skeleton, or one of one's own."""
    if isinstance(value, str) and value in SKELETONS:
        return value
    if isinstance(value, (Mapping, list, tuple)):
        value = skeleton_of_fields(value, f"spec of {name}: skeleton")
    if not isinstance(value, Skeleton):
        raise ValueError(
            f"spec of {name}: unknown skeleton {_short(value)}{expected(value, SKELETONS)}, or for keypoints of "
            'your own their names, such as ["grip", "tip"], or {"keypoints": [...], "limbs": [...], "sigmas": [...]}'
        )
    return value.name if value.built_in else value


def _plain(name: str, what: str, values: Any) -> dict[str, Any]:
    """A copy as JSON would give it back (tuples as lists), so that a spec that was written and read is the same."""
    try:
        if isinstance(values, Mapping):
            return dict(json.loads(json.dumps(dict(values), allow_nan=False)))
    except (TypeError, ValueError, RecursionError):
        pass
    raise ValueError(f"spec of {name}: {what} is {_short(values)}, expected names with plain JSON values")


def _is_number(value: Any) -> bool:
    """Whether it is a finite one that a float can hold."""
    return isinstance(value, (int, float)) and abs(value) < 1e30 and math.isfinite(value)


def _short(value: Any) -> str:
    """A value in an error."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."
