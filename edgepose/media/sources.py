"""What a user calls a source: a picture, a folder, a pattern, a video, a camera, a URL."""

import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from edgepose.media.images import MAX_PIXELS, picture_format, read_image
from edgepose.media.video import URL, Frame, read_camera, read_video, without_password

Kind = Literal["picture", "video", "camera", "stream"]

SUFFIXES: dict[str, Kind] = {
    **dict.fromkeys(
        (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff"), "picture"
    ),
    **dict.fromkeys((".avif", ".heic", ".heif", ".hif"), "picture"),
    **dict.fromkeys(
        (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg"), "video"
    ),
    **dict.fromkeys((".vob", ".flv", ".f4v", ".wmv", ".asf", ".ogv", ".mxf", ".3gp", ".3g2", ".ivf", ".dv"), "video"),
    **dict.fromkeys((".h264", ".264", ".h265", ".265", ".hevc", ".obu", ".mjpeg", ".mjpg"), "video"),
}

_VIDEO_STARTS = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"FLV\x01",
    b"OggS",
    b"DKIF",  # IVF
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF, WMV
    b"\x06\x0e\x2b\x34\x02\x05\x01\x01",  # MXF
    b"\x00\x00\x01\xba",  # MPEG-PS
    b"\x00\x00\x01\xb3",  # MPEG-1/2
)


@dataclass(frozen=True)
class Source:
    """One thing that gives frames: the path, the URL, or the number of the camera."""

    location: str
    kind: Kind


def expand(source: str | Path) -> list[Source]:
    """The pictures, videos, cameras and streams that a source stands for, in the order of counting people.

    A number is a camera (`./0` a file), a known scheme a stream, an existing path itself even where it has `*` in its
    name; a folder gives the pictures and videos right in it, a pattern those that match (`**` for all depths). Named
    files are known by their first bytes, and only where these say nothing by their suffix; in folders the suffix
    comes first. Hidden files and all others are passed over, unless named. A GIF is a picture, its first.
    """
    text = str(source)
    if not text.strip():  # which a path would take for the current folder
        raise ValueError("no source: expected a picture, folder, video, camera number or URL, got an empty name")
    if re.fullmatch(r"\d{1,4}", text):
        return [Source(text, "camera")]
    if "://" in text:
        return [_stream(text)]
    path = Path(text).expanduser()
    if path.is_dir():
        found = _media(list(path.iterdir()))
    elif path.exists():
        return [_file(path)]
    else:
        found = _media([Path(match) for match in glob.iglob(str(path), recursive=True)])
        if not found and not glob.has_magic(text):
            raise ValueError(f"no source at {text}: expected a picture, folder, pattern, video, camera number or URL")
    if not found:
        raise ValueError(f"nothing to read in {text}: expected pictures or videos there, found none; check the path")
    return found


def frames(source: Source, max_pixels: int = MAX_PIXELS) -> Iterator[Frame]:
    """The frames of one source; a picture is one frame without a time."""
    if source.kind == "camera":
        return read_camera(int(source.location))
    if source.kind == "picture":
        return _one_frame(source.location, max_pixels)
    return read_video(source.location, max_pixels)


def _one_frame(path: str, max_pixels: int) -> Iterator[Frame]:
    yield Frame(read_image(path, max_pixels), None, 0)


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


def _file(path: Path) -> Source:
    """A file that was named: content first, because it is right and the suffix only usual."""
    kind = _sniffed(path) or SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"{path} is no source: expected a picture or a video, its first bytes are neither")
    return Source(str(path), kind)


def _media(paths: list[Path]) -> list[Source]:
    """Those of many files that are pictures or videos; only a file without a suffix is opened."""
    found = []
    for path in sorted(paths, key=_counting):
        if path.name.startswith(".") or not path.is_file():
            continue
        kind = SUFFIXES.get(path.suffix.lower()) if path.suffix else _sniffed(path)
        if kind is not None:
            found.append(Source(str(path), kind))
    return found


def _counting(path: Path) -> list[tuple[int, str]]:
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
        return "picture"
    boxes = head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"styp")
    riff = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    packets = len(head) > 388 and any(head[k] == head[k + step] == 0x47 for k, step in ((0, 188), (4, 192)))  # MPEG-TS
    return "video" if boxes or riff or packets or head.startswith(_VIDEO_STARTS) else None
