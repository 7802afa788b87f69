"""Pictures that move: GIF, WebP, PNG and AVIF with several frames, and the pages of a TIFF, as frames of a video."""

import io
import mmap
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgepose.media.images import (
    MAX_PIXELS,
    BadPicture,
    Image,
    as_image,
    check_size,
    header_of_tiff,
    inspect_header,
    picture_format,
    quiet_opencv,
    tiff_directory,
    to_bgr,
)
from edgepose.media.video import Frame

Data = bytes | mmap.mmap
UNTIMED = 100  # milliseconds of a frame that states none, as browsers show it
MOST_PAGES = 1_000_000
_ERRORS = (
    OSError, SyntaxError, RuntimeError, EOFError, MemoryError, struct.error, IndexError, cv2.error, BadPicture,
)  # fmt: skip


def is_animated(source: str | Path | bytes) -> bool:
    """Whether a file, or its bytes, is a picture of several frames; nothing is decoded, and damage is no news."""
    if isinstance(source, bytes):
        return _has_frames(source)
    with Path(source).open("rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _has_frames(data)
        except (ValueError, OSError):  # empty, or nothing that can be mapped
            return False


def read_animation(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Iterator[Frame]:
    """The frames of a picture, each whole and upright, transparent parts over white; `name` is for messages.

    A TIFF has no times. Of the others each frame is shown for as long as it says, or a tenth of a second. Raises
    ValueError for a damaged picture, of a GIF or TIFF after the frames before the damage.
    """
    kind = picture_format(data[:64])
    count, reason = 0, ""
    try:
        if kind == "TIFF":
            for image in _pages(data, name, max_pixels):
                yield Frame(image, None, count)
                count += 1
            return
        milliseconds = 0
        for image, shown in _shown(data, kind, name, max_pixels):
            yield Frame(image, milliseconds / 1000, count, pts=milliseconds, time_base=Fraction(1, 1000))
            count, milliseconds = count + 1, milliseconds + shown
        return
    except _ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
    raise ValueError(f"{name} is damaged: expected a whole {kind}, {reason}; {count} frames were read")


def _has_frames(data: Data) -> bool:
    kind = picture_format(data[:64])
    try:
        if kind == "GIF":
            return _gif_frames(data) > 1
        if kind == "PNG":
            return _png_frames(data) > 1
        if kind == "TIFF":
            return sum(1 for _ in zip(_full_pages(data), range(2), strict=False)) > 1
    except (struct.error, IndexError, BadPicture):
        return False
    if kind == "WebP":
        return data[12:16] == b"VP8X" and bool(data[20] & 2)
    return kind == "AVIF" and data[8:12] == b"avis"


def _gif_frames(data: Data) -> int:
    """How many frames there are, or 2 for more."""
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    frames = 0
    while frames < 2 and data[at] in (0x21, 0x2C):
        if data[at] == 0x2C:
            frames += 1
            at += 11 + (3 << (data[at + 9] & 7) + 1 if data[at + 9] & 0x80 else 0)
        else:
            at += 2
        while data[at]:  # blocks up to an empty one
            at += 1 + data[at]
        at += 1
    return frames


def _png_frames(data: Data) -> int:
    at = 8
    while data[at + 4 : at + 8] not in (b"IDAT", b"IEND"):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"acTL":
            return int(struct.unpack_from(">I", data, at + 8)[0])
        at += 12 + length
    return 1


def _full_pages(data: Data) -> Iterator[tuple[int, dict[int, list[int]]]]:
    """Number and directory of every page of a TIFF that is neither a smaller copy of another nor a mask."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    word, count, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    at = struct.unpack_from(order + word, data, 8 if big else 4)[0]
    seen = set[int]()
    while at and at not in seen and len(seen) < MOST_PAGES:
        tags = tiff_directory(data, at)
        if not tags.get(254, [0])[0] & 5:
            yield len(seen), tags
        seen.add(at)
        entries = struct.unpack_from(order + count, data, at)[0]
        at = struct.unpack_from(order + word, data, at + struct.calcsize(order + count) + entries * entry)[0]


def _pages(data: bytes, name: str, max_pixels: int) -> Iterator[Image]:
    content = np.frombuffer(data, np.uint8)
    for page, tags in _full_pages(data):
        header = header_of_tiff(tags)
        check_size(f"page {page + 1} of {name}", header.width, header.height, header.pixels, max_pixels)
        if header.channels not in (1, 3, 4) or header.bits > 16:
            raise EOFError(f"page {page + 1} has {header.channels} channels of {header.bits} bits")
        with quiet_opencv():
            done, images = cv2.imdecodemulti(content, cv2.IMREAD_UNCHANGED, None, (page, page + 1))
        if not done or not images:
            raise EOFError(f"page {page + 1} does not decode")
        height, width = images[0].shape[:2]
        check_size(f"page {page + 1} of {name}", width, height, width * height, max_pixels)
        yield to_bgr(images[0], header.premultiplied, name)


def _shown(data: bytes, kind: str | None, name: str, max_pixels: int) -> Iterator[tuple[Image, int]]:
    """Every frame, and for how many milliseconds it is shown."""
    from PIL.Image import DecompressionBombError

    if kind != "AVIF":  # before a decoder sees it
        header, _ = inspect_header(data, name)
        check_size(name, header.width, header.height, header.pixels, max_pixels)
    try:
        with _opened(data, kind) as picture:
            width, height = picture.size
            check_size(name, width, height, width * height, max_pixels)
            first = 1 if getattr(picture, "default_image", False) else 0  # a PNG's, for who cannot show the others
            for index in range(first, picture.n_frames):
                picture.seek(index)
                picture.load()
                yield as_image(picture.copy()), round(picture.info.get("duration") or UNTIMED)
    except DecompressionBombError as error:
        raise ValueError(f"{name} is too large: expected a picture that Pillow takes, it says: {error}") from None


def _opened(data: bytes, kind: str | None) -> Any:
    """The classes are called by name: `PIL.Image.open` has a limit of its own."""
    if kind == "GIF":
        from PIL.GifImagePlugin import GifImageFile

        return GifImageFile(io.BytesIO(data))
    if kind == "PNG":
        from PIL.PngImagePlugin import PngImageFile

        return PngImageFile(io.BytesIO(data))
    if kind == "WebP":
        from PIL.WebPImagePlugin import WebPImageFile

        return WebPImageFile(io.BytesIO(data))
    from PIL.AvifImagePlugin import AvifImageFile

    return AvifImageFile(io.BytesIO(data))
