"""A teacher: another network, at rest, that looks at the views that the student trains on.

It is a checkpoint of `edgepose train` or an ONNX file, of another size or family than the student. What is learnt from
it is in the files beside this one, by what the student sees: `crops`, `whole` pictures, or `boxes` in them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgepose.codec import codec_of
from edgepose.runtime.network import any_batch, as_arrays
from edgepose.runtime.session import Session, raw
from edgepose.runtime.views import Views
from edgepose.skeleton import shared
from edgepose.spec import ModelSpec
from edgepose.train import checkpoint
from edgepose.train.loop import Normalize
from edgepose.train.precision import uses_bf16
from edgepose.train.recipes import Precision, Recipe
from edgepose.train.start import checkpoint_of
from edgepose.train.task import Loss

Look = Callable[[Tensor], list[Tensor]]  # (B, h, w, 3) uint8 BGR -> outputs (B, ...) float32, on the same device
Show = Callable[[Any, Tensor], Sequence[Tensor]]  # a torch network and its inputs -> outputs, then inner maps
Names = Callable[[Any], Sequence[str]]  # an ONNX model -> names of the inner maps that its outputs are followed by


class Teacher:
    """A checkpoint of `edgepose train`, or an ONNX file with its spec inside or beside it (FILE.json).

    Args:
        precision: of a checkpoint's network, as a recipe has it, on the device where the views are.
        threads: of onnxruntime; by default as many as help.

    Raises FileNotFoundError for no such file, ValueError for one that is damaged or of another kind.
    """

    def __init__(self, path: Path, precision: Precision = "fp32", threads: int | None = None) -> None:
        self.path, self.precision, self.threads = path, precision, threads
        self._session, self.network = None, None
        if path.suffix == ".onnx":
            self._session = Session(path, threads=threads)
            self.spec = self._session.spec
        else:
            self.spec, self.network = checkpoint.network_of(path)
        self.codec = codec_of(self.spec)

    @staticmethod
    def of(recipe: Recipe) -> Teacher:
        """The one that a recipe names: a file, or the weights of a model in the package."""
        name = cast(Any, recipe.options).teacher
        path = Path(name) if name.endswith(".onnx") else checkpoint_of(name, "teacher")
        return Teacher(path, recipe.precision, recipe.threads or None)

    def refusal(self, why: str) -> ValueError:
        """What is raised about a network that cannot teach."""
        return ValueError(f"{self.path} cannot teach: {why}")

    def look(self, size: tuple[int, int] | None = None, show: Show | None = None, names: Names | None = None) -> Look:
        """How it looks at views of `size` (w, h), by default its own.

        show and names say which inner maps follow the outputs, of a checkpoint's network and of an ONNX file.
        """
        spec = self.spec if size is None else dataclasses.replace(self.spec, input_size=size)
        if self._session is None:
            assert self.network is not None
            return _of_network(spec, self.network, self.precision, show)
        run: Callable[[np.ndarray], list[np.ndarray]] = self._session
        content = self.path.read_bytes() if size is None else resized(self.path, spec)
        if size is not None:
            run = Session(content, spec, threads=self.threads)
        if names is not None:
            shown = raw(_with_inner(content, names), self.threads)
            fixed = _batch_of(content)
            run = lambda batch: any_batch(shown, batch, spec, str(self.path), fixed)  # noqa: E731
        return _of_file(spec, run)

    def joints(self, student: ModelSpec) -> list[int]:
        """Places of the student's keypoints among the teacher's, which meet by name; the teacher may know more."""
        places = {theirs: own for own, theirs in shared(self.spec.keypoints, student.keypoints)}
        missing = [name for i, name in enumerate(student.keypoints.names) if i not in places]
        if missing:
            raise self.refusal(f"it does not know {missing}, expected every keypoint of {student.keypoints.name}")
        return [places[i] for i in range(len(student.keypoints))]

    def zoom(self, student: ModelSpec, views: str) -> float:
        """Its pixels per pixel of the student's; views: what they are called where their shapes differ."""
        (width, height), (own_width, own_height) = student.input_size, self.spec.input_size
        if width * own_height != height * own_width:
            raise self.refusal(
                f"it looks at {own_width}x{own_height}, which is of another shape than the {views}, {width}x{height}: "
                "give an input_size of its shape, or labels that it made (`edgepose label`)"
            )
        return own_width / width


def taught(loss_of: Loss, learn: Loss, label_weight: float = 1.0) -> Loss:
    """`label_weight` times a loss, and the losses of what is learnt from a teacher, whose names begin with "teacher_".

    The targets carry the views as "images" and, where the teacher's share falls, what it is at this step ("share").
    """

    def with_teacher(outputs: tuple[Tensor, ...], targets: dict[str, Any]) -> dict[str, Tensor]:
        labels = {name: label_weight * value for name, value in loss_of(outputs, targets).items()}
        share = targets.get("share", 1.0)
        return labels | {name: share * value for name, value in learn(outputs, targets).items()}

    return with_teacher


def resized_views(images: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """(B, h, w, 3) uint8 -> the same at `size` (w, h); mode: "nearest" or "bilinear"."""
    planes = images.permute(0, 3, 1, 2)
    if planes.shape[2:] != size[::-1]:
        if mode == "nearest":
            planes = F.interpolate(planes, size=size[::-1], mode=mode)
        else:
            planes = F.interpolate(planes.float(), size=size[::-1], mode=mode, align_corners=False)
            planes = planes.round().to(torch.uint8)
    return planes.permute(0, 2, 3, 1)


def resized(path: Path, spec: ModelSpec) -> bytes:
    """An ONNX model for any batch of the spec's input size; what it says of shapes further on is no longer true."""
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


def _with_inner(content: bytes, names: Names) -> bytes:
    """An ONNX model with inner maps behind its outputs."""
    import onnx

    model = onnx.load_model_from_string(content)
    model.graph.output.extend([onnx.ValueInfoProto(name=name) for name in names(model)])
    return bytes(model.SerializeToString())


def _batch_of(content: bytes) -> int | None:
    """How many pictures an ONNX model insists on, None where it takes any number."""
    import onnx

    first = onnx.load_model_from_string(content).graph.input[0].type.tensor_type.shape.dim[0]
    return first.dim_value or None


def _of_file(spec: ModelSpec, run: Callable[[np.ndarray], list[np.ndarray]]) -> Look:
    views = Views(spec)

    def look(images: Tensor) -> list[Tensor]:
        pixels = np.ascontiguousarray(images.cpu().numpy())
        as_they_are = np.tile(np.eye(2, 3), (len(pixels), 1, 1))
        outputs = as_arrays(run(views.crops(list(pixels), as_they_are)), spec.name)
        return [torch.from_numpy(output).to(images.device) for output in outputs]

    return look


def _of_network(spec: ModelSpec, network: nn.Module, precision: Precision, show: Show | None) -> Look:
    normalize = Normalize(spec)

    @torch.no_grad()
    def look(images: Tensor) -> list[Tensor]:
        network.to(images.device)
        normalize.to(images.device)
        device = images.device.type
        with torch.autocast(device, torch.bfloat16, enabled=uses_bf16(precision, device)):
            outputs = network(normalize(images)) if show is None else show(network, normalize(images))
        return [output.float() for output in outputs]

    return look
