"""A fully convolutional network at another input size than its file states.

Such a network has the same weights at any size; only the file says which. What it says is read and rewritten here, in
the few messages of the ONNX format that matter (onnx.proto: ModelProto, GraphProto, ValueInfoProto), because the onnx
package is not part of the base install.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from edgepose.codec import codec_of
from edgepose.codec.boxes import Boxes
from edgepose.spec import MOST_SIDE, ModelSpec

Size = tuple[int, int]  # w, h

# Numbers of fields in onnx.proto.
_GRAPH, _INPUT, _OUTPUT, _INNER = 7, 11, 12, 13  # of the model; of the graph: inputs, outputs, shapes in between
_TYPE, _TENSOR, _SHAPE, _DIM, _VALUE = 2, 1, 2, 1, 1  # value info > type > tensor type > shape > dimension > value


def size_of(value: Any) -> Size | None:
    """What a caller wrote as an input size: a side, "WxH", or (w, h); None stays None."""
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", value) if isinstance(value, str) else None
    size: Any = (int(found[1]), int(found[2] or found[1])) if found else value
    size = (size, size) if type(size) is int else size
    if size is None:
        return None
    if not (isinstance(size, (tuple, list)) and len(size) == 2 and all(type(side) is int for side in size)):
        raise ValueError(f"detector size is {value!r}, expected pixels such as 640, or 640x384 (width x height)")
    return (size[0], size[1])


def resized_spec(spec: ModelSpec, size: Size) -> ModelSpec:
    """The spec of a detector for inputs of `size`, with room for as many more people as it has more pixels.

    ValueError where the network cannot have that size.
    """
    codec = codec_of(spec)
    if not isinstance(codec, Boxes) or codec.format == "detections":
        what = "suppresses boxes inside its graph" if isinstance(codec, Boxes) else "is no detector"
        raise ValueError(f"{spec.name} {what}, so it has the one size of its file, {_shown(spec.input_size)}")
    step = max(codec.strides)
    if any(side % step or not step <= side <= MOST_SIDE for side in size):
        near = [min(max(round(side / step), 1) * step, MOST_SIDE) for side in size]
        raise ValueError(
            f"detector size is {_shown(size)}, expected sides that are multiples of {step}, from {step} to "
            f"{MOST_SIDE}, such as {_shown((near[0], near[1]))}"
        )
    grown = max(1.0, size[0] * size[1] / (spec.input_size[0] * spec.input_size[1]))
    room = {"candidates": round(codec.candidates * grown), "limit": round(codec.limit * grown)}
    return replace(spec, input_size=size, codec_args={**spec.codec_args, **room})


def check_fits(spec: ModelSpec, outputs: list[Any], source: str) -> None:
    """ValueError where the outputs for one picture are not as large as the spec's input size makes them.

    A graph with a size written into it may still run, and then says where people are in another picture.
    """
    codec = codec_of(spec)
    if not isinstance(codec, Boxes) or codec.format == "yolox":  # whose decoding counts the cells
        return
    width, height = spec.input_size
    per_level = 2 if codec.format == "rtmdet" else 1
    for level, stride in enumerate(codec.strides):
        wanted = (height // stride, width // stride)
        for output in outputs[per_level * level : per_level * (level + 1)]:
            sides = output.shape[2:] if codec.format == "rtmdet" else output.shape[1:3]
            if sides != wanted:
                raise ValueError(
                    f"{source} cannot be run at {_shown(spec.input_size)}: expected maps of {wanted} at stride "
                    f"{stride}, got {sides}; leave the size out"
                )


def resized(model: bytes, spec: ModelSpec) -> bytes:
    """An ONNX file whose only input has the spec's size; the shapes of everything behind it are left to be inferred."""
    width, height = spec.input_size
    sides = {1: height, 2: width} if spec.layout == "nhwc" else {2: height, 3: width}
    try:
        parts = []
        for number, kind, value, whole in _fields(model):
            parts.append(_message(number, _graph(value, sides)) if (number, kind) == (_GRAPH, 2) else whole)
        return b"".join(parts)
    except (IndexError, TypeError):
        raise ValueError(f"the file of {spec.name} is no ONNX file: it cannot be given another size") from None


def _graph(graph: bytes, sides: dict[int, int]) -> bytes:
    parts = []
    for number, _, value, whole in _fields(graph):
        if number == _INPUT:
            parts.append(_message(number, _inside(value, (_TYPE, _TENSOR), lambda tensor: _with_sides(tensor, sides))))
        elif number == _OUTPUT:
            parts.append(_message(number, _inside(value, (_TYPE, _TENSOR), _without_shape)))
        elif number != _INNER:
            parts.append(whole)
    return b"".join(parts)


def _inside(message: bytes, path: tuple[int, ...], change: Any) -> bytes:
    """A message with `change` made to the part at `path`."""
    if not path:
        return bytes(change(message))
    parts = []
    for number, kind, value, whole in _fields(message):
        found = (number, kind) == (path[0], 2)
        parts.append(_message(number, _inside(value, path[1:], change)) if found else whole)
    return b"".join(parts)


def _without_shape(tensor: bytes) -> bytes:
    return b"".join(whole for number, _, _, whole in _fields(tensor) if number != _SHAPE)


def _with_sides(tensor: bytes, sides: dict[int, int]) -> bytes:
    def shape(message: bytes) -> bytes:
        parts, place = [], 0
        for number, _, _, whole in _fields(message):
            if number == _DIM:
                whole = _message(_DIM, _varint(_VALUE << 3) + _varint(sides[place])) if place in sides else whole
                place += 1
            parts.append(whole)
        return b"".join(parts)

    return _inside(tensor, (_SHAPE,), shape)


def _fields(message: bytes) -> Iterator[tuple[int, int, bytes, bytes]]:
    """Number, kind, content and whole bytes of the fields of a protocol buffer."""
    at = 0
    while at < len(message):
        start = at
        key, at = _read_varint(message, at)
        kind, begin = key & 7, at
        if kind == 0:
            _, at = _read_varint(message, at)
        elif kind == 2:
            length, begin = _read_varint(message, at)
            at = begin + length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise IndexError(kind)
        if at > len(message):
            raise IndexError(at)
        yield key >> 3, kind, message[begin:at], message[start:at]


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def _message(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _shown(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
