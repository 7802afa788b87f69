"""Pictures in and out: any common file becomes one upright (H, W, 3) uint8 BGR array, or one clear sentence."""

import io
import re
import stat
import struct
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from edgepose.media.files import atomic_path

if TYPE_CHECKING:
    from mmap import mmap

    from PIL.Image import Image as PillowImage

MAX_PIXELS = 64_000_000
STRIP = 256  # rows
MAX_SCANS = 100  # of a JPEG; usual are 10. Each costs a pass over all pixels, however few bytes it has
MAX_TAGS = 4096  # in a directory of a TIFF
WRITABLE = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")

Image = NDArray[np.uint8]
Pixels = NDArray[np.integer[Any] | np.floating[Any]]  # as OpenCV decodes them
ImageLike = Union[np.ndarray, str, Path, "PillowImage"]  # what an estimator takes


class PictureTooLarge(ValueError):
    """A picture of more pixels than the caller takes: a server answers it otherwise than one that is broken."""


def read_image(source: str | Path | bytes, max_pixels: int = MAX_PIXELS) -> Image:
    """The picture in a file, or in the bytes of one, as people see it -> (H, W, 3) uint8 BGR.

    JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF and, where pillow-heif is installed, HEIC, told apart by their content and
    never by their name. Pillow and its plug-in decode AVIF and HEIC, OpenCV all others.
    - EXIF orientation 1-8 is applied (JPEG, PNG eXIf, WebP EXIF, TIFF), in every version of OpenCV; so are the turns
      and mirrors of AVIF and HEIC.
    - 16 bits become 8 by value / 257, rounded; where the brightest value is below 4096 the camera has 12 bits or 10 and
      left the rest empty, and these are what becomes 8. Floating point, 32-bit and two-channel TIFFs are refused.
    - Gray, palette and CMYK become BGR. A four-color JPEG is taken as inverted, as Adobe and nearly all files are.
    - Transparent parts are laid over white, as a viewer shows them; the colors hidden under them never come out.
    - Of several frames or pages, the first.
    - The size is read from the header, and more than `max_pixels` are refused before anything is decoded; a header that
      two readers could understand differently is refused too, and what was decoded is measured again. A pixel takes at
      most 16 bytes on the way. What an AVIF or HEIC states does not bind its decoder, which ends by a limit of its own
      at some gigabytes: see `is_bounded`.
    - A picture cut short is refused, not half shown. JPEG has no checksum: damage inside one may come out as blocks.

    Raises FileNotFoundError for no such file, ValueError for everything that is not such a picture (PictureTooLarge
    for more than `max_pixels`).
    """
    name = f"the picture of {len(source)} bytes" if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) else read_file(Path(source), max_pixels)
    if not is_bounded(data):
        return _read_by_pillow(data, name, max_pixels)
    header, data = inspect_header(data, name)
    check_size(name, header.width, header.height, header.pixels, max_pixels)
    decoded = _decode(data, name)
    height, width = decoded.shape[:2]
    check_size(name, width, height, width * height, max_pixels)
    return upright(to_bgr(decoded, header.premultiplied, name), header.orientation)


def stored_size(data: bytes, name: str = "the picture") -> tuple[int, int, int]:
    """Width and height as stored and EXIF's orientation (1-8, 5 and above exchange the two), of a picture's bytes.

    Only the header is read, but an AVIF or HEIC is decoded. ValueError as of `read_image`.
    """
    if not is_bounded(data):
        height, width = _read_by_pillow(data, name, MAX_PIXELS).shape[:2]
        return width, height, 1
    header, _ = inspect_header(data, name)
    return header.width, header.height, header.orientation


def write_image(path: str | Path, image: Image, quality: int = 95) -> None:
    """(H, W, 3) -> a file of the kind its suffix says; there is never a half-written one. Quality: JPEG and WebP."""
    data = encoded_image(path, image, quality)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def encoded_image(path: str | Path, image: Image, quality: int = 95) -> bytes:
    """The bytes of the file that `write_image` writes."""
    suffix = Path(path).suffix.lower()
    if suffix not in WRITABLE:
        raise ValueError(f"cannot write {path}: expected a name ending in one of {', '.join(WRITABLE)}")
    kind = {".jpg": cv2.IMWRITE_JPEG_QUALITY, ".jpeg": cv2.IMWRITE_JPEG_QUALITY, ".webp": cv2.IMWRITE_WEBP_QUALITY}
    parameters = [kind[suffix], quality] if suffix in kind else []
    with quiet_opencv():
        try:
            done, data = cv2.imencode(suffix, check_image(image), parameters)
        except cv2.error:
            done = False
    if not done:
        raise ValueError(
            f"cannot write {path}: {image.shape[1]} x {image.shape[0]} does not fit into {suffix}; use .png"
        )
    return data.tobytes()


def check_image(image: object) -> Image:
    """The image itself, contiguous, if it is (H, W, 3) uint8 with at least one pixel; otherwise says what to do.

    Nothing is converted on the quiet: a float image may be 0..1 or 0..255, four channels may be BGRA or CMYK.
    """
    expected = "expected an image (H, W, 3) uint8 BGR"
    if not isinstance(image, np.ndarray):
        raise TypeError(f"{expected}, got {type(image).__name__}; read files with edgepose.read_image")
    if image.dtype != np.uint8:
        raise TypeError(f"{expected}, got {image.dtype} {image.shape}; scale it to 0..255 and use .astype(np.uint8)")
    if image.ndim == 2:
        raise ValueError(f"{expected}, got gray {image.shape}; use cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)")
    if image.ndim == 3 and image.shape[2] == 4:
        raise ValueError(f"{expected}, got four channels {image.shape}; use cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)")
    if image.ndim == 3 and image.shape[0] == 3 and image.shape[2] != 3:
        raise ValueError(f"{expected}, got channels first {image.shape}; use image.transpose(1, 2, 0)")
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"{expected}, got {image.shape}; pass one image at a time")
    if image.size == 0:
        raise ValueError(f"{expected}, got no pixels {image.shape}; leave empty images out")
    return np.ascontiguousarray(image)


def as_image(image: ImageLike, rgb: bool = False) -> Image:
    """An array, the path of a file or a Pillow image -> (H, W, 3) uint8 BGR, upright, transparent parts over white.

    rgb: whether an array is in RGB order. Files and Pillow images state their own, so with them it is an error.

    Raises what `read_image` and `check_image` raise, and ValueError for a Pillow image of more than 8 bits a channel.
    """
    pillow = sys.modules.get("PIL.Image")  # who has such an image has imported it
    from_pillow = pillow is not None and isinstance(image, pillow.Image)
    if rgb and (from_pillow or isinstance(image, (str, Path))):
        got = "a Pillow image" if from_pillow else f"the path {image}"
        raise ValueError(f"rgb=True tells the order of an array, got {got}, which states its own: leave rgb out")
    if from_pillow:
        return _from_pillow(cast("PillowImage", image))
    if isinstance(image, (str, Path)):
        return read_image(image)
    checked = check_image(image)
    return np.ascontiguousarray(checked[..., ::-1]) if rgb else checked


def _from_pillow(image: "PillowImage") -> Image:
    from PIL import Image as pillow
    from PIL import ImageOps

    if image.mode.startswith(("I", "F")):
        raise ValueError(f"expected a Pillow image of 8 bits a channel, got mode {image.mode!r}; scale it to 0..255")
    image = ImageOps.exif_transpose(image)
    width, height = image.size
    transparent = "A" in image.getbands() or "transparency" in image.info
    made = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, STRIP):  # as in `to_bgr`
        rows = image.crop((0, top, width, min(top + STRIP, height)))
        if transparent:
            over = rows.convert("RGBA")
            rows = pillow.alpha_composite(pillow.new("RGBA", over.size, "white"), over)
        made[top : top + STRIP] = np.asarray(rows.convert("RGB"))[..., ::-1]
    return check_image(made)


def _read_by_pillow(data: bytes, name: str, max_pixels: int) -> Image:
    """What OpenCV does not decode. The classes are called by name: `PIL.Image.open` has a limit of its own."""
    kind = picture_format(data[:64])
    package = "pillow-heif" if kind == "HEIC" else "pillow"
    reader: Any
    try:
        if kind == "HEIC":
            import pillow_heif

            reader = pillow_heif.HeifImageFile
        else:
            import PIL._avif  # noqa: F401  # some builds of Pillow lack it
            from PIL.AvifImagePlugin import AvifImageFile

            reader = AvifImageFile
    except ImportError:
        raise ValueError(
            f"cannot read {name}: expected a {package} that decodes {kind}, found none; pip install --upgrade {package}"
        ) from None
    try:
        with reader(io.BytesIO(data)) as opened:
            width, height = opened.size
            check_size(name, width, height, width * height, max_pixels)
            return _from_pillow(opened)
    except PictureTooLarge:
        raise
    except (OSError, SyntaxError, ValueError, RuntimeError, EOFError, MemoryError, struct.error) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{name} is damaged: expected a whole {kind}, {reason}; get a fresh copy") from None


def check_size(name: str, width: int, height: int, pixels: int, max_pixels: int) -> None:
    if pixels > max_pixels:
        raise PictureTooLarge(
            f"{name} is too large: expected at most {max_pixels} pixels, its header says {width} x {height}; shrink it "
            "or raise max_pixels (--max-pixels)"
        )


def upright(image: Image, orientation: int) -> Image:
    """(H, W, 3) as stored -> as seen, for the EXIF orientations 1-8; any other number changes nothing."""
    if orientation in (5, 7):
        image = np.asarray(cv2.transpose(image), np.uint8)
    turn = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_CLOCKWISE, 7: cv2.ROTATE_180, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}
    if orientation in turn:
        image = np.asarray(cv2.rotate(image, turn[orientation]), np.uint8)
    elif orientation in (2, 4):
        image = np.asarray(cv2.flip(image, 1 if orientation == 2 else 0), np.uint8)
    return np.ascontiguousarray(image)


def picture_format(head: bytes) -> str | None:
    """The format that the first 64 bytes of a file announce, None if it is not a picture we read."""
    if head[4:8] == b"ftyp":  # a list of brands, the main one first: MP4 begins so too
        brands = {head[at : at + 4] for at in range(16, min(int.from_bytes(head[:4], "big"), 64), 4)}
        main = head[8:12]
        if main in (b"avif", b"avis") or (main == b"mif1" and b"avif" in brands):
            return "AVIF"
        return "HEIC" if main in (b"heic", b"heix", b"heim", b"heis", b"mif1") else None
    for name, (magic, _) in _FORMATS.items():
        if head.startswith(magic) and (name != "WebP" or head[8:12] == b"WEBP"):
            return name
    return None


def is_bounded(data: bytes) -> bool:
    """Whether `read_image` needs no more memory for these bytes than `max_pixels` allows, whoever made them."""
    return picture_format(data[:64]) not in ("AVIF", "HEIC")


_quiet_lock = threading.Lock()
_quiet_depth = 0
_quiet_level = 0


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keeps OpenCV from printing about files whose fault we report ourselves; threads may overlap."""
    global _quiet_depth, _quiet_level
    with _quiet_lock:
        if _quiet_depth == 0:
            _quiet_level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        _quiet_depth += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0:
                cv2.utils.logging.setLogLevel(_quiet_level)


def largest_file(max_pixels: int) -> int:
    """Bytes that a picture of so many pixels can have, remarks included."""
    return 8 * max_pixels + (64 << 20)


def read_file(path: Path, max_pixels: int = MAX_PIXELS) -> bytes:
    """The bytes of a regular file of a size that a picture of `max_pixels` can have; errors are `read_image`'s."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"no picture at {path}: expected a file, found nothing; check the path") from None
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path} is not a picture: expected a file, found a folder or a device")
    if status.st_size > largest_file(max_pixels):
        raise ValueError(f"{path} is too large for a picture: {status.st_size} bytes for at most {max_pixels} pixels")
    return path.read_bytes()


def _decode(data: bytes, name: str) -> Pixels:
    """As stored: any depth, any number of channels; we turn it upright ourselves, so OpenCV must not."""
    try:
        with quiet_opencv():
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except (cv2.error, MemoryError):
        image = None
    if image is None or image.size == 0:
        raise ValueError(f"{name} is damaged: expected a whole picture, its pixels do not decode; get a fresh copy")
    return image


def to_bgr(image: Pixels, premultiplied: bool, name: str) -> Image:
    """(H, W) or (H, W, 1 | 3 | 4), uint8 or uint16 -> (H, W, 3) uint8."""
    channels = 1 if image.ndim == 2 else image.shape[2]
    if image.dtype not in (np.uint8, np.uint16) or channels not in (1, 3, 4):
        raise ValueError(
            f"{name} is not a photograph: expected 8 or 16 bits in 1, 3 or 4 channels, "
            f"got {image.dtype} in {channels}; convert it"
        )
    if image.dtype == np.uint8 and channels == 3:
        return np.asarray(image, np.uint8)
    share = _share_of_255(image) if image.dtype == np.uint16 else 1.0
    made = np.empty((*image.shape[:2], 3), np.uint8)
    for top in range(0, len(image), STRIP):  # what is needed on the way is several times the picture
        made[top : top + STRIP] = _strip_to_bgr(image[top : top + STRIP], channels, share, premultiplied)
    return made


def _strip_to_bgr(image: Pixels, channels: int, share: float, premultiplied: bool) -> Pixels:
    """Some rows of a picture."""
    pixels = cv2.convertScaleAbs(image, alpha=share) if image.dtype == np.uint16 else image
    if channels == 1:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    if channels == 3:
        return pixels
    alpha = cv2.cvtColor(pixels[:, :, 3], cv2.COLOR_GRAY2BGR)  # (H, W, 3)
    color = cv2.cvtColor(pixels, cv2.COLOR_BGRA2BGR)
    covered = color if premultiplied else cv2.multiply(color, alpha, scale=1 / 255)
    return cv2.add(covered, cv2.bitwise_not(alpha))


def _share_of_255(image: Pixels) -> float:
    """What a value of 16 bits is multiplied with; cameras of 10 and 12 bits leave the upper ones empty."""
    bits = next(bits for bits in (10, 12, 16) if image.max() < 1 << bits)
    return 255 / ((1 << bits) - 1)


@dataclass(frozen=True)
class _Header:
    width: int
    height: int
    orientation: int = 1  # still to be applied after decoding
    premultiplied: bool = False  # colors come out already multiplied by alpha
    tile: int = 0  # pixels that a reader of one tile allocates
    channels: int = 3  # where the header says so
    bits: int = 8  # of a channel, likewise

    @property
    def pixels(self) -> int:
        return max(self.width * self.height, self.tile)


def inspect_header(data: bytes, name: str) -> tuple[_Header, bytes]:
    """What the header says, and the bytes to decode (a PNG without its remarks)."""
    if not data:
        raise ValueError(f"{name} is empty: expected a picture, got 0 bytes; get a fresh copy")
    kind = picture_format(data[:16])
    if kind is None:
        raise ValueError(
            f"{name} is not a picture: expected JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF or HEIC, it starts with "
            f"{data[:8].hex(' ')}"
        )
    try:
        header, data = _FORMATS[kind][1](data)
    except (struct.error, IndexError):
        raise ValueError(f"{name} is damaged: expected a whole {kind}, its header is cut or broken") from None
    except BadPicture as error:
        raise ValueError(f"{name} is damaged: expected a whole {kind}, {error}; get a fresh copy") from None
    if header.width <= 0 or header.height <= 0:
        raise ValueError(
            f"{name} is empty: expected a {kind} with pixels, its header says {header.width} x {header.height}"
        )
    if header.channels not in (1, 3, 4):  # of gray with alpha OpenCV would show what is hidden
        raise ValueError(
            f"{name} is not a photograph: expected 1, 3 or 4 channels, its header says {header.channels}; convert it"
        )
    if header.bits > 16:  # 32 bytes a pixel
        raise ValueError(
            f"{name} is not a photograph: expected 8 or 16 bits a channel, its header says {header.bits}; convert it"
        )
    return header, data


class BadPicture(Exception):
    """What is wrong with a header, to be put into a sentence with the name of the file."""


def _jpeg(data: bytes) -> tuple[_Header, bytes]:
    at, width, height, orientation = 2, 0, 0, 0
    while True:
        at = data.find(b"\xff", at)
        marker = data[at + 1] if at >= 0 else 0xD9
        if marker in (0xDA, 0xD9):  # the scans begin, or nothing does
            break
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD8:  # fill bytes, and markers without a length
            at += 1 if marker == 0xFF else 2
            continue
        length = struct.unpack_from(">H", data, at + 2)[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if width:
                raise BadPicture("it states its size twice")
            height, width = struct.unpack_from(">HH", data, at + 5)
        if marker == 0xE1 and not orientation and data[at + 4 : at + 10] == b"Exif\0\0":
            orientation = _orientation(data[at + 10 : at + 2 + length])
        at += 2 + length
    if marker != 0xDA:
        raise BadPicture("it has no picture data")
    _count_scans(data, at, (width, height))
    return _Header(width, height, orientation or 1), data


_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)  # between coded data: neither stuffing nor a restart


def _count_scans(data: bytes, at: int, size: tuple[int, int]) -> None:
    """Follow a JPEG's markers, as a decoder does, from its first scan to its end.

    A remark may hold any bytes, an end marker among them, and behind the end cameras put other pictures.
    """
    scans, first = 0, at
    while True:
        found = _MARKER.search(data, at)
        if found is None and data.find(b"\xff\xd9", first) < 0:
            raise BadPicture(f"it ends after {len(data)} bytes without an end marker")
        if found is None:  # damage hides the end
            return
        marker, at = data[found.start() + 1], found.end()
        if marker == 0xD9:
            return
        if marker in (0x01, 0xD8):
            continue
        scans += marker == 0xDA
        if scans > MAX_SCANS:  # a few thousand tiny ones keep a decoder busy for minutes
            raise BadPicture(f"it has more than {MAX_SCANS} scans")
        again = 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)
        if again and data[at + 3 : at + 7] != struct.pack(">HH", size[1], size[0]):
            raise BadPicture("it states two sizes")
        at += int.from_bytes(data[at : at + 2], "big")


def _png(data: bytes) -> tuple[_Header, bytes]:
    """Only the chunks that carry pixels are kept: the others can be bombs, and libpng prints about them."""
    at, orientation, kept = 8, 1, [data[:8]]
    width, height = struct.unpack_from(">II", data, 16)
    if data[12:16] != b"IHDR":
        raise BadPicture("it does not start with a header")
    while True:
        if at + 12 > len(data):
            raise BadPicture(f"it ends after {len(data)} bytes without an end marker")
        length, kind = struct.unpack_from(">I4s", data, at)
        chunk, at = data[at : at + 12 + length], at + 12 + length
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            if len(chunk) < 12 + length or zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
                raise BadPicture(f"the checksum of its {kind.decode()} does not fit")
            kept.append(chunk)
        if kind == b"eXIf":
            orientation = _orientation(chunk[8:-4])
        if kind == b"IEND":
            return _Header(width, height, orientation), b"".join(kept)


def _webp(data: bytes) -> tuple[_Header, bytes]:
    end = struct.unpack_from("<I", data, 4)[0] + 8
    if end > len(data):
        raise BadPicture(f"it has {len(data)} bytes of {end}")
    at, width, height, orientation = 12, 0, 0, 1
    while at + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, at)
        body, w, h = at + 8, 0, 0
        if kind == b"VP8X":
            w, h = (1 + int.from_bytes(data[body + k : body + k + 3], "little") for k in (4, 7))
        elif kind == b"VP8 ":
            w, h = (side & 0x3FFF for side in struct.unpack_from("<HH", data, body + 6))
        elif kind == b"VP8L":
            bits = struct.unpack_from("<I", data, body + 1)[0]
            w, h = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        elif kind == b"EXIF":
            orientation = _orientation(data[body : body + length].removeprefix(b"Exif\0\0"))
        width, height, at = max(width, w), max(height, h), body + length + length % 2
    return _Header(width, height, orientation), data


def _bmp(data: bytes) -> tuple[_Header, bytes]:
    old = struct.unpack_from("<I", data, 14)[0] == 12
    width, height = struct.unpack_from("<HH" if old else "<ii", data, 18)
    return _Header(width, abs(height)), data  # a negative height means top row first


def _gif(data: bytes) -> tuple[_Header, bytes]:
    return _Header(*struct.unpack_from("<HH", data, 6)), data


def _tiff(data: bytes) -> tuple[_Header, bytes]:
    """OpenCV turns a TIFF upright itself, in every mode; up to 8 bits libtiff multiplies by a declared alpha."""
    return header_of_tiff(tiff_directory(data)), data


def header_of_tiff(tags: dict[int, list[int]]) -> _Header:
    """What the directory of a page says."""
    width, height, tile_width, tile_height = (tags.get(tag, [0])[0] for tag in (256, 257, 322, 323))
    extra = tags.get(338, [0])[0]  # what the fourth channel is: 1 alpha already multiplied, 2 plain alpha
    premultiplied = extra == 1 or (extra == 2 and max(tags.get(258, [1])) <= 8)
    channels = tags.get(277, [1])[0]
    return _Header(
        width, height, premultiplied=premultiplied, tile=tile_width * tile_height, channels=channels,
        bits=max(tags.get(258, [1])),
    )  # fmt: skip


_FORMATS: dict[str, tuple[tuple[bytes, ...], Callable[[bytes], tuple[_Header, bytes]]]] = {
    "JPEG": ((b"\xff\xd8\xff",), _jpeg),
    "PNG": ((b"\x89PNG\r\n\x1a\n",), _png),
    "WebP": ((b"RIFF",), _webp),
    "GIF": ((b"GIF87a", b"GIF89a"), _gif),
    "TIFF": ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff),
    "BMP": ((b"BM",), _bmp),
}


def _orientation(exif: bytes) -> int:
    """1-8; a broken EXIF block turns nothing."""
    try:
        value = tiff_directory(exif).get(274, [1])[0]
    except (struct.error, BadPicture):
        return 1
    return value if 1 <= value <= 8 else 1


_SIZES = (256, 257, 258, 277, 322, 323)  # of the picture, of a channel, of a pixel, of a tile


def tiff_directory(data: "bytes | mmap", at: int | None = None) -> dict[int, list[int]]:
    """A directory of a TIFF, classic or big, by default the first: tag -> at most four of its whole numbers.

    Of a tag that comes twice, or whose type is not the usual one, decoders believe this or that, so a directory that
    says so of a size (`_SIZES`) is broken.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    offset = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0] if at is None else at
    count = struct.unpack_from(order + ("Q" if big else "H"), data, offset)[0]
    entry, inline = (20, 8) if big else (12, 4)
    tags: dict[int, list[int]] = {}
    if count > MAX_TAGS:
        raise BadPicture(f"it has more than {MAX_TAGS} tags")
    for k in range(count):
        at = offset + (8 if big else 2) + k * entry
        tag, kind, length = struct.unpack_from(order + ("HHQ" if big else "HHI"), data, at)
        code, size = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4), 16: ("Q", 8)}.get(kind, ("", 0))
        if tag in _SIZES and (tag in tags or not size or kind == 1 or not length):
            raise BadPicture(f"tag {tag}, a size, comes twice or is no whole number")
        if not size or not length:
            continue
        at += entry - inline
        if length * size > inline:
            at = struct.unpack_from(order + ("Q" if big else "I"), data, at)[0]
        tags[tag] = list(struct.unpack_from(f"{order}{min(length, 4)}{code}", data, at))
    return tags
