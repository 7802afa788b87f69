"""The task of a detector, and the teacher it may learn from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgepose.codec import codec_of
from edgepose.codec.boxes import Boxes
from edgepose.data.columns import NO_CHOICE, Choice
from edgepose.data.detection import Detections, read_boxes
from edgepose.data.images import OnBad
from edgepose.models.rtmdet import RTMDet
from edgepose.runtime.session import Session, raw
from edgepose.runtime.views import Views
from edgepose.spec import ModelSpec
from edgepose.train.detection_loss import detection_loss, teacher_loss
from edgepose.train.hints import WithHints, hint_loss, inner_names
from edgepose.train.options import Detector
from edgepose.train.recipes import Recipe
from edgepose.train.task import Sets, Task, WithImages, built, of_categories

Size = tuple[int, int]  # w, h

# Random resize and probability of mix-up per size, as published in MMDetection's configs/rtmdet and, for nano,
# in MMPose's projects/rtmpose/rtmdet.
DETECTOR_VIEWS = {
    "rtmdet-nano": ((0.5, 1.5), 0.0),
    "rtmdet-tiny": ((0.5, 2.0), 0.5),
    "rtmdet-s": ((0.5, 2.0), 1.0),
    "rtmdet-m": ((0.1, 2.0), 1.0),
    "rtmdet-l": ((0.1, 2.0), 1.0),
    "rtmdet-x": ((0.1, 2.0), 1.0),
}


def detector_task(
    recipe: Recipe, options: Detector, data: Sets, on_bad: OnBad = "refuse", choice: Choice = NO_CHOICE
) -> Task:
    """Boxes of all sets, the network, the teacher it may learn from, and what then learns beside it."""
    spec, network = built(recipe)
    width, height = spec.input_size
    if width != height:
        raise ValueError(f"input_size={width}x{height}: detectors are trained on squares, such as {width}x{width}")
    if options.hint_weight and not (options.teacher and options.teacher_weight):
        raise ValueError(f"hint_weight={options.hint_weight} needs a teacher, whose inner maps are learnt from")
    notes: list[str] = []
    sets = [read_boxes(labels, pictures, choice.category, notes) * repeat for labels, pictures, repeat in data]
    published, mixup = DETECTOR_VIEWS[recipe.model]
    records = [record for records in sets for record in records]
    samples = Detections(records, width, options.views or published, mixup, on_bad)
    if len(samples) == 0:
        raise ValueError("the training data names no picture: check the files in data=")
    spec = of_categories(spec, [name for record in records for name in record.categories])
    codec = codec_of(spec, Boxes)
    if not options.teacher or not options.teacher_weight:

        def alone(outputs: tuple[Tensor, ...], targets: dict[str, Any]) -> dict[str, Tensor]:
            return detection_loss(outputs, targets, codec)

        return Task(spec, network, samples, alone, notes=tuple(notes))
    teacher = Teacher(Path(options.teacher), spec.input_size, recipe.threads or None, inner=options.hint_weight > 0)
    own = 2 * len(codec.strides)

    def loss_of(outputs: tuple[Tensor, ...], targets: dict[str, Any]) -> dict[str, Tensor]:
        maps = teacher(targets["images"])
        if options.hint_depth:
            return {"teacher_hints": options.hint_weight * hint_loss(outputs, maps[own:][: options.hint_depth])}
        taught = teacher_loss(outputs[:own], maps[:own], codec)
        weighted = {name: options.teacher_weight * value for name, value in taught.items()}
        if options.hint_weight:
            weighted["teacher_hints"] = options.hint_weight * hint_loss(outputs[own:], maps[own:])
        return detection_loss(outputs[:own], targets, codec) | weighted

    assert isinstance(network, RTMDet)  # by its codec
    extra = WithHints(network, teacher.channels, options.hint_depth) if options.hint_weight else None
    return Task(spec, network, WithImages(samples), loss_of, extra, notes=tuple(notes))


class Teacher:
    """Another detector's maps as targets: an ONNX file with RTMDet's outputs, run at the size of the training views.

    Args:
        path: the file; its spec is inside or beside it.
        size: of the views (w, h); the file's own may be another.
        threads: of onnxruntime; by default as many as help.
        inner: give its inner maps too (`edgepose.train.hints`).
    """

    def __init__(self, path: Path, size: Size, threads: int | None = None, *, inner: bool = False) -> None:
        spec = Session(path, threads=threads).spec  # which says what is wrong with the file, if anything is
        codec, formats = codec_of(spec), ("rtmdet", "rtmdet-nhwc")
        if not isinstance(codec, Boxes) or codec.format not in formats:
            raise ValueError(f"{path} cannot teach: expected a detector whose outputs are RTMDet's, format {formats}")
        self.codec = codec
        spec = dataclasses.replace(spec, input_size=size)
        self.views = Views(spec)
        try:
            content = _resized(path, spec)
            self.session = Session(content, spec, threads=threads)
            self._run = raw(_with_inner(content, self.codec.strides), threads) if inner else self.session
            self.channels = self._check()  # of the inner maps
        except ValueError as error:
            raise ValueError(f"{path} cannot teach at {size[0]}x{size[1]}: {error}") from error

    def __call__(self, images: Tensor) -> list[Tensor]:
        """(B, S, S, 3) uint8 BGR -> logits (B, 1, h, w) of every level, then distances (B, 4, h, w) of every level, and
        then the inner maps (B, C, h, w), where they were asked for.

        The logits are those of people, whatever else the teacher knows; distances are in input pixels.
        """
        pixels = images.cpu().numpy()
        as_they_are = np.tile(np.eye(2, 3), (len(pixels), 1, 1))
        maps = [torch.from_numpy(level) for level in self._run(self.views.crops(list(pixels), as_they_are))]
        count = len(self.codec.strides) * (1 if self.codec.format == "rtmdet-nhwc" else 2)
        maps, inner = maps[:count], maps[count:]
        if self.codec.format == "rtmdet-nhwc":
            classes = self.codec.classes
            planes = [level.permute(0, 3, 1, 2) for level in maps]  # (B, h, w, C + 4) -> (B, C + 4, h, w)
            maps = [part for plane in planes for part in (plane[:, :classes], plane[:, classes:])]
        person = slice(self.codec.person, self.codec.person + 1)
        logits = [level[:, person] for level in maps[0::2]]
        return [level.to(images.device) for level in (*logits, *maps[1::2], *inner)]

    def _check(self) -> list[int]:
        """A graph that is tied to its own size or batch may run and yet give something else: compare two pictures."""
        width, height = self.session.spec.input_size
        noise = np.random.default_rng(0).integers(0, 128, (2, height, width, 3), np.uint8)
        noise[1, :, : width // 2] += 128  # one is dark, the other has a bright half
        images = torch.from_numpy(noise)
        together, alone = self(images), [torch.cat(parts) for parts in zip(*map(self, images.split(1)), strict=True)]
        shapes = [(height // stride, width // stride) for stride in self.codec.strides]
        outputs = 2 * len(shapes)
        if [tuple(level.shape[2:]) for level in together[:outputs]] != shapes * 2:
            raise ValueError("its maps have another size; it is tied to the one that it was exported with")
        if not all(torch.allclose(a, b, rtol=1e-2, atol=1e-2) for a, b in zip(together, alone, strict=True)):
            raise ValueError("it gives other maps for two pictures at once; it is tied to a batch of one")
        return [maps.shape[1] for maps in together[outputs:]]


def _with_inner(content: bytes, strides: Sequence[int]) -> bytes:
    """The model with its inner maps behind its outputs."""
    import onnx

    model = onnx.load_model_from_string(content)
    model.graph.output.extend([onnx.ValueInfoProto(name=name) for name in inner_names(model, strides)])
    return bytes(model.SerializeToString())


def _resized(path: Path, spec: ModelSpec) -> bytes:
    """The model for any batch of the spec's input size; what it says of shapes further on is no longer true."""
    import onnx

    model = onnx.load(str(path))
    width, height = spec.input_size
    sides = (height, width, 3) if spec.layout == "nhwc" else (3, height, width)
    shape = model.graph.input[0].type.tensor_type.shape
    del shape.dim[:]
    shape.dim.add().dim_param = "batch"
    for side in sides:
        shape.dim.add().dim_value = side
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    return bytes(model.SerializeToString())
