"""Files that appear whole or not at all."""

import hashlib
import mimetypes
import os
import platform
import secrets
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
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
    temporary = target.with_name(f"{_PREFIX}{_here()}-{os.getpid()}-{secrets.token_hex(4)}{target.suffix}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, target)
        if os.name == "posix":
            _sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def require_regular(path: str | Path, what: str) -> None:
    """ValueError for a device or a pipe, which may have no end or wait for ever; what is not there is not told."""
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError(f"{path} is a device or a pipe: expected {what}, as a file")


Identity = tuple[int, int]  # device and inode: one file under all its names


def identity(path: str | Path) -> Identity | None:
    """What a file is, whatever links lead to it; None where nothing is there."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def refuse_sources(outputs: Iterable[str | Path], sources: Iterable[str | Path]) -> None:
    """ValueError where a file that is to be written is one that is read, under any name and through any link.

    Of an output that is a folder the links in it are looked at. A source that is a folder stands for the pictures and
    videos in it.
    """
    named = [Path(output) for output in outputs]
    links = [link for output in named if output.is_dir() for link in _links(output)]
    written = [path for path in (*named, *links) if path.is_file()]
    if not written:
        return
    places = [Path(source) for source in sources]
    read = {identity(place): place for place in places}
    folders = [Path(os.path.realpath(place)) for place in places if place.is_dir()]
    for path in written:
        source = read.get(identity(path))
        real = Path(os.path.realpath(path))
        if source is None and (mimetypes.guess_type(real, strict=False)[0] or "").startswith(("image/", "video/")):
            source = next((folder for folder in folders if folder in real.parents), None)
        if source is not None:
            raise ValueError(f"{path} would be replaced, and it is read, as {source}: expected another place to write")


def _links(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (path for name in names if (path := Path(place, name)).is_symlink())


def free_path(path: Path, ours: Callable[[Path], bool]) -> Path:
    """`path`, or beside it NAME-2, NAME-3 ...: the first where nothing is or what `ours` says may be replaced."""
    number, candidate = 1, path
    while os.path.lexists(candidate) and not ours(candidate):
        number += 1
        candidate = path.with_stem(f"{path.stem}-{number}")
    return candidate


_PREFIX = ".edgepose-"


def _here() -> str:
    """This machine, in a few letters."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:6]


@contextmanager
def alone_in(folder: str | Path) -> Iterator[None]:
    """Keeps other runs out of a folder of results, and removes what killed ones have left half written in it.

    ValueError where another run writes there. Where the system cannot lock a folder (Windows, some network drives) two
    runs are not noticed.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"another run writes to {folder} at this moment: wait for its end, or name another folder"
            ) from None
        except OSError:  # a file system without locks
            pass
        remove_abandoned(Path(folder))
        yield
    finally:
        os.close(descriptor)


def remove_abandoned(folder: Path) -> None:
    """Hidden files and folders of processes of this machine that are no more, in a folder and those in it."""
    if sys.platform == "win32":  # where asking for a process ends it
        return
    own = f"{_PREFIX}{_here()}-"
    for path in [*folder.glob(f"{own}*"), *folder.glob(f"*/{own}*")]:
        process = path.name[len(own) :].partition("-")[0]
        if process.isdecimal() and not _is_alive(int(process)):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def hidden_folder_prefix() -> str:
    """How a folder begins that `alone_in` may remove when this process has been killed."""
    return f"{_PREFIX}{_here()}-{os.getpid()}-"


LONGEST_STEM = 180  # bytes: file systems take names of 255, with what is added


def fitting_stem(stem: str) -> str:
    """The stem of a source as that of an output: one too long for a file's name is cut, and its hash keeps it apart."""
    raw = os.fsencode(stem)
    if len(raw) <= LONGEST_STEM:
        return stem
    return raw[: LONGEST_STEM - 9].decode("utf-8", "ignore") + "-" + hashlib.sha256(raw).hexdigest()[:8]


def make_folder(path: str | Path) -> None:
    """The folder with all its parents, unless it is there already."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"cannot write to {path}: expected a folder, and it, or one above it, is a file") from None


def frame_name(stem: str, index: int, time: float | None) -> str:
    """What the picture of a video's frame is called, such as clip_f000123_t004100ms.jpg; a time of None is left out."""
    stem = fitting_stem(stem)
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
