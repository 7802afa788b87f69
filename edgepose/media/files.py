"""Files that appear whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` when the block ends well and is removed when it raises.

    The temporary file lies in the same folder (so that the rename is one step), keeps the suffix (some writers choose
    their format by it), and reaches the disk before it gets its name. A link is followed: its target is replaced.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"cannot write {path}: expected a folder {target.parent}, which is not there; create it"
        )
    if target.exists() and not target.is_file():
        raise ValueError(f"cannot write {path}: expected a file or a free name, found a folder or a device")
    temporary = target.with_name(f".edgepose-{secrets.token_hex(8)}{target.suffix}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, target)
        if os.name == "posix":
            _sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(path: str | Path) -> None:
    """The folder with all its parents, unless it is there already."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"cannot write to {path}: expected a folder, and it, or one above it, is a file") from None


def frame_name(stem: str, index: int, time: float | None) -> str:
    """What the picture of a video's frame is called, such as clip_f000123_t004100ms.jpg; a time of None is left out."""
    moment = "" if time is None else f"_t{round(1000 * time):06d}ms"
    return f"{stem}_f{index:06d}{moment}.jpg"


def unique_name(name: str, source: str, taken: dict[str, str]) -> str:
    """`name`, or `name-2`, `name-3` ... where another source has it already; `taken` remembers (name -> source)."""
    number, candidate = 1, name
    while taken.setdefault(candidate, source) != source:
        number += 1
        candidate = f"{name}-{number}"
    return candidate


def _sync(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
