"""Every kind of picture a user may have, whole and broken."""

import base64
import io
import os
import re
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgepose.media.files import atomic_path, make_folder
from edgepose.media.images import (
    PictureTooLarge,
    as_image,
    check_image,
    quiet_opencv,
    read_image,
    upright,
    write_image,
)  # fmt: skip

RED, BLUE = (40, 60, 200), (220, 120, 30)  # BGR
# Left half red and right half blue (16 x 16); or a red frame, then a blue one (8 x 8). Made for these tests.
EMBEDDED = {
    "CMYK JPEG": (
        "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwAIBgYHBgUIBwcHCQkICgwUDQwLCwwZEhMPFB0aHx4dGhwcICQuJyAiLCMcHCg3KSwwMTQ0"
        "NB8nOT04MjwuMzQy/8AAFAgAEAAQBEMRAE0RAFkRAEsRAP/EABcAAAMBAAAAAAAAAAAAAAAAAAAHCAb/xAAUEAEAAAAAAAAAAAAA"
        "AAAAAAAA/9oADgRDAE0AWQBLAAA/AGQXZTn+lVvFaBVTBpLCVW8VoH//2Q=="
    ),
    "YCCK JPEG": (
        "/9j/7gAOQWRvYmUAZAAAAAAC/9sAQwAIBgYHBgUIBwcHCQkICgwUDQwLCwwZEhMPFB0aHx4dGhwcICQuJyAiLCMcHCg3KSwwMTQ0"
        "NB8nOT04MjwuMzQy/8AAFAgAEAAQBEMRAE0RAFkRAEsRAP/EABgAAQEBAQEAAAAAAAAAAAAAAAcAAwUG/8QAFBABAAAAAAAAAAAA"
        "AAAAAAAAAP/aAA4EQwBNAFkASwAAPwDtvRDg/sw4fE0MYDTMOHxP/9k="
    ),
    "GIF": (
        "R0lGODdhEAAQAIEAAMg8KB543AAAAAAAACwAAAAAEAAQAEAINgABCBwoMIDBgwYJEkSIUOFAhgcdFoQYQCIAihUlYrS4USNFjh89"
        "QgQ5UiRDkidNNlQZkaXBgAA7"
    ),
    "animated GIF": (
        "R0lGODdhCAAIAIEAAMg8KAAAAAAAAAAAACwAAAAACAAIAAAIDwABCBxIsKDBgwgTKkwYEAAh+QQBAAABACwAAAAACAAIAIEeeNwA"
        "AAAAAAAAAAAIDwABCBxIsKDBgwgTKkwYEAA7"
    ),
    "animated WebP": (
        "UklGRogAAABXRUJQVlA4WAoAAAACAAAABwAABwAAQU5JTQYAAAAAAAAAAABBTk1GKgAAAAAAAAAAAAcAAAcAAAAAAAJWUDhMEQAA"
        "AC8HwAEAB1CeIhel/4GI6H8AAEFOTUYqAAAAAAAAAAAABwAABwAAAAAAAFZQOEwRAAAALwfAAQAHULx6lLv/gYjofwAA"
    ),
    "animated PNG": (
        "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAACGFjVEwAAAACAAAAAPONk3AAAAAaZmNUTAAAAAAAAAAIAAAACAAA"
        "AAAAAAAAAAAAAQAAw3t8MwAAABRJREFUeJxjPGGjwYANMGEVHbQSAO+wATzovy2GAAAAGmZjVEwAAAABAAAACAAAAAgAAAAAAAAA"
        "AAAAAAEAAFgIlucAAAAYZmRBVAAAAAJ4nGOUq7jDgA0wYRUdtBIAJIUBghXH59UAAAAASUVORK5CYII="
    ),
}


def embedded(name: str) -> bytes:
    return base64.b64decode(EMBEDDED[name])


def scene(height: int = 48, width: int = 64) -> np.ndarray:
    """Every corner of another color, and no symmetry."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = RED
    image[: height // 2, width // 2 :] = BLUE
    image[height // 2 :, : width // 2] = (30, 200, 60)
    return image


def encoded(suffix: str, image: np.ndarray) -> bytes:
    parameters = [cv2.IMWRITE_JPEG_QUALITY, 98] if suffix == ".jpg" else [cv2.IMWRITE_WEBP_QUALITY, 101]
    done, data = cv2.imencode(suffix, image, parameters if suffix in (".jpg", ".webp") else [])
    assert done
    return data.tobytes()


def exif(orientation: int, order: str = "<") -> bytes:
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(order + "IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, color: int, rows: bytes, *extra: bytes) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (header, *extra, png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b""))
    )


def turned(data: bytes, orientation: int) -> bytes:
    """The same file with an EXIF block put in."""
    if data[:2] == b"\xff\xd8":
        block = b"Exif\0\0" + exif(orientation)
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]
    if data[:4] == b"\x89PNG":
        return data[:33] + png_chunk(b"eXIf", exif(orientation, ">")) + data[33:]
    block = b"EXIF" + struct.pack("<I", 26) + exif(orientation)
    height, width = read_image(data).shape[:2]
    canvas = struct.pack("<I", 0x08) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + canvas + data[12:] + block
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff(image: np.ndarray, **tags: int) -> bytes:
    """(H, W, C) -> a TIFF without compression, with more tags by number: t274=6."""
    height, width, channels = image.shape
    bits, pixels = image.dtype.itemsize * 8, image.tobytes()
    fields = {256: width, 257: height, 259: 1, 262: 2 if channels > 2 else 1, 273: 8, 277: channels, 278: height}
    fields |= {279: len(pixels), 284: 1} | {int(name[1:]): value for name, value in tags.items()}
    at = 8 + len(pixels)
    directory = at + 2 * channels + len(pixels) % 2
    fields[258] = at if channels > 2 else bits
    entries = b"".join(
        struct.pack("<HHII", tag, 3 if tag == 258 else 4, channels if tag == 258 and channels > 2 else 1, value)
        for tag, value in sorted(fields.items())
    )
    tail = struct.pack(f"<{channels}H", *[bits] * channels) + b"\0" * (len(pixels) % 2)
    return (
        struct.pack("<2sHI", b"II", 42, directory)
        + pixels
        + tail
        + struct.pack("<H", len(fields))
        + entries
        + b"\0" * 4
    )


ORIENTED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(suffix: str, orientation: int) -> None:
    image = scene()
    stored = (
        tiff(image[:, :, ::-1], t274=orientation) if suffix == ".tiff" else turned(encoded(suffix, image), orientation)
    )
    expected = ORIENTED[orientation](image)
    seen = read_image(stored)
    assert seen.shape == expected.shape and seen.flags.c_contiguous
    assert np.abs(seen.astype(int) - expected).mean() <= (2 if suffix == ".jpg" else 0)
    assert np.array_equal(upright(image, orientation), expected)


@pytest.mark.parametrize("block", [b"", b"II", b"II*\0\xff\xff\xff\xff", exif(9), exif(0), exif(6)[:12], b"\0" * 40])
def test_a_broken_exif_block_turns_nothing(block: bytes) -> None:
    data, block = encoded(".jpg", scene()), b"Exif\0\0" + block
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]
    assert np.abs(read_image(data).astype(int) - scene()).mean() <= 2


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_are_divided_by_257(suffix: str) -> None:
    values = (np.arange(64 * 64 * 3, dtype=np.uint32) * 5 % 65536).astype(np.uint16).reshape(64, 64, 3)
    assert np.array_equal(read_image(encoded(suffix, values)), np.rint(values / 257).astype(np.uint8))


@pytest.mark.parametrize(
    ("brightest", "most"), [(1000, 1023), (1023, 1023), (4000, 4095), (4095, 4095), (4096, 65535), (65535, 65535)]
)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_cameras_of_10_and_12_bits_leave_the_upper_ones_empty(suffix: str, brightest: int, most: int) -> None:
    image = np.linspace(0, brightest, 60).astype(np.uint16).reshape(4, 15)
    read = read_image(cv2.imencode(suffix, image)[1].tobytes())
    assert np.abs(read[..., 0].astype(int) - np.round(image / most * 255)).max() <= 1
    gray = read_image(cv2.imencode(suffix, np.zeros((4, 4), np.uint16))[1].tobytes())
    assert (gray == 0).all()


def test_gray_has_three_equal_channels() -> None:
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for suffix in (".png", ".bmp", ".tiff"):
        assert np.array_equal(read_image(encoded(suffix, gray)), np.dstack([gray] * 3))
    assert np.array_equal(read_image(encoded(".png", gray.astype(np.uint16) * 257)), np.dstack([gray] * 3))
    assert np.array_equal(read_image(png(8, 1, 1, 0, b"\0\xa5"))[0, :, 1], [255, 0, 255, 0, 0, 255, 0, 255])


@pytest.mark.parametrize("name", ["CMYK JPEG", "YCCK JPEG", "GIF"])
def test_colors(name: str) -> None:
    image = read_image(embedded(name))
    assert image.shape == (16, 16, 3)
    assert np.abs(image[:, :7].astype(int) - RED).max() <= 4 and np.abs(image[:, 9:].astype(int) - BLUE).max() <= 4


@pytest.mark.parametrize("name", ["animated GIF", "animated WebP", "animated PNG"])
def test_the_first_of_several_frames(name: str) -> None:
    assert (read_image(embedded(name)) == RED).all()


def test_palette() -> None:
    palette = png_chunk(b"PLTE", bytes((*RED[::-1], *BLUE[::-1])))
    data = png(2, 2, 8, 3, b"\0\0\1\0\1\0", palette)
    assert read_image(data).tolist() == [[list(RED), list(BLUE)], [list(BLUE), list(RED)]]
    hidden = png(2, 2, 8, 3, b"\0\0\1\0\1\0", palette, png_chunk(b"tRNS", b"\0\xff"))
    assert read_image(hidden).tolist() == [[[255] * 3, list(BLUE)], [list(BLUE), [255] * 3]]


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".webp", ".tiff"])
def test_transparent_parts_are_white(suffix: str, depth: type) -> None:
    if suffix == ".webp" and depth is np.uint16:
        pytest.skip("WebP has 8 bits")
    alpha = np.linspace(0, 255, 48 * 64).round().reshape(48, 64, 1)
    expected = scene() * (alpha / 255) + 255 - alpha
    stored = np.dstack([scene(), alpha]).astype(depth) * (257 if depth is np.uint16 else 1)
    if suffix == ".tiff":
        data = tiff(stored[:, :, [2, 1, 0, 3]].copy(), t338=2)
        multiplied = np.dstack([scene() * (alpha / 255), alpha]).round().astype(depth)
        multiplied *= 257 if depth is np.uint16 else 1
        assert np.abs(read_image(tiff(multiplied[:, :, [2, 1, 0, 3]].copy(), t338=1)) - expected).max() <= 1
    else:
        data = encoded(suffix, stored)
    # WebP leaves out the colors of fully transparent pixels, which nobody sees
    assert np.abs(read_image(data) - expected).max() <= 1


def test_floating_point_is_refused() -> None:
    for values in (np.zeros((4, 4), np.float32), np.zeros((4, 4, 3), np.float32)):
        with pytest.raises(ValueError, match="expected 8 or 16 bits"):
            read_image(encoded(".tiff", values))


BOMBS = {
    "png": png(50_000, 50_000, 8, 2, b"\0" * 9000),
    "jpg": encoded(".jpg", scene()).replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 50_000, 50_000), 1),
    "bmp": encoded(".bmp", scene())[:18] + struct.pack("<ii", 50_000, -50_000) + encoded(".bmp", scene())[26:],
    "gif": embedded("GIF")[:6] + struct.pack("<HH", 50_000, 50_000) + embedded("GIF")[10:],
    "tiff": tiff(scene(), t256=50_000, t257=50_000),
    "tiled tiff": tiff(scene(), t322=50_000, t323=50_000),
    "webp": turned(encoded(".webp", scene()), 1).replace(b"\x3f\0\0\x2f\0\0", b"\xff\xff\0\xff\xff\0", 1),
    "webp without a canvas": b"RIFF\x12\0\0\0WEBPVP8L\x06\0\0\0\x2f\xff\xff\xff\x0f\0",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_at_once(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(BOMBS[name])
    taken = []
    for _ in range(3):
        start = time.process_time()
        with pytest.raises(ValueError, match="is too large: expected at most 64000000 pixels"):
            read_image(path)
        taken.append(time.process_time() - start)
    assert min(taken) < 0.05


def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(BOMBS["png"])
    code = (
        "import resource, sys; from edgepose.media.images import read_image\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "try: read_image(sys.argv[1])\n"
        "except ValueError: print(peak() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "bomb.png")], capture_output=True, text=True)
    assert int(done.stdout) < 20_000, done.stderr  # kB


@pytest.mark.parametrize("channels", [2, 5])
def test_channels_that_opencv_would_misread_are_refused(channels: int) -> None:
    """Of gray with alpha it shows the gray that is hidden."""
    data = tiff(np.zeros((6, 8, channels), np.uint8), t338=2)
    with pytest.raises(ValueError, match=f"expected 1, 3 or 4 channels, its header says {channels}; convert it"):
        read_image(data)


def test_max_pixels_is_a_limit_not_a_size() -> None:
    data = encoded(".png", scene())
    assert read_image(data, max_pixels=48 * 64).shape == (48, 64, 3)
    with pytest.raises(ValueError, match="its header says 64 x 48"):
        read_image(data, max_pixels=48 * 64 - 1)


def test_many_scans_are_refused() -> None:
    data = encoded(".jpg", scene())
    with pytest.raises(ValueError, match="more than 100 scans"):
        read_image(data[:-2] + b"\xff\xda\0\x08\1\1\0\0\x3f\0" * 200 + data[-2:])


def progressive(remark: bytes, scans: int) -> bytes:
    """A progressive JPEG with a remark behind its first scan and one scan repeated."""
    pillow = pytest.importorskip("PIL.Image")
    out = io.BytesIO()
    pillow.new("L", (64, 48), 128).save(out, "JPEG", progressive=True, quality=10)
    data = out.getvalue()
    first, second, third = [place.start() for place in re.finditer(rb"\xff\xda", data)][:3]
    com = b"\xff\xfe" + struct.pack(">H", 2 + len(remark)) + remark
    assert first < second
    return data[:second] + com + data[second:third] * scans + b"\xff\xd9"


def test_scans_are_counted_behind_a_remark_with_an_end_marker_in_it() -> None:
    assert read_image(progressive(b"\xff\xd9", 60)).shape == (48, 64, 3)
    with pytest.raises(ValueError, match="more than 100 scans"):
        read_image(progressive(b"\xff\xd9", 200))
    with pytest.raises(ValueError, match="more than 100 scans"):
        read_image(progressive(b"\xff\xd8\xff\xd9", 200))


def test_what_cameras_put_behind_a_jpeg_has_no_scans() -> None:
    data = encoded(".jpg", scene())
    assert read_image(data + b"\xff\xda\0\x08" * 500).shape == (48, 64, 3)


@pytest.mark.parametrize(
    "entries",
    [
        [(256, 4, 1, 3000), (256, 4, 1, 10), (257, 4, 1, 3000), (257, 4, 1, 10)],
        [(256, 9, 1, 3000), (256, 4, 1, 10), (257, 4, 1, 3000), (257, 4, 1, 10)],
        [(256, 9, 1, 3000), (257, 4, 1, 3000)],
        [(256, 4, 0, 3000), (256, 4, 1, 10), (257, 4, 1, 10)],
        [(256, 4, 1, 10), (257, 4, 1, 10), (322, 8, 1, 30000), (323, 4, 1, 16)],
    ],
)
def test_a_tiff_that_states_its_size_in_two_ways_is_refused(entries: list[tuple[int, int, int, int]]) -> None:
    """Readers believe the first or the last of two, and a signed number or none."""
    rest = [(258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1), (279, 4, 1, 100)]
    tags = b"".join(struct.pack("<HHII", *entry) for entry in (*entries, *rest))
    data = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries) + len(rest)) + tags + bytes(4 + 1000)
    with pytest.raises(ValueError, match="a size, comes twice or is no whole number"):
        read_image(data)


def test_more_tags_than_are_looked_at_are_refused() -> None:
    tags = struct.pack("<HHII", 40_000, 4, 1, 1) * 5000
    with pytest.raises(ValueError, match="more than 4096 tags"):
        read_image(b"II*\0" + struct.pack("<IH", 8, 5000) + tags + bytes(4))


def test_what_was_decoded_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgepose.media.images._decode", lambda data, name: np.zeros((100, 100, 3), np.uint8))
    with pytest.raises(PictureTooLarge, match="100 x 100"):
        read_image(encoded(".png", scene()), max_pixels=64 * 48)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts memory as Linux does")
def test_16_bits_and_alpha_take_at_most_16_bytes_a_pixel(tmp_path: Path) -> None:
    side = 4000
    image = np.zeros((side, side, 4), np.uint16)
    image[..., 3], image[0, 0, 0] = 65535, 65535
    (tmp_path / "deep.png").write_bytes(encoded(".png", image))
    code = (
        "import sys, resource; from edgepose.media.images import read_image; "
        "peak = lambda: int([l for l in open('/proc/self/status') if l.startswith('VmHWM')][0].split()[1]); "
        "before = peak(); read_image(sys.argv[1]); print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "deep.png")], capture_output=True, text=True)
    assert int(done.stdout) * 1024 < 17 * side * side, done.stderr


# ------------------------------------------------------------------------------------- AVIF and HEIC, by Pillow


def by_pillow(kind: str, image: np.ndarray, orientation: int = 1) -> bytes:
    """(H, W, 3 | 4) BGR(A) -> a file of nearly the same pixels."""
    pillow = pytest.importorskip("PIL.Image")
    exif = pillow.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"subsampling": "4:4:4", "quality": 100, "exif": exif.tobytes()}
    if kind == "HEIC":
        pytest.importorskip("pillow_heif", reason="needs pillow-heif").register_heif_opener()
        options = {"quality": -1, "chroma": 444, "exif": exif.tobytes(), "matrix_coefficients": 0}
    order = [2, 1, 0, 3][: image.shape[2]]
    out = io.BytesIO()
    pillow.fromarray(np.ascontiguousarray(image[:, :, order])).save(
        out, format={"HEIC": "HEIF"}.get(kind, kind), **options
    )
    return out.getvalue()


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_and_heic_come_upright(kind: str, orientation: int) -> None:
    expected = ORIENTED[orientation](scene())
    seen = read_image(by_pillow(kind, scene(), orientation))
    assert seen.shape == expected.shape and seen.flags.c_contiguous and seen.dtype == np.uint8
    assert np.abs(seen.astype(int) - expected).max() <= 6


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
def test_transparent_parts_of_avif_and_heic_are_white(kind: str) -> None:
    alpha = np.full((48, 64, 1), 255, np.uint8)
    alpha[:, 32:] = 0
    seen = read_image(by_pillow(kind, np.dstack([scene(), alpha])))
    assert (seen[:, 36:] == 255).all() and np.abs(seen[:, :28].astype(int) - scene()[:, :28]).max() <= 6


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
def test_the_size_of_avif_and_heic_is_ours_to_limit(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = by_pillow(kind, scene())
    with pytest.raises(PictureTooLarge, match="at most 3071 pixels, its header says 64 x 48; shrink it"):
        read_image(data, max_pixels=48 * 64 - 1)
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 10)  # of Pillow, whose users may set it
    assert read_image(data, max_pixels=48 * 64).shape == (48, 64, 3)


def test_an_avif_bomb_is_refused() -> None:
    data = by_pillow("AVIF", scene())
    at = data.index(b"ispe") + 8
    with pytest.raises(PictureTooLarge, match="expected at most 64000000 pixels, its header says 16000 x 16000"):
        read_image(data[:at] + struct.pack(">II", 16_000, 16_000) + data[at + 8 :])


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
def test_damaged_avif_and_heic_are_sentences(kind: str, noise: np.ndarray, tmp_path: Path) -> None:
    data, path, random = by_pillow(kind, noise), tmp_path / "picture", np.random.default_rng(2)
    assert np.abs(read_image(data).astype(int) - noise).max() <= 6
    for share in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(ValueError, match=f"^{path} is .*expected"):
            read_image(path)
    for _ in range(150):
        broken = bytearray(data)
        for at in random.integers(32, len(data) if random.random() < 0.5 else 400, random.integers(1, 6)):
            broken[at] = random.integers(256)
        try:
            image = read_image(bytes(broken), max_pixels=1_000_000)
        except ValueError as error:
            assert "\n" not in str(error)
        else:
            assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3


@pytest.mark.parametrize(
    ("brands", "module", "package", "kind"),
    [
        (b"heic\0\0\0\0mif1heic", "pillow_heif", "pillow-heif", "HEIC"),
        (b"mif1\0\0\0\0mif1heic", "pillow_heif", "pillow-heif", "HEIC"),
        (b"avif\0\0\0\0avifmif1", "PIL._avif", "pillow", "AVIF"),
        (b"mif1\0\0\0\0mif1avif", "PIL._avif", "pillow", "AVIF"),
    ],
)
def test_who_cannot_decode_a_kind_learns_what_to_install(
    brands: bytes, module: str, package: str, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / "IMG_0002.HEIC"
    path.write_bytes(b"\0\0\0\x18ftyp" + brands)
    with pytest.raises(ValueError) as refused:
        read_image(path)
    assert str(refused.value) == (
        f"cannot read {path}: expected a {package} that decodes {kind}, found none; pip install --upgrade {package}"
    )


def test_other_pictures_do_not_wait_for_pillow(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", scene())
    code = (
        "import sys; from edgepose.media.images import read_image; read_image(sys.argv[1]); "
        "assert 'PIL' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.jpg")], check=True)


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    rough = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(rough, (64, 48)))


def samples(noise: np.ndarray) -> dict[str, bytes]:
    whole = {suffix: encoded(suffix, noise) for suffix in (".jpg", ".png", ".webp", ".bmp", ".tiff")}
    whole |= {"tiff": tiff(noise, t274=6), "gif": embedded("GIF"), "animated": embedded("animated GIF")}
    whole |= {"turned" + suffix: turned(whole[suffix], 5) for suffix in (".jpg", ".png", ".webp")}
    return whole


@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp", ".bmp", ".tiff", "tiff", "gif"])
def test_a_picture_cut_short_is_refused(kind: str, noise: np.ndarray, tmp_path: Path) -> None:
    data = samples(noise)[kind]
    path = tmp_path / "picture"
    read_image(data)
    for share in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(ValueError, match=f"^{path} is .*expected"):
            read_image(path)


def test_rubbish_never_raises_anything_else(noise: np.ndarray) -> None:
    random = np.random.default_rng(1)
    for data in samples(noise).values():
        for _ in range(60):
            broken = bytearray(data)
            reach = len(data) if random.random() < 0.5 else min(80, len(data))
            for at in random.integers(4, reach, random.integers(1, 6)):
                broken[at] = random.integers(256)
            start = time.process_time()
            try:
                image = read_image(bytes(broken), max_pixels=1_000_000)
            except ValueError as error:
                assert "\n" not in str(error)
            else:
                assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
            assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"RIFF", b"GIF89a", b"hello, world"]
)
def test_almost_nothing_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"^{path} is .*expected"):
        read_image(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no picture at"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(ValueError, match="found a folder or a device"):
        read_image(tmp_path)
    with pytest.raises(ValueError, match="found a folder or a device"):
        read_image("/dev/zero")


def test_opencv_is_quiet_and_its_level_comes_back(capfd: pytest.CaptureFixture[str], noise: np.ndarray) -> None:
    before = cv2.utils.logging.getLogLevel()
    data = tiff(noise)

    def many() -> None:
        for _ in range(50):
            with pytest.raises(ValueError, match="damaged"):
                read_image(data[:60] + data[-200:])

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(RuntimeError), quiet_opencv():
        raise RuntimeError
    assert cv2.utils.logging.getLogLevel() == before
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".jpg", ".JPEG", ".webp"])
def test_write_and_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    write_image(path, scene())
    lossy = suffix.lower() in (".jpg", ".jpeg", ".webp")
    assert np.abs(read_image(str(path)).astype(int) - scene()).mean() <= (4 if lossy else 0)
    assert os.listdir(tmp_path) == [path.name]


def test_write_refuses(tmp_path: Path) -> None:
    for name, error, message in (("a.xyz", ValueError, "name ending in"), ("no/a.png", FileNotFoundError, "create it")):
        with pytest.raises(error, match=message):
            write_image(tmp_path / name, scene())
    with pytest.raises(ValueError, match=r"does not fit into \.webp"):
        write_image(tmp_path / "a.webp", np.zeros((1, 20_000, 3), np.uint8))
    assert os.listdir(tmp_path) == []


def test_atomic(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:
        temporary.write_text("half")
        assert temporary.parent == tmp_path and temporary.suffix == ".txt" and path.read_text() == "old"
        raise KeyboardInterrupt
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]
    (tmp_path / "link").symlink_to(path)
    with atomic_path(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new" and sorted(os.listdir(tmp_path)) == ["a.txt", "link"]
    with pytest.raises(ValueError, match="a folder or a device"), atomic_path("/dev/null"):
        pass
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    for taken in (path, path / "below"):
        with pytest.raises(ValueError, match=f"cannot write to {taken}: expected a folder"):
            make_folder(taken)
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "nothing"):
        pass  # wrote nothing


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        ("a.jpg", TypeError, "got str"),
        ([[[0, 0, 0]]], TypeError, "got list"),
        (np.zeros((4, 4, 3), np.float32), TypeError, "got float32"),
        (np.zeros((4, 4, 3), np.uint16), TypeError, "got uint16"),
        (np.zeros((4, 4), np.uint8), ValueError, "COLOR_GRAY2BGR"),
        (np.zeros((4, 4, 4), np.uint8), ValueError, "COLOR_BGRA2BGR"),
        (np.zeros((3, 40, 40), np.uint8), ValueError, "channels first"),
        (np.zeros((2, 4, 4, 3), np.uint8), ValueError, "one image at a time"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, "no pixels"),
        (np.zeros((4, 0, 3), np.uint8), ValueError, "no pixels"),
        (np.zeros(3, np.uint8), ValueError, "got"),
    ],
)
def test_check_image_says_what_came(image: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=r"expected an image \(H, W, 3\) uint8 BGR, got") as caught:
        check_image(image)
    assert message in str(caught.value)


def test_check_image_takes_views() -> None:
    image = scene()
    assert check_image(image) is image
    assert np.array_equal(check_image(image[::-1, 4:20, ::-1]), image[::-1, 4:20, ::-1])


# ----------------------------------------------------------------------------------------------- Pillow's images


def test_a_pillow_image_looks_as_its_file_does(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    image = scene()
    rgb = pillow.fromarray(np.ascontiguousarray(image[..., ::-1]))
    assert np.array_equal(as_image(rgb), image) and as_image(rgb).flags.c_contiguous
    exif = pillow.Exif()
    exif[0x0112] = 6  # a quarter turn
    rgb.save(tmp_path / "turned.png", exif=exif)
    clear = rgb.copy()
    clear.putalpha(128)
    clear.save(tmp_path / "clear.png")
    rgb.quantize(8).save(tmp_path / "palette.png")
    rgb.convert("L").save(tmp_path / "gray.png")
    rgb.convert("1").save(tmp_path / "bits.png")
    for name in ("turned", "clear", "palette", "gray", "bits"):
        path = tmp_path / f"{name}.png"
        with pillow.open(path) as opened:
            found, wanted = as_image(opened), read_image(path)
        assert found.shape == wanted.shape and np.abs(found.astype(int) - wanted).max() <= 1, name
    assert read_image(tmp_path / "turned.png").shape == (64, 48, 3)


@pytest.mark.parametrize("mode", ["I", "F", "I;16"])
def test_a_pillow_image_of_more_bits_is_refused(mode: str) -> None:
    pillow = pytest.importorskip("PIL.Image")
    with pytest.raises(ValueError, match=f"expected a Pillow image of 8 bits a channel, got mode '{mode}'"):
        as_image(pillow.new(mode, (4, 4)))
