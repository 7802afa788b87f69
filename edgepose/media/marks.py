"""What is drawn over a picture or video says so, so that no later run takes it for one to look at."""

import re
import struct
import zlib
from pathlib import Path

MARK = "edgepose overlay"
_NAME = re.compile(r".*_overlay(-\d+)?", re.DOTALL)
_VIDEOS = (".mp4", ".mov", ".mkv")
_HEAD = 512  # bytes of a picture that hold the mark


def marked(picture: bytes) -> bytes:
    """A JPEG or PNG as OpenCV writes it -> the same with the mark as its remark, behind the first segment or chunk."""
    if picture.startswith(b"\xff\xd8"):
        at = 4 + int.from_bytes(picture[4:6], "big")
        remark = b"\xff\xfe" + struct.pack(">H", 2 + len(MARK)) + MARK.encode()
    else:
        at = 8 + 12 + int.from_bytes(picture[8:12], "big")
        body = b"tEXtComment\0" + MARK.encode()
        remark = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return picture[:at] + remark + picture[at:]


def is_overlay(path: str | Path) -> bool:
    """Whether a file is an overlay that edgepose has drawn; only those that are called so are opened."""
    path = Path(path)
    if not _NAME.fullmatch(path.stem) or not path.is_file():
        return False
    if path.suffix.lower() in _VIDEOS:
        from edgepose.media.video import comment_of

        return comment_of(path) == MARK
    with path.open("rb") as file:
        return MARK.encode() in file.read(_HEAD)
