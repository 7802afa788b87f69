"""What a user calls a source: a picture, a folder, a zip, a list, a pattern, a video, a camera, a URL."""

import glob
import re
import sys
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from edgepose.media.animation import is_animated, read_animation
from edgepose.media.images import MAX_PIXELS, largest_file, picture_format, read_image
from edgepose.media.marks import is_overlay
from edgepose.media.part import Part
from edgepose.media.video import URL, Frame, read_camera, read_part, without_password

Kind = Literal["picture", "video", "camera", "stream"]

_RAW = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw")  # of cameras
_MOTION_JPEG = (".mjpeg", ".mjpg")  # one JPEG after the other
SUFFIXES: dict[str, Kind] = {
    **dict.fromkeys(
        (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff"), "picture"
    ),
    **dict.fromkeys((".avif", ".avifs", ".heic", ".heics", ".heif", ".heifs", ".hif"), "picture"),
    **dict.fromkeys((*_RAW, ".jxl", ".jp2", ".j2k", ".ppm", ".pgm", ".tga", ".psd", ".exr"), "picture"),  # to be named
    **dict.fromkeys(
        (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg"), "video"
    ),
    **dict.fromkeys((".vob", ".flv", ".f4v", ".wmv", ".asf", ".ogv", ".mxf", ".3gp", ".3g2", ".ivf", ".dv"), "video"),
    **dict.fromkeys((".h264", ".264", ".h265", ".265", ".hevc", ".obu", ".y4m", ".nut"), "video"),
    **dict.fromkeys(_MOTION_JPEG, "video"),
}
_MANY = (".gif", ".webp", ".png", ".tif", ".tiff", ".avif", ".avifs")  # pictures that can have several frames
_LISTS = (".txt", ".lst", ".list")

_VIDEO_STARTS = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"FLV\x01",
    b"OggS",
    b"DKIF",  # IVF
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF, WMV
    b"\x06\x0e\x2b\x34\x02\x05\x01\x01",  # MXF
    b"\x00\x00\x01\xba",  # MPEG-PS
    b"\x00\x00\x01\xb3",  # MPEG-1/2
    b"YUV4MPEG2 ",
    b"nut/multimedia container\0",
)


@dataclass(frozen=True)
class Source:
    """One thing that gives frames: the path, the URL, the number of the camera, or "-" for standard input.

    member: of the zip at `location`
    """

    location: str
    kind: Kind
    member: str | None = None

    @property
    def name(self) -> str:
        """As messages and results show it."""
        if self.location == "-":
            return "stdin"
        return self.location if self.member is None else f"{self.location}/{self.member}"


def expand(source: str | Path) -> list[Source]:
    """The pictures, videos, cameras and streams that a source stands for, in the order of counting people.

    A number is a camera (`./0` a file), a known scheme a stream, an existing path itself even where it has `*` in its
    name; a folder gives the pictures and videos right in it, a zip the pictures at any depth, a pattern those that
    match (`**` for all depths), a text file the paths in its lines, and `-` is a picture from standard input. Named
    files are known by their first bytes, and only where these say nothing by their suffix; in folders the suffix
    comes first. Hidden files, overlays that edgepose has drawn and all others are passed over, unless named. Several
    frames in a GIF, WebP, PNG, AVIF or TIFF make it a video.
    """
    text = str(source)
    if not text.strip():  # which a path would take for the current folder
        raise ValueError("no source: expected a picture, folder, video, camera number or URL, got an empty name")
    if text in ("-", "/dev/stdin"):
        return [Source("-", "picture")]
    if re.fullmatch(r"\d{1,4}", text):
        return [Source(text, "camera")]
    if "://" in text:
        return [_stream(text)]
    path = Path(text).expanduser()
    if path.is_dir():
        found = _media(list(path.iterdir()))
    elif path.exists():
        found = _inside(path)
    else:
        found = _media([Path(match) for match in glob.iglob(str(path), recursive=True)])
        if not found and not glob.has_magic(text):
            raise ValueError(f"no source at {text}: expected a picture, folder, pattern, video, camera number or URL")
    if not found:
        raise ValueError(f"nothing to read in {text}: expected pictures or videos there, found none; check the path")
    return found


def sound_of(source: str) -> Path | None:
    """The file whose sound goes with a source's frames: itself, where it is a video file."""
    path = Path(source)
    if not path.is_file():
        return None
    moving = (_sniffed(path) or SUFFIXES.get(path.suffix.lower())) == "video"
    return path if moving and not _picture_in(path) else None


def frames(source: Source, max_pixels: int = MAX_PIXELS, part: Part | None = None) -> Iterator[Frame]:
    """The frames of one source, or of a part of a video; a picture is one frame without a time."""
    if source.kind == "picture" and part is not None:
        raise ValueError(f"{source.name} is a picture: start, end and every are for videos; leave them out")
    if source.kind == "camera":
        camera = read_camera(int(source.location))
        return camera if part is None else part.of(camera, source.name)
    if source.member is not None and SUFFIXES.get(Path(source.member).suffix.lower()) != "picture":
        raise ValueError(f"{source.name} is a video: expected pictures in a zip; unpack it and name the file")
    if source.kind == "picture" and Path(source.name).suffix.lower() in _RAW:  # a reader of TIFF finds its thumbnail
        raise ValueError(f"{source.name} is a camera's raw file: expected a finished picture; make it a JPEG or PNG")
    if source.kind == "picture":
        return _one_frame(source, max_pixels)
    if source.kind == "video" and (source.member is not None or _picture_in(Path(source.location))):
        animation = read_animation(_content(source, max_pixels), source.name, max_pixels)
        return animation if part is None else part.of(animation, source.name)
    return read_part(source.location, part, max_pixels)


def _one_frame(source: Source, max_pixels: int) -> Iterator[Frame]:
    if source.member is None and source.location != "-":
        yield Frame(read_image(source.location, max_pixels), None, 0)
        return
    data = _content(source, max_pixels)
    if source.location == "-" and (picture_format(data[:64]) is None or is_animated(data)):
        raise ValueError(
            f"{source.name} is not a picture: expected one on standard input, got {len(data)} bytes that begin with "
            f"{data[:8].hex(' ')}; save a video and name the file"
        )
    try:
        image = read_image(data, max_pixels)
    except ValueError as error:
        raise ValueError(f"{source.name}: {error}") from None
    yield Frame(image, None, 0)


def _content(source: Source, max_pixels: int) -> bytes:
    """The bytes of a picture, of no more than one of `max_pixels` can have."""
    most = largest_file(max_pixels)
    if source.location == "-":
        data = b"" if sys.stdin is None else sys.stdin.buffer.read(most + 1)
    elif source.member is None:
        with Path(source.location).open("rb") as file:
            data = file.read(most + 1)
    else:
        try:
            with zipfile.ZipFile(source.location) as archive, archive.open(source.member) as member:
                data = member.read(most + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
            raise ValueError(
                f"{source.name} cannot be unpacked: expected a sound zip without a password, {error}"
            ) from None
    if len(data) > most:
        raise ValueError(f"{source.name} is too large for a picture: more than {most} bytes for {max_pixels} pixels")
    return data


def _picture_in(path: Path) -> bool:
    """Whether the file of a video is that of a picture, with several frames."""
    if path.suffix.lower() in _MOTION_JPEG or not path.is_file():
        return False
    with path.open("rb") as file:
        return picture_format(file.read(64)) not in (None, "JPEG")


def _stream(url: str) -> Source:
    if not URL.match(url):
        scheme = url.partition("://")[0]
        raise ValueError(
            f"cannot read {scheme} URLs: expected rtsp, rtsps, http, https, tcp or udp; give files as paths"
        )
    if SUFFIXES.get(Path(urlsplit(url).path).suffix.lower()) == "picture":
        raise ValueError(
            f"cannot read pictures from the network: expected a video URL, got {without_password(url)}; save it first, "
            "such as with `curl -O URL`, and name the file"
        )
    return Source(url, "stream")


def _inside(path: Path) -> list[Source]:
    """What a file that was named stands for: itself, by its content rather than its suffix, or what is in it."""
    kind = _sniffed(path)
    if kind is None and path.is_file() and zipfile.is_zipfile(path):
        return _members(path)
    kind = kind or SUFFIXES.get(path.suffix.lower())
    if kind is not None:
        return [Source(str(path), kind)]
    if path.suffix.lower() in _LISTS:
        return _listed(path)
    if not path.is_file():
        raise ValueError(
            f"{path} is no source: expected a picture or a video, found a device or a pipe; `-` reads a picture from "
            "standard input, a video has to be saved first"
        )
    raise ValueError(f"{path} is no source: expected a picture or a video, its first bytes are neither")


def _members(path: Path) -> list[Source]:
    """Pictures in a zip at any depth, and videos, which are refused when they are read."""
    found = []
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
    for name in sorted(names, key=_counting):
        hidden = any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
        kind = SUFFIXES.get(Path(name).suffix.lower())
        if kind is None or hidden:
            continue
        source = Source(str(path), kind, name)
        if Path(name).suffix.lower() in _MANY and _many(source):
            source = Source(str(path), "video", name)
        found.append(source)
    return found


def _many(source: Source) -> bool:
    """Whether a picture in a zip has several frames; what is wrong with it is told when it is read."""
    try:
        return is_animated(_content(source, MAX_PIXELS))
    except ValueError:
        return False


def _listed(path: Path) -> list[Source]:
    """The files in the lines of a list, beside which they are looked for too; of what is missing, reading tells."""
    if path.stat().st_size > 64 << 20:
        raise ValueError(
            f"{path} is too large for a list of files: expected at most 64 MiB; name a folder or a pattern"
        )
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no list of files: expected UTF-8 text with a path in each line") from None
    found = []
    for line in (line.strip() for line in lines):
        if not line or line.startswith("#"):
            continue
        file = next((p for p in (Path(line), path.parent / line) if p.is_file()), None)
        kind = None if file is None else _sniffed(file) or SUFFIXES.get(file.suffix.lower())
        found.append(Source(line if file is None else str(file), kind or "picture"))
    if not any(Path(source.location).is_file() for source in found):
        raise ValueError(f"{path} is no list of files: expected a path in each line, none of {len(lines)} is there")
    return found


def _media(paths: list[Path]) -> list[Source]:
    """Those of many files that are pictures or videos; only what the suffix leaves open is opened."""
    found = []
    for path in sorted(paths, key=_counting):
        if path.name.startswith(".") or not path.is_file() or is_overlay(path):
            continue
        suffix = path.suffix.lower()
        kind = SUFFIXES.get(suffix) if suffix else _sniffed(path)
        if suffix in _MANY and is_animated(path):
            kind = "video"
        if kind is not None:
            found.append(Source(str(path), kind))
    return found


def _counting(path: Path | str) -> list[tuple[int, str]]:
    """2.jpg before 10.jpg; 02.jpg and 2.jpg stay apart."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part) if part.isdecimal() else -1, part) for part in parts]


def _sniffed(path: Path) -> Kind | None:
    """What the first bytes of a file say it is."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(400)
    if picture_format(head):
        moving = path.suffix.lower() in _MOTION_JPEG if picture_format(head) == "JPEG" else is_animated(path)
        return "video" if moving else "picture"
    boxes = head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"styp")
    riff = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    packets = len(head) > 388 and any(head[k] == head[k + step] == 0x47 for k, step in ((0, 188), (4, 192)))  # MPEG-TS
    return "video" if boxes or riff or packets or head.startswith(_VIDEO_STARTS) else None
